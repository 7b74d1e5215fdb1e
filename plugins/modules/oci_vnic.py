#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_vnic`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_vnic
short_description: Set the source/destination check of VNICs in OCI
version_added: "0.1.0"
author: The cloudvip authors
description:
  - A VNIC drops what is neither from nor to one of its own addresses. A router's VNICs must not.
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes]
options:
  vnic_ids:
    description: The OCIDs of the VNICs.
    type: list
    elements: str
    required: true
  skip_source_dest_check:
    description: Whether the VNICs may forward, that is, do without the check.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Let two VNICs forward
  cloudvip.ha.oci_vnic:
    vnic_ids:
      - ocid1.vnic.oc1.iad.aaaa
      - ocid1.vnic.oc1.iad.bbbb
    skip_source_dest_check: true
"""

RETURN = r"""
vnics:
  description: The VNICs, by OCID.
  returned: success
  type: dict
  contains:
    subnet_id:
      description: The OCID of its subnet.
      type: str
    skip_source_dest_check:
      description: Whether the VNIC does without the check.
      type: bool
  sample:
    ocid1.vnic.oc1.iad.aaaa: {subnet_id: ocid1.subnet.oc1.iad.gggg, skip_source_dest_check: true}
"""

from collections.abc import Callable

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.vnic import plan


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            vnic_ids={"type": "list", "elements": "str", "required": True},
            skip_source_dest_check={"type": "bool", "required": True},
        ),
        supports_check_mode=True,
    )
    skip = module.params["skip_source_dest_check"]
    with session.reported(module):
        network = connect(module).network
        vnics = [network.vnic(vnic_id) for vnic_id in dict.fromkeys(module.params["vnic_ids"])]
        todo = plan(skip, vnics)
        if not module.check_mode:
            for vnic in todo.actions:
                network.set_skip_source_dest_check(vnic.id, skip)
        module.exit_json(
            changed=bool(todo.actions),
            diff={"before": todo.before, "after": todo.after},
            vnics={vnic.id: {"subnet_id": vnic.subnet_id, **todo.after[vnic.id]} for vnic in vnics},
        )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_public_ip_info`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_public_ip_info
short_description: Read the public IPs of a compartment or of private IPs in OCI
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Returns the reserved public IPs of a compartment, or those of private IPs, in the form in which
    M(cloudvip.ha.oci_public_ip) does.
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes.info]
options:
  compartment_id:
    description: The OCID of the compartment. Either this or O(private_ip_ids) is needed.
    type: str
  private_ip_ids:
    description: The OCIDs of the private IPs. One call is made for each. One that has no public IP is left out.
    type: list
    elements: str
seealso:
  - module: cloudvip.ha.oci_public_ip
"""

EXAMPLES = r"""
- name: List the reserved public IPs
  cloudvip.ha.oci_public_ip_info:
    compartment_id: ocid1.compartment.oc1..cccc

- name: Find the public IP of a private IP
  cloudvip.ha.oci_public_ip_info:
    private_ip_ids: [ocid1.privateip.oc1.iad.ffff]
"""

RETURN = r"""
public_ips:
  description: The public IPs. It is a list since several may have the same name.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The OCID of the public IP.
      type: str
    address:
      description: The address.
      type: str
    private_ip_id:
      description: The OCID of the private IP that it belongs to. V(null) for one that is not assigned.
      type: str
    display_name:
      description: Its name.
      type: str
    tags:
      description: Its free-form tags.
      type: dict
  sample:
    - id: ocid1.publicip.oc1.iad.pppp
      address: 203.0.113.7
      private_ip_id: ocid1.privateip.oc1.iad.ffff
      display_name: web
      tags: {}
"""

from collections.abc import Callable

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.public_ip import result


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            compartment_id={"type": "str"},
            private_ip_ids={"type": "list", "elements": "str"},
        ),
        mutually_exclusive=[("compartment_id", "private_ip_ids")],
        required_one_of=[("compartment_id", "private_ip_ids")],
        supports_check_mode=True,
    )
    params = module.params
    with session.reported(module):
        network = connect(module).network
        if params["private_ip_ids"] is None:
            found = network.public_ips(params["compartment_id"])
        else:
            found = [p for key in params["private_ip_ids"] if (p := network.public_ip_of(key))]
        module.exit_json(changed=False, public_ips=[result(p) for p in found])


if __name__ == "__main__":
    main()

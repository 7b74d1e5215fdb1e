#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_vnic_attachment_info`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_vnic_attachment_info
short_description: Read the VNICs of instances in OCI
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Returns the VNICs that are attached to instances. One that is being attached is waited for.
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes.info]
options:
  compartment_id:
    description: The OCID of the compartment that the instances are in.
    type: str
    required: true
  instance_ids:
    description: The OCIDs of the instances.
    type: list
    elements: str
    required: true
seealso:
  - module: cloudvip.ha.oci_vnic_attachment
"""

EXAMPLES = r"""
- name: See what VNICs an instance has
  cloudvip.ha.oci_vnic_attachment_info:
    compartment_id: ocid1.compartment.oc1..cccc
    instance_ids: [ocid1.instance.oc1.iad.aaaa]
"""

RETURN = r"""
vnics:
  description: The VNICs of each instance, by the instance's OCID, in the order in which the service lists them.
  returned: success
  type: dict
  contains:
    subnet_id:
      description: The OCID of the subnet.
      type: str
    subnet_cidr:
      description: The IPv4 block of the subnet that the private IP is in.
      type: str
    vnic_id:
      description: The OCID of the VNIC.
      type: str
    display_name:
      description: Its name.
      type: str
    mac_address:
      description: Its MAC address, in lower case.
      type: str
    private_ip:
      description: Its primary private IP.
      type: str
    is_primary:
      description: Whether it is the primary VNIC of its instance, which is never detached.
      type: bool
  sample:
    ocid1.instance.oc1.iad.aaaa:
      - subnet_id: ocid1.subnet.oc1.iad.gggg
        subnet_cidr: 192.0.2.0/28
        vnic_id: ocid1.vnic.oc1.iad.eeee
        display_name: pod1
        mac_address: "02:00:17:00:00:01"
        private_ip: 192.0.2.5
        is_primary: false
"""

from collections.abc import Callable, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.vnic_attachment import AttachedVnic, cidr_of


def shown(vnic: AttachedVnic, cidrs: Sequence[str]) -> dict[str, Any]:
    """What the module answers about a VNIC; `cidrs` are those of its subnet."""
    return {
        "subnet_id": vnic.subnet_id,
        "subnet_cidr": cidr_of(vnic.private_ip, cidrs),
        "vnic_id": vnic.id,
        "display_name": vnic.display_name,
        "mac_address": vnic.mac_address,
        "private_ip": vnic.private_ip,
        "is_primary": vnic.is_primary,
    }


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            compartment_id={"type": "str", "required": True},
            instance_ids={"type": "list", "elements": "str", "required": True},
        ),
        supports_check_mode=True,
    )
    with session.reported(module):
        compute = connect(module).compute
        vnics = {
            instance_id: [
                compute.attached(attachment)
                for attachment in compute.vnic_attachments(module.params["compartment_id"], instance_id)
            ]
            for instance_id in dict.fromkeys(module.params["instance_ids"])
        }
        subnet_ids = dict.fromkeys(v.subnet_id for found in vnics.values() for v in found)
        cidrs = {subnet_id: compute.subnet_cidrs(subnet_id) for subnet_id in subnet_ids}
        module.exit_json(
            changed=False, vnics={i: [shown(v, cidrs[v.subnet_id]) for v in found] for i, found in vnics.items()}
        )


if __name__ == "__main__":
    main()

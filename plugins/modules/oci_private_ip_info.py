#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_private_ip_info`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_private_ip_info
short_description: Read the private IPs of a subnet or of VNICs in OCI
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Returns the private IP objects and the IPv6 objects of a subnet or of VNICs, in the form in which
    M(cloudvip.ha.oci_private_ip) does.
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes.info]
options:
  subnet_id:
    description: The OCID of the subnet. Either this or O(vnic_ids) is needed.
    type: str
  vnic_ids:
    description: The OCIDs of the VNICs.
    type: list
    elements: str
  unassigned:
    description:
      - Whether to return those on no VNIC too, of the subnets of O(vnic_ids). A subnet's listing has them anyway.
    type: bool
    default: false
  addresses:
    description: The IPv4 and IPv6 addresses to return. Without it, all are. One that is not there is left out.
    type: list
    elements: str
seealso:
  - module: cloudvip.ha.oci_private_ip
"""

EXAMPLES = r"""
- name: See what is on a VNIC
  cloudvip.ha.oci_private_ip_info:
    vnic_ids: [ocid1.vnic.oc1.iad.aaaa]

- name: Find the object of an address
  cloudvip.ha.oci_private_ip_info:
    subnet_id: ocid1.subnet.oc1.iad.gggg
    addresses: [192.0.2.50]
"""

RETURN = r"""
private_ips:
  description: The objects, by address.
  returned: success
  type: dict
  contains:
    id:
      description: The object's OCID.
      type: str
    subnet_id:
      description: The OCID of its subnet.
      type: str
    vnic_id:
      description: The OCID of the VNIC that it is on. V(null) for one that is not assigned.
      type: str
    is_primary:
      description: Whether it is the primary private IP of its VNIC.
      type: bool
    lifetime:
      description: Its lifetime. C(EPHEMERAL) where the service reserves nothing.
      type: str
    display_name:
      description: Its name.
      type: str
    tags:
      description: Its free-form tags.
      type: dict
  sample:
    192.0.2.50:
      id: ocid1.privateip.oc1.iad.ffff
      subnet_id: ocid1.subnet.oc1.iad.gggg
      vnic_id: ocid1.vnic.oc1.iad.aaaa
      is_primary: false
      lifetime: RESERVED
      display_name: web
      tags: {}
"""

from collections.abc import Callable

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.private_ip import PER_VNIC, canonical, family, result


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            subnet_id={"type": "str"},
            vnic_ids={"type": "list", "elements": "str"},
            unassigned={"type": "bool", "default": False},
            addresses={"type": "list", "elements": "str"},
        ),
        mutually_exclusive=[("subnet_id", "vnic_ids")],
        required_one_of=[("subnet_id", "vnic_ids")],
        supports_check_mode=True,
    )
    params = module.params
    with session.reported(module):
        wanted = None if params["addresses"] is None else canonical("addresses", params["addresses"])
        network = connect(module).network
        families = PER_VNIC if wanted is None else dict.fromkeys(family(address) for address in wanted)
        vnic_ids = params["vnic_ids"] or []
        if params["unassigned"]:
            subnet_ids = dict.fromkeys(network.vnic(vnic_id).subnet_id for vnic_id in vnic_ids)
            listed = [p for kind in families for s in subnet_ids for p in network.private_ips(s, kind)]
            found = [p for p in listed if p.vnic_id in (None, *vnic_ids)]
        elif params["subnet_id"] is None:
            found = [p for kind in families for v in vnic_ids for p in network.private_ips_of_vnic(v, kind)]
        else:
            found = [p for kind in families for p in network.private_ips(params["subnet_id"], kind)]
        module.exit_json(
            changed=False, private_ips={p.address: result(p) for p in found if wanted is None or p.address in wanted}
        )


if __name__ == "__main__":
    main()

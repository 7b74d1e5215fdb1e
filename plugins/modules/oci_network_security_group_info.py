#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_network_security_group_info`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_network_security_group_info
short_description: Read the network security groups of a VCN in OCI
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Returns network security groups with their rules and their VNICs, in the form in which
    M(cloudvip.ha.oci_network_security_group) does.
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes.info]
options:
  compartment_id:
    description: The OCID of the compartment of the groups.
    type: str
    required: true
  vcn_id:
    description: The OCID of the VCN. Either this or O(subnet_id) is needed.
    type: str
  subnet_id:
    description: The OCID of a subnet of the VCN.
    type: str
  name:
    description: The display name of the groups to return. Without it, all are.
    type: str
seealso:
  - module: cloudvip.ha.oci_network_security_group
"""

EXAMPLES = r"""
- name: See what a cluster's group lets pass
  cloudvip.ha.oci_network_security_group_info:
    name: cloudvip-web
    compartment_id: ocid1.compartment.oc1..cccc
    vcn_id: ocid1.vcn.oc1.iad.hhhh
"""

RETURN = r"""
network_security_groups:
  description: The groups.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its OCID.
      type: str
    name:
      description: Its display name.
      type: str
    vcn_id:
      description: The OCID of its VCN.
      type: str
    rules:
      description:
        - Its rules, in the words of the option C(rules) of M(cloudvip.ha.oci_network_security_group).
        - Beside these, C(is_stateless), C(source_ports), and C(icmp) with the type and the code of ICMP.
        - A C(peer) that is neither a network nor V(self) is the OCID of another group, or the name of a service.
      type: list
      elements: dict
    vnic_ids:
      description: The OCIDs of the VNICs in it.
      type: list
      elements: str
  sample:
    - id: ocid1.networksecuritygroup.oc1.iad.nnnn
      name: cloudvip-web
      vcn_id: ocid1.vcn.oc1.iad.hhhh
      rules:
        - direction: ingress
          protocol: udp
          peer: self
          ports: 5405-5412
          description: Corosync
          is_stateless: false
          source_ports: null
          icmp: null
      vnic_ids: [ocid1.vnic.oc1.iad.aaaa, ocid1.vnic.oc1.iad.bbbb]
"""

from collections.abc import Callable

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            compartment_id={"type": "str", "required": True},
            vcn_id={"type": "str"},
            subnet_id={"type": "str"},
            name={"type": "str"},
        ),
        mutually_exclusive=[("vcn_id", "subnet_id")],
        required_one_of=[("vcn_id", "subnet_id")],
        supports_check_mode=True,
    )
    params = module.params
    with session.reported(module):
        cloud = connect(module)
        vcn_id = params["vcn_id"] or cloud.network.subnet(params["subnet_id"]).vcn_id
        groups = cloud.security.groups(params["compartment_id"], vcn_id, params["name"])
        module.exit_json(
            changed=False,
            network_security_groups=[{"id": g.id, "name": g.name, "vcn_id": g.vcn_id, **g.shown()} for g in groups],
        )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_network_security_group`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_network_security_group
short_description: Manage a network security group in OCI
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Creates, changes and deletes a network security group of a VCN, with its rules and its VNICs.
  - A packet passes if any rule allows it, of the security lists of the VNIC's subnet or of its groups. A group can only
    add to what the lists allow.
  - Rules are compared without regard to their order. Only those that differ are added and removed, the new ones before
    the old ones.
  - Every problem of every rule is reported at once, before anything is changed.
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes]
options:
  name:
    description: The display name of the group. It is an error when several groups of the VCN have it.
    type: str
    required: true
  compartment_id:
    description: The OCID of the compartment of the group.
    type: str
    required: true
  vcn_id:
    description: The OCID of the VCN. Without it and O(subnet_id), it is the VCN of the first of O(vnic_ids).
    type: str
  subnet_id:
    description: The OCID of a subnet of the VCN.
    type: str
  state:
    description:
      - Whether the group is to exist.
      - V(absent) takes the VNICs of O(vnic_ids) out of it first. It is an error when others are in it.
    type: str
    choices: [present, absent]
    default: present
  rules:
    description:
      - The rules that the group is to have, 120 at most, and no others unless O(purge_rules=false).
      - Without it, an existing group keeps its own, and a new one has none.
    type: list
    elements: dict
    suboptions:
      direction:
        description: Whether the rule is about packets that come in or go out.
        type: str
        choices: [ingress, egress]
        required: true
      protocol:
        description: V(all), V(icmp), V(tcp), V(udp), V(vrrp), or the number of a protocol.
        type: str
        required: true
      peer:
        description:
          - Where the packets come from or go to, a network such as C(192.0.2.0/24).
          - V(self) is the group itself, that is, all the VNICs in it.
        type: str
        required: true
      ports:
        description:
          - The destination port, or a range such as C(5405-5412). Without it, all are.
          - Only for V(tcp) and V(udp).
        type: str
      description:
        description: What the rule is for.
        type: str
  purge_rules:
    description: Whether the group is to lose the rules that are not among O(rules).
    type: bool
    default: true
  vnic_ids:
    description:
      - The OCIDs of the VNICs that are to be in the group, all of them and no others.
      - The other groups of these VNICs stay. A VNIC can be in five.
      - Without it, the VNICs of an existing group stay.
    type: list
    elements: str
notes:
  - All rules are stateful. The answers to what a rule lets pass do pass.
seealso:
  - module: cloudvip.ha.oci_network_security_group_info
"""

EXAMPLES = r"""
- name: Let the nodes of a cluster talk to each other
  cloudvip.ha.oci_network_security_group:
    name: cloudvip-web
    compartment_id: ocid1.compartment.oc1..cccc
    subnet_id: ocid1.subnet.oc1.iad.gggg
    rules:
      - {direction: ingress, protocol: udp, peer: self, ports: 5405-5412, description: Corosync}
      - {direction: ingress, protocol: tcp, peer: self, ports: "2224", description: pcsd}
      - {direction: egress, protocol: all, peer: 0.0.0.0/0}
    vnic_ids:
      - ocid1.vnic.oc1.iad.aaaa
      - ocid1.vnic.oc1.iad.bbbb

- name: Delete the group
  cloudvip.ha.oci_network_security_group:
    name: cloudvip-web
    compartment_id: ocid1.compartment.oc1..cccc
    vcn_id: ocid1.vcn.oc1.iad.hhhh
    vnic_ids:
      - ocid1.vnic.oc1.iad.aaaa
      - ocid1.vnic.oc1.iad.bbbb
    state: absent
"""

RETURN = r"""
network_security_group:
  description: The group. V(null) when there is none.
  returned: success
  type: dict
  contains:
    id:
      description: Its OCID. V(null) in check mode for a group that would be created.
      type: str
    name:
      description: Its display name.
      type: str
    vcn_id:
      description: The OCID of its VCN.
      type: str
    rules:
      description:
        - Its rules, in the words of O(rules).
        - Beside these, C(is_stateless), C(source_ports), and C(icmp) with the type and the code of ICMP. They can only
          be other than V(false) and V(null) in rules that this module did not make.
      type: list
      elements: dict
    vnic_ids:
      description: The OCIDs of the VNICs in it.
      type: list
      elements: str
  sample:
    id: ocid1.networksecuritygroup.oc1.iad.nnnn
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

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.errors import OciError, PlanError
from ..module_utils._oci.network_security_group import (
    Member,
    NetworkSecurityGroup,
    Plan,
    Request,
    affected,
    parse,
    plan,
)
from ..module_utils._oci.security import Security


def the_one(name: str, found: list[NetworkSecurityGroup]) -> NetworkSecurityGroup | None:
    """The group of that name, if there is one. Raises PlanError when there are several."""
    if len(found) > 1:
        ids = ", ".join(group.id for group in found)
        raise PlanError([f"name = {name!r}: expected at most one group of this name in the VCN; there are {ids}"])
    return found[0] if found else None


def apply(
    security: Security, create: Callable[[], str], todo: Plan, group_id: str | None, members: Mapping[str, Member]
) -> str | None:
    """Carry out a plan. Returns the group's OCID, None when there is none afterwards."""
    if todo.action == "create":
        group_id = create()
    if group_id is None:
        return None
    security.add_rules(group_id, todo.add)
    for vnic_id in todo.join:
        security.set_groups(members[vnic_id], (*members[vnic_id].group_ids, group_id))
    for vnic_id in todo.leave:
        security.set_groups(members[vnic_id], [g for g in members[vnic_id].group_ids if g != group_id])
    security.remove_rules(group_id, todo.remove)
    if todo.action == "delete":
        security.delete_group(group_id)
        return None
    return group_id


def vcn_of(cloud: session.Cloud, vnic_id: str, groups: Iterable[NetworkSecurityGroup]) -> str:
    """The VCN of a VNIC: that of the group which it is in, or else that of its subnet."""
    joined = next((group.vcn_id for group in groups if vnic_id in group.vnic_ids), None)
    return joined or cloud.network.subnet(cloud.network.vnic(vnic_id).subnet_id).vcn_id


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            name={"type": "str", "required": True},
            compartment_id={"type": "str", "required": True},
            vcn_id={"type": "str"},
            subnet_id={"type": "str"},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            rules={
                "type": "list",
                "elements": "dict",
                "options": {
                    "direction": {"type": "str", "choices": ["ingress", "egress"], "required": True},
                    "protocol": {"type": "str", "required": True},
                    "peer": {"type": "str", "required": True},
                    "ports": {"type": "str"},
                    "description": {"type": "str"},
                },
            },
            purge_rules={"type": "bool", "default": True},
            vnic_ids={"type": "list", "elements": "str"},
        ),
        mutually_exclusive=[("vcn_id", "subnet_id")],
        required_one_of=[("vcn_id", "subnet_id", "vnic_ids")],
        supports_check_mode=True,
    )
    params = module.params
    name, compartment_id = params["name"], params["compartment_id"]
    with session.reported(module):
        rules = None if params["rules"] is None else parse(params["rules"])
        vnic_ids = None if params["vnic_ids"] is None else tuple(params["vnic_ids"])
        request = Request(name, params["state"], rules, vnic_ids, params["purge_rules"])
        cloud = connect(module)
        security, vcn_id = cloud.security, params["vcn_id"]
        if params["subnet_id"]:
            vcn_id = cloud.network.subnet(params["subnet_id"]).vcn_id
        elif not vcn_id and not vnic_ids:
            raise OciError("vnic_ids = []: expected at least one VNIC where neither vcn_id nor subnet_id is given")
        found = security.groups(compartment_id, vcn_id, name)
        vcn_id = vcn_id or vcn_of(cloud, params["vnic_ids"][0], found)
        current = the_one(name, [group for group in found if group.vcn_id == vcn_id])
        members = {vnic_id: security.member(vnic_id) for vnic_id in affected(request, current)}
        todo = plan(request, current, members)
        group_id = None if current is None else current.id
        if not module.check_mode:
            group_id = apply(
                security, lambda: security.create_group(compartment_id, vcn_id, name), todo, group_id, members
            )
        group: dict[str, Any] | None = None
        if todo.after is not None:
            group = {"id": group_id, "name": name, "vcn_id": vcn_id, **todo.after}
        module.exit_json(
            changed=todo.changed,
            diff={"before": todo.before or {}, "after": todo.after or {}},
            network_security_group=group,
        )


if __name__ == "__main__":
    main()

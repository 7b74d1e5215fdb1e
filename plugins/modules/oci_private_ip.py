#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_private_ip`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_private_ip
short_description: Reserve and remove the floating private IPs of a cluster in OCI
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Makes sure that private IP objects with the lifetime C(RESERVED) exist at the addresses given, or that none does.
  - IPv4 addresses are private IPs in OCI, IPv6 addresses are IPv6 objects; this module treats them alike.
  - Where an object is placed is the cluster's business. A new one is assigned to no VNIC, and an existing one stays on
    the VNIC that it is on; running this module again never moves an address, unless O(private_ips[].vnic_id) asks for
    it.
  - An object that is there already is taken over, with its OCID, when it is a secondary private IP and either
    unassigned or on one of the cluster's VNICs. Any other is left alone, and the module fails.
  - Some regions reserve no private IPs. There, a new object is C(EPHEMERAL) and on the first of
    O(private_ips[].vnic_ids).
  - Every problem of every entry is reported at once, before anything is changed.
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes]
options:
  private_ips:
    description: The addresses, each at most once. One listing per subnet and address family serves all of them.
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description: The IPv4 or IPv6 address.
        type: str
        required: true
      vnic_ids:
        description: The OCIDs of the cluster's VNICs in the subnet of the address, those that may hold it.
        type: list
        elements: str
        default: []
      subnet_id:
        description:
          - The OCID of the subnet of the address. Without it, the subnet is that of the first of
            O(private_ips[].vnic_ids), which then has to name one.
          - An address that is reserved before the subnet gets its VNICs cannot become the primary one of any.
        type: str
      state:
        description:
          - Whether the object is to exist.
          - V(absent) unassigns and deletes it, unless a route rule or a public IP still refers to it.
        type: str
        choices: [present, absent]
        default: present
      vnic_id:
        description:
          - One of O(private_ips[].vnic_ids), to put the object on.
          - Without it, the object stays where it is. With it, a new or unassigned one is assigned, and the module fails
            for one that is on another VNIC, unless O(private_ips[].allow_reassociation) is set.
        type: str
      allow_reassociation:
        description:
          - Whether O(private_ips[].vnic_id) may take the object off another VNIC.
          - To do that on a running cluster is to fight with it.
        type: bool
        default: false
      delete_in_use:
        description:
          - Whether V(absent) also deletes an object that something refers to. Route rules that point at it then lead
            nowhere, and a reserved public IP that belongs to it is left unassigned.
          - Without it, the route tables of the VCN that are in the subnet's compartment and the public IP of the
            object are looked at before it is deleted, and the module fails if there is a reference. In check mode it
            warns, since the reference may be removed by a task before, which check mode does not carry out.
        type: bool
        default: false
      display_name:
        description: The name of the object. An existing one keeps its own without it.
        type: str
      tags:
        description: Free-form tags that the object is to have. Other tags of an existing one stay.
        type: dict
      label:
        description: What error messages call the address; the option's name and index by default.
        type: str
notes:
  - A VNIC holds at most 64 IPv4 addresses, its primary one included, and 32 IPv6 addresses. It is an error when a VNIC
    could not hold all the addresses that name it.
  - The service answers the same for a private IP without a public IP and for a caller who may not read public IPs.
    Without C(PUBLIC_IP_READ), O(private_ips[].state=absent) finds no public IP that is in the way.
seealso:
  - module: cloudvip.ha.oci_private_ip_info
  - module: cloudvip.ha.oci_public_ip
"""

EXAMPLES = r"""
- name: Reserve the addresses of a cluster
  cloudvip.ha.oci_private_ip:
    private_ips:
      - address: 192.0.2.50
        display_name: web
        vnic_ids: [ocid1.vnic.oc1.iad.aaaa, ocid1.vnic.oc1.iad.bbbb]
      - address: 2001:db8::50
        display_name: web
        vnic_ids: [ocid1.vnic.oc1.iad.aaaa, ocid1.vnic.oc1.iad.bbbb]
      - address: 192.0.2.51
        state: absent
        vnic_ids: [ocid1.vnic.oc1.iad.aaaa, ocid1.vnic.oc1.iad.bbbb]

- name: Put a new address on a VNIC
  cloudvip.ha.oci_private_ip:
    private_ips:
      - address: 192.0.2.52
        vnic_ids: [ocid1.vnic.oc1.iad.aaaa, ocid1.vnic.oc1.iad.bbbb]
        vnic_id: ocid1.vnic.oc1.iad.aaaa
"""

RETURN = r"""
private_ips:
  description: The objects with O(private_ips[].state=present), by address.
  returned: success
  type: dict
  contains:
    id:
      description: The object's OCID. V(null) in check mode for one that would be created.
      type: str
    subnet_id:
      description: The OCID of its subnet.
      type: str
    vnic_id:
      description: The OCID of the VNIC that it is on. V(null) for one that is not assigned.
      type: str
    is_primary:
      description: Whether it is the primary private IP of its VNIC, which it never is here.
      type: bool
    lifetime:
      description: Its lifetime. C(EPHEMERAL) where the service reserves nothing.
      type: str
    display_name:
      description: Its name. V(null) in check mode for one that would be created without a name.
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

from collections.abc import Callable, Sequence

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.errors import CloudError
from ..module_utils._oci.network import Network
from ..module_utils._oci.private_ip import (
    Create,
    Plan,
    PrivateIp,
    Request,
    Update,
    doomed,
    family,
    parse,
    plan,
    result,
)

_OPTIONS = {
    "address": {"type": "str", "required": True},
    "vnic_ids": {"type": "list", "elements": "str", "default": []},
    "subnet_id": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "vnic_id": {"type": "str"},
    "allow_reassociation": {"type": "bool", "default": False},
    "delete_in_use": {"type": "bool", "default": False},
    "display_name": {"type": "str"},
    "tags": {"type": "dict"},
    "label": {"type": "str"},
}
# With what a service that reserves nothing may refuse a reservation; the second is for one that ignores what it does
# not know, and then misses a VNIC.
_NOT_UNDERSTOOD = ("InvalidParameter", "MissingParameter")


def subnets_of(network: Network, requests: Sequence[Request]) -> dict[str, str]:
    """The subnet of each address: the one given, or that of the first VNIC which may hold it."""
    vnic_ids = dict.fromkeys(r.vnic_ids[0] for r in requests if r.subnet_id is None)
    vnics = {v: network.vnic(v).subnet_id for v in vnic_ids}
    return {r.address: r.subnet_id or vnics[r.vnic_ids[0]] for r in requests}


def references(network: Network, private_ips: Sequence[PrivateIp]) -> dict[str, list[str]]:
    """What refers to private IPs, in words, by OCID. Those that nothing refers to are left out."""
    subnets = [network.subnet(subnet_id) for subnet_id in dict.fromkeys(p.subnet_id for p in private_ips)]
    vcns = dict.fromkeys((s.vcn_id, s.compartment_id) for s in subnets)
    routes = [route for vcn_id, compartment_id in vcns for route in network.routes(vcn_id, compartment_id)]
    found: dict[str, list[str]] = {p.id: [] for p in private_ips}
    for route in routes:
        if route.network_entity_id in found:
            found[route.network_entity_id].append(
                f"the rule for {route.destination} of route table {route.table!r} ({route.table_id})"
            )
    for private_ip in private_ips:
        if private_ip.family == "IPv4" and (public_ip := network.public_ip_of(private_ip.id)):
            found[private_ip.id].append(f"the public IP {public_ip}")
    return {private_ip_id: users for private_ip_id, users in found.items() if users}


def create(network: Network, wanted: Create) -> PrivateIp:
    """Create a private IP; where it turns out that the service reserves nothing, an ephemeral one."""
    try:
        return network.create_private_ip(wanted)
    except CloudError as error:
        # What was refused for another reason is refused again.
        if wanted.fallback_vnic_id is None or error.code not in _NOT_UNDERSTOOD:
            raise
        return network.create_private_ip(wanted.unreserved())


def apply(network: Network, todo: Plan) -> dict[str, PrivateIp]:
    """Carry out a plan. Returns the objects that it made or changed, by address. An error names its address."""
    results: dict[str, PrivateIp] = {}
    for action in todo.actions:
        address = action.address if isinstance(action, Create) else action.current.address
        try:
            if isinstance(action, Create):
                results[address] = create(network, action)
            elif isinstance(action, Update):
                results[address] = network.update_private_ip(action.current, action.changes)
            else:
                network.delete_private_ip(action.current)
        except CloudError as error:
            error.subject = address
            raise
    return results


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            private_ips={"type": "list", "elements": "dict", "required": True, "options": _OPTIONS},
        ),
        supports_check_mode=True,
    )
    with session.reported(module):
        requests = parse(module.params["private_ips"])
        network = connect(module).network
        subnets = subnets_of(network, requests)
        listings = dict.fromkeys((subnets[r.address], family(r.address)) for r in requests)
        current = [p for listing in listings for p in network.private_ips(*listing)]
        found = references(network, doomed(requests, subnets, current))
        if module.check_mode:
            for private_ip_id, users in found.items():
                module.warn(f"{private_ip_id} can only be deleted when this does not refer to it: {', '.join(users)}")
            found = {}
        todo = plan(requests, subnets, current, found)
        done = {} if module.check_mode else apply(network, todo)
        module.exit_json(
            changed=bool(todo.actions),
            diff={"before": todo.before, "after": todo.after},
            private_ips={**todo.results, **{address: result(p) for address, p in done.items()}},
        )


if __name__ == "__main__":
    main()

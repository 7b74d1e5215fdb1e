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
  - Where an object is placed is the cluster's business. A new one is assigned to no VNIC, and an existing one stays on
    the VNIC that it is on; running this module again never moves an address.
  - An object that is there already is taken over, with its OCID, when it is a secondary private IP and either
    unassigned or on one of the cluster's VNICs. Any other is left alone, and the module fails.
  - Every problem of every entry is reported at once, before anything is changed.
extends_documentation_fragment: cloudvip.ha.oci
attributes:
  check_mode:
    description: Can run in check mode and predict the change without making it.
    support: full
  diff_mode:
    description: Returns what changed, or would change in check mode.
    support: full
options:
  private_ips:
    description: The addresses, each at most once. One listing per subnet serves all of them.
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description: The IPv4 address.
        type: str
        required: true
      vnic_ids:
        description: The OCIDs of the cluster's VNICs in the subnet of the address, those that may hold it.
        type: list
        elements: str
        required: true
      state:
        description:
          - Whether the object is to exist.
          - V(absent) unassigns and deletes it. Route rules that point at it then lead nowhere, and a reserved public IP
            that belongs to it is left unassigned.
        type: str
        choices: [present, absent]
        default: present
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
  - A VNIC holds at most 64 IPv4 addresses, its primary one included. It is an error when a VNIC could not hold all the
    addresses that name it.
"""

EXAMPLES = r"""
- name: Reserve the addresses of a cluster
  cloudvip.ha.oci_private_ip:
    private_ips:
      - address: 192.0.2.50
        display_name: web
        vnic_ids: [ocid1.vnic.oc1.iad.aaaa, ocid1.vnic.oc1.iad.bbbb]
      - address: 192.0.2.51
        state: absent
        vnic_ids: [ocid1.vnic.oc1.iad.aaaa, ocid1.vnic.oc1.iad.bbbb]
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
    lifetime:
      description: Its lifetime.
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
      lifetime: RESERVED
      display_name: web
      tags: {}
"""

from collections.abc import Callable, Sequence

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.errors import CloudError
from ..module_utils._oci.network import Network
from ..module_utils._oci.private_ip import Create, Plan, PrivateIp, Request, Update, parse, plan, shown


def subnets_of(network: Network, requests: Sequence[Request]) -> dict[str, str]:
    """The subnet of each address: that of the first VNIC which may hold it."""
    vnics = {v: network.vnic(v).subnet_id for v in dict.fromkeys(r.vnic_ids[0] for r in requests)}
    return {r.address: vnics[r.vnic_ids[0]] for r in requests}


def apply(network: Network, todo: Plan) -> dict[str, PrivateIp]:
    """Carry out a plan. Returns the objects that it made or changed, by address. An error names its address."""
    results: dict[str, PrivateIp] = {}
    for action in todo.actions:
        address = action.address if isinstance(action, Create) else action.current.address
        try:
            if isinstance(action, Create):
                results[address] = network.reserve_private_ip(
                    action.subnet_id, address, action.display_name, action.tags
                )
            elif isinstance(action, Update):
                results[address] = network.update_private_ip(action.current.id, action.changes)
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
            private_ips={
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "address": {"type": "str", "required": True},
                    "vnic_ids": {"type": "list", "elements": "str", "required": True},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                    "display_name": {"type": "str"},
                    "tags": {"type": "dict"},
                    "label": {"type": "str"},
                },
            },
        ),
        supports_check_mode=True,
    )
    with session.reported(module):
        requests = parse(module.params["private_ips"])
        network = connect(module).network
        subnets = subnets_of(network, requests)
        current = [p for subnet_id in dict.fromkeys(subnets.values()) for p in network.private_ips(subnet_id)]
        todo = plan(requests, subnets, current)
        known = {p.address: p for p in current if subnets.get(p.address) == p.subnet_id}
        if not module.check_mode:
            known.update(apply(network, todo))
        results = {}
        for address, after in todo.after.items():
            if after is not None:
                found = known.get(address)
                results[address] = {
                    "id": found.id if found else None,
                    "subnet_id": subnets[address],
                    "vnic_id": found.vnic_id if found else None,
                    **(shown(found) if found and not module.check_mode else after),
                }
        module.exit_json(
            changed=bool(todo.actions),
            diff={
                "before": {a: v for a, v in todo.before.items() if v is not None},
                "after": {a: v for a, v in todo.after.items() if v is not None},
            },
            private_ips=results,
        )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_route_rule`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_route_rule
short_description: Add, change and remove single rules of a route table in OCI
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Makes sure that a route table has rules which lead to private IPs, or that it does not have them.
  - Rules for other destinations stay as they are, and all rules keep their order. A new rule is the last one.
  - The table is read, changed and written back, unless someone else changed it meanwhile. Then that is done once more.
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes]
options:
  route_table_id:
    description: The OCID of the route table.
    type: str
    required: true
  rules:
    description: The rules, at most one for each destination. The table is read and written once for all of them.
    type: list
    elements: dict
    required: true
    suboptions:
      destination:
        description: The destination, a CIDR block.
        type: str
        required: true
      private_ip_id:
        description:
          - The OCID of the private IP that the rule leads to. A rule that leads elsewhere is changed.
          - Needed for O(rules[].state=present), but for check mode, where the private IP may be one that would be made.
          - With O(rules[].state=absent), only a rule that leads to it is removed. Without it, any is.
        type: str
      description:
        description: The description of the rule. One that is there keeps its own without it.
        type: str
      state:
        description: Whether the table is to have the rule.
        type: str
        choices: [present, absent]
        default: present
notes:
  - A rule leads nowhere while its private IP is on no VNIC, or on one that checks source and destination. See
    M(cloudvip.ha.oci_vnic).
seealso:
  - module: cloudvip.ha.oci_route_rule_info
  - module: cloudvip.ha.oci_private_ip
"""

EXAMPLES = r"""
- name: Lead to a POD by way of a floating address
  cloudvip.ha.oci_route_rule:
    route_table_id: ocid1.routetable.oc1.iad.tttt
    rules:
      - destination: 192.0.2.0/28
        private_ip_id: ocid1.privateip.oc1.iad.ffff
        description: POD 1

- name: Remove a rule wherever it leads
  cloudvip.ha.oci_route_rule:
    route_table_id: ocid1.routetable.oc1.iad.tttt
    rules:
      - destination: 192.0.2.0/28
        state: absent
"""

RETURN = r"""
rules:
  description: The rules with O(rules[].state=present), by destination.
  returned: success
  type: dict
  contains:
    private_ip_id:
      description: The OCID of the private IP. V(null) in check mode for one that would be made.
      type: str
    description:
      description: The description of the rule.
      type: str
  sample:
    192.0.2.0/28:
      private_ip_id: ocid1.privateip.oc1.iad.ffff
      description: POD 1
"""

from collections.abc import Callable, Sequence

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.errors import CloudError
from ..module_utils._oci.route_rule import Request, RouteTable, parse, plan
from ..module_utils._oci.routing import Routing


def apply(routing: Routing, table: RouteTable, requests: Sequence[Request]) -> None:
    """Write what is wanted into a table, once more if someone else changed it after it was read."""
    try:
        routing.set_rules(table, plan(requests, table.rules).rules)
    except CloudError as error:
        if error.kind != "changed":
            raise
        table = routing.route_table(table.id)
        todo = plan(requests, table.rules)
        if todo.changed:
            routing.set_rules(table, todo.rules)


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            route_table_id={"type": "str", "required": True},
            rules={
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "destination": {"type": "str", "required": True},
                    "private_ip_id": {"type": "str"},
                    "description": {"type": "str"},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                },
            },
        ),
        supports_check_mode=True,
    )
    with session.reported(module):
        requests = parse(module.params["rules"], predict=module.check_mode)
        routing = connect(module).routing
        table = routing.route_table(module.params["route_table_id"])
        todo = plan(requests, table.rules)
        if todo.changed and not module.check_mode:
            apply(routing, table, requests)
        module.exit_json(
            changed=todo.changed,
            diff={"before": todo.before, "after": todo.after},
            rules={r.destination: todo.after[r.destination] for r in requests if r.state == "present"},
        )


if __name__ == "__main__":
    main()

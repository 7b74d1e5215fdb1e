#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_route_rule_info`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_route_rule_info
short_description: Read the rules of a route table in OCI
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Returns all rules of a route table, whatever they lead to.
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes.info]
options:
  route_table_id:
    description: The OCID of the route table.
    type: str
    required: true
seealso:
  - module: cloudvip.ha.oci_route_rule
"""

EXAMPLES = r"""
- name: See where a subnet's packets go
  cloudvip.ha.oci_route_rule_info:
    route_table_id: ocid1.routetable.oc1.iad.tttt
"""

RETURN = r"""
rules:
  description: The rules, in the order of the table.
  returned: success
  type: list
  elements: dict
  contains:
    destination:
      description: The destination, a CIDR block or the name of a group of services.
      type: str
    destination_type:
      description: What the destination is, for example C(CIDR_BLOCK).
      type: str
    network_entity_id:
      description: The OCID of what the rule leads to.
      type: str
    description:
      description: The description of the rule.
      type: str
    route_type:
      description: Whether the rule is C(STATIC) or C(LOCAL).
      type: str
  sample:
    - destination: 192.0.2.0/28
      destination_type: CIDR_BLOCK
      network_entity_id: ocid1.privateip.oc1.iad.ffff
      description: POD 1
      route_type: STATIC
"""

from collections.abc import Callable
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(route_table_id={"type": "str", "required": True}),
        supports_check_mode=True,
    )
    with session.reported(module):
        table = connect(module).routing.route_table(module.params["route_table_id"])
        module.exit_json(changed=False, rules=[asdict(r) for r in table.rules])


if __name__ == "__main__":
    main()

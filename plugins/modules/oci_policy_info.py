#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_policy_info`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_policy_info
short_description: Read the IAM policies of a compartment in OCI, and what they do not permit
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Returns the policies of a compartment, or one of them, in the form in which M(cloudvip.ha.oci_policy) does.
  - Says which of O(needed_permissions) a dynamic group lacks. The service does not say that to an instance that it
    refuses.
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes.info]
options:
  compartment_id:
    description: The OCID of the compartment.
    type: str
    required: true
  name:
    description: The name of the policy to return. Without it, all of the compartment are returned.
    type: str
  needed_permissions:
    description:
      - The permissions that the members of O(dynamic_group_id) need on the things in O(compartment_id).
      - The policies of the compartment and those of the compartments above it are looked at, whatever O(name) says.
      - A statement with a condition on something other than C(request.permission), or on a compartment that is named by
        its path, counts as one that grants nothing.
    type: list
    elements: str
  dynamic_group_id:
    description: The OCID of the dynamic group. Needed with O(needed_permissions), and only with them.
    type: str
  dynamic_group_name:
    description:
      - The name of the dynamic group O(dynamic_group_id), for statements that do not name it by its OCID.
      - That of a group which is not in the default identity domain has the domain before it, as in C(Domain/name).
    type: str
seealso:
  - module: cloudvip.ha.oci_policy
"""

EXAMPLES = r"""
- name: List the policies of a compartment
  cloudvip.ha.oci_policy_info:
    compartment_id: ocid1.compartment.oc1..cccc

- name: Find out what the nodes lack to move an address
  cloudvip.ha.oci_policy_info:
    compartment_id: ocid1.compartment.oc1..cccc
    dynamic_group_id: ocid1.dynamicgroup.oc1..dddd
    dynamic_group_name: cloudvip-vrouters
    needed_permissions: [PRIVATE_IP_READ, PRIVATE_IP_UPDATE, VNIC_READ, VNIC_ASSIGN, VNIC_UNASSIGN]
"""

RETURN = r"""
policies:
  description: The policies.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The OCID of the policy.
      type: str
    name:
      description: Its name.
      type: str
    description:
      description: Its description.
      type: str
    statements:
      description: Its statements.
      type: list
      elements: str
  sample:
    - id: ocid1.policy.oc1..eeee
      name: cloudvip-vrouters
      description: Managed by Ansible
      statements:
        - allow dynamic-group id ocid1.dynamicgroup.oc1..dddd to inspect vnics in tenancy
missing_permissions:
  description: Those of O(needed_permissions) that no policy grants, in their order.
  returned: when O(needed_permissions) is set
  type: list
  elements: str
  sample: [VNIC_UNASSIGN]
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.dynamic_group import DEFAULT_DOMAIN, is_default
from ..module_utils._oci.errors import PlanError
from ..module_utils._oci.identity import Identity
from ..module_utils._oci.named import read
from ..module_utils._oci.permissions import PERMISSIONS, missing_permissions


def names_of(group: str | None) -> Collection[str]:
    """How statements may name a dynamic group, besides by its OCID."""
    if group is None:
        return ()
    domain, _, name = group.rpartition("/")
    return (name, f"{DEFAULT_DOMAIN}/{name}") if is_default(domain or None) else (group,)


def missing(identity: Identity, params: Mapping[str, Any]) -> list[str]:
    """The permissions that no policy of the compartment or above it grants. Raises CloudError."""
    lineage = identity.lineage(params["compartment_id"])
    statements = [s for c in lineage for p in identity.policies(c.id).all() for s in p.statements]
    names: dict[str, Collection[str]] = {c.id: (c.name,) for c in lineage}
    names[params["dynamic_group_id"]] = names_of(params["dynamic_group_name"])
    return missing_permissions(
        statements, params["dynamic_group_id"], names, params["compartment_id"], params["needed_permissions"]
    )


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            compartment_id={"type": "str", "required": True},
            name={"type": "str"},
            needed_permissions={"type": "list", "elements": "str"},
            dynamic_group_id={"type": "str"},
            dynamic_group_name={"type": "str"},
        ),
        required_together=[("needed_permissions", "dynamic_group_id")],
        required_by={"dynamic_group_name": ["dynamic_group_id"]},
        supports_check_mode=True,
    )
    params = module.params
    with session.reported(module):
        unknown = [p for p in params["needed_permissions"] or () if p not in PERMISSIONS]
        if unknown:
            known = ", ".join(sorted(PERMISSIONS))
            raise PlanError([f"needed_permissions: {p!r}: expected one of {known}" for p in unknown])
        identity = connect(module).identity
        found = read(identity.policies(params["compartment_id"]), params["name"])
        answer: dict[str, Any] = {"policies": [{"id": p.id, "name": p.name, **p.fields} for p in found]}
        if params["needed_permissions"] is not None:
            answer["missing_permissions"] = missing(identity, params)
        module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()

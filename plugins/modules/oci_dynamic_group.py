#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_dynamic_group`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_dynamic_group
short_description: Manage a dynamic group of instances in OCI
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Creates, changes and deletes a dynamic group of the tenancy, in its default identity domain.
  - A policy that names the group gives its instances permissions, see M(cloudvip.ha.oci_policy).
extends_documentation_fragment: cloudvip.ha.oci
attributes:
  check_mode:
    description: Can run in check mode and predict the change without making it.
    support: full
  diff_mode:
    description: Returns what changed, or would change in check mode.
    support: full
options:
  name:
    description: The name of the group. It is unique in the tenancy and cannot be changed.
    type: str
    required: true
  state:
    description: Whether the group is to exist.
    type: str
    choices: [present, absent]
    default: present
  instance_ids:
    description:
      - The OCIDs of the instances that are to be members, all of them and no others.
      - Needed with O(state=present), unless O(matching_rule) is given.
    type: list
    elements: str
  matching_rule:
    description: The matching rule, in place of O(instance_ids).
    type: str
  description:
    description: A description. A new group gets C(Managed by Ansible) without one, and an existing one keeps its own.
    type: str
  compartment_id:
    description: The OCID of the tenancy, if not that of the profile or of the instance.
    type: str
notes:
  - A change of the members can take IAM up to an hour to honour; a new group takes seconds.
seealso:
  - module: cloudvip.ha.oci_policy
"""

EXAMPLES = r"""
- name: Group the instances of a cluster
  cloudvip.ha.oci_dynamic_group:
    name: cloudvip-vrouters
    description: The nodes of the cluster vrouters
    instance_ids:
      - ocid1.instance.oc1.iad.aaaa
      - ocid1.instance.oc1.iad.bbbb

- name: Group whatever runs in a compartment
  cloudvip.ha.oci_dynamic_group:
    name: everything
    matching_rule: ALL {instance.compartment.id = 'ocid1.compartment.oc1..cccc'}

- name: Remove a group
  cloudvip.ha.oci_dynamic_group:
    name: everything
    state: absent
"""

RETURN = r"""
dynamic_group:
  description: The group. V(null) when there is none.
  returned: success
  type: dict
  contains:
    id:
      description: Its OCID. V(null) in check mode for a group that would be created.
      type: str
    name:
      description: Its name.
      type: str
    description:
      description: Its description.
      type: str
    matching_rule:
      description: Its matching rule.
      type: str
  sample:
    id: ocid1.dynamicgroup.oc1..dddd
    name: cloudvip-vrouters
    description: The nodes of the cluster vrouters
    matching_rule: ANY {instance.id = 'ocid1.instance.oc1.iad.aaaa', instance.id = 'ocid1.instance.oc1.iad.bbbb'}
"""

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.dynamic_group import DynamicGroup, Plan, Request, members_rule, plan
from ..module_utils._oci.errors import OciError
from ..module_utils._oci.identity import Identity


def apply(identity: Identity, compartment_id: str, name: str, todo: Plan, current: DynamicGroup | None) -> str | None:
    """Carry out a plan. Returns the group's OCID, None when there is none afterwards."""
    if todo.action == "create":
        return identity.create_dynamic_group(compartment_id, name, todo.changes).id
    if current is not None and todo.action == "update":
        identity.update_dynamic_group(current, todo.changes)
    if current is not None and todo.action == "delete":
        identity.delete_dynamic_group(current)
    return current.id if current is not None and todo.after is not None else None


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            name={"type": "str", "required": True},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            instance_ids={"type": "list", "elements": "str"},
            matching_rule={"type": "str"},
            description={"type": "str"},
            compartment_id={"type": "str"},
        ),
        mutually_exclusive=[("instance_ids", "matching_rule")],
        required_if=[("state", "present", ("instance_ids", "matching_rule"), True)],
        supports_check_mode=True,
    )
    params = module.params
    with session.reported(module):
        if params["state"] == "present" and not (params["matching_rule"] or params["instance_ids"]):
            raise OciError("instance_ids = []: expected at least one instance OCID")
        cloud = connect(module)
        compartment_id = params["compartment_id"] or cloud.tenancy_id
        rule = params["matching_rule"] or members_rule(params["instance_ids"] or ())
        current = cloud.identity.dynamic_group(compartment_id, params["name"])
        todo = plan(Request(params["name"], params["state"], rule, params["description"]), current)
        group_id = current.id if current is not None else None
        if not module.check_mode:
            group_id = apply(cloud.identity, compartment_id, params["name"], todo, current)
        group: dict[str, Any] | None = None
        if todo.after is not None:
            group = {"id": group_id, "name": params["name"], **todo.after}
        module.exit_json(
            changed=todo.action is not None,
            diff={"before": todo.before or {}, "after": todo.after or {}},
            dynamic_group=group,
        )


if __name__ == "__main__":
    main()

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
  - Creates, changes and deletes a dynamic group of an identity domain.
  - With O(state=present), what is to be in it is said by exactly one of O(instance_ids), O(member_compartment_id),
    O(member_tag) and O(matching_rule).
  - A policy that names the group gives its instances permissions, see M(cloudvip.ha.oci_policy).
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes]
options:
  name:
    description: The name of the group. It is unique in the identity domain and cannot be changed.
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
      - An instance that is replaced has another OCID, and must be listed again.
    type: list
    elements: str
  member_compartment_id:
    description:
      - The OCID of the compartment whose instances are to be members, whatever else runs in it.
      - Those of the compartments below it are not.
    type: str
  member_tag:
    description:
      - The defined tag that makes an instance a member.
      - Whoever may set the tag on an instance gives it the permissions of the group.
    type: dict
    suboptions:
      namespace:
        description: The namespace of the tag.
        type: str
        required: true
      key:
        description: The key of the tag.
        type: str
        required: true
      value:
        description: The value that the tag must have.
        type: str
        required: true
  matching_rule:
    description: The matching rule, as IAM writes it.
    type: str
  description:
    description: A description. A new group gets C(Managed by Ansible) without one, and an existing one keeps its own.
    type: str
  compartment_id:
    description:
      - The OCID of the compartment that the identity domain is in.
      - Without it, that is the tenancy of the profile or of the instance, where the default domain always is.
    type: str
  domain:
    description:
      - The name of the identity domain that the group is in, if not C(Default).
      - A policy names such a group by its OCID, or as C('Domain'/'name').
    type: str
notes:
  - A change of the members can take IAM up to an hour to honour; a new group takes seconds.
seealso:
  - module: cloudvip.ha.oci_dynamic_group_info
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
    member_compartment_id: ocid1.compartment.oc1..cccc

- name: Group the instances with a tag, in an identity domain of its own
  cloudvip.ha.oci_dynamic_group:
    name: cloudvip-vrouters
    domain: OracleIdentityCloudService
    member_tag:
      namespace: Operations
      key: Cluster
      value: vrouters

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
    domain:
      description: The name of its identity domain.
      type: str
  sample:
    id: ocid1.dynamicgroup.oc1..dddd
    name: cloudvip-vrouters
    description: The nodes of the cluster vrouters
    matching_rule: ANY {instance.id = 'ocid1.instance.oc1.iad.aaaa', instance.id = 'ocid1.instance.oc1.iad.bbbb'}
    domain: Default
"""

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.dynamic_group import (
    DEFAULT_DOMAIN,
    compartment_rule,
    instances_rule,
    is_default,
    same_rule,
    tag_rule,
)
from ..module_utils._oci.errors import PlanError
from ..module_utils._oci.named import Request, keep

MEMBERS = ("instance_ids", "member_compartment_id", "member_tag", "matching_rule")


def rule_of(params: dict[str, Any]) -> str:
    """The matching rule that the options ask for. Raises PlanError."""
    problems = []
    if params["instance_ids"] == []:
        problems.append("instance_ids = []: expected at least one instance OCID")
    for name in ("member_compartment_id", "matching_rule"):
        if params[name] is not None and not params[name].strip():
            problems.append(f"{name} = {params[name]!r}: expected a text that is not empty")
    for key, value in (params["member_tag"] or {}).items():
        # A rule has no way to write either of them.
        if not value.strip() or "'" in value:
            problems.append(f"member_tag.{key} = {value!r}: expected a text that is not empty and has no quotes")
    if problems:
        raise PlanError(problems)
    if params["instance_ids"]:
        return instances_rule(params["instance_ids"])
    if params["member_compartment_id"]:
        return compartment_rule(params["member_compartment_id"])
    return tag_rule(params["member_tag"]) if params["member_tag"] else str(params["matching_rule"])


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    tag = {name: {"type": "str", "required": True} for name in ("namespace", "key", "value")}
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            name={"type": "str", "required": True},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            instance_ids={"type": "list", "elements": "str"},
            member_compartment_id={"type": "str"},
            member_tag={"type": "dict", "options": tag},
            matching_rule={"type": "str"},
            description={"type": "str"},
            compartment_id={"type": "str"},
            domain={"type": "str"},
        ),
        mutually_exclusive=[MEMBERS],
        required_if=[("state", "present", MEMBERS, True)],
        supports_check_mode=True,
    )
    params = module.params
    with session.reported(module):
        rule = rule_of(params) if params["state"] == "present" else None
        cloud = connect(module)
        groups = cloud.identity.dynamic_groups(params["compartment_id"] or cloud.tenancy_id, params["domain"])
        fields = {"description": params["description"], "matching_rule": rule}
        done = keep(
            groups, Request(params["name"], params["state"], fields, {"matching_rule": same_rule}), module.check_mode
        )
        domain = DEFAULT_DOMAIN if is_default(params["domain"]) else params["domain"]
        group = None if done.found is None else {**done.found, "domain": domain}
        module.exit_json(changed=done.changed, diff=done.diff, dynamic_group=group)


if __name__ == "__main__":
    main()

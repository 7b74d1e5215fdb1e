#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_policy`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_policy
short_description: Manage an IAM policy in OCI
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Creates, changes and deletes a policy of a compartment.
  - A statement that names a dynamic group which IAM does not know yet is tried again until O(timeout) has passed.
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes]
options:
  name:
    description: The name of the policy. It is unique in the tenancy and cannot be changed.
    type: str
    required: true
  compartment_id:
    description: The OCID of the compartment that the policy is attached to.
    type: str
    required: true
  state:
    description: Whether the policy is to exist.
    type: str
    choices: [present, absent]
    default: present
  statements:
    description:
      - The statements, all of them. Their order and their white space make no difference.
      - Needed with O(state=present).
    type: list
    elements: str
  description:
    description: A description. A new policy gets C(Managed by Ansible) without one, and an existing one keeps its own.
    type: str
seealso:
  - module: cloudvip.ha.oci_policy_info
  - module: cloudvip.ha.oci_dynamic_group
"""

EXAMPLES = r"""
- name: Let a dynamic group move private IPs, and nothing else
  cloudvip.ha.oci_policy:
    name: cloudvip-vrouters
    compartment_id: ocid1.compartment.oc1..cccc
    statements:
      - >-
        allow dynamic-group id ocid1.dynamicgroup.oc1..dddd to use private-ips
        in compartment id ocid1.compartment.oc1..cccc
        where any {request.permission='PRIVATE_IP_READ', request.permission='PRIVATE_IP_UPDATE'}
      - >-
        allow dynamic-group id ocid1.dynamicgroup.oc1..dddd to use vnics
        in compartment id ocid1.compartment.oc1..cccc
        where any {request.permission='VNIC_READ', request.permission='VNIC_ASSIGN', request.permission='VNIC_UNASSIGN'}

- name: Remove a policy
  cloudvip.ha.oci_policy:
    name: cloudvip-vrouters
    compartment_id: ocid1.compartment.oc1..cccc
    state: absent
"""

RETURN = r"""
policy:
  description: The policy. V(null) when there is none.
  returned: success
  type: dict
  contains:
    id:
      description: Its OCID. V(null) in check mode for a policy that would be created.
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
    id: ocid1.policy.oc1..eeee
    name: cloudvip-vrouters
    description: Managed by Ansible
    statements:
      - allow dynamic-group id ocid1.dynamicgroup.oc1..dddd to inspect vnics in tenancy
"""

from collections.abc import Callable

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.named import Request, keep
from ..module_utils._oci.policy import same_statements


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            name={"type": "str", "required": True},
            compartment_id={"type": "str", "required": True},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            statements={"type": "list", "elements": "str"},
            description={"type": "str"},
        ),
        required_if=[("state", "present", ("statements",))],
        supports_check_mode=True,
    )
    params = module.params
    with session.reported(module):
        fields = {"description": params["description"], "statements": params["statements"]}
        request = Request(params["name"], params["state"], fields, {"statements": same_statements})
        done = keep(connect(module).identity.policies(params["compartment_id"]), request, module.check_mode)
        module.exit_json(changed=done.changed, diff=done.diff, policy=done.found)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_dynamic_group_info`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_dynamic_group_info
short_description: Read the dynamic groups of an identity domain in OCI
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Returns the dynamic groups of an identity domain, or one of them, in the form in which
    M(cloudvip.ha.oci_dynamic_group) does.
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes.info]
options:
  name:
    description: The name of the group to return. Without it, all are returned.
    type: str
  compartment_id:
    description:
      - The OCID of the compartment that the identity domain is in.
      - Without it, that is the tenancy of the profile or of the instance, where the default domain always is.
    type: str
  domain:
    description: The name of the identity domain, if not C(Default).
    type: str
seealso:
  - module: cloudvip.ha.oci_dynamic_group
"""

EXAMPLES = r"""
- name: Look up the group of a cluster
  cloudvip.ha.oci_dynamic_group_info:
    name: cloudvip-vrouters

- name: List the groups of another identity domain
  cloudvip.ha.oci_dynamic_group_info:
    domain: OracleIdentityCloudService
"""

RETURN = r"""
dynamic_groups:
  description: The groups.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The OCID of the group.
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
    - id: ocid1.dynamicgroup.oc1..dddd
      name: cloudvip-vrouters
      description: The nodes of the cluster vrouters
      matching_rule: ANY {instance.id = 'ocid1.instance.oc1.iad.aaaa', instance.id = 'ocid1.instance.oc1.iad.bbbb'}
      domain: Default
"""

from collections.abc import Callable

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.named import read


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            name={"type": "str"},
            compartment_id={"type": "str"},
            domain={"type": "str"},
        ),
        supports_check_mode=True,
    )
    params = module.params
    with session.reported(module):
        cloud = connect(module)
        store = cloud.identity.dynamic_groups(params["compartment_id"] or cloud.tenancy_id, params["domain"])
        found = [{"id": g.id, "name": g.name, **g.fields, "domain": g.domain} for g in read(store, params["name"])]
        module.exit_json(changed=False, dynamic_groups=found)


if __name__ == "__main__":
    main()

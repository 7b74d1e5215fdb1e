#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_public_ip`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_public_ip
short_description: Give private IPs reserved public IPs in OCI, and take them back
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Makes sure that private IPs have reserved public IPs, or that these are gone.
  - A public IP belongs to the private IP's object. It follows when that moves to another VNIC, without another call.
  - A private IP that has a reserved public IP already keeps it, with its address. Otherwise an unassigned one of the
    name that is asked for is taken, and a new one is created only where there is none.
  - The module returns when the service has carried out the assignment, and fails when that went wrong.
  - Every problem of every entry is reported at once, before anything is changed.
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes]
options:
  compartment_id:
    description: The OCID of the compartment of the public IPs. One listing of it serves all of them.
    type: str
    required: true
  public_ips:
    description: The public IPs, each at most once.
    type: list
    elements: dict
    required: true
    suboptions:
      display_name:
        description: The name of the public IP, by which it is found when it is not assigned.
        type: str
        required: true
      private_ip_id:
        description:
          - The OCID of the private IP, as M(cloudvip.ha.oci_private_ip) returns it.
          - It is needed for O(public_ips[].state=present). In check mode it may be V(null), since the private IP may be
            yet to be created.
        type: str
      state:
        description:
          - Whether the public IP is to exist.
          - V(absent) unassigns and deletes the public IP of this name. One of another name is left alone, and it is an
            error when it belongs to another private IP than O(public_ips[].private_ip_id). Without that, only one that
            is not assigned is deleted.
        type: str
        choices: [present, absent]
        default: present
      tags:
        description: Free-form tags that the public IP is to have. Other tags of an existing one stay.
        type: dict
      label:
        description: What error messages call the entry; the option's name and index by default.
        type: str
notes:
  - A region has 50 reserved public IPs for a tenancy, unless Oracle has raised the limit.
seealso:
  - module: cloudvip.ha.oci_private_ip
  - module: cloudvip.ha.oci_public_ip_info
"""

EXAMPLES = r"""
- name: Give an address of a cluster a public IP
  cloudvip.ha.oci_public_ip:
    compartment_id: ocid1.compartment.oc1..cccc
    public_ips:
      - display_name: web
        private_ip_id: ocid1.privateip.oc1.iad.ffff

- name: Give a public IP back
  cloudvip.ha.oci_public_ip:
    compartment_id: ocid1.compartment.oc1..cccc
    public_ips:
      - display_name: web
        state: absent
"""

RETURN = r"""
public_ips:
  description: The public IPs with O(public_ips[].state=present), by O(public_ips[].display_name).
  returned: success
  type: dict
  contains:
    id:
      description: The OCID of the public IP. V(null) in check mode for one that would be created.
      type: str
    address:
      description: The address. V(null) in check mode for one that would be created.
      type: str
    private_ip_id:
      description: The OCID of the private IP. V(null) in check mode where that is yet to be created.
      type: str
    display_name:
      description: Its name.
      type: str
    tags:
      description: Its free-form tags.
      type: dict
  sample:
    web:
      id: ocid1.publicip.oc1.iad.pppp
      address: 203.0.113.7
      private_ip_id: ocid1.privateip.oc1.iad.ffff
      display_name: web
      tags: {}
"""

from collections.abc import Callable

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.errors import CloudError
from ..module_utils._oci.network import Network
from ..module_utils._oci.public_ip import Create, Plan, PublicIp, Update, parse, plan, result, unknown

_OPTIONS = {
    "display_name": {"type": "str", "required": True},
    "private_ip_id": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "tags": {"type": "dict"},
    "label": {"type": "str"},
}


def apply(network: Network, compartment_id: str, todo: Plan) -> dict[str, PublicIp]:
    """Carry out a plan. Returns the public IPs that it made or changed, by name. An error names its public IP."""
    results: dict[str, PublicIp] = {}
    for name, action in todo.actions.items():
        try:
            if isinstance(action, Create):
                results[name] = network.create_public_ip(compartment_id, action.private_ip_id, name, action.tags)
            elif isinstance(action, Update):
                results[name] = network.update_public_ip(action.current, action.changes)
            else:
                network.delete_public_ip(action.current)
        except CloudError as error:
            error.subject = name
            raise
    return results


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            compartment_id={"type": "str", "required": True},
            public_ips={"type": "list", "elements": "dict", "required": True, "options": _OPTIONS},
        ),
        supports_check_mode=True,
    )
    compartment_id = module.params["compartment_id"]
    with session.reported(module):
        requests = parse(module.params["public_ips"], predict=module.check_mode)
        network = connect(module).network
        current = network.public_ips(compartment_id)
        # One that is ephemeral, or in another compartment, is not in the listing.
        others = [network.public_ip_of(private_ip_id) for private_ip_id in unknown(requests, current)]
        todo = plan(requests, [*current, *filter(None, others)])
        done = {} if module.check_mode else apply(network, compartment_id, todo)
        module.exit_json(
            changed=bool(todo.actions),
            diff={"before": todo.before, "after": todo.results},
            public_ips={**todo.results, **{name: result(p) for name, p in done.items()}},
        )


if __name__ == "__main__":
    main()

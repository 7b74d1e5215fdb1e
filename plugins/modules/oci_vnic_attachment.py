#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module `oci_vnic_attachment`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: oci_vnic_attachment
short_description: Attach and detach secondary VNICs of instances in OCI
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Makes sure that instances have a VNIC in a subnet. Any VNIC there will do, whatever its name and its settings are.
    Where there is none, a new one is attached, and the module waits until it is.
  - A new VNIC gets no public IP. In the instance it is a bare interface, which is down and has no address.
  - A VNIC is detached by its name. That deletes it.
  - A VNIC that has a secondary private IP, IPv4 or IPv6, is not detached. Neither is a primary VNIC. The module fails
    then, before anything is changed.
  - Every problem of every entry is reported at once.
extends_documentation_fragment: [cloudvip.ha.oci, cloudvip.ha.attributes]
options:
  compartment_id:
    description: The OCID of the compartment that the instances are in.
    type: str
    required: true
  attachments:
    description: The VNICs, at most one for each instance and subnet. One listing per instance serves all of its VNICs.
    type: list
    elements: dict
    required: true
    suboptions:
      instance_id:
        description: The OCID of the instance. It is running or stopped.
        type: str
        required: true
      subnet_id:
        description: The OCID of the subnet.
        type: str
        required: true
      display_name:
        description: The name of a new VNIC, and of the VNIC to detach.
        type: str
        required: true
      private_ip:
        description: The primary private IP of a new VNIC. Without it, the service chooses one.
        type: str
      nsg_ids:
        description: The OCIDs of the network security groups of a new VNIC.
        type: list
        elements: str
      skip_source_dest_check:
        description:
          - Whether a new VNIC may forward. M(cloudvip.ha.oci_vnic) sets it for one that is there.
        type: bool
        default: false
      state:
        description: Whether the instance is to have the VNIC.
        type: str
        choices: [present, absent]
        default: present
      label:
        description: What error messages and results call the VNIC; the option's name and index by default.
        type: str
      vip:
        description: An IPv4 address that the VNIC is to carry. Nothing is attached when the subnet does not have it.
        type: str
notes:
  - The shape of an instance limits its number of VNICs.
seealso:
  - module: cloudvip.ha.oci_vnic_attachment_info
  - module: cloudvip.ha.oci_vnic
"""

EXAMPLES = r"""
- name: Give two routers a VNIC in the subnet of a POD
  cloudvip.ha.oci_vnic_attachment:
    compartment_id: ocid1.compartment.oc1..cccc
    attachments:
      - instance_id: ocid1.instance.oc1.iad.aaaa
        subnet_id: ocid1.subnet.oc1.iad.gggg
        display_name: pod1
        private_ip: 192.0.2.5
        skip_source_dest_check: true
        label: router1 pod1
      - instance_id: ocid1.instance.oc1.iad.bbbb
        subnet_id: ocid1.subnet.oc1.iad.gggg
        display_name: pod1
        private_ip: 192.0.2.6
        skip_source_dest_check: true
        label: router2 pod1

- name: Take a VNIC away
  cloudvip.ha.oci_vnic_attachment:
    compartment_id: ocid1.compartment.oc1..cccc
    attachments:
      - instance_id: ocid1.instance.oc1.iad.aaaa
        subnet_id: ocid1.subnet.oc1.iad.gggg
        display_name: pod1
        state: absent
"""

RETURN = r"""
vnics:
  description: The VNICs with O(attachments[].state=present), by label.
  returned: success
  type: dict
  contains:
    instance_id:
      description: The OCID of the instance.
      type: str
    subnet_id:
      description: The OCID of the subnet.
      type: str
    subnet_cidr:
      description: The IPv4 block of the subnet that the private IP is in.
      type: str
    vnic_id:
      description: The OCID of the VNIC. V(null) in check mode for one that would be attached.
      type: str
    display_name:
      description: Its name.
      type: str
    mac_address:
      description: Its MAC address, in lower case. V(null) in check mode for one that would be attached.
      type: str
    private_ip:
      description: Its primary private IP. V(null) in check mode where the service would choose one.
      type: str
  sample:
    router1 pod1:
      instance_id: ocid1.instance.oc1.iad.aaaa
      subnet_id: ocid1.subnet.oc1.iad.gggg
      subnet_cidr: 192.0.2.0/28
      vnic_id: ocid1.vnic.oc1.iad.eeee
      display_name: pod1
      mac_address: "02:00:17:00:00:01"
      private_ip: 192.0.2.5
"""

from collections.abc import Callable, Iterable, Sequence

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._oci import session
from ..module_utils._oci.compute import Compute
from ..module_utils._oci.errors import CloudError
from ..module_utils._oci.network import Network
from ..module_utils._oci.private_ip import PER_VNIC
from ..module_utils._oci.vnic_attachment import (
    Attach,
    AttachedVnic,
    Plan,
    Request,
    check_subnets,
    find,
    parse,
    plan,
    result,
)


def attached(compute: Compute, compartment_id: str, requests: Sequence[Request]) -> list[AttachedVnic]:
    """The VNICs that the instances have in the subnets asked for."""
    places = {(r.instance_id, r.subnet_id) for r in requests}
    return [
        compute.attached(attachment)
        for instance_id in dict.fromkeys(r.instance_id for r in requests)
        for attachment in compute.vnic_attachments(compartment_id, instance_id)
        if (instance_id, attachment.subnet_id) in places
    ]


def secondary(network: Network, vnics: Iterable[AttachedVnic]) -> dict[str, list[str]]:
    """The secondary addresses of VNICs, by OCID."""
    return {
        v.id: [p.address for family in PER_VNIC for p in network.private_ips_of_vnic(v.id, family) if not p.is_primary]
        for v in vnics
    }


def apply(compute: Compute, todo: Plan) -> list[AttachedVnic]:
    """Carry out a plan, all attachments at once. Returns the new VNICs. An error names its entry."""
    begun = []
    for action in todo.actions:
        try:
            if isinstance(action, Attach):
                begun.append(compute.attach_vnic(action.request))
            else:
                compute.detach_vnic(action.vnic)
        except CloudError as error:
            error.subject = action.request.label
            raise
    return [compute.attached(attachment) for attachment in begun]


def main(connect: Callable[[AnsibleModule], session.Cloud] = session.connect) -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=session.argument_spec(
            compartment_id={"type": "str", "required": True},
            attachments={
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "instance_id": {"type": "str", "required": True},
                    "subnet_id": {"type": "str", "required": True},
                    "display_name": {"type": "str", "required": True},
                    "private_ip": {"type": "str"},
                    "nsg_ids": {"type": "list", "elements": "str"},
                    "skip_source_dest_check": {"type": "bool", "default": False},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                    "label": {"type": "str"},
                    "vip": {"type": "str"},
                },
            },
        ),
        supports_check_mode=True,
    )
    with session.reported(module):
        requests = parse(module.params["attachments"])
        cloud = connect(module)
        compute = cloud.compute
        vnics = attached(compute, module.params["compartment_id"], requests)
        going = [vnic for r in requests if r.state == "absent" and (vnic := find(r, vnics))]
        todo = plan(requests, vnics, secondary(cloud.network, going))
        present = [r for r in requests if r.state == "present"]
        cidrs = {
            subnet_id: compute.subnet_cidrs(subnet_id) for subnet_id in dict.fromkeys(r.subnet_id for r in present)
        }
        check_subnets(present, cidrs)
        if not module.check_mode:
            vnics += apply(compute, todo)
        module.exit_json(
            changed=bool(todo.actions),
            diff={
                "before": {label: v for label, v in todo.before.items() if v is not None},
                "after": {label: v for label, v in todo.after.items() if v is not None},
            },
            vnics={r.label: result(r, find(r, vnics), cidrs[r.subnet_id]) for r in present},
        )


if __name__ == "__main__":
    main()

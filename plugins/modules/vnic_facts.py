#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module vnic_facts; see DOCUMENTATION."""

DOCUMENTATION = r"""
module: vnic_facts
short_description: Read a node's identity and VNICs from the metadata service of OCI
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Runs on the node and asks version 2 of the instance metadata service who the node is and which VNICs it has.
  - Each VNIC is matched to its Linux interface by MAC address, never by an index or a name.
  - Says of each VNIC whether its interface has its address now, and whether the role
    P(cloudvip.ha.vip_agent#role) configures it.
  - Needs Python, iproute2 and systemd on the node, and root once the role has written its configuration there.
extends_documentation_fragment: cloudvip.ha.attributes.info
attributes:
  facts:
    description: Returns facts of the host.
    support: full
options:
  metadata_url:
    description: Base address of the metadata service.
    type: str
    default: http://169.254.169.254/opc/v2
  timeout:
    description: Time that one attempt may take, in seconds.
    type: float
    default: 5.0
  retries:
    description: Attempts after the first one, one second apart.
    type: int
    default: 3
"""

EXAMPLES = r"""
- name: Learn the node's VNICs
  cloudvip.ha.vnic_facts:
"""

RETURN = r"""
ansible_facts:
  description: The facts.
  returned: success
  type: complex
  contains:
    cloudvip_vnic:
      description: The node in the cloud.
      returned: success
      type: dict
      contains:
        instance_id:
          description: OCID of the instance.
          type: str
        tenancy_id:
          description: OCID of the tenancy.
          type: str
        compartment_id:
          description: OCID of the instance's compartment.
          type: str
        region:
          description: Identifier of the region.
          type: str
          sample: eu-frankfurt-1
        realm_domain:
          description: Second part of the names of the region's API endpoints.
          type: str
          sample: oraclecloud.com
        availability_domain:
          description: Name of the availability domain.
          type: str
        network_managers:
          description: Those of NetworkManager and systemd-networkd that run on the node.
          type: list
          elements: str
          sample: [systemd-networkd]
        vnics:
          description: The VNICs, the primary one first.
          type: list
          elements: dict
          contains:
            vnic_id:
              description: OCID of the VNIC.
              type: str
            mac:
              description: MAC address in lower case.
              type: str
            private_ip:
              description: Primary private address.
              type: str
            subnet_cidr:
              description: The subnet of the VNIC.
              type: str
            ipv6_subnet_cidr:
              description: The IPv6 network of the subnet, null where it has none.
              type: str
            virtual_router_ip:
              description: The subnet's gateway.
              type: str
            interface:
              description: Linux interface with this MAC address, null where there is none.
              type: str
            addressed:
              description: Whether the primary private address is on the interface now.
              type: bool
            network_file:
              description: The file by which systemd-networkd configures the interface, null where it does not.
              type: str
              sample: /run/systemd/network/10-netplan-ens3.network
            permanent:
              description: Whether the interface was made with the MAC address. NetworkManager knows it by no other.
              type: bool
            owned:
              description:
                - Whether cloudvip configures the interface, by C(/etc/cloudvip/config.json) of the node.
                - Also whether it did, and its rule for the primary private address is still there.
              type: bool
            table:
              description: The routing table of an interface that cloudvip configures, else null.
              type: int
              sample: 7000
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _vnics


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "metadata_url": {"type": "str", "default": "http://169.254.169.254/opc/v2"},
            "timeout": {"type": "float", "default": 5.0},
            "retries": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    metadata = _vnics.Metadata(module.params["metadata_url"], module.params["timeout"], module.params["retries"])
    try:
        fact = _vnics.gather(metadata, _vnics.read_host())
    except (_vnics.MetadataError, _vnics.NodeError) as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(changed=False, ansible_facts={"cloudvip_vnic": fact})


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Two clouds to run the same tests against: one in memory, and the lab's server spoken to by the real SDK.

Both have the topology `vrouters`, administrator rights and nothing but the topology's VNICs.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any, Protocol

import oci
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.private_ip import PrivateIp, Route
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.retry import Patience
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.session import Cloud, Session

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from lab.cloud.state import RouteRule
from lab.cloud.testing import Running
from lab.topology import Topology, ocid
from tests.unit.plugins.worlds.compute import FakeCompute
from tests.unit.plugins.worlds.fake import Calls, Log
from tests.unit.plugins.worlds.identity import FakeIdentity
from tests.unit.plugins.worlds.network import FakeNetwork
from tests.unit.plugins.worlds.routing import FakeRouting
from tests.unit.plugins.worlds.security import FakeSecurity


class World(Protocol):
    """A cloud under test, and what happens to it behind the client's back."""

    topology: Topology
    cloud: Cloud

    def connect(self, _module: AnsibleModule) -> Cloud:
        """What a module's main() may be given to reach the cloud."""
        ...

    def vnic(self, node: str, interface: str) -> str:
        """The OCID of a VNIC."""
        ...

    def add(self, address: str, vnic_id: str, lifetime: str = "EPHEMERAL") -> str:
        """Create a private IP as someone else would, and return its OCID."""
        ...

    def move(self, private_ip_id: str, vnic_id: str) -> None:
        """Move a private IP as the cluster would."""
        ...

    def route(self, private_ip_id: str) -> None:
        """Have the route table of the subnet `transit` lead 198.51.100.0/24 to a private IP."""
        ...

    def publish(self, display_name: str, private_ip_id: str | None = None) -> str:
        """Create a reserved public IP as someone else would, and return its OCID."""
        ...

    def reserve_nothing(self) -> None:
        """From now on it is a region whose API does not know reserved private IPs."""
        ...

    def calls(self) -> Calls:
        """What the client asked since the last time: HTTP method and kind of object."""
        ...


def _vnic_id(topology: Topology, node: str, interface: str) -> str:
    return next(v.id for v in topology.instance(node).vnics if v.interface == interface)


class _Time:
    """Passes only while someone sleeps, and then at once."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class LabWorld:
    """The lab's server and the real SDK. Pauses take no time."""

    def __init__(self, lab: Running, topology: Topology) -> None:
        self.lab = lab
        self.topology = topology
        self.params: dict[str, Any] = {
            "config_file_location": str(lab.sdk_config_file),
            "config_profile_name": None,
            "auth_type": "api_key",
            "region": None,
            "endpoint": lab.url,
            "identity_endpoint": None,
            "ca_bundle": None,
        }
        self.cloud: Cloud = self.session()

    def session(self, **params: Any) -> Session:
        """Another session with other options."""
        time = _Time()
        return Session(oci, {**self.params, **params}, Patience(120, time.clock, time.sleep))

    def connect(self, _module: AnsibleModule) -> Cloud:
        return self.cloud

    def vnic(self, node: str, interface: str) -> str:
        return _vnic_id(self.topology, node, interface)

    def add(self, address: str, vnic_id: str, lifetime: Any = "EPHEMERAL") -> str:
        create = self.lab.cloud.create_ipv6 if ":" in address else self.lab.cloud.create_private_ip
        return self.lab.do(create(vnic_id=vnic_id, address=address, lifetime=lifetime)).id

    def move(self, private_ip_id: str, vnic_id: str) -> None:
        update = self.lab.cloud.update_ipv6 if ".ipv6." in private_ip_id else self.lab.cloud.update_private_ip
        self.lab.do(update(private_ip_id, {"vnic_id": vnic_id}))

    def route(self, private_ip_id: str) -> None:
        rule = RouteRule(IPv4Network("198.51.100.0/24"), private_ip_id)
        self.lab.do(self.lab.cloud.update_route_table(ocid("routetable", "transit"), [rule]))

    def publish(self, display_name: str, private_ip_id: str | None = None) -> str:
        return self.lab.do(self.lab.cloud.create_public_ip(private_ip_id, display_name)).id

    def reserve_nothing(self) -> None:
        self.lab.cloud.reserved_private_ips = False

    def calls(self) -> Calls:
        events = self.lab.call(self.lab.events.copy)
        self.lab.call(self.lab.events.clear)
        return [(e["method"], e["path"].split("/")[2]) for e in events]


class FakeWorld:
    """Everything in memory."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.fake = FakeCloud(topology)
        self.cloud: Cloud = self.fake

    def connect(self, _module: AnsibleModule) -> Cloud:
        return self.cloud

    def vnic(self, node: str, interface: str) -> str:
        return _vnic_id(self.topology, node, interface)

    def add(self, address: str, vnic_id: str, lifetime: str = "EPHEMERAL") -> str:
        network = self.fake.network
        subnet_id = network.vnics[vnic_id].subnet_id
        return network.store(PrivateIp("", address, subnet_id, vnic_id, False, lifetime, "someone's")).id

    def move(self, private_ip_id: str, vnic_id: str) -> None:
        ips = self.fake.network.ips
        ips[private_ip_id] = replace(ips[private_ip_id], vnic_id=vnic_id)

    def route(self, private_ip_id: str) -> None:
        table = ocid("routetable", "transit")
        self.fake.network.rules.append(Route(table, "transit", "198.51.100.0/24", private_ip_id))

    def publish(self, display_name: str, private_ip_id: str | None = None) -> str:
        return self.fake.network.create_public_ip(COMPARTMENT_ID, private_ip_id, display_name, {}).id

    def reserve_nothing(self) -> None:
        self.fake.network.reserving = False

    def calls(self) -> Calls:
        calls, self.fake.log.calls = self.fake.log.calls, []
        return calls


class FakeCloud:
    """`Cloud` in memory."""

    def __init__(self, topology: Topology) -> None:
        self.tenancy_id = TENANCY_ID
        self.log = Log()
        self.network = FakeNetwork(topology, self.log)
        self.compute = FakeCompute(topology, self.network, self.log)
        self.routing = FakeRouting(topology, self.network, self.log)
        self.identity = FakeIdentity(self.log)
        self.security = FakeSecurity(topology, self.log)

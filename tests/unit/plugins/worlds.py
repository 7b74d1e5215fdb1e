# SPDX-License-Identifier: GPL-3.0-or-later
"""Two clouds to run the same tests against: one in memory, and the lab's server spoken to by the real SDK.

Both have the topology `vrouters`, administrator rights and nothing but the topology's VNICs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import oci
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.dynamic_group import DynamicGroup
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import CloudError, Kind
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.policy import Policy
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.private_ip import PrivateIp
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.retry import Patience
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.session import Cloud, Session
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.vnic import Vnic

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from lab.cloud.testing import Running
from lab.topology import Topology

Calls = list[tuple[str, str]]


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
        made = self.lab.cloud.create_private_ip(vnic_id=vnic_id, address=address, lifetime=lifetime)
        return self.lab.do(made).id

    def move(self, private_ip_id: str, vnic_id: str) -> None:
        self.lab.do(self.lab.cloud.update_private_ip(private_ip_id, {"vnic_id": vnic_id}))

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
        subnet_id = self.fake.vnics[vnic_id].subnet_id
        return self.fake.store(PrivateIp("", address, subnet_id, vnic_id, False, lifetime, "someone's")).id

    def move(self, private_ip_id: str, vnic_id: str) -> None:
        self.fake.ips[private_ip_id] = replace(self.fake.ips[private_ip_id], vnic_id=vnic_id)

    def calls(self) -> Calls:
        calls, self.fake.log = self.fake.log, []
        return calls


class FakeCloud:
    """`Cloud`, `Network` and `Identity` in one."""

    def __init__(self, topology: Topology) -> None:
        self.tenancy_id = TENANCY_ID
        self.log: Calls = []
        self._serial = itertools.count(1)
        self.vnics: dict[str, Vnic] = {}
        self.ips: dict[str, PrivateIp] = {}
        self.groups: dict[str, DynamicGroup] = {}
        self.policies: dict[str, Policy] = {}
        for instance in topology.instances:
            for spec in instance.vnics:
                subnet_id = topology.subnet(spec.subnet).id
                self.vnics[spec.id] = Vnic(spec.id, subnet_id, spec.interface, False)
                self.store(PrivateIp("", str(spec.address), subnet_id, spec.id, True, "EPHEMERAL", instance.name))

    @property
    def network(self) -> FakeCloud:
        return self

    @property
    def identity(self) -> FakeCloud:
        return self

    def store(self, private_ip: PrivateIp) -> PrivateIp:
        private_ip = replace(private_ip, id=f"ocid1.privateip.fake..{next(self._serial)}")
        self.ips[private_ip.id] = private_ip
        return private_ip

    def vnic(self, vnic_id: str) -> Vnic:
        self.log.append(("GET", "vnics"))
        vnic: Vnic = self._found("GetVnic", self.vnics, vnic_id)
        return vnic

    def set_skip_source_dest_check(self, vnic_id: str, skip: bool) -> Vnic:
        self.log.append(("PUT", "vnics"))
        self.vnics[vnic_id] = replace(self._found("UpdateVnic", self.vnics, vnic_id), skip_source_dest_check=skip)
        return self.vnics[vnic_id]

    def private_ips(self, subnet_id: str) -> list[PrivateIp]:
        self.log.append(("GET", "privateIps"))
        if all(v.subnet_id != subnet_id for v in self.vnics.values()):
            raise _error("ListPrivateIps", "absent", 404)
        return [p for p in self.ips.values() if p.subnet_id == subnet_id]

    def reserve_private_ip(
        self, subnet_id: str, address: str, display_name: str | None, tags: Mapping[str, str]
    ) -> PrivateIp:
        self.log.append(("POST", "privateIps"))
        if any(p.address == address and p.subnet_id == subnet_id for p in self.ips.values()):
            raise _error("CreatePrivateIp", "refused", 409)
        name = display_name or "privateip2026"
        return self.store(PrivateIp("", address, subnet_id, None, False, "RESERVED", name, dict(tags)))

    def update_private_ip(self, private_ip_id: str, changes: Mapping[str, Any]) -> PrivateIp:
        self.log.append(("PUT", "privateIps"))
        found = self._found("UpdatePrivateIp", self.ips, private_ip_id)
        if found.is_primary:
            raise _error("UpdatePrivateIp", "refused", 400)
        self.ips[private_ip_id] = replace(found, **changes)
        return self.ips[private_ip_id]

    def delete_private_ip(self, private_ip: PrivateIp) -> None:
        if private_ip.lifetime == "RESERVED" and private_ip.vnic_id is not None:
            self.log.append(("POST", "privateIps"))
        self.log.append(("DELETE", "privateIps"))
        self.ips.pop(private_ip.id, None)

    def dynamic_group(self, compartment_id: str, name: str) -> DynamicGroup | None:
        assert compartment_id == TENANCY_ID
        self.log.append(("GET", "dynamicGroups"))
        found = next((g for g in self.groups.values() if g.name == name), None)
        if found is not None:
            self.log.append(("GET", "dynamicGroups"))
        return found

    def create_dynamic_group(self, compartment_id: str, name: str, fields: Mapping[str, Any]) -> DynamicGroup:
        assert compartment_id == TENANCY_ID
        self.log.append(("POST", "dynamicGroups"))
        if any(g.name == name for g in self.groups.values()):
            raise _error("CreateDynamicGroup", "refused", 409)
        key = f"ocid1.dynamicgroup.fake..{next(self._serial)}"
        self.groups[key] = DynamicGroup(id=key, name=name, lifecycle_state="ACTIVE", etag=self._etag(), **fields)
        return self.groups[key]

    def update_dynamic_group(self, group: DynamicGroup, changes: Mapping[str, Any]) -> DynamicGroup:
        self.log.append(("PUT", "dynamicGroups"))
        current = self._unchanged("UpdateDynamicGroup", self.groups, group)
        self.groups[group.id] = replace(current, etag=self._etag(), **changes)
        return self.groups[group.id]

    def delete_dynamic_group(self, group: DynamicGroup) -> None:
        self.log.append(("DELETE", "dynamicGroups"))
        if group.id in self.groups:
            self._unchanged("DeleteDynamicGroup", self.groups, group)
            del self.groups[group.id]

    def policy(self, compartment_id: str, name: str) -> Policy | None:
        self.log.append(("GET", "policies"))
        found = (p for p in self.policies.values() if p.name == name and p.compartment_id == compartment_id)
        policy = next(found, None)
        if policy is not None:
            self.log.append(("GET", "policies"))
        return policy

    def create_policy(self, compartment_id: str, name: str, fields: Mapping[str, Any]) -> Policy:
        self.log.append(("POST", "policies"))
        if compartment_id not in (TENANCY_ID, COMPARTMENT_ID):
            raise _error("CreatePolicy", "absent", 404)
        if any(p.name == name for p in self.policies.values()):
            raise _error("CreatePolicy", "refused", 409)
        key = f"ocid1.policy.fake..{next(self._serial)}"
        statements = tuple(fields["statements"])
        self.policies[key] = Policy(
            key, compartment_id, name, fields["description"], statements, "ACTIVE", self._etag()
        )
        return self.policies[key]

    def update_policy(self, policy: Policy, changes: Mapping[str, Any]) -> Policy:
        self.log.append(("PUT", "policies"))
        current = self._unchanged("UpdatePolicy", self.policies, policy)
        changes = {k: tuple(v) if k == "statements" else v for k, v in changes.items()}
        self.policies[policy.id] = replace(current, etag=self._etag(), **changes)
        return self.policies[policy.id]

    def delete_policy(self, policy: Policy) -> None:
        self.log.append(("DELETE", "policies"))
        if policy.id in self.policies:
            self._unchanged("DeletePolicy", self.policies, policy)
            del self.policies[policy.id]

    def _etag(self) -> str:
        return f"etag-{next(self._serial)}"

    @staticmethod
    def _found(operation: str, records: Mapping[str, Any], key: str) -> Any:
        if key not in records:
            raise _error(operation, "absent", 404)
        return records[key]

    def _unchanged(self, operation: str, records: Mapping[str, Any], read: DynamicGroup | Policy) -> Any:
        current = self._found(operation, records, read.id)
        if current.etag != read.etag:
            raise _error(operation, "changed", 412)
        return current


def _error(operation: str, kind: Kind, status: int) -> CloudError:
    return CloudError(operation, kind, status, "Fake", "as the real one would")

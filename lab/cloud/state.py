# SPDX-License-Identifier: GPL-3.0-or-later
"""The control plane's records and every change that can be made to them.

A change is checked, becomes a new state, is carried out by the `Effects`, and only then answered. When the effects
fail, the state is as it was before.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Literal, Protocol, TypeVar

from lab.cloud import policy
from lab.cloud.errors import ApiError, incorrect_state, invalid, missing, no_etag_match, not_found
from lab.cloud.names import COMPARTMENT_ID, COMPARTMENT_NAME, TENANCY_ID, TENANCY_NAME, availability_domain
from lab.fabric.view import Floating, Port, Rule, SubnetView, View
from lab.topology import Topology, ocid

ADDRESSES_PER_VNIC = 64
"""The primary one counts."""
IPV6_PER_VNIC = 32
PUBLIC_IPS = 50
"""Reserved ones, in the region."""
_PUBLIC = IPv4Network("203.0.113.0/24")

Action = Literal["START", "STOP", "SOFTSTOP", "RESET", "SOFTRESET"]
Lifetime = Literal["EPHEMERAL", "RESERVED"]
_FROM_STATE: dict[Action, tuple[str, str]] = {
    "START": ("STOPPED", "STARTING"),
    "STOP": ("RUNNING", "STOPPING"),
    "SOFTSTOP": ("RUNNING", "STOPPING"),
    "RESET": ("RUNNING", "STOPPING"),
    "SOFTRESET": ("RUNNING", "STOPPING"),
}


class Effects(Protocol):
    """What the control plane has done to the world."""

    async def apply(self, view: View) -> None:
        """Make the data plane what `view` says. Returns when it is in force; an exception undoes the change."""

    async def power(self, instance: str, action: Action) -> None:
        """Begin a power action. The outcome is reported by `Cloud.set_instance_state`."""


class NullEffects:
    """A world that does as it is told and keeps a record, for tests."""

    def __init__(self) -> None:
        self.views: list[View] = []
        self.actions: list[tuple[str, str]] = []

    async def apply(self, view: View) -> None:
        self.views.append(view)

    async def power(self, instance: str, action: Action) -> None:
        self.actions.append((instance, action))


def _etag() -> str:
    return secrets.token_hex(16)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Tags = Mapping[str, Any]


@dataclass(frozen=True)
class Instance:
    id: str
    name: str
    availability_domain: str
    lifecycle_state: str
    time_created: str
    etag: str = field(default_factory=_etag)


@dataclass(frozen=True)
class Subnet:
    id: str
    name: str
    cidr: IPv4Network
    gateway: IPv4Address
    ipv6: IPv6Network | None
    route_table_id: str
    time_created: str
    etag: str = field(default_factory=_etag)


@dataclass(frozen=True)
class Vnic:
    id: str
    instance_id: str
    instance: str
    interface: str
    index: int
    mac: str
    subnet_id: str
    address: IPv4Address
    availability_domain: str
    display_name: str
    time_created: str
    skip_source_dest_check: bool = False
    hostname_label: str | None = None
    freeform_tags: Tags = field(default_factory=dict)
    defined_tags: Tags = field(default_factory=dict)
    etag: str = field(default_factory=_etag)

    @property
    def is_primary(self) -> bool:
        return self.index == 0


@dataclass(frozen=True)
class VnicAttachment:
    id: str
    instance_id: str
    vnic_id: str
    subnet_id: str
    nic_index: int
    availability_domain: str
    time_created: str
    etag: str = field(default_factory=_etag)


@dataclass(frozen=True)
class PrivateIp:
    """`vnic_id` is None for a reserved one that is not assigned."""

    id: str
    subnet_id: str
    vnic_id: str | None
    address: IPv4Address
    is_primary: bool
    lifetime: Lifetime
    availability_domain: str | None
    display_name: str
    time_created: str
    hostname_label: str | None = None
    freeform_tags: Tags = field(default_factory=dict)
    defined_tags: Tags = field(default_factory=dict)
    etag: str = field(default_factory=_etag)


@dataclass(frozen=True)
class Ipv6:
    """`vnic_id` is None for a reserved one that is not assigned."""

    id: str
    subnet_id: str
    vnic_id: str | None
    address: IPv6Address
    lifetime: Lifetime
    display_name: str
    time_created: str
    hostname: str | None = None
    freeform_tags: Tags = field(default_factory=dict)
    defined_tags: Tags = field(default_factory=dict)
    etag: str = field(default_factory=_etag)


@dataclass(frozen=True)
class PublicIp:
    """A reserved public IP; `private_ip_id` is None while it is assigned to nothing.

    It points at the private IP's object, so it is wherever that is without anybody moving it.
    """

    id: str
    address: IPv4Address
    private_ip_id: str | None
    display_name: str
    time_created: str
    freeform_tags: Tags = field(default_factory=dict)
    defined_tags: Tags = field(default_factory=dict)
    etag: str = field(default_factory=_etag)


@dataclass(frozen=True)
class RouteRule:
    destination: IPv4Network
    network_entity_id: str
    description: str | None = None


@dataclass(frozen=True)
class Unbound:
    """A rule of the topology that waits for the first private IP at `via`."""

    destination: IPv4Network
    via: IPv4Address


@dataclass(frozen=True)
class RouteTable:
    id: str
    subnet: str
    rules: tuple[RouteRule, ...]
    unbound: tuple[Unbound, ...]
    time_created: str
    etag: str = field(default_factory=_etag)


@dataclass(frozen=True)
class DynamicGroup:
    id: str
    name: str
    description: str
    matching_rule: str
    time_created: str
    freeform_tags: Tags = field(default_factory=dict)
    defined_tags: Tags = field(default_factory=dict)
    etag: str = field(default_factory=_etag)


@dataclass(frozen=True)
class Policy:
    id: str
    compartment_id: str
    name: str
    description: str
    statements: tuple[str, ...]
    version_date: str | None
    time_created: str
    freeform_tags: Tags = field(default_factory=dict)
    defined_tags: Tags = field(default_factory=dict)
    etag: str = field(default_factory=_etag)


@dataclass(frozen=True)
class _State:
    vnics: Mapping[str, Vnic]
    private_ips: Mapping[str, PrivateIp]
    route_tables: Mapping[str, RouteTable]
    ipv6s: Mapping[str, Ipv6] = field(default_factory=dict)
    public_ips: Mapping[str, PublicIp] = field(default_factory=dict)
    dynamic_groups: Mapping[str, DynamicGroup] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)


_Record = TypeVar("_Record", Instance, Vnic, PrivateIp, Ipv6, PublicIp, RouteTable, DynamicGroup, Policy)


def _find(records: Mapping[str, _Record], key: str, if_match: str | None = None) -> _Record:
    record = records.get(key)
    if record is None:
        raise not_found()
    if if_match is not None and if_match != record.etag:
        raise no_etag_match()
    return record


def _changed(record: _Record, **changes: Any) -> _Record:
    return replace(record, **changes, etag=_etag())


def _with(records: Mapping[str, _Record], *changed: _Record) -> dict[str, _Record]:
    return {**records, **{r.id: r for r in changed}}


def _without(records: Mapping[str, _Record], key: str) -> dict[str, _Record]:
    return {k: r for k, r in records.items() if k != key}


class Cloud:
    """The emulated tenancy.

    Reading is free; the coroutines change something and raise ApiError when the change is refused. All of it belongs to
    one event loop. `on_event` gets a dict for every request that the API, the federation and the metadata service
    answer (see lab.cloud.http).
    """

    def __init__(
        self, topology: Topology, effects: Effects, on_event: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        self.topology = topology
        self.effects = effects
        self.on_event = on_event or (lambda _event: None)
        self._lock = asyncio.Lock()
        self._asked = self._in_force = self._undone = 0
        self._failure = Exception()
        self._created = _now()
        self.vcn_id = ocid("vcn", topology.name)
        self.vcn_etag = _etag()
        self.subnets: dict[str, Subnet] = {
            s.id: Subnet(s.id, s.name, s.cidr, s.gateway, s.ipv6, ocid("routetable", s.name), self._created)
            for s in topology.subnets
        }
        self.instances: dict[str, Instance] = {
            i.id: Instance(i.id, i.name, availability_domain(i.availability_domain), "RUNNING", self._created)
            for i in topology.instances
        }
        self.attachments: dict[str, VnicAttachment] = {}
        self._state = self._network = self._fresh()
        for vnic in self._state.vnics.values():
            key = ocid("vnicattachment", vnic.id)
            self.attachments[key] = VnicAttachment(
                key, vnic.instance_id, vnic.id, vnic.subnet_id, vnic.index, vnic.availability_domain, self._created
            )

    def _fresh(self) -> _State:
        subnet_ids = {s.name: s.id for s in self.subnets.values()}
        vnics: dict[str, Vnic] = {}
        private_ips: dict[str, PrivateIp] = {}
        for instance in self.topology.instances:
            domain = availability_domain(instance.availability_domain)
            for index, spec in enumerate(instance.vnics):
                name = instance.name if index == 0 else f"{instance.name}-{spec.interface}"
                vnics[spec.id] = Vnic(
                    spec.id,
                    instance.id,
                    instance.name,
                    spec.interface,
                    index,
                    spec.mac,
                    subnet_ids[spec.subnet],
                    spec.address,
                    domain,
                    name,
                    self._created,
                )
                primary = PrivateIp(
                    ocid("privateip", spec.id),
                    subnet_ids[spec.subnet],
                    spec.id,
                    spec.address,
                    True,
                    "EPHEMERAL",
                    domain,
                    name,
                    self._created,
                )
                private_ips[primary.id] = primary
        tables = {}
        for subnet in self.topology.subnets:
            table = RouteTable(
                ocid("routetable", subnet.name),
                subnet.name,
                (),
                tuple(Unbound(r.destination, r.via) for r in subnet.routes),
                self._created,
            )
            for record in private_ips.values():
                table = _bind(table, record)
            tables[table.id] = table
        return _State(vnics, private_ips, tables)

    # ---- reading ----

    @property
    def vnics(self) -> Mapping[str, Vnic]:
        return self._state.vnics

    @property
    def private_ips(self) -> Mapping[str, PrivateIp]:
        return self._state.private_ips

    @property
    def ipv6s(self) -> Mapping[str, Ipv6]:
        return self._state.ipv6s

    @property
    def public_ips(self) -> Mapping[str, PublicIp]:
        return self._state.public_ips

    @property
    def route_tables(self) -> Mapping[str, RouteTable]:
        return self._state.route_tables

    @property
    def dynamic_groups(self) -> Mapping[str, DynamicGroup]:
        return self._state.dynamic_groups

    @property
    def policies(self) -> Mapping[str, Policy]:
        return self._state.policies

    @property
    def time_created(self) -> str:
        return self._created

    def instance_named(self, name: str) -> Instance:
        """Raises KeyError."""
        return self.instances[self.topology.instance(name).id]

    def instance_at(self, address: str) -> str | None:
        """The name of the instance that the cloud delivers this address to, if any."""
        for record in self._state.private_ips.values():
            if str(record.address) == address and record.vnic_id is not None:
                return self._state.vnics[record.vnic_id].instance
        return None

    def view(self) -> View:
        """The data plane that the state asks for."""
        names = {s.id: s.name for s in self.subnets.values()}
        return View(
            tuple(SubnetView(s.name, s.cidr, s.gateway) for s in self.subnets.values()),
            tuple(
                Port(v.id, v.instance, v.interface, v.mac, v.address, names[v.subnet_id], v.skip_source_dest_check)
                for v in self._state.vnics.values()
            ),
            tuple(Floating(p.id, p.address, p.vnic_id) for p in self._state.private_ips.values() if not p.is_primary),
            tuple(
                Rule(t.subnet, r.destination, r.network_entity_id)
                for t in self._state.route_tables.values()
                for r in t.rules
            ),
        )

    def groups_of(self, instance: Instance) -> frozenset[tuple[str, str]]:
        """The dynamic groups that the instance is in now, as (OCID, name)."""
        variables = {
            "instance.id": instance.id,
            "instance.compartment.id": COMPARTMENT_ID,
            "resource.id": instance.id,
            "resource.type": "instance",
            "resource.compartment.id": COMPARTMENT_ID,
        }
        return frozenset(
            (g.id, g.name)
            for g in self._state.dynamic_groups.values()
            if policy.parse_rule(g.matching_rule).holds(variables)
        )

    def permitted(self, instance: Instance, permission: str, compartment_id: str, variables: Mapping[str, str]) -> bool:
        """Whether the policies let the instance use the permission on something in that compartment."""
        inside = ((COMPARTMENT_ID, COMPARTMENT_NAME),) if compartment_id == COMPARTMENT_ID else ()
        above = ((TENANCY_ID, TENANCY_NAME), *inside)
        request = policy.Request(permission, self.groups_of(instance), above, variables)
        return any(
            policy.permitted([policy.parse_statement(s) for s in p.statements], request)
            for p in self._state.policies.values()
        )

    # ---- network ----

    async def _commit(self, state: _State) -> None:
        """Have the network of `state` in force.

        What is asked for while a round of changes is being carried out makes up the next round: a burst of moves costs
        a few rounds, not one each. When a round fails, every change that is not in force yet is undone and its request
        fails.
        """
        self._state = state
        self._asked += 1
        mine = self._asked
        async with self._lock:
            if mine <= self._in_force:
                return
            if mine <= self._undone:
                raise self._failure
            asked, network = self._asked, self._state
            try:
                await self.effects.apply(self.view())
            except Exception as error:
                self._undone, self._failure = self._asked, error
                self._state = replace(
                    self._state,
                    vnics=self._network.vnics,
                    private_ips=self._network.private_ips,
                    route_tables=self._network.route_tables,
                )
                raise
            self._in_force, self._network = asked, network

    async def update_vnic(self, vnic_id: str, changes: Mapping[str, Any], if_match: str | None = None) -> Vnic:
        """`changes` are fields of Vnic."""
        vnic = _changed(_find(self._state.vnics, vnic_id, if_match), **changes)
        await self._commit(replace(self._state, vnics=_with(self._state.vnics, vnic)))
        return vnic

    async def create_private_ip(
        self,
        *,
        vnic_id: str | None = None,
        subnet_id: str | None = None,
        address: str | None = None,
        lifetime: Lifetime | None = None,
        display_name: str | None = None,
        hostname_label: str | None = None,
        freeform_tags: Tags | None = None,
        defined_tags: Tags | None = None,
    ) -> PrivateIp:
        """A secondary private IP, on a VNIC or (reserved) only in a subnet; without an address the cloud picks one."""
        subnet, lifetime = self._place(vnic_id, subnet_id, lifetime)
        if vnic_id:
            _check_room(vnic_id, self._state.private_ips.values(), ADDRESSES_PER_VNIC)
        chosen = self._address(subnet, address)
        record = PrivateIp(
            ocid("privateip", f"{chosen}/{secrets.token_hex(8)}"),
            subnet.id,
            vnic_id,
            chosen,
            False,
            lifetime,
            None,
            display_name or _name("privateip"),
            _now(),
            hostname_label,
            freeform_tags or {},
            defined_tags or {},
        )
        tables = {k: _bind(t, record) for k, t in self._state.route_tables.items()}
        private_ips = _with(self._state.private_ips, record)
        await self._commit(replace(self._state, private_ips=private_ips, route_tables=tables))
        return record

    def _place(self, vnic_id: str | None, subnet_id: str | None, lifetime: Lifetime | None) -> tuple[Subnet, Lifetime]:
        """Where a new address is to be, and for how long. Raises ApiError."""
        if vnic_id is None and subnet_id is None:
            raise missing("This request is missing one of the following arguments: subnetId, vnicId, vlanId.")
        vnic = None if vnic_id is None else _find(self._state.vnics, vnic_id)
        subnet = self.subnets.get(vnic.subnet_id if vnic else str(subnet_id))
        if subnet is None:
            raise not_found()
        if subnet_id is not None and subnet_id != subnet.id:
            raise invalid(f"The VNIC {vnic_id} is not in the subnet {subnet_id}.")
        lifetime = lifetime or ("EPHEMERAL" if vnic else "RESERVED")
        if vnic is None and lifetime != "RESERVED":
            raise invalid(_NOT_RESERVED)
        return subnet, lifetime

    def _check_move(
        self, record: PrivateIp | Ipv6, changes: Mapping[str, Any], others: Iterable[PrivateIp | Ipv6], limit: int
    ) -> None:
        vnic_id = changes.get("vnic_id", record.vnic_id)
        if vnic_id is not None and vnic_id != record.vnic_id:
            if _find(self._state.vnics, vnic_id).subnet_id != record.subnet_id:
                raise invalid(f"The VNIC {vnic_id} is not in the subnet {record.subnet_id} of the private IP.")
            _check_room(vnic_id, others, limit)
        if vnic_id is None and changes.get("lifetime") == "EPHEMERAL":
            raise invalid(_NOT_RESERVED)

    def _address(self, subnet: Subnet, wanted: str | None) -> IPv4Address:
        used = {p.address for p in self._state.private_ips.values() if p.subnet_id == subnet.id}
        # A subnet's first two addresses and its last one belong to the cloud.
        first, last = subnet.gateway + 1, subnet.cidr.broadcast_address - 1
        if wanted is None:
            candidates = (IPv4Address(n) for n in range(int(first), int(last) + 1))
            free = next((a for a in candidates if a not in used), None)
            if free is None:
                raise ApiError(400, "LimitExceeded", f"The subnet {subnet.id} has no free private IP.")
            return free
        try:
            address = IPv4Address(wanted)
        except ValueError as error:
            raise invalid(f"{wanted!r} is not an IPv4 address.") from error
        if not first <= address <= last:
            raise invalid(f"The private IP {address} is not an available address of the subnet's CIDR {subnet.cidr}.")
        if address in used:
            raise ApiError(409, "Conflict", f"The private IP {address} is already in use in the subnet {subnet.id}.")
        return address

    def _secondary(self, private_ip_id: str, if_match: str | None, verb: str) -> PrivateIp:
        record = _find(self._state.private_ips, private_ip_id, if_match)
        if record.is_primary:
            raise invalid(f"The private IP {record.id} is the primary one of its VNIC and cannot be {verb}.")
        return record

    async def update_private_ip(
        self, private_ip_id: str, changes: Mapping[str, Any], if_match: str | None = None
    ) -> PrivateIp:
        """`changes` are fields of PrivateIp; `vnic_id` moves it, from wherever it is, within its subnet."""
        record = self._secondary(private_ip_id, if_match, "updated")
        self._check_move(record, changes, self._state.private_ips.values(), ADDRESSES_PER_VNIC)
        record = _changed(record, **changes)
        await self._commit(replace(self._state, private_ips=_with(self._state.private_ips, record)))
        return record

    async def detach_private_ip(self, private_ip_id: str, if_match: str | None = None) -> PrivateIp:
        """Take a reserved private IP off its VNIC and keep it."""
        record = self._secondary(private_ip_id, if_match, "detached")
        _check_detach(record)
        record = _changed(record, vnic_id=None)
        await self._commit(replace(self._state, private_ips=_with(self._state.private_ips, record)))
        return record

    async def delete_private_ip(self, private_ip_id: str, if_match: str | None = None) -> None:
        """Unassign and delete. Route rules that point at it stay and are black holes."""
        record = self._secondary(private_ip_id, if_match, "deleted")
        await self._commit(replace(self._state, private_ips=_without(self._state.private_ips, record.id)))
        orphans = [_changed(p, private_ip_id=None) for p in self.public_ips.values() if p.private_ip_id == record.id]
        self._state = replace(self._state, public_ips=_with(self._state.public_ips, *orphans))

    # IPv6 and public addresses exist in the API only: the fabric has nothing to do for them.

    async def create_ipv6(
        self,
        *,
        vnic_id: str | None = None,
        subnet_id: str | None = None,
        address: str | None = None,
        lifetime: Lifetime | None = None,
        display_name: str | None = None,
        hostname: str | None = None,
        freeform_tags: Tags | None = None,
        defined_tags: Tags | None = None,
    ) -> Ipv6:
        """An IPv6 address, on a VNIC or (reserved) only in a subnet; without an address the cloud picks one."""
        subnet, lifetime = self._place(vnic_id, subnet_id, lifetime)
        if vnic_id:
            _check_room(vnic_id, self._state.ipv6s.values(), IPV6_PER_VNIC)
        chosen = self._ipv6_address(subnet, address)
        record = Ipv6(
            ocid("ipv6", f"{chosen}/{secrets.token_hex(8)}"),
            subnet.id,
            vnic_id,
            chosen,
            lifetime,
            display_name or _name("ipv6"),
            _now(),
            hostname,
            freeform_tags or {},
            defined_tags or {},
        )
        self._state = replace(self._state, ipv6s=_with(self._state.ipv6s, record))
        return record

    def _ipv6_address(self, subnet: Subnet, wanted: str | None) -> IPv6Address:
        if subnet.ipv6 is None:
            raise invalid(f"The subnet {subnet.id} is not enabled for IPv6.")
        if wanted is None:
            return subnet.ipv6[secrets.randbits(64)]
        try:
            address = IPv6Address(wanted)
        except ValueError as error:
            raise invalid(f"{wanted!r} is not an IPv6 address.") from error
        if address not in subnet.ipv6:
            raise invalid(f"The IPv6 {address} is not in the subnet's prefix {subnet.ipv6}.")
        if any(p.address == address for p in self._state.ipv6s.values()):
            raise ApiError(409, "Conflict", f"The IPv6 {address} is already in use in the subnet {subnet.id}.")
        return address

    async def update_ipv6(self, ipv6_id: str, changes: Mapping[str, Any], if_match: str | None = None) -> Ipv6:
        """`changes` are fields of Ipv6; `vnic_id` moves it, from wherever it is, within its subnet."""
        record = _find(self._state.ipv6s, ipv6_id, if_match)
        self._check_move(record, changes, self._state.ipv6s.values(), IPV6_PER_VNIC)
        record = _changed(record, **changes)
        self._state = replace(self._state, ipv6s=_with(self._state.ipv6s, record))
        return record

    async def detach_ipv6(self, ipv6_id: str, if_match: str | None = None) -> Ipv6:
        """Take a reserved IPv6 off its VNIC and keep it."""
        record = _find(self._state.ipv6s, ipv6_id, if_match)
        _check_detach(record)
        record = _changed(record, vnic_id=None)
        self._state = replace(self._state, ipv6s=_with(self._state.ipv6s, record))
        return record

    async def delete_ipv6(self, ipv6_id: str, if_match: str | None = None) -> None:
        """Unassign and delete. Raises ApiError: 404 when there is none, 412 when it has another ETag."""
        record = _find(self._state.ipv6s, ipv6_id, if_match)
        self._state = replace(self._state, ipv6s=_without(self._state.ipv6s, record.id))

    async def create_public_ip(
        self,
        private_ip_id: str | None = None,
        display_name: str | None = None,
        freeform_tags: Tags | None = None,
        defined_tags: Tags | None = None,
    ) -> PublicIp:
        """A reserved public IP; the cloud picks the address."""
        self._check_assignment(private_ip_id)
        used = {p.address for p in self.public_ips.values()}
        if len(used) >= PUBLIC_IPS:
            raise ApiError(400, "LimitExceeded", f"The region has the maximum number of public IPs ({PUBLIC_IPS}).")
        address = next(a for a in _PUBLIC.hosts() if a not in used)
        record = PublicIp(
            ocid("publicip", f"{address}/{secrets.token_hex(8)}"),
            address,
            private_ip_id,
            display_name or _name("publicip"),
            _now(),
            freeform_tags or {},
            defined_tags or {},
        )
        self._state = replace(self._state, public_ips=_with(self._state.public_ips, record))
        return record

    def _check_assignment(self, private_ip_id: str | None) -> None:
        if private_ip_id is None:
            return
        _find(self._state.private_ips, private_ip_id)
        if any(p.private_ip_id == private_ip_id for p in self.public_ips.values()):
            raise ApiError(409, "Conflict", f"The private IP {private_ip_id} already has a public IP.")

    async def update_public_ip(
        self, public_ip_id: str, changes: Mapping[str, Any], if_match: str | None = None
    ) -> PublicIp:
        """`changes` are fields of PublicIp; `private_ip_id` None unassigns it."""
        record = _find(self._state.public_ips, public_ip_id, if_match)
        if changes.get("private_ip_id") != record.private_ip_id:
            self._check_assignment(changes.get("private_ip_id"))
        record = _changed(record, **changes)
        self._state = replace(self._state, public_ips=_with(self._state.public_ips, record))
        return record

    async def delete_public_ip(self, public_ip_id: str, if_match: str | None = None) -> None:
        """Unassign and delete. Raises ApiError: 404 when there is none, 412 when it has another ETag."""
        record = _find(self._state.public_ips, public_ip_id, if_match)
        self._state = replace(self._state, public_ips=_without(self._state.public_ips, record.id))

    async def update_route_table(
        self, table_id: str, rules: Iterable[RouteRule], if_match: str | None = None
    ) -> RouteTable:
        """Replace the rules, those of the topology included that are bound or still wait."""
        table = _find(self._state.route_tables, table_id, if_match)
        rules = tuple(rules)
        for rule in rules:
            # A rule that is there already may point at a private IP that is gone.
            if rule.network_entity_id not in self._state.private_ips and not any(
                rule.network_entity_id == r.network_entity_id for r in table.rules
            ):
                raise not_found()
        if len({r.destination for r in rules}) != len(rules):
            raise invalid("A route table cannot have two rules with the same destination.")
        table = _changed(table, rules=rules, unbound=())
        await self._commit(replace(self._state, route_tables=_with(self._state.route_tables, table)))
        return table

    # ---- instances ----

    async def instance_action(self, instance_id: str, action: Action, if_match: str | None = None) -> Instance:
        """Begin a power action and return the instance as it is then: in transition."""
        instance = _find(self.instances, instance_id, if_match)
        needed, next_state = _FROM_STATE[action]
        if instance.lifecycle_state != needed:
            raise incorrect_state(
                f"The action {action} needs the instance {instance.id} to be {needed}, not {instance.lifecycle_state}."
            )
        begun = self.set_instance_state(instance.name, next_state)
        try:
            await self.effects.power(instance.name, action)
        except BaseException:
            self.set_instance_state(instance.name, instance.lifecycle_state)
            raise
        return begun

    def set_instance_state(self, name: str, state: str) -> Instance:
        """Record what became of an instance: RUNNING, STOPPED, STARTING, STOPPING. Raises KeyError."""
        instance = _changed(self.instance_named(name), lifecycle_state=state)
        self.instances[instance.id] = instance
        return instance

    # ---- identity ----

    async def create_dynamic_group(
        self,
        name: str,
        rule: str,
        description: str,
        freeform_tags: Tags | None = None,
        defined_tags: Tags | None = None,
    ) -> DynamicGroup:
        """A new group. Raises ApiError: 400 for a rule that cannot be parsed, 409 when the name is taken."""
        _check_rule(rule)
        if any(g.name.lower() == name.lower() for g in self._state.dynamic_groups.values()):
            message = f"DynamicResourceGroup with the same displayName {name} already exists."
            raise ApiError(409, "IdcsConversionError", message)
        key = ocid("dynamicgroup", f"{name}/{secrets.token_hex(8)}")
        group = DynamicGroup(key, name, description, rule, _now(), freeform_tags or {}, defined_tags or {})
        self._state = replace(self._state, dynamic_groups=_with(self._state.dynamic_groups, group))
        return group

    async def update_dynamic_group(
        self, group_id: str, changes: Mapping[str, Any], if_match: str | None = None
    ) -> DynamicGroup:
        """`changes` are fields of DynamicGroup. The name is not one that can change."""
        group = _find(self._state.dynamic_groups, group_id, if_match)
        if "matching_rule" in changes:
            _check_rule(changes["matching_rule"])
        group = _changed(group, **changes)
        self._state = replace(self._state, dynamic_groups=_with(self._state.dynamic_groups, group))
        return group

    async def delete_dynamic_group(self, group_id: str, if_match: str | None = None) -> None:
        """Policies that name it stay. Raises ApiError: 404 when there is none, 412 when it has another ETag."""
        group = _find(self._state.dynamic_groups, group_id, if_match)
        self._state = replace(self._state, dynamic_groups=_without(self._state.dynamic_groups, group.id))

    async def create_policy(
        self,
        compartment_id: str,
        name: str,
        description: str,
        statements: Iterable[str],
        version_date: str | None = None,
        freeform_tags: Tags | None = None,
        defined_tags: Tags | None = None,
    ) -> Policy:
        """A new policy. Raises ApiError: 404 for the compartment, 400 for a statement, 409 when the name is taken."""
        if compartment_id not in (TENANCY_ID, COMPARTMENT_ID):
            raise not_found()
        texts = tuple(statements)
        self._check_statements(compartment_id, texts)
        if any(p.name.lower() == name.lower() for p in self._state.policies.values()):
            raise ApiError(409, "PolicyAlreadyExists", f"Policy '{name}' already exists.")
        key = ocid("policy", f"{name}/{secrets.token_hex(8)}")
        record = Policy(
            key,
            compartment_id,
            name,
            description,
            texts,
            version_date,
            _now(),
            freeform_tags or {},
            defined_tags or {},
        )
        self._state = replace(self._state, policies=_with(self._state.policies, record))
        return record

    async def update_policy(self, policy_id: str, changes: Mapping[str, Any], if_match: str | None = None) -> Policy:
        """`changes` are fields of Policy."""
        record = _find(self._state.policies, policy_id, if_match)
        if "statements" in changes:
            self._check_statements(record.compartment_id, changes["statements"])
        record = _changed(record, **changes)
        self._state = replace(self._state, policies=_with(self._state.policies, record))
        return record

    async def delete_policy(self, policy_id: str, if_match: str | None = None) -> None:
        """It permits nothing from now on. Raises ApiError: 404 when there is none, 412 when it has another ETag."""
        record = _find(self._state.policies, policy_id, if_match)
        self._state = replace(self._state, policies=_without(self._state.policies, record.id))

    def _check_statements(self, compartment_id: str, texts: tuple[str, ...]) -> None:
        if not texts:
            raise missing("A policy needs at least one statement.")
        for text in texts:
            try:
                statement = policy.parse_statement(text)
            except policy.PolicyError as error:
                raise invalid(f"Invalid policy statement {text!r}: {error}.") from error
            wanted = statement.subject.lower()
            groups = self._state.dynamic_groups.values()
            if not any((g.id if statement.by == "id" else g.name).lower() == wanted for g in groups):
                raise invalid(
                    f"The dynamic group {statement.subject} specified in the policy statement does not exist under "
                    "current compartment hierarchy."
                )
            names = {"id": {COMPARTMENT_ID}, "name": {COMPARTMENT_NAME.lower()}, "tenancy": {TENANCY_ID}}
            if compartment_id == TENANCY_ID:
                names["id"].add(TENANCY_ID)
                names["name"].add(TENANCY_NAME.lower())
            elif statement.scope_by == "tenancy":
                raise invalid("A statement on the tenancy must be in a policy of the root compartment.")
            scope = TENANCY_ID if statement.scope is None else statement.scope.lower()
            if scope not in names[statement.scope_by]:
                raise invalid(
                    f"Compartment {{{statement.scope}}} does not exist or is not part of the policy compartment subtree"
                )

    async def reset(self) -> None:
        """Back to what the topology says: no VIPs, no groups, no policies, every check on. Power states stay."""
        await self._commit(self._fresh())


_NOT_RESERVED = "A private IP that is not assigned to a VNIC must have the lifetime RESERVED."


def _name(kind: str) -> str:
    return kind + _now().translate({ord(c): None for c in "-:.TZ"})


def _check_room(vnic_id: str, records: Iterable[PrivateIp | Ipv6], limit: int) -> None:
    if sum(r.vnic_id == vnic_id for r in records) >= limit:
        raise ApiError(400, "LimitExceeded", f"The VNIC {vnic_id} has the maximum number of addresses ({limit}).")


def _check_detach(record: PrivateIp | Ipv6) -> None:
    if record.lifetime != "RESERVED":
        raise invalid(f"The private IP {record.id} is ephemeral; only a reserved one can be detached.")
    if record.vnic_id is None:
        raise invalid(f"The private IP {record.id} is not assigned to a VNIC.")


def _bind(table: RouteTable, record: PrivateIp) -> RouteTable:
    """Give the rules that wait for this address the OCID they will keep."""
    now = [u for u in table.unbound if u.via == record.address]
    if not now:
        return table
    rules = (*table.rules, *(RouteRule(u.destination, record.id) for u in now))
    return _changed(table, rules=rules, unbound=tuple(u for u in table.unbound if u not in now))


def _check_rule(rule: str) -> None:
    try:
        policy.parse_rule(rule)
    except policy.PolicyError as error:
        raise invalid(f"Invalid matching rule {rule!r}: {error}.") from error

# SPDX-License-Identifier: GPL-3.0-or-later
"""The control plane's records and every change that can be made to them.

A change is checked, becomes a new state, is carried out by the `Effects`, and only then answered. When the effects
fail, the state is as it was before, and they carry that out.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partialmethod
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from lab.cloud.errors import ApiError, incorrect_state, invalid, missing, not_found
from lab.cloud.iam import Iam
from lab.cloud.names import availability_domain
from lab.cloud.records import Tags, added, changed, find, new_etag, now, without
from lab.cloud.security import Groups, Memberships, SecurityList, admissions, listed
from lab.fabric.view import Admission, Floating, Port, Rule, SubnetView, View
from lab.topology import Topology, mac, ocid

ADDRESSES_PER_VNIC = 64
"""The primary one counts."""
IPV6_PER_VNIC = 32
VNICS_PER_INSTANCE = 8
"""What a flexible shape with eight OCPUs has."""
PUBLIC_IPS = 50
"""Reserved ones, in the region."""
_PUBLIC = IPv4Network("203.0.113.0/24")

Action = Literal["START", "STOP", "SOFTSTOP", "RESET", "SOFTRESET"]
Lifetime = Literal["EPHEMERAL", "RESERVED"]
AttachmentState = Literal["ATTACHING", "ATTACHED", "DETACHING", "DETACHED"]
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
        """Make the data plane what `view` says. Returns when it is in force.

        An exception undoes the change: the next call, right away, is for the view without it, whatever is in force.
        """

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


@dataclass(frozen=True)
class Instance:
    id: str
    name: str
    availability_domain: str
    lifecycle_state: str
    time_created: str
    etag: str = field(default_factory=new_etag)


@dataclass(frozen=True)
class Subnet:
    id: str
    name: str
    cidr: IPv4Network
    gateway: IPv4Address
    ipv6: IPv6Network | None
    route_table_id: str
    security_list_id: str
    time_created: str
    etag: str = field(default_factory=new_etag)


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
    nsg_ids: Memberships = field(default_factory=dict)
    freeform_tags: Tags = field(default_factory=dict)
    defined_tags: Tags = field(default_factory=dict)
    etag: str = field(default_factory=new_etag)

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
    display_name: str | None = None
    lifecycle_state: AttachmentState = "ATTACHED"
    etag: str = field(default_factory=new_etag)


@dataclass(frozen=True, kw_only=True)
class Address:
    """`vnic_id` is None for a reserved one that is not assigned."""

    id: str
    subnet_id: str
    vnic_id: str | None
    lifetime: Lifetime
    display_name: str
    time_created: str
    freeform_tags: Tags = field(default_factory=dict)
    defined_tags: Tags = field(default_factory=dict)
    etag: str = field(default_factory=new_etag)


@dataclass(frozen=True, kw_only=True)
class PrivateIp(Address):
    address: IPv4Address
    is_primary: bool = False
    availability_domain: str | None = None
    hostname_label: str | None = None


@dataclass(frozen=True, kw_only=True)
class Ipv6(Address):
    address: IPv6Address
    hostname: str | None = None


_Address = TypeVar("_Address", PrivateIp, Ipv6)


@dataclass(frozen=True)
class AddressKind(Generic[_Address]):
    """What sets private IPs and IPv6 objects apart in the control plane.

    :param name: what their OCIDs say, and the names that the cloud gives them
    :param record: makes one
    :param records: where the cloud keeps them
    :param per_vnic: how many a VNIC takes, its primary one included
    """

    name: str
    record: Callable[..., _Address]
    records: Literal["private_ips", "ipv6s"]
    per_vnic: int


PRIVATE_IP = AddressKind("privateip", PrivateIp, "private_ips", ADDRESSES_PER_VNIC)
IPV6 = AddressKind("ipv6", Ipv6, "ipv6s", IPV6_PER_VNIC)

_Result = TypeVar("_Result")
_Method: TypeAlias = partialmethod[Coroutine[Any, Any, _Result]]


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
    etag: str = field(default_factory=new_etag)


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
    etag: str = field(default_factory=new_etag)


@dataclass(frozen=True)
class _State:
    vnics: Mapping[str, Vnic]
    private_ips: Mapping[str, PrivateIp]
    route_tables: Mapping[str, RouteTable]
    attachments: Mapping[str, VnicAttachment]
    ipv6s: Mapping[str, Ipv6] = field(default_factory=dict)
    public_ips: Mapping[str, PublicIp] = field(default_factory=dict)
    network_security_groups: Groups = field(default_factory=dict)


class Cloud:
    """The emulated tenancy.

    Reading is free; the coroutines change something and raise ApiError when the change is refused. All of it belongs to
    one event loop. `on_event` gets a dict for every request that the API, the federation and the metadata service
    answer (see lab.cloud.http). `reserved_private_ips` is whether the region's API knows lifetimes of private IPs and
    addresses that are on no VNIC; not every region's does.
    """

    def __init__(
        self, topology: Topology, effects: Effects, on_event: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        self.topology = topology
        self.reserved_private_ips = True
        self.effects = effects
        self.on_event = on_event or (lambda _event: None)
        self._lock = asyncio.Lock()
        self._asked = self._in_force = self._undone = 0
        self._failure = Exception()
        self._created = now()
        self.iam = Iam()
        self.vcn_id = ocid("vcn", topology.name)
        self.vcn_etag = new_etag()
        self.subnets: dict[str, Subnet] = {
            s.id: Subnet(
                s.id,
                s.name,
                s.cidr,
                s.gateway,
                s.ipv6,
                ocid("routetable", s.name),
                ocid("securitylist", s.name),
                self._created,
            )
            for s in topology.subnets
        }
        self.security_lists: dict[str, SecurityList] = {
            key: SecurityList(key, s.name, listed(s.ingress), self._created)
            for s in topology.subnets
            for key in [ocid("securitylist", s.name)]
        }
        self.instances: dict[str, Instance] = {
            i.id: Instance(i.id, i.name, availability_domain(i.availability_domain), "RUNNING", self._created)
            for i in topology.instances
        }
        self._state = self._network = self._fresh()

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
                primary = _primary(vnics[spec.id])
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
        attachments = (_attachment(v, "ATTACHED") for v in vnics.values())
        return _State(vnics, private_ips, tables, {a.id: a for a in attachments})

    # ---- reading ----

    @property
    def vnics(self) -> Mapping[str, Vnic]:
        return self._state.vnics

    @property
    def attachments(self) -> Mapping[str, VnicAttachment]:
        return self._state.attachments

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
    def network_security_groups(self) -> Groups:
        return self._state.network_security_groups

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
                Port(
                    v.id,
                    v.instance,
                    v.interface,
                    v.mac,
                    v.address,
                    names[v.subnet_id],
                    v.skip_source_dest_check,
                    self._admitted(v),
                )
                for v in self._state.vnics.values()
            ),
            tuple(Floating(p.id, p.address, p.vnic_id) for p in self._state.private_ips.values() if not p.is_primary),
            tuple(
                Rule(t.subnet, r.destination, r.network_entity_id)
                for t in self._state.route_tables.values()
                for r in t.rules
            ),
        )

    def _admitted(self, vnic: Vnic) -> tuple[Admission, ...]:
        rules = list(self.security_lists[self.subnets[vnic.subnet_id].security_list_id].rules)
        for group_id in vnic.nsg_ids:
            rules += self._state.network_security_groups[group_id].rules
        return admissions(rules, {v.id: v.nsg_ids for v in self._state.vnics.values()})

    # ---- network ----

    async def _commit(self, state: _State) -> None:
        """Have the network of `state` in force.

        What is asked for while a round of changes is being carried out makes up the next round: a burst of moves costs
        a few rounds, not one each. When a round fails, every change that is not in force yet is undone, in the data
        plane too, and its request fails.
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
                    network_security_groups=self._network.network_security_groups,
                    attachments=self._network.attachments,
                )
                await self.effects.apply(self.view())
                raise
            self._in_force, self._network = asked, network

    async def update_vnic(self, vnic_id: str, changes: Mapping[str, Any], if_match: str | None = None) -> Vnic:
        """`changes` are fields of Vnic."""
        vnic = changed(find(self._state.vnics, vnic_id, if_match), **changes)
        await self._commit(replace(self._state, vnics=added(self._state.vnics, vnic)))
        return vnic

    async def attach_vnic(
        self,
        instance_id: str,
        subnet_id: str,
        *,
        address: str | None = None,
        display_name: str | None = None,
        attachment_name: str | None = None,
        **fields: Any,
    ) -> VnicAttachment:
        """A new secondary VNIC; `fields` are further ones of Vnic. The attachment says ATTACHING until `settle`."""
        instance, subnet = find(self.instances, instance_id), find(self.subnets, subnet_id)
        if instance.lifecycle_state not in ("RUNNING", "STOPPED"):
            raise incorrect_state(f"The instance {instance.id} is {instance.lifecycle_state}.")
        siblings = [v for v in self._state.vnics.values() if v.instance_id == instance.id]
        if len(siblings) >= VNICS_PER_INSTANCE:
            raise ApiError(
                400, "LimitExceeded", f"The instance {instance.id} has the maximum number of VNICs of its shape."
            )
        key = ocid("vnic", secrets.token_hex(16))
        vnic = Vnic(
            key,
            instance.id,
            instance.name,
            _next_interface(siblings),
            1 + max(v.index for v in siblings),
            mac(key),
            subnet.id,
            self._address(subnet, address),
            instance.availability_domain,
            display_name or _name("vnic"),
            now(),
            **fields,
        )
        primary = _primary(vnic)
        attachment = _attachment(vnic, "ATTACHING", attachment_name)
        state = replace(
            self._state,
            vnics=added(self._state.vnics, vnic),
            private_ips=added(self._state.private_ips, primary),
            route_tables={k: _bind(t, primary) for k, t in self._state.route_tables.items()},
            attachments=added(self._state.attachments, attachment),
        )
        await self._commit(state)
        return attachment

    async def detach_vnic(self, attachment_id: str, if_match: str | None = None) -> None:
        """Detach and delete a secondary VNIC and its addresses; the attachment says DETACHING until `settle`.

        Reserved addresses stay, on no VNIC: what becomes of them is not documented, but their lifetime is their own.
        Route rules that point at the others stay and are black holes.
        """
        attachment = find(self._state.attachments, attachment_id, if_match)
        if attachment.lifecycle_state != "ATTACHED":
            raise incorrect_state(f"The VNIC attachment {attachment.id} is {attachment.lifecycle_state}.")
        vnic = self._state.vnics[attachment.vnic_id]
        if vnic.is_primary:
            # The service refuses it in words that are not documented.
            raise invalid(f"The VNIC {vnic.id} is the primary one of its instance and cannot be detached.")
        state = replace(
            self._state,
            vnics=without(self._state.vnics, vnic.id),
            private_ips=_left(self._state.private_ips, vnic.id),
            attachments=added(self._state.attachments, changed(attachment, lifecycle_state="DETACHING")),
        )
        await self._commit(state)
        orphans = [
            changed(p, private_ip_id=None)
            for p in self.public_ips.values()
            if p.private_ip_id is not None and p.private_ip_id not in self._state.private_ips
        ]
        self._state = replace(
            self._state,
            ipv6s=_left(self._state.ipv6s, vnic.id),
            public_ips=added(self._state.public_ips, *orphans),
        )

    def settle(self, attachments: Iterable[VnicAttachment]) -> None:
        """What was seen to be under way is over: of ATTACHING becomes ATTACHED, of DETACHING DETACHED."""
        outcome = {"ATTACHING": "ATTACHED", "DETACHING": "DETACHED"}
        under_way = (a for a in attachments if a.lifecycle_state in outcome)
        over = (changed(a, lifecycle_state=outcome[a.lifecycle_state]) for a in under_way)
        self._state = replace(self._state, attachments=added(self._state.attachments, *over))

    async def create_address(
        self,
        kind: AddressKind[_Address],
        *,
        vnic_id: str | None = None,
        subnet_id: str | None = None,
        address: str | None = None,
        lifetime: Lifetime | None = None,
        display_name: str | None = None,
        **fields: Any,
    ) -> _Address:
        """A secondary address, on a VNIC or (reserved) only in a subnet; without an address the cloud picks one.

        `fields` are more fields of the kind's record.
        """
        subnet, lifetime = self._place(vnic_id, subnet_id, lifetime)
        if vnic_id:
            self._check_room(kind, vnic_id)
        chosen = self._ipv6_address(subnet, address) if kind is IPV6 else self._address(subnet, address)
        record = kind.record(
            id=ocid(kind.name, f"{chosen}/{secrets.token_hex(8)}"),
            subnet_id=subnet.id,
            vnic_id=vnic_id,
            address=chosen,
            lifetime=lifetime,
            display_name=display_name or _name(kind.name),
            time_created=now(),
            **fields,
        )
        await self._put(kind, record)
        return record

    def addresses(self, kind: AddressKind[_Address]) -> Mapping[str, _Address]:
        records: Mapping[str, _Address] = getattr(self._state, kind.records)
        return records

    def _with(self, kind: AddressKind[Any], records: Mapping[str, Any]) -> _State:
        changes: dict[str, Any] = {kind.records: records}
        return replace(self._state, **changes)

    async def _put(self, kind: AddressKind[_Address], record: _Address) -> None:
        state = self._with(kind, added(self.addresses(kind), record))
        if isinstance(record, PrivateIp):
            state = replace(state, route_tables={k: _bind(t, record) for k, t in state.route_tables.items()})
        await self._enforce(kind, state)

    async def _enforce(self, kind: AddressKind[Any], state: _State) -> None:
        if kind is IPV6:
            # These addresses exist in the API only: the fabric has nothing to do for them.
            self._state = state
        else:
            await self._commit(state)

    def _place(self, vnic_id: str | None, subnet_id: str | None, lifetime: Lifetime | None) -> tuple[Subnet, Lifetime]:
        """Where a new address is to be, and for how long. Raises ApiError."""
        if vnic_id is None and subnet_id is None:
            raise missing("This request is missing one of the following arguments: subnetId, vnicId, vlanId.")
        vnic = None if vnic_id is None else find(self._state.vnics, vnic_id)
        subnet = self.subnets.get(vnic.subnet_id if vnic else str(subnet_id))
        if subnet is None:
            raise not_found()
        if subnet_id is not None and subnet_id != subnet.id:
            raise invalid(f"The VNIC {vnic_id} is not in the subnet {subnet_id}.")
        lifetime = lifetime or ("EPHEMERAL" if vnic else "RESERVED")
        if vnic is None and lifetime != "RESERVED":
            raise invalid(_NOT_RESERVED)
        return subnet, lifetime

    def _check_room(self, kind: AddressKind[Any], vnic_id: str) -> None:
        if sum(r.vnic_id == vnic_id for r in self.addresses(kind).values()) >= kind.per_vnic:
            message = f"The VNIC {vnic_id} has the maximum number of addresses ({kind.per_vnic})."
            raise ApiError(400, "LimitExceeded", message)

    def _check_move(self, kind: AddressKind[_Address], record: _Address, changes: Mapping[str, Any]) -> None:
        vnic_id = changes.get("vnic_id", record.vnic_id)
        if vnic_id is not None and vnic_id != record.vnic_id:
            if find(self._state.vnics, vnic_id).subnet_id != record.subnet_id:
                raise invalid(f"The VNIC {vnic_id} is not in the subnet {record.subnet_id} of the private IP.")
            self._check_room(kind, vnic_id)
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

    def _secondary(self, kind: AddressKind[_Address], key: str, if_match: str | None, verb: str) -> _Address:
        record = find(self.addresses(kind), key, if_match)
        if isinstance(record, PrivateIp) and record.is_primary:
            raise invalid(f"The private IP {record.id} is the primary one of its VNIC and cannot be {verb}.")
        return record

    async def update_address(
        self, kind: AddressKind[_Address], key: str, changes: Mapping[str, Any], if_match: str | None = None
    ) -> _Address:
        """`changes` are fields of the kind's record; `vnic_id` moves it, from wherever it is, within its subnet."""
        record = self._secondary(kind, key, if_match, "updated")
        self._check_move(kind, record, changes)
        record = changed(record, **changes)
        await self._put(kind, record)
        return record

    async def detach_address(self, kind: AddressKind[_Address], key: str, if_match: str | None = None) -> _Address:
        """Take a reserved address off its VNIC and keep it."""
        record = self._secondary(kind, key, if_match, "detached")
        _check_detach(record)
        record = changed(record, vnic_id=None)
        await self._put(kind, record)
        return record

    async def delete_address(self, kind: AddressKind[Any], key: str, if_match: str | None = None) -> None:
        """Unassign and delete. Route rules that point at it stay and are black holes."""
        record = self._secondary(kind, key, if_match, "deleted")
        await self._enforce(kind, self._with(kind, without(self.addresses(kind), record.id)))
        orphans = [changed(p, private_ip_id=None) for p in self.public_ips.values() if p.private_ip_id == record.id]
        self._state = replace(self._state, public_ips=added(self._state.public_ips, *orphans))

    create_private_ip: _Method[PrivateIp] = partialmethod(create_address, PRIVATE_IP)
    update_private_ip: _Method[PrivateIp] = partialmethod(update_address, PRIVATE_IP)
    detach_private_ip: _Method[PrivateIp] = partialmethod(detach_address, PRIVATE_IP)
    delete_private_ip: _Method[None] = partialmethod(delete_address, PRIVATE_IP)
    create_ipv6: _Method[Ipv6] = partialmethod(create_address, IPV6)
    update_ipv6: _Method[Ipv6] = partialmethod(update_address, IPV6)
    detach_ipv6: _Method[Ipv6] = partialmethod(detach_address, IPV6)
    delete_ipv6: _Method[None] = partialmethod(delete_address, IPV6)

    # Public addresses exist in the API only, too.

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
            now(),
            freeform_tags or {},
            defined_tags or {},
        )
        self._state = replace(self._state, public_ips=added(self._state.public_ips, record))
        return record

    def _check_assignment(self, private_ip_id: str | None) -> None:
        if private_ip_id is None:
            return
        find(self._state.private_ips, private_ip_id)
        if any(p.private_ip_id == private_ip_id for p in self.public_ips.values()):
            raise ApiError(409, "Conflict", f"The private IP {private_ip_id} already has a public IP.")

    async def update_public_ip(
        self, public_ip_id: str, changes: Mapping[str, Any], if_match: str | None = None
    ) -> PublicIp:
        """`changes` are fields of PublicIp; `private_ip_id` None unassigns it."""
        record = find(self._state.public_ips, public_ip_id, if_match)
        if changes.get("private_ip_id") != record.private_ip_id:
            self._check_assignment(changes.get("private_ip_id"))
        record = changed(record, **changes)
        self._state = replace(self._state, public_ips=added(self._state.public_ips, record))
        return record

    async def delete_public_ip(self, public_ip_id: str, if_match: str | None = None) -> None:
        """Unassign and delete. Raises ApiError: 404 when there is none, 412 when it has another ETag."""
        record = find(self._state.public_ips, public_ip_id, if_match)
        self._state = replace(self._state, public_ips=without(self._state.public_ips, record.id))

    async def set_network_security_groups(self, groups: Groups) -> None:
        """Have these groups, and no others."""
        await self._commit(replace(self._state, network_security_groups=groups))

    async def update_route_table(
        self, table_id: str, rules: Iterable[RouteRule], if_match: str | None = None
    ) -> RouteTable:
        """Replace the rules, those of the topology included that are bound or still wait."""
        table = find(self._state.route_tables, table_id, if_match)
        rules = tuple(rules)
        for rule in rules:
            # A rule that is there already may point at a private IP that is gone.
            if rule.network_entity_id not in self._state.private_ips and not any(
                rule.network_entity_id == r.network_entity_id for r in table.rules
            ):
                raise not_found()
        if len({r.destination for r in rules}) != len(rules):
            raise invalid("A route table cannot have two rules with the same destination.")
        table = changed(table, rules=rules, unbound=())
        await self._commit(replace(self._state, route_tables=added(self._state.route_tables, table)))
        return table

    # ---- instances ----

    async def instance_action(self, instance_id: str, action: Action, if_match: str | None = None) -> Instance:
        """Begin a power action and return the instance as it is then: in transition."""
        instance = find(self.instances, instance_id, if_match)
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
        instance = changed(self.instance_named(name), lifecycle_state=state)
        self.instances[instance.id] = instance
        return instance

    async def reset(self) -> None:
        """Back to what the topology says: no VIPs, no groups, no policies, every check on. Power states stay."""
        self.iam.reset()
        self.reserved_private_ips = True
        await self._commit(self._fresh())


_NOT_RESERVED = "A private IP that is not assigned to a VNIC must have the lifetime RESERVED."


def _name(kind: str) -> str:
    return kind + now().translate({ord(c): None for c in "-:.TZ"})


def _check_detach(record: Address) -> None:
    if record.lifetime != "RESERVED":
        raise invalid(f"The private IP {record.id} is ephemeral; only a reserved one can be detached.")
    if record.vnic_id is None:
        raise invalid(f"The private IP {record.id} is not assigned to a VNIC.")


def _attachment(vnic: Vnic, state: AttachmentState, display_name: str | None = None) -> VnicAttachment:
    return VnicAttachment(
        ocid("vnicattachment", vnic.id),
        vnic.instance_id,
        vnic.id,
        vnic.subnet_id,
        vnic.index,
        vnic.availability_domain,
        vnic.time_created,
        display_name,
        state,
    )


def _primary(vnic: Vnic) -> PrivateIp:
    return PrivateIp(
        id=ocid("privateip", vnic.id),
        subnet_id=vnic.subnet_id,
        vnic_id=vnic.id,
        address=vnic.address,
        is_primary=True,
        lifetime="EPHEMERAL",
        availability_domain=vnic.availability_domain,
        display_name=vnic.display_name,
        time_created=vnic.time_created,
    )


def _next_interface(siblings: Iterable[Vnic]) -> str:
    """What the guest will call the next VNIC: the first is ens3, and the disk has the slot after that."""
    slots = [int(v.interface.removeprefix("ens")) for v in siblings if v.interface.startswith("ens")]
    return f"ens{1 + max([4, *slots])}"


def _left(records: Mapping[str, _Address], vnic_id: str) -> dict[str, _Address]:
    """What is left of the addresses when a VNIC goes."""
    return {
        k: changed(r, vnic_id=None) if r.vnic_id == vnic_id else r
        for k, r in records.items()
        if r.vnic_id != vnic_id or r.lifetime == "RESERVED"
    }


def _bind(table: RouteTable, record: PrivateIp) -> RouteTable:
    """Give the rules that wait for this address the OCID they will keep."""
    now = [u for u in table.unbound if u.via == record.address]
    if not now:
        return table
    rules = (*table.rules, *(RouteRule(u.destination, record.id) for u in now))
    return changed(table, rules=rules, unbound=tuple(u for u in table.unbound if u not in now))

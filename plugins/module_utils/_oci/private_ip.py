# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Private IPs, IPv4 and IPv6: what is wanted, what is there, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any, Literal

from .errors import PlanError

Family = Literal["IPv4", "IPv6"]

PER_VNIC: Mapping[Family, int] = {"IPv4": 64, "IPv6": 32}
"""Addresses that a VNIC can hold, its primary one included."""

EPHEMERAL = "EPHEMERAL"
RESERVED = "RESERVED"

_EXPECTED = "expected an IPv4 or IPv6 address without a prefix"


def family(address: str) -> Family:
    """The family of an address that is known to be one."""
    return "IPv6" if ":" in address else "IPv4"


def canonical(option: str, addresses: Iterable[str]) -> list[str]:
    """Addresses in canonical form. Raises PlanError with everything that is not one."""
    given = list(addresses)
    problems = []
    for index, address in enumerate(given):
        try:
            given[index] = str(ip_address(address))
        except ValueError:
            problems.append(f"{option}[{index}] = {address!r}: {_EXPECTED}")
    if problems:
        raise PlanError(problems)
    return given


@dataclass(frozen=True)
class PrivateIp:
    """A private IP object, or an IPv6 object, of the cloud.

    :param vnic_id: None while it is reserved and assigned to nothing
    :param lifetime: None where the service knows of no lifetimes, and all are ephemeral
    """

    id: str
    address: str
    subnet_id: str
    vnic_id: str | None
    is_primary: bool
    lifetime: str | None
    display_name: str
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def family(self) -> Family:
        """The family of its address."""
        return family(self.address)


@dataclass(frozen=True)
class Subnet:
    """Where a subnet belongs."""

    id: str
    vcn_id: str
    compartment_id: str


@dataclass(frozen=True)
class Route:
    """A rule of a route table, and what it leads to."""

    table_id: str
    table: str
    destination: str
    network_entity_id: str


@dataclass(frozen=True)
class Request:
    """What is wanted at one address.

    :param address: in canonical form
    :param vnic_ids: the VNICs that may hold it, one at a time; all in one subnet
    :param display_name: None leaves the name as it is
    :param tags: free-form tags to have; others of the object are left alone
    :param label: how messages call the request
    :param vnic_id: the one of `vnic_ids` to put it on; None leaves it where it is
    :param allow_reassociation: whether it may be taken off another VNIC for that
    :param delete_in_use: whether it may be deleted while something refers to it
    :param subnet_id: its subnet; None if that of the VNICs tells
    """

    address: str
    vnic_ids: tuple[str, ...]
    state: Literal["present", "absent"]
    display_name: str | None
    tags: Mapping[str, str]
    label: str
    vnic_id: str | None = None
    allow_reassociation: bool = False
    delete_in_use: bool = False
    subnet_id: str | None = None

    @classmethod
    def from_param(cls, index: int, param: Mapping[str, Any]) -> Request:
        """Read one entry of the module's option `private_ips`. Raises PlanError with all that is wrong with it."""
        label, given = param["label"] or f"private_ips[{index}].address", param["address"]
        problems = []
        try:
            given = str(ip_address(given))
        except ValueError:
            problems.append(f"{label} = {given!r}: {_EXPECTED}")
        if not param["vnic_ids"] and param["subnet_id"] is None:
            problems.append(f"{label} = {given!r}: expected at least one VNIC in vnic_ids, or subnet_id")
        elif param["vnic_id"] not in (None, *param["vnic_ids"]):
            problems.append(f"{label} = {given!r}: expected one of vnic_ids as vnic_id, not {param['vnic_id']!r}")
        if problems:
            raise PlanError(problems)
        return cls(
            address=given,
            vnic_ids=tuple(param["vnic_ids"]),
            state=param["state"],
            display_name=param["display_name"],
            tags=dict(param["tags"] or {}),
            label=label,
            vnic_id=param["vnic_id"],
            allow_reassociation=param["allow_reassociation"],
            delete_in_use=param["delete_in_use"],
            subnet_id=param["subnet_id"],
        )


@dataclass(frozen=True)
class Create:
    """Make an object at an address where none is.

    :param vnic_id: None for a reserved one that is to be on no VNIC: to place it is the cluster's business
    :param fallback_vnic_id: where it goes if it turns out that the service reserves nothing; None where that is known
    """

    subnet_id: str
    address: str
    vnic_id: str | None
    lifetime: str
    display_name: str | None
    tags: Mapping[str, str]
    fallback_vnic_id: str | None

    @property
    def family(self) -> Family:
        """The family of its address."""
        return family(self.address)

    def unreserved(self) -> Create:
        """The same for a service that reserves nothing, where an address is on a VNIC or nowhere."""
        return replace(self, vnic_id=self.fallback_vnic_id, lifetime=EPHEMERAL, fallback_vnic_id=None)


@dataclass(frozen=True)
class Update:
    """Change an object. `changes` holds fields of PrivateIp, `vnic_id` only where the placement was asked for."""

    current: PrivateIp
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Delete:
    """Take an object away."""

    current: PrivateIp


Action = Create | Update | Delete


@dataclass(frozen=True)
class Plan:
    """What to do. The rest is by address and leaves out addresses where there is nothing.

    :param before: what of the objects is asked for, as it is
    :param after: the same, as it will be
    :param results: what there will be, as `result` shows it; `id` is None for what is yet to be created
    """

    actions: tuple[Action, ...]
    before: Mapping[str, Mapping[str, Any]]
    after: Mapping[str, Mapping[str, Any]]
    results: Mapping[str, Mapping[str, Any]]


def parse(params: Iterable[Mapping[str, Any]]) -> tuple[Request, ...]:
    """Read the module's option `private_ips`. Raises PlanError with everything that is wrong with it."""
    requests: list[Request] = []
    problems: list[str] = []
    for index, param in enumerate(params):
        try:
            request = Request.from_param(index, param)
        except PlanError as error:
            problems += error.problems
            continue
        twin = next((r for r in requests if r.address == request.address), None)
        if twin is not None:
            problems.append(f"{request.label} = {request.address!r}: expected once, {twin.label} has this address too")
        requests.append(request)
    if problems:
        raise PlanError(problems)
    return tuple(requests)


def doomed(requests: Iterable[Request], subnets: Mapping[str, str], current: Iterable[PrivateIp]) -> list[PrivateIp]:
    """The objects that would be deleted if nothing referred to them. The parameters are those of `plan`."""
    found = _found(subnets, current)
    return [
        there
        for r in requests
        if r.state == "absent" and not r.delete_in_use and (there := found.get(r.address)) and not _stranger(r, there)
    ]


def plan(
    requests: Sequence[Request],
    subnets: Mapping[str, str],
    current: Sequence[PrivateIp],
    references: Mapping[str, Sequence[str]],
) -> Plan:
    """Compare what is wanted with what is there.

    :param subnets: the subnet of each address that is asked for
    :param current: all private IPs of those subnets, of the families asked for
    :param references: what refers to those that are `doomed`, in words, by OCID
    :raises PlanError: with every request that must not be carried out
    """
    found = _found(subnets, current)
    problems = [p for r in requests if r.address in found and (p := _problem(r, found[r.address], references))]
    problems += _overfull(requests, current)
    # One object is enough to tell, as it is the same in the whole region.
    reserving = current[0].lifetime is not None if current else None
    if reserving is False:
        problems += [
            f"{r.label} = {r.address!r}: expected a VNIC in vnic_ids: the region's service reserves no private IPs"
            for r in requests
            if r.state == "present" and r.address not in found and not r.vnic_ids
        ]
    if problems:
        raise PlanError(problems)
    actions: list[Action] = []
    before: dict[str, Mapping[str, Any]] = {}
    after: dict[str, Mapping[str, Any]] = {}
    results: dict[str, Mapping[str, Any]] = {}
    for request in requests:
        address, there = request.address, found.get(request.address)
        action = _action(request, there, subnets[address], reserving)
        if action is not None:
            actions.append(action)
        if there is not None:
            before[address] = _decided(request, result(there))
        if (then := _then(there, action)) is not None:
            results[address] = then
            after[address] = _decided(request, then)
    return Plan(tuple(actions), before, after, results)


def result(found: PrivateIp) -> dict[str, Any]:
    """What the modules answer about an object."""
    return {
        "id": found.id,
        "subnet_id": found.subnet_id,
        "vnic_id": found.vnic_id,
        "is_primary": found.is_primary,
        "lifetime": found.lifetime or EPHEMERAL,
        "display_name": found.display_name,
        "tags": dict(found.tags),
    }


def _found(subnets: Mapping[str, str], current: Iterable[PrivateIp]) -> dict[str, PrivateIp]:
    return {p.address: p for p in current if subnets.get(p.address) == p.subnet_id}


def _problem(request: Request, found: PrivateIp, references: Mapping[str, Sequence[str]]) -> str | None:
    if stranger := _stranger(request, found):
        return stranger
    subject = f"{request.label} = {request.address!r}"
    if request.state == "absent" and (referring := references.get(found.id)):
        return (
            f"{subject}: expected nothing to refer to it any more; {found.id} is used by {', '.join(referring)}. "
            "Remove that first, or set delete_in_use"
        )
    elsewhere = found.vnic_id not in (None, request.vnic_id)
    if request.state == "present" and request.vnic_id and elsewhere and not request.allow_reassociation:
        return (
            f"{subject}: expected it to be on no VNIC or on vnic_id {request.vnic_id}; it is on VNIC {found.vnic_id}. "
            "Set allow_reassociation to move it"
        )
    return None


def _stranger(request: Request, found: PrivateIp) -> str | None:
    if not found.is_primary and found.vnic_id in (None, *request.vnic_ids):
        return None
    expected = "an address that nothing uses" if request.state == "present" else "a private IP of this cluster"
    role = "the primary private IP" if found.is_primary else "a private IP"
    return (
        f"{request.label} = {request.address!r}: expected {expected}; it belongs to something else: it is {role} of "
        f"VNIC {found.vnic_id} ({found.display_name!r}, {found.id})"
    )


def _overfull(requests: Sequence[Request], current: Iterable[PrivateIp]) -> list[str]:
    """Each VNIC may come to hold all that it is named for, beside what it holds already."""
    asked = {r.address for r in requests}
    wanted: dict[tuple[str, Family], list[Request]] = {}
    for request in requests:
        if request.state == "present":
            for vnic_id in request.vnic_ids:
                wanted.setdefault((vnic_id, family(request.address)), []).append(request)
    others: dict[tuple[str | None, Family], int] = {}
    for private_ip in current:
        if private_ip.address not in asked:
            key = private_ip.vnic_id, private_ip.family
            others[key] = others.get(key, 0) + 1
    return [
        f"{mine[-1].label} = {mine[-1].address!r}: expected at most {PER_VNIC[kind]} {kind} addresses on "
        f"VNIC {vnic_id}: it has {count} of its own or of others, and {len(mine)} are asked for"
        for (vnic_id, kind), mine in wanted.items()
        if (count := others.get((vnic_id, kind), 0)) + len(mine) > PER_VNIC[kind]
    ]


def _changes(request: Request, found: PrivateIp) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if found.lifetime == EPHEMERAL:
        changes["lifetime"] = RESERVED
    if request.display_name is not None and request.display_name != found.display_name:
        changes["display_name"] = request.display_name
    tags = {**found.tags, **request.tags}
    if tags != found.tags:
        changes["tags"] = tags
    if request.vnic_id is not None and request.vnic_id != found.vnic_id:
        changes["vnic_id"] = request.vnic_id
    return changes


def _action(request: Request, found: PrivateIp | None, subnet_id: str, reserving: bool | None) -> Action | None:
    if request.state == "absent":
        return None if found is None else Delete(found)
    if found is None:
        create = Create(
            subnet_id=subnet_id,
            address=request.address,
            vnic_id=request.vnic_id,
            lifetime=RESERVED,
            display_name=request.display_name,
            tags=request.tags,
            fallback_vnic_id=None if reserving else request.vnic_id or next(iter(request.vnic_ids), None),
        )
        return create.unreserved() if reserving is False else create
    changes = _changes(request, found)
    return Update(found, changes) if changes else None


def _then(found: PrivateIp | None, action: Action | None) -> dict[str, Any] | None:
    if isinstance(action, Create):
        return {
            "id": None,
            "subnet_id": action.subnet_id,
            "vnic_id": action.vnic_id,
            "is_primary": False,
            "lifetime": action.lifetime,
            "display_name": action.display_name,
            "tags": dict(action.tags),
        }
    if found is None or isinstance(action, Delete):
        return None
    return result(replace(found, **action.changes) if action else found)


def _decided(request: Request, shown: Mapping[str, Any]) -> dict[str, Any]:
    """What of an object the request decides. Where it is placed is part of it only if that was asked for."""
    keys = ["lifetime", "display_name", "tags", *(["vnic_id"] if request.vnic_id else [])]
    return {key: shown[key] for key in keys}

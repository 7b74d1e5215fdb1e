# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Private IPs: what is wanted, what is there, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Literal

from .errors import PlanError

ADDRESSES_PER_VNIC = 64
"""IPv4 addresses that a VNIC can hold, its primary one included."""

RESERVED = "RESERVED"


@dataclass(frozen=True)
class PrivateIp:
    """A private IP object of the cloud; `vnic_id` is None while it is reserved and assigned to nothing."""

    id: str
    address: str
    subnet_id: str
    vnic_id: str | None
    is_primary: bool
    lifetime: str
    display_name: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What is wanted at one address.

    :param address: in canonical form
    :param vnic_ids: the VNICs that may hold it, one at a time; all in one subnet
    :param display_name: None leaves the name as it is
    :param tags: free-form tags to have; others of the object are left alone
    :param label: how messages call the request
    """

    address: str
    vnic_ids: tuple[str, ...]
    state: Literal["present", "absent"]
    display_name: str | None
    tags: Mapping[str, str]
    label: str

    @classmethod
    def from_param(cls, index: int, param: Mapping[str, Any]) -> Request:
        """Read one entry of the module's option `private_ips`. Raises ValueError with what is wrong with it."""
        label = param["label"] or f"private_ips[{index}].address"
        try:
            address = IPv4Address(param["address"])
        except ValueError as error:
            raise ValueError(f"{label} = {param['address']!r}: expected an IPv4 address without a prefix") from error
        if not param["vnic_ids"]:
            raise ValueError(f"{label} = {str(address)!r}: expected at least one VNIC in vnic_ids")
        return cls(
            address=str(address),
            vnic_ids=tuple(param["vnic_ids"]),
            state=param["state"],
            display_name=param["display_name"],
            tags=dict(param["tags"] or {}),
            label=label,
        )


@dataclass(frozen=True)
class Create:
    """Reserve an address that is not there, on no VNIC: to place it is the cluster's business."""

    subnet_id: str
    address: str
    display_name: str | None
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Update:
    """Change an object where it is. `changes` holds fields of PrivateIp, `vnic_id` never among them."""

    current: PrivateIp
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Delete:
    """Take an object away."""

    current: PrivateIp


Action = Create | Update | Delete


@dataclass(frozen=True)
class Plan:
    """What to do, and how the addresses asked for look before and after: by address, None where there is nothing."""

    actions: tuple[Action, ...]
    before: Mapping[str, Mapping[str, Any] | None]
    after: Mapping[str, Mapping[str, Any] | None]


def parse(params: Iterable[Mapping[str, Any]]) -> tuple[Request, ...]:
    """Read the module's option `private_ips`. Raises PlanError with everything that is wrong with it."""
    requests: list[Request] = []
    problems: list[str] = []
    for index, param in enumerate(params):
        try:
            request = Request.from_param(index, param)
        except ValueError as error:
            problems.append(str(error))
            continue
        twin = next((r for r in requests if r.address == request.address), None)
        if twin is not None:
            problems.append(f"{request.label} = {request.address!r}: expected once, {twin.label} has this address too")
        requests.append(request)
    if problems:
        raise PlanError(problems)
    return tuple(requests)


def plan(requests: Sequence[Request], subnets: Mapping[str, str], current: Iterable[PrivateIp]) -> Plan:
    """Compare what is wanted with what is there.

    :param subnets: the subnet of each address that is asked for
    :param current: all private IPs of those subnets
    :raises PlanError: with every request that must not be carried out
    """
    current = tuple(current)
    at = {(p.subnet_id, p.address): p for p in current}
    found = {r.address: at.get((subnets[r.address], r.address)) for r in requests}
    problems = [problem for r in requests if (problem := _stranger(r, found[r.address]))]
    problems += _overfull(requests, current)
    if problems:
        raise PlanError(problems)
    actions = [action for r in requests if (action := _action(r, found[r.address], subnets[r.address]))]
    return Plan(
        actions=tuple(actions),
        before={r.address: shown(p) if (p := found[r.address]) else None for r in requests},
        after={r.address: _result(r, found[r.address]) for r in requests},
    )


def _stranger(request: Request, found: PrivateIp | None) -> str | None:
    if found is None or (not found.is_primary and found.vnic_id in (None, *request.vnic_ids)):
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
    wanted: dict[str, list[Request]] = {}
    for request in requests:
        if request.state == "present":
            for vnic_id in request.vnic_ids:
                wanted.setdefault(vnic_id, []).append(request)
    others = dict.fromkeys(wanted, 0)
    for private_ip in current:
        if private_ip.vnic_id in others and private_ip.address not in asked:
            others[private_ip.vnic_id] += 1
    return [
        f"{mine[-1].label} = {mine[-1].address!r}: expected at most {ADDRESSES_PER_VNIC} private IPv4 addresses on "
        f"VNIC {vnic_id}: it has {others[vnic_id]} of its own or of others, and {len(mine)} are asked for"
        for vnic_id, mine in wanted.items()
        if others[vnic_id] + len(mine) > ADDRESSES_PER_VNIC
    ]


def _changes(request: Request, found: PrivateIp) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if found.lifetime != RESERVED:
        changes["lifetime"] = RESERVED
    if request.display_name is not None and request.display_name != found.display_name:
        changes["display_name"] = request.display_name
    tags = {**found.tags, **request.tags}
    if tags != found.tags:
        changes["tags"] = tags
    return changes


def _action(request: Request, found: PrivateIp | None, subnet_id: str) -> Action | None:
    if request.state == "absent":
        return None if found is None else Delete(found)
    if found is None:
        return Create(subnet_id, request.address, request.display_name, request.tags)
    changes = _changes(request, found)
    return Update(found, changes) if changes else None


def shown(found: PrivateIp) -> dict[str, Any]:
    """What of an object the inventory decides. Where it is placed is not part of it."""
    return {"lifetime": found.lifetime, "display_name": found.display_name, "tags": dict(found.tags)}


def _result(request: Request, found: PrivateIp | None) -> dict[str, Any] | None:
    if request.state == "absent":
        return None
    if found is None:
        return {"lifetime": RESERVED, "display_name": request.display_name, "tags": dict(request.tags)}
    return {**shown(found), **_changes(request, found)}

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reserved public IPs of private IPs: what is wanted, what is there, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .errors import PlanError
from .private_ip import RESERVED


@dataclass(frozen=True)
class PublicIp:
    """A public IP of the cloud; `private_ip_id` is what it is, or is being, assigned to."""

    id: str
    address: str
    private_ip_id: str | None
    lifetime: str
    lifecycle_state: str
    display_name: str
    tags: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.address} ({self.id})"


@dataclass(frozen=True)
class Request:
    """One public IP that is wanted, or not any more.

    :param display_name: what it is known by
    :param private_ip_id: what it belongs to. None means, for `present`, that this is yet to be created, and for
        `absent`, that it does not matter
    :param tags: free-form tags to have; others of the object are left alone
    :param label: how messages call the request
    """

    display_name: str
    private_ip_id: str | None
    state: Literal["present", "absent"]
    tags: Mapping[str, str]
    label: str


@dataclass(frozen=True)
class Create:
    """Make a reserved public IP and assign it."""

    display_name: str
    private_ip_id: str | None
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Update:
    """Change a public IP. `changes` holds fields of PublicIp."""

    current: PublicIp
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Delete:
    """Unassign a public IP and give it back."""

    current: PublicIp


Action = Create | Update | Delete


@dataclass(frozen=True)
class Plan:
    """What to do, by the name asked for, and how that will look.

    :param before: what there is, without what is missing
    :param results: what there will be, as `result` shows it; `id` and `address` are None for what is yet to be created
    """

    actions: Mapping[str, Action]
    before: Mapping[str, Mapping[str, Any]]
    results: Mapping[str, Mapping[str, Any]]


def parse(params: Iterable[Mapping[str, Any]], predict: bool) -> tuple[Request, ...]:
    """Read the module's option `public_ips`. Raises PlanError with everything that is wrong with it.

    :param predict: whether a private IP may be yet to be created
    """
    requests: list[Request] = []
    problems: list[str] = []
    for index, param in enumerate(params):
        name, private_ip_id = param["display_name"], param["private_ip_id"] or None
        label = param["label"] or f"public_ips[{index}].display_name"
        subject = f"{label} = {name!r}"
        for twin in requests:
            if twin.display_name == name:
                problems.append(f"{subject}: expected once, {twin.label} has this name too")
            elif private_ip_id is not None and twin.private_ip_id == private_ip_id:
                problems.append(f"{subject}: expected a private_ip_id of its own, {twin.label} has {private_ip_id} too")
        if param["state"] == "present" and private_ip_id is None and not predict:
            problems.append(f"{subject}: expected the OCID of a private IP as private_ip_id")
        requests.append(Request(name, private_ip_id, param["state"], dict(param["tags"] or {}), label))
    if problems:
        raise PlanError(problems)
    return tuple(requests)


def unknown(requests: Iterable[Request], current: Iterable[PublicIp]) -> list[str]:
    """The private IPs that are to have a public IP, and have none among those of the compartment."""
    known = {p.private_ip_id for p in current}
    return [
        r.private_ip_id for r in requests if r.state == "present" and r.private_ip_id and r.private_ip_id not in known
    ]


def plan(requests: Sequence[Request], current: Sequence[PublicIp]) -> Plan:
    """Compare what is wanted with what is there.

    :param current: the public IPs of the compartment, and those of the private IPs that are asked for
    :raises PlanError: with every request that must not be carried out
    """
    problems: list[str] = []
    actions: dict[str, Action] = {}
    before: dict[str, Mapping[str, Any]] = {}
    results: dict[str, Mapping[str, Any]] = {}
    for request in requests:
        name = request.display_name
        try:
            there = _found(request, current)
        except ValueError as error:
            problems.append(f"{request.label} = {name!r}: {error}")
            continue
        if there is not None:
            before[name] = result(there)
        action = _action(request, there)
        if action is not None:
            actions[name] = action
        if (then := _then(there, action)) is not None:
            results[name] = then
    if problems:
        raise PlanError(problems)
    return Plan(actions, before, results)


def result(found: PublicIp) -> dict[str, Any]:
    """What the modules answer about a public IP."""
    return {
        "id": found.id,
        "address": found.address,
        "private_ip_id": found.private_ip_id,
        "display_name": found.display_name,
        "tags": dict(found.tags),
    }


def _found(request: Request, current: Iterable[PublicIp]) -> PublicIp | None:
    """The public IP that the request is about. Raises ValueError with what is in the way."""
    named = [p for p in current if p.display_name == request.display_name]
    if request.private_ip_id is not None:
        mine = next((p for p in current if p.private_ip_id == request.private_ip_id), None)
        if mine is not None and mine.lifetime != RESERVED and request.state == "present":
            raise ValueError(
                f"expected a private IP without an ephemeral public IP; {request.private_ip_id} has {mine}"
            )
        if mine is not None and (request.state == "present" or mine in named):
            return mine
    free = [p for p in named if p.private_ip_id is None]
    if len(free) > 1:
        raise ValueError(f"expected one reserved public IP of this name, not {', '.join(map(str, free))}")
    if free or not named:
        return next(iter(free), None)
    if request.state == "absent" and request.private_ip_id is None:
        # What uses it need not be what it was made for.
        return None
    used = ", ".join(f"{p} is assigned to {p.private_ip_id}" for p in named)
    own = "" if request.private_ip_id is None else f" or assigned to {request.private_ip_id}"
    raise ValueError(f"expected a public IP that is free{own}; {used}")


def _action(request: Request, found: PublicIp | None) -> Action | None:
    if request.state == "absent":
        return None if found is None else Delete(found)
    if found is None:
        return Create(request.display_name, request.private_ip_id, request.tags)
    # One that somebody else has given to the private IP keeps its name, so that it is not taken for ours one day.
    wanted = {
        "private_ip_id": request.private_ip_id,
        "tags": {**found.tags, **request.tags},
    }
    changes = {key: value for key, value in wanted.items() if value != getattr(found, key)}
    # An unassigned one is to be assigned, also where it is not known yet to what.
    return Update(found, changes) if changes or request.private_ip_id is None else None


def _then(found: PublicIp | None, action: Action | None) -> dict[str, Any] | None:
    if isinstance(action, Create):
        return {
            "id": None,
            "address": None,
            "private_ip_id": action.private_ip_id,
            "display_name": action.display_name,
            "tags": dict(action.tags),
        }
    if found is None or isinstance(action, Delete):
        return None
    return result(replace(found, **action.changes) if action else found)

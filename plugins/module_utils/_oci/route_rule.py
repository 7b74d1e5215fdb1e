# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The rules of a route table: what is wanted, what is there, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any, Literal

from .errors import PlanError

CIDR_BLOCK = "CIDR_BLOCK"


@dataclass(frozen=True)
class RouteRule:
    """A rule of a route table, with all that the service says of it, so that it can be given back as it was."""

    destination: str
    destination_type: str
    network_entity_id: str | None
    description: str | None
    route_type: str | None


@dataclass(frozen=True)
class RouteTable:
    """A route table; `etag` guards a change against one that someone else makes meanwhile."""

    id: str
    rules: tuple[RouteRule, ...]
    etag: str | None


@dataclass(frozen=True)
class Request:
    """What is wanted for one destination.

    :param destination: a CIDR block
    :param private_ip_id: the target; None where the private IP is still to be made. For `absent`, None is any target
    :param description: None leaves that of an existing rule as it is
    """

    destination: str
    private_ip_id: str | None
    description: str | None
    state: Literal["present", "absent"]


@dataclass(frozen=True)
class Plan:
    """All rules of the table as they are to be, and those asked for before and after: by destination."""

    rules: tuple[RouteRule, ...]
    changed: bool
    before: Mapping[str, Mapping[str, Any]]
    after: Mapping[str, Mapping[str, Any]]


def parse(params: Iterable[Mapping[str, Any]], *, predict: bool) -> tuple[Request, ...]:
    """Read the module's option `rules`.

    :param predict: whether a private IP may be unknown, because it is still to be made
    :raises PlanError: with everything that is wrong with it
    """
    requests: list[Request] = []
    problems: list[str] = []
    for index, param in enumerate(params):
        name = f"rules[{index}]"
        try:
            destination = str(ip_network(param["destination"]))
        except ValueError:
            problems.append(f"{name}.destination = {param['destination']!r}: expected a CIDR block")
            continue
        if destination in (r.destination for r in requests):
            problems.append(f"{name}.destination = {destination!r}: expected once")
        if param["state"] == "present" and not param["private_ip_id"] and not predict:
            problems.append(f"{name}.private_ip_id = {param['private_ip_id']!r}: expected the OCID of a private IP")
        requests.append(Request(destination, param["private_ip_id"] or None, param["description"], param["state"]))
    if problems:
        raise PlanError(problems)
    return tuple(requests)


def plan(requests: Sequence[Request], rules: Sequence[RouteRule]) -> Plan:
    """Compare what is wanted with the rules of a table. Rules for other destinations stay, and all keep their order."""
    wanted = {r.destination: r for r in requests}
    after: list[RouteRule] = []
    for rule in rules:
        request = wanted.get(rule.destination)
        if request is None:
            after.append(rule)
        elif request.state == "present":
            after.append(
                replace(
                    rule,
                    network_entity_id=request.private_ip_id,
                    description=rule.description if request.description is None else request.description,
                )
            )
        elif request.private_ip_id not in (None, rule.network_entity_id):
            after.append(rule)
    there = {r.destination for r in rules}
    after += [
        RouteRule(r.destination, CIDR_BLOCK, r.private_ip_id, r.description, None)
        for r in requests
        if r.state == "present" and r.destination not in there
    ]
    return Plan(tuple(after), tuple(after) != tuple(rules), _shown(rules, wanted), _shown(after, wanted))


def _shown(rules: Iterable[RouteRule], wanted: Mapping[str, Request]) -> dict[str, Mapping[str, Any]]:
    return {
        r.destination: {"private_ip_id": r.network_entity_id, "description": r.description}
        for r in rules
        if r.destination in wanted
    }

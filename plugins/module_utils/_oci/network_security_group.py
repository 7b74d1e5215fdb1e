# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Network security groups: what is wanted, what is there, and what to do about it; and what a cluster needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Literal

from .errors import PlanError

SELF = "self"
"""The peer that is the group itself."""
RULES_PER_GROUP = 120
GROUPS_PER_VNIC = 5

_NUMBERS = {"all": "all", "icmp": "1", "tcp": "6", "udp": "17", "vrrp": "112"}
_NAMES = {number: name for name, number in _NUMBERS.items()}
_PROTOCOLS = frozenset(map(str, range(256)))
_WITH_PORTS = ("6", "17")

# Per engine what its nodes say to each other: protocol, ports and what it is. Corosync uses a port for each link, of
# which there are at most eight; pcs talks to the daemon of every node.
_PEERS = {
    "pacemaker": (("udp", "5405-5412", "Corosync"), ("tcp", "2224", "pcsd")),
    "keepalived": (("vrrp", None, "VRRP"),),
}


@dataclass(frozen=True)
class SecurityRule:
    """A rule of a group. Two are the same when all of it is.

    :param direction: INGRESS or EGRESS
    :param protocol: `all` or a number
    :param peer: a CIDR, SELF, or what else the API has: another group's OCID, a service's name
    :param ports: the destination's, from and to; None for all
    :param source_ports: the source's, likewise; the modules make no such rules
    :param icmp: type and, if given, code; the modules make no such rules
    """

    direction: str
    protocol: str
    peer: str
    ports: tuple[int, int] | None = None
    description: str = ""
    is_stateless: bool = False
    source_ports: tuple[int, int] | None = None
    icmp: tuple[int, int | None] | None = None

    def shown(self) -> dict[str, Any]:
        """The rule in the words of the module's options, with what these cannot say."""
        return {
            "direction": self.direction.lower(),
            "protocol": _NAMES.get(self.protocol, self.protocol),
            "peer": self.peer,
            "ports": _range(self.ports),
            "description": self.description,
            "is_stateless": self.is_stateless,
            "source_ports": _range(self.source_ports),
            "icmp": None if self.icmp is None else "/".join(str(n) for n in self.icmp if n is not None),
        }


@dataclass(frozen=True)
class NetworkSecurityGroup:
    """A group of a VCN, its rules by their IDs, and the VNICs in it."""

    id: str
    name: str
    vcn_id: str
    rules: Mapping[str, SecurityRule]
    vnic_ids: tuple[str, ...]

    def shown(self) -> dict[str, Any]:
        """What of a group the inventory decides, the same for every order of it."""
        return _shown(self.rules.values(), self.vnic_ids)


@dataclass(frozen=True)
class Member:
    """A VNIC with the groups that it is in; `etag` guards a change against one that someone else makes meanwhile."""

    vnic_id: str
    group_ids: tuple[str, ...]
    etag: str | None = None


@dataclass(frozen=True)
class Request:
    """What is wanted. None leaves the rules, or the VNICs, of a group as they are.

    :param purge_rules: whether the group is to lose all other rules
    """

    name: str
    state: Literal["present", "absent"]
    rules: tuple[SecurityRule, ...] | None
    vnic_ids: tuple[str, ...] | None
    purge_rules: bool = True


@dataclass(frozen=True)
class Plan:
    """What to do, in this order, and how the group looks before and after: None where there is none.

    :param action: whether to create it first, or to delete it at the end
    :param add: the rules to add
    :param join: the VNICs to put into it
    :param leave: the VNICs to take out of it
    :param remove: the IDs of the rules to remove
    """

    action: Literal["create", "delete"] | None
    add: tuple[SecurityRule, ...]
    join: tuple[str, ...]
    leave: tuple[str, ...]
    remove: tuple[str, ...]
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.action or self.add or self.join or self.leave or self.remove)


def peer_rules(engine: str) -> list[dict[str, Any]]:
    """What the nodes of a cluster need among themselves, as the option `rules`: from and to the group, and no wider.

    :param engine: `pacemaker` or `keepalived`
    """
    return [
        {"direction": direction, "protocol": protocol, "peer": SELF, "ports": ports, "description": description}
        for direction in ("ingress", "egress")
        for protocol, ports, description in _PEERS[engine]
    ]


def parse(params: Iterable[Mapping[str, Any]]) -> tuple[SecurityRule, ...]:
    """Read the module's option `rules`. Raises PlanError with everything that is wrong with it."""
    rules: dict[SecurityRule, int] = {}
    problems: list[str] = []
    for index, param in enumerate(params):
        rule, wrong = _parse(param)
        problems += [f"rules[{index}].{problem}" for problem in wrong]
        if not wrong and rules.setdefault(rule, index) != index:
            problems.append(f"rules[{index}]: expected once, rules[{rules[rule]}] is the same")
    if len(rules) > RULES_PER_GROUP:
        problems.append(f"rules: expected at most {RULES_PER_GROUP}, there are {len(rules)}")
    if problems:
        raise PlanError(problems)
    return tuple(rules)


def _parse(param: Mapping[str, Any]) -> tuple[SecurityRule, list[str]]:
    problems = []
    protocol = _NUMBERS.get(param["protocol"].lower(), param["protocol"])
    if protocol != "all" and protocol not in _PROTOCOLS:
        expected = f"{', '.join(_NUMBERS)} or a protocol's number"
        problems.append(f"protocol = {param['protocol']!r}: expected {expected}")
    if param["peer"] != SELF and not _is_network(param["peer"]):
        problems.append(f"peer = {param['peer']!r}: expected {SELF!r} or a network such as 192.0.2.0/24")
    ports = None
    if param["ports"] is not None:
        ports = _ports(param["ports"])
        if ports is None:
            problems.append(f"ports = {param['ports']!r}: expected a port or a range such as 5405-5412")
        if protocol not in _WITH_PORTS:
            problems.append(f"ports = {param['ports']!r}: expected none with the protocol {param['protocol']!r}")
    rule = SecurityRule(param["direction"].upper(), protocol, param["peer"], ports, param["description"] or "")
    return rule, problems


def _is_network(text: str) -> bool:
    try:
        return str(ip_network(text)) == text
    except ValueError:
        return False


def _ports(text: str) -> tuple[int, int] | None:
    ends = text.split("-")
    if len(ends) > 2 or not all(end.isdecimal() for end in ends):
        return None
    low, high = int(ends[0]), int(ends[-1])
    return (low, high) if 1 <= low <= high <= 65535 else None


def _range(ports: tuple[int, int] | None) -> str | None:
    return None if ports is None else "-".join(str(port) for port in dict.fromkeys(ports))


def _shown(rules: Iterable[SecurityRule], vnic_ids: Iterable[str]) -> dict[str, Any]:
    shown = [rule.shown() for rule in rules]
    return {"rules": sorted(shown, key=lambda rule: [str(v) for v in rule.values()]), "vnic_ids": sorted(vnic_ids)}


def affected(request: Request, current: NetworkSecurityGroup | None) -> tuple[str, ...]:
    """The VNICs whose groups would change."""
    join, leave = _membership(request, current)
    return (*join, *leave)


def _membership(request: Request, current: NetworkSecurityGroup | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who is to join and who to leave."""
    there = () if current is None else current.vnic_ids
    asked = tuple(dict.fromkeys(request.vnic_ids or ()))
    if request.state == "absent":
        return (), tuple(v for v in asked if v in there)
    leave = () if request.vnic_ids is None else tuple(v for v in there if v not in asked)
    return tuple(v for v in asked if v not in there), leave


def plan(request: Request, current: NetworkSecurityGroup | None, members: Mapping[str, Member]) -> Plan:
    """Compare what is wanted with what is there.

    :param members: the VNICs of `affected`, by OCID
    :raises PlanError: with everything that must not be carried out
    """
    join, leave = _membership(request, current)
    before = None if current is None else current.shown()
    there = {} if current is None else current.rules
    staying = tuple(v for v in (() if current is None else current.vnic_ids) if v not in leave)
    if request.state == "absent":
        if staying:
            others = ", ".join(staying)
            raise PlanError(
                [f"name = {request.name!r}: expected no VNICs in it but those of vnic_ids; there are also {others}"]
            )
        return Plan(None if current is None else "delete", (), (), leave, (), before, None)
    problems = [
        f"vnic_ids: expected each VNIC in at most {GROUPS_PER_VNIC} network security groups; "
        f"{v} is in {len(members[v].group_ids)} others"
        for v in join
        if len(members[v].group_ids) >= GROUPS_PER_VNIC
    ]
    if problems:
        raise PlanError(problems)
    kept = tuple(there.values()) if request.rules is None or not request.purge_rules else ()
    rules = (*kept, *(request.rules or ()))
    return Plan(
        action="create" if current is None else None,
        add=tuple(r for r in rules if r not in there.values()),
        join=join,
        leave=leave,
        remove=_surplus(there, rules),
        before=before,
        after=_shown(dict.fromkeys(rules), (*staying, *join)),
    )


def _surplus(there: Mapping[str, SecurityRule], wanted: Iterable[SecurityRule]) -> tuple[str, ...]:
    """The IDs of the rules that are not wanted, or are there already under another ID."""
    keep = {rule: key for key, rule in there.items() if rule in set(wanted)}
    return tuple(key for key, rule in there.items() if keep.get(rule) != key)

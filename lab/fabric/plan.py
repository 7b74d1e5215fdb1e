# SPDX-License-Identifier: GPL-3.0-or-later
"""From the control plane's picture to kernel objects, and from two sets of kernel objects to the steps between them.

A secondary private IP is one nexthop object. Its /32, every route rule that points at it and the anti-spoofing check
(a reverse lookup of the /32) refer to that object, so replacing it moves all of them in one atomic instant.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Literal, TypeAlias

from lab.fabric.view import Admission, Port, View

MAIN = 254
FIRST_SUBNET_TABLE = 1001
OPEN = ("",)
"""What a port admits that takes everything: the match that every packet fulfils."""
_PORTS: Mapping[int | None, str] = {6: "tcp", 17: "udp"}

SetName: TypeAlias = Literal["owned", "forwards", "silent", "cut"]
Member: TypeAlias = tuple[str | IPv4Address, ...]
Members: TypeAlias = dict[SetName, set[Member]]
"""What is in the sets of rules.nft."""


def port_name(instance: str, interface: str) -> str:
    """The fabric's end of an instance's interface; Linux allows 15 characters."""
    return f"cv-{instance[:6]}-{interface}"[:15]


@dataclass(frozen=True)
class Nexthop:
    gateway: IPv4Address
    device: str


@dataclass(frozen=True)
class Target:
    """Where a route leads: to a device, to a nexthop object, or (neither) into a black hole."""

    device: str | None = None
    nexthop: int | None = None


@dataclass(frozen=True)
class RuleSpec:
    """Packets that enter by `port` use `table`, except those for the port's own subnet."""

    port: str
    subnet: IPv4Network
    table: int


def _no_members() -> Members:
    return {"owned": set(), "forwards": set(), "silent": set(), "cut": set()}


@dataclass(frozen=True)
class Desired:
    """Kernel objects. Whoever applies the steps to one keeps another, of what the kernel has, up to date with each."""

    nexthops: dict[int, Nexthop] = field(default_factory=dict)
    routes: dict[tuple[int, IPv4Network], Target] = field(default_factory=dict)
    rules: set[RuleSpec] = field(default_factory=set)
    members: Members = field(default_factory=_no_members)
    admits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By port: matches of nftables, any of which lets a packet in that begins something."""

    def without_device(self, device: str) -> Desired:
        """What the kernel still has after it lost `device`: it drops the nexthops and routes of the link by itself."""
        gone = {i for i, hop in self.nexthops.items() if hop.device == device}
        return replace(
            self,
            nexthops={i: hop for i, hop in self.nexthops.items() if i not in gone},
            routes={k: t for k, t in self.routes.items() if t.device != device and t.nexthop not in gone},
        )


@dataclass(frozen=True)
class Steps:
    """The change from one Desired to another, in the order in which it must be applied."""

    add_members: Members
    set_admits: Mapping[str, tuple[str, ...]]
    set_nexthops: Mapping[int, Nexthop]
    set_routes: Mapping[tuple[int, IPv4Network], Target]
    del_routes: set[tuple[int, IPv4Network]]
    del_nexthops: set[int]
    add_rules: set[RuleSpec]
    del_rules: set[RuleSpec]
    del_members: Members


def plan(
    view: View,
    up: Collection[str],
    ids: Mapping[str, int],
    silent: Iterable[str] = (),
    cut: Iterable[tuple[str, str]] = (),
) -> Desired:
    """The kernel objects that make `view` true.

    `up` names the ports whose link is up: nothing can be routed to the others. `ids` maps a private IP's OCID to the
    number of its nexthop object and must know every one of the view. Nothing gets in or out of the instances `silent`,
    and nothing from the first to the second of a pair of `cut`, whichever ports they have.
    """
    ports: dict[str, Port] = {p.vnic_id: p for p in view.ports}
    name = {p.vnic_id: port_name(p.instance, p.interface) for p in view.ports}
    live = {p.vnic_id for p in view.ports if name[p.vnic_id] in up}
    subnets = {s.name: s for s in view.subnets}
    tables = {s.name: FIRST_SUBNET_TABLE + n for n, s in enumerate(view.subnets)}

    ends = defaultdict[str, list[str]](list)
    for port in view.ports:
        ends[port.instance].append(name[port.vnic_id])

    nexthops: dict[int, Nexthop] = {}
    routes: dict[tuple[int, IPv4Network], Target] = {}
    owned: set[Member] = {(name[p.vnic_id], p.address) for p in view.ports}
    for port in view.ports:
        if port.vnic_id in live:
            routes[MAIN, IPv4Network(port.address)] = Target(device=name[port.vnic_id])
    for floating in view.floatings:
        if floating.vnic_id is None:
            continue
        owned.add((name[floating.vnic_id], floating.address))
        if floating.vnic_id in live:
            number = ids[floating.private_ip_id]
            nexthops[number] = Nexthop(ports[floating.vnic_id].address, name[floating.vnic_id])
            routes[MAIN, IPv4Network(floating.address)] = Target(nexthop=number)
    for rule in view.rules:
        rule_id = ids.get(rule.private_ip_id)
        target = Target(nexthop=rule_id) if rule_id in nexthops else Target()
        routes[tables[rule.subnet], rule.destination] = target
    return Desired(
        nexthops,
        routes,
        {
            RuleSpec(name[p.vnic_id], subnets[p.subnet].cidr, tables[p.subnet])
            for p in view.ports
            if any(r.subnet == p.subnet for r in view.rules)
        },
        {
            "owned": owned,
            "forwards": {(name[p.vnic_id],) for p in view.ports if p.forwards},
            "silent": {(end,) for instance in silent for end in ends[instance]},
            "cut": {pair for a, b in cut for pair in itertools.product(ends[a], ends[b])},
        },
        {name[p.vnic_id]: _matches(p.admits, name) for p in view.ports},
    )


def _matches(admissions: Iterable[Admission], names: Mapping[str, str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(_match(a, names) for a in admissions if a.source))
    return OPEN if "" in found else found


def _match(admission: Admission, names: Mapping[str, str]) -> str:
    parts = []
    if isinstance(admission.source, IPv4Network):
        if admission.source.prefixlen:
            parts.append(f"ip saddr {admission.source}")
    else:
        # A VNIC's packets are known by where they enter, whatever addresses it has by then.
        parts.append(f"iifname {{ {', '.join(sorted(names[v] for v in admission.source))} }}")
    if admission.ports:
        low, high = admission.ports
        parts.append(f"{_PORTS[admission.protocol]} dport {low}-{high}")
    elif admission.protocol is not None:
        parts.append(f"meta l4proto {admission.protocol}")
    return " ".join(parts)


def steps(current: Desired, desired: Desired) -> Steps:
    """What to do so that `current` becomes `desired`."""
    return Steps(
        add_members={name: members - current.members[name] for name, members in desired.members.items()},
        # A port that is gone is opened: its name may come back in another subnet.
        set_admits={
            port: desired.admits.get(port, OPEN)
            for port in sorted(current.admits.keys() | desired.admits.keys())
            if current.admits.get(port, OPEN) != desired.admits.get(port, OPEN)
        },
        set_nexthops={i: hop for i, hop in desired.nexthops.items() if current.nexthops.get(i) != hop},
        set_routes={k: t for k, t in desired.routes.items() if current.routes.get(k) != t},
        del_routes=current.routes.keys() - desired.routes.keys(),
        del_nexthops=current.nexthops.keys() - desired.nexthops.keys(),
        add_rules=desired.rules - current.rules,
        del_rules=current.rules - desired.rules,
        del_members={name: members - desired.members[name] for name, members in current.members.items()},
    )

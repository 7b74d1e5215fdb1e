# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces of VNICs that nothing else configures: address, MTU, and a routing table of their own.

A packet from the address of such a VNIC, or from a VIP on it, has to leave by it: the cloud drops what comes from a
VNIC that does not have the source address. So each has a table with the VNIC's subnet and virtual router, and a rule
for each of its addresses. Everything is compared first, and only what differs is touched: an interface may hold VIPs.
"""

import ipaddress
import json
from typing import Any, Callable, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from cloudvip import process
from cloudvip.clock import Clock, Deadline
from cloudvip.config import TABLES, VnicInterface
from cloudvip.netdev import NetdevError

# Called with the arguments and the input of a program, returns its output, raises process.ProcessError.
Run = Callable[[Sequence[str], bytes], bytes]

# Of every rule: after the kernel's table of local addresses (0), before the main table (32766).
PRIORITY = 7000
# With which the mover puts a VIP on.
_VIP_PREFIX = 32
_PAUSE = 0.5


class Link(NamedTuple):
    """An interface. addresses: each with its prefix length."""

    name: str
    mac: str
    mtu: int
    up: bool
    addresses: FrozenSet[Tuple[str, int]]


class Route(NamedTuple):
    """A route in one of our tables. gateway, source: empty where there is none."""

    table: int
    destination: str
    gateway: str
    interface: str
    source: str


class Rule(NamedTuple):
    """A rule that leads from a source, an address or a network, to one of our tables."""

    source: str
    table: int
    priority: int


class Current(NamedTuple):
    """What the kernel has: the interfaces, and of routes and rules those of our tables."""

    links: Tuple[Link, ...]
    routes: FrozenSet[Route]
    rules: FrozenSet[Rule]

    def link(self, mac: str) -> Optional[Link]:
        """The interface with that MAC address."""
        return next((link for link in self.links if link.mac == mac), None)


def _routes(interface: VnicInterface, name: str) -> Tuple[Route, Route]:
    subnet = ipaddress.ip_network((interface.address, interface.prefix), strict=False)
    return (
        Route(interface.table, str(subnet), "", name, interface.address),
        Route(interface.table, "default", interface.gateway, name, ""),
    )


def _route_words(route: Route) -> str:
    options = (("via", route.gateway), ("dev", route.interface), ("src", route.source), ("table", str(route.table)))
    return " ".join([route.destination, *(f"{word} {value}" for word, value in options if value)])


def _rule_words(rule: Rule) -> str:
    return f"from {rule.source} lookup {rule.table} priority {rule.priority}"


def plan(desired: Sequence[VnicInterface], current: Current) -> List[str]:
    """What `ip -batch` has to do, in this order. Of an interface that is not there, nothing is wanted.

    What is in our tables and is not wanted was an interface that is configured no more: its rules, its routes and its
    primary address go. They stay while a VIP is on it that is configured no more: it is in use until it is released.
    """
    lines: List[str] = []
    routes: List[Route] = []
    rules: List[Rule] = []
    for interface in desired:
        link = current.link(interface.mac)
        if link is None:
            continue
        if link.mtu != interface.mtu:
            lines.append(f"link set dev {link.name} mtu {interface.mtu}")
        if not link.up:
            lines.append(f"link set dev {link.name} up")
        if (interface.address, interface.prefix) not in link.addresses:
            lines.append(f"address replace {interface.address}/{interface.prefix} dev {link.name}")
        routes += _routes(interface, link.name)
        rules += [Rule(a, interface.table, PRIORITY) for a in (interface.address, *interface.vips)]
    # A rule comes after the routes that it leads to and goes before them: no packet is to find half a table.
    lines += [f"route replace {_route_words(r)}" for r in routes if r not in current.routes]
    # systemd-networkd takes away what it has not made itself and does not believe to be the kernel's.
    lines += [f"rule add {_rule_words(r)} protocol kernel" for r in rules if r not in current.rules]
    held = {address for link in current.links for address, prefix in link.addresses if prefix == _VIP_PREFIX}
    held -= {rule.source for rule in rules}
    in_use = {rule.table for rule in current.rules if rule.source in held}
    lines += [f"rule delete {_rule_words(r)}" for r in sorted(current.rules.difference(rules)) if r.table not in in_use]
    # A route that was replaced had the table and the destination of the new one.
    wanted = {(route.table, route.destination) for route in routes}
    stale = [r for r in sorted(current.routes) if (r.table, r.destination) not in wanted and r.table not in in_use]
    # Before the routes, from which they are known.
    kept = {interface.address for interface in desired}
    lines += [
        f"address delete {address}/{prefix} dev {link.name}"
        for link in current.links
        for address, prefix in sorted(link.addresses)
        if address not in kept and any((r.interface, r.source) == (link.name, address) for r in stale)
    ]
    return lines + [f"route delete {_route_words(r)}" for r in stale]


def absent(desired: Sequence[VnicInterface], current: Current) -> List[str]:
    """For each interface that is not there, that it is not."""
    return [
        f"no interface has the MAC address {interface.mac} ({interface.address}); is its VNIC attached?"
        for interface in desired
        if current.link(interface.mac) is None
    ]


def differences(desired: Sequence[VnicInterface], current: Current) -> List[str]:
    """Everything that is not as it should be."""
    return absent(desired, current) + [f"not done: ip {line}" for line in plan(desired, current)]


def parse(links: str, routes: str, rules: str) -> Current:
    """The output of `ip -json -4` for address, for route with table all, and for rule. Raises NetdevError."""
    try:
        return Current(
            tuple(
                Link(
                    str(link["ifname"]),
                    str(link.get("address", "")).lower(),
                    int(link["mtu"]),
                    "UP" in link["flags"],
                    frozenset((str(a["local"]), int(a["prefixlen"])) for a in link["addr_info"] if "local" in a),
                )
                for link in json.loads(links)
            ),
            frozenset(
                Route(
                    int(route["table"]),
                    str(route["dst"]),
                    str(route.get("gateway", "")),
                    str(route.get("dev", "")),
                    str(route.get("prefsrc", "")),
                )
                for route in json.loads(routes)
                if _is_ours(route)
            ),
            frozenset(
                Rule(
                    str(rule["src"]) + (f"/{rule['srclen']}" if "srclen" in rule else ""),
                    int(rule["table"]),
                    int(rule["priority"]),
                )
                for rule in json.loads(rules)
                if _is_ours(rule)
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NetdevError(f"the output of ip is not understood: {error!r}") from error


def _is_ours(entry: Dict[str, Any]) -> bool:
    # Tables that have a name are given by it.
    table = str(entry.get("table", ""))
    return table.isdigit() and int(table) in TABLES


def _run_ip(argv: Sequence[str], data: bytes) -> bytes:
    return process.run(argv, data)


class Interfaces:
    """Looks at the interfaces and configures them."""

    def __init__(self, clock: Clock, run: Run = _run_ip) -> None:
        self._clock = clock
        self._run = run

    def read(self) -> Current:
        """What the kernel has now. Raises NetdevError."""
        # Not -4 for the addresses: that leaves out what has none yet.
        links = self._ip("-json", "address", "show")
        return parse(
            links, self._ip("-json", "-4", "route", "show", "table", "all"), self._ip("-json", "-4", "rule", "show")
        )

    def apply(self, desired: Sequence[VnicInterface], seconds: float) -> List[str]:
        """Make it so, and return what was done. What is there already is configured at once.

        seconds: how long to wait for interfaces that are not there; at boot a VNIC may come late.
        Raises NetdevError if it is not so in the end; what could be done is done.
        """
        deadline = Deadline(self._clock, seconds)
        done: List[str] = []
        tried: List[str] = []
        problem = ""
        while True:
            current = self.read()
            lines = plan(desired, current)
            if lines and lines != tried:
                tried, problem = lines, self._change(lines)
                done += lines
            elif absent(desired, current) and deadline.remaining() > 0:
                self._clock.sleep(_PAUSE)
            else:
                break
        wrong = differences(desired, current)
        if wrong:
            raise NetdevError("; ".join(wrong) + problem)
        return done

    def _change(self, lines: Sequence[str]) -> str:
        """Returns what `ip` said about it. What counts is how it is afterwards."""
        try:
            self._run(["ip", "-force", "-batch", "-"], "\n".join(lines).encode("ascii") + b"\n")
        except process.ProcessError as error:
            return f" ({error})"
        return ""

    def _ip(self, *arguments: str) -> str:
        try:
            return self._run(["ip", *arguments], b"").decode("utf-8", "replace")
        except process.ProcessError as error:
            raise NetdevError(str(error)) from error

# SPDX-License-Identifier: GPL-3.0-or-later
"""This node's network interfaces, through iproute2: one process to look, one to change."""

import json
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from cloudvip import process
from cloudvip.model import Link, Truth, Vip

# Called with the arguments and the input of a program, returns its output, raises process.ProcessError.
Run = Callable[[Sequence[str], bytes], bytes]


class NetdevError(Exception):
    """The interfaces cannot be read, or are not as they should be after a change."""


class Interface(NamedTuple):
    """addresses: each one's prefix lengths, as it may be there more than once. member: a port of a bond or a bridge."""

    name: str
    mac: str
    carrier: bool
    member: bool
    addresses: Dict[str, Tuple[int, ...]]


def parse(text: str) -> List[Interface]:
    """The interfaces in the output of `ip -json address show`. Raises NetdevError."""
    try:
        return [
            Interface(
                str(link["ifname"]),
                str(link.get("address", "")).lower(),
                "LOWER_UP" in link.get("flags", []),
                "master" in link,
                _addresses(link.get("addr_info", [])),
            )
            # iproute2 leaves an empty object for every interface that a filter left out.
            for link in json.loads(text)
            if link
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NetdevError(f"the output of ip is not understood: {error}") from error


def _addresses(entries: Sequence[Any]) -> Dict[str, Tuple[int, ...]]:
    found: Dict[str, Tuple[int, ...]] = {}
    for entry in entries:
        if "local" in entry:
            address = str(entry["local"])
            found[address] = (*found.get(address, ()), int(entry["prefixlen"]))
    return found


def find(interfaces: Iterable[Interface], vip: Vip) -> Optional[Interface]:
    """The interface of a VIP: the one with its VNIC's MAC address, whatever its name is today.

    A VLAN, a bridge or a bond shares its MAC address with what it stands on: then the configured name decides, and
    failing that the one that is not just a port.
    """
    candidates = [i for i in interfaces if i.mac == vip.mac]
    candidates.sort(key=lambda i: (i.name != vip.interface, i.member))
    return candidates[0] if candidates else None


def sight(interfaces: Optional[Sequence[Interface]], vip: Vip) -> Tuple[Truth, Link]:
    """Where a VIP is as far as this node's interfaces tell. `interfaces` is None when they could not be read."""
    if interfaces is None:
        return Truth.UNKNOWN, Link.UNKNOWN
    interface = find(interfaces, vip)
    if interface is None:
        return Truth.ELSEWHERE, Link.MISSING
    local = Truth.HERE if vip.address in interface.addresses else Truth.ELSEWHERE
    return local, Link.UP if interface.carrier else Link.NO_CARRIER


def _run_ip(argv: Sequence[str], data: bytes) -> bytes:
    return process.run(argv, data)


class Netdev:
    """Reads and changes the interfaces."""

    def __init__(self, run: Run = _run_ip) -> None:
        self._run = run

    def read(self) -> List[Interface]:
        """All interfaces with their addresses. Raises NetdevError."""
        try:
            output = self._run(["ip", "-json", "address", "show"], b"")
        except process.ProcessError as error:
            raise NetdevError(str(error)) from error
        return parse(output.decode("utf-8", "replace"))

    def change(self, interfaces: Sequence[Interface], add: Sequence[Vip] = (), remove: Sequence[Vip] = ()) -> None:
        """Put VIPs on their interfaces and take others off wherever they are, all in one process.

        interfaces: what read() returned. Raises NetdevError if it is not so afterwards; what could be done is done.
        """
        lines = self._removals(interfaces, remove)
        for vip in add:
            interface = find(interfaces, vip)
            if interface is None:
                raise NetdevError(f"no interface has the MAC address {vip.mac} ({vip.interface})")
            lines += self._removals([i for i in interfaces if i is not interface], [vip])
            # With the longest prefix it is an address and nothing else: no route to the subnet, never chosen as a
            # source, and never the primary one whose removal takes the others of its subnet along. IPv6 needs more for
            # that: "deprecated" (preferred for 0 s) so that it is no source. And no detection of duplicates: the node
            # that had it before may still have it, and the cloud delivers it to one of them only.
            options = "/128 dev {} nodad preferred_lft 0" if vip.ipv6 else "/32 dev {}"
            lines.append(f"address replace {vip.address}{options.format(interface.name)} noprefixroute")
        if not lines:
            return
        problem = ""
        try:
            self._run(["ip", "-force", "-batch", "-"], "\n".join(lines).encode("ascii") + b"\n")
        except process.ProcessError as error:
            problem = f" ({error})"
        # An address that went away by itself is no failure, so what counts is how it is now.
        self._verify(add, remove, problem)

    @staticmethod
    def _removals(interfaces: Sequence[Interface], vips: Sequence[Vip]) -> List[str]:
        return [
            f"address delete {vip.address}/{prefix} dev {interface.name}"
            for vip in vips
            for interface in interfaces
            for prefix in interface.addresses.get(vip.address, ())
        ]

    def _verify(self, add: Sequence[Vip], remove: Sequence[Vip], problem: str) -> None:
        now = self.read()
        wrong = [f"{v.address} is not on {v.interface}" for v in add if sight(now, v)[0] is not Truth.HERE]
        wrong += [line.replace("address delete", "still there:") for line in self._removals(now, remove)]
        if wrong:
            raise NetdevError("; ".join(wrong) + problem)

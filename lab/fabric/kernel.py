# SPDX-License-Identifier: GPL-3.0-or-later
"""The data plane: one network namespace that routes as a VCN does, and the VNICs that plug into it.

All of it happens in one worker thread that lives in the VCN's namespace; the public methods may be called from any
thread but one at a time, which the control plane's lock sees to.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from lab.fabric import ns
from lab.fabric.netlink import LinkWatch, RouteSocket
from lab.fabric.nft import Nft
from lab.fabric.plan import Desired, Member, Members, RuleSpec, Steps, plan, port_name, steps
from lab.fabric.view import Port, View
from lab.paths import VCN_NETNS
from lab.topology import API_ADDRESS, METADATA_ADDRESS

MTU = 9000
UPLINK, UPLINK_HOST = "cvlup0", "cvlup1"
UPLINK_ADDRESS, UPLINK_HOST_ADDRESS, UPLINK_PREFIX = "198.18.255.1", "198.18.255.2", 30
SINK = "cvlsink"
_OWN_SUBNET_PREFERENCE, _ROUTE_TABLE_PREFERENCE = 50, 51
_EMPTY_VIEW = View((), (), (), ())

OnMoved = Callable[[str, str, int], None]
"""Called with a private IP's OCID, the port that now gets its packets, and the monotonic time (ns) of the move."""


def _chain(port: str, matches: tuple[str, ...]) -> Iterator[str]:
    """The commands after which the port has a chain of its own with exactly these matches."""
    chain = f"inet cvl {port}"
    yield f"add chain {chain}"
    yield f"flush chain {chain}"
    # Only with this rule does the kernel keep track of connections: a fabric without security lists does without.
    # Answers pass. What goes the way of the first packet needs a rule each time: after a move another VNIC decides.
    yield f"add rule {chain} ct direction reply accept"
    yield f"add rule {chain} ct state related accept"
    for match in matches:
        yield f"add rule {chain} {match} accept"
    yield f"add rule {chain} counter name refused drop"
    yield f'add element inet cvl admission {{ "{port}" : goto {port} }}'


def _element(member: Member) -> str:
    return " . ".join(f'"{part}"' if isinstance(part, str) else str(part) for part in member)


def _sysctl(key: str, value: int) -> None:
    Path("/proc/sys/net", key).write_text(f"{value}\n", encoding="ascii")


@contextlib.contextmanager
def _gone_is_fine() -> Iterator[None]:
    """A link goes by itself, between any two calls, when the kernel gets round to the namespace of a node that died."""
    try:
        yield
    except NetlinkError as error:
        if error.code != errno.ENODEV:
            raise


class Fabric:
    """The VCN's kernel side. Raises OSError and NftError where the kernel refuses something unexpected."""

    def __init__(self, on_moved: OnMoved) -> None:
        self._on_moved = on_moved
        self._view = _EMPTY_VIEW
        self._current = Desired()
        self._plugged: dict[int, Port] = {}  # by interface index
        self._up: dict[str, int] = {}  # port name -> interface index, for links that have a carrier
        self._ids: dict[str, int] = {}
        self._silent: set[str] = set()  # instances
        self._cut: set[tuple[str, str]] = set()  # instances, from the first to the second
        self._numbers = itertools.count(1)
        self._executor = ns.executor_in(VCN_NETNS, self._open)

    def _open(self) -> None:
        self._ip = IPRoute()
        self._routes = RouteSocket()
        self._watch = LinkWatch()
        self._nft = Nft()

    async def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    # -- set-up ------------------------------------------------------------------------------------------------------

    async def build(self, view: View) -> None:
        """Turn the empty namespace into a VCN: addresses that the fabric itself answers, sink, uplink, packet rules."""
        await self._run(self._build, view)
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._heard)

    def _build(self, view: View) -> None:
        for key, value in {
            "ipv4/ip_forward": 1,
            "ipv4/conf/all/send_redirects": 0,
            "ipv4/conf/default/send_redirects": 0,
            "ipv4/conf/all/rp_filter": 0,
            "ipv4/conf/default/rp_filter": 0,
            "ipv4/conf/default/proxy_arp": 1,
            "ipv6/conf/default/disable_ipv6": 1,
        }.items():
            _sysctl(key, value)
        lo = self._index("lo")
        # The gateways first: the kernel takes the first address as the source of its own packets.
        for address in [*(str(s.gateway) for s in view.subnets), API_ADDRESS, METADATA_ADDRESS]:
            self._ip.addr("add", index=lo, address=address, prefixlen=32)
        # With a route for the whole subnet the fabric answers ARP for any address; what goes there is dropped.
        subprocess.run(["ip", "tuntap", "add", SINK, "mode", "tun"], check=True)
        self._ip.link("set", ifname=SINK, state="up")
        for subnet in view.subnets:
            self._ip.route("add", dst=str(subnet.cidr), oif=self._index(SINK))
        uplink = self._index(UPLINK)
        self._ip.addr("add", index=uplink, address=UPLINK_ADDRESS, prefixlen=UPLINK_PREFIX)
        self._ip.link("set", index=uplink, state="up")
        self._ip.route("add", dst="default", gateway=UPLINK_HOST_ADDRESS)
        self._nft.run(resources.files("lab.fabric").joinpath("rules.nft").read_text(encoding="utf-8"))
        # A VCN is no router hop inside a subnet: give back the TTL that forwarding takes (VRRP checks for 255).
        # nft 1.0 cannot add to a TTL, the xtables target can.
        subprocess.run(
            [
                "iptables-nft",
                "-t",
                "mangle",
                "-A",
                "FORWARD",
                "-i",
                "cv-+",
                "-o",
                "cv-+",
                "-j",
                "TTL",
                "--ttl-inc",
                "1",
            ],
            check=True,
        )

    # -- links -------------------------------------------------------------------------------------------------------

    async def plug(self, port: Port, netns: Path, gateway: IPv4Address, prefix: int, *, default_route: bool) -> None:
        """Give the instance that lives in `netns` its interface, configured as DHCP would configure it."""
        await self._run(self._plug, port, netns, gateway, prefix, default_route)

    def _plug(self, port: Port, netns: Path, gateway: IPv4Address, prefix: int, default_route: bool) -> None:
        self._add_link(port, netns)
        with ns.enter(netns), IPRoute() as inside:
            (lo,) = inside.link_lookup(ifname="lo")
            inside.link("set", index=lo, state="up")
            (index,) = inside.link_lookup(ifname=port.interface)
            inside.addr("add", index=index, address=str(port.address), prefixlen=prefix)
            inside.link("set", index=index, state="up")
            if default_route:
                inside.route("add", dst="default", gateway=str(gateway))
        self._link_up(port)

    async def plug_bare(self, port: Port, netns: Path) -> None:
        """Give the instance an interface as it gets that of a secondary VNIC: down and without an address."""

        def work() -> None:
            self._add_link(port, netns)
            self._link_up(port)

        await self._run(work)

    def _add_link(self, port: Port, netns: Path) -> None:
        name = port_name(port.instance, port.interface)
        self._unplug(name)
        with open(netns, "rb") as target:
            self._ip.link(
                "add",
                ifname=name,
                kind="veth",
                mtu=MTU,
                peer={"ifname": port.interface, "mtu": MTU, "address": port.mac, "net_ns_fd": target.fileno()},
            )
        # The default is a random delay of up to 0.8 s before a proxied ARP answer.
        _sysctl(f"ipv4/neigh/{name}/proxy_delay", 0)

    def _link_up(self, port: Port) -> None:
        name = port_name(port.instance, port.interface)
        index = self._index(name)
        self._ip.link("set", index=index, state="up")
        # Permanent: the fabric knows its VNICs and learns nothing from ARP, gratuitous or not.
        self._ip.neigh("replace", dst=str(port.address), lladdr=port.mac, ifindex=index, state=0x80)
        self._plugged[index] = port
        if self._is_up(name):
            self._up[name] = index
        self._reconcile()

    def _heard(self) -> None:
        """An instance takes its end of a link up and down when it likes, and what is routed to it goes and comes."""
        carriers = self._watch.read()
        if carriers:
            following = asyncio.get_running_loop().run_in_executor(self._executor, self._follow_carriers, carriers)
            # Nobody waits for it: what it raises is raised again here, for the loop's exception handler.
            following.add_done_callback(lambda done: done.result())

    def _follow_carriers(self, carriers: Mapping[int, bool]) -> None:
        for index, carrier in carriers.items():
            port = self._plugged.get(index)
            if port is None:
                continue
            name = port_name(port.instance, port.interface)
            if carrier and name not in self._up:
                self._up[name] = index
                self._reconcile()
            elif not carrier and name in self._up:
                self._forget(name)

    async def unplug(self, port: Port) -> None:
        """Take a link away, as when its instance is powered off. One that is gone already is fine."""
        await self._run(self._unplug, port_name(port.instance, port.interface))

    def _unplug(self, name: str) -> None:
        self._plugged = {i: p for i, p in self._plugged.items() if port_name(p.instance, p.interface) != name}
        with _gone_is_fine():
            for index in self._ip.link_lookup(ifname=name):
                self._ip.link("set", index=index, state="down")
                self._ip.link("del", index=index)
        self._forget(name)

    async def set_link(self, instance: str, interface: str, *, up: bool) -> None:
        """Pull or plug an interface's cable: the instance sees its carrier go or come. Raises ValueError."""

        def work() -> None:
            (port,) = [p for p in self._view.ports if (p.instance, p.interface) == (instance, interface)]
            name = port_name(instance, interface)
            if up:
                self._link_up(port)
            else:
                self._ip.link("set", index=self._index(name), state="down")
                self._forget(name)

        await self._run(work)

    def _forget(self, name: str) -> None:
        self._up.pop(name, None)
        self._current = self._current.without_device(name)
        self._reconcile()

    def _index(self, name: str) -> int:
        found = self._ip.link_lookup(ifname=name)
        if not found:
            raise OSError(errno.ENODEV, f"{name}: no such link")
        return int(found[0])

    # -- placement ---------------------------------------------------------------------------------------------------

    async def apply(self, view: View) -> None:
        """Make the kernel agree with the control plane."""

        def work() -> None:
            self._view = view
            self._reconcile()

        await self._run(work)

    def _reconcile(self) -> None:
        for floating in self._view.floatings:
            if floating.private_ip_id not in self._ids:
                self._ids[floating.private_ip_id] = next(self._numbers)
        while True:
            desired = plan(self._view, self._up, self._ids, self._silent, self._cut)
            try:
                self._apply(steps(self._current, desired))
            except OSError as error:
                # A node that crashed took its links with it before anybody said so: go on without them.
                lost = [name for name in self._up if not self._is_up(name)]
                if error.errno not in (errno.ENODEV, errno.ENETDOWN) or not lost:
                    raise
                for name in lost:
                    del self._up[name]
                    self._current = self._current.without_device(name)
            else:
                self._current = desired
                return

    def _is_up(self, name: str) -> bool:
        with _gone_is_fine():
            for index in self._ip.link_lookup(ifname=name):
                return bool(self._ip.link("get", index=index)[0].get("carrier"))
        return False

    def _apply(self, todo: Steps) -> None:
        """Take the steps. The current state follows each but the last: where one is refused, the next plan begins."""
        now = self._current
        # A destination is allowed before the packets turn and disallowed after: nothing is lost in between.
        self._change("add", todo.add_members)
        for name, members in todo.add_members.items():
            now.members[name].update(members)
        if todo.set_admits:
            lines = [line for port, matches in todo.set_admits.items() for line in _chain(port, matches)]
            self._nft.run("\n".join(lines))
            now.admits.update(todo.set_admits)
        names = {number: ocid for ocid, number in self._ids.items()}
        for number, hop in todo.set_nexthops.items():
            self._routes.set_nexthop(number, hop.gateway, self._up[hop.device])
            now.nexthops[number] = hop
            self._on_moved(names[number], hop.device, time.monotonic_ns())
        for (table, destination), target in todo.set_routes.items():
            index = self._up[target.device] if target.device else None
            self._routes.set_route(table, destination, nexthop=target.nexthop, index=index)
            now.routes[table, destination] = target
        for table, destination in todo.del_routes:
            self._routes.del_route(table, destination)
            del now.routes[table, destination]
        for number in todo.del_nexthops:
            self._routes.del_nexthop(number)
            del now.nexthops[number]
        for rule in todo.add_rules:
            self._rule("add", rule)
            now.rules.add(rule)
        for rule in todo.del_rules:
            self._rule("del", rule)
            now.rules.remove(rule)
        self._change("delete", todo.del_members)

    def _change(self, verb: str, sets: Members) -> None:
        lines = [
            f"{verb} element inet cvl {name} {{ {', '.join(sorted(map(_element, members)))} }}"
            for name, members in sets.items()
            if members
        ]
        if lines:
            self._nft.run("\n".join(lines))

    def _rule(self, verb: str, rule: RuleSpec) -> None:
        self._ip.rule(verb, iifname=rule.port, dst=str(rule.subnet), table=254, priority=_OWN_SUBNET_PREFERENCE)
        self._ip.rule(verb, iifname=rule.port, table=rule.table, priority=_ROUTE_TABLE_PREFERENCE)

    # -- nemesis -----------------------------------------------------------------------------------------------------

    async def silence(self, instance: str, *, silent: bool) -> None:
        """Let nothing in or out of an instance's VNICs: what the network sees of a machine without power."""

        def work() -> None:
            self._silent = self._silent | {instance} if silent else self._silent - {instance}
            self._reconcile()

        await self._run(work)

    async def cut(self, sources: list[str], targets: list[str], *, cut: bool) -> None:
        """Cut (or heal) every path from the instances `sources` to the instances `targets`, in that direction."""

        def work() -> None:
            pairs = set(itertools.product(sources, targets))
            self._cut = self._cut | pairs if cut else self._cut - pairs
            self._reconcile()

        await self._run(work)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._watch.fileno())
        self._executor.shutdown()

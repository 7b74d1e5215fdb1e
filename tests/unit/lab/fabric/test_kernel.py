# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that dies takes its links with it at a moment of the kernel's own choosing, rules change all at once, and what
the kernel refuses leaves nothing behind."""

from __future__ import annotations

import asyncio
import errno
import itertools
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from pyroute2 import NetlinkError

from lab.fabric import kernel
from lab.fabric.netlink import LinkWatch, RouteSocket
from lab.fabric.nft import Nft, NftError
from lab.fabric.plan import Desired
from lab.fabric.view import ANYTHING, Admission, Floating, Port, Rule, SubnetView, View


class Vanishing:
    """An IPRoute whose link is there when looked up and gone when used."""

    def __init__(self, code: int) -> None:
        self.code = code

    def link_lookup(self, **_: Any) -> tuple[int]:
        return (7,)

    def link(self, *_: Any, **__: Any) -> None:
        raise NetlinkError(self.code)


class Steady:
    """An IPRoute whose links are all there and up. It refuses to add a rule twice, and to delete one that it lacks."""

    def __init__(self) -> None:
        self.rules: list[dict[str, Any]] = []

    def rule(self, verb: str, **rule: Any) -> None:
        if (verb == "add") is (rule in self.rules):
            raise NetlinkError(errno.EEXIST)
        (self.rules.append if verb == "add" else self.rules.remove)(rule)

    def link_lookup(self, **_: Any) -> tuple[int]:
        return (7,)

    def link(self, *_: Any, **__: Any) -> list[dict[str, int]]:
        return [{"carrier": 1}]


class Commands(Nft):
    """An nftables that keeps what it was told, one string a transaction, and refuses what begins with `refused`."""

    def __init__(self) -> None:
        self.transactions: list[str] = []
        self.refused = "nothing"

    def run(self, commands: str) -> None:
        if commands.startswith(self.refused):
            raise NftError(commands)
        self.transactions.append(commands)

    def members(self, name: str) -> set[str]:
        """What is in a set by now."""
        found: set[str] = set()
        for line in "\n".join(self.transactions).splitlines():
            verb, _, rest = line.partition(f" element inet cvl {name} {{ ")
            members = set(rest.removesuffix(" }").split(", ")) if rest else set()
            assert verb != "delete" or members <= found, "nftables deletes no element that is not there"
            found = found - members if verb == "delete" else found | members
        return found

    def admitted(self, port: str) -> list[str]:
        """The matches that let a packet in by now."""
        found, rule = [""], f"add rule inet cvl {port} "
        for line in "\n".join(self.transactions).splitlines():
            if line == f"flush chain inet cvl {port}":
                found = []
            elif line.startswith(rule) and line.endswith(" accept") and f"{rule}ct" not in line:
                found.append(line.removeprefix(rule).removesuffix(" accept"))
        return found


class Routes(RouteSocket):
    """A kernel's nexthops and routes. It refuses to set those of `refused`."""

    def __init__(self) -> None:
        self.kept: dict[Any, Any] = {}
        self.refused: set[Any] = set()

    def _set(self, key: Any, value: Any) -> None:
        if key in self.refused:
            raise OSError(errno.EINVAL, "refused")
        self.kept[key] = value

    def set_nexthop(self, number: int, gateway: IPv4Address, index: int) -> None:
        self._set(number, (gateway, index))

    def del_nexthop(self, number: int) -> None:
        del self.kept[number]

    def set_route(
        self, table: int, destination: IPv4Network, *, nexthop: int | None = None, index: int | None = None
    ) -> None:
        self._set((table, destination), (nexthop, index))

    def del_route(self, table: int, destination: IPv4Network) -> None:
        del self.kept[table, destination]


class News(LinkWatch):
    """A watch that heard of one link's carrier, or lost what it heard."""

    def __init__(self, carriers: dict[int, bool] | None) -> None:
        self._carriers = carriers

    def read(self) -> dict[int, bool]:
        if self._carriers is None:
            raise OSError(errno.ENOBUFS, "lost")
        return self._carriers


class Keeping(ThreadPoolExecutor):
    """A worker thread whose results are never collected: what nobody reads of them is not reported by itself."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self._kept: list[Future[Any]] = []

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        self._kept.append(super().submit(*args, **kwargs))
        return self._kept[-1]


class Fabric(kernel.Fabric):
    """A fabric without a namespace, whose kernel is `ip`."""

    def __init__(self, ip: Any, *up: str) -> None:
        self._ip = ip
        self._on_moved = lambda *_: None
        self._view = View((), (), (), ())
        self._current = Desired()
        self._plugged = {}
        self._up = {name: index for index, name in enumerate(up or ["cv-vr1-0"], 7)}
        self._ids = {}
        self._numbers = itertools.count(1)
        self._silent = set()
        self._cut = set()
        self._nft = self.nft = Commands()
        self._routes = self.routes = Routes()
        self._executor = Keeping()

    def unplug_link(self) -> dict[str, int]:
        """Returns the links that are up afterwards."""
        self._unplug("cv-vr1-0")
        return self._up

    def link_is_up(self) -> bool:
        return self._is_up("cv-vr1-0")

    def hear(self, port: Port, carrier: bool) -> set[str]:
        """Let the kernel say that a plugged port's carrier came or went. Returns the links that are up afterwards."""
        self._plugged = {9: port}
        self._follow_carriers({4: True, 9: carrier})
        return set(self._up)

    async def failure(self, port: Port, carriers: dict[int, bool] | None) -> str:
        """Let a plugged port's carrier come, or its news be lost. Returns what the event loop then has to report."""
        reported: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.put_nowait(str(context["exception"])))
        self._plugged = {9: port}
        self._watch = News(carriers)
        loop.call_soon(self._heard)
        return await asyncio.wait_for(reported.get(), 10)


def test_a_link_that_goes_while_it_is_unplugged_is_unplugged() -> None:
    assert Fabric(Vanishing(errno.ENODEV)).unplug_link() == {}


def test_a_link_that_goes_while_it_is_looked_at_is_down() -> None:
    assert not Fabric(Vanishing(errno.ENODEV)).link_is_up()


def test_what_else_the_kernel_refuses_is_not_swallowed() -> None:
    with pytest.raises(NetlinkError):
        Fabric(Vanishing(errno.EPERM)).unplug_link()


def test_a_port_is_up_as_long_as_its_instance_has_the_interface_up() -> None:
    port = Port("v", "vr1", "ens7", "02:00:17:00:00:01", IPv4Address("10.0.0.5"), "s", False)
    fabric = Fabric(None)
    assert fabric.hear(port, True) == {"cv-vr1-0", "cv-vr1-ens7"}
    assert fabric.hear(port, False) == {"cv-vr1-0"}


def attached(*places: str) -> View:
    """A view with these ports, each a node and an interface."""
    ports = tuple(
        Port(place, node, interface, f"02:00:17:00:00:0{n}", IPv4Address(f"10.0.0.{n}"), "s", False)
        for n, place in enumerate(places, 2)
        for node, interface in [place.split()]
    )
    return View((SubnetView("s", IPv4Network("10.0.0.0/28"), IPv4Address("10.0.0.1")),), ports, (), ())


def test_a_silence_holds_for_a_port_that_comes_and_leaves_nothing_of_one_that_went() -> None:
    fabric = Fabric(Steady())

    async def test() -> None:
        await fabric.apply(attached("vr1 ens3", "vr1 ens5", "vr2 ens3"))
        await fabric.silence("vr1", silent=True)
        assert fabric.nft.members("silent") == {'"cv-vr1-ens3"', '"cv-vr1-ens5"'}
        await fabric.apply(attached("vr1 ens3", "vr1 ens7", "vr2 ens3"))
        assert fabric.nft.members("silent") == {'"cv-vr1-ens3"', '"cv-vr1-ens7"'}
        await fabric.silence("vr1", silent=False)
        assert fabric.nft.members("silent") == set()

    asyncio.run(test())


def test_a_partition_holds_for_a_port_that_comes_and_leaves_nothing_of_one_that_went() -> None:
    fabric = Fabric(Steady())

    async def test() -> None:
        await fabric.apply(attached("vr1 ens3", "vr1 ens5", "vr2 ens3"))
        await fabric.cut(["vr1"], ["vr2"], cut=True)
        await fabric.apply(attached("vr1 ens3", "vr1 ens7", "vr2 ens3"))
        assert fabric.nft.members("cut") == {'"cv-vr1-ens3" . "cv-vr2-ens3"', '"cv-vr1-ens7" . "cv-vr2-ens3"'}
        await fabric.cut(["vr1"], ["vr2"], cut=False)
        await fabric.apply(attached("vr1 ens3", "vr1 ens5", "vr2 ens3"))
        assert fabric.nft.members("cut") == set()

    asyncio.run(test())


def test_faults_that_are_there_or_not_there_already_change_nothing() -> None:
    fabric = Fabric(Steady())

    async def test() -> None:
        await fabric.apply(attached("vr1 ens3", "vr2 ens3"))
        for broken in (False, True, True, False, False):
            await fabric.silence("vr1", silent=broken)
            await fabric.cut(["vr2"], ["vr1"], cut=broken)
            assert bool(fabric.nft.members("silent")) is bool(fabric.nft.members("cut")) is broken

    asyncio.run(test())


def test_a_port_is_cut_off_before_anything_is_routed_to_it() -> None:
    fabric = Fabric(Steady(), "cv-vr1-ens3", "cv-vr2-ens3", "cv-vr1-ens7")

    async def test() -> None:
        await fabric.apply(attached("vr1 ens3", "vr2 ens3"))
        await fabric.cut(["vr1"], ["vr2"], cut=True)
        fabric.routes.refused = {(254, IPv4Network("10.0.0.4/32"))}
        with pytest.raises(OSError, match="refused"):
            await fabric.apply(attached("vr1 ens3", "vr2 ens3", "vr1 ens7"))

    asyncio.run(test())
    assert '"cv-vr1-ens7" . "cv-vr2-ens3"' in fabric.nft.members("cut")


def held_by(*holders: str | None) -> View:
    view = attached("vr1 ens3", "vr2 ens3")
    floatings = tuple(Floating(f"vip{n}", IPv4Address(f"10.0.0.{n}"), h) for n, h in enumerate(holders, 7))
    return replace(view, floatings=floatings)


ONE = held_by("vr1 ens3", "vr1 ens3", None, "vr1 ens3")
OTHER = replace(
    held_by("vr2 ens3", "vr2 ens3", "vr2 ens3", None),
    ports=(replace(ONE.ports[0], admits=(Admission(IPv4Network("0.0.0.0/0"), 6),)), ONE.ports[1]),
    rules=(Rule("s", IPv4Network("10.9.0.0/28"), "vip9"),),
)


@pytest.mark.parametrize(("before", "after"), [(ONE, OTHER), (OTHER, ONE)], ids=["there", "back"])
@pytest.mark.parametrize(
    ("words", "keys"),
    [
        ("add", set()),
        ("nothing", {2}),
        ("nothing", {(254, IPv4Network("10.0.0.9/32")), (254, IPv4Network("10.0.0.10/32"))}),
        ("delete", set()),
    ],
    ids=["the first step", "the second nexthop", "a route", "the last step"],
)
def test_after_a_refusal_what_was_in_force_before_can_be_put_in_force_again(
    before: View, after: View, words: str, keys: set[Any]
) -> None:
    ip = Steady()
    fabric = Fabric(ip, "cv-vr1-ens3", "cv-vr2-ens3")

    def kernel_state() -> list[Any]:
        nft = fabric.nft
        return [dict(fabric.routes.kept), nft.members("owned"), nft.admitted("cv-vr1-ens3"), list(ip.rules)]

    async def test() -> None:
        await fabric.apply(before)
        in_force = kernel_state()
        fabric.nft.refused, fabric.routes.refused = words, keys
        with pytest.raises((OSError, NftError)):
            await fabric.apply(after)
        fabric.nft.refused, fabric.routes.refused = "nothing", set()
        await fabric.apply(before)
        assert kernel_state() == in_force

    asyncio.run(test())


@pytest.mark.parametrize(("carriers", "failure"), [({9: True}, "refused"), (None, "lost")])
def test_a_link_that_cannot_be_followed_is_reported(carriers: dict[int, bool] | None, failure: str) -> None:
    view = attached("vr1 ens3")
    fabric = Fabric(Steady())
    fabric.routes.refused = {(254, IPv4Network("10.0.0.2/32"))}

    async def test() -> str:
        await fabric.apply(view)
        return await fabric.failure(view.ports[0], carriers)

    assert failure in asyncio.run(test())


def test_a_ports_rules_are_replaced_in_one_transaction_and_only_when_they_change() -> None:
    subnet = SubnetView("s", IPv4Network("10.0.0.0/28"), IPv4Address("10.0.0.1"))

    def view(*admits: Admission) -> View:
        port = Port("v", "n1", "ens3", "02:00:17:00:00:01", IPv4Address("10.0.0.5"), "s", False, admits)
        return View((subnet,), (port,), (), ())

    fabric = Fabric(None)
    asyncio.run(fabric.apply(view(ANYTHING)))
    assert not any("admission" in t for t in fabric.nft.transactions)

    ssh = Admission(IPv4Network("0.0.0.0/0"), 6, (22, 22))
    asyncio.run(fabric.apply(view(ssh)))
    asyncio.run(fabric.apply(view(ssh)))

    (told,) = [t for t in fabric.nft.transactions if "admission" in t]
    assert told.splitlines() == [
        "add chain inet cvl cv-n1-ens3",
        "flush chain inet cvl cv-n1-ens3",
        "add rule inet cvl cv-n1-ens3 ct direction reply accept",
        "add rule inet cvl cv-n1-ens3 ct state related accept",
        "add rule inet cvl cv-n1-ens3 tcp dport 22-22 accept",
        "add rule inet cvl cv-n1-ens3 counter name refused drop",
        'add element inet cvl admission { "cv-n1-ens3" : goto cv-n1-ens3 }',
    ]

# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that dies takes its links with it at a moment of the kernel's own choosing, and rules change all at once."""

from __future__ import annotations

import asyncio
import errno
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from pyroute2 import NetlinkError

from lab.fabric import kernel
from lab.fabric.nft import Nft
from lab.fabric.plan import Desired
from lab.fabric.view import ANYTHING, Admission, Port, SubnetView, View


class Vanishing:
    """An IPRoute whose link is there when looked up and gone when used."""

    def __init__(self, code: int) -> None:
        self.code = code

    def link_lookup(self, **_: Any) -> tuple[int]:
        return (7,)

    def link(self, *_: Any, **__: Any) -> None:
        raise NetlinkError(self.code)


class Commands(Nft):
    """An nftables that keeps what it was told, one string a transaction."""

    def __init__(self) -> None:
        self.transactions: list[str] = []

    def run(self, commands: str) -> None:
        self.transactions.append(commands)


class Fabric(kernel.Fabric):
    """A fabric without a namespace, whose kernel is `ip`."""

    def __init__(self, ip: Any) -> None:
        self._ip = ip
        self._view = View((), (), (), ())
        self._current = Desired()
        self._plugged = {}
        self._up = {"cv-vr1-0": 7}
        self._ids = {}
        self._silent = {}
        self._nft = self.nft = Commands()
        self._executor = ThreadPoolExecutor(max_workers=1)

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


def test_a_silence_ends_for_all_ports_that_it_was_for(monkeypatch: pytest.MonkeyPatch) -> None:
    port = Port("v", "vr1", "ens7", "02:00:17:00:00:01", IPv4Address("10.0.0.5"), "s", False)
    fabric = Fabric(None)
    monkeypatch.setattr(fabric, "_view", View((), (port,), (), ()))
    asyncio.run(fabric.silence("vr1", silent=True))
    monkeypatch.setattr(fabric, "_view", View((), (), (), ()))
    asyncio.run(fabric.silence("vr1", silent=False))
    assert fabric.nft.transactions[-1].splitlines()[-1] == 'delete element inet cvl silent { "cv-vr1-ens7" }'


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

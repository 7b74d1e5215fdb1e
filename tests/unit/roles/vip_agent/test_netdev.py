# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and changing interfaces."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from cloudvip.model import Link, Truth, Vip
from cloudvip.netdev import Interface, Netdev, NetdevError, find, parse, sight

from tests.unit.roles.vip_agent.fakes import POD1, POD1_V6, TRANSIT, FakeIp

VIP = Vip(**POD1)
VIP6 = Vip(**POD1_V6)
OTHER = Vip(**TRANSIT)

# From `ip -json address show` of iproute2 6.1.
OUTPUT = json.dumps(
    [
        {
            "ifindex": 1,
            "ifname": "lo",
            "flags": ["LOOPBACK", "UP", "LOWER_UP"],
            "link_type": "loopback",
            "address": "00:00:00:00:00:00",
            "addr_info": [
                {"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host"},
                {"family": "inet6", "local": "::1", "prefixlen": 128, "scope": "host"},
            ],
        },
        {},
        {
            "ifindex": 3,
            "link_index": 12,
            "ifname": "ens5",
            "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
            "operstate": "UP",
            "address": "02:00:17:00:00:05",
            "addr_info": [
                {"family": "inet", "local": "10.0.0.5", "prefixlen": 28, "scope": "global"},
                {"family": "inet", "local": "10.0.0.4", "prefixlen": 32, "noprefixroute": True, "label": "ens5"},
                {"family": "inet6", "local": "2001:db8::4", "prefixlen": 128, "nodad": True, "deprecated": True},
            ],
        },
        {"ifindex": 4, "ifname": "tun0", "flags": ["POINTOPOINT"], "link_type": "none"},
    ]
)


def interface(name: str, *, mac: str = VIP.mac, carrier: bool = True, member: bool = False) -> Interface:
    return Interface(name, mac, carrier, member, {})


def test_parse_takes_addresses_carrier_and_mac() -> None:
    assert parse(OUTPUT) == [
        Interface("lo", "00:00:00:00:00:00", True, False, {"127.0.0.1": (8,), "::1": (128,)}),
        Interface(
            "ens5", "02:00:17:00:00:05", True, False, {"10.0.0.5": (28,), "10.0.0.4": (32,), "2001:db8::4": (128,)}
        ),
        Interface("tun0", "", False, False, {}),
    ]


@pytest.mark.parametrize("text", ["", "Object not found", '{"a": 1}', '[{"flags": []}]'])
def test_parse_refuses_what_it_does_not_know(text: str) -> None:
    with pytest.raises(NetdevError):
        parse(text)


@pytest.mark.parametrize(
    ("interfaces", "expected"),
    [
        ([interface("ens5")], "ens5"),
        ([interface("eth1")], "eth1"),
        ([interface("bond0"), interface("ens5", member=True)], "ens5"),
        ([interface("eth1", member=True), interface("bond0")], "bond0"),
        ([interface("ens5", mac="02:00:17:00:00:99")], None),
    ],
)
def test_the_interface_is_found_by_mac(interfaces: list[Interface], expected: str | None) -> None:
    found = find(interfaces, VIP)

    assert (found.name if found else None) == expected


def test_sight_tells_unknown_from_absent() -> None:
    assert sight(None, VIP) == (Truth.UNKNOWN, Link.UNKNOWN)
    assert sight([], VIP) == (Truth.ELSEWHERE, Link.MISSING)
    assert sight(parse(OUTPUT), VIP) == (Truth.HERE, Link.UP)
    assert sight([interface("ens5", carrier=False)], VIP) == (Truth.ELSEWHERE, Link.NO_CARRIER)


def test_sight_compares_whole_addresses() -> None:
    near = Interface("ens5", VIP.mac, True, False, {"10.0.0.40": (32,), "110.0.0.4": (32,), "2001:db8::40": (128,)})

    assert sight([near], VIP) == (Truth.ELSEWHERE, Link.UP)
    assert sight([near], VIP6) == (Truth.ELSEWHERE, Link.UP)


def test_change_puts_on_and_takes_off_both_families_in_one_process() -> None:
    ip = FakeIp()
    ip.addresses["ens3"][OTHER.address] = 28
    netdev = Netdev(ip)

    netdev.change(netdev.read(), add=[VIP, VIP6], remove=[OTHER])
    netdev.change(netdev.read(), remove=[VIP6])

    assert ip.batches == [
        [
            "address delete 172.20.136.140/28 dev ens3",
            "address replace 10.0.0.4/32 dev ens5 noprefixroute",
            "address replace 2001:db8::4/128 dev ens5 nodad preferred_lft 0 noprefixroute",
        ],
        ["address delete 2001:db8::4/128 dev ens5"],
    ]


def test_change_does_not_believe_that_an_address_is_there_before_it_has_looked() -> None:
    class Liar(FakeIp):
        def _apply(self, line: str) -> bool:
            return bool(line)

    netdev = Netdev(Liar())

    with pytest.raises(NetdevError, match=r"10\.0\.0\.4 is not on ens5"):
        netdev.change(netdev.read(), add=[VIP])


def test_change_moves_an_address_from_the_wrong_interface_to_its_own() -> None:
    ip = FakeIp()
    ip.addresses["ens3"][VIP.address] = 32
    netdev = Netdev(ip)

    netdev.change(netdev.read(), add=[VIP])

    assert VIP.address not in ip.addresses["ens3"]
    assert ip.addresses["ens5"][VIP.address] == 32


def test_change_starts_nothing_if_there_is_nothing_to_do() -> None:
    ip = FakeIp()
    netdev = Netdev(ip)

    netdev.change(netdev.read(), remove=[VIP, OTHER])

    assert ip.batches == []


def test_change_does_not_mind_an_address_that_went_by_itself() -> None:
    ip = FakeIp()
    ip.addresses["ens5"][VIP.address] = 32
    netdev = Netdev(ip)
    before = netdev.read()
    del ip.addresses["ens5"][VIP.address]

    netdev.change(before, remove=[VIP])

    assert len(ip.batches) == 1


def test_change_says_what_is_still_there_and_what_ip_said() -> None:
    ip = FakeIp()
    ip.addresses["ens5"][VIP.address] = 32
    ip.stuck.add(VIP.address)
    netdev = Netdev(ip)

    with pytest.raises(NetdevError, match=r"still there: 10\.0\.0\.4/32 dev ens5 \(ip failed with status 1: RTNETLINK"):
        netdev.change(netdev.read(), remove=[VIP])


def test_read_passes_on_that_ip_cannot_run() -> None:
    ip = FakeIp()
    ip.broken = "ip cannot be run: No such file or directory"

    with pytest.raises(NetdevError, match="No such file"):
        Netdev(ip).read()


def test_an_address_that_is_there_twice_goes_twice() -> None:
    def twice(argv: Sequence[str], data: bytes) -> bytes:
        if data:
            gone.extend(data.decode().splitlines())
        entries = [{"local": VIP.address, "prefixlen": p} for p in (32, 28) if f"/{p} " not in " ".join(gone)]
        link = {"ifname": "ens5", "address": VIP.mac, "flags": ["LOWER_UP"], "addr_info": entries}
        return json.dumps([link]).encode() if "-json" in argv else b""

    gone: list[str] = []
    netdev = Netdev(twice)

    netdev.change(netdev.read(), remove=[VIP])

    assert gone == ["address delete 10.0.0.4/32 dev ens5", "address delete 10.0.0.4/28 dev ens5"]
    assert VIP.address not in netdev.read()[0].addresses


def test_a_removal_that_ip_reports_as_done_and_was_not_is_a_failure() -> None:
    link = {"ifname": "ens5", "address": VIP.mac, "addr_info": [{"local": VIP.address, "prefixlen": 32}]}
    netdev = Netdev(lambda argv, _: json.dumps([link]).encode() if "-json" in argv else b"")

    with pytest.raises(NetdevError, match=r"still there: 10\.0\.0\.4/32 dev ens5"):
        netdev.change(netdev.read(), remove=[VIP])

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from lab import topology
from lab.fabric.plan import port_name

SMALL: dict[str, Any] = {
    "name": "small",
    "cidrs": ["10.1.0.0/16"],
    "subnets": {"a": {"cidr": "10.1.1.0/24", "routes": [{"to": "10.1.2.0/24", "via": "10.1.1.9"}]}},
    "nodes": {"n1": {"vnics": {"ens3": {"subnet": "a", "address": "10.1.1.11"}}}},
    "clients": {"c": {"vnics": {"eth0": {"subnet": "a", "address": "10.1.1.100"}}}},
}


def changed(path: str, value: object) -> dict[str, Any]:
    """SMALL with the value at a dotted path replaced."""
    data = deepcopy(SMALL)
    *parents, last = path.split(".")
    place = data
    for key in parents:
        place = place[key]
    place[last] = value
    return data


@pytest.mark.parametrize("name", topology.names())
def test_shipped_topologies_load_and_their_ports_have_distinct_names(name: str) -> None:
    shape = topology.load(name)
    ports = [port_name(v.instance, v.interface) for i in shape.instances for v in i.vnics]
    assert len(set(ports)) == len(ports)


def test_vrouters_spreads_its_nodes_over_three_availability_domains() -> None:
    shape = topology.load("vrouters")
    assert {n.availability_domain for n in shape.nodes} == {"AD-1", "AD-2", "AD-3"}
    assert [v.interface for v in shape.instance("vr1").vnics] == ["ens3", "ens5", "ens6"]


def test_identifiers_are_stable_and_distinct() -> None:
    first, again = topology.parse(SMALL), topology.parse(SMALL)
    assert first.instance("n1").vnics[0].id == again.instance("n1").vnics[0].id
    assert first.instance("n1").vnics[0].mac != first.instance("c").vnics[0].mac
    assert first.instance("n1").id != first.instance("c").id


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("nodes.n1.vnics.ens3.address", "10.1.2.11", "n1.ens3: address 10.1.2.11 is not in subnet a"),
        ("nodes.n1.vnics.ens3.subnet", "b", "n1.ens3: subnet 'b' is not one of ['a']"),
        ("clients.c.vnics.eth0.address", "10.1.1.11", "already that of n1.ens3"),
        ("subnets.a.cidr", "192.168.0.0/24", "is in none of the VCN's cidrs|not in subnet"),
        ("subnets.a.cidr", "ten", "ten"),
        ("subnets.a.ipv6", "2001:db8::/48", "subnet a: 2001:db8::/48 is not a /64"),
        ("subnets.a.ingress", [{"from": "0.0.0.0/0", "protocol": "carp"}], "carp"),
        ("flows", [{"from": "c", "to": "nobody"}], "flow c -> nobody"),
    ],
)
def test_a_bad_topology_is_refused_with_the_place_and_the_value(path: str, value: object, words: str) -> None:
    with pytest.raises(topology.TopologyError) as caught:
        topology.parse(changed(path, value))
    assert any(w in str(caught.value) for w in words.split("|"))


def test_a_subnet_lets_everything_in_unless_it_says_what() -> None:
    assert [(str(r.source), r.protocol, r.ports) for r in topology.parse(SMALL).subnet("a").ingress] == [
        ("0.0.0.0/0", "all", None)
    ]
    rules = [
        {"from": "10.1.0.0/16", "protocol": "udp", "ports": "5405-5412"},
        {"from": "0.0.0.0/0", "protocol": "tcp", "ports": 22},
        {"from": "0.0.0.0/0", "protocol": "icmp"},
    ]
    strict = topology.parse(changed("subnets.a.ingress", rules)).subnet("a").ingress
    assert [(str(r.source), r.protocol, r.ports) for r in strict] == [
        ("10.1.0.0/16", "17", (5405, 5412)),
        ("0.0.0.0/0", "6", (22, 22)),
        ("0.0.0.0/0", "1", None),
    ]
    assert topology.parse(changed("subnets.a.ingress", [])).subnet("a").ingress == ()


def test_between_the_nodes_of_a_pair_passes_nothing_that_a_cluster_says() -> None:
    allowed = {(str(r.source), r.protocol, r.ports) for r in topology.load("pair").subnet("app").ingress}
    assert allowed == {("0.0.0.0/0", "6", (22, 22)), ("0.0.0.0/0", "1", None), ("0.0.0.0/0", "17", (7, 7))}


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(topology.TopologyError, match="vrouters"):
        topology.load("nope")

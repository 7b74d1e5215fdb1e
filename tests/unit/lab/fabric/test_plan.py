# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from lab.fabric.plan import FIRST_SUBNET_TABLE, MAIN, OPEN, Desired, Nexthop, Target, plan, steps
from lab.fabric.view import ANYTHING, Admission, Floating, Port, Rule, SubnetView, View

CIDR = IPv4Network("10.0.0.0/28")
ELSEWHERE = IPv4Network("10.0.0.32/28")
VIP = IPv4Address("10.0.0.4")
VIP_ROUTE = (MAIN, IPv4Network("10.0.0.4/32"))
RULE_ROUTE = (FIRST_SUBNET_TABLE, ELSEWHERE)
IDS = {"vip": 7}
UP = {"cv-a-ens3", "cv-b-ens3"}


def port(instance: str, host: int, *, forwards: bool = True) -> Port:
    return Port(f"vnic-{instance}", instance, "ens3", "02:00:17:00:00:01", CIDR[host], "pod", forwards)


def view(holder: str | None) -> View:
    return View(
        (SubnetView("pod", CIDR, CIDR[1]),),
        (port("a", 5), port("b", 6)),
        (Floating("vip", VIP, f"vnic-{holder}" if holder else None),),
        (Rule("pod", ELSEWHERE, "vip"),),
    )


def test_an_address_and_the_rules_on_it_lead_to_the_same_nexthop_object() -> None:
    desired = plan(view("a"), UP, IDS)
    assert desired.nexthops == {7: Nexthop(IPv4Address("10.0.0.5"), "cv-a-ens3")}
    assert desired.routes[VIP_ROUTE] == desired.routes[RULE_ROUTE] == Target(nexthop=7)


def test_a_move_replaces_one_nexthop_and_touches_no_route() -> None:
    todo = steps(plan(view("a"), UP, IDS), plan(view("b"), UP, IDS))
    assert todo.set_nexthops == {7: Nexthop(IPv4Address("10.0.0.6"), "cv-b-ens3")}
    assert not todo.set_routes
    assert not todo.del_routes
    assert not todo.del_nexthops
    assert todo.add_members["owned"] == {("cv-b-ens3", VIP)}
    assert todo.del_members["owned"] == {("cv-a-ens3", VIP)}


def test_a_reserved_address_on_no_vnic_is_delivered_nowhere_and_rules_on_it_are_a_black_hole() -> None:
    desired = plan(view(None), UP, IDS)
    assert VIP_ROUTE not in desired.routes
    assert desired.routes[RULE_ROUTE] == Target()
    assert not desired.nexthops


def test_a_rule_on_a_deleted_address_is_a_black_hole() -> None:
    assert plan(replace(view("a"), floatings=()), UP, IDS).routes[RULE_ROUTE] == Target()


def test_an_address_on_a_port_without_link_is_not_delivered() -> None:
    desired = plan(view("a"), {"cv-b-ens3"}, IDS)
    assert VIP_ROUTE not in desired.routes
    assert (MAIN, IPv4Network("10.0.0.5/32")) not in desired.routes
    assert (MAIN, IPv4Network("10.0.0.6/32")) in desired.routes


def test_what_the_kernel_drops_with_a_link_is_put_back_when_the_link_returns() -> None:
    full = plan(view("a"), UP, IDS)
    todo = steps(full.without_device("cv-a-ens3"), full)
    assert todo.set_nexthops.keys() == {7}
    assert todo.set_routes.keys() == {VIP_ROUTE, RULE_ROUTE, (MAIN, IPv4Network("10.0.0.5/32"))}


def test_losing_the_link_of_another_port_changes_nothing_for_the_holder() -> None:
    full = plan(view("a"), UP, IDS)
    assert not steps(full.without_device("cv-b-ens3"), plan(view("a"), {"cv-a-ens3"}, IDS)).set_nexthops


def test_only_vnics_without_the_source_destination_check_forward() -> None:
    strict = replace(view("a"), ports=(port("a", 5, forwards=False), port("b", 6)))
    assert plan(strict, UP, IDS).members["forwards"] == {("cv-b-ens3",)}


def test_a_cut_is_for_every_port_of_its_nodes_in_its_direction_and_for_no_other() -> None:
    second = replace(port("a", 7), vnic_id="vnic-a2", interface="ens5")
    whole = replace(view("a"), ports=(port("a", 5), second, port("b", 6), port("c", 8)))

    assert plan(whole, UP, IDS, cut=[("a", "b"), ("gone", "a")]).members["cut"] == {
        ("cv-a-ens3", "cv-b-ens3"),
        ("cv-a-ens5", "cv-b-ens3"),
    }


def test_a_silence_is_for_every_port_of_its_node_and_for_no_other() -> None:
    second = replace(port("a", 7), vnic_id="vnic-a2", interface="ens5")
    whole = replace(view("a"), ports=(port("a", 5), second, port("b", 6)))

    assert plan(whole, UP, IDS, silent=["a", "gone"]).members["silent"] == {("cv-a-ens3",), ("cv-a-ens5",)}


def admitting(*admissions: Admission) -> View:
    """The view when port a admits only this."""
    return replace(view("a"), ports=(replace(port("a", 5), admits=admissions), port("b", 6)))


def test_a_port_admits_what_any_rule_describes() -> None:
    ssh = Admission(IPv4Network("0.0.0.0/0"), 6, (22, 22))
    ping = Admission(IPv4Network("192.0.2.0/24"), 1)
    peers = Admission(frozenset({"vnic-a", "vnic-b"}), 17, (5405, 5412))

    assert plan(admitting(ssh, ping, peers), UP, IDS).admits["cv-a-ens3"] == (
        "tcp dport 22-22",
        "ip saddr 192.0.2.0/24 meta l4proto 1",
        "iifname { cv-a-ens3, cv-b-ens3 } udp dport 5405-5412",
    )


def test_a_rule_for_everything_makes_the_others_pointless() -> None:
    assert plan(admitting(Admission(CIDR, 6), ANYTHING), UP, IDS).admits["cv-a-ens3"] == OPEN


def test_a_group_without_members_lets_nobody_in() -> None:
    assert plan(admitting(Admission(frozenset())), UP, IDS).admits["cv-a-ens3"] == ()


def test_only_ports_whose_rules_changed_are_touched_and_a_move_touches_none() -> None:
    before, after = plan(view("a"), UP, IDS), plan(admitting(Admission(CIDR, 6)), UP, IDS)

    assert steps(before, after).set_admits == {"cv-a-ens3": (f"ip saddr {CIDR} meta l4proto 6",)}
    assert steps(after, before).set_admits == {"cv-a-ens3": OPEN}
    assert not steps(before, plan(view("b"), UP, IDS)).set_admits


def test_a_port_that_is_gone_leaves_no_rules_to_the_next_of_its_name() -> None:
    strict = admitting(Admission(CIDR, 6))
    gone = plan(replace(strict, ports=strict.ports[1:], floatings=()), UP, IDS)

    assert steps(plan(strict, UP, IDS), gone).set_admits == {"cv-a-ens3": OPEN}


def test_a_port_without_link_keeps_its_rules() -> None:
    full = plan(admitting(Admission(CIDR, 6)), UP, IDS)

    assert not steps(full.without_device("cv-a-ens3"), full).set_admits


def test_equal_states_need_no_step() -> None:
    full = plan(view("a"), UP, IDS)
    assert steps(full, full) == steps(Desired(), Desired())

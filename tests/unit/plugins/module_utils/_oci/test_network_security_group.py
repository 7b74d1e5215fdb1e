# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for network security groups, and the rules that a cluster gets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import PlanError
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.network_security_group import (
    Member,
    NetworkSecurityGroup,
    Plan,
    Request,
    SecurityRule,
    affected,
    parse,
    peer_rules,
    plan,
)

SSH = SecurityRule("INGRESS", "6", "0.0.0.0/0", (22, 22))
PCSD = SecurityRule("INGRESS", "6", "self", (2224, 2224), "pcsd")
WANTED = Request("web", "present", (SSH, PCSD), ("a", "b"))
THERE = NetworkSecurityGroup("group-1", "web", "vcn", {"1": SSH, "2": PCSD}, ("a", "b"))


def planned(request: Request, current: NetworkSecurityGroup | None) -> Plan:
    return plan(request, current, {v: Member(v, ("other",)) for v in affected(request, current)})


def option(**changes: Any) -> dict[str, Any]:
    """An entry of the option `rules`."""
    return {"direction": "ingress", "protocol": "tcp", "peer": "self", "ports": None, "description": None, **changes}


# ---- the plan ----


def test_a_group_that_is_missing_is_created_with_its_rules_and_vnics() -> None:
    todo = planned(WANTED, None)

    assert (todo.action, todo.add, todo.join, todo.leave, todo.remove) == ("create", (SSH, PCSD), ("a", "b"), (), ())
    assert todo.before is None
    assert todo.after == THERE.shown()


@pytest.mark.parametrize(
    "current",
    [
        THERE,
        replace(THERE, rules={"7": PCSD, "3": SSH}),
        replace(THERE, vnic_ids=("b", "a")),
    ],
)
def test_the_same_in_another_order_needs_nothing(current: NetworkSecurityGroup) -> None:
    todo = planned(WANTED, current)

    assert not todo.changed
    assert todo.before == todo.after


@pytest.mark.parametrize(
    "other",
    [
        replace(PCSD, peer="10.0.0.0/8"),
        replace(PCSD, ports=(2224, 2225)),
        replace(PCSD, direction="EGRESS"),
        replace(PCSD, description="other"),
        replace(PCSD, is_stateless=True),
        replace(PCSD, source_ports=(1, 1023)),
    ],
)
def test_only_rules_that_differ_are_exchanged(other: SecurityRule) -> None:
    todo = planned(WANTED, replace(THERE, rules={"1": SSH, "2": other}))

    assert (todo.add, todo.remove, todo.join, todo.leave) == ((PCSD,), ("2",), (), ())


def test_a_rule_that_is_there_twice_is_left_once() -> None:
    todo = planned(WANTED, replace(THERE, rules={"1": SSH, "2": PCSD, "3": PCSD}))

    assert (todo.add, len(todo.remove)) == ((), 1)
    assert todo.remove[0] in ("2", "3")


def test_a_narrower_rule_for_icmp_is_not_the_one_that_is_wanted() -> None:
    ping = SecurityRule("INGRESS", "1", "0.0.0.0/0")

    todo = planned(replace(WANTED, rules=(ping,)), replace(THERE, rules={"1": replace(ping, icmp=(3, 4))}))

    assert (todo.add, todo.remove) == ((ping,), ("1",))
    assert todo.before is not None
    assert todo.before["rules"][0]["icmp"] == "3/4"


def test_what_is_not_given_stays() -> None:
    todo = planned(Request("web", "present", None, None), THERE)

    assert not todo.changed
    assert todo.after == THERE.shown()


def test_vnics_join_and_leave() -> None:
    todo = planned(replace(WANTED, vnic_ids=("b", "c", "c")), THERE)

    assert (todo.join, todo.leave) == (("c",), ("a",))
    assert todo.after is not None
    assert todo.after["vnic_ids"] == ["b", "c"]


def test_a_vnic_without_room_is_named_before_anything_is_done() -> None:
    members = {"a": Member("a", ("1", "2", "3", "4", "5")), "b": Member("b", ("1", "2", "3", "4"))}

    with pytest.raises(PlanError, match=r"1 problem.*\n.*a is in 5 others"):
        plan(WANTED, None, members)


def test_a_group_loses_the_given_vnics_before_it_is_deleted() -> None:
    todo = planned(replace(WANTED, state="absent", vnic_ids=("a", "b", "z")), THERE)

    assert (todo.action, todo.leave, todo.remove, todo.after) == ("delete", ("a", "b"), (), None)


@pytest.mark.parametrize("vnic_ids", [None, ("a",)])
def test_a_group_with_the_vnics_of_others_is_not_deleted(vnic_ids: tuple[str, ...] | None) -> None:
    with pytest.raises(PlanError, match=r"'web'.*there are also .*b"):
        planned(replace(WANTED, state="absent", vnic_ids=vnic_ids), THERE)


def test_a_group_that_is_gone_needs_nothing() -> None:
    assert not planned(replace(WANTED, state="absent"), None).changed


# ---- the option ----


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (option(ports="2224"), SecurityRule("INGRESS", "6", "self", (2224, 2224))),
        (option(protocol="UDP", ports="5405-5412"), SecurityRule("INGRESS", "17", "self", (5405, 5412))),
        (option(protocol="vrrp", direction="egress"), SecurityRule("EGRESS", "112", "self")),
        (option(protocol="112", peer="10.0.0.0/8"), SecurityRule("INGRESS", "112", "10.0.0.0/8")),
        (option(protocol="all", peer="2001:db8::/32"), SecurityRule("INGRESS", "all", "2001:db8::/32")),
        (option(description="web"), SecurityRule("INGRESS", "6", "self", None, "web")),
    ],
)
def test_a_rule_is_read_as_the_service_says_it_and_shown_as_it_was_given(
    given: dict[str, Any], rule: SecurityRule
) -> None:
    assert parse([given]) == (rule,)
    assert parse([{key: rule.shown()[key] for key in given}]) == (rule,)


def test_every_problem_of_every_rule_is_reported_at_once() -> None:
    with pytest.raises(PlanError) as caught:
        parse(
            [
                option(),
                option(protocol="carp", peer="everyone", ports="22-21"),
                option(protocol="icmp", ports="8"),
                option(peer="10.0.0.1/8"),
                option(ports="65536"),
                option(protocol="256"),
                option(),
            ]
        )

    assert caught.value.problems == [
        "rules[1].protocol = 'carp': expected all, icmp, tcp, udp, vrrp or a protocol's number",
        "rules[1].peer = 'everyone': expected 'self' or a network such as 192.0.2.0/24",
        "rules[1].ports = '22-21': expected a port or a range such as 5405-5412",
        "rules[1].ports = '22-21': expected none with the protocol 'carp'",
        "rules[2].ports = '8': expected none with the protocol 'icmp'",
        "rules[3].peer = '10.0.0.1/8': expected 'self' or a network such as 192.0.2.0/24",
        "rules[4].ports = '65536': expected a port or a range such as 5405-5412",
        "rules[5].protocol = '256': expected all, icmp, tcp, udp, vrrp or a protocol's number",
        "rules[6]: expected once, rules[0] is the same",
    ]


def test_a_group_takes_120_rules() -> None:
    assert len(parse([option(ports=str(n)) for n in range(1, 121)])) == 120
    with pytest.raises(PlanError, match="expected at most 120, there are 121"):
        parse([option(ports=str(n)) for n in range(1, 122)])


def test_rules_that_are_not_wanted_stay_only_if_they_are_not_to_be_purged() -> None:
    wanted = replace(WANTED, rules=(PCSD,))
    there = replace(THERE, rules={"1": SSH})

    purged, kept = planned(wanted, there), planned(replace(wanted, purge_rules=False), there)

    assert (purged.add, purged.remove) == ((PCSD,), ("1",))
    assert (kept.add, kept.remove) == ((PCSD,), ())
    assert kept.after == THERE.shown()
    assert not planned(replace(wanted, purge_rules=False), THERE).changed


# ---- what a cluster needs ----


@pytest.mark.parametrize(
    ("engine", "needed"),
    [
        ("pacemaker", {("17", (5405, 5412)), ("6", (2224, 2224))}),
        ("keepalived", {("112", None)}),
    ],
)
def test_the_nodes_of_a_cluster_reach_each_other_and_nobody_else_reaches_them(
    engine: str, needed: set[tuple[str, tuple[int, int] | None]]
) -> None:
    rules = parse(peer_rules(engine))

    assert {rule.peer for rule in rules} == {"self"}
    for direction in ("INGRESS", "EGRESS"):
        assert {(r.protocol, r.ports) for r in rules if r.direction == direction} == needed

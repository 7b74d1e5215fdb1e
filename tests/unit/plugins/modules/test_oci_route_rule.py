# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules `oci_route_rule` and `oci_route_rule_info`."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.route_rule import CIDR_BLOCK, RouteRule, RouteTable
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.routing import Routing
from ansible_collections.cloudvip.ha.plugins.modules.oci_route_rule import main
from ansible_collections.cloudvip.ha.plugins.modules.oci_route_rule_info import main as info

from lab.topology import ocid
from tests.unit.plugins.modules.conftest import Run
from tests.unit.plugins.worlds import LabWorld, World

TABLE = ocid("routetable", "transit")
READ, WRITE = ("GET", "routeTables"), ("PUT", "routeTables")


@pytest.fixture
def vip(world: World) -> str:
    """The OCID of an address to lead to."""
    return world.add("10.0.0.9", world.vnic("vr1", "ens5"))


@pytest.fixture
def other(world: World) -> str:
    """The OCID of an address that the rules of someone else lead to."""
    key = world.add("10.0.0.11", world.vnic("vr2", "ens5"))
    routing = world.cloud.routing
    routing.set_rules(routing.route_table(TABLE), [foreign("198.51.100.0/24", key), foreign("203.0.113.0/24", key)])
    world.calls()
    return key


def foreign(destination: str, key: str) -> RouteRule:
    return RouteRule(destination, CIDR_BLOCK, key, "theirs", None)


def table(world: World, run: Run) -> list[tuple[str, str]]:
    rules = run(info, world.connect, route_table_id=TABLE)["rules"]
    return [(r["destination"], r["network_entity_id"]) for r in rules]


def test_a_rule_is_added_behind_the_others(world: World, run: Run, vip: str, other: str) -> None:
    rule = {"destination": "10.0.0.0/28", "private_ip_id": vip, "description": "POD 1"}

    answer = run(main, world.connect, route_table_id=TABLE, rules=[rule])

    assert answer["changed"] is True
    assert table(world, run) == [("198.51.100.0/24", other), ("203.0.113.0/24", other), ("10.0.0.0/28", vip)]
    assert answer["rules"] == {"10.0.0.0/28": {"private_ip_id": vip, "description": "POD 1"}}
    assert answer["diff"] == {"before": {}, "after": answer["rules"]}


def test_a_rule_is_changed_where_it_stands(world: World, run: Run, vip: str, other: str) -> None:
    rule = {"destination": "198.51.100.0/24", "private_ip_id": vip}

    answer = run(main, world.connect, route_table_id=TABLE, rules=[rule])

    assert table(world, run) == [("198.51.100.0/24", vip), ("203.0.113.0/24", other)]
    assert answer["rules"] == {"198.51.100.0/24": {"private_ip_id": vip, "description": "theirs"}}
    assert answer["diff"]["before"]["198.51.100.0/24"]["private_ip_id"] == other


def test_a_second_run_only_reads(world: World, run: Run, vip: str) -> None:
    rules = [{"destination": "10.0.0.0/28", "private_ip_id": vip}, {"destination": "192.0.2.0/24", "state": "absent"}]
    run(main, world.connect, route_table_id=TABLE, rules=rules)
    world.calls()

    answer = run(main, world.connect, route_table_id=TABLE, rules=rules)

    assert answer["changed"] is False
    assert world.calls() == [READ]


@pytest.mark.parametrize("named", [False, True])
def test_a_rule_is_removed(world: World, run: Run, other: str, named: bool) -> None:
    rule = {"destination": "198.51.100.0/24", "state": "absent", **({"private_ip_id": other} if named else {})}

    answer = run(main, world.connect, route_table_id=TABLE, rules=[rule])

    assert (answer["changed"], answer["rules"]) == (True, {})
    assert table(world, run) == [("203.0.113.0/24", other)]


def test_a_rule_that_leads_elsewhere_is_not_removed(world: World, run: Run, vip: str, other: str) -> None:
    rule = {"destination": "198.51.100.0/24", "state": "absent", "private_ip_id": vip}

    assert run(main, world.connect, route_table_id=TABLE, rules=[rule])["changed"] is False
    assert ("198.51.100.0/24", other) in table(world, run)


def test_check_mode_predicts_also_for_an_address_that_is_not_there_yet(world: World, run: Run, other: str) -> None:
    rule = {"destination": "198.51.100.0/24", "private_ip_id": None}

    answer = run(main, world.connect, route_table_id=TABLE, rules=[rule], check=True)

    assert answer["changed"] is True
    assert answer["diff"]["after"]["198.51.100.0/24"]["private_ip_id"] is None
    assert table(world, run) == [("198.51.100.0/24", other), ("203.0.113.0/24", other)]


def test_every_problem_is_named(world: World, run: Run, vip: str) -> None:
    rules = [
        {"destination": "10.0.0.1/28", "private_ip_id": vip},
        {"destination": "10.0.0.0/28"},
        {"destination": "10.0.0.0/28", "private_ip_id": vip},
    ]

    answer = run(main, world.connect, route_table_id=TABLE, rules=rules)

    assert answer["problems"] == [
        "rules[0].destination = '10.0.0.1/28': expected a CIDR block",
        "rules[1].private_ip_id = None: expected the OCID of a private IP",
        "rules[2].destination = '10.0.0.0/28': expected once",
    ]
    assert world.calls()[-1:] != [WRITE]


class Raced:
    """A `Routing` where someone else changes each table right after it was read, as often as `times` says."""

    def __init__(self, routing: Routing, times: int, change: Callable[[RouteTable], Any]) -> None:
        self.routing = routing
        self.times = times
        self.change = change

    def route_table(self, route_table_id: str) -> RouteTable:
        table = self.routing.route_table(route_table_id)
        if self.times:
            self.times -= 1
            self.change(table)
        return table

    def set_rules(self, table: RouteTable, rules: list[RouteRule]) -> RouteTable:
        return self.routing.set_rules(table, rules)


@pytest.mark.parametrize(("times", "done"), [(1, True), (2, False)])
def test_a_change_by_someone_else_is_kept_and_the_module_tries_once_more(
    world: World, run: Run, vip: str, other: str, times: int, done: bool
) -> None:
    routing = world.cloud.routing

    def change(table: RouteTable) -> None:
        routing.set_rules(table, [*table.rules, foreign(f"192.0.{len(table.rules)}.0/24", other)])

    raced = SimpleNamespace(routing=Raced(routing, times, change))
    rule = {"destination": "10.0.0.0/28", "private_ip_id": vip}

    answer = run(main, lambda _: raced, route_table_id=TABLE, rules=[rule])

    assert bool(answer.get("failed")) is not done
    assert (("10.0.0.0/28", vip) in table(world, run)) is done
    assert ("192.0.2.0/24", other) in table(world, run)


def test_a_change_whose_answer_is_lost_succeeds(lab_world: LabWorld, run: Run) -> None:
    vip = lab_world.add("10.0.0.9", lab_world.vnic("vr1", "ens5"))
    lab_world.lab.fault(effect="apply_then_fail", method="PUT", count=1)

    answer = run(
        main, lab_world.connect, route_table_id=TABLE, rules=[{"destination": "10.0.0.0/28", "private_ip_id": vip}]
    )

    assert answer["changed"] is True
    assert table(lab_world, run) == [("10.0.0.0/28", vip)]


def test_an_unknown_table_is_reported_with_the_permission_that_may_be_missing(world: World, run: Run) -> None:
    answer = run(info, world.connect, route_table_id="ocid1.routetable.nowhere")

    assert answer["msg"].startswith("GetRouteTable failed: 404")
    assert "ROUTE_TABLE_READ" in answer["msg"]

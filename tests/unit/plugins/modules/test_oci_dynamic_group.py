# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `oci_dynamic_group`."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.modules.oci_dynamic_group import main

from lab.cloud.names import FURTHER_DOMAIN, TENANCY_ID
from tests.unit.plugins.modules.conftest import Run
from tests.unit.plugins.worlds import World

WANTED: dict[str, Any] = {"name": "nodes", "instance_ids": ["b", "a"], "description": "Nodes"}
RULE = "ANY {instance.id = 'a', instance.id = 'b'}"


def test_a_group_is_made_once(world: World, run: Run) -> None:
    first = run(main, world.connect, **WANTED)
    world.calls()
    second = run(main, world.connect, **WANTED)

    assert world.calls() == [("GET", "dynamicGroups")]
    made = world.cloud.identity.dynamic_groups(TENANCY_ID, None).find("nodes")
    assert made is not None
    assert first["changed"] is True
    assert first["dynamic_group"] == {
        "id": made.id,
        "name": "nodes",
        "description": "Nodes",
        "matching_rule": RULE,
        "domain": "Default",
    }
    assert first["diff"] == {"before": {}, "after": {"description": "Nodes", "matching_rule": RULE}}
    assert (second["changed"], second["dynamic_group"]) == (False, first["dynamic_group"])


def test_check_mode_predicts_a_group_without_an_ocid(world: World, run: Run) -> None:
    answer = run(main, world.connect, **WANTED, check=True)

    assert (answer["changed"], answer["dynamic_group"]["id"]) == (True, None)
    assert world.cloud.identity.dynamic_groups(TENANCY_ID, None).find("nodes") is None


def test_members_follow_the_list(world: World, run: Run) -> None:
    first = run(main, world.connect, **WANTED)

    second = run(main, world.connect, **{**WANTED, "instance_ids": ["c", "a", "b"]})

    assert second["changed"] is True
    assert second["dynamic_group"]["id"] == first["dynamic_group"]["id"]
    assert second["diff"]["after"]["matching_rule"] == RULE.replace("}", ", instance.id = 'c'}")
    made = world.cloud.identity.dynamic_groups(TENANCY_ID, None).find("nodes")
    assert made is not None
    assert made.matching_rule == second["dynamic_group"]["matching_rule"]


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"matching_rule": "ANY {instance.compartment.id = 'c', instance.id = 'a'}"}, None),
        ({"member_compartment_id": "c"}, "ALL {instance.compartment.id = 'c'}"),
        ({"member_tag": {"namespace": "ops", "key": "role", "value": "web"}}, "ALL {tag.ops.role.value = 'web'}"),
    ],
)
def test_members_can_be_said_in_other_ways(world: World, run: Run, members: dict[str, Any], rule: str | None) -> None:
    first = run(main, world.connect, name="nodes", **members)
    second = run(main, world.connect, name="nodes", **members)

    made = world.cloud.identity.dynamic_groups(TENANCY_ID, None).find("nodes")
    assert made is not None
    assert made.matching_rule == (rule or members["matching_rule"])
    assert (first["changed"], second["changed"]) == (True, False)


def test_a_rule_that_says_the_same_is_left_as_it_is(world: World, run: Run) -> None:
    theirs = run(main, world.connect, name="nodes", matching_rule="Any {instance.id='b',instance.id='a'}")

    again = run(main, world.connect, name="nodes", instance_ids=["a", "b"])

    assert (again["changed"], again["dynamic_group"]) == (False, theirs["dynamic_group"])


def test_a_group_of_a_whole_compartment_is_narrowed_to_the_instances(world: World, run: Run) -> None:
    wide = run(main, world.connect, name="nodes", matching_rule="Any {instance.compartment.id = 'c'}")

    narrow = run(main, world.connect, **WANTED)

    assert narrow["changed"] is True
    assert narrow["dynamic_group"]["id"] == wide["dynamic_group"]["id"]
    assert narrow["diff"]["before"]["matching_rule"] == "Any {instance.compartment.id = 'c'}"
    made = world.cloud.identity.dynamic_groups(TENANCY_ID, None).find("nodes")
    assert made is not None
    assert made.matching_rule == RULE


def test_a_group_of_another_domain_is_made_changed_and_deleted(world: World, run: Run) -> None:
    there = {**WANTED, "domain": FURTHER_DOMAIN}
    groups = world.cloud.identity.dynamic_groups(TENANCY_ID, FURTHER_DOMAIN)

    first = run(main, world.connect, **there)
    again = run(main, world.connect, **there)
    fewer = run(main, world.connect, **{**there, "instance_ids": ["a"]})

    assert (first["changed"], again["changed"], fewer["changed"]) == (True, False, True)
    assert first["dynamic_group"]["domain"] == FURTHER_DOMAIN
    made = groups.find("nodes")
    assert made is not None
    assert (made.id, made.matching_rule) == (first["dynamic_group"]["id"], "ANY {instance.id = 'a'}")
    assert world.cloud.identity.dynamic_groups(TENANCY_ID, None).all() == []
    assert run(main, world.connect, name="nodes", domain=FURTHER_DOMAIN, state="absent")["changed"] is True
    assert groups.find("nodes") is None


def test_an_unknown_domain_is_named(world: World, run: Run) -> None:
    assert "domain = 'Nowhere'" in run(main, world.connect, **WANTED, domain="Nowhere")["msg"]


def test_a_group_is_deleted_once(world: World, run: Run) -> None:
    run(main, world.connect, **WANTED)

    predicted = run(main, world.connect, name="nodes", state="absent", check=True)
    assert world.cloud.identity.dynamic_groups(TENANCY_ID, None).find("nodes") is not None
    answer = run(main, world.connect, name="nodes", state="absent")

    assert predicted["changed"] is answer["changed"] is True
    assert answer["dynamic_group"] is None
    assert world.cloud.identity.dynamic_groups(TENANCY_ID, None).find("nodes") is None
    assert run(main, world.connect, name="nodes", state="absent")["changed"] is False


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "are missing: instance_ids, member_compartment_id, member_tag, matching_rule"),
        ({"instance_ids": []}, "instance_ids = []: expected at least one instance OCID"),
        ({"member_compartment_id": " "}, "member_compartment_id = ' ': expected a text that is not empty"),
        ({"matching_rule": ""}, "matching_rule = '': expected a text that is not empty"),
        ({"instance_ids": ["a"], "matching_rule": "x"}, "mutually exclusive"),
        ({"member_compartment_id": "c", "member_tag": {"namespace": "a", "key": "b", "value": "c"}}, "mutually"),
        ({"member_tag": {"namespace": "ops", "key": "role"}}, "missing required arguments: value found in member_tag"),
    ],
)
def test_a_group_without_clear_members_is_refused(world: World, run: Run, options: dict[str, Any], text: str) -> None:
    assert text in run(main, world.connect, name="nodes", **options)["msg"]


def test_every_part_of_a_tag_that_no_rule_can_hold_is_named(world: World, run: Run) -> None:
    answer = run(main, world.connect, name="nodes", member_tag={"namespace": "ops", "key": "", "value": "it's"})

    assert answer["problems"] == [
        "member_tag.key = '': expected a text that is not empty and has no quotes",
        """member_tag.value = "it's": expected a text that is not empty and has no quotes""",
    ]

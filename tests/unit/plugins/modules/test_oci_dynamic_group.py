# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `oci_dynamic_group`."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.modules.oci_dynamic_group import main

from lab.cloud.names import TENANCY_ID
from tests.unit.plugins.modules.conftest import Run
from tests.unit.plugins.worlds import World

WANTED: dict[str, Any] = {"name": "nodes", "instance_ids": ["b", "a"], "description": "Nodes"}
RULE = "ANY {instance.id = 'a', instance.id = 'b'}"


def test_a_group_is_made_once(world: World, run: Run) -> None:
    first = run(main, world.connect, **WANTED)
    second = run(main, world.connect, **WANTED)

    made = world.cloud.identity.dynamic_group(TENANCY_ID, "nodes")
    assert made is not None
    assert first["changed"] is True
    assert first["dynamic_group"] == {
        "id": made.id,
        "name": "nodes",
        "description": "Nodes",
        "matching_rule": RULE,
    }
    assert first["diff"] == {"before": {}, "after": {"description": "Nodes", "matching_rule": RULE}}
    assert (second["changed"], second["dynamic_group"]) == (False, first["dynamic_group"])


def test_check_mode_predicts_a_group_without_an_ocid(world: World, run: Run) -> None:
    answer = run(main, world.connect, **WANTED, check=True)

    assert (answer["changed"], answer["dynamic_group"]["id"]) == (True, None)
    assert world.cloud.identity.dynamic_group(TENANCY_ID, "nodes") is None


def test_members_follow_the_list(world: World, run: Run) -> None:
    first = run(main, world.connect, **WANTED)

    second = run(main, world.connect, **{**WANTED, "instance_ids": ["c", "a", "b"]})

    assert second["changed"] is True
    assert second["dynamic_group"]["id"] == first["dynamic_group"]["id"]
    assert second["diff"]["after"]["matching_rule"] == RULE.replace("}", ", instance.id = 'c'}")
    made = world.cloud.identity.dynamic_group(TENANCY_ID, "nodes")
    assert made is not None
    assert made.matching_rule == second["dynamic_group"]["matching_rule"]


def test_a_rule_can_be_given(world: World, run: Run) -> None:
    rule = "ALL {instance.compartment.id = 'c'}"

    assert run(main, world.connect, name="nodes", matching_rule=rule)["changed"] is True
    made = world.cloud.identity.dynamic_group(TENANCY_ID, "nodes")
    assert made is not None
    assert made.matching_rule == rule


def test_a_group_is_deleted_once(world: World, run: Run) -> None:
    run(main, world.connect, **WANTED)

    predicted = run(main, world.connect, name="nodes", state="absent", check=True)
    assert world.cloud.identity.dynamic_group(TENANCY_ID, "nodes") is not None
    answer = run(main, world.connect, name="nodes", state="absent")

    assert predicted["changed"] is answer["changed"] is True
    assert answer["dynamic_group"] is None
    assert world.cloud.identity.dynamic_group(TENANCY_ID, "nodes") is None
    assert run(main, world.connect, name="nodes", state="absent")["changed"] is False


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "any of the following are missing: instance_ids, matching_rule"),
        ({"instance_ids": []}, "instance_ids = []: expected at least one instance OCID"),
        ({"instance_ids": ["a"], "matching_rule": "x"}, "mutually exclusive"),
    ],
)
def test_a_group_without_clear_members_is_refused(world: World, run: Run, options: dict[str, Any], text: str) -> None:
    assert text in run(main, world.connect, name="nodes", **options)["msg"]

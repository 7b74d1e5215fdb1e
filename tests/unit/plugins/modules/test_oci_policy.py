# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `oci_policy`."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.permissions import statements
from ansible_collections.cloudvip.ha.plugins.modules.oci_policy import main

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from tests.unit.plugins.modules.conftest import Run
from tests.unit.plugins.worlds import LabWorld, World

GONE = {"name": "move", "compartment_id": COMPARTMENT_ID, "state": "absent"}


def group(world: World) -> str:
    fields = {"description": "Nodes", "matching_rule": "ANY {instance.id = 'a'}"}
    return world.cloud.identity.dynamic_groups(TENANCY_ID, None).create("nodes", fields).id


@pytest.fixture
def wanted(world: World) -> dict[str, Any]:
    """A policy for a group that exists."""
    texts = statements(group(world), COMPARTMENT_ID, {"move"})
    return {"name": "move", "compartment_id": COMPARTMENT_ID, "description": "Move", "statements": texts}


def test_a_policy_is_made_once(world: World, run: Run, wanted: dict[str, Any]) -> None:
    first = run(main, world.connect, **wanted)
    world.calls()
    second = run(main, world.connect, **{**wanted, "statements": wanted["statements"][::-1]})

    assert world.calls() == [("GET", "policies")]
    made = world.cloud.identity.policies(COMPARTMENT_ID).find("move")
    assert made is not None
    assert first["changed"] is True
    assert first["policy"] == {
        "id": made.id,
        "name": "move",
        "description": "Move",
        "statements": wanted["statements"],
    }
    assert first["diff"]["before"] == {}
    assert (second["changed"], second["policy"]) == (False, first["policy"])


def test_check_mode_predicts_a_policy_without_an_ocid(world: World, run: Run, wanted: dict[str, Any]) -> None:
    answer = run(main, world.connect, **wanted, check=True)

    assert (answer["changed"], answer["policy"]["id"]) == (True, None)
    assert world.cloud.identity.policies(COMPARTMENT_ID).find("move") is None


def test_a_wide_policy_is_narrowed(world: World, run: Run, wanted: dict[str, Any]) -> None:
    wide = ["allow dynamic-group nodes to manage virtual-network-family in compartment cloudvip"]
    first = run(main, world.connect, **{**wanted, "statements": wide})

    second = run(main, world.connect, **wanted)

    assert second["changed"] is True
    assert second["policy"]["id"] == first["policy"]["id"]
    assert (second["diff"]["before"]["statements"], second["diff"]["after"]["statements"]) == (
        wide,
        wanted["statements"],
    )
    made = world.cloud.identity.policies(COMPARTMENT_ID).find("move")
    assert made is not None
    assert list(made.statements) == wanted["statements"]


def test_what_someone_else_changes_after_the_listing_is_seen_before_the_change(
    world: World, run: Run, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(main, world.connect, **{**wanted, "description": "Old"})
    policies = world.cloud.identity.policies(COMPARTMENT_ID)
    find = type(policies).find

    def find_and_be_overtaken(store: Any, name: str) -> Any:
        found = find(store, name)
        store.update(store.latest(found), {"description": wanted["description"]})
        world.calls()
        return found

    monkeypatch.setattr(type(policies), "find", find_and_be_overtaken)

    assert run(main, world.connect, **wanted)["changed"] is False
    assert world.calls() == [("GET", "policies")]


def test_a_policy_is_deleted_once(world: World, run: Run, wanted: dict[str, Any]) -> None:
    run(main, world.connect, **wanted)

    predicted = run(main, world.connect, **GONE, check=True)
    assert world.cloud.identity.policies(COMPARTMENT_ID).find("move") is not None
    answer = run(main, world.connect, **GONE)

    assert predicted["changed"] is answer["changed"] is True
    assert answer["policy"] is None
    assert world.cloud.identity.policies(COMPARTMENT_ID).find("move") is None
    assert run(main, world.connect, **GONE)["changed"] is False


def test_a_policy_needs_statements(world: World, run: Run) -> None:
    answer = run(main, world.connect, name="move", compartment_id=COMPARTMENT_ID)

    assert "all of the following are missing: statements" in answer["msg"]


def test_a_refusal_is_reported_in_the_words_of_the_service(lab_world: LabWorld, run: Run) -> None:
    answer = run(main, lab_world.connect, name="move", compartment_id=COMPARTMENT_ID, statements=["please"])

    assert answer["msg"].startswith("CreatePolicy failed: 400 InvalidParameter: Invalid policy statement 'please'")

# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `oci_policy_info`."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.modules.oci_policy_info import main

from lab.cloud.names import COMPARTMENT_ID, FURTHER_DOMAIN, TENANCY_ID
from tests.unit.plugins.modules.conftest import Run
from tests.unit.plugins.worlds import World

NEEDED = ["PRIVATE_IP_READ", "VNIC_ASSIGN", "VNIC_UNASSIGN"]


def group(world: World, domain: str | None = None) -> str:
    fields = {"description": "Nodes", "matching_rule": "ANY {instance.id = 'a'}"}
    return world.cloud.identity.dynamic_groups(TENANCY_ID, domain).create("nodes", fields).id


def allow(world: World, name: str, statement: str, compartment_id: str = COMPARTMENT_ID) -> dict[str, Any]:
    policy = world.cloud.identity.policies(compartment_id).create(
        name, {"description": "d", "statements": [f"allow dynamic-group {statement}"]}
    )
    return {"id": policy.id, "name": name, **policy.fields}


def test_policies_are_read(world: World, run: Run) -> None:
    group(world)
    one, two = (allow(world, name, "nodes to use vnics in compartment cloudvip") for name in ("one", "two"))

    everything = run(main, world.connect, compartment_id=COMPARTMENT_ID)

    assert sorted(everything["policies"], key=lambda p: str(p["name"])) == [one, two]
    assert (everything["changed"], "missing_permissions" in everything) == (False, False)
    assert run(main, world.connect, compartment_id=COMPARTMENT_ID, name="two")["policies"] == [two]
    assert run(main, world.connect, compartment_id=COMPARTMENT_ID, name="three")["policies"] == []
    assert run(main, world.connect, compartment_id=TENANCY_ID)["policies"] == []


def test_what_no_policy_of_the_compartment_or_above_it_grants_is_named(world: World, run: Run) -> None:
    group_id = group(world)
    allow(world, "above", f"id {group_id} to inspect private-ips in compartment cloudvip", TENANCY_ID)
    allow(world, "here", "nodes to {VNIC_ASSIGN} in compartment cloudvip")
    asked = {"compartment_id": COMPARTMENT_ID, "needed_permissions": NEEDED, "dynamic_group_id": group_id}

    by_id = run(main, world.connect, **asked, name="here")
    by_name = run(main, world.connect, **asked, dynamic_group_name="nodes")
    other = run(main, world.connect, **asked, dynamic_group_name=f"{FURTHER_DOMAIN}/nodes")

    assert by_id["missing_permissions"] == ["VNIC_ASSIGN", "VNIC_UNASSIGN"]
    assert [p["name"] for p in by_id["policies"]] == ["here"]
    assert by_name["missing_permissions"] == ["VNIC_UNASSIGN"]
    assert other["missing_permissions"] == ["VNIC_ASSIGN", "VNIC_UNASSIGN"]


def test_a_group_of_another_domain_is_found_by_its_name(world: World, run: Run) -> None:
    group_id = group(world, FURTHER_DOMAIN)
    allow(world, "here", f"'{FURTHER_DOMAIN}'/'nodes' to use virtual-network-family in compartment id {COMPARTMENT_ID}")

    answer = run(
        main,
        world.connect,
        compartment_id=COMPARTMENT_ID,
        needed_permissions=NEEDED,
        dynamic_group_id=group_id,
        dynamic_group_name=f"{FURTHER_DOMAIN}/nodes",
    )

    assert answer["missing_permissions"] == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"needed_permissions": NEEDED}, "required together: needed_permissions, dynamic_group_id"),
        ({"dynamic_group_name": "nodes"}, "missing parameter(s) required by 'dynamic_group_name': dynamic_group_id"),
        (
            {"needed_permissions": ["VNIC_READ", "VNIC_FLY", "VNIC_SWIM"], "dynamic_group_id": "x"},
            "2 problems, nothing was changed:\n- needed_permissions: 'VNIC_FLY': expected one of IPV6_CREATE, ",
        ),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(world: World, run: Run, options: dict[str, Any], text: str) -> None:
    assert text in run(main, world.connect, compartment_id=COMPARTMENT_ID, **options)["msg"]

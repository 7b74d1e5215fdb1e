# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for policies, and the statements that a cluster gets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.policy import (
    DEFAULT_DESCRIPTION,
    Policy,
    Request,
    move_statements,
    plan,
)

from lab.cloud import policy as evaluator

ONE, TWO = "allow group a to inspect vnics in tenancy", "allow group a to inspect private-ips in tenancy"
WANTED = Request("web", "present", (ONE, TWO), "For the web servers")
THERE = Policy("policy-1", "compartment", "web", "For the web servers", (ONE, TWO), "ACTIVE")


@pytest.mark.parametrize(
    ("request_", "current", "action", "changes"),
    [
        (WANTED, None, "create", {"description": "For the web servers", "statements": [ONE, TWO]}),
        (
            replace(WANTED, description=None),
            None,
            "create",
            {"description": DEFAULT_DESCRIPTION, "statements": [ONE, TWO]},
        ),
        (WANTED, THERE, None, {}),
        (WANTED, replace(THERE, statements=(f" {TWO} ", ONE.replace(" ", "  "))), None, {}),
        (WANTED, replace(THERE, statements=(ONE,)), "update", {"statements": [ONE, TWO]}),
        (WANTED, replace(THERE, statements=(ONE, TWO, "x")), "update", {"statements": [ONE, TWO]}),
        (WANTED, replace(THERE, description="Old"), "update", {"description": "For the web servers"}),
        (replace(WANTED, description=None), replace(THERE, description="Old"), None, {}),
        (replace(WANTED, state="absent"), None, None, {}),
        (replace(WANTED, state="absent"), THERE, "delete", {}),
    ],
)
def test_plan(request_: Request, current: Policy | None, action: str | None, changes: dict[str, object]) -> None:
    todo = plan(request_, current)

    assert (todo.action, dict(todo.changes)) == (action, changes)


def test_the_nodes_get_what_a_move_needs_and_nothing_else() -> None:
    statements = [evaluator.parse_statement(s) for s in move_statements("ocid1.group", "ocid1.compartment.x")]
    granted = {
        permission
        for resource in ("private-ips", "vnics", "subnets", "instances")
        for permission in evaluator.permissions_of("manage", resource)
        if evaluator.permitted(
            statements,
            evaluator.Request(
                permission,
                frozenset({("ocid1.group", "web")}),
                (("ocid1.compartment.x", "prod"),),
                {"target.compartment.id": "ocid1.compartment.x"},
            ),
        )
    }

    assert granted == {"PRIVATE_IP_READ", "PRIVATE_IP_UPDATE", "VNIC_READ", "VNIC_ASSIGN", "VNIC_UNASSIGN"}


def test_the_root_compartment_is_called_tenancy() -> None:
    assert all(" in tenancy where " in s for s in move_statements("ocid1.group", "ocid1.tenancy.oc1..x"))

# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for dynamic groups."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.dynamic_group import (
    DEFAULT_DESCRIPTION,
    DynamicGroup,
    Request,
    members_rule,
    plan,
    same_rule,
)

RULE = "ANY {instance.id = 'a', instance.id = 'b'}"
WANTED = Request("web", "present", RULE, "The web servers")
THERE = DynamicGroup("group-1", "web", "The web servers", RULE, "ACTIVE")


def test_the_rule_of_instances_does_not_depend_on_their_order() -> None:
    assert members_rule(["b", "a", "b"]) == RULE


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (RULE, "Any {instance.id='b',instance.id='a'}", True),
        (RULE, 'ANY { instance.id = "a" ,\n instance.id = "b" }', True),
        (RULE, "ANY {instance.id = 'a'}", False),
        (RULE, "ALL {instance.id = 'a', instance.id = 'b'}", False),
        ("ALL {tag.a.b.value}", "ALL  {tag.a.b.value} ", True),
        ("ANY {instance.compartment.id = 'c'}", "ANY {instance.compartment.id = 'd'}", False),
        ("ANY {instance.id = 'a', instance.compartment.id = 'c'}", "ANY {instance.id = 'a'}", False),
    ],
)
def test_rules_are_compared_by_meaning(left: str, right: str, same: bool) -> None:
    assert same_rule(left, right) is same


@pytest.mark.parametrize(
    ("request_", "current", "action", "changes"),
    [
        (WANTED, None, "create", {"description": "The web servers", "matching_rule": RULE}),
        (
            replace(WANTED, description=None),
            None,
            "create",
            {"description": DEFAULT_DESCRIPTION, "matching_rule": RULE},
        ),
        (WANTED, THERE, None, {}),
        (WANTED, replace(THERE, matching_rule="Any {instance.id='b', instance.id='a'}"), None, {}),
        (WANTED, replace(THERE, matching_rule="ANY {instance.id = 'a'}"), "update", {"matching_rule": RULE}),
        (WANTED, replace(THERE, description="Old"), "update", {"description": "The web servers"}),
        (replace(WANTED, description=None), replace(THERE, description="Old"), None, {}),
        (replace(WANTED, state="absent"), None, None, {}),
        (replace(WANTED, state="absent"), THERE, "delete", {}),
    ],
)
def test_plan(request_: Request, current: DynamicGroup | None, action: str | None, changes: dict[str, str]) -> None:
    todo = plan(request_, current)

    assert (todo.action, dict(todo.changes)) == (action, changes)
    assert (todo.action is not None) == (todo.before != todo.after)


def test_an_update_shows_the_old_and_the_new() -> None:
    todo = plan(WANTED, replace(THERE, description="Old"))

    assert todo.before == {"description": "Old", "matching_rule": RULE}
    assert todo.after == {"description": "The web servers", "matching_rule": RULE}

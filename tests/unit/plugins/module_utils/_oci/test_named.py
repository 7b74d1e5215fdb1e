# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for an object with a name and fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.named import DEFAULT_DESCRIPTION, Request, plan

WANTED = Request("web", "present", {"description": "Servers", "words": ["a", "b"]})
THERE = {"description": "Servers", "words": ["a", "b"]}
NO_DESCRIPTION = replace(WANTED, fields={**WANTED.fields, "description": None})
ANY_ORDER = replace(WANTED, same={"words": lambda left, right: set(left) == set(right)})


@pytest.mark.parametrize(
    ("request_", "current", "action", "changes"),
    [
        (WANTED, None, "create", {"description": "Servers", "words": ["a", "b"]}),
        (NO_DESCRIPTION, None, "create", {"description": DEFAULT_DESCRIPTION, "words": ["a", "b"]}),
        (WANTED, THERE, None, {}),
        (WANTED, {**THERE, "words": ["b", "a"]}, "update", {"words": ["a", "b"]}),
        (ANY_ORDER, {**THERE, "words": ["b", "a"]}, None, {}),
        (ANY_ORDER, {**THERE, "words": ["b"]}, "update", {"words": ["a", "b"]}),
        (WANTED, {**THERE, "description": "Old"}, "update", {"description": "Servers"}),
        (NO_DESCRIPTION, {**THERE, "description": "Old"}, None, {}),
        (replace(WANTED, state="absent"), None, None, {}),
        (replace(WANTED, state="absent"), THERE, "delete", {}),
    ],
)
def test_plan(request_: Request, current: dict[str, Any] | None, action: str | None, changes: dict[str, Any]) -> None:
    todo = plan(request_, current)

    assert (todo.action, dict(todo.changes)) == (action, changes)
    assert todo.before == current
    assert (todo.action is not None) == (todo.before != todo.after)


def test_an_update_shows_the_old_and_the_new() -> None:
    todo = plan(WANTED, {"description": "Old", "words": ["a", "b"]})

    assert todo.before == {"description": "Old", "words": ["a", "b"]}
    assert todo.after == {"description": "Servers", "words": ["a", "b"]}

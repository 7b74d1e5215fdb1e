# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for public IPs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import PlanError
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.public_ip import (
    Action,
    Create,
    Delete,
    PublicIp,
    Request,
    Update,
    parse,
    plan,
    unknown,
)

WANTED = Request("web", "ip-1", "present", {"team": "x"}, "cloudvip_vips (web).public_ip")
UNWANTED = replace(WANTED, state="absent")
OURS = PublicIp("pip-1", "203.0.113.7", "ip-1", "RESERVED", "ASSIGNED", "web", {"team": "x"})
FREE = replace(OURS, private_ip_id=None, lifecycle_state="AVAILABLE")
ELSEWHERE = replace(OURS, id="pip-2", address="203.0.113.8", private_ip_id="ip-2")


@pytest.mark.parametrize(
    ("request_", "current", "action"),
    [
        pytest.param(WANTED, [], Create("web", "ip-1", {"team": "x"}), id="create"),
        pytest.param(WANTED, [OURS], None, id="nothing to do"),
        pytest.param(WANTED, [replace(OURS, tags={"team": "x", "cost": "7"})], None, id="more tags are left alone"),
        pytest.param(
            WANTED,
            [replace(OURS, tags={"cost": "7"})],
            Update(replace(OURS, tags={"cost": "7"}), {"tags": {"cost": "7", "team": "x"}}),
            id="a tag is added",
        ),
        pytest.param(
            WANTED, [replace(OURS, display_name="old")], None, id="what the private IP has is kept, with its name"
        ),
        pytest.param(WANTED, [FREE], Update(FREE, {"private_ip_id": "ip-1"}), id="adopt a free one of the name"),
        pytest.param(WANTED, [ELSEWHERE, FREE], Update(FREE, {"private_ip_id": "ip-1"}), id="adopt the free one"),
        pytest.param(
            WANTED, [replace(FREE, display_name="other")], Create("web", "ip-1", {"team": "x"}), id="no other name"
        ),
        pytest.param(
            replace(WANTED, private_ip_id=None), [], Create("web", None, {"team": "x"}), id="create for what is to come"
        ),
        pytest.param(replace(WANTED, private_ip_id=None), [FREE], Update(FREE, {}), id="adopt for what is to come"),
        pytest.param(UNWANTED, [], None, id="absent already"),
        pytest.param(UNWANTED, [OURS], Delete(OURS), id="delete"),
        pytest.param(UNWANTED, [FREE], Delete(FREE), id="delete a free one"),
        pytest.param(UNWANTED, [replace(OURS, display_name="other")], None, id="another name is someone else's"),
        pytest.param(
            replace(UNWANTED, private_ip_id=None), [ELSEWHERE], None, id="what uses it need not be what it was made for"
        ),
    ],
)
def test_actions(request_: Request, current: list[PublicIp], action: Action | None) -> None:
    assert plan([request_], current).actions == ({} if action is None else {"web": action})


@pytest.mark.parametrize("current", [[], [OURS], [FREE], [replace(OURS, display_name="old")], [replace(OURS, tags={})]])
@pytest.mark.parametrize("request_", [WANTED, UNWANTED])
def test_something_is_done_exactly_when_before_and_after_differ(request_: Request, current: list[PublicIp]) -> None:
    todo = plan([request_], current)

    assert bool(todo.actions) == (todo.before != todo.results)


@pytest.mark.parametrize(
    ("request_", "current", "problem"),
    [
        pytest.param(
            WANTED,
            [ELSEWHERE],
            "a public IP that is free or assigned to ip-1; 203.0.113.8 (pip-2) is assigned to ip-2",
            id="assigned elsewhere",
        ),
        pytest.param(
            replace(WANTED, private_ip_id=None),
            [ELSEWHERE],
            "a public IP that is free; 203.0.113.8 (pip-2) is assigned to ip-2",
            id="assigned elsewhere, and not yet made",
        ),
        pytest.param(
            UNWANTED,
            [ELSEWHERE],
            "a public IP that is free or assigned to ip-1; 203.0.113.8 (pip-2) is assigned to ip-2",
            id="not to be deleted elsewhere",
        ),
        pytest.param(
            WANTED,
            [FREE, replace(FREE, id="pip-3")],
            "one reserved public IP of this name, not 203.0.113.7 (pip-1), 203.0.113.7 (pip-3)",
            id="two to choose from",
        ),
        pytest.param(
            replace(UNWANTED, private_ip_id=None),
            [FREE, replace(FREE, id="pip-3")],
            "one reserved public IP of this name, not 203.0.113.7 (pip-1), 203.0.113.7 (pip-3)",
            id="two to delete",
        ),
        pytest.param(
            WANTED,
            [replace(OURS, lifetime="EPHEMERAL")],
            "a private IP without an ephemeral public IP; ip-1 has 203.0.113.7 (pip-1)",
            id="ephemeral",
        ),
    ],
)
def test_what_is_in_the_way_is_named(request_: Request, current: list[PublicIp], problem: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan([request_], current)

    assert caught.value.problems == [f"cloudvip_vips (web).public_ip = 'web': expected {problem}"]


def test_all_problems_come_at_once() -> None:
    other = replace(WANTED, display_name="db", private_ip_id="ip-3")

    with pytest.raises(PlanError) as caught:
        plan([WANTED, other], [ELSEWHERE, replace(ELSEWHERE, display_name="db")])

    assert len(caught.value.problems) == 2


def test_what_the_listing_does_not_tell_is_asked_for() -> None:
    new = replace(WANTED, display_name="db", private_ip_id="ip-3")
    gone = replace(new, state="absent", private_ip_id="ip-4")

    assert unknown([WANTED, new, gone, replace(WANTED, private_ip_id=None)], [OURS, FREE]) == ["ip-3"]


def param(**changes: Any) -> dict[str, Any]:
    given = {"display_name": "web", "private_ip_id": "ip-1", "state": "present", "tags": None, "label": None}
    return {**given, **changes}


def test_options_become_requests() -> None:
    assert parse([param(tags={"team": "x"}, label="x")], predict=False) == (replace(WANTED, label="x"),)
    assert parse([param(private_ip_id="", label="x")], predict=True)[0].private_ip_id is None
    assert parse([param(private_ip_id=None, state="absent")], predict=False)[0].private_ip_id is None


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ([param(), param(private_ip_id="ip-2")], "expected once, public_ips[0].display_name has this name too"),
        (
            [param(), param(display_name="db")],
            "expected a private_ip_id of its own, public_ips[0].display_name has ip-1 too",
        ),
        ([param(private_ip_id=None)], "expected the OCID of a private IP as private_ip_id"),
    ],
)
def test_unusable_options_are_refused(params: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse(params, predict=False)

    assert [p.split(": ")[1] for p in caught.value.problems] == [problem]

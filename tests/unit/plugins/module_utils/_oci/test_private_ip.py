# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for private IPs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import PlanError
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.private_ip import (
    Action,
    Create,
    Delete,
    PrivateIp,
    Request,
    Update,
    canonical,
    doomed,
    parse,
    plan,
)

SUBNETS = {"192.0.2.50": "subnet", "192.0.2.51": "subnet", "2001:db8::50": "subnet", "2001:db8::51": "subnet"}
WANTED = Request("192.0.2.50", ("vnic-a", "vnic-b"), "present", "web", {"team": "x"}, "cloudvip_vips (web).address")
UNWANTED = replace(WANTED, state="absent")
OURS = PrivateIp("ip-1", "192.0.2.50", "subnet", "vnic-b", False, "RESERVED", "web", {"team": "x"})
THEIRS = replace(OURS, id="ip-9", address="192.0.2.99", vnic_id="vnic-z")
NEW = Create("subnet", "192.0.2.50", None, "RESERVED", "web", {"team": "x"}, None)
ON_A = replace(WANTED, vnic_id="vnic-a")
OTHER = replace(WANTED, address="192.0.2.51", label="cloudvip_vips (db).address")


@pytest.mark.parametrize(
    ("request_", "current", "actions"),
    [
        pytest.param(WANTED, [THEIRS], [NEW], id="reserve"),
        pytest.param(WANTED, [OURS], [], id="nothing to do"),
        pytest.param(WANTED, [replace(OURS, vnic_id="vnic-a")], [], id="placement is the cluster's"),
        pytest.param(WANTED, [replace(OURS, vnic_id=None)], [], id="not placed yet"),
        pytest.param(
            WANTED,
            [replace(OURS, lifetime="EPHEMERAL")],
            [Update(replace(OURS, lifetime="EPHEMERAL"), {"lifetime": "RESERVED"})],
            id="adopt an ephemeral one",
        ),
        pytest.param(
            WANTED,
            [replace(OURS, display_name="old")],
            [Update(replace(OURS, display_name="old"), {"display_name": "web"})],
            id="rename",
        ),
        pytest.param(replace(WANTED, display_name=None), [OURS], [], id="no name asked for"),
        pytest.param(WANTED, [replace(OURS, tags={"team": "x", "cost": "7"})], [], id="more tags are left alone"),
        pytest.param(
            WANTED,
            [replace(OURS, tags={"team": "y", "cost": "7"})],
            [Update(replace(OURS, tags={"team": "y", "cost": "7"}), {"tags": {"team": "x", "cost": "7"}})],
            id="a tag changes, another stays",
        ),
        pytest.param(
            WANTED,
            [replace(OURS, subnet_id="other", vnic_id="stranger")],
            [NEW],
            id="the same address in another subnet",
        ),
        pytest.param(
            WANTED,
            [replace(OURS, lifetime=None)],
            [],
            id="nothing to reserve where the service reserves nothing",
        ),
        pytest.param(
            WANTED,
            [replace(THEIRS, lifetime=None)],
            [replace(NEW, vnic_id="vnic-a", lifetime="EPHEMERAL")],
            id="create where the service reserves nothing",
        ),
        pytest.param(
            WANTED, [], [replace(NEW, fallback_vnic_id="vnic-a")], id="nothing tells whether it can be reserved"
        ),
        pytest.param(ON_A, [THEIRS], [replace(NEW, vnic_id="vnic-a")], id="place a new one"),
        pytest.param(
            ON_A,
            [replace(OURS, vnic_id=None)],
            [Update(replace(OURS, vnic_id=None), {"vnic_id": "vnic-a"})],
            id="place an unassigned one",
        ),
        pytest.param(ON_A, [replace(OURS, vnic_id="vnic-a")], [], id="placed already"),
        pytest.param(
            replace(ON_A, allow_reassociation=True), [OURS], [Update(OURS, {"vnic_id": "vnic-a"})], id="take it away"
        ),
        pytest.param(replace(WANTED, allow_reassociation=True), [OURS], [], id="nowhere to take it to"),
        pytest.param(
            replace(UNWANTED, vnic_id="vnic-a"), [OURS], [Delete(OURS)], id="placement is no matter for one that goes"
        ),
        pytest.param(UNWANTED, [], [], id="absent already"),
        pytest.param(UNWANTED, [OURS], [Delete(OURS)], id="delete"),
        pytest.param(UNWANTED, [replace(OURS, vnic_id=None)], [Delete(replace(OURS, vnic_id=None))], id="delete free"),
    ],
)
def test_actions(request_: Request, current: list[PrivateIp], actions: list[Action]) -> None:
    assert list(plan([request_], SUBNETS, current, {}).actions) == actions


@pytest.mark.parametrize(
    "current", [[], [OURS], [replace(OURS, lifetime="EPHEMERAL", tags={})], [replace(OURS, lifetime=None)]]
)
@pytest.mark.parametrize("request_", [WANTED, UNWANTED, replace(ON_A, allow_reassociation=True)])
def test_something_is_done_exactly_when_before_and_after_differ(request_: Request, current: list[PrivateIp]) -> None:
    todo = plan([request_], SUBNETS, current, {})

    assert bool(todo.actions) == (todo.before != todo.after)


def test_before_and_after_say_what_changes() -> None:
    todo = plan([WANTED], SUBNETS, [replace(OURS, lifetime="EPHEMERAL")], {})

    assert todo.before == {"192.0.2.50": {"lifetime": "EPHEMERAL", "display_name": "web", "tags": {"team": "x"}}}
    assert todo.after == {"192.0.2.50": {"lifetime": "RESERVED", "display_name": "web", "tags": {"team": "x"}}}


def test_a_placement_is_part_of_the_diff_only_if_it_was_asked_for() -> None:
    todo = plan([replace(ON_A, allow_reassociation=True)], SUBNETS, [OURS], {})

    assert todo.before["192.0.2.50"]["vnic_id"] == "vnic-b"
    assert todo.after["192.0.2.50"]["vnic_id"] == "vnic-a"


def test_to_take_an_address_off_another_vnic_must_be_allowed() -> None:
    with pytest.raises(PlanError) as caught:
        plan([ON_A], SUBNETS, [OURS], {})

    assert caught.value.problems == [
        "cloudvip_vips (web).address = '192.0.2.50': expected it to be on no VNIC or on vnic_id vnic-a; it is on VNIC "
        "vnic-b. Set allow_reassociation to move it"
    ]


def test_what_something_refers_to_is_not_deleted() -> None:
    references = {"ip-1": ["the rule for 198.51.100.0/24 of route table 'x' (rt)", "the public IP 203.0.113.7 (pip)"]}

    with pytest.raises(PlanError) as caught:
        plan([UNWANTED], SUBNETS, [OURS], references)

    assert caught.value.problems == [
        "cloudvip_vips (web).address = '192.0.2.50': expected nothing to refer to it any more; ip-1 is used by "
        "the rule for 198.51.100.0/24 of route table 'x' (rt), the public IP 203.0.113.7 (pip). "
        "Remove that first, or set delete_in_use"
    ]


@pytest.mark.parametrize(
    ("request_", "current", "expected"),
    [
        pytest.param(UNWANTED, [OURS], [OURS], id="it goes"),
        pytest.param(UNWANTED, [], [], id="it is gone"),
        pytest.param(WANTED, [OURS], [], id="it stays"),
        pytest.param(replace(UNWANTED, delete_in_use=True), [OURS], [], id="it goes whatever refers to it"),
        pytest.param(UNWANTED, [replace(OURS, vnic_id="stranger")], [], id="someone else's"),
        pytest.param(UNWANTED, [replace(OURS, subnet_id="other")], [], id="in another subnet"),
    ],
)
def test_references_are_looked_up_for_what_goes_only(
    request_: Request, current: list[PrivateIp], expected: list[PrivateIp]
) -> None:
    assert doomed([request_], SUBNETS, current) == expected


@pytest.mark.parametrize(
    ("request_", "current", "expected"),
    [
        (WANTED, replace(OURS, vnic_id="stranger", display_name="theirs"), "an address that nothing uses"),
        (UNWANTED, replace(OURS, vnic_id="stranger", display_name="theirs"), "a private IP of this cluster"),
    ],
)
def test_what_belongs_to_something_else_is_left_alone(request_: Request, current: PrivateIp, expected: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan([request_], SUBNETS, [current], {})

    assert caught.value.problems == [
        f"cloudvip_vips (web).address = '192.0.2.50': expected {expected}; it belongs to something else: "
        "it is a private IP of VNIC stranger ('theirs', ip-1)"
    ]


@pytest.mark.parametrize("request_", [WANTED, UNWANTED])
def test_a_primary_one_is_left_alone_also_on_a_vnic_of_ours(request_: Request) -> None:
    with pytest.raises(PlanError, match="the primary private IP of VNIC vnic-b"):
        plan([request_], SUBNETS, [replace(OURS, is_primary=True)], {})


def test_all_problems_come_at_once() -> None:
    theirs = replace(OURS, vnic_id="stranger")

    with pytest.raises(PlanError) as caught:
        plan([WANTED, OTHER], SUBNETS, [theirs, replace(theirs, address="192.0.2.51")], {})

    assert [p.split(" =")[0] for p in caught.value.problems] == [WANTED.label, OTHER.label]


def occupied(count: int) -> list[PrivateIp]:
    """So many addresses on vnic-b that are none of the cluster's VIPs."""
    return [PrivateIp(f"x{i}", f"198.51.100.{i}", "subnet", "vnic-b", i == 0, "EPHEMERAL", "x") for i in range(count)]


def test_a_vnic_can_be_filled() -> None:
    assert len(plan([WANTED, OTHER], SUBNETS, occupied(62), {}).actions) == 2


def test_more_than_a_vnic_can_hold_is_refused() -> None:
    with pytest.raises(PlanError) as caught:
        plan([WANTED, OTHER], SUBNETS, occupied(63), {})

    assert caught.value.problems == [
        "cloudvip_vips (db).address = '192.0.2.51': expected at most 64 IPv4 addresses on VNIC vnic-b: "
        "it has 63 of its own or of others, and 2 are asked for"
    ]


def test_the_families_have_limits_of_their_own() -> None:
    wanted = [replace(WANTED, address="2001:db8::50"), replace(OTHER, address="2001:db8::51")]
    sixes = [PrivateIp(f"y{i}", f"2001:db8::{i}", "subnet", "vnic-b", False, "RESERVED", "y") for i in range(31)]

    assert len(plan(wanted, SUBNETS, [*occupied(64), *sixes[:30]], {}).actions) == 2
    with pytest.raises(PlanError, match="expected at most 32 IPv6 addresses on VNIC vnic-b: it has 31 of its own"):
        plan(wanted, SUBNETS, [*occupied(64), *sixes], {})


def test_a_vip_that_is_there_already_counts_once() -> None:
    there = [*occupied(62), OURS, replace(OURS, id="ip-2", address="192.0.2.51")]

    assert plan([WANTED, OTHER], SUBNETS, there, {}).actions == ()


def test_a_vip_that_goes_leaves_room() -> None:
    there = [*occupied(63), OURS]

    assert len(plan([UNWANTED, OTHER], SUBNETS, there, {}).actions) == 2


def param(**changes: Any) -> dict[str, Any]:
    given = {
        "address": "192.0.2.50",
        "vnic_ids": ["vnic-a"],
        "subnet_id": None,
        "state": "present",
        "display_name": None,
    }
    placement = {"vnic_id": None, "allow_reassociation": False, "delete_in_use": False}
    return {**given, **placement, "tags": None, "label": None, **changes}


def test_options_become_requests() -> None:
    assert parse([param(tags={"a": "b"}, label="web")]) == (
        Request("192.0.2.50", ("vnic-a",), "present", None, {"a": "b"}, "web"),
    )


def test_an_address_has_one_form() -> None:
    (request,) = parse(
        [param(address="2001:DB8:0::50", vnic_id="vnic-a", allow_reassociation=True, delete_in_use=True)]
    )

    assert (request.address, request.vnic_id) == ("2001:db8::50", "vnic-a")
    assert request.allow_reassociation
    assert request.delete_in_use
    assert canonical("addresses", ["2001:DB8:0::50", "192.0.2.50"]) == ["2001:db8::50", "192.0.2.50"]


def test_all_that_is_wrong_with_the_options_comes_at_once() -> None:
    with pytest.raises(PlanError) as caught:
        parse([param(address="here", vnic_ids=[]), param(vnic_id="vnic-x")])

    assert [p.split("expected ")[1] for p in caught.value.problems] == [
        "an IPv4 or IPv6 address without a prefix",
        "at least one VNIC in vnic_ids, or subnet_id",
        "one of vnic_ids as vnic_id, not 'vnic-x'",
    ]
    with pytest.raises(PlanError) as caught:
        canonical("addresses", ["192.0.2.50", "here", "there"])
    assert [p.split(":")[0] for p in caught.value.problems] == ["addresses[1] = 'here'", "addresses[2] = 'there'"]


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ([param(address="192.0.2.500")], "private_ips[0].address = '192.0.2.500': expected an IPv4 or IPv6 address"),
        ([param(address="192.0.2.5/24")], "private_ips[0].address = '192.0.2.5/24': expected an IPv4 or IPv6 address"),
        (
            [param(vnic_ids=[])],
            "private_ips[0].address = '192.0.2.50': expected at least one VNIC in vnic_ids, or subnet_id",
        ),
        (
            [param(address="2001:db8::5", label="web"), param(address="2001:db8:0::5", label="db")],
            "db = '2001:db8::5': expected once, web has this address too",
        ),
        ([param(label="web"), param(label="db")], "db = '192.0.2.50': expected once, web has this address too"),
    ],
)
def test_unusable_options_are_refused(params: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse(params)

    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(problem)

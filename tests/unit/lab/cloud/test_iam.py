# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.cloud.errors import ApiError
from lab.cloud.iam import MAX_LAG, Iam
from lab.cloud.names import COMPARTMENT_ID, FURTHER_DOMAIN, TENANCY_ID

VNICS = "to use vnics in compartment cloudvip"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def iam(clock: Clock) -> Iam:
    made = Iam()
    made.clock = clock
    return made


def refusal(change: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        change(*args, **kwargs)
    return caught.value.status, caught.value.code


def may(iam: Iam, instance_id: str) -> bool:
    return iam.permitted(instance_id, "VNIC_READ", COMPARTMENT_ID, {})


def test_membership_and_policies_decide_at_the_time_of_the_request(iam: Iam) -> None:
    group = iam.create_dynamic_group("g", "instance.id = 'one'", "d")
    record = iam.create_policy(COMPARTMENT_ID, "p", "d", [f"allow dynamic-group id {group.id} {VNICS}"])
    assert (may(iam, "one"), may(iam, "two")) == (True, False)
    iam.update_dynamic_group(group.id, {"matching_rule": "instance.id = 'two'"})
    assert (may(iam, "one"), may(iam, "two")) == (False, True)
    iam.delete_policy(record.id)
    assert not may(iam, "two")


@pytest.mark.parametrize(
    ("compartment", "statement"),
    [
        (COMPARTMENT_ID, "nonsense"),
        (COMPARTMENT_ID, "allow dynamic-group id ocid1.dynamicgroup.none to use vnics in compartment cloudvip"),
        (COMPARTMENT_ID, f"allow dynamic-group nobody {VNICS}"),
        (COMPARTMENT_ID, f"allow dynamic-group '{FURTHER_DOMAIN}'/'g' {VNICS}"),
        (COMPARTMENT_ID, f"allow dynamic-group 'Nowhere'/'g' {VNICS}"),
        (COMPARTMENT_ID, "allow dynamic-group g to use vnics in compartment elsewhere"),
        (COMPARTMENT_ID, "allow dynamic-group g to use vnics in compartment id ocid1.compartment.none"),
        (COMPARTMENT_ID, "allow dynamic-group g to use vnics in tenancy"),
        (COMPARTMENT_ID, f"allow dynamic-group g to use vnics in compartment id {TENANCY_ID}"),
        (TENANCY_ID, "allow dynamic-group g to use vnics in compartment elsewhere"),
    ],
)
def test_a_policy_with_a_bad_statement_is_refused(iam: Iam, compartment: str, statement: str) -> None:
    iam.create_dynamic_group("g", "instance.id = 'x'", "d")
    assert refusal(iam.create_policy, compartment, "p", "d", [statement]) == (400, "InvalidParameter")
    assert not iam.policies


def test_names_are_unique_and_rules_are_checked(iam: Iam) -> None:
    group = iam.create_dynamic_group("g", "instance.id = 'x'", "d")
    assert refusal(iam.create_dynamic_group, "G", "instance.id = 'x'", "d") == (409, "IdcsConversionError")
    assert refusal(iam.create_dynamic_group, "h", "instance.name = 'x'", "d") == (400, "InvalidParameter")
    assert refusal(iam.update_dynamic_group, group.id, {"matching_rule": "?"}) == (400, "InvalidParameter")
    allow = "allow dynamic-group g to use vnics in tenancy"
    iam.create_policy(TENANCY_ID, "p", "d", [allow])
    assert refusal(iam.create_policy, TENANCY_ID, "P", "d", [allow]) == (409, "PolicyAlreadyExists")


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_group_of_another_domain_is_named_with_it(iam: Iam, by: str) -> None:
    iam.create_dynamic_group("g", "instance.id = 'classic'", "d")
    group = iam.create_dynamic_group("g", "instance.id = 'one'", "d", domain=FURTHER_DOMAIN)
    subject = {"name": f"'{FURTHER_DOMAIN.upper()}'/'g'", "id": f"id {group.id}"}[by]
    iam.create_policy(COMPARTMENT_ID, "p", "d", [f"allow dynamic-group {subject} {VNICS}"])
    assert (may(iam, "one"), may(iam, "classic")) == (True, False)


def test_a_change_is_read_at_once_and_in_force_later(iam: Iam, clock: Clock) -> None:
    group = iam.create_dynamic_group("g", "instance.id = 'one'", "d")
    iam.lag = lambda: 30.0
    statement = f"allow dynamic-group id {group.id} {VNICS}"
    clock.now = 29
    assert group.id in iam.dynamic_groups
    assert refusal(iam.create_policy, COMPARTMENT_ID, "p", "d", [statement]) == (400, "InvalidParameter")
    clock.now = 30
    iam.create_policy(COMPARTMENT_ID, "p", "d", [statement])
    clock.now = 59
    assert not may(iam, "one")
    clock.now = 60
    assert may(iam, "one")
    iam.update_dynamic_group(group.id, {"matching_rule": "instance.id = 'two'"})
    clock.now = 89
    assert (may(iam, "one"), may(iam, "two")) == (True, False)
    clock.now = 90
    assert (may(iam, "one"), may(iam, "two")) == (False, True)


def test_what_was_before_is_kept_as_long_as_a_lag_can_be(iam: Iam, clock: Clock) -> None:
    group = iam.create_dynamic_group("g", "instance.id = 'old'", "d")
    iam.create_policy(COMPARTMENT_ID, "p", "d", [f"allow dynamic-group id {group.id} {VNICS}"])
    iam.lag = lambda: MAX_LAG
    for moment in (MAX_LAG, 2 * MAX_LAG, 2 * MAX_LAG + 1):
        clock.now = moment
        iam.update_dynamic_group(group.id, {"matching_rule": f"instance.id = '{moment}'"})
    assert may(iam, str(MAX_LAG))


def test_reset_forgets_everything_at_once(iam: Iam) -> None:
    group = iam.create_dynamic_group("g", "instance.id = 'one'", "d")
    iam.create_policy(COMPARTMENT_ID, "p", "d", [f"allow dynamic-group id {group.id} {VNICS}"])
    iam.reset()
    assert not iam.dynamic_groups
    assert not iam.policies
    assert not may(iam, "one")

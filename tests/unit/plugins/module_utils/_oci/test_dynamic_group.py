# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of dynamic groups."""

from __future__ import annotations

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.dynamic_group import (
    compartment_rule,
    instances_rule,
    same_rule,
    tag_rule,
)

from lab.cloud.policy import parse_rule

RULE = "ANY {instance.id = 'a', instance.id = 'b'}"


def test_the_rule_of_instances_does_not_depend_on_their_order() -> None:
    assert instances_rule(["b", "a", "b"]) == RULE


@pytest.mark.parametrize(
    ("rule", "member", "stranger"),
    [
        (instances_rule(["a"]), {"instance.id": "a"}, {"instance.id": "b"}),
        (compartment_rule("c"), {"instance.compartment.id": "c"}, {"instance.compartment.id": "d"}),
        (
            tag_rule({"namespace": "Ops", "key": "Role", "value": "web"}),
            {"tag.ops.role.value": "web"},
            {"tag.ops.role.value": "db"},
        ),
    ],
)
def test_a_rule_lets_in_who_is_meant(rule: str, member: dict[str, str], stranger: dict[str, str]) -> None:
    parsed = parse_rule(rule)

    assert (parsed.holds(member), parsed.holds(stranger)) == (True, False)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (RULE, "Any {instance.id='b',instance.id='a'}", True),
        (RULE, 'ANY { instance.id = "a" ,\n instance.id = "b" }', True),
        (RULE, "ANY {instance.id = 'a'}", False),
        (RULE, "ALL {instance.id = 'a', instance.id = 'b'}", False),
        (RULE, "ANY {instance.id != 'a', instance.id = 'b'}", False),
        ("ALL {tag.a.b.value}", "Tag.a.b.value ", True),
        ("ALL {tag.a.b.value = 'x, y'}", "ANY {tag.a.b.value='x, y'}", True),
        ("ALL {tag.a.b.value = 'x, y'}", "ANY {tag.a.b.value='x,y'}", False),
        (compartment_rule("c"), "instance.compartment.id = 'c'", True),
        (compartment_rule("c"), "ANY {instance.compartment.id = 'd'}", False),
        ("ANY {instance.id = 'a', instance.compartment.id = 'c'}", "ANY {instance.id = 'a'}", False),
        ("ALL {any {instance.id = 'a'}}", "ALL  {any {instance.id = 'a'}} ", True),
        ("ALL {any {instance.id = 'a'}}", "ALL {any {instance.id = 'b'}}", False),
    ],
)
def test_rules_are_compared_by_meaning(left: str, right: str, same: bool) -> None:
    assert same_rule(left, right) is same

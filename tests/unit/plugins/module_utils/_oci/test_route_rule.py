# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for the rules of a route table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.route_rule import Request, RouteRule, plan

DEFAULT = RouteRule("0.0.0.0/0", "CIDR_BLOCK", "gateway", None, "STATIC")
SERVICES = RouteRule("all-iad-services", "SERVICE_CIDR_BLOCK", "servicegateway", None, "STATIC")
POD = RouteRule("192.0.2.0/28", "CIDR_BLOCK", "vip", "POD 1", "STATIC")
WANTED = Request("192.0.2.0/28", "vip", None, "present")
NEW = RouteRule("192.0.2.0/28", "CIDR_BLOCK", "vip", None, None)


@pytest.mark.parametrize(
    ("request_", "rules", "after"),
    [
        pytest.param(WANTED, [DEFAULT, SERVICES], [DEFAULT, SERVICES, NEW], id="add"),
        pytest.param(WANTED, [POD, DEFAULT], [POD, DEFAULT], id="nothing to do"),
        pytest.param(
            replace(WANTED, private_ip_id="other"),
            [DEFAULT, POD, SERVICES],
            [DEFAULT, replace(POD, network_entity_id="other"), SERVICES],
            id="lead elsewhere, in its place",
        ),
        pytest.param(
            replace(WANTED, description="mine"), [POD], [replace(POD, description="mine")], id="describe anew"
        ),
        pytest.param(
            replace(WANTED, private_ip_id=None), [POD], [replace(POD, network_entity_id=None)], id="not known yet"
        ),
        pytest.param(replace(WANTED, state="absent"), [DEFAULT, POD], [DEFAULT], id="remove"),
        pytest.param(replace(WANTED, state="absent", private_ip_id=None), [POD, SERVICES], [SERVICES], id="remove any"),
        pytest.param(replace(WANTED, state="absent", private_ip_id="other"), [POD], [POD], id="leads elsewhere"),
        pytest.param(replace(WANTED, state="absent"), [DEFAULT], [DEFAULT], id="absent already"),
    ],
)
def test_only_the_rules_asked_for_change(request_: Request, rules: list[RouteRule], after: list[RouteRule]) -> None:
    todo = plan([request_], rules)

    assert list(todo.rules) == after
    assert todo.changed == (rules != after) == (todo.before != todo.after)


def test_before_and_after_are_of_the_rules_asked_for() -> None:
    todo = plan([replace(WANTED, private_ip_id="other")], [DEFAULT, POD])

    assert todo.before == {"192.0.2.0/28": {"private_ip_id": "vip", "description": "POD 1"}}
    assert todo.after == {"192.0.2.0/28": {"private_ip_id": "other", "description": "POD 1"}}

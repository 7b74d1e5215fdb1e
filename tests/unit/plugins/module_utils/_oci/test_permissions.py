# SPDX-License-Identifier: GPL-3.0-or-later
"""What the nodes are permitted, and what is said to be missing."""

from __future__ import annotations

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.permissions import (
    FEATURES,
    PERMISSIONS,
    VERBS,
    missing_permissions,
    permissions_of,
    statements,
)

from lab.cloud import policy as evaluator

GROUP, COMPARTMENT, TENANCY = "ocid1.group.x", "ocid1.compartment.x", "ocid1.tenancy.x"
NAMES = {GROUP: ("web", "Default/web"), COMPARTMENT: ("prod",), TENANCY: ("acme",)}
MOVE = {"PRIVATE_IP_READ", "PRIVATE_IP_UPDATE", "VNIC_READ", "VNIC_ASSIGN", "VNIC_UNASSIGN"}


def granted(texts: list[str]) -> set[str]:
    """What the lab's IAM makes of the statements, of everything that there is."""
    parsed = [evaluator.parse_statement(s) for s in texts]
    return {
        permission
        for permission in evaluator.permissions_of("manage", "all-resources")
        if evaluator.permitted(
            parsed,
            evaluator.Request(
                permission, frozenset({evaluator.Group(GROUP, "web")}), ((COMPARTMENT, "prod"), (TENANCY, "acme")), {}
            ),
        )
    }


@pytest.mark.parametrize(
    ("features", "permissions"),
    [
        ({"move"}, MOVE),
        ({"move", "ipv6"}, MOVE | {"IPV6_READ", "IPV6_UPDATE", "SUBNET_READ"}),
        (set(), set()),
    ],
)
def test_the_nodes_get_what_the_features_need_and_nothing_else(features: set[str], permissions: set[str]) -> None:
    assert granted(statements(GROUP, COMPARTMENT, features)) == permissions


def test_each_type_of_resource_has_one_statement_by_the_weakest_verb_that_will_do() -> None:
    texts = statements(GROUP, COMPARTMENT, FEATURES)

    assert [s.split(" where ")[0].removeprefix(f"allow dynamic-group id {GROUP} to ") for s in texts] == [
        f"use private-ips in compartment id {COMPARTMENT}",
        f"use vnics in compartment id {COMPARTMENT}",
        f"manage ipv6s in compartment id {COMPARTMENT}",
        f"inspect subnets in compartment id {COMPARTMENT}",
    ]


def test_the_root_compartment_is_called_tenancy() -> None:
    assert all(" in tenancy where " in s for s in statements(GROUP, "ocid1.tenancy.oc1..x", {"move"}))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "resource",
    [
        "private-ips",
        "vnics",
        "ipv6s",
        "subnets",
        "vnic-attachments",
        "virtual-network-family",
        "instance-family",
        "all-resources",
    ],
)
def test_the_verbs_grant_what_the_service_says(verb: str, resource: str) -> None:
    assert permissions_of(verb, resource) == evaluator.permissions_of(verb, resource) & PERMISSIONS


def missing(*texts: str, needed: tuple[str, ...] = tuple(sorted(MOVE))) -> list[str]:
    return missing_permissions(texts, GROUP, NAMES, COMPARTMENT, needed)


@pytest.mark.parametrize("features", [{f} for f in FEATURES])
def test_nothing_is_missing_from_the_statements_of_a_feature(features: set[str]) -> None:
    needed = tuple(p for f in features for them in FEATURES[f].values() for p in them)

    assert missing(*statements(GROUP, COMPARTMENT, features), needed=needed) == []
    assert missing(needed=needed) == list(needed)


@pytest.mark.parametrize("removed", sorted(MOVE))
def test_a_permission_that_was_taken_out_is_named(removed: str) -> None:
    texts = [s.replace(f"'{removed}'", "'OTHER'") for s in statements(GROUP, COMPARTMENT, {"move"})]

    assert missing(*texts) == [removed]


VNICS = ["VNIC_ASSIGN", "VNIC_READ", "VNIC_UNASSIGN"]
IPS = ["PRIVATE_IP_READ", "PRIVATE_IP_UPDATE"]


@pytest.mark.parametrize(
    ("statement", "lacking"),
    [
        ("allow dynamic-group web to use vnics in compartment prod", IPS),
        ("Allow dynamic-group 'Default'/'Web' to USE vnics in compartment id ocid1.compartment.x", IPS),
        ("allow dynamic-group other, web to use vnics in tenancy", IPS),
        ("allow dynamic-group id ocid1.group.y, id ocid1.group.x to use vnics in compartment acme", IPS),
        ("allow dynamic-group web to use virtual-network-family in tenancy", []),
        ("allow dynamic-group web to manage all-resources in compartment prod", []),
        ("allow dynamic-group web to inspect all-resources in tenancy", ["PRIVATE_IP_UPDATE", VNICS[0], VNICS[2]]),
        ("allow dynamic-group web to {VNIC_READ, vnic_assign} in tenancy", [*IPS, "VNIC_UNASSIGN"]),
        ("allow dynamic-group web to use vnics in tenancy where request.permission = 'VNIC_READ'", [*IPS, *VNICS[::2]]),
        ("allow dynamic-group web to use vnics in tenancy where request.permission != 'VNIC_READ'", [*IPS, VNICS[1]]),
        (
            "allow dynamic-group web to use vnics in tenancy where "
            "all {request.permission != 'VNIC_READ', request.permission != 'VNIC_ASSIGN'}",
            [*IPS, *VNICS[:2]],
        ),
        (
            "allow dynamic-group web to use vnics in tenancy where "
            "any {request.permission = \"VNIC_READ\", target.vnic.id = 'x'}",
            [*IPS, *VNICS[::2]],
        ),
    ],
)
def test_what_a_statement_grants_is_not_missing(statement: str, lacking: list[str]) -> None:
    assert missing(statement) == sorted(lacking)


@pytest.mark.parametrize(
    "statement",
    [
        "allow any-user to use vnics in tenancy",
        "allow group web to use vnics in tenancy",
        "allow dynamic-group db to use vnics in tenancy",
        "allow dynamic-group 'Other'/'web' to use vnics in tenancy",
        "allow dynamic-group id web2 to use vnics in tenancy",
        "allow dynamic-group web to use vnics in compartment test",
        "allow dynamic-group web to use vnics in compartment prod:web",
        "allow dynamic-group web to grab vnics in tenancy",
        "allow dynamic-group web to use unicorns in tenancy",
        "allow dynamic-group web to use vnics in tenancy where "
        "all {request.permission='VNIC_READ', target.vnic.id='x'}",
        "allow dynamic-group web to use vnics in tenancy where "
        "any {target.a='1', all {target.b='1', request.permission='VNIC_READ', target.c='1'}}",
        "allow dynamic-group web to use vnics in tenancy where request.operation = 'UpdatePrivateIp'",
        "define tenancy other as ocid1.tenancy.y",
    ],
)
def test_what_cannot_be_told_to_be_granted_is_missing(statement: str) -> None:
    assert missing(statement) == sorted(MOVE)

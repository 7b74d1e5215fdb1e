# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from lab.cloud.policy import Group, PolicyError, Request, parse_rule, parse_statement, permissions_of, permitted

GROUP = Group("ocid1.dynamicgroup.x", "VRouters")
TENANCY = ("ocid1.tenancy.t", "lab")
COMPARTMENT = ("ocid1.compartment.c", "cloudvip")
INSTANCE = {
    "instance.id": "ocid1.instance.a",
    "instance.compartment.id": "ocid1.compartment.c",
    "tag.ops.role.value": "router",
}


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ("instance.id = 'ocid1.instance.a'", True),
        ("instance.id = 'ocid1.instance.b'", False),
        ("instance.id != 'ocid1.instance.b'", True),
        ('ANY {instance.id = "ocid1.instance.b", instance.id = "ocid1.instance.a"}', True),
        ("Any {instance.id='ocid1.instance.b',instance.id='ocid1.instance.c'}", False),
        ("ALL {instance.id = 'ocid1.instance.a', instance.compartment.id = 'ocid1.compartment.c'}", True),
        ("ALL {instance.id = 'ocid1.instance.a', instance.compartment.id = 'ocid1.compartment.d'}", False),
        ("ANY {ALL {instance.id = 'x', tag.ops.role.value}, ALL {tag.ops.role.value = 'router'}}", True),
        ("tag.ops.role.value", True),
        ("tag.ops.other.value", False),
        ("tag.ops.other.value != 'router'", False),
    ],
)
def test_a_matching_rule_tells_members_from_others(rule: str, matches: bool) -> None:
    assert parse_rule(rule).holds(INSTANCE) is matches


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "instance.id",
        "instance.id = ocid1.instance.a",
        "instance.id = 'a', instance.id = 'b'",
        "ANY {}",
        "ANY {instance.id = 'a'",
        "ANY instance.id = 'a'",
        "instance.name = 'a'",
        "ANY {instance.id = 'a'} and more",
        "instance.id = 'a",
    ],
)
def test_a_broken_matching_rule_is_refused(rule: str) -> None:
    with pytest.raises(PolicyError):
        parse_rule(rule)


@pytest.mark.parametrize(
    ("statement", "permission", "allowed"),
    [
        ("use private-ips in tenancy", "PRIVATE_IP_UPDATE", True),
        ("use private-ips in tenancy", "PRIVATE_IP_DELETE", True),
        ("inspect private-ips in tenancy", "PRIVATE_IP_READ", True),
        ("inspect private-ips in tenancy", "PRIVATE_IP_UPDATE", False),
        ("read private-ips in tenancy", "PRIVATE_IP_UPDATE", False),
        ("use private-ips in tenancy", "PRIVATE_IP_ROUTE_TABLE_ATTACH", False),
        ("manage private-ips in tenancy", "PRIVATE_IP_ROUTE_TABLE_ATTACH", True),
        ("use private-ips in tenancy", "VNIC_ASSIGN", False),
        ("use vnics in tenancy", "VNIC_ASSIGN", True),
        ("use vnics in tenancy", "VNIC_UNASSIGN", True),
        ("inspect vnics in tenancy", "VNIC_READ", True),
        ("inspect vnics in tenancy", "VNIC_ASSIGN", False),
        ("use subnets in tenancy", "SUBNET_ATTACH", True),
        ("use virtual-network-family in tenancy", "PRIVATE_IP_UPDATE", True),
        ("use virtual-network-family in tenancy", "SUBNET_DETACH", True),
        ("use virtual-network-family in tenancy", "INSTANCE_INSPECT", False),
        ("use virtual-network-family in tenancy", "ROUTE_TABLE_UPDATE", False),
        ("inspect instance-family in tenancy", "VNIC_ATTACHMENT_READ", True),
        ("inspect instance-family in tenancy", "VNIC_READ", True),
        ("use instance-family in tenancy", "INSTANCE_POWER_ACTIONS", True),
        ("read instances in tenancy", "INSTANCE_POWER_ACTIONS", False),
        ("use instances in tenancy", "INSTANCE_POWER_ACTIONS", True),
        ("{PRIVATE_IP_UPDATE, VNIC_ASSIGN} in tenancy", "VNIC_ASSIGN", True),
        ("{PRIVATE_IP_UPDATE} in tenancy", "VNIC_ASSIGN", False),
        ("use private-ips in compartment id ocid1.compartment.c", "PRIVATE_IP_UPDATE", True),
        ("use private-ips in compartment id ocid1.compartment.d", "PRIVATE_IP_UPDATE", False),
        ("use private-ips in compartment CloudVIP", "PRIVATE_IP_UPDATE", True),
        ("use private-ips in compartment other", "PRIVATE_IP_UPDATE", False),
        ("use private-ips in compartment id ocid1.tenancy.t", "PRIVATE_IP_UPDATE", True),
        ("use private-ips in tenancy where request.permission='PRIVATE_IP_UPDATE'", "PRIVATE_IP_UPDATE", True),
        ("use private-ips in tenancy where request.permission = 'PRIVATE_IP_READ'", "PRIVATE_IP_UPDATE", False),
        ("use private-ips in tenancy where request.permission != 'PRIVATE_IP_DELETE'", "PRIVATE_IP_DELETE", False),
        ("use private-ips in tenancy where request.permission != 'PRIVATE_IP_DELETE'", "PRIVATE_IP_UPDATE", True),
        (
            "use private-ips in tenancy where any {request.permission='PRIVATE_IP_READ', "
            "request.permission='PRIVATE_IP_UPDATE'}",
            "PRIVATE_IP_UPDATE",
            True,
        ),
        (
            "use private-ips in tenancy where any {request.permission='PRIVATE_IP_READ', "
            "request.permission='PRIVATE_IP_UPDATE'}",
            "PRIVATE_IP_CREATE",
            False,
        ),
        (
            "use private-ips in tenancy where all {request.permission='PRIVATE_IP_UPDATE', "
            "request.operation='UpdatePrivateIp'}",
            "PRIVATE_IP_UPDATE",
            True,
        ),
        (
            "use private-ips in tenancy where all {request.permission='PRIVATE_IP_UPDATE', "
            "request.operation='DeletePrivateIp'}",
            "PRIVATE_IP_UPDATE",
            False,
        ),
        ("use private-ips in tenancy where target.unheard.of != 'x'", "PRIVATE_IP_UPDATE", False),
    ],
)
def test_a_statement_grants_what_its_verb_and_conditions_say(statement: str, permission: str, allowed: bool) -> None:
    parsed = parse_statement(f"Allow dynamic-group id {GROUP[0]} to {statement}")
    request = Request(permission, frozenset({GROUP}), (TENANCY, COMPARTMENT), {"request.operation": "UpdatePrivateIp"})
    assert permitted([parsed], request) is allowed


@pytest.mark.parametrize(
    ("subject", "allowed"),
    [
        ("id ocid1.dynamicgroup.x", True),
        ("id ocid1.dynamicgroup.y", False),
        ("VRouters", True),
        ("vrouters", True),
        ("'Default'/'VRouters'", True),
        ("Default/VRouters", True),
        ("others", False),
    ],
)
def test_a_statement_speaks_of_its_group_only(subject: str, allowed: bool) -> None:
    parsed = parse_statement(f"allow dynamic-group {subject} to use vnics in tenancy")
    request = Request("VNIC_ASSIGN", frozenset({GROUP}), (TENANCY, COMPARTMENT), {})
    assert permitted([parsed], request) is allowed


@pytest.mark.parametrize(
    "statement",
    [
        "",
        "nonsense",
        "allow dynamic-group g to use private-ips",
        "allow dynamic-group g to juggle private-ips in tenancy",
        "allow dynamic-group g to use private-addresses in tenancy",
        "allow dynamic-group g to use private-ips in compartment",
        "allow dynamic-group g to use private-ips in tenancy where request.permission='X' and more",
        "allow dynamic-group g to use private-ips in tenancy where request.permission=X",
        "allow dynamic-group g to use private-ips in tenancy where any {}",
        "allow dynamic-group g to use private-ips in tenancy where hostname='x'",
        "allow dynamic-group 'Other'/'g' to use private-ips in tenancy",
        "allow dynamic-group g to {NO_SUCH_PERMISSION} in tenancy",
        "allow dynamic-group g to {} in tenancy",
        "dynamic-group g to use private-ips in tenancy",
    ],
)
def test_a_broken_statement_is_refused(statement: str) -> None:
    with pytest.raises(PolicyError):
        parse_statement(statement)


def test_the_documented_five_permissions_are_all_that_a_move_and_its_audit_need() -> None:
    statements = [
        parse_statement(
            f"allow dynamic-group id {GROUP[0]} to use private-ips in compartment id {COMPARTMENT[0]} "
            "where any {request.permission='PRIVATE_IP_READ', request.permission='PRIVATE_IP_UPDATE'}"
        ),
        parse_statement(
            f"allow dynamic-group id {GROUP[0]} to use vnics in compartment id {COMPARTMENT[0]} where any "
            "{request.permission='VNIC_READ', request.permission='VNIC_ASSIGN', request.permission='VNIC_UNASSIGN'}"
        ),
    ]
    granted = {
        p
        for p in permissions_of("manage", "all-resources")
        if permitted(statements, Request(p, frozenset({GROUP}), (TENANCY, COMPARTMENT), {}))
    }
    assert granted == {"PRIVATE_IP_READ", "PRIVATE_IP_UPDATE", "VNIC_READ", "VNIC_ASSIGN", "VNIC_UNASSIGN"}


def test_to_move_an_ipv6_takes_manage_and_to_see_one_takes_read() -> None:
    assert not permissions_of("inspect", "ipv6s")
    assert permissions_of("use", "ipv6s") == {"IPV6_READ"}
    assert "IPV6_UPDATE" in permissions_of("manage", "ipv6s")

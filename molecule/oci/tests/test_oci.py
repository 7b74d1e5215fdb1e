# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster needs of the cloud is there, and grants no more than the documentation says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from lab.control import Control, Status
from tests.lab.conftest import Lab

PERMISSIONS = Path(__file__).parents[3] / "docs/permissions.md"
# Those of inventory/lab-pair.
VIPS = {"10.10.1.50"}


@pytest.fixture
def lab() -> Lab:
    """The cloud's administrator."""
    return Lab()


def test_the_vips_are_reserved() -> None:
    lifetimes = {vip["address"]: vip["lifetime"] for vip in Control().raw_status()["private_ips"]}
    assert lifetimes == dict.fromkeys(VIPS, "RESERVED")


def test_the_group_has_the_nodes_and_no_other_instance(lab: Lab, cloud: Status) -> None:
    (group,) = lab.identity().list_dynamic_groups(TENANCY_ID).data
    condition = r"instance\.id = '([^']+)'"
    assert set(re.findall(condition, group.matching_rule)) == {node.instance_id for node in cloud.nodes}
    assert re.fullmatch(rf"ANY {{{condition}(, {condition})*}}", group.matching_rule, re.IGNORECASE)


def test_the_policy_grants_what_the_documentation_says_and_nothing_else(lab: Lab) -> None:
    (group,) = lab.identity().list_dynamic_groups(TENANCY_ID).data
    (policy,) = lab.identity().list_policies(COMPARTMENT_ID).data
    promised = re.search(r"^`move`:\n\n((?:    .+\n)+)", PERMISSIONS.read_text(encoding="utf-8"), re.MULTILINE)
    assert promised
    statements = re.sub(r"\bCOMPARTMENT\b", COMPARTMENT_ID, re.sub(r"\bGROUP\b", group.id, promised[1])).splitlines()
    assert sorted(policy.statements) == sorted(statement.strip() for statement in statements)
    assert not any("manage" in statement for statement in policy.statements)


def test_the_security_group_lets_in_the_nodes_and_nobody_else(lab: Lab, cloud: Status) -> None:
    network = lab.network()
    (group,) = network.list_network_security_groups(compartment_id=COMPARTMENT_ID).data
    members = {vnic.vnic_id for vnic in network.list_network_security_group_vnics(group.id).data}
    assert members == {node.vnics[0].vnic_id for node in cloud.nodes}
    rules = network.list_network_security_group_security_rules(group.id, direction="INGRESS").data
    assert {(rule.source_type, rule.source) for rule in rules} == {("NETWORK_SECURITY_GROUP", group.id)}
    assert all(rule.protocol != "all" for rule in rules)

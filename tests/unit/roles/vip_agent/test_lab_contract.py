# SPDX-License-Identifier: GPL-3.0-or-later
"""The same mover against the lab's cloud, which enforces policies and checks every signature and certificate."""

from __future__ import annotations

from pathlib import Path

import pytest
from cloudvip.model import Outcome

from lab.cloud.testing import Running
from tests.unit.roles.vip_agent.emulated import Node, holders
from tests.unit.roles.vip_agent.fakes import FakeIp


def test_the_addresses_follow_the_claims_and_keep_their_ocids(node: Node, tmp_path: Path) -> None:
    before = set(node.lab.cloud.private_ips)
    other = Node(node.lab, "vr2", tmp_path)

    assert node.mover.claim("main", 20) == (Outcome.SUCCESS, "")
    assert holders(node.lab) == {node.vnic("ens3"), node.vnic("ens5")}
    assert node.mover.audit("main", 20, False).outcome is Outcome.SUCCESS

    assert other.mover.claim("main", 20) == (Outcome.SUCCESS, "")
    assert holders(node.lab) == {other.vnic("ens3"), other.vnic("ens5")}
    assert node.mover.audit("main", 20, False).outcome is Outcome.NOT_RUNNING
    assert other.mover.audit("main", 20, False).outcome is Outcome.SUCCESS
    assert set(node.lab.cloud.private_ips) == before


def test_without_a_policy_the_reason_names_it(lab: Running, tmp_path: Path) -> None:
    node = Node(lab, "vr1", tmp_path)

    result = node.mover.claim("main", 20)

    assert result.outcome is Outcome.FAILED
    assert "PRIVATE_IP_UPDATE" in result.reason
    assert node.ip.addresses == FakeIp().addresses


@pytest.mark.parametrize("effect", ["drop", "apply_then_fail"])
def test_a_call_that_gets_no_answer_is_repeated(node: Node, effect: str) -> None:
    node.lab.fault(effect=effect, service="api", method="PUT", count=3)

    assert node.mover.claim("main", 30).outcome is Outcome.SUCCESS
    assert holders(node.lab) == {node.vnic("ens3"), node.vnic("ens5")}

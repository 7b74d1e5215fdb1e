# SPDX-License-Identifier: GPL-3.0-or-later
"""The generated policy: with all of it a takeover works, and each part that is taken away is missed and named."""

from __future__ import annotations

import re

import oci
import pytest

from lab.cloud.names import COMPARTMENT_ID
from tests.lab.conftest import Lab
from tests.lab.test_playbook import INVENTORY

pytestmark = pytest.mark.thorough
PERMISSIONS = ["PRIVATE_IP_READ", "PRIVATE_IP_UPDATE", "VNIC_READ", "VNIC_ASSIGN", "VNIC_UNASSIGN"]


def granted(statements: list[str]) -> list[str]:
    return re.findall(r"request.permission='(\w+)'", " ".join(statements))


def without(permission: str, statements: list[str]) -> list[str]:
    """The statements, less one permission."""
    return [re.sub(rf"(, )?request.permission='{permission}'(?(1)|(, )?)", "", s) for s in statements]


def test_the_policy_grants_what_a_move_needs_and_nothing_else(cluster: Lab) -> None:
    (policy,) = cluster.identity().list_policies(COMPARTMENT_ID).data

    assert sorted(granted(policy.statements)) == sorted(PERMISSIONS)


# A call that changes something, one that only looks; the others are like them.
@pytest.mark.parametrize(
    "permission",
    [pytest.param(p, marks=() if p in {"PRIVATE_IP_UPDATE", "VNIC_READ"} else pytest.mark.long) for p in PERMISSIONS],
)
def test_a_permission_that_is_taken_away_is_named_by_the_proof(cluster: Lab, permission: str) -> None:
    identity = cluster.identity()
    (policy,) = identity.list_policies(COMPARTMENT_ID).data
    details = oci.identity.models.UpdatePolicyDetails
    identity.update_policy(policy.id, details(statements=without(permission, policy.statements)))
    try:
        play = cluster.play(INVENTORY, playbook="playbooks/doctor.yml")
    finally:
        identity.update_policy(policy.id, details(statements=policy.statements))
    assert play.returncode != 0
    assert f"No policy grants the nodes' dynamic group {permission}; nothing else is lacking." in play.output
    assert cluster.play(INVENTORY, playbook="playbooks/doctor.yml").returncode == 0

# SPDX-License-Identifier: GPL-3.0-or-later
"""One contract for the client: kept by the fake in memory, and by the real SDK against the lab's server."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.dynamic_group import members_rule
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import CloudError
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.policy import move_statements

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from tests.unit.plugins.worlds import LabWorld, World

GROUP: dict[str, Any] = {"description": "Nodes", "matching_rule": members_rule(["ocid1.instance.a"])}


def test_a_group_is_made_found_changed_and_deleted(world: World) -> None:
    identity = world.cloud.identity
    assert identity.dynamic_group(TENANCY_ID, "nodes") is None

    made = identity.create_dynamic_group(TENANCY_ID, "nodes", GROUP)
    assert (made.name, made.description, made.matching_rule) == ("nodes", "Nodes", GROUP["matching_rule"])
    assert identity.dynamic_group(TENANCY_ID, "nodes") == made

    changed = identity.update_dynamic_group(made, {"description": "More nodes"})
    assert (changed.id, changed.description, changed.matching_rule) == (made.id, "More nodes", GROUP["matching_rule"])

    identity.delete_dynamic_group(changed)
    assert identity.dynamic_group(TENANCY_ID, "nodes") is None
    identity.delete_dynamic_group(changed)


def test_a_group_that_someone_else_changed_is_left_alone(world: World) -> None:
    read = world.cloud.identity.create_dynamic_group(TENANCY_ID, "nodes", GROUP)
    world.cloud.identity.update_dynamic_group(read, {"description": "Theirs"})

    for change in (
        lambda: world.cloud.identity.update_dynamic_group(read, {"description": "Ours"}),
        lambda: world.cloud.identity.delete_dynamic_group(read),
    ):
        with pytest.raises(CloudError) as caught:
            change()
        assert (caught.value.kind, caught.value.status) == ("changed", 412)
    kept = world.cloud.identity.dynamic_group(TENANCY_ID, "nodes")
    assert kept is not None
    assert kept.description == "Theirs"


def test_a_second_group_of_the_same_name_is_refused(world: World) -> None:
    world.cloud.identity.create_dynamic_group(TENANCY_ID, "nodes", GROUP)

    with pytest.raises(CloudError) as caught:
        world.cloud.identity.create_dynamic_group(TENANCY_ID, "nodes", GROUP)

    assert caught.value.kind == "refused"


def statements(world: World) -> list[str]:
    """Those of a group that exists."""
    group = world.cloud.identity.create_dynamic_group(TENANCY_ID, "nodes", GROUP)
    return move_statements(group.id, COMPARTMENT_ID)


def test_a_policy_is_made_found_changed_and_deleted(world: World) -> None:
    identity = world.cloud.identity
    texts = statements(world)
    assert identity.policy(COMPARTMENT_ID, "move") is None

    made = identity.create_policy(COMPARTMENT_ID, "move", {"description": "Move", "statements": texts})
    assert (made.name, made.description, list(made.statements)) == ("move", "Move", texts)
    assert identity.policy(COMPARTMENT_ID, "move") == made

    changed = identity.update_policy(made, {"statements": texts[:1]})
    assert (changed.id, changed.description, list(changed.statements)) == (made.id, "Move", texts[:1])

    identity.delete_policy(changed)
    assert identity.policy(COMPARTMENT_ID, "move") is None
    identity.delete_policy(changed)


def test_a_policy_that_someone_else_changed_is_left_alone(world: World) -> None:
    identity = world.cloud.identity
    read = identity.create_policy(COMPARTMENT_ID, "move", {"description": "Move", "statements": statements(world)})
    identity.update_policy(read, {"description": "Theirs"})

    for change in (lambda: identity.update_policy(read, {"description": "Ours"}), lambda: identity.delete_policy(read)):
        with pytest.raises(CloudError) as caught:
            change()
        assert caught.value.kind == "changed"
    kept = identity.policy(COMPARTMENT_ID, "move")
    assert kept is not None
    assert kept.description == "Theirs"


def test_a_policy_in_an_unknown_compartment_is_absent(world: World) -> None:
    fields = {"description": "Move", "statements": statements(world)}

    with pytest.raises(CloudError) as caught:
        world.cloud.identity.create_policy("ocid1.compartment.oc99..nowhere", "move", fields)

    assert caught.value.kind == "absent"


# What only a service can do: learn late.


def test_a_policy_waits_until_iam_knows_the_group(lab_world: LabWorld) -> None:
    fields = {"description": "Move", "statements": statements(lab_world)}
    message = "The dynamic group specified in the policy statement does not exist under current compartment hierarchy."
    lab_world.lab.fault(effect="status", status=400, path="/policies$", method="POST", message=message, count=3)
    lab_world.calls()

    lab_world.cloud.identity.create_policy(COMPARTMENT_ID, "move", fields)

    assert lab_world.calls() == [("POST", "policies")] * 4


def test_a_policy_that_iam_cannot_parse_is_refused_at_once(lab_world: LabWorld) -> None:
    with pytest.raises(CloudError, match="CreatePolicy failed: 400 InvalidParameter"):
        lab_world.cloud.identity.create_policy(COMPARTMENT_ID, "move", {"description": "x", "statements": ["please"]})

    assert lab_world.calls() == [("POST", "policies")]

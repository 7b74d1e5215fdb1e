# SPDX-License-Identifier: GPL-3.0-or-later
"""One contract for the client: kept by the fake in memory, and by the real SDK against the lab's server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3.util.connection
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.dynamic_group import DynamicGroup, instances_rule
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import CloudError, OciError
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.identity import Identity
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.named import Store
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.permissions import statements

from lab.cloud.names import (
    COMPARTMENT_ID,
    COMPARTMENT_NAME,
    DEFAULT_DOMAIN,
    FURTHER_DOMAIN,
    FURTHER_REGION,
    TENANCY_ID,
    TENANCY_NAME,
)
from lab.cloud.testing import running
from lab.topology import REALM_DOMAIN, REGION, Topology
from tests.unit.plugins.worlds import LabWorld, World

RULE = instances_rule(["ocid1.instance.a"])
GROUP: dict[str, Any] = {"description": "Nodes", "matching_rule": RULE}


@pytest.fixture(params=[None, FURTHER_DOMAIN])
def groups(world: World, request: pytest.FixtureRequest) -> Store[DynamicGroup]:
    return world.cloud.identity.dynamic_groups(TENANCY_ID, request.param)


def test_a_group_is_made_found_changed_and_deleted(groups: Store[DynamicGroup]) -> None:
    assert groups.find("nodes") is None
    assert groups.all() == []

    made = groups.create("nodes", GROUP)
    assert (made.name, made.fields) == ("nodes", GROUP)
    assert made.id.startswith("ocid1.")
    found = groups.find("nodes")
    assert found is not None
    assert groups.latest(found) == made
    assert [(g.id, g.fields) for g in groups.all()] == [(made.id, GROUP)]

    changed = groups.update(made, {"description": "More nodes"})
    assert (changed.id, changed.description, changed.matching_rule) == (made.id, "More nodes", RULE)

    groups.delete(changed)
    assert groups.find("nodes") is None
    groups.delete(changed)


def test_a_group_that_someone_else_changed_is_left_alone(groups: Store[DynamicGroup]) -> None:
    read = groups.create("nodes", GROUP)
    groups.update(read, {"description": "Theirs"})

    for change in (lambda: groups.update(read, {"description": "Ours"}), lambda: groups.delete(read)):
        with pytest.raises(CloudError) as caught:
            change()
        assert (caught.value.kind, caught.value.status) == ("changed", 412)
    kept = groups.find("nodes")
    assert kept is not None
    assert kept.description == "Theirs"


def test_a_second_group_of_the_same_name_is_refused(groups: Store[DynamicGroup]) -> None:
    groups.create("nodes", GROUP)

    with pytest.raises(CloudError) as caught:
        groups.create("nodes", GROUP)

    assert caught.value.kind == "refused"


def test_each_domain_has_groups_of_its_own(world: World) -> None:
    default = world.cloud.identity.dynamic_groups(TENANCY_ID, DEFAULT_DOMAIN.lower())
    further = world.cloud.identity.dynamic_groups(TENANCY_ID, FURTHER_DOMAIN.lower())

    made = [default.create("nodes", GROUP), further.create("nodes", GROUP)]

    assert [g.domain for g in made] == [DEFAULT_DOMAIN, FURTHER_DOMAIN]
    assert [g.id for g in default.all()] == [made[0].id]
    assert [g.id for g in further.all()] == [made[1].id]


def test_an_unknown_domain_is_named(world: World) -> None:
    with pytest.raises(OciError, match="domain = 'Nowhere': expected an identity domain of ocid1"):
        world.cloud.identity.dynamic_groups(TENANCY_ID, "Nowhere")


def move(world: World) -> list[str]:
    """The statements for a group that exists."""
    group = world.cloud.identity.dynamic_groups(TENANCY_ID, None).create("nodes", GROUP)
    return statements(group.id, COMPARTMENT_ID, {"move"})


def test_a_policy_is_made_found_changed_and_deleted(world: World) -> None:
    policies = world.cloud.identity.policies(COMPARTMENT_ID)
    texts = move(world)
    assert policies.find("move") is None

    made = policies.create("move", {"description": "Move", "statements": texts})
    assert (made.name, made.fields) == ("move", {"description": "Move", "statements": texts})
    found = policies.find("move")
    assert found is not None
    assert (found.fields, policies.latest(found)) == (made.fields, made)
    assert [p.id for p in policies.all()] == [made.id]
    assert world.cloud.identity.policies(TENANCY_ID).all() == []

    changed = policies.update(made, {"statements": texts[:1]})
    assert (changed.id, changed.description, list(changed.statements)) == (made.id, "Move", texts[:1])

    policies.delete(changed)
    assert policies.find("move") is None
    policies.delete(changed)


def test_a_policy_that_someone_else_changed_is_left_alone(world: World) -> None:
    policies = world.cloud.identity.policies(COMPARTMENT_ID)
    read = policies.create("move", {"description": "Move", "statements": move(world)})
    policies.update(read, {"description": "Theirs"})

    for change in (lambda: policies.update(read, {"description": "Ours"}), lambda: policies.delete(read)):
        with pytest.raises(CloudError) as caught:
            change()
        assert caught.value.kind == "changed"
    kept = policies.find("move")
    assert kept is not None
    assert kept.description == "Theirs"


def test_a_policy_in_an_unknown_compartment_is_absent(world: World) -> None:
    fields = {"description": "Move", "statements": move(world)}

    with pytest.raises(CloudError) as caught:
        world.cloud.identity.policies("ocid1.compartment.oc99..nowhere").create("move", fields)

    assert caught.value.kind == "absent"


def test_the_compartments_above_are_known(world: World) -> None:
    found = world.cloud.identity.lineage(COMPARTMENT_ID)

    assert [(c.id, c.name) for c in found] == [(COMPARTMENT_ID, COMPARTMENT_NAME), (TENANCY_ID, TENANCY_NAME)]
    assert world.cloud.identity.lineage(TENANCY_ID) == found[1:]


# What only a service can do: learn late, be elsewhere.


def test_a_policy_waits_until_iam_knows_the_group(lab_world: LabWorld) -> None:
    fields = {"description": "Move", "statements": move(lab_world)}
    message = "The dynamic group specified in the policy statement does not exist under current compartment hierarchy."
    lab_world.lab.fault(effect="status", status=400, path="/policies$", method="POST", message=message, count=3)
    lab_world.calls()

    lab_world.cloud.identity.policies(COMPARTMENT_ID).create("move", fields)

    assert lab_world.calls() == [("POST", "policies")] * 4


def test_a_group_that_iam_does_not_come_to_know_is_named(lab_world: LabWorld) -> None:
    lab_world.lab.fault(effect="iam_lag", lag_s=3600)
    fields = {"description": "Move", "statements": move(lab_world)}

    with pytest.raises(CloudError, match=r"CreatePolicy failed: 400 InvalidParameter: The dynamic group .* not exist"):
        lab_world.cloud.identity.policies(COMPARTMENT_ID).create("move", fields)


def test_a_policy_that_iam_cannot_parse_is_refused_at_once(lab_world: LabWorld) -> None:
    policies = lab_world.cloud.identity.policies(COMPARTMENT_ID)

    with pytest.raises(CloudError, match="CreatePolicy failed: 400 InvalidParameter"):
        policies.create("move", {"description": "x", "statements": ["please"]})

    assert lab_world.calls() == [("POST", "policies")]


def test_an_identity_domain_is_quoted(lab_world: LabWorld) -> None:
    groups = lab_world.cloud.identity.dynamic_groups(TENANCY_ID, FURTHER_DOMAIN)

    with pytest.raises(CloudError, match=r"failed: 400: Invalid matching rule '\?': .*"):
        groups.create("nodes", {**GROUP, "matching_rule": "?"})


def test_all_pages_of_a_domain_are_read(lab_world: LabWorld) -> None:
    groups = lab_world.cloud.identity.dynamic_groups(TENANCY_ID, FURTHER_DOMAIN)
    names = [f"g{n:03}" for n in range(101)]
    for name in names:
        lab_world.lab.call(lab_world.lab.cloud.iam.create_dynamic_group, name, RULE, "d", None, None, FURTHER_DOMAIN)

    assert [g.name for g in groups.all()] == names


@pytest.fixture
def abroad(topology: Topology, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabWorld]:
    """A world whose home region is another one, with names for both regions as the DNS has them."""
    connect = urllib3.util.connection.create_connection
    with running(topology, keys, tls=True) as lab:
        port = int(lab.url.rpartition(":")[2])

        def connect_to_the_lab(_address: Any, *args: Any, **kwargs: Any) -> Any:
            return connect(("127.0.0.1", port), *args, **kwargs)

        monkeypatch.setattr("urllib3.util.connection.create_connection", connect_to_the_lab)
        monkeypatch.setenv("OCI_DEFAULT_REALM", REALM_DOMAIN)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
        lab.cloud.iam.home_region = FURTHER_REGION
        yield LabWorld(lab, topology)


def local(world: LabWorld, **params: Any) -> Identity:
    return world.session(endpoint=None, region=REGION, ca_bundle=str(world.lab.pki.ca_file), **params).identity


def asked(world: LabWorld, act: Callable[[], Any]) -> list[tuple[str, str]]:
    """What `act` asked."""
    world.calls()
    act()
    return world.calls()


def test_changes_go_to_the_home_region_and_reads_do_not(abroad: LabWorld) -> None:
    groups = local(abroad).dynamic_groups(TENANCY_ID, None)

    assert asked(abroad, lambda: groups.find("nodes")) == [("GET", "dynamicGroups")]
    assert asked(abroad, lambda: groups.create("nodes", GROUP)) == [
        ("POST", "dynamicGroups"),
        ("GET", "tenancies"),
        ("POST", "dynamicGroups"),
    ]
    made = groups.find("nodes")
    assert made is not None
    latest = groups.latest(made)
    assert asked(abroad, lambda: groups.update(latest, {"description": "Theirs"})) == [("PUT", "dynamicGroups")]


def test_the_home_region_is_not_looked_up_at_home(abroad: LabWorld) -> None:
    abroad.lab.cloud.iam.home_region = REGION

    made = asked(abroad, lambda: local(abroad).dynamic_groups(TENANCY_ID, None).create("nodes", GROUP))

    assert made == [("POST", "dynamicGroups")]


def test_an_endpoint_of_the_users_choice_is_kept(abroad: LabWorld) -> None:
    elsewhere = local(abroad, identity_endpoint=f"https://identity.{REGION}.oci.{REALM_DOMAIN}")

    with pytest.raises(CloudError, match=r"go to your home region LA2 .* set `identity_endpoint` to that region's"):
        elsewhere.policies(COMPARTMENT_ID).create("move", {"description": "Move", "statements": move(abroad)})

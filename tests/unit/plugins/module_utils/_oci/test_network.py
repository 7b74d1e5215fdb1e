# SPDX-License-Identifier: GPL-3.0-or-later
"""One contract for the client: kept by the fake in memory, and by the real SDK against the lab's server."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import CloudError

from tests.unit.plugins.worlds import LabWorld, World

POD1 = "10.0.0.4"


@pytest.fixture
def pod1(world: World) -> str:
    """The OCID of the subnet of POD 1."""
    return world.cloud.network.vnic(world.vnic("vr1", "ens5")).subnet_id


def test_a_vnic_is_in_its_subnet_and_checked(world: World) -> None:
    vnic_id = world.vnic("vr1", "ens5")

    vnic = world.cloud.network.vnic(vnic_id)

    assert (vnic.id, vnic.subnet_id) == (vnic_id, world.topology.subnet("pod1").id)
    assert vnic.skip_source_dest_check is False


def test_an_unknown_vnic_is_absent(world: World) -> None:
    with pytest.raises(CloudError) as caught:
        world.cloud.network.vnic("ocid1.vnic.oc99.lab.nowhere")

    assert (caught.value.operation, caught.value.kind, caught.value.status) == ("GetVnic", "absent", 404)


def test_the_source_destination_check_is_switched(world: World) -> None:
    vnic_id = world.vnic("vr1", "ens5")

    assert world.cloud.network.set_skip_source_dest_check(vnic_id, True).skip_source_dest_check is True
    assert world.cloud.network.vnic(vnic_id).skip_source_dest_check is True


def test_the_listing_of_a_subnet_has_the_primary_addresses(world: World, pod1: str) -> None:
    listed = {p.address: p for p in world.cloud.network.private_ips(pod1)}

    assert set(listed) >= {"10.0.0.5", "10.0.0.6", "10.0.0.7"}
    assert listed["10.0.0.5"].is_primary
    assert listed["10.0.0.5"].vnic_id == world.vnic("vr1", "ens5")


def test_the_listing_of_an_unknown_subnet_is_absent(world: World) -> None:
    with pytest.raises(CloudError) as caught:
        world.cloud.network.private_ips("ocid1.subnet.oc99.lab.nowhere")

    assert caught.value.kind == "absent"


def test_a_new_address_is_reserved_and_on_no_vnic(world: World, pod1: str) -> None:
    made = world.cloud.network.reserve_private_ip(pod1, POD1, "vrouters-pod1", {"team": "x"})

    assert (made.address, made.subnet_id, made.vnic_id) == (POD1, pod1, None)
    assert (made.is_primary, made.lifetime) == (False, "RESERVED")
    assert (made.display_name, made.tags) == ("vrouters-pod1", {"team": "x"})
    assert made in world.cloud.network.private_ips(pod1)


def test_a_new_address_without_a_name_gets_one(world: World, pod1: str) -> None:
    assert world.cloud.network.reserve_private_ip(pod1, POD1, None, {}).display_name


def test_an_address_that_is_taken_is_refused(world: World, pod1: str) -> None:
    world.add(POD1, world.vnic("vr1", "ens5"))

    with pytest.raises(CloudError) as caught:
        world.cloud.network.reserve_private_ip(pod1, POD1, None, {})

    assert (caught.value.kind, caught.value.status) == ("refused", 409)


def test_an_update_keeps_the_placement_and_what_it_does_not_name(world: World) -> None:
    vnic_id = world.vnic("vr2", "ens5")
    key = world.add(POD1, vnic_id)

    updated = world.cloud.network.update_private_ip(key, {"lifetime": "RESERVED", "tags": {"team": "x"}})
    updated = world.cloud.network.update_private_ip(key, {"display_name": "web"})

    assert (updated.id, updated.vnic_id, updated.lifetime) == (key, vnic_id, "RESERVED")
    assert (updated.display_name, updated.tags) == ("web", {"team": "x"})


def test_a_primary_address_cannot_be_updated(world: World, pod1: str) -> None:
    primary = next(p for p in world.cloud.network.private_ips(pod1) if p.is_primary)

    with pytest.raises(CloudError) as caught:
        world.cloud.network.update_private_ip(primary.id, {"display_name": "mine"})

    assert caught.value.kind == "refused"


@pytest.mark.parametrize("lifetime", ["EPHEMERAL", "RESERVED"])
def test_an_assigned_address_is_deleted(world: World, pod1: str, lifetime: str) -> None:
    key = world.add(POD1, world.vnic("vr2", "ens5"), lifetime)
    (found,) = [p for p in world.cloud.network.private_ips(pod1) if p.id == key]
    world.calls()

    world.cloud.network.delete_private_ip(found)

    detached = [("POST", "privateIps")] if lifetime == "RESERVED" else []
    assert world.calls() == [*detached, ("DELETE", "privateIps")]
    assert all(p.id != key for p in world.cloud.network.private_ips(pod1))


def test_an_unassigned_address_is_deleted(world: World, pod1: str) -> None:
    made = world.cloud.network.reserve_private_ip(pod1, POD1, None, {})

    world.cloud.network.delete_private_ip(made)

    assert made not in world.cloud.network.private_ips(pod1)


def test_to_delete_what_is_gone_already_is_no_error(world: World, pod1: str) -> None:
    made = world.cloud.network.reserve_private_ip(pod1, POD1, None, {})
    world.cloud.network.delete_private_ip(made)

    world.cloud.network.delete_private_ip(made)


# What only a service can do: fail, lose an answer, cut a list into pages.


@pytest.mark.parametrize(
    "fault",
    [
        {"effect": "status", "status": 429, "count": 2},
        {"effect": "status", "status": 500, "count": 2},
        {"effect": "status", "status": 409, "code": "IncorrectState", "count": 2},
        {"effect": "drop", "count": 2},
    ],
)
def test_a_call_is_repeated_until_the_service_answers(lab_world: LabWorld, fault: dict[str, Any]) -> None:
    lab_world.lab.fault(**fault)

    assert lab_world.cloud.network.vnic(lab_world.vnic("vr1", "ens5")).id
    assert lab_world.calls() == [("GET", "vnics")] * 3


@pytest.mark.parametrize("lost", [{}, {"status": 500}])
def test_a_creation_whose_answer_is_lost_makes_one_object(lab_world: LabWorld, lost: dict[str, Any]) -> None:
    lab_world.lab.fault(effect="apply_then_fail", method="POST", count=1, **lost)
    subnet_id = lab_world.topology.subnet("pod1").id

    made = lab_world.cloud.network.reserve_private_ip(subnet_id, POD1, None, {})

    assert [p.id for p in lab_world.cloud.network.private_ips(subnet_id) if p.address == POD1] == [made.id]


def test_a_deletion_whose_answer_is_lost_succeeds(lab_world: LabWorld) -> None:
    subnet_id = lab_world.topology.subnet("pod1").id
    made = lab_world.cloud.network.reserve_private_ip(subnet_id, POD1, None, {})
    lab_world.lab.fault(effect="apply_then_fail", method="DELETE", count=1)

    lab_world.cloud.network.delete_private_ip(made)

    assert made not in lab_world.cloud.network.private_ips(subnet_id)


def test_a_deletion_that_is_not_allowed_is_no_success(lab_world: LabWorld) -> None:
    subnet_id = lab_world.topology.subnet("pod1").id
    made = lab_world.cloud.network.reserve_private_ip(subnet_id, POD1, None, {})
    lab_world.lab.fault(effect="status", status=404, method="DELETE")

    with pytest.raises(CloudError, match="PRIVATE_IP_DELETE"):
        lab_world.cloud.network.delete_private_ip(made)


def test_a_listing_of_several_pages_is_read_to_its_end(lab_world: LabWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.cloud.call.MAX_PAGE", 2)
    subnet_id = lab_world.topology.subnet("pod1").id

    listed = lab_world.cloud.network.private_ips(subnet_id)

    assert {p.address for p in listed} >= {"10.0.0.5", "10.0.0.6", "10.0.0.7"}
    assert len(lab_world.calls()) == 2

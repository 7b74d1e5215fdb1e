# SPDX-License-Identifier: GPL-3.0-or-later
"""One contract for the client: kept by the fake in memory, and by the real SDK against the lab's server."""

from __future__ import annotations

from typing import Any

import oci
import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import CloudError, OciError
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.private_ip import Create, PrivateIp

from lab.cloud.names import COMPARTMENT_ID
from tests.unit.plugins.worlds import LabWorld, World

POD1 = "10.0.0.4"
POD1_V6 = "2001:db8:0:a02::4"


def wanted(subnet_id: str, address: str = POD1, **more: Any) -> Create:
    """A private IP that is reserved and on no VNIC, unless `more` says otherwise."""
    return Create(
        **{
            "subnet_id": subnet_id,
            "address": address,
            "vnic_id": None,
            "lifetime": "RESERVED",
            "display_name": None,
            "tags": {},
            "fallback_vnic_id": None,
            **more,
        }
    )


def there(world: World, subnet_id: str, private_ip_id: str) -> PrivateIp:
    """The private IP of this OCID."""
    found = [*world.cloud.network.private_ips(subnet_id), *world.cloud.network.private_ips(subnet_id, "IPv6")]
    return next(p for p in found if p.id == private_ip_id)


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
    made = world.cloud.network.create_private_ip(wanted(pod1, display_name="vrouters-pod1", tags={"team": "x"}))

    assert (made.address, made.subnet_id, made.vnic_id) == (POD1, pod1, None)
    assert (made.is_primary, made.lifetime) == (False, "RESERVED")
    assert (made.display_name, made.tags) == ("vrouters-pod1", {"team": "x"})
    assert made in world.cloud.network.private_ips(pod1)


def test_a_new_address_without_a_name_gets_one(world: World, pod1: str) -> None:
    assert world.cloud.network.create_private_ip(wanted(pod1)).display_name


def test_an_address_that_is_taken_is_refused(world: World, pod1: str) -> None:
    world.add(POD1, world.vnic("vr1", "ens5"))

    with pytest.raises(CloudError) as caught:
        world.cloud.network.create_private_ip(wanted(pod1))

    assert (caught.value.kind, caught.value.status) == ("refused", 409)


@pytest.mark.parametrize("address", [POD1, POD1_V6])
def test_a_new_address_is_put_on_a_vnic(world: World, pod1: str, address: str) -> None:
    vnic_id = world.vnic("vr2", "ens5")

    made = world.cloud.network.create_private_ip(wanted(pod1, address, vnic_id=vnic_id))

    assert (made.address, made.subnet_id, made.vnic_id, made.lifetime) == (address, pod1, vnic_id, "RESERVED")
    assert made in world.cloud.network.private_ips_of_vnic(vnic_id, made.family)
    assert made not in world.cloud.network.private_ips_of_vnic(world.vnic("vr1", "ens5"), made.family)


def test_the_families_are_listed_apart(world: World, pod1: str) -> None:
    made = world.cloud.network.create_private_ip(wanted(pod1, POD1_V6))

    assert world.cloud.network.private_ips(pod1, "IPv6") == [made]
    assert made not in world.cloud.network.private_ips(pod1)
    assert (made.is_primary, made.vnic_id, made.lifetime) == (False, None, "RESERVED")


@pytest.mark.parametrize("address", [POD1, POD1_V6])
def test_where_nothing_can_be_reserved_an_address_is_on_a_vnic(world: World, pod1: str, address: str) -> None:
    world.reserve_nothing()
    vnic_id = world.vnic("vr2", "ens5")
    reserved = wanted(pod1, address, fallback_vnic_id=vnic_id)

    with pytest.raises(CloudError) as caught:
        world.cloud.network.create_private_ip(reserved)
    made = world.cloud.network.create_private_ip(reserved.unreserved())

    assert (caught.value.status, caught.value.code) == (400, "InvalidParameter")
    assert (made.vnic_id, made.lifetime) == (vnic_id, None)
    world.cloud.network.delete_private_ip(made)
    assert made not in world.cloud.network.private_ips(pod1, made.family)


@pytest.mark.parametrize("address", [POD1, POD1_V6])
def test_an_update_keeps_the_placement_and_what_it_does_not_name(world: World, pod1: str, address: str) -> None:
    vnic_id = world.vnic("vr2", "ens5")
    found = there(world, pod1, world.add(address, vnic_id))

    updated = world.cloud.network.update_private_ip(found, {"lifetime": "RESERVED", "tags": {"team": "x"}})
    updated = world.cloud.network.update_private_ip(updated, {"display_name": "web"})

    assert (updated.id, updated.vnic_id, updated.lifetime) == (found.id, vnic_id, "RESERVED")
    assert (updated.display_name, updated.tags) == ("web", {"team": "x"})


@pytest.mark.parametrize("address", [POD1, POD1_V6])
def test_an_address_is_moved(world: World, pod1: str, address: str) -> None:
    found = there(world, pod1, world.add(address, world.vnic("vr2", "ens5")))

    moved = world.cloud.network.update_private_ip(found, {"vnic_id": world.vnic("vr1", "ens5")})

    assert (moved.id, moved.vnic_id) == (found.id, world.vnic("vr1", "ens5"))


def test_a_primary_address_cannot_be_updated(world: World, pod1: str) -> None:
    primary = next(p for p in world.cloud.network.private_ips(pod1) if p.is_primary)

    with pytest.raises(CloudError) as caught:
        world.cloud.network.update_private_ip(primary, {"display_name": "mine"})

    assert caught.value.kind == "refused"


@pytest.mark.parametrize(("address", "path"), [(POD1, "privateIps"), (POD1_V6, "ipv6")])
@pytest.mark.parametrize("lifetime", ["EPHEMERAL", "RESERVED"])
def test_an_assigned_address_is_deleted(world: World, pod1: str, lifetime: str, address: str, path: str) -> None:
    found = there(world, pod1, world.add(address, world.vnic("vr2", "ens5"), lifetime))
    world.calls()

    world.cloud.network.delete_private_ip(found)

    detached = [("POST", path)] if lifetime == "RESERVED" else []
    assert world.calls() == [*detached, ("DELETE", path)]
    assert found not in world.cloud.network.private_ips(pod1, found.family)


def test_an_unassigned_address_is_deleted(world: World, pod1: str) -> None:
    made = world.cloud.network.create_private_ip(wanted(pod1))

    world.cloud.network.delete_private_ip(made)

    assert made not in world.cloud.network.private_ips(pod1)


def test_to_delete_what_is_gone_already_is_no_error(world: World, pod1: str) -> None:
    made = world.cloud.network.create_private_ip(wanted(pod1))
    world.cloud.network.delete_private_ip(made)

    world.cloud.network.delete_private_ip(made)


def test_the_routes_of_a_vcn_are_found_by_its_subnets(world: World, pod1: str) -> None:
    made = world.cloud.network.create_private_ip(wanted(pod1))
    world.route(made.id)

    subnet = world.cloud.network.subnet(pod1)
    routes = world.cloud.network.routes(subnet.vcn_id, subnet.compartment_id)

    (route,) = [r for r in routes if r.destination == "198.51.100.0/24"]
    assert (route.table, route.network_entity_id) == ("transit", made.id)


def test_a_public_ip_is_created_assigned_and_found(world: World, pod1: str) -> None:
    private_ip = world.cloud.network.create_private_ip(wanted(pod1))

    made = world.cloud.network.create_public_ip(COMPARTMENT_ID, private_ip.id, "web", {"team": "x"})

    assert (made.private_ip_id, made.lifecycle_state, made.lifetime) == (private_ip.id, "ASSIGNED", "RESERVED")
    assert (made.display_name, made.tags) == ("web", {"team": "x"})
    assert world.cloud.network.public_ips(COMPARTMENT_ID) == [made]
    assert world.cloud.network.public_ip_of(private_ip.id) == made


def test_a_private_ip_without_a_public_ip_has_none(world: World, pod1: str) -> None:
    private_ip = world.cloud.network.create_private_ip(wanted(pod1))

    assert world.cloud.network.public_ip_of(private_ip.id) is None


def test_a_public_ip_is_assigned_later_and_keeps_its_address(world: World, pod1: str) -> None:
    private_ip = world.cloud.network.create_private_ip(wanted(pod1))
    made = world.cloud.network.create_public_ip(COMPARTMENT_ID, None, "web", {})

    changed = world.cloud.network.update_public_ip(made, {"private_ip_id": private_ip.id, "tags": {"team": "x"}})

    assert (made.private_ip_id, made.lifecycle_state) == (None, "AVAILABLE")
    assert (changed.id, changed.address, changed.private_ip_id) == (made.id, made.address, private_ip.id)
    assert (changed.lifecycle_state, changed.display_name, changed.tags) == ("ASSIGNED", "web", {"team": "x"})


def test_a_private_ip_has_one_public_ip(world: World, pod1: str) -> None:
    private_ip = world.cloud.network.create_private_ip(wanted(pod1))
    world.publish("first", private_ip.id)

    with pytest.raises(CloudError) as caught:
        world.cloud.network.create_public_ip(COMPARTMENT_ID, private_ip.id, "second", {})

    assert (caught.value.kind, caught.value.status) == ("refused", 409)


def test_a_public_ip_is_deleted_once(world: World, pod1: str) -> None:
    private_ip = world.cloud.network.create_private_ip(wanted(pod1))
    made = world.cloud.network.create_public_ip(COMPARTMENT_ID, private_ip.id, "web", {})

    world.cloud.network.delete_public_ip(made)
    world.cloud.network.delete_public_ip(made)

    assert world.cloud.network.public_ips(COMPARTMENT_ID) == []
    assert world.cloud.network.public_ip_of(private_ip.id) is None


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

    made = lab_world.cloud.network.create_private_ip(wanted(subnet_id))

    assert [p.id for p in lab_world.cloud.network.private_ips(subnet_id) if p.address == POD1] == [made.id]


def test_a_deletion_whose_answer_is_lost_succeeds(lab_world: LabWorld) -> None:
    subnet_id = lab_world.topology.subnet("pod1").id
    made = lab_world.cloud.network.create_private_ip(wanted(subnet_id))
    lab_world.lab.fault(effect="apply_then_fail", method="DELETE", count=1)

    lab_world.cloud.network.delete_private_ip(made)

    assert made not in lab_world.cloud.network.private_ips(subnet_id)


def test_a_deletion_that_is_not_allowed_is_no_success(lab_world: LabWorld) -> None:
    subnet_id = lab_world.topology.subnet("pod1").id
    made = lab_world.cloud.network.create_private_ip(wanted(subnet_id))
    lab_world.lab.fault(effect="status", status=404, method="DELETE")

    with pytest.raises(CloudError, match="PRIVATE_IP_DELETE"):
        lab_world.cloud.network.delete_private_ip(made)


def test_a_listing_of_several_pages_is_read_to_its_end(lab_world: LabWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.cloud.call.MAX_PAGE", 2)
    subnet_id = lab_world.topology.subnet("pod1").id

    listed = lab_world.cloud.network.private_ips(subnet_id)

    assert {p.address for p in listed} >= {"10.0.0.5", "10.0.0.6", "10.0.0.7"}
    assert len(lab_world.calls()) == 2


def test_an_assignment_that_the_service_gives_up_is_an_error(
    lab_world: LabWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    private_ip = lab_world.cloud.network.create_private_ip(wanted(lab_world.topology.subnet("pod1").id))
    public_ip = lab_world.cloud.network.create_public_ip(COMPARTMENT_ID, None, "web", {})
    read = oci.core.VirtualNetworkClient.get_public_ip

    def lost(client: Any, key: str) -> Any:
        lab_world.lab.do(lab_world.lab.cloud.update_public_ip(key, {"private_ip_id": None}))
        return read(client, key)

    monkeypatch.setattr(oci.core.VirtualNetworkClient, "get_public_ip", lost)

    with pytest.raises(OciError) as caught:
        lab_world.cloud.network.update_public_ip(public_ip, {"private_ip_id": private_ip.id})

    assert str(caught.value).startswith(
        f"The public IP {public_ip.address} ({public_ip.id}) was not assigned to {private_ip.id}: it is AVAILABLE and "
        "belongs to nothing."
    )


def test_an_assignment_that_does_not_end_is_not_waited_for_forever(
    lab_world: LabWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    private_ip = lab_world.cloud.network.create_private_ip(wanted(lab_world.topology.subnet("pod1").id))
    read = oci.core.VirtualNetworkClient.get_public_ip

    def assigning(client: Any, key: str) -> Any:
        response = read(client, key)
        response.data.lifecycle_state = "ASSIGNING"
        return response

    monkeypatch.setattr(oci.core.VirtualNetworkClient, "get_public_ip", assigning)

    with pytest.raises(OciError, match=f"Waited 120 s for public IP .* to be assigned to {private_ip.id}, in vain"):
        lab_world.cloud.network.create_public_ip(COMPARTMENT_ID, private_ip.id, "web", {})

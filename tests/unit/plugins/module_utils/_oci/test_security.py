# SPDX-License-Identifier: GPL-3.0-or-later
"""One contract for the client: kept by the fake in memory, and by the real SDK against the lab's server."""

from __future__ import annotations

import oci
import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import CloudError
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.network_security_group import SecurityRule

from lab.cloud.names import COMPARTMENT_ID
from tests.unit.plugins.worlds import LabWorld, World

PCSD = SecurityRule("INGRESS", "6", "self", (2224, 2224), "pcsd")
COROSYNC = SecurityRule("EGRESS", "17", "self", (5405, 5412))
PING = SecurityRule("INGRESS", "1", "0.0.0.0/0")
VRRP = SecurityRule("EGRESS", "112", "10.0.0.0/8")


def vcn_id(world: World) -> str:
    return world.cloud.network.subnet(world.topology.subnet("pod1").id).vcn_id


def create(world: World, name: str = "web") -> str:
    return world.cloud.security.create_group(COMPARTMENT_ID, vcn_id(world), name)


def rules_of(world: World, group_id: str) -> dict[str, SecurityRule]:
    groups = world.cloud.security.groups(COMPARTMENT_ID, vcn_id(world))
    return dict(next(g.rules for g in groups if g.id == group_id))


def test_a_new_group_is_empty_and_found_by_its_name(world: World) -> None:
    key, other = create(world), create(world, "other")

    (found,) = world.cloud.security.groups(COMPARTMENT_ID, vcn_id(world), "web")

    assert (found.id, found.name, found.vcn_id) == (key, "web", vcn_id(world))
    assert (dict(found.rules), found.vnic_ids) == ({}, ())
    assert {g.id for g in world.cloud.security.groups(COMPARTMENT_ID, vcn_id(world))} == {key, other}
    assert world.cloud.security.groups(COMPARTMENT_ID, None, "web") == [found]
    assert world.cloud.security.groups(COMPARTMENT_ID, "ocid1.vcn.oc99.lab.nowhere") == []


def test_a_group_in_no_vcn_is_refused_with_the_permissions(world: World) -> None:
    with pytest.raises(CloudError, match="NETWORK_SECURITY_GROUP_CREATE, VCN_ATTACH"):
        world.cloud.security.create_group(COMPARTMENT_ID, "ocid1.vcn.oc99.lab.nowhere", "web")


def test_rules_are_read_as_they_were_added(world: World) -> None:
    key = create(world)

    world.cloud.security.add_rules(key, [PCSD, COROSYNC, PING, VRRP])

    assert list(rules_of(world, key).values()) == [PCSD, COROSYNC, PING, VRRP]


def test_a_rule_that_is_there_is_not_added_again(world: World) -> None:
    key = create(world)
    world.cloud.security.add_rules(key, [PCSD])

    world.cloud.security.add_rules(key, [PCSD, PING])

    assert list(rules_of(world, key).values()) == [PCSD, PING]


def test_rules_are_removed_by_their_ids_and_once_is_enough(world: World) -> None:
    key = create(world)
    world.cloud.security.add_rules(key, [PCSD, COROSYNC])
    (rule_id,) = [i for i, rule in rules_of(world, key).items() if rule == PCSD]

    world.cloud.security.remove_rules(key, [rule_id])
    world.cloud.security.remove_rules(key, [rule_id])

    assert list(rules_of(world, key).values()) == [COROSYNC]


def test_a_hundred_rules_are_added_and_removed(world: World) -> None:
    key = create(world)
    many = [SecurityRule("INGRESS", str(n), "10.0.0.0/8") for n in range(100)]

    world.cloud.security.add_rules(key, many)
    assert list(rules_of(world, key).values()) == many

    world.cloud.security.remove_rules(key, list(rules_of(world, key)))
    assert rules_of(world, key) == {}


def test_a_vnic_is_put_into_groups_and_taken_out(world: World) -> None:
    first, second, vnic_id = create(world), create(world, "other"), world.vnic("vr1", "ens3")
    security = world.cloud.security

    security.set_groups(security.member(vnic_id), [first, second])
    assert set(security.member(vnic_id).group_ids) == {first, second}
    (group,) = security.groups(COMPARTMENT_ID, vcn_id(world), "web")
    assert group.vnic_ids == (vnic_id,)

    security.set_groups(security.member(vnic_id), [second])
    assert security.member(vnic_id).group_ids == (second,)


def test_a_vnic_that_someone_else_changed_meanwhile_is_left_alone(world: World) -> None:
    first, second, vnic_id = create(world), create(world, "other"), world.vnic("vr1", "ens3")
    read = world.cloud.security.member(vnic_id)
    world.cloud.security.set_groups(read, [second])

    with pytest.raises(CloudError) as caught:
        world.cloud.security.set_groups(read, [first])

    assert (caught.value.kind, world.cloud.security.member(vnic_id).group_ids) == ("changed", (second,))


def test_an_unknown_vnic_is_absent(world: World) -> None:
    with pytest.raises(CloudError, match="VNIC_READ"):
        world.cloud.security.member("ocid1.vnic.oc99.lab.nowhere")


def test_a_group_is_deleted_and_once_is_enough(world: World) -> None:
    key = create(world)

    world.cloud.security.delete_group(key)
    world.cloud.security.delete_group(key)

    assert world.cloud.security.groups(COMPARTMENT_ID, vcn_id(world)) == []


def test_a_group_with_a_vnic_is_not_deleted(world: World) -> None:
    key = create(world)
    world.cloud.security.set_groups(world.cloud.security.member(world.vnic("vr1", "ens3")), [key])

    with pytest.raises(CloudError) as caught:
        world.cloud.security.delete_group(key)

    assert caught.value.status == 412


# What only a service can do: lose an answer, be late, and know more than the model says.


@pytest.mark.parametrize("lost", [{}, {"status": 500}])
def test_rules_are_added_once_though_the_answer_is_lost(lab_world: LabWorld, lost: dict[str, int]) -> None:
    key = create(lab_world)
    lab_world.lab.fault(effect="apply_then_fail", method="POST", count=1, **lost)

    lab_world.cloud.security.add_rules(key, [PCSD, COROSYNC])

    assert list(rules_of(lab_world, key).values()) == [PCSD, COROSYNC]


def test_rules_are_removed_though_the_answer_is_lost(lab_world: LabWorld) -> None:
    key = create(lab_world)
    lab_world.cloud.security.add_rules(key, [PCSD, COROSYNC])
    lab_world.lab.fault(effect="apply_then_fail", method="POST", count=1)

    lab_world.cloud.security.remove_rules(key, list(rules_of(lab_world, key)))

    assert rules_of(lab_world, key) == {}


def test_a_group_that_the_service_still_thinks_has_vnics_is_deleted_after_a_while(lab_world: LabWorld) -> None:
    key = create(lab_world)
    lab_world.lab.fault(effect="status", status=412, code="PreconditionFailed", method="DELETE", count=2)

    lab_world.cloud.security.delete_group(key)

    assert lab_world.cloud.security.groups(COMPARTMENT_ID, vcn_id(lab_world)) == []


def test_what_the_modules_cannot_say_is_read_all_the_same(lab_world: LabWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    models = oci.core.models
    ports = models.PortRange(min=1, max=1023)
    # The lab takes no such rules, so its answer is made up.
    listed = [
        models.SecurityRule(
            id="1",
            direction="INGRESS",
            protocol="1",
            source="0.0.0.0/0",
            is_stateless=True,
            icmp_options=models.IcmpOptions(type=3),
        ),
        models.SecurityRule(
            id="2",
            direction="EGRESS",
            protocol="6",
            destination="oci-iad-objectstorage",
            tcp_options=models.TcpOptions(source_port_range=ports),
        ),
    ]
    answer = oci.Response(200, {}, listed, None)
    method = "list_network_security_group_security_rules"
    monkeypatch.setattr(oci.core.VirtualNetworkClient, method, lambda *_, **__: answer)

    assert rules_of(lab_world, create(lab_world)) == {
        "1": SecurityRule("INGRESS", "1", "0.0.0.0/0", is_stateless=True, icmp=(3, None)),
        "2": SecurityRule("EGRESS", "6", "oci-iad-objectstorage", source_ports=(1, 1023)),
    }

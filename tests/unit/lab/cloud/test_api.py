# SPDX-License-Identifier: GPL-3.0-or-later
"""The unmodified SDK and CLI against the server."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

import oci
import pytest
from oci.core.models import (
    CreateIpv6Details,
    CreatePrivateIpDetails,
    CreatePublicIpDetails,
    GetPublicIpByPrivateIpIdDetails,
    RouteRule,
    UpdateIpv6Details,
    UpdatePrivateIpDetails,
    UpdatePublicIpDetails,
    UpdateRouteTableDetails,
    UpdateVnicDetails,
)
from oci.identity.models import (
    CreateDynamicGroupDetails,
    CreatePolicyDetails,
    UpdateDynamicGroupDetails,
    UpdatePolicyDetails,
)

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from lab.cloud.state import IPV6_PER_VNIC, NullEffects
from lab.cloud.testing import Running, running
from lab.topology import Topology, ocid

VIP = "172.20.136.140"


@pytest.fixture
def network(lab: Running) -> Any:
    return oci.core.VirtualNetworkClient(lab.sdk_config, service_endpoint=lab.url)


@pytest.fixture
def compute(lab: Running) -> Any:
    return oci.core.ComputeClient(lab.sdk_config, service_endpoint=lab.url)


@pytest.fixture
def identity(lab: Running) -> Any:
    return oci.identity.IdentityClient(
        lab.sdk_config, service_endpoint=lab.url, retry_strategy=oci.retry.NoneRetryStrategy()
    )


def vnic(lab: Running, instance: str, index: int = 0) -> str:
    return lab.cloud.topology.instance(instance).vnics[index].id


def reserve(lab: Running, network: Any, **details: Any) -> Any:
    subnet = lab.cloud.topology.subnet("transit").id
    given = {"subnet_id": subnet, "lifetime": "RESERVED", "ip_address": VIP, **details}
    return network.create_private_ip(CreatePrivateIpDetails(**given))


def refusal(act: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(oci.exceptions.ServiceError) as caught:
        act()
    return caught.value.status, caught.value.code


def let(lab: Running, identity: Any, instance: str, *grants: str) -> None:
    """Allow the instance what the grants say, in the compartment, and what was granted before."""
    name = f"{instance}-{len(lab.cloud.iam.policies)}"
    group = identity.create_dynamic_group(
        CreateDynamicGroupDetails(
            compartment_id=TENANCY_ID,
            name=name,
            description="d",
            matching_rule=f"ALL {{instance.id = '{lab.cloud.topology.instance(instance).id}'}}",
        )
    ).data
    identity.create_policy(
        CreatePolicyDetails(
            compartment_id=COMPARTMENT_ID,
            name=name,
            description="d",
            statements=[f"allow dynamic-group id {group.id} to {g}" for g in grants],
        )
    )


MOVE = (
    f"use private-ips in compartment id {COMPARTMENT_ID} where any "
    "{request.permission='PRIVATE_IP_READ', request.permission='PRIVATE_IP_UPDATE'}",
    f"use vnics in compartment id {COMPARTMENT_ID} where any "
    "{request.permission='VNIC_READ', request.permission='VNIC_ASSIGN', request.permission='VNIC_UNASSIGN'}",
)


# ---- private IPs ----


def test_a_reserved_address_lives_through_assign_move_detach_and_delete(lab: Running, network: Any) -> None:
    created = reserve(lab, network, display_name="vrouters-transit", freeform_tags={"a": "b"}).data
    assert (created.ip_state, created.vnic_id, created.availability_domain) == ("AVAILABLE", None, None)
    for name in ("vr1", "vr2"):
        moved = network.update_private_ip(created.id, UpdatePrivateIpDetails(vnic_id=vnic(lab, name))).data
        assert (moved.id, moved.vnic_id, moved.ip_state) == (created.id, vnic(lab, name), "ASSIGNED")
    assert (moved.display_name, moved.freeform_tags, moved.lifetime) == ("vrouters-transit", {"a": "b"}, "RESERVED")
    detached = network.private_ip_vnic_detach(created.id).data
    assert (detached.id, detached.vnic_id) == (created.id, None)
    network.delete_private_ip(created.id)
    assert refusal(lambda: network.get_private_ip(created.id)) == (404, "NotAuthorizedOrNotFound")


def test_lists_filter_and_refuse_conflicting_parameters(lab: Running, network: Any) -> None:
    created = reserve(lab, network).data
    subnet = lab.cloud.topology.subnet("transit").id
    found = network.list_private_ips(subnet_id=subnet, ip_address=VIP).data
    assert [p.id for p in found] == [created.id]
    assert len(network.list_private_ips(subnet_id=subnet).data) == 4
    assert [p.id for p in network.list_private_ips(subnet_id=subnet, lifetime="RESERVED").data] == [created.id]
    assert [p.is_primary for p in network.list_private_ips(vnic_id=vnic(lab, "vr1")).data] == [True]
    assert network.list_private_ips(vnic_id=vnic(lab, "vr1")).data[0].availability_domain == "CvIp:LAB-EMU-1-AD-1"
    both = {"vnic_id": vnic(lab, "vr1"), "ip_address": VIP}
    assert refusal(lambda: network.list_private_ips(**both)) == (400, "InvalidParameter")
    assert refusal(network.list_private_ips) == (400, "InvalidParameter")
    assert refusal(lambda: network.list_private_ips(vnic_id="ocid1.vnic.none")) == (404, "NotAuthorizedOrNotFound")


def test_pages_follow_each_other(lab: Running, network: Any) -> None:
    subnet = lab.cloud.topology.subnet("transit").id
    first = network.list_private_ips(subnet_id=subnet, limit=2)
    second = network.list_private_ips(subnet_id=subnet, limit=2, page=first.next_page)
    assert (len(first.data), len(second.data), second.next_page) == (2, 1, None)
    everything = oci.pagination.list_call_get_all_results(network.list_private_ips, subnet_id=subnet, limit=1).data
    assert [p.id for p in everything] == [p.id for p in (*first.data, *second.data)]
    assert refusal(lambda: network.list_private_ips(subnet_id=subnet, page="?")) == (400, "InvalidParameter")
    assert refusal(lambda: network.list_private_ips(subnet_id=subnet, limit=1001)) == (400, "InvalidParameter")


def test_etags_guard_changes(lab: Running, network: Any) -> None:
    created = reserve(lab, network)
    first = network.update_private_ip(
        created.data.id, UpdatePrivateIpDetails(vnic_id=vnic(lab, "vr1")), if_match=created.headers["etag"]
    )
    late = UpdatePrivateIpDetails(vnic_id=vnic(lab, "vr2"))
    stale = created.headers["etag"]
    assert refusal(lambda: network.update_private_ip(created.data.id, late, if_match=stale)) == (412, "NoEtagMatch")
    assert network.get_private_ip(created.data.id).headers["etag"] == first.headers["etag"]


def test_a_retry_token_creates_once(lab: Running, network: Any) -> None:
    details = CreatePrivateIpDetails(vnic_id=vnic(lab, "vr1"))
    first = network.create_private_ip(details, opc_retry_token="once")
    again = network.create_private_ip(details, opc_retry_token="once")
    assert again.data.id == first.data.id
    assert again.headers["etag"] == first.headers["etag"]
    assert len(network.list_private_ips(vnic_id=vnic(lab, "vr1")).data) == 2
    other = CreatePrivateIpDetails(vnic_id=vnic(lab, "vr2"))
    assert refusal(lambda: network.create_private_ip(other, opc_retry_token="once")) == (409, "InvalidatedRetryToken")


def test_a_request_id_is_echoed_with_a_suffix(lab: Running, network: Any) -> None:
    created = reserve(lab, network, vnic_id=vnic(lab, "vr1")).data
    answer = network.private_ip_vnic_detach(created.id, opc_request_id="ABC")
    assert answer.headers["opc-request-id"].startswith("ABC/")


def test_creation_without_a_place_says_so_in_the_services_words(network: Any) -> None:
    with pytest.raises(oci.exceptions.ServiceError) as caught:
        network.create_private_ip(CreatePrivateIpDetails(ip_address=VIP))
    assert (caught.value.status, caught.value.code) == (400, "MissingParameter")
    assert caught.value.message == "This request is missing one of the following arguments: subnetId, vnicId, vlanId."


def test_what_the_lab_cannot_do_is_refused(lab: Running, network: Any) -> None:
    created = reserve(lab, network).data
    details = UpdatePrivateIpDetails(route_table_id="ocid1.routetable.x")
    assert refusal(lambda: network.update_private_ip(created.id, details)) == (400, "InvalidParameter")
    assert refusal(lambda: network.list_vlans(COMPARTMENT_ID)) == (404, "NotFound")


# ---- public IPs ----


def publish(network: Any, private_ip_id: str | None = None, **details: Any) -> Any:
    """A reserved public IP as it is once its assignment is over."""
    given = {"compartment_id": COMPARTMENT_ID, "lifetime": "RESERVED", "private_ip_id": private_ip_id, **details}
    return network.get_public_ip(network.create_public_ip(CreatePublicIpDetails(**given)).data.id)


def public_ip_of(network: Any, private_ip_id: str) -> Any:
    return network.get_public_ip_by_private_ip_id(GetPublicIpByPrivateIpIdDetails(private_ip_id=private_ip_id)).data


def test_a_public_ip_follows_its_private_ip_to_another_vnic(lab: Running, network: Any) -> None:
    vip = reserve(lab, network).data
    public = publish(network, vip.id, display_name="front")
    for name in ("vr1", "vr2"):
        network.update_private_ip(vip.id, UpdatePrivateIpDetails(vnic_id=vnic(lab, name)))
        after = network.get_public_ip(public.data.id)
        assert (after.data, after.headers["etag"]) == (public.data, public.headers["etag"])
        assert public_ip_of(network, vip.id).ip_address == public.data.ip_address
    assert (after.data.lifecycle_state, after.data.assigned_entity_id) == ("ASSIGNED", vip.id)
    assert (after.data.scope, after.data.lifetime, after.data.display_name) == ("REGION", "RESERVED", "front")


def test_a_public_ip_is_lost_by_deleting_its_private_ip_and_can_be_given_to_another(lab: Running, network: Any) -> None:
    first, second = reserve(lab, network).data, reserve(lab, network, ip_address="172.20.136.141").data
    public = publish(network, first.id).data
    network.delete_private_ip(first.id)
    lost = network.get_public_ip(public.id).data
    assert (lost.ip_address, lost.lifecycle_state, lost.private_ip_id) == (public.ip_address, "AVAILABLE", None)
    begun = network.update_public_ip(public.id, UpdatePublicIpDetails(private_ip_id=second.id)).data
    assert begun.lifecycle_state == "ASSIGNING"
    assert public_ip_of(network, second.id).lifecycle_state == "ASSIGNED"
    network.update_public_ip(public.id, UpdatePublicIpDetails(private_ip_id=""))
    assert network.get_public_ip(public.id).data.lifecycle_state == "AVAILABLE"
    assert refusal(lambda: public_ip_of(network, second.id)) == (404, "NotAuthorizedOrNotFound")


def test_public_ips_are_listed_named_tagged_guarded_and_deleted(network: Any) -> None:
    public = publish(network)
    listed = network.list_public_ips("REGION", COMPARTMENT_ID, lifetime="RESERVED").data
    assert [p.id for p in listed] == [public.data.id]
    assert network.list_public_ips("REGION", COMPARTMENT_ID, lifetime="EPHEMERAL").data == []
    assert network.list_public_ips("AVAILABILITY_DOMAIN", COMPARTMENT_ID).data == []
    assert network.list_public_ips("REGION", TENANCY_ID).data == []
    details = UpdatePublicIpDetails(display_name="front", freeform_tags={"a": "b"})
    renamed = network.update_public_ip(public.data.id, details, if_match=public.headers["etag"]).data
    assert (renamed.display_name, renamed.freeform_tags, renamed.lifecycle_state) == ("front", {"a": "b"}, "AVAILABLE")
    stale = public.headers["etag"]
    assert refusal(lambda: network.delete_public_ip(public.data.id, if_match=stale)) == (412, "NoEtagMatch")
    network.delete_public_ip(public.data.id)
    assert refusal(lambda: network.get_public_ip(public.data.id)) == (404, "NotAuthorizedOrNotFound")


def test_a_public_ip_that_cannot_be_had_is_refused(lab: Running, network: Any) -> None:
    vip = reserve(lab, network).data
    publish(network, vip.id)
    assert refusal(lambda: publish(network, vip.id)) == (409, "Conflict")
    assert refusal(lambda: publish(network, "ocid1.privateip.none")) == (404, "NotAuthorizedOrNotFound")
    assert refusal(lambda: publish(network, lifetime="EPHEMERAL")) == (400, "InvalidParameter")


def test_a_vnic_shows_the_public_ip_of_its_primary_address_only(lab: Running, network: Any) -> None:
    primary = network.list_private_ips(vnic_id=vnic(lab, "vr1")).data[0]
    vip = reserve(lab, network, vnic_id=vnic(lab, "vr1"), subnet_id=None).data
    publish(network, vip.id)
    assert network.get_vnic(vnic(lab, "vr1")).data.public_ip is None
    address = publish(network, primary.id).data.ip_address
    assert network.get_vnic(vnic(lab, "vr1")).data.public_ip == address


# ---- IPv6 ----

VIP6 = "2001:db8:0:a01::140"


def reserve6(lab: Running, network: Any, **details: Any) -> Any:
    subnet = lab.cloud.topology.subnet("transit").id
    given = {"subnet_id": subnet, "lifetime": "RESERVED", "ip_address": VIP6, **details}
    return network.create_ipv6(CreateIpv6Details(**given))


def test_an_ipv6_lives_through_assign_move_detach_and_delete(lab: Running, network: Any) -> None:
    created = reserve6(lab, network, display_name="vrouters-transit", hostname="front", freeform_tags={"a": "b"}).data
    assert (created.ip_state, created.vnic_id, created.lifetime) == ("AVAILABLE", None, "RESERVED")
    assert created.id.startswith("ocid1.ipv6.")
    for name in ("vr1", "vr2"):
        moved = network.update_ipv6(created.id, UpdateIpv6Details(vnic_id=vnic(lab, name))).data
        assert (moved.id, moved.vnic_id, moved.ip_state) == (created.id, vnic(lab, name), "ASSIGNED")
        assert network.get_vnic(vnic(lab, name)).data.ipv6_addresses == [VIP6]
    assert network.get_vnic(vnic(lab, "vr1")).data.ipv6_addresses is None
    assert (moved.display_name, moved.hostname, moved.freeform_tags) == ("vrouters-transit", "front", {"a": "b"})
    detached = network.ipv6_vnic_detach(created.id).data
    assert (detached.id, detached.vnic_id) == (created.id, None)
    network.delete_ipv6(created.id)
    assert refusal(lambda: network.get_ipv6(created.id)) == (404, "NotAuthorizedOrNotFound")


def test_ipv6s_are_found_by_vnic_by_subnet_and_by_address_however_it_is_written(lab: Running, network: Any) -> None:
    created = reserve6(lab, network, vnic_id=vnic(lab, "vr1")).data
    other = network.create_ipv6(CreateIpv6Details(vnic_id=vnic(lab, "vr1"))).data
    subnet = lab.cloud.topology.subnet("transit").id
    assert [p.id for p in network.list_ipv6s(subnet_id=subnet, ip_address="2001:DB8:0:A01:0::140").data] == [created.id]
    assert [p.id for p in network.list_ipv6s(vnic_id=vnic(lab, "vr1")).data] == [created.id, other.id]
    assert [p.id for p in network.list_ipv6s(subnet_id=subnet, lifetime="EPHEMERAL").data] == [other.id]
    assert network.list_ipv6s(vnic_id=vnic(lab, "vr2")).data == []
    both = {"vnic_id": vnic(lab, "vr1"), "ip_address": VIP6}
    assert refusal(lambda: network.list_ipv6s(**both)) == (400, "InvalidParameter")
    assert refusal(network.list_ipv6s) == (400, "InvalidParameter")


def test_an_etag_guards_an_ipv6(lab: Running, network: Any) -> None:
    created = reserve6(lab, network)
    stale = created.headers["etag"]
    first = UpdateIpv6Details(vnic_id=vnic(lab, "vr1"))
    network.update_ipv6(created.data.id, first, if_match=stale)
    late = UpdateIpv6Details(vnic_id=vnic(lab, "vr2"))
    assert refusal(lambda: network.update_ipv6(created.data.id, late, if_match=stale)) == (412, "NoEtagMatch")


def test_an_ipv6_that_cannot_be_had_is_refused(lab: Running, network: Any) -> None:
    created = reserve6(lab, network).data
    assert refusal(lambda: reserve6(lab, network)) == (409, "Conflict")
    assert refusal(lambda: reserve6(lab, network, ip_address="2001:db8:0:a02::1")) == (400, "InvalidParameter")
    assert refusal(lambda: reserve6(lab, network, ip_address=VIP)) == (400, "InvalidParameter")
    assert refusal(lambda: reserve6(lab, network, subnet_id=None)) == (400, "MissingParameter")
    elsewhere = UpdateIpv6Details(vnic_id=vnic(lab, "vr1", 1))
    assert refusal(lambda: network.update_ipv6(created.id, elsewhere)) == (400, "InvalidParameter")


def test_a_vnic_takes_32_ipv6s(lab: Running, network: Any) -> None:
    for _ in range(IPV6_PER_VNIC):
        lab.do(lab.cloud.create_ipv6(vnic_id=vnic(lab, "vr1")))
    created = reserve6(lab, network).data
    details = UpdateIpv6Details(vnic_id=vnic(lab, "vr1"))
    assert refusal(lambda: network.update_ipv6(created.id, details)) == (400, "LimitExceeded")


@pytest.mark.parametrize(("method", "model", "address"), [("private_ip", "PrivateIp", VIP), ("ipv6", "Ipv6", VIP6)])
def test_a_region_may_not_know_reserved_private_ips(
    lab: Running, network: Any, method: str, model: str, address: str
) -> None:
    lab.cloud.reserved_private_ips = False
    create, update = getattr(network, f"create_{method}"), getattr(network, f"update_{method}")
    details, changes = (getattr(oci.core.models, f"{verb}{model}Details") for verb in ("Create", "Update"))
    here, there = {"vnic_id": vnic(lab, "vr1")}, {"vnic_id": vnic(lab, "vr2")}
    for unknown in ({"subnet_id": lab.cloud.topology.subnet("transit").id}, {**here, "lifetime": "RESERVED"}):
        assert refusal(partial(create, details(ip_address=address, **unknown))) == (400, "InvalidParameter")
    made = create(details(ip_address=address, **here)).data
    assert (made.vnic_id, made.lifetime, made.ip_state) == (vnic(lab, "vr1"), None, None)
    assert refusal(partial(update, made.id, changes(lifetime="RESERVED"))) == (400, "InvalidParameter")
    moved = update(made.id, changes(**there)).data
    assert (moved.vnic_id, moved.lifetime) == (vnic(lab, "vr2"), None)
    assert getattr(network, f"list_{method}s")(**there).data[-1].lifetime is None
    lab.do(lab.cloud.reset())
    assert create(details(ip_address=address, **here, lifetime="RESERVED")).data.lifetime == "RESERVED"


def test_the_subnet_and_the_vcn_show_their_ipv6_prefixes(lab: Running, network: Any) -> None:
    subnet = network.get_subnet(lab.cloud.topology.subnet("transit").id).data
    assert (subnet.ipv6_cidr_block, subnet.ipv6_cidr_blocks) == ("2001:db8:0:a01::/64", ["2001:db8:0:a01::/64"])
    assert network.get_vcn(subnet.vcn_id).data.ipv6_cidr_blocks == ["2001:db8:0:a00::/56"]


# ---- the rest of the network, and instances ----


def test_vnics_attachments_subnets_vcns_and_tables_are_what_the_topology_says(
    lab: Running, network: Any, compute: Any
) -> None:
    topology = lab.cloud.topology
    node = topology.instance("vr1")
    attached = compute.list_vnic_attachments(COMPARTMENT_ID, instance_id=node.id).data
    assert [a.vnic_id for a in attached] == [v.id for v in node.vnics]
    assert {a.lifecycle_state for a in attached} == {"ATTACHED"}
    assert compute.list_vnic_attachments(TENANCY_ID).data == []
    own = network.get_vnic(node.vnics[1].id).data
    assert (own.private_ip, own.is_primary, own.skip_source_dest_check) == ("10.0.0.5", False, False)
    assert own.mac_address.lower() == node.vnics[1].mac
    subnet = network.get_subnet(own.subnet_id).data
    assert (subnet.cidr_block, subnet.virtual_router_ip) == ("10.0.0.0/28", "10.0.0.1")
    assert {s.id for s in network.list_subnets(COMPARTMENT_ID).data} == {s.id for s in topology.subnets}
    assert network.get_vcn(subnet.vcn_id).data.cidr_blocks == [str(c) for c in topology.cidrs]
    assert [v.id for v in network.list_vcns(COMPARTMENT_ID).data] == [subnet.vcn_id]
    assert network.get_route_table(subnet.route_table_id).data.route_rules == []
    assert len(network.list_route_tables(COMPARTMENT_ID).data) == len(topology.subnets)


def test_skip_source_dest_check_can_be_set(lab: Running, network: Any) -> None:
    changed = network.update_vnic(vnic(lab, "vr1"), UpdateVnicDetails(skip_source_dest_check=True)).data
    assert changed.skip_source_dest_check is True
    assert isinstance(lab.effects, NullEffects)
    assert any(p.forwards for p in lab.effects.views[-1].ports)


def test_a_route_table_shows_and_takes_rules(lab: Running, network: Any) -> None:
    created = reserve(lab, network).data
    table = ocid("routetable", "isv")
    bound = network.get_route_table(table).data.route_rules
    assert {(r.destination, r.network_entity_id) for r in bound} == {
        ("10.0.0.0/28", created.id),
        ("10.0.0.32/28", created.id),
        ("10.0.0.64/28", created.id),
    }
    rule = RouteRule(destination="10.0.0.0/28", destination_type="CIDR_BLOCK", network_entity_id=created.id)
    replaced = network.update_route_table(table, UpdateRouteTableDetails(route_rules=[rule])).data
    assert [r.destination for r in replaced.route_rules] == ["10.0.0.0/28"]


def test_instance_actions_reach_the_world_and_the_state_follows(lab: Running, compute: Any) -> None:
    node = lab.cloud.topology.instance("vr2")
    assert compute.instance_action(node.id, "STOP").data.lifecycle_state == "STOPPING"
    assert isinstance(lab.effects, NullEffects)
    assert lab.effects.actions == [("vr2", "STOP")]
    assert refusal(lambda: compute.instance_action(node.id, "START")) == (409, "IncorrectState")
    lab.call(lab.cloud.set_instance_state, "vr2", "STOPPED")
    assert compute.get_instance(node.id).data.lifecycle_state == "STOPPED"
    assert [i.display_name for i in compute.list_instances(COMPARTMENT_ID, lifecycle_state="STOPPED").data] == ["vr2"]
    assert refusal(lambda: compute.instance_action(node.id, "EXPLODE")) == (400, "InvalidParameter")


# ---- identity ----


def test_groups_and_policies_can_be_kept(identity: Any) -> None:
    details = CreateDynamicGroupDetails(
        compartment_id=TENANCY_ID, name="g", description="d", matching_rule="ANY {instance.id = 'x'}"
    )
    group = identity.create_dynamic_group(details).data
    assert refusal(lambda: identity.create_dynamic_group(details)) == (409, "IdcsConversionError")
    updated = identity.update_dynamic_group(
        group.id, UpdateDynamicGroupDetails(matching_rule="ANY {instance.id = 'y'}")
    ).data
    assert updated.matching_rule == "ANY {instance.id = 'y'}"
    assert [g.id for g in identity.list_dynamic_groups(TENANCY_ID, name="g").data] == [group.id]
    assert identity.list_dynamic_groups(TENANCY_ID, name="h").data == []
    statement = f"allow dynamic-group id {group.id} to use vnics in compartment id {COMPARTMENT_ID}"
    given = {"compartment_id": COMPARTMENT_ID, "name": "p", "description": "d"}
    policy = identity.create_policy(CreatePolicyDetails(statements=[statement], **given)).data
    assert policy.statements == [statement]
    broken = CreatePolicyDetails(statements=["allow everything"], **{**given, "name": "q"})
    assert refusal(lambda: identity.create_policy(broken)) == (400, "InvalidParameter")
    new = [statement.replace("use", "inspect")]
    assert identity.update_policy(policy.id, UpdatePolicyDetails(statements=new)).data.statements == new
    assert [p.id for p in identity.list_policies(COMPARTMENT_ID).data] == [policy.id]
    assert identity.list_policies(TENANCY_ID).data == []
    identity.delete_policy(policy.id)
    identity.delete_dynamic_group(group.id)
    assert refusal(lambda: identity.get_policy(policy.id)) == (404, "NotAuthorizedOrNotFound")
    assert refusal(lambda: identity.get_dynamic_group(group.id)) == (404, "NotAuthorizedOrNotFound")


def test_the_tenancy_can_be_looked_at(identity: Any) -> None:
    assert identity.get_tenancy(TENANCY_ID).data.home_region_key == "LAB"
    assert [r.name for r in identity.list_regions().data] == ["lab-emu-1", "lab-emu-2"]
    assert [r.is_home_region for r in identity.list_region_subscriptions(TENANCY_ID).data] == [True, False]
    assert [c.id for c in identity.list_compartments(TENANCY_ID).data] == [COMPARTMENT_ID]
    assert identity.get_compartment(COMPARTMENT_ID).data.compartment_id == TENANCY_ID
    assert len(identity.list_availability_domains(COMPARTMENT_ID).data) == 3


def test_the_namespace_can_be_asked_for(lab: Running) -> None:
    client = oci.object_storage.ObjectStorageClient(lab.sdk_config, service_endpoint=lab.url)
    assert client.get_namespace().data == "labns"


# ---- authentication and faults on the wire ----


def ask(lab: Running, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    host = lab.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_an_unsigned_request_gets_the_services_401(lab: Running) -> None:
    status, body = ask(lab, "GET", "/20160918/vnics/x")
    assert status == 401
    assert set(body) == {"code", "message"}
    assert body["code"] == "NotAuthenticated"
    assert ask(lab, "GET", "/nowhere")[1]["code"] == "NotFound"
    assert ask(lab, "DELETE", "/20160918/privateIps")[1]["code"] == "MethodNotAllowed"


def test_a_wrong_key_is_refused(lab: Running) -> None:
    config = {**lab.sdk_config, "fingerprint": "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff"}
    client = oci.core.VirtualNetworkClient(config, service_endpoint=lab.url)
    assert refusal(lambda: client.get_vnic(vnic(lab, "vr1"))) == (401, "NotAuthenticated")


def test_events_tell_who_asked_for_what(lab: Running, network: Any) -> None:
    created = reserve(lab, network).data
    network.get_private_ip(created.id)
    assert [(e["service"], e["method"], e["path"], e["status"], e["instance"]) for e in lab.events] == [
        ("api", "POST", "/20160918/privateIps", 200, "user"),
        ("api", "GET", f"/20160918/privateIps/{created.id}", 200, "user"),
    ]


@pytest.mark.parametrize(("status", "code"), [(429, "TooManyRequests"), (500, "InternalServerError")])
def test_a_status_fault_is_seen_by_the_sdk_and_ends_with_its_count(
    lab: Running, network: Any, status: int, code: str
) -> None:
    lab.fault(effect="status", status=status, path="/vnics/", count=1)
    assert refusal(lambda: network.get_vnic(vnic(lab, "vr1"))) == (status, code)
    network.get_vnic(vnic(lab, "vr1"))


def test_a_dropped_request_changes_nothing_and_an_applied_one_does(lab: Running, network: Any) -> None:
    created = reserve(lab, network).data
    details = UpdatePrivateIpDetails(vnic_id=vnic(lab, "vr1"))
    lab.fault(effect="drop", method="PUT", count=1)
    with pytest.raises(oci.exceptions.RequestException):
        network.update_private_ip(created.id, details)
    assert network.get_private_ip(created.id).data.vnic_id is None
    lab.fault(effect="apply_then_fail", method="PUT", count=1)
    with pytest.raises(oci.exceptions.RequestException):
        network.update_private_ip(created.id, details)
    assert network.get_private_ip(created.id).data.vnic_id == vnic(lab, "vr1")
    lab.fault(effect="apply_then_fail", method="PUT", status=503, count=1)
    other = UpdatePrivateIpDetails(vnic_id=vnic(lab, "vr2"))
    assert refusal(lambda: network.update_private_ip(created.id, other)) == (503, "ServiceUnavailable")
    assert network.get_private_ip(created.id).data.vnic_id == vnic(lab, "vr2")


def test_a_hanging_request_gets_no_answer(lab: Running) -> None:
    lab.fault(effect="hang")
    client = oci.core.VirtualNetworkClient(lab.sdk_config, service_endpoint=lab.url, timeout=(1, 0.2))
    with pytest.raises(oci.exceptions.RequestException):
        client.get_vnic(vnic(lab, "vr1"))


def test_a_fault_can_hit_one_nodes_metadata_only(lab: Running) -> None:
    lab.fault(effect="status", status=503, service="imds", node="vr1")

    def status(instance: str) -> int:
        host = lab.metadata_url(instance).split("/")[2]
        connection = http.client.HTTPConnection(host, timeout=5)
        connection.request("GET", "/opc/v2/instance/id", headers={"Authorization": "Bearer Oracle"})
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    assert (status("vr1"), status("vr2")) == (503, 200)


def seconds_ahead(headers: Any) -> float:
    """How far the server's clock is ahead of ours, by the Date of its answer."""
    return parsedate_to_datetime(headers["date"]).timestamp() - time.time()


@pytest.mark.parametrize("shift", [-3600, 3600])
def test_a_server_whose_clock_is_off_refuses_the_signature_and_tells_the_time(
    lab: Running, network: Any, shift: int
) -> None:
    assert abs(seconds_ahead(network.get_vnic(vnic(lab, "vr1")).headers)) < 5
    lab.fault(effect="clock", shift_s=shift)
    with pytest.raises(oci.exceptions.ServiceError) as caught:
        network.get_vnic(vnic(lab, "vr1"))
    assert (caught.value.status, caught.value.code) == (401, "NotAuthenticated")
    assert abs(seconds_ahead(caught.value.headers) - shift) < 5
    lab.call(lab.faults.clear)
    network.get_vnic(vnic(lab, "vr1"))


def test_a_small_skew_is_tolerated(lab: Running, network: Any) -> None:
    lab.fault(effect="clock", shift_s=280)
    assert abs(seconds_ahead(network.get_vnic(vnic(lab, "vr1")).headers) - 280) < 5


def test_the_clock_can_be_off_for_one_node(lab: Running) -> None:
    lab.fault(effect="clock", shift_s=3600, node="vr1")

    def ahead(url: str, path: str) -> float:
        connection = http.client.HTTPConnection(url.split("/")[2], timeout=5)
        connection.request("GET", path)
        try:
            return seconds_ahead(connection.getresponse().headers)
        finally:
            connection.close()

    assert abs(ahead(lab.metadata_url("vr1"), "/opc/v2/instance/id") - 3600) < 5
    assert abs(ahead(lab.metadata_url("vr2"), "/opc/v2/instance/id")) < 5
    # On loopback the API takes everybody for the user.
    assert abs(ahead(lab.url, "/20160918/vnics/x")) < 5


# ---- instance principals ----


def principal(lab: Running, monkeypatch: pytest.MonkeyPatch, instance: str) -> Any:
    monkeypatch.setenv("OCI_METADATA_BASE_URL", lab.metadata_url(instance))
    signer = oci.auth.signers.InstancePrincipalsSecurityTokenSigner(federation_endpoint=lab.federation_endpoint)
    return oci.core.VirtualNetworkClient({}, signer=signer, service_endpoint=lab.url)


def test_a_node_may_do_what_its_policy_says_and_no_more(
    lab: Running, network: Any, identity: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = reserve(lab, network).data
    node = principal(lab, monkeypatch, "vr1")
    here = UpdatePrivateIpDetails(vnic_id=vnic(lab, "vr1"))
    nothing = (404, "NotAuthorizedOrNotFound")
    assert refusal(lambda: node.update_private_ip(created.id, here)) == nothing
    let(lab, identity, "vr1", *MOVE)
    assert node.update_private_ip(created.id, here).data.vnic_id == vnic(lab, "vr1")
    assert node.list_private_ips(vnic_id=vnic(lab, "vr1")).data[1].id == created.id
    assert refusal(lambda: node.delete_private_ip(created.id)) == nothing
    assert refusal(lambda: node.create_private_ip(CreatePrivateIpDetails(vnic_id=vnic(lab, "vr1")))) == nothing
    assert (
        refusal(lambda: node.update_vnic(vnic(lab, "vr1"), UpdateVnicDetails(skip_source_dest_check=True))) == nothing
    )
    assert refusal(lambda: node.private_ip_vnic_detach(created.id)) == nothing
    stranger = principal(lab, monkeypatch, "vr2")
    assert refusal(lambda: stranger.get_private_ip(created.id)) == nothing
    assert {e["instance"] for e in lab.events if e["service"] == "federation"} == {"vr1", "vr2"}
    assert {e["instance"] for e in lab.events if e["method"] == "PUT" and e["status"] == 200} == {"vr1"}


def test_a_node_moves_an_ipv6_with_the_permissions_of_the_policy_reference(
    lab: Running, network: Any, identity: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = reserve6(lab, network).data
    node = principal(lab, monkeypatch, "vr1")
    here, nothing = UpdateIpv6Details(vnic_id=vnic(lab, "vr1")), (404, "NotAuthorizedOrNotFound")
    let(lab, identity, "vr1", *MOVE)
    assert refusal(lambda: node.update_ipv6(created.id, here)) == nothing
    assert refusal(lambda: node.list_ipv6s(vnic_id=vnic(lab, "vr1"))) == nothing
    let(
        lab,
        identity,
        "vr1",
        f"manage ipv6s in compartment id {COMPARTMENT_ID} where any "
        "{request.permission='IPV6_READ', request.permission='IPV6_UPDATE'}",
    )
    assert node.update_ipv6(created.id, here).data.vnic_id == vnic(lab, "vr1")
    assert [p.id for p in node.list_ipv6s(vnic_id=vnic(lab, "vr1")).data] == [created.id]
    # By subnet it takes a permission on subnets too.
    assert refusal(lambda: node.list_ipv6s(subnet_id=created.subnet_id)) == nothing
    assert refusal(lambda: node.delete_ipv6(created.id)) == nothing
    # To rename it takes none on VNICs, to move it does.
    other, renamed = principal(lab, monkeypatch, "vr2"), UpdateIpv6Details(display_name="front")
    let(lab, identity, "vr2", f"manage ipv6s in compartment id {COMPARTMENT_ID}")
    assert other.update_ipv6(created.id, renamed).data.display_name == "front"
    there = UpdateIpv6Details(vnic_id=vnic(lab, "vr2"))
    assert refusal(lambda: other.update_ipv6(created.id, there)) == nothing


def test_to_move_an_address_with_a_public_ip_takes_no_permission_on_the_public_ip(
    lab: Running, network: Any, identity: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vip = reserve(lab, network).data
    public = publish(network, vip.id).data
    node = principal(lab, monkeypatch, "vr1")
    let(lab, identity, "vr1", *MOVE)
    node.update_private_ip(vip.id, UpdatePrivateIpDetails(vnic_id=vnic(lab, "vr1")))
    assert public_ip_of(network, vip.id).id == public.id
    nothing = (404, "NotAuthorizedOrNotFound")
    assert refusal(lambda: node.get_public_ip(public.id)) == nothing
    assert refusal(lambda: node.list_public_ips("REGION", COMPARTMENT_ID)) == nothing
    assert refusal(lambda: node.update_public_ip(public.id, UpdatePublicIpDetails(private_ip_id=""))) == nothing
    assert refusal(lambda: node.delete_public_ip(public.id)) == nothing
    assert refusal(lambda: publish(node)) == nothing


def test_tls_instance_principal_and_cli_end_to_end(keys: Path, topology: Topology, tmp_path: Path) -> None:
    with running(topology, keys, tls=True) as lab:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "REQUESTS_CA_BUNDLE": str(lab.pki.ca_file),
            "OCI_METADATA_BASE_URL": lab.metadata_url("vr1"),
            "OCI_CLI_AUTH": "instance_principal",
            "OCI_CLI_ENDPOINT": lab.url,
            "OCI_CLI_FEDERATION_ENDPOINT": lab.federation_endpoint,
        }

        def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
            program = Path(sys.executable).parent / "oci"
            return subprocess.run(
                [program, "--no-retry", *arguments], env=env, capture_output=True, text=True, check=False, timeout=60
            )

        assert json.loads(cli("os", "ns", "get").stdout)["data"] == "labns"
        group = lab.call(lab.cloud.iam.create_dynamic_group, "g", f"instance.id = '{topology.instance('vr1').id}'", "d")
        subjects = f"allow dynamic-group id {group.id} to"
        lab.call(lab.cloud.iam.create_policy, COMPARTMENT_ID, "p", "d", [f"{subjects} {g}" for g in MOVE])
        vip = lab.do(lab.cloud.create_private_ip(subnet_id=topology.subnet("transit").id, address=VIP))
        lab.do(lab.cloud.update_private_ip(vip.id, {"vnic_id": vnic(lab, "vr2")}))
        assign = ("network", "vnic", "assign-private-ip", "--vnic-id", vnic(lab, "vr1"), "--ip-address", VIP)
        kept = cli(*assign)
        assert kept.returncode == 1
        assert "is already assigned to a different VNIC" in kept.stderr
        moved = cli(*assign, "--unassign-if-already-assigned")
        assert moved.returncode == 0, moved.stderr
        data = json.loads(moved.stdout)["data"]
        assert (data["id"], data["vnic-id"]) == (vip.id, vnic(lab, "vr1"))
        refused = cli("network", "vnic", "unassign-private-ip", "--vnic-id", vnic(lab, "vr1"), "--ip-address", VIP)
        assert refused.returncode == 1
        assert "NotAuthorizedOrNotFound" in refused.stderr
        assert vip.id in lab.cloud.private_ips

# SPDX-License-Identifier: GPL-3.0-or-later
"""Network security groups: the unmodified SDK against the server, and what the fabric is told of them."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

import oci
import pytest
from oci.core.models import (
    AddNetworkSecurityGroupSecurityRulesDetails,
    AddSecurityRuleDetails,
    CreateNetworkSecurityGroupDetails,
    PortRange,
    RemoveNetworkSecurityGroupSecurityRulesDetails,
    TcpOptions,
    UdpOptions,
    UpdateNetworkSecurityGroupDetails,
    UpdateNetworkSecurityGroupSecurityRulesDetails,
    UpdateSecurityRuleDetails,
    UpdateVnicDetails,
)
from oci.identity.models import CreateDynamicGroupDetails, CreatePolicyDetails

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from lab.cloud.state import NullEffects
from lab.cloud.testing import Running
from lab.fabric.view import ANYTHING, Admission, View

ANYWHERE = {"direction": "INGRESS", "source": "0.0.0.0/0", "source_type": "CIDR_BLOCK"}


@pytest.fixture
def network(lab: Running) -> Any:
    return oci.core.VirtualNetworkClient(
        lab.sdk_config, service_endpoint=lab.url, retry_strategy=oci.retry.NoneRetryStrategy()
    )


def refusal(act: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(oci.exceptions.ServiceError) as caught:
        act()
    return caught.value.status, caught.value.code


def vnic(lab: Running, instance: str) -> str:
    return lab.cloud.topology.instance(instance).vnics[0].id


def create(lab: Running, network: Any, name: str = "cluster") -> Any:
    details = {"compartment_id": COMPARTMENT_ID, "vcn_id": lab.cloud.vcn_id, "display_name": name}
    return network.create_network_security_group(CreateNetworkSecurityGroupDetails(**details))


def add(network: Any, group_id: str, *rules: dict[str, Any]) -> list[Any]:
    details = AddNetworkSecurityGroupSecurityRulesDetails(security_rules=[AddSecurityRuleDetails(**r) for r in rules])
    added = network.add_network_security_group_security_rules(group_id, details).data.security_rules
    return list(added)


def join(network: Any, vnic_id: str, *group_ids: str) -> Any:
    return network.update_vnic(vnic_id, UpdateVnicDetails(nsg_ids=list(group_ids)))


def admitted(lab: Running, instance: str) -> tuple[Admission, ...]:
    """What the fabric was told last about the instance's primary VNIC."""
    assert isinstance(lab.effects, NullEffects)
    view: View = lab.effects.views[-1]
    return next(p.admits for p in view.ports if p.vnic_id == vnic(lab, instance))


# ---- groups ----


def test_a_group_is_provisioning_when_it_is_answered_and_available_after(lab: Running, network: Any) -> None:
    created = create(lab, network)

    found = network.get_network_security_group(created.data.id)

    assert (created.data.lifecycle_state, found.data.lifecycle_state) == ("PROVISIONING", "AVAILABLE")
    assert (found.data.display_name, found.data.vcn_id) == ("cluster", lab.cloud.vcn_id)
    assert found.headers["etag"] == created.headers["etag"]


def test_groups_are_listed_by_name_and_vcn(lab: Running, network: Any) -> None:
    first, second = create(lab, network).data, create(lab, network, "other").data
    listed = network.list_network_security_groups

    assert [g.id for g in listed(compartment_id=COMPARTMENT_ID).data] == [first.id, second.id]
    assert [g.id for g in listed(compartment_id=COMPARTMENT_ID, display_name="other").data] == [second.id]
    assert listed(compartment_id=COMPARTMENT_ID, vcn_id="ocid1.vcn.none").data == []
    assert listed(compartment_id=TENANCY_ID).data == []
    assert refusal(listed) == (400, "MissingParameter")


def test_an_etag_guards_a_group(lab: Running, network: Any) -> None:
    created = create(lab, network)
    details = UpdateNetworkSecurityGroupDetails(display_name="renamed", freeform_tags={"a": "b"})
    stale = created.headers["etag"]

    renamed = network.update_network_security_group(created.data.id, details, if_match=stale).data

    assert (renamed.display_name, renamed.freeform_tags) == ("renamed", {"a": "b"})
    late = network.delete_network_security_group
    assert refusal(lambda: late(created.data.id, if_match=stale)) == (412, "NoEtagMatch")


def test_a_group_needs_a_vcn_that_is_there(network: Any) -> None:
    given = {"compartment_id": COMPARTMENT_ID, "display_name": "cluster"}
    nowhere = CreateNetworkSecurityGroupDetails(**given)
    elsewhere = CreateNetworkSecurityGroupDetails(**given, vcn_id="ocid1.vcn.none")

    assert refusal(lambda: network.create_network_security_group(nowhere)) == (400, "MissingParameter")
    assert refusal(lambda: network.create_network_security_group(elsewhere)) == (404, "NotAuthorizedOrNotFound")


def test_a_group_with_vnics_cannot_be_deleted(lab: Running, network: Any) -> None:
    group = create(lab, network).data
    join(network, vnic(lab, "vr1"), group.id)

    assert refusal(lambda: network.delete_network_security_group(group.id)) == (412, "PreconditionFailed")

    join(network, vnic(lab, "vr1"))
    network.delete_network_security_group(group.id)
    assert refusal(lambda: network.get_network_security_group(group.id)) == (404, "NotAuthorizedOrNotFound")


# ---- members ----


def test_a_vnic_is_in_the_groups_that_it_was_given_last(lab: Running, network: Any) -> None:
    first, second = create(lab, network).data.id, create(lab, network).data.id

    join(network, vnic(lab, "vr1"), first)
    since = network.list_network_security_group_vnics(first).data[0].time_associated
    assert join(network, vnic(lab, "vr1"), second, first).data.nsg_ids == [second, first]

    members = network.list_network_security_group_vnics(first).data
    assert [(m.vnic_id, m.resource_id) for m in members] == [(vnic(lab, "vr1"), lab.cloud.topology.instance("vr1").id)]
    assert members[0].time_associated == since
    join(network, vnic(lab, "vr1"), second)
    assert network.list_network_security_group_vnics(first).data == []
    assert network.get_vnic(vnic(lab, "vr1")).data.nsg_ids == [second]


def test_a_change_of_something_else_keeps_the_groups(lab: Running, network: Any) -> None:
    group = create(lab, network).data.id
    join(network, vnic(lab, "vr1"), group)

    changed = network.update_vnic(vnic(lab, "vr1"), UpdateVnicDetails(skip_source_dest_check=True)).data

    assert changed.nsg_ids == [group]


def test_a_vnic_takes_five_groups(lab: Running, network: Any) -> None:
    groups = [create(lab, network).data.id for _ in range(6)]

    assert len(join(network, vnic(lab, "vr1"), *groups[:5]).data.nsg_ids) == 5
    assert refusal(lambda: join(network, vnic(lab, "vr1"), *groups)) == (400, "InvalidParameter")
    assert refusal(lambda: join(network, vnic(lab, "vr1"), "ocid1.none")) == (404, "NotAuthorizedOrNotFound")


# ---- rules ----


def test_rules_are_added_changed_and_removed_by_their_ids(lab: Running, network: Any) -> None:
    group = create(lab, network).data.id
    ports = TcpOptions(destination_port_range=PortRange(min=2224, max=2224))
    peers = {"direction": "INGRESS", "source": group, "source_type": "NETWORK_SECURITY_GROUP"}

    pcsd, vrrp = add(
        network,
        group,
        {**peers, "protocol": "6", "tcp_options": ports, "description": "pcsd"},
        {**ANYWHERE, "protocol": "112"},
    )
    assert (pcsd.direction, pcsd.source, pcsd.is_stateless, pcsd.is_valid) == ("INGRESS", group, False, True)
    assert (pcsd.tcp_options, pcsd.description) == (ports, "pcsd")

    narrower = UpdateSecurityRuleDetails(id=vrrp.id, protocol="112", is_stateless=True, **peers)
    details = UpdateNetworkSecurityGroupSecurityRulesDetails(security_rules=[narrower])
    (changed,) = network.update_network_security_group_security_rules(group, details).data.security_rules
    assert (changed.id, changed.source, changed.is_stateless) == (vrrp.id, group, True)

    gone = RemoveNetworkSecurityGroupSecurityRulesDetails(security_rule_ids=[pcsd.id])
    network.remove_network_security_group_security_rules(group, gone)
    listed = network.list_network_security_group_security_rules(group)
    assert [r.id for r in listed.data] == [vrrp.id]
    remove = network.remove_network_security_group_security_rules
    assert refusal(lambda: remove(group, gone)) == (404, "NotAuthorizedOrNotFound")


def test_rules_are_listed_by_direction(lab: Running, network: Any) -> None:
    group = create(lab, network).data.id
    out = {"direction": "EGRESS", "destination": "10.0.0.0/8", "destination_type": "CIDR_BLOCK", "protocol": "all"}
    add(network, group, {**ANYWHERE, "protocol": "all"}, out)

    (found,) = network.list_network_security_group_security_rules(group, direction="EGRESS").data

    assert (found.destination, found.source, found.protocol) == ("10.0.0.0/8", None, "all")


def test_a_group_takes_120_rules_25_at_a_time(lab: Running, network: Any) -> None:
    group = create(lab, network).data.id
    rules = [{**ANYWHERE, "protocol": str(n)} for n in range(121)]
    for start in range(0, 120, 24):
        add(network, group, *rules[start : start + 24])

    with pytest.raises(oci.exceptions.ServiceError) as caught:
        add(network, group, rules[120])
    assert (caught.value.status, caught.value.code) == (400, "InvalidParameter")
    assert caught.value.message == "Total security rules count 121 cannot be greater than 120."
    assert refusal(lambda: add(network, create(lab, network).data.id, *rules[:26])) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        ({**ANYWHERE, "protocol": "tcp"}, (400, "InvalidParameter")),
        ({**ANYWHERE}, (400, "MissingParameter")),
        ({**ANYWHERE, "protocol": "6", "source": "10.0.0.1/8"}, (400, "InvalidParameter")),
        ({**ANYWHERE, "protocol": "6", "destination": "10.0.0.0/8"}, (400, "InvalidParameter")),
        ({**ANYWHERE, "protocol": "6", "source_type": "SERVICE_CIDR_BLOCK"}, (400, "InvalidParameter")),
        ({**ANYWHERE, "protocol": "6", "udp_options": UdpOptions()}, (400, "InvalidParameter")),
        (
            {**ANYWHERE, "protocol": "17", "udp_options": UdpOptions(destination_port_range=PortRange(min=9, max=8))},
            (400, "InvalidParameter"),
        ),
        (
            {**ANYWHERE, "protocol": "all", "source_type": "NETWORK_SECURITY_GROUP", "source": "ocid1.none"},
            (404, "NotAuthorizedOrNotFound"),
        ),
    ],
)
def test_what_is_no_rule_is_refused(lab: Running, network: Any, rule: dict[str, Any], answer: tuple[int, str]) -> None:
    group = create(lab, network).data.id

    assert refusal(lambda: add(network, group, rule)) == answer
    assert network.list_network_security_group_security_rules(group).data == []


def test_a_rule_about_a_group_that_is_deleted_is_not_valid_any_more(lab: Running, network: Any) -> None:
    group, other = create(lab, network).data.id, create(lab, network).data.id
    add(network, group, {**ANYWHERE, "source": other, "source_type": "NETWORK_SECURITY_GROUP", "protocol": "all"})

    network.delete_network_security_group(other)

    (rule,) = network.list_network_security_group_security_rules(group).data
    assert rule.is_valid is False
    add(network, group, {**ANYWHERE, "protocol": "all"})


# ---- what it means ----


def test_a_subnet_has_a_security_list_that_people_can_look_at(lab: Running, network: Any) -> None:
    (list_id,) = network.get_subnet(lab.cloud.topology.subnet("transit").id).data.security_list_ids

    found = network.get_security_list(list_id).data

    assert [(r.source, r.protocol) for r in found.ingress_security_rules] == [("0.0.0.0/0", "all")]
    assert [(r.destination, r.protocol) for r in found.egress_security_rules] == [("0.0.0.0/0", "all")]


def test_the_fabric_is_told_what_list_and_groups_let_in(lab: Running, network: Any) -> None:
    group = create(lab, network).data.id
    peers = {"direction": "INGRESS", "source": group, "source_type": "NETWORK_SECURITY_GROUP"}
    corosync = UdpOptions(destination_port_range=PortRange(min=5405, max=5412))
    out = {"direction": "EGRESS", "destination": group, "destination_type": "NETWORK_SECURITY_GROUP", "protocol": "all"}
    add(network, group, {**peers, "protocol": "17", "udp_options": corosync}, out)
    add(network, group, {**ANYWHERE, "source": "10.0.0.0/8", "protocol": "112"})

    for name in ("vr1", "vr2"):
        join(network, vnic(lab, name), group)

    members = frozenset({vnic(lab, "vr1"), vnic(lab, "vr2")})
    assert admitted(lab, "vr1") == (
        ANYTHING,
        Admission(members, 17, (5405, 5412)),
        Admission(IPv4Network("10.0.0.0/8"), 112),
    )
    assert admitted(lab, "vr3") == (ANYTHING,)


# ---- permissions ----


def let(lab: Running, instance: str, *permissions: str) -> None:
    """Allow the instance exactly these permissions in the compartment."""
    identity = oci.identity.IdentityClient(lab.sdk_config, service_endpoint=lab.url)
    group = identity.create_dynamic_group(
        CreateDynamicGroupDetails(
            compartment_id=TENANCY_ID,
            name=instance,
            description="d",
            matching_rule=f"ALL {{instance.id = '{lab.cloud.topology.instance(instance).id}'}}",
        )
    ).data
    statement = f"allow dynamic-group id {group.id} to {{{', '.join(permissions)}}} in compartment id {COMPARTMENT_ID}"
    identity.create_policy(
        CreatePolicyDetails(compartment_id=COMPARTMENT_ID, name=instance, description="d", statements=[statement])
    )


@pytest.fixture
def as_node(lab: Running, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client that signs as the instance vr1."""
    monkeypatch.setenv("OCI_METADATA_BASE_URL", lab.metadata_url("vr1"))
    signer = oci.auth.signers.InstancePrincipalsSecurityTokenSigner(federation_endpoint=lab.federation_endpoint)
    return oci.core.VirtualNetworkClient({}, signer=signer, service_endpoint=lab.url)


UPDATE_RULES = "NETWORK_SECURITY_GROUP_UPDATE_SECURITY_RULES"
ASSOCIATE = ("VNIC_UPDATE", "NETWORK_SECURITY_GROUP_UPDATE_MEMBERS", "VNIC_ASSOCIATE_NETWORK_SECURITY_GROUP")


@pytest.mark.parametrize(
    ("granted", "allowed"),
    [
        ((UPDATE_RULES,), {"cidr"}),
        ((UPDATE_RULES, "NETWORK_SECURITY_GROUP_INSPECT"), {"cidr", "group"}),
        (("NETWORK_SECURITY_GROUP_CREATE",), set()),
        (("NETWORK_SECURITY_GROUP_CREATE", "VCN_ATTACH"), {"create"}),
        (("NETWORK_SECURITY_GROUP_LIST_MEMBERS",), {"vnics"}),
        (("NETWORK_SECURITY_GROUP_READ",), {"list"}),
        (ASSOCIATE, {"join"}),
        (ASSOCIATE[:2], set()),
        (ASSOCIATE[1:], set()),
    ],
)
def test_an_operation_needs_every_permission_of_the_policy_reference(
    lab: Running, network: Any, as_node: Any, granted: tuple[str, ...], allowed: set[str]
) -> None:
    group = create(lab, network).data.id
    let(lab, "vr1", *granted)
    peers = {**ANYWHERE, "protocol": "all", "source": group, "source_type": "NETWORK_SECURITY_GROUP"}
    operations: dict[str, Callable[[], Any]] = {
        "list": lambda: as_node.list_network_security_groups(compartment_id=COMPARTMENT_ID),
        "create": lambda: create(lab, as_node),
        "cidr": lambda: add(as_node, group, {**ANYWHERE, "protocol": "all"}),
        "group": lambda: add(as_node, group, peers),
        "vnics": lambda: as_node.list_network_security_group_vnics(group),
        "join": lambda: join(as_node, vnic(lab, "vr1"), group),
    }

    for name, act in operations.items():
        if name in allowed:
            act()
        else:
            assert refusal(act) == (404, "NotAuthorizedOrNotFound"), name

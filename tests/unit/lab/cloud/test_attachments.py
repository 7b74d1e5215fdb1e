# SPDX-License-Identifier: GPL-3.0-or-later
"""VNICs that come and go, as the SDK sees it."""

from __future__ import annotations

from typing import Any

import httpx
import oci
import pytest
from oci.core.models import (
    AttachVnicDetails,
    CreateIpv6Details,
    CreateNetworkSecurityGroupDetails,
    CreatePrivateIpDetails,
    CreatePublicIpDetails,
    CreateVnicDetails,
)

from lab.cloud.names import COMPARTMENT_ID
from lab.cloud.state import VNICS_PER_INSTANCE, NullEffects
from lab.cloud.testing import Running
from tests.unit.lab.cloud.test_api import let, refusal

FREE = "10.0.0.8"


@pytest.fixture
def network(lab: Running) -> Any:
    return oci.core.VirtualNetworkClient(lab.sdk_config, service_endpoint=lab.url)


@pytest.fixture
def compute(lab: Running) -> Any:
    return oci.core.ComputeClient(lab.sdk_config, service_endpoint=lab.url)


def attach(lab: Running, compute: Any, node: str = "vr1", subnet: str = "pod1", **details: Any) -> Any:
    topology = lab.cloud.topology
    given = {"subnet_id": topology.subnet(subnet).id, "assign_public_ip": False, **details}
    return compute.attach_vnic(
        AttachVnicDetails(instance_id=topology.instance(node).id, create_vnic_details=CreateVnicDetails(**given))
    ).data


def attached(lab: Running, compute: Any, *place: str, **details: Any) -> Any:
    """An attachment that is complete."""
    begun = attach(lab, compute, *place, **details)
    compute.get_vnic_attachment(begun.id)
    return compute.get_vnic_attachment(begun.id).data


def of_topology(lab: Running) -> set[str]:
    return {v.id for i in lab.cloud.topology.instances for v in i.vnics}


def in_view(lab: Running, vnic_id: str) -> list[Any]:
    return [p for p in lab.cloud.view().ports if p.vnic_id == vnic_id]


def test_a_vnic_is_there_when_its_attachment_says_so(lab: Running, compute: Any, network: Any) -> None:
    begun = attach(lab, compute, private_ip=FREE, display_name="pod1", skip_source_dest_check=True)
    assert (begun.lifecycle_state, begun.vnic_id) == ("ATTACHING", None)
    assert compute.get_vnic_attachment(begun.id).data.lifecycle_state == "ATTACHING"

    done = compute.get_vnic_attachment(begun.id).data

    assert done.lifecycle_state == "ATTACHED"
    vnic = network.get_vnic(done.vnic_id).data
    assert (vnic.private_ip, vnic.display_name, vnic.skip_source_dest_check) == (FREE, "pod1", True)
    assert (vnic.is_primary, vnic.availability_domain) == (False, done.availability_domain)
    assert [p.is_primary for p in network.list_private_ips(vnic_id=vnic.id).data] == [True]
    (port,) = in_view(lab, vnic.id)
    assert (port.instance, port.interface, port.mac) == ("vr1", "ens7", vnic.mac_address.lower())
    assert isinstance(lab.effects, NullEffects)
    assert port in lab.effects.views[-1].ports


def test_a_vnic_can_be_in_security_groups_from_the_beginning(lab: Running, compute: Any, network: Any) -> None:
    details = CreateNetworkSecurityGroupDetails(compartment_id=COMPARTMENT_ID, vcn_id=lab.cloud.vcn_id)
    group = network.create_network_security_group(details).data

    done = attached(lab, compute, nsg_ids=[group.id])

    assert network.get_vnic(done.vnic_id).data.nsg_ids == [group.id]


def test_the_metadata_service_shows_the_new_vnic(lab: Running, compute: Any) -> None:
    done = attached(lab, compute, private_ip=FREE)

    shown = httpx.get(f"{lab.metadata_url('vr1')}/vnics/", headers={"Authorization": "Bearer Oracle"}).json()

    assert (shown[-1]["vnicId"], shown[-1]["privateIp"]) == (done.vnic_id, FREE)
    assert shown[-1]["subnetCidrBlock"] == "10.0.0.0/28"


def test_each_vnic_gets_a_mac_address_and_an_interface_of_its_own(lab: Running, compute: Any) -> None:
    first, second = attached(lab, compute), attached(lab, compute)

    (a,), (b,) = in_view(lab, first.vnic_id), in_view(lab, second.vnic_id)
    assert (a.interface, b.interface) == ("ens7", "ens8")
    assert a.mac != b.mac
    assert a.address != b.address


def test_the_vnics_of_an_instance_are_limited(lab: Running, compute: Any) -> None:
    for _ in range(VNICS_PER_INSTANCE - 3):
        attach(lab, compute)

    assert refusal(lambda: attach(lab, compute)) == (400, "LimitExceeded")
    assert attach(lab, compute, "vr2")


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"subnet_id": "ocid1.subnet.none"}, (404, "NotAuthorizedOrNotFound")),
        ({"private_ip": "10.0.0.5"}, (409, "Conflict")),
        ({"private_ip": "10.0.0.40"}, (400, "InvalidParameter")),
        ({"nsg_ids": ["ocid1.networksecuritygroup.none"]}, (404, "NotAuthorizedOrNotFound")),
        ({"assign_public_ip": None}, (400, "InvalidParameter")),
        ({"vlan_id": "ocid1.vlan.none"}, (400, "InvalidParameter")),
        ({"subnet_id": None}, (400, "MissingParameter")),
    ],
)
def test_what_cannot_be_attached_is_refused(
    lab: Running, compute: Any, change: dict[str, Any], answer: tuple[int, str]
) -> None:
    assert refusal(lambda: attach(lab, compute, **change)) == answer
    assert set(lab.cloud.vnics) == {a.vnic_id for a in lab.cloud.attachments.values()} == of_topology(lab)


def test_an_instance_in_transition_takes_no_vnic(lab: Running, compute: Any) -> None:
    lab.call(lab.cloud.set_instance_state, "vr1", "STOPPING")

    assert refusal(lambda: attach(lab, compute)) == (409, "IncorrectState")


def test_a_vnic_is_gone_when_its_attachment_says_so(lab: Running, compute: Any, network: Any) -> None:
    done = attached(lab, compute, private_ip=FREE)
    assert refusal(lambda: compute.detach_vnic(done.id, if_match="old")) == (412, "NoEtagMatch")

    compute.detach_vnic(done.id)

    assert compute.get_vnic_attachment(done.id).data.lifecycle_state == "DETACHING"
    listed = compute.list_vnic_attachments(COMPARTMENT_ID, vnic_id=done.vnic_id).data
    assert [a.lifecycle_state for a in listed] == ["DETACHED"]
    assert refusal(lambda: network.get_vnic(done.vnic_id)) == (404, "NotAuthorizedOrNotFound")
    assert refusal(lambda: compute.detach_vnic(done.id)) == (409, "IncorrectState")
    assert in_view(lab, done.vnic_id) == []


def test_the_addresses_of_a_vnic_go_with_it_but_for_the_reserved_ones(lab: Running, compute: Any, network: Any) -> None:
    done = attached(lab, compute)
    subnet_id = lab.cloud.topology.subnet("pod1").id
    primary = network.list_private_ips(vnic_id=done.vnic_id).data[0]
    kept, gone = (
        network.create_private_ip(CreatePrivateIpDetails(vnic_id=done.vnic_id, lifetime=lifetime)).data
        for lifetime in ("RESERVED", "EPHEMERAL")
    )
    public = [
        network.create_public_ip(
            CreatePublicIpDetails(compartment_id=COMPARTMENT_ID, lifetime="RESERVED", private_ip_id=p.id)
        ).data.id
        for p in (primary, kept)
    ]
    network.create_ipv6(CreateIpv6Details(vnic_id=done.vnic_id))

    compute.detach_vnic(done.id)

    left = {p.id: p.vnic_id for p in network.list_private_ips(subnet_id=subnet_id).data}
    assert left.get(kept.id, "gone") is None
    assert not {primary.id, gone.id} & set(left)
    assert network.list_ipv6s(subnet_id=subnet_id).data == []
    assert [network.get_public_ip(p).data.private_ip_id for p in public] == [None, kept.id]


def test_a_primary_vnic_cannot_be_detached(lab: Running, compute: Any) -> None:
    node = lab.cloud.topology.instance("vr1")
    primary, *_ = compute.list_vnic_attachments(COMPARTMENT_ID, instance_id=node.id).data

    assert refusal(lambda: compute.detach_vnic(primary.id)) == (400, "InvalidParameter")


def test_a_reset_takes_attached_vnics_away(lab: Running, compute: Any) -> None:
    done = attached(lab, compute)

    lab.do(lab.cloud.reset())

    assert in_view(lab, done.vnic_id) == []
    assert {a.vnic_id for a in lab.cloud.attachments.values()} == of_topology(lab)


def test_each_call_needs_its_permissions(lab: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCI_METADATA_BASE_URL", lab.metadata_url("vr1"))
    signer = oci.auth.signers.InstancePrincipalsSecurityTokenSigner(federation_endpoint=lab.federation_endpoint)
    compute = oci.core.ComputeClient({}, signer=signer, service_endpoint=lab.url)
    identity = oci.identity.IdentityClient(lab.sdk_config, service_endpoint=lab.url)
    where = f"in compartment id {COMPARTMENT_ID}"
    let(lab, identity, "vr1", f"use vnics {where}", f"use subnets {where}", f"inspect vnic-attachments {where}")
    assert refusal(lambda: attach(lab, compute)) == (404, "NotAuthorizedOrNotFound")

    let(lab, identity, "vr1", f"manage instances {where}")

    compute.detach_vnic(attached(lab, compute).id)

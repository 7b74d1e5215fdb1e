# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses that something else has served so far are taken over: the same objects, on the node that serves them."""

from __future__ import annotations

import oci
import pytest

from lab.cloud.names import COMPARTMENT_ID, COMPARTMENT_NAME, TENANCY_ID
from lab.probe import Probe, plan_targets
from tests.lab.conftest import Lab
from tests.lab.test_playbook import INVENTORY, VIPS, ids, interfaces_with

pytestmark = pytest.mark.thorough
OWNER = "vr2"
INTERFACES = {"transit": "ens3", "pod1": "ens5", "pod2": "ens6"}


@pytest.fixture
def served(bare: Lab) -> Lab:
    """As the tutorials leave it: ephemeral addresses on one node, a policy and a group that are far too wide."""
    vnics = {v.interface: v.vnic_id for v in bare.control.status().node(OWNER).vnics}
    network, identity, models = bare.network(), bare.identity(), oci.identity.models
    for vip in VIPS:
        interface = INTERFACES[str(vip["name"])]
        details = oci.core.models.CreatePrivateIpDetails(vnic_id=vnics[interface], ip_address=vip["address"])
        network.create_private_ip(details)
        bare.sh(OWNER, f"ip address add {vip['address']}/{vip['prefix']} dev {interface}")
    bare.sh(OWNER, "sysctl --write net.ipv4.ip_forward=1")
    for vnic_id in vnics.values():
        network.update_vnic(vnic_id, oci.core.models.UpdateVnicDetails(skip_source_dest_check=True))
    identity.create_dynamic_group(
        models.CreateDynamicGroupDetails(
            compartment_id=TENANCY_ID,
            name="OCIVIP",
            description="All",
            matching_rule=f"ANY {{instance.compartment.id = '{COMPARTMENT_ID}'}}",
        )
    )
    wide = f"allow dynamic-group OCIVIP to manage virtual-network-family in compartment {COMPARTMENT_NAME}"
    identity.create_policy(
        models.CreatePolicyDetails(
            compartment_id=COMPARTMENT_ID, name="OCIVIP_policy", description="All", statements=[wide]
        )
    )
    return bare


def test_a_cluster_of_the_tutorials_make_is_adopted_without_the_loss_of_a_packet(served: Lab) -> None:
    before = ids(served)
    targets = plan_targets(served.control.status())
    with Probe(targets) as probe:
        served.converge(INVENTORY, "-e", "oci_dynamic_group=OCIVIP", "-e", "oci_policy=OCIVIP_policy")
    measured = {t.name: probe.measure(t) for t in targets}
    assert all(m.sent > 500 for m in measured.values())
    assert {name: m.lost for name, m in measured.items() if m.lost} == {}
    assert ids(served) == before
    assert set(served.holders().values()) == {OWNER}
    assert all(interfaces_with(served, str(vip["address"])) == [OWNER] for vip in VIPS)
    assert {p["lifetime"] for p in served.control.raw_status()["private_ips"]} == {"RESERVED"}
    (policy,) = served.identity().list_policies(COMPARTMENT_ID).data
    assert policy.name == "OCIVIP_policy"
    assert all("request.permission" in statement for statement in policy.statements)
    (group,) = served.identity().list_dynamic_groups(TENANCY_ID).data
    assert "instance.compartment.id" not in group.matching_rule

# SPDX-License-Identifier: GPL-3.0-or-later
"""A POD comes to a running cluster, with VNICs that somebody has attached or that the playbook attaches, and goes.

Its clients reach the ISV through its VIP, after a reboot of every node too, and nobody else loses a packet for it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

import oci
import pytest

from lab.cloud.names import COMPARTMENT_ID
from lab.topology import load, ocid
from tests.lab.conftest import Asker, Lab, wait_until
from tests.lab.scene import Scene
from tests.lab.test_playbook import VIPS, probed

pytestmark = pytest.mark.thorough
INVENTORY = "inventory/lab"
SUBNET_ID, SUBNET = load("vrouters").subnet("pod3").id, "10.0.0.64/28"
POD3: dict[str, Any] = {
    "name": "pod3",
    "address": "10.0.0.68",
    "prefix": 28,
    # By way of the VIP to the ISV.
    "routes": [{"route_table_id": ocid("routetable", "pod3"), "destination": "172.20.136.16/28"}],
}
ISV = "172.20.136.20"


@pytest.fixture
def cluster(cluster: Lab) -> Iterator[Lab]:
    """The cluster of inventory/lab; one that is left with a POD is nobody else's."""
    yield cluster
    if POD3["address"] in cluster.holders() or vnics(cluster):
        cluster.standing = ""


@pytest.fixture
def pod3() -> Iterator[Asker]:
    """Asks from pod3-client."""
    asker = Asker("pod3-client")
    yield asker
    asker.close()


def vnics(lab: Lab) -> dict[str, str]:
    """The nodes' VNICs in the subnet of the POD, by node."""
    return {
        node.name: vnic.vnic_id for node in lab.control.status().nodes for vnic in node.vnics if vnic.subnet == SUBNET
    }


def attach(lab: Lab) -> None:
    """As a person does in the console: a VNIC for every node, and nothing in the node."""
    models, compute = oci.core.models, lab.compute()
    for number, node in enumerate(lab.control.status().nodes, 69):
        details = models.CreateVnicDetails(
            subnet_id=SUBNET_ID, private_ip=f"10.0.0.{number}", skip_source_dest_check=True, assign_public_ip=False
        )
        attached = compute.attach_vnic(
            models.AttachVnicDetails(instance_id=node.instance_id, create_vnic_details=details)
        ).data
        wait_until("the VNIC", functools.partial(is_attached, compute, attached.id))


def is_attached(compute: oci.core.ComputeClient, attachment_id: str) -> bool:
    return bool(compute.get_vnic_attachment(attachment_id).data.lifecycle_state == "ATTACHED")


@pytest.mark.parametrize("attached_by", [pytest.param("a person", marks=pytest.mark.long), "the playbook"])
def test_a_pod_comes_and_goes_and_the_others_lose_no_packet(cluster: Lab, pod3: Asker, attached_by: str) -> None:
    if attached_by == "a person":
        attach(cluster)
        wanted: dict[str, Any] = {"cloudvip_vips": [*VIPS, POD3]}
    else:
        wanted = {"cloudvip_pods": [{**POD3, "subnet_id": SUBNET_ID}]}
    assert pod3.ask(POD3["address"]) is None
    assert probed(cluster, POD3["address"], "-e", json.dumps(wanted)) == {}
    holders = cluster.holders()
    assert len(set(holders.values())) == 1
    assert set(vnics(cluster)) == {n.name for n in cluster.control.status().nodes}
    assert pod3.ask(ISV) == "isv-client"
    assert pod3.ask(POD3["address"]) == holders[POD3["address"]]
    again = cluster.converge(INVENTORY, "-e", json.dumps(wanted))
    assert set(again.changed.values()) == {0}, again.output
    if attached_by == "the playbook":
        survives_reboots(cluster, pod3)
    ((key, listed),) = wanted.items()
    gone = {key: [{**vip, "state": "absent"} if vip["name"] == "pod3" else vip for vip in listed]}
    assert probed(cluster, POD3["address"], "-e", json.dumps(gone)) == {}
    assert POD3["address"] not in cluster.holders()
    assert bool(vnics(cluster)) is (attached_by == "a person")
    detach(cluster)


def survives_reboots(lab: Lab, pod3: Asker) -> None:
    """Reboot each node in turn. Its interface is back by itself, and the client is served whoever holds the VIP."""
    for node in [n.name for n in lab.control.status().nodes]:
        with Scene(lab) as scene:
            scene.control.nemesis("stop", node)
            wait_until("the POD's client to be served", lambda: pod3.ask(ISV) == "isv-client", 60)
            scene.control.nemesis("start", node)
            wait_until(f"cloudvip interfaces on {node}", functools.partial(configured, lab, node), 60)
            scene.well()
        assert pod3.ask(ISV) == "isv-client"


def configured(lab: Lab, node: str) -> bool:
    """Whether the interface of the POD has all that it needs, by the word of the command and of the kernel."""
    words = lab.sh(node, "cloudvip interfaces >/dev/null && ip rule && ip route show table 7000", check=False)
    return f"from {POD3['address']} lookup 7000" in words and "default via 10.0.0.65" in words


def detach(lab: Lab) -> None:
    """What a person has attached, a person takes away."""
    compute = lab.compute()
    for node in lab.control.status().nodes:
        listed = compute.list_vnic_attachments(COMPARTMENT_ID, instance_id=node.instance_id).data
        for attachment in listed:
            if attachment.subnet_id == SUBNET_ID and attachment.lifecycle_state == "ATTACHED":
                compute.detach_vnic(attachment.id)
    wait_until("the VNICs to be gone", lambda: not vnics(lab))

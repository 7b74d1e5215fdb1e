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
from lab.topology import load
from tests.lab.conftest import Asker, Lab, wait_until
from tests.lab.scene import Scene
from tests.lab.test_playbook import VIPS, probed

INVENTORY = "inventory/lab"
POD3: dict[str, Any] = {"name": "pod3", "address": "10.0.0.68", "prefix": 28}
SUBNET_ID, SUBNET = load("vrouters").subnet("pod3").id, "10.0.0.64/28"
ISV = "172.20.136.20"


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
    for node in lab.control.status().nodes:
        details = models.CreateVnicDetails(subnet_id=SUBNET_ID, skip_source_dest_check=True)
        attached = compute.attach_vnic(
            models.AttachVnicDetails(instance_id=node.instance_id, create_vnic_details=details)
        ).data
        wait_until("the VNIC", functools.partial(is_attached, compute, attached.id))


def is_attached(compute: oci.core.ComputeClient, attachment_id: str) -> bool:
    return bool(compute.get_vnic_attachment(attachment_id).data.lifecycle_state == "ATTACHED")


@pytest.mark.parametrize("attached_by", ["a person", "the playbook"])
def test_a_pod_comes_and_goes_and_the_others_lose_no_packet(cluster: Lab, pod3: Asker, attached_by: str) -> None:
    if attached_by == "a person":
        attach(cluster)
        wanted: dict[str, Any] = {"cloudvip_vips": [*VIPS, POD3]}
    else:
        wanted = {"cloudvip_pods": [{**POD3, "subnet_id": SUBNET_ID}]}
    assert pod3.ask(ISV) is None
    with Scene(cluster) as scene:
        cluster.converge(INVENTORY, "-e", json.dumps(wanted))
        assert scene.lost() == {}
        assert cluster.holders()[POD3["address"]] == scene.holder
    assert set(vnics(cluster)) == set(scene.nodes)
    assert pod3.ask(ISV) == "isv-client"
    assert pod3.ask(POD3["address"]) == scene.holder
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
    return lab.sh(node, "cloudvip interfaces >/dev/null && echo well", check=False) != ""


def detach(lab: Lab) -> None:
    """What a person has attached, a person takes away."""
    compute = lab.compute()
    for node in lab.control.status().nodes:
        listed = compute.list_vnic_attachments(COMPARTMENT_ID, instance_id=node.instance_id).data
        for attachment in listed:
            if attachment.subnet_id == SUBNET_ID and attachment.lifecycle_state == "ATTACHED":
                compute.detach_vnic(attachment.id)
    wait_until("the VNICs to be gone", lambda: not vnics(lab))

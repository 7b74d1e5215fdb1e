# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures that need two nodes, or one subnet with room for many addresses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import oci
import pytest

from tests.lab.conftest import Lab, wait_until
from tests.lab.scene import RESOURCE, Scene

pytestmark = pytest.mark.thorough
INVENTORY = "inventory/lab-pair"
AUDIT_SECONDS = 60
# The inventory's own one, and as many more as make fifty.
MANY = [
    {"name": "app", "address": "10.10.1.50", "prefix": 24},
    *({"name": f"v{n}", "address": f"10.10.1.{n}", "prefix": 24} for n in range(130, 179)),
]


@pytest.fixture(scope="module")
def pair(lab: Lab) -> Lab:
    """The cluster of inventory/lab-pair."""
    lab.cluster("pair", INVENTORY)
    return lab


@pytest.fixture
def scene(pair: Lab) -> Iterator[Scene]:
    with Scene(pair) as scene:
        yield scene


@pytest.mark.long
def test_05_both_halves_of_a_split_claim_and_it_does_not_become_a_fight(scene: Scene) -> None:
    old, new = scene.holder, scene.others[0]
    scene.hit("partition", old)
    assert scene.wait_for_takeover(old, 10) == new
    split = time.monotonic()
    # The loser has not heard of it: the two cannot talk. Its next audit tells.
    wait_until(f"the address off {old}", lambda: scene.configured(old).isdisjoint(scene.vips), AUDIT_SECONDS + 10)
    time.sleep(max(0, 2 * AUDIT_SECONDS + 10 - (time.monotonic() - split)))
    assert len(scene.moves()) == len(scene.vips), scene.moves()


def test_13_a_full_vnic_is_said_so_and_the_vip_keeps_its_object(scene: Scene) -> None:
    old, full = scene.holder, scene.others[0]
    (vnic,) = scene.control.status().node(full).vnics
    network = scene.lab.network()
    details = oci.core.models.CreatePrivateIpDetails
    fillers = [network.create_private_ip(details(vnic_id=vnic.vnic_id)).data.id for _ in range(63)]
    try:
        scene.move(full)
        wait_until("the start to fail", lambda: "LimitExceeded" in scene.failures(full))
    finally:
        scene.settle()
        for filler in fillers:
            network.delete_private_ip(filler)
    scene.well()
    assert {f.address: f.id for f in scene.control.status().floating} == scene.vips
    assert scene.holder == old


def test_07_fifty_vips_move_through_a_throttled_api(pair: Lab) -> None:
    # These VIPs stay in the cloud: the tests after this one need another cluster.
    pair.standing = ""
    pair.converge(INVENTORY, "-e", json.dumps({"cloudvip_vips": MANY}))
    with Scene(pair, interval_ms=500) as scene:
        old, new = scene.holder, scene.others[0]
        began = time.monotonic_ns()
        scene.fault("status", service="api", method="PUT", status=429, probability=0.4)
        scene.move()
        assert scene.wait_for_takeover(old, 20) == new
        wait_until("the cluster's word", lambda: new in scene.sh(new, f"crm_resource --resource {RESOURCE} --locate"))
        assert "start" not in scene.failures(new)
        assert len(scene.claims_of(new, began)) < 4 * len(MANY)
        assert {f.address: f.id for f in scene.control.status().floating} == scene.vips
        assert len(scene.vips) == len(MANY)

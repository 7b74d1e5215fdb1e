# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine keepalived on three routers: the playbook, each way to lose the master, and all that must cost nothing."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import oci
import pytest
from pyroute2 import NFCTSocket

from lab.fabric import ns
from tests.lab.conftest import KEEPALIVED, Lab, wait_until
from tests.lab.scene import Scene, Watch
from tests.lab.test_campaign import strike
from tests.lab.test_failover import check
from tests.lab.test_playbook import EXTRA, INVENTORY, ids, interfaces_with, probed, vips

pytestmark = pytest.mark.thorough
CONSUMER = "cloudvip-vrrp.service"
VIP = "10.0.0.4"
# The fast profile gives a silent master up after half a second; the rest is for a busy machine.
TAKEOVER_MS = 5_000
MONITOR_SECONDS = 5
AUDIT_SECONDS = 30


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Lab:
    """The cluster of inventory/lab, with keepalived."""
    lab.cluster("vrouters", INVENTORY, "keepalived")
    return lab


@pytest.fixture
def scene(cluster: Lab) -> Iterator[Scene]:
    with Scene(cluster) as scene:
        yield scene


# -- the playbook ------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_check_mode_runs_clean_on_bare_nodes_and_changes_nothing(bare: Lab) -> None:
    play = bare.play(INVENTORY, *KEEPALIVED, "--check", "--diff")
    assert play.returncode == 0, play.output[-6000:]
    assert all(n > 0 for n in play.changed.values())
    assert ids(bare) == {}
    assert bare.sh("vr1", "command -v keepalived", check=False) == ""


def test_a_bad_setting_is_refused_before_anything_is_touched(bare: Lab) -> None:
    play = bare.play(INVENTORY, *KEEPALIVED, "-e", json.dumps({"cloudvip_virtual_router_ids": {"main": 256}}))
    assert play.returncode != 0
    for word in ("cloudvip_virtual_router_ids.main", "256", "255"):
        assert word in play.output
    assert set(play.changed.values()) <= {0}
    assert ids(bare) == {}
    assert bare.sh("vr1", "ls /etc/keepalived /etc/cloudvip 2>/dev/null", check=False) == ""


def test_bare_nodes_become_a_cluster_in_which_the_master_serves_and_nobody_else(scene: Scene) -> None:
    look = Watch(scene).look()
    assert look.agreed, look
    assert {p["lifetime"] for p in scene.control.raw_status()["private_ips"]} == {"RESERVED"}
    for node in scene.nodes:
        assert scene.sh(node, "command -v corosync", check=False) == ""


@pytest.mark.parametrize(
    "options", [[], pytest.param(["--check", "--diff"], marks=pytest.mark.long)], ids=["again", "check mode"]
)
def test_another_run_changes_nothing(cluster: Lab, options: list[str]) -> None:
    play = cluster.converge(INVENTORY, *KEEPALIVED, *options)
    assert play.changed == {"vr1": 0, "vr2": 0, "vr3": 0}, play.output


def test_a_vip_comes_and_goes_and_the_others_lose_no_packet(cluster: Lab) -> None:
    before = ids(cluster)
    holder = cluster.holders()[VIP]
    assert probed(cluster, EXTRA["address"], *KEEPALIVED, *vips(EXTRA)) == {}
    assert cluster.holders()[EXTRA["address"]] == holder
    assert interfaces_with(cluster, EXTRA["address"]) == [holder]
    assert {a: i for a, i in ids(cluster).items() if a in before} == before
    again = cluster.converge(INVENTORY, *KEEPALIVED, *vips(EXTRA))
    assert set(again.changed.values()) == {0}, again.output
    assert probed(cluster, EXTRA["address"], *KEEPALIVED, *vips({**EXTRA, "state": "absent"})) == {}
    assert ids(cluster) == before
    assert interfaces_with(cluster, EXTRA["address"]) == []
    assert set(cluster.holders().values()) == {holder}


# -- the master is lost ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        "kill",
        "stop",
        pytest.param("freeze", marks=pytest.mark.long),
        "hang",
        pytest.param("partition", marks=pytest.mark.long),
        "linkdown",
        "move",
    ],
)
def test_the_master_fails_and_the_vips_are_back_on_another_node(cluster: Lab, kind: str) -> None:
    report = cluster.drill(kind)
    check(report)
    assert report["engine"] == "keepalived"
    assert {v["holder_moved"] for v in report["vips"]}.isdisjoint({v["holder_before"] for v in report["vips"]})
    for outcome in [*report["vips"], *report["flows"]]:
        # When two masters meet again, the one of higher priority takes the group.
        assert max(outcome["outage_ms"], outcome["healing_ms"]) < TAKEOVER_MS, outcome


def lose_an_interface(scene: Scene) -> str:
    """Take ens5 of the master down in the node itself, and up when another has the group. Returns that other one."""
    old = scene.holder
    scene.sh(old, "ip link set ens5 down")
    try:
        new = scene.wait_for_takeover(old, 10)
        wait_until(f"{old} in state FAULT", lambda: scene.vrrp(old) == "FAULT", 10)
        wait_until(f"no VIP on {old}", lambda: scene.configured(old).isdisjoint(scene.vips), 10)
        wait_until(f"{new} in state MASTER", lambda: scene.vrrp(new) == "MASTER", 10)
    finally:
        scene.sh(old, "ip link set ens5 up")
    return new


def test_an_interface_of_the_master_goes_down_and_the_vips_stay_where_they_went(scene: Scene) -> None:
    old = scene.holder
    new = lose_an_interface(scene)
    wait_until(f"{old} in state BACKUP", lambda: scene.vrrp(old) == "BACKUP", 10)
    scene.stays(3)
    assert scene.holder == new


@pytest.mark.long
def test_with_a_preempt_delay_the_vips_go_back_to_the_node_that_is_preferred(cluster: Lab) -> None:
    cluster.converge(INVENTORY, *KEEPALIVED, "-e", json.dumps({"keepalived_preempt_delay": 3}))
    try:
        first = cluster.control.status().nodes[0].name
        wait_until(f"the group on {first}", lambda: set(cluster.holders().values()) == {first})
        with Scene(cluster) as scene:
            lose_an_interface(scene)
            wait_until(f"the group back on {first}", lambda: set(cluster.holders().values()) == {first})
    finally:
        cluster.converge(INVENTORY, *KEEPALIVED)


def test_a_keepalived_that_is_killed_is_taken_over_from_and_comes_back(scene: Scene) -> None:
    old, killed = scene.holder, time.monotonic_ns()
    scene.sh(old, "pkill -KILL -x keepalived")
    scene.wait_for_takeover(old, 10)
    # Its node is one that can take over again, without anybody's help.
    scene.well(within=30)
    assert scene.back_after(killed) < TAKEOVER_MS / 1000
    assert Watch(scene).look().agreed


# -- what must cost nothing --------------------------------------------------------------------------------------------


def consumer(scene: Scene, node: str) -> str:
    """The process id of a node's consumer; empty while none is ready."""
    shown = scene.sh(node, f"systemctl show --property=MainPID --property=ActiveState {CONSUMER}")
    state = dict(line.split("=", 1) for line in shown.splitlines())
    return state["MainPID"] if state["ActiveState"] == "active" else ""


def replaced(scene: Scene, node: str, old: str) -> bool:
    return consumer(scene, node) not in ("", old)


def test_a_consumer_that_is_killed_costs_nothing_and_the_next_takeover_works(cluster: Lab) -> None:
    with Scene(cluster) as scene:
        for node in scene.nodes:
            old = consumer(scene, node)
            assert old
            scene.sh(node, f"systemctl kill --signal=KILL {CONSUMER}")
            wait_until(f"a new consumer on {node}", functools.partial(replaced, scene, node, old), 10)
        scene.stays(3)
        assert scene.lost() == {}
    report = cluster.drill("kill")
    check(report)
    assert max(v["outage_ms"] for v in report["vips"]) < TAKEOVER_MS


def test_an_upgrade_of_the_program_costs_nothing_and_the_next_takeover_works(scene: Scene) -> None:
    before = {node: consumer(scene, node) for node in scene.nodes}
    for node in scene.nodes:
        scene.sh(node, f"systemctl reload {CONSUMER}")
    scene.stays(3)
    assert {node: consumer(scene, node) for node in scene.nodes} == before
    assert scene.lost() == {}
    old = scene.holder
    scene.move()
    scene.wait_for_takeover(old, 10)


def test_an_address_that_is_removed_by_hand_is_put_back_without_a_move(scene: Scene) -> None:
    holder = scene.holder
    scene.sh(holder, f"ip address del {VIP}/32 dev ens5")
    wait_until(f"{VIP} on {holder} again", lambda: VIP in scene.configured(holder), MONITOR_SECONDS + 2)
    assert scene.moves() == []


@pytest.mark.long
def test_an_address_that_is_moved_away_in_the_cloud_comes_back_to_the_master(scene: Scene) -> None:
    holder, thief = scene.holder, scene.others[0]
    vnic = next(v.vnic_id for v in scene.control.status().node(thief).vnics if v.interface == "ens5")
    details = oci.core.models.UpdatePrivateIpDetails(vnic_id=vnic)
    scene.lab.network().update_private_ip(scene.vips[VIP], details)
    assert scene.lab.holders()[VIP] == thief
    # An audit that comes a moment too early finds the one before still fresh.
    wait_until(f"{VIP} back on {holder}", lambda: scene.lab.holders()[VIP] == holder, 2 * AUDIT_SECONDS + 10)
    assert scene.moves() == [f"cv-{thief}-ens5", f"cv-{holder}-ens5"]


def test_the_firewalls_let_adverts_in_by_a_rule_and_not_by_what_they_remember(scene: Scene) -> None:
    master = Watch(scene).look().masters
    namespaces = [scene.lab.netns(node) for node in scene.nodes]
    for _ in range(10):
        for netns in namespaces:
            with ns.enter(netns), NFCTSocket() as connections:
                connections.flush()
        scene.stays(0.2)
    # An advert that is refused makes a second master, for as long as any of them is.
    scene.stays(2)
    look = Watch(scene).look()
    assert look.agreed, look
    assert look.masters == master


@pytest.mark.long
def test_after_each_of_some_random_faults_the_cluster_is_well_by_itself(cluster: Lab, tmp_path: Path) -> None:
    strike(cluster, 20, tmp_path / "evidence")

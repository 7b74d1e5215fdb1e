# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook against real nodes: from bare machines to a cluster, and every way of running it again."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from lab.probe import Probe, plan_targets
from tests.lab.conftest import Asker, Lab
from tests.lab.scene import Scene

INVENTORY = "inventory/lab"
VIPS: list[dict[str, Any]] = [
    {"name": "transit", "address": "172.20.136.140", "prefix": 28},
    {"name": "pod1", "address": "10.0.0.4", "prefix": 28},
    {"name": "pod2", "address": "10.0.0.36", "prefix": 28},
]
EXTRA: dict[str, Any] = {"name": "pod1b", "address": "10.0.0.12", "prefix": 28}


def vips(*more: dict[str, Any]) -> list[str]:
    """The option that gives the playbook the three VIPs and `more`."""
    return ["-e", json.dumps({"cloudvip_vips": [*VIPS, *more]})]


def ids(lab: Lab) -> dict[str, str]:
    return {f.address: f.id for f in lab.control.status().floating}


def interfaces_with(lab: Lab, address: str) -> list[str]:
    """The nodes that have the address on an interface."""
    return [n for n in ("vr1", "vr2", "vr3") if f"inet {address}/" in lab.sh(n, "ip -o -4 address")]


def test_check_mode_runs_clean_on_bare_nodes_and_changes_nothing(lab: Lab) -> None:
    lab.up("vrouters")
    lab.reset()
    play = lab.play(INVENTORY, "--check", "--diff")
    assert play.returncode == 0, play.output[-6000:]
    assert ids(lab) == {}
    assert lab.sh("vr1", "command -v corosync", check=False) == ""
    assert all(n > 0 for n in play.changed.values())


@pytest.mark.usefixtures("cluster")
class TestConverged:
    def test_every_vip_is_reserved_and_on_one_node_in_cloud_and_interface(self, lab: Lab) -> None:
        assert set(lab.holders()) == {v["address"] for v in VIPS}
        holders = set(lab.holders().values())
        assert len(holders) == 1
        for vip in VIPS:
            assert interfaces_with(lab, vip["address"]) == list(holders)
        assert {p["lifetime"] for p in lab.control.raw_status()["private_ips"]} == {"RESERVED"}

    def test_the_firewall_is_up_on_every_node_and_closed_to_strangers(self, lab: Lab, pod1: Asker) -> None:
        for node in ("vr1", "vr2", "vr3"):
            assert lab.sh(node, "firewall-cmd --state").strip() == "running"
            assert "cloudvip-peers" in lab.sh(node, "firewall-cmd --get-policies")
        lab.sh("vr1", "systemd-run --unit=stranger python3 /usr/local/lib/lab/echo.py --port 5300")
        try:
            assert pod1.ask("10.0.0.5") == "vr1"
            assert pod1.ask("10.0.0.5", port=5300) is None
        finally:
            lab.sh("vr1", "systemctl stop stranger")

    def test_a_second_run_changes_nothing(self, lab: Lab) -> None:
        play = lab.converge(INVENTORY)
        assert play.changed == {"vr1": 0, "vr2": 0, "vr3": 0}, play.output

    def test_check_mode_on_a_converged_cluster_predicts_nothing(self, lab: Lab) -> None:
        play = lab.converge(INVENTORY, "--check", "--diff")
        assert play.changed == {"vr1": 0, "vr2": 0, "vr3": 0}, play.output

    @pytest.mark.long
    def test_a_run_after_a_move_leaves_the_vips_where_they_are(self, lab: Lab) -> None:
        with Scene(lab) as scene:
            old = scene.holder
            scene.move()
            new = scene.wait_for_takeover(old)
            scene.settle()
            scene.well()
            moved = time.monotonic_ns()
            play = lab.converge(INVENTORY)
            assert set(play.changed.values()) == {0}, play.output
            assert scene.holder == new
            assert scene.moves(moved) == []

    def test_a_vip_comes_and_goes_and_the_others_lose_no_packet(self, lab: Lab) -> None:
        before = ids(lab)
        holder = lab.holders()[VIPS[0]["address"]]
        added = probed(lab, EXTRA["address"], *vips(EXTRA))
        assert added == {}
        assert lab.holders()[EXTRA["address"]] == holder
        assert interfaces_with(lab, EXTRA["address"]) == [holder]
        assert {a: i for a, i in ids(lab).items() if a in before} == before
        again = lab.converge(INVENTORY, *vips(EXTRA))
        assert set(again.changed.values()) == {0}, again.output
        removed = probed(lab, EXTRA["address"], *vips({**EXTRA, "state": "absent"}))
        assert removed == {}
        assert ids(lab) == before
        assert interfaces_with(lab, EXTRA["address"]) == []
        gone = lab.converge(INVENTORY, *vips({**EXTRA, "state": "absent"}))
        assert set(gone.changed.values()) == {0}, gone.output

    @pytest.mark.long
    def test_a_refusal_of_the_api_in_mid_run_leaves_what_a_re_run_finishes(self, lab: Lab) -> None:
        for status in (404, 429, 500):
            lab.control.add_fault(
                {"effect": "status", "service": "api", "method": "POST", "path": "/privateIps", "status": status}
            )
            refused = lab.play(INVENTORY, *vips(EXTRA), "-e", "cloudvip_oci_timeout=2")
            lab.control.clear_faults()
            assert refused.returncode != 0, refused.output
            assert EXTRA["address"] in refused.output
            assert EXTRA["address"] not in ids(lab)
        lab.converge(INVENTORY, *vips(EXTRA))
        assert EXTRA["address"] in ids(lab)
        lab.converge(INVENTORY, *vips({**EXTRA, "state": "absent"}))

    @pytest.mark.parametrize(
        ("extra", "words"),
        [
            ({"name": "x", "address": "192.0.2.9", "prefix": 28}, ["192.0.2.9", "subnet"]),
            ({"name": "pod1", "address": "10.0.0.12", "prefix": 28}, ["pod1", "name"]),
            ({"name": "x", "address": "10.0.0.4", "prefix": 28}, ["10.0.0.4", "address"]),
            ({"name": "x", "address": "10.0.0.12", "prefix": 28, "adress": 1}, ["adress", "address"]),
            ({"name": "x", "address": "10.0.0.6", "prefix": 28}, ["10.0.0.6", "primary"]),
            ({"name": "x", "address": "10.0.0.10", "prefix": 28}, ["10.0.0.10"]),
        ],
    )
    def test_a_bad_vip_is_refused_before_anything_is_touched(
        self, lab: Lab, extra: dict[str, Any], words: list[str]
    ) -> None:
        before = lab.control.raw_status()["private_ips"]
        play = lab.play(INVENTORY, *vips(extra))
        assert play.returncode != 0
        for word in ["cloudvip_vips", *words]:
            assert word in play.output
        assert set(play.changed.values()) == {0}
        assert lab.control.raw_status()["private_ips"] == before

    @pytest.mark.parametrize(
        ("variables", "words"),
        [
            ({"cloudvip_engine": "heartbeat"}, ["cloudvip_engine", "heartbeat", "pacemaker"]),
            ({"cloudvip_cloud": "azure"}, ["cloudvip_cloud", "azure", "oci"]),
            ({"cloudvip_nodes": ["vr1"]}, ["cloudvip_nodes", "vr1"]),
        ],
    )
    def test_a_bad_setting_is_refused_before_anything_is_touched(
        self, lab: Lab, variables: dict[str, Any], words: list[str]
    ) -> None:
        play = lab.play(INVENTORY, "-e", json.dumps(variables))
        assert play.returncode != 0
        for word in words:
            assert word in play.output
        assert set(play.changed.values()) <= {0}


def probed(lab: Lab, address: str, *arguments: str) -> dict[str, int]:
    """Run the playbook under a 10 ms probe of all but the VIP that comes and goes. Returns target -> lost packets."""
    targets = [t for t in plan_targets(lab.control.status()) if t.address != address]
    with Probe(targets) as probe:
        lab.converge(INVENTORY, *arguments)
    measured = {t.name: probe.measure(t) for t in targets}
    assert all(m.sent > 500 for m in measured.values())
    return {name: m.lost for name, m in measured.items() if m.lost}


def test_the_example_inventory_is_refused_until_it_is_filled_in(lab: Lab) -> None:
    play = lab.play("inventory/prod")
    assert play.returncode != 0
    assert "CHANGE_ME" in play.output

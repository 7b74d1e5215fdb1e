# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark claims to measure is what its files say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import rig
from bench.measures import turns
from bench.rig import ROOT, BenchError, Rig
from lab import topology
from lab.control import Control

INVENTORY = ROOT / "bench" / "inventory"


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_group_has_32_vips_on_three_vnics_of_the_topology() -> None:
    shape = topology.load(str(ROOT / "bench" / "topology.yml"))
    vips = [IPv4Address(v["address"]) for v in load(INVENTORY / "group_vars" / "steady.yml")["cloudvip_vips"]]
    assert len(set(vips)) == 32
    by_subnet = Counter(s.name for s in shape.subnets for v in vips if v in s.cidr)
    assert sorted(by_subnet.values()) == [10, 11, 11]
    hosts = load(INVENTORY / "hosts.yml")["cloudvip"]["children"]["steady"]["hosts"]
    assert {n: h["ansible_host"] for n, h in hosts.items()} == {n.name: str(n.vnics[0].address) for n in shape.nodes}


def test_contenders_take_turns_and_neither_is_always_first() -> None:
    order: list[str] = []
    turns(4, lambda: order.append("ours"), lambda: order.append("theirs"))
    assert order == ["ours", "theirs", "theirs", "ours"] * 2


class Faults(Control):
    """The faults of a lab that is not there."""

    def __init__(self) -> None:
        self.active: list[Mapping[str, Any]] = []

    def add_fault(self, fault: Mapping[str, Any]) -> list[dict[str, Any]]:
        self.active.append(fault)
        return []

    def clear_faults(self) -> None:
        self.active.clear()


def test_the_latency_goes_with_a_measure_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rig, "CACHE", tmp_path)
    control = Faults()
    bench = Rig()
    bench.control = control

    def measure() -> None:
        with bench.latency(150, "n2"):
            assert [(f["latency_ms"], f["node"]) for f in control.active] == [(150, "n2")]
            raise BenchError("no claim")

    with pytest.raises(BenchError, match="no claim"):
        measure()
    assert control.active == []

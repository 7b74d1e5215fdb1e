# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster's key, and the cluster of one that Debian's and Ubuntu's packages start by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.roles.fake_nodes import Nodes

NAMES = ("vr1", "vr2")
STOPPED = [f"{name} systemctl stop {unit}.service" for name in NAMES for unit in ("pacemaker", "corosync")]


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    """Both run what their package has started."""
    nodes = Nodes(tmp_path, NAMES)
    nodes.run("pacemaker.service", "corosync.service")
    return nodes


def keys(nodes: Nodes) -> list[bytes]:
    return [(nodes.root / name / "etc/corosync/authkey").read_bytes() for name in NAMES]


def play(nodes: Nodes) -> list[str]:
    good, _, output = nodes.play("pacemaker", "key", cloudvip_nodes=NAMES, cloudvip_model={})
    assert good, output
    return nodes.calls()


def test_a_cluster_of_one_is_stopped_on_the_first_run_only(nodes: Nodes) -> None:
    assert sorted(play(nodes)) == sorted(STOPPED)
    first, second = keys(nodes)
    assert len(first) == 256
    assert first == second
    nodes.run("pacemaker.service", "corosync.service")

    assert play(nodes) == []
    assert keys(nodes) == [first, second]


def test_only_the_cluster_of_a_new_node_is_stopped(nodes: Nodes) -> None:
    path = nodes.root / "vr1/etc/corosync/authkey"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"of the cluster")

    assert sorted(play(nodes)) == sorted(call for call in STOPPED if call.startswith("vr2"))
    assert keys(nodes) == [b"of the cluster"] * 2

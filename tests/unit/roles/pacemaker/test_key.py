# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster's key, and the cluster that is there before: of one node, as Debian's packages start it, or of others."""

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


THEIRS = '<primitive id="database" class="systemd" type="postgresql">'
OURS = '<primitive id="cloudvip-main" class="ocf" provider="cloudvip" type="vips">'
FOREIGN = "nodelist {\n  node {\n    ring0_addr: 10.0.0.11\n    name: a\n    nodeid: 1\n  }\n}\n"


def build(nodes: Nodes, *primitives: str, conf: str = FOREIGN) -> None:
    """A cluster that has been there before."""
    for name in NAMES:
        cib = nodes.root / name / "var/lib/pacemaker/cib/cib.xml"
        cib.parent.mkdir(parents=True)
        cib.write_text("\n".join(["<cib><configuration><resources>", *primitives, "</resources>", ""]))
        (nodes.root / name / "etc/corosync").mkdir()
        (nodes.root / name / "etc/corosync/corosync.conf").write_text(conf)


def test_a_cluster_of_somebody_else_is_not_ended(nodes: Nodes) -> None:
    build(nodes, OURS, THEIRS)

    good, changed, output = nodes.play("pacemaker", "key", cloudvip_nodes=NAMES, cloudvip_model={})

    assert (good, changed, nodes.calls()) == (False, 0, [])
    assert "cib.xml has the resources database: expected none" in output
    assert "stop pacemaker and corosync and remove" in output


@pytest.mark.parametrize(
    ("primitives", "conf"),
    [((), FOREIGN), ((OURS,), FOREIGN), ((THEIRS,), "# A node that dies silently is given up after token + consensus")],
)
def test_one_that_decides_about_nothing_or_has_lost_its_key_is_ended(
    nodes: Nodes, primitives: tuple[str, ...], conf: str
) -> None:
    build(nodes, *primitives, conf=conf)

    assert sorted(play(nodes)) == sorted(STOPPED)


def test_its_configuration_is_kept_once(nodes: Nodes) -> None:
    build(nodes)
    model = {"cluster": "web", "addresses": dict.fromkeys(NAMES, "192.0.2.11")}
    inputs = {"cloudvip_nodes": NAMES, "cloudvip_model": model}
    for _ in range(2):
        good, changed, output = nodes.play("pacemaker", "key", "configure", **inputs)
        assert good, output
    kept = nodes.root / "vr1/etc/corosync/corosync.conf.dist"
    assert changed == 0
    (kept.parent / "corosync.conf").write_text("another\n")

    nodes.play("pacemaker", "key", "configure", **inputs)

    assert kept.read_text() == FOREIGN
    assert kept.stat().st_mode & 0o777 == 0o600

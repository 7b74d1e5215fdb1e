# SPDX-License-Identifier: GPL-3.0-or-later
"""How Pacemaker ends on the nodes, so that no group moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.roles.fake_nodes import Nodes

NAMES = ("vr1", "vr2")
OURS = '<primitive id="cloudvip-main" class="ocf" provider="cloudvip" type="vips">'
THEIRS = '<primitive id="database" class="systemd" type="postgresql">'


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    nodes = Nodes(tmp_path, NAMES)
    nodes.run("pacemaker.service", "corosync.service")
    return nodes


def configure(nodes: Nodes, *primitives: str) -> None:
    for name in NAMES:
        path = nodes.root / name / "var/lib/pacemaker/cib/cib.xml"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(["<cib><configuration><resources>", *primitives, "</resources>", ""]))


def retire(nodes: Nodes) -> tuple[bool, int, str]:
    return nodes.play("pacemaker", "retire", cloudvip_model={"engine": "keepalived"})


def test_no_node_stops_before_all_leave_their_resources_alone(nodes: Nodes) -> None:
    configure(nodes, OURS)

    good, _, output = retire(nodes)

    assert good, output
    calls = nodes.calls()
    told = [calls.index(f"{name} crm_attribute --name maintenance --lifetime reboot --update true") for name in NAMES]
    stopped = [calls.index(f"{name} systemctl stop pacemaker.service") for name in NAMES]
    left = [calls.index(f"{name} systemctl stop corosync.service") for name in NAMES]
    assert max(told) < min(stopped)
    assert max(stopped) < min(left)
    assert not list(nodes.root.glob("vr?/enabled/*"))
    good, changed, output = retire(nodes)
    assert (good, changed, nodes.calls()) == (True, 0, []), output


def test_a_cluster_with_other_resources_is_refused(nodes: Nodes) -> None:
    configure(nodes, OURS, THEIRS)

    good, _, output = retire(nodes)

    assert not good
    assert "cloudvip_engine = 'keepalived': expected 'pacemaker', as Pacemaker has resources of yours" in output
    assert "database. Delete them first." in output
    assert nodes.calls() == []


@pytest.mark.parametrize("primitives", [(), (THEIRS,)])
def test_a_pacemaker_of_somebody_else_is_left_alone(nodes: Nodes, primitives: tuple[str, ...]) -> None:
    if primitives:
        configure(nodes, *primitives)

    good, changed, output = retire(nodes)

    assert (good, changed, nodes.calls()) == (True, 0, []), output

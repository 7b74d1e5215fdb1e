# SPDX-License-Identifier: GPL-3.0-or-later
"""A removal that broke off after the configuration had forgotten the interface is finished by the next run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.fake_nodes import Nodes

MAC = "02:00:17:00:00:05"
NODE = {"network_managers": ["systemd-networkd"], "region": "r", "realm_domain": "example.com"}
NETWORK = "vr1/etc/systemd/network/05-cloudvip.network"
# The last VIP of the node's own interface has been removed. Another one is on the primary interface.
VIP = {"address": "192.0.2.9", "bindings": {"vr1": {"vnic_id": "ocid1.vnic.a"}}}
SEEN = {
    **VIP,
    "interface": "ens3",
    "wanted": True,
    "claimed": True,
    "pending": None,
    "cloud": "here",
    "cloud_vnic_id": "ocid1.vnic.a",
    "local": "here",
}


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    nodes = Nodes(tmp_path, ("vr1",))
    nodes.run("systemd-networkd.service")
    group = {"revision": "r1", "claimed_revision": "r1", "vips": [SEEN]}
    (tmp_path / "vr1/status").write_text(json.dumps({"groups": {"main": group}}))
    return nodes


def play(nodes: Nodes, entry: str, owned: bool) -> int:
    """Play it; how many tasks have changed something."""
    vnic: dict[str, Any] = {"mac": MAC, "interface": "ens5", "permanent": True, "owned": owned, "network_file": None}
    good, changed, output = nodes.play(
        "vip_agent",
        entry,
        vip_agent_model={"nodes": ["vr1"], "groups": [{"name": "main", "vips": [VIP]}], "absent": []},
        vip_agent_vnic={**NODE, "vnics": [vnic]},
        vip_agent_private_ips={},
        __vip_agent_config={"interfaces": []},
        __vip_agent_program={"changed": False},
    )
    assert good, output
    return changed


def test_the_interface_is_kept_from_network_managers_until_all_is_released_and_then_cleared(nodes: Nodes) -> None:
    play(nodes, "interfaces", owned=True)

    assert f"MACAddress={MAC}" in (nodes.root / NETWORK).read_text().splitlines()
    assert "vr1 cloudvip interfaces apply" in nodes.calls()

    play(nodes, "verify", owned=True)

    assert not (nodes.root / NETWORK).exists()
    assert nodes.calls()[-1] == "vr1 cloudvip interfaces apply"


def test_nothing_is_done_once_it_is_cleared(nodes: Nodes) -> None:
    assert [play(nodes, entry, owned=False) for entry in ("interfaces", "verify")] == [0, 0]
    assert nodes.calls() == []

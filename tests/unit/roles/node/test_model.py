# SPDX-License-Identifier: GPL-3.0-or-later
"""The role `node`, entry point `model`, played for two clusters: no node is connected to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[4]
SUBNETS = {"a": "192.0.2.0/28", "b": "192.0.2.0/28", "c": "192.0.2.16/28"}


def cluster(name: str, engine: str, first: int, ids: dict[str, int]) -> dict[str, Any]:
    """Two nodes that know their VNICs already, and a VIP."""
    vnics = {
        f"{name}{i}": {
            "vnics": [
                {
                    "vnic_id": f"ocid1.vnic.{name}{i}",
                    "mac": f"02:00:17:00:00:{first + i:02}",
                    "private_ip": f"192.0.2.{first + i}",
                    "subnet_cidr": SUBNETS[name],
                    "virtual_router_ip": f"192.0.2.{first}",
                    "interface": "ens3",
                }
            ]
        }
        for i in (1, 2)
    }
    return {
        "hosts": {node: {"test_vnic": fact} for node, fact in vnics.items()},
        "vars": {
            "cloudvip_cluster": name,
            "cloudvip_nodes": list(vnics),
            "cloudvip_engine": engine,
            "cloudvip_vips": [{"name": "x", "address": f"192.0.2.{first + 5}", "prefix": 28}],
            "cloudvip_virtual_router_ids": ids,
        },
    }


def play(folder: Path, *clusters: dict[str, Any]) -> tuple[bool, str]:
    children = {c["vars"]["cloudvip_cluster"]: c for c in clusters}
    fact = {"ansible.builtin.set_fact": {"cloudvip_vnic": "{{ test_vnic }}", "cacheable": True}}
    role = {"ansible.builtin.include_role": {"name": "cloudvip.ha.node", "tasks_from": "model"}}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"cloudvip": {"children": children}}), encoding="utf-8")
    (folder / "play.yml").write_text(
        yaml.safe_dump([{"hosts": "cloudvip", "gather_facts": False, "tasks": [fact, role]}]), encoding="utf-8"
    )
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.yml", "play.yml"],
        cwd=folder,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")},
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0, done.stdout + done.stderr


def test_clusters_of_a_subnet_do_not_share_a_virtual_router_id(tmp_path: Path) -> None:
    good, output = play(
        tmp_path, cluster("a", "keepalived", 1, {"main": 51}), cluster("b", "keepalived", 8, {"main": 51})
    )

    assert not good
    assert "cloudvip_virtual_router_ids.main of cluster 'a' = 51: expected an id of its own in the subnet" in output
    assert "group 'main' of cluster 'b' has this one" in output


@pytest.mark.parametrize(
    "other",
    [
        cluster("b", "keepalived", 8, {"main": 52}),
        # Its group would have the same id.
        cluster("b", "pacemaker", 8, {}),
        cluster("c", "keepalived", 17, {"main": 110}),
    ],
)
def test_clusters_that_do_not_meet_are_built(tmp_path: Path, other: dict[str, Any]) -> None:
    good, output = play(tmp_path, cluster("a", "keepalived", 1, {"main": 110}), other)

    assert good, output

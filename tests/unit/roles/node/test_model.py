# SPDX-License-Identifier: GPL-3.0-or-later
"""The role `node`, entry points `fit` and `model`, played for two clusters: no node is connected to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.playing import Played, play

SUBNETS = {"a": "192.0.2.0/28", "b": "192.0.2.0/28", "c": "192.0.2.16/28"}
POD = {"name": "pod", "address": "10.0.0.4", "prefix": 28, "subnet_id": "ocid1.subnet.x", "group": "pod"}


def cluster(
    name: str, engine: str, first: int, ids: dict[str, int], pods: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Two nodes that know their VNICs already, and a VIP."""
    vnics = {
        f"{name}{i}": {
            "tenancy_id": "ocid1.tenancy.x",
            "region": "eu-frankfurt-1",
            "vnics": [
                {
                    "vnic_id": f"ocid1.vnic.{name}{i}",
                    "mac": f"02:00:17:00:00:{first + i:02}",
                    "private_ip": f"192.0.2.{first + i}",
                    "subnet_cidr": SUBNETS[name],
                    "virtual_router_ip": f"192.0.2.{first}",
                    "interface": "ens3",
                }
            ],
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
            "cloudvip_pods": pods or [],
            "cloudvip_virtual_router_ids": ids,
        },
    }


def play_role(folder: Path, *clusters: dict[str, Any]) -> Played:
    children = {c["vars"]["cloudvip_cluster"]: c for c in clusters}
    fact = {"ansible.builtin.set_fact": {"cloudvip_vnic": "{{ test_vnic }}", "cacheable": True}}
    roles = [
        {"ansible.builtin.include_role": {"name": "cloudvip.ha.node", "tasks_from": entry}}
        for entry in ("fit", "model")
    ]
    playbook = [{"hosts": "cloudvip", "gather_facts": False, "any_errors_fatal": True, "tasks": [fact, *roles]}]
    return play(folder, playbook, {"cloudvip": {"children": children}})


@pytest.mark.parametrize(
    ("group", "pods"), [("main", []), ("pod", [POD])], ids=["of a VIP", "of a POD whose VNICs are to come"]
)
def test_clusters_of_a_subnet_do_not_share_a_virtual_router_id(
    tmp_path: Path, group: str, pods: list[dict[str, Any]]
) -> None:
    played = play_role(
        tmp_path, cluster("a", "keepalived", 1, {group: 51}, pods), cluster("b", "keepalived", 8, {"main": 51})
    )

    assert not played.good
    assert "Model |" not in played.output
    assert "The inventory cannot be used; nothing was touched." in played.output
    expected = f"cloudvip_virtual_router_ids.{group} of cluster 'a' = 51: expected an id of its own in the subnet"
    assert f"{expected} 192.0.2.0/28: group 'main' of cluster 'b' has this one" in played.output


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
    played = play_role(tmp_path, cluster("a", "keepalived", 1, {"main": 110}), other)

    assert played.good, played.output
    assert "Model |" in played.output

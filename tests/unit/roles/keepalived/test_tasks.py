# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order keepalived is started and ended on the nodes, so that no group moves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.fake_nodes import Nodes

NAMES = ("vr1", "vr2")
ADDRESSES = {"vr1": "10.0.0.11", "vr2": "10.0.0.12"}


def model(**preferred: str | None) -> dict[str, Any]:
    """A model with these groups, and for each the node that it prefers."""
    vip = {"bindings": {name: {"interface": "ens3"} for name in NAMES}}
    groups = [
        {"name": name, "preferred_node": node, "virtual_router_id": number, "vips": [vip]}
        for number, (name, node) in enumerate(preferred.items(), 10)
    ]
    return {
        "nodes": list(NAMES),
        "addresses": ADDRESSES,
        "interfaces": dict.fromkeys(NAMES, "ens3"),
        "checks": [],
        "groups": groups,
    }


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    return Nodes(tmp_path, NAMES)


def hold(nodes: Nodes, node: str, *held: str, cloud: str = "here") -> None:
    """What `cloudvip status` says on a node."""
    groups = {name: {"claimed": name in held, "vips": [{"cloud": cloud}]} for name in ("main", "other")}
    (nodes.root / node / "status").write_text(json.dumps({"groups": groups}))


def start(nodes: Nodes, wanted: dict[str, Any]) -> tuple[int, str]:
    """Play what starts keepalived; what it changed and printed."""
    features = {"version": "2.3.3", "keywords": ["down_timer_adverts"]}
    good, changed, output = nodes.play(
        "keepalived",
        *("begin", "service"),
        keepalived_model=wanted,
        keepalived_nodes=list(NAMES),
        __keepalived_features=features,
        __keepalived_installed={"changed": False},
    )
    assert good, output
    return changed, output


def test_each_group_gets_its_holder_as_its_master_before_any_other_node_is_asked(nodes: Nodes) -> None:
    hold(nodes, "vr1", "other")
    hold(nodes, "vr2", "main")

    start(nodes, model(main="vr1", other=None))

    calls = nodes.calls()
    first = [call for call in calls if "keepalived.service" in call and call.split()[2] == "start"]
    assert sorted(first) == [
        "vr1 systemctl start keepalived.service other",
        "vr2 systemctl start keepalived.service main",
    ]
    # Only then all of them know all groups.
    assert [calls.count(f"{name} systemctl reload keepalived.service main other") for name in NAMES] == [1, 1]
    for name in NAMES:
        reload = calls.index(f"{name} systemctl reload keepalived.service main other")
        assert f"{name} cloudvip handover 3" in calls[:reload]
    # From before a consumer starts that finds a group without a master.
    assert all(calls.index(f"{name} cloudvip handover 60") < min(map(calls.index, first)) for name in NAMES)


def test_the_others_start_when_the_holder_is_master_and_a_second_run_changes_nothing(nodes: Nodes) -> None:
    hold(nodes, "vr1")
    hold(nodes, "vr2", "main", "other")

    start(nodes, model(main=None, other="vr1"))

    calls = nodes.calls()
    holder, other = (calls.index(f"{name} systemctl start keepalived.service main other") for name in ("vr2", "vr1"))
    assert holder < calls.index("vr2 ip") < calls.index("vr2 ip 192.0.2.10/32 192.0.2.11/32") < other
    changed, output = start(nodes, model(main=None, other="vr1"))
    assert changed == 0, output
    assert sorted(nodes.calls()) == ["vr1 cloudvip apply", "vr2 cloudvip apply"]


def test_a_group_that_nobody_holds_begins_on_the_node_that_it_prefers(nodes: Nodes) -> None:
    for name in NAMES:
        hold(nodes, name)

    start(nodes, model(main="vr2", other=None))

    starts = [call for call in nodes.calls() if call.split()[1:3] == ["systemctl", "start"]]
    assert [call for call in starts if "keepalived.service" in call] == [
        "vr2 systemctl start keepalived.service main",
        "vr1 systemctl start keepalived.service main other",
    ]
    assert {f"{name} systemctl start cloudvip-vrrp.service" for name in NAMES} <= set(starts)


def test_a_claim_that_was_overtaken_makes_nobody_master(nodes: Nodes) -> None:
    hold(nodes, "vr1", "main", cloud="elsewhere")
    hold(nodes, "vr2")

    start(nodes, model(main=None))

    assert not [call for call in nodes.calls() if "handover" in call]


def test_nobody_claims_or_lets_go_while_keepalived_ends(nodes: Nodes) -> None:
    nodes.run("cloudvip-vrrp.service", "keepalived.service")
    for name in NAMES:
        for unit in ("cloudvip-vrrp.service", "keepalived.service.d/cloudvip.conf"):
            path = nodes.root / name / "etc/systemd/system" / unit
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("ours\n")

    good, _, output = nodes.play("keepalived", "retire")

    assert good, output
    calls = nodes.calls()
    consumers = [calls.index(f"{name} systemctl stop cloudvip-vrrp.service") for name in NAMES]
    assert max(consumers) < min(calls.index(f"{name} systemctl stop keepalived.service") for name in NAMES)
    assert not list(nodes.root.glob("vr?/etc/systemd/system/**/*.conf"))
    assert not list(nodes.root.glob("vr?/enabled/keepalived.service"))
    good, changed, output = nodes.play("keepalived", "retire")
    assert (good, changed) == (True, 0), output


def test_a_keepalived_of_somebody_else_is_left_alone(nodes: Nodes) -> None:
    nodes.run("keepalived.service")

    good, changed, output = nodes.play("keepalived", "retire")

    assert (good, changed) == (True, 0), output
    assert nodes.calls() == []

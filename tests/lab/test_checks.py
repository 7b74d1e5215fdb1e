# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks with either engine: a node on which one fails holds no group, and when it passes nothing moves back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.conftest import ENGINES, Lab, wait_until
from tests.lab.scene import Scene

pytestmark = pytest.mark.thorough
INVENTORY = "inventory/lab-pair"
CHECKS: list[dict[str, Any]] = [
    {"name": "line", "type": "tcp", "port": 8089},
    {"name": "page", "type": "http", "url": "http://127.0.0.1:8088/page"},
    {"name": "worker", "type": "process", "process": "worker"},
    {"name": "ready", "type": "script", "command": "/usr/bin/test -e /srv/ready"},
]
# What the checks ask about.
SERVICES = """
mkdir -p /srv/web && touch /srv/ready /srv/web/page && cp /usr/bin/sleep /usr/local/bin/worker
systemctl is-active web || systemd-run --unit=web python3 -m http.server 8088 --directory /srv/web
systemctl is-active line || systemd-run --unit=line python3 -m http.server 8089
systemctl is-active worker || systemd-run --unit=worker /usr/local/bin/worker infinity
"""
BREAK = {
    "line": "systemctl stop line",
    "page": "rm /srv/web/page",
    "worker": "systemctl stop worker",
    "ready": "rm /srv/ready",
}


@pytest.fixture(scope="module", params=["pacemaker", pytest.param("keepalived", marks=pytest.mark.long)])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pair(lab: Lab, engine: str) -> Iterator[Lab]:
    """The pair with each of the engines, and on its nodes what the checks ask about."""
    lab.cluster("pair", INVENTORY, engine)
    standing, lab.standing = lab.standing, ""
    for node in ("n1", "n2"):
        lab.sh(node, SERVICES)
    yield lab
    # Without the checks it is the cluster that it was.
    lab.converge(INVENTORY, *ENGINES[engine])
    lab.standing = standing


def options(engine: str, *checks: dict[str, Any]) -> list[str]:
    return [*ENGINES[engine], "-e", json.dumps({"cloudvip_checks": checks})]


def test_a_check_of_no_known_type_is_refused_before_anything_is_touched(pair: Lab, engine: str) -> None:
    play = pair.play(INVENTORY, *options(engine, {"name": "line", "type": "ping", "host": "10.0.0.1"}))
    assert play.returncode != 0
    for word in ("cloudvip_checks[0].type", "ping", "tcp"):
        assert word in play.output
    assert set(play.changed.values()) == {0}


def test_checks_that_pass_come_to_a_running_cluster_without_a_loss(pair: Lab, engine: str) -> None:
    with Scene(pair) as scene:
        pair.converge(INVENTORY, *options(engine, *CHECKS))
        scene.well()
        assert scene.lost() == {}
        assert scene.moves() == []
    again = pair.converge(INVENTORY, *options(engine, *CHECKS))
    assert set(again.changed.values()) == {0}, again.output


@pytest.mark.parametrize(
    "check",
    [pytest.param(c["name"], marks=pytest.mark.long if c["type"] in {"http", "process"} else ()) for c in CHECKS],
)
def test_a_holder_on_which_a_check_fails_gives_the_group_to_the_other_node_for_good(pair: Lab, check: str) -> None:
    with Scene(pair) as scene:
        holder = scene.holder
        assert scene.sh(holder, "cloudvip check") == ""
        scene.sh(holder, BREAK[check])
        assert scene.wait_for_takeover(holder) != holder
        assert check in scene.sh(holder, "cloudvip check 2>&1", check=False)
        scene.sh(holder, SERVICES)
        scene.well()
        moved = time.monotonic_ns()
        scene.stays(5)
        assert scene.moves(moved) == []


def test_while_a_check_fails_everywhere_nobody_serves_and_then_somebody_does(pair: Lab) -> None:
    with Scene(pair) as scene:
        for node in scene.nodes:
            scene.sh(node, BREAK["ready"])
        wait_until(
            "no node has the addresses", lambda: all(not scene.configured(n) & scene.vips.keys() for n in scene.nodes)
        )
        for node in scene.nodes:
            scene.sh(node, SERVICES)

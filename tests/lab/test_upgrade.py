# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of a running cluster get the next Debian, one after the other, as docs/operations.md says.

In between the cluster has a node of each: Pacemaker 2.0 and 2.1, keepalived 2.1 and 2.2, Python 3.9 and 3.11.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.lab.conftest import ENGINES, Lab, wait_until
from tests.lab.scene import Scene
from tests.lab.test_failover import check
from tests.lab.test_pair import INVENTORY
from tests.lab.test_playbook import ids

pytestmark = pytest.mark.long

OLD, NEW = "bullseye", "bookworm"
# An orderly handover, and what a power cut may cost.
HANDOVER_MS, TAKEOVER_MS = 5_000, 15_000
BOOT_SECONDS = 120

Tell = Callable[[str], None]


class Way(NamedTuple):
    """How a node leaves the cluster to be upgraded, and joins it again: commands on it, with `{node}` for its name.

    leave: The first hands over what the node has. After all of them no script of a package starts the engine.
    """

    leave: tuple[str, ...]
    join: tuple[str, ...]


WAYS = {
    "pacemaker": Way(
        leave=("crm_standby --node {node} --update on", "systemctl disable --now pacemaker corosync"),
        join=("systemctl enable --now corosync pacemaker", "crm_standby --node {node} --delete"),
    ),
    "keepalived": Way(leave=("systemctl disable --now keepalived",), join=("systemctl enable --now keepalived",)),
}

_APT = "DEBIAN_FRONTEND=noninteractive apt-get --yes -o Dpkg::Options::=--force-confold"
UPGRADE = (
    f"sed -i s/{OLD}/{NEW}/ /etc/apt/sources.list",
    "apt-get update",
    f"{_APT} full-upgrade",
    f"{_APT} autoremove",
)
NOTHING_LEFT = "0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded."

_TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(.+)\] \*+$")
_CHANGED = re.compile(r"^changed: \[([^\] ]+)")


@pytest.fixture
def pair(lab: Lab) -> Iterator[Lab]:
    """Two bare nodes of the old release."""
    lab.down()
    lab.up("pair", OLD)
    yield lab
    # Nobody else is to find nodes that are not what the lab takes them for.
    lab.down()


def changes(output: str) -> dict[str, list[str]]:
    """Task to the hosts on which it changed something, in the order of the run."""
    found: dict[str, list[str]] = {}
    task = ""
    for line in output.splitlines():
        if match := _TASK.match(line):
            task = match[1]
        elif match := _CHANGED.match(line):
            found.setdefault(task, []).append(match[1])
    return found


def versions(scene: Scene, node: str) -> str:
    """What a node runs, of what matters here and is installed."""
    packages = "pacemaker corosync pcs keepalived firewalld python3"
    # Fails for those that are not.
    return scene.sh(node, f"dpkg-query --show --showformat '${{Package}} ${{Version}}, ' {packages}", check=False)


def upgrade(scene: Scene, engine: str, node: str, tell: Tell) -> None:
    """Upgrade one node: only its groups move, once, and all answers but for that moment."""
    way = WAYS[engine]
    drain, *rest = way.leave
    held = scene.holder == node
    began = time.monotonic_ns()
    scene.sh(node, drain.format(node=node))
    if held:
        scene.wait_for_takeover(node)
        wait_until("an answer from every target", scene.answers)
    wait_until(f"no VIP on {node}", lambda: scene.configured(node).isdisjoint(scene.vips))
    outages = scene.outages(began)
    tell(f"{engine}: {node} drained, longest outage {max(outages.values()):.0f} ms; {versions(scene, node)}")
    assert max(outages.values()) < HANDOVER_MS, outages
    assert len(scene.moves(began)) == (len(scene.vips) if held else 0)

    scene.since = time.monotonic_ns()
    for command in rest:
        scene.sh(node, command.format(node=node))
    for command in UPGRADE:
        scene.sh(node, command)
    reboot(scene, node)
    assert scene.sh(node, ". /etc/os-release && echo $VERSION_CODENAME").strip() == NEW
    assert scene.sh(node, "dpkg --audit") == ""
    assert NOTHING_LEFT in scene.sh(node, "apt-get --simulate full-upgrade")
    scene.sh(node, "cloudvip doctor")
    for command in way.join:
        scene.sh(node, command.format(node=node))
        scene.well()
    tell(f"{engine}: {node} is back; {versions(scene, node)}")
    assert scene.moves() == []
    assert scene.lost() == {}


def reboot(scene: Scene, node: str) -> None:
    """Have a node reboot, and wait until it is up."""
    init = "cut -d' ' -f22 /proc/1/stat"
    before = scene.sh(node, init)
    scene.sh(node, "systemctl reboot", check=False)
    wait_until(f"{node} booted", lambda: scene.sh(node, init, check=False) not in ("", before), BOOT_SECONDS)
    # Some units are degraded in a container whatever the release.
    up = "systemctl is-system-running | grep --line-regexp 'running\\|degraded'"
    wait_until(f"{node} up", lambda: scene.sh(node, up, check=False), BOOT_SECONDS)


def change_holders(scene: Scene, old: str, new: str, tell: Tell) -> None:
    """With a node of each release: a move to the new one, which then dies. `old` has the group before and after.

    Not the other way round: while no old node is left, Pacemaker takes in none any more.
    """
    scene.move()
    scene.wait_for_takeover(old)
    scene.settle()
    scene.well()
    assert scene.holder == new
    began = time.monotonic_ns()
    scene.hit("kill", new)
    scene.wait_for_takeover(new)
    wait_until("an answer from every target", scene.answers)
    scene.heal()
    scene.well()
    assert scene.holder == old
    outages = scene.outages(began)
    tell(f"a node of each release, power cut of the new one: longest outage {max(outages.values()):.0f} ms")
    assert max(outages.values()) < TAKEOVER_MS, outages


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cluster_gets_the_next_debian_node_by_node_and_keeps_its_vips(pair: Lab, engine: str, tell: Tell) -> None:
    pair.converge(INVENTORY, *ENGINES[engine])
    before = ids(pair)
    with Scene(pair) as scene:
        last = scene.holder
        (first,) = scene.others
        upgrade(scene, engine, first, tell)
        change_holders(scene, last, first, tell)
        upgrade(scene, engine, last, tell)
        assert scene.holder == first

        scene.since = time.monotonic_ns()
        play = pair.converge(INVENTORY, *ENGINES[engine])
        scene.well()
        tell(f"{engine}: the playbook has changed {changes(play.output)}")
        # Which schema it has by now; there is none with keepalived.
        tell(scene.sh(first, "cibadmin --query --no-children", check=False))
        assert scene.moves() == []
        assert scene.lost() == {}
    again = pair.converge(INVENTORY, *ENGINES[engine])
    assert set(again.changed.values()) == {0}, again.output
    check(pair.drill("kill"))
    assert ids(pair) == before

# SPDX-License-Identifier: GPL-3.0-or-later
"""Two nodes with keepalived that lose sight of each other for moments, again and again.

Each may become master of a group then, and move it in the cloud; the one that was master all along is told of no
change. In the end the cloud, VRRP and the interfaces must agree, and soon. Ten groups go through it at the same time,
each in its own way. `--flaps` says how often, `--seed` draws the same ones again.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import pytest

from lab.fabric import ns
from lab.nodes import image
from tests.lab.conftest import KEEPALIVED, Lab
from tests.lab.scene import Scene, Watch
from tests.lab.test_failover import check

INVENTORY = "inventory/lab-pair"
# Half of the groups prefer the one node, half the other.
GROUPS = [
    {
        "name": f"vip{n}",
        "address": f"10.10.1.{50 + n}",
        "prefix": 24,
        "group": f"group{n}",
        "preferred_node": f"n{n % 2 + 1}",
    }
    for n in range(10)
]
TAKEOVER_MS = 5_000
# What a person may be without an address for after the nodes see each other again: almost always, and ever.
USUAL_SECONDS, LONGEST_SECONDS = 3.0, 10.0
API_FAULTS: list[dict[str, Any]] = [
    {"effect": "status", "status": 429, "probability": 0.7},
    {"effect": "status", "status": 500, "probability": 0.7},
    {"effect": "latency", "latency_ms": 300, "jitter_ms": 1500},
]

Tell = Callable[[str], None]


class Step(NamedTuple):
    """What is done at a moment, in seconds from the beginning of a round."""

    at: float
    do: Callable[[], object]


# What else happens during a round of so many seconds.
Upset = Callable[[Scene, random.Random, float], Step | None]


@pytest.fixture(scope="module")
def pair(lab: Lab) -> Lab:
    """The cluster of inventory/lab-pair, with keepalived."""
    lab.cluster("pair", INVENTORY, "keepalived")
    return lab


@pytest.fixture(scope="module")
def groups(pair: Lab) -> Lab:
    """The same with ten groups."""
    pair.standing = ""
    pair.converge(INVENTORY, *KEEPALIVED, *many())
    return pair


def many() -> list[str]:
    return ["-e", json.dumps({"cloudvip_vips": GROUPS})]


class Deafness:
    """Nodes that do not hear another one's adverts for some groups. All else passes."""

    _TABLE = "table inet deafness"

    def __init__(self, scene: Scene) -> None:
        self._netns = {node: scene.lab.netns(node) for node in scene.nodes}
        self._rules: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def add(self, source: str, router: int) -> None:
        """From now on the others do not hear what `source` says about a virtual router."""
        # The second byte of an advert is the router's id.
        address = {"n1": "10.10.1.11", "n2": "10.10.1.12"}[source]
        self._rules.append(f"ip saddr {address} ip protocol vrrp @th,8,8 {router} drop\n")
        chain = f"chain input {{\ntype filter hook input priority -300\n{''.join(self._rules)}}}\n"
        self._apply(f"{self._TABLE} {{\n{chain}}}\n")

    def end(self) -> None:
        """All hear all again."""
        self._rules.clear()
        self._apply("")

    def _apply(self, table: str) -> None:
        rules = f"{self._TABLE}\ndelete {self._TABLE}\n{table}"
        for netns in self._netns.values():
            with ns.enter(netns):
                subprocess.run(["nft", "--file", "-"], input=rules, text=True, check=True)


def draw(chance: random.Random, shortest: float, longest: float) -> float:
    """A length of time: as often from 1 to 2 seconds as from 2 to 4."""
    return math.exp(chance.uniform(math.log(shortest), math.log(longest)))


def flap(scene: Scene, seed: int, count: int, upset: Upset) -> list[float]:
    """So many times the adverts of one node about a group do not get to the other one.

    Those of all groups end at the same moment. upset: what happens meanwhile. Returns the seconds from there until all
    agreed about a group, for each flap.
    """
    chance = random.Random(seed)
    watch = Watch(scene)
    took: list[float] = []
    with Deafness(scene) as deafness:
        while len(took) < count:
            what = f"round {len(took) // len(GROUPS) + 1} of seed {seed}"
            if chance.random() < 0.5:
                # The node that a group prefers would be its master for good, as it wins whenever two masters meet.
                scene.sh(chance.choice(scene.nodes), "systemctl restart keepalived")
                watch.agreed(f"before {what}")
            flaps = [
                (draw(chance, 0.2, 6), victim(scene, chance, look.masters), watch.routers[group])
                for group, look in watch.looks().items()
            ]
            longest = max(seconds for seconds, _, _ in flaps)
            steps = [Step(longest - seconds, partial(deafness.add, *of)) for seconds, *of in flaps]
            extra = upset(scene, chance, longest)
            play([*steps, extra] if extra else steps, longest)
            deafness.end()
            scene.heal()
            took += watch.agreed(what, LONGEST_SECONDS)
    return took


def victim(scene: Scene, chance: random.Random, masters: frozenset[str]) -> str:
    """Mostly the master: what its standby does not say is not missed."""
    (master,) = masters
    return master if chance.random() < 0.8 else next(n for n in scene.nodes if n != master)


def play(steps: Sequence[Step], seconds: float) -> None:
    """Do each at its moment; all is over after so many seconds."""
    began = time.monotonic()
    for step in sorted([*steps, Step(seconds, lambda: None)], key=lambda step: step.at):
        time.sleep(max(0.0, began + step.at - time.monotonic()))
        step.do()


def summary(name: str, seed: int, took: Sequence[float]) -> str:
    mean = sum(took) / len(took)
    times = f"mean {mean:.2f}, 99 % within {percentile(took, 99):.2f}, worst {max(took):.2f} s"
    return f"{len(took)} {name}, seed {seed}: agreed after {times}"


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of them do not exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


# -- what happens during a round ---------------------------------------------------------------------------------------


def nothing_else(_scene: Scene, _chance: random.Random, _seconds: float) -> None:
    pass


def kill_a_consumer(scene: Scene, chance: random.Random, seconds: float) -> Step:
    kill = "systemctl kill --signal=KILL cloudvip-vrrp.service"
    return Step(chance.uniform(0, seconds), partial(scene.sh, chance.choice(scene.nodes), kill))


def break_the_api(scene: Scene, chance: random.Random, _seconds: float) -> Step:
    return Step(0, partial(scene.fault, **chance.choice(API_FAULTS), service="api"))


# -- the tests ---------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["kill", "linkdown"])
def test_the_other_node_takes_over(pair: Lab, kind: str) -> None:
    report = pair.drill(kind)
    check(report)
    assert max(v["outage_ms"] for v in report["vips"]) < TAKEOVER_MS


def test_after_each_random_one_way_flap_of_adverts_all_agree_soon(
    groups: Lab, flaps: int, seed: int, tell: Tell
) -> None:
    with Scene(groups, interval_ms=50) as scene:
        took = flap(scene, seed, flaps, nothing_else)
    tell(summary("flaps", seed, took))
    assert percentile(took, 99) <= USUAL_SECONDS, sorted(took)[-5:]


@pytest.mark.thorough
@pytest.mark.parametrize("upset", [kill_a_consumer, break_the_api])
def test_so_they_do_when_something_else_breaks_at_the_same_time(
    groups: Lab, flaps: int, seed: int, tell: Tell, upset: Upset
) -> None:
    with Scene(groups, interval_ms=50) as scene:
        took = flap(scene, seed, math.ceil(flaps / 5), upset)
    tell(summary(f"flaps with {upset.__name__}", seed, took))


@pytest.mark.thorough
def test_a_node_that_stood_still_leaves_one_owner_and_no_fight(
    groups: Lab, freezes: int, seed: int, tell: Tell
) -> None:
    chance = random.Random(seed)
    took: list[float] = []
    with Scene(groups, interval_ms=50) as scene:
        watch = Watch(scene)
        for number in range(1, freezes + 1):
            node, seconds = chance.choice(scene.nodes), draw(chance, 0.5, 60)
            scene.hit("freeze", node)
            time.sleep(seconds)
            scene.heal()
            what = f"freeze {number} of seed {seed}, {node} for {seconds:.1f} s"
            took.append(max(watch.agreed(what, LONGEST_SECONDS)))
            scene.stays(5)
    tell(summary("freezes", seed, took))


# The last ones: they leave another lab behind.
@pytest.mark.long
@pytest.mark.parametrize("release", image.DEBIAN[1:])
def test_another_release_of_keepalived_does_so_too(lab: Lab, release: str, seed: int, tell: Tell) -> None:
    lab.down()
    lab.up("pair", release)
    lab.converge(INVENTORY, *KEEPALIVED)
    check(lab.drill("kill"))
    lab.converge(INVENTORY, *KEEPALIVED, *many())
    assert lab.converge(INVENTORY, *KEEPALIVED, *many()).changed == {"n1": 0, "n2": 0}
    with Scene(lab, interval_ms=50) as scene:
        took = flap(scene, seed, 20, nothing_else)
    tell(summary(f"flaps on {release}", seed, took))

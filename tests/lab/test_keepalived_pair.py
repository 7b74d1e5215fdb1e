# SPDX-License-Identifier: GPL-3.0-or-later
"""Two nodes with keepalived that lose sight of each other for moments, again and again.

Each may become master then, and move the group in the cloud; the one that was master all along is told of no change. In
the end the cloud, VRRP and the interfaces must agree, and soon. `--flaps` says how often, `--seed` draws the same ones
again.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lab.nodes import image
from tests.lab.conftest import KEEPALIVED, Lab
from tests.lab.scene import Scene, Watch
from tests.lab.test_failover import check

pytestmark = pytest.mark.failures
INVENTORY = "inventory/lab-pair"
TAKEOVER_MS = 5_000
# What a person may be without an address for after the nodes see each other again: almost always, and ever.
USUAL_SECONDS, LONGEST_SECONDS = 3.0, 10.0
API_FAULTS: list[dict[str, Any]] = [
    {"effect": "status", "status": 429, "probability": 0.7},
    {"effect": "status", "status": 500, "probability": 0.7},
    {"effect": "latency", "latency_ms": 300, "jitter_ms": 1500},
]

Tell = Callable[[str], None]
Upset = Callable[[Scene, random.Random, float], None]


@pytest.fixture(scope="module")
def pair(lab: Lab) -> Lab:
    """The cluster of inventory/lab-pair, with keepalived."""
    lab.cluster("pair", INVENTORY, "keepalived")
    return lab


def draw(chance: random.Random, shortest: float, longest: float) -> float:
    """A length of time: as often from 1 to 2 seconds as from 2 to 4."""
    return math.exp(chance.uniform(math.log(shortest), math.log(longest)))


def victim(scene: Scene, chance: random.Random) -> str:
    """Mostly the holder: what its standby does not say is not missed."""
    return scene.holder if chance.random() < 0.8 else scene.others[0]


def flap(scene: Scene, seed: int, count: int, upset: Upset) -> list[float]:
    """So many times the adverts of one node do not get to the other; nothing else passes between these nodes.

    upset: what happens meanwhile, for so many seconds. Returns the seconds from each healing until all agreed.
    """
    chance = random.Random(seed)
    watch = Watch(scene)
    took = []
    for number in range(1, count + 1):
        if chance.random() < 0.2:
            # The node of higher priority would be the master for good, as it wins whenever two masters meet.
            scene.move()
            watch.agreed(f"before flap {number} of seed {seed}")
        source, seconds = victim(scene, chance), draw(chance, 0.2, 6)
        scene.hit("partition", source, direction="out")
        upset(scene, chance, seconds)
        scene.heal()
        what = f"flap {number} of seed {seed}, {seconds:.2f} s without adverts of {source}"
        took.append(watch.agreed(what, LONGEST_SECONDS))
    return took


def summary(name: str, seed: int, took: Sequence[float]) -> str:
    mean = sum(took) / len(took)
    times = f"mean {mean:.2f}, 99 % within {percentile(took, 99):.2f}, worst {max(took):.2f} s"
    return f"{len(took)} {name}, seed {seed}: agreed after {times}"


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of them do not exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


# -- what happens during a flap ----------------------------------------------------------------------------------------


def nothing_else(_scene: Scene, _chance: random.Random, seconds: float) -> None:
    time.sleep(seconds)


def kill_a_consumer(scene: Scene, chance: random.Random, seconds: float) -> None:
    before = chance.uniform(0, seconds)
    time.sleep(before)
    scene.sh(chance.choice(scene.nodes), "systemctl kill --signal=KILL cloudvip-vrrp.service")
    time.sleep(seconds - before)


def break_the_api(scene: Scene, chance: random.Random, seconds: float) -> None:
    scene.fault(**chance.choice(API_FAULTS), service="api")
    time.sleep(seconds)


# -- the tests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["kill", "linkdown"])
def test_the_other_node_takes_over(pair: Lab, kind: str) -> None:
    report = pair.drill(kind)
    check(report)
    assert max(v["outage_ms"] for v in report["vips"]) < TAKEOVER_MS


def test_after_each_random_one_way_flap_of_adverts_all_agree_soon(pair: Lab, flaps: int, seed: int, tell: Tell) -> None:
    with Scene(pair, interval_ms=50) as scene:
        took = flap(scene, seed, flaps, nothing_else)
    tell(summary("flaps", seed, took))
    assert percentile(took, 99) <= USUAL_SECONDS, sorted(took)[-5:]


@pytest.mark.long
@pytest.mark.parametrize("upset", [kill_a_consumer, break_the_api])
def test_so_they_do_when_something_else_breaks_at_the_same_time(
    pair: Lab, flaps: int, seed: int, tell: Tell, upset: Upset
) -> None:
    with Scene(pair, interval_ms=50) as scene:
        took = flap(scene, seed, math.ceil(flaps / 5), upset)
    tell(summary(f"flaps with {upset.__name__}", seed, took))


@pytest.mark.parametrize("count", [3, pytest.param(100, marks=pytest.mark.long)])
def test_a_node_that_stood_still_leaves_one_owner_and_no_fight(pair: Lab, count: int, seed: int, tell: Tell) -> None:
    chance = random.Random(seed)
    took = []
    with Scene(pair, interval_ms=50) as scene:
        watch = Watch(scene)
        for number in range(1, count + 1):
            node, seconds = victim(scene, chance), draw(chance, 0.5, 60)
            scene.hit("freeze", node)
            time.sleep(seconds)
            scene.heal()
            what = f"freeze {number} of seed {seed}, {node} for {seconds:.1f} s"
            took.append(watch.agreed(what, LONGEST_SECONDS))
            scene.stays(5)
    tell(summary("freezes", seed, took))


# The last ones: they leave another lab behind.
@pytest.mark.long
@pytest.mark.parametrize("release", image.RELEASES[1:])
def test_another_release_of_keepalived_does_so_too(lab: Lab, release: str, seed: int, tell: Tell) -> None:
    lab.down()
    lab.up("pair", release)
    lab.converge(INVENTORY, *KEEPALIVED)
    assert lab.converge(INVENTORY, *KEEPALIVED).changed == {"n1": 0, "n2": 0}
    check(lab.drill("kill"))
    with Scene(lab, interval_ms=50) as scene:
        took = flap(scene, seed, 20, nothing_else)
    tell(summary(f"flaps on {release}", seed, took))

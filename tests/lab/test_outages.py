# SPDX-License-Identifier: GPL-3.0-or-later
"""The cloud's own services go away for a while: nothing moves for it, and nothing is left of it afterwards.

`--outage` says how long; `make campaign` takes five minutes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from cloudvip.oci import _TIMEOUT as CALL_SECONDS
from cloudvip.retry import _LONGEST as BACKOFF_SECONDS

from tests.lab.conftest import Lab, wait_until
from tests.lab.scene import AUDIT, RESOURCE, Scene

pytestmark = pytest.mark.long
# The audit of the cluster is due each minute.
AUDIT_SECONDS = 60
# On top of the interval of the retries: the connection, the answers, and that a takeover is more than one call.
MARGIN_SECONDS = 3
# From one failed start to the next one: failure-timeout, which the cluster looks at each full second.
NEXT_START_SECONDS = 7

STORM: list[dict[str, Any]] = [
    {"effect": "status", "service": "api", "status": 429, "probability": 0.5},
    {"effect": "status", "service": "api", "status": 503, "latency_ms": 200, "probability": 0.5},
    {"effect": "hang", "service": "api", "probability": 0.3},
    {"effect": "drop", "service": "api"},
]
DNS: list[dict[str, Any]] = [
    {"effect": "status", "service": "dns", "probability": 0.5},
    {"effect": "drop", "service": "dns"},
]
METADATA: list[dict[str, Any]] = [{"effect": "hang", "service": "imds"}, {"effect": "drop", "service": "federation"}]


@pytest.fixture
def scene(cluster: Lab) -> Iterator[Scene]:
    with Scene(cluster) as scene:
        yield scene


@pytest.mark.parametrize(
    ("faults", "truth", "whole"),
    [
        (DNS, "here", False),
        (METADATA, "here", False),
        (STORM, "unknown", False),
        (STORM + DNS + METADATA, "unknown", True),
    ],
    ids=["dns", "metadata", "api", "all"],
)
def test_an_outage_moves_nothing_and_loses_nothing(
    scene: Scene, outage: int, faults: list[dict[str, Any]], truth: str, whole: bool
) -> None:
    holder = scene.holder
    scene.sh(holder, f"rm -f {AUDIT}")
    began = time.monotonic()
    for fault in faults:
        scene.control.add_fault(fault)
    assert scene.agent(holder, "monitor", level=10, every=60).code == 0
    assert scene.cloud_truths(holder) == {truth}
    if whole:
        # The cluster's own audit, and what it makes of it.
        scene.sh(holder, f"rm -f {AUDIT}")
        wait_until("the cluster's audit", lambda: scene.sh(holder, f"cat {AUDIT}", check=False), AUDIT_SECONDS + 20)
    # Short ones cover a few monitors of the interfaces.
    time.sleep(max(0, (outage if outage > AUDIT_SECONDS else 12) - (time.monotonic() - began)))
    assert scene.cloud_truths(holder) == {truth}
    assert RESOURCE not in scene.failures(holder)
    scene.control.clear_faults()
    assert scene.audit(holder).code == 0
    assert scene.cloud_truths(holder) == {"here"}
    assert scene.moves() == []
    assert scene.lost() == {}


@pytest.mark.parametrize(
    ("fault", "interval"),
    [
        ({"effect": "status", "status": 503}, BACKOFF_SECONDS),
        ({"effect": "status", "status": 429}, BACKOFF_SECONDS),
        ({"effect": "drop"}, BACKOFF_SECONDS),
        ({"effect": "hang"}, BACKOFF_SECONDS + CALL_SECONDS),
        # No use to try it for long, so it is the cluster that tries again, on each node in turn.
        ({"effect": "status", "status": 404}, NEXT_START_SECONDS),
    ],
    ids=lambda value: str(value.get("status", value["effect"])) if isinstance(value, dict) else "",
)
def test_a_holder_dies_in_an_outage_and_the_vips_are_back_when_the_api_is(
    scene: Scene, outage: int, fault: dict[str, Any], interval: float
) -> None:
    old = scene.holder
    scene.control.add_fault({**fault, "service": "api"})
    scene.hit("kill", old)
    time.sleep(outage)
    assert scene.hits() > 0
    assert scene.moves() == []
    returned = time.monotonic_ns()
    scene.control.clear_faults()
    scene.wait_for_takeover(old, interval + MARGIN_SECONDS)
    wait_until("an answer from every target", scene.answers)
    assert scene.back_after(returned) < interval + MARGIN_SECONDS

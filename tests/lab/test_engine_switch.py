# SPDX-License-Identifier: GPL-3.0-or-later
"""A running cluster gets the other engine by one setting, and the first one back."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.lab.conftest import ENGINES, Lab
from tests.lab.scene import Scene
from tests.lab.test_playbook import INVENTORY, ids

pytestmark = pytest.mark.long
LONGEST_MS = 2_000


def test_a_cluster_changes_its_engine_and_changes_it_back(cluster: Lab, tell: Callable[[str], None]) -> None:
    before = ids(cluster)
    # Whatever becomes of it, it is not what the other tests want.
    cluster.standing = ""
    with Scene(cluster) as scene:
        for engine in ("keepalived", "pacemaker"):
            began = time.monotonic_ns()
            cluster.converge(INVENTORY, *ENGINES[engine])
            scene.well()
            outages = scene.outages(began)
            tell(f"to {engine}: longest outage {max(outages.values()):.0f} ms, {len(scene.moves(began))} moves")
            assert ids(cluster) == before
            assert max(outages.values()) <= LONGEST_MS, outages
            again = cluster.converge(INVENTORY, *ENGINES[engine])
            assert set(again.changed.values()) == {0}, again.output
    cluster.standing = INVENTORY

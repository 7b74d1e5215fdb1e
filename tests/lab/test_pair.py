# SPDX-License-Identifier: GPL-3.0-or-later
"""Two nodes, one subnet, and no package cache: the two-node tutorials' shape, on machines as bare as they come."""

from __future__ import annotations

import json

import pytest

from tests.lab.conftest import Lab
from tests.lab.test_failover import check

INVENTORY = "inventory/lab-pair"


@pytest.fixture(scope="module")
def pair(lab: Lab) -> Lab:
    """The cluster of inventory/lab-pair, on nodes whose image's warm package cache was emptied."""
    lab.down()
    lab.up("pair")
    for node in ("n1", "n2"):
        lab.sh(node, "apt-get clean && find /var/lib/apt/lists -type f -delete")
    lab.converge(INVENTORY)
    return lab


def test_a_pair_is_built_from_bare_nodes_and_a_second_run_changes_nothing(pair: Lab) -> None:
    assert pair.converge(INVENTORY).changed == {"n1": 0, "n2": 0}


@pytest.mark.parametrize("kind", ["kill", "move"])
def test_the_other_node_takes_over(pair: Lab, kind: str) -> None:
    check(pair.drill(kind))


def test_more_vips_than_a_vnic_holds_are_refused(pair: Lab) -> None:
    many = [{"name": f"v{n}", "address": f"10.10.1.{n}", "prefix": 24} for n in range(130, 194)]
    play = pair.play(INVENTORY, "-e", json.dumps({"cloudvip_vips": many}))
    assert play.returncode != 0
    assert "63" in play.output
    assert set(play.changed.values()) == {0}

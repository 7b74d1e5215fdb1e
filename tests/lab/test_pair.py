# SPDX-License-Identifier: GPL-3.0-or-later
"""Two nodes, one subnet, and no package cache: the two-node tutorials' shape, on machines as bare as they come.

On three generations of the stack: Pacemaker 2.0, 2.1 and 3.0, Python 3.9, 3.11 and 3.13.
"""

from __future__ import annotations

import json

import pytest

from lab.nodes import image
from tests.lab.conftest import Lab
from tests.lab.test_failover import check

pytestmark = pytest.mark.long
INVENTORY = "inventory/lab-pair"


DEFAULT, *OTHERS = image.DEBIAN


# The default one comes last: the tests after these go on with its cluster.
@pytest.fixture(scope="module", params=[*OTHERS, DEFAULT])
def pair(lab: Lab, request: pytest.FixtureRequest) -> Lab:
    """The cluster of inventory/lab-pair, on nodes whose image's warm package cache was emptied."""
    lab.down()
    lab.up("pair", request.param)
    for node in ("n1", "n2"):
        lab.sh(node, "apt-get clean && find /var/lib/apt/lists -type f -delete")
    lab.converge(INVENTORY)
    lab.standing = INVENTORY
    return lab


def test_a_pair_is_built_from_bare_nodes_and_a_second_run_changes_nothing(pair: Lab) -> None:
    assert pair.converge(INVENTORY).changed == {"n1": 0, "n2": 0}


def test_the_other_node_takes_over(pair: Lab) -> None:
    check(pair.drill("kill"))


def test_the_agent_is_a_good_citizen_by_ocf_tester(pair: Lab) -> None:
    pair.sh("n1", "apt-get install --yes --no-install-recommends resource-agents libxml2-utils")
    pair.sh("n1", "crm_attribute --name maintenance-mode --update true")
    try:
        agent = "/usr/lib/ocf/resource.d/cloudvip/vips"
        said = pair.sh("n1", f"ocf-tester -n test -o group=main {agent} 2>&1", check=False)
        assert f"{agent} passed all tests" in said, said
    finally:
        pair.sh("n1", "crm_attribute --name maintenance-mode --delete")


def test_more_vips_than_a_vnic_holds_are_refused(pair: Lab) -> None:
    many = [{"name": f"v{n}", "address": f"10.10.1.{n}", "prefix": 24} for n in range(130, 194)]
    play = pair.play(INVENTORY, "-e", json.dumps({"cloudvip_vips": many}))
    assert play.returncode != 0
    assert "63" in play.output
    assert set(play.changed.values()) == {0}

# SPDX-License-Identifier: GPL-3.0-or-later
"""Random faults, of nodes and of the cloud. `make campaign` takes two hundred of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.campaign import draw
from tests.lab.conftest import Lab

COUNT = 6


def strike(cluster: Lab, seed: int, evidence: Path) -> None:
    """Some random faults, each of which has to end well."""
    run = cluster.run(
        "campaign", "--seed", str(seed), "--count", str(COUNT), "--within", "90s", "--save", str(evidence), "--json",
        check=False,
    )  # fmt: skip
    outcomes = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    assert [o["strike"]["number"] for o in outcomes] == [*range(1, COUNT + 1)]
    assert all(o["ok"] for o in outcomes)
    assert [o["strike"]["kind"] for o in outcomes] == [draw(seed, n).kind for n in range(1, COUNT + 1)]


@pytest.mark.parametrize("seed", [20])
@pytest.mark.long
def test_after_each_of_some_random_faults_the_cluster_is_well_by_itself(
    cluster: Lab, seed: int, tmp_path: Path
) -> None:
    strike(cluster, seed, tmp_path / "evidence")

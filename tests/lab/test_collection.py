# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as people install it, run by ansible-runner, away from the checkout and from its settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ansible_runner
import pytest

from tests.collection import package
from tests.lab.conftest import ROOT, Lab
from tests.lab.test_pair import INVENTORY

pytestmark = pytest.mark.long

Play = Callable[[str], Any]


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the collection is installed, from a package."""
    source, directory = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("user")
    package.checkout(source)
    return package.install(directory, package.build(directory, source))


@pytest.fixture
def play(collections: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Runs a playbook of the installed collection on the nodes of inventory/lab-pair; what came of it."""
    for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{package.BIN}:{os.environ['PATH']}")

    def play(playbook: str) -> Any:
        return ansible_runner.run(
            private_data_dir=str(tmp_path),
            playbook=playbook,
            inventory=str(ROOT / INVENTORY),
            envvars={"ANSIBLE_COLLECTIONS_PATH": str(collections)},
            quiet=True,
        )

    return play


def test_bare_nodes_become_a_cluster_and_a_second_run_changes_nothing(lab: Lab, play: Play) -> None:
    lab.up("pair")
    lab.reset()

    built = play("cloudvip.ha.site")
    assert built.status == "successful", built.stdout.read()[-6000:]
    lab.standing = INVENTORY
    assert set(lab.holders().values()) in ({"n1"}, {"n2"})

    again = play("cloudvip.ha.site")
    assert again.status == "successful", again.stdout.read()[-6000:]
    assert again.stats["changed"] == {}, again.stdout.read()[-6000:]

    for other in ("cloudvip.ha.doctor", "cloudvip.ha.status"):
        asked = play(other)
        assert asked.status == "successful", asked.stdout.read()[-6000:]

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cloud.pki import Pki, ensure
from lab.cloud.testing import Running, running
from lab.topology import Topology, load


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the keys are; made once, because making them is the slow part."""
    return tmp_path_factory.mktemp("lab")


@pytest.fixture
def topology() -> Topology:
    return load("vrouters")


@pytest.fixture
def pki(base: Path, topology: Topology) -> Pki:
    return ensure(base, topology)


@pytest.fixture
def lab(base: Path, topology: Topology) -> Iterator[Running]:
    with running(topology, base) as running_lab:
        yield running_lab

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cloud.pki import Pki, ensure
from lab.cloud.testing import Running, running
from lab.topology import Topology


@pytest.fixture
def pki(keys: Path, topology: Topology) -> Pki:
    return ensure(keys, topology)


@pytest.fixture
def lab(keys: Path, topology: Topology) -> Iterator[Running]:
    with running(topology, keys) as running_lab:
        yield running_lab

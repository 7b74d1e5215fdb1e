# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests with an emulated cloud share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import oci
import pytest

from lab.topology import Topology, load


@pytest.fixture(scope="session")
def topology() -> Topology:
    return load("vrouters")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where emulated clouds have their keys. Making them takes a second, and the SDK proves one for every client."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("oci.signer.load_private_key_from_file", cache(oci.signer.load_private_key_from_file))
        yield tmp_path_factory.mktemp("lab")

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the plugins share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.cloud.testing import Running, running
from lab.topology import Topology, load
from tests.unit.plugins.worlds import FakeWorld, LabWorld, World


@pytest.fixture(scope="session")
def topology() -> Topology:
    return load("vrouters")


@pytest.fixture(scope="session")
def lab_server(topology: Topology, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(topology, tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def lab_world(topology: Topology, lab_server: Running, monkeypatch: pytest.MonkeyPatch) -> LabWorld:
    # The host's own settings must not lead the SDK, or a module's fallbacks, anywhere else.
    for name in ("OCI_CLI_CONFIG_FILE", "OCI_CONFIG_FILE", "OCI_CLI_ENDPOINT", "OCI_CLI_CERT_BUNDLE", "OCI_CLI_AUTH"):
        monkeypatch.delenv(name, raising=False)
    lab_server.do(lab_server.cloud.reset())
    lab_server.call(lab_server.faults.clear)
    lab_server.call(lab_server.events.clear)
    return LabWorld(lab_server, topology)


@pytest.fixture(params=["fake", "lab"])
def world(request: pytest.FixtureRequest, topology: Topology) -> World:
    if request.param == "fake":
        return FakeWorld(topology)
    found: LabWorld = request.getfixturevalue("lab_world")
    return found

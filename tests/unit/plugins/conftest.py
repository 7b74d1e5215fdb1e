# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the plugins share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic

from lab.cloud.testing import Running, running
from lab.topology import Topology
from tests.unit.plugins.worlds import FakeWorld, LabWorld, World


def give(monkeypatch: pytest.MonkeyPatch, arguments: Mapping[str, Any]) -> None:
    """Have AnsibleModule find these arguments. ansible-core has a function for it, but not before 2.19."""
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)


@pytest.fixture(scope="session")
def lab_server(topology: Topology, keys: Path) -> Iterator[Running]:
    with running(topology, keys) as lab:
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

# SPDX-License-Identifier: GPL-3.0-or-later
"""The mover with everything around it replaced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from cloudvip.mover import Mover
from cloudvip.netdev import Netdev
from cloudvip.signing import run_openssl
from cloudvip.state import State

from lab.cloud.testing import Running, running
from lab.topology import Topology
from tests.unit.roles.vip_agent.emulated import Node, allow, reserve
from tests.unit.roles.vip_agent.fakes import POD1, TRANSIT, FakeClock, FakeCloud, FakeIp, FakeLog


class Bench:
    """A node: its mover and what surrounds it."""

    def __init__(self, directory: Path, cloud: FakeCloud) -> None:
        self.cloud = cloud
        self.clock = cloud.clock = FakeClock()
        self.log = FakeLog()
        self.ip = FakeIp()
        self.run = directory / "run"
        self.config_file = directory / "config.json"
        self.checks_file = directory / "checks.json"
        self.state = State(str(self.run))
        self.configure(TRANSIT, POD1)
        self.mover = Mover(
            str(self.config_file), self.state, Netdev(self.ip), self.log, self.clock, checks_file=str(self.checks_file)
        )

    def configure(self, *vips: dict[str, Any]) -> None:
        """Write the node's configuration with one group, `main`."""
        groups = {"main": {"revision": f"r{len(vips)}", "vips": list(vips)}}
        config = {"version": 1, "cloud": "oci", "oci": self.cloud.settings(), "groups": groups}
        self.config_file.write_text(json.dumps(config))

    def has(self, address: str) -> bool:
        """Whether an interface of the node has that address."""
        return any(address in addresses for addresses in self.ip.addresses.values())


@cache
def made(arguments: tuple[str, ...]) -> Iterator[bytes]:
    return cycle([run_openssl(list(arguments)) for _ in range(3)])


@pytest.fixture(autouse=True)
def keys_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each token's key again after two others: to make one takes longer than most tests."""

    def run(arguments: list[str], data: bytes = b"") -> bytes:
        return next(made(tuple(arguments))) if arguments[0] == "genpkey" else run_openssl(arguments, data)

    monkeypatch.setattr("cloudvip.federation.run_openssl", run)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[FakeCloud]:
    fake = FakeCloud(tmp_path)
    yield fake
    fake.close()


@pytest.fixture
def bench(tmp_path: Path, cloud: FakeCloud) -> Bench:
    return Bench(tmp_path, cloud)


@pytest.fixture
def lab(topology: Topology, keys: Path) -> Iterator[Running]:
    """The lab's cloud with the objects of the VIPs; nobody has been allowed anything."""
    with running(topology, keys, tls=True) as emulated:
        reserve(emulated)
        yield emulated


@pytest.fixture
def node(lab: Running, tmp_path: Path) -> Node:
    """A node that may move the VIPs."""
    allow(lab)
    return Node(lab, "vr1", tmp_path)

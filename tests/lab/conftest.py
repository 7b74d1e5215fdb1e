# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as the tests see it. One lab at a time; a test that needs bare nodes or another topology asks for them."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import oci
import pytest

from lab import paths
from lab.control import Control, Status
from lab.fabric import ns
from lab.nodes import image, podman
from lab.topology import API_ADDRESS

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
_ENVIRONMENT = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
T = TypeVar("T")
# What needs bare nodes comes first, so that the cluster is built once.
_ORDER = [
    "lifecycle", "cloud_semantics", "adoption", "playbook", "permissions", "pods", "failover", "failures", "outages",
    "campaign", "sdk_and_cli", "engine_switch", "keepalived", "network_managers", "upgrade", "pair", "collection",
    "checks", "pair_failures", "keepalived_pair",
]  # fmt: skip
# What the playbook is told beyond the lab's inventories, which are for Pacemaker.
ENGINES = {"pacemaker": (), "keepalived": ("-e", "cloudvip_engine=keepalived")}
KEEPALIVED = ENGINES["keepalived"]
_RECAP = re.compile(r"^(\S+)\s*: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _ORDER.index(item.path.stem.removeprefix("test_")))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outage", type=int, default=10, help="seconds that an outage of the cloud's services lasts")
    parser.addoption("--flaps", type=int, default=100, help="how many random flaps of VRRP adverts there are")
    parser.addoption("--freezes", type=int, default=3, help="how many times a node stands still, up to a minute each")
    parser.addoption("--seed", type=int, help="draw what is random from this seed (default: a new one each time)")


@pytest.fixture
def outage(request: pytest.FixtureRequest) -> int:
    """How long an outage lasts, in seconds."""
    seconds: int = request.config.getoption("--outage")
    return seconds


@pytest.fixture
def flaps(request: pytest.FixtureRequest) -> int:
    """How many flaps there are to be."""
    count: int = request.config.getoption("--flaps")
    return count


@pytest.fixture
def freezes(request: pytest.FixtureRequest) -> int:
    """How many times a node is to stand still."""
    count: int = request.config.getoption("--freezes")
    return count


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What random things are drawn from. A test that fails shows it."""
    given: int | None = request.config.getoption("--seed")
    seed = secrets.randbelow(1_000_000) if given is None else given
    sys.stdout.write(f"seed {seed}\n")
    return seed


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Writes a line for whoever watches the tests, those that pass too."""

    def tell(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return tell


def wait_until(what: str, probe: Callable[[], T], seconds: float = 30) -> T:
    """The first true answer of `probe`; fails the test with `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what} (last answer: {answer!r})")
        time.sleep(0.1)


@dataclass(frozen=True)
class Play:
    """A finished ansible-playbook run."""

    returncode: int
    output: str

    @property
    def changed(self) -> dict[str, int]:
        """Host -> number of changed tasks."""
        return {m[1]: int(m[3]) for m in _RECAP.finditer(self.output)}


class Lab:
    """The lab's command line and its cloud's admin, for tests."""

    def __init__(self) -> None:
        self.control = Control()
        # What the playbook was given for the cluster that stands, as far as the tests know.
        self.standing = ""

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(BIN / "lab"), *arguments], capture_output=True, text=True, check=False, env=_ENVIRONMENT
        )
        if check and done.returncode != 0:
            pytest.fail(f"lab {' '.join(arguments)}: rc {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def up(self, topology: str, release: str = image.RELEASES[0]) -> Status:
        self.run("up", "--topology", topology, "--release", release)
        return self.control.status()

    def down(self) -> None:
        self.standing = ""
        self.run("down")

    def reset(self) -> None:
        self.standing = ""
        self.control.clear_faults()
        self.run("reset", "--fresh-cloud")

    def cluster(self, topology: str, inventory: str, engine: str = "pacemaker") -> None:
        """The cluster of an inventory, built with that engine from bare nodes unless it stands already."""
        wanted = " ".join([inventory, *ENGINES[engine]])
        if self.standing != wanted:
            self.up(topology)
            self.reset()
            self.converge(inventory, *ENGINES[engine])
            self.standing = wanted

    def netns(self, node: str) -> Path:
        """The network namespace of a node, until its power goes: a way to look into it without asking it."""
        argv = ["podman", "--runtime", "runc", "inspect", paths.container(node), "--format", "{{.State.Pid}}"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        return podman.netns(int(done.stdout))

    def sh(self, node: str, command: str, *, check: bool = True) -> str:
        """Run a shell command on a node as root. Returns its standard output."""
        argv = podman.exec_argv(node, ["sh", "-c", command])
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            pytest.fail(f"{node}: {command}: rc {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def drill(self, kind: str, *arguments: str) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.run("drill", kind, "--json", *arguments).stdout)
        return report

    def holders(self) -> dict[str, str | None]:
        """Address -> the node that the cloud delivers it to."""
        status = self.control.status()
        return {f.address: status.holder(f) for f in status.floating}

    def play(self, inventory: str, *arguments: str, playbook: str = "site.yml") -> Play:
        done = subprocess.run(
            [str(BIN / "ansible-playbook"), playbook, "-i", inventory, *arguments],
            cwd=ROOT, env=_ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return Play(done.returncode, done.stdout + done.stderr)

    def converge(self, inventory: str, *arguments: str) -> Play:
        """Run site.yml and insist that it succeeds."""
        play = self.play(inventory, *arguments)
        if play.returncode != 0:
            pytest.fail(f"site.yml -i {inventory} {' '.join(arguments)}:\n{play.output[-6000:]}")
        return play

    def network(self) -> oci.core.VirtualNetworkClient:
        """The cloud's API as its administrator sees it, through the unmodified SDK."""
        return self._client(oci.core.VirtualNetworkClient)

    def compute(self) -> oci.core.ComputeClient:
        """The part of it that is about instances."""
        return self._client(oci.core.ComputeClient)

    def identity(self) -> oci.identity.IdentityClient:
        """The part of it that is about who may do what."""
        return self._client(oci.identity.IdentityClient)

    def _client(self, factory: Any) -> Any:
        config = oci.config.from_file(str(paths.STATE / "oci" / "config"))
        client = factory(config, service_endpoint=f"https://{API_ADDRESS}")
        client.base_client.session.trust_env = False  # REQUESTS_CA_BUNDLE would win over what is set here
        client.base_client.session.verify = str(paths.STATE / "pki" / "ca.pem")
        return client


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab, up with whatever topology the tests ask for, and gone afterwards."""
    lab = Lab()
    yield lab
    lab.down()


@pytest.fixture(scope="module")
def bare(lab: Lab) -> Lab:
    """`vrouters` with bare nodes and an empty cloud."""
    lab.up("vrouters")
    lab.reset()
    return lab


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Lab:
    """The cluster of inventory/lab."""
    lab.cluster("vrouters", "inventory/lab")
    return lab


class Asker:
    """A client that asks echo servers who they are."""

    def __init__(self, client: str) -> None:
        self._socket = ns.socket_in(paths.client_netns(client), socket.AF_INET, socket.SOCK_DGRAM)
        self._count = 0

    def ask(self, address: str, seconds: float = 0.3, port: int = 7) -> str | None:
        """The name of the host that answers for `address`, or None."""
        self._count += 1
        word = f"ask-{self._count}".encode()
        self._socket.sendto(word, (address, port))
        self._socket.settimeout(seconds)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                answer = self._socket.recv(2048)
            except (TimeoutError, ConnectionRefusedError):
                return None
            if answer.startswith(word + b" "):
                return answer.split()[-1].decode()
        return None

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def pod1() -> Iterator[Asker]:
    """Asks from pod1-client."""
    asker = Asker("pod1-client")
    yield asker
    asker.close()

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark runs on: the lab, the clusters that the playbook builds in it, and the baselines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import oci

from lab import paths
from lab.control import Control, LabError
from lab.topology import API_ADDRESS

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "bench"
NODE = "n3"
"""The node on which the mover is timed. It is out of the cluster by then."""
AWAY = "n1"
"""Where addresses are in the cloud before each claim."""
AGENT = "/usr/lib/ocf/resource.d/cloudvip/vips"
COMMAND = "/usr/sbin/cloudvip"
CLI = "/usr/local/bin/oci"
OCIVIP = "/usr/lib/ocf/resource.d/heartbeat/ocivip"
CONFIG = "/etc/cloudvip/config.json"
_SITE = "/opt/oci-cli/site-packages"
_BIN = Path(sys.executable).parent
_CLI_SCRIPT = f"""#!/usr/bin/python3
import sys
sys.path.insert(0, "{_SITE}")
from oci_cli.cli import cli
sys.exit(cli())
"""
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
}
CLI_ENVIRONMENT = {
    **ENVIRONMENT,
    "OCI_CLI_AUTH": "instance_principal",
    # What a user of a private realm would set; the region itself comes from the metadata service.
    "OCI_CLI_USE_INSTANCE_METADATA_SERVICE": "1",
    "REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt",
}
OCF_ENVIRONMENT = {**ENVIRONMENT, "OCF_ROOT": "/usr/lib/ocf", "OCF_RA_VERSION_MAJOR": "1", "OCF_RA_VERSION_MINOR": "1"}
_PERIOD_US = 100_000


class BenchError(RuntimeError):
    """The benchmark cannot go on; the message says what failed and what it said."""


@dataclass(frozen=True)
class Run:
    """One run of a program on the node. Times are monotonic ns, `cpu` is in seconds, `peak` in bytes."""

    began: int
    ended: int
    status: int
    cpu: float
    peak: int
    output: str

    @property
    def ms(self) -> float:
        return (self.ended - self.began) / 1e6


@dataclass(frozen=True)
class Address:
    """A VIP of the benchmark. `away` is the VNIC on which it waits, `vnic_id` the node's own."""

    id: str
    address: str
    vnic_id: str
    away: str


def host(*argv: str, cwd: Path = ROOT, log: Path | None = None) -> str:
    """Run a program of this checkout on the host and return its output. Raises BenchError."""
    environment = {**os.environ, "PATH": f"{_BIN}:{os.environ['PATH']}", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if log:
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv)}: status {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


class Node:
    """A node's programs, started from the host without a container engine in between."""

    def __init__(self, name: str) -> None:
        self.name = name
        pid = host("podman", "inspect", paths.container(name), "--format", "{{.State.Pid}}").strip()
        self._enter = [shutil.which("nsenter") or "nsenter", "-t", pid, "-m", "-u", "-i", "-n", "-p"]
        self._timed = (Path(__file__).parent / "timed.py").read_text(encoding="utf-8")
        self._traced = (Path(__file__).parent / "traced.py").read_text(encoding="utf-8")

    def sh(self, command: str, data: bytes = b"") -> str:
        """Run a shell command as root and return its output. Raises BenchError."""
        argv = [*self._enter, "sh", "-c", command]
        done = subprocess.run(argv, input=data, capture_output=True, env=ENVIRONMENT, check=False)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise BenchError(f"{self.name}: {command}: status {done.returncode}\n{said[-3000:]}")
        return done.stdout.decode(errors="replace")

    def copy(self, tree: Path, target: str) -> None:
        """Copy a directory of the host onto the node. Raises BenchError."""
        self.sh(f"mkdir -p {target}")
        with subprocess.Popen(["tar", "-C", str(tree), "-cf", "-", "."], stdout=subprocess.PIPE) as packed:
            unpacked = subprocess.run([*self._enter, "tar", "-C", target, "-xf", "-"], stdin=packed.stdout, check=False)
        if packed.returncode or unpacked.returncode:
            raise BenchError(f"{self.name}: {tree} cannot be copied to {target}")

    def time(self, argv: Sequence[str], environment: Mapping[str, str], cgroup: int = -1) -> Run:
        """Run a program in the cgroup with this list of processes and say what it took. Raises BenchError."""
        done = subprocess.run(
            [*self._enter, "python3", "-IS", "-c", self._timed, str(cgroup), *argv],
            env=dict(environment), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            pass_fds=[cgroup] if cgroup >= 0 else [],
        )  # fmt: skip
        if done.returncode != 0:
            raise BenchError(f"{self.name}: {' '.join(argv)}: {done.stderr[-3000:]}")
        run = Run(**json.loads(done.stdout), output=done.stderr)
        if run.status != 0:
            raise BenchError(f"{self.name}: {' '.join(argv)}: status {run.status}\n{run.output[-3000:]}")
        return run

    def trace(self, argv: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """Run a Python program and list the files that it takes from the system. Raises BenchError."""
        listing = "/run/bench-files.json"
        done = subprocess.run(
            [*self._enter, "python3", "-IS", "-c", self._traced, listing, *argv],
            env=dict(environment), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise BenchError(f"{self.name}: {' '.join(argv)}: status {done.returncode}\n{done.stderr[-3000:]}")
        files: list[str] = json.loads(self.sh(f"cat {listing} && rm {listing}"))
        return files


def _administrator() -> oci.core.VirtualNetworkClient:
    config = oci.config.from_file(str(paths.STATE / "oci" / "config"))
    client = oci.core.VirtualNetworkClient(config, service_endpoint=f"https://{API_ADDRESS}")
    client.base_client.session.trust_env = False  # REQUESTS_CA_BUNDLE would win over what is set here
    client.base_client.session.verify = str(paths.STATE / "pki" / "ca.pem")
    return client


@contextmanager
def eighth_of_a_core() -> Iterator[int]:
    """A cgroup with an eighth of a core for its processes; the descriptor of the list that they enter it by."""
    legacy = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").exists() or Path("/sys/fs/cgroup/cpu/tasks").exists()
    group = Path("/sys/fs/cgroup/cpu" if legacy else "/sys/fs/cgroup", f"{paths.PREFIX}-bench")
    if not legacy:
        (group.parent / "cgroup.subtree_control").write_text("+cpu")
    group.mkdir(exist_ok=True)
    try:
        if legacy:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(_PERIOD_US // 8))
        else:
            (group / "cpu.max").write_text(f"{_PERIOD_US // 8} {_PERIOD_US}")
        descriptor = os.open(group / "cgroup.procs", os.O_WRONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    finally:
        group.rmdir()


def assign_argv(vnic_id: str, address: str) -> list[str]:
    """The command that moves a VIP by Oracle's CLI, as the scripts around that CLI do."""
    return [
        CLI, "network", "vnic", "assign-private-ip", "--vnic-id", vnic_id,
        "--ip-address", address, "--unassign-if-already-assigned",
    ]  # fmt: skip


class Bed:
    """The lab, and what is done to it by all that is measured there."""

    def __init__(self) -> None:
        CACHE.mkdir(parents=True, exist_ok=True)
        self.control = Control()

    def fresh(self) -> None:
        """A lab with bare nodes. Raises BenchError."""
        # A lab of another topology is replaced, and that is as fresh as it gets.
        used = self._topology() == "bench"
        host("lab", "up", "--topology", str(ROOT / "bench" / "topology.yml"))
        if used:
            self.control.clear_faults()
            host("lab", "reset", "--fresh-cloud")
        self._network = _administrator()

    def _topology(self) -> str | None:
        try:
            return self.control.status().topology
        except LabError:
            return None

    def play(self, inventory: str, *options: str) -> float:
        """Run the playbook. Returns the seconds that it took. Raises BenchError."""
        began = time.monotonic()
        host("ansible-playbook", "site.yml", "-i", f"bench/{inventory}", *options, log=CACHE / "playbook.log")
        return time.monotonic() - began

    def install_cli(self, node: Node) -> str:
        """Oracle's CLI from PyPI, on the node. Returns its version."""
        release = version("oci-cli")
        python = node.sh("python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'").strip()
        tree = CACHE / f"oci-cli-{release}-{python}"
        if not tree.exists():
            partial = Path(f"{tree}.partial")
            if partial.exists():
                shutil.rmtree(partial)
            host(
                sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(partial),
                "--python-version", python, "--only-binary=:all:", f"oci-cli=={release}",
            )  # fmt: skip
            partial.rename(tree)
        node.copy(tree, _SITE)
        node.sh(f"cat > {CLI} && chmod 755 {CLI}", _CLI_SCRIPT.encode())
        return release

    def put_away(self, addresses: Sequence[Address]) -> None:
        """Back to the VNICs on which they wait, in the cloud. Raises oci.exceptions.ServiceError."""
        for each in addresses:
            self._network.update_private_ip(each.id, oci.core.models.UpdatePrivateIpDetails(vnic_id=each.away))

    def delivered(self) -> dict[str, str | None]:
        """The VNIC that the cloud delivers each VIP to, by the VIP's OCID."""
        return {p["id"]: p["vnic_id"] for p in self.control.raw_status()["private_ips"]}

    @contextmanager
    def latency(self, milliseconds: int, node: str) -> Iterator[None]:
        """Every answer of the API to the node takes this much longer. The metadata service is as fast as ever."""
        if milliseconds:
            self.control.add_fault({"effect": "latency", "service": "api", "node": node, "latency_ms": milliseconds})
        try:
            yield
        finally:
            self.control.clear_faults()


class Rig(Bed):
    """The lab with a cluster that holds a group of 32 VIPs, and beside it the node that is timed."""

    def __init__(self) -> None:
        super().__init__()
        self.one: Address
        self.many: list[Address] = []

    def build(self) -> tuple[float, float]:
        """A fresh lab, and the cluster in it. Returns the seconds of the run that builds it, and of another one, which
        has nothing to do. Raises BenchError."""
        self.fresh()
        took = self.play("inventory"), self.play("inventory")
        self.node = Node(NODE)
        self.cluster = Node(AWAY)
        # The cluster goes on with the other two, and nobody but the benchmark claims anything on this one.
        self.node.sh("pcs cluster stop")
        return took

    def prepare(self) -> None:
        """The benchmark's own VIPs, in the cloud and in the node's configuration: one, and 32 on three VNICs."""
        config = json.loads(self.node.sh(f"cat {CONFIG}"))
        (group,) = config["groups"].values()
        status = self.control.raw_status()
        vnics = {n["name"]: {v["interface"]: v for v in n["vnics"]} for n in status["nodes"]}
        vips = []
        # One more than the group has, with as many on each interface: the first is the group of one.
        for number, vip in enumerate([group["vips"][0], *group["vips"]]):
            home, away = (vnics[name][vip["interface"]] for name in (NODE, AWAY))
            address = "{}.{}".format(vip["address"].rsplit(".", 1)[0], 150 + number)
            details = oci.core.models.CreatePrivateIpDetails(vnic_id=away["vnic_id"], ip_address=address)
            made = self._network.create_private_ip(details).data
            self.many.append(Address(made.id, address, home["vnic_id"], away["vnic_id"]))
            vips.append({**vip, "name": f"bench{number}", "address": address, "private_ip_id": made.id})
        self.one = self.many.pop(0)
        config["groups"] = {
            "one": {**group, "revision": "one", "vips": vips[:1]},
            "many": {**group, "revision": "many", "vips": vips[1:]},
        }
        self.node.sh(f"cat > {CONFIG}", json.dumps(config).encode())
        self.node.sh(f"{COMMAND} token refresh")

    def install_baselines(self) -> dict[str, str]:
        """Oracle's CLI from PyPI and the agent that uses it from Debian, on the node. Returns their versions."""
        release = self.install_cli(self.node)
        install = "apt-get install -qy --no-install-recommends resource-agents jq curl"
        self.node.sh(f"DEBIAN_FRONTEND=noninteractive {install}")
        agents = self.node.sh("dpkg-query -W -f '${Version}' resource-agents")
        # Once uncounted, so that it has its bytecode as a pip that compiles would have left it.
        self.assign()
        self.put_away([self.one])
        return {"oci-cli": release, "resource-agents": agents}

    # -- what is timed -------------------------------------------------------------------------------------------------

    def claim(self, group: str, cgroup: int = -1) -> Run:
        """The claim of a group: the start of cloudvip's agent. Raises BenchError."""
        environment = {**OCF_ENVIRONMENT, "OCF_RESKEY_group": group, "OCF_RESKEY_CRM_meta_timeout": "60000"}
        return self.node.time([AGENT, "start"], environment, cgroup)

    def monitor(self, group: str) -> Run:
        """The recurring monitor of cloudvip's agent, without the audit. Raises BenchError."""
        interval = {"OCF_CHECK_LEVEL": "0", "OCF_RESKEY_CRM_meta_interval": "5000"}
        environment = {**OCF_ENVIRONMENT, "OCF_RESKEY_group": group, "OCF_RESKEY_CRM_meta_timeout": "20000", **interval}
        return self.node.time([AGENT, "monitor"], environment)

    def assign(self, cgroup: int = -1) -> Run:
        """What the agents that are scripts around Oracle's CLI do for a claim of one VIP."""
        return self.node.time(assign_argv(self.one.vnic_id, self.one.address), CLI_ENVIRONMENT, cgroup)

    def ocivip_monitor(self) -> Run:
        """The recurring monitor of the agent that asks the cloud by Oracle's CLI, of one VIP. Raises BenchError."""
        environment = {
            **OCF_ENVIRONMENT, **CLI_ENVIRONMENT, "OCF_RESOURCE_INSTANCE": "bench", "OCF_RESOURCE_TYPE": "ocivip",
            "OCF_RESKEY_secondary_private_ip": self.one.address, "OCF_RESKEY_CRM_meta_interval": "20000",
        }  # fmt: skip
        return self.node.time([OCIVIP, "monitor"], environment)

    # -- what is not ---------------------------------------------------------------------------------------------------

    def release(self, group: str) -> None:
        """Off the interfaces, and in the cloud away from the node."""
        self.node.sh(f"OCF_ROOT=/usr/lib/ocf OCF_RESKEY_group={group} {AGENT} stop")
        self.put_away([self.one] if group == "one" else self.many)

    def check_claimed(self, addresses: Sequence[Address]) -> None:
        """Raises BenchError unless the cloud delivers all of them to the node: a claim that did nothing is not fast."""
        here = self.delivered()
        wrong = [a.address for a in addresses if here[a.id] != a.vnic_id]
        if wrong:
            raise BenchError(f"claimed without an error, but not delivered to {NODE}: {', '.join(wrong)}")

    def audit_off(self) -> None:
        """Take the audit out of the cluster's operations. Returns when the cluster has done so."""
        level = "instance_attributes/nvpair[@name='OCF_CHECK_LEVEL' and @value='10']"
        self.cluster.sh(f'cibadmin --delete-all --force --xpath "//primitive//op[{level}]"')
        self.cluster.sh("crm_resource --wait --timeout 60")

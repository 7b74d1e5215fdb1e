# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab changes on the host, and how it takes every bit of it back, also after a run that was killed."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from lab import paths
from lab.fabric import ns
from lab.fabric.kernel import MTU, UPLINK, UPLINK_ADDRESS, UPLINK_HOST, UPLINK_HOST_ADDRESS, UPLINK_PREFIX
from lab.topology import API_ADDRESS, Topology

PROGRAMS = {
    "podman": "podman",
    "runc": "runc",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nft": "nftables",
    "iptables-nft": "iptables",
    "dnsmasq": "dnsmasq-base",
    "ssh-keygen": "openssh-client",
}
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_RT_CGROUP = Path("/sys/fs/cgroup/cpu") / paths.PREFIX
# Real-time budget of all nodes together, in µs per second. Siblings may not exceed 950000 in sum.
_RT_RUNTIME_US = 800000


class HostError(RuntimeError):
    """The host cannot carry the lab; the message says what is missing."""


def missing() -> str | None:
    """One line that says why the lab cannot run here, or None."""
    if os.geteuid() != 0:
        return "the lab needs root: it makes network namespaces and containers"
    absent = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
    if absent:
        return f"missing on this machine: {' '.join(absent)} (apt-get install {' '.join(absent)})"
    return None


def run(*argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program to its end. Raises HostError with what it said when it fails."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HostError(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()}")
    return done


def set_up(topology: Topology) -> None:
    """Namespaces, the uplink with its NAT, and the nodes' cgroup. Expects a clean host (`tear_down`)."""
    paths.RUN.mkdir(mode=0o700, exist_ok=True)
    paths.HOST_STATE.write_text(json.dumps({"ip_forward": _FORWARD.read_text().strip()}), encoding="ascii")
    ns.create(paths.VCN_NETNS)
    for client in topology.clients:
        ns.create(paths.client_netns(client.name))
    run("ip", "link", "add", UPLINK_HOST, "mtu", str(MTU), "type", "veth",
        "peer", "name", UPLINK, "mtu", str(MTU), "netns", paths.VCN_NETNS)  # fmt: skip
    run("ip", "address", "add", f"{UPLINK_HOST_ADDRESS}/{UPLINK_PREFIX}", "dev", UPLINK_HOST)
    run("ip", "link", "set", UPLINK_HOST, "up")
    # Only to where the nodes' primary VNICs are: that is all that SSH needs.
    for cidr in sorted({str(topology.subnet(n.vnics[0].subnet).cidr) for n in topology.nodes}):
        run("ip", "route", "add", cidr, "via", UPLINK_ADDRESS)
    run("ip", "route", "add", f"{API_ADDRESS}/32", "via", UPLINK_ADDRESS)
    _FORWARD.write_text("1\n")
    sources = ", ".join([*(str(c) for c in topology.cidrs), UPLINK_ADDRESS])
    rules = f"""
        table ip {paths.PREFIX} {{
          chain postrouting {{
            type nat hook postrouting priority srcnat; policy accept;
            iifname "{UPLINK_HOST}" ip saddr {{ {sources} }} masquerade
          }}
        }}"""
    run("nft", "-f", "-", stdin=rules)
    if (_RT_CGROUP.parent / "cpu.rt_runtime_us").exists():
        _RT_CGROUP.mkdir(exist_ok=True)
        (_RT_CGROUP / "cpu.rt_runtime_us").write_text(str(_RT_RUNTIME_US))


def realtime_budget() -> bool:
    """Whether the kernel hands out real-time time by cgroup, so that corosync needs a share of it."""
    return (_RT_CGROUP / "cpu.rt_runtime_us").exists()


def tear_down() -> None:
    """Remove everything that `set_up`, the daemon and the nodes left on the host. Idempotent."""
    _stop_daemon()
    remove_containers()
    for name in sorted(p.name for p in paths.NETNS.glob(f"{paths.PREFIX}-*")) if paths.NETNS.is_dir() else []:
        for pid in subprocess.run(
            ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
        ).stdout.split():
            _kill(int(pid))
        ns.delete(name)
    subprocess.run(["ip", "link", "delete", UPLINK_HOST], capture_output=True, check=False)
    subprocess.run(["nft", "delete", "table", "ip", paths.PREFIX], capture_output=True, check=False)
    if paths.HOST_STATE.exists():
        _FORWARD.write_text(json.loads(paths.HOST_STATE.read_text())["ip_forward"])
    _return_realtime_budget()
    for controller in Path("/sys/fs/cgroup").glob(f"*/{paths.PREFIX}"):
        _remove_cgroup(controller)
    if paths.RUN.exists():
        shutil.rmtree(paths.RUN)


def remove_containers() -> None:
    """Remove every container of the lab, running, paused, dead or half-made."""
    podman = shutil.which("podman")
    if podman is None:
        return
    listed = run(podman, "ps", "--all", "--quiet", "--filter", f"label={paths.PREFIX}").stdout.split()
    if listed:
        # A paused container cannot be killed on cgroup v1.
        subprocess.run([podman, "unpause", *listed], capture_output=True, check=False)
        run(podman, "rm", "--force", "--time", "0", "--volumes", *listed)


def _return_realtime_budget() -> None:
    """Give the budget back before the cgroup goes: the kernel counts that of a removed one for a while still, as it
    does that of the containers which have just gone, and then refuses it to the next lab."""
    if realtime_budget():
        # A container that was killed together with its conmon leaves its cgroup, and the kernel refuses a group less
        # than its children have.
        for child in _RT_CGROUP.glob("**/cpu.rt_runtime_us"):
            if child.parent != _RT_CGROUP:
                child.write_text("0")
        _once_let_go(lambda: (_RT_CGROUP / "cpu.rt_runtime_us").write_text("0"))


def _once_let_go(action: Callable[[], object]) -> None:
    """Do what the kernel refuses as long as something of the containers that have just gone, a conmon for example, is
    still on its way out. Raises OSError when that takes more than 5 s."""
    deadline = time.monotonic() + 5
    while True:
        try:
            action()
        except OSError:
            if time.monotonic() > deadline:
                raise
            select.select([], [], [], 0.02)
        else:
            return


def _remove_cgroup(path: Path) -> None:
    for child in path.iterdir():
        if child.is_dir():
            _remove_cgroup(child)
    _once_let_go(path.rmdir)


def daemon_pid() -> int | None:
    """The daemon's pid if it is alive: the pid file alone may be stale and its number somebody else's by now."""
    try:
        pid = int(paths.PID_FILE.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if b"lab.server" in command else None


def _stop_daemon() -> None:
    pid = daemon_pid()
    if pid is not None:
        _kill(pid, signal.SIGTERM)


def _kill(pid: int, first: signal.Signals = signal.SIGKILL) -> None:
    """Signal a process and wait until it is gone; after 5 s it is killed."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(fd, first)
        if not _gone(fd, 5):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            _gone(fd, 5)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


def _gone(fd: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(seconds * 1000))

# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab comes up, comes down without a trace, and copes with what a killed run left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import host, paths
from tests.lab.conftest import Lab, wait_until


def traces() -> dict[str, list[str]]:
    """Everything on this host that carries the lab's name."""

    def lines(*argv: str) -> list[str]:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()

    return {
        "containers": lines("podman", "ps", "--all", "--quiet", "--filter", f"label={paths.PREFIX}"),
        "namespaces": [line for line in lines("ip", "netns") if line.startswith(paths.PREFIX)],
        "links": [line for line in lines("ip", "-brief", "link") if line.startswith(("cv-", "cvl"))],
        "routes": [line for line in lines("ip", "route") if "cvl" in line],
        "nat": [line for line in lines("nft", "list", "tables") if line.split()[-1] == paths.PREFIX],
        "cgroups": [str(p) for p in Path("/sys/fs/cgroup").glob(f"*/{paths.PREFIX}")],
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if f"/{paths.PREFIX}-" in line],
        "processes": [pid for pid, command in commands() if b"lab.server" in command],
        "files": [str(paths.RUN)] if paths.RUN.exists() else [],
    }


def commands() -> Iterator[tuple[str, bytes]]:
    """The processes of this host, by pid; one that ends meanwhile is none."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield file.parent.name, file.read_bytes()


def forwarding() -> str:
    return Path("/proc/sys/net/ipv4/ip_forward").read_text()


def test_up_is_quick_and_idempotent_and_down_leaves_nothing(lab: Lab) -> None:
    lab.down()
    before = forwarding()
    lab.up("vrouters")  # may build the image, which is done once
    lab.down()
    assert not any(traces().values()), traces()
    assert forwarding() == before
    began = time.monotonic()
    lab.up("vrouters")
    assert time.monotonic() - began < 60
    pid = host.daemon_pid()
    booted = lab.sh("vr1", "cat /proc/1/stat")
    lab.up("vrouters")
    assert host.daemon_pid() == pid
    assert lab.sh("vr1", "cat /proc/1/stat").split()[21] == booted.split()[21]
    lab.down()
    assert not any(traces().values()), traces()


def test_up_replaces_what_a_killed_run_left(lab: Lab) -> None:
    lab.up("vrouters")
    lab.run("exec", "vr2", "--", "true")
    subprocess.run(["podman", "kill", paths.container("vr2")], check=True, capture_output=True)
    pid = host.daemon_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until("the daemon's death", lambda: host.daemon_pid() is None)
    assert "lab up" in lab.run("status", check=False).stderr
    status = lab.up("vrouters")
    assert {n.state for n in status.nodes} == {"RUNNING"}
    lab.down()
    assert not any(traces().values()), traces()


def test_down_copes_with_a_killed_daemon_and_a_paused_node(lab: Lab) -> None:
    lab.up("vrouters")
    lab.control.nemesis("hang", "vr1")
    pid = host.daemon_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    lab.down()
    assert not any(traces().values()), traces()


def test_up_replaces_the_cgroups_that_killed_containers_left(lab: Lab) -> None:
    lab.down()
    # As a machine has them whose containers went together with everything that would have tidied up after them.
    dead = Path("/sys/fs/cgroup/cpu") / paths.PREFIX / "libpod-dead"
    dead.mkdir(parents=True)
    if host.realtime_budget():
        for group, budget in ((dead.parent, 100_000), (dead, 80_000)):
            (group / "cpu.rt_runtime_us").write_text(str(budget))
    lab.up("vrouters")
    lab.down()
    assert not any(traces().values()), traces()


def test_power_can_be_cut_and_given_without_a_pause(lab: Lab) -> None:
    lab.up("vrouters")
    nodes = ["vr1", "vr2", "vr3"]

    def cycle(node: str) -> None:
        lab.control.nemesis("kill", node)
        lab.control.nemesis("start", node)

    with ThreadPoolExecutor(len(nodes)) as pool:
        for _ in range(10):
            list(pool.map(cycle, nodes))
    assert {n.state for n in lab.control.status().nodes} == {"RUNNING"}


def test_a_topology_that_does_not_exist_is_refused_by_name(lab: Lab) -> None:
    refused = lab.run("up", "--topology", "nope", check=False)
    assert refused.returncode == 1
    assert "nope" in refused.stderr
    assert "vrouters" in refused.stderr


def test_status_tells_a_program_what_it_tells_a_person(lab: Lab) -> None:
    lab.up("vrouters")
    data = json.loads(lab.run("status", "--json").stdout)
    assert [n["name"] for n in data["nodes"]] == ["vr1", "vr2", "vr3"]
    assert "vr3" in lab.run("status").stdout
    assert "isv-client" in lab.run("status").stdout


def test_a_node_that_powers_itself_off_is_stopped_in_the_cloud_and_one_that_reboots_comes_back(lab: Lab) -> None:
    lab.up("vrouters")

    def state(node: str) -> str:
        return lab.control.status().node(node).state

    lab.sh("vr1", "systemctl poweroff", check=False)
    wait_until("vr1 stopped", lambda: state("vr1") == "STOPPED")
    lab.control.nemesis("start", "vr1")
    assert state("vr1") == "RUNNING"
    first = lab.sh("vr2", "cut -d' ' -f22 /proc/1/stat")
    lab.sh("vr2", "systemctl reboot --force --force", check=False)
    wait_until(
        "vr2 booted again",
        lambda: state("vr2") == "RUNNING" and lab.sh("vr2", "cut -d' ' -f22 /proc/1/stat", check=False) != first,
    )

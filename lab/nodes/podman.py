# SPDX-License-Identifier: GPL-3.0-or-later
"""A node is a container with systemd, in a life cycle that treats it as a machine: create, init, plug, start.

`init` makes the namespaces without starting systemd, so that the VNICs are there before the first unit runs; and the
network namespace dies with the node, so that a node without power does not go on answering ARP.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from pathlib import Path

from lab import host, paths
from lab.topology import METADATA_ADDRESS

_RT_RUNTIME_US = 80000
# How systemd in a container tells its runtime what it wants: the exit status of its reboot(2) and poweroff(2).
EXIT_REBOOT = 129


class NodeError(RuntimeError):
    """podman refused; the message is its own."""


async def _podman(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, error = await process.communicate()
    if process.returncode != 0:
        raise NodeError(f"podman {arguments[0]}: {error.decode(errors='replace').strip()}")
    return out.decode().strip()


async def create(node: str, image: str) -> None:
    """Make a node's container; it has no process yet."""
    realtime = [f"--cpu-rt-runtime={_RT_RUNTIME_US}"] if host.realtime_budget() else []
    await _podman(
        "create", "--name", paths.container(node), "--hostname", node, "--label", paths.PREFIX,
        "--network", "none", "--no-hosts", "--cgroup-parent", f"/{paths.PREFIX}", *realtime,
        "--privileged", "--systemd", "always", "--ulimit", "nofile=20000:20000", "--ulimit", "nproc=9000:9000",
        image, "/sbin/init",
    )  # fmt: skip


async def init(node: str) -> tuple[int, int]:
    """Make the node's namespaces. Returns the pids of its future init and of the conmon that outlives it."""
    await _podman("init", paths.container(node))
    state = await _podman("inspect", paths.container(node), "--format", "{{.State.Pid}} {{.State.ConmonPid}}")
    pid, conmon = map(int, state.split())
    resolver = Path(f"/proc/{pid}/root/etc/resolv.conf")
    resolver.write_text(f"nameserver {METADATA_ADDRESS}\noptions timeout:2 attempts:2\n", encoding="ascii")
    return pid, conmon


def netns(pid: int) -> Path:
    """The network namespace of a node whose init has this pid."""
    return Path(f"/proc/{pid}/ns/net")


async def start(node: str) -> None:
    await _podman("start", paths.container(node))


async def kill(node: str) -> None:
    """Cut the power. A paused node is cut as well."""
    await _podman("kill", "--signal", "KILL", paths.container(node))


def end(pid: int) -> None:
    """Cut the power of a node whose init has this pid: podman kills none that it has not started."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def stop(node: str) -> None:
    """Press the power button: an orderly shutdown, as far as systemd gets in 30 s."""
    await _podman("stop", "--time", "30", paths.container(node))


async def pause(node: str) -> None:
    await _podman("pause", paths.container(node))


async def unpause(node: str) -> None:
    await _podman("unpause", paths.container(node))


async def remove(node: str) -> None:
    await _podman("rm", "--force", "--time", "0", "--ignore", "--volumes", paths.container(node))


async def exit_code(node: str) -> int:
    """How a node ended whose conmon is gone: until then podman may not know yet."""
    return int(await _podman("inspect", paths.container(node), "--format", "{{.State.ExitCode}}"))


async def gone(pid: int) -> None:
    """Return when the process has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(fd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def has_ended(pid: int) -> bool:
    """Whether the process is dead, waited for or not."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 0)[0])
    finally:
        os.close(fd)


def exec_argv(node: str, argv: list[str], *, tty: bool = False) -> list[str]:
    """The command that runs `argv` inside a node as root."""
    return ["podman", "--runtime", "runc", "exec", *(["-it"] if tty else []), paths.container(node), *argv]

# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces without child processes: a thread steps into one, makes its sockets, and steps back."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.paths import NETNS

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


@contextlib.contextmanager
def enter(netns: str | Path) -> Iterator[None]:
    """Run the block with the calling thread in `netns`: a name under /run/netns, or the path of a namespace file.

    Raises OSError when the namespace does not exist.
    """
    path = netns if isinstance(netns, Path) else NETNS / netns
    with open("/proc/thread-self/ns/net", "rb") as home, open(path, "rb") as target:
        _setns(target.fileno())
        try:
            yield
        finally:
            _setns(home.fileno())


def socket_in(netns: str | Path, family: int, kind: int, proto: int = 0) -> socket.socket:
    """A socket that belongs to `netns` wherever it is used. Raises OSError."""
    with enter(netns):
        return socket.socket(family, kind, proto)


def executor_in(netns: str, initializer: Callable[[], None] | None = None) -> ThreadPoolExecutor:
    """One worker thread that lives in `netns` for good."""
    ready = threading.Event()

    def move() -> None:
        with open(NETNS / netns, "rb") as target:
            _setns(target.fileno())
        if initializer:
            initializer()
        ready.set()

    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"ns-{netns}", initializer=move)
    executor.submit(ready.is_set).result()
    return executor


def exists(netns: str) -> bool:
    return (NETNS / netns).exists()


def create(netns: str) -> None:
    """Create a named namespace with its loopback up. Raises subprocess.CalledProcessError."""
    subprocess.run(["ip", "netns", "add", netns], check=True)
    subprocess.run(["ip", "-n", netns, "link", "set", "lo", "up"], check=True)


def delete(netns: str) -> None:
    """Delete a named namespace, also one whose mount is gone and whose file was left behind."""
    if not exists(netns):
        return
    if subprocess.run(["ip", "netns", "delete", netns], capture_output=True, check=False).returncode != 0:
        (NETNS / netns).unlink(missing_ok=True)

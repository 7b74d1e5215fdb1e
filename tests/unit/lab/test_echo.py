# SPDX-License-Identifier: GPL-3.0-or-later
"""The echo server, for real over loopback."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import echo


@contextlib.contextmanager
def serving(sock: socket.socket) -> Iterator[int]:
    """An echo server named vr9 on all of loopback's addresses; gives its port."""
    stop = threading.Event()
    with sock:
        echo.bind(sock, port=0)
        thread = threading.Thread(target=echo.serve, args=(sock, "vr9", stop))
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def ask(target: tuple[str, int], payload: bytes) -> tuple[bytes, tuple[str, int]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.bind(("127.0.0.1", 0))
        client.sendto(payload, target)
        answer, peer = client.recvfrom(2048)
        return answer, peer


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "127.1.2.3"])
def test_the_answer_carries_the_name_and_comes_from_the_address_that_was_asked(address: str) -> None:
    with serving(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as port:
        assert ask((address, port), b"0 17") == (b"0 17 vr9", (address, port))


class Refusing(socket.socket):
    """A socket whose first answer is refused, as by a firewall."""

    refused = False

    def sendmsg(self, *args: Any) -> int:
        if not self.refused:
            self.refused = True
            raise PermissionError
        return super().sendmsg(*args)


def test_an_answer_that_cannot_be_sent_ends_nothing() -> None:
    with serving(Refusing(socket.AF_INET, socket.SOCK_DGRAM)) as port:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"refused", ("127.0.0.1", port))
        assert ask(("127.0.0.1", port), b"still there?") == (b"still there? vr9", ("127.0.0.1", port))


def test_the_program_runs_alone() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    with subprocess.Popen([sys.executable, "-I", "-u", echo.__file__, "--port", str(number)]) as program:
        try:
            answer = _ask_until_up(("127.0.0.1", number))
        finally:
            program.terminate()
    assert answer == b"x " + socket.gethostname().encode()


def _ask_until_up(target: tuple[str, int]) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.1)
        for _ in range(100):
            client.sendto(b"x", target)
            try:
                return client.recv(2048)
            except TimeoutError:
                continue
    raise AssertionError("the echo server did not come up in 10 s")


def test_it_needs_nothing_that_a_node_lacks() -> None:
    source = Path(echo.__file__).read_text(encoding="utf-8")
    vermin = Path(sys.executable).with_name("vermin")
    floor = subprocess.run(
        [vermin, "-t=3.6-", "--violations", echo.__file__], capture_output=True, text=True, timeout=60, check=False
    )
    assert floor.returncode == 0, floor.stdout
    imported = set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
    assert imported <= set(sys.stdlib_module_names)

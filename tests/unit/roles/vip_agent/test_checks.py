# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks on a node: what passes, and what a person reads of what does not."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._checks import parse_checks
from ansible_collections.cloudvip.ha.plugins.module_utils._problems import Problems
from cloudvip.checks import Check, failing, load
from cloudvip.config import ConfigError

from tests.unit.roles.vip_agent.checking import http, process, script, tcp, write

Answer = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may be slow to say that the time is over; tests that are about that set it themselves."""
    monkeypatch.setattr("cloudvip.checks._GRACE", 5.0)


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], int]]:
    """Listens on loopback and answers each connection; returns the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def start(answer: Answer) -> int:
            def accept() -> None:
                while True:
                    try:
                        connection, _ = listener.accept()
                    except OSError:
                        return
                    with connection:
                        answer(connection)

            threading.Thread(target=accept, daemon=True).start()
            return int(listener.getsockname()[1])

        yield start
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port whose listener has no room for one more connection, so that none is made."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as last:
        last.connect(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def run(directory: Path, *checks: dict[str, Any], seconds: float = 30.0) -> dict[str, str]:
    file = directory / "checks.json"
    write(file, *checks)
    return failing(load(str(file)), seconds)


def answering(answer: bytes, heard: list[bytes] | None = None) -> Answer:
    def talk(connection: socket.socket) -> None:
        request = connection.recv(4096)
        if heard is not None:
            heard.append(request)
        connection.sendall(answer)

    return talk


def test_without_the_file_there_are_no_checks(tmp_path: Path) -> None:
    assert load(str(tmp_path / "checks.json")) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "icmp"}, "checks[0].type: 'icmp': expected one of: tcp, http, process, script"),
        ({"name": "a b"}, "checks[0].name: 'a b': expected letters"),
        ({"timeout": 0}, "checks[0].timeout: 0: expected a whole number from 1 to 3600"),
        ({"fall": True}, "checks[0].fall: True: expected a whole number from 1 to 255"),
        ({"port": 65536}, "checks[0].port: 65536: expected a whole number from 1 to 65535"),
        ({"host": ""}, "checks[0].host: '': expected a host name or an IP address"),
        ({"type": "http", "url": "https://x/"}, "checks[0].url: 'https://x/': expected a URL such as http://"),
        ({"type": "http", "url": "http://x:0/"}, "checks[0].url: 'http://x:0/': expected a URL"),
        ({"type": "http", "url": "http://x/ a"}, "checks[0].url: 'http://x/ a': expected a URL"),
        ({"type": "http", "url": "http://x/", "status": "200"}, "checks[0].status: '200': expected a whole number"),
        ({"type": "process"}, "checks[0].process: missing; expected the name of an executable"),
        ({"type": "script", "command": "true"}, "checks[0].command: 'true': expected an absolute path"),
        ({"type": "script", "command": "/bin/echo '"}, 'checks[0].command: "/bin/echo \'": expected an absolute path'),
    ],
)
def test_a_bad_check_is_named_with_its_file_key_and_value(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = tmp_path / "checks.json"
    write(file, {**tcp("web", 80), **change})

    with pytest.raises(ConfigError) as error:
        load(str(file))

    assert f"{file}.{message}" in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"checks": {}}', '{"checks": [1]}'])
def test_a_file_that_has_no_list_of_checks_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "checks.json"
    file.write_text(text)

    with pytest.raises(ConfigError, match=r"checks\.json"):
        load(str(file))


def test_what_the_inventory_allows_is_what_a_node_takes(tmp_path: Path) -> None:
    problems = Problems()
    checks = parse_checks(
        [
            {"name": "a", "type": "tcp", "port": 1},
            {"name": "b", "type": "tcp", "host": "::1", "port": 65535, "timeout": 3600, "interval": 3600},
            *(
                {"name": f"c{number}", "type": "http", "url": url}
                for number, url in enumerate(
                    ("http://127.0.0.1:8080/health?a=b#c", "http://[::1]", "HTTP://a-b.c_d:/", "http://a?b")
                )
            ),
            {"name": "d", "type": "process", "process": "haproxy", "fall": 255},
            {"name": "e", "type": "script", "command": "/bin/sh -c 'exit 0'"},
        ],
        problems,
    )
    file = tmp_path / "checks.json"
    write(file, *checks)

    assert problems.messages == []
    assert [check.name for check in load(str(file))] == ["a", "b", "c0", "c1", "c2", "c3", "d", "e"]


def test_tcp_needs_somebody_who_listens(tmp_path: Path, serve: Callable[[Answer], int], closed: int) -> None:
    assert run(tmp_path, tcp("db", serve(lambda _: None))) == {}
    assert run(tmp_path, tcp("db", closed)) == {"db": f"port {closed} of 127.0.0.1: Connection refused"}


def test_tcp_does_not_wait_for_a_listener_that_is_stuck(tmp_path: Path, deaf: int) -> None:
    assert run(tmp_path, tcp("db", deaf), seconds=0.1) == {"db": f"port {deaf} of 127.0.0.1: timed out"}


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_name_that_cannot_be_one_fails_with_a_reason(tmp_path: Path, host: str) -> None:
    assert "label" in run(tmp_path, tcp("db", 80, host=host))["db"]


def test_a_name_that_takes_too_long_to_resolve_fails_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr("cloudvip.checks._GRACE", 0.0)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(30) and [])

    reasons = run(tmp_path, tcp("db", 80, host="db.example"), seconds=0.1)
    answered.set()

    assert reasons == {"db": "no result within 0.1 s"}


def test_http_compares_the_status(tmp_path: Path, serve: Callable[[Answer], int]) -> None:
    port = serve(answering(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"))
    url = f"http://127.0.0.1:{port}/health"

    assert run(tmp_path, http("web", url)) == {"web": f"{url}: status 503, expected 200"}
    assert run(tmp_path, http("web", url, status=503)) == {}


def test_http_asks_for_what_the_url_says_whatever_proxies_are_set(
    tmp_path: Path, serve: Callable[[Answer], int], closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed}")
    heard: list[bytes] = []
    port = serve(answering(b"HTTP/1.0 200 OK\r\n\r\n", heard))

    assert run(tmp_path, http("a", f"HTTP://127.0.0.1:{port}?q=1#top")) == {}
    assert run(tmp_path, http("b", f"http://localhost:{port}/health")) == {}

    assert heard[0].startswith(b"GET /?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port)
    assert heard[1].startswith(b"GET /health HTTP/1.1\r\nHost: localhost:%d\r\n" % port)
    assert all(b"\r\nConnection: close\r\n" in request for request in heard)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 2000\r\n", b"x" * 5000])
def test_http_of_something_that_does_not_speak_it(
    tmp_path: Path, serve: Callable[[Answer], int], answer: bytes
) -> None:
    url = f"http://127.0.0.1:{serve(answering(answer))}/"

    assert run(tmp_path, http("web", url)) == {"web": f"{url}: no answer in HTTP"}


def test_http_of_a_server_that_is_stuck_or_not_there(
    tmp_path: Path, serve: Callable[[Answer], int], closed: int
) -> None:
    over = threading.Event()

    def say_nothing(connection: socket.socket) -> None:
        del connection
        over.wait(30)

    stuck, gone = f"http://127.0.0.1:{serve(say_nothing)}/", f"http://127.0.0.1:{closed}/"

    assert run(tmp_path, http("web", stuck), seconds=0.1) == {"web": f"{stuck}: timed out"}
    over.set()
    assert run(tmp_path, http("web", gone)) == {"web": f"{gone}: Connection refused"}


def test_http_that_comes_byte_by_byte_is_left_in_time(
    tmp_path: Path, serve: Callable[[Answer], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudvip.checks._GRACE", 0.0)
    over = threading.Event()

    def trickle(connection: socket.socket) -> None:
        while not over.wait(0.02):
            connection.sendall(b"H")

    began = time.monotonic()
    reasons = run(tmp_path, http("web", f"http://127.0.0.1:{serve(trickle)}/"), seconds=0.2)
    took = time.monotonic() - began
    over.set()

    assert reasons == {"web": "no result within 0.2 s"}
    assert took < 5


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, str, bytes], None]:
    """A /proc of its own; adds a process with its comm and its command line."""
    directory = tmp_path / "proc"
    (directory / "sys").mkdir(parents=True)
    monkeypatch.setattr("cloudvip.checks._PROC", str(directory))

    def add(pid: int, comm: str, cmdline: bytes) -> None:
        (directory / str(pid)).mkdir()
        (directory / str(pid) / "comm").write_text(comm + "\n")
        (directory / str(pid) / "cmdline").write_bytes(cmdline)

    return add


@pytest.mark.parametrize(
    ("name", "comm", "cmdline"),
    [
        ("haproxy", "haproxy", b"/usr/sbin/haproxy\0-Ws\0"),
        ("haproxy", "worker", b"/usr/sbin/haproxy\0-Ws\0"),
        ("check.py", "check.py", b"/usr/bin/python3\0/opt/check.py\0"),
        ("a-name-of-twenty-four-xx", "a-name-of-twent", b"/opt/other\0"),
    ],
)
def test_a_process_is_found_by_its_name_or_its_program(
    tmp_path: Path, proc: Callable[[int, str, bytes], None], name: str, comm: str, cmdline: bytes
) -> None:
    proc(1, "systemd", b"/sbin/init\0")
    assert run(tmp_path, process("lb", name)) == {"lb": f"no process is called {name}"}

    proc(77, comm, cmdline)
    assert run(tmp_path, process("lb", name)) == {}


@pytest.mark.parametrize(
    ("comm", "cmdline"),
    [
        ("haproxy-exporte", b"/usr/bin/haproxy-exporter\0"),
        ("tail", b"tail\0/var/log/haproxy\0"),
        # Ended, and nobody has waited for it.
        ("haproxy", b""),
    ],
)
def test_a_process_that_only_looks_like_it(
    tmp_path: Path, proc: Callable[[int, str, bytes], None], comm: str, cmdline: bytes
) -> None:
    proc(77, comm, cmdline)

    assert "lb" in run(tmp_path, process("lb", "haproxy"))


def test_a_real_process_counts_until_it_ends(tmp_path: Path) -> None:
    program = tmp_path / "a-program-with-a-long-name"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as child:
        assert run(tmp_path, process("lb", program.name)) == {}
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert "lb" in run(tmp_path, process("lb", program.name))


def test_a_script_passes_with_status_0_and_says_why_otherwise(tmp_path: Path) -> None:
    assert run(tmp_path, script("own", "/bin/true")) == {}
    for command, reason in (
        ("/bin/false", "/bin/false failed with status 1"),
        ("/bin/sh -c 'echo disk full; exit 3'", "/bin/sh failed with status 3: disk full"),
        ("/bin/sh -c 'echo no; printf \"gr\\303\\266\\n\\nx\" >&2; exit 3'", r"status 3: gr\xc3\xb6 x"),
        ("/bin/sh -c 'yes | head -n 9999; exit 3'", "/bin/sh failed with status 3: y y y"),
        ("/nonexistent", "/nonexistent cannot be run: No such file or directory"),
    ):
        found = run(tmp_path, script("own", command))["own"]
        assert found.endswith(reason) or (found.startswith(reason) and len(found) == 300)


def test_a_script_has_its_arguments_without_a_shell_and_an_environment_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    said = tmp_path / "said"
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" "$SECRET" "$PATH" > {said}\n')
    program.chmod(0o755)

    assert run(tmp_path, script("own", f"{program} 'a b' $HOME;c")) == {}

    assert said.read_text() == "a b|$HOME;c||/usr/sbin:/usr/bin:/sbin:/bin|"


def test_a_script_that_takes_too_long_ends_with_all_that_it_has_started(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    reasons = run(tmp_path, script("own", f"/bin/sh -c 'sleep 60 > {fifo} & wait'"), seconds=0.5)

    assert reasons == {"own": "/bin/sh did not finish within 0.5 s"}
    # At its end once the last writer is gone.
    assert select.select([reader], [], [], 20)[0]
    os.close(reader)


def test_all_checks_run_at_the_same_time() -> None:
    together = threading.Barrier(3)

    def wait(seconds: float) -> str:
        together.wait(seconds)
        return "seen"

    assert failing([Check(name, 20, 2, wait) for name in "abc"]) == dict.fromkeys("abc", "seen")


def test_a_check_may_take_its_own_time_and_no_more_than_the_caller_has() -> None:
    given: list[float] = []

    def note(seconds: float) -> str:
        given.append(seconds)
        return ""

    failing([Check("a", 5, 2, note)])
    failing([Check("a", 5, 2, note)], 3.0)
    failing([Check("a", 5, 2, note)], 16.0)

    assert given == [5, 3.0, 5]

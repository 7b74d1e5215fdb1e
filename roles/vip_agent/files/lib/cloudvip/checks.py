# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks: whether what the VIPs are for works on this node. A node on which one fails holds no group.

keepalived starts a process for each check every few seconds. So what only one type needs is imported where it runs.
"""

import math
import os
import re
import threading
from typing import Callable, Dict, Iterable, List, NamedTuple, Tuple

from cloudvip.clock import Clock, Deadline
from cloudvip.config import Reader, is_group_name, read

# Called with the seconds that it may take; returns why the check fails, empty if it passes.
_Run = Callable[[float], str]

# Seconds after its time for a check to say how far it got, and to end its script.
_GRACE = 0.5
_PROC = "/proc"
# So much of a program's name the kernel keeps.
_COMM = 15
# So much of what a script says is a reason.
_LONGEST = 300
_URL = re.compile(r"http://((\[[^\]]+\]|[^/?#:@\[\]]+)(?::([0-9]*))?)([/?][^#]*)?(?:#.*)?\Z", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([0-9]{3})\b")


class Check(NamedTuple):
    """timeout: seconds. fall: how many failures in a row are one too many. run: see _Run."""

    name: str
    timeout: int
    fall: int
    run: _Run


def _why(error: Exception) -> str:
    # That the time is over is not the system's to say, so it has no text of the system.
    return getattr(error, "strerror", None) or str(error)


def _tcp(reader: Reader) -> _Run:
    host = reader.text("host", bool, "a host name or an IP address")
    port = reader.number("port", 1, 65535)

    def run(seconds: float) -> str:
        import socket

        try:
            socket.create_connection((host, port), seconds).close()
        except (OSError, UnicodeError) as error:
            return f"port {port} of {host}: {_why(error)}"
        return ""

    return run


def _split(url: str) -> Tuple[str, str, int, str]:
    """The host with its port as the URL has it, the host, the port, and the rest. Raises ValueError."""
    found = _URL.match(url)
    if not found or re.search("[^!-~]", url) or not 0 < int(found.group(3) or 80) < 65536:
        raise ValueError(url)
    authority, host, port, path = found.groups("")
    return authority, host.strip("[]"), int(port or 80), path if path.startswith("/") else "/" + path


def _is_url(value: str) -> bool:
    try:
        _split(value)
    except ValueError:
        return False
    return True


def _http(reader: Reader) -> _Run:
    url = reader.text("url", _is_url, "a URL such as http://127.0.0.1:8080/health")
    expected = reader.number("status", 100, 599)
    authority, host, port, path = _split(url)
    request = f"GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: cloudvip\r\nConnection: close\r\n\r\n"

    def run(seconds: float) -> str:
        # Python's own HTTP takes as long to load as all the rest, and only the first line is of interest.
        import socket

        try:
            with socket.create_connection((host, port), seconds) as connection:
                connection.sendall(request.encode("ascii"))
                with connection.makefile("rb") as answer:
                    found = _STATUS.match(answer.readline(1000))
        except (OSError, UnicodeError) as error:
            return f"{url}: {_why(error)}"
        if not found:
            return f"{url}: no answer in HTTP"
        status = int(found.group(1))
        return "" if status == expected else f"{url}: status {status}, expected {expected}"

    return run


def _is_called(pid: str, name: str) -> bool:
    """Whether a process is that program. One that has ended and was not waited for has no command line any more."""
    try:
        with open(f"{_PROC}/{pid}/cmdline", "rb") as stream:
            program = stream.read().split(b"\0")[0]
        with open(f"{_PROC}/{pid}/comm", "rb") as stream:
            comm = stream.read().rstrip(b"\n")
    except OSError:
        return False
    wanted = os.fsencode(name)
    return bool(program) and (os.path.basename(program) == wanted or comm == wanted[:_COMM])


def _process(reader: Reader) -> _Run:
    name = reader.text("process", bool, "the name of an executable")

    def run(seconds: float) -> str:
        del seconds
        found = any(_is_called(pid, name) for pid in os.listdir(_PROC) if pid.isdigit())
        return "" if found else f"no process is called {name}"

    return run


def _script(reader: Reader) -> _Run:
    import shlex

    command = reader.text("command", lambda value: value.startswith("/"), "an absolute path and arguments")
    try:
        argv = shlex.split(command)
    except ValueError:
        raise reader.error("command", "an absolute path and arguments, with quotes in pairs") from None

    def run(seconds: float) -> str:
        from cloudvip import process

        try:
            process.run(argv, timeout=seconds, session=True)
        except process.ProcessError as error:
            return " ".join(str(error).split())[:_LONGEST]
        return ""

    return run


_TYPES: Dict[str, Callable[[Reader], _Run]] = {"tcp": _tcp, "http": _http, "process": _process, "script": _script}


def _check(reader: Reader) -> Check:
    kind = reader.text("type", lambda value: value in _TYPES, "one of: " + ", ".join(_TYPES))
    return Check(
        reader.text("name", is_group_name, "letters, digits, '.', '_' or '-'"),
        reader.number("timeout", 1, 3600),
        reader.number("fall", 1, 255),
        _TYPES[kind](reader),
    )


def load(path: str) -> List[Check]:
    """The checks of this node; without the file there are none. Raises ConfigError."""
    if not os.path.exists(path):
        return []
    return [_check(reader) for reader in Reader(read(path), path).objects("checks")]


def failing(checks: Iterable[Check], seconds: float = math.inf) -> Dict[str, str]:
    """Run checks, all at the same time. Returns by its name why each one fails that does.

    seconds: how long each may take, if that is less than its own time.
    """
    clock = Clock()
    results: Dict[str, str] = {}

    def attempt(check: Check, limit: float) -> None:
        results[check.name] = check.run(limit)

    running = []
    for check in checks:
        limit = min(check.timeout, seconds)
        thread = threading.Thread(target=attempt, args=(check, limit), daemon=True)
        thread.start()
        running.append((check.name, limit, thread, Deadline(clock, limit + _GRACE)))
    reasons = {}
    for name, limit, thread, deadline in running:
        # Nothing else limits how long a name takes to resolve, and an answer that comes byte by byte.
        thread.join(max(0.0, deadline.remaining()))
        reason = results.get(name, f"no result within {limit:g} s")
        if reason:
            reasons[name] = reason
    return reasons

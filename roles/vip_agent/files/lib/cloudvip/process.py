# SPDX-License-Identifier: GPL-3.0-or-later
"""How other programs are started (arguments, no shell, a fixed environment, a time limit), and how ours ends."""

import os
import signal
import subprocess
import sys
from typing import NoReturn, Sequence

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class ProcessError(Exception):
    """A program could not be started, took too long or failed."""


def run(
    argv: Sequence[str], data: bytes = b"", timeout: float = 10.0, fds: Sequence[int] = (), session: bool = False
) -> bytes:
    """Run a program with `data` as its input and return its output.

    timeout: seconds. fds: file descriptors that it inherits. session: it gets a session of its own, and what it has
    started ends with it when its time is over.
    Raises ProcessError with the program's own words.
    """
    try:
        with subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            pass_fds=tuple(fds),
            start_new_session=session,
        ) as child:
            try:
                output, errors = child.communicate(data, timeout=timeout)
            except subprocess.TimeoutExpired:
                (os.killpg if session else os.kill)(child.pid, signal.SIGKILL)
                raise ProcessError(f"{argv[0]} did not finish within {timeout:g} s") from None
    except OSError as error:
        raise ProcessError(f"{argv[0]} cannot be run: {error.strerror}") from error
    if child.returncode != 0:
        text = (errors or output).decode("ascii", "backslashreplace").strip()
        raise ProcessError(f"{argv[0]} failed with status {child.returncode}{text and ': ' + text}")
    return output


def leave(status: int) -> NoReturn:
    """End this process at once with an exit status.

    A call that nobody waits for any more may still be in the midst of TLS on its own thread, and the C library's
    orderly end, which takes OpenSSL down under it, now and then aborts the process.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            status = status or 1
    os._exit(status)

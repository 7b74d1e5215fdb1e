# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one program on a node and says what it took. Its source is the argument of `python3 -c`: standard library only.

A small process of its own is the parent: the kernel counts the memory of the process that forks as the child's peak,
and neither a container engine's start nor the benchmark's own size is to be in the figures.
"""

import json
import os
import sys
import time
from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """argv: the descriptor of a cgroup's list of processes or -1, and the program with its arguments."""
    cgroup, program = int(argv[0]), argv[1:]
    out = os.dup(1)
    os.set_inheritable(out, False)
    os.dup2(2, 1)
    began = time.monotonic_ns()
    pid = os.fork()
    if pid == 0:
        try:
            if cgroup >= 0:
                os.write(cgroup, b"0")
                os.close(cgroup)
            os.execv(program[0], list(program))
        finally:
            os._exit(127)
    _, status, usage = os.wait4(pid, 0)
    ended = time.monotonic_ns()
    took = {
        "began": began,
        "ended": ended,
        "status": os.waitstatus_to_exitcode(status),
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
    }
    os.write(out, json.dumps(took).encode("ascii"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a backup and says when it has heard the master.

Its source is the argument of `python3 -c`: standard library only.
"""

import json
import socket
import sys
import time

_VRRP = 112
# The slowest profile advertises every 1 s, and a master has to be elected first.
_PATIENCE_SECONDS = 20.0


def listen(channel: socket.socket) -> dict[str, int]:
    """When the second of two adverts came (monotonic ns), and how long after the first. Raises TimeoutError."""
    channel.recv(1)
    first = time.monotonic_ns()
    channel.recv(1)
    at = time.monotonic_ns()
    return {"at": at, "interval": at - first}


def main() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, _VRRP) as channel:
        channel.settimeout(_PATIENCE_SECONDS)
        sys.stdout.write(json.dumps(listen(channel)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lab keeps its things. Every name that it gives to something on the host starts with PREFIX."""

from __future__ import annotations

from pathlib import Path

PREFIX = "cvl"
STATE = Path("/var/lib/cloudvip-lab")
RUN = Path("/run/cloudvip-lab")
NETNS = Path("/run/netns")

CONTROL_SOCKET = RUN / "control.sock"
PID_FILE = RUN / "server.pid"
LOG_FILE = RUN / "server.log"
HOST_STATE = RUN / "host.json"

SSH_KEY = STATE / "ssh" / "id_ed25519"
SSH_HOST_KEY = STATE / "ssh" / "host_ed25519"
KNOWN_HOSTS = STATE / "ssh" / "known_hosts"

VCN_NETNS = f"{PREFIX}-vcn"


def client_netns(client: str) -> str:
    """The name of a client's network namespace."""
    return f"{PREFIX}-{client}"


def container(node: str) -> str:
    """The name of a node's container."""
    return f"{PREFIX}-{node}"

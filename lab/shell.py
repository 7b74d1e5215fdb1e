# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on nodes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

from lab.control import LabError
from lab.nodes.podman import exec_argv

_EXEC_SECONDS = 30.0

Exec = Callable[[str, Sequence[str]], str]
"""Runs a command on a node and returns what it wrote to stdout. Raises LabError when it fails."""


def exec_in(node: str, argv: Sequence[str]) -> str:
    """Run a command in a node's container as root. Raises LabError with what it wrote to stderr."""
    try:
        done = subprocess.run(
            exec_argv(node, list(argv)), capture_output=True, text=True, check=False, timeout=_EXEC_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{node}: {argv[0]} did not end within {_EXEC_SECONDS:.0f} s") from error
    if done.returncode != 0:
        raise LabError(f"{node}: {' '.join(argv)}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout


def attempt(exec_on: Exec, node: str, argv: Sequence[str]) -> str | None:
    """What a command wrote on a node, or None when it failed: the node may be off, frozen or hung."""
    try:
        return exec_on(node, argv)
    except LabError:
        return None

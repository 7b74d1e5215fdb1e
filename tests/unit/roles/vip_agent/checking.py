# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks as the playbook writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

COMMON = {"interval": 2, "timeout": 1, "fall": 2, "rise": 2}


def tcp(name: str, port: int, **other: Any) -> dict[str, Any]:
    return {**COMMON, "name": name, "type": "tcp", "host": "127.0.0.1", "port": port, **other}


def http(name: str, url: str, **other: Any) -> dict[str, Any]:
    return {**COMMON, "name": name, "type": "http", "url": url, "status": 200, **other}


def process(name: str, program: str, **other: Any) -> dict[str, Any]:
    return {**COMMON, "name": name, "type": "process", "process": program, **other}


def script(name: str, command: str, **other: Any) -> dict[str, Any]:
    return {**COMMON, "name": name, "type": "script", "command": command, **other}


def exists(name: str, file: Path, **other: Any) -> dict[str, Any]:
    """A check that passes as long as a file is there."""
    return script(name, f"/usr/bin/test -e {file}", **other)


def write(file: Path, *checks: dict[str, Any]) -> None:
    """Write checks.json."""
    file.write_text(json.dumps({"checks": list(checks)}))

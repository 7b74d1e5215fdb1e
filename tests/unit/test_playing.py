# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests that play something rely on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.playing import Played, play


def run(folder: Path, inventory: str, *tasks: dict[str, Any], **variables: Any) -> Played:
    playbook = [{"hosts": "all", "gather_facts": False, "tasks": list(tasks)}]
    return play(folder, playbook, inventory, "--connection=local", **variables)


def test_modules_run_as_their_tasks_say(tmp_path: Path) -> None:
    command = {"argv": ["sh", "-c", 'umask >> file; echo "$PWD $WHO $1" >> file', "sh", "{{ word }}"]}
    tasks: list[dict[str, Any]] = [
        {"command": {**command, "chdir": str(tmp_path)}, "environment": {"WHO": "{{ inventory_hostname }}"}},
        {"command": "false", "when": "inventory_hostname == 'b'"},
    ]

    played = run(tmp_path, "a,", *tasks, word="x")

    assert (played.good, played.ok, played.changed) == (True, {"a": 1}, {"a": 1}), played.output
    assert (tmp_path / "file").read_text() == f"0077\n{tmp_path} a x\n"
    failed = run(tmp_path, "a,b", *tasks, word="y")
    assert (failed.good, failed.changes, failed.ok) == (False, 2, {"a": 1, "b": 1}), failed.output


def test_what_nobody_has_played_is_not_good(tmp_path: Path) -> None:
    played = play(tmp_path, [{"hosts": "nobody", "tasks": []}], "a,")

    assert (played.returncode, played.good) == (0, False)

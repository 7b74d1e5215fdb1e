# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-playbook in a test."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.interpreter import ENVIRONMENT, ROOT, interpreter


@dataclass(frozen=True)
class Played:
    """What came of it; for every host, how many tasks it has come through and how many of them changed something."""

    returncode: int
    output: str
    ok: dict[str, int]
    changed: dict[str, int]

    @property
    def good(self) -> bool:
        """Whether all went well; with nobody to play it, it did not."""
        return self.returncode == 0 and any(self.ok.values())

    @property
    def changes(self) -> int:
        """How many tasks changed something, over all hosts."""
        return sum(self.changed.values())


def play(
    folder: Path,
    playbook: Path | list[dict[str, Any]],
    inventory: Path | str | dict[str, Any],
    *arguments: str,
    **variables: Any,
) -> Played:
    """Run a playbook with more arguments of ansible-playbook, and with extra variables.

    Plays and an inventory that are not files yet are written to `folder`, where files that they name are looked for.
    """
    if isinstance(playbook, list):
        (folder / "play.yml").write_text(json.dumps(playbook))
        playbook = folder / "play.yml"
    if isinstance(inventory, dict):
        (folder / "hosts.yml").write_text(json.dumps(inventory))
        inventory = folder / "hosts.yml"
    extra = json.dumps({"ansible_python_interpreter": str(interpreter()), **variables})
    command = ["ansible-playbook", str(playbook), "--inventory", str(inventory), "--extra-vars", extra, *arguments]
    done = subprocess.run(
        [interpreter()],
        input=f"from ansible.cli.playbook import main\n\nmain({command})\n",
        env=ENVIRONMENT,
        cwd=ROOT,
        # What a role leaves to the umask would be closed.
        umask=0o077,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    recap = re.findall(r"^(\S+) +: ok=(\d+) +changed=(\d+) ", done.stdout, re.MULTILINE)
    return Played(
        done.returncode,
        done.stdout + done.stderr,
        ok={host: int(ok) for host, ok, _ in recap},
        changed={host: int(changed) for host, _, changed in recap},
    )

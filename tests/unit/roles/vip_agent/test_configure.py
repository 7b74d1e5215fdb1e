# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's `configure.yml`, played on this machine with another directory in the place of /etc/cloudvip."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from cloudvip.checks import load

from tests.unit.interpreter import ROOT
from tests.unit.playing import play
from tests.unit.roles.vip_agent.checking import process, tcp

ROLE = ROOT / "roles" / "vip_agent"
CHECKS = [tcp("db", 5432), process("lb", "haproxy")]


def configure(folder: Path, model: dict[str, Any]) -> int:
    """Play it; how many tasks have changed something."""
    constants = (ROLE / "vars/main.yml").read_text()
    assert "/etc/cloudvip/" in constants
    (folder / "vars.yml").write_text(constants.replace("/etc/cloudvip/", f"{folder}/etc/"))
    (folder / "configure.yml").write_text((ROLE / "tasks/configure.yml").read_text())
    shutil.copytree(ROLE / "templates", folder / "templates", dirs_exist_ok=True)
    tasks = [{"import_tasks": "configure.yml"}]
    playbook = [{"hosts": "all", "gather_facts": False, "vars_files": ["vars.yml"], "tasks": tasks}]
    variables = {"vip_agent_model": model, "__vip_agent_config": {"version": 1}}
    played = play(folder, playbook, "vr1,", "--connection=local", **variables)
    assert played.good, played.output
    return played.changes


def modes(folder: Path) -> dict[str, str]:
    return {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in (folder, *folder.iterdir())}


def test_anybody_may_read_the_checks_and_only_root_the_configuration(tmp_path: Path) -> None:
    assert configure(tmp_path, {"checks": CHECKS}) == 1

    assert modes(tmp_path / "etc") == {"etc": "0o755", "config.json": "0o640", "checks.json": "0o644"}
    assert [check.name for check in load(str(tmp_path / "etc" / "checks.json"))] == ["db", "lb"]
    assert configure(tmp_path, {"checks": CHECKS}) == 0


@pytest.mark.parametrize("model", [{}, {"checks": []}])
def test_the_last_check_goes_with_its_file(tmp_path: Path, model: dict[str, Any]) -> None:
    configure(tmp_path, {"checks": CHECKS})

    assert configure(tmp_path, model) == 1

    assert list(modes(tmp_path / "etc")) == ["etc", "config.json"]
    assert configure(tmp_path, model) == 0

# SPDX-License-Identifier: GPL-3.0-or-later
"""`tasks_from: verify`, played on this machine with a program that prints a status in the place of the command."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.unit.interpreter import ROOT
from tests.unit.playing import play

VNIC = "ocid1.vnic.oc99.lab.a5"
MAC = "02:00:17:00:00:05"
MODEL = {
    "nodes": ["vr1"],
    "groups": [{"name": "main", "vips": [{"address": "10.0.0.4", "bindings": {"vr1": {"vnic_id": VNIC}}}]}],
    "absent": [],
}


def status(**changes: Any) -> dict[str, Any]:
    """What the holder's command prints."""
    where = {"cloud": "here", "cloud_vnic_id": VNIC, "local": "here", "claimed": True, "pending": None, "detail": ""}
    vip = {"address": "10.0.0.4", "interface": "ens5", "wanted": True, **where, **changes}
    return {"groups": {"main": {"revision": "r1", "claimed_revision": "r1", "vips": [vip]}}}


def verify(folder: Path, timeout: int, *commands: str, configured: bool = False) -> tuple[bool, str, int]:
    """Play it with a command of these lines; whether all was well, what was printed, and how often it was run."""
    command, runs = folder / "cloudvip", folder / "runs"
    command.write_text("\n".join(["#!/bin/sh", f"echo >> {runs}", *commands]))
    command.chmod(0o755)
    tasks = (ROOT / "roles/vip_agent/tasks/verify.yml").read_text()
    assert "/usr/sbin/cloudvip" in tasks
    tasks = tasks.replace("/usr/sbin/cloudvip", str(command)).replace("delay: 3", "delay: 0")
    (folder / "verify.yml").write_text(tasks)
    cleared = {"shell": f"echo {{{{ __vip_agent_unmanaged | join(' ') }}}} >> {folder}/cleared"}
    (folder / "interfaces.yml").write_text(json.dumps([cleared]))
    playbook = [{"hosts": "vr1", "gather_facts": False, "tasks": [{"import_tasks": "verify.yml"}]}]
    variables = {
        "vip_agent_model": MODEL,
        "vip_agent_node": "vr1",
        "vip_agent_verify_timeout": timeout,
        "__vip_agent_configured": {"changed": configured},
        "__vip_agent_config": {"interfaces": [{"mac": MAC}]},
        "__vip_agent_leaving": [],
    }
    played = play(folder, playbook, "vr1,", "--connection=local", **variables)
    return played.good, played.output, len(runs.read_text().splitlines())


def test_a_vip_that_is_where_it_should_be(tmp_path: Path) -> None:
    good, output, runs = verify(tmp_path, 120, f"echo {shlex.quote(json.dumps(status()))}")

    assert (good, runs) == (True, 1), output
    assert not (tmp_path / "cleared").exists()


def test_what_a_removed_vip_needed_is_cleared_after_it_was_released(tmp_path: Path) -> None:
    before, after = status(), status()
    (vip,) = after["groups"]["main"]["vips"]
    before["groups"]["main"]["vips"].append({**vip, "address": "10.0.0.9", "wanted": False})
    too_early = f"test ! -e {tmp_path}/cleared || exit 1"
    look = f"[ $(wc -l < {tmp_path}/runs) = 1 ]"

    good, output, runs = verify(
        tmp_path,
        120,
        too_early,
        f"{look} && echo {shlex.quote(json.dumps(before))} || echo {shlex.quote(json.dumps(after))}",
        configured=True,
    )

    assert (good, runs) == (True, 2), output
    # Without what the node no longer configures.
    assert (tmp_path / "cleared").read_text() == f"{MAC}\n"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"local": "elsewhere"}, "the cloud delivers 10.0.0.4 here, but ens5 does not have it"),
        ({"cloud": "unknown", "detail": "no answer within 5 s"}, "is unknown: no answer within 5 s"),
    ],
)
def test_when_the_time_is_over_it_says_what_does_not_agree(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    good, output, runs = verify(tmp_path, 0, f"echo {shlex.quote(json.dumps(status(**changes)))}")

    assert (good, runs) == (False, 1)
    assert problem in output


def test_when_the_time_is_over_it_says_why_the_command_fails(tmp_path: Path) -> None:
    good, output, runs = verify(tmp_path, 0, "echo no configuration >&2", "exit 1")

    assert (good, runs) == (False, 1)
    assert "no configuration" in output

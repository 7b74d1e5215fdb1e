# SPDX-License-Identifier: GPL-3.0-or-later
"""The installed collection, without the checkout: its documentation, its playbooks, its modules."""

from __future__ import annotations

import json
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from tests.collection.conftest import Package
from tests.collection.package import ROOT, done, run

FILES = sorted(ROOT.glob("playbooks/*.yml"))
PLAYBOOKS = [f"cloudvip.ha.{file.stem}" for file in FILES]
EXAMPLE = "cloudvip_vips[0] (transit).address = 'CHANGE_ME_TRANSIT_ADDRESS': expected a value of your own"


def use(installed: Package, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program of Ansible's that knows of no other collection."""
    return run(installed.directory, program, *arguments, ANSIBLE_COLLECTIONS_PATH=str(installed.collections))


@pytest.mark.parametrize(
    ("kind", "pattern", "part"),
    [
        ("module", "plugins/modules/*.py", 2),
        ("filter", "plugins/filter/*.yml", 2),
        ("role", "roles/*/meta/argument_specs.yml", 1),
    ],
)
def test_everything_is_documented(installed: Package, kind: str, pattern: str, part: int) -> None:
    wanted = {f"cloudvip.ha.{Path(path.parts[part]).stem}" for path in installed.sources if fnmatch(path, pattern)}

    listed = json.loads(done(use(installed, "ansible-doc", "--json", "--list", "--type", kind, "cloudvip.ha")))

    assert len(wanted) > 5
    assert set(listed) == wanted
    assert all(listed.values())


def test_the_playbooks_are_found_by_their_names(installed: Package) -> None:
    example = installed.root / "inventory" / "prod"

    done(use(installed, "ansible-playbook", "-i", example, "--syntax-check", *PLAYBOOKS))
    said = done(use(installed, "ansible-playbook", "-i", example, "--list-tasks", *PLAYBOOKS))

    assert [said.count(f"playbook: {installed.root}/playbooks/{path.name}\n") for path in FILES] == [1] * len(FILES)
    assert "cloudvip.ha.node : " in said
    assert "cloudvip.ha.vip_agent : Install | " in said


def test_bad_input_is_refused_as_from_a_checkout(installed: Package) -> None:
    played = use(installed, "ansible-playbook", "cloudvip.ha.site", "-i", installed.root / "inventory" / "prod")

    assert played.returncode == 2, played.stdout + played.stderr
    assert EXAMPLE in played.stdout + played.stderr


def test_ansible_runner_says_what_was_refused(installed: Package, tmp_path: Path) -> None:
    shutil.copytree(installed.root / "inventory" / "prod", tmp_path / "inventory")
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "envvars").write_text(json.dumps({"ANSIBLE_COLLECTIONS_PATH": str(installed.collections)}))

    ran = run(tmp_path, "ansible-runner", "run", tmp_path, "-p", "cloudvip.ha.site", "--ident", "it")

    artifacts = tmp_path / "artifacts" / "it"
    assert (artifacts / "status").read_text() == "failed", ran.stdout + ran.stderr
    events = [json.loads(path.read_text()) for path in (artifacts / "job_events").glob("*.json")]
    failures = [event["event_data"]["res"]["msg"] for event in events if event["event"] == "runner_on_failed"]
    assert any(EXAMPLE in failure for failure in failures)


def test_the_modules_of_nodes_run_with_the_python_of_nodes(
    installed: Package, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    python = request.config.getoption("--node-python")
    lib = installed.root / "roles" / "vip_agent" / "files" / "lib" / "cloudvip"
    tree = f"'{lib}' | cloudvip.ha.file_tree('cloudvip') | items2dict(key_name='path', value_name='content')"
    program = {"path": f"{tmp_path}/cloudvip.zip", "python": python, "sources": f"{{{{ {tree} }}}}"}
    start = f"import sys; sys.path.insert(0, '{tmp_path}/cloudvip.zip/' + sys.implementation.cache_tag)"
    tasks = [
        {"cloudvip.ha.files": {"files": [], "programs": [program]}},
        {"ansible.builtin.command": {"argv": [python, "-Ic", f"{start}; import cloudvip.cli, cloudvip.ocf"]}},
        {"cloudvip.ha.keepalived_features": {"keywords": ["vrrp_down_timer_adverts"]}},
        {"cloudvip.ha.pacemaker_cib": {"properties": {"stonith-enabled": False}}, "check_mode": True},
        # There is no cloud here, which it is to say in its own words.
        {"cloudvip.ha.vnic_facts": {"metadata_url": "http://127.0.0.1:1", "retries": 0}},
    ]
    play = {"hosts": "localhost", "gather_facts": False, "connection": "local", "tasks": tasks}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))

    played = use(installed, "ansible-playbook", tmp_path / "play.yml", "-e", f"ansible_python_interpreter={python}")

    assert "ok=4 " in played.stdout, played.stdout + played.stderr
    assert "metadata service: GET http://127.0.0.1:1/instance/: " in played.stdout

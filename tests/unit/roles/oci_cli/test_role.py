# SPDX-License-Identifier: GPL-3.0-or-later
"""The role `oci_cli`, played on this machine below a directory of its own, with a small wheel in place of Oracle's."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.unit.playing import Played, play

PROGRAM = """
import json, os, sys


def main():
    if sys.argv[1:] == ["--version"]:
        print("{version}")
    else:
        kept = ("OCI_METADATA_BASE_URL", "OCI_CLI_FEDERATION_ENDPOINT")
        call = {{"arguments": sys.argv[1:], "environment": {{k: os.environ[k] for k in kept if k in os.environ}}}}
        with open("{calls}", "w") as file:
            json.dump(call, file)
"""
# Python, but for a new environment, which takes it seconds: that is a copy of one.
PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then exec cp --archive {environment} "$3"; fi
exec {python} "$@"
"""


@dataclass
class Node:
    """A node, which is this machine as far as the directory goes."""

    directory: Path
    python: Path
    pins: list[str] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.directory / "opt"

    @property
    def program(self) -> Path:
        return self.directory / "oci"

    @property
    def defaults(self) -> Path:
        return self.directory / "root/oci_cli_rc"

    @property
    def calls(self) -> Path:
        return self.directory / "calls"

    def says(self) -> str:
        return subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True).stdout.strip()

    def release(self, version: str) -> None:
        """Make a wheel of this version, and make it the one that the role is to install."""
        files = {
            "oci_cli.py": PROGRAM.format(version=version, calls=self.calls),
            f"oci_cli-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: oci-cli\nVersion: {version}\n",
            f"oci_cli-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"oci_cli-{version}.dist-info/entry_points.txt": "[console_scripts]\noci = oci_cli:main\n",
        }
        record = "".join(f"{name},,\n" for name in files)
        wheel = self.directory / f"wheels/oci_cli-{version}-py3-none-any.whl"
        wheel.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, text in {**files, f"oci_cli-{version}.dist-info/RECORD": record}.items():
                archive.writestr(name, text)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        self.pins = [f"oci-cli=={version} \\", f"    --hash=sha256:{digest}"]

    def play(self, *arguments: str, **variables: Any) -> Played:
        """Play the role with these arguments of ansible-playbook, and with more variables."""
        settings = {
            "oci_cli_wheel_dir": str(self.directory / "wheels"),
            "oci_cli_python": str(self.python),
            "__oci_cli_home": str(self.home),
            "__oci_cli_program": str(self.program),
            "__oci_cli_defaults": str(self.defaults),
            "__oci_cli_provider": "wheels",
            "__oci_cli_packages": [],
            "__oci_cli_pythons": [f"cpython {sys.version_info.major}.{sys.version_info.minor}"],
            "__oci_cli_megabytes": 0,
            "__oci_cli_wheels": "\n".join(self.pins),
            **variables,
        }
        playbook = [{"hosts": "all", "gather_facts": False, "roles": ["cloudvip.ha.oci_cli"]}]
        return play(self.directory, playbook, "vr1,", "--connection=local", *arguments, **settings)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("python")
    environment, program = directory / "environment", directory / "python3"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    program.write_text(PYTHON.format(environment=environment, python=sys.executable))
    program.chmod(0o755)
    return program


@pytest.fixture
def node(tmp_path: Path, python: Path) -> Node:
    node = Node(tmp_path, python)
    node.release("1.0")
    return node


def test_it_is_installed_once_replaced_when_the_pin_changes_and_removed(node: Node) -> None:
    predicted = node.play("--check")
    assert predicted.good, predicted.output
    assert predicted.changes > 0
    assert not node.home.exists()

    first = node.play()
    assert first.good, first.output
    assert node.says() == "1.0"
    assert list(node.home.rglob("oci_cli.*.pyc"))
    assert not list(node.home.rglob("*.whl"))

    again = node.play()
    assert (again.good, again.changes) == (True, 0), again.output

    node.release("1.1")
    upgraded = node.play()
    assert upgraded.good, upgraded.output
    assert node.says() == "1.1"
    assert len(list(node.home.iterdir())) == 1

    removed = node.play(oci_cli_state="absent")
    assert removed.good, removed.output
    assert not any(path.exists() or path.is_symlink() for path in (node.home, node.program, node.defaults))


def test_root_s_commands_act_as_the_instance_and_one_of_them_proves_it(node: Node) -> None:
    played = node.play(
        oci_cli_vnic_id="ocid1.vnic.oc1.eu-frankfurt-1.aaaa",
        oci_cli_endpoint="https://192.0.2.1",
        oci_cli_ca_bundle="/etc/example/ca.pem",
        oci_cli_federation_endpoint="https://192.0.2.1/v1/x509",
        oci_cli_metadata_url="http://192.0.2.2/opc/v2",
    )

    assert played.good, played.output
    settings = [s for s in node.defaults.read_text(encoding="utf-8").splitlines() if not s.startswith("#")]
    assert settings == [
        "[DEFAULT]",
        "auth = instance_principal",
        "endpoint = https://192.0.2.1",
        "cert-bundle = /etc/example/ca.pem",
    ]
    assert (node.defaults.stat().st_mode & 0o777, node.defaults.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    call = json.loads(node.calls.read_text(encoding="utf-8"))
    assert call["arguments"][2:5] == ["network", "private-ip", "list"]
    assert "--vnic-id=ocid1.vnic.oc1.eu-frankfurt-1.aaaa" in call["arguments"]
    assert call["environment"] == {
        "OCI_METADATA_BASE_URL": "http://192.0.2.2/opc/v2",
        "OCI_CLI_FEDERATION_ENDPOINT": "https://192.0.2.1/v1/x509",
    }


def test_what_runs_stays_when_a_wheel_is_not_the_pinned_one_and_is_repaired_when_broken(node: Node) -> None:
    assert node.play().good
    (interpreter,) = node.home.glob("*/bin/python")

    interpreter.unlink()
    repaired = node.play()
    assert repaired.good, repaired.output
    assert node.says() == "1.0"

    node.release("1.1")
    node.pins[1] = f"    --hash=sha256:{'0' * 64}"
    refused = node.play()
    assert not refused.good
    assert "DO NOT MATCH THE HASHES" in refused.output
    assert node.says() == "1.0"


def test_defaults_that_somebody_else_wrote_are_left_alone(node: Node) -> None:
    node.defaults.parent.mkdir()
    node.defaults.write_text("[DEFAULT]\nprofile = mine\n", encoding="utf-8")

    refused = node.play()
    assert not refused.good
    assert f"{node.defaults}: expected none, or the one of this role" in refused.output

    assert node.play(oci_cli_state="absent").good
    assert node.defaults.exists()


def test_a_node_that_cannot_take_it_is_told_all_reasons_before_anything_is_touched(node: Node) -> None:
    node.program.write_text("#!/bin/sh\n", encoding="utf-8")

    refused = node.play(__oci_cli_pythons=["cpython 2.7"], __oci_cli_machines=["vax"], __oci_cli_megabytes=10**9)

    assert not refused.good
    for problem in (
        f"{node.program}: expected nothing, or a link",
        f"oci_cli_python = '{node.python}': expected cpython 2.7; it is cpython",
        "expected vax",
        "expected 1000000000 MiB of free space",
    ):
        assert problem in refused.output
    assert not node.home.exists()


def test_the_package_of_the_distribution_is_for_those_who_name_no_wheels(tmp_path: Path) -> None:
    inputs = {
        "plain": {},
        "directory": {"oci_cli_wheel_dir": str(tmp_path)},
        "index": {"oci_cli_index_url": "https://index.example.org/simple"},
        "python": {"oci_cli_python": "/usr/bin/python3.11"},
    }
    nodes = {f"{name}{major}": {"major": major, **values} for major in ("8", "9") for name, values in inputs.items()}
    facts = {"os_family": "RedHat", "distribution": "OracleLinux", "pkg_mgr": "dnf"}
    tasks = [
        # What can be cached is a fact.
        {"ansible.builtin.set_fact": {**facts, "distribution_major_version": "{{ major }}", "cacheable": True}},
        {"ansible.builtin.include_role": {"name": "cloudvip.ha.oci_cli", "tasks_from": "preflight", "public": True}},
        {
            "ansible.builtin.copy": {
                "content": "{{ __oci_cli_provider }} {{ __oci_cli_program }}",
                "dest": f"{tmp_path}/{{{{ inventory_hostname }}}}",
                "mode": "0600",
            }
        },
    ]
    playbook = [{"hosts": "all", "gather_facts": False, "connection": "local", "tasks": tasks}]

    played = play(tmp_path, playbook, {"all": {"hosts": nodes}}, __oci_cli_defaults=str(tmp_path / "oci_cli_rc"))

    assert played.good, played.output
    chosen = {name: (tmp_path / name).read_text(encoding="utf-8") for name in nodes}
    wheels = dict.fromkeys(nodes, "wheels /usr/local/bin/oci")
    assert chosen == {**wheels, **dict.fromkeys(("plain8", "plain9"), "package /usr/bin/oci")}


def test_the_wheels_may_be_below_the_home_directory(node: Node) -> None:
    played = node.play(oci_cli_wheel_dir=f"~/{os.path.relpath(node.directory / 'wheels', Path.home())}")

    assert played.good, played.output
    assert node.says() == "1.0"


def test_bad_input_is_refused_at_once(node: Node) -> None:
    refused = node.play(oci_cli_wheel_dir="/nonexistent", oci_cli_index_url="https://index.example.org/simple")

    assert not refused.good
    assert "oci_cli_wheel_dir = '/nonexistent': expected a directory on the controller" in refused.output
    assert "oci_cli_index_url, oci_cli_wheel_dir: expected one of them at the most" in refused.output

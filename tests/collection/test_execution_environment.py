# SPDX-License-Identifier: GPL-3.0-or-later
"""What an execution environment is built from: `make ee`. The images themselves are not pulled here."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import yaml

from tests.collection.conftest import Package
from tests.collection.package import ROOT, done, run


def test_it_gets_the_collection_with_what_that_needs(installed: Package, tmp_path: Path) -> None:
    done(run(installed.checkout, shutil.which("make") or "make", "ee"))

    # As its Containerfile does.
    context = installed.checkout / ".cache" / "ee" / "context" / "_build"
    install = ("collection", "install", "--offline", "-r", "requirements.yml")
    done(run(context, "ansible-galaxy", *install, "--collections-path", tmp_path))
    needs = yaml.safe_load(done(run(tmp_path, "ansible-builder", "introspect", tmp_path)))
    found = {kind: [line.partition("  #")[0] for line in lines] for kind, lines in needs.items()}
    assert found["python"] == ["oci>=2.167.1"]
    assert "oci >= 2.167.1" in (ROOT / "plugins" / "doc_fragments" / "oci.py").read_text()
    assert found["system"] == ["openssh-client [platform:dpkg]", "openssh-clients [platform:rpm]"]


def test_it_has_the_releases_that_are_tested() -> None:
    wanted = yaml.safe_load((ROOT / "execution-environment.yml").read_text())["dependencies"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert wanted["ansible_core"]["package_pip"] in project["dependencies"]
    assert wanted["ansible_runner"]["package_pip"] in project["optional-dependencies"]["dev"]

# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of releases in several places is the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

from tools.matrix import RELEASES

ROOT = Path(__file__).parents[2]


def test_the_oldest_release_of_the_matrix_is_the_oldest_that_is_allowed() -> None:
    oldest = ".".join(RELEASES[0].core.split(".")[:2])

    assert yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"] == f">={oldest}.0"
    for file in ROOT.glob("roles/*/meta/main.yml"):
        assert yaml.safe_load(file.read_text())["galaxy_info"]["min_ansible_version"] == oldest


def test_the_release_of_development_is_in_the_matrix() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert {pin for pin in project["dependencies"] if pin.startswith("ansible-core")} < {
        f"ansible-core=={release.core}" for release in RELEASES
    }


def test_the_page_has_the_releases_of_the_matrix() -> None:
    page = (ROOT / "docs/support.md").read_text()

    rows = re.findall(r"^\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| \w", page, re.MULTILINE)

    assert rows == [tuple(release) for release in RELEASES]

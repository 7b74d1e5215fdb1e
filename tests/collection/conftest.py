# SPDX-License-Identifier: GPL-3.0-or-later
"""One package for all tests, and where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.collection import package

# What a checkout gathers while one works in it.
LITTER = (
    ".cache/bench/results.json", ".env", ".mypy_cache/3.11/cache.json", ".venv/bin/python", "campaign-7/report.json",
    "cloudvip-ha-0.0.1.tar.gz", "cloudvip_lab.egg-info/PKG-INFO", "docs/.operations.md.swp", "inventory/mine/hosts.yml",
    "plugins/modules/__pycache__/files.cpython-311.pyc", "roles/vip_agent/files/lib/cloudvip/__pycache__/a.pyc",
)  # fmt: skip


class Package(NamedTuple):
    """A package, and where it is installed.

    :param checkout: what it was made of
    :param sources: the files and links of the checkout
    :param directory: of the user who has installed it
    :param collections: the user's ANSIBLE_COLLECTIONS_PATH
    """

    file: Path
    checkout: Path
    sources: list[Path]
    directory: Path
    collections: Path

    @property
    def root(self) -> Path:
        """The installed collection."""
        return self.collections / "ansible_collections" / "cloudvip" / "ha"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--node-python", default=sys.executable, help="the Python that the modules of nodes are run with")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The collection, built from a checkout in which somebody has worked, and installed away from it."""
    checkout, directory = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("user")
    sources = package.checkout(checkout)
    for name in LITTER:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("litter\n")
    file = package.build(directory, checkout)
    return Package(file, checkout, sources, directory, package.install(directory, file))

# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab works from an installed package as it does from a checkout."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_file_beside_the_code_is_package_data() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["lab"]

    packed = {pattern: set((ROOT / "lab").glob(pattern)) for pattern in patterns}
    data = {f for f in (ROOT / "lab").rglob("*") if f.is_file() and f.suffix not in (".py", ".pyc")}

    assert [pattern for pattern, files in packed.items() if not files] == []
    assert len(data) > 5
    assert data - set().union(*packed.values()) == set()

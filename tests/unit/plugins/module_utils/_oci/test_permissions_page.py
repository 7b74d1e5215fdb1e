# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/permissions.md says is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import PERMISSIONS
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.permissions import FEATURES, statements

PAGE = (Path(__file__).parents[5] / "docs/permissions.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.+) \| (\w+) \| (.+) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("operation", "permissions"), sorted({row[1:] for row in ROWS if row[1] not in {"operation"}}))
def test_an_operation_needs_what_an_error_says(operation: str, permissions: str) -> None:
    assert PERMISSIONS[operation] == permissions


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_is_permitted_what_its_operations_need(feature: str) -> None:
    needed = {p for name, _, permissions in ROWS if name == f"`{feature}`" for p in re.findall(r"\w+_\w+", permissions)}

    assert needed == {p for them in FEATURES[feature].values() for p in them}


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_has_these_statements(feature: str) -> None:
    section = PAGE.split(f"\n`{feature}`:\n\n")[1].split("\n\n")[0]

    assert [line.strip() for line in section.splitlines()] == statements("GROUP", "COMPARTMENT", {feature})

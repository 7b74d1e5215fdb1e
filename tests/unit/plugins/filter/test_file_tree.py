# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter file_tree."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cloudvip.ha.plugins.filter.file_tree import FilterModule, file_tree


def test_all_files_but_compiled_ones(tmp_path: Path) -> None:
    for name in ("a.py", "sub/b.py", "__pycache__/a.pyc", "sub/__pycache__/b.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)

    assert file_tree(str(tmp_path), "/opt/x") == [
        {"path": "/opt/x/a.py", "content": "a.py"},
        {"path": "/opt/x/sub/b.py", "content": "sub/b.py"},
    ]
    assert list(FilterModule().filters()) == ["file_tree"]


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError, match="expected a directory"):
        file_tree(str(tmp_path / "none"), "/opt/x")

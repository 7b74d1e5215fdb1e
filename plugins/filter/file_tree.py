# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter ``file_tree``; its documentation stands beside this file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError


def file_tree(directory: str, to: str) -> list[dict[str, str]]:
    """All files below a directory as entries of the module `files`, which puts them below the directory `to`."""
    root = Path(directory)
    if not root.is_dir():
        raise AnsibleFilterError(f"{directory}: expected a directory")
    return [
        {"path": f"{to}/{path.relative_to(root).as_posix()}", "content": path.read_text(encoding="utf-8")}
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]


class FilterModule:
    """What Ansible looks for in a filter file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {"file_tree": file_tree}

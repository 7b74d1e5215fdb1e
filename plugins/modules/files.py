#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module files; see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Write all files of a program at once
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Writes many files in one go, where M(ansible.builtin.copy) and M(ansible.builtin.template) take several steps for
    each of them.
  - Every file is replaced in one step. Missing directories are created with the mode 0755. The owner is the one who
    runs the module.
attributes:
  check_mode:
    description: Can run in check mode and predict what it would change.
    support: full
  diff_mode:
    description: Shows each file that changes.
    support: full
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where the file is, from the root.
        type: path
        required: true
      content:
        description: Its text.
        type: raw
        required: true
      mode:
        description: Its permissions, in octal.
        type: str
        default: "0644"
  exact:
    description:
      - Directories that hold none but the given files, so that nothing of an older version stays. C(__pycache__) is
        left alone.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Install a program and its command
  cloudvip.ha.files:
    files:
      - {path: /usr/lib/example/main.py, content: "print('hello')\n"}
      - {path: /usr/bin/example, content: "#!/bin/sh\nexec python3 /usr/lib/example/main.py\n", mode: "0755"}
    exact:
      - /usr/lib/example
"""

RETURN = r"""
files:
  description: The paths that were (or would be) written or removed.
  returned: success
  type: list
  elements: str
"""

import os
import shutil
import stat
from pathlib import Path
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule

_UMASK = 0o022
_KEPT = "__pycache__"


class File(NamedTuple):
    """What a file holds, and its permissions."""

    text: str
    mode: int


def current(path: Path) -> File | None:
    """A regular file as it is; None if there is none. Raises OSError."""
    if path.is_symlink() or not path.is_file():
        return None
    return File(path.read_text(encoding="utf-8", errors="replace"), stat.S_IMODE(path.stat().st_mode))


def strangers(directory: Path, wanted: set[Path]) -> list[Path]:
    """Everything below a directory that is neither wanted nor a directory nor compiled."""
    return sorted(
        path
        for path in directory.rglob("*")
        if path not in wanted and _KEPT not in path.parts and (path.is_symlink() or not path.is_dir())
    )


def write(path: Path, file: File) -> None:
    """Replace one file in one step. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(file.text, encoding="utf-8")
    temporary.chmod(file.mode)
    temporary.replace(path)


def remove(path: Path, top: Path) -> None:
    """Remove one file, and the directories below `top` that become empty by it. Raises OSError."""
    path.unlink()
    for parent in path.parents[: path.parents.index(top)]:
        if all(entry == _KEPT for entry in os.listdir(parent)):
            shutil.rmtree(parent)


def _wanted(module: AnsibleModule) -> dict[Path, File]:
    files: dict[Path, File] = {}
    for entry in module.params["files"]:
        path = Path(entry["path"])
        if not path.is_absolute() or ".." in path.parts:
            module.fail_json(msg=f"files: path {entry['path']!r}: expected an absolute path without '..'")
        try:
            files[path] = File(str(entry["content"]), int(entry["mode"], 8))
        except ValueError:
            module.fail_json(msg=f"files: mode {entry['mode']!r} of {path}: expected an octal number such as '0644'")
    return files


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "raw", "required": True},
                    "mode": {"type": "str", "default": "0644"},
                },
            },
            "exact": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    wanted = _wanted(module)
    before: dict[Path, Any] = {path: current(path) for path in wanted}
    written = [path for path, file in wanted.items() if before[path] != file]
    removed = [(path, Path(top)) for top in module.params["exact"] for path in strangers(Path(top), set(wanted))]
    before.update({path: current(path) for path, _ in removed})
    touched = [*written, *(path for path, _ in removed)]
    diff = [
        {
            "before_header": str(path),
            "after_header": str(path),
            "before": before[path].text if before[path] else "",
            "after": wanted[path].text if path in wanted else "",
        }
        for path in touched
    ]
    if not module.check_mode:
        os.umask(_UMASK)
        try:
            for path in written:
                write(path, wanted[path])
            for path, top in removed:
                remove(path, top)
        except OSError as error:
            module.fail_json(msg=f"{error.filename}: {error.strerror}")
    module.exit_json(changed=bool(touched), files=[str(path) for path in touched], diff=diff)


if __name__ == "__main__":
    main()

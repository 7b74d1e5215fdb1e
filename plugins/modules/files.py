#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module files; see DOCUMENTATION."""

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
  - A Python program can be one such file, so that no process ever runs a mixture of two versions of it.
extends_documentation_fragment: cloudvip.ha.attributes
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
  programs:
    description:
      - Python programs, each a zip archive with the sources below C(source/) and their bytecode below the cache tag of
        the interpreter, for example C(cpython-311/). Put both into C(sys.path), in the reverse order.
      - Compressed they take a third of the space, and an interpreter of another version finds the sources.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where the archive is, from the root.
        type: path
        required: true
      sources:
        description: The text of each source by its path, for example C(package/module.py).
        type: dict
        required: true
      python:
        description: The interpreter that is to run the program.
        type: path
        required: true
  exact:
    description:
      - Directories that hold none but the given files and programs, so that nothing of an older version stays.
        C(__pycache__) is left alone.
    type: list
    elements: path
    default: []
  absent:
    description: Files that are not to be there.
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

- name: Install a program as one file
  cloudvip.ha.files:
    files: []
    programs:
      - path: /usr/lib/example/example.zip
        python: /usr/bin/python3
        sources: {example/__init__.py: "", example/main.py: "print('hello')\n"}
"""

RETURN = r"""
files:
  description: The paths that were (or would be) written or removed.
  returned: success
  type: list
  elements: str
"""

import errno
import io
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Set

from ansible.module_utils.basic import AnsibleModule

_UMASK = 0o022
_KEPT = "__pycache__"


_SOURCE = "source/"
_BYTECODE = "bytecode for "
# The level of compression, which a Python 3.6 cannot be told.
_SMALLEST = (9,) if sys.version_info >= (3, 7) else ()
_PROGRAM_MODE = 0o644
_TIMEOUT = 60.0


class File(NamedTuple):
    """What a file holds, and its permissions."""

    text: str
    mode: int


class Program(NamedTuple):
    """The sources of a Python program by their path, and the interpreter that is to run it."""

    sources: Dict[str, str]
    python: str

    def parts(self) -> Dict[str, str]:
        """What its archive is made of, in words that can be compared with those of another. Raises OSError."""
        tag = _run(self.python, "-ISc", "import sys; print(sys.implementation.cache_tag)").strip()
        return {**{_SOURCE + name: text for name, text in self.sources.items()}, f"{tag}/": f"{_BYTECODE}{tag}\n"}


def _run(*argv: str) -> str:
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            env={**os.environ, "LC_ALL": "C"}, timeout=_TIMEOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise OSError(errno.ETIMEDOUT, f"did not finish within {_TIMEOUT:g} s", argv[0]) from None
    output = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        raise OSError(done.returncode, output.strip() or f"status {done.returncode}", argv[0])
    return output


def packed(path: Path) -> Dict[str, str]:
    """The parts of an archive; of none, or of one that cannot be read, there are none."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            parts = {n: archive.read(n).decode("utf-8") for n in names if n.startswith(_SOURCE)}
    except (OSError, ValueError, zipfile.BadZipFile):
        return {}
    tags = {n.split("/")[0] for n in names if not n.startswith(_SOURCE)}
    return {**parts, **{f"{tag}/": f"{_BYTECODE}{tag}\n" for tag in tags}}


def pack(path: Path, program: Program) -> bytes:
    """The archive of a program that will be at `path`. Raises OSError, also when a source is not Python."""
    tag = next(part for part in program.parts() if not part.startswith(_SOURCE))
    content = io.BytesIO()
    with tempfile.TemporaryDirectory() as directory, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in program.sources.items():
            file = Path(directory, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        # Tracebacks name the place in the archive. What only a debugger reads is left out: docstrings and columns.
        options = ("-ISOO", "-X", "no_debug_ranges", "-m", "compileall", "-q", "-b", "-d", f"{path}/{_SOURCE}")
        _run(program.python, *options, directory)
        for file in sorted(f for f in Path(directory).rglob("*") if f.is_file()):
            top = tag if file.suffix == ".pyc" else _SOURCE
            entry = zipfile.ZipInfo(top + file.relative_to(directory).as_posix())
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, *_SMALLEST)
    return content.getvalue()


def current(path: Path) -> Optional[File]:
    """A regular file as it is; None if there is none. Raises OSError."""
    if path.is_symlink() or not path.is_file():
        return None
    return File(path.read_text(encoding="utf-8", errors="replace"), stat.S_IMODE(path.stat().st_mode))


def strangers(directory: Path, wanted: Set[Path]) -> List[Path]:
    """Everything below a directory that is neither wanted nor a directory nor compiled."""
    return sorted(
        path
        for path in directory.rglob("*")
        if path not in wanted and _KEPT not in path.parts and (path.is_symlink() or not path.is_dir())
    )


def write(path: Path, data: bytes, mode: int) -> None:
    """Replace one file in one step. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(data)
    temporary.chmod(mode)
    temporary.replace(path)


def remove(path: Path, top: Path) -> None:
    """Remove one file, and the directories below `top` that become empty by it. Raises OSError."""
    path.unlink()
    for parent in list(path.parents)[: path.parents.index(top)]:
        if all(entry == _KEPT for entry in os.listdir(parent)):
            shutil.rmtree(parent)


def _path(module: AnsibleModule, entry: Dict[str, Any]) -> Path:
    path = Path(entry["path"])
    if not path.is_absolute() or ".." in path.parts:
        module.fail_json(msg=f"files: path {entry['path']!r}: expected an absolute path without '..'")
    return path


def _wanted(module: AnsibleModule) -> Dict[Path, File]:
    files: Dict[Path, File] = {}
    for entry in module.params["files"]:
        path = _path(module, entry)
        try:
            files[path] = File(str(entry["content"]), int(entry["mode"], 8))
        except ValueError:
            module.fail_json(msg=f"files: mode {entry['mode']!r} of {path}: expected an octal number such as '0644'")
    return files


def _diff(path: str, before: str, after: str) -> Dict[str, str]:
    return {"before_header": path, "after_header": path, "before": before, "after": after}


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
            "programs": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "sources": {"type": "dict", "required": True},
                    "python": {"type": "path", "required": True},
                },
            },
            "exact": {"type": "list", "elements": "path", "default": []},
            "absent": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    wanted = _wanted(module)
    programs = {_path(module, e): Program(e["sources"], e["python"]) for e in module.params["programs"]}
    known = {*wanted, *programs}
    before: Dict[Path, Any] = {path: current(path) for path in wanted}
    written = [path for path, file in wanted.items() if before[path] != file]
    removed = [(path, Path(top)) for top in module.params["exact"] for path in strangers(Path(top), known)]
    removed += [(path, path.parent) for path in map(Path, module.params["absent"]) if os.path.lexists(path)]
    before.update({path: current(path) for path, _ in removed})
    diff = [
        _diff(
            str(path),
            before[path].text if before[path] else "",
            wanted[path].text if path in wanted else "",
        )
        for path in (*written, *(path for path, _ in removed))
    ]
    try:
        built = []
        for path, program in programs.items():
            old, new = packed(path), program.parts()
            parts = sorted(part for part in {*old, *new} if old.get(part) != new.get(part))
            diff += [_diff(f"{path}/{part}", old.get(part, ""), new.get(part, "")) for part in parts]
            built += [path] * bool(parts)
        if not module.check_mode:
            os.umask(_UMASK)
            for path in built:
                write(path, pack(path, programs[path]), _PROGRAM_MODE)
            for path in written:
                write(path, wanted[path].text.encode(), wanted[path].mode)
            for path, top in removed:
                remove(path, top)
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}")
    touched = [*built, *written, *(path for path, _ in removed)]
    module.exit_json(changed=bool(touched), files=[str(path) for path in touched], diff=diff)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The module files, run as Ansible runs it."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
MODULE = "ansible_collections.cloudvip.ha.plugins.modules.files"
FILES = {"__init__.py": "", "a.py": "x = 1\n", "sub/b.py": "y = 2\n"}


def run(path: Path, files: dict[str, str], *, check: bool = False, mode: str = "0644") -> dict[str, Any]:
    """Make a directory hold exactly the given files."""
    entries = [{"path": f"{path}/{name}", "content": text, "mode": mode} for name, text in files.items()]
    return run_module({"files": entries, "exact": [str(path)]}, check=check)


def run_module(options: dict[str, Any], *, check: bool = False) -> dict[str, Any]:
    arguments = {"ANSIBLE_MODULE_ARGS": {**options, "_ansible_check_mode": check}}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", MODULE],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT / "collections",
    )
    answer = json.loads(result.stdout)
    assert isinstance(answer, dict)
    return answer


def content(path: Path) -> dict[str, str]:
    return {p.relative_to(path).as_posix(): p.read_text() for p in path.rglob("*") if p.is_file()}


def test_a_directory_comes_to_hold_exactly_the_files(tmp_path: Path) -> None:
    target = tmp_path / "new" / "tree"

    first, second = run(target, FILES), run(target, FILES)

    assert (first["changed"], second["changed"]) == (True, False)
    assert content(target) == FILES
    assert {stat.S_IMODE(p.stat().st_mode) for p in target.rglob("*") if p.is_file()} == {0o644}
    assert stat.S_IMODE((target / "sub").stat().st_mode) == 0o755


def test_what_is_not_listed_goes_and_compiled_files_stay(tmp_path: Path) -> None:
    run(tmp_path, FILES)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("compiled")

    result = run(tmp_path, {"a.py": "x = 1\n"})

    assert result["files"] == [str(tmp_path / "__init__.py"), str(tmp_path / "sub/b.py")]
    assert content(tmp_path) == {"a.py": "x = 1\n", "__pycache__/a.pyc": "compiled"}
    assert not (tmp_path / "sub").exists()


def test_content_and_mode_are_repaired(tmp_path: Path) -> None:
    run(tmp_path, FILES)
    (tmp_path / "a.py").write_text("x = 3\n")
    (tmp_path / "__init__.py").chmod(0o666)

    assert run(tmp_path, FILES)["files"] == [str(tmp_path / "__init__.py"), str(tmp_path / "a.py")]
    assert content(tmp_path) == FILES


def test_check_mode_predicts_the_same_and_does_nothing(tmp_path: Path) -> None:
    run(tmp_path, FILES)
    wanted = {"a.py": "x = 9\n"}

    predicted = run(tmp_path, wanted, check=True)
    assert content(tmp_path) == FILES

    done = run(tmp_path, wanted)
    assert (predicted["changed"], predicted["files"], predicted["diff"]) == (True, done["files"], done["diff"])
    assert {"before": "x = 1\n", "after": "x = 9\n"}.items() <= predicted["diff"][0].items()


def test_check_mode_on_a_bare_node(tmp_path: Path) -> None:
    target = tmp_path / "none"

    assert run(target, FILES, check=True)["changed"] is True
    assert not target.exists()


@pytest.mark.parametrize("path", ["etc/passwd", "/a/../../x"])
def test_a_path_is_absolute_and_plain(path: str) -> None:
    result = run_module({"files": [{"path": path, "content": "x"}]})

    assert result["failed"] is True
    assert path in result["msg"]


def test_a_mode_is_octal(tmp_path: Path) -> None:
    result = run(tmp_path, FILES, mode="rwx")

    assert result["failed"] is True
    assert "'rwx'" in result["msg"]


def test_files_outside_the_exact_directories_have_neighbours_and_modes_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "neighbour").write_text("stays")
    entry = {"path": str(tmp_path / "bin" / "command"), "content": "#!/bin/sh\n", "mode": "0755"}

    assert run_module({"files": [entry]})["changed"] is True
    assert run_module({"files": [entry]})["changed"] is False

    assert stat.S_IMODE((tmp_path / "bin" / "command").stat().st_mode) == 0o755
    assert content(tmp_path) == {"neighbour": "stays", "bin/command": "#!/bin/sh\n"}


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    result = run(tmp_path / "file" / "tree", FILES)

    assert result["failed"] is True
    assert str(tmp_path / "file") in result["msg"]

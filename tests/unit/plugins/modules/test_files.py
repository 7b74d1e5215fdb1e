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
from ansible_collections.cloudvip.ha.plugins.modules import files

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


def test_files_that_are_not_to_be_there_go_and_nothing_else_does(tmp_path: Path) -> None:
    gone, other = tmp_path / "conf.d" / "90-ours.conf", tmp_path / "other.conf"
    gone.parent.mkdir()
    gone.write_text("ours\n")
    other.write_text("theirs\n")
    options = {"files": [], "absent": [str(gone), str(tmp_path / "never.conf")]}

    predicted = run_module(options, check=True)
    assert gone.exists()
    first, second = run_module(options), run_module(options)

    assert predicted["files"] == first["files"] == [str(gone)]
    assert (first["diff"][0]["before"], first["diff"][0]["after"]) == ("ours\n", "")
    assert (first["changed"], second["changed"]) == (True, False)
    assert other.exists()
    assert gone.parent.is_dir()


def test_directories_that_become_empty_go_with_their_last_file_below_the_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parents: Any = type(tmp_path.parents)
    item = parents.__getitem__

    def before_3_10(self: Any, index: Any) -> Any:
        """Until then the parents of a path could not be sliced."""
        if isinstance(index, slice):
            raise TypeError("'<' not supported between instances of 'slice' and 'int'")
        return item(self, index)

    monkeypatch.setattr(parents, "__getitem__", before_3_10)
    file = tmp_path / "a" / "b" / "c.py"
    file.parent.mkdir(parents=True)
    file.touch()

    files.remove(file, tmp_path)

    assert list(tmp_path.iterdir()) == []


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


SOURCES = {"pkg/__init__.py": "", "pkg/main.py": '"""Docs."""\n\n\ndef answer():\n    """Docs."""\n    return 42\n'}


def program(path: Path, sources: dict[str, str], *, check: bool = False, python: str = sys.executable) -> Any:
    """Make an archive hold a program, and nothing else stand beside it."""
    entry = {"path": str(path / "pkg.zip"), "sources": sources, "python": python}
    return run_module({"files": [], "programs": [entry], "exact": [str(path)]}, check=check)


def answer(path: Path, *parts: str, python: str = sys.executable) -> str:
    """What the program says when it is found in those parts of its archive."""
    script = f"import sys; sys.path[:0] = {[f'{path}/pkg.zip/{part}' for part in parts]}; import pkg.main as m; "
    script += "print(m.answer(), m.__file__)"
    done = subprocess.run([python, "-IS", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_a_program_becomes_one_file_that_runs_without_compiling(tmp_path: Path) -> None:
    first, second = program(tmp_path, SOURCES), program(tmp_path, SOURCES)

    assert (first["changed"], second["changed"]) == (True, False)
    assert [p.name for p in tmp_path.iterdir()] == ["pkg.zip"]
    tag = sys.implementation.cache_tag
    assert answer(tmp_path, tag, "source") == f"42 {tmp_path}/pkg.zip/{tag}/pkg/main.pyc"


def test_an_interpreter_of_another_version_finds_the_sources(tmp_path: Path) -> None:
    program(tmp_path, SOURCES)

    assert answer(tmp_path, "cpython-26", "source") == f"42 {tmp_path}/pkg.zip/source/pkg/main.py"


def test_a_program_is_packed_anew_for_changed_sources_and_for_another_interpreter(tmp_path: Path) -> None:
    program(tmp_path, SOURCES)
    changed = {"pkg/__init__.py": "", "pkg/main.py": "def answer():\n    return 43\n"}
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\ncase $2 in *cache_tag*) echo cpython-26;; *) exec {sys.executable} "$@";; esac\n')
    other.chmod(0o755)
    archive = tmp_path / "program"

    program(archive, SOURCES)
    predicted = program(archive, changed, check=True)
    done = program(archive, changed)
    upgraded = program(archive, changed, python=str(other))

    assert (predicted["changed"], predicted["diff"]) == (True, done["diff"])
    assert [(d["before_header"], "42" in d["before"], "43" in d["after"]) for d in done["diff"]] == [
        (f"{archive}/pkg.zip/source/pkg/main.py", True, True)
    ]
    assert answer(archive, "source").startswith("43 ")
    assert upgraded["changed"] is True
    assert answer(archive, "cpython-26").startswith("43 ")
    assert program(archive, changed, python=str(other))["changed"] is False


def test_a_broken_archive_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "pkg.zip").write_bytes(b"PK\x03\x04 and then nothing")

    assert program(tmp_path, SOURCES)["changed"] is True
    assert answer(tmp_path, "source").startswith("42 ")


def interpreter(path: Path, script: str) -> files.Program:
    """A program without sources, and a shell script for its interpreter."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return files.Program({}, str(path))


def test_an_interpreter_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_TIMEOUT", 0.2)
    hanging = interpreter(tmp_path / "python", "exec sleep 30")

    with pytest.raises(OSError, match=r"did not finish within 0\.2 s") as raised:
        hanging.parts()

    assert raised.value.filename == hanging.python


def test_an_interpreter_speaks_no_language_but_keeps_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("KEPT", "kept")

    assert "C-kept/" in interpreter(tmp_path / "python", 'echo "$LC_ALL-$KEPT"').parts()


def test_check_mode_packs_nothing(tmp_path: Path) -> None:
    assert program(tmp_path / "none", SOURCES, check=True)["changed"] is True
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "named"), [({"python": "/nowhere/python"}, "/nowhere/python"), ({"sources": {"x.py": "("}}, "x.py")]
)
def test_a_program_that_cannot_be_compiled_leaves_the_old_one(
    tmp_path: Path, options: dict[str, Any], named: str
) -> None:
    program(tmp_path, SOURCES)

    result = program(tmp_path, **{"sources": {"y.py": ""}, **options})

    assert result["failed"] is True
    assert named in result["msg"]
    assert answer(tmp_path, "source").startswith("42 ")

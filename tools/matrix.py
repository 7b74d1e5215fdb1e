#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the tests that depend on Ansible with every ansible-core that is supported.

Each gets a virtual environment of its own below .cache/matrix, from which the tests in the lab can be run too. The
Pythons are those on PATH.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "matrix"
PAGE = ROOT / "docs" / "support.md"
TESTS = (
    "tests/collection", "tests/unit/test_documentation.py", "tests/unit/playbooks", "tests/unit/plugins",
    "tests/unit/roles",
)  # fmt: skip
# Of the development tools, those that these tests need. Others want an ansible-core of their own choice.
TOOLS = ("ansible-builder", "ansible-runner", "oci-cli", "pytest", "pytest-xdist", "vermin")


class Release(NamedTuple):
    """A release of ansible-core, a Python that it runs on, and the oldest Python of the nodes that it manages."""

    core: str
    python: str
    node: str


RELEASES = (
    Release("2.16.19", "3.11", "3.6"),
    Release("2.17.14", "3.11", "3.7"),
    Release("2.18.19", "3.11", "3.8"),
    Release("2.19.14", "3.11", "3.8"),
    Release("2.20.10", "3.12", "3.9"),
    Release("2.21.5", "3.13", "3.9"),
)


def interpreter(version: str) -> str | None:
    """The path of that Python; none if it is not installed."""
    program = shutil.which(f"python{version}")
    if program is None:
        return None
    # One of pyenv's stands for a Python that may not be there.
    asked = subprocess.run([program, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True)
    return asked.stdout.strip() or None


def requirements(core: str) -> list[str]:
    """What is installed beside that ansible-core: the same as for development."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tools = [pin for pin in project["optional-dependencies"]["dev"] if pin.partition("==")[0] in TOOLS]
    others = [pin for pin in project["dependencies"] if not pin.startswith("ansible-core==")]
    return [f"ansible-core=={core}", *others, *tools]


def environment(release: Release, python: str) -> Path:
    """The Python of a virtual environment with that ansible-core."""
    directory = CACHE / release.core
    wanted = "\n".join([python, *requirements(release.core)])
    stamp = directory / "installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([python, "-m", "venv", "--clear", directory], check=True)
        pip = [str(directory / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements(release.core)], check=True)
        subprocess.run([*pip, "--no-deps", "--editable", str(ROOT)], check=True)
        stamp.write_text(wanted)
    return directory / "bin" / "python"


def run(release: Release) -> str:
    """Run the tests; what came of it, in a word or two."""
    found = {version: interpreter(version) for version in (release.python, release.node)}
    python, node = found[release.python], found[release.node]
    if python is None or node is None:
        return "not run, no Python " + " or ".join(version for version, path in found.items() if path is None)
    pytest = [str(environment(release, python)), "-m", "pytest", "--quiet", "--numprocesses", "2"]
    done = subprocess.run([*pytest, "--node-python", node, *TESTS], cwd=ROOT)
    return "failed" if done.returncode else "passed"


def row(release: Release, result: str) -> str:
    """A line of the table."""
    return f"| {' | '.join(release)} | {result} |"


def write(results: dict[Release, str]) -> None:
    """Put results into the lines that docs/support.md has for these releases, or for older ones of the same minor."""
    text = PAGE.read_text(encoding="utf-8")
    for release, result in results.items():
        minor = re.escape(release.core.rpartition(".")[0])
        text = re.sub(rf"^\| {minor}\.\d+ \|.*$", row(release, result), text, flags=re.MULTILINE)
    PAGE.write_text(text, encoding="utf-8")


def choose(arguments: list[str] | None = None) -> tuple[list[Release], bool]:
    """What is to be run, and whether the page is to have the results. Ends the program if a release is not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the results into docs/support.md")
    parser.add_argument("core", nargs="*", help="releases such as 2.16, or the full number; all if none is named")
    options = parser.parse_args(arguments)
    names = {name: r for r in RELEASES for name in (r.core, r.core.rpartition(".")[0])}
    for name in options.core:
        if name not in names:
            parser.error(f"release {name}: expected one of {', '.join(r.core for r in RELEASES)}")
    named = {names[name] for name in options.core}
    return [r for r in RELEASES if not named or r in named], options.write


def main() -> None:
    chosen, write_them = choose()
    results = {release: run(release) for release in chosen}
    sys.stdout.writelines(f"{row(*result)}\n" for result in results.items())
    if write_them:
        write(results)
    sys.exit("failed" in results.values() or "passed" not in results.values())


if __name__ == "__main__":
    main()

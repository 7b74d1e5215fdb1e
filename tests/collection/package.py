# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as a package: built from the checkout, and installed where there is nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def run(directory: Path, program: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Ansible's with none of this checkout's settings, and with a home below the directory."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    path = f"{BIN}:{os.environ['PATH']}"
    home = {"HOME": str(directory / "home"), "PATH": path, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
    return subprocess.run(
        [str(BIN / program), *map(str, arguments)],
        cwd=directory,
        env={**others, **home, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def done(result: subprocess.CompletedProcess[str]) -> str:
    """What a program printed that must succeed."""
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def checkout(target: Path) -> list[Path]:
    """Copy what git keeps or would keep; the files and links of the copy."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    paths = [Path(name) for name in names.split("\0") if name and os.path.lexists(ROOT / name)]
    for path in paths:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target / path, follow_symlinks=False)
    return paths


def install(directory: Path, package: Path) -> Path:
    """Install a package below the directory as a user does; the path for ANSIBLE_COLLECTIONS_PATH."""
    path = directory / "collections"
    done(run(directory, "ansible-galaxy", "collection", "install", "--offline", "-p", path, package))
    return path


def build(directory: Path, source: Path) -> Path:
    """Build a package of what is at `source`."""
    done(run(directory, "ansible-galaxy", "collection", "build", "--output-path", directory, source))
    (package,) = directory.glob("cloudvip-ha-*.tar.gz")
    return package

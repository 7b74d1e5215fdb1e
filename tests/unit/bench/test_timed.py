# SPDX-License-Identifier: GPL-3.0-or-later
"""The two programs that the benchmark sends to a node, run as it runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[3] / "bench"


def timed(*argv: str, cgroup: int = -1) -> tuple[dict[str, Any], str]:
    """The figures, and what the program said."""
    source = (BENCH / "timed.py").read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-IS", "-c", source, str(cgroup), *argv],
        capture_output=True, text=True, check=True, pass_fds=[cgroup] if cgroup >= 0 else [],
    )  # fmt: skip
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures, done.stderr


def test_the_figures_are_the_programs_own() -> None:
    figures, said = timed("/bin/sh", "-c", "echo out; echo err >&2; exit 7")
    assert figures["status"] == 7
    assert set(said.split()) == {"out", "err"}
    assert 0 < figures["ended"] - figures["began"] < 5e9


def test_the_processor_time_of_the_programs_children_counts() -> None:
    burn = "import sys; n = sum(range(10_000_000))"
    figures, _ = timed("/bin/sh", "-c", f"'{sys.executable}' -IS -c '{burn}'; true")
    assert figures["cpu"] > 0.05


def test_the_peak_is_not_that_of_whoever_measures() -> None:
    ballast = bytearray(os.urandom(1)) * 200_000_000
    small, _ = timed("/bin/true")
    large, _ = timed(sys.executable, "-IS", "-c", "x = bytearray(b'x') * 100_000_000")
    assert small["peak"] < 50_000_000 < 100_000_000 < large["peak"] < len(ballast)


def test_the_program_enters_the_cgroup_before_it_starts(tmp_path: Path) -> None:
    procs = tmp_path / "cgroup.procs"
    descriptor = os.open(procs, os.O_WRONLY | os.O_CREAT)
    try:
        _, said = timed("/bin/sh", "-c", f"printf 'in:'; cat {procs}; echo; ls /proc/self/fd", cgroup=descriptor)
    finally:
        os.close(descriptor)
    entered, *descriptors = said.split()
    assert entered == "in:0"
    assert str(descriptor) not in descriptors


@pytest.mark.parametrize("end", ["os._exit", "sys.exit"])
def test_a_trace_lists_modules_and_programs_however_the_program_ends(tmp_path: Path, end: str) -> None:
    program = tmp_path / "program"
    program.write_text(f"import os, subprocess, sys\nsubprocess.run(['true'], check=True)\n{end}(int(sys.argv[1]))\n")
    source = (BENCH / "traced.py").read_text(encoding="utf-8")
    listing = tmp_path / "files"
    done = subprocess.run([sys.executable, "-IS", "-c", source, str(listing), str(program), "3"], check=False)
    assert done.returncode == 3
    files = json.loads(listing.read_text(encoding="utf-8"))
    assert os.path.realpath("/bin/true") in files
    assert os.path.realpath(sys.executable) in files
    assert os.path.realpath(subprocess.__file__) in files

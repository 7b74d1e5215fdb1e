#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the molecule scenarios, each by a `molecule test` of its own.

By default all of them on the default release, and the engines on every Debian release. The lab is started once for each
release. What a scenario says goes to .cache/scenarios.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from lab.nodes.image import DEBIAN, RELEASES

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".cache" / "scenarios"
PAGE = ROOT / "docs" / "support.md"
# What a release is said to have passed has not been run on nodes of another image.
ENVIRONMENT = {**os.environ, "NO_COLOR": "1", "CLOUDVIP_MOLECULE_IMAGE": ""}
ENGINES = ("pacemaker", "keepalived")
HEAD = "| scenario | release | result | seconds |\n|---|---|---|---|\n"
# Molecule goes past what it does not find, and calls that a success.
_SKIPPED = re.compile(r"Missing playbook|no tests found", re.IGNORECASE)
_ROW = re.compile(r"^\| (\S+) \| (\S+) \| ([^|]+) \| (\d+) \|\n", re.MULTILINE)


class Run(NamedTuple):
    """A scenario on a release."""

    scenario: str
    release: str


class Outcome(NamedTuple):
    """What came of it, in a word or two, and how many seconds it took."""

    result: str
    seconds: int


def scenarios() -> list[str]:
    """All that test something."""
    return sorted(file.parent.name for file in ROOT.glob("molecule/*/molecule.yml") if file.parent.name != "default")


def plan(named: Iterable[str], releases: Iterable[str]) -> list[Run]:
    """These scenarios on these releases, as far as they are meant for them; one release after the other.

    What follows a hyphen in a scenario's name is a variant for what images of Debian's have.
    """
    return [
        Run(scenario, release) for release in releases for scenario in named if release in DEBIAN or "-" not in scenario
    ]


def default_plan() -> list[Run]:
    """All scenarios on the default release, and the engines on the other Debian releases."""
    return [*plan(scenarios(), DEBIAN[:1]), *plan(ENGINES, DEBIAN[1:])]


def judge(returncode: int, said: str) -> str:
    """What came of a run of molecule."""
    if returncode:
        return "failed"
    skipped = _SKIPPED.search(said)
    return f"failed: {skipped[0]}" if skipped else "passed"


def execute(run: Run) -> Outcome:
    """Run it, and leave the lab up for the next one."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{run.scenario}-{run.release}.log"
    began = time.monotonic()
    with log.open("wb") as file:
        done = subprocess.run(
            ["molecule", "test", "--scenario-name", run.scenario, "--destroy", "never", "--no-command-borders"],
            cwd=ROOT, env={**ENVIRONMENT, "CLOUDVIP_RELEASE": run.release}, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    said = log.read_text(errors="replace")
    outcome = Outcome(judge(done.returncode, said), round(time.monotonic() - began))
    if outcome.result != "passed":
        sys.stdout.write("".join(said.splitlines(keepends=True)[-80:]))
    return outcome


def row(run: Run, outcome: Outcome) -> str:
    """A line of the table."""
    return f"| {run.scenario} | {run.release} | {outcome.result} | {outcome.seconds} |\n"


def table(page: str, outcomes: dict[Run, Outcome]) -> str:
    """The page with these outcomes in its table; what was not run again keeps its line."""
    before, head, rest = page.partition(HEAD)
    known = {Run(m[1], m[2]): Outcome(m[3], int(m[4])) for m in _ROW.finditer(rest)}
    merged = {**known, **outcomes}
    lines = (row(run, merged[run]) for run in sorted(merged, key=lambda r: (r.scenario, RELEASES.index(r.release))))
    return f"{before}{head}{''.join(lines)}{_ROW.sub('', rest)}"


def choose(arguments: list[str] | None = None) -> tuple[list[Run], bool]:
    """What is to be run, and whether the page is to have the results. Ends the program if a part is not meant to be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", action="store_true", help="every scenario on every release that it is meant for")
    parser.add_argument("--release", action="append", choices=RELEASES, help="on this release; may be repeated")
    parser.add_argument("--write", action="store_true", help="put the results into docs/support.md")
    parser.add_argument("scenario", nargs="*", help="all if none is named")
    options = parser.parse_args(arguments)
    for name in options.scenario:
        if name not in scenarios():
            parser.error(f"scenario {name}: expected one of {', '.join(scenarios())}")
    if options.every or options.release or options.scenario:
        chosen = plan(options.scenario or scenarios(), options.release or (RELEASES if options.every else DEBIAN[:1]))
    else:
        chosen = default_plan()
    for release in options.release or ():
        for name in options.scenario:
            if Run(name, release) not in chosen:
                parser.error(f"{name}: not meant for {release}")
    return chosen, options.write


def main() -> None:
    chosen, write = choose()
    outcomes: dict[Run, Outcome] = {}
    try:
        for run in chosen:
            outcomes[run] = execute(run)
            sys.stdout.write(row(run, outcomes[run]))
            sys.stdout.flush()
            if write:
                PAGE.write_text(table(PAGE.read_text(encoding="utf-8"), {run: outcomes[run]}), encoding="utf-8")
    finally:
        subprocess.run(["molecule", "destroy"], cwd=ROOT, env=ENVIRONMENT, check=True)
    sys.exit(any(outcome.result != "passed" for outcome in outcomes.values()))


if __name__ == "__main__":
    main()

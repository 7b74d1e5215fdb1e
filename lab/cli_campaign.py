# SPDX-License-Identifier: GPL-3.0-or-later
"""`lab campaign`."""

from __future__ import annotations

import json
import secrets
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lab import campaign as campaigns
from lab.campaign import Outcome
from lab.cli_drill import parse_seconds
from lab.control import Control, LabError

_stderr = Console(stderr=True, highlight=False)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(campaign)


def campaign(
    count: Annotated[int, typer.Option(min=1, help="How many faults.")] = 20,
    seed: Annotated[int | None, typer.Option(help="Replay the campaign of this seed (default: a new one).")] = None,
    first: Annotated[int, typer.Option(min=1, help="Begin with the fault of this number.")] = 1,
    within: Annotated[str, typer.Option(help="How long it may take until all is well again after a fault.")] = "120s",
    save: Annotated[Path | None, typer.Option(help="Where to write what is known of a failure.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each fault.")] = False,
) -> None:
    """Random faults of nodes and of the cloud, alone and together; after each the cluster must be well by itself.

    Well: every VIP is delivered to one node under its OCID, configured there and nowhere else, and answers; all nodes
    are online; no failed action is left that a person would have to clean.
    """
    seconds = parse_seconds(within)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    evidence = save or Path.cwd() / f"campaign-{seed}-{time.strftime('%Y%m%dT%H%M%S')}"
    replay = f"lab campaign --seed {seed}"
    _stderr.print(f"seed {seed}: `{replay} --first {first} --count {count}` replays it")
    outcomes: list[Outcome] = []
    try:
        with Control() as control:
            numbers = range(first, first + count)
            for outcome in campaigns.run(seed, numbers, control=control, evidence=evidence, within=seconds):
                outcomes.append(outcome)
                _print(outcome, numbers[-1], as_json)
    except LabError as error:
        _stderr.print(f"[red]lab:[/red] {error}")
        raise typer.Exit(1) from error
    well = [o.well_after for o in outcomes if o.well_after is not None]
    if well:
        _stderr.print(
            f"{len(well)} faults ended well, the longest {max(well):.0f} s after its healing; "
            f"in {sum(o.holder_after != o.holder_before for o in outcomes)} of them the addresses moved"
        )
    if outcomes[-1].problems:
        number = outcomes[-1].strike.number
        _stderr.print(f"[red]stopped:[/red] fault {number}; `{replay} --first {number} --count 1` repeats it")
        _stderr.print(f"what is known of it is in {evidence}")
        raise typer.Exit(1)


def _print(outcome: Outcome, last: int, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(outcome.to_json()) + "\n")
        sys.stdout.flush()
        return
    out = Console(highlight=False, soft_wrap=True)
    strike = outcome.strike
    verdict = "[red]not well[/red]" if outcome.problems else f"[green]well[/green] after {outcome.well_after:.1f} s"
    moved = f"{outcome.holder_before} → {outcome.holder_after or 'nobody'}"
    outage = "outage not over" if outcome.outage_ms is None else f"outage {outcome.outage_ms:.0f} ms"
    what = f"{strike} ({outcome.node})" if outcome.node else f"{strike}"
    out.print(f"{strike.number}/{last} {what}: {verdict}, {moved}, {outage}")
    for problem in outcome.problems:
        out.print(f"  [red]problem:[/red] {problem}")

# SPDX-License-Identifier: GPL-3.0-or-later
"""The command behind `make bench`."""

from __future__ import annotations

import enum
import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from bench import failover, measures, report
from bench.rig import CACHE, BenchError, Rig
from bench.stats import Measure
from lab.control import LabError

T = TypeVar("T")
_progress = Console(stderr=True, highlight=False)


def _step(title: str, work: Callable[[], T]) -> T:
    began = time.monotonic()
    with _progress.status(title):
        result = work()
    _progress.print(f"  {title} [dim]{time.monotonic() - began:.0f} s[/dim]")
    return result


class Part(enum.StrEnum):
    MOVER = "mover"
    FAILOVER = "failover"


@dataclass
class Results:
    """What there is to report, of the parts that were run. `beyond`: the names of the packages that are too many."""

    mover: list[Measure] = field(default_factory=list)
    curve: list[measures.Claims] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)
    failovers: list[failover.Failovers] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


def _measure_mover(results: Results, repetitions: int) -> None:
    rig = Rig()
    first, again = _step("lab and cluster", rig.build)
    audited = measures.steady(rig)
    _step("VIPs", rig.prepare)
    results.versions |= _step("oci-cli, resource-agents", rig.install_baselines)
    curve = results.curve
    curve.append(_step("claims at 0 ms", lambda: measures.claims(rig, repetitions, 0)))
    limited = _step("claims with 1/8 of a core", lambda: measures.limited(rig, repetitions))
    many = _step("claims of 32 VIPs", lambda: measures.many(rig, repetitions))
    monitor = _step("monitors", lambda: measures.monitor(rig, repetitions))
    traffic = _step("calls in steady state", lambda: measures.traffic(rig, audited))
    unaudited = _step("audit off", lambda: measures.quiet(rig))
    for latency in measures.LATENCIES_MS[1:]:
        work = functools.partial(measures.claims, rig, repetitions, latency)
        curve.append(_step(f"claims at {latency} ms", work))
    silence = _step("calls without the audit", lambda: measures.silence(unaudited))
    packages, results.beyond = _step("size and packages", lambda: measures.packages(rig))
    results.mover = [
        measures.first_put_measure("start to the first PUT, cached token", curve[0], 1 / 8),
        measures.first_put_measure("the same with 1/8 of a core", limited, 1 / 10),
        many, monitor, traffic, silence, measures.memory(curve[0]), measures.size(rig), packages,
        measures.another_run(first, again),
    ]  # fmt: skip


def _measure_failovers(results: Results, repetitions: int) -> None:
    pair = failover.Pair()
    _step("lab and keepalived with each of the timers", pair.build)
    results.versions |= _step("oci-cli on both nodes", pair.install)
    results.failovers = _step("failovers", lambda: failover.failovers(pair, repetitions))


def main(
    repetitions: Annotated[int, typer.Option(min=2, help="Runs of each contender; fewer than 10 prove little.")] = 10,
    failovers: Annotated[int, typer.Option(min=2, help="Failovers of each contender with 1, 3 and 10 VIPs.")] = 2,
    only: Annotated[Part | None, typer.Option(help="Leave the other part out.")] = None,
    output: Annotated[Path, typer.Option("--json", help="Where the results go as JSON.")] = CACHE / "results.json",
) -> None:
    """Measure the mover against Oracle's CLI and the agent ocivip, and failovers with keepalived against those of the
    tutorials' configuration, in the lab. Fails if a budget is missed."""
    results = Results()
    try:
        if only is not Part.FAILOVER:
            _measure_mover(results, repetitions)
        if only is not Part.MOVER:
            _measure_failovers(results, failovers)
    except (BenchError, LabError) as error:
        _progress.print(f"[red]bench:[/red] {error}", markup=True)
        raise typer.Exit(1) from error
    outages = failover.measures(results.failovers) if results.failovers else []
    data = report.to_json(
        [*results.mover, *outages], results.curve, results.failovers, repetitions, results.versions
    )  # fmt: skip
    output.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    out = Console()
    out.width = max(out.width, 112)
    if results.mover:
        out.print(report.measures_table(results.mover, repetitions))
        out.print(report.curve_table(results.curve))
    if results.beyond:
        out.print(f"packages beyond: {' '.join(results.beyond)}")
    if outages:
        out.print(report.measures_table(outages, failovers))
        out.print(report.failovers_table(results.failovers))
    _progress.print(f"{output}; the lab is still up, make down removes it", soft_wrap=True)
    if not data["ok"]:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)

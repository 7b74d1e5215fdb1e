# SPDX-License-Identifier: GPL-3.0-or-later
"""The command behind `make bench`."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from bench import measures, report
from bench.rig import CACHE, BenchError, Rig
from lab.control import LabError

T = TypeVar("T")
_progress = Console(stderr=True, highlight=False)


def _step(title: str, work: Callable[[], T]) -> T:
    began = time.monotonic()
    with _progress.status(title):
        result = work()
    _progress.print(f"  {title} [dim]{time.monotonic() - began:.0f} s[/dim]")
    return result


def main(
    repetitions: Annotated[int, typer.Option(min=2, help="Runs of each contender; fewer than 10 prove little.")] = 10,
    output: Annotated[Path, typer.Option("--json", help="Where the results go as JSON.")] = CACHE / "results.json",
) -> None:
    """Measure the mover against Oracle's CLI and the agent ocivip, in the lab. Fails if a budget is missed."""
    try:
        rig = Rig()
        _step("lab and cluster", rig.build)
        audited = measures.steady(rig)
        _step("VIPs", rig.prepare)
        versions = _step("oci-cli, resource-agents", rig.install_baselines)
        curve = [_step("claims at 0 ms", lambda: measures.claims(rig, repetitions, 0))]
        limited = _step("claims with 1/8 of a core", lambda: measures.limited(rig, repetitions))
        many = _step("claims of 32 VIPs", lambda: measures.many(rig, repetitions))
        monitor = _step("monitors", lambda: measures.monitor(rig, repetitions))
        traffic = _step("calls in steady state", lambda: measures.traffic(rig, audited))
        unaudited = _step("audit off", lambda: measures.quiet(rig))
        for latency in measures.LATENCIES_MS[1:]:
            work = functools.partial(measures.claims, rig, repetitions, latency)
            curve.append(_step(f"claims at {latency} ms", work))
        silence = _step("calls without the audit", lambda: measures.silence(unaudited))
        packages, beyond = _step("size and packages", lambda: measures.packages(rig))
        results = [
            measures.first_put_measure("start to the first PUT, cached token", curve[0], 1 / 8),
            measures.first_put_measure("the same with 1/8 of a core", limited, 1 / 10),
            many, monitor, traffic, silence, measures.memory(curve[0]), measures.size(rig), packages,
        ]  # fmt: skip
    except (BenchError, LabError) as error:
        _progress.print(f"[red]bench:[/red] {error}", markup=True)
        raise typer.Exit(1) from error
    data = report.to_json(results, curve, repetitions, versions)
    output.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    out = Console()
    out.width = max(out.width, 112)
    out.print(report.measures_table(results, repetitions))
    out.print(report.curve_table(curve))
    if beyond:
        out.print(f"packages beyond: {' '.join(beyond)}")
    _progress.print(f"{output}; the lab is still up, make down removes it", soft_wrap=True)
    if not data["ok"]:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)

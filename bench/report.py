# SPDX-License-Identifier: GPL-3.0-or-later
"""The results for people and for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from bench.failover import TUTORIAL, Failovers
from bench.measures import Claims
from bench.stats import Measure, Series, fraction


def _figures(series: Series) -> str:
    if len(series.values) == 1:
        return f"{series.median:.3g} {series.unit}"
    digits = 0 if series.median >= 100 else 1
    return f"{series.median:.{digits}f} / {series.p95:.{digits}f} {series.unit}"


def measures_table(measures: Sequence[Measure], repetitions: int) -> Table:
    """Every measure with its baseline and its budget."""
    title = f"median / p95 of {repetitions} runs each, taken in turns"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("measure")
    for heading in ("cloudvip", "baseline", "ratio", "budget"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for each in measures:
        ratio = fraction(each.value) if each.theirs else ""
        limit = fraction(each.limit) if each.theirs else f"{each.limit:g} {each.ours.unit}"
        table.add_row(
            f"{each.name}\n[dim]against {each.baseline}[/dim]" if each.baseline else each.name,
            _figures(each.ours), _figures(each.theirs) if each.theirs else "", ratio, f"≤ {limit}",
            "[green]ok[/green]" if each.ok else "[red]missed[/red]",
        )  # fmt: skip
    return table


def curve_table(curve: Sequence[Claims]) -> Table:
    """The time of a claim over the latency of the API."""
    title = "claim of 1 VIP, start to done, by the time an API call takes"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("API latency", "cloudvip", "oci CLI", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in curve:
        ratio = fraction(each.ours.median / each.theirs.median)
        table.add_row(f"{each.latency_ms} ms", _figures(each.ours), _figures(each.theirs), ratio)
    return table


def failovers_table(found: Sequence[Failovers]) -> Table:
    """The outages of the VIP that was back first and of the one that was back last, by contender and number of VIPs."""
    title = f"outages: median / largest of {len(found[0].outages)} failovers each, in turns"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("VIPs", justify="right")
    table.add_column("keepalived")
    for heading in ("first VIP", "ratio", "last VIP", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    theirs = {each.vips: each for each in found if each.contender == TUTORIAL}
    for each in sorted(found, key=lambda f: f.vips):
        row = [str(each.vips), each.contender]
        for ours, their in ((each.first, theirs[each.vips].first), (each.last, theirs[each.vips].last)):
            ratio = "" if each.contender == TUTORIAL else fraction(ours.median / their.median)
            row += [f"{ours.median:.0f} / {max(ours.values):.0f} ms", ratio]
        table.add_row(*row)
    return table


def machine() -> dict[str, Any]:
    """What the benchmark runs on, without which its times say little."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"cpus": os.cpu_count(), "memory_gib": round(pages / 2**30), "kernel": platform.release()}


def to_json(
    measures: Sequence[Measure],
    curve: Sequence[Claims],
    found: Sequence[Failovers],
    repetitions: int,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """All results as plain data."""
    return {
        "ok": all(m.ok for m in measures),
        "repetitions": repetitions,
        "machine": machine(),
        "versions": dict(versions),
        "measures": [m.to_json() for m in measures],
        "curve": [c.to_json() for c in curve],
        "failovers": [f.to_json() for f in found],
    }

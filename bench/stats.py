# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures, budgets and verdicts. No input or output."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Unit = Literal["s", "ms", "MB", "kB", "calls/min", "packages"]


@dataclass(frozen=True)
class Series:
    """Repeated measurements of one thing, all in one unit."""

    values: tuple[float, ...]
    unit: Unit

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def p95(self) -> float:
        """The smallest value that at least 95 % of the measurements do not exceed."""
        return sorted(self.values)[math.ceil(0.95 * len(self.values)) - 1]

    def to_json(self) -> dict[str, Any]:
        values = [round(v, 3) for v in self.values]
        return {"unit": self.unit, "median": round(self.median, 3), "p95": round(self.p95, 3), "values": values}


@dataclass(frozen=True)
class Measure:
    """What was measured and what it may be: `ours` against `theirs` if there is a baseline, else for itself.

    `limit` bounds the quotient of the medians, or without a baseline the median.
    """

    name: str
    baseline: str
    ours: Series
    theirs: Series | None
    limit: float

    @property
    def value(self) -> float:
        return self.ours.median / self.theirs.median if self.theirs else self.ours.median

    @property
    def ok(self) -> bool:
        return self.value <= self.limit

    def to_json(self) -> dict[str, Any]:
        return {
            "measure": self.name,
            "baseline": self.baseline,
            "ours": self.ours.to_json(),
            "theirs": self.theirs.to_json() if self.theirs else None,
            "value": round(self.value, 4),
            "limit": round(self.limit, 4),
            "ok": self.ok,
        }


def fraction(value: float) -> str:
    """A quotient as people say it: 1/8 rather than 0.125, but 0.75 x."""
    return f"1/{1 / value:.3g}" if 0 < value <= 0.5 else f"{value:.3g} x"


def calls(events: Iterable[Mapping[str, Any]], nodes: Iterable[str], since: int, until: int) -> list[Mapping[str, Any]]:
    """The requests that the nodes began between two moments (monotonic ns), whichever service they went to."""
    known = set(nodes)
    return [e for e in events if e["kind"] == "api" and e["instance"] in known and since <= int(e["started"]) < until]


def first_put(events: Iterable[Mapping[str, Any]], node: str, since: int) -> float | None:
    """Milliseconds from `since` to the node's first UpdatePrivateIp."""
    moves = [e for e in events if e["kind"] == "api" and e["instance"] == node and e["method"] == "PUT"]
    began = [int(e["started"]) for e in moves if "/privateIps/" in e["path"] and int(e["started"]) >= since]
    return (min(began) - since) / 1e6 if began else None


def per_minute(window: Sequence[Mapping[str, Any]], seconds: float, renewal: int, renewal_every: float) -> float:
    """Calls per minute in the long run, from a window that may be too short to have a renewal of the token in it."""
    rate = len(window) * 60 / seconds
    return rate if any(e["service"] == "federation" for e in window) else rate + renewal * 60 / renewal_every


def required(packages: Mapping[str, Iterable[str]], roots: Iterable[str]) -> set[str]:
    """The packages that come with `roots`: they, and what they depend on. `packages`: name to dependencies."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in packages and name not in found:
            found.add(name)
            waiting += packages[name]
    return found


def parse_depends(text: str) -> list[str]:
    """The names in a Debian package's dependencies; of alternatives all, as at least one is there."""
    return [part.split()[0].split(":")[0] for part in text.replace("|", ",").split(",") if part.strip()]

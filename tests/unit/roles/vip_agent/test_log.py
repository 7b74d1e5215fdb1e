# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that go to the journal."""

from __future__ import annotations

import shlex

import pytest

from tests.unit.roles.vip_agent.fakes import FakeLog


def test_a_decision_is_one_line_that_a_program_can_take_apart() -> None:
    log = FakeLog()
    problem = 'a "quoted" word, an = and\na new line'

    log.decision("claim", "main", "failed", vips=0, total_ms=12, requests="", note=None, problem=problem)

    level, text = log.lines[0].split(": ", 1)
    assert level == "warning"
    assert "\n" not in text
    pairs = dict(part.split("=", 1) for part in shlex.split(text))
    assert pairs == {
        "operation": "claim",
        "group": "main",
        "outcome": "failed",
        "vips": "0",
        "total_ms": "12",
        "problem": problem.replace("\n", "\\n"),
    }


@pytest.mark.parametrize(("problem", "level"), [("", "info"), ("why", "warning")])
def test_only_a_problem_is_a_warning(problem: str, level: str) -> None:
    log = FakeLog()

    log.decision("audit", "main", "success", problem=problem)

    assert log.lines[0].startswith(f"{level}: operation=audit group=main outcome=success")

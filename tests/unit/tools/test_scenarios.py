# SPDX-License-Identifier: GPL-3.0-or-later
"""Which scenarios are run where, what counts as a success, and the table of what came of it."""

from __future__ import annotations

import pytest

from lab.nodes.image import DEBIAN, RELEASES
from tools.scenarios import HEAD, PAGE, Outcome, Run, choose, default_plan, judge, plan, scenarios, table


def test_by_default_all_run_on_one_release_and_the_engines_on_every_debian() -> None:
    runs = default_plan()

    assert {run.scenario for run in runs if run.release == DEBIAN[0]} == set(scenarios())
    assert {run for run in runs if run.release != DEBIAN[0]} == {
        Run(engine, release) for engine in ("pacemaker", "keepalived") for release in DEBIAN[1:]
    }


def test_a_release_is_done_with_before_the_next_one() -> None:
    releases = [run.release for run in plan(scenarios(), RELEASES)]

    assert sorted(releases, key=RELEASES.index) == releases


def test_a_variant_for_what_images_of_debian_have_is_for_debian_only() -> None:
    releases = {run.release for run in plan(["firewall-iptables"], RELEASES)}

    assert releases == set(DEBIAN)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nodes"], ["nodes", "pacemaker"]),
        (["--release", "el9-shaped", "firewall-none"], ["firewall-none", "el9-shaped"]),
        (["--release", "el9-shaped", "firewall", "firewall-iptables"], ["firewall-iptables", "el9-shaped"]),
        (["--release", "el9-shaped", "--release", DEBIAN[0], "firewall-none"], ["firewall-none", "el9-shaped"]),
    ],
)
def test_what_is_not_to_be_run_is_no_success(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        choose(arguments)

    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert [word for word in words if word not in said.splitlines()[-1]] == []


@pytest.mark.parametrize(
    ("returncode", "said", "result"),
    [
        (0, "Executed: Successful", "passed"),
        (2, "Executed: Successful", "failed"),
        (0, "WARNING node verify: Skipping, no tests found.", "failed: no tests found"),
        (0, "side_effect: Missing playbook (remove from test_sequence to suppress)", "failed: Missing playbook"),
    ],
)
def test_what_molecule_goes_past_is_no_success(returncode: int, said: str, result: str) -> None:
    assert judge(returncode, said) == result


def test_the_table_has_the_latest_outcome_of_each_and_keeps_the_others() -> None:
    page = f"before\n\n{HEAD}| node | bookworm | failed | 9 |\n| node | trixie | passed | 8 |\n\nafter\n"

    new = table(
        page, {Run("node", "bookworm"): Outcome("passed", 7), Run("firewall", "bookworm"): Outcome("passed", 6)}
    )

    assert new == (
        f"before\n\n{HEAD}| firewall | bookworm | passed | 6 |\n| node | bookworm | passed | 7 |\n"
        "| node | trixie | passed | 8 |\n\nafter\n"
    )


def test_the_page_has_the_table_and_of_each_scenario_the_default_release() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert HEAD in page
    missing = [name for name in scenarios() if f"| {name} | {DEBIAN[0]} | passed |" not in page]
    assert missing == []

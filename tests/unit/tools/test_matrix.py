# SPDX-License-Identifier: GPL-3.0-or-later
"""Which releases of ansible-core are run, and what counts as a success."""

from __future__ import annotations

import pytest

from tools import matrix
from tools.matrix import RELEASES, choose


def test_a_release_is_named_by_its_minor_or_its_full_number_and_by_default_all_are_run() -> None:
    first, second = RELEASES[0].core, RELEASES[1].core

    assert choose([first, second.rpartition(".")[0]]) == (list(RELEASES[:2]), False)
    assert choose(["--write"]) == (list(RELEASES), True)


@pytest.mark.parametrize("core", ["2.15", f"{RELEASES[0].core}0", "2"])
def test_a_release_that_is_not_there_is_refused(core: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        choose([RELEASES[1].core, core])

    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"release {core}: expected one of {RELEASES[0].core}, " in said


@pytest.mark.parametrize(
    ("results", "success"),
    [
        (["passed", "passed"], True),
        (["passed", "not run, no Python 3.6"], True),
        (["passed", "failed"], False),
        (["not run, no Python 3.11", "not run, no Python 3.11"], False),
    ],
)
def test_it_is_a_success_if_some_passed_and_none_failed(
    results: list[str], success: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = dict(zip(RELEASES, results, strict=False))
    monkeypatch.setattr(matrix, "choose", lambda: (list(outcomes), False))
    monkeypatch.setattr(matrix, "run", outcomes.__getitem__)

    with pytest.raises(SystemExit) as ended:
        matrix.main()

    assert bool(ended.value.code) is not success

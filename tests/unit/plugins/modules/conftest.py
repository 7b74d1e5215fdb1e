# SPDX-License-Identifier: GPL-3.0-or-later
"""To run a module's main() as Ansible does: arguments in, JSON and an exit out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.plugins.conftest import give

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `main(*injected)` with options, and return what it answered; `check` for check mode."""

    def run(main: Callable[..., None], *injected: Any, check: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {**options, "_ansible_check_mode": check, "_ansible_diff": True}
        give(monkeypatch, arguments)
        with pytest.raises(SystemExit) as exit_:
            main(*injected)
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert bool(answer.get("failed")) == (exit_.value.code != 0)
        return answer

    return run

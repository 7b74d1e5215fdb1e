# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime state."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cloudvip.model import Claim, Vip
from cloudvip.state import State

from tests.unit.roles.vip_agent.fakes import POD1


def test_a_claim_survives(tmp_path: Path) -> None:
    claim = Claim("main", "r1", True, (Vip(**POD1),), {"10.0.0.9": "why"}, {"10.0.0.4": 12.5})
    State(str(tmp_path)).write_claim(claim)

    assert State(str(tmp_path)).claim("main") == claim


def test_nothing_claimed(tmp_path: Path) -> None:
    state = State(str(tmp_path / "none"))

    assert state.claim("main") is None
    state.remove_claim("main")


@pytest.mark.parametrize("content", ["", "null", "{}", '{"revision": "r", "complete": true, "vips": [{}]}'])
def test_a_file_that_is_no_claim(tmp_path: Path, content: str) -> None:
    (tmp_path / "claimed-main.json").write_text(content)

    assert State(str(tmp_path)).claim("main") is None


def test_a_write_that_fails_leaves_the_old_content_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(str(tmp_path))
    state.write("x", {"a": 1})

    def fail(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no"):
        state.write("x", {"a": 2})

    assert state.read("x") == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]

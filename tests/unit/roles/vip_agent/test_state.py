# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime state."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cloudvip.model import Claim, Vip
from cloudvip.state import BusyError, State

from tests.unit.roles.vip_agent.fakes import POD1, POD1_V6


def test_a_claim_survives(tmp_path: Path) -> None:
    claim = Claim("main", "r1", True, (Vip(**POD1), Vip(**POD1_V6)), {"10.0.0.9": "why"}, {"10.0.0.4": 12.5})
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


def test_threads_that_write_at_once_leave_the_content_of_one(tmp_path: Path) -> None:
    state = State(str(tmp_path))
    contents = [{"addresses": ["a" * 500 * n]} for n in range(16)]

    with ThreadPoolExecutor(len(contents)) as pool:
        for _ in range(20):
            list(pool.map(lambda content: state.write("x", content), contents))
            assert state.read("x") in contents
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_claim_of_a_version_that_knew_no_subnets_is_still_one(tmp_path: Path) -> None:
    state = State(str(tmp_path))
    state.write_claim(Claim("main", "r1", True, (Vip(**POD1),), {}, {}))
    data = state.read("claimed-main")
    assert data is not None
    del data["vips"][0]["subnet_id"]
    state.write("claimed-main", data)

    claim = state.claim("main")

    assert claim is not None
    assert claim.vips[0] == Vip(**{**POD1, "subnet_id": ""})


def test_one_process_at_a_time_changes_a_group(tmp_path: Path) -> None:
    state = State(str(tmp_path / "run"))

    with state.lock("main") as lock:
        with pytest.raises(BusyError, match="another cloudvip process is at work on group main on this node"):
            state.lock("main")
        with state.lock("other"):
            assert lock.released() == ""
    with state.lock("main") as lock:
        assert lock.released() == ""
    assert stat.S_IMODE((tmp_path / "run" / "lock-main").stat().st_mode) == 0o600


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = "import sys, os; from cloudvip.state import State; lock = State(sys.argv[1]).lock('main'); os.abort()"
    package = str(Path(__file__).parents[4] / "roles" / "vip_agent" / "files" / "lib")

    died = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], env={"PYTHONPATH": package}, timeout=60, check=False
    )

    assert died.returncode < 0
    with State(str(tmp_path)).lock("main"):
        assert (tmp_path / "lock-main").exists()


def test_a_release_is_seen_by_whoever_has_the_lock_and_by_no_one_later(tmp_path: Path) -> None:
    state = State(str(tmp_path))
    state.mark_released("main")

    with state.lock("main") as lock:
        assert lock.released() == ""
        State(str(tmp_path)).mark_released("main")
        assert lock.released() == "the group was released meanwhile"
    with state.lock("main") as lock:
        assert lock.released() == ""

# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `drill`, `probe` and `api`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from lab import cli_drill
from lab import drill as drills
from lab.cloud.faults import Fault
from lab.control import Control, LabError
from lab.probe import NS_PER_MS, Sample, Target, analyse


@pytest.mark.parametrize(
    ("text", "seconds"), [("20s", 20.0), ("500ms", 0.5), ("2m", 120.0), ("3", 3.0), ("1.5s", 1.5), ("0s", 0.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert cli_drill.parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "3h", "-1s", "1 s", "3s later"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected a duration like 20s"):
        cli_drill.parse_seconds(text)


class Daemon:
    """The daemon's fault list."""

    def __init__(self) -> None:
        self.faults: list[dict[str, Any]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            # What the command sends is what the lab takes.
            self.faults.append(Fault.from_json(json.loads(request.content)).to_json())
        elif request.method == "DELETE":
            self.faults.clear()
        return httpx.Response(200, json=self.faults)


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    daemon = Daemon()
    monkeypatch.setattr(cli_drill, "Control", lambda: Control(transport=httpx.MockTransport(daemon.answer)))
    return daemon


def lab(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    cli_drill.register(app)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--method PUT --path /privateIps --status 429 --count 3 --node vr1",
         {"effect": "status", "method": "PUT", "path": "/privateIps", "status": 429, "count": 3, "node": "vr1"}),
        ("--latency 2s --jitter 500ms", {"effect": "latency", "latency_ms": 2000.0, "jitter_ms": 500.0}),
        ("--effect apply_then_fail --status 500", {"effect": "apply_then_fail", "status": 500}),
        ("--effect drop --service imds --probability 0.5",
         {"effect": "drop", "service": "imds", "probability": 0.5}),
    ],
)  # fmt: skip
def test_adding_a_fault(daemon: Daemon, options: str, expected: dict[str, Any]) -> None:
    code, output = lab("api", "add", *options.split())
    assert code == 0, output
    assert daemon.faults == [Fault.from_json(expected).to_json()]
    assert expected["effect"] in output


def test_listing_and_clearing_faults(daemon: Daemon) -> None:
    lab("api", "add", "--effect", "drop")
    code, output = lab("api", "list", "--json")
    assert (code, [f["effect"] for f in json.loads(output)]) == (0, ["drop"])
    assert lab("api", "clear")[0] == 0
    assert daemon.faults == []


@pytest.mark.parametrize(
    "command", [["drill", "kill"], ["probe", "--for", "1s"], ["api", "list"], ["api", "add", "--status", "500"]]
)
def test_without_a_lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no such file", request=request)

    monkeypatch.setattr(cli_drill, "Control", lambda: Control(tmp_path / "socket", httpx.MockTransport(refuse)))
    code, output = lab(*command)
    assert code == 1
    assert "the lab is not up: run `lab up`" in output


def test_a_drill_that_cannot_be_done_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise LabError("no node holds a floating address")

    monkeypatch.setattr(drills, "run", refuse)
    assert lab("drill", "kill", "--json") == (1, "lab: no node holds a floating address\n")


def test_a_measurement_as_json() -> None:
    samples = [Sample(n, n * NS_PER_MS, n * NS_PER_MS + 1 if n not in (3, 4) else None, "vr1") for n in range(8)]
    data = cli_drill.measurement_to_json(Target("vip", "pod1", "c", "10.0.0.4"), analyse(samples))
    assert (data["name"], data["sent"], data["lost"], data["longest_outage_ms"]) == ("pod1", 8, 2, 2.0)
    assert [(o["lost"], o["ms"]) for o in json.loads(json.dumps(data))["outages"]] == [(2, 2.0)]

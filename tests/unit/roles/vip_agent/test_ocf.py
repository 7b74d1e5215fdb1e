# SPDX-License-Identifier: GPL-3.0-or-later
"""The OCF agent: return codes, reasons and metadata."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cloudvip.model import Outcome
from cloudvip.mover import Mover, Result
from cloudvip.ocf import main

from tests.unit.roles.vip_agent.conftest import Bench

GOLDEN = Path(__file__).with_name("metadata.xml")
ENVIRONMENT = {"OCF_RESKEY_group": "main", "OCF_RESKEY_CRM_meta_timeout": "60000"}


class FakeMover(Mover):
    """Answers every operation with the same result and notes what was asked."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.asked: list[tuple[str, str, float | None]] = []

    def _answer(self, operation: str, name: str, seconds: float | None = None) -> Result:
        self.asked.append((operation, name, seconds))
        return self.result

    def claim(self, name: str, seconds: float) -> Result:
        return self._answer("claim", name, seconds)

    def release(self, name: str) -> Result:
        return self._answer("release", name)

    def monitor(self, name: str) -> Result:
        return self._answer("monitor", name)

    def audit(self, name: str, seconds: float) -> Result:
        return self._answer("audit", name, seconds)

    def apply(self, name: str, seconds: float) -> Result:
        return self._answer("apply", name, seconds)


def run(action: str, mover: Mover, **environment: str) -> tuple[int, str]:
    errors = io.StringIO()
    code = main(["vips", action], {**ENVIRONMENT, **environment}, io.StringIO(), errors, lambda: mover)
    return code, errors.getvalue()


@pytest.mark.parametrize(
    ("action", "asked"),
    [
        ("start", ("claim", "main", 56.0)),
        ("stop", ("release", "main", None)),
        ("monitor", ("monitor", "main", None)),
        ("reload", ("apply", "main", 56.0)),
        ("reload-agent", ("apply", "main", 56.0)),
    ],
)
@pytest.mark.parametrize(("outcome", "code"), [(Outcome.SUCCESS, 0), (Outcome.FAILED, 1), (Outcome.NOT_RUNNING, 7)])
def test_actions_call_the_mover_and_return_its_result(
    action: str, asked: tuple[str, str, float | None], outcome: Outcome, code: int
) -> None:
    mover = FakeMover(Result(outcome, "because"))

    assert run(action, mover)[0] == code
    assert mover.asked == [asked]


def test_check_level_10_audits() -> None:
    mover = FakeMover(Result(Outcome.SUCCESS))

    run("monitor", mover, OCF_CHECK_LEVEL="10", OCF_RESKEY_CRM_meta_timeout="30000")

    assert mover.asked == [("audit", "main", 26.0)]


@pytest.mark.parametrize(("timeout", "seconds"), [("60000", 56.0), ("5000", 2.5), ("x", 56.0)])
def test_work_ends_before_the_timeout_of_the_cluster(timeout: str, seconds: float) -> None:
    mover = FakeMover(Result(Outcome.SUCCESS))

    run("start", mover, OCF_RESKEY_CRM_meta_timeout=timeout)

    assert mover.asked == [("claim", "main", seconds)]


def test_a_failure_gives_its_reason_in_one_line() -> None:
    assert run("start", FakeMover(Result(Outcome.FAILED, "one\ntwo")))[1] == "ocf-exit-reason:one two\n"


def test_a_result_that_is_no_failure_gives_no_reason() -> None:
    assert run("monitor", FakeMover(Result(Outcome.NOT_RUNNING, "x")))[1] == ""


@pytest.mark.parametrize("action", ["promote", "", "notify"])
def test_unknown_actions_are_unimplemented(action: str) -> None:
    assert run(action, FakeMover(Result(Outcome.SUCCESS)))[0] == 3


@pytest.mark.parametrize("group", ["", "../../etc/passwd"])
def test_a_bad_group_is_a_bad_argument(group: str) -> None:
    code, errors = run("start", FakeMover(Result(Outcome.SUCCESS)), OCF_RESKEY_group=group)

    assert code == 2
    assert errors.startswith("ocf-exit-reason:parameter group: ")


def test_a_missing_configuration_is_a_soft_error_with_a_reason(bench: Bench) -> None:
    bench.config_file.unlink()

    assert run("validate-all", bench.mover) == (1, f"ocf-exit-reason:{bench.config_file}: No such file or directory\n")
    assert run("start", bench.mover)[0] == 1
    assert run("monitor", bench.mover) == (7, "")
    assert run("reload-agent", bench.mover) == (7, "")
    assert run("stop", bench.mover) == (0, "")


def test_validate_all_knows_the_configured_groups(bench: Bench) -> None:
    assert run("validate-all", bench.mover) == (0, "")
    assert run("validate-all", bench.mover, OCF_RESKEY_group="other")[0] == 1


def test_a_life_of_the_resource(bench: Bench) -> None:
    actions = ["monitor", "start", "monitor", "reload-agent", "stop", "monitor", "stop"]

    assert [run(action, bench.mover)[0] for action in actions] == [7, 0, 0, 0, 0, 7, 0]


def metadata() -> str:
    output = io.StringIO()
    assert main(["vips", "meta-data"], {}, output, io.StringIO(), Mover) == 0
    return output.getvalue()


def test_metadata_is_what_it_was() -> None:
    assert metadata() == GOLDEN.read_text()


def test_metadata_has_what_pacemaker_reads() -> None:
    root = ElementTree.fromstring(metadata())

    # Pacemaker 2.1 and later reload an agent of OCF 1.1 for `reloadable` parameters, 2.0 for those with unique="0".
    assert root.findtext("version") == "1.1"
    parameters = {p.get("name"): p.attrib for p in root.iter("parameter")}
    assert parameters["group"]["required"] == parameters["group"]["unique"] == "1"
    assert parameters["revision"]["reloadable"] == "1"
    assert parameters["revision"]["unique"] == "0"
    actions = {a.get("name") for a in root.iter("action")}
    assert actions == {"start", "stop", "monitor", "reload", "reload-agent", "validate-all", "meta-data"}
    assert {a.get("depth") for a in root.iter("action") if a.get("name") == "monitor"} == {"0", "10"}

# SPDX-License-Identifier: GPL-3.0-or-later
"""The OCF agent: return codes, reasons and metadata."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

import pytest
from cloudvip import process
from cloudvip.model import Outcome
from cloudvip.mover import Mover, Result
from cloudvip.ocf import main

from tests.unit.roles.vip_agent.checking import exists, script, write
from tests.unit.roles.vip_agent.conftest import Bench
from tests.unit.roles.vip_agent.fakes import FakeClock, vip

GOLDEN = Path(__file__).with_name("metadata.xml")
ENVIRONMENT = {"OCF_RESKEY_group": "main", "OCF_RESKEY_CRM_meta_timeout": "60000"}
RECURRING = {"OCF_RESKEY_CRM_meta_interval": "5000", "OCF_RESKEY_CRM_meta_timeout": "20000"}


class FakeMover(Mover):
    """Answers every operation with the same result and notes what was asked."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.checks_file = "/nonexistent"
        self.asked: list[tuple[object, ...]] = []

    def _answer(self, *asked: object) -> Result:
        self.asked.append(asked)
        return self.result

    def claim(
        self, name: str, seconds: float, split: Callable[[], str] = str, overtaken: Callable[[], str] = str
    ) -> Result:
        del overtaken
        self.split = split
        return self._answer("claim", name, seconds)

    def release(self, name: str) -> Result:
        return self._answer("release", name)

    def monitor(self, name: str, repair: bool) -> Result:
        return self._answer("monitor", name, repair)

    def audit(self, name: str, seconds: float, repair: bool, split: Callable[[], str] = str) -> Result:
        self.split = split
        return self._answer("audit", name, seconds, repair)

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
        ("stop", ("release", "main")),
        ("monitor", ("monitor", "main", False)),
        ("reload", ("apply", "main", 56.0)),
        ("reload-agent", ("apply", "main", 56.0)),
    ],
)
@pytest.mark.parametrize(("outcome", "code"), [(Outcome.SUCCESS, 0), (Outcome.FAILED, 1), (Outcome.NOT_RUNNING, 7)])
def test_actions_call_the_mover_and_return_its_result(
    action: str, asked: tuple[object, ...], outcome: Outcome, code: int
) -> None:
    mover = FakeMover(Result(outcome, "because"))

    assert run(action, mover)[0] == code
    assert mover.asked == [asked]


@pytest.mark.parametrize(
    ("environment", "repair"),
    [
        ({"OCF_RESKEY_CRM_meta_interval": "5000"}, True),
        ({"OCF_RESKEY_CRM_meta_interval": "0"}, False),
        ({"OCF_RESKEY_CRM_meta_interval": ""}, False),
        ({}, False),
    ],
)
def test_only_what_the_cluster_repeats_may_repair_and_a_probe_or_a_person_may_not(
    environment: dict[str, str], repair: bool
) -> None:
    mover = FakeMover(Result(Outcome.SUCCESS))

    run("monitor", mover, **environment)
    run("monitor", mover, OCF_CHECK_LEVEL="10", OCF_RESKEY_CRM_meta_timeout="30000", **environment)

    assert mover.asked == [("monitor", "main", repair), ("audit", "main", 26.0, repair)]


@pytest.mark.parametrize(("timeout", "seconds"), [("60000", 56.0), ("5000", 2.5), ("x", 56.0)])
def test_work_ends_before_the_timeout_of_the_cluster(timeout: str, seconds: float) -> None:
    mover = FakeMover(Result(Outcome.SUCCESS))

    run("start", mover, OCF_RESKEY_CRM_meta_timeout=timeout)

    assert mover.asked == [("claim", "main", seconds)]


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        (b"1 vr1 member\n2 vr2 lost\n3 vr3 lost\n", "vr2, vr3"),
        (b"1 vr1 member\n2 vr2 member\n", ""),
        (b"", ""),
        (None, ""),
    ],
)
@pytest.mark.parametrize("environment", [{}, {"OCF_CHECK_LEVEL": "10"}])
def test_the_mover_can_ask_which_nodes_are_out_of_sight(
    monkeypatch: pytest.MonkeyPatch, said: bytes | None, missing: str, environment: dict[str, str]
) -> None:
    def crm_node(argv: list[str], timeout: float) -> bytes:
        assert (argv, timeout) == (["crm_node", "--list"], 5.0)
        if said is None:
            raise process.ProcessError("crm_node cannot be run")
        return said

    monkeypatch.setattr(process, "run", crm_node)
    mover = FakeMover(Result(Outcome.SUCCESS))

    run("monitor" if environment else "start", mover, **environment)

    assert mover.split() == missing


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.NOT_RUNNING])
def test_a_reason_is_given_in_one_line(outcome: Outcome) -> None:
    assert run("start", FakeMover(Result(outcome, "one\ntwo")))[1] == "ocf-exit-reason:one two\n"


@pytest.mark.parametrize("result", [Result(Outcome.SUCCESS, "put back"), Result(Outcome.NOT_RUNNING)])
def test_what_needs_no_explanation_gets_none(result: Result) -> None:
    assert run("monitor", FakeMover(result))[1] == ""


@pytest.mark.parametrize("action", ["promote", "demote", "notify", "migrate_to", "migrate_from", "status", ""])
def test_unknown_actions_are_unimplemented(action: str) -> None:
    assert run(action, FakeMover(Result(Outcome.SUCCESS)))[0] == 3


@pytest.mark.parametrize("group", ["", "../../etc/passwd"])
def test_a_bad_group_is_a_bad_argument(group: str) -> None:
    code, errors = run("start", FakeMover(Result(Outcome.SUCCESS)), OCF_RESKEY_group=group)

    assert code == 2
    assert errors.startswith("ocf-exit-reason:parameter group: ")


def test_a_missing_configuration_is_a_soft_error_with_a_reason(bench: Bench) -> None:
    bench.config_file.unlink()

    assert run("validate-all", bench.mover) == (
        1,
        f"ocf-exit-reason:{bench.config_file}: No such file or directory; the playbook writes it\n",
    )
    assert run("start", bench.mover)[0] == 1
    assert run("monitor", bench.mover) == (7, "")
    nothing = "ocf-exit-reason:group main is not claimed on this node: nothing to reload\n"
    assert run("reload-agent", bench.mover) == (7, nothing)
    assert run("stop", bench.mover) == (0, "")


def test_validate_all_knows_the_configured_groups(bench: Bench) -> None:
    assert run("validate-all", bench.mover) == (0, "")
    assert run("validate-all", bench.mover, OCF_RESKEY_group="other")[0] == 1


def test_a_life_of_the_resource(bench: Bench) -> None:
    actions = ["stop", "monitor", "start", "start", "monitor", "reload", "reload-agent", "monitor", "stop", "monitor"]

    assert [run(action, bench.mover)[0] for action in [*actions, "stop"]] == [0, 7, 0, 0, 0, 0, 0, 0, 0, 7, 0]


@pytest.mark.parametrize(
    ("first", "second"), [("10.0.0.1", "10.0.0.11"), ("10.0.0.11", "10.0.0.1"), ("10.0.0.11", "10.0.0.111")]
)
def test_one_address_is_never_taken_for_another_that_contains_it(bench: Bench, first: str, second: str) -> None:
    claimed, other = vip("claimed", first, "ens5"), vip("other", second, "ens5")
    bench.configure(claimed)
    entry = {"id": claimed["private_ip_id"], "ipAddress": first, "vnicId": None}
    bench.cloud.private_ips = {claimed["private_ip_id"]: entry}
    bench.ip.addresses["ens5"][other["address"]] = 32

    assert run("monitor", bench.mover)[0] == 7
    assert run("start", bench.mover)[0] == 0
    del bench.ip.addresses["ens5"][first]
    assert run("monitor", bench.mover)[0] == 7
    assert run("monitor", bench.mover, OCF_RESKEY_CRM_meta_interval="5000")[0] == 0
    assert run("stop", bench.mover)[0] == 0
    assert bench.has(second)


def test_a_probe_before_the_network_is_up_finds_nothing_and_blocks_nothing(bench: Bench) -> None:
    bench.ip.addresses.clear()

    assert run("monitor", bench.mover) == (7, "")
    assert run("start", bench.mover)[0] == 1
    assert run("stop", bench.mover) == (0, "")


def test_a_start_is_refused_at_once_while_a_check_fails(bench: Bench, tmp_path: Path) -> None:
    write(bench.checks_file, script("well", "/bin/true"), exists("web", tmp_path / "up"))

    assert run("start", bench.mover) == (1, "ocf-exit-reason:check web: /usr/bin/test failed with status 1\n")
    assert bench.cloud.calls == []
    assert not (bench.run / "claimed-main.json").exists()
    assert bench.log.lines == [
        'warning: operation=claim group=main outcome=failed problem="check web: /usr/bin/test failed with status 1"'
    ]

    (tmp_path / "up").touch()
    assert run("start", bench.mover) == (0, "")
    assert bench.has("10.0.0.4")


def test_a_group_moves_when_a_check_has_failed_often_enough_in_a_row(bench: Bench, tmp_path: Path) -> None:
    up = tmp_path / "up"
    up.touch()
    write(bench.checks_file, exists("web", up, fall=3), script("own", "/bin/true", fall=1))
    run("start", bench.mover)

    codes = []
    for there in (False, False, True, False, False, False):
        up.touch() if there else up.unlink(missing_ok=True)
        codes.append(run("monitor", bench.mover, **RECURRING))

    reason = "ocf-exit-reason:check web, failure 3 in a row: /usr/bin/test failed with status 1\n"
    assert codes == [(0, "")] * 5 + [(1, reason)]
    assert bench.log.lines[-1].startswith("warning: operation=monitor group=main outcome=failed problem=")
    assert "failure 2 in a row" in bench.log.lines[-2]


def test_failures_of_before_a_release_count_no_more(bench: Bench, tmp_path: Path) -> None:
    write(bench.checks_file, exists("web", tmp_path / "up"))
    (tmp_path / "up").touch()
    run("start", bench.mover)
    (tmp_path / "up").unlink()
    assert run("monitor", bench.mover, **RECURRING)[0] == 0

    run("stop", bench.mover)

    assert [file.name for file in bench.run.iterdir() if file.name.startswith("checks-")] == []


@pytest.mark.parametrize("environment", [{}, {**RECURRING, "OCF_CHECK_LEVEL": "10"}])
def test_neither_a_probe_nor_an_audit_runs_checks(bench: Bench, tmp_path: Path, environment: dict[str, str]) -> None:
    run("start", bench.mover)
    write(bench.checks_file, script("own", f"/usr/bin/touch {tmp_path}/ran", fall=1))

    assert run("monitor", bench.mover, **environment) == (0, "")
    assert not (tmp_path / "ran").exists()

    run("monitor", bench.mover, **RECURRING)
    assert (tmp_path / "ran").exists()


def test_a_monitor_that_fails_anyway_and_a_stop_wait_for_no_check(bench: Bench, tmp_path: Path) -> None:
    write(bench.checks_file, script("own", f"/usr/bin/touch {tmp_path}/ran", fall=1))

    assert run("monitor", bench.mover, **RECURRING)[0] == 7
    assert run("stop", bench.mover)[0] == 0
    assert not (tmp_path / "ran").exists()


def test_checks_that_cannot_be_read_refuse_a_start_and_move_nothing_that_runs(bench: Bench) -> None:
    run("start", bench.mover)
    bench.checks_file.write_text("{}")

    assert run("monitor", bench.mover, **RECURRING) == (0, "")
    assert "checks: missing; expected a list" in bench.log.lines[-1]
    run("stop", bench.mover)
    code, errors = run("start", bench.mover)
    assert code == 1
    assert errors == f"ocf-exit-reason:{bench.checks_file}.checks: missing; expected a list\n"


def test_failures_that_cannot_be_counted_move_nothing(bench: Bench, tmp_path: Path) -> None:
    run("start", bench.mover)
    write(bench.checks_file, exists("web", tmp_path / "up", fall=1))
    (bench.run / "checks-main.json").mkdir()

    assert run("monitor", bench.mover, **RECURRING) == (0, "")
    assert "the checks are not known to pass" in bench.log.lines[-1]


def test_checks_leave_an_operation_the_time_that_it_needs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock, given = FakeClock(), []

    def slow(checks: object, seconds: float) -> dict[str, str]:
        del checks
        given.append(seconds)
        clock.sleep(7.0)
        return {}

    monkeypatch.setattr("cloudvip.checks.failing", slow)
    write(bench.checks_file, exists("web", tmp_path))
    mover = FakeMover(Result(Outcome.SUCCESS))
    mover.checks_file, mover.clock, mover.state = str(bench.checks_file), clock, bench.state

    run("start", mover)
    run("monitor", mover, **RECURRING)

    assert given == [28.0, 16.0]
    assert mover.asked == [("claim", "main", 49.0), ("monitor", "main", True)]


def metadata() -> str:
    output = io.StringIO()
    assert main(["vips", "meta-data"], {}, output, io.StringIO(), Mover) == 0
    return output.getvalue()


def test_metadata_is_what_it_was() -> None:
    assert metadata() == GOLDEN.read_text()


def test_metadata_declares_what_the_older_dtd_of_ocf_tester_does_not_know() -> None:
    known = {
        "resource-agent": {"name", "version"},
        "parameter": {"name", "required", "unique"},
        "longdesc": {"lang"},
        "shortdesc": {"lang"},
        "content": {"type", "default"},
        "action": {"timeout", "interval", "start-delay", "role", "depth"},
    }
    used: list[tuple[str, str]] = []
    parser = expat.ParserCreate()
    parser.AttlistDeclHandler = lambda element, attribute, *_: known[element].add(attribute)
    parser.StartElementHandler = lambda name, attributes: used.extend((name, attribute) for attribute in attributes)
    parser.Parse(metadata(), True)

    assert [(name, attribute) for name, attribute in used if attribute not in known[name]] == []


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

# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `cloudvip`."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cloudvip import process
from cloudvip.cli import main

from tests.unit.roles.vip_agent.checking import exists, script, write
from tests.unit.roles.vip_agent.conftest import Bench
from tests.unit.roles.vip_agent.fakes import OTHER_VNIC, POD1, TOKEN_LIFETIME, TRANSIT, VNICS, Fault, vip

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def run(bench: Bench, *arguments: str) -> tuple[int, str, str]:
    output, errors = io.StringIO(), io.StringIO()
    code = main(["cloudvip", *arguments], output, errors, lambda: bench.mover)
    return code, output.getvalue(), errors.getvalue()


def test_audit_of_a_holder_and_of_a_standby(bench: Bench) -> None:
    assert run(bench, "audit") == (0, "main: as it should be, not held by this node\n", "")

    bench.mover.claim("main", 50)

    assert run(bench, "audit") == run(bench, "audit", "main") == (0, "main: as it should be, held by this node\n", "")


def test_audit_names_what_disagrees_with_the_claim_and_repairs_nothing(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.private_ips[POD1["private_ip_id"]]["vnicId"] = OTHER_VNIC
    del bench.ip.addresses["ens3"][TRANSIT["address"]]
    bench.ip.no_carrier.add("ens5")

    code, output, _ = run(bench, "audit")

    assert code == 1
    assert output.splitlines() == [
        "main: 172.20.136.140 is claimed, but not on ens3",
        "main: 10.0.0.4 is claimed, but ens5 has no carrier",
        f"main: 10.0.0.4 is claimed, but held by {OTHER_VNIC}",
    ]
    assert bench.cloud.private_ips[POD1["private_ip_id"]]["vnicId"] == OTHER_VNIC
    assert not bench.has(TRANSIT["address"])


def test_adopt_says_what_it_has_adopted(bench: Bench) -> None:
    assert run(bench, "adopt") == (0, "", "")
    for address in (TRANSIT, POD1):
        bench.ip.addresses[address["interface"]][address["address"]] = 28
        bench.cloud.private_ips[address["private_ip_id"]]["vnicId"] = VNICS[address["interface"]]

    assert run(bench, "adopt") == (0, "main: adopted\n", "")
    assert run(bench, "audit")[1] == "main: as it should be, held by this node\n"


def test_apply_takes_up_what_has_changed_on_the_holder_and_does_nothing_elsewhere(bench: Bench) -> None:
    added = vip("pod9", "10.0.0.9", "ens5")
    bench.cloud.private_ips[added["private_ip_id"]] = {
        "id": added["private_ip_id"],
        "ipAddress": added["address"],
        "subnetId": added["subnet_id"],
        "vnicId": OTHER_VNIC,
    }
    assert run(bench, "apply") == (0, "", "")
    bench.mover.claim("main", 50)
    assert run(bench, "apply") == (0, "", "")

    bench.configure(TRANSIT, POD1, added)

    assert run(bench, "apply", "main") == (0, "main: taken up\n", "")
    assert bench.has("10.0.0.9")
    assert run(bench, "apply") == (0, "", "")


def test_apply_of_a_group_that_is_not_configured_is_refused(bench: Bench) -> None:
    code, _, errors = run(bench, "apply", "maan")

    assert code == 1
    assert "'maan' is not configured" in errors


def test_handover_tells_the_consumer_until_when(bench: Bench) -> None:
    assert run(bench, "handover", "60") == (0, "", "")

    assert bench.state.read("handover") == {"until": bench.clock.uptime() + 60}
    # Whoever wants less does not end it.
    run(bench, "handover", "3")
    assert bench.state.read("handover") == {"until": bench.clock.uptime() + 60}


def test_audit_names_what_is_here_without_a_claim(bench: Bench) -> None:
    bench.cloud.private_ips[POD1["private_ip_id"]]["vnicId"] = VNICS["ens5"]
    bench.ip.addresses["ens3"][TRANSIT["address"]] = 32

    code, output, _ = run(bench, "audit")

    assert code == 1
    assert output.splitlines() == [
        "main: 172.20.136.140 is on ens3, but not claimed",
        "main: 10.0.0.4 is delivered here by the cloud, but not claimed",
    ]


def test_audit_exits_with_3_for_what_is_unknown_and_with_1_if_something_is_wrong_too(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.faults.append(Fault("GET", "/privateIps", 503, None, count=100))

    code, output, _ = run(bench, "audit")
    assert code == 3
    assert output.count("main: unknown: ") == output.count("503") == 2

    bench.ip.broken = "no ip"
    code, output, _ = run(bench, "audit")
    assert code == 3
    assert "main: unknown: 10.0.0.4: the interfaces cannot be read" in output

    bench.ip.broken = ""
    del bench.ip.addresses["ens3"][TRANSIT["address"]]
    assert run(bench, "audit")[0] == 1


def test_audit_of_an_unknown_group_says_what_there_is(bench: Bench) -> None:
    code, _, errors = run(bench, "audit", "other")

    assert code == 1
    assert "expected one of: main" in errors


def test_claim_and_release(bench: Bench) -> None:
    assert run(bench, "claim", "main") == (0, "", "")
    assert bench.has(TRANSIT["address"])
    assert run(bench, "release", "main") == (0, "", "")
    assert not bench.has(TRANSIT["address"])


@pytest.mark.parametrize("command", ["claim", "release"])
@pytest.mark.parametrize("group", ["other", "../main"])
def test_an_unknown_group_says_what_there_is(bench: Bench, command: str, group: str) -> None:
    code, _, errors = run(bench, command, group)

    assert code == 1
    assert f"group {group!r} is not configured" in errors
    assert "expected one of: main" in errors


def test_what_was_claimed_can_be_released_without_a_configuration(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.config_file.unlink()

    assert run(bench, "release", "main") == (0, "", "")
    assert not bench.has(POD1["address"])


@pytest.fixture
def pacemaker(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A cluster that manages the group `main`; the queries that it was asked."""
    cib = (ROOT / "tests/unit/plugins/cluster/converged.xml").read_text()
    asked: list[list[str]] = []
    original = process.run

    def answer(argv: Sequence[str], *args: Any, **kwargs: Any) -> bytes:
        if argv[0] != "cibadmin":
            return original(argv, *args, **kwargs)
        asked.append(list(argv))
        if "@value='main'" not in argv[-1]:
            raise process.ProcessError("cibadmin failed with status 105: No such device or address")
        return cib[cib.index("<primitive") : cib.index("</primitive>")].encode()

    monkeypatch.setattr(process, "run", answer)
    return asked


@pytest.mark.parametrize(
    ("command", "consequence"),
    [("claim", "the node where it runs lets go at its next audit"), ("release", "the next monitor finds it gone")],
)
def test_a_group_that_the_cluster_manages(
    bench: Bench, pacemaker: list[list[str]], command: str, consequence: str
) -> None:
    code, _, errors = run(bench, command, "main")

    assert code == 0
    assert "the cluster manages group main as resource cloudvip-main" in errors
    assert consequence in errors
    assert "crm_resource --move --resource cloudvip-main --node NODE" in errors
    assert len(pacemaker) == 1


def test_a_group_that_the_cluster_does_not_manage(bench: Bench, pacemaker: list[list[str]]) -> None:
    groups = json.loads(bench.config_file.read_text())
    groups["groups"] = {"byhand": groups["groups"]["main"]}
    bench.config_file.write_text(json.dumps(groups))

    assert run(bench, "claim", "byhand") == (0, "", "")
    assert len(pacemaker) == 1


@pytest.fixture
def checks_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That of the command `check`, which anybody may run."""
    file = tmp_path / "checks.json"
    monkeypatch.setattr("cloudvip.cli.CHECKS_FILE", str(file))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return file


def test_check_says_which_checks_fail_and_why(bench: Bench, checks_file: Path, tmp_path: Path) -> None:
    assert run(bench, "check") == (0, "", "")
    write(checks_file, exists("web", tmp_path / "up"), script("own", "/bin/true"), script("db", "/bin/sh -c 'exit 4'"))

    failing = "web: /usr/bin/test failed with status 1\ndb: /bin/sh failed with status 4\n"
    assert run(bench, "check") == (1, failing, "")
    assert run(bench, "check", "db") == (1, "db: /bin/sh failed with status 4\n", "")
    assert run(bench, "check", "own") == (0, "", "")


def test_check_of_an_unknown_name_says_what_there_is(bench: Bench, checks_file: Path) -> None:
    expected = "cloudvip: check 'wbe' is not configured on this node; expected one of: {}\n"
    assert run(bench, "check", "wbe") == (2, "", expected.format("none is configured"))

    write(checks_file, script("web", "/bin/true"), script("own", "/bin/true"))

    assert run(bench, "check", "wbe") == (2, "", expected.format("web, own"))


def test_a_check_that_was_taken_away_passes_for_whoever_does_not_know_it_yet(bench: Bench, checks_file: Path) -> None:
    write(checks_file, script("web", "/bin/false"))

    assert run(bench, "check", "--optional", "wbe") == (0, "", "")


def test_check_of_checks_that_cannot_be_read_does_not_pass(bench: Bench, checks_file: Path) -> None:
    checks_file.write_text("{}")

    code, output, errors = run(bench, "check", "web")

    assert (code, output) == (1, "")
    assert f"{checks_file}.checks: missing; expected a list" in errors
    assert "the playbook writes the configuration" in errors


def test_doctor_prints_each_finding_with_its_remedy(bench: Bench) -> None:
    bench.ip.no_carrier.add("ens5")

    code, output, _ = run(bench, "doctor")

    assert code == 1
    assert "ok      configuration: 1 group, 2 VIPs\n" in output
    assert "failure ens5: no carrier\n        -> ip link set ens5 up" in output


def test_doctor_as_json(bench: Bench) -> None:
    bench.config_file.unlink()

    code, output, _ = run(bench, "doctor", "--json")

    assert code == 1
    finding = json.loads(output)[0]
    assert (finding["level"], finding["subject"], finding["remedy"]) == (
        "failure",
        "configuration",
        "run the playbook again",
    )


def test_doctor_names_what_was_refused_and_a_statement_on_a_line_of_its_own(bench: Bench) -> None:
    refusal = {"code": "NotAuthorizedOrNotFound", "message": "no"}
    bench.cloud.faults.append(Fault("GET", "/20160918/privateIps", 404, refusal, count=100))

    findings = json.loads(run(bench, "doctor", "--json")[1])
    lines = run(bench, "doctor")[1].splitlines()

    refused = {f["operation"]: f["permissions"] for f in findings}
    assert refused["ListPrivateIps"] == refused["GetPrivateIp"] == ["PRIVATE_IP_READ"]
    assert "allow dynamic-group <group> to {PRIVATE_IP_READ} in compartment id <compartment>" in map(str.strip, lines)


def test_doctor_waits_for_as_long_as_it_is_told(bench: Bench) -> None:
    bench.cloud.metadata_down = True

    assert run(bench, "doctor")[0] == 1
    assert bench.clock.sleeps == []
    code, output, _ = run(bench, "doctor", "--wait", "10")

    assert code == 1
    assert output.count("failure metadata service") == 1
    assert 4 <= sum(bench.clock.sleeps) <= 10


@pytest.mark.parametrize("seconds", ["-1", "soon", "nan", "inf"])
def test_doctor_waits_for_a_number_of_seconds_only(
    bench: Bench, capsys: pytest.CaptureFixture[str], seconds: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(bench, "doctor", f"--wait={seconds}")

    assert ended.value.code == 2
    assert f"--wait: {seconds!r}: expected a number of seconds" in capsys.readouterr().err


def test_help_says_what_the_exit_status_means(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ([], ["status"], ["audit"], ["claim"], ["release"], ["doctor"]):
        with pytest.raises(SystemExit) as ended:
            run(bench, *command, "--help")
        assert ended.value.code == 0
        assert "3  audit: the cloud could not be asked" in capsys.readouterr().out


def test_token_refresh_and_show(bench: Bench) -> None:
    assert run(bench, "token", "show")[0] == 1

    assert run(bench, "token", "refresh")[0] == 0
    code, output, _ = run(bench, "token", "show")

    assert (code, output) == (0, "0 s old, 20 min left\n")
    assert (bench.run / "endpoint-127.0.0.1.json").exists()


def test_token_refresh_waits_for_half_life_if_told_so(bench: Bench) -> None:
    run(bench, "token", "refresh", "--due")
    run(bench, "token", "refresh", "--due")
    assert len(bench.cloud.of("POST", "/v1/x509")) == 1

    bench.clock.sleep(TOKEN_LIFETIME / 2 + 1)
    run(bench, "token", "refresh", "--due")
    assert len(bench.cloud.of("POST", "/v1/x509")) == 2


def test_token_refresh_keeps_the_old_one_if_the_api_does_not_take_the_new_one(bench: Bench) -> None:
    run(bench, "token", "refresh")
    old = (bench.run / "token.json").read_text()
    bench.cloud.faults.append(Fault("GET", "/privateIps", 401, {"code": "NotAuthenticated", "message": "x"}))

    code, _, errors = run(bench, "token", "refresh")

    assert code == 1
    assert "the old one is kept" in errors
    assert (bench.run / "token.json").read_text() == old


def test_token_refresh_does_not_need_the_api_to_be_up(bench: Bench) -> None:
    bench.cloud.faults.append(Fault("GET", "/privateIps", 503, None))

    assert run(bench, "token", "refresh")[0] == 0


def test_no_command_is_wrong_usage(bench: Bench) -> None:
    assert run(bench)[0] == 2
    assert run(bench, "token")[0] == 2


def test_only_root_may(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert run(bench, "status") == (1, "", "cloudvip: this needs root\n")

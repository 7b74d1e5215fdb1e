# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `cloudvip`."""

from __future__ import annotations

import io
import json
import os

import pytest
from cloudvip.cli import main

from tests.unit.roles.vip_agent.conftest import Bench
from tests.unit.roles.vip_agent.fakes import OTHER_VNIC, POD1, TOKEN_LIFETIME, TRANSIT, VNICS, Fault


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def run(bench: Bench, *arguments: str) -> tuple[int, str, str]:
    output, errors = io.StringIO(), io.StringIO()
    code = main(["cloudvip", *arguments], output, errors, lambda: bench.mover)
    return code, output.getvalue(), errors.getvalue()


def test_status_of_the_holder(bench: Bench) -> None:
    bench.mover.claim("main", 50)

    code, output, _ = run(bench, "status", "--json")

    group = json.loads(output)["groups"]["main"]
    assert code == 0
    assert (group["claimed"], group["revision"], group["claimed_revision"]) == (True, "r2", "r2")
    assert [(v["cloud"], v["local"], v["cloud_vnic_id"]) for v in group["vips"]] == [
        ("here", "here", VNICS["ens3"]),
        ("here", "here", VNICS["ens5"]),
    ]


def test_status_of_a_standby_names_the_owner(bench: Bench) -> None:
    group = json.loads(run(bench, "status", "--json")[1])["groups"]["main"]

    assert group["claimed"] is False
    assert {(v["cloud"], v["local"], v["cloud_vnic_id"]) for v in group["vips"]} == {
        ("elsewhere", "elsewhere", OTHER_VNIC)
    }


def test_status_with_the_cloud_down_says_unknown_and_why(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.close()

    code, output, _ = run(bench, "status", "--json")

    vips = json.loads(output)["groups"]["main"]["vips"]
    assert code == 0
    assert {v["cloud"] for v in vips} == {"unknown"}
    assert all("refused" in v["detail"] for v in vips)


def test_status_as_a_table(bench: Bench) -> None:
    bench.mover.claim("main", 50)

    lines = run(bench, "status")[1].splitlines()

    assert lines[0].split() == ["GROUP", "VIP", "ADDRESS", "INTERFACE", "CLAIMED", "CLOUD", "LOCAL", "LINK", "NOTE"]
    assert lines[2].split() == ["main", "pod1", "10.0.0.4", "ens5", "yes", "here", "here", "up"]
    assert lines[-1] == f"token: {TOKEN_LIFETIME} s left"


def test_audit_exits_with_1_when_the_cloud_disagrees(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    assert run(bench, "audit")[0] == 0

    bench.cloud.private_ips[POD1["private_ip_id"]]["vnicId"] = OTHER_VNIC
    assert run(bench, "audit")[0] == 1


def test_claim_and_release(bench: Bench) -> None:
    assert run(bench, "claim", "main") == (0, "", "")
    assert bench.has(TRANSIT["address"])
    assert run(bench, "release", "main") == (0, "", "")
    assert not bench.has(TRANSIT["address"])


def test_claim_of_an_unknown_group_says_what_there_is(bench: Bench) -> None:
    code, _, errors = run(bench, "claim", "other")

    assert code == 1
    assert "expected one of: main" in errors


def test_doctor_is_content(bench: Bench) -> None:
    code, output, _ = run(bench, "doctor")

    assert code == 0
    assert "failure" not in output
    assert "read 10.0.0.4: allowed" in output


def test_doctor_names_a_missing_permission_after_trying_a_new_token(bench: Bench) -> None:
    body = {"code": "NotAuthorizedOrNotFound", "message": "x"}
    bench.cloud.faults.append(Fault("GET", POD1["private_ip_id"], 404, body, count=2))

    code, output, _ = run(bench, "doctor")

    assert code == 1
    assert "inspect private-ips" in output
    assert len(bench.cloud.of("POST", "/v1/x509")) == 2


def test_doctor_finds_nothing_wrong_with_a_node_whose_old_token_was_refused(bench: Bench) -> None:
    body = {"code": "NotAuthorizedOrNotFound", "message": "x"}
    bench.cloud.faults.append(Fault("GET", POD1["private_ip_id"], 404, body, count=1))

    assert run(bench, "doctor")[0] == 0


@pytest.mark.parametrize("trouble", ["interface", "carrier", "metadata", "config", "object"])
def test_doctor_finds_trouble(bench: Bench, trouble: str) -> None:
    if trouble == "interface":
        bench.ip.missing.add("ens5")
    elif trouble == "carrier":
        bench.ip.no_carrier.add("ens5")
    elif trouble == "metadata":
        bench.cloud.metadata_down = True
    elif trouble == "config":
        bench.config_file.unlink()
    else:
        bench.cloud.private_ips[POD1["private_ip_id"]]["ipAddress"] = "10.0.0.7"

    code, output, _ = run(bench, "doctor", "--json")

    failures = [f for f in json.loads(output) if f["level"] == "failure"]
    assert code == 1
    assert len(failures) == 1
    assert failures[0]["remedy"]


def test_token_refresh_and_show(bench: Bench) -> None:
    assert run(bench, "token", "show")[0] == 1

    assert run(bench, "token", "refresh")[0] == 0
    code, output, _ = run(bench, "token", "show")

    assert (code, output) == (0, f"age 0 s, {TOKEN_LIFETIME} s left\n")
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

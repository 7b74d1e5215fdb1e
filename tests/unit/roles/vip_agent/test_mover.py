# SPDX-License-Identifier: GPL-3.0-or-later
"""The mover against a cloud on loopback."""

from __future__ import annotations

import json
import os
import stat

import pytest
from cloudvip.model import Outcome

from tests.unit.roles.vip_agent.conftest import Bench
from tests.unit.roles.vip_agent.fakes import OTHER_VNIC, POD1, TRANSIT, VNICS, Fault, vip

POD1_ID = POD1["private_ip_id"]
ADDED = vip("pod9", "10.0.0.9", "ens5")


def test_claim_moves_every_address_with_one_call_each_and_puts_them_on_the_interfaces(bench: Bench) -> None:
    result = bench.mover.claim("main", 50)

    assert result.outcome is Outcome.SUCCESS
    assert [p["vnicId"] for p in bench.cloud.private_ips.values()] == [VNICS["ens3"], VNICS["ens5"]]
    assert bench.ip.addresses["ens3"][TRANSIT["address"]] == 32
    assert bench.ip.addresses["ens5"][POD1["address"]] == 32
    api_calls = [c for c in bench.cloud.calls if c.path != "/v1/x509"]
    assert [c.method for c in api_calls] == ["PUT", "PUT"]
    assert len(bench.ip.batches) == 1


def test_claim_with_a_cached_token_needs_neither_metadata_nor_federation(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.metadata_calls.clear()
    bench.cloud.calls.clear()
    bench.cloud.metadata_down = True

    assert bench.mover.claim("main", 50).outcome is Outcome.SUCCESS
    assert bench.cloud.metadata_calls == []
    assert {c.method for c in bench.cloud.calls} == {"PUT"}


def test_claim_tells_its_story_in_the_log(bench: Bench) -> None:
    bench.mover.claim("main", 50)

    assert bench.log.lines[0] == "info: claim main: started"
    assert any(line.startswith("info: claimed 10.0.0.4 in ") for line in bench.log.lines)
    assert bench.log.lines[-1].startswith("info: claim main: done, 2 addresses in ")


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_claim_retries_what_can_become_right_by_itself(bench: Bench, status: int) -> None:
    bench.cloud.faults.append(Fault("PUT", POD1_ID, status, {"code": "Some", "message": "later"}, count=3))

    assert bench.mover.claim("main", 50).outcome is Outcome.SUCCESS
    assert len(bench.cloud.of("PUT", POD1_ID)) == 4
    assert len(bench.cloud.of("PUT", TRANSIT["private_ip_id"])) == 1
    assert len(bench.clock.sleeps) == 3


def test_claim_honours_retry_after(bench: Bench) -> None:
    bench.cloud.faults.append(Fault("PUT", POD1_ID, 429, None, {"retry-after": "7"}))

    assert bench.mover.claim("main", 50).outcome is Outcome.SUCCESS
    assert bench.clock.sleeps == [7.0]


def test_claim_that_cannot_succeed_before_its_deadline_fails_and_takes_the_addresses_off(bench: Bench) -> None:
    bench.cloud.faults.append(Fault("PUT", POD1_ID, 503, {"code": "ServiceUnavailable", "message": "x"}, count=1000))

    result = bench.mover.claim("main", 10)

    assert result.outcome is Outcome.FAILED
    assert "10.0.0.4" in result.reason
    assert "503" in result.reason
    assert bench.clock.monotonic() < 10
    assert not bench.has(POD1["address"])
    assert not bench.has(TRANSIT["address"])
    assert bench.mover.monitor("main").outcome is Outcome.NOT_RUNNING


def test_claim_never_repeats_a_bad_request(bench: Bench) -> None:
    bench.cloud.faults.append(Fault("PUT", POD1_ID, 400, {"code": "InvalidParameter", "message": "x"}, count=9))

    assert bench.mover.claim("main", 50).outcome is Outcome.FAILED
    assert len(bench.cloud.of("PUT", POD1_ID)) == 1


def test_claim_tries_not_found_a_few_times_and_then_names_the_policy(bench: Bench) -> None:
    body = {"code": "NotAuthorizedOrNotFound", "message": "x"}
    bench.cloud.faults.append(Fault("PUT", POD1_ID, 404, body, count=1000))

    result = bench.mover.claim("main", 50)

    assert result.outcome is Outcome.FAILED
    assert "PRIVATE_IP_UPDATE" in result.reason
    assert len(bench.cloud.of("PUT", POD1_ID)) == 4


def test_claim_authenticates_anew_once_after_a_401(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.tokens.clear()
    bench.cloud.calls.clear()

    assert bench.mover.claim("main", 50).outcome is Outcome.SUCCESS
    assert len(bench.cloud.of("POST", "/v1/x509")) == 1


def test_claim_gives_up_on_a_second_401(bench: Bench) -> None:
    bench.cloud.faults.append(Fault("PUT", POD1_ID, 401, {"code": "NotAuthenticated", "message": "x"}, count=1000))

    assert bench.mover.claim("main", 50).outcome is Outcome.FAILED
    assert len(bench.cloud.of("PUT", POD1_ID)) == 2


def test_claim_does_not_believe_an_answer_that_names_another_vnic(bench: Bench) -> None:
    liar = {"id": POD1_ID, "ipAddress": POD1["address"], "vnicId": OTHER_VNIC}
    bench.cloud.faults.append(Fault("PUT", POD1_ID, 200, liar))

    assert bench.mover.claim("main", 50).outcome is Outcome.SUCCESS
    assert len(bench.cloud.of("PUT", POD1_ID)) == 2


def test_claim_refuses_before_it_moves_anything_when_an_interface_has_no_carrier(bench: Bench) -> None:
    bench.ip.no_carrier.add("ens5")

    result = bench.mover.claim("main", 50)

    assert result.outcome is Outcome.FAILED
    assert "ens5 has no carrier" in result.reason
    assert bench.cloud.calls == []
    assert bench.ip.batches == []


def test_claim_refuses_when_an_interface_is_missing(bench: Bench) -> None:
    bench.ip.missing.add("ens5")

    result = bench.mover.claim("main", 50)

    assert result.outcome is Outcome.FAILED
    assert POD1["mac"] in result.reason
    assert bench.cloud.calls == []


def test_failed_claim_leaves_a_group_alone_that_was_held_before(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.close()

    assert bench.mover.claim("main", 5).outcome is Outcome.FAILED
    assert bench.mover.monitor("main").outcome is Outcome.SUCCESS


def test_release_makes_no_network_call(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.calls.clear()
    bench.cloud.metadata_calls.clear()

    assert bench.mover.release("main").outcome is Outcome.SUCCESS
    assert not bench.has(TRANSIT["address"])
    assert not bench.has(POD1["address"])
    assert bench.has("10.0.0.5")
    assert bench.cloud.calls == []
    assert bench.cloud.metadata_calls == []


@pytest.mark.parametrize("config", [None, "{", '{"version": 2}'])
def test_release_works_without_a_usable_configuration(bench: Bench, config: str | None) -> None:
    bench.mover.claim("main", 50)
    if config is None:
        bench.config_file.unlink()
    else:
        bench.config_file.write_text(config)

    assert bench.mover.release("main").outcome is Outcome.SUCCESS
    assert not bench.has(POD1["address"])


def test_release_takes_off_addresses_that_no_claim_names(bench: Bench) -> None:
    bench.ip.addresses["ens5"][POD1["address"]] = 28

    assert bench.mover.release("main").outcome is Outcome.SUCCESS
    assert not bench.has(POD1["address"])


def test_release_takes_an_address_off_an_interface_that_is_not_its_own(bench: Bench) -> None:
    bench.ip.addresses["ens3"][POD1["address"]] = 32

    assert bench.mover.release("main").outcome is Outcome.SUCCESS
    assert not bench.has(POD1["address"])


def test_release_of_nothing_succeeds(bench: Bench) -> None:
    assert bench.mover.release("main").outcome is Outcome.SUCCESS
    assert bench.ip.batches == []


def test_release_fails_only_if_an_address_is_still_there(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.ip.stuck.add(POD1["address"])

    result = bench.mover.release("main")

    assert result.outcome is Outcome.FAILED
    assert "still there: 10.0.0.4/32" in result.reason
    assert not bench.has(TRANSIT["address"])


def test_monitor_before_anything_is_configured_is_not_running(bench: Bench) -> None:
    bench.config_file.unlink()

    assert bench.mover.monitor("main").outcome is Outcome.NOT_RUNNING


def test_monitor_makes_no_network_call(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.calls.clear()

    assert bench.mover.monitor("main").outcome is Outcome.SUCCESS
    assert bench.cloud.calls == []


def test_monitor_ignores_a_configured_vip_that_is_not_claimed_yet(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.configure(TRANSIT, POD1, ADDED)

    assert bench.mover.monitor("main").outcome is Outcome.SUCCESS


def test_monitor_does_not_take_one_address_for_another_that_begins_like_it(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    del bench.ip.addresses["ens5"][POD1["address"]]
    bench.ip.addresses["ens5"]["10.0.0.45"] = 32

    result = bench.mover.monitor("main")

    assert result.outcome is Outcome.FAILED
    assert "10.0.0.4 on ens5" in result.reason


def test_monitor_fails_without_carrier(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.ip.no_carrier.add("ens3")

    assert bench.mover.monitor("main").outcome is Outcome.FAILED


def test_monitor_that_cannot_look_says_nothing_against_the_claim(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.ip.broken = "ip cannot be run: Cannot allocate memory"

    assert bench.mover.monitor("main").outcome is Outcome.SUCCESS


def test_monitor_does_not_trust_a_claim_that_was_cut_short(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    file = bench.run / "claimed-main.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "complete": False}))

    assert bench.mover.monitor("main").outcome is Outcome.FAILED


def test_audit_agrees_with_the_cloud_by_one_call_per_vnic(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.calls.clear()

    assert bench.mover.audit("main", 25).outcome is Outcome.SUCCESS
    assert [(c.method, c.query["vnicId"]) for c in bench.cloud.calls] == [
        ("GET", [VNICS["ens3"]]),
        ("GET", [VNICS["ens5"]]),
    ]


def test_audit_reads_every_page(bench: Bench) -> None:
    for number in range(3):
        entry = {"id": f"ocid1.privateip.oc99.lab.x{number}", "ipAddress": "10.0.0.8", "vnicId": VNICS["ens5"]}
        bench.cloud.private_ips = {entry["id"]: entry, **bench.cloud.private_ips}
    bench.mover.claim("main", 50)
    bench.cloud.page_size = 1

    assert bench.mover.audit("main", 25).outcome is Outcome.SUCCESS
    assert bench.state.read("audit-main") == {
        "at": bench.clock.now(),
        "cloud": {TRANSIT["address"]: "here", POD1["address"]: "here"},
        "problem": "",
    }


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_audit_takes_a_refusing_cloud_for_unknown_and_logs_it_once(bench: Bench, status: int) -> None:
    bench.mover.claim("main", 50)
    bench.log.lines.clear()
    bench.cloud.faults.append(Fault("GET", "/privateIps", status, {"code": "X", "message": "y"}, count=1000))

    outcomes = [bench.mover.audit("main", 25).outcome for _ in range(3)]

    assert outcomes == [Outcome.SUCCESS] * 3
    assert len([line for line in bench.log.lines if line.startswith("warning: audit main")]) == 1
    state = bench.state.read("audit-main")
    assert state is not None
    assert set(state["cloud"].values()) == {"unknown"}


def test_audit_with_the_cloud_metadata_and_token_gone_is_no_failure(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.state.remove("token")
    bench.cloud.close()

    assert bench.mover.audit("main", 25).outcome is Outcome.SUCCESS


def test_audit_reports_a_part_of_the_group_elsewhere_without_failing(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.private_ips[POD1_ID]["vnicId"] = OTHER_VNIC

    result = bench.mover.audit("main", 25)

    assert result.outcome is Outcome.SUCCESS
    assert any("the cloud delivers elsewhere: 10.0.0.4 on ens5" in line for line in bench.log.lines)


def test_audit_fails_when_the_whole_group_is_elsewhere(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    for private_ip in bench.cloud.private_ips.values():
        private_ip["vnicId"] = OTHER_VNIC

    assert bench.mover.audit("main", 25).outcome is Outcome.FAILED


def test_apply_claims_what_is_added_and_leaves_the_rest_alone(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.calls.clear()
    bench.ip.batches.clear()
    entry = {"id": ADDED["private_ip_id"], "ipAddress": ADDED["address"], "vnicId": None}
    bench.cloud.private_ips[ADDED["private_ip_id"]] = entry
    bench.configure(TRANSIT, POD1, ADDED)

    assert bench.mover.apply("main", 50).outcome is Outcome.SUCCESS
    assert entry["vnicId"] == VNICS["ens5"]
    assert [c.path for c in bench.cloud.calls] == [f"/20160918/privateIps/{ADDED['private_ip_id']}"]
    assert bench.ip.batches == [["address replace 10.0.0.9/32 dev ens5 noprefixroute"]]
    claim = bench.state.claim("main")
    assert claim is not None
    assert claim.revision == "r3"
    assert [v.name for v in claim.vips] == ["transit", "pod1", "pod9"]


def test_apply_releases_what_is_gone_without_asking_the_cloud(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.calls.clear()
    bench.configure(TRANSIT)

    assert bench.mover.apply("main", 50).outcome is Outcome.SUCCESS
    assert not bench.has(POD1["address"])
    assert bench.has(TRANSIT["address"])
    assert bench.cloud.calls == []
    assert bench.mover.monitor("main").outcome is Outcome.SUCCESS


def test_apply_leaves_an_address_pending_that_cannot_be_claimed(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.configure(TRANSIT, POD1, ADDED)

    result = bench.mover.apply("main", 20)

    assert result.outcome is Outcome.SUCCESS
    assert not bench.has(ADDED["address"])
    claim = bench.state.claim("main")
    assert claim is not None
    assert list(claim.pending) == [ADDED["address"]]
    assert bench.mover.monitor("main").outcome is Outcome.SUCCESS


def test_audit_claims_a_pending_address_when_it_can(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.configure(TRANSIT, POD1, ADDED)
    bench.mover.apply("main", 20)
    entry = {"id": ADDED["private_ip_id"], "ipAddress": ADDED["address"], "vnicId": None}
    bench.cloud.private_ips[ADDED["private_ip_id"]] = entry

    assert bench.mover.audit("main", 25).outcome is Outcome.SUCCESS
    assert bench.has(ADDED["address"])
    claim = bench.state.claim("main")
    assert claim is not None
    assert claim.pending == {}


def test_apply_that_cannot_take_an_address_off_fails_and_still_knows_it(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.configure(TRANSIT)
    bench.ip.stuck.add(POD1["address"])

    assert bench.mover.apply("main", 20).outcome is Outcome.FAILED
    bench.ip.stuck.clear()
    assert bench.mover.release("main").outcome is Outcome.SUCCESS
    assert not bench.has(POD1["address"])


def test_apply_on_a_node_that_holds_nothing_is_not_running(bench: Bench) -> None:
    assert bench.mover.apply("main", 20).outcome is Outcome.NOT_RUNNING


def test_a_changed_object_is_claimed_anew_and_a_changed_name_is_not(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.calls.clear()
    bench.cloud.private_ips["ocid1.privateip.oc99.lab.new"] = {
        "id": "ocid1.privateip.oc99.lab.new",
        "ipAddress": POD1["address"],
        "vnicId": None,
    }
    bench.configure({**TRANSIT, "name": "renamed"}, {**POD1, "private_ip_id": "ocid1.privateip.oc99.lab.new"})

    assert bench.mover.apply("main", 20).outcome is Outcome.SUCCESS
    assert [c.path for c in bench.cloud.calls] == ["/20160918/privateIps/ocid1.privateip.oc99.lab.new"]
    assert bench.has(POD1["address"])


def test_runtime_state_is_for_root_only_and_holds_no_half_written_file(bench: Bench) -> None:
    bench.mover.claim("main", 50)

    assert stat.S_IMODE(bench.run.stat().st_mode) == 0o700
    assert {p.name for p in bench.run.iterdir()} == {"claimed-main.json", "endpoint-127.0.0.1.json", "token.json"}
    assert {stat.S_IMODE(os.stat(p).st_mode) for p in bench.run.iterdir()} == {0o600}

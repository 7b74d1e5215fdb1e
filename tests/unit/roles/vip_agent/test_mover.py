# SPDX-License-Identifier: GPL-3.0-or-later
"""The mover against a cloud on loopback."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from cloudvip.clock import Deadline
from cloudvip.cloud import Assigned, Cloud, Location
from cloudvip.errors import CloudError, ErrorKind
from cloudvip.model import Outcome, Truth, Vip
from cloudvip.mover import Mover

from tests.unit.roles.vip_agent.conftest import Bench
from tests.unit.roles.vip_agent.fakes import OTHER_VNIC, POD1, POD1_V6, TRANSIT, VNICS, Fault, vip

POD1_ID = POD1["private_ip_id"]
ADDED = vip("pod9", "10.0.0.9", "ens5")


class FakeClient(Cloud):
    """A cloud that lets something happen before it sends. `sent` has the addresses that it was allowed to send."""

    def __init__(self, note: str = "") -> None:
        self.sent: list[str] = []
        self.elsewhere: set[str] = set()
        self.meanwhile: Callable[[], object] | None = None
        self.may_send: Callable[[], str] = str
        self.note = note

    def assign(
        self,
        vips: Sequence[Vip],
        deadline: Deadline,
        done: Callable[[Assigned], None],
        may_send: Callable[[], str],
    ) -> None:
        del deadline
        self.may_send = may_send
        if self.meanwhile:
            self.sent.clear()
            self.meanwhile()
        for item in vips:
            refusal = may_send()
            if not refusal:
                self.sent.append(item.address)
            error = CloudError(ErrorKind.FATAL, refusal) if refusal else None
            done(Assigned(item, 0.0, 1, "REQ", error, self.note))

    def locate(self, vips: Sequence[Vip], deadline: Deadline) -> dict[str, Location]:
        del deadline
        return {v.address: Location(Truth.ELSEWHERE if v.address in self.elsewhere else Truth.HERE, "") for v in vips}

    def owner(self, vip: Vip, deadline: Deadline) -> str | None:
        raise NotImplementedError


def wait_for(condition: Callable[[], bool]) -> None:
    """Give another thread the time to get there."""
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)


def lose(bench: Bench, *vips: dict[str, Any]) -> None:
    """Have somebody else take VIPs."""
    for lost in vips:
        bench.cloud.private_ips[lost["private_ip_id"]]["vnicId"] = OTHER_VNIC


def audits(bench: Bench, count: int) -> list[Outcome]:
    """What the audits say that the cluster asks for, one a minute."""
    outcomes = []
    for _ in range(count):
        bench.clock.sleep(57)
        outcomes.append(bench.mover.audit("main", 25, True).outcome)
    return outcomes


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


def test_claim_tells_its_story_in_two_lines(bench: Bench) -> None:
    bench.cloud.faults.append(Fault("PUT", POD1_ID, 503, {"code": "ServiceUnavailable", "message": "x"}, count=2))

    bench.mover.claim("main", 50)

    assert bench.log.lines[0] == "info: operation=claim group=main outcome=started"
    assert re.fullmatch(
        r"info: operation=claim group=main outcome=success vips=2 total_ms=\d+ interfaces_ms=\d+ cloud_ms=\d+ "
        r"retries=2 requests=REQ,REQ",
        bench.log.lines[1],
    )
    assert len(bench.log.lines) == 2


def test_a_failed_claim_says_which_address_and_what_to_do(bench: Bench) -> None:
    bench.cloud.faults.append(Fault("PUT", POD1_ID, 400, {"code": "InvalidParameter", "message": "no"}))

    result = bench.mover.claim("main", 50)

    assert result.reason.startswith("10.0.0.4 not claimed after 1 attempts in 0.0 s: UpdatePrivateIp: ")
    assert TRANSIT["address"] not in result.reason
    assert bench.log.lines[-1].startswith("warning: operation=claim group=main outcome=failed vips=2 total_ms=")
    assert f"problem={json.dumps(result.reason)}" in bench.log.lines[-1]


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
    assert bench.mover.monitor("main", False).outcome is Outcome.NOT_RUNNING


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
    assert bench.mover.monitor("main", False).outcome is Outcome.SUCCESS


def served_without_a_claim(bench: Bench) -> None:
    """As a cluster before this one left it: with a prefix that the mover would not have chosen."""
    for address in (TRANSIT, POD1):
        bench.ip.addresses[address["interface"]][address["address"]] = 28
        bench.cloud.private_ips[address["private_ip_id"]]["vnicId"] = VNICS[address["interface"]]


def test_adopting_takes_what_is_served_here_for_claimed_and_changes_nothing(bench: Bench) -> None:
    served_without_a_claim(bench)

    assert bench.mover.adopt("main", 20)

    assert bench.mover.monitor("main", False).outcome is Outcome.SUCCESS
    assert bench.ip.batches == []
    assert {call.method for call in bench.cloud.calls} <= {"GET", "POST"}
    assert not bench.mover.adopt("main", 20)
    assert bench.mover.release("main").outcome is Outcome.SUCCESS
    assert not bench.has(POD1["address"])


@pytest.mark.parametrize("lacking", ["interface", "cloud"])
def test_what_is_not_served_here_as_a_whole_is_not_adopted(bench: Bench, lacking: str) -> None:
    served_without_a_claim(bench)
    if lacking == "interface":
        del bench.ip.addresses["ens5"][POD1["address"]]
    else:
        lose(bench, POD1)

    assert not bench.mover.adopt("main", 20)
    assert bench.mover.state.claim("main") is None
    assert bench.ip.batches == []


def test_what_the_cloud_does_not_tell_is_no_reason_to_leave_the_cluster_to_it(bench: Bench) -> None:
    served_without_a_claim(bench)
    bench.cloud.faults.append(Fault("GET", "/privateIps", 500, None, count=100))

    with pytest.raises(CloudError, match=r"group main is served here, but .*500"):
        bench.mover.adopt("main", 20)
    assert bench.mover.state.claim("main") is None


@pytest.mark.parametrize("by", ["a release", "whatever served it"])
def test_what_is_let_go_while_the_cloud_is_asked_is_not_adopted(bench: Bench, by: str) -> None:
    served_without_a_claim(bench)

    class Slow(FakeClient):
        def locate(self, vips: Sequence[Vip], deadline: Deadline) -> dict[str, Location]:
            if by == "a release":
                bench.mover.release("main")
            else:
                del bench.ip.addresses["ens5"][POD1["address"]]
            return super().locate(vips, deadline)

    slow = Mover(str(bench.config_file), bench.state, bench.mover.netdev, bench.log, bench.clock, lambda *_: Slow())

    assert not slow.adopt("main", 20)
    assert bench.state.claim("main") is None


def test_where_nothing_is_served_adopting_asks_nobody(bench: Bench) -> None:
    assert not bench.mover.adopt("main", 20)
    assert bench.cloud.calls == []


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


@pytest.mark.parametrize("claim", [None, "", "{", '{"vips": 1}', '{"revision": "r", "complete": true, "vips": [{}]}'])
def test_release_without_a_readable_claim_takes_off_what_is_configured(bench: Bench, claim: str | None) -> None:
    bench.ip.addresses["ens5"][POD1["address"]] = 28
    if claim is not None:
        bench.run.mkdir()
        (bench.run / "claimed-main.json").write_text(claim)

    assert bench.mover.release("main").outcome is Outcome.SUCCESS
    assert not bench.has(POD1["address"])
    assert not bench.state.has_claim("main")


def test_release_that_can_read_nothing_says_so(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    (bench.run / "claimed-main.json").write_text("{")
    bench.config_file.unlink()

    assert bench.mover.release("main").outcome is Outcome.SUCCESS
    assert "warning: release main: neither the claim nor the configuration can be read" in bench.log.lines


def test_without_a_working_ip_only_a_release_of_what_was_claimed_fails(bench: Bench) -> None:
    bench.ip.broken = "ip cannot be run: No such file or directory"
    assert bench.mover.monitor("main", False).outcome is Outcome.NOT_RUNNING
    assert bench.mover.claim("main", 50).outcome is Outcome.FAILED
    assert bench.mover.release("main").outcome is Outcome.SUCCESS
    bench.ip.broken = ""
    bench.mover.claim("main", 50)
    bench.ip.broken = "ip cannot be run: No such file or directory"

    assert bench.mover.release("main") == (Outcome.FAILED, bench.ip.broken)


def test_release_works_when_nothing_can_be_written(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.mover.claim("main", 50)

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(bench.state, "mark_released", full)
    monkeypatch.setattr(bench.state, "write", full)

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

    assert bench.mover.monitor("main", False).outcome is Outcome.NOT_RUNNING


def test_monitor_makes_no_network_call(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.calls.clear()

    assert bench.mover.monitor("main", False).outcome is Outcome.SUCCESS
    assert bench.cloud.calls == []


def test_monitor_ignores_a_configured_vip_that_is_not_claimed_yet(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.configure(TRANSIT, POD1, ADDED)

    assert bench.mover.monitor("main", False).outcome is Outcome.SUCCESS


def test_monitor_does_not_take_one_address_for_another_that_begins_like_it(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    del bench.ip.addresses["ens5"][POD1["address"]]
    bench.ip.addresses["ens5"]["10.0.0.45"] = 32

    result = bench.mover.monitor("main", False)

    assert result.outcome is Outcome.FAILED
    assert "10.0.0.4 on ens5" in result.reason


def test_monitor_fails_without_carrier(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.ip.no_carrier.add("ens3")

    assert bench.mover.monitor("main", False).outcome is Outcome.FAILED


def test_monitor_that_cannot_look_says_nothing_against_the_claim(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.ip.broken = "ip cannot be run: Cannot allocate memory"

    assert bench.mover.monitor("main", False).outcome is Outcome.SUCCESS


def test_monitor_does_not_trust_a_claim_that_was_cut_short(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    file = bench.run / "claimed-main.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "complete": False}))

    assert bench.mover.monitor("main", False).outcome is Outcome.FAILED


def test_audit_agrees_with_the_cloud_by_one_call_per_vnic(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.calls.clear()

    assert bench.mover.audit("main", 25, True).outcome is Outcome.SUCCESS
    asked = [(c.method, c.query["vnicId"][0]) for c in bench.cloud.calls]
    assert sorted(asked) == [("GET", VNICS["ens3"]), ("GET", VNICS["ens5"])]


def test_audit_reads_every_page(bench: Bench) -> None:
    for number in range(3):
        entry = {"id": f"ocid1.privateip.oc99.lab.x{number}", "ipAddress": "10.0.0.8", "vnicId": VNICS["ens5"]}
        bench.cloud.private_ips = {entry["id"]: entry, **bench.cloud.private_ips}
    bench.mover.claim("main", 50)
    bench.cloud.page_size = 1

    assert bench.mover.audit("main", 25, True).outcome is Outcome.SUCCESS
    assert bench.state.read("audit-main") == {
        "at": bench.clock.now(),
        "cloud": {TRANSIT["address"]: "here", POD1["address"]: "here"},
        "problem": "",
        "reclaims": {},
    }


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_audit_takes_a_refusing_cloud_for_unknown_and_logs_it_once(bench: Bench, status: int) -> None:
    bench.mover.claim("main", 50)
    bench.log.lines.clear()
    bench.cloud.faults.append(Fault("GET", "/privateIps", status, {"code": "X", "message": "y"}, count=1000))

    assert audits(bench, 3) == [Outcome.SUCCESS] * 3
    assert len(bench.log.lines) == 1
    assert bench.log.lines[0].startswith("warning: operation=audit group=main outcome=success vips=2 ")
    state = bench.state.read("audit-main")
    assert state is not None
    assert set(state["cloud"].values()) == {"unknown"}


def test_an_outage_whose_errors_change_is_one_line_and_its_end_another(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.log.lines.clear()
    for status in (429, 500, 404, 503):
        bench.cloud.faults.append(Fault("GET", "/privateIps", status, {"code": f"X{status}", "message": "y"}, count=2))
        audits(bench, 1)
    bench.cloud.faults.append(Fault("GET", "/privateIps", 500, {"code": "X", "message": "y"}))
    audits(bench, 1)
    audits(bench, 2)

    assert [line.partition(" ")[0] for line in bench.log.lines] == ["warning:", "info:"]


def test_audit_with_the_cloud_metadata_and_token_gone_is_no_failure(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.state.remove("token")
    bench.cloud.close()

    assert bench.mover.audit("main", 25, True).outcome is Outcome.SUCCESS


def test_audit_takes_back_a_part_of_the_group_that_is_elsewhere(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.log.lines.clear()
    bench.cloud.calls.clear()
    lose(bench, POD1)

    assert audits(bench, 1) == [Outcome.SUCCESS]
    assert bench.cloud.private_ips[POD1_ID]["vnicId"] == VNICS["ens5"]
    assert [c.path for c in bench.cloud.calls if c.method == "PUT"] == [f"/20160918/privateIps/{POD1_ID}"]
    assert len(bench.log.lines) == 1
    assert "the cloud delivers elsewhere: 10.0.0.4 on ens5" in bench.log.lines[0]
    assert "requests=REQ" in bench.log.lines[0]
    state = bench.state.read("audit-main")
    assert state is not None
    assert state["cloud"] == {TRANSIT["address"]: "here", POD1["address"]: "here"}


def test_taking_back_cannot_become_a_fight(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    began = bench.clock.now()
    taken_back = []
    for _ in range(120):
        lose(bench, POD1)
        assert audits(bench, 1) == [Outcome.SUCCESS]
        if bench.cloud.private_ips[POD1_ID]["vnicId"] != OTHER_VNIC:
            taken_back.append(round((bench.clock.now() - began) / 60))

    assert taken_back == [1, 11, 21]
    assert len([line for line in bench.log.lines if "operation=audit" in line]) < 10


@pytest.mark.parametrize("reset", ["claim", "apply"])
def test_a_claim_or_an_apply_allows_taking_back_again(bench: Bench, reset: str) -> None:
    bench.mover.claim("main", 50)
    lose(bench, POD1)
    audits(bench, 1)
    getattr(bench.mover, reset)("main", 50)
    lose(bench, POD1)

    audits(bench, 1)

    assert bench.cloud.private_ips[POD1_ID]["vnicId"] == VNICS["ens5"]


def test_retrying_a_pending_address_does_not_allow_taking_back_again(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.configure(TRANSIT, POD1, ADDED)
    bench.mover.apply("main", 20)
    lose(bench, POD1)
    audits(bench, 1)
    lose(bench, POD1)

    audits(bench, 1)

    assert bench.cloud.private_ips[POD1_ID]["vnicId"] == OTHER_VNIC


def test_audit_that_cannot_take_back_counts_it_and_fails_nothing(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    lose(bench, POD1)
    bench.cloud.faults.append(Fault("PUT", POD1_ID, 503, {"code": "X", "message": "y"}, count=1000))

    assert audits(bench, 2) == [Outcome.SUCCESS] * 2
    state = bench.state.read("audit-main")
    assert state is not None
    assert state["cloud"][POD1["address"]] == "elsewhere"
    assert "10.0.0.4 not claimed after" in bench.log.lines[-1]
    assert state["reclaims"][POD1["address"]][0] == 1


def test_audit_lets_go_when_the_whole_group_is_elsewhere_and_never_takes_it_back(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.log.lines.clear()
    bench.cloud.calls.clear()
    lose(bench, TRANSIT, POD1)

    result = bench.mover.audit("main", 25, True)

    assert result.outcome is Outcome.NOT_RUNNING
    assert "10.0.0.4 on ens5" in result.reason
    assert not bench.has(TRANSIT["address"])
    assert not bench.has(POD1["address"])
    assert bench.cloud.of("PUT", "") == []
    assert bench.state.claim("main") is None
    assert [line.split(" total_ms")[0] for line in bench.log.lines] == [
        "warning: operation=audit group=main outcome=not_running vips=2"
    ]
    assert bench.mover.monitor("main", True) == (Outcome.NOT_RUNNING, "")


def yielded(bench: Bench, split: str) -> None:
    """An audit let go of the group while the cluster was split like that."""
    bench.mover.claim("main", 50)
    lose(bench, TRANSIT, POD1)
    assert bench.mover.audit("main", 25, True, lambda: split).outcome is Outcome.NOT_RUNNING
    bench.cloud.calls.clear()


def test_what_a_split_cluster_let_go_is_not_taken_back_for_a_while(bench: Bench) -> None:
    yielded(bench, "vr2")

    result = bench.mover.claim("main", 50, lambda: "vr2")

    assert result.outcome is Outcome.FAILED
    assert result.reason == (
        "another node took the group over while this one did not see vr2; not taken back for 600 s"
    )
    assert bench.cloud.calls == []
    assert not bench.has(POD1["address"])
    bench.clock.sleep(601)
    assert bench.mover.claim("main", 50, lambda: "vr2").outcome is Outcome.SUCCESS
    # And so does the other half, now and then: that is slow enough.
    assert bench.mover.audit("main", 25, True, lambda: "vr2").outcome is Outcome.SUCCESS


@pytest.mark.parametrize(
    ("at_audit", "at_claim"),
    [("vr2", ""), ("vr2", "vr3"), ("vr2", "vr2, vr3"), ("", "vr2"), ("", "")],
    ids=["healed", "another one", "one more", "split since", "never split"],
)
def test_what_was_let_go_is_claimed_at_once_when_the_cluster_is_another(
    bench: Bench, at_audit: str, at_claim: str
) -> None:
    yielded(bench, at_audit)

    assert bench.mover.claim("main", 50, lambda: at_claim).outcome is Outcome.SUCCESS


def test_a_person_takes_back_what_a_split_cluster_let_go(bench: Bench) -> None:
    yielded(bench, "vr2")

    assert bench.mover.claim("main", 50).outcome is Outcome.SUCCESS
    assert bench.mover.release("main").outcome is Outcome.SUCCESS
    assert bench.mover.claim("main", 50, lambda: "vr2").outcome is Outcome.SUCCESS


def test_audit_that_cannot_let_go_says_which_address_is_stuck(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    lose(bench, TRANSIT, POD1)
    bench.ip.stuck.add(POD1["address"])

    result = bench.mover.audit("main", 25, True)

    assert result.outcome is Outcome.FAILED
    assert "still there: 10.0.0.4/32" in result.reason


def test_one_list_that_lags_behind_lets_go_of_nothing(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.faults.append(Fault("GET", "/privateIps", 200, [], count=2))

    assert bench.mover.audit("main", 25, True).outcome is Outcome.SUCCESS
    assert bench.has(POD1["address"])


def test_audit_for_a_probe_or_a_person_changes_nothing(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    files = {p.name: p.read_bytes() for p in bench.run.iterdir() if p.name != "token.json"}
    lose(bench, POD1)
    assert bench.mover.audit("main", 25, False).outcome is Outcome.SUCCESS
    lose(bench, TRANSIT)
    assert bench.mover.audit("main", 25, False).outcome is Outcome.NOT_RUNNING

    assert bench.has(POD1["address"])
    assert len(bench.cloud.of("PUT", "")) == 2
    assert {p.name: p.read_bytes() for p in bench.run.iterdir() if p.name != "token.json"} == files


def test_recurring_audits_wait_a_moment_and_answer_from_a_fresh_one(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.clock.sleeps.clear()
    bench.cloud.calls.clear()

    assert bench.mover.audit("main", 25, True).outcome is Outcome.SUCCESS
    assert bench.clock.sleeps == [3.0]
    assert len(bench.cloud.calls) == 2
    bench.clock.sleep(29)
    assert bench.mover.audit("main", 25, True).outcome is Outcome.SUCCESS
    assert len(bench.cloud.calls) == 2
    assert bench.mover.audit("main", 25, False).outcome is Outcome.SUCCESS
    assert bench.clock.sleeps == [3.0, 29]
    assert len(bench.cloud.calls) == 4
    bench.clock.sleep(1)
    assert bench.mover.audit("main", 25, True).outcome is Outcome.SUCCESS
    assert len(bench.cloud.calls) == 6


def test_steady_state_asks_no_more_than_six_times_a_minute(bench: Bench) -> None:
    third = vip("third", "10.0.0.40", "ens5")
    bench.configure(TRANSIT, POD1, {**third, "vnic_id": "ocid1.vnic.oc99.lab.a6"})
    bench.cloud.private_ips[third["private_ip_id"]] = {
        "id": third["private_ip_id"],
        "ipAddress": third["address"],
        "vnicId": None,
    }
    bench.mover.claim("main", 50)
    bench.cloud.calls.clear()
    end = bench.clock.now() + 600

    while bench.clock.now() < end:
        assert bench.mover.audit("main", 25, True).outcome is Outcome.SUCCESS
        bench.clock.sleep(1)

    assert len(bench.cloud.calls) <= 60


def test_audit_that_cannot_be_stored_is_no_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.mover.claim("main", 50)

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(bench.state, "write", full)

    assert bench.mover.audit("main", 25, True).outcome is Outcome.SUCCESS


def test_recurring_monitor_puts_a_missing_address_back(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.log.lines.clear()
    bench.cloud.calls.clear()
    del bench.ip.addresses["ens5"][POD1["address"]]

    assert bench.mover.monitor("main", True).outcome is Outcome.SUCCESS
    assert bench.has(POD1["address"])
    assert bench.cloud.calls == []
    assert len(bench.log.lines) == 1
    assert re.fullmatch(
        r"warning: operation=monitor group=main outcome=success total_ms=\d+ "
        r'problem="address missing: 10\.0\.0\.4 on ens5; put back"',
        bench.log.lines[0],
    )


def test_recurring_monitor_puts_all_addresses_back(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    for addresses in bench.ip.addresses.values():
        addresses.clear()

    assert bench.mover.monitor("main", True).outcome is Outcome.SUCCESS
    assert bench.has(POD1["address"])
    assert bench.has(TRANSIT["address"])


def test_recurring_monitor_that_cannot_put_an_address_back_fails(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    del bench.ip.addresses["ens5"][POD1["address"]]
    bench.ip.stuck.add(POD1["address"])

    result = bench.mover.monitor("main", True)

    assert result.outcome is Outcome.FAILED
    assert result.reason.startswith(
        "address missing: 10.0.0.4 on ens5; put back, which failed: 10.0.0.4 is not on ens5"
    )


def test_a_probe_puts_nothing_back(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    del bench.ip.addresses["ens5"][POD1["address"]]

    assert bench.mover.monitor("main", False).outcome is Outcome.FAILED
    assert not bench.has(POD1["address"])


def test_after_a_reboot_of_the_holder_nothing_runs_although_the_cloud_still_delivers_here(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    shutil.rmtree(bench.run)
    for address in (TRANSIT, POD1):
        del bench.ip.addresses[address["interface"]][address["address"]]

    assert bench.mover.monitor("main", False).outcome is Outcome.NOT_RUNNING
    assert bench.mover.audit("main", 25, False).outcome is Outcome.NOT_RUNNING
    assert bench.mover.claim("main", 50).outcome is Outcome.SUCCESS
    assert bench.has(POD1["address"])


def test_recurring_monitor_leaves_a_group_alone_that_another_process_works_on(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    del bench.ip.addresses["ens5"][POD1["address"]]

    with bench.state.lock("main"):
        assert bench.mover.monitor("main", True).outcome is Outcome.SUCCESS
        assert bench.mover.audit("main", 25, True).outcome is Outcome.SUCCESS

    assert not bench.has(POD1["address"])


@pytest.mark.parametrize(("operation", "outcome"), [("claim", Outcome.FAILED), ("apply", Outcome.SUCCESS)])
def test_a_second_claim_or_apply_waits_and_then_says_why_it_does_not_work(
    bench: Bench, operation: str, outcome: Outcome
) -> None:
    bench.mover.claim("main", 50)
    bench.cloud.calls.clear()

    with bench.state.lock("main"):
        result = getattr(bench.mover, operation)("main", 50)

    assert result == (outcome, "another cloudvip process is at work on group main on this node")
    assert 24 < bench.clock.monotonic() < 27
    assert bench.cloud.calls == []
    assert bench.mover.monitor("main", False).outcome is Outcome.SUCCESS


def test_a_second_claim_goes_on_when_the_first_is_done(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = bench.state.lock("main")
    monkeypatch.setattr(bench.clock, "sleep", lambda _: lock.__exit__())

    assert bench.mover.claim("main", 50).outcome is Outcome.SUCCESS


def test_release_waits_for_nobody(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.ip.batches.clear()

    with bench.state.lock("main"):
        assert bench.mover.release("main").outcome is Outcome.SUCCESS

    assert not bench.has(POD1["address"])
    assert bench.clock.sleeps == []
    assert len(bench.ip.batches) == 1


@pytest.mark.parametrize("operation", ["claim", "claim again", "apply", "audit"])
def test_what_was_under_way_when_the_group_was_released_is_undone(bench: Bench, operation: str) -> None:
    client = FakeClient()
    mover = Mover(str(bench.config_file), bench.state, bench.mover.netdev, bench.log, bench.clock, lambda *_: client)
    if operation != "claim":
        mover.claim("main", 50)
        bench.configure(TRANSIT, POD1, ADDED)
    client.elsewhere = {POD1["address"]}
    client.meanwhile = lambda: mover.release("main")

    result = mover.audit("main", 25, True) if operation == "audit" else getattr(mover, operation.split()[0])("main", 50)

    assert result.outcome is not Outcome.SUCCESS
    assert client.sent == []
    assert not any(bench.has(v["address"]) for v in (TRANSIT, POD1, ADDED))
    assert not bench.state.has_claim("main")
    assert mover.monitor("main", True).outcome is Outcome.NOT_RUNNING


def test_putting_back_is_undone_when_the_group_was_released_meanwhile(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    del bench.ip.addresses["ens5"][POD1["address"]]
    bench.ip.meanwhile = lambda: bench.mover.release("main")

    assert bench.mover.monitor("main", True).outcome is Outcome.NOT_RUNNING
    assert not bench.has(POD1["address"])
    assert not bench.has(TRANSIT["address"])


def test_claiming_a_held_group_again_does_not_disturb_a_monitor(bench: Bench) -> None:
    client = FakeClient()
    mover = Mover(str(bench.config_file), bench.state, bench.mover.netdev, bench.log, bench.clock, lambda *_: client)
    mover.claim("main", 50)
    bench.configure(TRANSIT, POD1, ADDED)
    seen = []
    client.meanwhile = lambda: seen.append(mover.monitor("main", True).outcome)

    assert mover.claim("main", 50).outcome is Outcome.SUCCESS
    assert seen == [Outcome.SUCCESS]


def test_a_failed_second_claim_takes_off_only_what_is_new(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.configure(TRANSIT, POD1, ADDED)

    assert bench.mover.claim("main", 20).outcome is Outcome.FAILED
    assert bench.has(POD1["address"])
    assert not bench.has(ADDED["address"])
    assert bench.mover.monitor("main", False).outcome is Outcome.SUCCESS


def test_a_node_that_stood_still_claims_nothing_on_waking(bench: Bench) -> None:
    client = FakeClient()
    mover = Mover(str(bench.config_file), bench.state, bench.mover.netdev, bench.log, bench.clock, lambda *_: client)
    client.meanwhile = lambda: setattr(bench.clock, "frozen", 31.0)

    result = mover.claim("main", 50)

    assert result.outcome is Outcome.FAILED
    assert "this node stood still for 31 s" in result.reason
    assert client.sent == []
    assert not bench.has(POD1["address"])


def test_a_node_that_stood_still_while_it_waited_for_its_turn_claims_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = bench.state.lock("main")

    def freeze(_: float) -> None:
        bench.clock.frozen += 31
        lock.__exit__()

    monkeypatch.setattr(bench.clock, "sleep", freeze)

    result = bench.mover.claim("main", 50)

    assert result.outcome is Outcome.FAILED
    assert "this node stood still for 31 s" in result.reason
    assert bench.cloud.of("PUT", "") == []


def test_an_address_that_the_interface_does_not_take_is_left_where_it_is(bench: Bench) -> None:
    bench.ip.stuck.add(POD1["address"])
    client = FakeClient()
    mover = Mover(str(bench.config_file), bench.state, bench.mover.netdev, bench.log, bench.clock, lambda *_: client)
    client.meanwhile = lambda: wait_for(lambda: bool(client.may_send()))

    result = mover.claim("main", 50)

    assert result.outcome is Outcome.FAILED
    assert "10.0.0.4 is not on ens5" in result.reason
    assert client.sent == []
    assert not bench.has(TRANSIT["address"])


def test_a_note_of_the_cloud_is_in_the_log(bench: Bench) -> None:
    client = FakeClient(note="found again under another OCID")
    mover = Mover(str(bench.config_file), bench.state, bench.mover.netdev, bench.log, bench.clock, lambda *_: client)

    assert mover.claim("main", 50).outcome is Outcome.SUCCESS
    assert 'note="found again under another OCID; found again under another OCID"' in bench.log.lines[-1]


def test_both_families_are_claimed_and_released_alike(bench: Bench) -> None:
    client = FakeClient()
    mover = Mover(str(bench.config_file), bench.state, bench.mover.netdev, bench.log, bench.clock, lambda *_: client)
    bench.configure(POD1, {**POD1_V6, "address": "2001:DB8:0::4"})

    assert mover.claim("main", 50).outcome is Outcome.SUCCESS
    assert client.sent == ["10.0.0.4", "2001:db8::4"]
    assert bench.ip.addresses["ens5"]["2001:db8::4"] == 128
    assert mover.monitor("main", True).outcome is Outcome.SUCCESS
    assert mover.release("main").outcome is Outcome.SUCCESS
    assert bench.ip.addresses["ens5"] == {"10.0.0.5": 28}


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
    assert bench.mover.monitor("main", False).outcome is Outcome.SUCCESS


def test_apply_leaves_an_address_pending_that_cannot_be_claimed(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.configure(TRANSIT, POD1, ADDED)

    result = bench.mover.apply("main", 20)

    assert result.outcome is Outcome.SUCCESS
    assert not bench.has(ADDED["address"])
    claim = bench.state.claim("main")
    assert claim is not None
    assert list(claim.pending) == [ADDED["address"]]
    assert bench.mover.monitor("main", False).outcome is Outcome.SUCCESS


def test_audit_claims_a_pending_address_when_it_can(bench: Bench) -> None:
    bench.mover.claim("main", 50)
    bench.configure(TRANSIT, POD1, ADDED)
    bench.mover.apply("main", 20)
    entry = {"id": ADDED["private_ip_id"], "ipAddress": ADDED["address"], "vnicId": None}
    bench.cloud.private_ips[ADDED["private_ip_id"]] = entry

    assert bench.mover.audit("main", 25, True).outcome is Outcome.SUCCESS
    assert bench.has(ADDED["address"])
    claim = bench.state.claim("main")
    assert claim is not None
    assert claim.pending == {}


@pytest.mark.parametrize("cause", ["no configuration", "no ip"])
def test_apply_that_cannot_look_fails_nothing_and_the_audit_makes_up_for_it(bench: Bench, cause: str) -> None:
    bench.mover.claim("main", 50)
    content = bench.config_file.read_text()
    if cause == "no ip":
        bench.ip.broken = "ip did not finish within 10 s"
    else:
        bench.config_file.write_text("{")

    result = bench.mover.apply("main", 50)

    assert result.outcome is Outcome.SUCCESS
    assert "nothing is changed: " in result.reason
    assert "nothing is changed: " in bench.log.lines[-1]
    bench.ip.broken = ""
    bench.config_file.write_text(content)
    bench.configure(TRANSIT)
    assert bench.mover.audit("main", 25, True).outcome is Outcome.SUCCESS
    assert not bench.has(POD1["address"])
    assert bench.has(TRANSIT["address"])


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
    assert {p.name for p in bench.run.iterdir()} == {
        "claimed-main.json",
        "endpoint-127.0.0.1.json",
        "lock-main",
        "token.json",
    }
    assert {stat.S_IMODE(os.stat(p).st_mode) for p in bench.run.iterdir()} == {0o600}

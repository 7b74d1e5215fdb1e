# SPDX-License-Identifier: GPL-3.0-or-later
"""`cloudvip status`: what a person sees, above all when something is out of order."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from cloudvip.lookup import Api
from cloudvip.status import duration, status
from cloudvip.transport import Response

from tests.unit.roles.vip_agent.checking import exists, script, write
from tests.unit.roles.vip_agent.conftest import Bench
from tests.unit.roles.vip_agent.emulated import Node, private_ip
from tests.unit.roles.vip_agent.fakes import OTHER_VNIC, POD1, POD1_V6, TRANSIT


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def data(node: Node) -> dict[str, Any]:
    code, output, _ = node.run("status", "--json")
    assert code == 0
    answer = json.loads(output)
    assert isinstance(answer, dict)
    return answer


def columns(node: Node) -> list[dict[str, str]]:
    """The table's rows by its heads."""
    lines = node.run("status")[1].splitlines()
    heads = lines[0].split()
    ends = [lines[0].index(head) for head in heads[1:]] + [None]
    return [
        {head: line[lines[0].index(head) : end].strip() for head, end in zip(heads, ends, strict=True)}
        for line in lines[1:3]
    ]


def test_the_holder(node: Node) -> None:
    node.mover.claim("main", 20)
    node.clock.sleep(7300)

    group = data(node)["groups"]["main"]

    assert (group["claimed"], group["revision"], group["claimed_revision"]) == (True, "r1", "r1")
    assert [(v["wanted"], v["cloud"], v["local"], v["link"], v["cloud_vnic_id"]) for v in group["vips"]] == [
        (True, "here", "here", "up", node.vnic("ens3")),
        (True, "here", "here", "up", node.vnic("ens5")),
    ]
    assert {v["claimed_seconds_ago"] for v in group["vips"]} == {7300}


def test_a_standby_sees_who_has_what_with_one_call_per_subnet(node: Node, tmp_path: Path) -> None:
    other = Node(node.lab, "vr2", tmp_path)
    other.mover.claim("main", 20)
    node.lab.events.clear()

    group = data(node)["groups"]["main"]

    assert group["claimed"] is False
    assert [(v["cloud"], v["local"], v["claimed_at"], v["cloud_vnic_id"]) for v in group["vips"]] == [
        ("elsewhere", "elsewhere", None, other.vnic("ens3")),
        ("elsewhere", "elsewhere", None, other.vnic("ens5")),
    ]
    assert [node.calls(m, "/20160918/") for m in ("GET", "PUT")] == [2, 0]


def test_a_subnet_with_many_addresses(bench: Bench) -> None:
    bench.cloud.page_size = 1
    for number in range(3):
        other = {"ipAddress": f"10.0.0.{20 + number}", "subnetId": POD1["subnet_id"], "vnicId": None}
        bench.cloud.private_ips[f"other{number}"] = {"id": f"other{number}", **other}
    bench.cloud.private_ips[POD1["private_ip_id"]] = bench.cloud.private_ips.pop(POD1["private_ip_id"])

    assert [v["cloud_vnic_id"] for v in status(bench.mover)["groups"]["main"]["vips"]] == [OTHER_VNIC] * 2
    assert len(bench.cloud.of("GET", "/privateIps")) == 1 + 4


def test_a_page_token_of_any_letters(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answers = [Response(200, {"opc-next-page": "a+b/c="}, b"[]"), Response(200, {}, b"[]")]

    def call(self: Api, what: str, method: str, path: str) -> Response:
        del self, what, method
        asked.append(path)
        return answers.pop(0)

    monkeypatch.setattr(Api, "call", call)

    Api(bench.mover, bench.mover.config().oci, 5).addresses(False, "subnet")

    assert asked[1].endswith("&page=a%2Bb%2Fc%3D")


def test_an_ipv6_object_that_was_made_anew_is_found_however_it_is_written(bench: Bench) -> None:
    bench.configure(POD1_V6)
    old = bench.cloud.ipv6s.pop(POD1_V6["private_ip_id"])
    bench.cloud.ipv6s["ocid1.ipv6.oc99.lab.new"] = {**old, "id": "ocid1.ipv6.oc99.lab.new"}

    assert [v["detail"] for v in status(bench.mover)["groups"]["main"]["vips"]] == [
        "its object is ocid1.ipv6.oc99.lab.new now; run the playbook"
    ]


def test_the_table(node: Node) -> None:
    node.mover.claim("main", 20)
    node.clock.sleep(50)

    lines = node.run("status")[1].splitlines()

    assert "  ".join(lines[0].split()) == "GROUP  VIP  ADDRESS  INTERFACE  WANTED  CLAIMED  CLOUD  LOCAL  LINK  NOTE"
    assert lines[2].split() == ["main", "pod1", "10.0.0.4", "ens5", "yes", "50", "s", "ago", "here", "here", "up"]
    assert lines[-1] == "token: 50 s old, 19 min left"


def test_the_note_says_who_holds_it_and_what_is_odd(node: Node, tmp_path: Path) -> None:
    assert [row["NOTE"] for row in columns(node)] == ["held by nobody"] * 2

    other = Node(node.lab, "vr2", tmp_path)
    other.mover.claim("main", 20)
    assert columns(node)[1]["NOTE"] == f"held by {other.vnic('ens5')}"

    node.lab.do(node.lab.cloud.delete_private_ip(private_ip(node.lab, POD1).id))
    assert "does not exist; run the playbook" in columns(node)[1]["NOTE"]

    node.lab.do(node.lab.cloud.create_private_ip(vnic_id=node.vnic("ens5"), address=POD1["address"]))
    assert columns(node)[1]["CLOUD"] == "here"
    assert f"its object is {private_ip(node.lab, POD1).id} now" in columns(node)[1]["NOTE"]


def test_an_api_that_refuses_connections_is_unknown_and_said_once(node: Node) -> None:
    node.mover.claim("main", 20)
    node.configure(endpoint="https://127.0.0.1:9")

    output = node.run("status")[1]

    assert {v["cloud"] for v in data(node)["groups"]["main"]["vips"]} == {"unknown"}
    assert [row["LOCAL"] for row in columns(node)] == ["here", "here"]
    assert output.count("cloud: unknown: ") == output.count("refused") == 1


@pytest.mark.parametrize("service", ["api", "imds"])
def test_a_cloud_that_never_answers_is_unknown_within_seconds(node: Node, service: str) -> None:
    node.mover.claim("main", 20)
    node.lab.fault(effect="hang", service=service)
    if service == "imds":
        node.state.remove("token")

    began = time.monotonic()
    vips = data(node)["groups"]["main"]["vips"]

    assert time.monotonic() - began < 8
    assert {v["cloud"] for v in vips} == {"unknown"}
    assert {v["local"] for v in vips} == {"here"}


def test_interfaces_that_cannot_be_read_are_unknown(node: Node) -> None:
    node.ip.broken = "ip cannot be run"

    assert {v["local"] for v in data(node)["groups"]["main"]["vips"]} == {"unknown"}
    assert "interfaces: unknown: ip cannot be run" in node.run("status")[1]


def test_checks_that_fail(node: Node, tmp_path: Path) -> None:
    write(node.checks_file, exists("web", tmp_path / "up"), script("own", "/bin/true"))

    assert data(node)["failing_checks"] == {"web": "/usr/bin/test failed with status 1"}
    assert "check web fails: /usr/bin/test failed with status 1" in node.run("status")[1].splitlines()

    (tmp_path / "up").touch()
    assert data(node)["failing_checks"] == {}


def test_the_last_audit(node: Node) -> None:
    assert "audit" not in node.run("status")[1]
    node.mover.claim("main", 20)
    assert "audit of main: none since it was claimed" in node.run("status")[1]

    node.state.write("audit-main", {"at": node.clock.now() - 40, "cloud": {}, "problem": "", "reclaims": {}})
    assert "audit of main: 40 s ago: all as it should be" in node.run("status")[1]

    node.state.write("audit-main", {"at": node.clock.now() - 400, "problem": "the cloud delivers elsewhere"})
    assert "audit of main: 7 min ago: the cloud delivers elsewhere" in node.run("status")[1]
    assert data(node)["groups"]["main"]["audit"] == {"age_seconds": 400, "problem": "the cloud delivers elsewhere"}


@pytest.mark.parametrize(("skew", "side"), [(400.0, "7 min behind"), (-400.0, "7 min ahead of")])
def test_a_clock_that_is_off(node: Node, skew: float, side: str) -> None:
    assert "clock" not in node.run("status")[1]

    node.configure(endpoint="https://127.0.0.1:9")
    node.state.write("clock", {"skew": skew, "at": node.clock.now()})

    assert data(node)["clock_skew_seconds"] == skew
    assert f"clock: {side} the cloud's" in node.run("status")[1]


def test_a_vip_that_is_no_longer_configured_and_one_that_is_pending(node: Node) -> None:
    node.mover.claim("main", 20)
    gone = node.vips.pop()
    node.configure()
    claim = node.state.claim("main")
    assert claim
    node.state.write_claim(claim._replace(pending={TRANSIT["address"]: "404 no such object"}))

    pending, old = columns(node)

    assert (old["ADDRESS"], old["WANTED"], old["NOTE"]) == (gone["address"], "no", "no longer configured")
    assert pending["NOTE"] == "404 no such object"


def test_a_group_that_is_held_and_no_longer_configured(node: Node) -> None:
    node.mover.claim("main", 20)
    node.configure(groups={})

    group = data(node)["groups"]["main"]
    assert (group["claimed"], group["revision"], group["claimed_revision"]) == (True, None, "r1")
    assert [(v["wanted"], v["claimed"], v["cloud"], v["local"]) for v in group["vips"]] == [
        (False, True, "here", "here")
    ] * 2
    assert {row["NOTE"] for row in columns(node)} == {"no longer configured"}
    assert node.run("audit")[0] == 0


def test_no_token_and_a_claim_of_unknown_age(node: Node) -> None:
    node.configure(endpoint="https://127.0.0.1:9", metadata_url="http://127.0.0.1:9/opc/v2")

    assert node.run("status")[1].splitlines()[-1] == "token: none"
    assert data(node)["token_seconds_left"] is None


def test_without_a_configuration(node: Node) -> None:
    node.unconfigure()

    code, output, errors = node.run("status")

    assert (code, output) == (1, "")
    assert "vr1.json: No such file or directory" in errors
    assert "the playbook writes the configuration" in errors


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (400000, "5 d")]
)
def test_a_duration_has_one_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text

# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the daemon's control API."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from lab.control import Control, FloatingIp, Flow, LabError, Machine, Vnic, parse_status

STATUS = {
    "topology": "pair",
    "ready": True,
    "nodes": [
        {
            "name": "n1", "instance_id": "ocid-n1", "state": "RUNNING",
            "vnics": [
                {"interface": "ens3", "vnic_id": "v1", "address": "10.10.1.11", "subnet": "10.10.1.0/24"}
            ],
        }
    ],
    "clients": [{"name": "client", "vnics": []}],
    "private_ips": [
        {
            "id": "ip1", "address": "10.10.1.50", "vnic_id": "v1", "instance": "n1", "subnet": "10.10.1.0/24",
            "lifetime": "RESERVED", "display_name": None,
        }
    ],
    "flows": [{"from": "client", "to": "n1", "address": "10.10.1.11"}],
}  # fmt: skip


def control(answer: Callable[[httpx.Request], httpx.Response]) -> Control:
    return Control(transport=httpx.MockTransport(answer))


def test_status() -> None:
    status = control(lambda _: httpx.Response(200, json=STATUS)).status()
    node = Machine("n1", "ocid-n1", "RUNNING", (Vnic("ens3", "v1", "10.10.1.11", "10.10.1.0/24"),))
    assert status.nodes == (node,)
    assert status.node("n1") == node
    assert status.clients == (Machine("client", "", "", ()),)
    assert status.floating == (FloatingIp("ip1", "10.10.1.50", "v1", "10.10.1.0/24", ""),)
    assert status.flows == (Flow("client", "n1", "10.10.1.11"),)


@pytest.mark.parametrize(("vnic", "holder"), [("v1", "n1"), ("gone", None), (None, None)])
def test_the_holder_is_the_node_with_the_vnic(vnic: str | None, holder: str | None) -> None:
    assert parse_status(STATUS).holder(FloatingIp("ip1", "10.10.1.50", vnic, "", "")) == holder


def test_no_such_node() -> None:
    with pytest.raises(LabError, match="node 'n9': expected one of n1"):
        parse_status(STATUS).node("n9")


def test_no_lab(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="the lab is not up: run `lab up`"):
        Control(tmp_path / "control.sock").status()


def test_a_lab_that_has_ended_by_itself_says_where_the_reason_is(tmp_path: Path) -> None:
    (tmp_path / "server.log").touch()
    with pytest.raises(LabError, match=rf"the lab is not up: .* see {tmp_path}/server\.log; run `lab up`"):
        Control(tmp_path / "control.sock").status()


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(400, json={"error": "unknown act: 'explode'"}), "POST /nemesis/kill: unknown act: 'explode'"),
        (httpx.Response(500, text="Internal Server Error"), "POST /nemesis/kill: HTTP 500 Internal Server Error"),
    ],
    ids=["a reason", "no reason"],
)
def test_a_refusal_carries_its_reason(response: httpx.Response, message: str) -> None:
    with pytest.raises(LabError) as raised:
        control(lambda _: response).nemesis("kill", "n1")
    assert str(raised.value) == message


def test_a_daemon_that_stalls() -> None:
    def stall(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("timed out", request=request)

    with pytest.raises(LabError, match="did not answer GET /status: timed out"):
        control(stall).status()


def test_what_is_sent() -> None:
    seen: list[tuple[str, str, object]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.url.raw_path.decode(), json.loads(request.content or "null")))
        return httpx.Response(200, json=[])

    with control(answer) as client:
        client.nemesis("partition", "n1", direction="in")
        client.nemesis("linkdown", "n1", interface="ens5")
        client.add_fault({"effect": "drop"})
        client.clear_faults()
        client.events(17)
        client.reset(fresh_cloud=True)
    assert seen == [
        ("POST", "/nemesis/partition", {"node": "n1", "interface": None, "direction": "in"}),
        ("POST", "/nemesis/linkdown", {"node": "n1", "interface": "ens5", "direction": "both"}),
        ("POST", "/faults", {"effect": "drop"}),
        ("DELETE", "/faults", None),
        ("GET", "/events?since=17", None),
        ("POST", "/reset", {"cloud": "fresh"}),
    ]


def test_events_come_in_order() -> None:
    events = [{"t": 3, "kind": "moved"}, {"t": 1, "kind": "api"}]
    assert [e["t"] for e in control(lambda _: httpx.Response(200, json=events)).events(0)] == [1, 3]

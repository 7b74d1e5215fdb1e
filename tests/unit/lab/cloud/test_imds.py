# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest

from lab.cloud.faults import Faults
from lab.cloud.imds import create_imds
from lab.cloud.names import COMPARTMENT_ID
from lab.cloud.pki import Pki
from lab.cloud.state import Cloud, NullEffects
from lab.topology import Topology

AUTHORIZED = {"Authorization": "Bearer Oracle"}


@pytest.fixture
def cloud(topology: Topology) -> Cloud:
    return Cloud(topology, NullEffects())


def ask(
    cloud: Cloud,
    pki: Pki,
    path: str,
    headers: Mapping[str, str] = AUTHORIZED,
    *,
    source: str = "172.20.136.131",
    method: str = "GET",
) -> httpx.Response:
    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(create_imds(cloud, pki, Faults()), client=(source, 40000))
        async with httpx.AsyncClient(transport=transport, base_url="http://169.254.169.254") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(request())


def test_a_document_that_cannot_be_made_is_no_wrong_path(cloud: Cloud, pki: Pki) -> None:
    with pytest.raises(KeyError, match="vr1"):
        ask(cloud, replace(pki, instances={}), "/opc/v2/instance/region")


def test_each_instance_is_told_of_itself(cloud: Cloud, pki: Pki, topology: Topology) -> None:
    for name, source in (("vr1", "172.20.136.131"), ("vr2", "172.20.136.132"), ("vr2", "10.0.0.6")):
        body = ask(cloud, pki, "/opc/v2/instance/", source=source).json()
        assert (body["id"], body["displayName"]) == (topology.instance(name).id, name)
        assert body["compartmentId"] == COMPARTMENT_ID
        assert body["regionInfo"] == {
            "realmKey": "oc99",
            "realmDomainComponent": "ocilab.internal",
            "regionKey": "LAB",
            "regionIdentifier": "lab-emu-1",
        }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("instance/region", "lab-emu-1"),
        ("instance/displayName", "vr1"),
        ("instance/state", "Running"),
        ("instance/regionInfo/realmKey", "oc99"),
        ("vnics/0/privateIp", "172.20.136.131"),
        ("vnics/2/subnetCidrBlock", "10.0.0.32/28"),
        ("instance/availabilityDomain", "CvIp:LAB-EMU-1-AD-1"),
        ("instance/ociAdName", "lab-emu-1-ad-1"),
    ],
)
def test_every_key_is_a_path(cloud: Cloud, pki: Pki, path: str, expected: str) -> None:
    for slash in ("", "/"):
        answer = ask(cloud, pki, f"/opc/v2/{path}{slash}")
        assert (answer.status_code, answer.text) == (200, expected)
        assert answer.headers["content-type"].startswith("text/plain")


def test_vnics_are_listed_with_their_primary_addresses_only(cloud: Cloud, pki: Pki, topology: Topology) -> None:
    vnic = topology.instance("vr1").vnics[0]
    asyncio.run(cloud.create_private_ip(vnic_id=vnic.id, address="172.20.136.140"))
    listed: list[dict[str, Any]] = ask(cloud, pki, "/opc/v2/vnics/").json()
    assert listed[0] == {
        "vnicId": vnic.id,
        "privateIp": "172.20.136.131",
        "vlanTag": 1,
        "macAddr": vnic.mac,
        "virtualRouterIp": "172.20.136.129",
        "subnetCidrBlock": "172.20.136.128/28",
        "nicIndex": 0,
        "ipv6SubnetCidrBlock": "2001:db8:0:a01::/64",
        "ipv6VirtualRouterIp": "fe80::1",
    }
    assert [v["privateIp"] for v in listed] == ["172.20.136.131", "10.0.0.5", "10.0.0.37"]


def test_the_identity_is_the_callers(cloud: Cloud, pki: Pki) -> None:
    identity = pki.instances["vr2"]
    for name, content in (
        ("cert.pem", identity.certificate_pem),
        ("key.pem", identity.key_pem),
        ("intermediate.pem", pki.intermediate_pem),
    ):
        answer = ask(cloud, pki, f"/opc/v2/identity/{name}", source="172.20.136.132")
        assert answer.content == content


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer oracle"},
        {"Authorization": "Bearer OracleX"},
        {**AUTHORIZED, "Forwarded": "for=10.0.0.1"},
        {**AUTHORIZED, "X-Forwarded-For": "10.0.0.1"},
        {**AUTHORIZED, "X-Forwarded-Host": "example.org"},
    ],
)
def test_requests_without_the_header_or_by_proxy_are_refused(cloud: Cloud, pki: Pki, headers: dict[str, str]) -> None:
    assert ask(cloud, pki, "/opc/v2/instance/id", headers).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/opc/v1/instance/id",
        "/openstack",
        "/opc/v2/nothing",
        "/opc/v2/instance/id/more",
        "/opc/v2/vnics/9",
        "/opc/v2/vnics/x",
        "/",
    ],
)
def test_there_is_nothing_else(cloud: Cloud, pki: Pki, path: str) -> None:
    assert ask(cloud, pki, path).status_code == 404


def test_a_stranger_learns_nothing(cloud: Cloud, pki: Pki) -> None:
    assert ask(cloud, pki, "/opc/v2/instance/id", source="192.0.2.1").status_code == 404


def test_an_event_names_the_caller(topology: Topology, pki: Pki) -> None:
    events: list[dict[str, Any]] = []
    cloud = Cloud(topology, NullEffects(), events.append)
    ask(cloud, pki, "/opc/v2/instance/id", source="172.20.136.133")
    assert [(e["kind"], e["service"], e["instance"], e["status"]) for e in events] == [("api", "imds", "vr3", 200)]
    assert events[0]["started"] <= events[0]["ended"]

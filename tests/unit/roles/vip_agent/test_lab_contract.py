# SPDX-License-Identifier: GPL-3.0-or-later
"""The same mover against the lab's cloud, which enforces policies and checks every signature and certificate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloudvip.model import Outcome
from cloudvip.mover import Mover
from cloudvip.netdev import Netdev
from cloudvip.report import Level, doctor, status
from cloudvip.state import State

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from lab.cloud.testing import Running, running
from lab.topology import load, ocid
from tests.unit.roles.vip_agent.fakes import POD1, TRANSIT, FakeClock, FakeIp, FakeLog

POLICY = (
    "allow dynamic-group nodes to use private-ips in compartment id {} where any "
    "{{request.permission='PRIVATE_IP_READ', request.permission='PRIVATE_IP_UPDATE'}}",
    "allow dynamic-group nodes to use vnics in compartment id {} where any "
    "{{request.permission='VNIC_ASSIGN', request.permission='VNIC_UNASSIGN'}}",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture
def lab(base: Path) -> Iterator[Running]:
    with running(load("vrouters"), base, tls=True) as cloud:
        yield cloud


def allow(lab: Running) -> None:
    """Do what the role oci does: a dynamic group of the nodes, and the least that they need."""
    rule = "ANY {" + ", ".join(f"instance.id = '{ocid('instance', n)}'" for n in ("vr1", "vr2")) + "}"
    lab.do(lab.cloud.create_dynamic_group("nodes", rule, "nodes"))
    statements = [statement.format(COMPARTMENT_ID) for statement in POLICY]
    lab.do(lab.cloud.create_policy(COMPARTMENT_ID, "nodes", "nodes", statements))


def node(lab: Running, name: str, directory: Path) -> tuple[Mover, FakeIp]:
    """A node's mover, configured as the role does it."""
    vips: list[dict[str, Any]] = []
    for vip in (TRANSIT, POD1):
        vnic_id = ocid("vnic", f"{name}/{vip['interface']}")
        found = [p for p in lab.cloud.private_ips.values() if str(p.address) == vip["address"]]
        vips.append({**vip, "vnic_id": vnic_id, "private_ip_id": found[0].id})
    config = {
        "version": 1,
        "cloud": "oci",
        "oci": {
            "region": "lab-emu-1",
            "tenancy_id": TENANCY_ID,
            "instance_id": ocid("instance", name),
            "endpoint": lab.url,
            "federation_endpoint": lab.federation_endpoint,
            "ca_bundle": str(lab.pki.ca_file),
            "metadata_url": lab.metadata_url(name),
        },
        "groups": {"main": {"revision": "r1", "vips": vips}},
    }
    file = directory / f"{name}.json"
    file.write_text(json.dumps(config))
    ip = FakeIp()
    return Mover(str(file), State(str(directory / name)), Netdev(ip), FakeLog(), FakeClock()), ip


@pytest.fixture
def reserved(lab: Running) -> Running:
    for vip, subnet in ((TRANSIT, "transit"), (POD1, "pod1")):
        lab.do(
            lab.cloud.create_private_ip(subnet_id=ocid("subnet", subnet), address=vip["address"], lifetime="RESERVED")
        )
    return lab


def holders(lab: Running) -> set[str | None]:
    return {
        p.vnic_id for p in lab.cloud.private_ips.values() if str(p.address) in (TRANSIT["address"], POD1["address"])
    }


def test_the_addresses_follow_the_claims_and_keep_their_ocids(reserved: Running, tmp_path: Path) -> None:
    allow(reserved)
    before = set(reserved.cloud.private_ips)
    first, _ = node(reserved, "vr1", tmp_path)
    second, _ = node(reserved, "vr2", tmp_path)

    assert first.claim("main", 20) == (Outcome.SUCCESS, "")
    assert holders(reserved) == {ocid("vnic", "vr1/ens3"), ocid("vnic", "vr1/ens5")}
    assert first.audit("main", 20).outcome is Outcome.SUCCESS

    assert second.claim("main", 20) == (Outcome.SUCCESS, "")
    assert holders(reserved) == {ocid("vnic", "vr2/ens3"), ocid("vnic", "vr2/ens5")}
    assert first.audit("main", 20).outcome is Outcome.FAILED
    assert second.audit("main", 20).outcome is Outcome.SUCCESS
    assert set(reserved.cloud.private_ips) == before


def test_status_and_doctor(reserved: Running, tmp_path: Path) -> None:
    allow(reserved)
    mover, _ = node(reserved, "vr1", tmp_path)

    assert {f.level for f in doctor(mover)} == {Level.OK}
    assert {v["cloud_vnic_id"] for v in status(mover)["groups"]["main"]["vips"]} == {None}
    mover.claim("main", 20)
    assert {v["cloud"] for v in status(mover)["groups"]["main"]["vips"]} == {"here"}


def test_without_a_policy_the_reason_names_it(reserved: Running, tmp_path: Path) -> None:
    mover, ip = node(reserved, "vr1", tmp_path)

    result = mover.claim("main", 20)

    assert result.outcome is Outcome.FAILED
    assert "PRIVATE_IP_UPDATE" in result.reason
    assert ip.addresses == FakeIp().addresses
    assert Level.FAILURE in {f.level for f in doctor(mover)}


@pytest.mark.parametrize("effect", ["drop", "apply_then_fail"])
def test_a_call_that_gets_no_answer_is_repeated(reserved: Running, tmp_path: Path, effect: str) -> None:
    allow(reserved)
    mover, _ = node(reserved, "vr1", tmp_path)
    reserved.fault(effect=effect, service="api", method="PUT", count=3)

    assert mover.claim("main", 30).outcome is Outcome.SUCCESS
    assert holders(reserved) == {ocid("vnic", "vr1/ens3"), ocid("vnic", "vr1/ens5")}

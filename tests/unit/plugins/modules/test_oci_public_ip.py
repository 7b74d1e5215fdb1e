# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules `oci_public_ip` and `oci_public_ip_info`, from their options to what they leave in the cloud."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.public_ip import PublicIp
from ansible_collections.cloudvip.ha.plugins.modules import oci_public_ip_info
from ansible_collections.cloudvip.ha.plugins.modules.oci_public_ip import main

from lab.cloud.names import COMPARTMENT_ID
from lab.topology import Topology
from tests.unit.plugins.modules.conftest import Run
from tests.unit.plugins.worlds import FakeWorld, LabWorld, World


@pytest.fixture
def vip(world: World) -> str:
    """The OCID of a private IP."""
    return world.add("10.0.0.8", world.vnic("vr1", "ens5"), "RESERVED")


@pytest.fixture
def other(world: World) -> str:
    """The OCID of another one."""
    return world.add("10.0.0.9", world.vnic("vr1", "ens5"), "RESERVED")


def options(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"compartment_id": COMPARTMENT_ID, "public_ips": list(entries)}


def web(vip: str | None, **more: Any) -> dict[str, Any]:
    return {"display_name": "web", "private_ip_id": vip, **more}


def test_a_public_ip_is_created_once(world: World, run: Run, vip: str) -> None:
    wanted = options(web(vip, tags={"team": "x"}))

    first = run(main, world.connect, **wanted)
    world.calls()
    second = run(main, world.connect, **wanted)

    (made,) = world.cloud.network.public_ips(COMPARTMENT_ID)
    assert first["changed"] is True
    assert first["public_ips"] == {
        "web": {
            "id": made.id,
            "address": made.address,
            "private_ip_id": vip,
            "display_name": "web",
            "tags": {"team": "x"},
        }
    }
    assert (made.lifetime, made.lifecycle_state, made.private_ip_id) == ("RESERVED", "ASSIGNED", vip)
    assert (first["diff"]["before"], set(first["diff"]["after"])) == ({}, {"web"})
    assert second["changed"] is False
    assert second["public_ips"] == first["public_ips"]
    assert world.calls()[:1] == [("GET", "publicIps")]


def test_many_public_ips_that_are_there_cost_one_call(world: World, run: Run, vip: str, other: str) -> None:
    wanted = options(web(vip), {"display_name": "db", "private_ip_id": other})
    run(main, world.connect, **wanted)
    world.calls()

    assert run(main, world.connect, **wanted)["changed"] is False
    assert world.calls() == [("GET", "publicIps")]


def test_a_public_ip_follows_its_private_ip(world: World, run: Run, vip: str) -> None:
    first = run(main, world.connect, **options(web(vip)))
    world.move(vip, world.vnic("vr2", "ens5"))

    second = run(main, world.connect, **options(web(vip)))

    assert second["changed"] is False
    assert second["public_ips"] == first["public_ips"]


def test_check_mode_predicts_and_creates_nothing(world: World, run: Run, vip: str) -> None:
    predicted = run(main, world.connect, **options(web(vip)), check=True)
    unborn = run(main, world.connect, **options(web(None)), check=True)

    for answer, private_ip_id in ((predicted, vip), (unborn, None)):
        assert answer["changed"] is True
        assert answer["public_ips"]["web"]["id"] is None
        assert answer["public_ips"]["web"]["private_ip_id"] == private_ip_id
    assert world.cloud.network.public_ips(COMPARTMENT_ID) == []


def test_a_private_ip_is_needed_outside_check_mode(world: World, run: Run) -> None:
    answer = run(main, world.connect, **options(web(None)))

    assert answer["problems"] == [
        "public_ips[0].display_name = 'web': expected the OCID of a private IP as private_ip_id"
    ]


def test_a_free_one_of_the_name_is_taken(world: World, run: Run, vip: str) -> None:
    key = world.publish("web")

    unborn = run(main, world.connect, **options(web(None)), check=True)
    answer = run(main, world.connect, **options(web(vip)))

    assert unborn["changed"] is answer["changed"] is True
    assert unborn["public_ips"]["web"]["id"] == answer["public_ips"]["web"]["id"] == key
    assert answer["public_ips"]["web"]["private_ip_id"] == vip
    assert len(world.cloud.network.public_ips(COMPARTMENT_ID)) == 1


def test_one_that_is_assigned_elsewhere_is_left_there(world: World, run: Run, vip: str, other: str) -> None:
    world.publish("web", other)

    present = run(
        main, world.connect, **options(web(vip), {"display_name": "db", "private_ip_id": None, "state": "absent"})
    )
    absent = run(main, world.connect, **options(web(vip, state="absent")))

    assert f"is assigned to {other}" in present["msg"]
    assert f"is assigned to {other}" in absent["msg"]
    assert [p.private_ip_id for p in world.cloud.network.public_ips(COMPARTMENT_ID)] == [other]


def test_an_ephemeral_public_ip_is_in_the_way(run: Run, topology: Topology) -> None:
    world = FakeWorld(topology)
    vip = world.add("10.0.0.8", world.vnic("vr1", "ens5"))
    public_ips = world.fake.network.publics
    public_ips["pip"] = PublicIp("pip", "203.0.113.7", vip, "EPHEMERAL", "ASSIGNED", "front")

    answer = run(main, world.connect, **options(web(vip)))

    assert "expected a private IP without an ephemeral public IP" in answer["msg"]
    assert set(public_ips) == {"pip"}


def test_a_public_ip_is_given_back_once(world: World, run: Run, vip: str, other: str) -> None:
    run(main, world.connect, **options(web(vip), {"display_name": "db", "private_ip_id": other}))
    gone = options(web(vip, state="absent"))

    predicted = run(main, world.connect, **gone, check=True)
    assert len(world.cloud.network.public_ips(COMPARTMENT_ID)) == 2
    answer = run(main, world.connect, **gone)

    assert predicted["changed"] is answer["changed"] is True
    assert (set(answer["diff"]["before"]), answer["diff"]["after"], answer["public_ips"]) == ({"web"}, {}, {})
    assert [p.display_name for p in world.cloud.network.public_ips(COMPARTMENT_ID)] == ["db"]
    assert run(main, world.connect, **gone)["changed"] is False


def test_without_its_private_ip_only_a_free_one_is_given_back(world: World, run: Run, vip: str) -> None:
    used = world.publish("web", vip)
    gone = options(web(None, state="absent"))
    assert run(main, world.connect, **gone)["changed"] is False

    world.publish("web")

    assert run(main, world.connect, **gone)["changed"] is True
    assert [p.id for p in world.cloud.network.public_ips(COMPARTMENT_ID)] == [used]


def test_what_another_name_owns_is_not_given_back(world: World, run: Run, vip: str) -> None:
    key = world.publish("theirs", vip)

    assert run(main, world.connect, **options(web(vip, state="absent")))["changed"] is False
    assert [p.id for p in world.cloud.network.public_ips(COMPARTMENT_ID)] == [key]


def test_both_modules_show_the_same(world: World, run: Run, vip: str, other: str) -> None:
    made = run(main, world.connect, **options(web(vip)))["public_ips"]["web"]
    free = world.publish("web")

    every = run(oci_public_ip_info.main, world.connect, compartment_id=COMPARTMENT_ID)
    one = run(oci_public_ip_info.main, world.connect, private_ip_ids=[other, vip])

    assert every["changed"] is one["changed"] is False
    assert made in every["public_ips"]
    assert [(p["id"], p["private_ip_id"]) for p in every["public_ips"] if p != made] == [(free, None)]
    assert one["public_ips"] == [made]


def test_a_run_that_breaks_off_is_finished_by_the_next(lab_world: LabWorld, run: Run) -> None:
    vips = [lab_world.add(a, lab_world.vnic("vr1", "ens5"), "RESERVED") for a in ("10.0.0.8", "10.0.0.9")]
    wanted = options(web(vips[0]), {"display_name": "db", "private_ip_id": vips[1]})
    lab_world.lab.fault(effect="status", status=404, method="PUT", path="/publicIps/", count=1)
    key = lab_world.publish("web")

    broken = run(main, lab_world.connect, **wanted)
    answer = run(main, lab_world.connect, **wanted)

    assert broken["msg"].startswith("web: UpdatePublicIp failed: 404")
    assert "PUBLIC_IP_ASSIGN_PRIVATE_IP" in broken["msg"]
    assert answer["public_ips"]["web"]["id"] == key
    assert {p["private_ip_id"] for p in answer["public_ips"].values()} == set(vips)

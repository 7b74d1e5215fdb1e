# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules `oci_vnic_attachment` and `oci_vnic_attachment_info`."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.modules.oci_vnic_attachment import main
from ansible_collections.cloudvip.ha.plugins.modules.oci_vnic_attachment_info import main as info

from lab.cloud.names import COMPARTMENT_ID
from tests.unit.plugins.modules.conftest import Run
from tests.unit.plugins.worlds import LabWorld, World

LIST, ATTACH, DETACH = ("GET", "vnicAttachments"), ("POST", "vnicAttachments"), ("DELETE", "vnicAttachments")
SUBNET, VNIC, ADDRESSES = ("GET", "subnets"), ("GET", "vnics"), ("GET", "privateIps")


def entry(world: World, node: str, subnet: str = "isv", **more: Any) -> dict[str, Any]:
    ids = {"instance_id": world.topology.instance(node).id, "subnet_id": world.topology.subnet(subnet).id}
    return {**ids, "display_name": "cloudvip-isv", **more}


def vnics_of(world: World, run: Run, node: str) -> list[dict[str, Any]]:
    instance_id = world.topology.instance(node).id
    answer = run(info, world.connect, compartment_id=COMPARTMENT_ID, instance_ids=[instance_id])
    found: list[dict[str, Any]] = answer["vnics"][instance_id]
    return found


@pytest.fixture
def attachments(world: World) -> list[dict[str, Any]]:
    """A VNIC in the subnet of the ISV for two nodes, which have none there."""
    return [
        entry(world, "vr1", private_ip="172.20.136.21", skip_source_dest_check=True, label="vr1 isv"),
        entry(world, "vr2", label="vr2 isv"),
    ]


def test_a_subnet_that_does_not_have_the_vip_gets_no_vnic(
    world: World, run: Run, attachments: list[dict[str, Any]]
) -> None:
    attachments[1]["vip"] = "10.0.0.68"

    answer = run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=attachments)

    subnet_id = attachments[1]["subnet_id"]
    assert answer["problems"] == [
        f"vr2 isv.subnet_id = {subnet_id!r}: expected the subnet of 10.0.0.68; this one is 172.20.136.16/28"
    ]
    assert ATTACH not in world.calls()


def test_missing_vnics_are_attached(world: World, run: Run, attachments: list[dict[str, Any]]) -> None:
    answer = run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=attachments)

    assert answer["changed"] is True
    (vnic,) = [v for v in vnics_of(world, run, "vr1") if v["subnet_id"] == attachments[0]["subnet_id"]]
    assert answer["vnics"]["vr1 isv"] == {
        "instance_id": attachments[0]["instance_id"],
        "subnet_id": attachments[0]["subnet_id"],
        "subnet_cidr": "172.20.136.16/28",
        "vnic_id": vnic["vnic_id"],
        "display_name": "cloudvip-isv",
        "mac_address": vnic["mac_address"],
        "private_ip": "172.20.136.21",
    }
    assert vnic["private_ip"] == "172.20.136.21"
    assert vnic["is_primary"] is False
    assert world.cloud.network.vnic(vnic["vnic_id"]).skip_source_dest_check is True
    assert answer["vnics"]["vr2 isv"]["private_ip"]
    assert answer["diff"]["before"] == {}
    assert answer["diff"]["after"]["vr1 isv"] == {"display_name": "cloudvip-isv", "private_ip": "172.20.136.21"}


def test_all_attachments_are_begun_before_one_is_waited_for(
    world: World, run: Run, attachments: list[dict[str, Any]]
) -> None:
    run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=attachments)

    assert world.calls() == [LIST, LIST, SUBNET, ATTACH, ATTACH, LIST, LIST, VNIC, LIST, LIST, VNIC]


def test_a_second_run_changes_nothing_and_lists_each_instance_once(
    world: World, run: Run, attachments: list[dict[str, Any]]
) -> None:
    first = run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=attachments)
    world.calls()

    second = run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=attachments)

    assert second["changed"] is False
    assert second["vnics"] == first["vnics"]
    assert second["diff"]["before"] == second["diff"]["after"]
    assert world.calls() == [LIST, VNIC, LIST, VNIC, SUBNET]


def test_any_vnic_in_the_subnet_will_do(world: World, run: Run) -> None:
    wanted = entry(world, "vr1", "pod1", private_ip="10.0.0.9", label="pod1")

    answer = run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=[wanted])

    assert answer["changed"] is False
    assert answer["vnics"]["pod1"]["vnic_id"] == world.vnic("vr1", "ens5")
    assert answer["vnics"]["pod1"]["private_ip"] == "10.0.0.5"
    assert answer["vnics"]["pod1"]["mac_address"] == world.topology.instance("vr1").vnics[1].mac


def test_check_mode_predicts_and_attaches_nothing(world: World, run: Run, attachments: list[dict[str, Any]]) -> None:
    answer = run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=attachments, check=True)

    assert answer["changed"] is True
    assert len(vnics_of(world, run, "vr1")) == 3
    assert answer["vnics"]["vr1 isv"]["vnic_id"] is None
    assert answer["vnics"]["vr1 isv"]["private_ip"] == "172.20.136.21"
    assert answer["vnics"]["vr2 isv"]["private_ip"] is None
    assert answer["vnics"]["vr2 isv"]["subnet_cidr"] == "172.20.136.16/28"


def test_a_vnic_is_detached_once(world: World, run: Run, attachments: list[dict[str, Any]]) -> None:
    run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=attachments)
    attachments[0]["state"] = "absent"

    predicted = run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=attachments, check=True)
    assert len(vnics_of(world, run, "vr1")) == 4
    answer = run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=attachments)

    assert predicted["changed"] is answer["changed"] is True
    assert set(answer["vnics"]) == {"vr2 isv"}
    assert set(answer["diff"]["before"]) - set(answer["diff"]["after"]) == {"vr1 isv"}
    assert len(vnics_of(world, run, "vr1")) == 3
    again = run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=attachments)
    assert again["changed"] is False


def test_a_vnic_of_another_name_is_not_detached(world: World, run: Run) -> None:
    other = entry(world, "vr1", "pod1", state="absent")

    answer = run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=[other])

    assert answer["changed"] is False
    assert len(vnics_of(world, run, "vr1")) == 3


def test_what_must_stay_is_named_and_nothing_is_changed(
    world: World, run: Run, attachments: list[dict[str, Any]]
) -> None:
    vip = "10.0.0.9"
    world.add(vip, world.vnic("vr1", "ens5"), "RESERVED")
    used = entry(world, "vr1", "pod1", display_name="vr1-ens5", state="absent")
    primary = entry(world, "vr1", "transit", display_name="vr1", state="absent", label="the first")

    answer = run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=[*attachments, used, primary])

    assert answer["problems"] == [
        "attachments[2].display_name = 'vr1-ens5': expected a VNIC without secondary private IPs; "
        f"{world.vnic('vr1', 'ens5')} has {vip}",
        f"the first.display_name = 'vr1': expected a secondary VNIC; {world.vnic('vr1', 'ens3')} is the primary one of "
        "its instance",
    ]
    assert len(vnics_of(world, run, "vr1")) == 3


def test_a_refusal_names_its_entry(world: World, run: Run, attachments: list[dict[str, Any]]) -> None:
    attachments[1]["private_ip"] = "172.20.136.21"

    answer = run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=attachments)

    assert answer["msg"].startswith("vr2 isv: AttachVnic failed: ")


def test_an_unknown_subnet_is_reported_with_the_permission_that_may_be_missing(world: World, run: Run) -> None:
    unknown = {**entry(world, "vr1"), "subnet_id": "ocid1.subnet.nowhere"}

    answer = run(main, world.connect, compartment_id=COMPARTMENT_ID, attachments=[unknown])

    assert "SUBNET_READ" in answer["msg"]
    assert ATTACH not in world.calls()


def test_an_attachment_whose_answer_is_lost_makes_one_vnic(lab_world: LabWorld, run: Run) -> None:
    lab_world.lab.fault(effect="apply_then_fail", method="POST", path="/vnicAttachments$", count=1)

    run(main, lab_world.connect, compartment_id=COMPARTMENT_ID, attachments=[entry(lab_world, "vr1")])

    assert len(vnics_of(lab_world, run, "vr1")) == 4


def test_a_detachment_whose_answer_is_lost_succeeds(lab_world: LabWorld, run: Run) -> None:
    wanted = entry(lab_world, "vr1")
    run(main, lab_world.connect, compartment_id=COMPARTMENT_ID, attachments=[wanted])
    lab_world.lab.fault(effect="apply_then_fail", method="DELETE", count=1)

    answer = run(main, lab_world.connect, compartment_id=COMPARTMENT_ID, attachments=[{**wanted, "state": "absent"}])

    assert answer["changed"] is True
    assert len(vnics_of(lab_world, run, "vr1")) == 3


def test_a_vnic_that_someone_else_is_attaching_is_waited_for(lab_world: LabWorld, run: Run) -> None:
    wanted = entry(lab_world, "vr1", label="isv")
    begun = lab_world.lab.do(lab_world.lab.cloud.attach_vnic(wanted["instance_id"], wanted["subnet_id"]))

    answer = run(main, lab_world.connect, compartment_id=COMPARTMENT_ID, attachments=[wanted])

    assert answer["changed"] is False
    assert answer["vnics"]["isv"]["vnic_id"] == begun.vnic_id

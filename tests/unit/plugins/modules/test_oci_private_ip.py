# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `oci_private_ip`, from its options to what it answers and what it leaves in the cloud."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.modules.oci_private_ip import main

from tests.unit.plugins.modules.conftest import Run
from tests.unit.plugins.worlds import LabWorld, World

POD1, POD2 = "10.0.0.4", "10.0.0.36"
NODES = ("vr1", "vr2", "vr3")


def entry(world: World, address: str, interface: str, **more: Any) -> dict[str, Any]:
    return {"address": address, "vnic_ids": [world.vnic(n, interface) for n in NODES], **more}


@pytest.fixture
def both(world: World) -> list[dict[str, Any]]:
    """The VIPs of POD 1 and POD 2."""
    return [
        entry(world, POD1, "ens5", display_name="vrouters-pod1", tags={"team": "x"}),
        entry(world, POD2, "ens6", display_name="vrouters-pod2"),
    ]


def in_cloud(world: World, interface: str, address: str) -> list[Any]:
    subnet_id = world.cloud.network.vnic(world.vnic("vr1", interface)).subnet_id
    return [p for p in world.cloud.network.private_ips(subnet_id) if p.address == address]


def test_new_addresses_are_reserved(world: World, run: Run, both: list[dict[str, Any]]) -> None:
    answer = run(main, world.connect, private_ips=both)

    (pod1,) = in_cloud(world, "ens5", POD1)
    assert answer["changed"] is True
    assert answer["private_ips"][POD1] == {
        "id": pod1.id,
        "subnet_id": pod1.subnet_id,
        "vnic_id": None,
        "lifetime": "RESERVED",
        "display_name": "vrouters-pod1",
        "tags": {"team": "x"},
    }
    assert set(answer["private_ips"]) == {POD1, POD2}
    assert answer["diff"]["before"] == {}
    assert set(answer["diff"]["after"]) == {POD1, POD2}


def test_a_second_run_changes_nothing_and_reads_each_subnet_once(
    world: World, run: Run, both: list[dict[str, Any]]
) -> None:
    first = run(main, world.connect, private_ips=both)
    world.calls()

    second = run(main, world.connect, private_ips=both)

    assert second["changed"] is False
    assert second["private_ips"] == first["private_ips"]
    assert second["diff"]["before"] == second["diff"]["after"]
    assert world.calls() == [("GET", "vnics")] * 2 + [("GET", "privateIps")] * 2


def test_check_mode_predicts_and_creates_nothing(world: World, run: Run, both: list[dict[str, Any]]) -> None:
    answer = run(main, world.connect, private_ips=both, check=True)

    assert answer["changed"] is True
    assert answer["private_ips"][POD1]["id"] is None
    assert answer["private_ips"][POD1]["display_name"] == "vrouters-pod1"
    assert in_cloud(world, "ens5", POD1) == []
    assert answer["diff"]["after"] == run(main, world.connect, private_ips=both)["diff"]["after"]


def test_an_address_stays_where_the_cluster_put_it(world: World, run: Run, both: list[dict[str, Any]]) -> None:
    first = run(main, world.connect, private_ips=both)
    world.move(first["private_ips"][POD1]["id"], world.vnic("vr3", "ens5"))
    both[0]["display_name"] = "renamed"

    second = run(main, world.connect, private_ips=both)

    assert second["changed"] is True
    (pod1,) = in_cloud(world, "ens5", POD1)
    assert (pod1.vnic_id, pod1.display_name) == (world.vnic("vr3", "ens5"), "renamed")
    assert second["private_ips"][POD1]["vnic_id"] == world.vnic("vr3", "ens5")


def test_an_ephemeral_address_is_adopted_with_its_ocid(world: World, run: Run, both: list[dict[str, Any]]) -> None:
    key = world.add(POD1, world.vnic("vr2", "ens5"))

    answer = run(main, world.connect, private_ips=both)

    (pod1,) = in_cloud(world, "ens5", POD1)
    assert (pod1.id, pod1.lifetime, pod1.vnic_id) == (key, "RESERVED", world.vnic("vr2", "ens5"))
    assert answer["diff"]["before"][POD1]["lifetime"] == "EPHEMERAL"
    assert answer["diff"]["after"][POD1]["lifetime"] == "RESERVED"


def test_every_address_that_is_not_ours_is_named_and_nothing_is_changed(
    world: World, run: Run, both: list[dict[str, Any]]
) -> None:
    world.add(POD2, world.vnic("pod2-client", "eth0"))
    primary = entry(world, "10.0.0.6", "ens5", label="cloudvip_vips (pod1b).address")

    answer = run(main, world.connect, private_ips=[*both, primary])

    assert answer["failed"] is True
    assert [p.split(":")[0] for p in answer["problems"]] == [
        f"private_ips[1].address = '{POD2}'",
        "cloudvip_vips (pod1b).address = '10.0.0.6'",
    ]
    assert world.vnic("pod2-client", "eth0") in answer["problems"][0]
    assert f"the primary private IP of VNIC {world.vnic('vr2', 'ens5')}" in answer["problems"][1]
    assert in_cloud(world, "ens5", POD1) == []


@pytest.mark.parametrize("placed", [False, True])
def test_an_absent_address_is_deleted_once(world: World, run: Run, both: list[dict[str, Any]], placed: bool) -> None:
    made = run(main, world.connect, private_ips=both)["private_ips"]
    if placed:
        world.move(made[POD1]["id"], world.vnic("vr1", "ens5"))
    both[0]["state"] = "absent"

    predicted = run(main, world.connect, private_ips=both, check=True)
    assert in_cloud(world, "ens5", POD1) != []
    answer = run(main, world.connect, private_ips=both)

    assert predicted["changed"] is answer["changed"] is True
    assert set(answer["private_ips"]) == {POD2}
    assert set(answer["diff"]["before"]) - set(answer["diff"]["after"]) == {POD1}
    assert in_cloud(world, "ens5", POD1) == []
    assert run(main, world.connect, private_ips=both)["changed"] is False


def test_an_address_of_someone_else_is_not_deleted(world: World, run: Run) -> None:
    world.add(POD1, world.vnic("pod1-client", "eth0"))

    answer = run(main, world.connect, private_ips=[entry(world, POD1, "ens5", state="absent")])

    assert "it belongs to something else" in answer["msg"]
    assert len(in_cloud(world, "ens5", POD1)) == 1


def test_a_run_that_breaks_off_is_finished_by_the_next(lab_world: LabWorld, run: Run) -> None:
    private_ips = [entry(lab_world, POD1, "ens5"), entry(lab_world, POD2, "ens6")]
    subnet_id = lab_world.topology.subnet("pod2").id
    lab_world.lab.fault(effect="status", status=400, method="POST", path="/privateIps$", count=1)

    broken = run(main, lab_world.connect, private_ips=private_ips)
    answer = run(main, lab_world.connect, private_ips=private_ips)

    assert broken["msg"].startswith(f"{POD1}: CreatePrivateIp failed: 400")
    assert answer["changed"] is True
    assert [p.address for p in lab_world.cloud.network.private_ips(subnet_id)].count(POD2) == 1


def test_options_lead_to_the_cloud(lab_world: LabWorld, run: Run) -> None:
    options = {k: v for k, v in lab_world.params.items() if v is not None}

    answer = run(main, **options, private_ips=[entry(lab_world, POD1, "ens5")])

    assert answer["private_ips"][POD1]["id"].startswith("ocid1.privateip.")

# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `oci_vnic`."""

from __future__ import annotations

import pytest
from ansible_collections.cloudvip.ha.plugins.modules.oci_vnic import main

from tests.unit.plugins.modules.conftest import Run
from tests.unit.plugins.worlds import World


@pytest.fixture
def vnic_ids(world: World) -> list[str]:
    return [world.vnic("vr1", "ens5"), world.vnic("vr2", "ens5")]


def test_only_what_differs_is_changed_and_only_once(world: World, run: Run, vnic_ids: list[str]) -> None:
    world.cloud.network.set_skip_source_dest_check(vnic_ids[0], True)
    world.calls()

    first = run(main, world.connect, vnic_ids=[*vnic_ids, *vnic_ids], skip_source_dest_check=True)

    assert first["changed"] is True
    subnet_id = world.topology.subnet("pod1").id
    assert first["vnics"] == {v: {"subnet_id": subnet_id, "skip_source_dest_check": True} for v in vnic_ids}
    assert world.calls() == [("GET", "vnics"), ("GET", "vnics"), ("PUT", "vnics")]
    assert run(main, world.connect, vnic_ids=vnic_ids, skip_source_dest_check=True)["changed"] is False


def test_check_mode_predicts_and_changes_nothing(world: World, run: Run, vnic_ids: list[str]) -> None:
    answer = run(main, world.connect, vnic_ids=vnic_ids, skip_source_dest_check=True, check=True)

    assert answer["changed"] is True
    assert answer["diff"]["before"][vnic_ids[0]] == {"skip_source_dest_check": False}
    assert answer["diff"]["after"][vnic_ids[0]] == {"skip_source_dest_check": True}
    assert world.cloud.network.vnic(vnic_ids[0]).skip_source_dest_check is False


def test_an_unknown_vnic_is_reported_with_the_permission_that_may_be_missing(world: World, run: Run) -> None:
    answer = run(main, world.connect, vnic_ids=["ocid1.vnic.nowhere"], skip_source_dest_check=True)

    assert answer["msg"].startswith("GetVnic failed: 404")
    assert "VNIC_READ" in answer["msg"]

# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `oci_private_ip_info`."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.modules import oci_private_ip
from ansible_collections.cloudvip.ha.plugins.modules.oci_private_ip_info import main

from tests.unit.plugins.modules.conftest import Run
from tests.unit.plugins.worlds import World

VIP, VIP6 = "10.0.0.8", "2001:db8:0:a02::8"


@pytest.fixture
def made(world: World, run: Run) -> dict[str, Any]:
    """Two addresses of POD 1, as the module that made them shows them: one on vr1, one on no VNIC."""
    vnic_id = world.vnic("vr1", "ens5")
    entries = [
        {"address": VIP, "vnic_ids": [vnic_id], "vnic_id": vnic_id, "display_name": "web", "tags": {"team": "x"}},
        {"address": VIP6, "vnic_ids": [vnic_id]},
    ]
    found: dict[str, Any] = run(oci_private_ip.main, world.connect, private_ips=entries)["private_ips"]
    world.calls()
    return found


def test_the_addresses_of_a_subnet_are_shown_as_the_other_module_does(
    world: World, run: Run, made: dict[str, Any]
) -> None:
    answer = run(main, world.connect, subnet_id=world.topology.subnet("pod1").id)

    assert answer["changed"] is False
    assert answer["private_ips"].items() >= made.items()
    assert answer["private_ips"]["10.0.0.5"]["is_primary"] is True
    assert answer["private_ips"]["10.0.0.5"]["vnic_id"] == world.vnic("vr1", "ens5")
    assert world.calls() == [("GET", "privateIps"), ("GET", "ipv6")]


def test_the_addresses_of_vnics_are_those_that_are_on_them(world: World, run: Run, made: dict[str, Any]) -> None:
    answer = run(main, world.connect, vnic_ids=[world.vnic("vr1", "ens5"), world.vnic("vr2", "ens6")])

    assert set(answer["private_ips"]) == {"10.0.0.5", VIP, "10.0.0.38"}
    assert answer["private_ips"][VIP] == made[VIP]


def test_those_on_no_vnic_are_found_through_the_subnets_of_vnics(world: World, run: Run, made: dict[str, Any]) -> None:
    answer = run(main, world.connect, vnic_ids=[world.vnic("vr1", "ens5")], unassigned=True)

    # Those of other VNICs in the subnet are not among them.
    assert set(answer["private_ips"]) == {"10.0.0.5", VIP, VIP6}
    assert answer["private_ips"][VIP6] == made[VIP6]


def test_only_what_is_asked_for_is_looked_up(world: World, run: Run, made: dict[str, Any]) -> None:
    world.add("2001:db8:0:a02::9", world.vnic("vr1", "ens5"))
    wanted = {"subnet_id": world.topology.subnet("pod1").id, "addresses": [VIP6.upper(), "2001:db8:0:a02::99"]}

    assert run(main, world.connect, **wanted)["private_ips"] == {VIP6: made[VIP6]}
    assert world.calls() == [("GET", "ipv6")]


def test_bad_addresses_are_all_named(world: World, run: Run) -> None:
    answer = run(main, world.connect, subnet_id="s", addresses=["10.0.0.8/28", VIP, "here"])

    assert [p.split(":")[0] for p in answer["problems"]] == ["addresses[0] = '10.0.0.8/28'", "addresses[2] = 'here'"]


def test_an_unknown_subnet_is_reported_with_the_permission_that_may_be_missing(world: World, run: Run) -> None:
    answer = run(main, world.connect, subnet_id="ocid1.subnet.nowhere")

    assert answer["msg"].startswith("ListPrivateIps failed: 404")
    assert "PRIVATE_IP_READ" in answer["msg"]

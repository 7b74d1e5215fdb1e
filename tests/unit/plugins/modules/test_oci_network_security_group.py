# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules `oci_network_security_group` and `oci_network_security_group_info`."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.network_security_group import (
    NetworkSecurityGroup,
    peer_rules,
)
from ansible_collections.cloudvip.ha.plugins.modules.oci_network_security_group import main
from ansible_collections.cloudvip.ha.plugins.modules.oci_network_security_group_info import main as info

from lab.cloud.names import COMPARTMENT_ID
from tests.unit.plugins.modules.conftest import Run
from tests.unit.plugins.worlds import World

GROUPS, VNICS = "networkSecurityGroups", "vnics"
FOR_ALL = {"direction": "ingress", "protocol": "tcp", "peer": "0.0.0.0/0", "ports": "443"}


@pytest.fixture
def vnic_ids(world: World) -> list[str]:
    return [world.vnic("vr1", "ens3"), world.vnic("vr2", "ens3")]


@pytest.fixture
def place(world: World) -> dict[str, str]:
    vcn_id = world.cloud.network.subnet(world.topology.subnet("pod1").id).vcn_id
    return {"compartment_id": COMPARTMENT_ID, "vcn_id": vcn_id}


@pytest.fixture
def wanted(place: dict[str, str], vnic_ids: list[str]) -> dict[str, Any]:
    return {**place, "name": "web", "rules": peer_rules("pacemaker"), "vnic_ids": vnic_ids}


def listed(world: World, run: Run, place: dict[str, str]) -> Any:
    return run(info, world.connect, **place)["network_security_groups"]


def test_a_group_is_made_once_with_rules_and_members(
    world: World, run: Run, place: dict[str, str], wanted: dict[str, Any]
) -> None:
    first = run(main, world.connect, **wanted)
    world.calls()
    again = {**wanted, "rules": wanted["rules"][::-1], "vnic_ids": wanted["vnic_ids"][::-1]}
    second = run(main, world.connect, **again)

    assert (first["changed"], second["changed"]) == (True, False)
    assert world.calls() == [("GET", GROUPS)] * 3
    assert first["diff"]["before"] == {}
    assert second["network_security_group"] == first["network_security_group"]
    assert listed(world, run, place) == [first["network_security_group"]]
    assert [r["peer"] for r in first["network_security_group"]["rules"]] == ["self"] * 4
    assert first["network_security_group"]["vnic_ids"] == sorted(wanted["vnic_ids"])


def test_check_mode_predicts_a_group_without_an_ocid(
    world: World, run: Run, place: dict[str, str], wanted: dict[str, Any]
) -> None:
    predicted = run(main, world.connect, **wanted, check=True)

    assert (predicted["changed"], predicted["network_security_group"]["id"]) == (True, None)
    assert listed(world, run, place) == []
    made = run(main, world.connect, **wanted)
    assert {**made["network_security_group"], "id": None} == predicted["network_security_group"]


def test_only_what_differs_is_changed(world: World, run: Run, wanted: dict[str, Any]) -> None:
    before = run(main, world.connect, **{**wanted, "rules": [*wanted["rules"][1:], FOR_ALL]})
    world.calls()
    predicted = run(main, world.connect, **wanted, check=True)
    assert {method for method, _ in world.calls()} == {"GET"}

    after = run(main, world.connect, **wanted)

    assert predicted["changed"] is after["changed"] is True
    assert [call for call in world.calls() if call[0] != "GET"] == [("POST", GROUPS)] * 2
    assert predicted["network_security_group"] == after["network_security_group"]
    assert after["network_security_group"]["id"] == before["network_security_group"]["id"]
    assert after["diff"]["before"]["rules"] == before["network_security_group"]["rules"]
    assert run(main, world.connect, **wanted)["changed"] is False


def test_the_rules_of_one_engine_make_way_for_those_of_the_other_in_two_steps(
    world: World, run: Run, wanted: dict[str, Any]
) -> None:
    run(main, world.connect, **wanted)
    switched = {**wanted, "rules": peer_rules("keepalived")}

    both = run(main, world.connect, **switched, purge_rules=False)
    again = run(main, world.connect, **switched, purge_rules=False)
    one = run(main, world.connect, **switched)

    assert (both["changed"], again["changed"], one["changed"]) == (True, False, True)
    assert len(both["network_security_group"]["rules"]) == 6
    assert {r["protocol"] for r in one["network_security_group"]["rules"]} == {"vrrp"}


def test_a_node_that_is_gone_loses_its_access_and_keeps_its_other_groups(
    world: World, run: Run, wanted: dict[str, Any], vnic_ids: list[str]
) -> None:
    other = run(main, world.connect, **{**wanted, "name": "other"})["network_security_group"]["id"]
    web = run(main, world.connect, **wanted)["network_security_group"]["id"]

    answer = run(main, world.connect, **{**wanted, "vnic_ids": vnic_ids[1:]})

    assert answer["changed"] is True
    assert world.cloud.security.member(vnic_ids[0]).group_ids == (other,)
    assert set(world.cloud.security.member(vnic_ids[1]).group_ids) == {other, web}


def test_rules_and_vnics_that_are_not_given_stay(
    world: World, run: Run, place: dict[str, str], wanted: dict[str, Any]
) -> None:
    first = run(main, world.connect, **wanted)

    second = run(main, world.connect, **place, name="web")

    assert second["changed"] is False
    assert second["network_security_group"] == first["network_security_group"]


def test_the_vcn_is_that_of_the_subnet(world: World, run: Run, place: dict[str, str]) -> None:
    given = {"compartment_id": COMPARTMENT_ID, "subnet_id": world.topology.subnet("pod1").id}

    made = run(main, world.connect, **given, name="web")["network_security_group"]

    assert made["vcn_id"] == place["vcn_id"]
    assert run(info, world.connect, **given)["network_security_groups"] == [made]


def test_the_vcn_is_that_of_the_first_vnic_and_that_of_a_member_is_known(
    world: World, run: Run, place: dict[str, str], vnic_ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"compartment_id": COMPARTMENT_ID, "name": "web", "vnic_ids": vnic_ids}
    groups = world.cloud.security.groups
    elsewhere = NetworkSecurityGroup("ocid1.networksecuritygroup.else", "web", "ocid1.vcn.else", {}, ())
    monkeypatch.setattr(world.cloud.security, "groups", lambda *where: [elsewhere, *groups(*where)])

    made = run(main, world.connect, **given)["network_security_group"]
    world.calls()
    again = run(main, world.connect, **given)

    assert made["vcn_id"] == place["vcn_id"]
    assert (again["changed"], again["network_security_group"]) == (False, made)
    assert world.calls() == [("GET", GROUPS)] * 3


def test_without_a_vnic_the_vcn_has_to_be_given(world: World, run: Run) -> None:
    answer = run(main, world.connect, compartment_id=COMPARTMENT_ID, name="web", vnic_ids=[])

    assert answer["msg"].startswith("vnic_ids = []: expected at least one VNIC")


def test_a_group_is_deleted_once_its_vnics_are_out(
    world: World, run: Run, place: dict[str, str], wanted: dict[str, Any], vnic_ids: list[str]
) -> None:
    made = run(main, world.connect, **wanted)["network_security_group"]
    gone = {**place, "name": "web", "vnic_ids": vnic_ids, "state": "absent"}

    predicted = run(main, world.connect, **gone, check=True)
    assert listed(world, run, place) == [made]
    answer = run(main, world.connect, **gone)

    assert predicted["changed"] is answer["changed"] is True
    assert answer["network_security_group"] is None
    assert listed(world, run, place) == []
    assert [world.cloud.security.member(v).group_ids for v in vnic_ids] == [(), ()]
    assert run(main, world.connect, **gone)["changed"] is False


def test_a_group_that_others_use_is_not_deleted(
    world: World, run: Run, place: dict[str, str], wanted: dict[str, Any], vnic_ids: list[str]
) -> None:
    made = run(main, world.connect, **wanted)["network_security_group"]

    answer = run(main, world.connect, **place, name="web", vnic_ids=vnic_ids[:1], state="absent")

    assert vnic_ids[1] in answer["msg"]
    assert listed(world, run, place) == [made]


def test_two_groups_of_one_name_are_not_told_apart(world: World, run: Run, place: dict[str, str]) -> None:
    keys = [world.cloud.security.create_group(place["compartment_id"], place["vcn_id"], "web") for _ in range(2)]

    answer = run(main, world.connect, **place, name="web")

    assert all(key in answer["msg"] for key in keys)
    assert len(run(info, world.connect, **place, name="web")["network_security_groups"]) == 2


def test_every_problem_is_reported_before_anything_is_asked(world: World, run: Run, wanted: dict[str, Any]) -> None:
    rules = [{**FOR_ALL, "ports": "https"}, {**FOR_ALL, "peer": "me"}]
    world.calls()

    answer = run(main, world.connect, **{**wanted, "rules": rules})

    assert [problem.split(":")[0] for problem in answer["problems"]] == [
        "rules[0].ports = 'https'",
        "rules[1].peer = 'me'",
    ]
    assert world.calls() == []


def test_an_unknown_vnic_is_reported_before_anything_is_changed(
    world: World, run: Run, place: dict[str, str], wanted: dict[str, Any]
) -> None:
    answer = run(main, world.connect, **{**wanted, "vnic_ids": ["ocid1.vnic.nowhere"]})

    assert answer["msg"].startswith("GetVnic failed: 404")
    assert "VNIC_READ" in answer["msg"]
    assert listed(world, run, place) == []

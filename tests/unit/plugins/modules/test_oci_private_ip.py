# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `oci_private_ip`, from its options to what it answers and what it leaves in the cloud."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.private_ip import family
from ansible_collections.cloudvip.ha.plugins.modules.oci_private_ip import main

from tests.unit.plugins.modules.conftest import Run
from tests.unit.plugins.worlds import LabWorld, World

# No route of the topology leads to these.
POD1, POD2 = "10.0.0.8", "10.0.0.40"
POD1_V6 = "2001:db8:0:a02::8"
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
    return [p for p in world.cloud.network.private_ips(subnet_id, family(address)) if p.address == address]


def test_new_addresses_are_reserved(world: World, run: Run, both: list[dict[str, Any]]) -> None:
    answer = run(main, world.connect, private_ips=both)

    (pod1,) = in_cloud(world, "ens5", POD1)
    assert answer["changed"] is True
    assert answer["private_ips"][POD1] == {
        "id": pod1.id,
        "subnet_id": pod1.subnet_id,
        "vnic_id": None,
        "is_primary": False,
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
    placed = entry(world, POD1_V6, "ens5", vnic_id=world.vnic("vr1", "ens5"))
    world.add(POD1_V6, world.vnic("vr2", "ens5"))
    primary = entry(world, "10.0.0.6", "ens5", label="cloudvip_vips (pod1b).address")

    answer = run(main, world.connect, private_ips=[*both, primary, placed])

    assert answer["failed"] is True
    assert [p.split(": expected")[0] for p in answer["problems"]] == [
        f"private_ips[1].address = '{POD2}'",
        "cloudvip_vips (pod1b).address = '10.0.0.6'",
        f"private_ips[3].address = '{POD1_V6}'",
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


def test_an_ipv6_is_reserved_like_any_other(world: World, run: Run) -> None:
    wanted = entry(world, POD1_V6.upper(), "ens5", display_name="vrouters-pod1", tags={"team": "x"})

    predicted = run(main, world.connect, private_ips=[wanted], check=True)
    answer = run(main, world.connect, private_ips=[wanted])

    (made,) = in_cloud(world, "ens5", POD1_V6)
    assert predicted["changed"] is answer["changed"] is True
    assert predicted["private_ips"][POD1_V6] == {**answer["private_ips"][POD1_V6], "id": None}
    assert (made.lifetime, made.vnic_id, made.display_name, made.tags) == (
        "RESERVED",
        None,
        "vrouters-pod1",
        {"team": "x"},
    )
    assert run(main, world.connect, private_ips=[wanted])["changed"] is False


def test_an_ipv6_is_adopted_renamed_and_deleted(world: World, run: Run) -> None:
    key = world.add(POD1_V6, world.vnic("vr2", "ens5"))
    wanted = entry(world, POD1_V6, "ens5", display_name="vrouters-pod1")

    adopted = run(main, world.connect, private_ips=[wanted])["private_ips"][POD1_V6]
    gone = run(main, world.connect, private_ips=[{**wanted, "state": "absent"}])

    assert (adopted["id"], adopted["vnic_id"]) == (key, world.vnic("vr2", "ens5"))
    assert (adopted["lifetime"], adopted["display_name"]) == ("RESERVED", "vrouters-pod1")
    assert gone["changed"] is True
    assert in_cloud(world, "ens5", POD1_V6) == []


def test_fifty_addresses_in_three_subnets_cost_few_calls_when_there_is_nothing_to_do(world: World, run: Run) -> None:
    subnets = {"ens3": ("172.20.136.{}", 134, "01"), "ens5": ("10.0.0.{}", 2, "02"), "ens6": ("10.0.0.{}", 44, "03")}
    private_ips = []
    for interface, (pattern, first, number) in subnets.items():
        private_ips += [entry(world, pattern.format(first + i), interface) for i in range(3)]
        private_ips += [entry(world, f"2001:db8:0:a{number}::{i + 1:x}", interface) for i in range(14)]
    assert len(private_ips) == 51
    run(main, world.connect, private_ips=private_ips)
    world.calls()

    assert run(main, world.connect, private_ips=private_ips)["changed"] is False
    assert world.calls() == [("GET", "vnics")] * 3 + [("GET", "privateIps"), ("GET", "ipv6")] * 3


@pytest.mark.parametrize(("address", "path"), [(POD1, "privateIps"), (POD1_V6, "ipv6")])
def test_where_nothing_can_be_reserved_an_address_goes_to_the_first_node(
    world: World, run: Run, address: str, path: str
) -> None:
    world.reserve_nothing()
    wanted = [entry(world, address, "ens5", display_name="vrouters-pod1")]

    answer = run(main, world.connect, private_ips=wanted)
    world.move(answer["private_ips"][address]["id"], world.vnic("vr2", "ens5"))
    world.calls()
    again = run(main, world.connect, private_ips=wanted)

    assert answer["changed"] is True
    assert answer["private_ips"][address]["lifetime"] == "EPHEMERAL"
    assert answer["private_ips"][address]["vnic_id"] == world.vnic("vr1", "ens5")
    assert again["changed"] is False
    assert again["private_ips"][address]["lifetime"] == "EPHEMERAL"
    assert again["private_ips"][address]["vnic_id"] == world.vnic("vr2", "ens5")
    assert world.calls() == [("GET", "vnics"), ("GET", path)]
    gone = run(main, world.connect, private_ips=[{**wanted[0], "state": "absent"}])
    assert gone["changed"] is True
    assert in_cloud(world, "ens5", address) == []


def test_check_mode_predicts_that_nothing_can_be_reserved(world: World, run: Run) -> None:
    world.reserve_nothing()
    wanted = [entry(world, POD1, "ens5")]

    predicted = run(main, world.connect, private_ips=wanted, check=True)["private_ips"][POD1]

    assert (predicted["lifetime"], predicted["vnic_id"]) == ("EPHEMERAL", world.vnic("vr1", "ens5"))


@pytest.mark.parametrize("address", ["10.0.0.99", "2001:db8:0:aff::1"])
def test_an_address_that_cannot_be_had_is_refused_as_it_is(world: World, run: Run, address: str) -> None:
    answer = run(main, world.connect, private_ips=[entry(world, address, "ens5")])

    assert answer["msg"].startswith(f"{address}: Create")
    assert " failed: 400 InvalidParameter" in answer["msg"]


@pytest.mark.parametrize("address", [POD1, POD1_V6])
def test_an_address_is_placed_where_that_was_asked_for(world: World, run: Run, address: str) -> None:
    here, there = world.vnic("vr1", "ens5"), world.vnic("vr2", "ens5")

    new = run(main, world.connect, private_ips=[entry(world, address, "ens5", vnic_id=here)])
    same = run(main, world.connect, private_ips=[entry(world, address, "ens5", vnic_id=here)])
    refused = run(main, world.connect, private_ips=[entry(world, address, "ens5", vnic_id=there)])
    (untouched,) = in_cloud(world, "ens5", address)
    moved = run(
        main, world.connect, private_ips=[entry(world, address, "ens5", vnic_id=there, allow_reassociation=True)]
    )

    assert (new["changed"], new["private_ips"][address]["vnic_id"]) == (True, here)
    assert new["private_ips"][address]["lifetime"] == "RESERVED"
    assert same["changed"] is False
    assert "vnic_id" in refused["msg"]
    assert "allow_reassociation" in refused["msg"]
    assert untouched.vnic_id == here
    assert (moved["changed"], moved["private_ips"][address]["vnic_id"]) == (True, there)
    assert moved["private_ips"][address]["id"] == untouched.id
    assert moved["diff"]["before"][address]["vnic_id"] == here


def test_an_unassigned_address_is_placed(world: World, run: Run) -> None:
    here = world.vnic("vr1", "ens5")
    key = run(main, world.connect, private_ips=[entry(world, POD1, "ens5")])["private_ips"][POD1]["id"]

    predicted = run(main, world.connect, private_ips=[entry(world, POD1, "ens5", vnic_id=here)], check=True)
    answer = run(main, world.connect, private_ips=[entry(world, POD1, "ens5", vnic_id=here)])

    assert predicted["changed"] is answer["changed"] is True
    assert predicted["private_ips"] == answer["private_ips"]
    assert (answer["private_ips"][POD1]["id"], answer["private_ips"][POD1]["vnic_id"]) == (key, here)


def test_what_something_refers_to_is_not_deleted(
    world: World, run: Run, both: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where a warning ends up depends on whether the test process has loaded Ansible's controller.
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _self, text: warnings.append(text))
    made = run(main, world.connect, private_ips=both)["private_ips"]
    world.route(made[POD1]["id"])
    world.publish("front", made[POD2]["id"])
    absent = [{**e, "state": "absent"} for e in both]

    predicted = run(main, world.connect, private_ips=absent, check=True)
    answer = run(main, world.connect, private_ips=absent)

    # A task before this one may remove the reference, and check mode has not done that.
    assert predicted["changed"] is True
    refusal = "can only be deleted when this does not refer to it"
    assert warnings[0].startswith(
        f"{made[POD1]['id']} {refusal}: the rule for 198.51.100.0/24 of route table 'transit'"
    )
    assert warnings[1].startswith(f"{made[POD2]['id']} {refusal}: the public IP 203.0.113.1 (")
    routed, published = answer["problems"]
    assert routed.startswith(f"private_ips[0].address = '{POD1}': ")
    assert "198.51.100.0/24 of route table 'transit'" in routed
    assert published.startswith(f"private_ips[1].address = '{POD2}': ")
    assert "the public IP 203.0.113.1 (" in published
    assert "delete_in_use" in published
    assert in_cloud(world, "ens5", POD1) != []
    assert in_cloud(world, "ens6", POD2) != []


def test_what_something_refers_to_is_deleted_if_that_was_asked_for(
    world: World, run: Run, both: list[dict[str, Any]]
) -> None:
    made = run(main, world.connect, private_ips=both)["private_ips"]
    world.route(made[POD1]["id"])
    world.publish("front", made[POD2]["id"])
    world.calls()

    answer = run(main, world.connect, private_ips=[{**e, "state": "absent", "delete_in_use": True} for e in both])

    assert answer["changed"] is True
    assert [path for _, path in world.calls()] == ["vnics"] * 2 + ["privateIps"] * 4
    assert in_cloud(world, "ens5", POD1) == []
    assert in_cloud(world, "ens6", POD2) == []


def test_references_are_looked_up_once_and_for_deletions_only(
    world: World, run: Run, both: list[dict[str, Any]]
) -> None:
    both.append(entry(world, POD1_V6, "ens5"))
    run(main, world.connect, private_ips=both)
    absent = [{**e, "state": "absent"} for e in both]
    world.calls()

    run(main, world.connect, private_ips=absent)
    first = [path for _, path in world.calls()]
    run(main, world.connect, private_ips=absent)
    second = [path for _, path in world.calls()]

    assert [path for path in first if path not in ("vnics", "privateIps", "ipv6")] == [
        "subnets",
        "subnets",
        "routeTables",
        "publicIps",
        "publicIps",
    ]
    assert second == ["vnics", "vnics", "privateIps", "privateIps", "ipv6"]


def test_a_missing_permission_is_named(lab_world: LabWorld, run: Run) -> None:
    lab_world.lab.fault(effect="status", status=404, method="GET", path="/routeTables$")
    made = lab_world.add(POD1, lab_world.vnic("vr1", "ens5"))

    answer = run(main, lab_world.connect, private_ips=[entry(lab_world, POD1, "ens5", state="absent")])

    assert answer["msg"].startswith("ListRouteTables failed: 404")
    assert "ROUTE_TABLE_READ" in answer["msg"]
    assert [p.id for p in in_cloud(lab_world, "ens5", POD1)] == [made]


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


def test_an_address_can_be_reserved_before_the_subnet_has_a_vnic(world: World, run: Run) -> None:
    subnet_id = world.topology.subnet("pod3").id
    entry = {"address": "10.0.0.68", "subnet_id": subnet_id}

    made = run(main, world.connect, private_ips=[entry])["private_ips"]["10.0.0.68"]
    again = run(main, world.connect, private_ips=[entry])

    assert (made["subnet_id"], made["vnic_id"], made["lifetime"]) == (subnet_id, None, "RESERVED")
    assert again["changed"] is False


def test_what_cannot_be_reserved_needs_a_vnic(world: World, run: Run) -> None:
    world.reserve_nothing()
    entry = {"address": "10.0.0.9", "subnet_id": world.topology.subnet("pod1").id}

    answer = run(main, world.connect, private_ips=[entry])

    assert answer["problems"] == [
        "private_ips[0].address = '10.0.0.9': expected a VNIC in vnic_ids: the region's service reserves no private IPs"
    ]

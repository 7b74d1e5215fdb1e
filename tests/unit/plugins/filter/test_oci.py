# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of the role `oci`."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cloudvip.ha.plugins.filter.oci import (
    FilterModule,
    oci_features,
    oci_forwarding_vnics,
    oci_new_addresses,
    oci_new_vnics,
    oci_old_vnics,
    oci_placeholders,
    oci_private_ip_requests,
    oci_public_ip_requests,
    oci_route_rules,
    oci_statements,
)


def vip(name: str, address: str, state: str = "present") -> dict[str, Any]:
    return {
        "name": name,
        "address": address,
        "prefix": 28,
        "state": state,
        "display_name": f"vrouters-{name}",
        "tags": {"team": "x"},
        "group": "main",
        "public_ip": False,
        "routes": [],
        "subnet_id": None,
        "bindings": {
            node: {"interface": "ens5", "mac": "02:00", "vnic_id": f"vnic-{node}-{name}", "primary": "10.0.0.5"}
            for node in ("vr2", "vr1")
        },
    }


MODEL: dict[str, Any] = {
    "cluster": "vrouters",
    "router": True,
    "nodes": ["vr1", "vr2"],
    "groups": [
        {"name": "main", "preferred_node": None, "vips": [vip("pod1", "10.0.0.4")]},
        {"name": "other", "preferred_node": None, "vips": [vip("pod2", "10.0.0.36")]},
    ],
    "absent": [vip("old", "10.0.0.9", "absent")],
}


def test_a_request_names_the_vnics_in_the_order_of_the_nodes() -> None:
    assert oci_private_ip_requests(MODEL)[0] == {
        "address": "10.0.0.4",
        "vnic_ids": ["vnic-vr1-pod1", "vnic-vr2-pod1"],
        "subnet_id": None,
        "state": "present",
        "display_name": "vrouters-pod1",
        "tags": {"team": "x"},
        "label": "cloudvip_vips (pod1).address",
    }


def test_a_request_names_the_subnet_where_a_vnic_tells() -> None:
    known = {"vnic-vr2-pod1": {"subnet_id": "subnet-pod1"}, "vnic-vr1-other": {"subnet_id": "subnet-other"}}

    assert [r["subnet_id"] for r in oci_private_ip_requests(MODEL, vnics=known)] == ["subnet-pod1", None, None]


def test_a_node_that_has_lost_its_vnic_already_is_not_asked_for_it() -> None:
    gone = vip("old", "10.0.0.9", "absent")
    del gone["bindings"]["vr1"]

    assert oci_private_ip_requests({**MODEL, "absent": [gone]}, "absent")[0]["vnic_ids"] == ["vnic-vr2-old"]


def test_what_a_pod_without_vnics_has_left_behind_is_looked_for_in_its_subnet() -> None:
    pods = [{**vip("pod3", "10.0.0.68", "absent"), "subnet_id": "ocid1.subnet.pod3"}]
    (with_vnics,) = oci_private_ip_requests({**MODEL, "absent": pods}, "absent")
    pods[0]["bindings"] = {}
    (without,) = oci_private_ip_requests({**MODEL, "absent": pods}, "absent")

    assert with_vnics["subnet_id"] is None
    assert (without["subnet_id"], without["vnic_ids"]) == ("ocid1.subnet.pod3", [])
    assert "10.0.0.68" not in [r["address"] for r in oci_private_ip_requests({**MODEL, "absent": pods})]


@pytest.mark.parametrize(
    ("state", "addresses"),
    [
        (None, ["10.0.0.4", "10.0.0.36", "10.0.0.9"]),
        ("present", ["10.0.0.4", "10.0.0.36"]),
        ("absent", ["10.0.0.9"]),
    ],
)
def test_requests_of_a_state(state: str | None, addresses: list[str]) -> None:
    assert [r["address"] for r in oci_private_ip_requests(MODEL, state)] == addresses


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="state = 'gone': expected present, absent"):
        oci_private_ip_requests(MODEL, "gone")


def one(state: str = "present", **properties: Any) -> dict[str, Any]:
    """A model with one VIP of these properties."""
    pod1 = {**vip("pod1", "10.0.0.4", state), **properties}
    groups = [{"name": "main", "preferred_node": None, "vips": [pod1] if state == "present" else []}]
    return {**MODEL, "groups": groups, "absent": [pod1] if state == "absent" else []}


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_public_ip_is_asked_for_where_a_vip_has_one(state: str) -> None:
    found = oci_public_ip_requests(one(state, public_ip=True), {"10.0.0.4": {"id": "ocid1.privateip.x"}}, state)

    assert found == [
        {
            "private_ip_id": "ocid1.privateip.x",
            "display_name": "vrouters-pod1",
            "tags": {"team": "x"},
            "state": state,
            "label": "cloudvip_vips (pod1).public_ip",
        }
    ]
    assert oci_public_ip_requests(MODEL, {}, state) == []


def test_the_public_ip_of_an_absent_vip_is_never_guessed_by_its_name() -> None:
    assert oci_public_ip_requests(one("absent", public_ip=True), {}, "absent") == []
    assert oci_public_ip_requests(one(public_ip=True), {"10.0.0.4": {"id": None}}, "present") != []


ROUTES = [{"route_table_id": "t1", "destination": "192.0.2.0/24"}, {"route_table_id": "t2", "destination": "0.0.0.0/0"}]


def test_rules_are_sorted_by_their_table() -> None:
    found = oci_route_rules(one(routes=ROUTES), {"10.0.0.4": {"id": "ocid1.privateip.x"}}, "present")

    rule = {"private_ip_id": "ocid1.privateip.x", "description": "vrouters-pod1", "state": "present"}
    assert found == {
        "t1": [{"destination": "192.0.2.0/24", **rule}],
        "t2": [{"destination": "0.0.0.0/0", **rule}],
    }


def test_a_rule_to_an_object_that_check_mode_predicts_has_no_ocid() -> None:
    found = oci_route_rules(one(routes=ROUTES[:1]), {"10.0.0.4": {"id": None}}, "present")

    assert found["t1"][0]["private_ip_id"] is None


def test_only_rules_that_lead_to_an_object_are_removed() -> None:
    assert oci_route_rules(one("absent", routes=ROUTES), {}, "absent") == {}


@pytest.mark.parametrize(("vnic_id", "theirs"), [(None, False), ("vnic-vr1-pod1", False), ("vnic-other", True)])
def test_what_leads_to_the_object_of_someone_else_stays(vnic_id: str | None, theirs: bool) -> None:
    model = one("absent", public_ip=True, routes=ROUTES)
    found = {"10.0.0.4": {"id": "ocid1.privateip.x", "vnic_id": vnic_id}}

    assert (oci_public_ip_requests(model, found, "absent") == []) is theirs
    assert (oci_route_rules(model, found, "absent") == {}) is theirs


def facts(**cidrs: list[str]) -> dict[str, Any]:
    """For each node the VNICs in these subnets."""
    return {
        node: {
            "instance_id": f"instance-{node}",
            "vnics": [
                {
                    "vnic_id": f"vnic-{node}-{cidr}",
                    "mac": "02:00:17:00:00:01",
                    "private_ip": cidr.replace("0/", "5/").split("/")[0],
                    "subnet_cidr": cidr,
                    "virtual_router_ip": "10.0.0.1",
                    "interface": "ens5",
                }
                for cidr in cidrs_of
            ],
        }
        for node, cidrs_of in cidrs.items()
    }


POD = {"name": "pod3", "address": "10.0.0.68", "prefix": 28, "subnet_id": "ocid1.subnet.pod3"}


def test_a_vnic_is_attached_where_a_node_has_none_in_the_subnet_of_the_pod() -> None:
    found = oci_new_vnics([POD], "vrouters", facts(vr1=["10.0.0.0/28", "10.0.0.64/28"], vr2=["10.0.0.0/28"]))

    assert found == [
        {
            "instance_id": "instance-vr2",
            "subnet_id": "ocid1.subnet.pod3",
            "display_name": "vrouters-net.pod3",
            "state": "present",
            "label": "cloudvip_pods (pod3) on vr2",
            "vip": "10.0.0.68",
        }
    ]


def test_the_address_of_a_pod_is_reserved_before_a_vnic_can_get_it() -> None:
    settled = {**POD, "name": "pod1", "address": "10.0.0.4", "subnet_id": "ocid1.subnet.pod1"}

    found = oci_new_addresses(
        [settled, POD], "vrouters", facts(vr1=["10.0.0.0/28", "10.0.0.64/28"], vr2=["10.0.0.0/28"])
    )

    assert found == [
        {
            "address": "10.0.0.68",
            "subnet_id": "ocid1.subnet.pod3",
            "vnic_ids": ["vnic-vr1-10.0.0.64/28"],
            "display_name": "vrouters-pod3",
            "tags": {},
            "label": "cloudvip_pods (pod3).address",
        }
    ]


def test_two_pods_of_one_subnet_share_a_vnic_and_an_absent_one_gets_none() -> None:
    again = {**POD, "name": "pod4", "address": "10.0.0.69", "state": None}
    pods = [POD, again, {**POD, "subnet_id": "other", "state": "absent"}]

    assert [a["label"] for a in oci_new_vnics(pods, "vrouters", facts(vr1=[]))] == ["cloudvip_pods (pod3) on vr1"]


def test_the_vnics_of_an_absent_pod_go_unless_another_vip_needs_them() -> None:
    gone = {**vip("pod3", "10.0.0.68", "absent"), "subnet_id": "ocid1.subnet.pod3"}
    vnics = facts(vr1=[], vr2=[])

    found = oci_old_vnics({**MODEL, "absent": [gone, vip("plain", "10.0.0.9", "absent")]}, vnics)

    assert [(a["instance_id"], a["display_name"], a["state"]) for a in found] == [
        ("instance-vr2", "vrouters-net.pod3", "absent"),
        ("instance-vr1", "vrouters-net.pod3", "absent"),
    ]
    assert len(oci_old_vnics({**MODEL, "absent": [gone, {**gone, "name": "pod4"}]}, vnics)) == 2
    shared = {**gone, "bindings": MODEL["groups"][0]["vips"][0]["bindings"]}
    assert oci_old_vnics({**MODEL, "absent": [shared]}, vnics) == []


def test_a_router_forwards_on_the_vnics_of_its_vips() -> None:
    assert oci_forwarding_vnics(MODEL) == ["vnic-vr1-pod1", "vnic-vr1-pod2", "vnic-vr2-pod1", "vnic-vr2-pod2"]


def test_what_is_no_router_forwards_nothing() -> None:
    assert oci_forwarding_vnics({**MODEL, "router": False}) == []


def test_statements_name_the_group_and_the_compartment() -> None:
    statements = oci_statements("ocid1.group", "ocid1.compartment")

    assert statements
    assert all(s.startswith("allow dynamic-group id ocid1.group to use ") for s in statements)
    assert all(" in compartment id ocid1.compartment where any {" in s for s in statements)


def test_a_group_that_is_yet_to_be_created_has_statements_too() -> None:
    assert all("id (known when the dynamic group exists) to" in s for s in oci_statements(None, "ocid1.compartment"))


def test_statements_are_for_the_features_that_are_asked_for() -> None:
    found = oci_statements("ocid1.group", "ocid1.compartment", ["ipv6"])

    verbs = [s.removeprefix("allow dynamic-group id ocid1.group to ").split(" in ")[0] for s in found]
    assert verbs == ["use vnics", "manage ipv6s", "inspect subnets"]
    with pytest.raises(AnsibleFilterError, match=r"features = \['flying'\]: expected some of \['ipv6', 'move'\]"):
        oci_statements("ocid1.group", "ocid1.compartment", ["move", "flying"])


@pytest.mark.parametrize(
    ("addresses", "features"),
    [
        ([], ["move"]),
        (["10.0.0.4"], ["move"]),
        (["2001:db8::4"], ["ipv6"]),
        (["10.0.0.4", "2001:db8::4"], ["move", "ipv6"]),
    ],
)
def test_only_what_the_vips_call_for_is_permitted(addresses: list[str], features: list[str]) -> None:
    vips = [vip(f"v{n}", address) for n, address in enumerate(addresses)]

    assert oci_features({**MODEL, "groups": [{"name": "main", "vips": vips}], "absent": []}) == features


def test_placeholders_are_named() -> None:
    settings = {"cloudvip_oci_region": "<your region>", "cloudvip_oci_config_profile": "PROD", "oci_endpoint": None}

    assert oci_placeholders(settings) == [
        "cloudvip_oci_region = '<your region>': expected a value of your own in place of the example's placeholder"
    ]


def test_the_filters_are_known_by_these_names() -> None:
    assert set(FilterModule().filters()) == {
        "oci_features",
        "oci_forwarding_vnics",
        "oci_new_addresses",
        "oci_new_vnics",
        "oci_old_vnics",
        "oci_peer_rules",
        "oci_placeholders",
        "oci_private_ip_requests",
        "oci_public_ip_requests",
        "oci_route_rules",
        "oci_statements",
    }

# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of the role `oci`."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cloudvip.ha.plugins.filter.oci import (
    FilterModule,
    oci_forwarding_vnics,
    oci_placeholders,
    oci_private_ip_requests,
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
        "state": "present",
        "display_name": "vrouters-pod1",
        "tags": {"team": "x"},
        "label": "cloudvip_vips (pod1).address",
    }


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


def test_placeholders_are_named() -> None:
    settings = {"cloudvip_oci_region": "<your region>", "cloudvip_oci_config_profile": "PROD", "oci_endpoint": None}

    assert oci_placeholders(settings) == [
        "cloudvip_oci_region = '<your region>': expected a value of your own in place of the example's placeholder"
    ]


def test_the_filters_are_known_by_these_names() -> None:
    assert set(FilterModule().filters()) == {
        "oci_forwarding_vnics",
        "oci_placeholders",
        "oci_private_ip_requests",
        "oci_statements",
    }

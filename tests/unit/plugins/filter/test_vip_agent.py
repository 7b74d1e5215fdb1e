# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of the role vip_agent."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cloudvip.ha.plugins.filter.vip_agent import (
    FilterModule,
    agent_config,
    vip_disagreements,
    vip_revisions,
    vip_unsettled,
)
from cloudvip.config import parse

NODES = ("vr1", "vr2")
VIPS = {"transit": ("172.20.136.140", "ens3"), "pod1": ("10.0.0.4", "ens5")}
PRIVATE_IPS = {
    address: {"id": f"ocid1.privateip.oc99..{name}", "subnet_id": f"ocid1.subnet.oc99..{name}"}
    for name, (address, _) in VIPS.items()
}
OCI = {
    "region": "lab-emu-1",
    "tenancy_id": "ocid1.tenancy.oc99..t",
    "instance_id": "ocid1.instance.oc99..vr1",
    "endpoint": "https://iaas.lab-emu-1.ocilab.internal",
    "federation_endpoint": "https://auth.lab-emu-1.ocilab.internal/v1/x509",
    "ca_bundle": None,
    "metadata_url": "http://169.254.169.254/opc/v2",
}


def vnic(node: str, interface: str) -> str:
    return f"ocid1.vnic.oc99..{node}-{interface}"


MODEL: dict[str, Any] = {
    "cluster": "vrouters",
    "router": True,
    "nodes": list(NODES),
    "groups": [
        {
            "name": "main",
            "preferred_node": None,
            "vips": [
                {
                    "name": name,
                    "address": address,
                    "prefix": 28,
                    "state": "present",
                    "display_name": f"vrouters-{name}",
                    "tags": {},
                    "group": "main",
                    "bindings": {
                        node: {
                            "interface": interface,
                            "mac": f"02:00:17:00:0{number}:0A",
                            "vnic_id": vnic(node, interface),
                            "primary": "10.0.0.5",
                        }
                        for number, node in enumerate(NODES)
                    },
                }
                for name, (address, interface) in VIPS.items()
            ],
        }
    ],
    "absent": [],
}


def status(node: str, holder: str | None) -> dict[str, Any]:
    """What `cloudvip status --json` prints on `node` while `holder` has the group."""
    held = node == holder
    return {
        "groups": {
            "main": {
                "claimed": held,
                "revision": "r1",
                "claimed_revision": "r1" if held else None,
                "vips": [
                    {
                        "address": address,
                        "interface": interface,
                        "wanted": True,
                        "claimed": held,
                        "pending": None,
                        "local": "here" if held else "elsewhere",
                        "cloud": "here" if held else "elsewhere",
                        "cloud_vnic_id": vnic(holder, interface) if holder else None,
                        "detail": "",
                    }
                    for address, interface in VIPS.values()
                ],
            }
        }
    }


def test_the_configuration_is_one_that_the_node_accepts() -> None:
    config = parse(agent_config(MODEL, "vr2", PRIVATE_IPS, OCI), "config.json")

    assert [v._asdict() for v in config.group("main").vips] == [
        {
            "name": name,
            "address": address,
            "prefix": 28,
            "interface": interface,
            "mac": "02:00:17:00:01:0a",
            "vnic_id": vnic("vr2", interface),
            "private_ip_id": f"ocid1.privateip.oc99..{name}",
            "subnet_id": f"ocid1.subnet.oc99..{name}",
        }
        for name, (address, interface) in VIPS.items()
    ]


def test_the_revision_is_the_same_on_all_nodes_and_for_the_cluster() -> None:
    revisions = {agent_config(MODEL, node, PRIVATE_IPS, OCI)["groups"]["main"]["revision"] for node in NODES}

    assert revisions == set(vip_revisions(MODEL, PRIVATE_IPS).values())
    text = '[["10.0.0.4","ocid1.privateip.oc99..pod1"],["172.20.136.140","ocid1.privateip.oc99..transit"]]'
    assert revisions == {hashlib.sha256(text.encode()).hexdigest()[:12]}


def test_the_revision_changes_with_the_addresses_and_not_with_their_order_or_names() -> None:
    renamed = copy.deepcopy(MODEL)
    renamed["groups"][0]["vips"].reverse()
    renamed["groups"][0]["vips"][0]["name"] = "other"
    fewer = copy.deepcopy(MODEL)
    del fewer["groups"][0]["vips"][0]
    replaced = {**PRIVATE_IPS, "10.0.0.4": {"id": "ocid1.privateip.oc99..new"}}

    before = vip_revisions(MODEL, PRIVATE_IPS)

    assert vip_revisions(renamed, PRIVATE_IPS) == before
    assert vip_revisions(fewer, PRIVATE_IPS) != before
    assert vip_revisions(MODEL, replaced) != before


@pytest.mark.parametrize(
    ("private_ips", "missing"),
    [
        ({}, "id"),
        ({**PRIVATE_IPS, "10.0.0.4": {"id": None, "subnet_id": "ocid1.subnet.oc99..pod1"}}, "id"),
        ({**PRIVATE_IPS, "10.0.0.4": {"id": "ocid1.privateip.oc99..pod1"}}, "subnet_id"),
    ],
)
def test_an_object_may_be_missing_only_when_it_is_predicted(private_ips: dict[str, Any], missing: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"private_ips has no {missing} for "):
        agent_config(MODEL, "vr1", private_ips, OCI)

    config = agent_config(MODEL, "vr1", private_ips, OCI, predicted=True)
    assert "known after creation" in json.dumps(config)


def test_an_unknown_node_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="node 'vr9': expected one of"):
        agent_config(MODEL, "vr9", PRIVATE_IPS, OCI)


@pytest.mark.parametrize("holder", NODES)
def test_a_cluster_that_agrees_has_no_problems(holder: str) -> None:
    assert vip_disagreements({node: status(node, holder) for node in NODES}, MODEL) == []


def changed(node: str, holder: str | None, **values: Any) -> list[str]:
    """The problems that `node` sees when its entry for 10.0.0.4 says something else."""
    data = status(node, holder)
    data["groups"]["main"]["vips"][1].update(values)
    return vip_unsettled(data, MODEL, node)


@pytest.mark.parametrize(
    ("problems", "expected"),
    [
        (
            changed("vr1", "vr1", cloud="unknown", detail="timed out"),
            "vr1: where the cloud delivers 10.0.0.4 is unknown: timed out",
        ),
        (changed("vr1", "vr1", pending="404"), "vr1: 10.0.0.4 is not claimed yet: 404"),
        (changed("vr1", "vr1", cloud_vnic_id=None), "vr1: the cloud delivers 10.0.0.4 to no node of the cluster"),
        (changed("vr1", "vr1", local="elsewhere"), "10.0.0.4 here, but ens5 does not have it"),
        (changed("vr1", "vr1", claimed=False), "10.0.0.4 here, but the node has not claimed it"),
        (changed("vr1", "vr2", local="here"), "vr1: ens5 has 10.0.0.4, which the cloud delivers to vr2"),
        (changed("vr1", "vr2", wanted=False), "vr1: 10.0.0.4 is not configured"),
    ],
)
def test_what_a_node_may_see(problems: list[str], expected: str) -> None:
    assert len(problems) == 1
    assert expected in problems[0]


def test_a_cluster_without_a_holder_is_not_settled() -> None:
    assert len(vip_unsettled(status("vr1", None), MODEL, "vr1")) == 2


def test_an_address_that_is_no_longer_configured_has_to_be_gone() -> None:
    data = status("vr1", "vr1")
    entry = {**data["groups"]["main"]["vips"][0], "address": "10.0.0.9", "wanted": False}
    data["groups"]["main"]["vips"].append(entry)
    assert vip_unsettled(data, MODEL, "vr1") == ["vr1: ens3 has 10.0.0.9, which is no longer configured"]

    entry["local"] = "elsewhere"
    assert vip_unsettled(data, MODEL, "vr1") == []


def test_a_holder_has_to_have_taken_up_the_revision() -> None:
    data = status("vr1", "vr1")
    data["groups"]["main"]["claimed_revision"] = "r0"

    assert all("by a revision that is not the configured one" in p for p in vip_unsettled(data, MODEL, "vr1"))


def test_a_group_that_a_node_does_not_know() -> None:
    assert vip_unsettled({"groups": {}}, MODEL, "vr1") == ["vr1: group main is not configured"]


def test_a_group_on_two_nodes_is_a_problem_even_if_each_is_content() -> None:
    first, second = status("vr1", "vr1"), status("vr2", "vr1")
    first["groups"]["main"]["vips"][1].update(
        cloud="elsewhere", local="elsewhere", cloud_vnic_id=vnic("vr2", "ens5"), claimed=False
    )
    second["groups"]["main"]["vips"][1].update(
        cloud="here", local="here", cloud_vnic_id=vnic("vr2", "ens5"), claimed=True
    )
    second["groups"]["main"]["claimed_revision"] = "r1"

    assert vip_disagreements({"vr1": first, "vr2": second}, MODEL) == [
        "group main is on more than one node: vr1 has 172.20.136.140; vr2 has 10.0.0.4"
    ]


def test_the_filters_have_their_names() -> None:
    assert set(FilterModule().filters()) == {"agent_config", "vip_revisions", "vip_unsettled", "vip_disagreements"}

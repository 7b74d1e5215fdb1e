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
    doctor_report,
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
    "engine": "pacemaker",
    "router": True,
    "nodes": list(NODES),
    "groups": [
        {
            "name": "main",
            "preferred_node": None,
            "virtual_router_id": 77,
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


def vnic_fact(interface: str, address: str, **values: Any) -> dict[str, Any]:
    """One of the VNICs of vr1 in its fact."""
    return {
        "vnic_id": vnic("vr1", interface),
        "mac": f"02:00:17:00:00:{interface.removeprefix('ens'):0>2}",
        "private_ip": address,
        "subnet_cidr": "10.0.0.0/28",
        "virtual_router_ip": "10.0.0.1",
        "interface": interface,
        "addressed": True,
        "owned": False,
        "table": None,
        **values,
    }


PRIMARY = vnic_fact("ens3", "172.20.136.131")
VNICS = [PRIMARY, vnic_fact("ens5", "10.0.0.5")]
BARE = vnic_fact("ens5", "10.0.0.5", addressed=False)


def interfaces(*vnics: dict[str, Any], vips: Any = VIPS) -> list[dict[str, Any]]:
    """The interfaces that vr1 configures, with VIPs on these interfaces."""
    model = copy.deepcopy(MODEL)
    template = model["groups"][0]["vips"][0]
    model["groups"][0]["vips"] = [
        {
            **template,
            "name": name,
            "address": address,
            "bindings": {"vr1": {**template["bindings"]["vr1"], "vnic_id": vnic("vr1", interface)}},
        }
        for name, (address, interface) in vips.items()
    ]
    model["nodes"] = ["vr1"]
    private_ips = {address: {"id": "ocid1.privateip.x", "subnet_id": "ocid1.subnet.x"} for address, _ in vips.values()}
    found: list[dict[str, Any]] = agent_config(model, "vr1", vnics, private_ips, OCI)["interfaces"]
    return found


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
    config = parse(agent_config(MODEL, "vr2", VNICS, PRIVATE_IPS, OCI), "config.json")

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
    revisions = {agent_config(MODEL, node, VNICS, PRIVATE_IPS, OCI)["groups"]["main"]["revision"] for node in NODES}

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
        agent_config(MODEL, "vr1", VNICS, private_ips, OCI)

    config = agent_config(MODEL, "vr1", VNICS, private_ips, OCI, predicted=True)
    assert "known after creation" in json.dumps(config)


def test_a_vnic_that_is_yet_to_be_attached_changes_nothing_for_the_other_nodes() -> None:
    model = copy.deepcopy(MODEL)
    del model["groups"][0]["vips"][1]["bindings"]["vr2"]

    def config(node: str, model: dict[str, Any]) -> dict[str, Any]:
        return agent_config(model, node, VNICS, PRIVATE_IPS, OCI, predicted=True)

    assert config("vr1", model) == config("vr1", MODEL)
    assert [vip["name"] for vip in config("vr2", model)["groups"]["main"]["vips"]] == ["transit"]


def test_the_node_learns_by_which_virtual_router_keepalived_decides() -> None:
    config = agent_config(MODEL, "vr1", VNICS, PRIVATE_IPS, OCI)

    assert config["vrrp"] == parse(config, "config.json").vrrp == {"main": 77}


def test_an_unknown_node_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="node 'vr9': expected one of"):
        agent_config(MODEL, "vr9", VNICS, PRIVATE_IPS, OCI)


def test_a_vnic_that_nothing_configures_is_the_node_s_to_configure() -> None:
    expected = {
        "mac": "02:00:17:00:00:05",
        "address": "10.0.0.5",
        "prefix": 28,
        "gateway": "10.0.0.1",
        "table": 7000,
        "vips": ["10.0.0.4"],
        "mtu": 9000,
    }

    assert interfaces(PRIMARY, BARE) == [expected]
    # And remains it once it is configured.
    assert interfaces(PRIMARY, {**BARE, "addressed": True, "owned": True, "table": 7000}) == [expected]


@pytest.mark.parametrize(
    "vnics",
    [
        (PRIMARY, {**BARE, "addressed": True}),
        (BARE, PRIMARY),
        (PRIMARY, {**BARE, "vnic_id": vnic("vr1", "ens9")}),
    ],
    ids=["something else configures it", "it is the primary one", "it carries no VIP"],
)
def test_any_other_vnic_is_left_alone(vnics: tuple[dict[str, Any], ...]) -> None:
    assert interfaces(*vnics) == []


def test_a_vnic_keeps_its_table_while_others_come_and_go() -> None:
    vips = {f"pod{n}": (f"10.0.{n}.4", f"ens{n}") for n in (5, 6, 7)}
    kept = vnic_fact("ens6", "10.0.6.5", owned=True, table=7001)
    new = [vnic_fact(f"ens{n}", f"10.0.{n}.5", addressed=False) for n in (7, 5)]

    found = interfaces(PRIMARY, new[0], kept, new[1], vips=vips)

    assert {entry["address"]: entry["table"] for entry in found} == {
        "10.0.5.5": 7000,
        "10.0.6.5": 7001,
        "10.0.7.5": 7002,
    }
    # The table of one that goes is not given away in the run that takes it down.
    assert [e["table"] for e in interfaces(PRIMARY, kept, new[1], vips={"pod5": vips["pod5"]})] == [7000]
    gone = {**kept, "table": 7000}
    assert [e["table"] for e in interfaces(PRIMARY, gone, new[1], vips={"pod5": vips["pod5"]})] == [7001]


def test_the_node_accepts_its_interfaces() -> None:
    model = copy.deepcopy(MODEL)
    model["groups"][0]["vips"][1]["bindings"]["vr1"]["vnic_id"] = BARE["vnic_id"]

    config = parse(agent_config(model, "vr1", [PRIMARY, BARE], PRIVATE_IPS, OCI), "config.json")

    assert [(i.address, i.table, i.vips) for i in config.interfaces] == [("10.0.0.5", 7000, ("10.0.0.4",))]


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


def test_a_group_that_is_no_longer_configured_has_to_be_gone() -> None:
    data = status("vr1", "vr1")
    entry = {**data["groups"]["main"]["vips"][0], "address": "10.0.0.8", "wanted": False}
    data["groups"]["old"] = {"vips": [entry]}
    assert vip_unsettled(data, MODEL, "vr1") == ["vr1: ens3 has 10.0.0.8 of group old, which is no longer configured"]

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


REFUSED = {
    "subject": "UpdatePrivateIp",
    "text": "10.0.0.4: 404",
    "remedy": "allow it:\nallow dynamic-group <group> to {…}",
    "permissions": ["PRIVATE_IP_UPDATE", "VNIC_ASSIGN", "VNIC_UNASSIGN"],
}
LINK = {"subject": "ens5", "text": "no carrier", "remedy": "ip link set ens5 up", "permissions": []}


def test_a_report_has_each_failure_with_its_remedy() -> None:
    assert doctor_report([LINK, REFUSED]).splitlines() == [
        "ens5: no carrier",
        "  -> ip link set ens5 up",
        "UpdatePrivateIp: 10.0.0.4: 404",
        "  -> allow it:",
        "  -> allow dynamic-group <group> to {…}",
    ]


def test_a_report_names_exactly_the_permission_that_no_policy_grants() -> None:
    last = doctor_report([LINK, REFUSED], missing=["VNIC_UNASSIGN", "IPV6_READ"]).splitlines()[-1]

    assert last == "No policy grants the nodes' dynamic group VNIC_UNASSIGN; nothing else is lacking."


def test_a_report_says_when_the_policies_are_not_to_blame() -> None:
    assert "The policies grant all of it." in doctor_report([REFUSED], missing=[])
    assert "polic" not in doctor_report([LINK], missing=[])


def test_the_filters_have_their_names() -> None:
    assert set(FilterModule().filters()) == {
        "agent_config",
        "doctor_report",
        "vip_revisions",
        "vip_unsettled",
        "vip_disagreements",
    }

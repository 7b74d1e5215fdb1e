# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters that list the cluster resources of the VIP groups, and the node ids."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cloudvip.ha.plugins.filter.pacemaker import corosync_ids, pacemaker_resources


def model(*groups: str, absent: tuple[str, ...] = (), preferred: str | None = None) -> dict[str, Any]:
    return {
        "groups": [{"name": name, "preferred_node": preferred, "vips": []} for name in groups],
        "absent": [{"name": f"vip-of-{group}", "group": group} for group in absent],
    }


def test_a_group_is_one_resource_with_its_revision() -> None:
    (resource,) = pacemaker_resources(model("main"), {"main": "0f3c2a9b71de"})["resources"]

    assert (resource["id"], resource["state"], resource["agent"]) == ("cloudvip-main", "present", "ocf:cloudvip:vips")
    assert resource["params"] == {"group": "main", "revision": "0f3c2a9b71de"}


def test_the_operations_leave_time_for_the_cloud() -> None:
    (resource,) = pacemaker_resources(model("main"), {"main": "r"})["resources"]

    timers = {
        (op["name"], op["interval"]): (op["attributes"]["timeout"], op["params"]) for op in resource["operations"]
    }
    assert timers == {
        ("start", "0s"): ("60s", {}),
        ("stop", "0s"): ("20s", {}),
        ("reload-agent", "0s"): ("60s", {}),
        ("monitor", "5s"): ("20s", {}),
        ("monitor", "60s"): ("30s", {"OCF_CHECK_LEVEL": "10"}),
    }


def test_a_node_that_failed_is_left_at_once_and_allowed_again_soon() -> None:
    (resource,) = pacemaker_resources(model("main"), {"main": "r"})["resources"]

    assert resource["meta"]["migration-threshold"] == "1"
    assert resource["meta"]["failure-timeout"] == "5s"


def test_of_several_holders_one_claims_anew() -> None:
    (resource,) = pacemaker_resources(model("main"), {"main": "r"})["resources"]

    assert resource["meta"]["multiple-active"] == "stop_start"


def test_a_preference_is_weaker_than_the_stickiness() -> None:
    plan = pacemaker_resources(model("main", preferred="vr2"), {"main": "r"})

    (location,) = plan["locations"]
    assert (location["id"], location["state"], location["resource"], location["node"]) == (
        "cloudvip-main-prefers",
        "present",
        "cloudvip-main",
        "vr2",
    )
    assert 0 < int(location["score"]) < int(plan["resources"][0]["meta"]["resource-stickiness"])


def test_no_preference_removes_an_earlier_one() -> None:
    plan = pacemaker_resources(model("main"), {"main": "r"})

    assert plan["locations"] == [{"id": "cloudvip-main-prefers", "state": "absent"}]


def test_no_resource_but_those_of_the_groups_may_have_the_agent() -> None:
    plan = pacemaker_resources(model("main", absent=("main", "old")), {"main": "r"})

    assert [resource["id"] for resource in plan["resources"]] == ["cloudvip-main"]
    assert plan["purge_agent"] == "ocf:cloudvip:vips"


def test_a_group_without_a_revision_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match=r"expected one for each group, \['other'\] have none"):
        pacemaker_resources(model("main", "other"), {"main": "r"})


def corosync_conf(**ids: int) -> str:
    node = "    node {{\n        name: {}\n        nodeid: {}\n        ring0_addr: 192.0.2.1{}\n    }}\n"
    return "nodelist {\n" + "".join(node.format(name, number, number) for name, number in ids.items()) + "}\n"


# As Debian's package brings it.
DEFAULT = (
    "totem {\n\tversion: 2\n}\nnodelist {\n\t# Change/uncomment/add node sections\n\n\tnode {\n"
    "\t\t# Hostname of the node\n\t\tname: node1\n\t\t# Cluster membership node identifier\n\t\tnodeid: 1\n"
    "\t\t# Address of first link\n\t\tring0_addr: 127.0.0.1\n\t}\n}\n"
)


@pytest.mark.parametrize("files", [{}, {"vr1": DEFAULT, "vr2": DEFAULT}])
def test_the_nodes_of_a_new_cluster_are_numbered_in_their_order(files: dict[str, str]) -> None:
    assert corosync_ids(["vr3", "vr1", "vr2"], files) == {"vr3": 1, "vr1": 2, "vr2": 3}


@pytest.mark.parametrize(
    ("nodes", "ids"),
    [
        (["vr2", "vr1", "vr3"], {"vr2": 2, "vr1": 1, "vr3": 3}),
        (["vr2", "vr3"], {"vr2": 2, "vr3": 3}),
        (["vr0", "vr2", "vr3", "vr9"], {"vr0": 4, "vr2": 2, "vr3": 3, "vr9": 5}),
        (["vr1", "vr4"], {"vr1": 1, "vr4": 4}),
    ],
)
def test_a_node_keeps_its_id_whoever_comes_and_goes(nodes: list[str], ids: dict[str, int]) -> None:
    files = {name: corosync_conf(vr1=1, vr2=2, vr3=3) for name in nodes if name in ("vr1", "vr2", "vr3")}

    assert corosync_ids(nodes, files) == ids


def test_a_member_that_lacks_the_others_counts_too() -> None:
    files = {"vr1": corosync_conf(vr1=1, vr2=2), "vr3": corosync_conf(vr1=1, vr2=2, vr3=7), "vr2": DEFAULT}

    assert corosync_ids(["vr1", "vr2", "vr3", "vr4"], files) == {"vr1": 1, "vr2": 2, "vr3": 7, "vr4": 8}


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (
            {"vr1": corosync_conf(vr1=1, vr2=2), "vr2": corosync_conf(vr1=2, vr2=3)},
            "corosync.conf of vr2 has nodeid 2 for vr1, that of another member 1 for vr1: expected the same",
        ),
        (
            {"vr1": corosync_conf(vr1=1, vr4=3), "vr3": corosync_conf(vr1=1, vr3=3)},
            "corosync.conf of vr3 has nodeid 3 for vr3, that of another member 3 for vr4: expected the same",
        ),
        ({"web": corosync_conf(vr1=1, vr2=2)}, r"corosync.conf of web has the nodes \['vr1', 'vr2'\]: expected web"),
    ],
)
def test_members_that_do_not_agree_are_refused(files: dict[str, str], problem: str) -> None:
    with pytest.raises(AnsibleFilterError, match=problem):
        corosync_ids(["vr1", "vr2"], files)

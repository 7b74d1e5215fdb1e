# SPDX-License-Identifier: GPL-3.0-or-later
"""What the nodes of a cluster, and the clusters of an inventory, are not at one about."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._clusters import conflicts, differences

POD1 = {"name": "pod1", "address": "10.0.0.4", "prefix": 28}
POD2 = {"name": "pod2", "address": "10.0.0.36", "prefix": 28}
OWN = "set it for all nodes of the cluster, not for a host"


def different(first: dict[str, Any], second: dict[str, Any], third: dict[str, Any] | None = None) -> list[str]:
    hostvars = {"vr1": first, "vr2": second, "vr3": first if third is None else third}
    return differences(["vr1", "vr2", "vr3"], hostvars, ["cloudvip_vips", "cloudvip_engine"])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"cloudvip_vips": [POD1, POD2]}, {"cloudvip_vips": [POD2, POD1]}),
        ({"cloudvip_vips": [POD1]}, {"cloudvip_vips": [{**POD1, "group": None}]}),
        ({"cloudvip_engine": "pacemaker", "ansible_host": "a"}, {"cloudvip_engine": "pacemaker", "ansible_host": "b"}),
    ],
)
def test_what_is_the_same_or_the_host_s_own_is_no_difference(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert different(first, second) == []


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        (
            {"cloudvip_engine": "pacemaker"},
            {"cloudvip_engine": "keepalived"},
            f"cloudvip_engine of vr2 = 'keepalived': expected 'pacemaker' as on vr1: {OWN}",
        ),
        (
            {},
            {"cloudvip_engine": "keepalived"},
            f"cloudvip_engine of vr2 = 'keepalived': expected None as on vr1: {OWN}",
        ),
        (
            {"cloudvip_vips": [POD1, POD2]},
            {"cloudvip_vips": [POD1, {**POD2, "prefix": 24}]},
            f"cloudvip_vips (pod2).prefix of vr2 = 24: expected 28 as on vr1: {OWN}",
        ),
        (
            {"cloudvip_vips": [POD1, POD2]},
            {"cloudvip_vips": [POD2]},
            f"cloudvip_vips (pod1) of vr2 = None: expected {POD1} as on vr1: {OWN}",
        ),
        (
            {"cloudvip_vips": ["a", "b"]},
            {"cloudvip_vips": ["a", "c"]},
            f"cloudvip_vips[1] of vr2 = 'c': expected 'b' as on vr1: {OWN}",
        ),
    ],
)
def test_a_difference_is_named_where_it_is(first: dict[str, Any], second: dict[str, Any], problem: str) -> None:
    assert different(first, second) == [problem]


def test_every_node_is_compared_with_the_first() -> None:
    found = different({"cloudvip_engine": "a"}, {"cloudvip_engine": "b"}, {"cloudvip_engine": "c"})

    assert [problem.split(":")[0] for problem in found] == [
        "cloudvip_engine of vr2 = 'b'",
        "cloudvip_engine of vr3 = 'c'",
    ]


def routers(cluster: str, subnet: str, addresses: str, region: str = "r", **ids: int) -> dict[str, Any]:
    """What the filter says of a cluster with nodes in one subnet, whose addresses end with these numbers."""
    place = {"tenancy_id": "t", "region": region, "subnet_cidr": subnet}
    base = subnet.rpartition(".")[0]
    vnics = [{**place, "private_ip": f"{base}.{number}"} for number in addresses.split()]
    return {"cluster": cluster, "ids": ids, "vnics": vnics}


A = routers("a", "10.0.0.0/28", "2 3", main=7, web=8)


def test_an_id_of_another_cluster_in_the_subnet_is_named_with_both_groups() -> None:
    other = routers("b", "10.0.0.0/28", "4", main=9, mail=7)
    other["vnics"] += routers("b", "10.9.9.0/28", "2")["vnics"]

    assert conflicts(A, [A, other]) == [
        "cloudvip_virtual_router_ids.main of cluster 'a' = 7: expected an id of its own in the subnet 10.0.0.0/28: "
        "group 'mail' of cluster 'b' has this one; set another in cloudvip_virtual_router_ids of one of the clusters"
    ]


@pytest.mark.parametrize(
    "other",
    [
        routers("b", "10.0.0.0/28", "4 5", main=9),
        routers("b", "10.1.0.0/28", "4 5", main=7),
        # A subnet of another VCN, as subnets of one do not overlap.
        routers("b", "10.0.0.0/24", "4 5", main=7),
        routers("b", "10.0.0.0/28", "3 4", main=7),
        routers("b", "10.0.0.0/28", "4 5", region="s", main=7),
    ],
    ids=["another id", "another network", "a wider network", "the same address", "another region"],
)
def test_other_ids_and_other_subnets_do_not_matter(other: dict[str, Any]) -> None:
    assert conflicts(A, [A, other]) == []

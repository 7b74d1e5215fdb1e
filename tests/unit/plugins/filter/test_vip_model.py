# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters that check and complete the list of VIPs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cloudvip.ha.plugins.filter.vip_model import (
    FilterModule,
    cluster_of,
    vip_model,
    vip_problems,
    virtual_routers,
)

NODES = ["vr1", "vr2", "vr3"]
SUBNETS = {
    "ens3": ("172.20.136.128/28", "172.20.136.129", ["172.20.136.131", "172.20.136.132", "172.20.136.133"]),
    "ens5": ("10.0.0.0/28", "10.0.0.1", ["10.0.0.5", "10.0.0.6", "10.0.0.7"]),
    "ens6": ("10.0.0.32/28", "10.0.0.33", ["10.0.0.37", "10.0.0.38", "10.0.0.39"]),
}
TRANSIT = {"name": "transit", "address": "172.20.136.140", "prefix": 28}
POD1 = {"name": "pod1", "address": "10.0.0.4", "prefix": 28}
POD2 = {"name": "pod2", "address": "10.0.0.36", "prefix": 28}
IPV6 = {"name": "six", "address": "2001:db8:0:a02::9", "prefix": 64}
SUBNET = "ocid1.subnet.x"
ROUTE = {"route_table_id": "ocid1.routetable.x", "destination": "192.0.2.0/24"}
# A POD for which no node has a VNIC yet.
POD3 = {"name": "pod3", "address": "10.0.0.68", "prefix": 28, "subnet_id": SUBNET}


def vnics() -> dict[str, Any]:
    """What vnic_facts says of each node, in an order that is no one's but the node's."""
    return {
        node: {
            "vnics": [
                {
                    "vnic_id": f"ocid1.vnic.{node}.{interface}",
                    "mac": f"02:00:17:00:0{index}:{interface[-1]:0>2}",
                    "private_ip": primaries[index],
                    "subnet_cidr": cidr,
                    "virtual_router_ip": gateway,
                    "interface": interface,
                    "ipv6_subnet_cidr": "2001:db8:0:a02::/64" if interface == "ens5" else None,
                    "addressed": True,
                    "owned": False,
                }
                for interface, (cidr, gateway, primaries) in SUBNETS.items()
            ],
            "tenancy_id": "ocid1.tenancy.x",
            "region": "eu-frankfurt-1",
        }
        for index, node in enumerate(NODES)
    }


def model(*vips: object, **inputs: Any) -> dict[str, Any]:
    return vip_model(list(vips), **{"cluster": "vrouters", "nodes": NODES, "vnics": vnics(), **inputs})


def problems(*vips: object, **inputs: Any) -> list[str]:
    return vip_problems(list(vips), **{"cluster": "vrouters", "nodes": NODES, "vnics": vnics(), **inputs})


def test_a_vip_is_bound_to_the_interface_whose_subnet_holds_it() -> None:
    (group,) = model(POD1)["groups"]

    assert group["vips"][0]["bindings"]["vr2"] == {
        "interface": "ens5",
        "mac": "02:00:17:00:01:05",
        "vnic_id": "ocid1.vnic.vr2.ens5",
        "primary": "10.0.0.6",
    }
    assert list(group["vips"][0]["bindings"]) == NODES


def test_defaults_are_filled_in() -> None:
    built = model(TRANSIT)

    assert built["groups"][0]["name"] == "main"
    assert built["groups"][0]["preferred_node"] is None
    vip = {key: value for key, value in built["groups"][0]["vips"][0].items() if key != "bindings"}
    assert vip == {
        "name": "transit",
        "address": "172.20.136.140",
        "prefix": 28,
        "state": "present",
        "display_name": "vrouters-transit",
        "tags": {},
        "public_ip": False,
        "subnet_id": None,
        "routes": [],
        "group": "main",
    }


def test_the_model_is_json_and_names_the_primary_addresses() -> None:
    built = model(TRANSIT)

    assert json.loads(json.dumps(built)) == built
    assert built["addresses"] == {"vr1": "172.20.136.131", "vr2": "172.20.136.132", "vr3": "172.20.136.133"}
    assert built["cluster"] == "vrouters"


def test_the_model_says_what_the_engine_needs() -> None:
    built = model(TRANSIT, engine="keepalived", checks=[{"name": "web", "type": "tcp", "port": 80}])

    assert built["engine"] == "keepalived"
    assert built["interfaces"] == dict.fromkeys(NODES, "ens3")
    assert [check["name"] for check in built["checks"]] == ["web"]
    assert built["groups"][0]["virtual_router_id"] == 91


def router_ids(*vips: object, **inputs: Any) -> dict[str, int]:
    built = model(*vips, **{"engine": "keepalived", **inputs})
    return {group["name"]: group["virtual_router_id"] for group in built["groups"]}


def test_a_group_keeps_its_virtual_router_when_others_come() -> None:
    alone = router_ids(POD1)
    among_others = router_ids({**TRANSIT, "group": "a"}, POD1, {**POD2, "group": "b"})

    assert among_others["main"] == alone["main"]
    assert len(set(among_others.values())) == 3
    assert router_ids(POD1, cluster="other") != alone
    assert all(1 <= router_ids({**POD1, "group": f"g{i}"})[f"g{i}"] <= 255 for i in range(600))


def test_a_virtual_router_id_by_hand_replaces_the_derived_one() -> None:
    ids = router_ids(POD1, {**POD2, "group": "b"}, virtual_router_ids={"b": "255"})

    assert ids == {"main": 91, "b": 255}


def test_two_groups_of_a_cluster_do_not_share_a_virtual_router_id() -> None:
    vips = [POD1, {**POD2, "group": "b"}]
    (found,) = problems(*vips, engine="keepalived", virtual_router_ids={"b": 91}, vnics=None)

    assert found == (
        "cloudvip_virtual_router_ids.b = 91: expected an id of its own: group 'main' has this one; "
        "set another in cloudvip_virtual_router_ids"
    )


def test_derived_virtual_router_ids_that_meet_are_refused() -> None:
    # By the pigeonhole principle.
    vips = [{**POD1, "name": f"v{i}", "address": f"10.0.{i}.4", "group": f"g{i}"} for i in range(256)]

    found = problems(*vips, engine="keepalived", vnics=None)

    assert found
    assert all("expected an id of its own: group 'g" in problem for problem in found)


def test_the_group_of_a_pod_that_is_to_come_has_its_virtual_router_checked() -> None:
    inputs = {"pods": [{**POD3, "group": "b"}], "predicted": True, "virtual_router_ids": {"b": 91}}

    (found,) = problems(POD1, engine="keepalived", **inputs)

    assert "expected an id of its own: group 'main' has this one" in found


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (
            {"maan": 5},
            "cloudvip_virtual_router_ids.maan = 5: expected one of the groups main, old (did you mean 'main'?)",
        ),
        ({"main": 256}, "cloudvip_virtual_router_ids.main = 256: expected a whole number from 1 to 255"),
        ({"main": 0}, "cloudvip_virtual_router_ids.main = 0: expected a whole number from 1 to 255"),
    ],
)
def test_a_bad_virtual_router_id_is_refused(ids: dict[str, Any], expected: str) -> None:
    vips = [POD1, {**POD2, "group": "old", "state": "absent"}]

    assert problems(*vips, engine="keepalived", virtual_router_ids=ids) == [expected]
    assert problems(*vips, virtual_router_ids=ids) == [expected]


@pytest.mark.parametrize("ids", [None, {"old": 91}])
def test_no_virtual_router_id_is_a_problem_where_none_is_used(ids: dict[str, Any] | None) -> None:
    vips = [POD1, {**POD2, "group": "old", "state": "absent"}]

    assert router_ids(*vips, virtual_router_ids=ids) == {"main": 91}


def test_the_group_of_a_vip_that_is_refused_is_not_refused_besides() -> None:
    bad = {**POD2, "group": "b", "prefix": 99}

    (found,) = problems(POD1, bad, engine="keepalived", virtual_router_ids={"b": 5})

    assert "prefix = 99" in found


def test_the_virtual_routers_are_those_of_the_model_and_of_pods_that_are_to_come() -> None:
    vips = [TRANSIT, {**POD1, "group": "b", "preferred_node": "vr2"}]
    pods, ids = [{**POD3, "group": "c"}], {"b": 5}

    named = virtual_routers(vips, "vrouters", vnics(), pods, ids)

    assert named["ids"].pop("c") not in (91, 5)
    assert named["ids"] == router_ids(*vips, virtual_router_ids=ids)
    place = {"tenancy_id": "ocid1.tenancy.x", "region": "eu-frankfurt-1", "subnet_cidr": "172.20.136.128/28"}
    assert named["vnics"] == [{**place, "private_ip": address} for address in SUBNETS["ens3"][2]]


def test_keepalived_needs_the_primary_interface_of_every_node() -> None:
    facts = vnics()
    facts["vr3"]["vnics"][0]["interface"] = None

    (found,) = problems(POD1, vnics=facts, engine="keepalived")

    assert found == (
        "cloudvip_vnic of vr3 = None: expected a Linux interface of vr3 with the MAC address 02:00:17:00:02:03 of its "
        "primary VNIC ocid1.vnic.vr3.ens3, on which keepalived talks to the other nodes"
    )
    assert problems(POD1, vnics=facts) == []


@pytest.mark.parametrize(
    ("vips", "router"),
    [
        ([TRANSIT, POD1], True),
        ([TRANSIT], False),
        ([TRANSIT, {**TRANSIT, "name": "second", "address": "172.20.136.141"}], False),
        ([TRANSIT, {**POD1, "group": "other"}], False),
        ([TRANSIT, {**POD1, "state": "absent"}], False),
    ],
)
def test_a_router_is_a_group_in_several_subnets(vips: list[dict[str, Any]], router: bool) -> None:
    assert model(*vips)["router"] is router


def test_absent_vips_stand_apart_with_their_bindings() -> None:
    built = model({**TRANSIT, "state": "absent"}, POD1)

    assert [vip["name"] for vip in built["absent"]] == ["transit"]
    assert built["absent"][0]["state"] == "absent"
    assert built["absent"][0]["bindings"]["vr1"]["interface"] == "ens3"
    assert [vip["name"] for vip in built["groups"][0]["vips"]] == ["pod1"]


def test_a_group_of_absent_vips_only_is_no_group() -> None:
    assert model({**TRANSIT, "state": "absent"})["groups"] == []


def test_groups_keep_the_order_of_the_list() -> None:
    built = model({**POD2, "group": "zulu"}, {**POD1, "group": "alpha"}, {**TRANSIT, "group": "zulu"})

    assert [(group["name"], [vip["name"] for vip in group["vips"]]) for group in built["groups"]] == [
        ("zulu", ["pod2", "transit"]),
        ("alpha", ["pod1"]),
    ]


def test_one_vip_s_preferred_node_is_that_of_its_group() -> None:
    assert model(TRANSIT, {**POD1, "preferred_node": "vr2"})["groups"][0]["preferred_node"] == "vr2"


def test_everything_optional_is_taken_over() -> None:
    given = {**POD1, "display_name": "shown", "tags": {"team": "net"}, "interface": "ens5", "public_ip": False}

    vip = model(given)["groups"][0]["vips"][0]

    assert (vip["display_name"], vip["tags"]) == ("shown", {"team": "net"})


def test_an_ipv6_vip_is_bound_to_the_interface_whose_prefix_holds_it() -> None:
    built = model(TRANSIT, {**IPV6, "address": "2001:DB8:0:A02:0::9"})

    vip = built["groups"][0]["vips"][1]
    assert (vip["address"], vip["prefix"]) == ("2001:db8:0:a02::9", 64)
    assert vip["bindings"]["vr3"]["interface"] == "ens5"


@pytest.mark.parametrize(
    ("index", "values", "refused"),
    [
        (1, {"addressed": False}, True),
        (1, {"owned": True}, True),
        (2, {"addressed": False}, False),
        (0, {"addressed": False, "ipv6_subnet_cidr": "2001:db8:0:a02::/64"}, False),
    ],
    ids=["nothing configures it", "cloudvip does already", "another interface", "the primary one"],
)
@pytest.mark.parametrize("predicted", [False, True])
def test_an_ipv6_vip_needs_an_interface_that_something_else_configures(
    index: int, values: dict[str, Any], refused: bool, predicted: bool
) -> None:
    facts = vnics()
    facts["vr2"]["vnics"][index].update(values)
    if index == 0:
        del facts["vr2"]["vnics"][1]

    found = problems(IPV6, vnics=facts, predicted=predicted)

    expected = (
        "cloudvip_vips[0] (six).address = '2001:db8:0:a02::9': expected an interface of vr2 that something else "
        "configures: cloudvip configures ens5 itself, which it can for IPv4 only"
    )
    assert found == [expected] * refused
    assert problems(TRANSIT, {**IPV6, "state": "absent"}, vnics=facts, predicted=predicted) == []


def test_a_pod_whose_vnics_are_to_come_has_no_ipv6_address() -> None:
    facts, pod = vnics(), {**IPV6, "subnet_id": SUBNET}
    assert problems(TRANSIT, pods=[pod], predicted=True) == []
    del facts["vr3"]["vnics"][1]

    (found,) = problems(TRANSIT, vnics=facts, pods=[pod], predicted=True)

    assert found.startswith(
        "cloudvip_pods[0] (six).address = '2001:db8:0:a02::9': expected an address in a subnet of vr3"
    )
    assert found.endswith("cloudvip attaches and configures VNICs for IPv4 only")
    assert problems(TRANSIT, vnics=facts, pods=[{**pod, "state": "absent"}], predicted=True) == []


@pytest.mark.parametrize(
    ("vips", "router"),
    [
        ([POD1, IPV6], False),
        ([TRANSIT, POD1, IPV6], True),
        ([POD1, IPV6, {**IPV6, "name": "seven", "address": "2001:db8:0:a06::9"}], False),
    ],
)
def test_ipv6_vips_make_no_router(vips: list[dict[str, Any]], router: bool) -> None:
    facts = vnics()
    for node in NODES:
        facts[node]["vnics"][2]["ipv6_subnet_cidr"] = "2001:db8:0:a06::/64"

    assert model(*vips, vnics=facts)["router"] is router


def test_routes_and_a_public_address_are_taken_over() -> None:
    vip = model({**POD1, "routes": [ROUTE], "public_ip": True})["groups"][0]["vips"][0]

    assert (vip["routes"], vip["public_ip"]) == ([ROUTE], True)


def test_a_destination_leads_to_one_vip() -> None:
    (found,) = problems({**POD1, "routes": [ROUTE]}, {**POD2, "routes": [ROUTE]})

    assert found == (
        "cloudvip_vips[1] (pod2).routes = '192.0.2.0/24 in ocid1.routetable.x': "
        "expected one VIP per table and destination: cloudvip_vips[0] (pod1) has this one"
    )


def test_a_destination_is_listed_once_by_a_vip_too() -> None:
    (found,) = problems({**POD1, "routes": [ROUTE, ROUTE]})

    assert found.endswith("expected one VIP per table and destination: cloudvip_vips[0] (pod1) has this one")


def test_public_ips_are_told_apart_by_their_names() -> None:
    shown = {"display_name": "web", "public_ip": True}
    (found,) = problems({**POD1, **shown}, {**POD2, **shown})

    assert found.startswith("cloudvip_vips[1] (pod2).display_name = 'web': expected a name of its own")
    assert problems({**POD1, "display_name": "web"}, {**POD2, **shown}) == []


def test_a_pod_is_a_vip_of_its_own_list() -> None:
    built = model(TRANSIT, pods=[{**POD1, "subnet_id": SUBNET}])

    assert [vip["name"] for vip in built["groups"][0]["vips"]] == ["transit", "pod1"]
    assert model(pods=[{**POD1, "subnet_id": SUBNET}])["groups"]


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([POD1], "cloudvip_pods[0].subnet_id = None: expected a value: the key is required"),
        ([{**POD3, "subnet_id": "pod3"}], "cloudvip_pods[0] (pod3).subnet_id = 'pod3': expected the OCID of the POD's"),
        ("pod3", "cloudvip_pods = 'pod3': expected a list of PODs, each with name, address, prefix and subnet_id"),
        ([{**POD3, "name": "transit"}], "cloudvip_pods[0] (transit).name = 'transit': expected a name of its own"),
        ([POD3], "cloudvip_pods[0] (pod3).address = '10.0.0.68': expected an address in a subnet of vr1"),
    ],
)
def test_a_bad_pod_is_refused(pods: object, expected: str) -> None:
    found = problems(TRANSIT, pods=pods)

    assert any(problem.startswith(expected) for problem in found), found


def test_a_pod_whose_vnics_are_predicted_only_is_left_out() -> None:
    built = model(TRANSIT, pods=[POD3], predicted=True)

    assert [vip["name"] for vip in built["groups"][0]["vips"]] == ["transit"]


def test_a_pod_stays_where_a_new_node_is_to_get_its_vnic() -> None:
    facts, pods = vnics(), [{**POD1, "subnet_id": SUBNET}]
    del facts["vr3"]["vnics"][1]

    (group,) = model(TRANSIT, vnics=facts, pods=pods, predicted=True)["groups"]

    assert [(vip["name"], list(vip["bindings"])) for vip in group["vips"]] == [("transit", NODES), ("pod1", NODES[:2])]
    (problem,) = problems(TRANSIT, vnics=facts, pods=pods)
    assert "(pod1).address = '10.0.0.4': expected an address in a subnet of vr3" in problem


@pytest.mark.parametrize("predicted", [False, True])
def test_an_absent_pod_whose_vnics_are_gone_may_have_left_its_private_ip(predicted: bool) -> None:
    (gone,) = model(TRANSIT, pods=[{**POD3, "state": "absent"}], predicted=predicted)["absent"]

    assert (gone["name"], gone["subnet_id"], gone["bindings"]) == ("pod3", SUBNET, {})


def test_an_absent_pod_of_which_a_vnic_is_left_is_still_to_be_removed() -> None:
    facts = vnics()
    del facts["vr1"]["vnics"][1]

    (gone,) = model(TRANSIT, vnics=facts, pods=[{**POD1, "subnet_id": SUBNET, "state": "absent"}])["absent"]

    assert set(gone["bindings"]) == {"vr2", "vr3"}


@pytest.mark.parametrize(
    ("vip", "expected"),
    [
        ("pod1", "cloudvip_vips[0] = 'pod1': expected a mapping"),
        ({**POD1, "adress": "10.0.0.9"}, "cloudvip_vips[0].adress = '10.0.0.9': expected no such key (did you mean"),
        ({"name": "pod1", "address": "10.0.0.4"}, "cloudvip_vips[0].prefix = None: expected a value"),
        ({**POD1, "name": None}, "cloudvip_vips[0].name = None: expected a value"),
        ({**POD1, "name": "Pod 1"}, "(Pod 1).name = 'Pod 1': expected a lower-case letter"),
        ({**POD1, "name": "p" * 33}, "expected a lower-case letter, then up to 31"),
        ({**POD1, "group": "1st"}, "(pod1).group = '1st': expected a lower-case letter"),
        ({**POD1, "address": "10.0.0.300"}, "(pod1).address = '10.0.0.300': expected an IPv4 or IPv6 address"),
        (
            {**POD1, "address": "10.0.0.4/28"},
            "(pod1).address = '10.0.0.4/28': expected an IPv4 or IPv6 address without",
        ),
        ({**POD1, "prefix": "x"}, "(pod1).prefix = 'x': expected the prefix length"),
        ({**POD1, "prefix": True}, "(pod1).prefix = True: expected the prefix length"),
        ({**POD1, "prefix": 31}, "(pod1).prefix = 31: expected the prefix length"),
        ({**POD1, "prefix": 24}, "(pod1).prefix = 24: expected 28, that of its subnet 10.0.0.0/28"),
        ({**POD1, "state": "gone"}, "(pod1).state = 'gone': expected present or absent"),
        ({**POD1, "public_ip": "yes"}, "(pod1).public_ip = 'yes': expected true or false"),
        ({**IPV6, "public_ip": True}, "(six).public_ip = True: expected false: an IPv6 address needs no other one"),
        (
            {**IPV6, "routes": [{**ROUTE, "destination": "::/0"}]},
            "'destination': '::/0'}]: expected []: in OCI, a route rule for IPv6 cannot lead to an address",
        ),
        ({**IPV6, "prefix": 80}, "(six).prefix = 80: expected 64, that of its subnet 2001:db8:0:a02::/64"),
        ({**IPV6, "address": "2001:db8:0:a02::"}, "this one is the network address"),
        ({**IPV6, "address": "2001:db8::9"}, "expected an address in a subnet of vr1: ens5 2001:db8:0:a02::/64"),
        ({**POD1, "subnet_id": SUBNET}, "cloudvip_vips[0].subnet_id = 'ocid1.subnet.x': expected no such key"),
        ({**POD1, "routes": "all"}, "(pod1).routes = 'all': expected a list of rules, each with route_table_id and"),
        ({**POD1, "routes": ["all"]}, "(pod1).routes[0] = 'all': expected a mapping with the keys route_table_id and"),
        (
            {**POD1, "routes": [{"destination": "0.0.0.0/0"}]},
            "(pod1).routes[0].route_table_id = None: expected a value",
        ),
        (
            {**POD1, "routes": [{**ROUTE, "destination": "10.0.0.4/28"}]},
            "(pod1).routes[0].destination = '10.0.0.4/28': expected an IPv4 network, such as 192.0.2.0/24",
        ),
        (
            {**POD1, "routes": [{**ROUTE, "destination": "::/0"}]},
            "(pod1).routes[0].destination = '::/0': expected an IPv4 network",
        ),
        (
            {**POD1, "routes": [{**ROUTE, "route_table_id": "main"}]},
            "(pod1).routes[0].route_table_id = 'main': expected the OCID of a route table",
        ),
        ({**POD1, "preferred_node": "vr9"}, "(pod1).preferred_node = 'vr9': expected one of the nodes vr1, vr2, vr3"),
        ({**POD1, "interface": "ens3"}, "(pod1).interface = 'ens3': expected an interface of vr1 in the subnet"),
        ({**POD1, "interface": ""}, "(pod1).interface = '': expected a text"),
        ({**POD1, "tags": {"a": 1}}, "(pod1).tags = {'a': 1}: expected a mapping of texts"),
        (
            {**POD1, "address": "192.0.2.4"},
            "'192.0.2.4': expected an address in a subnet of vr3: ens3 172.20",
        ),
        (
            {**POD1, "address": "10.0.0.0"},
            "'10.0.0.0': expected a free host address of 10.0.0.0/28: this one is",
        ),
        ({**POD1, "address": "10.0.0.15"}, "this one is the broadcast address"),
        ({**POD1, "address": "10.0.0.1"}, "this one is the gateway"),
        (
            {**POD1, "address": "10.0.0.7"},
            "'10.0.0.7': expected an address that is not a node's primary: this one is vr3's",
        ),
        (
            {**POD1, "address": "CHANGE_ME_ADDRESS"},
            "(pod1).address = 'CHANGE_ME_ADDRESS': expected a value of",
        ),
        ({**POD1, "tags": {"team": "<your team>"}}, "(pod1).tags.team = '<your team>': expected a value of your own"),
    ],
)
def test_a_bad_vip_is_refused_with_its_name_value_and_expectation(vip: object, expected: str) -> None:
    found = problems(vip)

    assert any(expected in problem for problem in found), found


def test_a_placeholder_is_one_problem_and_no_bad_value_besides() -> None:
    assert len(problems({**POD1, "address": "CHANGE_ME", "preferred_node": "CHANGE_ME"})) == 2


@pytest.mark.parametrize("raw", [None, "text", {"name": "pod1"}])
def test_the_list_must_be_one(raw: object) -> None:
    found = vip_problems(raw, cluster="vrouters", nodes=NODES)

    assert found == [f"cloudvip_vips = {raw!r}: expected a list of VIPs, each with name, address and prefix"]


def test_an_empty_list_is_refused() -> None:
    (found,) = problems()

    assert found.startswith("cloudvip_vips = []: expected at least one VIP")


def test_names_and_addresses_are_unique() -> None:
    found = problems(POD1, {**POD2, "name": "pod1"}, {**POD1, "name": "third", "state": "absent"})

    assert found == [
        "cloudvip_vips[1] (pod1).name = 'pod1': expected a name of its own: cloudvip_vips[0] (pod1) has this one",
        "cloudvip_vips[2] (third).address = '10.0.0.4': expected an address of its own: "
        "cloudvip_vips[0] (pod1) has this one",
    ]


def test_a_group_cannot_prefer_two_nodes() -> None:
    (found,) = problems({**POD1, "preferred_node": "vr1"}, {**POD2, "preferred_node": "vr2"})

    assert "(pod2).preferred_node = 'vr2': expected 'vr1' as for the other VIPs of group 'main'" in found


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"engine": "pacemakr"}, "cloudvip_engine = 'pacemakr': expected pacemaker or keepalived (did you mean"),
        (
            {"engine": "keepalived", "cloud": "none"},
            "cloudvip_cloud = 'none': expected oci: 'none' is not available yet",
        ),
        ({"cloud": "openstack"}, "cloudvip_cloud = 'openstack': expected oci: 'openstack' is not available yet"),
        ({"cloud": "aws"}, "cloudvip_cloud = 'aws': expected oci"),
        ({"profile": "quick"}, "cloudvip_profile = 'quick': expected fast or balanced or tolerant"),
        ({"fencing": "oci"}, "cloudvip_fencing = 'oci': expected none"),
        ({"cluster": "my cluster"}, "cloudvip_cluster = 'my cluster': expected a letter"),
        ({"nodes": ["vr1"]}, "cloudvip_nodes = ['vr1']: expected 2 to 16 nodes"),
        ({"nodes": [f"n{i}" for i in range(17)]}, "expected 2 to 16 nodes"),
        ({"nodes": ["vr1", "a b"]}, "cloudvip_nodes = 'a b': expected node names"),
        ({"checks": [{"name": "web", "type": "tcp"}]}, "cloudvip_checks[0].port = None: expected a value"),
        (
            {"engine": "keepalived", "virtual_router_ids": [51]},
            "cloudvip_virtual_router_ids = [51]: expected a mapping of VIP groups to whole numbers",
        ),
        ({"settings": {"cloudvip_x": ["ok", {"y": "CHANGE_ME"}]}}, "cloudvip_x[1].y = 'CHANGE_ME': expected a value"),
    ],
)
def test_bad_settings_are_refused_without_asking_a_node(inputs: dict[str, Any], expected: str) -> None:
    found = problems(POD1, **{"vnics": None, **inputs})

    assert len(found) == 1
    assert found[0].startswith(expected) or expected in found[0]


def test_a_node_that_was_not_asked_is_named() -> None:
    asked = {**vnics(), "vr2": None}

    assert any("'vr2' was not asked" in problem for problem in problems(POD1, vnics=asked))


def test_two_vnics_in_one_subnet_need_the_interface() -> None:
    facts = vnics()
    for node in NODES:
        facts[node]["vnics"].append({**facts[node]["vnics"][1], "interface": "ens7", "private_ip": "10.0.0.9"})

    found = problems(POD1, vnics=facts)

    assert found[0] == (
        "cloudvip_vips[0] (pod1).interface = None: "
        "expected ens5 or ens7: several VNICs of vr1 are in the subnet of 10.0.0.4"
    )
    assert model({**POD1, "interface": "ens7"}, vnics=facts)["groups"][0]["vips"][0]["bindings"]["vr1"][
        "interface"
    ] == ("ens7")


def test_a_vnic_without_a_linux_interface_is_named() -> None:
    facts = vnics()
    facts["vr3"]["vnics"][1]["interface"] = None

    (found,) = problems(POD1, vnics=facts)

    assert found.endswith("a Linux interface of vr3 with the MAC address 02:00:17:00:02:05 of VNIC ocid1.vnic.vr3.ens5")


def many(count: int) -> list[dict[str, Any]]:
    return [{"name": f"v{i}", "address": f"10.1.0.{i + 20}", "prefix": 24} for i in range(count)]


@pytest.mark.parametrize(("count", "refused"), [(63, False), (64, True)])
def test_a_vnic_holds_63_vips(count: int, refused: bool) -> None:
    facts = vnics()
    for index, node in enumerate(NODES):
        network = {"subnet_cidr": "10.1.0.0/24", "virtual_router_ip": "10.1.0.1", "private_ip": f"10.1.0.{index + 2}"}
        facts[node]["vnics"] = [{**facts[node]["vnics"][0], **network}]

    found = problems(*many(count), vnics=facts)

    assert bool(found) is refused
    assert all("expected at most 63 VIPs in 10.1.0.0/24" in problem for problem in found)


@pytest.mark.parametrize(("count", "refused"), [(32, False), (33, True)])
def test_a_vnic_holds_32_ipv6_vips(count: int, refused: bool) -> None:
    found = problems(*({**IPV6, "name": f"v{i}", "address": f"2001:db8:0:a02::{i + 9:x}"} for i in range(count)))

    assert bool(found) is refused
    assert all("expected at most 32 VIPs in 2001:db8:0:a02::/64" in problem for problem in found)


def test_all_problems_are_raised_at_once() -> None:
    with pytest.raises(AnsibleFilterError) as error:
        model({**POD1, "prefix": 99}, {**POD2, "bogus": 1}, engine="x")

    assert all(part in str(error.value) for part in ("3 problems", "prefix = 99", "bogus = 1", "cloudvip_engine = 'x'"))


def test_without_facts_only_the_static_part_is_built() -> None:
    built = model(TRANSIT, vnics=None)

    assert built["groups"][0]["vips"][0]["bindings"] == {}
    assert built["addresses"] == {}


GROUPS = {"all": ["a", "b", "c", "x"], "cloudvip": ["a", "b", "c"], "one": ["a", "b"], "two": ["c"], "wide": ["a", "x"]}


def test_the_cluster_is_the_group_below_cloudvip() -> None:
    assert cluster_of(["all", "cloudvip", "one", "wide"], GROUPS) == "one"


@pytest.mark.parametrize(
    ("group_names", "expected"),
    [(["cloudvip", "one", "two"], "['one', 'two']"), (["cloudvip"], "one group below 'cloudvip'")],
)
def test_a_host_of_several_clusters_or_none_is_refused(group_names: list[str], expected: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        cluster_of(group_names, GROUPS)

    assert expected in str(error.value)


def test_the_filters_are_offered_to_ansible() -> None:
    assert set(FilterModule().filters()) == {
        "vip_model",
        "vip_problems",
        "cluster_of",
        "cluster_differences",
        "virtual_routers",
        "virtual_router_conflicts",
    }

# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of the role keepalived."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cloudvip.ha.plugins.filter.keepalived import keepalived_first_groups, keepalived_instances

ALL = ["down_timer_adverts", "timer_expired_backup"]


def model(nodes: int = 3, **preferred: str | None) -> dict[str, Any]:
    """A model with these groups, and for each the node that it prefers."""
    names = [f"vr{number}" for number in range(1, nodes + 1)]
    vips = [
        {"bindings": {name: {"interface": interface} for name in names}}
        for interface in ("ens3", "ens5", "ens6", "ens5")
    ]
    return {
        "nodes": names,
        "addresses": {name: f"10.0.0.{number}" for number, name in enumerate(names, 11)},
        "interfaces": dict.fromkeys(names, "ens3"),
        "groups": [
            {"name": name, "preferred_node": node, "virtual_router_id": number, "vips": vips}
            for number, (name, node) in enumerate((preferred or {"main": None}).items(), 77)
        ],
    }


def instance(
    wanted: dict[str, Any], node: str = "vr1", *, advert_int: float = 0.1, adverts: int = 5, **options: Any
) -> Any:
    (found,) = keepalived_instances(wanted, node, advert_int, adverts, **options)
    return found


def priorities(wanted: dict[str, Any]) -> dict[str, int]:
    return {node: instance(wanted, node)["priority"] for node in wanted["nodes"]}


def status(*held: str, cloud: str = "here") -> dict[str, Any]:
    groups = ("main", "other")
    return {
        "groups": {name: {"claimed": name in held, "vips": [{"cloud": "here"}, {"cloud": cloud}]} for name in groups}
    }


def test_a_node_talks_to_all_others_and_to_no_one_else() -> None:
    found = instance(model(), "vr2")

    assert (found["source"], found["peers"]) == ("10.0.0.12", ["10.0.0.11", "10.0.0.13"])


def test_a_master_needs_the_interfaces_of_all_its_vips() -> None:
    found = instance(model())

    # Its own is tracked by keepalived itself.
    assert (found["interface"], found["tracked"]) == ("ens3", ["ens5", "ens6"])


def test_a_vnic_that_is_yet_to_be_attached_is_not_tracked() -> None:
    wanted = model()
    for vip in wanted["groups"][0]["vips"]:
        if vip["bindings"]["vr1"]["interface"] == "ens6":
            del vip["bindings"]["vr1"]

    assert instance(wanted)["tracked"] == ["ens5"]


def test_each_group_has_a_marker_of_its_own_that_is_the_same_everywhere() -> None:
    wanted = model(main=None, other=None)

    markers = {node: [i["marker"] for i in keepalived_instances(wanted, node, 0.1, 5)] for node in wanted["nodes"]}

    assert set(markers) == set(wanted["nodes"])
    assert all(found == ["192.0.2.77/32", "192.0.2.78/32"] for found in markers.values())


def test_the_preferred_node_comes_first_and_the_others_in_their_order() -> None:
    assert priorities(model()) == {"vr1": 240, "vr2": 160, "vr3": 80}
    assert priorities(model(main="vr3")) == {"vr3": 240, "vr1": 160, "vr2": 80}
    assert priorities(model(2)) == {"vr1": 240, "vr2": 160}


def test_sixteen_nodes_have_priorities_of_their_own() -> None:
    found = priorities(model(16))

    assert len(set(found.values())) == 16
    assert 1 <= min(found.values()) < max(found.values()) <= 254


def test_the_number_of_adverts_is_set_where_all_nodes_know_how() -> None:
    found = instance(model(), advert_int=0.1, adverts=12, known=[ALL, ALL])

    assert (found["advert_int"], found["down_timer_adverts"]) == (0.1, 12)


@pytest.mark.parametrize("known", [[], [ALL, []], [ALL, ["timer_expired_backup"]]])
@pytest.mark.parametrize(("advert_int", "adverts", "third"), [(0.1, 5, 0.17), (0.1, 12, 0.4), (1, 20, 6.67)])
def test_where_it_cannot_be_set_three_adverts_take_as_long(
    known: list[list[str]], advert_int: float, adverts: int, third: float
) -> None:
    found = instance(model(), advert_int=advert_int, adverts=adverts, known=known)

    assert (found["advert_int"], found["down_timer_adverts"]) == (third, None)


def test_a_master_that_stood_still_gives_way_to_the_quickest_of_the_others() -> None:
    wanted = model()

    found = {node: instance(wanted, node, known=[ALL] * 3)["timer_expired_backup"] for node in wanted["nodes"]}

    assert found == {"vr1": 160, "vr2": 240, "vr3": 240}


@pytest.mark.parametrize("options", [{"known": [ALL, ["down_timer_adverts"]]}, {"known": [ALL], "preempt_delay": 300}])
def test_keepalived_gets_nothing_that_it_refuses(options: dict[str, Any]) -> None:
    assert instance(model(), **options)["timer_expired_backup"] is None


def test_an_unknown_node_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="node 'vr9': expected one of"):
        instance(model(), "vr9")


def test_a_node_begins_with_what_it_holds() -> None:
    statuses = {"vr1": status(), "vr2": status("main"), "vr3": status()}

    found = {node: keepalived_first_groups(model(main="vr1", other=None), node, statuses) for node in statuses}

    assert found == {"vr1": [], "vr2": ["main"], "vr3": []}


def test_a_claim_that_the_cloud_has_overtaken_counts_for_nothing() -> None:
    wanted = model(main=None, other=None)

    assert keepalived_first_groups(wanted, "vr1", {"vr1": status("main", cloud="elsewhere")}) == []
    # Not knowing is no reason to move anything.
    assert keepalived_first_groups(wanted, "vr1", {"vr1": status("main", cloud="unknown")}) == ["main"]


def test_what_nobody_holds_begins_where_it_prefers_to_be() -> None:
    statuses = {"vr1": status("other"), "vr2": status(), "vr3": status()}
    wanted = model(main="vr2", other="vr2")

    assert [keepalived_first_groups(wanted, node, statuses) for node in statuses] == [["other"], ["main"], []]


def test_a_preference_moves_nothing_in_a_cluster_that_runs() -> None:
    assert keepalived_first_groups(model(main="vr2"), "vr2", {"vr2": status()}) == []


def test_where_keepalived_runs_there_is_nothing_to_begin() -> None:
    assert keepalived_first_groups(model(main="vr2"), "vr2", {}) == []

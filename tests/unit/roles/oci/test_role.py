# SPDX-License-Identifier: GPL-3.0-or-later
"""The role `oci`, played against the lab's cloud. The nodes have no machines: the role works on the controller only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from lab.cloud.testing import Running, running
from lab.topology import Topology
from tests.unit.playing import Played, play

NODES = ("vr1", "vr2", "vr3")
# No route of the topology leads to POD 2's: what something refers to is not removed.
POD1, POD2 = "10.0.0.4", "10.0.0.40"


@pytest.fixture(scope="module")
def server(topology: Topology, keys: Path) -> Iterator[Running]:
    with running(topology, keys, tls=True) as lab:
        yield lab


@dataclass
class Player:
    """Plays the role for the nodes, with the VIPs and the settings that a test wants."""

    lab: Running
    topology: Topology
    folder: Path

    def vip(self, name: str, address: str, interface: str, state: str = "present") -> dict[str, Any]:
        bindings = {
            node: {"vnic_id": v.id, "interface": v.interface, "mac": v.mac, "primary": str(v.address)}
            for node in NODES
            for v in self.topology.instance(node).vnics
            if v.interface == interface
        }
        return {
            "name": name,
            "address": address,
            "prefix": 28,
            "state": state,
            "display_name": f"vrouters-{name}",
            "tags": {},
            "public_ip": False,
            "routes": [],
            "subnet_id": None,
            "group": "main",
            "bindings": bindings,
        }

    def model(self, *vips: dict[str, Any]) -> dict[str, Any]:
        present = [v for v in vips if v["state"] == "present"]
        return {
            "cluster": "vrouters",
            "engine": "pacemaker",
            "router": True,
            "nodes": list(NODES),
            "groups": [{"name": "main", "preferred_node": None, "vips": present}],
            "absent": [v for v in vips if v["state"] == "absent"],
        }

    def play(
        self, model: dict[str, Any], *arguments: str, tasks: str | tuple[str, ...] = "main", **variables: Any
    ) -> Played:
        """Play the role with these arguments of ansible-playbook, and with more variables of the inventory."""
        hosts = {
            node: {
                "ansible_host": "192.0.2.1",
                "test_vnic": {
                    "instance_id": self.topology.instance(node).id,
                    "tenancy_id": TENANCY_ID,
                    "compartment_id": COMPARTMENT_ID,
                    "vnics": [
                        {
                            "vnic_id": v.id,
                            "mac": v.mac,
                            "private_ip": str(v.address),
                            "subnet_cidr": str(self.topology.subnet(v.subnet).cidr),
                            "virtual_router_ip": str(self.topology.subnet(v.subnet).gateway),
                            "interface": v.interface,
                        }
                        for v in self.topology.instance(node).vnics
                    ],
                },
            }
            for node in NODES
        }
        settings = {
            "cloudvip_model": model,
            "cloudvip_cluster": "vrouters",
            "cloudvip_nodes": list(NODES),
            "cloudvip_oci_config_file": str(self.lab.sdk_config_file),
            "cloudvip_oci_endpoint": self.lab.url,
            "cloudvip_oci_ca_bundle": str(self.lab.pki.ca_file),
            **variables,
        }
        inventory = {"all": {"children": {"vrouters": {"hosts": hosts, "vars": settings}}}}
        fact = {"ansible.builtin.set_fact": {"cloudvip_vnic": "{{ test_vnic }}", "cacheable": True}}
        entries = (tasks,) if isinstance(tasks, str) else tasks
        roles = [{"ansible.builtin.include_role": {"name": "cloudvip.ha.oci", "tasks_from": e}} for e in entries]
        playbook = [{"hosts": "vrouters", "gather_facts": False, "become": True, "tasks": [fact, *roles]}]
        return play(self.folder, playbook, inventory, *arguments)


@pytest.fixture
def player(server: Running, topology: Topology, tmp_path: Path) -> Player:
    server.do(server.cloud.reset())
    server.call(server.faults.clear)
    return Player(server, topology, tmp_path)


def addresses(lab: Running) -> dict[str, Any]:
    """The secondary private IPs of the cloud, by address."""
    return {str(p.address): p for p in lab.cloud.private_ips.values() if not p.is_primary}


def test_what_check_mode_predicts_is_done_once(player: Player) -> None:
    model = player.model(player.vip("pod1", POD1, "ens5"), player.vip("pod2", POD2, "ens6"))
    cloud = player.lab.cloud

    predicted = player.play(model, "--check", "--diff")
    assert (predicted.good, predicted.changes) == (True, 5), predicted.output
    assert (len(cloud.iam.dynamic_groups), len(cloud.iam.policies), len(addresses(player.lab))) == (0, 0, 0)

    made = player.play(model)
    assert (made.good, made.changes) == (True, 5), made.output
    assert {a: p.lifetime for a, p in addresses(player.lab).items()} == {POD1: "RESERVED", POD2: "RESERVED"}
    forwarding = {(v.instance, v.interface) for v in cloud.vnics.values() if v.skip_source_dest_check}
    assert forwarding == {(node, interface) for node in NODES for interface in ("ens5", "ens6")}
    granted = {node: cloud.iam.groups_of(cloud.instance_named(node).id) for node in (*NODES, "pod1-client")}
    assert {group.name for group in granted["vr1"]} == {"cloudvip-vrouters"}
    assert granted["vr1"] == granted["vr2"] == granted["vr3"]
    assert not granted["pod1-client"]

    again = player.play(model, "--check", "--diff")
    assert (again.good, again.changes) == (True, 0), again.output


DESTINATION, WEB = "192.0.2.0/24", "10.0.0.9"


def test_a_public_ip_and_a_route_come_and_go_with_their_vip(player: Player) -> None:
    cloud = player.lab.cloud
    table = next(t.id for t in cloud.route_tables.values() if t.subnet == "isv")
    before = cloud.route_tables[table].rules
    routes = [{"route_table_id": table, "destination": DESTINATION}]
    # Nothing of the topology leads to this address.
    web = {**player.vip("web", WEB, "ens5"), "public_ip": True, "routes": routes}

    made = player.play(player.model(web))
    assert made.good, made.output
    object_id = addresses(player.lab)[WEB].id
    assert [p.private_ip_id for p in cloud.public_ips.values()] == [object_id]
    assert (DESTINATION, object_id) in {
        (str(r.destination), r.network_entity_id) for r in cloud.route_tables[table].rules
    }
    player.lab.call(player.lab.events.clear)
    again = player.play(player.model(web))
    assert (again.good, again.changes) == (True, 0), again.output
    asked = Counter(e["path"].split("/")[2] for e in player.lab.events)
    assert (asked["publicIps"], asked["routeTables"]) == (1, 1)

    gone = player.play(player.model({**web, "state": "absent"}), tasks="absent")
    assert gone.good, gone.output
    assert addresses(player.lab) == {}
    assert not cloud.public_ips
    assert cloud.route_tables[table].rules == before


def test_the_nodes_are_put_into_a_group_that_lets_them_talk_to_each_other_only(player: Player) -> None:
    model = player.model(player.vip("pod1", POD1, "ens5"))
    assert player.play(model).good

    (group,) = player.lab.cloud.network_security_groups.values()
    members = {(v.instance, v.interface) for v in player.lab.cloud.vnics.values() if group.id in v.nsg_ids}
    assert members == {(node, "ens3") for node in NODES}
    assert group.rules
    assert {r.peer for r in group.rules} == {group.id}


def test_what_an_engine_of_before_needs_is_let_through_until_it_has_gone(player: Player) -> None:
    model = player.model(player.vip("pod1", POD1, "ens5"))
    switched = {**model, "engine": "keepalived"}
    assert player.play(model, tasks=("main", "absent")).good

    def protocols() -> set[str]:
        (group,) = player.lab.cloud.network_security_groups.values()
        return {rule.protocol for rule in group.rules}

    assert protocols() == {"6", "17"}
    first = player.play(switched)
    assert (first.good, first.changes, protocols()) == (True, 1, {"6", "17", "112"}), first.output
    last = player.play(switched, tasks=("main", "absent"))
    assert (last.good, last.changes, protocols()) == (True, 1, {"112"}), last.output
    again = player.play(switched, tasks=("main", "absent"))
    assert (again.good, again.changes) == (True, 0), again.output


def test_a_switch_leaves_security_to_the_user(player: Player) -> None:
    assert player.play(player.model(player.vip("pod1", POD1, "ens5")), cloudvip_oci_security=False).good

    assert not player.lab.cloud.network_security_groups


@pytest.fixture
def wide(topology: Topology, keys: Path, tmp_path: Path) -> Iterator[Player]:
    """A player with room for many VIPs."""
    prefixes = {"transit": 25, "pod1": 27, "pod2": 27}
    subnets = tuple(
        replace(s, cidr=s.cidr.supernet(new_prefix=prefixes.get(s.name, s.cidr.prefixlen))) for s in topology.subnets
    )
    topology = replace(topology, subnets=subnets)
    with running(topology, keys, tls=True) as lab:
        yield Player(lab, topology, tmp_path)


VNICS, GROUPS = "vnics", "networkSecurityGroups"


# OCI has no call that says of several VNICs whether they forward: a router's are read one by one.
@pytest.mark.parametrize(
    ("counts", "calls"),
    [
        ({"ens3": 50}, {VNICS: 1, "privateIps": 1, "dynamicGroups": 1, "policies": 1, GROUPS: 3}),
        (
            {"ens3": 1, "ens5": 24, "ens6": 25},
            {VNICS: 9, "privateIps": 3, "dynamicGroups": 1, "policies": 1, GROUPS: 3},
        ),
    ],
)
def test_with_nothing_to_do_the_cloud_is_asked_as_often_for_fifty_vips_as_for_one(
    wide: Player, counts: dict[str, int], calls: dict[str, int]
) -> None:
    taken = {v.address for i in wide.topology.instances for v in i.vnics}
    vips = []
    for vnic in wide.topology.instance("vr1").vnics:
        free = (a for a in list(wide.topology.subnet(vnic.subnet).cidr.hosts())[1:] if a not in taken)
        vips += [wide.vip(f"v{a}", str(a), vnic.interface) for a in islice(free, counts.get(vnic.interface, 0))]
    model = {**wide.model(*vips), "router": len(counts) > 1}
    made = wide.play(model)
    assert made.good, made.output
    wide.lab.call(wide.lab.events.clear)

    again = wide.play(model)

    assert (len(vips), again.good, again.changes) == (50, True, 0), again.output
    assert Counter(e["path"].split("/")[2] for e in wide.lab.events) == calls


def pods(**changes: str) -> list[dict[str, Any]]:
    return [{"name": "pod2", "address": POD2, "prefix": 28, "subnet_id": "ocid1.subnet.x", **changes}]


def test_nodes_that_have_the_vnics_of_a_pod_get_no_others(player: Player) -> None:
    player.lab.call(player.lab.events.clear)

    played = player.play({}, tasks="pods", cloudvip_pods=pods())

    assert (played.good, played.changes) == (True, 0), played.output
    assert player.lab.events == []


def test_an_address_goes_only_when_the_cluster_has_let_it_go(player: Player) -> None:
    pod1, pod2 = player.vip("pod1", POD1, "ens5"), player.vip("pod2", POD2, "ens6", "absent")
    for vip in (pod1, pod2):
        subnet_id = player.topology.subnet(vip["name"]).id
        reserved = player.lab.cloud.create_private_ip(subnet_id=subnet_id, address=vip["address"])
        player.lab.do(player.lab.cloud.update_private_ip(player.lab.do(reserved).id, {"display_name": "x"}))

    first = player.play(player.model(pod1, pod2))
    assert first.good, first.output
    assert set(addresses(player.lab)) == {POD1, POD2}

    last = player.play(player.model(pod1, pod2), tasks="absent")
    assert (last.good, last.changes) == (True, 1), last.output
    assert set(addresses(player.lab)) == {POD1}


def test_what_a_pod_without_vnics_has_left_behind_is_removed(player: Player) -> None:
    cloud, subnet_id = player.lab.cloud, player.topology.subnet("pod2").id
    pod2 = {**player.vip("pod2", POD2, "ens6", "absent"), "bindings": {}, "subnet_id": subnet_id, "public_ip": True}
    model = player.model(player.vip("pod1", POD1, "ens5"), pod2)
    reserved = player.lab.do(cloud.create_private_ip(subnet_id=subnet_id, address=POD2))
    player.lab.do(cloud.create_public_ip(reserved.id, "vrouters-pod2"))
    assert player.play(model).good

    removed = player.play(model, tasks="absent")
    assert (removed.good, removed.changes) == (True, 2), removed.output
    assert (set(addresses(player.lab)), len(cloud.public_ips)) == ({POD1}, 0)
    again = player.play(model, tasks=("main", "absent"))
    assert (again.good, again.changes) == (True, 0), again.output


def test_an_address_of_someone_else_is_refused_before_anything_is_created(player: Player) -> None:
    theirs = player.topology.instance("pod1-client").vnics[0].id
    player.lab.do(player.lab.cloud.create_private_ip(vnic_id=theirs, address=POD1))

    played = player.play(player.model(player.vip("pod1", POD1, "ens5")))

    assert not played.good
    assert f"cloudvip_vips (pod1).address = '{POD1}': expected an address that nothing uses" in played.output
    assert not player.lab.cloud.iam.dynamic_groups


def test_a_mistyped_route_table_is_refused_before_anything_is_created(player: Player) -> None:
    table = "ocid1.routetable.oc1..mistyped"
    vip = {**player.vip("web", WEB, "ens5"), "routes": [{"route_table_id": table, "destination": DESTINATION}]}

    played = player.play(player.model(vip))

    assert not played.good
    assert table in played.output
    assert not player.lab.cloud.iam.dynamic_groups
    assert addresses(player.lab) == {}


def test_a_public_ip_of_someone_else_is_refused_before_anything_is_created(player: Player) -> None:
    theirs = player.topology.instance("pod1-client").vnics[0].id
    private_ip = player.lab.do(player.lab.cloud.create_private_ip(vnic_id=theirs))
    player.lab.do(player.lab.cloud.create_public_ip(private_ip.id, "vrouters-web"))

    played = player.play(player.model({**player.vip("web", WEB, "ens5"), "public_ip": True}))

    assert not played.good
    assert "cloudvip_vips (web).public_ip = 'vrouters-web': expected a public IP that is free" in played.output
    assert not player.lab.cloud.iam.dynamic_groups
    assert WEB not in addresses(player.lab)


def test_a_public_ip_and_a_rule_follow_when_an_address_is_made_anew(player: Player) -> None:
    cloud = player.lab.cloud
    table = next(t.id for t in cloud.route_tables.values() if t.subnet == "isv")
    routes = [{"route_table_id": table, "destination": DESTINATION}]
    model = player.model({**player.vip("web", WEB, "ens5"), "public_ip": True, "routes": routes})
    assert player.play(model).good
    (public_ip,) = cloud.public_ips.values()
    player.lab.do(cloud.update_public_ip(public_ip.id, {"private_ip_id": None}))
    player.lab.do(cloud.delete_private_ip(addresses(player.lab)[WEB].id))

    again = player.play(model)

    assert (again.good, again.changes) == (True, 3), again.output
    object_id = addresses(player.lab)[WEB].id
    assert [(p.id, p.private_ip_id) for p in cloud.public_ips.values()] == [(public_ip.id, object_id)]
    rules = {str(r.destination): r.network_entity_id for r in cloud.route_tables[table].rules}
    assert rules[DESTINATION] == object_id


GROUP = "cloudvip-vrouters"


def test_the_dynamic_group_of_another_cluster_of_the_name_is_refused(player: Player) -> None:
    iam = player.lab.cloud.iam
    theirs = "ANY {instance.id = 'ocid1.instance.oc1.iad.a', instance.id = 'ocid1.instance.oc1.iad.b'}"
    player.lab.call(iam.create_dynamic_group, GROUP, theirs, "x")

    played = player.play(player.model(player.vip("pod1", POD1, "ens5")))

    assert not played.good
    assert (
        f"oci_dynamic_group = '{GROUP}': expected a group of this cluster's instances; it has others, "
        "ocid1.instance.oc1.iad.a, ocid1.instance.oc1.iad.b."
    ) in played.output
    assert [g.matching_rule for g in iam.dynamic_groups.values()] == [theirs]
    assert addresses(player.lab) == {}


@pytest.mark.parametrize(
    "rule",
    [
        f"ALL {{{{instance.compartment.id = '{COMPARTMENT_ID}'}}}}",
        "ANY {{instance.id = '{mine}', instance.id = 'ocid1.instance.oc1.iad.a'}}",
    ],
    ids=["of a compartment", "with a node that is replaced"],
)
def test_a_dynamic_group_that_may_be_this_cluster_s_is_adopted(player: Player, rule: str) -> None:
    iam, mine = player.lab.cloud.iam, player.topology.instance("vr1").id
    player.lab.call(iam.create_dynamic_group, GROUP, rule.format(mine=mine), "x")

    played = player.play(player.model(player.vip("pod1", POD1, "ens5")))

    assert played.good, played.output
    (group,) = iam.dynamic_groups.values()
    instances = sorted(player.topology.instance(node).id for node in NODES)
    assert re.findall("ocid1.instance[^']+", group.matching_rule) == instances


def test_a_placeholder_is_refused_before_anything_is_asked(player: Player) -> None:
    player.lab.call(player.lab.events.clear)

    played = player.play(player.model(player.vip("pod1", POD1, "ens5")), cloudvip_oci_region="<your region>")

    assert not played.good
    assert "cloudvip_oci_region = '<your region>': expected a value of your own" in played.output
    assert player.lab.events == []

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar

import pytest

from lab.cloud.errors import ApiError
from lab.cloud.state import ADDRESSES_PER_VNIC, Action, Cloud, NullEffects, PrivateIp, RouteRule
from lab.fabric.view import Floating, Rule, View
from lab.topology import Topology, load, ocid

_T = TypeVar("_T")
TRANSIT_VIP = "172.20.136.140"


def run(change: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(change)


@pytest.fixture
def effects() -> NullEffects:
    return NullEffects()


@pytest.fixture
def cloud(topology: Topology, effects: NullEffects) -> Cloud:
    return Cloud(topology, effects)


def vnic(cloud: Cloud, instance: str, index: int = 0) -> str:
    return cloud.topology.instance(instance).vnics[index].id


def primary(cloud: Cloud, instance: str) -> PrivateIp:
    return next(p for p in cloud.private_ips.values() if p.vnic_id == vnic(cloud, instance) and p.is_primary)


def reserve(cloud: Cloud, address: str = TRANSIT_VIP, subnet: str = "transit") -> PrivateIp:
    return run(cloud.create_private_ip(subnet_id=cloud.topology.subnet(subnet).id, address=address))


def refusal(change: Coroutine[Any, Any, Any]) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        run(change)
    return caught.value.status, caught.value.code


def test_a_fresh_cloud_has_the_topology_and_nothing_else(cloud: Cloud) -> None:
    view = cloud.view()
    assert {(p.instance, p.interface, str(p.address)) for p in view.ports} == {
        (i.name, v.interface, str(v.address)) for i in cloud.topology.instances for v in i.vnics
    }
    assert view.floatings == ()
    assert view.rules == ()
    assert not any(p.forwards for p in view.ports)


def test_a_move_is_applied_before_it_is_answered_and_keeps_the_ocid(cloud: Cloud, effects: NullEffects) -> None:
    vip = reserve(cloud)
    moved = run(cloud.update_private_ip(vip.id, {"vnic_id": vnic(cloud, "vr2")}))
    assert moved.id == vip.id
    assert moved.etag != vip.etag
    assert effects.views[-1].floatings == (Floating(vip.id, IPv4Address(TRANSIT_VIP), vnic(cloud, "vr2")),)
    assert cloud.instance_at(TRANSIT_VIP) == "vr2"


def test_a_failed_effect_leaves_the_state_as_it_was(topology: Topology) -> None:
    class Broken(NullEffects):
        async def apply(self, view: View) -> None:
            if any(f.vnic_id for f in view.floatings):
                raise OSError("the kernel said no")

    cloud = Cloud(topology, Broken())
    vip = reserve(cloud)
    with pytest.raises(OSError, match="the kernel said no"):
        run(cloud.update_private_ip(vip.id, {"vnic_id": vnic(cloud, "vr2")}))
    assert cloud.private_ips[vip.id] == vip


def test_what_a_failed_effect_has_done_is_taken_back(topology: Topology) -> None:
    class HalfWay(NullEffects):
        async def apply(self, view: View) -> None:
            await super().apply(view)
            if any(f.vnic_id for f in view.floatings):
                raise OSError("the kernel said no")

    effects = HalfWay()
    cloud = Cloud(topology, effects)
    vip = reserve(cloud)
    with pytest.raises(OSError, match="the kernel said no"):
        run(cloud.update_private_ip(vip.id, {"vnic_id": vnic(cloud, "vr2")}))
    assert [f.vnic_id for view in effects.views[-2:] for f in view.floatings] == [vnic(cloud, "vr2"), None]
    assert effects.views[-1] == cloud.view()


class Slow(NullEffects):
    """A world that takes its time, and `fails` when an address is to go to that VNIC."""

    def __init__(self, fails: str = "") -> None:
        super().__init__()
        self.fails = fails
        self.running = 0
        self.most = 0

    async def apply(self, view: View) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.01)
        self.running -= 1
        if any(f.vnic_id == self.fails for f in view.floatings):
            raise OSError("the kernel said no")
        await super().apply(view)


def test_changes_that_come_while_others_are_applied_are_applied_together_afterwards(topology: Topology) -> None:
    effects = Slow()
    cloud = Cloud(topology, effects)
    vip, other = reserve(cloud), reserve(cloud, "172.20.136.141")
    effects.views.clear()

    async def race() -> list[PrivateIp]:
        moves = [(vip, "vr1"), (other, "vr1"), (vip, "vr2"), (vip, "vr3")]
        return await asyncio.gather(*(cloud.update_private_ip(v.id, {"vnic_id": vnic(cloud, n)}) for v, n in moves))

    answers = run(race())
    assert [a.vnic_id for a in answers] == [vnic(cloud, n) for n in ("vr1", "vr1", "vr2", "vr3")]
    assert effects.most == 1
    assert [[f.vnic_id for f in v.floatings] for v in effects.views] == [
        [vnic(cloud, "vr1"), None],
        [vnic(cloud, "vr3"), vnic(cloud, "vr1")],
    ]


def test_a_failed_round_undoes_all_that_is_not_in_force_and_nothing_else(topology: Topology) -> None:
    effects = Slow()
    cloud = Cloud(topology, effects)
    vip, other = reserve(cloud), reserve(cloud, "172.20.136.141")
    moved = run(cloud.update_private_ip(vip.id, {"vnic_id": vnic(cloud, "vr1")}))
    effects.fails = vnic(cloud, "vr2")

    async def race() -> list[Any]:
        fails = asyncio.create_task(cloud.update_private_ip(vip.id, {"vnic_id": vnic(cloud, "vr2")}))
        await asyncio.sleep(0)
        waits = asyncio.create_task(cloud.update_private_ip(other.id, {"vnic_id": vnic(cloud, "vr3")}))
        address = await cloud.create_public_ip()
        return [*await asyncio.gather(fails, waits, return_exceptions=True), address.id]

    first, second, address = run(race())
    assert isinstance(first, OSError)
    assert isinstance(second, OSError)
    assert (cloud.private_ips[vip.id], cloud.private_ips[other.id]) == (moved, other)
    assert address in cloud.public_ips
    run(cloud.update_private_ip(other.id, {"vnic_id": vnic(cloud, "vr3")}))
    assert [f.vnic_id for f in effects.views[-1].floatings] == [vnic(cloud, "vr1"), vnic(cloud, "vr3")]


def test_route_rules_bind_to_the_first_private_ip_at_their_address_and_keep_it(cloud: Cloud) -> None:
    first = reserve(cloud, "10.0.0.4", "pod1")
    other = reserve(cloud, "10.0.0.9", "pod1")
    expected = (
        Rule("pod1", IPv4Network("10.0.0.32/28"), first.id),
        Rule("pod1", IPv4Network("172.20.136.16/28"), first.id),
    )
    assert cloud.view().rules == expected
    run(cloud.delete_private_ip(first.id))
    second = reserve(cloud, "10.0.0.4", "pod1")
    assert second.id != first.id
    assert cloud.view().rules == expected
    assert {f.private_ip_id for f in cloud.view().floatings} == {second.id, other.id}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("172.20.136.128", (400, "InvalidParameter")),
        ("172.20.136.129", (400, "InvalidParameter")),
        ("172.20.136.143", (400, "InvalidParameter")),
        ("10.0.0.4", (400, "InvalidParameter")),
        ("not-an-address", (400, "InvalidParameter")),
        ("172.20.136.131", (409, "Conflict")),
    ],
)
def test_an_address_that_cannot_be_had_is_refused(cloud: Cloud, address: str, expected: tuple[int, str]) -> None:
    subnet = cloud.topology.subnet("transit").id
    assert refusal(cloud.create_private_ip(subnet_id=subnet, address=address)) == expected


def test_a_taken_address_is_refused_while_it_is_taken_only(cloud: Cloud) -> None:
    vip = reserve(cloud)
    subnet = cloud.topology.subnet("transit").id
    assert refusal(cloud.create_private_ip(subnet_id=subnet, address=TRANSIT_VIP)) == (409, "Conflict")
    run(cloud.delete_private_ip(vip.id))
    assert reserve(cloud).address == IPv4Address(TRANSIT_VIP)


def test_the_cloud_picks_the_first_free_address(cloud: Cloud) -> None:
    picked = [run(cloud.create_private_ip(vnic_id=vnic(cloud, "vr1"))) for _ in range(3)]
    assert [str(p.address) for p in picked] == ["172.20.136.130", "172.20.136.134", "172.20.136.135"]
    assert {p.lifetime for p in picked} == {"EPHEMERAL"}
    assert {p.availability_domain for p in picked} == {None}


def test_a_vnic_holds_64_addresses() -> None:
    cloud = Cloud(load("pair"), NullEffects())
    first, second = vnic(cloud, "n1"), vnic(cloud, "n2")

    async def fill() -> str:
        for _ in range(ADDRESSES_PER_VNIC - 1):
            await cloud.create_private_ip(vnic_id=first)
        return (await cloud.create_private_ip(vnic_id=second)).id

    extra = run(fill())
    assert refusal(cloud.create_private_ip(vnic_id=first)) == (400, "LimitExceeded")
    assert refusal(cloud.update_private_ip(extra, {"vnic_id": first})) == (400, "LimitExceeded")
    run(cloud.update_private_ip(extra, {"vnic_id": second}))


def test_a_full_subnet_is_refused(cloud: Cloud) -> None:
    async def fill() -> None:
        for _ in range(10):
            await cloud.create_private_ip(vnic_id=vnic(cloud, "vr1"))

    run(fill())
    assert refusal(cloud.create_private_ip(vnic_id=vnic(cloud, "vr1"))) == (400, "LimitExceeded")


def test_creation_needs_a_place(cloud: Cloud) -> None:
    transit, pod1 = cloud.topology.subnet("transit").id, cloud.topology.subnet("pod1").id
    assert refusal(cloud.create_private_ip()) == (400, "MissingParameter")
    assert refusal(cloud.create_private_ip(vnic_id="ocid1.vnic.none")) == (404, "NotAuthorizedOrNotFound")
    assert refusal(cloud.create_private_ip(subnet_id="ocid1.subnet.none")) == (404, "NotAuthorizedOrNotFound")
    assert refusal(cloud.create_private_ip(subnet_id=transit, lifetime="EPHEMERAL")) == (400, "InvalidParameter")
    assert refusal(cloud.create_private_ip(vnic_id=vnic(cloud, "vr1"), subnet_id=pod1)) == (400, "InvalidParameter")


def test_a_move_to_another_subnet_or_to_nowhere_is_refused(cloud: Cloud) -> None:
    vip = reserve(cloud)
    assert refusal(cloud.update_private_ip(vip.id, {"vnic_id": vnic(cloud, "vr1", 1)})) == (400, "InvalidParameter")
    assert refusal(cloud.update_private_ip(vip.id, {"vnic_id": "ocid1.vnic.none"})) == (404, "NotAuthorizedOrNotFound")
    assert refusal(cloud.update_private_ip("ocid1.privateip.none", {})) == (404, "NotAuthorizedOrNotFound")


def test_primaries_can_not_be_moved_detached_or_deleted(cloud: Cloud) -> None:
    own = primary(cloud, "vr1").id
    assert refusal(cloud.update_private_ip(own, {"vnic_id": vnic(cloud, "vr2")})) == (400, "InvalidParameter")
    assert refusal(cloud.detach_private_ip(own)) == (400, "InvalidParameter")
    assert refusal(cloud.delete_private_ip(own)) == (400, "InvalidParameter")


def test_detach_keeps_a_reserved_address_and_refuses_others(cloud: Cloud) -> None:
    vip = reserve(cloud)
    assert refusal(cloud.detach_private_ip(vip.id)) == (400, "InvalidParameter")
    run(cloud.update_private_ip(vip.id, {"vnic_id": vnic(cloud, "vr1")}))
    detached = run(cloud.detach_private_ip(vip.id))
    assert (detached.id, detached.vnic_id) == (vip.id, None)
    assert cloud.instance_at(TRANSIT_VIP) is None
    assert refusal(cloud.update_private_ip(vip.id, {"lifetime": "EPHEMERAL"})) == (400, "InvalidParameter")
    ephemeral = run(cloud.create_private_ip(vnic_id=vnic(cloud, "vr1")))
    assert refusal(cloud.detach_private_ip(ephemeral.id)) == (400, "InvalidParameter")


def test_an_assigned_reserved_address_can_be_deleted(cloud: Cloud) -> None:
    vip = run(cloud.create_private_ip(vnic_id=vnic(cloud, "vr1"), address=TRANSIT_VIP, lifetime="RESERVED"))
    run(cloud.delete_private_ip(vip.id))
    assert vip.id not in cloud.private_ips


def test_a_stale_etag_is_refused(cloud: Cloud) -> None:
    vip = reserve(cloud)
    moved = run(cloud.update_private_ip(vip.id, {"vnic_id": vnic(cloud, "vr1")}, vip.etag))
    stale = (412, "NoEtagMatch")
    assert refusal(cloud.update_private_ip(vip.id, {"vnic_id": vnic(cloud, "vr2")}, vip.etag)) == stale
    assert refusal(cloud.detach_private_ip(vip.id, vip.etag)) == stale
    assert refusal(cloud.delete_private_ip(vip.id, vip.etag)) == stale
    run(cloud.delete_private_ip(vip.id, moved.etag))


def test_an_ipv6_is_no_matter_for_the_fabric(cloud: Cloud, effects: NullEffects) -> None:
    effects.views.clear()
    created = run(cloud.create_ipv6(vnic_id=vnic(cloud, "vr1"), lifetime="RESERVED"))
    run(cloud.update_ipv6(created.id, {"vnic_id": vnic(cloud, "vr2")}))
    run(cloud.detach_ipv6(created.id))
    run(cloud.delete_ipv6(created.id))
    assert effects.views == []


def test_skip_source_dest_check_reaches_the_fabric(cloud: Cloud, effects: NullEffects) -> None:
    run(cloud.update_vnic(vnic(cloud, "vr1"), {"skip_source_dest_check": True}))
    assert {p.interface for p in effects.views[-1].ports if p.forwards} == {"ens3"}


@pytest.mark.parametrize(
    ("state", "action", "then"),
    [
        ("STOPPED", "START", "STARTING"),
        ("RUNNING", "STOP", "STOPPING"),
        ("RUNNING", "SOFTSTOP", "STOPPING"),
        ("RUNNING", "RESET", "STOPPING"),
        ("RUNNING", "SOFTRESET", "STOPPING"),
        ("RUNNING", "START", None),
        ("STOPPED", "STOP", None),
        ("STOPPED", "RESET", None),
        ("STOPPING", "STOP", None),
        ("STARTING", "RESET", None),
    ],
)
def test_power_actions_need_the_right_state(
    cloud: Cloud, effects: NullEffects, state: str, action: Action, then: str | None
) -> None:
    instance = cloud.set_instance_state("vr1", state)
    if then is None:
        assert refusal(cloud.instance_action(instance.id, action)) == (409, "IncorrectState")
        assert effects.actions == []
    else:
        assert run(cloud.instance_action(instance.id, action)).lifecycle_state == then
        assert effects.actions == [("vr1", action)]


def test_a_power_action_that_cannot_begin_leaves_the_state(topology: Topology) -> None:
    class Broken(NullEffects):
        async def power(self, instance: str, action: Action) -> None:
            raise OSError(f"{action} of {instance} failed")

    cloud = Cloud(topology, Broken())
    instance = cloud.instance_named("vr1")
    with pytest.raises(OSError, match="STOP of vr1 failed"):
        run(cloud.instance_action(instance.id, "STOP"))
    assert cloud.instance_named("vr1").lifecycle_state == "RUNNING"


def test_a_route_table_takes_private_ips_only(cloud: Cloud) -> None:
    vip = reserve(cloud)
    table = ocid("routetable", "transit")
    destination = IPv4Network("10.0.0.0/28")
    updated = run(cloud.update_route_table(table, [RouteRule(destination, vip.id)]))
    assert updated.rules == (RouteRule(destination, vip.id),)
    assert Rule("transit", destination, vip.id) in cloud.view().rules
    assert refusal(cloud.update_route_table(table, [RouteRule(destination, "ocid1.privateip.none")])) == (
        404,
        "NotAuthorizedOrNotFound",
    )
    twice = [RouteRule(destination, vip.id), RouteRule(destination, vip.id)]
    assert refusal(cloud.update_route_table(table, twice)) == (400, "InvalidParameter")


def test_reset_makes_it_fresh(cloud: Cloud, effects: NullEffects, topology: Topology) -> None:
    reserve(cloud)
    run(cloud.update_vnic(vnic(cloud, "vr1"), {"skip_source_dest_check": True}))
    run(cloud.reset())
    assert cloud.view() == Cloud(topology, NullEffects()).view() == effects.views[-1]

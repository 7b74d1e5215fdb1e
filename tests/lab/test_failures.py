# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways in which agents that move addresses in clouds are known to fail: none of them happens here.

The numbers are those of the table in the README of the role vip_agent.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator

import oci
import pytest

from lab import paths
from lab.fabric import ns
from lab.topology import REALM_DOMAIN, REGION
from tests.lab.conftest import Lab, wait_until
from tests.lab.scene import CONFIG, GROUP, RESOURCE, Scene
from tests.lab.test_failover import check
from tests.lab.test_playbook import EXTRA, vips

pytestmark = pytest.mark.thorough
INVENTORY = "inventory/lab"
MONITOR_SECONDS = 5
# What a takeover may take with the timers of the lab's profile: see test_failover.
TAKEOVER_MS = 15_000
VIP = "10.0.0.4"
ENDPOINT = f"iaas.{REGION}.{REALM_DOMAIN}"
# An address of POD 2 that begins with the VIP's.
LONGER = "10.0.0.40"


@pytest.fixture
def scene(cluster: Lab) -> Iterator[Scene]:
    with Scene(cluster) as scene:
        yield scene


@pytest.mark.parametrize(
    "fault",
    [
        {"effect": "status", "status": 401},
        {"effect": "status", "status": 404},
        {"effect": "status", "status": 429},
        {"effect": "status", "status": 500},
        {"effect": "latency", "latency_ms": 12_000},
        {"effect": "drop"},
        {"effect": "hang"},
    ],
    ids=lambda fault: str(fault.get("status", fault["effect"])),
)
def test_01_an_api_or_auth_hiccup_moves_nothing(scene: Scene, fault: dict[str, str | int]) -> None:
    holder = scene.holder
    scene.control.add_fault({**fault, "service": "api"})
    answer = scene.audit(holder)
    assert answer.code == 0, answer.text
    assert scene.hits() > 0, "the audit did not ask the API"
    assert scene.agent(holder, "monitor", every=MONITOR_SECONDS).code == 0
    assert scene.cloud_truths(holder) == {"unknown"}
    assert scene.moves() == []
    assert scene.lost() == {}


def test_02_a_stop_takes_the_addresses_off_while_the_api_is_down(scene: Scene) -> None:
    holder = scene.holder
    scene.fault("hang", service="api")
    scene.move()

    def stopped() -> bool:
        return holder not in scene.sh(holder, f"crm_resource --resource {RESOURCE} --locate 2>&1", check=False)

    wait_until(f"the group stopped on {holder}", stopped, 10)
    assert scene.configured(holder).isdisjoint(scene.vips)
    assert "stop" not in scene.failures(holder)


def test_03_a_missing_local_address_is_put_back_without_a_move(scene: Scene) -> None:
    holder = scene.holder
    scene.sh(holder, f"ip address del {VIP}/32 dev ens5")
    wait_until(f"{VIP} on {holder} again", lambda: VIP in scene.configured(holder), MONITOR_SECONDS + 2)
    assert scene.holder == holder
    assert scene.moves() == []


def test_03_a_rebooted_owner_does_not_claim_to_run_what_only_the_cloud_says(scene: Scene) -> None:
    owner = scene.holder
    scene.sh(owner, f"crm_resource --resource {RESOURCE} --meta --set-parameter target-role --parameter-value Stopped")
    try:
        wait_until("the group to stop", lambda: scene.configured(owner).isdisjoint(scene.vips))
        scene.control.nemesis("kill", owner)
        scene.control.nemesis("start", owner)
        wait_until("the token's timer", lambda: scene.has_token(owner), 60)
        assert scene.holder == owner
        for level in (0, 10):
            assert scene.agent(owner, "monitor", level=level).code == 7
    finally:
        other = next(n for n in scene.nodes if n != owner)
        scene.sh(other, f"crm_resource --resource {RESOURCE} --meta --delete-parameter target-role")


def test_04_an_address_that_is_part_of_another_is_not_taken_for_it(scene: Scene) -> None:
    holder, other = scene.holder, scene.others[0]
    for node in (holder, other):
        scene.sh(node, f"ip address add {LONGER}/32 dev ens6")
    try:
        assert scene.agent(other, "monitor").code == 7
        scene.sh(holder, f"ip address del {VIP}/32 dev ens5")
        assert scene.agent(holder, "monitor").code not in (0, 7)
        wait_until(f"{VIP} on {holder} again", lambda: VIP in scene.configured(holder), MONITOR_SECONDS + 2)
        scene.move(other)
        scene.wait_for_takeover(holder)
        wait_until(f"{VIP} off {holder}", lambda: VIP not in scene.configured(holder))
        assert LONGER in scene.configured(holder)
    finally:
        for node in (holder, other):
            scene.sh(node, f"ip address del {LONGER}/32 dev ens6")


def test_06_a_short_stall_moves_nothing(scene: Scene) -> None:
    holder = scene.holder
    for seconds in (0.2, 0.5):
        scene.hit("freeze", holder)
        time.sleep(seconds)
        scene.heal()
        time.sleep(3)
    assert scene.holder == holder
    assert scene.moves() == []


def test_06_a_node_thawed_after_a_takeover_claims_nothing_by_itself(scene: Scene) -> None:
    old = scene.holder
    scene.hit("freeze", old)
    new = scene.wait_for_takeover(old)
    time.sleep(3)
    thawed = time.monotonic_ns()
    scene.heal()
    scene.well()
    # The cluster stops both and starts one of them, whichever it likes: that is one move at most.
    assert len(scene.moves(thawed)) <= len(scene.vips)
    assert scene.holder in (old, new)
    assert len(scene.claims_of(old, thawed)) == (len(scene.vips) if scene.holder == old else 0)


def test_06_a_node_frozen_in_mid_claim_does_not_go_on_with_it(scene: Scene) -> None:
    frozen = scene.others[0]
    scene.fault("status", service="api", method="PUT", status=429, node=frozen)
    scene.move(frozen)
    wait_until(f"{frozen} to try", lambda: scene.hits() >= 3)
    scene.hit("freeze", frozen)
    scene.settle()
    able = [n for n in scene.nodes if n != frozen]
    wait_until("another node to serve", lambda: any(scene.configured(n) >= scene.vips.keys() for n in able))
    new = scene.wait_for_takeover(frozen)
    scene.control.clear_faults()
    thawed = time.monotonic_ns()
    scene.heal()
    scene.well()
    assert scene.holder == new
    assert scene.claims_of(frozen, thawed) == []


def test_08_an_api_that_never_answers_times_no_operation_out(scene: Scene) -> None:
    holder, other = scene.holder, scene.others[0]
    scene.fault("hang")
    scene.sh(holder, f"rm -f /run/cloudvip/audit-{GROUP}.json")
    for node, action, level, every, code in (
        (holder, "monitor", 10, 60, 0),
        (holder, "monitor", 0, 5, 0),
        (holder, "reload-agent", 0, 0, 0),
        (holder, "validate-all", 0, 0, 0),
        (other, "monitor", 0, 0, 7),
        (other, "start", 0, 0, 1),
        (other, "stop", 0, 0, 0),
    ):
        answer = scene.agent(node, action, level=level, every=every, timeout=12)
        assert answer.seconds < 12, action
        assert answer.code == code, f"{action}: {answer.text}"
        if action == "start":
            assert re.search(r"ocf-exit-reason:.*(timed out|no answer)", answer.text), answer.text
    assert scene.moves() == []
    assert scene.lost() == {}
    assert "Timed Out" not in scene.failures(holder)


def test_09_a_probe_before_the_node_is_ready_blocks_nothing(scene: Scene) -> None:
    node = scene.others[0]
    # Without a network, without a metadata service, and without anything that the playbook or a boot brings.
    assert scene.agent(node, "monitor", wrapper="unshare --net").code == 7
    scene.fault("drop")
    assert scene.agent(node, "monitor", level=10).code == 7
    for broken in ("rm -f {0}", "truncate --size=0 {0}", "echo {{}} > {0}", "rm -f {0}; rm -rf /run/cloudvip"):
        scene.sh(node, f"cp {CONFIG} /root/config.json && cp -a /run/cloudvip /root/run && {broken.format(CONFIG)}")
        try:
            assert scene.agent(node, "monitor").code == 7
            started = scene.agent(node, "start")
            # 1 may be tried again; 2, 5 and 6 need a person.
            assert started.code == 1, started.text
            assert "ocf-exit-reason:" in started.text
            assert scene.agent(node, "stop").code == 0
        finally:
            scene.sh(node, f"cp /root/config.json {CONFIG} && rm -rf /run/cloudvip && mv /root/run /run/cloudvip")


def test_09_what_could_not_start_anywhere_starts_by_itself_when_it_can(scene: Scene) -> None:
    for node in scene.nodes:
        scene.sh(node, f"mv {CONFIG} /root/config.json")
    try:
        scene.move()
        wait_until("a start that failed", lambda: "start" in scene.failures(scene.nodes[0]))
        time.sleep(10)
    finally:
        for node in scene.nodes:
            scene.sh(node, f"mv /root/config.json {CONFIG}")
    scene.settle()
    ready = time.monotonic_ns()
    scene.well(within=30)
    assert scene.back_after(ready) < 15


@pytest.mark.parametrize("effect", ["status", pytest.param("hang", marks=pytest.mark.long)])
def test_10_a_takeover_needs_no_metadata_service_and_no_federation(cluster: Lab, effect: str) -> None:
    with Scene(cluster) as scene:
        next_one = scene.others[0]
        before = scene.sh(next_one, "cat /run/cloudvip/token.json")
        for service in ("imds", "federation"):
            scene.fault(effect, service=service)
        assert "cloudvip:" in scene.sh(next_one, "timeout 60 cloudvip token refresh 2>&1", check=False)
        assert scene.sh(next_one, "cat /run/cloudvip/token.json") == before, "the token that still lives is gone"
        report = cluster.drill("kill")
    check(report)
    assert max(v["outage_ms"] for v in report["vips"]) < TAKEOVER_MS


@pytest.mark.parametrize(
    ("which", "fault"),
    [
        (0, {"effect": "status", "status": 500, "count": 2}),
        (1, {"effect": "apply_then_fail", "count": 1}),
        (2, {"effect": "status", "status": 409, "code": "IncorrectState", "count": 3}),
    ],
    ids=["first", "second", "third"],
)
def test_12_one_call_of_a_move_fails_and_the_move_is_complete_all_the_same(
    scene: Scene, which: int, fault: dict[str, str | int]
) -> None:
    old = scene.holder
    path = re.escape([*scene.vips.values()][which])
    scene.control.add_fault({**fault, "service": "api", "method": "PUT", "path": path})
    scene.move()
    new = scene.wait_for_takeover(old, 15)
    assert scene.hits() == fault["count"]
    # One start was enough, on one node: what was moved meanwhile did not go back.
    assert {e["instance"] for e in scene.events("api") if e["method"] == "PUT"} == {new}
    wait_until("the cluster's word", lambda: new in scene.sh(new, f"crm_resource --resource {RESOURCE} --locate"))
    assert "start" not in scene.failures(new)


@pytest.mark.long
def test_12_a_vip_that_cannot_be_claimed_is_reported_and_harms_no_other(cluster: Lab) -> None:
    with Scene(cluster) as scene:
        holder = scene.holder
        known = "|".join(map(re.escape, scene.vips.values()))
        scene.fault("status", service="api", method="PUT", path=f"/privateIps/(?!{known})", status=404, node=holder)
        try:
            play = cluster.play(INVENTORY, "-e", "vip_agent_verify_timeout=6", *vips(EXTRA))
            assert EXTRA["address"] in play.output.rpartition("fatal")[2]
            said = scene.status(holder)
            assert "404" in said[EXTRA["address"]]["pending"]
            assert {said[vip]["pending"] for vip in scene.vips} == {None}
            assert {said[vip]["cloud"] for vip in scene.vips} == {"here"}
            assert EXTRA["address"] not in scene.configured(holder)
            scene.control.clear_faults()
            assert scene.audit(holder).code == 0
            assert cluster.holders()[EXTRA["address"]] == holder
            assert EXTRA["address"] in scene.configured(holder)
            assert scene.moves() == [f"cv-{holder}-ens5"]
            assert scene.lost() == {}
        finally:
            scene.control.clear_faults()
            cluster.converge(INVENTORY, *vips({**EXTRA, "state": "absent"}))


def test_13_a_stopped_group_keeps_its_objects_and_nobody_can_take_its_addresses(scene: Scene) -> None:
    owner = scene.holder
    thief = next(v.vnic_id for v in scene.control.status().node(scene.others[0]).vnics if v.interface == "ens5")
    details = oci.core.models.CreatePrivateIpDetails(vnic_id=thief, ip_address=VIP)
    scene.sh(owner, f"crm_resource --resource {RESOURCE} --meta --set-parameter target-role --parameter-value Stopped")
    try:
        wait_until("the group to stop", lambda: scene.configured(owner).isdisjoint(scene.vips))
        with pytest.raises(oci.exceptions.ServiceError):
            scene.lab.network().create_private_ip(details)
        assert {f.address: f.id for f in scene.control.status().floating} == scene.vips
    finally:
        scene.sh(owner, f"crm_resource --resource {RESOURCE} --meta --delete-parameter target-role")


@pytest.mark.parametrize("shift", [360, -360])
def test_14_a_clock_that_is_off_neither_stops_a_takeover_nor_causes_one(scene: Scene, shift: int) -> None:
    old, new = scene.holder, scene.others[0]
    for node in (old, new):
        scene.fault("clock", shift_s=shift, node=node)
    assert scene.audit(old).code == 0
    assert scene.moves() == []
    scene.move(new)
    assert scene.wait_for_takeover(old, 10) == new
    wait_until("the cluster's word", lambda: new in scene.sh(new, f"crm_resource --resource {RESOURCE} --locate"))
    assert "start" not in scene.failures(new)
    skew = re.search(r'"clock_skew_seconds": (-?\d+)', scene.sh(new, "cloudvip status --json"))
    assert skew is not None
    assert abs(int(skew[1]) - shift) < 30


def test_14_an_expired_token_is_replaced_during_the_takeover(scene: Scene) -> None:
    old, new = scene.holder, scene.others[0]
    # For the API two hours have passed; the node does not know it yet.
    scene.fault("clock", shift_s=7200, node=new)
    scene.move(new)
    assert scene.wait_for_takeover(old, 10) == new
    wait_until("the cluster's word", lambda: new in scene.sh(new, f"crm_resource --resource {RESOURCE} --locate"))
    assert "start" not in scene.failures(new)


@pytest.mark.parametrize("effect", ["status", pytest.param("drop", marks=pytest.mark.long)])
def test_15_a_takeover_needs_no_dns(cluster: Lab, effect: str) -> None:
    look = f"timeout 3 getent hosts {ENDPOINT}"
    with Scene(cluster) as scene:
        assert scene.sh(scene.others[0], look)
        scene.fault(effect, service="dns")
        assert scene.sh(scene.others[0], look, check=False) == ""
        report = cluster.drill("kill")
    check(report)
    assert max(v["outage_ms"] for v in report["vips"]) < TAKEOVER_MS


def test_15_an_open_connection_is_reset_by_the_new_holder(scene: Scene) -> None:
    with ns.socket_in(paths.client_netns("pod1-client"), socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect((VIP, 22))
        assert connection.recv(4) == b"SSH-"
        while connection.recv(1) != b"\n":
            pass
        old = scene.holder
        scene.move()
        scene.wait_for_takeover(old)
        connection.sendall(b"SSH-2.0-somebody\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


@pytest.mark.parametrize("interface", ["ens3", pytest.param("ens5", marks=pytest.mark.long), "ens6"])
def test_more_any_vnic_that_loses_its_link_moves_the_group(cluster: Lab, interface: str) -> None:
    report = cluster.drill("linkdown", "--interface", interface)
    check(report)
    assert {v["holder_before"] for v in report["vips"]}.isdisjoint({v["holder_moved"] for v in report["vips"]})


def test_more_a_second_default_route_changes_nothing(scene: Scene) -> None:
    for node in scene.nodes:
        scene.sh(node, "ip route add default via 10.0.0.1 dev ens5 metric 5000")
    try:
        assert scene.audit(scene.holder).code == 0
        old = scene.holder
        scene.move()
        scene.wait_for_takeover(old)
        scene.settle()
        scene.well()
    finally:
        for node in scene.nodes:
            scene.sh(node, "ip route del default via 10.0.0.1 dev ens5 metric 5000")


def test_more_a_node_rebuilt_under_its_name_joins_and_moves_nothing(cluster: Lab) -> None:
    with Scene(cluster) as scene:
        node = scene.others[0]
        scene.sh(
            node,
            "systemctl stop pacemaker corosync cloudvip-token.timer && rm -rf /var/lib/pacemaker/cib/* "
            "/var/lib/corosync/* /etc/corosync/authkey /etc/corosync/corosync.conf /etc/cloudvip /run/cloudvip "
            "/usr/lib/cloudvip /usr/lib/ocf/resource.d/cloudvip /usr/sbin/cloudvip",
        )
        cluster.converge(INVENTORY)
        scene.well()
        assert scene.moves() == []
        assert scene.lost() == {}

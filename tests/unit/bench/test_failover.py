# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of failovers: what counts as an outage, what is compared with what, and what the contenders are."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from bench import adverts, failover, report, rig
from bench.failover import BALANCED, COUNTS, EQUAL, FAST, HOLDER, SUCCESSOR, TIMERS, TUTORIAL, Failovers, Pair
from bench.rig import CLI, ROOT, Address, BenchError, Node
from lab import topology
from lab.control import Machine, Vnic
from lab.probe import NS_PER_MS, Sample

VIPS = tuple(f"10.20.1.{101 + n}" for n in range(10))
MACHINES = {
    name: Machine(
        name,
        f"id-{name}",
        "RUNNING",
        tuple(
            Vnic(interface, f"vnic-{name}-{interface}", f"10.20.{subnet}.{host}", f"10.20.{subnet}.0/24")
            for subnet, interface in enumerate(("ens3", "ens5", "ens6"), 1)
        ),
    )
    for host, name in ((11, HOLDER), (12, SUCCESSOR))
}


def packets(*answered_by: str | None) -> list[Sample]:
    """One packet every 10 ms; None was lost."""
    return [
        Sample(n, n * 10 * NS_PER_MS, None if by is None else n * 10 * NS_PER_MS + 1, by)
        for n, by in enumerate(answered_by)
    ]


def found(first: dict[str, float], last: dict[str, float]) -> list[Failovers]:
    """Failovers of every contender with every number of VIPs."""
    return [
        Failovers(name, count, ((first[name], last[name]), (first[name] + 2, last[name] + 2)))
        for name in first
        for count in COUNTS
    ]


def test_an_outage_is_from_the_first_lost_packet_to_the_first_that_the_successor_answers() -> None:
    slow = packets(HOLDER, None, None, None, SUCCESSOR, SUCCESSOR)
    quick = packets(HOLDER, HOLDER, None, SUCCESSOR, SUCCESSOR, SUCCESSOR)
    again = packets(HOLDER, None, None, SUCCESSOR, None, SUCCESSOR)
    assert failover.outages([slow, quick, again]) == (10, 20, 30)


def test_packets_that_are_still_on_their_way_at_the_end_are_no_outage() -> None:
    assert failover.outages([packets(HOLDER, None, SUCCESSOR, *[None] * 9)]) == (10,)


@pytest.mark.parametrize(
    "samples",
    [
        packets(HOLDER, HOLDER, HOLDER),
        packets(HOLDER, None, None),
        packets(HOLDER, None, None, HOLDER),
    ],
    ids=["nothing lost", "not back", "back on the holder"],
)
def test_what_is_no_failover_is_no_figure(samples: Sequence[Sample]) -> None:
    with pytest.raises(BenchError, match=SUCCESSOR):
        failover.outages([packets(HOLDER, None, SUCCESSOR), samples])


def test_each_budget_compares_the_vip_and_the_number_of_vips_that_it_names() -> None:
    outages = {
        (TUTORIAL, 1): ((4000.0,), (4400.0,)),
        (TUTORIAL, 10): ((5000.0, 20000.0), (5000.0, 20000.0)),
        (EQUAL, 10): ((3500.0, 4000.0), (4000.0, 6000.0)),
        (BALANCED, 1): ((1260.0,), (1260.0,)),
        (FAST, 1): ((840.0,), (840.0,)),
    }
    measures = failover.measures([Failovers(name, count, each) for (name, count), each in outages.items()])
    assert [m.value for m in measures] == pytest.approx([0.75, 0.25, 0.3, 0.2])
    assert [m.limit for m in measures] == [0.75, 0.25, 0.4, 0.25]
    assert all(m.ok for m in measures)


def test_a_budget_that_is_missed_is_reported_and_fails_the_run() -> None:
    times = {TUTORIAL: 4000.0, EQUAL: 3100.0, BALANCED: 1000.0, FAST: 500.0}
    results = found(times, times)
    measures = failover.measures(results)
    assert [m.ok for m in measures] == [False, False, True, True]
    data = report.to_json(measures, [], results, 10, {})
    assert data["ok"] is False
    assert data["failovers"][0]["first"]["values"] == [4000, 4002]


def test_the_table_has_every_contender_with_every_number_of_vips() -> None:
    first = {TUTORIAL: 4000.0, EQUAL: 3000.0, BALANCED: 1400.0, FAST: 700.0}
    last = {TUTORIAL: 20000.0, EQUAL: 4000.0, BALANCED: 1400.0, FAST: 700.0}
    table = report.failovers_table(found(first, last))
    columns = [list(column.cells) for column in table.columns]
    assert columns[0] == [str(count) for count in COUNTS for _ in first]
    assert columns[1] == [TUTORIAL, EQUAL, BALANCED, FAST] * 3
    assert columns[2][1] == "3001 / 3002 ms"
    assert [column[1] for column in columns[3::2]] == ["0.75 x", "1/5"]
    assert columns[3][0] == ""


def test_the_tutorial_lets_its_first_node_be_master_with_nothing_but_its_script() -> None:
    holder = failover.tutorial_configuration(MACHINES[HOLDER], MACHINES[SUCCESSOR])
    backup = failover.tutorial_configuration(MACHINES[SUCCESSOR], MACHINES[HOLDER])
    words, others = holder.split(), backup.split()
    for word in ("state MASTER", "priority 200", "advert_int 1", "unicast_src_ip 10.20.1.11"):
        assert word in holder
    for word in ("state BACKUP", "priority 100", "advert_int 1", "unicast_src_ip 10.20.1.12"):
        assert word in backup
    assert words[words.index("unicast_peer") + 2] == "10.20.1.12"
    assert others[others.index("unicast_peer") + 2] == "10.20.1.11"
    assert words[words.index("notify_master") + 1] == "/root/claim-vips"
    assert "virtual_ipaddress" not in words
    assert words.count("{") == words.count("}")
    # Each interface has a line of its own, and every one is watched.
    assert "    track_interface {\n        ens3\n        ens5\n        ens6\n    }\n" in holder


def test_the_tutorials_script_moves_one_vip_after_the_other_to_its_own_vnic(tmp_path: Path) -> None:
    log = tmp_path / "log"
    cli = tmp_path / "oci"
    cli.write_text(f'#!/bin/sh\necho "$OCI_CLI_AUTH $@" >>{log}\n')
    cli.chmod(0o755)
    script = tmp_path / "script"
    script.write_text(failover.tutorial_script("vnic-n2", VIPS[:3]).replace(CLI, str(cli)))
    script.chmod(0o755)
    subprocess.run([str(script)], check=True, env={})
    command = "instance_principal network vnic assign-private-ip --vnic-id vnic-n2 --ip-address"
    assert log.read_text().splitlines() == [f"{command} {vip} --unassign-if-already-assigned" for vip in VIPS[:3]]


def test_a_node_is_left_with_the_first_vips_only_and_everything_else_as_it_was() -> None:
    group = {"revision": "abc", "vips": [{"address": vip, "name": f"v{n}"} for n, vip in enumerate(VIPS)]}
    config = {"oci": {"region": "lab-emu-1"}, "groups": {"main": group}, "vrrp": {"main": 77}}
    cut = {count: json.loads(failover.with_vips(json.dumps(config), VIPS[:count])) for count in COUNTS}
    assert {count: len(c["groups"]["main"]["vips"]) for count, c in cut.items()} == {1: 1, 3: 3, 10: 10}
    assert cut[1]["groups"]["main"]["vips"] == group["vips"][:1]
    assert len({c["groups"]["main"]["revision"] for c in cut.values()}) == 3
    assert all(c["oci"] == config["oci"] and c["vrrp"] == config["vrrp"] for c in cut.values())


def test_the_inventory_has_enough_vips_on_one_vnic_and_a_client_beside_them() -> None:
    shape = topology.load(str(ROOT / "bench" / "topology.yml"))
    inventory = ROOT / "bench" / "inventory_failover"
    subnet = shape.subnet("a").cidr
    (client,) = shape.clients
    assert client.vnics[0].address in subnet
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text())["cloudvip"]["children"]["failover"]["hosts"]
    nodes = {n.name: str(n.vnics[0].address) for n in shape.nodes}
    assert {n: h["ansible_host"] for n, h in hosts.items()} == {n: nodes[n] for n in (HOLDER, SUCCESSOR)}
    variables = yaml.safe_load((inventory / "group_vars" / "failover.yml").read_text())
    assert variables["cloudvip_engine"] == "keepalived"
    assert tuple(vip["address"] for vip in variables["cloudvip_vips"]) == VIPS
    assert len(VIPS) == max(COUNTS)


class Recorder(Node):
    """A node that is not there: every claim has ended, and what it is told is written down."""

    def __init__(self, name: str, log: list[tuple[str, str]]) -> None:
        self.name = name
        self._log = log

    def sh(self, command: str, data: bytes = b"") -> str:
        self._log.append((self.name, f"{command} {data.decode()}"))
        return "0\n"


class Rehearsal(Pair):
    """A pair without a lab, whose failovers take no time."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[str, str]] = []
        self.machines = MACHINES
        self.nodes = {name: Recorder(name, self.log) for name in (HOLDER, SUCCESSOR)}
        self.vips = [Address(f"id-{vip}", vip, "vnic-n2-ens3", "vnic-n1-ens3") for vip in VIPS]
        config = json.dumps({"groups": {"main": {"vips": [{"address": vip} for vip in VIPS]}}})
        self.configurations = dict.fromkeys(self.nodes, config)
        self.keepalived = {name: dict.fromkeys(self.nodes, f"<{name}>") for name in TIMERS}

    def hear(self) -> int:
        self.log.append((HOLDER, "heard"))
        return 0

    def held(self, count: int) -> bool:
        self.log.append((HOLDER, f"has taken up {count}"))
        return True

    def put_away(self, addresses: Sequence[Address]) -> None:
        self.log.append((HOLDER, f"gets {len(addresses)}"))

    def fail_over(self, count: int) -> tuple[float, ...]:
        self.log.append((HOLDER, f"fails with {count}"))
        return tuple(float(n) for n in range(count))


@pytest.fixture
def rehearsal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rehearsal:
    monkeypatch.setattr(rig, "CACHE", tmp_path)
    pair = Rehearsal()
    results = failover.failovers(pair, 2)
    assert {(r.contender, r.vips): len(r.outages) for r in results} == {
        (name, count): 2 for name in (TUTORIAL, *TIMERS) for count in COUNTS
    }
    return pair


def test_no_contender_starts_before_the_other_has_ended_on_both_nodes(rehearsal: Rehearsal) -> None:
    # The playbook has left its last one running.
    running = {HOLDER, SUCCESSOR}
    starts = 0
    for node, command in rehearsal.log:
        if "systemctl stop keepalived" in command:
            running.discard(node)
        elif command.startswith("cat > /etc/keepalived/keepalived.conf"):
            assert not running
            starts += 1
        elif "start keepalived" in command:
            running.add(node)
    assert not running
    assert starts == 2 * 2 * (1 + len(TIMERS))


def test_the_tutorials_successor_ends_first_or_it_would_claim_everything(rehearsal: Rehearsal) -> None:
    order = [node for node, command in rehearsal.log if command.strip() == "systemctl stop keepalived"]
    assert order == [SUCCESSOR, HOLDER] * 2


def test_the_tutorials_vips_are_put_back_when_no_script_can_move_them_any_more(rehearsal: Rehearsal) -> None:
    steps = [
        command.split()[0]
        for _, command in rehearsal.log[: [c for _, c in rehearsal.log].index("fails with 1")]
        if command.startswith(("heard", "pgrep", "gets"))
    ]
    assert steps[-4:] == ["heard", "pgrep", "pgrep", "gets"]


def test_ours_fails_over_with_the_vips_that_both_nodes_have_taken_up(rehearsal: Rehearsal) -> None:
    vips: dict[str, int] = {}
    checked = 0
    for index, (node, command) in enumerate(rehearsal.log):
        if command.startswith("cat > /etc/cloudvip/config.json"):
            vips[node] = command.count("10.20.1.")
        elif command.startswith("has taken up"):
            count = vips[HOLDER]
            assert vips == {HOLDER: count, SUCCESSOR: count}
            assert [c.strip() for _, c in rehearsal.log[index - 3 : index + 2]] == [
                "systemctl start keepalived",
                "systemctl start keepalived",
                "/usr/sbin/cloudvip apply",
                f"has taken up {count}",
                f"fails with {count}",
            ]
            checked += 1
    assert checked == 2 * len(TIMERS) * len(COUNTS)


def test_nothing_of_ours_runs_beside_the_tutorial(rehearsal: Rehearsal) -> None:
    begun = [c for _, c in rehearsal.log if c.startswith("systemctl restart keepalived") or "start keepalived &&" in c]
    assert len(begun) == 2 * 2 * len(COUNTS)
    assert all(command.strip().endswith("&& systemctl stop cloudvip-vrrp") for command in begun)


def test_an_advert_and_the_pause_before_it_are_heard() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        for packet in (b"first advert", b"second advert", b"third"):
            there.send(packet)
        heard = adverts.listen(here)
        assert here.recv(5) == b"third"
    assert 0 <= heard["interval"] < heard["at"]


def test_a_master_that_is_not_heard_is_an_error() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        there.send(b"only one")
        here.settimeout(0.001)
        with pytest.raises(TimeoutError):
            adverts.listen(here)


def test_what_does_not_come_to_pass_is_named() -> None:
    failover.until(lambda: True, "the sun rises", 0)
    with pytest.raises(BenchError, match="the sun sets: not within 0 s"):
        failover.until(lambda: False, "the sun sets", 0)

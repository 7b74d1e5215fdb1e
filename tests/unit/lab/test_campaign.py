# SPDX-License-Identifier: GPL-3.0-or-later
"""Campaigns: the same seed is the same campaign, what counts as well, and a whole one against a made-up lab."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from lab import campaign
from lab.campaign import Outcome, Sight, Strike, draw, problems
from lab.cloud.faults import Effect, Fault, Service
from lab.control import Act, Direction, FloatingIp, LabError, Machine, Status, Vnic
from lab.drill import Kind
from lab.engines import View
from lab.probe import NS_PER_S, Sample, Target, steady

NODES = tuple(
    Machine(name, f"id-{name}", "RUNNING", (Vnic("ens3", f"{name}-ens3", "10.0.1.2", "10.0.1.0/24"),
                                             Vnic("ens5", f"{name}-ens5", "10.0.2.2", "10.0.2.0/24")))
    for name in ("vr1", "vr2", "vr3")
)  # fmt: skip
CLIENTS = (Machine("c1", "", "", (Vnic("eth0", "c1-eth0", "10.0.2.9", "10.0.2.0/24"),)),)
VIP = "10.0.2.50"
IDS = {VIP: "ip-pod1"}
TARGET = Target("vip", "pod1", "c1", VIP)


def status(holder: str | None = "vr1", ocid: str = "ip-pod1", **states: str) -> Status:
    nodes = tuple(replace(n, state=states.get(n.name, n.state)) for n in NODES)
    floating = (FloatingIp(ocid, VIP, f"{holder}-ens5" if holder else None, "10.0.2.0/24", "pod1"),)
    return Status("t", nodes, CLIENTS, floating, ())


def packets(by: str | None = "vr1", others: tuple[str, ...] = ()) -> list[Sample]:
    return [Sample(n, n * 10, n * 10 + 1 if by else None, by, others) for n in range(100)]


WELL = Sight(
    status=status(),
    engine=View((), frozenset({"vr1"})),
    addresses={"vr1": frozenset({"10.0.2.2", VIP}), "vr2": frozenset({"10.0.2.3"}), "vr3": frozenset()},
    samples={TARGET: packets()},
)


def test_nothing_is_wrong_when_all_is_well() -> None:
    assert problems(WELL, IDS) == []


@pytest.mark.parametrize(
    ("sight", "expected"),
    [
        (replace(WELL, status=status(vr3="STOPPED")), "vr3 is STOPPED"),
        (replace(WELL, engine=View(("vr2 sees no quorum",), frozenset({"vr1"}))), "vr2 sees no quorum"),
        (replace(WELL, status=replace(status(), floating=())), f"the object of {VIP} is gone"),
        (replace(WELL, status=status(ocid="ip-new")), f"{VIP} was ip-pod1 and is ip-new"),
        (replace(WELL, status=status(None)), f"the cloud delivers {VIP} to nobody"),
        (replace(WELL, status=status("vr2")), f"the cloud delivers {VIP} to vr2, which runs nothing"),
        (replace(WELL, status=status("vr2")), f"the cloud delivers {VIP} to vr2, configured on vr1"),
        (
            replace(WELL, addresses={**WELL.addresses, "vr2": frozenset({VIP})}),
            f"the cloud delivers {VIP} to vr1, configured on vr1, vr2",
        ),
        (
            replace(WELL, addresses=dict.fromkeys(WELL.addresses, frozenset())),
            f"the cloud delivers {VIP} to vr1, configured on no node",
        ),
        (replace(WELL, addresses={**WELL.addresses, "vr3": None}), "vr3: the interfaces cannot be looked at"),
        (replace(WELL, samples={TARGET: packets(None)}), "pod1: 100 of the last 100 packets were not answered"),
        (replace(WELL, samples={TARGET: []}), "pod1: 0 of the last 0 packets were not answered"),
        (replace(WELL, samples={TARGET: packets("vr1", ("vr2",))}), "pod1: packets were answered by two hosts"),
        (replace(WELL, samples={TARGET: packets("vr3")}), "pod1: answered by vr3, the cloud says vr1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(sight: Sight, expected: str) -> None:
    assert any(expected in problem for problem in problems(sight, IDS)), problems(sight, IDS)


# -- what is drawn -----------------------------------------------------------------------------------------------------


def test_a_seed_says_what_happens_whichever_strike_is_the_first() -> None:
    assert [draw(7, n) for n in range(1, 30)] == [draw(7, n) for n in range(1, 30)]
    assert [draw(7, n) for n in range(1, 30)] != [draw(8, n) for n in range(1, 30)]


def test_two_hundred_faults_leave_nothing_out() -> None:
    strikes = [draw(1, n) for n in range(1, 201)]
    assert {s.kind for s in strikes} == {None, *get_args(Kind)}
    assert {s.direction for s in strikes if s.kind == "partition"} == set(get_args(Direction))
    assert {s.victim for s in strikes if s.kind} == {"holder", "other"}
    faults = [Fault.from_json(fault) for s in strikes for fault in s.faults]
    # Nothing in a campaign changes a policy, which is all that iam_lag holds up.
    assert {f.effect for f in faults} == {*get_args(Effect)} - {"iam_lag"}
    assert {f.service for f in faults} == {None, *get_args(Service)}
    assert {f.status for f in faults} >= {400, 401, 404, 429, 500, 503}
    assert any(s.kind and s.faults for s in strikes)
    assert all(s.kind or s.faults for s in strikes)
    assert min(s.seconds for s in strikes) < 2 < 15 < max(s.seconds for s in strikes)


def test_a_strike_is_told_in_words() -> None:
    strike = Strike(3, "partition", "holder", 0, "in", 4.0, True, ({"effect": "status", "status": 429},))
    assert str(strike) == "partition in holder + effect=status status=429 for 4.0 s"


# -- a whole campaign --------------------------------------------------------------------------------------------------


def crm_mon(offline: str = "") -> str:
    nodes = "".join(
        f'<node name="{n.name}" online="{str(n.name != offline).lower()}" pending="false" unclean="false"/>'
        for n in NODES
    )
    return (
        f'<pacemaker-result><summary><current_dc with_quorum="true"/></summary><nodes>{nodes}</nodes><resources>'
        '<resource id="main" role="Started"><node name="vr1"/></resource></resources></pacemaker-result>'
    )


@dataclass
class World:
    """A lab, its nodes, its probe and its clock. `recovers` seconds after the healing all is well again, or never."""

    recovers: float | None = 3.0
    engine: str = "pacemaker"
    now_ns: int = 100 * NS_PER_S
    broken: bool = False
    fault: int | None = None
    healed: int | None = None
    done: list[tuple[Any, ...]] = field(default_factory=list)
    faults: list[Mapping[str, Any]] = field(default_factory=list)
    probing: int = 0

    def now(self) -> int:
        return self.now_ns

    def wall(self) -> float:
        return 1_700_000_000.0

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * NS_PER_S)

    def well(self, at: int) -> bool:
        if self.fault is not None and at < self.fault:
            return True
        if self.broken:
            return False
        return self.healed is None or (self.recovers is not None and at - self.healed >= self.recovers * NS_PER_S)

    def status(self) -> Status:
        return status()

    def events(self, since: int) -> list[dict[str, Any]]:
        return [{"t": since, "kind": "moved"}]

    def nemesis(self, act: Act, node: str, *, interface: str | None = None, direction: Direction = "both") -> None:
        self.done.append((act, node, interface, direction))
        self.broken = act not in ("start", "thaw", "unhang", "heal", "linkup")
        if self.broken:
            self.fault = self.now_ns
        else:
            self.healed = self.now_ns

    def add_fault(self, fault: Mapping[str, Any]) -> list[dict[str, Any]]:
        self.faults.append(fault)
        return []

    def clear_faults(self) -> None:
        self.faults.clear()
        self.done.append(("clear",))

    def exec_on(self, node: str, argv: Sequence[str]) -> str:
        match list(argv):
            case ["systemctl", "is-active", *names]:
                return "".join("active\n" if name == self.engine else "inactive\n" for name in names)
            case ["systemctl", *rest]:
                self.done.append(("systemctl", node, *rest))
            case ["journalctl", *_, "--identifier=Keepalived_vrrp"]:
                state = "MASTER" if node == "vr1" else "BACKUP"
                return f"(main) Entering {state if self.well(self.now_ns) else 'FAULT'} STATE\n"
            case ["cat", "/etc/keepalived/keepalived.conf"]:
                return "vrrp_instance main\n"
            case ["crm_mon", *_]:
                return crm_mon() if self.well(self.now_ns) else crm_mon(offline="vr1")
            case ["crm_resource", *rest]:
                self.done.append(("crm_resource", *rest))
            case ["cibadmin", "--query", "--scope", _]:
                return "<constraints/>"
            case ["ip", "-json", *_]:
                mine = ["10.0.2.50"] if node == "vr1" else []
                return json.dumps([{"addr_info": [{"local": a} for a in mine]}])
            case ["journalctl", *_]:
                if node == "vr2":
                    raise LabError("off")
                return f"journal of {node}\n"
        return ""

    def probe(self, targets: Sequence[Target]) -> World:
        self.targets = targets
        return self

    def start(self) -> None:
        self.probing += 1
        # A real one has sent for a while when the first answer counts.
        self.sleep(2)

    def stop(self) -> None:
        self.probing -= 1

    def samples(self, target: Target, since: int = 0) -> list[Sample]:
        assert target in self.targets
        times = range(max(since, 100 * NS_PER_S), self.now_ns, NS_PER_S // 100)
        return [Sample(n, t, t + 1, "vr1") if self.well(t) else Sample(n, t) for n, t in enumerate(times)]

    def steady(self, target: Target, now: int, window: int, since: int = 0) -> bool:
        return steady(self.samples(target), now, window, since)

    def run(self, numbers: Sequence[int], evidence: Path, within: float = 20.0) -> list[Outcome]:
        return list(
            campaign.run(
                7, numbers, control=self, evidence=evidence, within=within,
                exec_on=self.exec_on, probe_of=self.probe, clock=self,
            )
        )  # fmt: skip


def strikes(monkeypatch: pytest.MonkeyPatch, *kinds: Kind | None, **changes: Any) -> None:
    """Have the strikes 1, 2, … be of these kinds."""
    fault = {"effect": "drop"}
    drawn = [
        replace(Strike(n, kind, "holder", 0, "out", 4.0, True, (fault,)), **changes) for n, kind in enumerate(kinds, 1)
    ]
    monkeypatch.setattr(campaign, "draw", lambda seed, number: drawn[number - 1] if seed == 7 else None)


def test_faults_come_and_go_and_each_ends_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    strikes(monkeypatch, "kill", "partition", "linkdown", None)
    world = World()
    outcomes = world.run([1, 2, 3, 4], tmp_path / "evidence")
    assert [(o.strike.number, o.node, o.problems) for o in outcomes] == [
        (1, "vr1", ()), (2, "vr1", ()), (3, "vr1", ()), (4, "", ()),
    ]  # fmt: skip
    assert [act for act in world.done if act != ("clear",)] == [
        ("kill", "vr1", None, "out"),
        ("start", "vr1", None, "both"),
        ("partition", "vr1", None, "out"),
        ("heal", "vr1", None, "both"),
        ("linkdown", "vr1", "ens3", "out"),
        ("linkup", "vr1", "ens3", "both"),
    ]
    assert world.faults == []
    assert world.probing == 0
    # Recovery takes 3 s, and another second of answers proves it.
    assert outcomes[0].well_after == pytest.approx(4.5, abs=0.5)
    assert outcomes[0].outage_ms == pytest.approx(7000, abs=20)
    assert (outcomes[0].holder_before, outcomes[0].holder_after) == ("vr1", "vr1")
    assert not (tmp_path / "evidence").exists()


def test_a_move_is_the_clusters_own_and_its_constraint_is_taken_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    strikes(monkeypatch, "move")
    world = World()
    world.run([1], tmp_path)
    assert [act for act in world.done if act[0] == "crm_resource"] == [
        ("crm_resource", "--resource", "main", "--move"),
        ("crm_resource", "--resource", "main", "--clear"),
    ]


def test_keepalived_is_moved_and_judged_by_its_own_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    strikes(monkeypatch, "move", "freeze")
    world = World(engine="keepalived")
    outcomes = world.run([1, 2], tmp_path / "evidence")
    assert [o.problems for o in outcomes] == [(), ()]
    assert [act for act in world.done if act[0] == "systemctl"] == [("systemctl", "vr1", "restart", "keepalived")]
    assert outcomes[1].well_after == pytest.approx(4.5, abs=0.5)


def test_what_keepalived_says_of_a_failure_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    strikes(monkeypatch, "kill")
    (outcome,) = World(engine="keepalived", recovers=None).run([1], tmp_path / "evidence")
    assert "vr2: main is in state FAULT" in outcome.problems
    assert (tmp_path / "evidence" / "vr3.keepalived.conf").read_text() == "vrrp_instance main\n"
    assert not (tmp_path / "evidence" / "vr3.cib.xml").exists()


def test_another_node_than_the_holder_may_be_the_victim(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    strikes(monkeypatch, "freeze", victim="other", which=3)
    world = World()
    world.run([1], tmp_path)
    assert world.done[1][:2] == ("freeze", "vr3")


@pytest.mark.parametrize(("first", "order"), [(True, ["clear", "thaw", "clear"]), (False, ["thaw", "clear"])])
def test_the_cloud_or_the_node_heals_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: bool, order: list[str]
) -> None:
    strikes(monkeypatch, "freeze", cloud_heals_first=first)
    world = World()
    world.run([1], tmp_path)
    assert [act[0] for act in world.done[2:]] == order


def test_what_does_not_end_well_ends_the_campaign_and_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    strikes(monkeypatch, "hang", "kill")
    world = World(recovers=None)
    evidence = tmp_path / "evidence"
    (outcome,) = world.run([1, 2], evidence)
    assert outcome.well_after is None
    assert outcome.outage_ms is None
    assert "vr1 does not see all nodes online" in outcome.problems
    assert [act[0] for act in world.done if len(act) > 1] == ["hang", "unhang"]
    assert (evidence / "vr1.journal").read_text() == "journal of vr1\n"
    assert "could not be read" in (evidence / "vr2.journal").read_text()
    assert "pacemaker-result" in (evidence / "vr3.crm_mon.xml").read_text()
    assert json.loads((evidence / "events.json").read_text())[0]["kind"] == "moved"
    kept = json.loads((evidence / "strike.json").read_text())
    assert (kept["strike"]["kind"], kept["node"]) == ("hang", "vr1")
    assert kept["problems"] == list(outcome.problems)


class Slow(World):
    """The answer to the last packet is still on its way as long as the probe runs."""

    def samples(self, target: Target, since: int = 0) -> list[Sample]:
        samples = super().samples(target, since)
        return [*samples[:-1], Sample(samples[-1].sequence, samples[-1].sent)] if self.probing else samples


def test_a_packet_that_is_on_its_way_is_no_outage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    strikes(monkeypatch, "kill")
    (outcome,) = Slow().run([1], tmp_path)
    assert outcome.problems == ()
    assert outcome.outage_ms == pytest.approx(7000, abs=20)


def test_an_outcome_is_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    strikes(monkeypatch, "kill")
    (outcome,) = World().run([1], tmp_path)
    data = json.loads(json.dumps(outcome.to_json()))
    assert data["ok"] is True
    assert data["strike"]["kind"] == "kill"


def test_a_fault_that_the_lab_refuses_is_healed_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    strikes(monkeypatch, "kill")
    world = World()
    acts: list[str] = []

    def nemesis(act: Act, node: str, **_: Any) -> None:
        acts.append(f"{act} {node}")
        if act == "kill":
            raise LabError("no")

    monkeypatch.setattr(world, "nemesis", nemesis)
    with pytest.raises(LabError, match="no"):
        world.run([1], tmp_path)
    assert acts == ["kill vr1", "start vr1"]
    assert world.faults == []
    assert world.probing == 0


def test_no_campaign_against_what_is_not_well_to_begin_with(tmp_path: Path) -> None:
    world = World(broken=True)
    with pytest.raises(LabError, match="before any fault, vr1 does not see all nodes online"):
        world.run([1], tmp_path, within=5.0)
    assert [act for act in world.done if act != ("clear",)] == []
    assert world.probing == 0


def test_no_campaign_without_addresses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = World()
    monkeypatch.setattr(world, "status", lambda: replace(status(), floating=()))
    with pytest.raises(LabError, match="set up a cluster"):
        world.run([1], tmp_path)

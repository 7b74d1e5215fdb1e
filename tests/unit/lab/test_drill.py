# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills: where the time went, and the whole course of one against a made-up lab with a made-up clock."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from rich.console import Console

from lab import drill, probe
from lab.cli_drill import print_report
from lab.control import Act, Direction, FloatingIp, Flow, LabError, Machine, Status, Vnic
from lab.drill import Breakdown, DrillReport, Kind, Line
from lab.probe import NS_PER_MS, NS_PER_S, Sample, Target

FAULT = 100 * NS_PER_S
MEMBERSHIP = "[TOTEM ] A new membership (2.3) was formed. Members left: 1"


def at(ms: float) -> int:
    """`ms` after the fault."""
    return FAULT + round(ms * NS_PER_MS)


def line(ms: float, message: str, node: str = "vr2", program: str = "corosync") -> Line:
    return Line(node, at(ms), program, message)


def api(ms: float, instance: str = "vr2") -> dict[str, Any]:
    return {"t": at(ms + 20), "kind": "api", "instance": instance, "method": "PUT", "started": at(ms)}


def moved(ms: float, port: str = "cv-vr2-ens5", ip: str = "ip1") -> dict[str, Any]:
    return {"t": at(ms), "kind": "moved", "private_ip_id": ip, "port": port}


@pytest.mark.parametrize(
    ("events", "journal", "answered", "expected"),
    [
        ([api(3000), moved(3040)], [line(2500, MEMBERSHIP)], 3050, (2500, 500, 40, 10)),
        ([api(3000), moved(3040)], [], 3050, (None, 3000, 40, 10)),
        ([moved(3040)], [line(2500, MEMBERSHIP)], 3050, (2500, None, 540, 10)),
        ([], [line(2500, MEMBERSHIP)], 3050, (2500, None, None, 550)),
        ([], [], 3050, (None, None, None, 3050)),
        ([api(3000), moved(3040)], [line(2500, MEMBERSHIP)], None, (2500, 500, 40, None)),
        # Another node's new membership is not what made the next holder act.
        ([api(3000), moved(3040)], [line(2400, MEMBERSHIP, "vr3"), line(2500, MEMBERSHIP)], 3050, (2500, 500, 40, 10)),
        # What was noticed after the move did not cause it, nor what was said before the fault.
        ([api(3000), moved(3040)], [line(-5, MEMBERSHIP), line(4000, MEMBERSHIP)], 3050, (None, 3000, 40, 10)),
        # A request from before anything was noticed, another node's requests, another address, an earlier holder.
        (
            [api(100), api(2600, "vr3"), moved(2700, ip="ip2"), moved(2800, "cv-vr3-ens5"), api(3000), moved(3040)],
            [line(2500, MEMBERSHIP)],
            3050,
            (2500, 500, 40, 10),
        ),
        # The address still answered at the old holder when the cloud moved it: steps do not become negative.
        ([api(3000), moved(3040)], [line(2500, MEMBERSHIP)], 3030, (2500, 500, 40, 0)),
    ],
    ids=[
        "all four", "nobody noticed", "no request", "not moved", "no trace at all", "no packet lost",
        "another node's membership", "before and after", "other requests and moves", "not negative",
    ],
)  # fmt: skip
def test_breakdown(
    events: list[dict[str, Any]],
    journal: list[Line],
    answered: float | None,
    expected: tuple[float | None, float | None, float | None, float | None],
) -> None:
    result = drill.breakdown(
        fault_at=FAULT,
        holder="vr2",
        private_ip_id="ip1",
        ports=frozenset({"cv-vr2-ens3", "cv-vr2-ens5"}),
        events=events,
        journal=journal,
        answered_at=None if answered is None else at(answered),
    )
    assert (result.detection_ms, result.decision_ms, result.api_ms, result.data_plane_ms) == expected


@pytest.mark.parametrize(
    ("node", "message", "counts"),
    [
        ("vr2", MEMBERSHIP, True),
        ("vr1", MEMBERSHIP, False),
        ("vr2", "(VI_1) Entering MASTER STATE", True),
        ("vr1", "(VI_1) Entering MASTER STATE", False),
        ("vr1", "(VI_1) Entering FAULT STATE", True),
        ("vr2", "(VI_1) Entering BACKUP STATE (init)", False),
        ("vr1", "Result of monitor operation for cloudvip-main on vr1: not running", True),
        ("vr1", "Result of monitor operation for cloudvip-main on vr1: ok", False),
        ("vr3", "State transition S_IDLE -> S_POLICY_ENGINE", True),
        ("vr3", "State transition S_POLICY_ENGINE -> S_TRANSITION_ENGINE", False),
        ("vr2", "Started Session 1 of User opc.", False),
    ],
)
def test_what_counts_as_noticing(node: str, message: str, counts: bool) -> None:
    result = drill.breakdown(
        fault_at=FAULT, holder="vr2", private_ip_id="ip1", ports=frozenset({"cv-vr2-ens5"}),
        events=[api(30), moved(40)], journal=[line(20, message, node, "x")], answered_at=at(50),
    )  # fmt: skip
    assert result.detected_by == (f"{node} x: {message}" if counts else None)


def test_a_journal() -> None:
    records = [
        {"MESSAGE": "hello", "__MONOTONIC_TIMESTAMP": "1000001", "SYSLOG_IDENTIFIER": "corosync"},
        {"MESSAGE": [255, 254], "__MONOTONIC_TIMESTAMP": "1000002", "SYSLOG_IDENTIFIER": "odd"},
        {"MESSAGE": "from the kernel", "__MONOTONIC_TIMESTAMP": "1000003"},
    ]
    assert drill.parse_journal("vr1", "\n".join(json.dumps(r) for r in records) + "\n") == [
        Line("vr1", 1_000_001_000, "corosync", "hello"),
        Line("vr1", 1_000_003_000, "", "from the kernel"),
    ]


def crm_mon(*, vr1: str = 'online="true" pending="false" unclean="false"', holder: str = "vr1") -> str:
    return f"""<pacemaker-result>
      <nodes>
        <node name="vr1" {vr1}/>
        <node name="vr2" online="true" pending="false" unclean="false"/>
      </nodes>
      <resources>
        <resource id="cloudvip-main" resource_agent="ocf:cloudvip:vips"><node name="{holder}"/></resource>
        <resource id="fence" resource_agent="stonith:fence_oci"><node name="vr1"/></resource>
        <group id="web"><resource id="web-ip" resource_agent="ocf:x:y"><node name="vr1"/></resource></group>
        <resource id="idle" resource_agent="ocf:x:y"/>
        <clone id="ping-clone"><resource id="ping" resource_agent="ocf:x:y"><node name="vr1"/></resource></clone>
      </resources>
    </pacemaker-result>"""


# -- a whole drill -----------------------------------------------------------------------------------------------------

_SUBNETS = {"ens3": "10.0.1", "ens5": "10.0.2", "ens6": "10.0.3"}
_NODES = tuple(
    Machine(
        f"vr{n}", f"ocid-vr{n}", "RUNNING",
        tuple(Vnic(i, f"vr{n}-{i}", f"{net}.{n}", f"{net}.0/24") for i, net in _SUBNETS.items()),
    )
    for n in (1, 2, 3)
)  # fmt: skip
_CLIENTS = tuple(
    Machine(name, "", "", (Vnic("eth0", name, f"{net}.99", f"{net}.0/24"),))
    for name, net in (("c1", "10.0.2"), ("c2", "10.0.3"))
)
VIPS = {"pod1": "10.0.2.50", "pod2": "10.0.3.50"}


@dataclass
class World:
    """A lab in which vr1 holds both VIPs, and vr2 takes them over `move_after` s after a fault of vr1.

    The clients get no answer from `fails_after` to `back_after` s after the fault (None: for good), and `back_after`
    is at the earliest when the move is done. `tick` is called with every change of the clock.
    """

    fails_after: float = 0.0
    move_after: float = 2.0
    back_after: float | None = 2.1
    engine: str = "pacemaker"
    answers: bool = True
    rebooted_ids: bool = False
    moves: bool = True
    breaks: LabError | None = None
    rejoin_after: float = 4.0
    blip_after_heal: float | None = None
    stale_address: bool = False
    now_ns: int = FAULT - 30 * NS_PER_S
    fault: int | None = None
    healed: int | None = None
    acts: list[tuple[str, str, str | None, str, float]] = field(default_factory=list)
    commands: list[tuple[str, ...]] = field(default_factory=list)
    probing: bool = False

    # the clock

    def now(self) -> int:
        return self.now_ns

    def wall(self) -> float:
        return 1_700_000_000 + self.now_ns / NS_PER_S

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * NS_PER_S)

    def _since_fault(self, now: int | None = None) -> float:
        return -1.0 if self.fault is None else ((now or self.now_ns) - self.fault) / NS_PER_S

    def _since_heal(self, now: int | None = None) -> float:
        return -1.0 if self.healed is None else ((now or self.now_ns) - self.healed) / NS_PER_S

    # the control API

    def status(self) -> Status:
        holder = "vr2" if self.moves and self._since_fault() >= self.move_after else "vr1"
        suffix = "-new" if self.rebooted_ids and holder == "vr2" else ""
        floating = tuple(
            FloatingIp(
                f"ip-{name}{suffix}", address, f"{holder}-{interface}", address.rsplit(".", 1)[0] + ".0/24", name
            )
            for (name, address), interface in zip(VIPS.items(), ("ens5", "ens6"), strict=True)
        )
        return Status("t", _NODES, _CLIENTS, floating, (Flow("c1", "c2", "10.0.3.99"),))

    def events(self, since: int) -> list[dict[str, Any]]:
        assert self.fault is not None
        move = self.fault + round(self.move_after * NS_PER_S)
        happened: list[dict[str, Any]] = [
            {"t": move + 5, "kind": "api", "instance": "vr2", "started": move - 50 * NS_PER_MS},
            *(
                {"t": move, "kind": "moved", "private_ip_id": f"ip-{name}", "port": f"cv-vr2-{interface}"}
                for name, interface in (("pod1", "ens5"), ("pod2", "ens6"))
            ),
        ]
        return [event for event in happened if event["t"] >= since]

    def nemesis(self, act: Act, node: str, *, interface: str | None = None, direction: Direction = "both") -> None:
        if act in ("start", "thaw", "unhang", "heal", "linkup"):
            self.healed = self.now_ns
        else:
            self.fault = self.now_ns
            if self.breaks:
                raise self.breaks
        self.acts.append((act, node, interface, direction, self._since_fault()))

    # the nodes

    def exec_on(self, node: str, argv: Sequence[str]) -> str:
        self.commands.append((node, *argv))
        match list(argv):
            case ["systemctl", "is-active", *names]:
                if self.engine not in names:
                    raise LabError("inactive")
                return "".join("active\n" if name == self.engine else "inactive\n" for name in names)
            case ["systemctl", "restart", "keepalived"]:
                self.fault = self.now_ns
            case ["journalctl", *_, "--identifier=Keepalived_vrrp"]:
                # A node that was away takes itself for the master, until it hears of the one that there is.
                back = self.healed is None or self._since_heal() >= self.rejoin_after
                states = {"vr1": "BACKUP" if back and self.fault is not None else "MASTER", "vr2": "MASTER"}
                return f"(main) Entering {states.get(node, 'BACKUP')} STATE\n"
            case ["crm_mon", *_]:
                back = self.healed is None or self._since_heal() >= self.rejoin_after
                # The node that failed does not know that it was away.
                return crm_mon(vr1=f'online="{str(back or node == "vr1").lower()}" pending="false" unclean="false"')
            case ["crm_resource", *_, "--move"]:
                self.fault = self.now_ns
            case ["crm_resource", *_, "--clear"]:
                self.healed = self.now_ns
            case ["journalctl", *_]:
                assert self.fault is not None
                if node == "vr1":
                    raise LabError("off")
                record = {"MESSAGE": MEMBERSHIP, "SYSLOG_IDENTIFIER": "corosync",
                          "__MONOTONIC_TIMESTAMP": str((self.fault + NS_PER_S) // 1000)}  # fmt: skip
                return json.dumps(record)
            case ["ip", *_]:
                holds = node == "vr2" if self.moves else node == "vr1"
                mine = [*VIPS.values()] if holds or (self.stale_address and node == "vr1") else []
                return json.dumps([{"addr_info": [{"local": a} for a in mine]}])
        return ""

    # the probe

    def probe(self, targets: Sequence[Target]) -> World:
        self.started = self.now_ns
        self.targets = targets
        return self

    def start(self) -> None:
        self.probing = True

    def stop(self) -> None:
        self.probing = False

    def _host(self, sent: int) -> str | None:
        since = self._since_fault(sent)
        out = since >= self.fails_after and (self.back_after is None or since < self.back_after)
        if self.blip_after_heal is not None and 0 <= self._since_heal(sent) - self.blip_after_heal < 0.3:
            out = True
        if not self.answers or (self.fault is not None and out):
            return None
        return "vr2" if since >= self.move_after else "vr1"

    def samples(self, target: Target, since: int = 0) -> list[Sample]:
        assert target in self.targets
        step = 10 * NS_PER_MS
        times = range(max(self.started, since - since % step), self.now_ns, step)
        return [Sample(n, t, t + 1 if (h := self._host(t)) else None, h) for n, t in enumerate(times)]

    def steady(self, target: Target, now: int, window: int, since: int = 0) -> bool:
        return probe.steady(self.samples(target, now - window - probe.IN_FLIGHT_NS), now, window, since)

    def drill(self, kind: Kind, node: str | None = None, **options: Any) -> DrillReport:
        return drill.run(kind, node, control=self, exec_on=self.exec_on, probe_of=self.probe, clock=self, **options)


def test_a_kill() -> None:
    world = World()
    result = world.drill("kill")
    assert result.ok, result.problems
    assert (result.kind, result.node, result.engine, result.recovered, result.rejoined) == (
        "kill", "vr1", "pacemaker", True, True,
    )  # fmt: skip
    assert [a[:2] for a in world.acts] == [("kill", "vr1"), ("start", "vr1")]
    assert [(v.name, v.address, v.holder_before, v.holder_moved, v.holder_after, v.same_id) for v in result.vips] == [
        (name, address, "vr1", "vr2", "vr2", True) for name, address in VIPS.items()
    ]
    assert {v.outage_ms for v in result.vips} == {f.outage_ms for f in result.flows} == {2100.0}
    assert [f.name for f in result.flows] == ["c1 → c2"]
    assert result.vips[0].breakdown == Breakdown(1000.0, 950.0, 50.0, 100.0, f"vr2 corosync: {MEMBERSHIP}")
    assert result.vips[0].configured_on == ("vr2",)
    assert not world.probing


def test_the_report_is_json() -> None:
    data = json.loads(json.dumps(World().drill("kill").to_json()))
    assert data["ok"] is True
    assert data["vips"][0]["breakdown"]["detection_ms"] == 1000.0


def test_a_node_that_goes_down_in_order_serves_for_a_while() -> None:
    world = World(fails_after=6.0, move_after=6.2, back_after=6.3)
    result = world.drill("stop")
    assert result.ok, result.problems
    assert result.vips[0].outage_ms == 300.0
    assert world.acts[1][4] >= 7.3, "healed before the addresses had moved and answered for a second"


def test_the_outage_may_begin_after_the_cloud_has_moved_the_address() -> None:
    world = World(fails_after=2.5, move_after=2.0, back_after=3.5)
    assert world.drill("partition").vips[0].outage_ms == 1000.0


def test_what_never_answers_again_is_healed_and_reported() -> None:
    world = World(back_after=None, moves=False)
    result = world.drill("freeze", within=10.0)
    assert not result.ok
    assert (result.recovered, result.rejoined) == (False, False)
    assert result.vips[0].outage_ms is None
    assert [a[0] for a in world.acts] == ["freeze", "thaw"]


def test_the_node_is_back_only_when_all_others_see_it() -> None:
    world = World(rejoin_after=8.0)
    world.drill("hang")
    assert world.healed is not None
    assert world.now_ns - world.healed >= 13 * NS_PER_S, "did not wait for vr2 to see vr1, and 5 s more"


def test_an_outage_that_healing_causes() -> None:
    result = World(blip_after_heal=5.0).drill("kill")
    assert result.rejoined
    assert [v.healing_ms for v in result.vips] == [pytest.approx(300, abs=10)] * 2
    assert result.vips[0].outage_ms == 2100.0


def test_a_broken_lab_is_healed_and_the_probe_stopped() -> None:
    world = World(breaks=LabError("the fabric said no"))
    with pytest.raises(LabError, match="the fabric said no"):
        world.drill("kill")
    assert [a[0] for a in world.acts] == ["start"]
    assert not world.probing


def test_no_drill_when_something_is_silent_to_begin_with() -> None:
    world = World(answers=False)
    with pytest.raises(LabError, match=r"before any fault.* pod1, pod2, c1 → c2"):
        world.drill("kill", within=5.0)
    assert world.acts == []
    assert not world.probing


@pytest.mark.parametrize(
    ("kind", "options", "fault"),
    [
        ("partition", {"direction": "in"}, ("partition", "vr1", None, "in")),
        ("linkdown", {}, ("linkdown", "vr1", "ens6", "both")),
        ("linkdown", {"interface": "ens3"}, ("linkdown", "vr1", "ens3", "both")),
    ],
)
def test_what_is_asked_of_the_lab(kind: Kind, options: dict[str, Any], fault: tuple[str, str, str | None, str]) -> None:
    world = World()
    result = world.drill(kind, **options)
    assert world.acts[0][:4] == fault
    assert (world.acts[1][1], world.acts[1][2]) == (fault[1], fault[2])
    assert (result.interface, result.direction) == (fault[2], fault[3] if kind == "partition" else None)


def test_a_clean_move_is_the_engines_own() -> None:
    world = World(fails_after=0.1, move_after=0.1, back_after=0.2)
    result = world.drill("move")
    assert result.ok, result.problems
    assert world.acts == []
    assert [c for c in world.commands if c[1] == "crm_resource"] == [
        ("vr1", "crm_resource", "--resource", resource, option)
        for option in ("--move", "--clear")
        for resource in ("cloudvip-main", "web")
    ]


def test_a_clean_move_of_keepalived() -> None:
    world = World(fails_after=0.1, move_after=0.1, back_after=0.2, engine="keepalived")
    result = world.drill("move")
    assert result.ok, result.problems
    assert result.engine == "keepalived"
    assert [c for c in world.commands if c[2] == "restart"] == [("vr1", "systemctl", "restart", "keepalived")]


def test_a_node_with_keepalived_is_back_only_when_there_is_one_master() -> None:
    world = World(rejoin_after=8.0, engine="keepalived")
    result = world.drill("freeze")
    assert result.ok, result.problems
    assert world.healed is not None
    assert world.now_ns - world.healed >= 13 * NS_PER_S, "did not wait for vr1 to yield, and 5 s more"


def test_without_an_engine_a_node_is_back_when_it_runs() -> None:
    result = World(engine="none").drill("kill")
    assert result.ok, result.problems
    assert result.engine is None


def test_no_move_without_an_engine_that_moves() -> None:
    with pytest.raises(LabError, match="vr1 runs no engine that the lab can ask"):
        World(engine="none").drill("move")


def test_a_node_that_holds_nothing() -> None:
    world = World(moves=False, fails_after=1e9, back_after=1e9 + 1)
    result = world.drill("kill", "vr3")
    assert result.ok, result.problems
    assert (result.node, result.vips[0].outage_ms) == ("vr3", 0.0)
    assert world.acts[1][4] >= 5.0, "did not watch for long enough to see an outage"


def test_unknown_node() -> None:
    with pytest.raises(LabError, match="node 'vr9': expected one of vr1, vr2, vr3"):
        World().drill("kill", "vr9")


@pytest.mark.parametrize(
    ("world", "problem"),
    [
        (World(rebooted_ids=True), "pod1: 10.0.2.50 was ip-pod1 and is ip-pod1-new"),
        (World(stale_address=True), "pod1: the cloud delivers 10.0.2.50 to vr2, configured on vr1, vr2"),
    ],
    ids=["a new object", "on two nodes"],
)
def test_problems(world: World, problem: str) -> None:
    result = world.drill("kill")
    assert problem in result.problems
    assert not result.ok


def test_an_address_on_two_vnics_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    single: Callable[..., list[Sample]] = world.samples

    def double(target: Target, since: int = 0) -> list[Sample]:
        samples = single(target, since)
        return [Sample(s.sequence, s.sent, s.answered, s.by, ("vr3",) if s.by else ()) for s in samples]

    monkeypatch.setattr(world, "samples", double)
    assert any("answered by two hosts" in p for p in world.drill("kill").problems)


def _printed(result: DrillReport) -> str:
    out = Console(width=80, file=io.StringIO(), record=True)
    print_report(result, out)
    return out.export_text()


def test_the_table() -> None:
    text = _printed(World().drill("kill"))
    rows = [line.split() for line in text.splitlines()]
    assert ["pod1", "10.0.2.50", "vr1", "→", "vr2", "same", "2100", "1000", "950", "50", "100"] in rows
    assert ["c1", "→", "c2", "2100"] in rows
    assert "All addresses are back" in text


def test_the_table_of_a_drill_that_failed() -> None:
    text = _printed(World(back_after=None, moves=False).drill("freeze", within=5.0))
    assert "not over" in text
    assert "problem: not everything answered again before vr1 was healed" in text
    assert "All addresses are back" not in text


def test_the_table_tells_what_healing_cost() -> None:
    result = World(blip_after_heal=5.0).drill("kill")
    assert f"Healing cost pod2 another {result.vips[1].healing_ms:.0f} ms." in _printed(result)

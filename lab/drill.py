# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill: break the holder of the addresses in one of several ways, and measure what the clients see of it.

    probe all VIPs and flows -> steady -> fault -> everything moved and steady -> heal -> node back and steady -> report

The lab knows nothing of who set the nodes up. It finds the holder by asking the cloud, and reads the nodes' journals
for the lines in which corosync, pacemaker and keepalived say that they noticed something.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from lab import engines
from lab.control import Act, Direction, FloatingIp, LabError, Status
from lab.engines import Engine
from lab.fabric.plan import port_name
from lab.probe import (
    IN_FLIGHT_NS,
    NS_PER_MS,
    NS_PER_S,
    Measurement,
    Outage,
    Probe,
    Sample,
    Target,
    analyse,
    plan_targets,
)
from lab.shell import Exec, attempt, exec_in

Kind = Literal["kill", "stop", "freeze", "hang", "partition", "linkdown", "move"]
_HEAL: Mapping[Kind, Act] = {
    "kill": "start",
    "stop": "start",
    "freeze": "thaw",
    "hang": "unhang",
    "partition": "heal",
    "linkdown": "linkup",
}
_FAULT: Mapping[Kind, Act] = {
    "kill": "kill",
    "stop": "stop",
    "freeze": "freeze",
    "hang": "hang",
    "partition": "partition",
    "linkdown": "linkdown",
}

STEADY_NS = NS_PER_S
"""How long everything must answer before it counts as well."""
AFTERWARDS_NS = 5 * NS_PER_S
"""How long everything must go on answering after the healed node is back."""
_POLL_SECONDS = 0.2


class Clock(Protocol):
    def now(self) -> int:
        """Monotonic ns."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch."""
        ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> int:
        return time.monotonic_ns()

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Controller(Protocol):
    """What a drill needs of lab.control.Control."""

    def status(self) -> Status: ...

    def events(self, since: int) -> list[dict[str, Any]]: ...

    def nemesis(self, act: Act, node: str, *, interface: str | None = None, direction: Direction = "both") -> None: ...


class Prober(Protocol):
    """What a drill needs of lab.probe.Probe."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def samples(self, target: Target, since: int = 0) -> list[Sample]: ...

    def steady(self, target: Target, now: int, window: int, since: int = 0) -> bool: ...


# -- where the time went -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A line of a node's journal; `t` is monotonic ns: the nodes have the host's clock."""

    node: str
    t: int
    program: str
    message: str


def parse_journal(node: str, text: str) -> list[Line]:
    """The output of `journalctl --output=json` as lines."""
    lines = []
    for record in map(json.loads, text.splitlines()):
        message = record.get("MESSAGE")
        # A message that is not UTF-8 comes as a list of numbers; none that matters here is.
        if isinstance(message, str):
            program = record.get("SYSLOG_IDENTIFIER") or record.get("_COMM") or ""
            lines.append(Line(node, int(record["__MONOTONIC_TIMESTAMP"]) * 1000, program, message))
    return lines


@dataclass(frozen=True)
class _Sign:
    """What an engine writes when it notices. `at_holder`: every node writes it, and only the next holder's counts."""

    pattern: re.Pattern[str]
    at_holder: bool


_SIGNS = (
    _Sign(re.compile(r"A new membership \("), at_holder=True),
    _Sign(re.compile(r"Entering MASTER STATE"), at_holder=True),
    _Sign(re.compile(r"Entering FAULT STATE"), at_holder=False),
    _Sign(re.compile(r"Result of monitor operation for \S+ on \S+: (?!ok\b)"), at_holder=False),
    _Sign(re.compile(r"State transition S_IDLE -> S_POLICY_ENGINE"), at_holder=False),
)


@dataclass(frozen=True)
class Breakdown:
    """Where the time from the fault to the first answer went, in ms; None where no trace of the step was found.

    Then the next step that was found includes it, so that the sum stays what it is.
    """

    detection_ms: float | None
    decision_ms: float | None
    api_ms: float | None
    data_plane_ms: float | None
    detected_by: str | None


def breakdown(
    *,
    fault_at: int,
    holder: str | None,
    private_ip_id: str,
    ports: frozenset[str],
    events: Iterable[Mapping[str, Any]],
    journal: Iterable[Line],
    answered_at: int | None,
) -> Breakdown:
    """Split the time from `fault_at` to `answered_at` (monotonic ns) at what the nodes and the cloud noted.

    `holder` is the node that has the address afterwards, `ports` are the fabric's names of its VNICs, `answered_at` is
    the send time of the first packet that was answered after the outage. Detection ends with an engine's own words,
    decision with the holder's first request to the cloud, API with the change of the route to the address.
    """
    events = list(events)
    end = answered_at if answered_at is not None else max((int(e["t"]) for e in events), default=fault_at)
    moved = min(
        (
            int(e["t"])
            for e in events
            if e["kind"] == "moved" and e["private_ip_id"] == private_ip_id and e["port"] in ports
            and fault_at <= int(e["t"])
        ),
        default=None,
    )  # fmt: skip
    limit = end if moved is None else moved
    sign = min(
        (line for line in journal if fault_at <= line.t <= limit and _is_sign(line, holder)),
        key=lambda line: line.t,
        default=None,
    )
    detected = sign.t if sign else None
    requested = min(
        (
            int(e["started"])
            for e in events
            if e["kind"] == "api" and e["instance"] == holder and (detected or fault_at) <= int(e["started"]) <= limit
        ),
        default=None,
    )
    at = fault_at

    def until(mark: int | None) -> float | None:
        nonlocal at
        if mark is None:
            return None
        begin, at = at, max(at, mark)
        return (at - begin) / NS_PER_MS

    return Breakdown(
        detection_ms=until(detected),
        decision_ms=until(requested),
        api_ms=until(moved),
        data_plane_ms=until(answered_at),
        detected_by=f"{sign.node} {sign.program}: {sign.message}" if sign else None,
    )


def _is_sign(line: Line, holder: str | None) -> bool:
    return any(s.pattern.search(line.message) and (not s.at_holder or line.node == holder) for s in _SIGNS)


# -- the report --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VipOutcome:
    """A VIP over the drill. Holders are node names; `id_*` the OCIDs; `configured_on` the nodes that have the address.

    `outage_ms` is the longest outage between the fault and the healing (None: not over by then), `healing_ms` the
    longest one after the healing.
    """

    name: str
    address: str
    id_before: str
    id_after: str | None
    holder_before: str | None
    holder_moved: str | None
    holder_after: str | None
    configured_on: tuple[str, ...]
    outage_ms: float | None
    healing_ms: float
    lost: int
    duplicates: int
    resolution_ms: float
    breakdown: Breakdown

    @property
    def same_id(self) -> bool:
        return self.id_before == self.id_after


@dataclass(frozen=True)
class FlowOutcome:
    name: str
    outage_ms: float | None
    healing_ms: float
    lost: int
    duplicates: int
    resolution_ms: float


@dataclass(frozen=True)
class DrillReport:
    """`recovered`: everything answered again before the fault was healed; `rejoined`: the node came back and nothing
    stopped answering for good. `problems` is empty when all went as it must."""

    kind: Kind
    node: str
    interface: str | None
    direction: Direction | None
    engine: str | None
    recovered: bool
    rejoined: bool
    vips: tuple[VipOutcome, ...]
    flows: tuple[FlowOutcome, ...]
    problems: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}


@dataclass(frozen=True)
class Record:
    """What a drill saw, for `report` to judge. Times are monotonic ns; `samples` are by target."""

    kind: Kind
    node: str
    interface: str | None
    direction: Direction | None
    engine: str | None
    fault_at: int
    heal_at: int
    recovered: bool
    rejoined: bool
    before: Status
    moved: Status
    after: Status
    samples: Mapping[Target, Sequence[Sample]]
    events: Sequence[Mapping[str, Any]]
    journal: Sequence[Line]
    configured: Mapping[str, frozenset[str]]
    """Node name to the addresses on its interfaces, of the nodes that could be asked after the drill."""


def report(record: Record) -> DrillReport:
    """Draw up the report of a drill."""
    ids_before = {ip.address: ip for ip in record.before.floating}
    vips, flows = [], []
    for target, samples in record.samples.items():
        measured = analyse([s for s in samples if s.sent >= record.fault_at])
        if target.kind == "vip":
            vips.append(_vip_outcome(record, target, measured, ids_before[target.address]))
        else:
            outage = _longest(measured.outages, record.fault_at, record.heal_at)
            flows.append(
                FlowOutcome(
                    target.name, _ms(outage), _healing(measured, record), measured.lost, len(measured.duplicates),
                    measured.resolution_ms,
                )
            )  # fmt: skip
    return DrillReport(
        record.kind, record.node, record.interface, record.direction, record.engine, record.recovered, record.rejoined,
        tuple(vips), tuple(flows), tuple(_problems(record, vips, flows)),
    )  # fmt: skip


def _vip_outcome(record: Record, target: Target, measured: Measurement, before: FloatingIp) -> VipOutcome:
    moved, after = _by_address(record.moved, target.address), _by_address(record.after, target.address)
    holder = record.moved.holder(moved) if moved else None
    outage = _longest(measured.outages, record.fault_at, record.heal_at)
    interfaces = [v.interface for n in record.moved.nodes if n.name == holder for v in n.vnics]
    return VipOutcome(
        name=target.name,
        address=target.address,
        id_before=before.id,
        id_after=after.id if after else None,
        holder_before=record.before.holder(before),
        holder_moved=holder,
        holder_after=record.after.holder(after) if after else None,
        configured_on=tuple(sorted(n for n, addresses in record.configured.items() if target.address in addresses)),
        outage_ms=_ms(outage),
        healing_ms=_healing(measured, record),
        lost=measured.lost,
        duplicates=len(measured.duplicates),
        resolution_ms=measured.resolution_ms,
        breakdown=breakdown(
            fault_at=record.fault_at,
            holder=holder,
            private_ip_id=before.id,
            ports=frozenset(port_name(holder, i) for i in interfaces) if holder else frozenset(),
            events=record.events,
            journal=record.journal,
            answered_at=outage.end if outage else None,
        ),
    )


def _by_address(status: Status, address: str) -> FloatingIp | None:
    return next((ip for ip in status.floating if ip.address == address), None)


def _longest(outages: Iterable[Outage], since: int, until: int) -> Outage | None:
    return max((o for o in outages if since <= o.start < until), key=lambda o: o.ms, default=None)


def _ms(outage: Outage | None) -> float | None:
    """0 without an outage, None for one that did not end."""
    if outage is None:
        return 0.0
    return None if outage.end is None else outage.ms


def _healing(measured: Measurement, record: Record) -> float:
    return max((o.ms for o in measured.outages if o.start >= record.heal_at), default=0.0)


def _problems(record: Record, vips: Sequence[VipOutcome], flows: Sequence[FlowOutcome]) -> Iterable[str]:
    if not record.recovered:
        yield f"not everything answered again before {record.node} was healed"
    if not record.rejoined:
        yield f"{record.node} did not come back, or not everything went on answering when it did"
    for vip in vips:
        if not vip.same_id:
            yield f"{vip.name}: {vip.address} was {vip.id_before} and is {vip.id_after}"
        if vip.configured_on != ((vip.holder_after,) if vip.holder_after else ()):
            on = ", ".join(vip.configured_on) or "no node"
            yield f"{vip.name}: the cloud delivers {vip.address} to {vip.holder_after or 'nobody'}, configured on {on}"
    outcomes: Iterable[VipOutcome | FlowOutcome] = (*vips, *flows)
    for outcome in outcomes:
        if outcome.duplicates:
            yield f"{outcome.name}: {outcome.duplicates} packets were answered by two hosts"
    silent = sorted({n.name for n in record.after.nodes} - set(record.configured))
    if silent:
        yield f"could not look at the interfaces of {', '.join(silent)}"


# -- the drill ---------------------------------------------------------------------------------------------------------


def run(
    kind: Kind,
    node: str | None = None,
    *,
    control: Controller,
    interface: str | None = None,
    direction: Direction = "both",
    within: float = 60.0,
    exec_on: Exec = exec_in,
    probe_of: Callable[[Sequence[Target]], Prober] = Probe,
    clock: Clock | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> DrillReport:
    """Do one drill and report. `within` is how many seconds each wait may take: to recover, and to come back.

    `node` is the one to break (default: the holder of the most VIPs), `interface` the one that `linkdown` unplugs,
    `direction` that of a partition. Raises LabError when there is nothing to drill, or when not everything answers
    before the fault. What was broken is healed whatever happens.
    """
    return _Drill(control, exec_on, clock or SystemClock(), within, progress).run(
        kind, node, interface, direction, probe_of
    )


class _Drill:
    def __init__(
        self, control: Controller, exec_on: Exec, clock: Clock, within: float, progress: Callable[[str], None]
    ) -> None:
        self._control = control
        self._exec = exec_on
        self._clock = clock
        self._within = round(within * NS_PER_S)
        self._progress = progress
        self._engine: Engine = engines.NoEngine()
        self._members: list[str] = []

    def run(
        self,
        kind: Kind,
        name: str | None,
        interface: str | None,
        direction: Direction,
        probe_of: Callable[[Sequence[Target]], Prober],
    ) -> DrillReport:
        before = self._control.status()
        node = before.node(name or _main_holder(before)).name
        if kind == "linkdown":
            interface = interface or _vip_interface(before, node)
        self._engine = engines.find([node], self._exec)
        members = (n.name for n in before.nodes)
        self._members = [n for n in members if engines.running(n, self._exec) == self._engine.name]
        targets = plan_targets(before)
        probe = probe_of(targets)
        probe.start()
        try:
            self._progress("probing until everything answers")
            if not self._wait(lambda: self._steady(probe, targets, 0)):
                now = self._clock.now()
                silent = [t.name for t in targets if not probe.steady(t, now, STEADY_NS)]
                raise LabError(f"no drill: before any fault, no steady answer from {', '.join(silent)}")
            self._progress(f"{kind} {node}")
            wall, fault_at = self._clock.wall(), self._clock.now()
            try:
                self._break(kind, node, interface, direction)
                recovered = self._recovered(probe, targets, before, node)
                moved = self._control.status()
                journal = self._journal(moved, wall)
            finally:
                self._progress("healing")
                heal_at = self._clock.now()
                self._mend(kind, node, interface)
            rejoined = self._rejoined(probe, targets, node)
        finally:
            probe.stop()
        after = self._control.status()
        return report(
            Record(
                kind=kind, node=node, interface=interface if kind == "linkdown" else None,
                direction=direction if kind == "partition" else None, engine=self._engine.name, fault_at=fault_at,
                heal_at=heal_at, recovered=recovered, rejoined=rejoined, before=before, moved=moved, after=after,
                samples={t: probe.samples(t) for t in targets}, events=self._control.events(fault_at),
                journal=journal, configured=self._configured(after),
            )
        )  # fmt: skip

    # -- waiting -------------------------------------------------------------------------------------------------------

    def _wait(self, condition: Callable[[], bool]) -> bool:
        deadline = self._clock.now() + self._within
        while not condition():
            if self._clock.now() >= deadline:
                return False
            self._clock.sleep(_POLL_SECONDS)
        return True

    def _steady(self, probe: Prober, targets: Sequence[Target], since: int, window: int = STEADY_NS) -> bool:
        now = self._clock.now()
        return all(probe.steady(t, now, window, since) for t in targets)

    def _recovered(self, probe: Prober, targets: Sequence[Target], before: Status, node: str) -> bool:
        """Wait until everything answers again.

        A holder that is being shut down or cut off serves for a while yet: that everything answers says something only
        once its addresses have moved, or, when it held none, after some seconds.
        """
        held = {ip.address for ip in before.floating if before.holder(ip) == node}
        moved_at: list[int] = [] if held else [self._clock.now()]

        def well() -> bool:
            if not moved_at:
                status = self._control.status()
                if any(ip.address in held and status.holder(ip) in (node, None) for ip in status.floating):
                    return False
                moved_at.append(self._clock.now())
            return self._steady(probe, targets, moved_at[0], STEADY_NS if held else AFTERWARDS_NS)

        return self._wait(well)

    def _rejoined(self, probe: Prober, targets: Sequence[Target], node: str) -> bool:
        self._progress(f"waiting for {node}")
        if not self._wait(lambda: self._back(node)):
            return False
        back = self._clock.now()
        self._progress(f"{node} is back; watching a little longer")
        return self._wait(lambda: self._steady(probe, targets, back - IN_FLIGHT_NS, AFTERWARDS_NS))

    # -- what breaks and mends -----------------------------------------------------------------------------------------

    def _break(self, kind: Kind, node: str, interface: str | None, direction: Direction) -> None:
        if kind == "move":
            self._engine.move(node)
        else:
            self._control.nemesis(_FAULT[kind], node, interface=interface, direction=direction)

    def _mend(self, kind: Kind, node: str, interface: str | None) -> None:
        if kind == "move":
            self._engine.settle(node)
        else:
            # A partition is healed in both directions, whichever was cut.
            self._control.nemesis(_HEAL[kind], node, interface=interface)

    # -- what the nodes say --------------------------------------------------------------------------------------------

    def _back(self, node: str) -> bool:
        """Whether the node runs and its engine is at work again."""
        return self._control.status().node(node).state == "RUNNING" and self._engine.whole(self._members)

    def _journal(self, status: Status, wall: float) -> list[Line]:
        argv = ["journalctl", "--no-pager", "--output=json", f"--since=@{int(wall)}"]
        return [line for n in status.nodes for line in parse_journal(n.name, attempt(self._exec, n.name, argv) or "")]

    def _configured(self, status: Status) -> dict[str, frozenset[str]]:
        configured = {}
        for node in status.nodes:
            text = attempt(self._exec, node.name, ["ip", "-json", "-4", "address"])
            if text is not None:
                configured[node.name] = frozenset(a["local"] for link in json.loads(text) for a in link["addr_info"])
        return configured


def _main_holder(status: Status) -> str:
    holders = Counter(h for ip in status.floating if (h := status.holder(ip)))
    if not holders:
        raise LabError("no node holds a floating address: set up a cluster on the nodes first")
    return min(holders, key=lambda name: (-holders[name], name))


def _vip_interface(status: Status, node: str) -> str:
    """An interface of `node` that carries a VIP, and not the primary one if there is a choice: that carries more."""
    vnics = status.node(node).vnics
    carrying = {ip.vnic_id for ip in status.floating}
    candidates = [v.interface for v in vnics if v.vnic_id in carrying] or [v.interface for v in vnics]
    return candidates[-1]

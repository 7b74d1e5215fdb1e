# SPDX-License-Identifier: GPL-3.0-or-later
"""A campaign: random faults, one after the other, from a seed. After each the cluster must be well again by itself.

    draw a strike -> probe -> faults of the cloud and of a node -> a while -> heal -> wait until all is well -> next

`problems` says what well means; a strike that does not end well ends the campaign, with all that can be known of it in
a directory.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from lab import engines
from lab.control import Act, Direction, LabError, Status
from lab.drill import Clock, Controller, Kind, Prober, SystemClock
from lab.engines import Engine, View
from lab.probe import IN_FLIGHT_NS, NS_PER_S, Probe, Sample, Target, analyse, plan_targets
from lab.shell import Exec, attempt, exec_in

Victim = Literal["holder", "other"]

_POLL_SECONDS = 0.5
_STEADY_NS = NS_PER_S
_KINDS: tuple[Kind, ...] = ("kill", "freeze", "hang", "partition", "linkdown", "stop", "move")
_BREAK: Mapping[Kind, tuple[Act, Act]] = {
    "kill": ("kill", "start"),
    "stop": ("stop", "start"),
    "freeze": ("freeze", "thaw"),
    "hang": ("hang", "unhang"),
    "partition": ("partition", "heal"),
    "linkdown": ("linkdown", "linkup"),
}
_STATUSES = (400, 401, 404, 409, 412, 429, 429, 500, 503)


class Breaker(Controller, Protocol):
    """What a campaign needs of lab.control.Control."""

    def add_fault(self, fault: Mapping[str, Any]) -> list[dict[str, Any]]: ...

    def clear_faults(self) -> None: ...


@dataclass(frozen=True)
class Strike:
    """One fault: of a node (`kind`), of the cloud (`faults`), or both at once, for `seconds`.

    `which` chooses among the nodes that are not the holder, and among a node's interfaces, whatever their number.
    """

    number: int
    kind: Kind | None
    victim: Victim
    which: int
    direction: Direction
    seconds: float
    cloud_heals_first: bool
    faults: tuple[Mapping[str, Any], ...]

    def __str__(self) -> str:
        what = [" ".join(f"{k}={v}" for k, v in fault.items()) for fault in self.faults]
        if self.kind:
            direction = f" {self.direction}" if self.kind == "partition" else ""
            what.insert(0, f"{self.kind}{direction} {self.victim}")
        return f"{' + '.join(what)} for {self.seconds:.1f} s"


def draw(seed: int, number: int) -> Strike:
    """The strike of that number: the same one for the same seed, whichever came before it."""
    chance = random.Random(f"{seed}/{number}")
    sort = chance.choices(["node", "cloud", "both"], [4, 2, 4])[0]
    return Strike(
        number=number,
        kind=None if sort == "cloud" else chance.choice(_KINDS),
        victim="holder" if chance.random() < 0.8 else "other",
        which=chance.randrange(1000),
        direction=chance.choice(get_args(Direction)),
        # From a hiccup that must go unnoticed to an outage that outlasts the takeover.
        seconds=round(chance.choice([chance.uniform(0.2, 2), chance.uniform(2, 8), chance.uniform(8, 20)]), 1),
        cloud_heals_first=chance.random() < 0.5,
        faults=() if sort == "node" else tuple(_fault(chance) for _ in range(chance.choice([1, 1, 2]))),
    )


def _fault(chance: random.Random) -> dict[str, Any]:
    service = chance.choice(["api", "api", "api", "imds", "federation", "dns", None])
    effect = chance.choice(["latency", "status", "drop", "hang", "apply_then_fail", "clock"])
    if effect == "clock":
        # A little, more than the API tolerates, and more than a token lives.
        return {"effect": effect, "shift_s": chance.choice([90, 400, 7200]) * chance.choice([1, -1])}
    fault: dict[str, Any] = {
        "effect": effect,
        "service": service,
        "method": chance.choice(["PUT", "GET", None]) if service == "api" else None,
        "probability": chance.choice([1.0, 1.0, 0.7, 0.3]),
        "count": chance.choice([None, None, 1, 2, 5]),
    }
    if effect == "status" or (effect == "apply_then_fail" and chance.random() < 0.5):
        fault["status"] = chance.choice(_STATUSES)
    if effect == "latency" or chance.random() < 0.3:
        fault["latency_ms"] = chance.choice([50, 150, 1000, 5000, 15000])
        fault["jitter_ms"] = chance.choice([0, 100, 2000])
    return {key: value for key, value in fault.items() if value is not None}


# -- what well means ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sight:
    """The cluster at one moment. `addresses` are by node, None for one that could not be asked; `samples` are the
    probe's last ones."""

    status: Status
    engine: View
    addresses: Mapping[str, frozenset[str] | None]
    samples: Mapping[Target, Sequence[Sample]]


def problems(sight: Sight, ids: Mapping[str, str]) -> list[str]:
    """What is not as it must be; empty when all is well. `ids` are the OCIDs that the addresses had at the start.

    - every node is up
    - Pacemaker: every node sees all of them as full members of a cluster with quorum; every resource runs on exactly
      one node, and neither it nor an operation of it is failed: no entry among the failed actions, no fail count. A
      failure that is over has to expire; one that a person must clean up would keep the node from being used again,
      which only shows at the next failure. No constraint is left that says where something must or must not run.
    - keepalived: it runs on every node, every instance is MASTER on exactly one of them, and none is in state FAULT
    - the cloud delivers every address, under its OCID of old, to a node that serves by the engine's word
    - the address is configured on that node and on no other
    - every packet of the last second was answered, by that node alone
    """
    return [*_cluster(sight), *_addresses(sight, ids), *_reachability(sight)]


def _cluster(sight: Sight) -> Iterator[str]:
    for node in sight.status.nodes:
        if node.state != "RUNNING":
            yield f"{node.name} is {node.state}"
    yield from sight.engine.problems


def _addresses(sight: Sight, ids: Mapping[str, str]) -> Iterator[str]:
    found = {ip.address: ip for ip in sight.status.floating}
    for address, ocid in ids.items():
        if address not in found:
            yield f"the object of {address} is gone"
            continue
        if found[address].id != ocid:
            yield f"{address} was {ocid} and is {found[address].id}"
        holder = sight.status.holder(found[address])
        if holder is None:
            yield f"the cloud delivers {address} to nobody"
        elif holder not in sight.engine.serving:
            yield f"the cloud delivers {address} to {holder}, which runs nothing"
        configured = [name for name, addresses in sight.addresses.items() if addresses and address in addresses]
        if configured != [holder]:
            on = ", ".join(configured) or "no node"
            yield f"the cloud delivers {address} to {holder or 'nobody'}, configured on {on}"
    for name, addresses in sight.addresses.items():
        if addresses is None:
            yield f"{name}: the interfaces cannot be looked at"


def _reachability(sight: Sight) -> Iterator[str]:
    holders = {ip.address: sight.status.holder(ip) for ip in sight.status.floating}
    for target, samples in sight.samples.items():
        silent = sum(not s.ok for s in samples)
        if silent or not samples:
            yield f"{target.name}: {silent} of the last {len(samples)} packets were not answered"
        if any(s.others for s in samples):
            yield f"{target.name}: packets were answered by two hosts"
        hosts = sorted({s.by for s in samples if s.ok and s.by})
        if target.kind == "vip" and samples and not silent and hosts != [holders.get(target.address)]:
            yield f"{target.name}: answered by {', '.join(hosts)}, the cloud says {holders.get(target.address)}"


class Observer:
    """Looks at the cluster until all is well. `ids`: the OCIDs that the addresses must have."""

    def __init__(
        self, control: Controller, ids: Mapping[str, str], exec_on: Exec = exec_in, clock: Clock | None = None
    ) -> None:
        self._control = control
        self._ids = ids
        self._exec = exec_on
        self._clock = clock or SystemClock()

    def wait(self, prober: Prober, within: float) -> list[str]:
        """Wait until all is well. Returns what is still wrong after `within` seconds."""
        deadline = self._clock.now() + round(within * NS_PER_S)
        while wrong := problems(self.look(prober), self._ids):
            if self._clock.now() >= deadline:
                break
            self._clock.sleep(_POLL_SECONDS)
        return wrong

    def look(self, prober: Prober) -> Sight:
        """The cluster as it is, and the last second of the probe."""
        status = self._control.status()
        names = [n.name for n in status.nodes]
        view = engines.find(names, self._exec).view(names)
        addresses = {n: self._addresses(n) for n in names}
        end = self._clock.now() - IN_FLIGHT_NS
        begin = end - _STEADY_NS
        return Sight(
            status, view, addresses,
            {t: [s for s in prober.samples(t, begin) if s.sent <= end] for t in plan_targets(status)},
        )  # fmt: skip

    def _addresses(self, node: str) -> frozenset[str] | None:
        text = attempt(self._exec, node, ["ip", "-json", "address"])
        return None if text is None else frozenset(a["local"] for i in json.loads(text) for a in i["addr_info"])


# -- the campaign ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """How a strike ended. `well_after` is the time from the healing until all was well, None if that did not come;
    `outage_ms` the longest outage of any VIP or flow (None: one that did not end)."""

    strike: Strike
    node: str
    holder_before: str
    holder_after: str | None
    well_after: float | None
    outage_ms: float | None
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"ok": not self.problems, **asdict(self)}


def run(
    seed: int,
    numbers: Sequence[int],
    *,
    control: Breaker,
    evidence: Path,
    within: float = 120.0,
    exec_on: Exec = exec_in,
    probe_of: Callable[[Sequence[Target]], Prober] = Probe,
    clock: Clock | None = None,
) -> Iterator[Outcome]:
    """Do the strikes of these numbers. Ends after the first one that did not end well; what can be known of it is then
    in `evidence`, a directory to be made.

    `within`: seconds from the healing until all must be well. Raises LabError when all is not well to begin with.
    """
    return _Campaign(control, exec_on, clock or SystemClock(), within, probe_of, evidence).run(seed, numbers)


class _Campaign:
    def __init__(
        self,
        control: Breaker,
        exec_on: Exec,
        clock: Clock,
        within: float,
        probe_of: Callable[[Sequence[Target]], Prober],
        evidence: Path,
    ) -> None:
        self._control = control
        self._exec = exec_on
        self._clock = clock
        self._within = within
        self._probe_of = probe_of
        self._evidence = evidence
        self._observer = Observer(control, {}, exec_on, clock)

    def run(self, seed: int, numbers: Sequence[int]) -> Iterator[Outcome]:
        before = self._control.status()
        ids = {ip.address: ip.id for ip in before.floating}
        if not ids:
            raise LabError("there is no floating address: set up a cluster on the nodes first")
        self._observer = Observer(self._control, ids, self._exec, self._clock)
        # Nothing that somebody left may be taken for an effect of the first strike.
        self._control.clear_faults()
        with _probing(self._probe_of(plan_targets(before))) as prober:
            wrong = self._observer.wait(prober, self._within)
        if wrong:
            raise LabError(f"no campaign: before any fault, {'; '.join(wrong)}")
        for number in numbers:
            outcome = self._strike(draw(seed, number))
            yield outcome
            if outcome.problems:
                return

    def _strike(self, strike: Strike) -> Outcome:
        before = self._control.status()
        holder = next(h for ip in before.floating if (h := before.holder(ip)))
        node = self._node(before, strike, holder)
        engine = engines.find([n.name for n in before.nodes], self._exec)
        interface = None
        if strike.kind == "linkdown":
            vnics = before.node(node).vnics
            interface = vnics[strike.which % len(vnics)].interface
        targets = plan_targets(before)
        began, wall = self._clock.now(), self._clock.wall()
        with _probing(self._probe_of(targets)) as prober:
            try:
                for fault in strike.faults:
                    self._control.add_fault(fault)
                self._break(strike, engine, node, interface)
                self._clock.sleep(strike.seconds)
            finally:
                self._heal(strike, engine, node, interface)
            healed = self._clock.now()
            wrong = self._observer.wait(prober, self._within)
            if wrong:
                self._keep(strike, engine, node, before, began, wall, wrong)
        # Only now: a packet that is on its way is none that was lost, and the probe's end waits for it.
        outages = [o for t in targets for o in analyse(prober.samples(t, began)).outages]
        after = self._control.status()
        return Outcome(
            strike=strike,
            node=node if strike.kind else "",
            holder_before=holder,
            holder_after=next((h for ip in after.floating if (h := after.holder(ip))), None),
            well_after=None if wrong else (self._clock.now() - healed) / NS_PER_S,
            outage_ms=None if any(o.end is None for o in outages) else max((o.ms for o in outages), default=0.0),
            problems=tuple(wrong),
        )

    @staticmethod
    def _node(status: Status, strike: Strike, holder: str) -> str:
        others = [n.name for n in status.nodes if n.name != holder]
        return holder if strike.victim == "holder" or not others else others[strike.which % len(others)]

    def _break(self, strike: Strike, engine: Engine, node: str, interface: str | None) -> None:
        if strike.kind == "move":
            engine.move(node)
        elif strike.kind:
            act, _ = _BREAK[strike.kind]
            self._control.nemesis(act, node, interface=interface, direction=strike.direction)

    def _heal(self, strike: Strike, engine: Engine, node: str, interface: str | None) -> None:
        if strike.cloud_heals_first:
            self._control.clear_faults()
        engine.settle(node)
        if strike.kind and strike.kind != "move":
            _, act = _BREAK[strike.kind]
            # A partition is healed in both directions, whichever was cut.
            self._control.nemesis(act, node, interface=interface)
        self._control.clear_faults()

    def _keep(
        self,
        strike: Strike,
        engine: Engine,
        node: str,
        before: Status,
        began: int,
        wall: float,
        wrong: Sequence[str],
    ) -> None:
        """Write down everything that may explain what went wrong."""
        self._evidence.mkdir(parents=True, exist_ok=True)
        journal = ["journalctl", "--no-pager", "--output=short-precise", f"--since=@{int(wall)}"]
        written: dict[str, Any] = {
            "strike.json": {"strike": asdict(strike), "text": str(strike), "node": node, "problems": wrong},
            "before.json": asdict(before),
            "after.json": asdict(self._control.status()),
            "events.json": self._control.events(began),
        }
        commands: dict[str, Sequence[str]] = {
            "journal": journal,
            **engine.evidence,
            "addresses": ["ip", "address"],
            "routes": ["ip", "route", "show", "table", "all"],
        }
        for machine in before.nodes:
            for name, argv in commands.items():
                written[f"{machine.name}.{name}"] = attempt(self._exec, machine.name, argv) or "could not be read\n"
        for name, content in written.items():
            text = content if isinstance(content, str) else json.dumps(content, indent=2, default=str) + "\n"
            (self._evidence / name).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _probing(prober: Prober) -> Iterator[Prober]:
    prober.start()
    try:
        yield prober
    finally:
        prober.stop()

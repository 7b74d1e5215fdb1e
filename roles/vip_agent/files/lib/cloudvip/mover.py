# SPDX-License-Identifier: GPL-3.0-or-later
"""Claim, release, monitor, audit and apply: every entry point calls these and nothing else."""

import contextlib
import threading
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from cloudvip.clock import Clock, Deadline, Pulse
from cloudvip.cloud import Assigned, Cloud
from cloudvip.config import CHECKS_FILE, CONFIG_FILE, Config, ConfigError, load
from cloudvip.errors import CloudError, ErrorKind
from cloudvip.log import Log
from cloudvip.model import Claim, Decision, Group, Operation, Outcome, Sighting, Truth, Vip, decide, may_reclaim
from cloudvip.netdev import Interface, Netdev, NetdevError, sight
from cloudvip.state import BusyError, Lock, State

# The state files of what an audit saw, and of its having let a group go.
_AUDIT = "audit-"
_YIELD = "yielded-"
# Seconds for which a split cluster does not take back what an audit has let go: long enough not to be a fight, short
# enough for the case that the other half has died meanwhile, which this one cannot see.
_YIELD_SECONDS = 600.0
# Seconds: how old an audit may be and still answer, how long one may wait before its first call and how long it works.
_AUDIT_FRESH = 30.0
_AUDIT_JITTER = 3.0
_AUDIT_SECONDS = 10.0


class Result(NamedTuple):
    """How an operation ended. reason: for a person; empty if there is nothing to say."""

    outcome: Outcome
    reason: str = ""


# What is done under the group's lock: with its name, the deadline, may_send of Cloud.assign() and the fields to log.
_Work = Callable[[str, Deadline, Callable[[], str], Dict[str, Any]], Result]


def _connect(config: Config, state: State, clock: Clock) -> Cloud:
    # Imported here: release and monitor never need TLS and HTTP, and loading those takes longer than the work itself.
    from cloudvip.oci import Oci

    return Oci(config.oci, state, clock)


class Mover:
    """Moves VIP groups to and from this node.

    connect: makes the client of the cloud; only called when the cloud is needed.
    """

    def __init__(
        self,
        config_file: str = CONFIG_FILE,
        state: Optional[State] = None,
        netdev: Optional[Netdev] = None,
        log: Optional[Log] = None,
        clock: Optional[Clock] = None,
        connect: Callable[[Config, State, Clock], Cloud] = _connect,
        checks_file: str = CHECKS_FILE,
    ) -> None:
        self._config_file = config_file
        self.checks_file = checks_file
        self.state = state or State()
        self.netdev = netdev or Netdev()
        self.log = log or Log()
        self.clock = clock or Clock()
        self._connect = connect
        # Seconds that this node may stand still for and go on: see Pulse.
        self.patience = 1.0

    def config(self) -> Config:
        """The configuration as it is now. Raises ConfigError."""
        return load(self._config_file)

    def cloud(self, config: Config) -> Cloud:
        """A client of the configuration's cloud."""
        return self._connect(config, self.state, self.clock)

    def claim(
        self,
        name: str,
        seconds: float,
        split: Callable[[], str] = lambda: "",
        overtaken: Callable[[], str] = lambda: "",
    ) -> Result:
        """Make the cloud deliver the group's addresses here and put them on the interfaces. All of them, or none.

        seconds: how long it may take. split: says which nodes of the cluster are out of sight, if any; as long as they
        are the same ones, a group that an audit has let go is not claimed again for a while. overtaken: says why
        nothing more is to be sent, if so.
        """
        began = self.clock.monotonic()
        reason = self._held_back(name, split)
        if reason:
            return self._end(Operation.CLAIM, name, Result(Outcome.FAILED, reason), began, {})
        self.log.decision(Operation.CLAIM.value, name, "started")
        left = seconds - (self.clock.monotonic() - began)
        return self._alone(Operation.CLAIM, name, left, self._claim, overtaken)

    def _held_back(self, name: str, split: Callable[[], str]) -> str:
        """Why a claim would be a blow in a fight: both halves of a split pair have quorum. Empty if it would not."""
        yielded = self.state.read(_YIELD + name) or {}
        left = yielded.get("at", 0.0) + _YIELD_SECONDS - self.clock.now()
        if not 0 < left <= _YIELD_SECONDS:
            return ""
        missing = split()
        if not missing or missing != yielded.get("split"):
            return ""
        return f"another node took the group over while this one did not see {missing}; not taken back for {left:.0f} s"

    def release(self, name: str) -> Result:
        """Take the group's addresses off this node's interfaces. Needs neither network nor configuration.

        It waits for nobody: a claim that is under way finds the mark and takes off what it has put on since. The second
        mark is for one that began in between.
        """
        began = self.clock.monotonic()
        fields: Dict[str, Any] = {}
        self._mark(name)
        try:
            fields["vips"] = self._take_off(name)
            result = Result(Outcome.SUCCESS)
        except (NetdevError, OSError) as error:
            result = Result(Outcome.FAILED, str(error))
        self._mark(name)
        return self._end(Operation.RELEASE, name, result, began, fields)

    def monitor(self, name: str, repair: bool) -> Result:
        """Whether this node's interfaces carry what it has claimed. Looks at nothing else.

        repair: put an address back that is missing although its interface is well.
        """
        began = self.clock.monotonic()
        decision = self._look(name, repair)
        result = Result(decision.outcome, decision.reason)
        if decision.add:
            try:
                with self.state.lock(name) as lock:
                    # Whoever had the lock may have changed everything.
                    decision = self._look(name, repair)
                    self.netdev.change(self._interfaces() or [], decision.add)
                    result = self._unless_released(name, lock, Result(decision.outcome, decision.reason))
            except BusyError:
                return Result(Outcome.SUCCESS)
            except (NetdevError, OSError) as error:
                result = Result(Outcome.FAILED, f"{decision.reason}, which failed: {error}")
        if decision.add or (result.reason and result.outcome is not Outcome.SUCCESS):
            self._end(Operation.MONITOR, name, result, began, {})
        return result

    def audit(self, name: str, seconds: float, repair: bool, split: Callable[[], str] = lambda: "") -> Result:
        """monitor(), and whether the cloud agrees. A cloud that does not answer is unknown, and that is no failure.

        seconds: how long it may take. repair: the cluster asks, again and again: take back what was moved away in part,
        let go of what was moved away as a whole, try again what an apply() had to leave, and spare the cloud.
        split: see claim().
        """
        local = self.monitor(name, repair)
        if local.outcome is not Outcome.SUCCESS:
            return local
        if not repair:
            return self._audit(name, seconds, None)
        age = self.clock.now() - (self.state.read(_AUDIT + name) or {}).get("at", 0.0)
        if 0 <= age < _AUDIT_FRESH:
            return local
        # Many clusters may have been started by the same hand at the same moment.
        self.clock.sleep(self.clock.uniform(0.0, min(_AUDIT_JITTER, seconds / 4)))
        try:
            lock = self.state.lock(name)
        except (BusyError, OSError):
            return local
        with lock:
            try:
                return self._unless_released(name, lock, self._audit(name, seconds, lock, split))
            except (NetdevError, OSError) as error:
                return Result(Outcome.FAILED, str(error))

    def apply(self, name: str, seconds: float) -> Result:
        """Take up a changed configuration: claim what it adds, release what it drops, leave the rest alone.

        What cannot be done now fails nothing, because what was claimed before is in use: an address that cannot be
        claimed stays pending, and a change that could not even be looked at is left to the audit.
        seconds: how long it may take.
        """
        return self._alone(Operation.APPLY, name, seconds, self._apply)

    def adopt(self, name: str, seconds: float) -> bool:
        """Claim a group that this node serves already without a claim, as before a cluster was there. Moves nothing.

        Only if every address is on its interface and the cloud delivers every one here: a cluster that finds the claim
        takes the group for running and leaves it where it is. Without such a group the cloud is not asked.
        seconds: how long it may take. Returns whether there is a claim now that was not. Raises ConfigError, OSError,
        NetdevError, and CloudError if the cloud does not say: then the cluster must not be let loose on the group.
        """
        config = self.config()
        group = config.group(name)
        began = self.clock.monotonic()
        try:
            lock = self.state.lock(name)
        except BusyError:
            return False
        with lock:
            if self.state.has_claim(name) or not self._served(group):
                return False
            located = self.cloud(config).locate(group.vips, Deadline(self.clock, seconds))
            unknown = sorted({place.detail for place in located.values() if place.truth is Truth.UNKNOWN})
            if unknown:
                raise CloudError(ErrorKind.RETRYABLE, f"group {name} is served here, but {'; '.join(unknown)}")
            # Whatever has served it may have let go while the cloud was asked.
            if any(place.truth is not Truth.HERE for place in located.values()) or not self._served(group):
                return False
            since = dict.fromkeys([vip.address for vip in group.vips], self.clock.now())
            self.state.write_claim(Claim(name, group.revision, True, group.vips, {}, since))
            if lock.released():
                self.state.remove_claim(name)
                return False
        self._end(Operation.ADOPT, name, Result(Outcome.SUCCESS), began, {"vips": len(group.vips)})
        return True

    def _served(self, group: Group) -> bool:
        """Whether all addresses of a group are on their interfaces. Raises NetdevError."""
        return all(s.local is Truth.HERE for s in sightings(group, None, self.netdev.read()))

    def _alone(
        self, operation: Operation, name: str, seconds: float, work: _Work, overtaken: Callable[[], str] = lambda: ""
    ) -> Result:
        """Do something to a group while no other process on this node does, and log how it ended."""
        began = self.clock.monotonic()
        deadline = Deadline(self.clock, seconds)
        fields: Dict[str, Any] = {}
        try:
            with Pulse(self.clock, self.patience) as pulse, self._wait(name, deadline, seconds / 2) as lock:
                fields["waited_ms"] = self._ms(began) or ""
                result = work(name, deadline, lambda: pulse.stalled() or lock.released() or overtaken(), fields)
                result = self._unless_released(name, lock, result)
                if result.outcome is Outcome.SUCCESS:
                    # By the word of the cluster or of a person: what the audits have counted and seen is void.
                    self.state.remove(_AUDIT + name)
                    self.state.remove(_YIELD + name)
        except (BusyError, ConfigError, NetdevError, OSError) as error:
            in_use = operation is Operation.APPLY and isinstance(error, BusyError)
            result = Result(Outcome.SUCCESS if in_use else Outcome.FAILED, str(error))
        return self._end(operation, name, result, began, fields)

    def _wait(self, name: str, deadline: Deadline, spare: float) -> Lock:
        while True:
            try:
                return self.state.lock(name)
            except BusyError:
                if deadline.remaining() < spare:
                    raise
            self.clock.sleep(0.1)

    def _unless_released(self, name: str, lock: Lock, result: Result) -> Result:
        """The result, unless the group was released meanwhile: then nothing may be left of what was done since."""
        if not lock.released():
            return result
        self._take_off(name)
        return Result(Outcome.NOT_RUNNING, lock.released())

    def _mark(self, name: str) -> None:
        # Without it only a claim under way would not notice, and nothing may keep a release from going on.
        with contextlib.suppress(OSError):
            self.state.mark_released(name)

    def _take_off(self, name: str) -> int:
        """Take every address of a group off and forget its claim; how many there were. Raises NetdevError, OSError."""
        vips = decide(Operation.RELEASE, sightings(self._group(name), self.state.claim(name), None)).remove
        if not vips and self.state.has_claim(name):
            self.log.warning(f"release {name}: neither the claim nor the configuration can be read")
        try:
            interfaces = self.netdev.read()
        except NetdevError:
            if self.state.has_claim(name):
                raise
            # Nothing was claimed since the boot: a node without a working `ip` cannot start the group, but can stop it.
            return 0
        self.netdev.change(interfaces, remove=vips)
        self.state.remove_claim(name)
        return sum(any(vip.address in i.addresses for i in interfaces) for vip in vips)

    def _claim(self, name: str, deadline: Deadline, may_send: Callable[[], str], fields: Dict[str, Any]) -> Result:
        config = self.config()
        group = config.group(name)
        fields["vips"] = len(group.vips)
        before = self.state.claim(name)
        held = before if before and before.complete else None
        interfaces = self.netdev.read()
        decision = decide(Operation.CLAIM, sightings(group, before, interfaces))
        if decision.outcome is not Outcome.SUCCESS:
            return Result(decision.outcome, decision.reason)
        if held is None:
            # Written first: whatever happens from here on, a release knows what to take off. A claim that stands stays
            # as it is, because a monitor may look at it, and a release finds what is new in the configuration.
            self.state.write_claim(Claim(name, group.revision, False, _union(group, before), {}, {}))
        try:
            problems = list(self._move(decision, interfaces, config, deadline, may_send, fields).values())
            if not problems:
                if decision.remove:
                    self.netdev.change(self.netdev.read(), remove=decision.remove)
                since = dict.fromkeys([vip.address for vip in group.vips], self.clock.now())
                self.state.write_claim(Claim(name, group.revision, True, group.vips, {}, since))
                return Result(Outcome.SUCCESS)
        except (NetdevError, OSError) as error:
            problems = [str(error)]
        try:
            if held is None:
                self._take_off(name)
            else:
                # What was held before stays: it is in use.
                kept = {vip.address for vip in held.vips}
                self.netdev.change(self.netdev.read(), remove=[vip for vip in group.vips if vip.address not in kept])
        except (NetdevError, OSError) as error:
            problems.append(str(error))
        return Result(Outcome.FAILED, "; ".join(problems))

    def _apply(self, name: str, deadline: Deadline, may_send: Callable[[], str], fields: Dict[str, Any]) -> Result:
        claim = self.state.claim(name)
        if claim is None or not claim.complete:
            return Result(Outcome.NOT_RUNNING, f"group {name} is not claimed on this node: nothing to reload")
        try:
            config = self.config()
            group = config.group(name)
            interfaces = self.netdev.read()
        except (ConfigError, NetdevError) as error:
            return Result(Outcome.SUCCESS, f"nothing is changed: {error}")
        decision = decide(Operation.APPLY, sightings(group, claim, interfaces))
        pending = {vip.address: reason for vip, reason in decision.refused}
        pending.update(self._move(decision, interfaces, config, deadline, may_send, fields))
        # What is not claimed goes off again. Only when all is as it should be the new claim is written: until then the
        # old one and the configuration together name every address that a release has to look for.
        gone = [vip for vip in decision.assign if vip.address in pending]
        self.netdev.change(self.netdev.read(), remove=gone + list(decision.remove))
        self._keep(group, claim, pending)
        fields.update(vips=len(decision.assign), removed=len(decision.remove) or "")
        if pending != claim.pending:
            fields["problem"] = "; ".join("pending: " + reason for reason in pending.values())
        return Result(Outcome.SUCCESS)

    def _keep(self, group: Group, before: Claim, pending: Dict[str, str]) -> None:
        """Write the claim down as it is after an apply()."""
        now = self.clock.now()
        held = tuple(vip for vip in group.vips if vip.address not in pending)
        known = {_identity(vip) for vip in before.vips}
        since = {v.address: before.since.get(v.address, now) if _identity(v) in known else now for v in held}
        self.state.write_claim(Claim(group.name, group.revision, True, held, pending, since))

    def _audit(self, name: str, seconds: float, lock: Optional[Lock], split: Callable[[], str] = lambda: "") -> Result:
        """What audit() does with the cloud. Without the lock it changes nothing."""
        began = self.clock.monotonic()
        # The cluster runs one operation of a group at a time: a stop has to wait for an audit.
        deadline = Deadline(self.clock, min(seconds, _AUDIT_SECONDS))
        claim = self.state.claim(name)
        if claim is None or not claim.complete:
            return Result(Outcome.SUCCESS)
        stored = self.state.read(_AUDIT + name) or {}
        counts: Dict[str, Any] = stored.get("reclaims", {})
        now = self.clock.now()
        fields: Dict[str, Any] = {}
        with Pulse(self.clock, self.patience) as pulse:

            def may_send() -> str:
                return pulse.stalled() or (lock.released() if lock else "")

            try:
                config = self.config()
                group = config.groups.get(name)
                if lock and group and (claim.pending or claim.revision != group.revision):
                    self._apply(name, Deadline(self.clock, deadline.remaining() / 2), may_send, fields)
                    claim = self.state.claim(name) or claim
                located = self.cloud(config).locate(claim.vips, deadline)
                truths = {address: place.truth for address, place in located.items()}
                problems = sorted({place.detail for place in located.values() if place.truth is Truth.UNKNOWN})
            except (ConfigError, NetdevError, OSError) as error:
                truths = {vip.address: Truth.UNKNOWN for vip in claim.vips}
                problems = [f"the cloud cannot be asked: {error}"]
            spent = [address for address, (count, last) in counts.items() if not may_reclaim(count, last, now)]
            seen = [s._replace(cloud=truths[s.vip.address]) for s in sightings(None, claim, self._interfaces())]
            decision = decide(Operation.AUDIT, seen, repair=lock is not None, spent=spent)
            result = Result(decision.outcome, decision.reason)
            if lock is None:
                return result
            if decision.remove:
                fields["vips"] = self._take_off(name)
                self.state.write(_YIELD + name, {"at": now, "split": split()})
                return self._end(Operation.AUDIT, name, result, began, fields)
            if decision.assign:
                failed = self._move(decision._replace(add=()), [], config, deadline, may_send, fields)
                problems += failed.values()
                for vip in decision.assign:
                    counts[vip.address] = [counts.get(vip.address, [0])[0] + 1, now]
                    if vip.address not in failed:
                        truths[vip.address] = Truth.HERE
        cloud = {address: truth.value for address, truth in truths.items()}
        problem = "; ".join([decision.reason] * bool(decision.reason) + problems)
        if decision.assign or "problem" in fields or _episode(cloud) != _episode(stored.get("cloud", {})):
            self._end(Operation.AUDIT, name, result, began, dict(fields, vips=len(claim.vips), problem=problem))
        try:
            self.state.write(_AUDIT + name, {"at": now, "cloud": cloud, "problem": problem, "reclaims": counts})
        except OSError as error:
            self.log.warning(f"audit {name}: cannot be stored: {error}")
        return result

    def _move(
        self,
        decision: Decision,
        interfaces: Sequence[Interface],
        config: Config,
        deadline: Deadline,
        may_send: Callable[[], str],
        fields: Dict[str, Any],
    ) -> Dict[str, str]:
        """Assign and add what was decided, in the cloud and on the interfaces at the same time.

        fields: gets what the log should know. Returns why VIPs could not be moved, by address.
        """
        began = self.clock.monotonic()
        results: Dict[str, Assigned] = {}
        broken: List[str] = []

        def done(result: Assigned) -> None:
            results[result.vip.address] = result

        def assign() -> None:
            try:
                client = self.cloud(config)
                client.assign(decision.assign, deadline, done, lambda: may_send() or "".join(broken))
            except OSError as error:
                broken.append(str(error))
            fields["cloud_ms"] = self._ms(began)

        calls = threading.Thread(target=assign, daemon=True)
        if decision.assign:
            calls.start()
        try:
            self.netdev.change(interfaces, decision.add)
        except NetdevError as error:
            # Not sent any more: an address that this node cannot carry is better off where it is.
            broken.append(str(error))
        fields["interfaces_ms"] = self._ms(began)
        if decision.assign:
            calls.join()
        moved = [results[vip.address] for vip in decision.assign if vip.address in results]
        fields["retries"] = sum(max(0, result.attempts - 1) for result in moved) or ""
        fields["requests"] = ",".join(result.request_id for result in moved if result.request_id)
        fields["note"] = "; ".join(result.note for result in moved if result.note)
        problems = {
            vip.address: f"{vip.address} not claimed: {'; '.join(broken) or 'no answer'}" for vip in decision.assign
        }
        for result in moved:
            if result.error:
                problems[result.vip.address] = _explain(result)
            elif not broken:
                del problems[result.vip.address]
        return problems

    def _look(self, name: str, repair: bool) -> Decision:
        claim = self.state.claim(name)
        # A claim that stands says all there is to compare: the configuration may be a step ahead of it.
        group = None if claim and claim.complete else self._group(name)
        seen = sightings(group, claim, self._interfaces())
        interrupted = claim is not None and not claim.complete
        return decide(Operation.MONITOR, seen, interrupted=interrupted, repair=repair)

    def _interfaces(self) -> Optional[List[Interface]]:
        try:
            return self.netdev.read()
        except NetdevError as error:
            self.log.warning(f"the interfaces cannot be read: {error}")
            return None

    def _group(self, name: str) -> Optional[Group]:
        """The configured group; None if there is none or if the configuration cannot be read."""
        try:
            return self.config().group(name)
        except ConfigError:
            return None

    def _ms(self, began: float) -> int:
        return round((self.clock.monotonic() - began) * 1000)

    def _end(self, operation: Operation, name: str, result: Result, began: float, fields: Dict[str, Any]) -> Result:
        """Log how an operation ended."""
        fields = dict({"vips": "", "total_ms": self._ms(began), "problem": result.reason}, **fields)
        self.log.decision(operation.value, name, result.outcome.name.lower(), **fields)
        return result


def _episode(cloud: Dict[str, str]) -> Tuple[bool, List[str]]:
    """What makes an audit worth a line: an outage is one, however often its error or its extent changes."""
    return "unknown" in cloud.values(), sorted(a for a, truth in cloud.items() if truth == "elsewhere")


def sightings(
    group: Optional[Group], claim: Optional[Claim], interfaces: Optional[Sequence[Interface]]
) -> Tuple[Sighting, ...]:
    """Every VIP that is configured or claimed, as the interfaces show it. The cloud is not looked at."""
    wanted = {_identity(vip) for vip in group.vips} if group else set()
    claimed = {_identity(vip) for vip in claim.vips} if claim and claim.complete else set()
    seen = []
    for vip in _union(group, claim):
        local, link = sight(interfaces, vip)
        key = _identity(vip)
        seen.append(Sighting(vip, key in wanted, key in claimed, Truth.UNKNOWN, local, link))
    return tuple(seen)


def _identity(vip: Vip) -> Tuple[str, str, str]:
    """What makes a VIP the same one. A changed object or interface has to be claimed anew, a changed name has not."""
    return vip.address, vip.private_ip_id, vip.mac


def _union(group: Optional[Group], claim: Optional[Claim]) -> Tuple[Vip, ...]:
    """The configured VIPs, and the claimed ones whose address the configuration no longer has."""
    wanted = group.vips if group else ()
    addresses = {vip.address for vip in wanted}
    return wanted + tuple(vip for vip in (claim.vips if claim else ()) if vip.address not in addresses)


def _explain(result: Assigned) -> str:
    return (
        f"{result.vip.address} not claimed after {result.attempts} attempts in {result.seconds:.1f} s: {result.error}"
    )

# SPDX-License-Identifier: GPL-3.0-or-later
"""Claim, release, monitor, audit and apply: every entry point calls these and nothing else."""

import threading
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from cloudvip.clock import Clock, Deadline, Pulse
from cloudvip.cloud import Assigned, Cloud
from cloudvip.config import CONFIG_FILE, Config, ConfigError, load
from cloudvip.log import Log
from cloudvip.model import Claim, Decision, Group, Operation, Outcome, Sighting, Truth, Vip, decide
from cloudvip.netdev import Interface, Netdev, NetdevError, sight
from cloudvip.state import State


class Result(NamedTuple):
    """How an operation ended. reason: for a person; empty if there is nothing to say."""

    outcome: Outcome
    reason: str = ""


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
    ) -> None:
        self._config_file = config_file
        self.state = state or State()
        self.netdev = netdev or Netdev()
        self.log = log or Log()
        self.clock = clock or Clock()
        self._connect = connect

    def config(self) -> Config:
        """The configuration as it is now. Raises ConfigError."""
        return load(self._config_file)

    def cloud(self, config: Config) -> Cloud:
        """A client of the configuration's cloud."""
        return self._connect(config, self.state, self.clock)

    def claim(self, name: str, seconds: float) -> Result:
        """Make the cloud deliver the group's addresses here and put them on the interfaces. All of them, or none.

        seconds: how long it may take.
        """
        deadline = Deadline(self.clock, seconds)
        began = self.clock.monotonic()
        self.log.info(f"claim {name}: started")
        before = self.state.claim(name)
        try:
            config = self.config()
            group = config.group(name)
            interfaces = self.netdev.read()
            decision = decide(Operation.CLAIM, sightings(group, before, interfaces))
            if decision.outcome is not Outcome.SUCCESS:
                return self._failed(Operation.CLAIM, name, decision.reason)
            # Written first: whatever happens from here on, a release knows what to take off.
            self.state.write_claim(Claim(name, group.revision, False, _union(group, before), {}, {}))
            results = self._move(decision, interfaces, self.cloud(config), deadline)
            problems = _problems(decision.assign, results)
            if problems:
                self._withdraw(name, before)
                return self._failed(Operation.CLAIM, name, "; ".join(problems.values()))
            now = self.clock.now()
            since = {vip.address: now for vip in group.vips}
            self.state.write_claim(Claim(name, group.revision, True, group.vips, {}, since))
        except ConfigError as error:
            return self._failed(Operation.CLAIM, name, str(error))
        except (NetdevError, OSError) as error:
            self._withdraw(name, before)
            return self._failed(Operation.CLAIM, name, str(error))
        took = self.clock.monotonic() - began
        self.log.info(f"claim {name}: done, {len(group.vips)} addresses in {took * 1000:.0f} ms")
        return Result(Outcome.SUCCESS)

    def release(self, name: str) -> Result:
        """Take the group's addresses off this node's interfaces. Needs neither network nor configuration."""
        try:
            claim = self.state.claim(name)
            interfaces = self.netdev.read()
            decision = decide(Operation.RELEASE, sightings(self._group(name), claim, interfaces))
            self.netdev.change(interfaces, remove=decision.remove)
            self.state.remove_claim(name)
        except (NetdevError, OSError) as error:
            return self._failed(Operation.RELEASE, name, str(error))
        removed = [v.address for v in decision.remove if any(v.address in i.addresses for i in interfaces)]
        self.log.info("release {}: {}".format(name, ", ".join(removed) or "nothing was there"))
        return Result(Outcome.SUCCESS)

    def monitor(self, name: str) -> Result:
        """Whether this node's interfaces carry what it has claimed. Looks at nothing else."""
        decision = self._monitor(name, self.state.claim(name))
        return Result(decision.outcome, decision.reason)

    def audit(self, name: str, seconds: float) -> Result:
        """monitor(), and whether the cloud agrees. A cloud that does not answer is unknown, and that is no failure.

        Addresses that an earlier apply() had to leave are tried again. seconds: how long it may take.
        """
        deadline = Deadline(self.clock, seconds)
        claim = self.state.claim(name)
        local = self._monitor(name, claim)
        if local.outcome is not Outcome.SUCCESS or claim is None:
            return Result(local.outcome, local.reason)
        try:
            if claim.pending:
                self.apply(name, deadline.remaining() / 2)
                claim = self.state.claim(name) or claim
            located = self.cloud(self.config()).locate(claim.vips, deadline)
        except ConfigError as error:
            self._note(name, {}, f"the cloud cannot be asked: {error}")
            return Result(Outcome.SUCCESS)
        seen = sightings(None, claim, self._interfaces())
        decision = decide(Operation.AUDIT, [s._replace(cloud=located[s.vip.address].truth) for s in seen])
        unknown = sorted({place.detail for place in located.values() if place.truth is Truth.UNKNOWN})
        cloud = {address: place.truth.value for address, place in located.items()}
        self._note(name, cloud, "; ".join([decision.reason] * bool(decision.reason) + unknown))
        return Result(decision.outcome, decision.reason)

    def apply(self, name: str, seconds: float) -> Result:
        """Take up a changed configuration: claim what it adds, release what it drops, leave the rest alone.

        An address that cannot be claimed stays pending and fails nothing: the others are in use.
        seconds: how long it may take.
        """
        deadline = Deadline(self.clock, seconds)
        claim = self.state.claim(name)
        if claim is None or not claim.complete:
            return Result(Outcome.NOT_RUNNING, f"group {name} is not claimed here")
        try:
            config = self.config()
            group = config.group(name)
            interfaces = self.netdev.read()
            decision = decide(Operation.APPLY, sightings(group, claim, interfaces))
            pending = {vip.address: reason for vip, reason in decision.refused}
            cloud = self.cloud(config) if decision.assign else None
            try:
                results = self._move(decision, interfaces, cloud, deadline)
            except NetdevError as error:
                results = {}
                self.log.warning(f"apply {name}: {error}")
            pending.update(_problems(decision.assign, results))
            # What is not claimed goes off again. Only when all is as it should be the new claim is written: as long as
            # it is not, the old one and the configuration together name every address that a release has to look for.
            gone = [vip for vip in decision.assign if vip.address in pending]
            self.netdev.change(self.netdev.read(), remove=gone + list(decision.remove))
            self._keep(group, claim, pending)
        except (ConfigError, NetdevError, OSError) as error:
            return self._failed(Operation.APPLY, name, str(error))
        return Result(Outcome.SUCCESS)

    def _withdraw(self, name: str, before: Optional[Claim]) -> None:
        """Undo a claim that failed. A group that was held before it keeps what it had: it is in use."""
        if before is None or not before.complete:
            self.release(name)
            return
        try:
            self.state.write_claim(before)
        except OSError as error:
            self.log.warning(f"claim {name}: the earlier claim cannot be restored: {error}")

    def _keep(self, group: Group, before: Claim, pending: Dict[str, str]) -> None:
        """Write the claim down as it is after an apply()."""
        now = self.clock.now()
        held = tuple(vip for vip in group.vips if vip.address not in pending)
        known = {_identity(vip) for vip in before.vips}
        since = {v.address: before.since.get(v.address, now) if _identity(v) in known else now for v in held}
        self.state.write_claim(Claim(group.name, group.revision, True, held, pending, since))
        for address, reason in pending.items():
            if before.pending.get(address) != reason:
                self.log.warning(f"apply {group.name}: {address} is pending: {reason}")
        for vip in before.vips:
            if vip.address not in {v.address for v in group.vips}:
                self.log.info(f"apply {group.name}: released {vip.address}")

    def _move(
        self, decision: Decision, interfaces: Sequence[Interface], cloud: Optional[Cloud], deadline: Deadline
    ) -> Dict[str, Assigned]:
        """Do what was decided, the cloud's part and the interfaces' part at the same time. Raises NetdevError."""
        results: Dict[str, Assigned] = {}

        def done(result: Assigned) -> None:
            results[result.vip.address] = result
            if result.error:
                self.log.warning(_explain(result))
            else:
                text = "claimed {} in {:.0f} ms (opc-request-id {})"
                self.log.info(text.format(result.vip.address, result.seconds * 1000, result.request_id or "none"))

        def assign() -> None:
            if cloud:
                with Pulse(self.clock) as pulse:
                    cloud.assign(decision.assign, deadline, done, pulse.stalled)

        calls = threading.Thread(target=assign, daemon=True)
        calls.start()
        try:
            self.netdev.change(interfaces, decision.add, decision.remove)
        finally:
            calls.join()
        return results

    def _monitor(self, name: str, claim: Optional[Claim]) -> Decision:
        # A claim that stands says all there is to compare: the configuration may be a step ahead of it.
        group = None if claim and claim.complete else self._group(name)
        seen = sightings(group, claim, self._interfaces())
        return decide(Operation.MONITOR, seen, interrupted=claim is not None and not claim.complete)

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

    def _note(self, name: str, cloud: Dict[str, str], problem: str) -> None:
        """Keep what an audit saw, and log it if it is not what the last one saw."""
        file = "audit-" + name
        before = (self.state.read(file) or {}).get("problem", "")
        if problem and problem != before:
            self.log.warning(f"audit {name}: {problem}")
        if before and not problem:
            self.log.info(f"audit {name}: the cloud agrees again")
        try:
            self.state.write(file, {"at": self.clock.now(), "cloud": cloud, "problem": problem})
        except OSError as error:
            self.log.warning(f"audit {name}: cannot be stored: {error}")

    def _failed(self, operation: Operation, name: str, reason: str) -> Result:
        self.log.warning(f"{operation.value} {name}: failed: {reason}")
        return Result(Outcome.FAILED, reason)


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


def _problems(vips: Sequence[Vip], results: Dict[str, Assigned]) -> Dict[str, str]:
    """Why VIPs were not claimed, by address. One without a result was not."""
    return {
        vip.address: _explain(results[vip.address]) if vip.address in results else f"{vip.address}: not tried"
        for vip in vips
        if vip.address not in results or results[vip.address].error
    }


def _explain(result: Assigned) -> str:
    return (
        f"{result.vip.address} not claimed after {result.attempts} attempts in {result.seconds:.1f} s: {result.error}"
    )

# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known about a group of VIPs, and the one function that decides what follows from it. No input or output."""

import enum
from typing import Container, Dict, Iterable, NamedTuple, Sequence, Tuple

# How often, and after how many seconds, an address of a held group that the cloud delivers elsewhere is taken back.
_RECLAIMS = 3
_RECLAIM_PAUSE = 600.0


class Truth(enum.Enum):
    """Where something is, as seen from this node. UNKNOWN means that it could not be looked at, never "not here"."""

    HERE = "here"
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"


class Link(enum.Enum):
    """The state of the interface that a VIP belongs to."""

    UP = "up"
    NO_CARRIER = "no carrier"
    MISSING = "missing"
    UNKNOWN = "unknown"


class Operation(enum.Enum):
    """What is asked for."""

    CLAIM = "claim"
    ADOPT = "adopt"
    RELEASE = "release"
    MONITOR = "monitor"
    AUDIT = "audit"
    APPLY = "apply"


class Outcome(enum.Enum):
    """How it ended; ocf.py makes return codes of these."""

    SUCCESS = "success"
    NOT_RUNNING = "not running"
    FAILED = "failed"


class Vip(NamedTuple):
    """One VIP as this node serves it. `mac` finds the interface; `interface` is the name it had when configured.

    private_ip_id: the OCID of its object, which for an IPv6 address is an `ipv6`.
    """

    name: str
    address: str
    prefix: int
    interface: str
    mac: str
    vnic_id: str
    private_ip_id: str
    # A claim written by an earlier version has none.
    subnet_id: str = ""

    @property
    def ipv6(self) -> bool:
        """Whether it is an IPv6 address."""
        return ":" in self.address


class Group(NamedTuple):
    """VIPs that are together on one node. revision: a fingerprint of them."""

    name: str
    revision: str
    vips: Tuple[Vip, ...]


class Claim(NamedTuple):
    """What this node has claimed and not released. It outlives the process, not a reboot.

    complete: False from the moment a claim begins until it has succeeded, so that one cut short is not taken for one
    that holds.
    pending: for each VIP that a changed configuration brought and that could not be claimed yet, by address, why.
    since: when each VIP was claimed, by address, in seconds of wall-clock time.
    """

    group: str
    revision: str
    complete: bool
    vips: Tuple[Vip, ...]
    pending: Dict[str, str]
    since: Dict[str, float]


class Sighting(NamedTuple):
    """One VIP: what should be, and the two independent truths, the cloud's and the interface's (`local`)."""

    vip: Vip
    wanted: bool
    claimed: bool
    cloud: Truth
    local: Truth
    link: Link


class Decision(NamedTuple):
    """What an operation has to do, and the result if all of that works.

    assign: VIPs that the cloud is asked to deliver here. add, remove: VIPs to put on, take off the interfaces.
    refused: VIPs that cannot be served here now, with the reason.
    """

    outcome: Outcome
    reason: str = ""
    assign: Tuple[Vip, ...] = ()
    add: Tuple[Vip, ...] = ()
    remove: Tuple[Vip, ...] = ()
    refused: Tuple[Tuple[Vip, str], ...] = ()


def _names(sightings: Iterable[Sighting]) -> str:
    return ", ".join(f"{s.vip.address} on {s.vip.interface}" for s in sightings)


def _link_fault(sighting: Sighting) -> str:
    """Why the VIP's interface cannot carry it, or an empty string. An unknown state is not a fault."""
    vip = sighting.vip
    if sighting.link is Link.MISSING:
        return f"{vip.address}: no interface has the MAC address {vip.mac} ({vip.interface}); is its VNIC attached?"
    if sighting.link is Link.NO_CARRIER:
        return f"{vip.address}: interface {vip.interface} has no carrier; is its VNIC up?"
    return ""


def _claim(sightings: Sequence[Sighting]) -> Decision:
    wanted = [s for s in sightings if s.wanted]
    refused = tuple((s.vip, _link_fault(s)) for s in wanted if _link_fault(s))
    if refused:
        return Decision(Outcome.FAILED, "; ".join(reason for _, reason in refused), refused=refused)
    return Decision(
        Outcome.SUCCESS,
        # Every address is assigned, wherever the cloud has it: one PUT is cheaper than asking first, and idempotent.
        assign=tuple(s.vip for s in wanted),
        add=tuple(s.vip for s in wanted if s.local is not Truth.HERE),
        remove=tuple(s.vip for s in sightings if not s.wanted),
    )


def _apply(sightings: Sequence[Sighting]) -> Decision:
    new = [s for s in sightings if s.wanted and not s.claimed]
    able = [s for s in new if not _link_fault(s)]
    return Decision(
        Outcome.SUCCESS,
        assign=tuple(s.vip for s in able),
        add=tuple(s.vip for s in able if s.local is not Truth.HERE),
        remove=tuple(s.vip for s in sightings if not s.wanted),
        refused=tuple((s.vip, _link_fault(s)) for s in new if _link_fault(s)),
    )


def may_reclaim(count: int, last: float, now: float) -> bool:
    """Whether an address may be taken back that was taken back `count` times since its claim, most recently at `last`.

    At once, and then so rarely and so seldom that two nodes which both believe in their claim cannot fight.
    """
    return count == 0 or (count < _RECLAIMS and now - last >= _RECLAIM_PAUSE)


def _monitor(sightings: Sequence[Sighting], interrupted: bool, repair: bool) -> Decision:
    # What is claimed counts, not what is configured: the configuration changes before the cluster says "reload".
    claimed = [s for s in sightings if s.claimed]
    counted = claimed or list(sightings)
    present = [s for s in counted if s.local is Truth.HERE]
    missing = [s for s in counted if s.local is Truth.ELSEWHERE]
    if claimed and len(present) + len(missing) < len(counted):
        return Decision(Outcome.SUCCESS, "the interfaces cannot be read; the claim stands until they can")
    problems = [_link_fault(s) for s in counted if _link_fault(s)]
    if missing and not problems:
        problems = [f"address missing: {_names(missing)}"]
        if claimed and repair:
            # No harm even if another node has taken over: the cloud delivers to one node only, and the audit finds out.
            return Decision(Outcome.SUCCESS, problems[0] + "; put back", add=tuple(s.vip for s in missing))
    if not present:
        return Decision(Outcome.NOT_RUNNING, "; ".join(problems) if claimed else "")
    if not claimed:
        # Whoever configured them, nothing says that the cloud delivers them here; a stop takes them off.
        cause = "an earlier claim did not finish" if interrupted else "this node has not claimed the group"
        return Decision(Outcome.FAILED, f"{cause}; present all the same: {_names(present)}")
    return Decision(Outcome.FAILED if problems else Outcome.SUCCESS, "; ".join(problems))


def _audit(sightings: Sequence[Sighting], interrupted: bool, repair: bool, spent: Container[str]) -> Decision:
    local = _monitor(sightings, interrupted, repair)
    if local.outcome is not Outcome.SUCCESS:
        return local
    claimed = [s for s in sightings if s.claimed]
    lost = [s for s in claimed if s.cloud is Truth.ELSEWHERE]
    if not lost:
        return local
    reason = f"the cloud delivers elsewhere: {_names(lost)}"
    if len(lost) == len(claimed):
        # Another node has taken the group over (a split cluster, or this node was frozen), or a person has. Taking it
        # back would be a fight, so this node lets go and the cluster decides. Pacemaker treats "not running" and
        # "failed" alike here: with migration-threshold=1 it stops the group on this node, which has no effect any more,
        # and starts it elsewhere or leaves it where it runs. "Not running" is the one that is true, that every later
        # monitor and probe will confirm, and that asks nothing of a stop.
        reason = f"the whole group was moved away; {reason} (cloudvip status shows where)"
        return Decision(Outcome.NOT_RUNNING, reason, remove=tuple(s.vip for s in claimed) if repair else ())
    # A part elsewhere is a slip of a person or a change that got lost, and a restart would interrupt the rest. It is
    # taken back only while the cloud still delivers something here: that is what tells it from a takeover.
    held = repair and any(s.cloud is Truth.HERE for s in claimed)
    assign = tuple(s.vip for s in lost if held and s.vip.address not in spent)
    return Decision(Outcome.SUCCESS, reason, assign=assign)


def decide(
    operation: Operation,
    sightings: Sequence[Sighting],
    interrupted: bool = False,
    repair: bool = False,
    spent: Container[str] = (),
) -> Decision:
    """What `operation` has to do about the VIPs of one group, and with which result.

    interrupted: the group's last claim began and never finished. repair: a monitor or an audit may act, not only look.
    spent: addresses that an audit must not take back now.
    """
    if operation is Operation.CLAIM:
        return _claim(sightings)
    if operation is Operation.RELEASE:
        # Not only those seen on their own interface: an address has to go from wherever on this node it is.
        return Decision(Outcome.SUCCESS, remove=tuple(s.vip for s in sightings))
    if operation is Operation.APPLY:
        return _apply(sightings)
    if operation is Operation.AUDIT:
        return _audit(sightings, interrupted, repair, spent)
    return _monitor(sightings, interrupted, repair)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The function that decides, in tables."""

from __future__ import annotations

import itertools

import pytest
from cloudvip.model import Decision, Link, Operation, Outcome, Sighting, Truth, Vip, decide, may_reclaim

A = Vip("a", "10.0.0.4", 28, "ens5", "02:00:17:00:00:05", "ocid1.vnic.x.v", "ocid1.privateip.x.a")
B = Vip("b", "10.0.0.36", 28, "ens6", "02:00:17:00:00:06", "ocid1.vnic.x.w", "ocid1.privateip.x.b")
C = Vip("c", "2001:db8::4", 64, "ens6", "02:00:17:00:00:06", "ocid1.vnic.x.w", "ocid1.ipv6.x.c")
HERE, ELSEWHERE, UNKNOWN = Truth.HERE, Truth.ELSEWHERE, Truth.UNKNOWN


def seen(
    vip: Vip,
    *,
    wanted: bool = True,
    claimed: bool = True,
    cloud: Truth = UNKNOWN,
    local: Truth = HERE,
    link: Link = Link.UP,
) -> Sighting:
    return Sighting(vip, wanted, claimed, cloud, local, link)


BOTH = (A, B)
NO, OK, BAD = Outcome.NOT_RUNNING, Outcome.SUCCESS, Outcome.FAILED


# What a recurring monitor puts back, and its result; then the result of a probe and of a person, who change nothing.
@pytest.mark.parametrize(
    ("first", "second", "interrupted", "back", "recurring", "probe"),
    [
        pytest.param(seen(A), seen(B), False, (), OK, OK, id="all there"),
        pytest.param(seen(A), seen(B, local=ELSEWHERE), False, (B,), OK, BAD, id="one missing"),
        pytest.param(seen(A, local=ELSEWHERE), seen(B, local=ELSEWHERE), False, BOTH, OK, NO, id="all missing"),
        pytest.param(seen(A), seen(B, link=Link.NO_CARRIER), False, (), BAD, BAD, id="no carrier"),
        pytest.param(
            seen(A), seen(B, local=ELSEWHERE, link=Link.NO_CARRIER), False, (), BAD, BAD, id="missing, no carrier"
        ),
        pytest.param(
            seen(A, link=Link.NO_CARRIER),
            seen(B, local=ELSEWHERE),
            False,
            (),
            BAD,
            BAD,
            id="missing, no carrier on another",
        ),
        pytest.param(seen(A), seen(B, link=Link.UNKNOWN), False, (), OK, OK, id="carrier unknown"),
        pytest.param(
            seen(A), seen(B, local=ELSEWHERE, link=Link.MISSING), False, (), BAD, BAD, id="one interface missing"
        ),
        pytest.param(
            seen(A, local=ELSEWHERE, link=Link.MISSING),
            seen(B, local=ELSEWHERE, link=Link.MISSING),
            False,
            (),
            NO,
            NO,
            id="both interfaces missing",
        ),
        pytest.param(seen(A, local=UNKNOWN), seen(B, local=UNKNOWN), False, (), OK, OK, id="claimed, unreadable"),
        pytest.param(
            seen(A), seen(B, claimed=False, local=ELSEWHERE), False, (), OK, OK, id="a new one is not counted"
        ),
        pytest.param(
            seen(A), seen(B, wanted=False, local=ELSEWHERE), False, (B,), OK, BAD, id="a dropped one is counted"
        ),
        pytest.param(
            seen(A, claimed=False, local=ELSEWHERE),
            seen(B, claimed=False, local=ELSEWHERE),
            False,
            (),
            NO,
            NO,
            id="no claim, nothing there",
        ),
        pytest.param(
            seen(A, claimed=False, local=UNKNOWN),
            seen(B, claimed=False, local=UNKNOWN),
            False,
            (),
            NO,
            NO,
            id="no claim, unreadable",
        ),
        pytest.param(seen(A, claimed=False), seen(B, claimed=False), False, (), BAD, BAD, id="no claim, yet all there"),
        pytest.param(
            seen(A, claimed=False),
            seen(B, claimed=False, local=ELSEWHERE),
            False,
            (),
            BAD,
            BAD,
            id="no claim, a part there",
        ),
        pytest.param(
            seen(A, claimed=False), seen(B, claimed=False), True, (), BAD, BAD, id="claim cut short, all there"
        ),
        pytest.param(
            seen(A, claimed=False, local=ELSEWHERE),
            seen(B, claimed=False, local=ELSEWHERE),
            True,
            (),
            NO,
            NO,
            id="claim cut short, nothing there",
        ),
    ],
)
def test_monitor(
    first: Sighting, second: Sighting, interrupted: bool, back: tuple[Vip, ...], recurring: Outcome, probe: Outcome
) -> None:
    acting = decide(Operation.MONITOR, [first, second], interrupted, repair=True)
    looking = decide(Operation.MONITOR, [first, second], interrupted)

    assert (acting.outcome, looking.outcome) == (recurring, probe)
    assert acting.add == back
    assert (acting.assign, acting.remove, looking.assign, looking.add, looking.remove) == ((), (), (), (), ())
    for decision in (acting, looking):
        assert decision.reason or decision.outcome is not BAD


def test_a_probe_of_a_node_that_knows_nothing_is_not_running() -> None:
    assert decide(Operation.MONITOR, []) == Decision(Outcome.NOT_RUNNING)


@pytest.mark.parametrize(
    ("sighting", "reason"),
    [
        (seen(B, local=ELSEWHERE), "address missing: 10.0.0.36 on ens6"),
        (seen(B, link=Link.NO_CARRIER), "10.0.0.36: interface ens6 has no carrier; is its VNIC up?"),
        (
            seen(B, local=ELSEWHERE, link=Link.MISSING),
            "10.0.0.36: no interface has the MAC address 02:00:17:00:00:06 (ens6); is its VNIC attached?",
        ),
    ],
)
def test_a_failed_monitor_names_the_address_and_what_is_wrong_with_it(sighting: Sighting, reason: str) -> None:
    assert decide(Operation.MONITOR, [seen(A), sighting]).reason == reason


# The cloud's two answers, and what a recurring audit does about them while everything is well on the interfaces.
@pytest.mark.parametrize(
    ("first", "second", "outcome", "assign", "remove"),
    [
        (HERE, HERE, OK, (), ()),
        (HERE, UNKNOWN, OK, (), ()),
        (UNKNOWN, UNKNOWN, OK, (), ()),
        (UNKNOWN, HERE, OK, (), ()),
        (HERE, ELSEWHERE, OK, (B,), ()),
        (ELSEWHERE, HERE, OK, (A,), ()),
        # Nothing shows that this node still holds anything, nor that it lost all: neither take back nor let go.
        (ELSEWHERE, UNKNOWN, OK, (), ()),
        (UNKNOWN, ELSEWHERE, OK, (), ()),
        (ELSEWHERE, ELSEWHERE, NO, (), BOTH),
    ],
)
def test_audit(first: Truth, second: Truth, outcome: Outcome, assign: tuple[Vip, ...], remove: tuple[Vip, ...]) -> None:
    sightings = [seen(A, cloud=first), seen(B, cloud=second)]

    acting = decide(Operation.AUDIT, sightings, repair=True)
    looking = decide(Operation.AUDIT, sightings)

    assert acting == Decision(outcome, acting.reason, assign=assign, remove=remove)
    assert looking == Decision(outcome, acting.reason)
    assert ("10.0.0.4 on ens5" in acting.reason) == (first is ELSEWHERE)
    assert ("10.0.0.36 on ens6" in acting.reason) == (second is ELSEWHERE)


def test_a_group_of_one_that_is_elsewhere_is_all_elsewhere() -> None:
    decision = decide(Operation.AUDIT, [seen(A, cloud=ELSEWHERE)], repair=True)

    assert (decision.outcome, decision.assign, decision.remove) == (NO, (), (A,))


def test_audit_does_not_take_back_what_was_taken_back_too_often() -> None:
    sightings = [seen(A, cloud=ELSEWHERE), seen(B, cloud=ELSEWHERE), seen(C, cloud=HERE)]

    decision = decide(Operation.AUDIT, sightings, repair=True, spent=["10.0.0.4"])

    assert (decision.outcome, decision.assign) == (OK, (B,))
    assert "10.0.0.4 on ens5" in decision.reason


def test_audit_counts_what_is_claimed_and_not_what_is_configured() -> None:
    sightings = [seen(A, cloud=ELSEWHERE), seen(B, claimed=False, local=ELSEWHERE, cloud=HERE)]

    assert decide(Operation.AUDIT, sightings, repair=True).remove == (A,)


@pytest.mark.parametrize(
    ("count", "waited", "allowed"),
    [
        (0, 0, True),
        (1, 0, False),
        (1, 599, False),
        (1, 600, True),
        (2, 599, False),
        (2, 600, True),
        (3, 600, False),
        (3, 1e9, False),
        (1, -1e9, False),
    ],
)
def test_an_address_is_taken_back_at_once_then_after_ten_minutes_and_three_times_at_most(
    count: int, waited: float, allowed: bool
) -> None:
    assert may_reclaim(count, 1e9, 1e9 + waited) is allowed


@pytest.mark.parametrize(("cloud", "repair"), list(itertools.product(Truth, (True, False))))
def test_audit_says_what_the_interfaces_say_first(cloud: Truth, repair: bool) -> None:
    sightings = [seen(A, cloud=cloud, link=Link.NO_CARRIER)]

    assert decide(Operation.AUDIT, sightings, repair=repair) == decide(Operation.MONITOR, sightings, repair=repair)


@pytest.mark.parametrize(
    ("operation", "cloud", "local"), list(itertools.product((Operation.MONITOR, Operation.AUDIT), Truth, Truth))
)
def test_only_clear_knowledge_fails_and_unknown_never_does(operation: Operation, cloud: Truth, local: Truth) -> None:
    decision = decide(operation, [seen(A, cloud=cloud, local=local)])

    clearly_lost = local is ELSEWHERE or (operation is Operation.AUDIT and cloud is ELSEWHERE)
    assert (decision.outcome is Outcome.SUCCESS) == (not clearly_lost)


@pytest.mark.parametrize(("cloud", "local", "claimed"), list(itertools.product(Truth, Truth, (True, False))))
def test_claim_assigns_always_and_adds_what_is_not_there(cloud: Truth, local: Truth, claimed: bool) -> None:
    decision = decide(Operation.CLAIM, [seen(A, claimed=claimed, cloud=cloud, local=local)])

    assert decision == Decision(Outcome.SUCCESS, assign=(A,), add=() if local is HERE else (A,))


@pytest.mark.parametrize(
    ("link", "refused"), [(Link.UP, False), (Link.UNKNOWN, False), (Link.NO_CARRIER, True), (Link.MISSING, True)]
)
def test_claim_is_refused_as_a_whole_if_one_interface_cannot_carry_it(link: Link, refused: bool) -> None:
    decision = decide(Operation.CLAIM, [seen(A, link=link), seen(B)])

    assert (decision.outcome is Outcome.FAILED) == refused
    assert (decision.assign == ()) == refused


def test_claim_takes_off_what_is_no_longer_wanted() -> None:
    assert decide(Operation.CLAIM, [seen(A), seen(B, wanted=False)]).remove == (B,)


@pytest.mark.parametrize(
    ("cloud", "local", "wanted", "claimed"), list(itertools.product(Truth, Truth, (True, False), (True, False)))
)
def test_release_takes_everything_off_and_never_asks_the_cloud(
    cloud: Truth, local: Truth, wanted: bool, claimed: bool
) -> None:
    decision = decide(Operation.RELEASE, [seen(A, wanted=wanted, claimed=claimed, cloud=cloud, local=local)])

    assert decision == Decision(Outcome.SUCCESS, remove=(A,))


@pytest.mark.parametrize(
    ("sighting", "expected"),
    [
        pytest.param(seen(B), Decision(Outcome.SUCCESS), id="kept"),
        pytest.param(seen(B, local=ELSEWHERE), Decision(Outcome.SUCCESS), id="kept, monitor will say"),
        pytest.param(
            seen(B, claimed=False, local=ELSEWHERE), Decision(Outcome.SUCCESS, assign=(B,), add=(B,)), id="added"
        ),
        pytest.param(seen(B, claimed=False), Decision(Outcome.SUCCESS, assign=(B,)), id="added, already there"),
        pytest.param(seen(B, wanted=False), Decision(Outcome.SUCCESS, remove=(B,)), id="dropped"),
        pytest.param(
            seen(B, claimed=False, local=ELSEWHERE, link=Link.NO_CARRIER),
            Decision(Outcome.SUCCESS, refused=((B, "10.0.0.36: interface ens6 has no carrier; is its VNIC up?"),)),
            id="added, no carrier",
        ),
    ],
)
def test_apply_touches_only_what_changed(sighting: Sighting, expected: Decision) -> None:
    assert decide(Operation.APPLY, [seen(A), sighting]) == expected

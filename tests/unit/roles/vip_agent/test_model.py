# SPDX-License-Identifier: GPL-3.0-or-later
"""The function that decides, in tables."""

from __future__ import annotations

import itertools

import pytest
from cloudvip.model import Decision, Link, Operation, Outcome, Sighting, Truth, Vip, decide

A = Vip("a", "10.0.0.4", 28, "ens5", "02:00:17:00:00:05", "ocid1.vnic.x.v", "ocid1.privateip.x.a")
B = Vip("b", "10.0.0.36", 28, "ens6", "02:00:17:00:00:06", "ocid1.vnic.x.w", "ocid1.privateip.x.b")
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


@pytest.mark.parametrize(
    ("first", "second", "interrupted", "outcome"),
    [
        pytest.param(seen(A), seen(B), False, Outcome.SUCCESS, id="all there"),
        pytest.param(seen(A), seen(B, local=ELSEWHERE), False, Outcome.FAILED, id="one missing"),
        pytest.param(seen(A, local=ELSEWHERE), seen(B, local=ELSEWHERE), False, Outcome.NOT_RUNNING, id="all missing"),
        pytest.param(seen(A), seen(B, link=Link.NO_CARRIER), False, Outcome.FAILED, id="no carrier"),
        pytest.param(seen(A), seen(B, link=Link.UNKNOWN), False, Outcome.SUCCESS, id="carrier unknown"),
        pytest.param(
            seen(A), seen(B, local=ELSEWHERE, link=Link.MISSING), False, Outcome.FAILED, id="interface missing"
        ),
        pytest.param(seen(A, local=UNKNOWN), seen(B, local=UNKNOWN), False, Outcome.SUCCESS, id="claimed, unreadable"),
        pytest.param(
            seen(A), seen(B, claimed=False, local=ELSEWHERE), False, Outcome.SUCCESS, id="a new one is not counted"
        ),
        pytest.param(
            seen(A), seen(B, wanted=False, local=ELSEWHERE), False, Outcome.FAILED, id="a dropped one is counted"
        ),
        pytest.param(
            seen(A, claimed=False, local=ELSEWHERE),
            seen(B, claimed=False, local=ELSEWHERE),
            False,
            Outcome.NOT_RUNNING,
            id="no claim, nothing there",
        ),
        pytest.param(
            seen(A, claimed=False, local=UNKNOWN),
            seen(B, claimed=False, local=UNKNOWN),
            False,
            Outcome.NOT_RUNNING,
            id="no claim, unreadable",
        ),
        pytest.param(
            seen(A, claimed=False), seen(B, claimed=False), False, Outcome.SUCCESS, id="no claim, yet all there"
        ),
        pytest.param(
            seen(A, claimed=False),
            seen(B, claimed=False, local=ELSEWHERE),
            False,
            Outcome.FAILED,
            id="no claim, a part there",
        ),
        pytest.param(
            seen(A, claimed=False), seen(B, claimed=False), True, Outcome.FAILED, id="claim cut short, all there"
        ),
        pytest.param(
            seen(A, claimed=False, local=ELSEWHERE),
            seen(B, claimed=False, local=ELSEWHERE),
            True,
            Outcome.NOT_RUNNING,
            id="claim cut short, nothing there",
        ),
    ],
)
def test_monitor(first: Sighting, second: Sighting, interrupted: bool, outcome: Outcome) -> None:
    decision = decide(Operation.MONITOR, [first, second], interrupted)

    assert decision.outcome is outcome
    assert (decision.assign, decision.add, decision.remove) == ((), (), ())
    assert bool(decision.reason) == (outcome is Outcome.FAILED) or UNKNOWN in (first.local, second.local)


def test_a_probe_of_a_node_that_knows_nothing_is_not_running() -> None:
    assert decide(Operation.MONITOR, []) == Decision(Outcome.NOT_RUNNING)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(Truth, Truth)))
def test_audit_fails_only_if_the_whole_group_is_elsewhere(first: Truth, second: Truth) -> None:
    decision = decide(Operation.AUDIT, [seen(A, cloud=first), seen(B, cloud=second)])

    assert decision.outcome is (Outcome.FAILED if first is second is ELSEWHERE else Outcome.SUCCESS)
    assert ("10.0.0.4" in decision.reason) == (first is ELSEWHERE)
    assert ("10.0.0.36" in decision.reason) == (second is ELSEWHERE)


@pytest.mark.parametrize("cloud", Truth)
def test_audit_says_what_the_interfaces_say_first(cloud: Truth) -> None:
    sightings = [seen(A, cloud=cloud, local=ELSEWHERE)]

    assert decide(Operation.AUDIT, sightings) == decide(Operation.MONITOR, sightings)


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
            Decision(Outcome.SUCCESS, refused=((B, "10.0.0.36: interface ens6 has no carrier"),)),
            id="added, no carrier",
        ),
    ],
)
def test_apply_touches_only_what_changed(sighting: Sighting, expected: Decision) -> None:
    assert decide(Operation.APPLY, [seen(A), sighting]) == expected

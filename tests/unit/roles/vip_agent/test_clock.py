# SPDX-License-Identifier: GPL-3.0-or-later
"""The clocks, and who notices that a node stood still."""

from __future__ import annotations

import threading

from cloudvip.clock import Clock, Pulse

from tests.unit.roles.vip_agent.fakes import FakeClock


class ObservedClock(FakeClock):
    """Says when its uptime was read `reads` more times."""

    def __init__(self) -> None:
        super().__init__()
        self._reads = threading.Semaphore(0)

    def uptime(self) -> float:
        self._reads.release()
        return super().uptime()

    def wait_for_reads(self, count: int) -> None:
        while self._reads.acquire(blocking=False):
            continue
        for _ in range(count):
            assert self._reads.acquire(timeout=10)


def test_a_node_that_runs_did_not_stand_still() -> None:
    clock = FakeClock()

    with Pulse(clock, 1.0) as pulse:
        clock.frozen += 0.9
        assert pulse.stalled() == ""


def test_a_freeze_is_noticed_by_the_first_who_asks() -> None:
    clock = FakeClock()

    with Pulse(clock, 1.0) as pulse:
        clock.frozen += 31
        assert pulse.stalled() == "this node stood still for 31 s"
        assert pulse.stalled() == "this node stood still for 31 s"


def test_a_freeze_that_nobody_asked_about_is_not_forgotten() -> None:
    clock = ObservedClock()

    with Pulse(clock, 1.0) as pulse:
        clock.wait_for_reads(1)
        clock.frozen += 31
        clock.wait_for_reads(3)
        assert pulse.stalled() == "this node stood still for 31 s"


def test_many_short_waits_are_not_one_freeze() -> None:
    clock = ObservedClock()

    with Pulse(clock, 1.0) as pulse:
        for _ in range(3):
            clock.frozen += 0.8
            clock.wait_for_reads(1)
        assert pulse.stalled() == ""


def test_time_before_the_claim_does_not_count() -> None:
    clock = FakeClock()
    pulse = Pulse(clock, 1.0)
    clock.frozen += 31

    with pulse:
        assert pulse.stalled() == ""


def test_the_real_uptime_passes() -> None:
    clock = Clock()
    first = clock.uptime()

    assert clock.uptime() >= first > 0

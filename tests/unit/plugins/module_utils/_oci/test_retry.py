# SPDX-License-Identifier: GPL-3.0-or-later
"""How long and how often a call is tried again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import CloudError, OciError
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.retry import Patience


class Time:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


BUSY = CloudError("GetVnic", "retryable", 503, "ServiceUnavailable", "Later")


def patience(time: Time, timeout: float = 120, chance: float = 1.0) -> Patience:
    return Patience(timeout, time.clock, time.sleep, lambda: chance)


def failing(times: int) -> Iterator[CloudError | None]:
    yield from [BUSY] * times
    yield None


class Call:
    def __init__(self, failures: int) -> None:
        self.outcomes = failing(failures)
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        error = next(self.outcomes)
        if error is not None:
            raise error
        return "done"


def test_a_call_that_works_is_made_once() -> None:
    time, call = Time(), Call(0)

    assert patience(time).call(call, lambda _error: True) == "done"
    assert (call.count, time.sleeps) == (1, [])


def test_pauses_double_up_to_half_a_minute() -> None:
    time, call = Time(), Call(7)

    assert patience(time).call(call, lambda _error: True) == "done"
    assert time.sleeps == [1, 2, 4, 8, 16, 30, 30]


def test_half_of_a_pause_is_jitter() -> None:
    time, call = Time(), Call(2)

    patience(time, chance=0.0).call(call, lambda _error: True)

    assert time.sleeps == [0.5, 1.0]


def test_the_last_error_is_raised_when_no_try_fits_before_the_deadline() -> None:
    time, call = Time(), Call(99)

    with pytest.raises(CloudError) as caught:
        patience(time, timeout=10).call(call, lambda _error: True)

    assert caught.value is BUSY
    assert time.sleeps == [1, 2, 4]


def test_an_error_that_is_not_worth_it_is_raised_at_once() -> None:
    time, call = Time(), Call(1)

    with pytest.raises(CloudError):
        patience(time).call(call, lambda _error: False)

    assert (call.count, time.sleeps) == (1, [])


def test_waiting_ends_when_what_is_read_is_right() -> None:
    time, states = Time(), iter(["CREATING", "CREATING", "ACTIVE"])

    seen = patience(time).until("it to become ACTIVE", lambda: next(states), lambda state: state == "ACTIVE")

    assert (seen, time.sleeps) == ("ACTIVE", [1, 2])


def test_waiting_in_vain_names_what_was_waited_for() -> None:
    with pytest.raises(OciError, match=r"Waited 10 s for it to become ACTIVE, in vain"):
        patience(Time(), timeout=10).until("it to become ACTIVE", lambda: "CREATING", lambda _state: False)

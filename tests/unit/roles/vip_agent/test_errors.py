# SPDX-License-Identifier: GPL-3.0-or-later
"""What kind an error is, and how long to wait for the next attempt."""

from __future__ import annotations

import pytest
from cloudvip.errors import CloudError, ErrorKind, classify
from cloudvip.retry import delay


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "InvalidParameter", ErrorKind.FATAL),
        (401, "NotAuthenticated", ErrorKind.AUTH),
        (403, "NotAllowed", ErrorKind.PERMISSION),
        (404, "NotAuthorizedOrNotFound", ErrorKind.PERMISSION),
        (405, "MethodNotAllowed", ErrorKind.FATAL),
        (409, "IncorrectState", ErrorKind.RETRYABLE),
        (409, "Conflict", ErrorKind.CONFLICT),
        (412, "NoEtagMatch", ErrorKind.CONFLICT),
        (429, "TooManyRequests", ErrorKind.RETRYABLE),
        (500, "InternalServerError", ErrorKind.RETRYABLE),
        (501, "MethodNotImplemented", ErrorKind.FATAL),
        (503, "", ErrorKind.RETRYABLE),
    ],
)
def test_classify(status: int, code: str, kind: ErrorKind) -> None:
    assert classify(status, code) is kind


def highest(low: float, high: float) -> float:
    assert low <= high
    return high


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ErrorKind.RETRYABLE, [0.4, 0.8, 1.6, 3.2, 5.0, 5.0]),
        (ErrorKind.PERMISSION, [0.4, 0.8, 1.6, None, None, None]),
        (ErrorKind.CONFLICT, [0.4, 0.8, 1.6, 3.2, 5.0, None]),
        (ErrorKind.AUTH, [None] * 6),
        (ErrorKind.FATAL, [None] * 6),
    ],
)
def test_delays(kind: ErrorKind, expected: list[float | None]) -> None:
    error = CloudError(kind, "x")

    assert [delay(error, attempt, 50, highest) for attempt in range(1, 7)] == expected


def test_the_server_may_ask_for_a_longer_wait_but_not_for_a_shorter_one() -> None:
    assert delay(CloudError(ErrorKind.RETRYABLE, "x", 429, 9.0), 1, 1, highest) == 9.0
    assert delay(CloudError(ErrorKind.RETRYABLE, "x", 429, 0.1), 1, 1, highest) == 0.4


def test_a_thousandth_attempt_waits_no_longer() -> None:
    assert delay(CloudError(ErrorKind.RETRYABLE, "x"), 1000, 500, highest) == 5.0


def test_the_last_address_of_many_does_not_wait_as_long_as_many_must() -> None:
    throttled = CloudError(ErrorKind.RETRYABLE, "x", 429)

    assert [delay(throttled, 9, calls, highest) for calls in (500, 50, 20, 10, 1)] == [5.0, 5.0, 2.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", [ErrorKind.CONFLICT, ErrorKind.PERMISSION])
def test_attempts_that_are_counted_are_no_shorter_for_one_address_alone(kind: ErrorKind) -> None:
    assert delay(CloudError(kind, "x"), 3, 1, highest) == 1.6

# SPDX-License-Identifier: GPL-3.0-or-later
"""How long to wait before a failed call is tried again, if at all."""

from typing import Callable, Optional

from cloudvip.errors import CloudError, ErrorKind

_FIRST = 0.2
_LONGEST = 5.0
# All the calls of a claim together keep to this rate while the service throttles or fails. The last one of fifty need
# not wait as long as fifty must: it is all that keeps the group from starting.
_CALLS_PER_SECOND = 10.0
_LONGEST_ALONE = 1.0
# A new policy or object takes seconds to be seen everywhere, so the first "not found" may be wrong; the fourth is not.
_PERMISSION_ATTEMPTS = 4
_CONFLICT_ATTEMPTS = 6


def delay(error: CloudError, attempt: int, calls: int, uniform: Callable[[float, float], float]) -> Optional[float]:
    """Seconds to wait before the next attempt, or None when another one is of no use.

    attempt: how many attempts have failed in this way so far, from 1. calls: how many calls are still to
    succeed, this one included. uniform: the source of the jitter.
    """
    if error.kind is ErrorKind.PERMISSION and attempt >= _PERMISSION_ATTEMPTS:
        return None
    if error.kind is ErrorKind.CONFLICT and attempt >= _CONFLICT_ATTEMPTS:
        return None
    if error.kind in (ErrorKind.AUTH, ErrorKind.FATAL):
        return None
    longest = _LONGEST
    if error.kind is ErrorKind.RETRYABLE:
        longest = min(_LONGEST, max(_LONGEST_ALONE, calls / _CALLS_PER_SECOND))
    ceiling = min(longest, _FIRST * 2.0 ** min(attempt, 16))
    return max(error.retry_after or 0.0, uniform(ceiling / 2, ceiling))

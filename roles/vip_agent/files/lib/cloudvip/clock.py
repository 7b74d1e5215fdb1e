# SPDX-License-Identifier: GPL-3.0-or-later
"""Time and chance, in one place so that tests can hold them still."""

import random
import time


class Clock:
    """All values in seconds."""

    def now(self) -> float:
        """Wall-clock time since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """A clock that is never set."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def uniform(self, low: float, high: float) -> float:
        """A random number between `low` and `high`."""
        return random.uniform(low, high)


class Deadline:
    """A point in time that an operation must not pass."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._end = clock.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; negative when it has passed."""
        return self._end - self._clock.monotonic()

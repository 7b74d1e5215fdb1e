# SPDX-License-Identifier: GPL-3.0-or-later
"""Time and chance, in one place so that tests can hold them still."""

import threading
import time
from typing import Any


class Clock:
    """All values in seconds."""

    def now(self) -> float:
        """Wall-clock time since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """A clock that is never set."""
        return time.monotonic()

    def uptime(self) -> float:
        """Time since the boot, with the time that the machine slept."""
        # CLOCK_BOOTTIME, which has a name in Python from 3.7 on.
        return time.clock_gettime(7)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def uniform(self, low: float, high: float) -> float:
        """A random number between `low` and `high`."""
        # Imported here: only a retry needs it, and a takeover waits for every import.
        import random

        return random.uniform(low, high)


class Deadline:
    """A point in time that an operation must not pass."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._end = clock.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; negative when it has passed."""
        return self._end - self._clock.monotonic()


class Pulse:
    """Notices that this node stood still. Use it as a context manager around what must not go on after that.

    A node that was frozen in mid-claim must not take the addresses from whoever took over meanwhile. Within `limit`
    seconds nobody can have taken over: with its shortest timers the cluster takes longer to notice a silent node.
    Pacemaker's token and consensus are 1.3 s then, and keepalived gives a master up after 0.5 s.
    """

    def __init__(self, clock: Clock, limit: float) -> None:
        self._clock = clock
        self._limit = limit
        self._last = clock.uptime()
        self._longest = 0.0
        self._lock = threading.Lock()
        self._over = threading.Event()

    def __enter__(self) -> "Pulse":
        self._last = self._clock.uptime()
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()

    def stalled(self) -> str:
        """Why nothing more may be done: "this node stood still for 31 s". Empty if it did not."""
        with self._lock:
            now = self._clock.uptime()
            self._longest = max(self._longest, now - self._last)
            self._last = now
            return f"this node stood still for {self._longest:.0f} s" if self._longest > self._limit else ""

    def _beat(self) -> None:
        while not self._over.wait(0.25):
            self.stalled()

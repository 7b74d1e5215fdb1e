# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Trying again, and waiting, with a deadline. Time is injected."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from .errors import CloudError, OciError

T = TypeVar("T")

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


class Patience:
    """How long to insist.

    :param timeout: seconds from the first try of a call; no try begins later than this
    :param clock: monotonic seconds
    :param sleep: waits the given seconds
    :param chance: a number from 0 to 1, for the jitter
    """

    def __init__(
        self,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.timeout = timeout
        self._clock = clock
        self._sleep = sleep
        self._chance = chance

    def _pauses(self) -> Iterator[float]:
        # Half of each pause is jitter: the calls of several controllers that were throttled together spread out.
        pause = _FIRST_PAUSE
        while True:
            yield pause * (0.5 + self._chance() / 2)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def call(self, function: Callable[[], T], worth_it: Callable[[CloudError], bool]) -> T:
        """Call `function` until it does not raise an error that is `worth_it`. Raises the last CloudError."""
        deadline = self._clock() + self.timeout
        pauses = self._pauses()
        while True:
            pause = next(pauses)
            try:
                return function()
            except CloudError as error:
                if not worth_it(error) or self._clock() + pause > deadline:
                    raise
            self._sleep(pause)

    def until(self, what: str, read: Callable[[], T], done: Callable[[T], bool]) -> T:
        """Read until `done`, and return what was read. Raises OciError that names `what` was waited for."""
        deadline = self._clock() + self.timeout
        pauses = self._pauses()
        while True:
            pause = next(pauses)
            value = read()
            if done(value):
                return value
            if self._clock() + pause > deadline:
                raise OciError(f"Waited {self.timeout:.0f} s for {what}, in vain.")
            self._sleep(pause)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done for one VIP group, and when, so that it is where keepalived says. Neither input nor output."""

import enum
from typing import Dict, Optional, Tuple

# Seconds. The interfaces are looked at as often as Pacemaker's monitor does it, the cloud less often: a call per VNIC.
MONITOR_EVERY = 5.0
AUDIT_EVERY = 30.0
# After a takeover or a flap the other node's last request may still be on its way, for as long as a call may take.
_SETTLE = (0.0, 1.0, 3.0, 9.0)
# While the other node goes on advertising, which it does several times a second, looks are at least so far apart. It
# may do so for hours, and from then on is looked at more rarely.
_PAUSE, _LONG_PAUSE, _LONG = 1.0, 5.0, 15.0
_LONGEST_RETRY = 5.0
# Two halves of a split pair are both master and both right. Each may take the group back once; then it is left where it
# is, until they see each other again or this has passed.
_YIELD = 600.0


class Task(enum.Enum):
    """Something to do, the most urgent first. RELEASE is due when one has failed, or while the engines are switched."""

    RELEASE = "release"
    CLAIM = "claim"
    CHECK = "check"
    MONITOR = "monitor"
    AUDIT = "audit"


class Keeping:
    """One group. All times are seconds on a clock that is never set.

    generation: changes with every word that makes earlier work void.
    """

    def __init__(self) -> None:
        self.master = False
        self.generation = 0
        self._due: Dict[Task, float] = {}
        self._failures = 0
        self._taken_back = -_YIELD
        self._settling: Optional[float] = None
        self._contested = self._episode = self._checked = -_YIELD

    def promote(self, now: float, claimed: bool = False) -> None:
        """This node is master. claimed: it has been for a while, and serves the group already."""
        self.generation += 1
        self.master = True
        self._failures = 0
        self._taken_back = -_YIELD
        self._due = {Task.MONITOR: now + MONITOR_EVERY, Task.AUDIT: now + AUDIT_EVERY}
        self._settling = now
        self._due[Task.CHECK if claimed else Task.CLAIM] = now

    def demote(self, now: float, spare: float = 0.0) -> bool:
        """This node is not master. Whether to release now; after `spare` seconds if there is an answer to wait for."""
        self.generation += 1
        self.master = False
        self._due = {Task.RELEASE: now + spare} if spare > 0 else {}
        return spare <= 0

    def contest(self, now: float) -> None:
        """Another node was master as well, and has just been told otherwise. It may have moved the group to itself."""
        if not self.master:
            return
        if now - self._contested > _SETTLE[-1]:
            self._episode = now
        self._contested = self._settling = now
        self._taken_back = -_YIELD
        at = max(now, self._checked + _PAUSE)
        if Task.CLAIM in self._due:
            self._due[Task.CLAIM] = min(self._due[Task.CLAIM], at)
        elif now - self._episode < _LONG:
            self._due[Task.CHECK] = at
        else:
            # Put off by each further word, but not for ever, and soon done when the words cease.
            self._due[Task.CHECK] = max(at, min(self._checked + _LONG_PAUSE, now + _PAUSE))

    def next(self) -> Optional[Tuple[float, Task]]:
        """What is to be done next, and when; None if nothing is."""
        if not self._due:
            return None
        return min(((at, task) for task, at in self._due.items()), key=lambda due: (due[0], list(Task).index(due[1])))

    def begin(self, task: Task) -> None:
        """It is being done, and not due any more."""
        self._due.pop(task, None)

    def released(self, now: float, success: bool) -> None:
        """A release has ended. Addresses that could not be taken off are tried again for as long as they have to go."""
        if not success:
            self._due[Task.RELEASE] = now + _PAUSE

    def claimed(self, now: float, success: bool) -> None:
        """A claim has ended."""
        if success:
            self._failures = 0
            self._due[Task.MONITOR] = now + MONITOR_EVERY
            self._due[Task.AUDIT] = now + AUDIT_EVERY
            self._settling = now
            self._look_again(now)
        else:
            self._failures += 1
            self._due[Task.CLAIM] = now + min(_LONGEST_RETRY, 2.0 ** (self._failures - 1))

    def checked(self, now: float, elsewhere: bool) -> None:
        """The cloud was asked where the group is. elsewhere: a part of it at least; not knowing is no reason to act."""
        if elsewhere:
            self._take_back(now)
        else:
            self._look_again(now)

    def monitored(self, now: float, held: bool) -> None:
        """The interfaces were looked at. held: whether the group is still claimed; a person may have released it."""
        self._due[Task.MONITOR] = now + MONITOR_EVERY
        if not held:
            self._due.setdefault(Task.CLAIM, now)

    def audited(self, now: float, held: bool) -> None:
        """The cloud was compared with the claim. held: whether it still stands, or was let go for another node's."""
        self._due[Task.AUDIT] = now + AUDIT_EVERY
        if not held:
            self._take_back(now)

    def _take_back(self, now: float) -> None:
        self._checked = now
        if Task.CLAIM in self._due:
            return
        at = max(now, self._taken_back + _YIELD)
        self._due[Task.CLAIM] = self._taken_back = at

    def _look_again(self, now: float) -> None:
        self._checked = now
        if self._settling is None:
            return
        later = [self._settling + offset for offset in _SETTLE if self._settling + offset > now]
        if later:
            self._due[Task.CHECK] = max(later[0], now + _PAUSE)
        else:
            self._settling = None

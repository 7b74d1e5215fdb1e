# SPDX-License-Identifier: GPL-3.0-or-later
"""The notify consumer: keeps each VIP group where keepalived says its VRRP instance is master.

keepalived writes a line into a FIFO whenever an instance changes its state. It does not start a reader again that has
died, and ends its own before it says that it stops; so this is a service of its own, and starts knowing nothing. What
it then goes by is a marker, the one address that keepalived itself has for an instance: it is on the loopback interface
exactly while the instance is master.
"""

import contextlib
import os
import re
import select
import signal
import socket
import stat
import threading
from typing import Callable, Dict, List, NamedTuple, NoReturn, Optional, Set, Tuple

from cloudvip.clock import Deadline
from cloudvip.config import ConfigError
from cloudvip.keeping import Keeping, Task
from cloudvip.model import Outcome, Truth
from cloudvip.mover import Mover
from cloudvip.process import leave

FIFO = "/run/cloudvip/vrrp.fifo"
PROGRAM = "/usr/sbin/cloudvip"
_LOOPBACK = "lo"
_MARKER = "192.0.2.{}"
_HANDOVER = "handover"
_LINE = re.compile(rb'INSTANCE "([^"]+)" ([A-Z_]+) -?\d+\Z')
_MASTER, _CONTESTED = "MASTER", "MASTER_RX_LOWER_PRI"
_NOT_MASTER = ("BACKUP", "FAULT", "STOP", "DELETED")
# Seconds. A reload closes the FIFO for milliseconds; whoever takes over from a dead keepalived needs half a second.
_GRACE = 0.3
# A keepalived that was killed leaves its markers behind; a new one has removed them when it has been there so long.
_FRESH = 3.0
_BEAT = 1.0
_PATIENCE = 0.45
# What keepalived adds to the priority of a group's instance stands in a file; so little is a fault. For so long at
# least: the next node is master long before, and this one may be the only one there is.
_WEIGHT = "weight-"
_FAULT, _SOUND = -254, 0
_FAULT_SECONDS = 2.0
_ABSENT_PAUSE = 0.1
_CLAIM_SECONDS = 30.0
_AUDIT_SECONDS = 20.0
_CHECK_SECONDS = 5.0


class Event(NamedTuple):
    """What has become of an instance: the last state of those that came together, and whether it was contested."""

    instance: str
    word: str
    contested: bool


def fold(lines: List[bytes]) -> List[Event]:
    """The events in some lines of the FIFO. Of those of one instance only the last one counts."""
    events: Dict[str, Event] = {}
    for line in lines:
        found = _LINE.match(line)
        if not found:
            continue
        instance, word = found.group(1).decode("utf-8", "replace"), found.group(2).decode("ascii")
        if word == _CONTESTED:
            before = events.get(instance, Event(instance, "", False))
            events[instance] = before._replace(contested=True)
        elif word == _MASTER or word in _NOT_MASTER:
            events[instance] = Event(instance, word, False)
    return list(events.values())


def handover(mover: Mover, seconds: float) -> None:
    """Have the consumer hold what it holds for so long at least, although no keepalived says so: another engine takes
    over, or keepalived itself when it has looked around. Raises OSError.
    """
    until = mover.clock.uptime() + seconds
    mover.state.write(_HANDOVER, {"until": max(until, _held_until(mover))})


def _held_until(mover: Mover) -> float:
    said: Dict[str, float] = mover.state.read(_HANDOVER) or {}
    return said.get("until", 0.0)


class Keeper:
    """Does for one group what Keeping says, in a thread of its own; a release is done by whoever says so, at once."""

    def __init__(self, mover: Mover, name: str) -> None:
        self._mover = mover
        self._name = name
        self.keeping = Keeping()
        self._changed = threading.Condition()

    def start(self) -> None:
        """Start the thread. Whatever it did not expect ends the process, which is started again and looks anew."""
        threading.Thread(target=self._run, daemon=True).start()

    def promote(self, resumed: bool = False) -> None:
        """This node is master. resumed: it was before this process was there."""
        with self._changed:
            self.keeping.promote(self._now(), claimed=resumed and self._held())
            self._changed.notify()

    def contest(self) -> None:
        """Another node was master as well, and has been told otherwise."""
        with self._changed:
            self.keeping.contest(self._now())
            self._changed.notify()

    def demote(self, spare: float = 0.0) -> None:
        """This node is not master: release, unless somebody else takes over within `spare` seconds."""
        with self._changed:
            at_once = self.keeping.demote(self._now(), spare)
            generation = self.keeping.generation
            self._changed.notify()
        if at_once and self._mover.state.has_claim(self._name):
            success = self._mover.release(self._name).outcome is Outcome.SUCCESS
            with self._changed:
                if self.keeping.generation == generation:
                    self.keeping.released(self._now(), success)
                    self._changed.notify()

    def _now(self) -> float:
        return self._mover.clock.monotonic()

    def _held(self) -> bool:
        claim = self._mover.state.claim(self._name)
        return claim is not None and claim.complete

    def _run(self) -> None:
        try:
            while True:
                self.step()
        except BaseException as error:
            self._mover.log.warning(f"vrrp {self._name}: {error!r}")
            leave(1)

    def step(self) -> None:
        """Wait for what is to be done next and do it, or for a word that changes what that is."""
        with self._changed:
            due = self.keeping.next()
            now = self._now()
            if due is None or due[0] > now:
                self._changed.wait(None if due is None else due[0] - now)
                return
            task, generation = due[1], self.keeping.generation
            self.keeping.begin(task)
        answer = self._do(task, generation)
        with self._changed:
            if self.keeping.generation == generation:
                self._learn(task, answer)

    def _do(self, task: Task, generation: int) -> bool:
        mover, name = self._mover, self._name
        if task is Task.RELEASE:
            return mover.release(name).outcome is Outcome.SUCCESS
        if task is Task.CLAIM:

            def overtaken() -> str:
                return "" if self.keeping.generation == generation else "keepalived has said otherwise meanwhile"

            success = mover.claim(name, _CLAIM_SECONDS, overtaken=overtaken).outcome is Outcome.SUCCESS
            if not success and not overtaken() and not self._held():
                self._step_down()
            return success
        if task is Task.CHECK:
            return not self._held() or Truth.ELSEWHERE in self._truths()
        if task is Task.MONITOR:
            if mover.monitor(name, repair=True).outcome is not Outcome.SUCCESS and self._held():
                self._step_down()
        else:
            mover.audit(name, _AUDIT_SECONDS, repair=True)
        return self._held()

    def _step_down(self) -> None:
        """Give another node its turn: what keeps this one from serving may be its own fault, and VRRP sees none.

        While the cloud does not answer this node has nothing to offer: one that is preferred would take the group back
        again and again, only to fail. A release that is still to be done does not wait for that.
        """
        state, clock = self._mover.state, self._mover.clock
        state.write(_WEIGHT + self._name, _FAULT)
        clock.sleep(_FAULT_SECONDS)
        while not state.has_claim(self._name) and self._truths() <= {Truth.UNKNOWN}:
            clock.sleep(_FAULT_SECONDS)
        state.write(_WEIGHT + self._name, _SOUND)

    def _learn(self, task: Task, answer: bool) -> None:
        now = self._now()
        if task is Task.RELEASE:
            self.keeping.released(now, answer)
        elif task is Task.CLAIM:
            self.keeping.claimed(now, answer)
        elif task is Task.CHECK:
            self.keeping.checked(now, answer)
        elif task is Task.MONITOR:
            self.keeping.monitored(now, answer)
        elif task is Task.AUDIT:
            self.keeping.audited(now, answer)

    def _truths(self) -> Set[Truth]:
        """What the cloud says of the group's addresses, of some this and of some that."""
        try:
            config = self._mover.config()
            vips = config.group(self._name).vips
            located = self._mover.cloud(config).locate(vips, Deadline(self._mover.clock, _CHECK_SECONDS))
        except (ConfigError, OSError):
            return set()
        return {place.truth for place in located.values()}


class Consumer:
    """Reads the FIFO and tells the groups' keepers."""

    def __init__(self, mover: Mover, fifo: str = FIFO, make_keeper: Callable[[Mover, str], Keeper] = Keeper) -> None:
        self._mover = mover
        mover.patience = _PATIENCE
        self._fifo = fifo
        self._make_keeper = make_keeper
        self._keepers: Dict[str, Keeper] = {}
        self._descriptor = -1
        self._rest = b""
        self._present = False
        # Since when nobody has had the FIFO open for writing, and from when on the markers can be trusted again.
        self._vanished: Optional[float] = None
        self._fresh: Optional[float] = None

    def run(self) -> NoReturn:
        """Go on until the process ends. Raises OSError, NetdevError and ConfigError."""
        self.open()
        # A new version of the program takes over in mid-work: what was begun is begun again.
        signal.signal(signal.SIGHUP, lambda *_: os.execv(PROGRAM, [PROGRAM, "vrrp"]))
        _notify("READY=1")
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        while True:
            # Without a writer it would return at once, for ever.
            if self._present:
                poll.poll(_BEAT * 1000)
            else:
                self._mover.clock.sleep(_ABSENT_PAUSE)
            self.step()
            _notify("WATCHDOG=1")

    def open(self) -> None:
        """Open the FIFO and look who is master. What was written before says less than the markers, and is dropped."""
        try:
            os.mkfifo(self._fifo, 0o600)
        except FileExistsError:
            if not stat.S_ISFIFO(os.stat(self._fifo).st_mode):
                raise
        self._descriptor = os.open(self._fifo, os.O_RDONLY | os.O_NONBLOCK)
        self._present = bool(self._read()[1])
        self._resume()

    def step(self) -> None:
        """Take in what has been written, and whether there is still somebody to write."""
        lines, present = self._read()
        for event in fold(lines):
            self._tell(event)
        now = self._mover.clock.monotonic()
        if present:
            if not self._present:
                self._fresh = now + _FRESH
            self._present, self._vanished = True, None
        elif self._present:
            self._vanished = now if self._vanished is None else self._vanished
            if now - self._vanished >= _GRACE:
                self._present = False
                self._mover.log.warning("vrrp: keepalived does not run")
                for name in {*self._keepers, *self._mover.state.claimed_groups()}:
                    self._demote(name)
            else:
                self._mover.clock.sleep(_ABSENT_PAUSE)
        if self._fresh is not None and now >= self._fresh:
            self._fresh = None
            self._resume()

    def _read(self) -> Tuple[List[bytes], bool]:
        """The lines that have come, and whether anybody has the FIFO open for writing."""
        data = b""
        present = True
        while True:
            try:
                read = os.read(self._descriptor, 65536)
            except BlockingIOError:
                break
            if not read:
                present = False
                break
            data += read
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines, present

    def _tell(self, event: Event) -> None:
        if event.word:
            self._mover.log.decision("vrrp", event.instance, event.word.lower())
        if event.word == _MASTER:
            self.keeper(event.instance).promote()
        elif event.word:
            self._demote(event.instance)
        if event.contested:
            self.keeper(event.instance).contest()

    def _resume(self) -> None:
        """Go by the markers: at the start, and when keepalived is back without having said anything."""
        interfaces = self._mover.netdev.read()
        own = {address for i in interfaces if i.name == _LOOPBACK for address in i.addresses}
        routers = self._mover.config().vrrp
        for name in {*routers, *self._mover.state.claimed_groups()}:
            # One that ended in the midst of a step down has left the fault behind.
            with contextlib.suppress(OSError):
                self._mover.state.write(_WEIGHT + name, _SOUND)
            if self._present and name in routers and _MARKER.format(routers[name]) in own:
                if not self.keeper(name).keeping.master:
                    self._mover.log.decision("vrrp", name, "master", note="found")
                    self.keeper(name).promote(resumed=True)
            elif self._mover.state.has_claim(name):
                self._demote(name)

    def _demote(self, name: str) -> None:
        self.keeper(name).demote(_held_until(self._mover) - self._mover.clock.uptime())

    def keeper(self, name: str) -> Keeper:
        """The keeper of a group."""
        if name not in self._keepers:
            self._keepers[name] = self._make_keeper(self._mover, name)
            self._keepers[name].start()
        return self._keepers[name]


def _notify(state: str) -> None:
    """Tell systemd, if it has asked to be told. Raises OSError."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(state.encode("ascii"), "\0" + address[1:] if address.startswith("@") else address)

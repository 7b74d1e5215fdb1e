# SPDX-License-Identifier: GPL-3.0-or-later
"""What the clients see: a numbered UDP packet every few ms to every VIP and along every routed flow.

The echo server answers with its host's name, so that a sample says not only whether the address answered but who did.
Sending and judging are apart: `Probe` collects samples, and pure functions make a Measurement of them.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

from lab.control import FloatingIp, Flow, LabError, Machine, Status
from lab.echo import PORT
from lab.fabric.ns import socket_in
from lab.paths import client_netns

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
# An answer that comes later than this helps no client: it counts as lost. A hung node answers all that piled up in its
# queue when it wakes, which must not make the outage look as if it had not been.
LATE_AFTER_NS = NS_PER_S
# An answer may still be on its way for this long before its absence means anything.
IN_FLIGHT_NS = 200 * NS_PER_MS
_MAX_ANSWER = 512
# Above the cluster's own priority on a busy machine, where the kernel allows it: a late probe sees less.
_NICE = -15


@dataclass(frozen=True)
class Target:
    """An address to ask (`address`), from a client's network namespace (`source`)."""

    kind: Literal["vip", "flow"]
    name: str
    source: str
    address: str


@dataclass(frozen=True)
class Sample:
    """One packet; times are monotonic ns. `others` are hosts that answered it besides `by`, the first one."""

    sequence: int
    sent: int
    answered: int | None = None
    by: str | None = None
    others: tuple[str, ...] = ()

    @property
    def late(self) -> bool:
        return self.answered is not None and self.answered - self.sent > LATE_AFTER_NS

    @property
    def ok(self) -> bool:
        return self.answered is not None and not self.late


@dataclass(frozen=True)
class Outage:
    """A run of lost packets: from the send time of its first to that of the first answered one after it.

    `end` is None for an outage that lasted to the end of the samples, `last` being the last packet's send time.
    """

    start: int
    end: int | None
    last: int
    lost: int
    before: str | None
    after: str | None

    @property
    def ms(self) -> float:
        return ((self.last if self.end is None else self.end) - self.start) / NS_PER_MS


@dataclass(frozen=True)
class Measurement:
    """`lost` includes `late`; `hosts` has who answered, in order, a host again when it came back.

    `resolution_ms` is the longest time between two packets: no outage below it can be told for sure.
    `duplicates` are the sequences that different hosts answered: an address delivered to two VNICs.
    """

    sent: int
    lost: int
    late: int
    outages: tuple[Outage, ...]
    hosts: tuple[str, ...]
    duplicates: tuple[tuple[int, tuple[str, ...]], ...]
    resolution_ms: float

    @property
    def longest(self) -> Outage | None:
        return max(self.outages, key=lambda outage: outage.ms, default=None)


def analyse(samples: Sequence[Sample]) -> Measurement:
    """Judge one target's samples, which are in the order of sending."""
    outages: list[Outage] = []
    hosts: list[str] = []
    first: Sample | None = None
    before: str | None = None
    lost = 0
    for sample in samples:
        if not sample.ok:
            first = first or sample
            lost += 1
            continue
        if first:
            outages.append(Outage(first.sent, sample.sent, sample.sent, lost, before, sample.by))
            first, lost = None, 0
        before = sample.by
        if before is not None and hosts[-1:] != [before]:
            hosts.append(before)
    if first:
        outages.append(Outage(first.sent, None, samples[-1].sent, lost, before, None))
    return Measurement(
        sent=len(samples),
        lost=sum(o.lost for o in outages),
        late=sum(s.late for s in samples),
        outages=tuple(outages),
        hosts=tuple(hosts),
        duplicates=tuple((s.sequence, (s.by or "?", *s.others)) for s in samples if s.others),
        resolution_ms=max((b.sent - a.sent for a, b in pairwise(samples)), default=0) / NS_PER_MS,
    )


def steady(samples: Sequence[Sample], now: int, window: int, since: int = 0) -> bool:
    """Whether every packet was answered over `window` ns that began at `since` or later.

    The window ends where packets may still be answered, and a tenth of it may pass before its first packet.
    """
    begin, end = now - window - IN_FLIGHT_NS, now - IN_FLIGHT_NS
    settled = [s for s in samples if begin <= s.sent <= end]
    return begin >= since and bool(settled) and settled[0].sent <= begin + window // 10 and all(s.ok for s in settled)


def plan_targets(status: Status) -> list[Target]:
    """A target for every VIP and for every flow. Raises LabError when there is a VIP and no client to ask it."""
    vips = [
        Target("vip", ip.display_name or ip.address, _client_for(ip, status).name, ip.address)
        for ip in sorted(status.floating, key=lambda ip: (ip.display_name, ip.address))
    ]
    return vips + [_flow_target(flow) for flow in status.flows]


def _flow_target(flow: Flow) -> Target:
    return Target("flow", f"{flow.source} → {flow.target}", flow.source, flow.address)


def _client_for(ip: FloatingIp, status: Status) -> Machine:
    """A neighbour; or else a client away from all nodes, to whom a node answers on the VNIC that was asked."""
    attached = {vnic.subnet for node in status.nodes for vnic in node.vnics}

    def distance(client: Machine) -> int:
        subnets = {vnic.subnet for vnic in client.vnics}
        return 0 if ip.subnet in subnets else 1 if not subnets & attached else 2

    if not status.clients:
        raise LabError(f"topology {status.topology} has no client that could probe {ip.address}")
    return min(status.clients, key=distance)


def client_socket(client: str) -> socket.socket:
    """A UDP socket in the client's network namespace. Raises LabError when there is no such client."""
    try:
        return socket_in(client_netns(client), socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        raise LabError(f"no network namespace for client {client} ({error.strerror}): is the lab up?") from error


class Probe:
    """Asks all `targets` every `interval_ms` from one background thread, from `start` to `stop`."""

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        interval_ms: float = 10.0,
        port: int = PORT,
        socket_for: Callable[[str], socket.socket] = client_socket,
    ) -> None:
        self.targets = tuple(targets)
        self._interval = round(interval_ms * NS_PER_MS)
        self._port = port
        self._socket_for = socket_for
        self._sent: list[list[int]] = [[] for _ in targets]
        self._answers: list[dict[int, list[tuple[int, str]]]] = [{} for _ in targets]
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None
        # select(2) waits to the µs, where epoll rounds up to the next ms.
        self._selector = selectors.SelectSelector()
        self._sockets: dict[str, socket.socket] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Make the sockets and begin. Raises LabError."""
        for source in {t.source for t in self.targets}:
            sock = self._socket_for(source)
            sock.setblocking(False)
            self._sockets[source] = sock
            self._selector.register(sock, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True, name="probe")
        self._thread.start()

    def stop(self) -> None:
        """Send no more, wait for the answers that are on their way, and end. May be called again."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        self._selector.close()
        for sock in self._sockets.values():
            sock.close()

    def samples(self, target: Target, since: int = 0) -> list[Sample]:
        """The target's packets that were sent from `since` on (monotonic ns). Usable while the probe runs.

        Raises LabError when the probe has failed: what is not asked cannot be missed.
        """
        if self._failure:
            raise LabError(f"the probe failed: {self._failure!r}") from self._failure
        index = self.targets.index(target)
        sent, answers = self._sent[index], self._answers[index]
        return [_sample(n, sent[n], answers.get(n, ())) for n in range(bisect_left(sent, since), len(sent))]

    def measure(self, target: Target, since: int = 0) -> Measurement:
        return analyse(self.samples(target, since))

    def steady(self, target: Target, now: int, window: int, since: int = 0) -> bool:
        """`steady` for the target's samples."""
        return steady(self.samples(target, now - window - IN_FLIGHT_NS), now, window, since)

    def _run(self) -> None:
        try:
            self._ask()
        except Exception as error:
            self._failure = error

    def _ask(self) -> None:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        start = time.monotonic_ns()
        slot = 0
        while not self._stop.is_set():
            now = time.monotonic_ns()
            due = start + slot * self._interval
            if now < due:
                self._receive((due - now) / NS_PER_S)
                continue
            self._send()
            # A slot that was missed is left out: a burst afterwards would measure nothing that happened in it.
            slot = (time.monotonic_ns() - start) // self._interval + 1
        deadline = time.monotonic_ns() + IN_FLIGHT_NS
        while self._awaited() and (left := deadline - time.monotonic_ns()) > 0:
            self._receive(left / NS_PER_S)

    def _send(self) -> None:
        for index, target in enumerate(self.targets):
            sent = self._sent[index]
            payload = b"%d %d" % (index, len(sent))
            sent.append(time.monotonic_ns())
            # A packet that the kernel will not even send is lost like any other.
            with contextlib.suppress(OSError):
                self._sockets[target.source].sendto(payload, (target.address, self._port))

    def _receive(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._note(*sock.recvfrom(_MAX_ANSWER), time.monotonic_ns())

    def _note(self, answer: bytes, peer: tuple[str, int], now: int) -> None:
        try:
            index, sequence, name = answer.split(b" ", 2)
            target, answers = self.targets[int(index)], self._answers[int(index)]
            number = int(sequence)
        except (ValueError, IndexError):
            return
        # An answer from another address than the one asked is one that a connected client would never see.
        if peer == (target.address, self._port):
            answers.setdefault(number, []).append((now, name.decode(errors="replace")))

    def _awaited(self) -> bool:
        return any(
            sent and len(sent) - 1 not in answers for sent, answers in zip(self._sent, self._answers, strict=True)
        )


def _sample(sequence: int, sent: int, answers: Sequence[tuple[int, str]]) -> Sample:
    if not answers:
        return Sample(sequence, sent)
    (answered, by), *more = answers
    return Sample(sequence, sent, answered, by, tuple(dict.fromkeys(host for _, host in more if host != by)))

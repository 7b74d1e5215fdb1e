# SPDX-License-Identifier: GPL-3.0-or-later
"""The notify consumer on a real FIFO, with everything else of a node replaced."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cloudvip import vrrp
from cloudvip.keeping import Task
from cloudvip.model import Outcome
from cloudvip.mover import Result
from cloudvip.vrrp import Consumer, Event, Keeper, fold, handover

from tests.unit.roles.vip_agent.conftest import Bench
from tests.unit.roles.vip_agent.fakes import OTHER_VNIC, POD1, TRANSIT, VNICS, Fault

ROUTER = 77
MARKER = f"192.0.2.{ROUTER}"
MASTER, BACKUP, CONTESTED = (
    f'INSTANCE "main" {word} 240\n'.encode() for word in ("MASTER", "BACKUP", "MASTER_RX_LOWER_PRI")
)


def test_of_events_that_come_together_only_the_last_one_counts() -> None:
    lines = (MASTER + BACKUP + b'INSTANCE "pods" MASTER 160\n' + MASTER + CONTESTED).split(b"\n")

    assert fold(lines) == [Event("main", "MASTER", True), Event("pods", "MASTER", False)]
    assert fold((CONTESTED + MASTER + BACKUP).split(b"\n")) == [Event("main", "BACKUP", False)]


def test_lines_that_are_not_about_an_instance_s_state_are_passed_over() -> None:
    assert fold([b'GROUP "main" MASTER 0', b'INSTANCE "main" MASTER_PRIORITY 100', b"", b'INSTANCE "x" MAST']) == []


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


class Keepalived:
    """What keepalived is to the consumer: somebody who writes into a FIFO, and has a marker on the loopback."""

    def __init__(self, bench: Bench, fifo: Path) -> None:
        self._bench = bench
        self._fifo = fifo
        self._descriptor: int | None = None

    def start(self) -> None:
        self._descriptor = os.open(self._fifo, os.O_RDWR | os.O_NONBLOCK)

    def die(self) -> None:
        assert self._descriptor is not None
        os.close(self._descriptor)
        self._descriptor = None

    def say(self, *words: bytes) -> None:
        assert self._descriptor is not None
        os.write(self._descriptor, b"".join(words))

    def mark(self) -> None:
        self._bench.ip.addresses["lo"][MARKER] = 32


class Rig:
    """A node whose groups keepalived decides about."""

    def __init__(self, bench: Bench, fifo: Path) -> None:
        self.bench = bench
        self.fifo = fifo
        self.keepalived = Keepalived(bench, fifo)
        bench.ip.addresses["lo"] = {"127.0.0.1": 8}
        config = json.loads(bench.config_file.read_text())
        bench.config_file.write_text(json.dumps({**config, "vrrp": {"main": ROUTER}}))
        self.over = over = threading.Event()

        class Ending(Keeper):
            """Does nothing any more when the test is over."""

            def step(self) -> None:
                if over.is_set():
                    threading.Event().wait()
                super().step()

        self.consumer = Consumer(bench.mover, str(fifo), Ending)
        # Whether the consumer's process is meant to end.
        self.broken = False

    def open(self) -> None:
        self.keepalived.start()
        self.consumer.open()

    def hear(self, *words: bytes) -> None:
        self.keepalived.say(*words)
        self.consumer.step()

    def held(self) -> bool:
        claim = self.bench.state.claim("main")
        return claim is not None and claim.complete and self.bench.has(POD1["address"])

    def here(self) -> bool:
        return bool(self.bench.cloud.private_ips[POD1["private_ip_id"]]["vnicId"] == VNICS["ens5"])

    def settle(self) -> None:
        """Hold the group until nothing but the regular looks is due, and the next of those in some time."""
        self.hear(MASTER)
        until(lambda: self.held() and self.next() is Task.CHECK)
        self.bench.clock.sleep(20)
        until(lambda: self.next() is Task.MONITOR)
        self.bench.clock.sleep(2)

    def next(self) -> Task | None:
        due = self.consumer.keeper("main").keeping.next()
        return due and due[1] if due and due[0] > self.bench.clock.monotonic() else None

    def lose(self) -> None:
        for vip in (TRANSIT, POD1):
            self.bench.cloud.private_ips[vip["private_ip_id"]]["vnicId"] = OTHER_VNIC


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """That the process would have ended."""
    event = threading.Event()
    monkeypatch.setattr(vrrp, "leave", lambda _: event.set())
    return event


@pytest.fixture
def rig(bench: Bench, tmp_path: Path, left: threading.Event) -> Iterator[Rig]:
    os.mkfifo(tmp_path / "fifo")
    rig = Rig(bench, tmp_path / "fifo")
    yield rig
    rig.over.set()
    assert left.is_set() == rig.broken, rig.bench.log.lines


def test_a_master_claims_and_a_backup_has_released_when_its_word_has_been_read(rig: Rig) -> None:
    rig.open()
    rig.hear(BACKUP)
    assert not rig.held()

    rig.hear(MASTER)
    until(rig.held)
    assert rig.here()

    rig.hear(BACKUP)
    assert not rig.bench.has(POD1["address"])
    assert not rig.bench.state.has_claim("main")


@pytest.mark.parametrize("word", ["FAULT", "STOP"])
def test_a_master_that_fails_or_stops_releases(rig: Rig, word: str) -> None:
    rig.open()
    rig.hear(MASTER)
    until(rig.held)

    rig.hear(f'INSTANCE "main" {word} 240\n'.encode())

    assert not rig.bench.has(POD1["address"])


def test_a_word_that_comes_in_two_parts_is_understood(rig: Rig) -> None:
    rig.open()
    rig.hear(MASTER[:9])
    rig.hear(MASTER[9:])

    until(rig.held)


def test_a_claim_under_way_is_given_up_when_it_is_overtaken(rig: Rig) -> None:
    rig.open()
    rig.bench.ip.meanwhile = lambda: rig.hear(BACKUP)
    rig.hear(MASTER)

    until(lambda: any("operation=claim" in line and "outcome=not_running" in line for line in rig.bench.log.lines))
    assert not rig.bench.has(POD1["address"])
    assert not rig.bench.state.has_claim("main")


def test_a_claim_that_begins_after_its_release_sends_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The word comes between the decision to claim and the claim's first look at the mark of a release."""
    rig.open()
    claim = rig.bench.mover.claim

    def late(name: str, seconds: float, overtaken: Callable[[], str]) -> Result:
        rig.hear(BACKUP)
        return claim(name, seconds, overtaken=overtaken)

    monkeypatch.setattr(rig.bench.mover, "claim", late)
    rig.hear(MASTER)

    until(lambda: any("keepalived has said otherwise" in line for line in rig.bench.log.lines))
    assert not rig.here()
    until(lambda: not rig.bench.state.has_claim("main"))


def test_a_master_that_the_cloud_does_not_let_claim_gives_another_node_its_turn(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = rig.bench.run / "weight-main.json"
    weights: list[tuple[float, str]] = []
    sleep = rig.bench.clock.sleep

    def watched(seconds: float) -> None:
        weights.append((seconds, weight.read_text()))
        sleep(seconds)

    monkeypatch.setattr(rig.bench.clock, "sleep", watched)
    rig.open()
    assert weight.read_text() == "0"
    rig.bench.cloud.faults.append(Fault("PUT", "", 400, None, count=2))

    rig.hear(MASTER)

    until(lambda: (2.0, "-254") in weights and weight.read_text() == "0")


def test_it_does_not_stand_again_before_the_cloud_answers_it(rig: Rig) -> None:
    weight = rig.bench.run / "weight-main.json"
    rig.open()
    rig.bench.cloud.faults += [Fault(method, "", 500, None, count=10_000) for method in ("GET", "PUT")]
    rig.hear(MASTER)
    until(lambda: weight.read_text() == "-254")
    asked = len(rig.bench.cloud.calls)

    rig.hear(BACKUP)

    until(lambda: len(rig.bench.cloud.calls) > asked + 20)
    assert weight.read_text() == "-254"
    rig.bench.cloud.faults.clear()
    until(lambda: weight.read_text() == "0")


def test_a_holder_whose_claim_is_only_renewed_keeps_what_it_has(rig: Rig) -> None:
    rig.open()
    rig.settle()
    rig.lose()
    rig.bench.cloud.faults.append(Fault("PUT", "", 400, None, count=2))

    rig.hear(CONTESTED)

    until(lambda: any("400" in line for line in rig.bench.log.lines))
    assert rig.held()
    assert (rig.bench.run / "weight-main.json").read_text() == "0"


def test_a_master_that_cannot_have_an_address_on_its_interface_gives_another_node_its_turn(rig: Rig) -> None:
    rig.open()
    rig.settle()
    rig.bench.ip.missing.add("ens5")

    rig.bench.clock.sleep(5)
    rig.hear(CONTESTED)

    until(lambda: 2.0 in rig.bench.clock.sleeps)


def test_addresses_that_could_not_be_taken_off_are_taken_off_later(rig: Rig) -> None:
    rig.open()
    rig.settle()
    rig.bench.ip.stuck.add(POD1["address"])
    rig.hear(BACKUP)
    assert rig.bench.has(POD1["address"])
    rig.bench.ip.stuck.clear()

    rig.bench.clock.sleep(1)
    rig.hear(CONTESTED)

    until(lambda: not rig.bench.has(POD1["address"]))


def test_what_another_master_took_is_taken_back_when_it_has_given_way(rig: Rig) -> None:
    rig.open()
    rig.settle()
    rig.lose()

    rig.hear(CONTESTED)

    until(rig.here)


def test_a_consumer_that_starts_beside_a_master_goes_on_without_a_word(rig: Rig) -> None:
    rig.keepalived.start()
    rig.keepalived.mark()
    rig.keepalived.say(MASTER)

    rig.consumer.open()

    until(rig.held)


def test_a_consumer_that_starts_again_beside_a_master_lets_go_of_nothing_and_repairs(rig: Rig) -> None:
    rig.bench.mover.claim("main", 50)
    rig.keepalived.start()
    rig.keepalived.mark()
    rig.lose()

    rig.consumer.open()

    assert rig.held()
    until(rig.here)


def test_a_consumer_that_starts_beside_a_backup_releases_what_the_last_one_left(rig: Rig) -> None:
    rig.bench.mover.claim("main", 50)
    rig.keepalived.start()
    rig.keepalived.say(MASTER, BACKUP)

    rig.consumer.open()

    assert not rig.bench.has(POD1["address"])


def test_a_marker_without_keepalived_means_nothing(rig: Rig) -> None:
    rig.bench.mover.claim("main", 50)
    rig.keepalived.mark()

    rig.consumer.open()

    assert not rig.bench.has(POD1["address"])


def test_a_keepalived_that_was_killed_is_noticed_and_everything_released(rig: Rig) -> None:
    rig.open()
    rig.hear(MASTER)
    until(rig.held)
    rig.keepalived.mark()

    rig.keepalived.die()
    for _ in range(10):
        rig.consumer.step()

    assert not rig.bench.has(POD1["address"])
    assert rig.bench.clock.monotonic() < 0.5


def test_a_reload_that_closes_the_fifo_for_a_moment_lets_go_of_nothing(rig: Rig) -> None:
    rig.open()
    rig.hear(MASTER)
    until(rig.held)

    rig.keepalived.die()
    rig.consumer.step()
    rig.keepalived.start()
    for _ in range(10):
        rig.consumer.step()

    assert rig.held()


def test_the_marker_that_a_killed_keepalived_left_is_not_believed_at_once(rig: Rig) -> None:
    rig.consumer.open()
    rig.keepalived.mark()
    rig.keepalived.start()
    rig.consumer.step()
    rig.bench.clock.sleep(1)
    rig.consumer.step()
    assert not rig.consumer.keeper("main").keeping.master

    rig.bench.clock.sleep(3)
    rig.consumer.step()

    assert rig.consumer.keeper("main").keeping.master


def test_a_group_that_is_not_keepalived_s_any_more_is_released(rig: Rig) -> None:
    rig.bench.mover.claim("main", 50)
    rig.bench.configure(TRANSIT, POD1)
    rig.keepalived.start()
    rig.keepalived.mark()

    rig.consumer.open()

    assert not rig.bench.has(POD1["address"])


def test_nothing_is_released_while_the_engines_are_switched(rig: Rig) -> None:
    rig.open()
    rig.hear(MASTER)
    until(rig.held)

    handover(rig.bench.mover, 60)
    rig.hear(b'INSTANCE "main" STOP 240\n')
    rig.keepalived.die()
    for _ in range(10):
        rig.consumer.step()

    assert rig.held()


def test_what_it_did_not_expect_ends_the_process(
    rig: Rig, left: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.broken = True
    monkeypatch.setattr(rig.bench.mover, "claim", lambda *_, **__: 1 / 0)
    rig.open()

    rig.hear(MASTER)

    assert left.wait(10)


def test_what_a_person_released_is_claimed_again_when_somebody_looks(rig: Rig) -> None:
    rig.open()
    rig.settle()
    assert rig.bench.mover.release("main").outcome is Outcome.SUCCESS

    rig.hear(CONTESTED)

    until(rig.held)

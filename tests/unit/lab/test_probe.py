# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe: its judgement on made-up samples, and the whole of it over loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab import echo, probe
from lab.control import FloatingIp, Flow, LabError, Machine, Status, Vnic
from lab.probe import NS_PER_MS, NS_PER_S, Outage, Sample, Target

TICK = 10 * NS_PER_MS


def samples(line: str) -> list[Sample]:
    """One character is one packet, 10 ms apart: a letter is the host that answered 1 ms later, `.` is a loss."""
    return [
        Sample(n, n * TICK) if host == "." else Sample(n, n * TICK, n * TICK + NS_PER_MS, host)
        for n, host in enumerate(line)
    ]


@pytest.mark.parametrize(
    ("line", "outages", "hosts"),
    [
        ("", [], ""),
        ("aaaa", [], "a"),
        ("aabb", [], "ab"),
        ("aa.aa", [(20, 30, 1, "a", "a")], "a"),
        ("aa...bb", [(20, 50, 3, "a", "b")], "ab"),
        ("..bb", [(0, 20, 2, None, "b")], "b"),
        ("a.b..a", [(10, 20, 1, "a", "b"), (30, 50, 2, "b", "a")], "aba"),
        ("aa..", [(20, None, 2, "a", None)], "a"),
        ("....", [(0, None, 4, None, None)], ""),
    ],
)
def test_outages(line: str, outages: list[tuple[int, int | None, int, str, str]], hosts: str) -> None:
    measured = probe.analyse(samples(line))
    assert [
        (o.start // NS_PER_MS, None if o.end is None else o.end // NS_PER_MS, o.lost, o.before, o.after)
        for o in measured.outages
    ] == outages
    assert measured.hosts == tuple(hosts)
    assert (measured.sent, measured.lost) == (len(line), line.count("."))


@pytest.mark.parametrize(
    ("line", "longest"), [("aaa", None), ("a.b..a", 20.0), ("a.b....", 30.0), ("...b.", 30.0)], ids=str
)
def test_the_longest_outage_in_ms(line: str, longest: float | None) -> None:
    outage = probe.analyse(samples(line)).longest
    assert (outage.ms if outage else None) == longest


def test_an_open_outage_lasts_to_the_last_packet() -> None:
    assert probe.analyse(samples("a...")).outages == (Outage(TICK, None, 3 * TICK, 3, "a", None),)


def test_an_answer_after_a_second_is_a_loss() -> None:
    in_time = Sample(1, TICK, TICK + NS_PER_S, "a")
    too_late = Sample(2, 2 * TICK, 2 * TICK + NS_PER_S + 1, "a")
    measured = probe.analyse([in_time, too_late, Sample(3, 3 * TICK, 3 * TICK + 1, "a")])
    assert (measured.lost, measured.late) == (1, 1)
    assert measured.longest == Outage(2 * TICK, 3 * TICK, 3 * TICK, 1, "a", "a")


def test_two_hosts_that_answer_one_packet_are_flagged() -> None:
    measured = probe.analyse([Sample(0, 0, 1, "a"), Sample(1, TICK, TICK + 1, "a", ("b",))])
    assert measured.duplicates == ((1, ("a", "b")),)


def test_the_resolution_is_the_longest_gap_between_packets() -> None:
    assert probe.analyse([Sample(0, 0, 1, "a"), Sample(1, TICK, None), Sample(2, 5 * TICK, None)]).resolution_ms == 40


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a" * 60, True),
        ("a" * 39 + "." + "a" * 20, False),
        ("a" * 9 + "." + "a" * 50, True),
        ("a" * 50 + "." * 10, True),
        ("a" * 20, False),
        ("", False),
    ],
    ids=["all answered", "lost in the window", "lost before it", "still on their way", "too short", "nothing sent"],
)
def test_steady_for_200_ms(line: str, expected: bool) -> None:
    assert probe.steady(samples(line), len(line) * TICK, 200 * NS_PER_MS) is expected


def test_steady_looks_at_nothing_before_since() -> None:
    line = samples("a" * 60)
    assert probe.steady(line, 60 * TICK, 200 * NS_PER_MS, 20 * TICK)
    assert not probe.steady(line, 60 * TICK, 200 * NS_PER_MS, 21 * TICK)


def machine(name: str, **addresses: str) -> Machine:
    vnics = tuple(Vnic(f"eth{n}", f"{name}-{n}", a, s.replace("_", ".")) for n, (s, a) in enumerate(addresses.items()))
    return Machine(name, f"ocid-{name}", "RUNNING", vnics)


NODE = machine("n1", transit="10.0.1.5", pod="10.0.2.5")
NEIGHBOUR, OUTSIDE = machine("neighbour", pod="10.0.2.9"), machine("outside", isv="10.0.9.9")


@pytest.mark.parametrize(
    ("subnet", "clients", "source"),
    [
        ("pod", (OUTSIDE, NEIGHBOUR), "neighbour"),
        ("transit", (NEIGHBOUR, OUTSIDE), "outside"),
        ("transit", (NEIGHBOUR,), "neighbour"),
    ],
    ids=["a neighbour", "away from the nodes", "whoever is there"],
)
def test_who_asks(subnet: str, clients: tuple[Machine, ...], source: str) -> None:
    status = Status("t", (NODE,), clients, (FloatingIp("ip", "10.0.7.7", "n1-0", subnet, "vip"),), ())
    assert probe.plan_targets(status) == [Target("vip", "vip", source, "10.0.7.7")]


def test_flows_are_targets_too() -> None:
    status = Status("t", (NODE,), (NEIGHBOUR, OUTSIDE), (), (Flow("outside", "neighbour", "10.0.2.9"),))
    assert probe.plan_targets(status) == [Target("flow", "outside → neighbour", "outside", "10.0.2.9")]


def test_nobody_there_to_ask() -> None:
    status = Status("t", (NODE,), (), (FloatingIp("ip", "10.0.7.7", "n1-0", "pod", "vip"),), ())
    with pytest.raises(LabError, match=r"no client .* 10\.0\.7\.7"):
        probe.plan_targets(status)


def test_no_namespace_is_a_clear_error() -> None:
    with pytest.raises(LabError, match=r"no-such-client .* is the lab up"):
        probe.client_socket("no-such-client")


# -- the whole of it, over loopback ------------------------------------------------------------------------------------


def udp(_: str = "") -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


@contextlib.contextmanager
def echo_server(address: str, name: str, port: int = 0) -> Iterator[int]:
    stop = threading.Event()
    with udp() as sock:
        echo.bind(sock, address, port)
        thread = threading.Thread(target=echo.serve, args=(sock, name, stop))
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "did not happen within 20 s"
        tick.wait(0.01)


def test_who_answers_before_and_after_an_outage() -> None:
    moving = Target("vip", "moving", "c1", "127.0.0.21")
    still = Target("vip", "still", "c2", "127.0.0.22")
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(echo_server("127.0.0.22", "host-s"))
        first = stack.enter_context(contextlib.ExitStack())
        first.enter_context(echo_server("127.0.0.21", "host-a", port))
        running = stack.enter_context(probe.Probe([moving, still], interval_ms=5, port=port, socket_for=udp))
        wait_until(lambda: len(running.samples(moving)) > 20)
        first.close()
        lost_from = time.monotonic_ns()
        wait_until(lambda: len(running.samples(moving, lost_from)) > 20)
        with echo_server("127.0.0.21", "host-b", port):
            wait_until(lambda: running.steady(moving, time.monotonic_ns(), 50 * NS_PER_MS))
            running.stop()
    measured = running.measure(moving)
    assert measured.hosts == ("host-a", "host-b")
    assert measured.duplicates == ()
    assert measured.longest is not None
    assert (measured.longest.before, measured.longest.after) == ("host-a", "host-b")
    assert measured.lost >= 20
    assert (running.measure(still).lost, running.measure(still).hosts) == (0, ("host-s",))


def test_an_answer_from_another_address_does_not_count() -> None:
    target = Target("vip", "t", "c", "127.0.0.31")
    with udp() as server:
        # A plain socket: it answers from whatever the kernel picks, here from the address of the one who asks.
        server.bind(("0.0.0.0", 0))
        server.settimeout(10)
        with probe.Probe([target], port=server.getsockname()[1], socket_for=udp) as running:
            payload, peer = server.recvfrom(512)
            with udp() as other:
                other.bind(("127.0.0.32", 0))
                other.sendto(payload + b" stranger", peer)
                other.sendto(b"nonsense", peer)
            wait_until(lambda: len(running.samples(target)) > 5)
    assert running.measure(target).hosts == ()


def test_a_probe_that_has_failed_has_no_samples_that_could_pass_for_all_there_is() -> None:
    class Dead(socket.socket):
        def recvfrom(self, *_: Any, **__: Any) -> Any:
            raise OSError("the network is down")

    target = Target("vip", "t", "c", "127.0.0.61")
    with echo_server(target.address, "host") as port:
        running = probe.Probe([target], port=port, socket_for=lambda _: Dead(socket.AF_INET, socket.SOCK_DGRAM))
        running.start()
        with pytest.raises(LabError, match=r"the probe failed: .*the network is down"):
            wait_until(lambda: running.steady(target, time.monotonic_ns(), 50 * NS_PER_MS))
        running.stop()
    with pytest.raises(LabError, match="the network is down"):
        running.measure(target)


def test_two_hosts_behind_one_address_are_seen() -> None:
    target = Target("vip", "t", "c", "127.0.0.41")
    with udp() as server:
        server.bind((target.address, 0))
        server.settimeout(10)
        with probe.Probe([target], port=server.getsockname()[1], socket_for=udp) as running:
            payload, peer = server.recvfrom(512)
            for name in (b" a", b" b"):
                server.sendto(payload + name, peer)
            wait_until(lambda: bool(running.measure(target).duplicates))
    assert running.measure(target).duplicates == ((0, ("a", "b")),)


def test_a_target_that_cannot_be_sent_to_is_lost_and_harms_no_other() -> None:
    with echo_server("127.0.0.51", "host") as port:
        # 255.255.255.255 needs SO_BROADCAST: sendto refuses.
        refused, well = Target("vip", "r", "c", "255.255.255.255"), Target("vip", "w", "c", "127.0.0.51")
        with probe.Probe([refused, well], port=port, socket_for=udp) as running:
            wait_until(lambda: len(running.samples(well)) > 5)
    assert running.measure(well).lost == 0
    assert running.measure(refused).lost == running.measure(refused).sent > 5

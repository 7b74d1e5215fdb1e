# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets to a node: which of them arrive there, and which of these its firewall lets in.

A way in is named `udp 5405` or `tcp 2224` by protocol and port, or `vrrp`, which has no ports.
"""

from __future__ import annotations

import select
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from lab import paths
from lab.control import Machine, Status
from lab.fabric import ns
from lab.nodes import podman
from tests.unit.roles.firewall.hosts import socket_of

Ways = Callable[..., set[str]]
"""Tries the ways that it is given, and returns those by which packets get in."""

# A packet socket for one protocol alone would not see what goes out.
_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800
_SSH = 22
_NUMBERS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "vrrp": 112}
_NAMES = {number: name for name, number in _NUMBERS.items()}
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "vrrp": socket.SOCK_RAW}


@dataclass(frozen=True)
class Packet:
    """What a header says."""

    outgoing: bool
    source: str
    destination: str
    way: str


class Tap:
    """Every packet of IPv4 on the interfaces of a network namespace: those that come in before a firewall has them,
    those that go out after it."""

    def __init__(self, netns: Path | str) -> None:
        self._socket = ns.socket_in(netns, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def packets(self, seconds: float) -> Iterator[Packet]:
        """Those of the time from its beginning until now, and of the next seconds."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and select.select([self._socket], [], [], left)[0]:
            data, (_, protocol, kind, *_) = self._socket.recvfrom(2048)
            name = _NAMES.get(data[9]) if protocol == _ETH_P_IP else None
            if name is None:
                continue
            (port,) = struct.unpack_from("!H", data, (data[0] & 15) * 4 + 2)
            yield Packet(
                outgoing=kind == socket.PACKET_OUTGOING,
                source=socket.inet_ntoa(data[12:16]),
                destination=socket.inet_ntoa(data[16:20]),
                way=name if name == "vrrp" else f"{name} {port}",
            )


@dataclass(frozen=True)
class Place:
    """Where packets come from and go to: a machine, and its address."""

    netns: Path | str
    address: str

    def lets_in(self, sender: Place, *ways: str) -> set[str]:
        """By which of these ways a sender gets in. Fails unless the sender's packets arrive here by all of them."""
        with ExitStack() as stack:
            tap = stack.enter_context(Tap(self.netns))
            listening = {way: stack.enter_context(self._listen(way)) for way in ways}
            for way in ways:
                stack.enter_context(sender.send(way, self.address))
            # When this connection stands, the firewall has decided on all that was sent before.
            with sender.open("tcp") as ssh:
                ssh.settimeout(10)
                ssh.connect((self.address, _SSH))
            missing = set(ways)
            for packet in tap.packets(2):
                if not packet.outgoing and packet.source == sender.address:
                    missing.discard(packet.way)
                if not missing:
                    break
            assert not missing, f"did not arrive at {self.address} from {sender.address}: {missing}"
            return {way for way, listener in listening.items() if _has_heard(listener)}

    def open(self, protocol: str, port: int = 0) -> socket.socket:
        """A socket that is bound to the address."""
        number = _NUMBERS[protocol] if protocol == "vrrp" else 0
        opened = ns.socket_in(self.netns, socket.AF_INET, _KINDS[protocol], number)
        opened.bind((self.address, port))
        return opened

    def send(self, way: str, address: str) -> socket.socket:
        """Send one packet; of TCP it is the first one of a connection. Returns the socket, which is still needed."""
        protocol, _, port = way.partition(" ")
        sender = self.open(protocol)
        sender.setblocking(False)
        if protocol == "tcp":
            sender.connect_ex((address, int(port)))
        else:
            sender.sendto(b"hello", (address, int(port or 0)))
        return sender

    def lets_out(self, user: int, address: str, port: int) -> bool:
        """Whether a user of the machine gets a packet out by TCP."""
        with Tap(self.netns) as tap, socket_of(user, self.netns) as sender:
            sender.setblocking(False)
            sender.connect_ex((address, port))
            sent = (packet for packet in tap.packets(1) if packet.outgoing)
            return any((packet.destination, packet.way) == (address, f"tcp {port}") for packet in sent)

    def _listen(self, way: str) -> socket.socket:
        protocol, _, port = way.partition(" ")
        listener = self.open(protocol, int(port or 0))
        listener.setblocking(False)
        if protocol == "tcp":
            listener.listen()
        return listener


def _has_heard(listener: socket.socket) -> bool:
    """Whether a packet, or a connection, waits there."""
    return bool(select.select([listener], [], [], 0)[0])


def _node(machine: Machine) -> Place:
    argv = ["podman", "--runtime", "runc", "inspect", paths.container(machine.name), "--format", "{{.State.Pid}}"]
    pid = int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    return Place(podman.netns(pid), machine.vnics[0].address)


@pytest.fixture
def from_peer(cloud: Status, name: str) -> Ways:
    """By which ways the node lets in the other one."""
    (other,) = (machine for machine in cloud.nodes if machine.name != name)
    return partial(_node(cloud.node(name)).lets_in, _node(other))


@pytest.fixture
def from_stranger(cloud: Status, name: str) -> Ways:
    """By which ways the node lets in somebody else of its subnet."""
    (client,) = cloud.clients
    stranger = Place(paths.client_netns(client.name), client.vnics[0].address)
    return partial(_node(cloud.node(name)).lets_in, stranger)


@pytest.fixture
def one_way(cloud: Status) -> Ways:
    """By which ways the first node lets in the last one. Nothing must be sent the other way before.

    VRRP has no ports. Who has sent some takes what comes back for answers, which a firewall lets in.
    """
    return partial(_node(cloud.nodes[0]).lets_in, _node(cloud.nodes[-1]))


@pytest.fixture
def lets_out(cloud: Status, name: str) -> Callable[[int, str, int], bool]:
    """Whether a user of the node gets a packet out by TCP, by the user's number, to an address and a port."""
    return _node(cloud.node(name)).lets_out

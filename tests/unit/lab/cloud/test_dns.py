# SPDX-License-Identifier: GPL-3.0-or-later
"""The stub between the nodes and the VCN's real name server."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest

from lab.cloud import dns
from lab.cloud.faults import Fault, Faults

NAME = "iaas.lab-emu-1.ocilab.internal"
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


def query(name: str = NAME) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    # As glibc sends it: recursion desired, one question, EDNS.
    return struct.pack(">HHHHHH", 0xBEEF, 0x0100, 1, 0, 0, 1) + labels + b"\0\0\1\0\1" + b"\0\0)\4\xb0" + bytes(6)


class Upstream(asyncio.DatagramProtocol):
    """A name server that answers every query with itself and a mark."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, client: Any) -> None:
        self.transport.sendto(data + b" answered", client)


def udp(address: str = "127.0.0.1") -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, 0))
    made.setblocking(False)
    return made


async def resolve(faults: Faults, message: bytes, *, upstream: bool = True) -> bytes | None:
    """What a client at 127.0.0.1, which is the node vr1, gets for its query within 0.2 s."""
    loop = asyncio.get_running_loop()
    real, listener = udp(), udp()
    if upstream:
        transport, _ = await loop.create_datagram_endpoint(Upstream, sock=real)

    def ask() -> socket.socket:
        made = udp()
        made.connect(real.getsockname())
        return made

    serving = asyncio.create_task(dns.serve(listener, faults, {"127.0.0.1": "vr1"}.get, ask))
    with udp() as client:
        await loop.sock_sendto(client, message, listener.getsockname())
        try:
            return await asyncio.wait_for(loop.sock_recv(client, 512), 0.2)
        except TimeoutError:
            return None
        finally:
            serving.cancel()
            if upstream:
                transport.close()
            else:
                real.close()


def ask(*faults: dict[str, Any], name: str = NAME) -> bytes | None:
    listed = Faults()
    for fault in faults:
        listed.add(Fault.from_json(fault))
    return asyncio.run(resolve(listed, query(name)))


def rcode(answer: bytes | None) -> int:
    assert answer is not None
    assert answer[:2] == query()[:2]
    assert answer[2] & 0x80, "not an answer"
    assert answer[4:6] == b"\0\1"
    assert answer[12:] == query()[12:-11], "not the question alone"
    return answer[3] & 0x0F


def test_without_a_fault_the_real_server_answers() -> None:
    assert ask() == query() + b" answered"


@pytest.mark.parametrize("effect", ["drop", "hang"])
def test_a_blackhole_answers_nothing_and_is_over_when_it_is_cleared(effect: str) -> None:
    faults = Faults()
    faults.add(Fault.from_json({"effect": effect, "service": "dns"}))
    assert asyncio.run(resolve(faults, query())) is None
    faults.clear()
    assert asyncio.run(resolve(faults, query())) is not None


@pytest.mark.parametrize(
    ("code", "expected"), [(None, SERVFAIL), ("SERVFAIL", SERVFAIL), ("REFUSED", REFUSED), ("NXDOMAIN", NXDOMAIN)]
)
def test_a_refusal_says_why(code: str | None, expected: int) -> None:
    fault = {"effect": "status", "service": "dns"} | ({"code": code} if code else {})
    assert rcode(ask(fault)) == expected


def test_a_fault_can_be_for_one_node_and_for_some_names() -> None:
    answered = query() + b" answered"
    assert ask({"effect": "drop", "service": "dns", "node": "vr2"}) == answered
    assert ask({"effect": "drop", "service": "dns", "node": "vr1"}) is None
    assert ask({"effect": "drop", "service": "dns", "path": "^auth[.]"}) == answered
    assert ask({"effect": "drop", "service": "dns", "path": "[.]ocilab[.]internal$"}) is None


def test_what_is_done_to_the_api_is_not_done_to_dns() -> None:
    others = ({"effect": "drop", "service": "api"}, {"effect": "drop"}, {"effect": "clock", "shift_s": 3600})
    assert ask(*others) == query() + b" answered"


def test_a_server_that_is_not_there_and_a_malformed_query_end_in_silence() -> None:
    assert asyncio.run(resolve(Faults(), query(), upstream=False)) is None
    for broken in (b"", b"\0" * 12, query()[:20], query()[:12] + b"\xc0\x0c\0\1\0\1"):
        assert asyncio.run(resolve(Faults(), broken)) is None

# SPDX-License-Identifier: GPL-3.0-or-later
"""The VCN's DNS as its nodes see it: a stub that applies the faults and passes everything else on to a real server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from lab.cloud.faults import Fault, Faults
from lab.cloud.names import USER

QUERY = "QUERY"
_RCODES = {"NXDOMAIN": 3, "REFUSED": 5}
_SERVFAIL = 2
_MAX_MESSAGE = 65535
_PATIENCE = 10.0
"""A client has given up long before."""


def question(message: bytes) -> tuple[str, int]:
    """The name that is asked for, without the final dot, and where the question ends. Raises ValueError, IndexError."""
    labels, at = [], 12
    while length := message[at]:
        if length > 63:
            raise ValueError("a question's name is not compressed")
        labels.append(message[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    if len(message) < at + 5:
        raise ValueError("the question is cut short")
    return ".".join(labels), at + 5


def refusal(query: bytes, end: int, code: str | None) -> bytes:
    """The answer to a query, whose question ends at `end`, that says SERVFAIL or what `code` says."""
    flags = bytes([0x80 | query[2] & 0x79, 0x80 | _RCODES.get(code or "", _SERVFAIL)])
    return query[:2] + flags + b"\0\1" + bytes(6) + query[12:end]


class Dns(asyncio.DatagramProtocol):
    """One socket's queries. `ask` gives a connected socket to the real server; `identify` names who has an address."""

    def __init__(self, faults: Faults, identify: Callable[[str], str | None], ask: Callable[[], socket.socket]) -> None:
        self._faults = faults
        self._identify = identify
        self._ask = ask
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, client: tuple[str, int]) -> None:
        task = asyncio.create_task(self._serve(data, client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, query: bytes, client: tuple[str, int]) -> None:
        try:
            name, end = question(query)
        except (ValueError, IndexError):
            return
        wait, fault = self._faults.take("dns", QUERY, name, self._identify(client[0]) or USER)
        if wait > 0:
            await self._faults.sleep(wait)
        answer = await self._forward(query) if fault is None else _struck(fault, query, end)
        if answer:
            self._transport.sendto(answer, client)

    async def _forward(self, query: bytes) -> bytes | None:
        with self._ask() as server:
            loop = asyncio.get_running_loop()
            try:
                await loop.sock_sendall(server, query)
                return await asyncio.wait_for(loop.sock_recv(server, _MAX_MESSAGE), _PATIENCE)
            except OSError:  # a timeout is one, and so is a server that is not up
                return None


def _struck(fault: Fault, query: bytes, end: int) -> bytes | None:
    return refusal(query, end, fault.code) if fault.effect == "status" else None


async def serve(
    listener: socket.socket,
    faults: Faults,
    identify: Callable[[str], str | None],
    ask: Callable[[], socket.socket],
) -> None:
    """Answer the queries that come in by the bound socket until cancelled."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Dns(faults, identify, ask), sock=listener
    )
    try:
        await asyncio.Event().wait()
    finally:
        transport.close()

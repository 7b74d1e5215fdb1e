# SPDX-License-Identifier: GPL-3.0-or-later
"""How the lab's applications are served: events, hanging up, and uvicorn's settings."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HANG_UP = "lab.hang_up"
"""An extension in the scope; its `call` closes the connection at once, without an answer."""
CALLER = "lab.caller"
"""In the scope's state: the name of the instance that asks, or USER."""


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with HANG_UP for its applications."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvicorn sends head and body apart. Without this the body waits 40 ms for the peer's delayed acknowledgement;
        # asyncio only does it itself for listeners that were made with an explicit protocol number.
        connection = transport.get_extra_info("socket")
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(cast("asyncio.Transport", transport))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {HANG_UP: {"call": self.transport.abort}}


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: a program that runs several servers handles signals once, by itself."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server(app: ASGIApp, certificate: Path | None = None, key: Path | None = None) -> Server:
    """A uvicorn server for `app` with TLS if a certificate is given. The caller brings the sockets.

    Proxy headers are off: the metadata service identifies its callers by the address of the connection, and refuses
    forwarded requests itself.
    """
    return Server(
        uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            # The applications tell the time themselves (lab.cloud.faults).
            date_header=False,
            access_log=False,
            log_config=None,
            ssl_certfile=certificate,
            ssl_keyfile=key,
            timeout_keep_alive=60,
            # Requests that hang on purpose must not keep the server from stopping.
            timeout_graceful_shutdown=1,
        )
    )


class Events:
    """Reports every request with who, what, the outcome and when, in ns of the monotonic clock.

    The status is 0 when the connection ended without an answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        report: Callable[[dict[str, Any]], None],
        service_of: Callable[[str], str],
        identify: Callable[[Scope], str],
    ) -> None:
        self._app = app
        self._report = report
        self._service_of = service_of
        self._identify = identify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic_ns()
        status = 0
        reported = False
        scope.setdefault("state", {})[CALLER] = self._identify(scope)

        def report() -> None:
            nonlocal reported
            reported = True
            self._report(
                {
                    "kind": "api",
                    "service": self._service_of(scope["path"]),
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "instance": scope["state"][CALLER],
                    "started": started,
                    "ended": time.monotonic_ns(),
                }
            )

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body", False):
                # Before the client can have the answer: whoever got one finds its event.
                report()
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            if not reported:
                report()


def caller_by_address(identify: Callable[[str], str | None], unknown: str) -> Callable[[Scope], str]:
    """A function from a request's scope to the caller's name, by the address that the connection comes from."""

    def by_address(scope: Scope) -> str:
        client = scope.get("client")
        return (identify(client[0]) if client else None) or unknown

    return by_address

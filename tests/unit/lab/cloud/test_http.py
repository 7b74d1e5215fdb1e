# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from lab.cloud.http import CALLER, Events, caller_by_address

HEAD: Message = {"type": "http.response.start", "status": 204, "headers": []}
TAIL: Message = {"type": "http.response.body", "body": b""}


def events_of(app: Any, sent: list[Message]) -> list[dict[str, Any]]:
    """Run one request of vr1's through the middleware; `sent` also gets each event where it was reported."""
    events: list[dict[str, Any]] = []

    def report(event: dict[str, Any]) -> None:
        events.append(event)
        sent.append(event)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    identify = caller_by_address({"10.0.0.5": "vr1"}.get, "user")
    middleware = Events(app, report, lambda path: path.strip("/"), identify)
    scope = {"type": "http", "method": "GET", "path": "/imds", "client": ("10.0.0.5", 1)}
    asyncio.run(middleware(scope, receive, send))
    return events


def test_an_event_is_reported_before_the_client_can_have_the_answer() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(HEAD)
        await send(TAIL)

    sent: list[Message] = []
    (event,) = events_of(app, sent)
    assert sent == [HEAD, event, TAIL]
    assert (event["service"], event["instance"], event["status"]) == ("imds", "vr1", 204)


def test_a_request_without_an_answer_is_reported_with_status_0() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pass

    assert [e["status"] for e in events_of(app, [])] == [0]


def test_a_crash_is_reported_too() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("crash")

    sent: list[Message] = []
    with pytest.raises(RuntimeError, match="crash"):
        events_of(app, sent)
    assert [m["status"] for m in sent] == [0]


def test_the_application_may_know_the_caller_better() -> None:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["state"][CALLER] = "vr2"
        await send(TAIL)

    assert [e["instance"] for e in events_of(app, [])] == ["vr2"]


def test_an_unknown_address_is_called_what_it_is_told() -> None:
    by_address = caller_by_address({"10.0.0.5": "vr1"}.get, "user")
    assert by_address({"client": ("10.0.0.5", 1)}) == "vr1"
    assert by_address({"client": ("192.0.2.1", 1)}) == "user"
    assert by_address({"client": None}) == "user"

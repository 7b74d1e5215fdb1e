# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on purpose: a list of them, and the middleware that makes them happen.

A fault as JSON, every key but `effect` optional:

    {"effect": "latency|status|drop|hang|apply_then_fail",
     "service": "api|imds|federation|dns", "method": "PUT", "path": "<regular expression, searched in the path>",
     "node": "<instance name, or 'user' for whoever is none>",
     "latency_ms": 0, "jitter_ms": 0,          with every effect, before it
     "status": 500, "code": "InternalServerError", "message": "…",
     "count": 3, "probability": 0.5}

`status` answers with the status and the code (for apply_then_fail only if given; without one the connection is closed).
`drop` closes the connection without an answer, `hang` never answers. `count` ends the fault after so many hits.

Without a service a fault is for all but `dns`. There the method is QUERY and the path the name that is asked for;
`status` says SERVFAIL, or REFUSED or NXDOMAIN if that is the code, and everything else leaves the query unanswered.

    {"effect": "clock", "shift_s": 3600, "node": "vr1"}

is no answer of its own: for that node, or for all, the services' clock is so far ahead. It is in the Date of every
answer, decides which signatures are too old and which tokens have expired, and dates new tokens.

    {"effect": "iam_lag", "lag_s": 30}

is none either: a change of a dynamic group or of a policy is read back at once, but for so long it permits and forbids
nothing, and a policy cannot name a group that is that new.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from email.utils import formatdate
from typing import Any, Literal, get_args

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lab.cloud.http import CALLER, HANG_UP
from lab.cloud.iam import MAX_LAG

Effect = Literal["latency", "status", "drop", "hang", "apply_then_fail", "clock", "iam_lag"]
Service = Literal["api", "imds", "federation", "dns"]

SHIFT = "lab.shift"
"""In the scope's state: the seconds by which the services' clock is ahead for this caller."""
_MAX_SHIFT = 10 * 365 * 86400.0
# The effects that last instead of hitting a request, and the keys that each takes.
_LASTING = {"clock": ("shift_s", "node"), "iam_lag": ("lag_s",)}
_CODES = {
    400: "InvalidParameter",
    401: "NotAuthenticated",
    404: "NotAuthorizedOrNotFound",
    409: "IncorrectState",
    412: "NoEtagMatch",
    429: "TooManyRequests",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}


@dataclass(frozen=True)
class Fault:
    effect: Effect
    service: Service | None = None
    method: str | None = None
    path: str | None = None
    node: str | None = None
    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    status: int | None = None
    code: str | None = None
    message: str | None = None
    count: int | None = None
    probability: float = 1.0
    shift_s: float = 0.0
    lag_s: float = 0.0
    id: str = ""
    hits: int = 0

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fault:
        """Raises ValueError that names the key, the value and what was expected."""
        known = {f.name for f in fields(cls)} - {"id", "hits"}
        for key in data:
            if key not in known:
                raise ValueError(f"fault: unknown key {key!r}, expected some of {sorted(known)}")
        if data.get("effect") not in get_args(Effect):
            raise ValueError(f"fault: effect is {data.get('effect')!r}, expected one of {get_args(Effect)}")
        if data.get("service") not in (None, *get_args(Service)):
            raise ValueError(f"fault: service is {data['service']!r}, expected one of {get_args(Service)}")
        try:
            fault = cls(**data)
            re.compile(fault.path or "")
            numbers_fit = (
                fault.latency_ms >= 0
                and fault.jitter_ms >= 0
                and 0 <= fault.probability <= 1
                and (fault.count is None or fault.count > 0)
                and (fault.status is None or 200 <= fault.status <= 599)
                and abs(fault.shift_s) < _MAX_SHIFT
                and 0 <= fault.lag_s <= MAX_LAG
            )
        except (TypeError, re.error) as error:
            raise ValueError(f"fault: {error}") from error
        if not numbers_fit:
            raise ValueError(
                "fault: expected latency_ms and jitter_ms from 0, probability from 0 to 1, count from 1, "
                f"status from 200 to 599, shift_s of less than ten years, lag_s from 0 to {MAX_LAG:.0f}: {dict(data)}"
            )
        given = {f.name for f in fields(cls) if getattr(fault, f.name) != f.default}
        own = _LASTING.get(fault.effect)
        if own and not given <= {"effect", *own}:
            raise ValueError(f"fault: the effect {fault.effect!r} takes only {' and '.join(own)}: {dict(data)}")
        for effect, (key, *_) in _LASTING.items():
            if fault.effect != effect and key in given:
                raise ValueError(f"fault: {key} is for the effect {effect!r} alone: {dict(data)}")
        return fault

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def spent(self) -> bool:
        return self.count is not None and self.hits >= self.count

    def matches(self, service: str, method: str, path: str, caller: str) -> bool:
        return (
            not self.spent
            and self.effect not in _LASTING
            and (self.service == service or (self.service is None and service != "dns"))
            and (self.method is None or self.method.upper() == method)
            and (self.path is None or re.search(self.path, path) is not None)
            and self.node in (None, caller)
        )


class Faults:
    """The list of faults. `chance` gives numbers from 0 to 1, `sleep` waits seconds; tests give their own."""

    def __init__(
        self,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._chance = chance
        self.sleep = sleep
        self._faults: dict[str, Fault] = {}

    def add(self, fault: Fault) -> Fault:
        """Add it at the end and give it an id."""
        fault = replace(fault, id=secrets.token_hex(4), hits=0)
        self._faults[fault.id] = fault
        return fault

    def items(self) -> list[Fault]:
        """All of them with their hits, those whose count is used up included."""
        return [*self._faults.values()]

    def clear(self, fault_id: str | None = None) -> int:
        """Remove one, or all; says how many there were."""
        gone = [k for k in self._faults if fault_id in (None, k)]
        for key in gone:
            del self._faults[key]
        return len(gone)

    def shift(self, caller: str) -> float:
        """By how many seconds the services' clock is ahead for this caller."""
        return sum(f.shift_s for f in self.items() if f.node in (None, caller))

    def lag(self) -> float:
        """By how many seconds the services are behind the changes of groups and policies."""
        return max((f.lag_s for f in self.items()), default=0.0)

    def take(self, service: str, method: str, path: str, caller: str) -> tuple[float, Fault | None]:
        """What happens to this request: seconds to wait, and the fault that decides its answer.

        Every fault that matches adds its latency; the first that is more than latency decides. Both count as hits.
        """
        wait = 0.0
        for fault in self.items():
            if not fault.matches(service, method, path, caller) or self._chance() >= fault.probability:
                continue
            self._faults[fault.id] = replace(fault, hits=fault.hits + 1)
            wait += (fault.latency_ms + fault.jitter_ms * self._chance()) / 1000
            if fault.effect != "latency":
                return wait, fault
        return wait, None


async def _nothing(_message: Message) -> None:
    """Where the answer goes that nobody is to see."""


class FaultMiddleware:
    """Applies the faults to an application and dates its answers. The caller's name must be in the scope's state."""

    def __init__(
        self,
        app: ASGIApp,
        faults: Faults,
        service_of: Callable[[str], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._faults = faults
        self._service_of = service_of
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shift = scope["state"][SHIFT] = self._faults.shift(scope["state"][CALLER])

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(self._clock() + shift, usegmt=True)
                message = {**message, "headers": [*message["headers"], (b"date", date.encode())]}
            await send(message)

        await self._strike(scope, receive, dated)

    async def _strike(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        wait, fault = self._faults.take(self._service_of(path), scope["method"], path, scope["state"][CALLER])
        if wait > 0:
            await self._faults.sleep(wait)
        if fault is None:
            await self._app(scope, receive, send)
            return
        if fault.effect == "apply_then_fail":
            await self._app(scope, receive, _nothing)
        if fault.effect == "hang":
            while (await receive())["type"] != "http.disconnect":
                pass
        elif fault.effect == "drop" or (fault.effect == "apply_then_fail" and fault.status is None):
            scope["extensions"][HANG_UP]["call"]()
            # The server must have seen the end of the connection before it looks for our answer.
            while (await receive())["type"] != "http.disconnect":
                pass
        else:
            await _answer(fault, send)


async def _answer(fault: Fault, send: Send) -> None:
    status = fault.status or 500
    code = fault.code or _CODES.get(status, "UnknownError")
    body = json.dumps({"code": code, "message": fault.message or f"Injected by the lab ({fault.id})."}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

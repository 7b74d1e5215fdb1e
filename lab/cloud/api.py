# SPDX-License-Identifier: GPL-3.0-or-later
"""All services on one host, as one ASGI application."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from lab.cloud import addresses, attachments, iaas, identity, nsg, objectstorage, scim
from lab.cloud.auth import Authenticator, Request
from lab.cloud.call import Call, Operation, Reply
from lab.cloud.errors import ApiError, body
from lab.cloud.faults import SHIFT, FaultMiddleware, Faults
from lab.cloud.http import CALLER, Events, caller_by_address
from lab.cloud.names import USER
from lab.cloud.state import Cloud

FEDERATION_PATH = "/v1/x509"
OPERATIONS: tuple[Operation, ...] = (
    *addresses.OPERATIONS,
    *attachments.OPERATIONS,
    *iaas.OPERATIONS,
    *identity.OPERATIONS,
    *nsg.OPERATIONS,
    *objectstorage.OPERATIONS,
    *scim.OPERATIONS,
)


@dataclass(frozen=True)
class _Remembered:
    request: bytes
    reply: Reply


class _RetryTokens:
    """A second request with the same opc-retry-token gets the first one's reply and changes nothing."""

    def __init__(self) -> None:
        self._replies: dict[tuple[str, str], _Remembered] = {}
        self._lock = asyncio.Lock()

    async def once(self, call: Call, act: Callable[[Call], Awaitable[Reply]]) -> Reply:
        token = call.headers["opc-retry-token"]
        if len(token) > 64:
            raise ApiError(400, "InvalidParameter", "The opc-retry-token is longer than 64 characters.")
        request = hashlib.sha256(repr((call.operation, sorted(call.path.items()), call.raw_body)).encode()).digest()
        async with self._lock:
            known = self._replies.get((call.principal.id, token))
            if known is None:
                known = _Remembered(request, await act(call))
                self._replies[call.principal.id, token] = known
        if known.request != request:
            message = "The opc-retry-token was used with a different request."
            raise ApiError(409, "InvalidatedRetryToken", message)
        return known.reply


def _request_id(headers: Mapping[str, str]) -> str:
    """The client's own id, or a new one, with the two parts that the service adds."""
    given = headers.get("opc-request-id") or headers.get("opc-client-request-id") or secrets.token_hex(16)
    return "/".join((given, secrets.token_hex(16).upper(), secrets.token_hex(16).upper()))


def _response(headers: Mapping[str, str], status: int, body: Any, extra: Mapping[str, str]) -> Response:
    content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    ids = {"opc-request-id": _request_id(headers)}
    if "opc-client-request-id" in headers:
        ids["opc-client-request-id"] = headers["opc-client-request-id"]
    return Response(content, status, {**ids, **extra}, None if body is None else "application/json")


def _error(headers: Mapping[str, str], error: ApiError) -> Response:
    return _response(headers, error.status, body(error), {})


async def _received(http: HttpRequest) -> Request:
    raw_path: bytes = http.scope["raw_path"]
    query: bytes = http.scope["query_string"]
    target = (raw_path + b"?" + query if query else raw_path).decode("latin-1")
    return Request(http.method, target, dict(http.headers), await http.body(), http.scope["state"][SHIFT])


def _endpoint(
    operation: Operation, cloud: Cloud, authenticator: Authenticator, tokens: _RetryTokens
) -> Callable[[HttpRequest], Awaitable[Response]]:
    async def endpoint(http: HttpRequest) -> Response:
        request = await _received(http)
        try:
            principal = authenticator.authenticate(request)
            http.scope["state"][CALLER] = principal.name
            query = {k: ",".join(http.query_params.getlist(k)) for k in http.query_params}
            call = Call(
                cloud,
                principal,
                operation.name,
                http.path_params,
                query,
                request.headers,
                request.body,
                f"{http.url.scheme}://{request.headers['host']}",
            )
            once = operation.method == "POST" and "opc-retry-token" in request.headers
            reply = await (tokens.once(call, operation.handler) if once else operation.handler(call))
        except ApiError as error:
            return _response(request.headers, error.status, operation.error_body(error), {})
        return _response(request.headers, reply.status, reply.body, reply.headers)

    return endpoint


def _federation(authenticator: Authenticator) -> Callable[[HttpRequest], Awaitable[Response]]:
    async def endpoint(http: HttpRequest) -> Response:
        request = await _received(http)
        try:
            principal, token = authenticator.federate(request)
        except ApiError as error:
            return _error(request.headers, error)
        http.scope["state"][CALLER] = principal.name
        return _response(request.headers, 200, {"token": token}, {})

    return endpoint


async def _refused(http: HttpRequest, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code, message = {
        404: ("NotFound", "The requested path does not exist."),
        405: ("MethodNotAllowed", f"The method {http.method} is not allowed for this path."),
    }.get(status, ("InternalServerError", "The service had an internal error."))
    return _error(http.headers, ApiError(status, code, message))


def service_of(path: str) -> str:
    return "federation" if path == FEDERATION_PATH else "api"


def create_api(
    cloud: Cloud,
    authenticator: Authenticator,
    faults: Faults,
    identify: Callable[[str], str | None] | None = None,
) -> ASGIApp:
    """The API of all services.

    `identify` gives the instance behind a client's address, for faults that are to hit one node; everyone else is
    USER. Events name the one who signed, and the address's owner only where no signature was good.
    """
    tokens = _RetryTokens()
    cloud.iam.lag = faults.lag
    routes = [Route(FEDERATION_PATH, _federation(authenticator), methods=["POST"])]
    routes += [Route(o.path, _endpoint(o, cloud, authenticator, tokens), methods=[o.method]) for o in OPERATIONS]
    app = Starlette(routes=routes, exception_handlers={404: _refused, 405: _refused, 500: _refused})
    # A path with a slash too many is another path for the signature; a redirect would hide that.
    app.router.redirect_slashes = False
    return Events(
        FaultMiddleware(app, faults, service_of, lambda: authenticator.clock()),
        cloud.on_event,
        service_of,
        caller_by_address(identify or cloud.instance_at, USER),
    )

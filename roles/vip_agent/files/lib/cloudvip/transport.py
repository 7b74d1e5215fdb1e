# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP call with short time limits, over TLS that is always verified."""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import urllib.parse
from typing import Any, Dict, List, NamedTuple, Optional

from cloudvip import VERSION
from cloudvip.errors import CloudError, ErrorKind, classify
from cloudvip.state import State

_CONNECT_TIMEOUT = 3.0
_READ_TIMEOUT = 10.0


class Response(NamedTuple):
    """`headers` has its names in lower case."""

    status: int
    headers: Dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises CloudError."""
        try:
            return json.loads(self.body.decode("utf-8"))
        except ValueError as error:
            raise CloudError(ErrorKind.RETRYABLE, "the answer is not JSON") from error


class Endpoint:
    """A server that is reached by its URL. Each call has a connection of its own; calls from many threads are fine.

    state: where the addresses that the host's name had are remembered, so that a takeover needs no DNS; None for a
    server that is reached without one.
    """

    def __init__(self, url: str, ca_bundle: Optional[str] = None, state: Optional[State] = None) -> None:
        parts = urllib.parse.urlsplit(url)
        self.path = parts.path.rstrip("/")
        self.netloc = parts.netloc
        self._tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._tls else 80)
        self._ca_bundle = ca_bundle
        self._state = state
        self._memory = "endpoint-" + self._host
        self._context: Optional[ssl.SSLContext] = None
        self._lock = threading.Lock()

    def call(self, method: str, target: str, headers: Dict[str, str], body: bytes, timeout: float) -> Response:
        """Send one request and return the answer, whatever its status. `timeout` (seconds) bounds each wait.

        Raises CloudError (RETRYABLE) if there is no answer.
        """
        try:
            connection = http.client.HTTPConnection(self._host, self._port)
            # Opened here and not by http.client, which would resolve the name each time.
            connection.sock = self._connect(min(_CONNECT_TIMEOUT, timeout))
            connection.sock.settimeout(min(_READ_TIMEOUT, timeout))
            try:
                connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
                for name, value in headers.items():
                    connection.putheader(name, value)
                connection.putheader("user-agent", "cloudvip/" + VERSION)
                connection.putheader("accept", "application/json")
                connection.endheaders(body or None)
                answer = connection.getresponse()
                return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise CloudError(ErrorKind.RETRYABLE, f"{self.netloc}: {str(error) or type(error).__name__}") from error

    def remember(self) -> None:
        """Resolve the host's name and keep its addresses. A name that does not resolve leaves the old ones."""
        try:
            self._resolve()
        except OSError:
            return

    def _connect(self, timeout: float) -> socket.socket:
        remembered = self._remembered()
        try:
            raw = self._dial(remembered or self._resolve(), timeout)
        except OSError:
            if not remembered:
                raise
            raw = self._dial(self._resolve(), timeout)
        if not self._tls:
            return raw
        try:
            return self._tls_context().wrap_socket(raw, server_hostname=self._host)
        except OSError:
            raw.close()
            raise

    def _dial(self, addresses: List[str], timeout: float) -> socket.socket:
        problem = OSError("no address")
        for address in addresses:
            try:
                return socket.create_connection((address, self._port), timeout)
            except OSError as error:
                problem = error
        raise problem

    def _resolve(self) -> List[str]:
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        # What cannot be remembered can still be used.
        with contextlib.suppress(OSError):
            if self._state and addresses != self._remembered():
                self._state.write(self._memory, {"addresses": addresses})
        return addresses

    def _remembered(self) -> List[str]:
        known = (self._state.read(self._memory) or {}) if self._state else {}
        addresses = known.get("addresses")
        return [a for a in addresses if isinstance(a, str)] if isinstance(addresses, list) else []

    def _tls_context(self) -> ssl.SSLContext:
        # Loading the certificates is the expensive part, so all the threads of a claim share one context.
        with self._lock:
            if self._context is None:
                self._context = ssl.create_default_context(cafile=self._ca_bundle)
            return self._context


def check(response: Response, what: str) -> Response:
    """Return an answer that says yes, raise a CloudError for one that says no. `what` names the call."""
    if 200 <= response.status < 300:
        return response
    try:
        answer = json.loads(response.body.decode("utf-8"))
    except ValueError:
        answer = None
    code, message = (
        (str(answer.get("code", "")), str(answer.get("message", ""))) if isinstance(answer, dict) else ("", "")
    )
    text = f"{what}: {response.status} {code} {message}".strip()
    request_id = response.headers.get("opc-request-id")
    if request_id:
        text += f" (opc-request-id {request_id})"
    raise CloudError(classify(response.status, code), text, response.status, _retry_after(response))


def _retry_after(response: Response) -> Optional[float]:
    try:
        return max(0.0, float(response.headers.get("retry-after", "")))
    except ValueError:
        return None

# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP call within a time limit, over TLS that is always verified.

Python's own http.client is not used: loading it takes as long as all the rest of a takeover's imports, and its time
limit is one for each wait, so that a server that sends a byte now and then is never left.
"""

import contextlib
import json
import os
import re
import socket
import ssl
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from cloudvip import VERSION
from cloudvip.errors import CloudError, ErrorKind, classify
from cloudvip.state import State

# Seconds for the TCP connection, shared by the addresses of a name, and as much again for the TLS handshake.
_CONNECT_TIMEOUT = 3.0
_SHORTEST_CONNECT = 1.0
# More than the longest page of a list; an answer that never ends must not fill the memory.
_LONGEST_ANSWER = 4000000
_URL = re.compile(r"(https?)://((\[[^]]*\]|[^/:]*)(?::([0-9]+))?)(.*)", re.DOTALL)


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


def _chunks(data: bytes) -> Optional[bytes]:
    """A body that came in chunks; None as long as the last one has not come. Raises ValueError."""
    body = b""
    while True:
        size, found, data = data.partition(b"\r\n")
        if not found:
            return None
        length = int(size.split(b";")[0], 16)
        if length == 0:
            return body
        if len(data) < length + 2:
            return None
        body += data[:length]
        data = data[length + 2 :]


def parse(data: bytes, ended: bool) -> Optional[Response]:
    """What a server has sent so far as an HTTP/1.1 answer; None if there is more to come.

    ended: whether the server has closed the connection. Raises ValueError for what is no answer.
    """
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    if not first.startswith("HTTP/1."):
        raise ValueError("the answer is not HTTP")
    status = int(first.split(" ")[1])
    if 100 <= status < 200:
        return parse(rest, ended)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body: Optional[bytes] = rest if ended else None
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _chunks(rest)
    elif status in (204, 304):
        body = b""
    elif "content-length" in headers:
        length = int(headers["content-length"])
        body = rest[:length] if len(rest) >= length else None
    return None if body is None else Response(status, headers, body)


class Endpoint:
    """A server that is reached by its URL. Each call has a connection of its own; calls from many threads are fine.

    state: where the addresses that the host's name had are remembered, so that a takeover needs no DNS; None for a
    server that is reached without one.
    """

    def __init__(self, url: str, ca_bundle: Optional[str] = None, state: Optional[State] = None) -> None:
        match = _URL.match(url)
        scheme, netloc, host, port, path = match.groups() if match else ("", "", "", None, "")
        self.netloc: str = netloc
        self.path: str = path.rstrip("/")
        self._tls = scheme == "https"
        self._host = host.strip("[]")
        self._port = int(port or (443 if self._tls else 80))
        self._ca_bundle = ca_bundle
        self._state = state
        self._memory = "endpoint-" + self._host
        self._context: Optional[ssl.SSLContext] = None
        self._lock = threading.Lock()

    def call(
        self,
        method: str,
        target: str,
        headers: Dict[str, str],
        body: bytes,
        timeout: float,
        may_send: Optional[Callable[[], str]] = None,
    ) -> Response:
        """Send one request and return the answer, whatever its status.

        timeout: seconds for all of it, however slowly the server sends. may_send: asked when the connection stands,
        right before the request goes out; an answer is the reason why it must not.
        Raises CloudError: RETRYABLE if there is no answer, FATAL if the request was not to be sent.
        """
        end = time.monotonic() + timeout
        try:
            lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
            lines += ["user-agent: cloudvip/" + VERSION, "accept: application/json", "connection: close"]
            if any("\n" in line or "\r" in line for line in lines):
                raise ValueError("a line break in a header")
            request = "\r\n".join([*lines, "\r\n"]).encode("ascii") + body
            with contextlib.closing(self._connect(end)) as connection:
                refusal = may_send() if may_send else ""
                if refusal:
                    raise CloudError(ErrorKind.FATAL, refusal)
                connection.settimeout(_left(end))
                connection.sendall(request)
                return _receive(connection, end)
        except (OSError, ValueError, IndexError) as error:
            raise CloudError(ErrorKind.RETRYABLE, f"{self.netloc}: {str(error) or type(error).__name__}") from error

    def remember(self) -> None:
        """Resolve the host's name and keep its addresses. A name that does not resolve leaves the old ones."""
        with contextlib.suppress(OSError):
            self._resolve(time.monotonic() + _CONNECT_TIMEOUT)

    def _connect(self, end: float) -> socket.socket:
        remembered = self._remembered()
        try:
            return self._open(remembered or self._resolve(end), end)
        except (OSError, ValueError):
            # Also when it is somebody else who answers at the old address by now, with another certificate.
            fresh: List[str] = []
            with contextlib.suppress(OSError):
                fresh = [address for address in self._resolve(end) if address not in remembered]
            if not remembered or not fresh:
                raise
        return self._open(fresh, end)

    def _open(self, addresses: List[str], end: float) -> socket.socket:
        raw = self._dial(addresses, end)
        if not self._tls:
            return raw
        try:
            raw.settimeout(min(_CONNECT_TIMEOUT, _left(end)))
            return self._tls_context().wrap_socket(raw, server_hostname=self._host)
        except (OSError, ValueError):
            raw.close()
            raise

    def _dial(self, addresses: List[str], end: float) -> socket.socket:
        problem = OSError("no address")
        # Several that do not answer must leave time to ask the DNS for others.
        each = max(_CONNECT_TIMEOUT / max(len(addresses), 1), _SHORTEST_CONNECT)
        for address in addresses:
            try:
                return socket.create_connection((address, self._port), min(each, _left(end)))
            except OSError as error:
                problem = error
        raise problem

    def _resolve(self, end: float) -> List[str]:
        found: List[Any] = []

        def ask() -> None:
            try:
                found.append(socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM))
            except (OSError, UnicodeError) as error:
                found.append(error)

        # In a thread of its own, because the system's resolver knows no time limit.
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(_left(end))
        answer = found[0] if found else OSError(f"{self._host}: no answer from DNS in time")
        if isinstance(answer, Exception):
            raise answer
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in answer))
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
                folder = ssl.get_default_verify_paths().capath
                # Where the system's bundle lies beside the same certificates one by one, under their hashes, only the
                # one that is needed is loaded.
                if not self._ca_bundle and folder and os.path.exists(folder + "/ca-certificates.crt"):
                    self._context = ssl.create_default_context(capath=folder)
                else:
                    self._context = ssl.create_default_context(cafile=self._ca_bundle)
            return self._context


def _left(end: float) -> float:
    """The seconds until `end`. Raises OSError when there are none."""
    left = end - time.monotonic()
    if left <= 0:
        raise socket.timeout("timed out")
    return left


def _receive(connection: socket.socket, end: float) -> Response:
    data = b""
    while True:
        connection.settimeout(_left(end))
        more = connection.recv(65536)
        data += more
        response = parse(data, not more)
        if response:
            return response
        if not more:
            raise OSError("the connection ended before the answer did")
        if len(data) > _LONGEST_ANSWER:
            raise ValueError("the answer is too long")


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

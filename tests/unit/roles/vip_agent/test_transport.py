# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP call: TLS, remembered addresses, time limits."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cloudvip.errors import CloudError, ErrorKind
from cloudvip.state import State
from cloudvip.transport import Endpoint, Response, check, parse

from tests.unit.roles.vip_agent.fakes import FakeCloud


def get(endpoint: Endpoint, timeout: float = 5) -> Response:
    return endpoint.call("GET", "/20160918/privateIps/x", {"host": endpoint.netloc}, b"", timeout)


def no_dns(*_: object, **__: object) -> None:
    raise socket.gaierror(-3, "Temporary failure in name resolution")


def test_a_certificate_of_an_unknown_issuer_is_refused(cloud: FakeCloud) -> None:
    with pytest.raises(CloudError, match="CERTIFICATE_VERIFY_FAILED"):
        get(Endpoint(cloud.url))
    assert cloud.calls == []


def test_a_certificate_of_another_host_is_refused(cloud: FakeCloud, tmp_path: Path) -> None:
    state = State(str(tmp_path / "run"))
    state.write("endpoint-iaas.example.com", {"addresses": ["127.0.0.1"]})
    port = cloud.url.rsplit(":", 1)[1]

    with pytest.raises(CloudError, match="Hostname mismatch"):
        get(Endpoint(f"https://iaas.example.com:{port}", str(cloud.ca_file), state))


def test_a_remembered_address_needs_no_dns(cloud: FakeCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(str(tmp_path / "run"))
    Endpoint(cloud.url, str(cloud.ca_file), state).remember()
    create = socket.create_connection

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        monkeypatch.undo()
        return create(address, timeout)

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(socket, "getaddrinfo", no_dns)

    assert get(Endpoint(cloud.url, str(cloud.ca_file), state)).status == 401


def test_a_remembered_address_that_is_dead_is_looked_up_again(cloud: FakeCloud, tmp_path: Path) -> None:
    state = State(str(tmp_path / "run"))
    state.write("endpoint-127.0.0.1", {"addresses": ["127.0.0.255", "not an address"]})

    assert get(Endpoint(cloud.url, str(cloud.ca_file), state)).status == 401
    assert state.read("endpoint-127.0.0.1") == {"addresses": ["127.0.0.1"]}


def test_a_remembered_address_where_somebody_else_answers_is_looked_up_again(cloud: FakeCloud, tmp_path: Path) -> None:
    state = State(str(tmp_path / "run"))
    state.write("endpoint-127.0.0.1", {"addresses": ["127.0.0.2"]})
    port = int(cloud.url.rsplit(":", 1)[1])

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"220 this is not the cloud\r\n")

    with socket.create_server(("127.0.0.2", port)) as somebody:
        threading.Thread(target=answer, args=(somebody,), daemon=True).start()
        assert get(Endpoint(cloud.url, str(cloud.ca_file), state)).status == 401
    assert state.read("endpoint-127.0.0.1") == {"addresses": ["127.0.0.1"]}


def test_old_addresses_that_do_not_answer_leave_time_to_look_up_new_ones(
    cloud: FakeCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State(str(tmp_path / "run"))
    state.write("endpoint-127.0.0.1", {"addresses": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]})
    create = socket.create_connection
    waited: list[float] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        if address[0].startswith("192.0.2."):
            waited.append(timeout)
            raise TimeoutError("timed out")
        return create(address, timeout)

    monkeypatch.setattr(socket, "create_connection", connect)

    assert get(Endpoint(cloud.url, str(cloud.ca_file), state)).status == 401
    assert len(waited) == 3
    assert sum(waited) <= 3.0


def test_a_failing_dns_keeps_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(str(tmp_path / "run"))
    state.write("endpoint-iaas.example.com", {"addresses": ["192.0.2.1"]})
    monkeypatch.setattr(socket, "getaddrinfo", no_dns)

    Endpoint("https://iaas.example.com", None, state).remember()

    assert state.read("endpoint-iaas.example.com") == {"addresses": ["192.0.2.1"]}


def test_neither_dns_nor_a_dead_address_hides_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(str(tmp_path / "run"))
    state.write("endpoint-iaas.example.com", {"addresses": ["127.0.0.255"]})
    resolve = socket.getaddrinfo

    def broken(host: str, port: int, *rest: int, **more: int) -> object:
        if host == "iaas.example.com":
            no_dns()
        return resolve(host, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", broken)

    with pytest.raises(CloudError, match="refused"):
        get(Endpoint("https://iaas.example.com:1", None, state))


def test_a_dns_that_never_answers_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30))

    with within(5), pytest.raises(CloudError, match="no answer from DNS in time") as error:
        get(Endpoint("https://iaas.example.com"), timeout=0.2)

    over.set()
    assert error.value.kind is ErrorKind.RETRYABLE


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails if the body takes longer."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


@contextlib.contextmanager
def served(talk: Callable[[socket.socket], None], scheme: str = "http") -> Iterator[Endpoint]:
    """An endpoint where `talk` does what it likes with each connection, until the client has gone."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    talk(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield Endpoint(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    assert not thread.is_alive()


def never_answer(connection: socket.socket) -> None:
    while connection.recv(1000):
        continue


def dribble(head: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    return talk


def answer(*parts: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.recv(1000)
        for part in parts:
            connection.sendall(part)

    return talk


@pytest.mark.parametrize(
    ("scheme", "talk"),
    [
        pytest.param("http", never_answer, id="accepts and never answers"),
        pytest.param("https", never_answer, id="accepts and never begins TLS"),
        pytest.param("https", dribble(b"\x16\x03\x03\x40\x00"), id="begins TLS byte by byte"),
        pytest.param("http", dribble(b"HTTP/1.1 200 OK\r\nX: "), id="sends headers byte by byte"),
        pytest.param(
            "http", dribble(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"), id="sends a body byte by byte"
        ),
    ],
)
def test_a_slow_server_is_left_in_time(scheme: str, talk: Callable[[socket.socket], None]) -> None:
    with within(5), served(talk, scheme) as endpoint, pytest.raises(CloudError, match="timed out") as error:
        get(endpoint, timeout=0.3)

    assert error.value.kind is ErrorKind.RETRYABLE


def test_a_server_that_is_not_reached_in_time_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        # The queue is full: the next connection is never completed.
        with socket.create_connection(address), within(5), pytest.raises(CloudError, match="timed out"):
            get(Endpoint(f"http://127.0.0.1:{address[1]}"), timeout=0.3)


@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody and more",),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length:4\r\n\r\n", b"bo", b"dy"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nbod\r\n1\r\n", b"y\r\n0\r\n\r\n"),
        (b"HTTP/1.0 200 OK\r\n\r\nbo", b"dy"),
    ],
)
def test_the_ways_to_send_a_body(parts: tuple[bytes, ...]) -> None:
    with served(answer(*parts)) as endpoint:
        response = get(endpoint)

    assert (response.status, response.body) == (200, b"body")


def test_an_answer_is_complete_before_the_server_hangs_up() -> None:
    def talk(connection: socket.socket) -> None:
        answer(b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 4\r\n\r\nbody")(connection)
        never_answer(connection)

    with within(5), served(talk) as endpoint:
        response = get(endpoint, timeout=20)

    assert response == Response(200, {"x": "y", "content-length": "4"}, b"body")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsome\r\nbody\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_half_an_answer_or_none_is_no_answer(data: bytes) -> None:
    with served(answer(data)) as endpoint, pytest.raises(CloudError) as error:
        get(endpoint)

    assert error.value.kind is ErrorKind.RETRYABLE


def test_an_answer_without_an_end_does_not_fill_the_memory() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with served(talk) as endpoint, pytest.raises(CloudError, match="too long"):
        get(endpoint, timeout=20)


def test_an_answer_has_no_body_where_there_can_be_none() -> None:
    response = parse(b"HTTP/1.1 204 No Content\r\n\r\n", False)

    assert response == Response(204, {}, b"")


def test_a_request_that_may_not_be_sent_any_more_is_not_sent() -> None:
    received: queue.Queue[bytes] = queue.Queue()

    with served(lambda connection: received.put(connection.recv(1000))) as endpoint:
        with pytest.raises(CloudError, match="this node stood still for 31 s") as error:
            endpoint.call("PUT", "/x", {}, b"body", 5, lambda: "this node stood still for 31 s")
        assert received.get(timeout=10) == b""

    assert error.value.kind is ErrorKind.FATAL


def test_whether_a_request_may_be_sent_is_asked_when_the_connection_stands(
    cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    shake = ssl.SSLSocket.do_handshake

    def do_handshake(connection: ssl.SSLSocket, block: bool = False) -> None:
        shake(connection, block)
        if not connection.server_side:
            order.append("connected")

    def ask() -> str:
        order.append("asked")
        return ""

    monkeypatch.setattr(ssl.SSLSocket, "do_handshake", do_handshake)
    endpoint = Endpoint(cloud.url, str(cloud.ca_file))
    endpoint.call("GET", "/20160918/privateIps/x", {"host": endpoint.netloc}, b"", 5, ask)

    assert order == ["connected", "asked"]


def test_a_line_break_does_not_become_a_header() -> None:
    with served(never_answer) as endpoint, pytest.raises(CloudError, match="line break"):
        endpoint.call("GET", "/", {"authorization": "x\r\nhost: other"}, b"", 5)


def test_a_server_that_hangs_up_can_be_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    with pytest.raises(CloudError, match="refused") as error:
        get(Endpoint(url))

    assert error.value.kind is ErrorKind.RETRYABLE


def test_an_error_answer_says_what_the_server_said() -> None:
    body = b'{"code": "TooManyRequests", "message": "slow down"}'
    response = Response(429, {"retry-after": "3", "opc-request-id": "R"}, body)

    with pytest.raises(CloudError, match=r"GetX: 429 TooManyRequests slow down \(opc-request-id R\)") as error:
        check(response, "GetX")

    assert error.value.retry_after == 3.0


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"\xff"])
def test_an_error_answer_without_sense_is_still_one(body: bytes) -> None:
    with pytest.raises(CloudError, match="502"):
        check(Response(502, {}, body), "GetX")

# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP call: TLS, remembered addresses, time limits."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from cloudvip.errors import CloudError, ErrorKind
from cloudvip.state import State
from cloudvip.transport import Endpoint, Response, check

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


def test_a_failing_dns_keeps_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(str(tmp_path / "run"))
    state.write("endpoint-iaas.example.com", {"addresses": ["192.0.2.1"]})
    monkeypatch.setattr(socket, "getaddrinfo", no_dns)

    Endpoint("https://iaas.example.com", None, state).remember()

    assert state.read("endpoint-iaas.example.com") == {"addresses": ["192.0.2.1"]}


def test_a_server_that_never_answers_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}")

        with pytest.raises(CloudError, match="timed out") as error:
            get(endpoint, timeout=0.05)

    assert error.value.kind is ErrorKind.RETRYABLE


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

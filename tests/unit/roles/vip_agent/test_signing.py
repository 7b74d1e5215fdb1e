# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures, checked with another implementation than the one that made them."""

from __future__ import annotations

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from cloudvip import process
from cloudvip.errors import CloudError, ErrorKind
from cloudvip.signing import Request, SigningClock, http_date, run_openssl, sign, signed_headers
from cloudvip.state import State
from cloudvip.transport import Endpoint
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.unit.roles.vip_agent.fakes import FakeClock, FakeCloud

PRIVATE = generate_private_key(65537, 2048)
PUBLIC = PRIVATE.public_key()
PEM = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
ENCRYPTED = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")).decode()
NOW = 1795246917.0


def verify(headers: dict[str, str], text: str) -> None:
    match = re.search(r'signature="([^"]+)"', headers["authorization"])
    assert match
    PUBLIC.verify(base64.b64decode(match[1]), text.encode(), PKCS1v15(), SHA256())


def test_get_signs_date_target_and_host() -> None:
    request = Request("GET", "/20160918/privateIps?vnicId=ocid1.vnic.x.y&limit=100", "iaas.example.com")

    headers = signed_headers(request, "ST$token", PEM, NOW)

    verify(
        headers,
        "date: Sat, 21 Nov 2026 07:41:57 GMT\n"
        "(request-target): get /20160918/privateIps?vnicId=ocid1.vnic.x.y&limit=100\n"
        "host: iaas.example.com",
    )
    assert 'headers="date (request-target) host"' in headers["authorization"]
    assert 'keyId="ST$token"' in headers["authorization"]


def test_put_signs_the_body_too() -> None:
    request = Request("PUT", "/20160918/privateIps/x", "iaas.example.com", b'{"vnicId": "ocid1.vnic.oc1.lab.node2"}')

    headers = signed_headers(request, "ST$token", PEM, NOW)

    assert headers["x-content-sha256"] == "x75Si3+x9p+E3iPn/gK1I4oWXBSaTTCmN0tcOSVWZis="
    verify(
        headers,
        "date: Sat, 21 Nov 2026 07:41:57 GMT\n"
        "(request-target): put /20160918/privateIps/x\n"
        "host: iaas.example.com\n"
        "content-length: 38\n"
        "content-type: application/json\n"
        "x-content-sha256: x75Si3+x9p+E3iPn/gK1I4oWXBSaTTCmN0tcOSVWZis=",
    )


def test_federation_leaves_the_host_out() -> None:
    headers = signed_headers(Request("POST", "/v1/x509", "auth.example.com", b"{}"), "k", PEM, NOW, sign_host=False)

    assert 'headers="date (request-target) content-length content-type x-content-sha256"' in headers["authorization"]


def test_a_signature_is_of_the_message() -> None:
    signature = base64.b64decode(sign(PEM, b"one"))

    PUBLIC.verify(signature, b"one", PKCS1v15(), SHA256())
    with pytest.raises(InvalidSignature):
        PUBLIC.verify(signature, b"two", PKCS1v15(), SHA256())


def test_a_signature_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudvip.process.run", None)

    PUBLIC.verify(base64.b64decode(sign(PEM, b"message")), b"message", PKCS1v15(), SHA256())


def test_threads_that_sign_together_get_each_its_own_signature() -> None:
    messages = [str(number).encode() * 100 for number in range(64)]

    with ThreadPoolExecutor(32) as pool:
        signatures = list(pool.map(lambda message: sign(PEM, message), messages))

    for message, signature in zip(messages, signatures, strict=True):
        PUBLIC.verify(base64.b64decode(signature), message, PKCS1v15(), SHA256())


@pytest.mark.parametrize("error", [ImportError, OSError, AttributeError, MemoryError])
def test_a_python_without_a_way_to_libcrypto_signs_with_the_program(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def no_library() -> None:
        raise error

    started: list[list[str]] = []

    def run(argv: list[str], data: bytes, fds: tuple[int, ...]) -> bytes:
        started.append(argv)
        return process.run(argv, data, fds=fds)

    monkeypatch.setattr("cloudvip.signing._libcrypto", no_library)
    monkeypatch.setattr("cloudvip.signing.process", SimpleNamespace(run=run, ProcessError=process.ProcessError))

    PUBLIC.verify(base64.b64decode(sign(PEM, b"message")), b"message", PKCS1v15(), SHA256())

    # The key stands neither in the arguments nor on a disk.
    assert re.fullmatch(r"openssl dgst -sha256 -sign /dev/fd/\d+", " ".join(started[0]))


@pytest.mark.parametrize("key", ["", "not a key", PEM[: len(PEM) // 2], ENCRYPTED])
def test_a_key_that_cannot_be_read_is_a_reason_to_try_again(key: str) -> None:
    with pytest.raises(CloudError, match="the private key cannot sign") as error:
        sign(key, b"message")

    assert error.value.kind is ErrorKind.RETRYABLE


def test_a_key_that_cannot_be_read_does_not_break_the_next_connection(cloud: FakeCloud) -> None:
    endpoint = Endpoint(cloud.url, str(cloud.ca_file))
    with pytest.raises(CloudError):
        sign("not a key", b"message")

    assert endpoint.call("GET", "/20160918/privateIps/x", {"host": endpoint.netloc}, b"", 5).status == 401


def test_a_failing_openssl_is_a_reason_to_try_again() -> None:
    with pytest.raises(CloudError, match="openssl failed with status") as error:
        run_openssl(["pkey", "-pubout"], b"not a key")

    assert error.value.kind is ErrorKind.RETRYABLE


def test_http_date() -> None:
    assert http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(str(tmp_path / "run"))


@pytest.mark.parametrize("ahead", [-360, -61, 61, 360])
def test_a_clock_that_is_off_is_corrected_and_remembered(state: State, ahead: int) -> None:
    clock = SigningClock(FakeClock(NOW), state)

    clock.learn(http_date(NOW + ahead))

    assert clock.now() == NOW + ahead
    assert SigningClock(FakeClock(NOW), state).now() == NOW + ahead
    assert state.read("clock") == {"skew": ahead}


@pytest.mark.parametrize("ahead", [-60, -3, 0, 3, 60])
def test_a_difference_that_does_not_matter_is_none(state: State, ahead: int) -> None:
    clock = SigningClock(FakeClock(NOW), state)

    clock.learn(http_date(NOW + ahead))

    assert clock.now() == NOW
    assert state.read("clock") is None


def test_a_skew_that_has_gone_is_dropped(state: State) -> None:
    SigningClock(FakeClock(NOW), state).learn(http_date(NOW + 360))
    clock = SigningClock(FakeClock(NOW), state)

    clock.learn(http_date(NOW))

    assert clock.now() == NOW
    assert state.read("clock") is None


def test_a_clock_that_was_set_wrong_the_other_way_is_corrected_anew(state: State) -> None:
    clock = SigningClock(FakeClock(NOW), state)

    clock.learn(http_date(NOW + 360))
    clock.learn(http_date(NOW - 360))

    assert clock.now() == NOW - 360


@pytest.mark.parametrize("date", ["", "soon", "Sat, 21 Nov 2026 07:41", "Sat, 99 Nov 2026 07:41:57 GMT"])
def test_a_date_that_is_none_changes_nothing(state: State, date: str) -> None:
    clock = SigningClock(FakeClock(NOW + 1000), state)

    clock.learn(date)

    assert clock.skew == 0


@pytest.mark.parametrize("skew", ["x", None, []])
def test_a_broken_memory_of_the_skew_is_none(state: State, skew: object) -> None:
    state.write("clock", {"skew": skew})

    assert SigningClock(FakeClock(NOW), state).now() == NOW


def test_a_skew_that_cannot_be_remembered_is_used(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the directory should be")
    clock = SigningClock(FakeClock(NOW), State(str(tmp_path / "run")))

    clock.learn(http_date(NOW + 360))

    assert clock.now() == NOW + 360

# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures, checked with another implementation than the one that made them."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from cloudvip.errors import CloudError, ErrorKind
from cloudvip.signing import Request, http_date, run_openssl, sign, signed_headers
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PRIVATE = generate_private_key(65537, 2048)
PUBLIC = PRIVATE.public_key()
PEM = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
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


def test_a_key_never_stands_in_the_arguments_or_on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def run(argv: list[str], data: bytes, fds: tuple[int, ...]) -> bytes:
        started.append(argv)
        assert Path(f"/dev/fd/{fds[0]}").read_text() == PEM
        return data

    monkeypatch.setattr("cloudvip.process.run", run)
    sign(PEM, b"message")

    assert re.fullmatch(r"openssl dgst -sha256 -sign /dev/fd/\d+", " ".join(started[0]))


def test_a_failing_openssl_is_a_reason_to_try_again() -> None:
    with pytest.raises(CloudError, match="openssl failed with status") as error:
        run_openssl(["pkey", "-pubout"], b"not a key")

    assert error.value.kind is ErrorKind.RETRYABLE


def test_http_date() -> None:
    assert http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"

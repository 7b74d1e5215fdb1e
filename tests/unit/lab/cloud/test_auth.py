# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from lab.cloud.auth import TOKEN_TTL, Authenticator, Request, signing_string
from lab.cloud.errors import ApiError
from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID, USER, USER_ID
from lab.cloud.pki import Pki, fingerprint
from lab.cloud.state import Cloud, NullEffects
from lab.topology import Topology

NOW = 1_800_000_000.0
NAMES = "date (request-target) host"
NAMES_WITH_BODY = f"{NAMES} content-length content-type x-content-sha256"
NAMES_FOR_TOKEN = "date (request-target) content-length content-type x-content-sha256"
BODY = b'{"vnicId":"ocid1.vnic.x"}'
PATH = "/20160918/privateIps/ocid1.privateip.x?a=b"
MOVE = Request("PUT", PATH, {}, BODY)
READ = Request("GET", PATH, {}, b"")


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticator(topology: Topology, pki: Pki, clock: Clock) -> Authenticator:
    return Authenticator(Cloud(topology, NullEffects()), pki, clock=clock)


@pytest.fixture(scope="module")
def session() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def user_key(pki: Pki) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key((pki.sdk_config_file.parent / "api_key.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@pytest.fixture
def user_key_id(pki: Pki) -> str:
    return f"{TENANCY_ID}/{USER_ID}/{pki.user_fingerprint}"


def leaf_key(pki: Pki, instance: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pki.instances[instance].key_pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def signed(
    request: Request,
    key: rsa.RSAPrivateKey,
    key_id: str,
    names: str,
    *,
    date: float = NOW,
    field: dict[str, str] | None = None,
) -> Request:
    headers = {
        "date": formatdate(date, usegmt=True),
        "host": "iaas.lab-emu-1.ocilab.internal",
        "content-length": str(len(request.body)),
        "content-type": "application/json",
        "x-content-sha256": base64.b64encode(hashlib.sha256(request.body).digest()).decode(),
    }
    request = replace(request, headers=headers)
    value = base64.b64encode(
        key.sign(signing_string(request, tuple(names.split())), padding.PKCS1v15(), hashes.SHA256())
    ).decode()
    fields = {
        "version": "1",
        "algorithm": "rsa-sha256",
        "keyId": key_id,
        "headers": names,
        "signature": value,
        **(field or {}),
    }
    headers["authorization"] = "Signature " + ",".join(f'{k}="{v}"' for k, v in fields.items())
    return request


def token_request(
    pki: Pki, session: rsa.RSAPrivateKey, instance: str = "vr1", *, date: float = NOW, **changes: Any
) -> Request:
    def b64(data: bytes) -> str:
        return base64.b64encode(data).decode()

    leaf = pki.instances[instance].certificate
    intermediate = x509.load_pem_x509_certificate(pki.intermediate_pem)
    spki = session.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    body = {
        "certificate": b64(leaf.public_bytes(serialization.Encoding.DER)),
        "publicKey": b64(spki),
        "intermediateCertificates": [b64(intermediate.public_bytes(serialization.Encoding.DER))],
        **changes,
    }
    request = Request("POST", "/v1/x509", {}, json.dumps(body).encode())
    key_id = f"{TENANCY_ID}/fed-x509/{fingerprint(leaf)}"
    return signed(request, leaf_key(pki, instance), key_id, NAMES_FOR_TOKEN, date=date)


def refused(act: Callable[..., Any], *arguments: Any) -> int:
    with pytest.raises(ApiError) as caught:
        act(*arguments)
    assert caught.value.code in ("NotAuthenticated", "InvalidParameter")
    return caught.value.status


def test_the_users_key_is_accepted(authenticator: Authenticator, user_key: rsa.RSAPrivateKey, user_key_id: str) -> None:
    for request, names in ((READ, NAMES), (MOVE, NAMES_WITH_BODY)):
        principal = authenticator.authenticate(signed(request, user_key, user_key_id, names))
        assert (principal.name, principal.is_admin) == (USER, True)


def test_an_instance_gets_a_token_with_the_claims_of_a_real_one(
    authenticator: Authenticator, pki: Pki, session: rsa.RSAPrivateKey, topology: Topology
) -> None:
    principal, token = authenticator.federate(token_request(pki, session))
    instance = topology.instance("vr1").id
    assert (principal.id, principal.name, principal.is_admin) == (instance, "vr1", False)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == TOKEN_TTL == 1200
    assert {
        "sub": instance,
        "opc-instance": instance,
        "opc-certtype": "instance",
        "opc-tenant": TENANCY_ID,
        "tenant": TENANCY_ID,
        "opc-compartment": COMPARTMENT_ID,
        "iss": "authService.oracle.com",
        "aud": "oci",
        "ttype": "x509",
        "ptype": "instance",
        "fprint": fingerprint(pki.instances["vr1"].certificate),
    }.items() <= claims.items()
    assert isinstance(claims["jwk"], str)
    request = signed(MOVE, session, f"ST${token}", NAMES_WITH_BODY)
    assert authenticator.authenticate(request) == principal


def test_a_token_ends_with_its_time(
    authenticator: Authenticator, pki: Pki, session: rsa.RSAPrivateKey, clock: Clock
) -> None:
    authenticator.token_ttl = 60
    _, token = authenticator.federate(token_request(pki, session))
    clock.now = NOW + 59
    authenticator.authenticate(signed(READ, session, f"ST${token}", NAMES, date=clock.now))
    clock.now = NOW + 60
    late = signed(READ, session, f"ST${token}", NAMES, date=clock.now)
    assert refused(authenticator.authenticate, late) == 401


@pytest.mark.parametrize("shift", [3600.0, -3600.0])
def test_a_shifted_clock_decides_which_signature_is_too_old_and_dates_the_token(
    authenticator: Authenticator, pki: Pki, session: rsa.RSAPrivateKey, shift: float
) -> None:
    ours = replace(token_request(pki, session), shift=shift)
    assert refused(authenticator.federate, ours) == 401
    theirs = replace(token_request(pki, session, date=NOW + shift), shift=shift)
    _, token = authenticator.federate(theirs)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["iat"], claims["exp"]) == (NOW + shift, NOW + shift + TOKEN_TTL)
    for off, fine in ((299, True), (301, False), (-299, True), (-301, False)):
        request = replace(signed(READ, session, f"ST${token}", NAMES, date=NOW + shift + off), shift=shift)
        if fine:
            authenticator.authenticate(request)
        else:
            assert refused(authenticator.authenticate, request) == 401
    expired = replace(signed(READ, session, f"ST${token}", NAMES, date=NOW + shift + 1200), shift=shift + 1200)
    assert refused(authenticator.authenticate, expired) == 401


def test_a_token_is_worth_nothing_without_its_session_key(
    authenticator: Authenticator, pki: Pki, session: rsa.RSAPrivateKey, user_key: rsa.RSAPrivateKey
) -> None:
    _, token = authenticator.federate(token_request(pki, session))
    assert refused(authenticator.authenticate, signed(READ, user_key, f"ST${token}", NAMES)) == 401


def test_a_token_from_another_issuer_is_refused(
    authenticator: Authenticator, pki: Pki, session: rsa.RSAPrivateKey
) -> None:
    _, token = authenticator.federate(token_request(pki, session))
    claims = jwt.decode(token, options={"verify_signature": False})
    forged = jwt.encode(claims, session, algorithm="RS256")
    assert refused(authenticator.authenticate, signed(READ, session, f"ST${forged}", NAMES)) == 401
    again = jwt.encode(claims, pki.token_key, algorithm="RS256")
    authenticator.authenticate(signed(READ, session, f"ST${again}", NAMES))
    for change in ({"aud": "aws"}, {"sub": "ocid1.instance.none"}, {"jwk": "{}"}):
        other = jwt.encode({**claims, **change}, pki.token_key, algorithm="RS256")
        assert refused(authenticator.authenticate, signed(READ, session, f"ST${other}", NAMES)) == 401


@pytest.mark.parametrize(
    "header", ["date", "host", "content-length", "content-type", "x-content-sha256", "authorization"]
)
def test_a_changed_or_missing_header_is_refused(
    authenticator: Authenticator, user_key: rsa.RSAPrivateKey, user_key_id: str, header: str
) -> None:
    good = signed(MOVE, user_key, user_key_id, NAMES_WITH_BODY)
    changed = {**good.headers, header: formatdate(NOW + 1, usegmt=True) if header == "date" else "other"}
    missing = {k: v for k, v in good.headers.items() if k != header}
    authenticator.authenticate(good)
    for headers in (changed, missing):
        bad = replace(good, headers=headers)
        assert refused(authenticator.authenticate, bad) == 401


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PATCH"},
        {"target": "/20160918/privateIps/ocid1.privateip.y?a=b"},
        {"target": "/20160918/privateIps/ocid1.privateip.x?a=c"},
        {"target": "/20160918/privateIps/ocid1.privateip.x"},
        {"body": b'{"vnicId":"ocid1.vnic.y"}'},
        {"body": b""},
    ],
)
def test_a_changed_request_is_refused(
    authenticator: Authenticator, user_key: rsa.RSAPrivateKey, user_key_id: str, change: dict[str, Any]
) -> None:
    good = signed(MOVE, user_key, user_key_id, NAMES_WITH_BODY)
    assert refused(authenticator.authenticate, replace(good, **change)) == 401


@pytest.mark.parametrize(
    "field",
    [
        {"version": "2"},
        {"algorithm": "rsa-sha1"},
        {"signature": "AAAA"},
        {"signature": "not base64!"},
        {"keyId": "someone"},
        {"keyId": "ST$"},
        {"keyId": "ST$a.b.c"},
        {"keyId": f"{TENANCY_ID}/{USER_ID}/00:11"},
        {"headers": "date host"},
    ],
)
def test_a_changed_authorization_is_refused(
    authenticator: Authenticator, user_key: rsa.RSAPrivateKey, user_key_id: str, field: dict[str, str]
) -> None:
    bad = signed(READ, user_key, user_key_id, NAMES, field=field)
    assert refused(authenticator.authenticate, bad) == 401


@pytest.mark.parametrize("left_out", NAMES_WITH_BODY.split())
def test_every_header_that_matters_must_be_signed(
    authenticator: Authenticator, user_key: rsa.RSAPrivateKey, user_key_id: str, left_out: str
) -> None:
    names = " ".join(n for n in NAMES_WITH_BODY.split() if n != left_out)
    assert refused(authenticator.authenticate, signed(MOVE, user_key, user_key_id, names)) == 401


@pytest.mark.parametrize(("skew", "accepted"), [(-301, False), (-299, True), (299, True), (301, False)])
def test_the_date_may_be_five_minutes_off(
    authenticator: Authenticator, user_key: rsa.RSAPrivateKey, user_key_id: str, skew: float, accepted: bool
) -> None:
    request = signed(READ, user_key, user_key_id, NAMES, date=NOW + skew)
    if accepted:
        authenticator.authenticate(request)
    else:
        assert refused(authenticator.authenticate, request) == 401


def test_federation_wants_the_leaf_key_of_the_certificate_shown(
    authenticator: Authenticator, pki: Pki, session: rsa.RSAPrivateKey
) -> None:
    good = token_request(pki, session)
    key_id = f"{TENANCY_ID}/fed-x509/{fingerprint(pki.instances['vr1'].certificate)}"
    other_key = signed(good, leaf_key(pki, "vr2"), key_id, NAMES_FOR_TOKEN)
    other_id = f"{TENANCY_ID}/fed-x509/{fingerprint(pki.instances['vr2'].certificate)}"
    other_print = signed(good, leaf_key(pki, "vr1"), other_id, NAMES_FOR_TOKEN)
    for bad in (other_key, other_print):
        assert refused(authenticator.federate, bad) == 401


def test_federation_wants_a_chain_to_the_labs_root(
    authenticator: Authenticator, pki: Pki, session: rsa.RSAPrivateKey
) -> None:
    ca = x509.load_pem_x509_certificate(pki.ca_file.read_bytes())
    wrong = base64.b64encode(ca.public_bytes(serialization.Encoding.DER)).decode()
    for chain in ([], [wrong]):
        bad = token_request(pki, session, intermediateCertificates=chain)
        assert refused(authenticator.federate, bad) == 401


def test_a_certificate_that_is_not_valid_now_is_refused(
    authenticator: Authenticator, pki: Pki, session: rsa.RSAPrivateKey, clock: Clock
) -> None:
    clock.now = pki.instances["vr1"].certificate.not_valid_after_utc.timestamp() + 1
    leaf = pki.instances["vr1"].certificate
    key_id = f"{TENANCY_ID}/fed-x509/{fingerprint(leaf)}"
    late = signed(token_request(pki, session), leaf_key(pki, "vr1"), key_id, NAMES_FOR_TOKEN, date=clock.now)
    assert refused(authenticator.federate, late) == 401


def test_an_instance_that_the_cloud_does_not_have_gets_no_token(
    pki: Pki, session: rsa.RSAPrivateKey, clock: Clock, topology: Topology
) -> None:
    nodes = tuple(i for i in topology.instances if i.name != "vr1")
    authenticator = Authenticator(Cloud(replace(topology, instances=nodes), NullEffects()), pki, clock=clock)
    assert refused(authenticator.federate, token_request(pki, session)) == 401


@pytest.mark.parametrize(
    "change",
    [{"certificate": "AAAA"}, {"publicKey": "AAAA"}, {"intermediateCertificates": ["AAAA"]}, {"certificate": 1}],
)
def test_a_malformed_token_request_is_told_so(
    authenticator: Authenticator, pki: Pki, session: rsa.RSAPrivateKey, change: dict[str, Any]
) -> None:
    bad = token_request(pki, session, **change)
    assert refused(authenticator.federate, bad) == 400

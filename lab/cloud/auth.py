# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is asking: request signatures, API keys, and the tokens that instances get for their certificates."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any

import jwt
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from jwt.algorithms import RSAAlgorithm

from lab.cloud.errors import ApiError, not_authenticated
from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID, USER, USER_ID
from lab.cloud.pki import Pki, fingerprint
from lab.cloud.state import Cloud
from lab.topology import REALM_KEY

TOKEN_TTL = 1200.0
MAX_SKEW = 300.0
_ALGORITHM = "rsa-sha256"
_FIELD = re.compile(r'(\w+)="([^"]*)"')
_SIGNED = frozenset({"date", "(request-target)", "host"})
_SIGNED_WITH_BODY = _SIGNED | {"content-length", "content-type", "x-content-sha256"}
_SIGNED_FOR_TOKEN = _SIGNED_WITH_BODY - {"host"}


@dataclass(frozen=True)
class Request:
    """A request as it was received. `target` is path and query as sent; header names are in lower case.

    `shift` is by how many seconds our clock is ahead for whoever sent it.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    shift: float = 0.0


@dataclass(frozen=True)
class Principal:
    """Whoever signed: `name` is the instance's name or USER."""

    id: str
    name: str

    @property
    def is_admin(self) -> bool:
        return self.id == USER_ID


@dataclass(frozen=True)
class _Signature:
    key_id: str
    names: tuple[str, ...]
    value: bytes


def _parse(header: str | None) -> _Signature:
    if header is None or not header.startswith("Signature "):
        raise not_authenticated()
    fields = dict(_FIELD.findall(header.removeprefix("Signature ")))
    if fields.get("version") != "1" or fields.get("algorithm") != _ALGORITHM:
        raise not_authenticated()
    try:
        value = base64.b64decode(fields["signature"], validate=True)
        return _Signature(fields["keyId"], tuple(fields["headers"].lower().split()), value)
    except (KeyError, binascii.Error) as error:
        raise not_authenticated() from error


def signing_string(request: Request, names: tuple[str, ...]) -> bytes:
    """What a signature over these headers signs. Raises KeyError for a header that is not there."""
    lines = []
    for name in names:
        if name == "(request-target)":
            lines.append(f"{name}: {request.method.lower()} {request.target}")
        else:
            lines.append(f"{name}: {request.headers[name]}")
    return "\n".join(lines).encode()


def _verify(key: rsa.RSAPublicKey, request: Request, signature: _Signature) -> None:
    try:
        key.verify(signature.value, signing_string(request, signature.names), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, KeyError) as error:
        raise not_authenticated() from error


class Authenticator:
    """Checks signatures and issues tokens for one cloud.

    `clock` is the API's idea of the time in seconds since the epoch and `token_ttl` the life of new tokens in seconds;
    both may be changed while it runs.
    """

    def __init__(
        self, cloud: Cloud, pki: Pki, *, clock: Callable[[], float] = time.time, token_ttl: float = TOKEN_TTL
    ) -> None:
        self._cloud = cloud
        self._pki = pki
        self.clock = clock
        self.token_ttl = token_ttl
        # A claim brings the same token dozens of times at once, and to check it is most of what a signature costs.
        self._decoded = lru_cache(maxsize=256)(self._decode)
        key_der = pki.token_key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._kid = f"asw_{REALM_KEY}_{hashlib.sha256(key_der).hexdigest()[:12]}"

    def authenticate(self, request: Request) -> Principal:
        """The one who signed the request. Raises ApiError 401 unless everything about the signature is right."""
        signature = _parse(request.headers.get("authorization"))
        with_body = request.method in ("POST", "PUT", "PATCH")
        self._check(request, signature, _SIGNED_WITH_BODY if with_body else _SIGNED)
        if signature.key_id.startswith("ST$"):
            principal, key = self._token(signature.key_id.removeprefix("ST$"), self.clock() + request.shift)
        elif signature.key_id == f"{TENANCY_ID}/{USER_ID}/{self._pki.user_fingerprint}":
            principal, key = Principal(USER_ID, USER), self._pki.user_key
        else:
            raise not_authenticated()
        _verify(key, request, signature)
        return principal

    def federate(self, request: Request) -> tuple[Principal, str]:
        """The instance behind a request to /v1/x509, and its new token. Raises ApiError 400 or 401."""
        signature = _parse(request.headers.get("authorization"))
        self._check(request, signature, _SIGNED_FOR_TOKEN)
        try:
            body = json.loads(request.body)
            leaf = x509.load_der_x509_certificate(base64.b64decode(body["certificate"]))
            session = serialization.load_der_public_key(base64.b64decode(body["publicKey"]))
            chain = [x509.load_der_x509_certificate(base64.b64decode(c)) for c in body["intermediateCertificates"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ApiError(400, "InvalidParameter", f"The request for a token is not well formed: {error}") from error
        key = leaf.public_key()
        if not isinstance(key, rsa.RSAPublicKey) or not isinstance(session, rsa.RSAPublicKey):
            raise not_authenticated()
        if signature.key_id != f"{TENANCY_ID}/fed-x509/{fingerprint(leaf)}":
            raise not_authenticated()
        _verify(key, request, signature)
        now = self.clock() + request.shift
        self._check_chain(leaf, chain, now)
        principal = self._subject(leaf)
        return principal, self._issue(principal, fingerprint(leaf), session, int(now))

    def _check(self, request: Request, signature: _Signature, needed: frozenset[str]) -> None:
        if not needed <= set(signature.names):
            raise not_authenticated()
        try:
            date = parsedate_to_datetime(request.headers["date"])
        except (KeyError, ValueError) as error:
            raise not_authenticated() from error
        if date.tzinfo is None or abs(date.timestamp() - self.clock() - request.shift) > MAX_SKEW:
            raise not_authenticated()
        if "x-content-sha256" in needed:
            digest = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
            if request.headers.get("x-content-sha256") != digest:
                raise not_authenticated()

    def _token(self, token: str, now: float) -> tuple[Principal, rsa.RSAPublicKey]:
        instance_id, expires, key = self._decoded(token)
        instance = self._cloud.instances.get(instance_id)
        if instance is None or expires <= now:
            raise not_authenticated()
        return Principal(instance.id, instance.name), key

    def _decode(self, token: str) -> tuple[str, float, rsa.RSAPublicKey]:
        """Whose token it is, when it expires, and the session key that must have signed. Raises ApiError."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._pki.token_key.public_key(),
                algorithms=["RS256"],
                audience="oci",
                # Expiry is checked by our own clock, which may be set wrong on purpose.
                options={"verify_exp": False, "verify_iat": False, "require": ["exp", "sub", "jwk"]},
            )
            key = RSAAlgorithm.from_jwk(claims["jwk"])
        except (jwt.PyJWTError, KeyError, TypeError) as error:
            raise not_authenticated() from error
        if not isinstance(key, rsa.RSAPublicKey):
            raise not_authenticated()
        return claims["sub"], claims["exp"], key

    def _check_chain(self, leaf: x509.Certificate, chain: list[x509.Certificate], now: float) -> None:
        at = datetime.fromtimestamp(now, UTC)
        certificates = [leaf, *chain, self._pki.instance_root]
        try:
            for certificate, issuer in pairwise(certificates):
                certificate.verify_directly_issued_by(issuer)
        except (InvalidSignature, ValueError, TypeError) as error:
            raise not_authenticated() from error
        if any(not c.not_valid_before_utc <= at <= c.not_valid_after_utc for c in certificates):
            raise not_authenticated()

    def _subject(self, leaf: x509.Certificate) -> Principal:
        units = dict(
            str(a.value).split(":", 1) for a in leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        )
        instance = self._cloud.instances.get(units.get("opc-instance", ""))
        if instance is None or units.get("opc-tenant") != TENANCY_ID or units.get("opc-certtype") != "instance":
            raise not_authenticated()
        return Principal(instance.id, instance.name)

    def _issue(self, principal: Principal, leaf_fingerprint: str, session: rsa.RSAPublicKey, now: int) -> str:
        claims = {
            "sub": principal.id,
            "opc-certtype": "instance",
            "iss": "authService.oracle.com",
            "fprint": leaf_fingerprint,
            "ptype": "instance",
            "aud": "oci",
            "opc-tag": f"V3,{TENANCY_ID},AAAAAQAAAAAAAAAB,AAAAAQAAAAAAAAAB",
            "ttype": "x509",
            "opc-instance": principal.id,
            "opc-compartment": COMPARTMENT_ID,
            "opc-tenant": TENANCY_ID,
            "tenant": TENANCY_ID,
            "iat": now,
            "exp": now + int(self.token_ttl),
            "jti": str(uuid.uuid4()),
            "jwk": RSAAlgorithm.to_jwk(session),
        }
        return jwt.encode(claims, self._pki.token_key, algorithm="RS256", headers={"kid": self._kid})

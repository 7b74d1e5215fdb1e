# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's keys and certificates: TLS of the API, the instances' identities, the token issuer, the user's API key."""

from __future__ import annotations

import configparser
import io
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.cloud.names import COMPARTMENT_ID, REGIONS, TENANCY_ID, USER_ID
from lab.topology import API_ADDRESS, REALM_DOMAIN, REGION, Topology

_YEARS_10 = timedelta(days=3650)
_PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key, both also as PEM text."""

    certificate: x509.Certificate
    certificate_pem: bytes
    key_pem: bytes


@dataclass(frozen=True)
class Pki:
    """What `ensure` made. Paths are absolute."""

    ca_file: Path
    server_certificate_file: Path
    server_key_file: Path
    instance_root: x509.Certificate
    intermediate_pem: bytes
    instances: dict[str, Identity]
    """By the instance's name."""
    token_key: rsa.RSAPrivateKey
    user_key: rsa.RSAPublicKey
    user_fingerprint: str
    sdk_config_file: Path


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA1 of the DER form as OCI's federation wants it: upper-case hex pairs with colons."""
    return certificate.fingerprint(hashes.SHA1()).hex(":").upper()


def key_fingerprint(key: rsa.RSAPublicKey) -> str:
    """An API key's fingerprint: MD5 of its DER form, lower-case hex pairs with colons."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.MD5())
    digest.update(der)
    return digest.finalize().hex(":")


def ensure(base: Path, topology: Topology) -> Pki:
    """Create what is missing below `base` (pki/, oci/) and load everything.

    Safe to call again and after a call that was killed: a file is there whole or not at all, and a certificate without
    its key is made anew. What exists is kept, so clients that trust the CA keep doing so. Raises OSError.
    """
    folder = base.absolute() / "pki"
    folder.mkdir(parents=True, exist_ok=True)
    ca = _authority(folder / "ca", "cloudvip lab CA")
    _server(folder / "server", ca)
    root = _authority(folder / "instance-root", "cloudvip lab instance identity root", rsa_key=True)
    intermediate = _authority(folder / "instance-ca", "cloudvip lab instance identity", rsa_key=True, issuer=root)
    leaves = folder / "instances"
    leaves.mkdir(exist_ok=True)
    instances = {i.name: _leaf(leaves / i.name, i.id, intermediate) for i in topology.instances}
    token_key = _rsa_key(folder / "token.key")
    oci = base.absolute() / "oci"
    oci.mkdir(mode=0o700, exist_ok=True)
    user_key = _rsa_key(oci / "api_key.pem").public_key()
    config = oci / "config"
    _write(config, _sdk_config(oci / "api_key.pem", key_fingerprint(user_key)), 0o600)
    return Pki(
        ca_file=folder / "ca.pem",
        server_certificate_file=folder / "server.pem",
        server_key_file=folder / "server.key",
        instance_root=root.certificate,
        intermediate_pem=intermediate.certificate_pem,
        instances=instances,
        token_key=token_key,
        user_key=user_key,
        user_fingerprint=key_fingerprint(user_key),
        sdk_config_file=config,
    )


def _sdk_config(key_file: Path, key_print: str) -> bytes:
    parser = configparser.ConfigParser()
    parser["DEFAULT"] = {
        "user": USER_ID,
        "fingerprint": key_print,
        "tenancy": TENANCY_ID,
        "region": REGION,
        "key_file": str(key_file),
    }
    text = io.StringIO()
    parser.write(text, space_around_delimiters=False)
    return text.getvalue().encode()


def _write(path: Path, content: bytes, mode: int) -> None:
    if path.exists() and path.read_bytes() == content:
        path.chmod(mode)
        return
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _key_pem(key: _PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _load_key(pem: bytes) -> _PrivateKey:
    # To prove the key's numbers takes 40 ms, and they are our own.
    return cast("_PrivateKey", serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True))


def _rsa_key(path: Path) -> rsa.RSAPrivateKey:
    if not path.exists():
        _write(path, _key_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)), 0o600)
    return cast("rsa.RSAPrivateKey", _load_key(path.read_bytes()))


@dataclass(frozen=True)
class _Authority:
    certificate: x509.Certificate
    certificate_pem: bytes
    key: _PrivateKey


def _load(stem: Path) -> Identity | None:
    certificate, key = stem.with_suffix(".pem"), stem.with_suffix(".key")
    if not (certificate.exists() and key.exists()):
        return None
    pem = certificate.read_bytes()
    return Identity(x509.load_pem_x509_certificate(pem), pem, key.read_bytes())


def _store(stem: Path, certificate: x509.Certificate, key: _PrivateKey) -> Identity:
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    key_pem = _key_pem(key)
    # The certificate goes last: where it is, the key that belongs to it is too.
    stem.with_suffix(".pem").unlink(missing_ok=True)
    _write(stem.with_suffix(".key"), key_pem, 0o600)
    _write(stem.with_suffix(".pem"), pem, 0o644)
    return Identity(certificate, pem, key_pem)


def key_usage(*, is_ca: bool) -> x509.KeyUsage:
    """What a certificate's key is for: signing certificates, or anything else. Python insists on it from 3.13 on."""
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: _PrivateKey, is_ca: bool) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Room for clients whose clock is behind ours.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _YEARS_10)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(key_usage(is_ca=is_ca), critical=True)
    )


def _signed(builder: x509.CertificateBuilder, issuer: _PrivateKey) -> x509.Certificate:
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
    return builder.add_extension(authority, critical=False).sign(issuer, hashes.SHA256())


def _name(common: str, units: Sequence[str] = ()) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            *(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units),
        ]
    )


def _authority(stem: Path, common: str, *, rsa_key: bool = False, issuer: _Authority | None = None) -> _Authority:
    found = _load(stem)
    if found is None or (issuer is not None and not _issued_by(found, issuer)):
        key: _PrivateKey = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048)
            if rsa_key
            else ec.generate_private_key(ec.SECP256R1())
        )
        subject = _name(common)
        builder = _builder(subject, issuer.certificate.subject if issuer else subject, key, is_ca=True)
        found = _store(stem, _signed(builder, issuer.key if issuer else key), key)
    return _Authority(found.certificate, found.certificate_pem, _load_key(found.key_pem))


def _issued_by(found: Identity | None, issuer: _Authority) -> bool:
    if found is None:
        return False
    try:
        found.certificate.verify_directly_issued_by(issuer.certificate)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _server(stem: Path, ca: _Authority) -> None:
    if _issued_by(_load(stem), ca):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [
        *(x509.DNSName(f"*.{region}.{REALM_DOMAIN}") for region in REGIONS),
        *(x509.DNSName(f"*.{region}.oci.{REALM_DOMAIN}") for region in REGIONS),
        x509.IPAddress(ip_address(API_ADDRESS)),
        x509.DNSName("localhost"),
        x509.IPAddress(ip_address("127.0.0.1")),
    ]
    builder = (
        _builder(_name(f"iaas.{REGION}.{REALM_DOMAIN}"), ca.certificate.subject, key, is_ca=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    _store(stem, _signed(builder, ca.key), key)


def _leaf(stem: Path, instance_id: str, issuer: _Authority) -> Identity:
    found = _load(stem)
    if found is not None and _issued_by(found, issuer):
        return found
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    units = (
        "opc-certtype:instance",
        f"opc-compartment:{COMPARTMENT_ID}",
        f"opc-instance:{instance_id}",
        f"opc-tenant:{TENANCY_ID}",
    )
    builder = _builder(_name(instance_id, units), issuer.certificate.subject, key, is_ca=False)
    return _store(stem, _signed(builder, issuer.key), key)

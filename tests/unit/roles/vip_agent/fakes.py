# SPDX-License-Identifier: GPL-3.0-or-later
"""A small cloud on loopback, a clock that stands still and interfaces in memory, for the tests of the mover."""

from __future__ import annotations

import base64
import datetime
import functools
import json
import re
import ssl
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import jwt
from cloudvip.clock import Clock
from cloudvip.log import Log
from cloudvip.process import ProcessError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, Hash
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)
from cryptography.x509.oid import NameOID

from lab.cloud.pki import key_usage

TENANCY = "ocid1.tenancy.oc99..t"
INSTANCE = "ocid1.instance.oc99.lab.vr1"
TOKEN_LIFETIME = 1200

VNICS = {"ens3": "ocid1.vnic.oc99.lab.a3", "ens5": "ocid1.vnic.oc99.lab.a5"}
SUBNETS = {"ens3": "ocid1.subnet.oc99.lab.transit", "ens5": "ocid1.subnet.oc99.lab.pod1"}
MACS = {"lo": "00:00:00:00:00:00", "ens3": "02:00:17:00:00:03", "ens5": "02:00:17:00:00:05"}
OTHER_VNIC = "ocid1.vnic.oc99.lab.other"


def vip(name: str, address: str, interface: str) -> dict[str, Any]:
    """One VIP as it stands in config.json."""
    return {
        "name": name,
        "address": address,
        "prefix": 28,
        "interface": interface,
        "mac": MACS[interface],
        "vnic_id": VNICS[interface],
        "private_ip_id": f"ocid1.{'ipv6' if ':' in address else 'privateip'}.oc99.lab.{name}",
        "subnet_id": SUBNETS[interface],
    }


TRANSIT = vip("transit", "172.20.136.140", "ens3")
POD1 = vip("pod1", "10.0.0.4", "ens5")
POD1_V6 = vip("pod1-v6", "2001:db8::4", "ens5")


class FakeClock(Clock):
    """Time that passes only when somebody sleeps. `sleeps` has every sleep that was asked for.

    frozen: for how long the node stood still, which is what uptime() shows of it.
    """

    def __init__(self, now: float | None = None) -> None:
        self._now = datetime.datetime.now(tz=datetime.UTC).timestamp() if now is None else now
        self._elapsed = 0.0
        self._lock = threading.Lock()
        self.sleeps: list[float] = []
        self.frozen = 0.0

    def now(self) -> float:
        return self._now + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def uptime(self) -> float:
        return self.frozen

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.sleeps.append(seconds)
            self._elapsed += seconds

    def uniform(self, low: float, high: float) -> float:
        return max(low, high)


class FakeLog(Log):
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(f"info: {text}")

    def warning(self, text: str) -> None:
        self.lines.append(f"warning: {text}")


class FakeIp:
    """Does what iproute2 would do to interfaces in memory.

    broken: makes every call fail with that text. stuck: addresses that cannot be put on or taken off. meanwhile: done
    once right before the next change. batches: what was asked of it.
    """

    def __init__(self) -> None:
        self.addresses: dict[str, dict[str, int]] = {
            "ens3": {"172.20.136.131": 28},
            "ens5": {"10.0.0.5": 28},
        }
        self.no_carrier: set[str] = set()
        self.missing: set[str] = set()
        self.stuck: set[str] = set()
        self.broken = ""
        self.meanwhile: Callable[[], object] | None = None
        self.batches: list[list[str]] = []

    def __call__(self, argv: Sequence[str], data: bytes) -> bytes:
        if self.broken:
            raise ProcessError(self.broken)
        if list(argv) == ["ip", "-json", "address", "show"]:
            return self._show()
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        assert list(argv) == ["ip", "-force", "-batch", "-"]
        lines = data.decode().splitlines()
        self.batches.append(lines)
        done = [self._apply(line) for line in lines]
        if not all(done):
            raise ProcessError("ip failed with status 1: RTNETLINK answers: Cannot assign requested address")
        return b""

    def _show(self) -> bytes:
        return json.dumps(
            [
                {
                    "ifname": name,
                    "address": MACS[name],
                    "flags": ["BROADCAST", "UP"] + ([] if name in self.no_carrier else ["LOWER_UP"]),
                    "addr_info": [
                        {"family": "inet6" if ":" in a else "inet", "local": a, "prefixlen": p}
                        for a, p in addresses.items()
                    ],
                }
                for name, addresses in self.addresses.items()
                if name not in self.missing
            ]
        ).encode()

    def _apply(self, line: str) -> bool:
        match = re.fullmatch(r"address (replace|delete) (\S+)/(\d+) dev (\S+)( .+)?", line)
        assert match, line
        verb, address, prefix, interface = match[1], match[2], int(match[3]), match[4]
        v6, v4 = (128, " nodad preferred_lft 0 noprefixroute"), (32, " noprefixroute")
        assert verb == "delete" or (prefix, match[5]) == (v6 if ":" in address else v4), line
        here = self.addresses[interface]
        if verb == "replace":
            if address in self.stuck:
                return False
            here[address] = prefix
            return True
        if here.get(address) != prefix or address in self.stuck:
            return False
        del here[address]
        return True


@dataclass
class Call:
    """A request that the fake cloud got."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    signed: bool


@dataclass
class Fault:
    """An answer that replaces the real one for the next `count` calls that match."""

    method: str
    path: str
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    count: int = 1


def _certificate(subject: str, key: RSAPrivateKey, issuer: str, signer: RSAPrivateKey, ca: bool) -> x509.Certificate:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(tz=datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1")), x509.DNSName("localhost")]),
            critical=False,
        )
        # Python 3.13 insists on these.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(key_usage(is_ca=ca), critical=True)
        .sign(signer, SHA256())
    )


class _Pki(NamedTuple):
    ca: x509.Certificate
    leaf: x509.Certificate
    leaf_key: RSAPrivateKey
    tls: x509.Certificate
    tls_key: RSAPrivateKey


@functools.cache
def _pki() -> _Pki:
    """One for all tests: making keys is what would take the time."""
    ca_key, leaf_key, tls_key = (generate_private_key(65537, 2048) for _ in range(3))
    return _Pki(
        _certificate("ca", ca_key, "ca", ca_key, ca=True),
        _certificate(INSTANCE, leaf_key, "ca", ca_key, ca=False),
        leaf_key,
        _certificate("127.0.0.1", tls_key, "ca", ca_key, ca=False),
        tls_key,
    )


def _pem(key: RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class _Server(ThreadingHTTPServer):
    # All the calls of a claim arrive at once; a full queue would hold some of them up for a second.
    request_queue_size = 64


class FakeCloud:
    """Metadata service (plain), federation and private-IP API (TLS by a CA of its own) on loopback.

    clock, ahead: whose time it goes by, and by how many seconds it is ahead of that.
    """

    def __init__(self, directory: Path) -> None:
        self.calls: list[Call] = []
        self.metadata_calls: list[str] = []
        self.faults: list[Fault] = []
        self.metadata_down = False
        self.page_size = 100
        self.clock: Clock = Clock()
        self.ahead = 0.0
        self.tokens: dict[str, RSAPublicKey] = {}
        self.private_ips = {
            v["private_ip_id"]: {
                "id": v["private_ip_id"],
                "ipAddress": v["address"],
                "subnetId": v["subnet_id"],
                "vnicId": OTHER_VNIC,
            }
            for v in (TRANSIT, POD1)
        }
        self.ipv6s = {
            POD1_V6["private_ip_id"]: {
                "id": POD1_V6["private_ip_id"],
                # As the service may write it.
                "ipAddress": "2001:0DB8:0:0:0:0:0:4",
                "subnetId": POD1_V6["subnet_id"],
                "vnicId": OTHER_VNIC,
            }
        }
        self.lock = threading.Lock()
        pki = _pki()
        self._leaf_key, leaf, ca = pki.leaf_key, pki.leaf, pki.ca
        digest = Hash(SHA1())
        digest.update(leaf.public_bytes(Encoding.DER))
        self.fingerprint = digest.finalize().hex(":").upper()
        self.identity = {
            "cert.pem": leaf.public_bytes(Encoding.PEM).decode(),
            "key.pem": _pem(self._leaf_key),
            "intermediate.pem": ca.public_bytes(Encoding.PEM).decode(),
        }
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(ca.public_bytes(Encoding.PEM))
        server_file = directory / "server.pem"
        server_file.write_text(pki.tls.public_bytes(Encoding.PEM).decode() + _pem(pki.tls_key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server_file)
        self._api = _Server(("127.0.0.1", 0), _handler(self))
        self._api.socket = context.wrap_socket(self._api.socket, server_side=True)
        self._metadata = _Server(("127.0.0.1", 0), _handler(self))
        for server in (self._api, self._metadata):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"https://127.0.0.1:{self._api.server_port}"
        self.metadata_url = f"http://127.0.0.1:{self._metadata.server_port}/opc/v2"

    def close(self) -> None:
        """Stop answering."""
        for server in (self._api, self._metadata):
            server.shutdown()
            server.server_close()

    def settings(self) -> dict[str, Any]:
        """The `oci` part of a node's configuration."""
        return {
            "tenancy_id": TENANCY,
            "instance_id": INSTANCE,
            "endpoint": self.url,
            "federation_endpoint": self.url + "/v1/x509",
            "ca_bundle": str(self.ca_file),
            "metadata_url": self.metadata_url,
        }

    def of(self, method: str, path: str) -> list[Call]:
        """The calls of that method whose path contains `path`."""
        return [c for c in self.calls if c.method == method and path in c.path]

    def now(self) -> float:
        return self.clock.now() + self.ahead

    def federate(self, public_key: str) -> str:
        """A token for a session key (base64 of its DER form)."""
        now = int(self.now())
        claims = {"sub": INSTANCE, "iat": now, "exp": now + TOKEN_LIFETIME, "jti": str(uuid.uuid4())}
        token = jwt.encode(claims, "a key that nobody checks, long enough", algorithm="HS256")
        key = load_der_public_key(base64.b64decode(public_key))
        assert isinstance(key, RSAPublicKey)
        self.tokens[token] = key
        return token

    def verify(self, handler: BaseHTTPRequestHandler, body: bytes) -> bool:
        """Whether a request is signed by the holder of a token (or, for the federation, of the instance's key)."""
        parts = dict(re.findall(r'(\w+)="([^"]*)"', handler.headers.get("authorization", "")))
        federation = handler.path == "/v1/x509"
        key = self._leaf_key.public_key() if federation else self.tokens.get(parts.get("keyId", "").removeprefix("ST$"))
        if key is None or (federation and parts["keyId"] != f"{TENANCY}/fed-x509/{self.fingerprint}"):
            return False
        names = parts["headers"].split()
        required = {"date", "(request-target)"} | (set() if federation else {"host"})
        if handler.command in ("PUT", "POST"):
            required |= {"content-length", "content-type", "x-content-sha256"}
            digest = Hash(SHA256())
            digest.update(body)
            assert handler.headers["x-content-sha256"] == base64.b64encode(digest.finalize()).decode()
        assert set(names) == required
        if abs(parsedate_to_datetime(handler.headers["date"]).timestamp() - self.now()) > 300:
            return False
        values = {**{k.lower(): v for k, v in handler.headers.items()}}
        values["(request-target)"] = f"{handler.command.lower()} {handler.path}"
        text = "\n".join(f"{name}: {values[name]}" for name in names)
        key.verify(base64.b64decode(parts["signature"]), text.encode(), PKCS1v15(), SHA256())
        return True

    def answer(self, call: Call) -> tuple[int, Any, dict[str, str]]:
        """What the cloud says to a call, and what it does."""
        for fault in self.faults:
            if fault.count and fault.method == call.method and fault.path in call.path:
                fault.count -= 1
                return fault.status, fault.body, fault.headers
        if not call.signed:
            return 401, {"code": "NotAuthenticated", "message": "no"}, {}
        if call.path == "/v1/x509":
            return 200, {"token": self.federate(call.body["publicKey"])}, {}
        kind, _, object_id = call.path.removeprefix("/20160918/").partition("/")
        objects = self.ipv6s if kind == "ipv6" else self.private_ips
        if not object_id:
            wanted = {k: v[0] for k, v in call.query.items() if k in ("vnicId", "subnetId", "ipAddress")}
            found = [p for p in objects.values() if all(_same(str(p.get(k)), value) for k, value in wanted.items())]
            start = int(call.query.get("page", ["0"])[0])
            end = start + self.page_size
            return 200, found[start:end], {"opc-next-page": str(end)} if end < len(found) else {}
        private_ip = objects.get(object_id)
        if private_ip is None:
            return 404, {"code": "NotAuthorizedOrNotFound", "message": "no such thing"}, {}
        if call.method == "PUT":
            private_ip["vnicId"] = call.body["vnicId"]
        return 200, private_ip, {"opc-request-id": "REQ"}


def _same(one: str, other: str) -> bool:
    """IPv6 addresses are the same however they are written."""
    return one == other or (one.count(":") > 1 and other.count(":") > 1 and IPv6Address(one) == IPv6Address(other))


def _handler(cloud: FakeCloud) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.startswith("/opc/v2/"):
                self._metadata()
            else:
                self._api()

        def do_PUT(self) -> None:
            self._api()

        def do_POST(self) -> None:
            self._api()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(cloud.now() if timestamp is None else timestamp, usegmt=True)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            del code, size

        def _metadata(self) -> None:
            cloud.metadata_calls.append(self.path)
            allowed = self.headers.get("authorization") == "Bearer Oracle" and not cloud.metadata_down
            text = cloud.identity.get(self.path.removeprefix("/opc/v2/identity/")) if allowed else None
            self._send(404 if text is None else 200, (text or "").encode(), {})

        def _api(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            parts = urlsplit(self.path)
            with cloud.lock:
                call = Call(
                    self.command,
                    parts.path,
                    parse_qs(parts.query),
                    json.loads(body) if body else None,
                    cloud.verify(self, body),
                )
                cloud.calls.append(call)
                status, answer, headers = cloud.answer(call)
                self._send(status, json.dumps(answer).encode(), headers)

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler

# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI's request signatures (draft-cavage-http-signatures, rsa-sha256), made with the `openssl` program."""

import base64
import hashlib
import os
import time
from typing import Dict, List, NamedTuple

from cloudvip import process
from cloudvip.errors import CloudError, ErrorKind


class Request(NamedTuple):
    """`target` is the path with the query, exactly as it goes onto the wire."""

    method: str
    target: str
    host: str
    body: bytes = b""


def run_openssl(arguments: List[str], data: bytes = b"", key: str = "") -> bytes:
    """Run openssl. A private key goes through a pipe, named KEY in the arguments: never in argv, never on a disk.

    Raises CloudError: without signatures there is no cloud, but that says nothing about the addresses.
    """
    reader = -1
    try:
        if key:
            # A key fits a pipe's buffer many times over, so this cannot block.
            reader, writer = os.pipe()
            os.write(writer, key.encode("ascii"))
            os.close(writer)
        argv = ["openssl"] + [f"/dev/fd/{reader}" if a == "KEY" else a for a in arguments]
        return process.run(argv, data, fds=(reader,) if key else ())
    except process.ProcessError as error:
        raise CloudError(ErrorKind.RETRYABLE, str(error)) from error
    finally:
        if reader >= 0:
            os.close(reader)


def sign(key: str, message: bytes) -> str:
    """The RSA-SHA256 signature in base64. `key` is a private key in PEM. Raises CloudError."""
    return base64.b64encode(run_openssl(["dgst", "-sha256", "-sign", "KEY"], message, key)).decode("ascii")


def http_date(now: float) -> str:
    """A time (seconds since the epoch) as HTTP writes it."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now))


def signed_headers(request: Request, key_id: str, key: str, now: float, sign_host: bool = True) -> Dict[str, str]:
    """All headers of a request, the signature among them.

    now: seconds since the epoch; the API refuses more than 5 minutes of difference. sign_host: the federation
    endpoint wants the host left out. Raises CloudError.
    """
    headers = {"date": http_date(now), "host": request.host}
    names = ["date", "(request-target)"] + (["host"] if sign_host else [])
    if request.method in ("POST", "PUT"):
        headers["content-length"] = str(len(request.body))
        headers["content-type"] = "application/json"
        headers["x-content-sha256"] = base64.b64encode(hashlib.sha256(request.body).digest()).decode("ascii")
        names += ["content-length", "content-type", "x-content-sha256"]
    values = dict(headers)
    values["(request-target)"] = f"{request.method.lower()} {request.target}"
    text = "\n".join(f"{name}: {values[name]}" for name in names)
    headers["authorization"] = (
        'Signature version="1",headers="{}",keyId="{}",algorithm="rsa-sha256",signature="{}"'.format(
            " ".join(names), key_id, sign(key, text.encode("ascii"))
        )
    )
    return headers

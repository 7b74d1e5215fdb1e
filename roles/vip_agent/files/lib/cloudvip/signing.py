# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI's request signatures (draft-cavage-http-signatures, rsa-sha256), and the clock that they are made by."""

import base64
import contextlib
import functools
import hashlib
import os
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from cloudvip import process
from cloudvip.clock import Clock
from cloudvip.errors import CloudError, ErrorKind
from cloudvip.state import State
from cloudvip.transport import Endpoint, Response

_DATE = "%a, %d %b %Y %H:%M:%S GMT"
# The servers refuse 300 s; answers take their time, so less than this is no difference (seconds).
_TOLERANCE = 60.0
_STATE_FILE = "clock"


class Request(NamedTuple):
    """`target` is the path with the query, exactly as it goes onto the wire.

    if_match: an etag, to have the request refused when the object has another one.
    """

    method: str
    target: str
    host: str
    body: bytes = b""
    if_match: str = ""


class SigningClock:
    """This node's clock, corrected by the servers' own: they refuse a signature that is five minutes off.

    skew: what is added to this node's clock, in seconds; 0 as long as the difference does not matter.
    """

    def __init__(self, clock: Clock, state: State) -> None:
        self._clock = clock
        self._state = state
        try:
            self.skew = float((state.read(_STATE_FILE) or {}).get("skew", 0.0))
        except (TypeError, ValueError):
            self.skew = 0.0

    def now(self) -> float:
        """Seconds since the epoch as the servers count them."""
        return self._clock.now() + self.skew

    def learn(self, date: str) -> None:
        """Take up what a server's `Date` header says."""
        # The same minute, as nearly always: nothing to learn, and no parser to load.
        if date[:22] == http_date(self.now())[:22]:
            return
        import calendar

        try:
            skew = float(calendar.timegm(time.strptime(date, _DATE))) - self._clock.now()
        except ValueError:
            return
        skew = skew if abs(skew) > _TOLERANCE else 0.0
        if abs(skew - self.skew) <= _TOLERANCE:
            return
        self.skew = skew
        # What cannot be remembered can still be used.
        with contextlib.suppress(OSError):
            if skew:
                self._state.write(_STATE_FILE, {"skew": skew})
            else:
                self._state.remove(_STATE_FILE)


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


@functools.lru_cache(maxsize=None)
def _libcrypto() -> Any:
    """The libcrypto that Python's own TLS uses; these functions are the same in OpenSSL 1.1.1 and 3.

    `openssl dgst` signs one file only, and a process for each address would be most of what a claim costs.
    Raises OSError, AttributeError, ImportError or MemoryError where there is no way to it.
    """
    import _ssl
    import ctypes

    # The handle of a module also finds what is in the libraries that the module needs.
    library = ctypes.CDLL(_ssl.__file__)
    pointer, number, size, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p
    prototypes: Tuple[Tuple[Any, ...], ...] = (
        ("BIO_new_mem_buf", pointer, text, number),
        ("BIO_free", number, pointer),
        ("ERR_clear_error", None),
        ("PEM_read_bio_PrivateKey", pointer, pointer, pointer, pointer, text),
        ("EVP_sha256", pointer),
        ("EVP_MD_CTX_new", pointer),
        ("EVP_MD_CTX_free", None, pointer),
        ("EVP_DigestSignInit", number, pointer, pointer, pointer, pointer, pointer),
        ("EVP_DigestSign", number, pointer, text, ctypes.POINTER(size), text, size),
    )
    for name, result, *arguments in prototypes:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


@functools.lru_cache(maxsize=4)
def _private_key(pem: str) -> Any:
    library = _libcrypto()
    data = pem.encode("ascii")
    bio = library.BIO_new_mem_buf(data, len(data))
    # With a passphrase, even an empty one, it never asks a terminal for one.
    key = library.PEM_read_bio_PrivateKey(bio, None, None, b"")
    library.BIO_free(bio)
    # What it leaves behind would be taken for an error of the next TLS call.
    library.ERR_clear_error()
    return key


def sign(key: str, message: bytes) -> str:
    """The RSA-SHA256 signature in base64. `key` is a private key in PEM. Raises CloudError."""
    try:
        signature = _sign(key, message)
    except (OSError, AttributeError, ImportError, MemoryError):
        signature = run_openssl(["dgst", "-sha256", "-sign", "KEY"], message, key)
    return base64.b64encode(signature).decode("ascii")


def _sign(key: str, message: bytes) -> bytes:
    import ctypes

    library = _libcrypto()
    handle = _private_key(key)
    context = library.EVP_MD_CTX_new()
    signature = ctypes.create_string_buffer(1024)
    length = ctypes.c_size_t(len(signature))
    try:
        if (
            not handle
            or library.EVP_DigestSignInit(context, None, library.EVP_sha256(), None, handle) != 1
            or library.EVP_DigestSign(context, signature, ctypes.byref(length), message, len(message)) != 1
        ):
            library.ERR_clear_error()
            raise CloudError(ErrorKind.RETRYABLE, "the private key cannot sign")
    finally:
        library.EVP_MD_CTX_free(context)
    return bytes(signature.raw[: length.value])


def http_date(now: float) -> str:
    """A time (seconds since the epoch) as HTTP writes it."""
    return time.strftime(_DATE, time.gmtime(now))


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


def signed_call(
    endpoint: Endpoint,
    request: Request,
    key_id: str,
    key: str,
    clock: SigningClock,
    timeout: float,
    may_send: Optional[Callable[[], str]] = None,
    sign_host: bool = True,
) -> Response:
    """Send a signed request and return the answer. One that was refused for a clock that is off is sent again.

    Raises CloudError.
    """
    end = time.monotonic() + timeout
    for last in (False, True):
        skew = clock.skew
        headers = signed_headers(request, key_id, key, clock.now(), sign_host)
        headers["opc-request-id"] = os.urandom(16).hex().upper()
        if request.if_match:
            headers["if-match"] = request.if_match
        response = endpoint.call(
            request.method, request.target, headers, request.body, end - time.monotonic(), may_send
        )
        clock.learn(response.headers.get("date", ""))
        if response.status != 401 or clock.skew == skew or last:
            break
    return response

# SPDX-License-Identifier: GPL-3.0-or-later
"""The instance-principal token: got from the federation endpoint, cached, renewed before anybody waits for it."""

import base64
import contextlib
import hashlib
import json
import threading
from typing import Callable, List, NamedTuple, Optional

from cloudvip.clock import Clock
from cloudvip.config import OciSettings
from cloudvip.errors import CloudError, ErrorKind
from cloudvip.signing import Request, SigningClock, run_openssl, signed_call
from cloudvip.state import State
from cloudvip.transport import Endpoint, check

_TIMEOUT = 10.0
# A token with less than this left (seconds) is not used for a new call.
_MARGIN = 30.0
_FILE = "token"


class Credential(NamedTuple):
    """A token and the session key that belongs to it: one is useless without the other, so they are stored as one.

    key: PEM. issued, expires: seconds since the epoch by this node's clock.
    """

    token: str
    key: str
    issued: float
    expires: float

    @property
    def key_id(self) -> str:
        """What stands for the token in a signature."""
        return "ST$" + self.token


def _unarmour(pem: str) -> str:
    """The base64 of the first object in a PEM text, as one line."""
    lines = []
    for line in pem.strip().splitlines()[1:]:
        if line.startswith("-----"):
            break
        lines.append(line.strip())
    return "".join(lines)


def fingerprint(certificate: str) -> str:
    """The SHA-1 fingerprint of a PEM certificate, upper-case and with colons, as the federation endpoint wants it."""
    digest = hashlib.sha1(base64.b64decode(_unarmour(certificate))).hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def lifetime(token: str) -> float:
    """How long a token lives, in seconds, by its own claims. Raises CloudError."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode("utf-8"))
        return float(claims["exp"]) - float(claims["iat"])
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise CloudError(ErrorKind.RETRYABLE, "federation: the answer holds no token with a lifetime") from error


class Federation:
    """Gets new credentials."""

    def __init__(self, settings: OciSettings, state: State, clock: Clock) -> None:
        self._settings = settings
        self._endpoint = Endpoint(settings.federation_endpoint, settings.ca_bundle, state)
        self._clock = clock
        self.signing_clock = SigningClock(clock, state)

    def fetch(self) -> Credential:
        """A new token for a new session key. Raises CloudError."""
        # Imported here: a takeover with a cached token never needs it.
        from cloudvip.metadata import Metadata

        identity = Metadata(self._settings.metadata_url).identity()
        key = run_openssl(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]).decode("ascii")
        public = run_openssl(["pkey", "-pubout"], key.encode("ascii")).decode("ascii")
        body = {
            "certificate": _unarmour(identity.certificate),
            "publicKey": _unarmour(public),
            "intermediateCertificates": [_unarmour(identity.intermediate)],
        }
        endpoint = self._endpoint
        request = Request("POST", endpoint.path, endpoint.netloc, json.dumps(body).encode("ascii"))
        key_id = f"{self._settings.tenancy_id}/fed-x509/{fingerprint(identity.certificate)}"
        now = self._clock.now()
        try:
            response = signed_call(
                endpoint, request, key_id, identity.key, self.signing_clock, _TIMEOUT, sign_host=False
            )
        except CloudError as error:
            raise CloudError(error.kind, f"federation: {error}") from error
        answer = check(response, "federation").json()
        token = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(token, str):
            raise CloudError(ErrorKind.RETRYABLE, "federation: the answer holds no token")
        # Reckoned from this node's clock, which may be off by minutes, so that the cache is right by the same clock.
        return Credential(token, key, now, now + lifetime(token))

    def remember_address(self) -> None:
        """Resolve the endpoint's name for a day without DNS."""
        self._endpoint.remember()


class Session:
    """The credential of this process, shared by its threads: from the cache while that is good, else a new one."""

    def __init__(self, federation: Federation, state: State, clock: Clock) -> None:
        self._federation = federation
        self._state = state
        self._clock = clock
        self._lock = threading.Lock()
        self._current: Optional[Credential] = None
        self._replaced = False
        self._failures: List[CloudError] = []

    def cached(self) -> Optional[Credential]:
        """The stored credential, expired or not; None if there is none."""
        data = self._state.read(_FILE)
        if data is None:
            return None
        try:
            return Credential(str(data["token"]), str(data["key"]), float(data["issued"]), float(data["expires"]))
        except (KeyError, TypeError, ValueError):
            return None

    def credential(self) -> Credential:
        """A credential to sign with. Raises CloudError."""
        failures = len(self._failures)
        with self._lock:
            known = self._current
            if not self._lasts(known, _MARGIN):
                known = self.cached() or known
            if known is None or not self._lasts(known, _MARGIN):
                try:
                    known = self._fetch(failures)
                except CloudError:
                    # The last seconds of a token are better than none.
                    if known is None or not self._lasts(known, 0.0):
                        raise
            self._current = known
            return known

    def replace(self, refused: Credential) -> None:
        """Get another credential, because the API did not accept this one. Raises CloudError.

        Once per process: threads that were refused together get the same new one, and if that is refused too, no
        further one would fare better.
        """
        failures = len(self._failures)
        with self._lock:
            if self._current is not None and self._current.token != refused.token:
                return
            if self._replaced:
                raise CloudError(ErrorKind.AUTH, "the API does not accept a new token either; is the clock right?")
            self._current = self._fetch(failures)
            self._replaced = True

    def refresh(self, accepted: Callable[[Credential], bool]) -> Credential:
        """Get a new credential ahead of need and keep it if `accepted` says so; until then the old one stays.

        Raises CloudError, and the old one still stays.
        """
        fresh = self._federation.fetch()
        if not accepted(fresh):
            raise CloudError(ErrorKind.AUTH, "the API does not accept the new token; the old one is kept")
        try:
            self._store(fresh)
        except OSError as error:
            raise CloudError(ErrorKind.FATAL, f"the token cannot be stored: {error}") from error
        self._federation.remember_address()
        return fresh

    def due(self) -> bool:
        """Whether half of the stored credential's life has passed."""
        credential = self.cached()
        now = self._clock.now()
        # Issued in the future: the clock was set back, and when the token really ends is not known any more.
        return credential is None or now < credential.issued or now > (credential.issued + credential.expires) / 2

    def _lasts(self, credential: Optional[Credential], seconds: float) -> bool:
        return credential is not None and credential.expires - seconds > self._clock.now()

    def _fetch(self, failures: int) -> Credential:
        """A new credential. `failures`: how many there had been when the caller began to wait for its turn."""
        if len(self._failures) > failures:
            # Another thread has just been told no; asking for each address would only add to the service's load.
            raise self._failures[-1]
        try:
            credential = self._federation.fetch()
        except CloudError as error:
            self._failures.append(error)
            raise
        # A token that cannot be cached is as good as any for the call that waits for it.
        with contextlib.suppress(OSError):
            self._store(credential)
        return credential

    def _store(self, credential: Credential) -> None:
        self._state.write(_FILE, dict(credential._asdict()))

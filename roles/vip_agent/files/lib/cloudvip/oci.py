# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI's private-IP API: one UpdatePrivateIp moves an address, one ListPrivateIps tells what a VNIC has."""

import collections
import json
import os
import threading
import urllib.parse
from typing import Any, Callable, Deque, Dict, FrozenSet, NamedTuple, Optional, Sequence, Set

from cloudvip.clock import Clock, Deadline
from cloudvip.cloud import Assigned, Cloud, Location
from cloudvip.config import OciSettings
from cloudvip.errors import CloudError, ErrorKind
from cloudvip.federation import Credential, Federation, Session
from cloudvip.model import Truth, Vip
from cloudvip.retry import delay
from cloudvip.signing import Request, signed_headers
from cloudvip.state import State
from cloudvip.transport import Endpoint, Response, check

_BASE = "/20160918"
# More calls than this at once meet the service's throttling sooner than they save time.
_POOL = 32
_PAGE_SIZE = 100

# What to allow when the answer is 404, which is also how the API says "not allowed".
_UPDATE_REMEDY = (
    "permission or object missing; the policy needs: allow dynamic-group <group> to use private-ips in compartment "
    "<compartment> where any {request.permission='PRIVATE_IP_READ', request.permission='PRIVATE_IP_UPDATE'} and: allow "
    "dynamic-group <group> to use vnics in compartment <compartment> where any {request.permission='VNIC_ASSIGN', "
    "request.permission='VNIC_UNASSIGN'}"
)
_READ_REMEDY = (
    "permission or object missing; the policy needs: allow dynamic-group <group> to inspect private-ips in compartment "
    "<compartment>"
)


class PrivateIp(NamedTuple):
    """What the cloud says of an address. `vnic_id` is None while no VNIC has it."""

    id: str
    address: str
    vnic_id: Optional[str]


def _private_ip(data: Any) -> PrivateIp:
    try:
        vnic_id = data["vnicId"]
        return PrivateIp(str(data["id"]), str(data["ipAddress"]), None if vnic_id is None else str(vnic_id))
    except (KeyError, TypeError) as error:
        raise CloudError(ErrorKind.RETRYABLE, "the answer is not a private IP") from error


class Oci(Cloud):
    """The client."""

    def __init__(self, settings: OciSettings, state: State, clock: Clock) -> None:
        self.session = Session(Federation(settings, state, clock), state, clock)
        self._endpoint = Endpoint(settings.endpoint, settings.ca_bundle, state)
        self._clock = clock

    def remember_address(self) -> None:
        """Resolve the endpoint's name for a day without DNS."""
        self._endpoint.remember()

    def private_ip(self, private_ip_id: str, deadline: Deadline) -> PrivateIp:
        """GetPrivateIp. Raises CloudError."""
        target = "{}/privateIps/{}".format(_BASE, urllib.parse.quote(private_ip_id, safe=""))
        return _private_ip(self._read("GetPrivateIp", target, deadline).json())

    def private_ip_ids(self, vnic_id: str, deadline: Deadline) -> FrozenSet[str]:
        """ListPrivateIps, all pages: the OCIDs of the addresses that a VNIC has. Raises CloudError."""
        query = {"vnicId": vnic_id, "limit": str(_PAGE_SIZE)}
        found: Set[str] = set()
        while True:
            target = f"{_BASE}/privateIps?{urllib.parse.urlencode(query)}"
            response = self._read("ListPrivateIps", target, deadline)
            items = response.json()
            if not isinstance(items, list):
                raise CloudError(ErrorKind.RETRYABLE, "ListPrivateIps: the answer is not a list")
            found.update(_private_ip(item).id for item in items)
            page = response.headers.get("opc-next-page")
            if not page:
                return frozenset(found)
            query["page"] = page

    def locate(self, vips: Sequence[Vip], deadline: Deadline) -> Dict[str, Location]:
        """Where the cloud delivers each VIP, by address: one ListPrivateIps per VNIC."""
        found: Dict[str, Location] = {}
        for vnic_id in sorted({vip.vnic_id for vip in vips}):
            mine = [vip for vip in vips if vip.vnic_id == vnic_id]
            try:
                present = self.private_ip_ids(vnic_id, deadline)
            except CloudError as error:
                found.update((vip.address, Location(Truth.UNKNOWN, str(error))) for vip in mine)
                continue
            for vip in mine:
                found[vip.address] = Location(Truth.HERE if vip.private_ip_id in present else Truth.ELSEWHERE, "")
        return found

    def owner(self, vip: Vip, deadline: Deadline) -> Optional[str]:
        """The OCID of the VNIC that has a VIP; None if none has it. Raises CloudError."""
        return self.private_ip(vip.private_ip_id, deadline).vnic_id

    def accepts(self, credential: Credential, vnic_id: str, deadline: Deadline) -> bool:
        """Whether the API takes a credential. Only a clear refusal is a no: an API that is down refuses nothing."""
        target = "{}/privateIps?{}".format(_BASE, urllib.parse.urlencode({"vnicId": vnic_id, "limit": "1"}))
        try:
            self._call("ListPrivateIps", Request("GET", target, self._endpoint.netloc), credential, deadline)
        except CloudError as error:
            return error.kind is not ErrorKind.AUTH
        return True

    def assign(
        self, vips: Sequence[Vip], deadline: Deadline, done: Callable[[Assigned], None], may_send: Callable[[], str]
    ) -> None:
        """One UpdatePrivateIp for each VIP, all at once."""
        waiting: Deque[Vip] = collections.deque(vips)
        results: Dict[str, Assigned] = {}
        lock = threading.Lock()

        def report(result: Assigned) -> None:
            with lock:
                # Past the deadline the caller has been told that this VIP failed; the word is not changed.
                if result.vip.address in results:
                    return
                results[result.vip.address] = result
            done(result)

        def work() -> None:
            while True:
                try:
                    vip = waiting.popleft()
                except IndexError:
                    return
                report(self._assign(vip, deadline, may_send))

        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_POOL, len(vips)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline.remaining()))
        late = CloudError(ErrorKind.RETRYABLE, "UpdatePrivateIp: no answer in time")
        for vip in vips:
            report(Assigned(vip, 0.0, 0, "", late))

    def _assign(self, vip: Vip, deadline: Deadline, may_send: Callable[[], str]) -> Assigned:
        began = self._clock.monotonic()
        attempts = 0
        while True:
            attempts += 1
            credential = None
            try:
                credential = self.session.credential()
                refusal = may_send()
                if refusal:
                    raise CloudError(ErrorKind.FATAL, refusal)
                request_id = self._update(vip, credential, deadline)
                return Assigned(vip, self._clock.monotonic() - began, attempts, request_id, None)
            except CloudError as error:
                failure = error
            if failure.kind is ErrorKind.AUTH and credential:
                try:
                    self.session.replace(credential)
                    continue
                except CloudError as error:
                    failure = error
            wait = delay(failure, attempts, self._clock.uniform)
            if wait is None or wait >= deadline.remaining():
                return Assigned(vip, self._clock.monotonic() - began, attempts, "", failure)
            self._clock.sleep(wait)

    def _update(self, vip: Vip, credential: Credential, deadline: Deadline) -> str:
        """UpdatePrivateIp; returns the request's id."""
        target = "{}/privateIps/{}".format(_BASE, urllib.parse.quote(vip.private_ip_id, safe=""))
        body = json.dumps({"vnicId": vip.vnic_id}).encode("ascii")
        request = Request("PUT", target, self._endpoint.netloc, body)
        try:
            response = self._call("UpdatePrivateIp", request, credential, deadline)
        except CloudError as error:
            raise self._with_remedy(error, _UPDATE_REMEDY) from error
        if _private_ip(response.json()).vnic_id != vip.vnic_id:
            raise CloudError(ErrorKind.CONFLICT, "UpdatePrivateIp: the answer names another VNIC")
        return response.headers.get("opc-request-id", "")

    def _read(self, what: str, target: str, deadline: Deadline) -> Response:
        request = Request("GET", target, self._endpoint.netloc)
        credential = self.session.credential()
        try:
            try:
                return self._call(what, request, credential, deadline)
            except CloudError as error:
                if error.kind is not ErrorKind.AUTH:
                    raise
                self.session.replace(credential)
                return self._call(what, request, self.session.credential(), deadline)
        except CloudError as error:
            raise self._with_remedy(error, _READ_REMEDY) from error

    def _call(self, what: str, request: Request, credential: Credential, deadline: Deadline) -> Response:
        headers = signed_headers(request, credential.key_id, credential.key, self._clock.now())
        headers["opc-request-id"] = os.urandom(16).hex().upper()
        timeout = deadline.remaining()
        if timeout <= 0:
            raise CloudError(ErrorKind.RETRYABLE, f"{what}: no time left")
        try:
            response = self._endpoint.call(request.method, request.target, headers, request.body, timeout)
        except CloudError as error:
            raise CloudError(error.kind, f"{what}: {error}") from error
        return check(response, what)

    @staticmethod
    def _with_remedy(error: CloudError, remedy: str) -> CloudError:
        if error.kind is not ErrorKind.PERMISSION:
            return error
        return CloudError(error.kind, f"{error}: {remedy}", error.status, error.retry_after)

# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI's private-IP API: one UpdatePrivateIp moves an address, one ListPrivateIps tells what a VNIC has.

IPv6 addresses are objects of another kind, with the same calls under another path.
"""

import collections
import json
import re
import socket
import threading
from typing import Any, Callable, Deque, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

from cloudvip.clock import Clock, Deadline
from cloudvip.cloud import Assigned, Cloud, Location
from cloudvip.config import OciSettings
from cloudvip.errors import CloudError, ErrorKind
from cloudvip.federation import Credential, Federation, Session
from cloudvip.model import Truth, Vip
from cloudvip.retry import delay
from cloudvip.signing import Request, signed_call
from cloudvip.state import State
from cloudvip.transport import Endpoint, Response, check

_T = TypeVar("_T")

_BASE = "/20160918/"
# More calls than this at once meet the service's throttling sooner than they save time.
_POOL = 32
_PAGE_SIZE = "100"
# Seconds for one call. Longer than a slow API needs, short enough that one that hangs leaves time for another attempt.
_TIMEOUT = 8.0
# How often a claim tries to get a token when it has none.
_TOKEN_ATTEMPTS = 2
_LATE = "the API did not answer in time"

_GROUP = "allow dynamic-group <group> to {} in compartment <compartment>"
_ANY = " where any {{request.permission='{}', request.permission='{}'}}"


class _Kind(NamedTuple):
    """One of the two kinds of objects that have an address. update, read: what a policy needs for it."""

    path: str
    name: str
    update: str
    read: str


_MOVE = " and: " + _GROUP.format("use vnics") + _ANY.format("VNIC_ASSIGN", "VNIC_UNASSIGN")
_IPV4 = _Kind(
    "privateIps",
    "PrivateIp",
    _GROUP.format("use private-ips") + _ANY.format("PRIVATE_IP_READ", "PRIVATE_IP_UPDATE") + _MOVE,
    _GROUP.format("inspect private-ips"),
)
_IPV6 = _Kind(
    "ipv6",
    "Ipv6",
    _GROUP.format("manage ipv6s") + _ANY.format("IPV6_READ", "IPV6_UPDATE") + _MOVE,
    _GROUP.format("read ipv6s") + " and: " + _GROUP.format("inspect virtual-network-family"),
)


class PrivateIp(NamedTuple):
    """What the cloud says of an address. `vnic_id` is None while no VNIC has it."""

    id: str
    address: str
    vnic_id: Optional[str]


def _canonical(address: str) -> str:
    """An IPv6 address can be written in many ways. Raises OSError."""
    return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, address)) if ":" in address else address


def _private_ip(data: Any) -> PrivateIp:
    try:
        vnic_id = data["vnicId"]
        address = _canonical(str(data["ipAddress"]))
        return PrivateIp(str(data["id"]), address, None if vnic_id is None else str(vnic_id))
    except (KeyError, TypeError, OSError) as error:
        raise CloudError(ErrorKind.RETRYABLE, "the answer is not a private IP") from error


def _kind(object_id: str) -> _Kind:
    return _IPV6 if object_id.startswith("ocid1.ipv6.") else _IPV4


def quote(text: str) -> str:
    """A text as part of a URL."""
    return re.sub(r"[^A-Za-z0-9._~-]", lambda match: "".join(f"%{byte:02X}" for byte in match.group().encode()), text)


def _at_once(work: Callable[[_T], None], items: Sequence[_T], deadline: Deadline) -> None:
    """Work on all items at the same time. Returns at the deadline at the latest, whatever is still going on."""
    waiting: Deque[_T] = collections.deque(items)

    def run() -> None:
        while True:
            try:
                item = waiting.popleft()
            except IndexError:
                return
            work(item)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(min(_POOL, len(items)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline.remaining()))


class Oci(Cloud):
    """The client."""

    def __init__(self, settings: OciSettings, state: State, clock: Clock) -> None:
        federation = Federation(settings, state, clock)
        self.session = Session(federation, state, clock)
        self._signing_clock = federation.signing_clock
        self._endpoint = Endpoint(settings.endpoint, settings.ca_bundle, state)
        self._clock = clock

    def remember_address(self) -> None:
        """Resolve the endpoint's name for a day without DNS."""
        self._endpoint.remember()

    def locate(self, vips: Sequence[Vip], deadline: Deadline) -> Dict[str, Location]:
        """Where the cloud delivers each VIP, by address: one list per VNIC and kind, all at the same time.

        Only an address that is not where it should be costs a call of its own.
        """
        present: Dict[Tuple[str, bool], FrozenSet[str]] = {}
        problems: Dict[Tuple[str, bool], str] = {}

        def look(key: Tuple[str, bool]) -> None:
            vnic_id, ipv6 = key
            try:
                found = self._list(_IPV6 if ipv6 else _IPV4, {"vnicId": vnic_id}, deadline)
                present[key] = frozenset(item.address for item in found)
            except CloudError as error:
                problems[key] = str(error)

        _at_once(look, sorted({(vip.vnic_id, vip.ipv6) for vip in vips}), deadline)
        located = {}
        for vip in vips:
            key = (vip.vnic_id, vip.ipv6)
            if key in present:
                here = _canonical(vip.address) in present[key]
                located[vip.address] = Location(Truth.HERE if here else Truth.ELSEWHERE, "")
            else:
                located[vip.address] = Location(Truth.UNKNOWN, problems.get(key, _LATE))
        missing = [vip for vip in vips if located[vip.address].truth is Truth.ELSEWHERE]
        located.update((vip.address, Location(Truth.UNKNOWN, _LATE)) for vip in missing)

        def confirm(vip: Vip) -> None:
            # A list may lag behind the move that has just been made, and a group is let go of for what is said here:
            # the object itself has the last word. One that is gone is nowhere.
            try:
                here = self._get(vip.private_ip_id, deadline).vnic_id == vip.vnic_id
                found = Location(Truth.HERE if here else Truth.ELSEWHERE, "")
            except CloudError as error:
                gone = error.kind is ErrorKind.PERMISSION
                found = Location(Truth.ELSEWHERE, "") if gone else Location(Truth.UNKNOWN, str(error))
            located[vip.address] = found

        _at_once(confirm, missing, deadline)
        return located

    def accepts(self, credential: Credential, vnic_id: str, deadline: Deadline) -> bool:
        """Whether the API takes a credential. Only a clear refusal is a no: an API that is down refuses nothing."""
        target = f"{_BASE}{_IPV4.path}?vnicId={quote(vnic_id)}&limit=1"
        try:
            request = Request("GET", target, self._endpoint.netloc)
            self._call("ListPrivateIps", _IPV4.read, request, credential, deadline)
        except CloudError as error:
            return error.kind is not ErrorKind.AUTH
        return True

    def assign(
        self, vips: Sequence[Vip], deadline: Deadline, done: Callable[[Assigned], None], may_send: Callable[[], str]
    ) -> None:
        """One UpdatePrivateIp for each VIP, all at once."""
        results: Dict[str, Assigned] = {}
        lock = threading.Lock()

        def report(result: Assigned) -> None:
            with lock:
                # Past the deadline the caller has been told that this VIP failed; the word is not changed.
                if result.vip.address in results:
                    return
                results[result.vip.address] = result
            done(result)

        def left() -> int:
            return len(vips) - len(results)

        _at_once(lambda vip: report(self._assign(vip, deadline, may_send, left)), vips, deadline)
        late = CloudError(ErrorKind.RETRYABLE, "UpdatePrivateIp: no answer in time")
        for vip in vips:
            report(Assigned(vip, 0.0, 0, "", late))

    def _assign(self, vip: Vip, deadline: Deadline, may_send: Callable[[], str], left: Callable[[], int]) -> Assigned:
        began = self._clock.monotonic()
        attempts = tokenless = 0
        # A throttled call says nothing about the permission, so each kind of failure has its own attempts.
        failures: Dict[ErrorKind, int] = collections.defaultdict(int)
        object_id = vip.private_ip_id
        note = ""
        while True:
            attempts += 1
            credential = None
            try:
                credential = self.session.credential()
                request_id = self._update(vip, object_id, credential, deadline, may_send)
                return Assigned(vip, self._clock.monotonic() - began, attempts, request_id, None, note)
            except CloudError as error:
                failure = error
            failures[failure.kind] += 1
            wait = delay(failure, failures[failure.kind], left(), self._clock.uniform)
            tokenless += credential is None
            if tokenless >= _TOKEN_ATTEMPTS:
                # Another node may well have a token, and gets its turn only when this one has failed.
                wait = None
            try:
                if failure.kind is ErrorKind.AUTH and credential:
                    self.session.replace(credential)
                    continue
                if failure.kind is ErrorKind.PERMISSION and wait is None and not note:
                    object_id = self._find_again(vip, failure, deadline, may_send)
                    note = f"the object of {vip.address} is {object_id} now; run the playbook"
                    continue
            except CloudError as error:
                failure = error
                failures[failure.kind] += 1
                wait = delay(failure, failures[failure.kind], left(), self._clock.uniform)
            if wait is None or wait >= deadline.remaining():
                return Assigned(vip, self._clock.monotonic() - began, attempts, "", failure, note)
            self._clock.sleep(wait)

    def _update(
        self, vip: Vip, object_id: str, credential: Credential, deadline: Deadline, may_send: Callable[[], str]
    ) -> str:
        """UpdatePrivateIp; returns the request's id."""
        kind = _kind(vip.private_ip_id)
        operation = "Update" + kind.name
        request = Request(
            "PUT",
            f"{_BASE}{kind.path}/{quote(object_id)}",
            self._endpoint.netloc,
            json.dumps({"vnicId": vip.vnic_id}).encode("ascii"),
        )
        try:
            response = self._call(operation, kind.update, request, credential, deadline, may_send)
            if _private_ip(response.json()).vnic_id != vip.vnic_id:
                raise CloudError(ErrorKind.CONFLICT, f"{operation}: the answer names another VNIC")
            return response.headers.get("opc-request-id", "")
        except CloudError as error:
            # What was in the way may have been this node's own request, of which the answer was lost.
            if error.kind is ErrorKind.CONFLICT and self._get(object_id, deadline, may_send).vnic_id == vip.vnic_id:
                return ""
            raise

    def _find_again(self, vip: Vip, failure: CloudError, deadline: Deadline, may_send: Callable[[], str]) -> str:
        """The OCID of the object that has the VIP's address now. Raises CloudError: `failure` if that is no news."""
        if not vip.subnet_id:
            raise failure
        query = {"subnetId": vip.subnet_id, "ipAddress": vip.address}
        try:
            found = self._list(_kind(vip.private_ip_id), query, deadline, may_send)
        except CloudError as error:
            raise failure if error.kind is ErrorKind.PERMISSION else error from error
        if not found:
            text = "no private IP object for {} exists in subnet {}; run the playbook"
            raise CloudError(ErrorKind.FATAL, text.format(vip.address, vip.subnet_id))
        if found[0].id == vip.private_ip_id:
            text = "{}; the object exists, so it is the permission or this node's VNIC {}"
            raise CloudError(failure.kind, text.format(failure, vip.vnic_id), failure.status)
        return found[0].id

    def _get(self, object_id: str, deadline: Deadline, may_send: Optional[Callable[[], str]] = None) -> PrivateIp:
        kind = _kind(object_id)
        target = f"{_BASE}{kind.path}/{quote(object_id)}"
        return _private_ip(self._read("Get" + kind.name, kind.read, target, deadline, may_send).json())

    def _list(
        self, kind: _Kind, query: Dict[str, str], deadline: Deadline, may_send: Optional[Callable[[], str]] = None
    ) -> List[PrivateIp]:
        """All pages of a ListPrivateIps."""
        operation = f"List{kind.name}s"
        query = dict(query, limit=_PAGE_SIZE)
        found: List[PrivateIp] = []
        while True:
            parameters = "&".join(f"{name}={quote(value)}" for name, value in query.items())
            target = f"{_BASE}{kind.path}?{parameters}"
            response = self._read(operation, kind.read, target, deadline, may_send)
            items = response.json()
            if not isinstance(items, list):
                raise CloudError(ErrorKind.RETRYABLE, f"{operation}: the answer is not a list")
            found += [_private_ip(item) for item in items]
            page = response.headers.get("opc-next-page")
            if not page:
                return found
            query["page"] = page

    def _read(
        self, operation: str, needed: str, target: str, deadline: Deadline, may_send: Optional[Callable[[], str]]
    ) -> Response:
        request = Request("GET", target, self._endpoint.netloc)
        credential = self.session.credential()
        try:
            return self._call(operation, needed, request, credential, deadline, may_send)
        except CloudError as error:
            if error.kind is not ErrorKind.AUTH:
                raise
        self.session.replace(credential)
        return self._call(operation, needed, request, self.session.credential(), deadline, may_send)

    def _call(
        self,
        operation: str,
        needed: str,
        request: Request,
        credential: Credential,
        deadline: Deadline,
        may_send: Optional[Callable[[], str]] = None,
    ) -> Response:
        """needed: what to allow if the answer is 404, which is also how the API says "not allowed"."""
        timeout = min(_TIMEOUT, deadline.remaining())
        if timeout <= 0:
            raise CloudError(ErrorKind.RETRYABLE, f"{operation}: no time left")
        try:
            response = signed_call(
                self._endpoint, request, credential.key_id, credential.key, self._signing_clock, timeout, may_send
            )
        except CloudError as error:
            raise CloudError(error.kind, f"{operation}: {error}") from error
        try:
            return check(response, operation)
        except CloudError as error:
            if error.kind is not ErrorKind.PERMISSION:
                raise
            text = f"{error}: permission or object missing; the policy needs: {needed}"
            raise CloudError(error.kind, text, error.status) from error

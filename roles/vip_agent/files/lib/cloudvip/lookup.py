# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that people wait for: each is sent once, and one list per subnet says who has which address."""

import ipaddress
import json
import threading
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

from cloudvip.clock import Deadline
from cloudvip.config import OciSettings
from cloudvip.errors import CloudError, ErrorKind
from cloudvip.federation import Federation, Session
from cloudvip.model import Truth, Vip
from cloudvip.mover import Mover
from cloudvip.oci import Oci, quote
from cloudvip.signing import Request, signed_call
from cloudvip.transport import Endpoint, Response, check

_T = TypeVar("_T")

REFRESH_SECONDS = 60.0
"""How long a renewal of the token may take, with all that it asks for."""
_ACCEPT_SECONDS = 20.0


class Holder(NamedTuple):
    """Where the cloud delivers a VIP: to this node's VNIC or not, and to which.

    detail: what is odd about that. refused: it is unknown for want of a permission.
    """

    truth: Truth
    vnic_id: Optional[str] = None
    detail: str = ""
    refused: bool = False


class Api:
    """The API, until a deadline. `skew`: how far its clock is ahead of this node's in seconds; 0 if that is little."""

    def __init__(self, mover: Mover, settings: OciSettings, seconds: float) -> None:
        federation = Federation(settings, mover.state, mover.clock)
        self.session = Session(federation, mover.state, mover.clock)
        self._clock = federation.signing_clock
        self._endpoint = Endpoint(settings.endpoint, settings.ca_bundle, mover.state)
        self._seconds = seconds
        self._deadline = Deadline(mover.clock, seconds)

    @property
    def skew(self) -> float:
        """Seconds that the cloud's clock is ahead; 0 for less than a minute."""
        return self._clock.skew

    def call(self, what: str, method: str, path: str, body: Any = None, if_match: str = "") -> Response:
        """One call. Raises CloudError."""
        credential = within(self._left(what), self.session.credential)
        data = b"" if body is None else json.dumps(body).encode("ascii")
        request = Request(method, "/20160918/" + path, self._endpoint.netloc, data, if_match)
        left = self._left(what)
        try:
            response = signed_call(self._endpoint, request, credential.key_id, credential.key, self._clock, left)
        except CloudError as error:
            raise CloudError(error.kind, f"{what}: {error}") from error
        return check(response, what)

    def _left(self, what: str) -> float:
        left = self._deadline.remaining()
        if left <= 0:
            raise CloudError(ErrorKind.RETRYABLE, f"{what}: no time left")
        return left

    def addresses(self, ipv6: bool, subnet_id: str) -> List[Any]:
        """All addresses of a subnet, by as many pages as it takes. Raises CloudError."""
        path = f"{path_of(ipv6)}?limit=100&subnetId={subnet_id}"
        found: List[Any] = []
        page: Optional[str] = ""
        while page is not None:
            response = self.call("ListIpv6s" if ipv6 else "ListPrivateIps", "GET", path + page)
            found += response.json()
            more = response.headers.get("opc-next-page")
            page = f"&page={quote(more)}" if more else None
        return found

    def holders(self, vips: Sequence[Vip]) -> Dict[str, Holder]:
        """Who has each VIP, by address; asked all at once."""
        places: Dict[Tuple[bool, str], List[Vip]] = {}
        for vip in vips:
            places.setdefault((vip.ipv6, vip.subnet_id), []).append(vip)
        found: Dict[str, Holder] = {}

        def look(place: Tuple[bool, str], mine: List[Vip]) -> None:
            try:
                items = self.addresses(*place)
                found.update((vip.address, _holder(vip, items)) for vip in mine)
            except CloudError as error:
                unknown = Holder(Truth.UNKNOWN, None, str(error), error.kind is ErrorKind.PERMISSION)
                found.update((vip.address, unknown) for vip in mine)

        threads = [threading.Thread(target=look, args=item, daemon=True) for item in places.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, self._deadline.remaining()))
        late = Holder(Truth.UNKNOWN, None, f"no answer within {self._seconds:.0f} s")
        return {vip.address: found.get(vip.address, late) for vip in vips}


def within(seconds: float, work: Callable[[], _T]) -> _T:
    """What `work` returns, if it does in time. For work whose own time limits add up to more; it goes on unwatched.

    Raises CloudError: that of `work`, or one that says that the time is over.
    """
    if seconds <= 0:
        raise CloudError(ErrorKind.RETRYABLE, "no time left")
    results: List[_T] = []
    failures: List[CloudError] = []

    def run() -> None:
        try:
            results.append(work())
        except CloudError as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if not results:
        raise CloudError(ErrorKind.RETRYABLE, f"no answer within {seconds:.0f} s")
    return results[0]


def path_of(ipv6: bool) -> str:
    """The part of the API's paths that names the kind of object."""
    return "ipv6" if ipv6 else "privateIps"


def _holder(vip: Vip, items: List[Any]) -> Holder:
    try:
        known = {item["id"]: item["vnicId"] for item in items}
        object_id = vip.private_ip_id
        if object_id not in known:
            wanted = ipaddress.ip_address(vip.address)
            object_id = next((i["id"] for i in items if ipaddress.ip_address(i["ipAddress"]) == wanted), "")
    except (KeyError, TypeError, ValueError) as error:
        raise CloudError(ErrorKind.RETRYABLE, "the answer is not a list of private IPs") from error
    if not object_id:
        return Holder(Truth.ELSEWHERE, None, f"{vip.private_ip_id} does not exist; run the playbook")
    vnic_id = known[object_id]
    detail = "" if object_id == vip.private_ip_id else f"its object is {object_id} now; run the playbook"
    return Holder(Truth.HERE if vnic_id == vip.vnic_id else Truth.ELSEWHERE, vnic_id, detail)


def refresh_token(mover: Mover, settings: OciSettings, vips: Sequence[Vip], seconds: float = REFRESH_SECONDS) -> None:
    """Get a new token and keep it if the API accepts it; until then the old one stays. Raises CloudError."""
    client = Oci(settings, mover.state, mover.clock)
    deadline = Deadline(mover.clock, min(seconds, _ACCEPT_SECONDS))

    def refresh() -> None:
        client.session.refresh(lambda fresh: not vips or client.accepts(fresh, vips[0].vnic_id, deadline))
        client.remember_address()

    within(seconds, refresh)

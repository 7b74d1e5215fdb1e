# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of OCI's private-IP API against a cloud on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloudvip.clock import Clock, Deadline
from cloudvip.cloud import Assigned, Location
from cloudvip.config import OciSettings, parse
from cloudvip.errors import ErrorKind
from cloudvip.model import Truth, Vip
from cloudvip.oci import Oci
from cloudvip.state import State

from tests.unit.roles.vip_agent.fakes import (
    OTHER_VNIC,
    POD1,
    POD1_V6,
    TOKEN_LIFETIME,
    TRANSIT,
    VNICS,
    FakeClock,
    FakeCloud,
    Fault,
)

VIP, VIP6 = Vip(**POD1), Vip(**POD1_V6)
OBJECTS = "/20160918/privateIps"
NEW_ID = "ocid1.privateip.oc99.lab.made-anew"
NOT_FOUND = {"code": "NotAuthorizedOrNotFound", "message": "no such thing"}
CONFLICT = {"code": "Conflict", "message": "busy"}


class Client(Oci):
    """With the claims of one node at hand."""

    def __init__(self, settings: dict[str, Any], directory: Path, clock: Clock) -> None:
        self.state = State(str(directory / "run"))
        self.clock = clock
        parsed: OciSettings = parse({"version": 1, "cloud": "oci", "oci": settings, "groups": {}}, "test").oci
        super().__init__(parsed, self.state, clock)
        self.refusals: list[str] = []

    def claim(self, *vips: Vip, seconds: float = 50) -> list[Assigned]:
        """What becomes of a claim. `refusals` are the answers to "may this still be sent?", then it may."""
        results: list[Assigned] = []
        self.assign(
            vips, Deadline(self.clock, seconds), results.append, lambda: self.refusals.pop(0) if self.refusals else ""
        )
        assert len(results) == len(vips)
        return results

    def find(self, *vips: Vip, seconds: float = 20) -> dict[str, Location]:
        return self.locate(vips, Deadline(self.clock, seconds))


@pytest.fixture
def clock(cloud: FakeCloud) -> FakeClock:
    clock = cloud.clock = FakeClock()
    return clock


@pytest.fixture
def client(cloud: FakeCloud, clock: FakeClock, tmp_path: Path) -> Client:
    return Client(cloud.settings(), tmp_path, clock)


def replace_object(cloud: FakeCloud) -> None:
    """The VIP's object was deleted and made anew: its address has another OCID."""
    old = cloud.private_ips.pop(VIP.private_ip_id)
    cloud.private_ips[NEW_ID] = {**old, "id": NEW_ID}


def test_an_ipv6_address_is_moved_as_an_ipv6_object(client: Client, cloud: FakeCloud) -> None:
    results = client.claim(VIP, VIP6)

    assert [r.error for r in results] == [None, None]
    assert cloud.ipv6s[VIP6.private_ip_id]["vnicId"] == VNICS["ens5"]
    assert {c.path for c in cloud.of("PUT", "")} == {
        f"{OBJECTS}/{VIP.private_ip_id}",
        f"/20160918/ipv6/{VIP6.private_ip_id}",
    }


def test_a_missing_ipv6_permission_is_named(client: Client, cloud: FakeCloud) -> None:
    cloud.faults += [Fault("PUT", "/ipv6/", 404, NOT_FOUND, count=9), Fault("GET", "/ipv6", 404, NOT_FOUND, count=9)]

    (result,) = client.claim(VIP6)

    assert result.error
    assert "UpdateIpv6: 404" in str(result.error)
    assert "manage ipv6s" in str(result.error)


@pytest.mark.parametrize(
    ("vips", "lists"),
    [
        ((VIP,), {"/20160918/privateIps"}),
        ((VIP6,), {"/20160918/ipv6"}),
        ((VIP, VIP6), {"/20160918/privateIps", "/20160918/ipv6"}),
    ],
)
def test_only_the_lists_that_are_needed_are_asked_for(
    client: Client, cloud: FakeCloud, vips: tuple[Vip, ...], lists: set[str]
) -> None:
    client.claim(*vips)
    cloud.calls.clear()

    assert client.find(*vips) == {vip.address: Location(Truth.HERE, "") for vip in vips}
    assert {c.path for c in cloud.calls} == lists
    assert len(cloud.calls) == len(lists)


def test_an_address_is_not_taken_for_another_that_begins_like_it(client: Client, cloud: FakeCloud) -> None:
    for address in ("10.0.0.40", "10.0.0.14", "110.0.0.4"):
        cloud.private_ips[address] = {"id": address, "ipAddress": address, "vnicId": VIP.vnic_id}

    assert client.find(VIP)[VIP.address].truth is Truth.ELSEWHERE


def test_an_address_whose_object_is_another_one_now_is_still_here(client: Client, cloud: FakeCloud) -> None:
    replace_object(cloud)
    cloud.private_ips[NEW_ID]["vnicId"] = VIP.vnic_id

    assert client.find(VIP)[VIP.address].truth is Truth.HERE


def test_the_vnics_are_asked_at_the_same_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.session.credential()
    together = threading.Barrier(3)
    connect = socket.create_connection

    def meet(address: tuple[str, int], timeout: float) -> socket.socket:
        together.wait(timeout=10)
        return connect(address, timeout)

    monkeypatch.setattr(socket, "create_connection", meet)

    located = client.find(Vip(**TRANSIT), VIP, VIP6)

    assert {place.truth for place in located.values()} == {Truth.ELSEWHERE}


def test_one_vnic_that_cannot_be_asked_leaves_the_others_known(client: Client, cloud: FakeCloud) -> None:
    client.claim(VIP, VIP6)
    cloud.faults.append(Fault("GET", "/ipv6", 503, count=9))

    located = client.find(VIP, VIP6)

    assert located[VIP.address].truth is Truth.HERE
    assert located[VIP6.address].truth is Truth.UNKNOWN
    assert "ListIpv6s: 503" in located[VIP6.address].detail


@pytest.fixture
def deaf(client: Client, cloud: FakeCloud, tmp_path: Path) -> Iterator[Client]:
    """A client with real time, a good token and an API that accepts connections and never says anything."""
    client.session.credential()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = {**cloud.settings(), "endpoint": f"https://127.0.0.1:{listener.getsockname()[1]}"}
        yield Client(settings, tmp_path, Clock())


def test_a_list_that_lags_behind_a_move_is_not_believed(client: Client, cloud: FakeCloud) -> None:
    client.claim(VIP, VIP6)
    cloud.faults.append(Fault("GET", OBJECTS, 200, []))

    located = client.find(VIP, VIP6)

    assert {place.truth for place in located.values()} == {Truth.HERE}
    assert len(cloud.of("GET", f"{OBJECTS}/")) == 1


@pytest.mark.parametrize(
    ("status", "truth"), [(200, Truth.ELSEWHERE), (404, Truth.ELSEWHERE), (500, Truth.UNKNOWN), (429, Truth.UNKNOWN)]
)
def test_what_a_list_misses_is_elsewhere_only_by_the_object_s_own_word(
    client: Client, cloud: FakeCloud, status: int, truth: Truth
) -> None:
    if status != 200:
        cloud.faults.append(Fault("GET", f"{OBJECTS}/", status, NOT_FOUND))

    assert client.find(VIP)[VIP.address].truth is truth


def test_an_api_that_never_answers_is_unknown_at_the_deadline(deaf: Client) -> None:
    began = time.monotonic()

    located = deaf.find(VIP, VIP6, seconds=0.3)

    assert time.monotonic() - began < 5
    assert {place.truth for place in located.values()} == {Truth.UNKNOWN}
    assert all(place.detail for place in located.values())


def test_a_claim_ends_at_its_deadline_whatever_the_api_does(deaf: Client) -> None:
    began = time.monotonic()

    results = deaf.claim(VIP, VIP6, seconds=0.3)

    assert time.monotonic() - began < 5
    assert [r.error.kind for r in results if r.error] == [ErrorKind.RETRYABLE] * 2


def test_a_claim_ends_at_its_deadline_when_the_metadata_service_hangs(cloud: FakeCloud, tmp_path: Path) -> None:
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = {**cloud.settings(), "metadata_url": f"http://127.0.0.1:{listener.getsockname()[1]}/opc/v2"}
        (result,) = Client(settings, tmp_path, Clock()).claim(VIP, seconds=0.3)

    assert time.monotonic() - began < 3
    assert result.error
    assert cloud.calls == []


def test_nothing_is_sent_any_more_when_the_node_stood_still(client: Client, cloud: FakeCloud) -> None:
    client.refusals = ["this node stood still for 31 s"]

    (result,) = client.claim(VIP)

    assert result.error
    assert result.error.kind is ErrorKind.FATAL
    assert "this node stood still for 31 s" in str(result.error)
    assert result.attempts == 1
    assert cloud.of("PUT", "") == []


def test_a_node_that_stood_still_between_two_attempts_does_not_make_the_second(
    client: Client, cloud: FakeCloud
) -> None:
    cloud.faults.append(Fault("PUT", "", 503))
    client.refusals = ["", "this node stood still for 31 s"]

    (result,) = client.claim(VIP)

    assert result.error
    assert result.error.kind is ErrorKind.FATAL
    assert len(cloud.of("PUT", "")) == 1


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_with_oneself_is_no_failure(client: Client, cloud: FakeCloud, status: int) -> None:
    cloud.private_ips[VIP.private_ip_id]["vnicId"] = VIP.vnic_id
    cloud.faults.append(Fault("PUT", "", status, CONFLICT))

    (result,) = client.claim(VIP)

    assert result.error is None
    assert [c.method for c in cloud.calls if c.path.startswith(OBJECTS)] == ["PUT", "GET"]


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_with_another_is_read_again_and_repeated(client: Client, cloud: FakeCloud, status: int) -> None:
    cloud.faults.append(Fault("PUT", "", status, CONFLICT))

    (result,) = client.claim(VIP)

    assert result.error is None
    assert [c.method for c in cloud.calls if c.path.startswith(OBJECTS)] == ["PUT", "GET", "PUT"]
    assert cloud.private_ips[VIP.private_ip_id]["vnicId"] == VIP.vnic_id


def test_a_conflict_that_cannot_be_read_is_repeated_too(client: Client, cloud: FakeCloud) -> None:
    cloud.faults += [Fault("PUT", "", 409, CONFLICT), Fault("GET", OBJECTS, 500)]

    (result,) = client.claim(VIP)

    assert result.error is None
    assert [c.method for c in cloud.calls if c.path.startswith(OBJECTS)] == ["PUT", "GET", "PUT"]


def test_a_storm_of_one_kind_uses_up_no_attempts_of_another(client: Client, cloud: FakeCloud) -> None:
    cloud.faults += [Fault("PUT", "", 429, count=6), Fault("PUT", "", 409, CONFLICT), Fault("PUT", "", 404, NOT_FOUND)]

    (result,) = client.claim(VIP)

    assert result.error is None
    assert result.attempts == 9
    # The conflict is looked into; nothing is looked up for want of an object.
    assert [c.path for c in cloud.of("GET", OBJECTS)] == [f"{OBJECTS}/{VIP.private_ip_id}"]


def test_an_object_that_was_made_anew_is_found_by_its_address_and_moved(client: Client, cloud: FakeCloud) -> None:
    replace_object(cloud)

    (result,) = client.claim(VIP)

    assert result.error is None
    assert result.vip == VIP
    assert NEW_ID in result.note
    assert cloud.private_ips[NEW_ID]["vnicId"] == VIP.vnic_id
    assert len(cloud.of("GET", OBJECTS)) == 1


def test_the_look_up_survives_an_api_that_is_down_for_a_moment(client: Client, cloud: FakeCloud) -> None:
    replace_object(cloud)
    cloud.faults.append(Fault("GET", OBJECTS, 503))

    (result,) = client.claim(VIP)

    assert result.error is None
    assert cloud.private_ips[NEW_ID]["vnicId"] == VIP.vnic_id


def test_an_object_that_does_not_exist_is_never_made(client: Client, cloud: FakeCloud) -> None:
    del cloud.private_ips[VIP.private_ip_id]

    (result,) = client.claim(VIP)

    assert result.error
    assert result.error.kind is ErrorKind.FATAL
    assert str(result.error) == (
        f"no private IP object for 10.0.0.4 exists in subnet {VIP.subnet_id}; run the playbook"
    )
    assert {c.path for c in cloud.of("POST", "")} == {"/v1/x509"}
    assert len(cloud.of("GET", OBJECTS)) == 1


def test_a_permission_that_is_missing_is_told_from_an_object_that_is(client: Client, cloud: FakeCloud) -> None:
    cloud.faults.append(Fault("PUT", "", 404, NOT_FOUND, count=9))

    (result,) = client.claim(VIP)

    assert result.error
    assert "PRIVATE_IP_UPDATE" in str(result.error)
    assert f"the object exists, so it is the permission or this node's VNIC {VIP.vnic_id}" in str(result.error)


def test_without_any_permission_the_policy_for_the_move_is_named(client: Client, cloud: FakeCloud) -> None:
    cloud.faults += [Fault("PUT", "", 404, NOT_FOUND, count=9), Fault("GET", OBJECTS, 404, NOT_FOUND, count=9)]

    (result,) = client.claim(VIP)

    assert result.error
    assert "UpdatePrivateIp: 404" in str(result.error)
    assert "permission or object missing; the policy needs: allow dynamic-group" in str(result.error)
    assert "PRIVATE_IP_UPDATE" in str(result.error)
    assert len(cloud.of("PUT", "")) == 4


def test_a_vip_without_a_known_subnet_is_not_looked_up(client: Client, cloud: FakeCloud) -> None:
    replace_object(cloud)

    (result,) = client.claim(VIP._replace(subnet_id=""))

    assert result.error
    assert "PRIVATE_IP_UPDATE" in str(result.error)
    assert cloud.of("GET", OBJECTS) == []


def test_a_node_that_gets_no_token_leaves_the_claim_to_another_one_soon(
    client: Client, cloud: FakeCloud, clock: FakeClock
) -> None:
    cloud.faults.append(Fault("POST", "/v1/x509", 503, count=99))

    (result,) = client.claim(VIP)

    assert result.error
    assert "federation: 503" in str(result.error)
    assert (result.attempts, len(cloud.of("POST", "/v1/x509"))) == (2, 2)
    assert clock.monotonic() < 5


def test_a_token_serves_to_its_last_second_when_there_is_no_new_one(
    client: Client, cloud: FakeCloud, clock: FakeClock
) -> None:
    client.session.credential()
    clock.sleep(TOKEN_LIFETIME - 10)
    cloud.metadata_down = True

    assert client.claim(VIP)[0].error is None

    clock.sleep(11)
    (result,) = client.claim(VIP, seconds=1)
    assert "metadata service" in str(result.error)


def test_a_failing_metadata_service_is_not_asked_for_each_address(client: Client, cloud: FakeCloud) -> None:
    cloud.metadata_down = True
    vips = [VIP._replace(address=f"10.0.0.{n}") for n in range(32)]
    first = threading.Barrier(32)
    credential = client.session.credential

    with pytest.MonkeyPatch.context() as patch:

        def all_at_once() -> object:
            with contextlib.suppress(threading.BrokenBarrierError):
                first.wait(timeout=10)
            return credential()

        patch.setattr(client.session, "credential", all_at_once)
        results = client.claim(*vips, seconds=0.1)

    assert all("metadata service" in str(r.error) for r in results)
    assert len(cloud.metadata_calls) <= 3


@pytest.mark.parametrize("ahead", [-360.0, 360.0])
def test_a_clock_that_is_six_minutes_off_is_corrected_without_a_new_token(
    client: Client, cloud: FakeCloud, ahead: float
) -> None:
    client.session.credential()
    cloud.ahead = ahead

    results = client.claim(VIP, VIP6)

    assert [r.error for r in results] == [None, None]
    assert len(cloud.of("POST", "/v1/x509")) == 1
    assert (client.state.read("clock") or {})["skew"] == pytest.approx(ahead, abs=2)


@pytest.mark.parametrize("ahead", [-360.0, 360.0])
def test_a_node_whose_clock_is_six_minutes_off_gets_its_first_token(
    client: Client, cloud: FakeCloud, clock: FakeClock, ahead: float
) -> None:
    cloud.ahead = ahead

    credential = client.session.credential()

    # By this node's own clock, right or wrong.
    assert credential.issued == clock.now()
    assert credential.expires == clock.now() + TOKEN_LIFETIME
    assert client.claim(VIP)[0].error is None
    assert len(cloud.of("POST", "/v1/x509")) == 2
    assert len(cloud.of("PUT", "")) == 1


def test_a_clock_that_was_put_right_is_believed_again(client: Client, cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.ahead = 360.0
    client.claim(VIP)
    cloud.ahead = 0.0
    later = Client(cloud.settings(), tmp_path, client.clock)

    assert later.claim(VIP)[0].error is None
    assert later.state.read("clock") is None
    assert len(cloud.of("POST", "/v1/x509")) == 2


def test_a_401_with_the_right_time_is_answered_with_a_new_token(client: Client, cloud: FakeCloud) -> None:
    cloud.faults.append(Fault("PUT", "", 401, {"code": "NotAuthenticated", "message": "no"}))

    assert client.claim(VIP)[0].error is None
    assert len(cloud.of("POST", "/v1/x509")) == 2
    assert len(cloud.of("PUT", "")) == 2


def test_a_takeover_needs_no_dns(client: Client, cloud: FakeCloud, tmp_path: Path) -> None:
    settings = {**cloud.settings(), "endpoint": cloud.url.replace("127.0.0.1", "localhost")}
    warm = Client(settings, tmp_path, client.clock)
    warm.session.credential()
    warm.remember_address()
    cloud.metadata_down = True
    resolve = socket.getaddrinfo

    def broken(host: str, port: int, *rest: int, **more: int) -> object:
        if host == "localhost":
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return resolve(host, port, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", broken)
        (result,) = Client(settings, tmp_path, client.clock).claim(VIP)

    assert result.error is None
    assert cloud.private_ips[VIP.private_ip_id]["vnicId"] == VIP.vnic_id


def test_the_claim_of_many_addresses_keeps_them_apart(client: Client, cloud: FakeCloud) -> None:
    vips = []
    for number in range(40):
        vip = VIP._replace(address=f"10.0.0.{number}", private_ip_id=f"ocid1.privateip.oc99.lab.{number}")
        entry = {"id": vip.private_ip_id, "ipAddress": vip.address, "subnetId": vip.subnet_id, "vnicId": OTHER_VNIC}
        cloud.private_ips[vip.private_ip_id] = entry
        vips.append(vip)
    cloud.faults.append(Fault("PUT", "lab.7", 400, {"code": "InvalidParameter", "message": "no"}))

    results = client.claim(*vips)

    assert {r.vip.address for r in results if r.error} == {"10.0.0.7"}
    assert [cloud.private_ips[v.private_ip_id]["vnicId"] for v in vips].count(VIP.vnic_id) == 39
    assert len(cloud.of("PUT", "")) == 40

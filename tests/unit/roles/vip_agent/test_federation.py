# SPDX-License-Identifier: GPL-3.0-or-later
"""The token: fetched, cached, refreshed, replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
from cloudvip.config import parse
from cloudvip.errors import CloudError, ErrorKind
from cloudvip.federation import Federation, Session, fingerprint, lifetime
from cloudvip.state import State

from tests.unit.roles.vip_agent.fakes import TOKEN_LIFETIME, FakeClock, FakeCloud, Fault


@pytest.fixture
def clock(cloud: FakeCloud) -> FakeClock:
    clock = cloud.clock = FakeClock()
    return clock


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(str(tmp_path / "run"))


@pytest.fixture
def federation(cloud: FakeCloud, state: State, clock: FakeClock) -> Federation:
    config = parse({"version": 1, "cloud": "oci", "oci": cloud.settings(), "groups": {}}, "test")
    return Federation(config.oci, state, clock)


@pytest.fixture
def session(federation: Federation, state: State, clock: FakeClock) -> Session:
    return Session(federation, state, clock)


def test_a_token_is_fetched_once_and_shared_by_way_of_the_cache(
    federation: Federation, cloud: FakeCloud, state: State, clock: FakeClock
) -> None:
    first = Session(federation, state, clock).credential()
    second = Session(federation, state, clock).credential()

    assert first == second
    assert len(cloud.of("POST", "/v1/x509")) == 1
    assert first.expires - first.issued == TOKEN_LIFETIME


def test_a_token_is_used_until_half_a_minute_before_its_end(
    session: Session, cloud: FakeCloud, clock: FakeClock
) -> None:
    session.credential()
    clock.sleep(TOKEN_LIFETIME - 31)
    session.credential()
    assert len(cloud.of("POST", "/v1/x509")) == 1

    clock.sleep(2)
    session.credential()
    assert len(cloud.of("POST", "/v1/x509")) == 2


def test_a_refresh_is_due_at_half_life(session: Session, clock: FakeClock) -> None:
    assert session.due()
    session.credential()
    assert not session.due()
    clock.sleep(TOKEN_LIFETIME / 2 + 1)
    assert session.due()


def test_a_refresh_is_due_when_the_clock_was_set_back(session: Session, clock: FakeClock) -> None:
    session.credential()
    clock.sleep(-3600)

    assert session.due()


def test_the_old_token_stays_if_the_new_one_is_not_accepted(session: Session) -> None:
    old = session.credential()

    with pytest.raises(CloudError, match="the old one is kept"):
        session.refresh(lambda fresh: fresh.token == old.token)

    assert session.cached() == old


def test_the_old_token_stays_if_there_is_no_new_one(session: Session, cloud: FakeCloud) -> None:
    old = session.credential()
    cloud.metadata_down = True

    with pytest.raises(CloudError, match="metadata service") as error:
        session.refresh(lambda _: True)

    assert error.value.kind is ErrorKind.RETRYABLE
    assert session.cached() == old


def test_a_refresh_replaces_token_and_key_together(session: Session, cloud: FakeCloud) -> None:
    old = session.credential()

    fresh = session.refresh(lambda _: True)

    assert fresh.token != old.token
    assert fresh.key != old.key
    assert session.cached() == fresh
    assert set(cloud.tokens) == {old.token, fresh.token}


def test_a_refused_token_is_replaced_once_per_process(session: Session, cloud: FakeCloud) -> None:
    first = session.credential()
    session.replace(first)
    session.replace(first)
    assert len(cloud.of("POST", "/v1/x509")) == 2

    with pytest.raises(CloudError, match="clock") as error:
        session.replace(session.credential())
    assert error.value.kind is ErrorKind.AUTH


@pytest.mark.parametrize("content", ["", "{}", '{"token": "t", "key": "k", "issued": "x", "expires": 1}', "[]"])
def test_a_broken_cache_is_no_cache(session: Session, tmp_path: Path, content: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "token.json").write_text(content)

    assert session.cached() is None
    assert session.credential().token


def test_a_cache_that_cannot_be_written_does_not_stop_a_claim(session: Session, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the directory should be")

    assert session.credential().token


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"code": "NotAuthenticated", "message": "x"}, ErrorKind.AUTH),
        (503, None, ErrorKind.RETRYABLE),
        (200, {"no": "token"}, ErrorKind.RETRYABLE),
        (200, {"token": "not.a.token"}, ErrorKind.RETRYABLE),
        (200, ["token"], ErrorKind.RETRYABLE),
    ],
)
def test_what_the_federation_may_answer(
    session: Session, cloud: FakeCloud, status: int, body: object, kind: ErrorKind
) -> None:
    cloud.faults.append(Fault("POST", "/v1/x509", status, body))

    with pytest.raises(CloudError, match="federation") as error:
        session.credential()

    assert error.value.kind is kind


def test_fingerprint(cloud: FakeCloud) -> None:
    assert fingerprint(cloud.identity["cert.pem"]) == cloud.fingerprint


@pytest.mark.parametrize("token", ["", "a.b", "a.e30.c", "a.!!!.c"])
def test_a_text_that_is_no_token(token: str) -> None:
    with pytest.raises(CloudError):
        lifetime(token)

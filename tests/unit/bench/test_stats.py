# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's arithmetic: what it counts, and when it says that a budget is met."""

from __future__ import annotations

from typing import Any

import pytest

from bench.stats import Measure, Series, calls, first_put, fraction, parse_depends, per_minute, required

MS = 1_000_000
VIP = "/20160918/privateIps/ocid1.privateip.x"


def request(started_ms: int, **changes: Any) -> dict[str, Any]:
    """An event of the lab: n3's UpdatePrivateIp, unless told otherwise."""
    event = {"kind": "api", "service": "api", "method": "PUT", "path": VIP, "instance": "n3"}
    return {**event, "started": started_ms * MS, **changes}


def ms(*values: float) -> Series:
    return Series(values, "ms")


def test_the_median_is_of_the_middle_and_the_p95_of_the_tail() -> None:
    ten = ms(*range(1, 11))
    assert (ten.median, ten.p95) == (5.5, 10)
    twenty = ms(*range(20, 0, -1))
    assert (twenty.median, twenty.p95) == (10.5, 19)


@pytest.mark.parametrize(("ours", "ok"), [(99, True), (100, True), (101, False)])
def test_a_budget_is_the_quotient_of_the_medians(ours: float, ok: bool) -> None:
    # The same budget on a machine ten times as slow has the same answer.
    for slow in (1, 10):
        measure = Measure("", "", ms(1, ours * slow, 9999), ms(800 * slow, 1, 99999), 1 / 8)
        assert measure.ok is ok


@pytest.mark.parametrize(("ours", "ok"), [(6, True), (6.1, False)])
def test_without_a_baseline_the_budget_is_the_figure_itself(ours: float, ok: bool) -> None:
    assert Measure("", "", Series((ours,), "calls/min"), None, 6).ok is ok


def test_json_has_every_value_and_the_verdict() -> None:
    data = Measure("m", "b", ms(1, 2), ms(4, 8), 1 / 4).to_json()
    assert data["ours"] == {"unit": "ms", "median": 1.5, "p95": 2, "values": [1, 2]}
    assert (data["value"], data["limit"], data["ok"]) == (0.25, 0.25, True)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.125, "1/8"), (1 / 31.44, "1/31.4"), (0.5, "1/2"), (0.75, "0.75 x"), (1.6, "1.6 x"), (1, "1 x")],
)
def test_fractions_as_people_say_them(value: float, text: str) -> None:
    assert fraction(value) == text


def test_the_first_put_is_the_first_move_by_the_node_after_its_start() -> None:
    events = [
        request(5),
        request(20, method="GET"),
        request(21, instance="user"),
        request(22, path="/20160918/vnics/ocid1.vnic.x"),
        request(40),
        request(30),
        {"kind": "moved", "t": 12 * MS},
    ]
    assert first_put(events, "n3", 10 * MS) == 20


def test_no_move_is_no_figure() -> None:
    assert first_put([request(5)], "n3", 10 * MS) is None


def test_calls_to_every_service_count_in_the_window_only() -> None:
    inside = [request(10), request(15, service="imds"), request(19, service="federation")]
    outside = [request(9), request(20), request(15, instance="n9"), {"kind": "power", "t": 15 * MS}]
    assert calls([*outside, *inside], ["n3"], 10 * MS, 20 * MS) == inside


def test_a_window_without_a_renewal_of_the_token_gets_its_share_of_one() -> None:
    audits = [request(n) for n in range(9)]
    assert per_minute(audits, 180, renewal=6, renewal_every=600) == pytest.approx(3.6)
    renewal = [request(10, service="imds"), request(11, service="federation"), request(12)]
    assert per_minute([*audits, *renewal], 180, renewal=6, renewal_every=600) == pytest.approx(4)


def test_what_comes_with_a_package() -> None:
    packages = {
        "python3": ["python3.11", "absent"],
        "python3.11": ["libc6"],
        "libc6": [],
        "jq": ["libjq1"],
        "libjq1": [],
    }
    assert required(packages, ["python3"]) == {"python3", "python3.11", "libc6"}


def test_dependencies_of_a_debian_package() -> None:
    assert parse_depends("python3:any (>= 3.5~), debconf | debconf-2.0, libc6 (>= 2.36), ") == [
        "python3", "debconf", "debconf-2.0", "libc6",
    ]  # fmt: skip

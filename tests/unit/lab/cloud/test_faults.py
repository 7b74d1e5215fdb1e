# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from lab.cloud.faults import Fault, Faults

PATH = "/20160918/privateIps/ocid1.privateip.x"


def faults(*chances: float) -> Faults:
    numbers = iter(chances)
    return Faults(chance=lambda: next(numbers, 0.0))


def decided(
    listed: Faults, service: str = "api", method: str = "PUT", path: str = PATH, caller: str = "vr1"
) -> str | None:
    fault = listed.take(service, method, path, caller)[1]
    return None if fault is None else fault.effect


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        ({}, True),
        ({"method": "put"}, True),
        ({"method": "GET"}, False),
        ({"path": "^/20160918/privateIps/"}, True),
        ({"path": "privateIps"}, True),
        ({"path": "^/20160918/vnics"}, False),
        ({"node": "vr1"}, True),
        ({"node": "vr2"}, False),
        ({"node": "user"}, False),
        ({"service": "api"}, True),
        ({"service": "imds"}, False),
        ({"service": "federation"}, False),
        ({"service": "api", "method": "PUT", "path": "privateIps", "node": "vr2"}, False),
    ],
)
def test_a_fault_hits_what_it_names(match: dict[str, Any], hit: bool) -> None:
    listed = faults()
    listed.add(Fault.from_json({"effect": "drop", **match}))
    assert decided(listed) == ("drop" if hit else None)
    assert [f.hits for f in listed.items()] == [int(hit)]


def test_a_count_ends_a_fault() -> None:
    listed = faults()
    listed.add(Fault.from_json({"effect": "status", "status": 429, "count": 2}))
    assert [decided(listed) for _ in range(3)] == ["status", "status", None]
    assert [f.hits for f in listed.items()] == [2]


def test_a_probability_is_asked_for_each_request() -> None:
    listed = faults(0.3, 0.29, 0.0, 0.9)
    listed.add(Fault.from_json({"effect": "drop", "probability": 0.3}))
    assert [decided(listed) for _ in range(3)] == [None, "drop", None]


def test_latencies_add_up_and_the_first_other_effect_decides() -> None:
    listed = faults(0.0, 0.5, 0.0, 0.0, 0.0, 0.0)
    listed.add(Fault.from_json({"effect": "latency", "latency_ms": 100, "jitter_ms": 40}))
    listed.add(Fault.from_json({"effect": "status", "status": 500, "latency_ms": 1000}))
    listed.add(Fault.from_json({"effect": "drop"}))
    wait, fault = listed.take("api", "PUT", PATH, "vr1")
    assert wait == pytest.approx(1.12)
    assert fault is not None
    assert fault.status == 500
    assert [f.hits for f in listed.items()] == [1, 1, 0]


def test_clock_shifts_add_up_for_a_node_and_decide_no_answer() -> None:
    listed = faults()
    listed.add(Fault.from_json({"effect": "clock", "shift_s": 3600, "node": "vr1"}))
    everybody = listed.add(Fault.from_json({"effect": "clock", "shift_s": -60}))
    assert (listed.shift("vr1"), listed.shift("vr2")) == (3540, -60)
    assert decided(listed) is None
    listed.clear(everybody.id)
    assert (listed.shift("vr1"), listed.shift("vr2")) == (3600, 0)


def test_the_longest_lag_of_iam_counts_and_decides_no_answer() -> None:
    listed = faults()
    assert listed.lag() == 0
    listed.add(Fault.from_json({"effect": "iam_lag", "lag_s": 5}))
    longest = listed.add(Fault.from_json({"effect": "iam_lag", "lag_s": 30}))
    assert listed.lag() == 30
    assert decided(listed) is None
    listed.clear(longest.id)
    assert listed.lag() == 5


def test_one_or_all_can_be_removed() -> None:
    listed = faults()
    first = listed.add(Fault.from_json({"effect": "drop"}))
    second = listed.add(Fault.from_json({"effect": "hang"}))
    assert listed.clear(first.id) == 1
    assert [f.id for f in listed.items()] == [second.id]
    assert listed.clear() == 1
    assert listed.items() == []


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({}, "effect is None"),
        ({"effect": "explode"}, "effect is 'explode'"),
        ({"effect": "drop", "service": "ntp"}, "service is 'ntp'"),
        ({"effect": "drop", "verb": "PUT"}, "unknown key 'verb'"),
        ({"effect": "drop", "hits": 3}, "unknown key 'hits'"),
        ({"effect": "drop", "path": "("}, "missing"),
        ({"effect": "drop", "probability": 2}, "probability from 0 to 1"),
        ({"effect": "drop", "count": 0}, "count from 1"),
        ({"effect": "latency", "latency_ms": -1}, "latency_ms and jitter_ms from 0"),
        ({"effect": "latency", "latency_ms": "soon"}, "not supported between"),
        ({"effect": "status", "status": 42}, "status from 200 to 599"),
        ({"effect": "drop", "shift_s": 60}, "shift_s is for the effect 'clock'"),
        ({"effect": "clock", "shift_s": 60, "service": "api"}, "the effect 'clock' takes only shift_s and node"),
        ({"effect": "clock", "shift_s": 1e12}, "shift_s of less than ten years"),
        ({"effect": "status", "lag_s": 30}, "lag_s is for the effect 'iam_lag'"),
        ({"effect": "iam_lag", "lag_s": 30, "node": "vr1"}, "the effect 'iam_lag' takes only lag_s"),
        ({"effect": "iam_lag", "lag_s": -1}, "lag_s from 0 to 3600"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(fault: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match="fault: ") as caught:
        Fault.from_json(fault)
    assert complaint in str(caught.value)

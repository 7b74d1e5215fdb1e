# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever takes the holder, every VIP is on exactly one node afterwards, and nothing is stuck after healing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.conftest import Lab

pytestmark = pytest.mark.usefixtures("cluster")


def check(report: dict[str, Any]) -> None:
    """A drill's report knows what is wrong; what a user cares about most is said here again."""
    assert report["ok"], report["problems"]
    assert report["recovered"]
    assert report["rejoined"]
    assert len({v["holder_after"] for v in report["vips"]}) == 1
    for vip in report["vips"]:
        assert vip["id_after"] == vip["id_before"]
        assert vip["configured_on"] == [vip["holder_after"]]
        assert vip["duplicates"] == 0


@pytest.mark.parametrize(
    "kind",
    [
        "kill",
        *(
            pytest.param(kind, marks=pytest.mark.thorough)
            for kind in ("stop", "freeze", "hang", "linkdown", "partition", "move")
        ),
    ],
)
def test_the_holder_fails_and_the_vips_are_back_on_another_node(lab: Lab, kind: str) -> None:
    report = lab.drill(kind)
    check(report)
    assert {v["holder_moved"] for v in report["vips"]}.isdisjoint({v["holder_before"] for v in report["vips"]})


@pytest.mark.long
def test_ten_power_cuts_in_a_row(lab: Lab) -> None:
    reports = [lab.drill("kill") for _ in range(10)]
    for report in reports:
        check(report)
    # At the fast profile's timers the cluster notices within 2.2 s and pacemaker acts within 2 s more.
    assert max(v["outage_ms"] for r in reports for v in r["vips"]) < 15_000


@pytest.mark.thorough
def test_the_cloud_forgets_nothing_over_all_that(lab: Lab) -> None:
    assert {p["lifetime"] for p in lab.control.raw_status()["private_ips"]} == {"RESERVED"}
    again = lab.converge("inventory/lab")
    assert set(again.changed.values()) == {0}, again.output

# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that lists the cluster resources of the VIP groups."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cloudvip.ha.plugins.filter.pacemaker import pacemaker_resources


def model(*groups: str, absent: tuple[str, ...] = (), preferred: str | None = None) -> dict[str, Any]:
    return {
        "groups": [{"name": name, "preferred_node": preferred, "vips": []} for name in groups],
        "absent": [{"name": f"vip-of-{group}", "group": group} for group in absent],
    }


def test_a_group_is_one_resource_with_its_revision() -> None:
    (resource,) = pacemaker_resources(model("main"), {"main": "0f3c2a9b71de"})["resources"]

    assert (resource["id"], resource["state"], resource["agent"]) == ("cloudvip-main", "present", "ocf:cloudvip:vips")
    assert resource["params"] == {"group": "main", "revision": "0f3c2a9b71de"}


def test_the_operations_leave_time_for_the_cloud() -> None:
    (resource,) = pacemaker_resources(model("main"), {"main": "r"})["resources"]

    timers = {
        (op["name"], op["interval"]): (op["attributes"]["timeout"], op["params"]) for op in resource["operations"]
    }
    assert timers == {
        ("start", "0s"): ("60s", {}),
        ("stop", "0s"): ("20s", {}),
        ("reload-agent", "0s"): ("60s", {}),
        ("monitor", "5s"): ("20s", {}),
        ("monitor", "60s"): ("30s", {"OCF_CHECK_LEVEL": "10"}),
    }


def test_a_node_that_failed_is_left_at_once_and_allowed_again_soon() -> None:
    (resource,) = pacemaker_resources(model("main"), {"main": "r"})["resources"]

    assert resource["meta"]["migration-threshold"] == "1"
    assert resource["meta"]["failure-timeout"] == "5s"


def test_of_several_holders_one_claims_anew() -> None:
    (resource,) = pacemaker_resources(model("main"), {"main": "r"})["resources"]

    assert resource["meta"]["multiple-active"] == "stop_start"


def test_a_preference_is_weaker_than_the_stickiness() -> None:
    plan = pacemaker_resources(model("main", preferred="vr2"), {"main": "r"})

    (location,) = plan["locations"]
    assert (location["id"], location["state"], location["resource"], location["node"]) == (
        "cloudvip-main-prefers",
        "present",
        "cloudvip-main",
        "vr2",
    )
    assert 0 < int(location["score"]) < int(plan["resources"][0]["meta"]["resource-stickiness"])


def test_no_preference_removes_an_earlier_one() -> None:
    plan = pacemaker_resources(model("main"), {"main": "r"})

    assert plan["locations"] == [{"id": "cloudvip-main-prefers", "state": "absent"}]


def test_a_group_whose_vips_are_all_absent_is_removed() -> None:
    plan = pacemaker_resources(model("main", absent=("main", "old", "old")), {"main": "r"})

    assert [(resource["id"], resource["state"]) for resource in plan["resources"]] == [
        ("cloudvip-main", "present"),
        ("cloudvip-old", "absent"),
    ]


def test_a_group_without_a_revision_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match=r"expected one for each group, \['other'\] have none"):
        pacemaker_resources(model("main", "other"), {"main": "r"})

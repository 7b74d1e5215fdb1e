# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for the VNICs of instances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import PlanError
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.vnic_attachment import (
    Attach,
    AttachedVnic,
    Detach,
    Request,
    cidr_of,
    parse,
    plan,
)

WANTED = Request("instance-a", "subnet", "pod1", "192.0.2.5", (), True, "present", "a pod1")
UNWANTED = replace(WANTED, state="absent")
OURS = AttachedVnic("att-1", "vnic-1", "instance-a", "subnet", "pod1", "02:00:17:00:00:01", "192.0.2.5", False)
OTHER = replace(OURS, attachment_id="att-2", id="vnic-2", display_name="someone's", private_ip="192.0.2.6")
NOTHING_ON_THEM: dict[str, list[str]] = {"vnic-1": [], "vnic-2": []}


@pytest.mark.parametrize(
    ("request_", "vnics", "actions"),
    [
        pytest.param(WANTED, [], [Attach(WANTED)], id="attach"),
        pytest.param(WANTED, [OURS], [], id="nothing to do"),
        pytest.param(WANTED, [OTHER], [], id="another name will do"),
        pytest.param(WANTED, [replace(OURS, subnet_id="x")], [Attach(WANTED)], id="in another subnet"),
        pytest.param(WANTED, [replace(OURS, instance_id="x")], [Attach(WANTED)], id="of another instance"),
        pytest.param(UNWANTED, [], [], id="absent already"),
        pytest.param(UNWANTED, [OTHER, OURS], [Detach(UNWANTED, OURS)], id="detach by name"),
        pytest.param(UNWANTED, [OTHER], [], id="another name stays"),
    ],
)
def test_actions(request_: Request, vnics: list[AttachedVnic], actions: list[Attach | Detach]) -> None:
    todo = plan([request_], vnics, NOTHING_ON_THEM)

    assert list(todo.actions) == actions
    assert bool(actions) == (todo.before != todo.after)


def test_of_several_vnics_the_one_of_that_name_is_shown() -> None:
    todo = plan([WANTED], [OTHER, OURS], NOTHING_ON_THEM)

    assert todo.after == {"a pod1": {"display_name": "pod1", "private_ip": "192.0.2.5"}}


def test_all_that_must_stay_is_named_at_once() -> None:
    others = replace(UNWANTED, instance_id="instance-b", label="b pod1")
    primary = replace(OURS, instance_id="instance-b", id="vnic-2", is_primary=True)

    with pytest.raises(PlanError) as caught:
        plan([UNWANTED, others], [OURS, primary], {"vnic-1": ["192.0.2.9", "fd00::9"], "vnic-2": []})

    assert caught.value.problems == [
        "a pod1.display_name = 'pod1': expected a VNIC without secondary private IPs; vnic-1 has 192.0.2.9, fd00::9",
        "b pod1.display_name = 'pod1': expected a secondary VNIC; vnic-2 is the primary one of its instance",
    ]


def param(**changes: Any) -> dict[str, Any]:
    given = {"instance_id": "i", "subnet_id": "s", "display_name": "pod1", "private_ip": None, "nsg_ids": None}
    return {**given, "skip_source_dest_check": False, "state": "present", "label": None, "vip": None, **changes}


def test_options_become_requests() -> None:
    assert parse([param(nsg_ids=["g"]), param(subnet_id="t", private_ip="192.0.2.5", label="x")]) == (
        Request("i", "s", "pod1", None, ("g",), False, "present", "attachments[0]"),
        Request("i", "t", "pod1", "192.0.2.5", (), False, "present", "x"),
    )


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ([param(private_ip="192.0.2.5/24")], "attachments[0].private_ip = '192.0.2.5/24': expected an IPv4 address"),
        (
            [param(), param(label="x")],
            "x.subnet_id = 's': expected once for each instance, attachments[0] has this instance and subnet too",
        ),
        (
            [param(label="x"), param(label="x", subnet_id="t")],
            "attachments[1].label = 'x': expected a label of its own",
        ),
    ],
)
def test_unusable_options_are_refused(params: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse(params)

    assert caught.value.problems == [problem]


def test_an_address_is_in_the_block_of_the_subnet_that_it_is_in() -> None:
    cidrs = ["192.0.2.0/28", "198.51.100.0/28"]

    assert [cidr_of(a, cidrs) for a in ("198.51.100.3", "192.0.2.3", None)] == [cidrs[1], cidrs[0], cidrs[0]]

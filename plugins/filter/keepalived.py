# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of the role ``keepalived``; their documentation stands beside this file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

# Of the first node in a group's order, and the most that each further one is below the one before it.
_HIGHEST = 240
_STEP = 80
_SPAN = 200
# RFC 5798: a master is given up after three intervals, unless keepalived can be told otherwise.
_RFC_ADVERTS = 3


def keepalived_instances(
    model: Mapping[str, Any],
    node: str,
    advert_int: float,
    down_timer_adverts: int,
    preempt_delay: int | None = None,
    known: Iterable[Iterable[str]] = (),
) -> list[dict[str, Any]]:
    """Return what the VRRP instance of each VIP group is on one node.

    :param advert_int: seconds between two adverts of a master
    :param down_timer_adverts: after how many missing ones it is given up
    :param preempt_delay: seconds after which a node takes a group back from one that comes after it; None for never
    :param known: for each node the keywords that its keepalived knows, of those that not all releases have
    """
    if node not in model["nodes"]:
        raise AnsibleFilterError(f"node {node!r}: expected one of the model's nodes, {model['nodes']}")
    sets = [set(keywords) for keywords in known]
    common = set.intersection(*sets) if sets else set()
    interval, adverts = float(advert_int), int(down_timer_adverts)
    shared: dict[str, Any] = {
        "interface": model["interfaces"][node],
        "source": model["addresses"][node],
        "peers": [model["addresses"][other] for other in model["nodes"] if other != node],
        "preempt_delay": None if preempt_delay is None else int(preempt_delay),
    }
    if "down_timer_adverts" in common:
        shared.update(advert_int=interval, down_timer_adverts=adverts)
    else:
        # In steps of 10 ms, which is what fits into an advert. The inner rounding is for 0.1 * 12, which is a bit more.
        hundredths = math.ceil(round(interval * adverts / _RFC_ADVERTS * 100, 6))
        shared.update(advert_int=hundredths / 100, down_timer_adverts=None)
    # keepalived takes it for masters only that stay masters.
    late_backup = "timer_expired_backup" in common and preempt_delay is None
    return [_instance(model, group, node, shared, late_backup) for group in model["groups"]]


def _instance(
    model: Mapping[str, Any], group: Mapping[str, Any], node: str, shared: Mapping[str, Any], late_backup: bool
) -> dict[str, Any]:
    priorities = _priorities(model["nodes"], group["preferred_node"])
    keenest = max(priority for other, priority in priorities.items() if other != node)
    return {
        **shared,
        "name": group["name"],
        "virtual_router_id": group["virtual_router_id"],
        "priority": priorities[node],
        "tracked": _tracked(group, node, shared["interface"]),
        # How soon another one takes over depends on its priority.
        "timer_expired_backup": keenest if late_backup else None,
        "marker": f"192.0.2.{group['virtual_router_id']}/32",
    }


def _priorities(nodes: Sequence[str], preferred: str | None) -> dict[str, int]:
    """Far apart, as the one with the higher priority is the quicker one to take over."""
    order = sorted(nodes, key=lambda node: node != preferred)
    step = min(_STEP, _SPAN // (len(nodes) - 1))
    return {node: _HIGHEST - index * step for index, node in enumerate(order)}


def _tracked(group: Mapping[str, Any], node: str, own: str) -> list[str]:
    """The interfaces that a master needs besides the one that it advertises on, which keepalived tracks anyway."""
    # Check mode knows no VNIC that is yet to be attached.
    bound = [vip["bindings"][node]["interface"] for vip in group["vips"] if node in vip["bindings"]]
    return [interface for interface in dict.fromkeys(bound) if interface != own]


def keepalived_first_groups(
    model: Mapping[str, Any], node: str, statuses: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return the groups of which a node is to become master before the other nodes are asked.

    Those that it holds, and where keepalived runs on no node yet, those that nobody holds and that prefer it.

    :param statuses: for each node on which keepalived does not run, what ``cloudvip status --json`` says
    """
    held = {other: _held(status) for other, status in statuses.items()}
    nobody_runs = set(model["nodes"]) <= set(statuses)
    taken = {name for names in held.values() for name in names}
    return [
        group["name"]
        for group in model["groups"]
        if group["name"] in held.get(node, ())
        or (nobody_runs and group["name"] not in taken and group["preferred_node"] == node)
    ]


def _held(status: Mapping[str, Any]) -> list[str]:
    """The groups that a node has claimed, and that the cloud has not given to another one since."""
    return [
        name
        for name, group in status["groups"].items()
        if group["claimed"] and not any(vip["cloud"] == "elsewhere" for vip in group["vips"])
    ]


class FilterModule:
    """What Ansible looks for in a filter file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {
            "keepalived_instances": keepalived_instances,
            "keepalived_first_groups": keepalived_first_groups,
        }

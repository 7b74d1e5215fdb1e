# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters about corosync and Pacemaker; their documentation stands beside this file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

AGENT = "ocf:cloudvip:vips"
# Below the stickiness: a preference decides where a group starts, it never moves one that runs.
STICKINESS = "100"
PREFERENCE = "50"
# One failure moves a group, so that a node with a fault of its own is left at once. When the fault is the cloud's,
# every node fails in turn, and the first must be allowed again by then: as long as all are banned nobody tries, and the
# addresses stay away although the cloud is back. The stickiness keeps a group that runs from going back.
FAILURE_TIMEOUT = "5s"
# Of several holders (a node woke that had been taken for dead) the cloud delivers to one only, and which one Pacemaker
# cannot know. All are stopped and one is started, which claims anew: less than a second, and right in any case.
MULTIPLE_ACTIVE = "stop_start"
# What makes a new node of one that had been a member of this or another cluster.
RESIGN = "Stop pacemaker and corosync and remove /etc/corosync/authkey and /etc/corosync/corosync.conf"


def pacemaker_resources(model: Mapping[str, Any], revisions: Mapping[str, str]) -> dict[str, Any]:
    """Return the resources and locations that serve the model's VIP groups and no others, for ``pacemaker_cib``.

    :param revisions: group name -> revision of its addresses; a new one has the holder take them up by a reload
    """
    groups = {group["name"]: group for group in model["groups"]}
    lost = sorted(groups.keys() - revisions.keys())
    if lost:
        raise AnsibleFilterError(f"revisions = {dict(revisions)!r}: expected one for each group, {lost} have none")
    return {
        "resources": [{"id": _resource_id(name), **_present(name, revisions[name])} for name in groups],
        "locations": [_location(name, groups[name]["preferred_node"]) for name in groups],
        # A group that is gone, however it went, has no configuration on the nodes any more: its resource would fail
        # for ever, or keep addresses that are another group's by now.
        "purge_agent": AGENT,
    }


def _resource_id(group: str) -> str:
    return f"cloudvip-{group}"


def _present(group: str, revision: str) -> dict[str, Any]:
    return {
        "state": "present",
        "agent": AGENT,
        "params": {"group": group, "revision": revision},
        "meta": {
            "migration-threshold": "1",
            "failure-timeout": FAILURE_TIMEOUT,
            "resource-stickiness": STICKINESS,
            "multiple-active": MULTIPLE_ACTIVE,
        },
        "operations": [
            _operation("start", "0s", "60s"),
            _operation("stop", "0s", "20s"),
            _operation("reload-agent", "0s", "60s"),
            # Often, and without the cloud: interfaces and carrier.
            _operation("monitor", "5s", "20s"),
            # Rarely, and with the cloud: does it still deliver the addresses to this node?
            _operation("monitor", "60s", "30s", OCF_CHECK_LEVEL="10"),
        ],
    }


def _operation(name: str, interval: str, timeout: str, **params: str) -> dict[str, Any]:
    return {"name": name, "interval": interval, "attributes": {"timeout": timeout}, "params": params}


def _location(group: str, node: str | None) -> dict[str, Any]:
    location = {"id": f"{_resource_id(group)}-prefers", "state": "absent"}
    if node is None:
        return location
    return {**location, "state": "present", "resource": _resource_id(group), "node": node, "score": PREFERENCE}


def corosync_ids(nodes: Sequence[str], files: Mapping[str, str]) -> dict[str, int]:
    """Return the node id of each node: a member keeps the one that it has, others get numbers that nobody has had.

    :param files: member -> its ``corosync.conf``
    """
    names: dict[int, str] = {}
    ids: dict[str, int] = {}
    for member, text in files.items():
        known = _ids_of(text)
        if known and member not in known:
            raise AnsibleFilterError(
                f"corosync.conf of {member} has the nodes {sorted(known)}: expected {member} among them. "
                f"If it has been renamed, give it its name back. {RESIGN} if it is the copy of another node"
            )
        for name, number in known.items():
            known_id, known_name = ids.setdefault(name, number), names.setdefault(number, name)
            if (known_id, known_name) != (number, name):
                other = f"{known_id} for {name}" if known_id != number else f"{number} for {known_name}"
                raise AnsibleFilterError(
                    f"corosync.conf of {member} has nodeid {number} for {name}, that of another member {other}: "
                    "expected the same in all of them, and one for each node. "
                    f"{RESIGN} where corosync does not run with the others"
                )
    for name in nodes:
        if name not in ids:
            ids[name] = max(ids.values(), default=0) + 1
    return {name: ids[name] for name in nodes}


def _ids_of(text: str) -> dict[str, int]:
    """Return the node ids that a ``corosync.conf`` gives, by the nodes' names."""
    nodes = [
        dict(re.findall(r"^\s*(\w+):\s*(\S+)", node, re.MULTILINE)) for node in re.findall(r"node\s*{([^}]*)}", text)
    ]
    return {
        node["name"]: int(node["nodeid"])
        for node in nodes
        # What the distribution's package brings is a cluster of one that nobody can join.
        if {"name", "nodeid"} <= node.keys() and not node.get("ring0_addr", "").startswith("127.")
    }


class FilterModule:
    """What Ansible looks for in a filter file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {"corosync_ids": corosync_ids, "pacemaker_resources": pacemaker_resources}

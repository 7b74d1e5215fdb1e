# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of the role ``vip_agent``; their documentation stands beside this file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils import _model

# Stands for the id of an object that check mode only predicts.
_PREDICTED = "known after creation"

# The routing tables of the interfaces that a node configures: far more than an instance can have VNICs.
_TABLES = range(7000, 8000)
# That of every VNIC.
_MTU = 9000


def _of_object(key: str, vip: Mapping[str, Any], private_ips: Mapping[str, Mapping[str, Any]], predicted: bool) -> str:
    """A property of the VIP's private IP object."""
    found = (private_ips.get(vip["address"]) or {}).get(key)
    if found:
        return str(found)
    if predicted:
        return _PREDICTED
    raise AnsibleFilterError(
        f"private_ips has no {key} for {vip['address']} (VIP {vip['name']!r}): expected one for each VIP of the model"
    )


def _revision(ids: Iterable[tuple[str, str]]) -> str:
    text = json.dumps(sorted([address, private_ip_id] for address, private_ip_id in ids), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def vip_revisions(
    model: Mapping[str, Any], private_ips: Mapping[str, Mapping[str, Any]], predicted: bool = False
) -> dict[str, str]:
    """A fingerprint of each group's addresses and objects; the same on every node."""
    return {
        group["name"]: _revision(
            (vip["address"], _of_object("id", vip, private_ips, predicted)) for vip in group["vips"]
        )
        for group in model["groups"]
    }


def _bound(group: Mapping[str, Any], node: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The VIPs of a group, each with the node's VNIC for it: check mode knows none that is yet to be attached."""
    return [(vip, vip["bindings"][node]) for vip in group["vips"] if node in vip["bindings"]]


def _interfaces(model: Mapping[str, Any], node: str, vnics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The interfaces of VNICs that carry a VIP of the model and that nothing but the node's mover configures."""
    vips: dict[str, list[str]] = {}
    for group in model["groups"]:
        for vip, binding in _bound(group, node):
            vips.setdefault(binding["vnic_id"], []).append(vip["address"])
    ours = [vnic for vnic in _model.own_interfaces(vnics) if vnic["vnic_id"] in vips]
    # One that has a table keeps it, whatever VNICs come and go.
    taken = {vnic["table"] for vnic in vnics if vnic["owned"]}
    free = (table for table in _TABLES if table not in taken)
    return [
        {
            "mac": vnic["mac"],
            "address": vnic["private_ip"],
            "prefix": IPv4Network(vnic["subnet_cidr"]).prefixlen,
            "gateway": vnic["virtual_router_ip"],
            "table": vnic["table"] if vnic["owned"] else next(free),
            "vips": vips[vnic["vnic_id"]],
            "mtu": _MTU,
        }
        # The metadata service promises no order.
        for vnic in sorted(ours, key=lambda vnic: str(vnic["mac"]))
    ]


def agent_config(
    model: Mapping[str, Any],
    node: str,
    vnics: Sequence[Mapping[str, Any]],
    private_ips: Mapping[str, Mapping[str, Any]],
    oci: Mapping[str, Any],
    predicted: bool = False,
) -> dict[str, Any]:
    """The content of a node's ``/etc/cloudvip/config.json``."""
    if node not in model["nodes"]:
        raise AnsibleFilterError(f"node {node!r}: expected one of the model's nodes, {model['nodes']}")
    revisions = vip_revisions(model, private_ips, predicted)
    return {
        "version": 1,
        "cloud": "oci",
        "oci": dict(oci),
        "interfaces": _interfaces(model, node, vnics),
        "groups": {
            group["name"]: {
                "revision": revisions[group["name"]],
                "vips": [
                    {
                        "name": vip["name"],
                        "address": vip["address"],
                        "prefix": vip["prefix"],
                        "interface": binding["interface"],
                        "mac": binding["mac"].lower(),
                        "vnic_id": binding["vnic_id"],
                        "private_ip_id": _of_object("id", vip, private_ips, predicted),
                        "subnet_id": _of_object("subnet_id", vip, private_ips, predicted),
                    }
                    for vip, binding in _bound(group, node)
                ],
            }
            for group in model["groups"]
        },
        # Whatever the engine: this is written before the one that has decided so far has ended.
        "vrrp": {group["name"]: group["virtual_router_id"] for group in model["groups"]},
    }


def _vip_problems(vip: Mapping[str, Any], seen: Mapping[str, Any], group: Mapping[str, Any], node: str) -> list[str]:
    """What is not settled about one configured VIP, as one node sees it."""
    address, interface = vip["address"], seen["interface"]
    if seen["cloud"] == "unknown":
        return [f"{node}: where the cloud delivers {address} is unknown: {seen['detail']}"]
    if seen["pending"]:
        return [f"{node}: {address} is not claimed yet: {seen['pending']}"]
    owners = {binding["vnic_id"]: name for name, binding in vip["bindings"].items()}
    owner = owners.get(seen["cloud_vnic_id"])
    if owner is None:
        return [f"{node}: the cloud delivers {address} to no node of the cluster (VNIC {seen['cloud_vnic_id']})"]
    if owner != node:
        return [f"{node}: {interface} has {address}, which the cloud delivers to {owner}"] * (seen["local"] == "here")
    problems = []
    if seen["local"] != "here":
        problems.append(f"{node}: the cloud delivers {address} here, but {interface} does not have it")
    if not seen["claimed"]:
        problems.append(f"{node}: the cloud delivers {address} here, but the node has not claimed it")
    elif group["claimed_revision"] != group["revision"]:
        problems.append(f"{node}: serves {address} by a revision that is not the configured one")
    return problems


def vip_unsettled(status: Mapping[str, Any], model: Mapping[str, Any], node: str) -> list[str]:
    """What one node's ``cloudvip status --json`` says that is not as it should be."""
    known = {group["name"] for group in model["groups"]}
    problems = [
        f"{node}: {entry['interface']} has {entry['address']} of group {name}, which is no longer configured"
        for name, group in status["groups"].items()
        if name not in known
        for entry in group["vips"]
        if entry["local"] == "here"
    ]
    for group in model["groups"]:
        seen_group = status["groups"].get(group["name"])
        if seen_group is None:
            problems.append(f"{node}: group {group['name']} is not configured")
            continue
        wanted = {vip["address"]: vip for vip in group["vips"]}
        seen = {entry["address"]: entry for entry in seen_group["vips"] if entry["wanted"]}
        for address, vip in wanted.items():
            if address in seen:
                problems += _vip_problems(vip, seen[address], seen_group, node)
            else:
                problems.append(f"{node}: {address} is not configured")
        problems += [
            f"{node}: {entry['interface']} has {entry['address']}, which is no longer configured"
            for entry in seen_group["vips"]
            if not entry["wanted"] and entry["local"] == "here"
        ]
    return problems


def vip_disagreements(statuses: Mapping[str, Mapping[str, Any]], model: Mapping[str, Any]) -> list[str]:
    """What the nodes' ``cloudvip status --json`` say together that is not as it should be."""
    problems = [problem for node, status in statuses.items() for problem in vip_unsettled(status, model, node)]
    for group in model["groups"]:
        held: dict[str, list[str]] = {}
        for node, status in statuses.items():
            entries = status["groups"].get(group["name"], {"vips": []})["vips"]
            here = [entry["address"] for entry in entries if entry["wanted"] and entry["cloud"] == "here"]
            if here:
                held[node] = here
        if len(held) > 1:
            parts = "; ".join(f"{node} has {', '.join(addresses)}" for node, addresses in sorted(held.items()))
            problems.append(f"group {group['name']} is on more than one node: {parts}")
    return problems


def doctor_report(failures: Iterable[Mapping[str, Any]], missing: Iterable[str] | None = None) -> str:
    """A text about the failures that ``cloudvip doctor --json`` has found.

    :param missing: which of the permissions that are lacking no policy grants; None if nobody has looked
    """
    lines = []
    refused: list[str] = []
    for failure in failures:
        lines.append(f"{failure['subject']}: {failure['text']}")
        lines += [f"  -> {line}" for line in failure["remedy"].splitlines()]
        refused += failure["permissions"]
    if refused and missing is not None:
        lacking = [permission for permission in missing if permission in refused]
        if lacking:
            lines.append(f"No policy grants the nodes' dynamic group {' and '.join(lacking)}; nothing else is lacking.")
        else:
            lines.append(
                "The policies grant all of it. IAM may not have taken up a change yet: a policy takes seconds to "
                "minutes, the members of a dynamic group up to an hour."
            )
    return "\n".join(lines)


class FilterModule:
    """What Ansible looks for in a filter file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {
            "agent_config": agent_config,
            "doctor_report": doctor_report,
            "vip_revisions": vip_revisions,
            "vip_unsettled": vip_unsettled,
            "vip_disagreements": vip_disagreements,
        }

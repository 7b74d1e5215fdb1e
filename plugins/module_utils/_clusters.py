# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What the nodes of a cluster, and the clusters of an inventory, must be at one about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ._problems import Problems


def differences(nodes: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]], variables: Iterable[str]) -> list[str]:
    """Return where a node has another value than the first one, which speaks for the cluster.

    :param hostvars: the variables of each node
    :param variables: those that must have the same value on all nodes
    """
    problems = Problems()
    first, *others = nodes
    # Ansible puts the variables of a host together each time that it is asked.
    settings = {node: hostvars[node] for node in nodes}
    for variable in variables:
        for node in others:
            for path, value, expected in _differing(
                variable, settings[node].get(variable), settings[first].get(variable)
            ):
                expectation = f"{expected!r} as on {first}: set it for all nodes of the cluster, not for a host"
                problems.add(f"{path} of {node}", value, expectation)
    return problems.messages


def conflicts(own: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return which virtual routers of a cluster have the id of one of another cluster in the same subnet.

    :param own: what ``_model.virtual_routers`` says of the cluster
    :param others: the same of clusters, its own may be among them
    """
    problems = Problems()
    for other in others:
        subnet = None if other["cluster"] == own["cluster"] else _shared_subnet(own["vnics"], other["vnics"])
        if subnet is None:
            continue
        owners = {number: group for group, number in other["ids"].items()}
        for group, number in own["ids"].items():
            if number in owners:
                owner = f"group '{owners[number]}' of cluster '{other['cluster']}'"
                expectation = (
                    f"an id of its own in the subnet {subnet}: {owner} has this one; "
                    "set another in cloudvip_virtual_router_ids of one of the clusters"
                )
                problems.add(f"cloudvip_virtual_router_ids.{group} of cluster '{own['cluster']}'", number, expectation)
    return problems.messages


def _shared_subnet(own: Iterable[Mapping[str, str]], others: Iterable[Mapping[str, str]]) -> str | None:
    """A subnet that two clusters share, as far as their VNICs tell. They do not know its OCID.

    Two VCNs may have the same network. They have if both clusters have one address, which a VNIC has for itself.
    """
    mine, theirs = _addresses(own), _addresses(others)
    return next((key[-1] for key in mine if key in theirs and not mine[key] & theirs[key]), None)


def _addresses(vnics: Iterable[Mapping[str, str]]) -> dict[tuple[str, str, str], set[str]]:
    found: dict[tuple[str, str, str], set[str]] = {}
    for vnic in vnics:
        found.setdefault((vnic["tenancy_id"], vnic["region"], vnic["subnet_cidr"]), set()).add(vnic["private_ip"])
    return found


def _differing(path: str, value: object, expected: object) -> Iterator[tuple[str, object, object]]:
    """Go down to what differs: the path, the value and the one that was expected."""
    parts, wanted = _parts(value), _parts(expected)
    if parts is None or wanted is None:
        if value != expected:
            yield path, value, expected
        return
    for key in dict.fromkeys([*wanted, *parts]):
        yield from _differing(f"{path}{key}", parts.get(key), wanted.get(key))


def _parts(value: object) -> dict[str, Any] | None:
    """What a value is made of, the entries of a list by name where they have one; None if of nothing."""
    if isinstance(value, Mapping):
        return {f".{key}": part for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return {
            f" ({part['name']})" if isinstance(part, Mapping) and "name" in part else f"[{index}]": part
            for index, part in enumerate(value)
        }
    return None

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What the nodes of a cluster, and the clusters of an inventory, must be at one about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
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


def conflicts(
    model: Mapping[str, Any], others: Iterable[Mapping[str, Any]], vnics: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return which virtual routers of a cluster have the id of one of another cluster in the same subnet.

    :param model: the cluster's model
    :param others: the models of clusters, its own may be among them
    :param vnics: the ``cloudvip_vnic`` fact of each of its nodes
    """
    problems = Problems()
    subnets = {ip_network(vnics[node]["vnics"][0]["subnet_cidr"]) for node in model["nodes"]}
    for other in others:
        addresses = [ip_address(address) for address in other["addresses"].values()]
        if (
            other["cluster"] == model["cluster"]
            or other["engine"] != "keepalived"
            or not any(address in subnet for address in addresses for subnet in subnets)
        ):
            continue
        owners = {group["virtual_router_id"]: group["name"] for group in other["groups"]}
        for group in model["groups"]:
            number = group["virtual_router_id"]
            if number in owners:
                expectation = (
                    f"an id of its own in the subnet: group '{owners[number]}' of cluster '{other['cluster']}' has "
                    "this one; set another in cloudvip_virtual_router_ids of one of the clusters"
                )
                variable = f"cloudvip_virtual_router_ids.{group['name']} of cluster '{model['cluster']}'"
                problems.add(variable, number, expectation)
    return problems.messages


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

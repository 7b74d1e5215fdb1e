# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What a user writes in ``cloudvip_vips`` and ``cloudvip_pods``, checked and completed: the model of every role."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from ._checks import parse_checks
from ._problems import (
    NAME,
    NAME_EXPECTED,
    Problems,
    check_choice,
    check_keys,
    check_placeholders,
    given_values,
    suggest,
    whole,
)

ENGINES = {"pacemaker": True, "keepalived": True}
CLOUDS = {"oci": True, "openstack": False, "none": False}
FENCING = {"none": True}
PROFILES = {"fast": True, "balanced": True, "tolerant": True}
STATES = {"present": True, "absent": True}

VIP_KEYS = (
    "name",
    "address",
    "prefix",
    "group",
    "preferred_node",
    "interface",
    "state",
    "display_name",
    "tags",
    "public_ip",
    "routes",
)
REQUIRED_KEYS = ("name", "address", "prefix")
# A POD is a VIP together with the VNICs that serve it.
POD_KEYS = (*VIP_KEYS, "subnet_id")
ROUTE_KEYS = ("route_table_id", "destination")

DEFAULT_GROUP = "main"
MIN_NODES = 2
MAX_NODES = 16
# By the version of IP. A VNIC holds 64 IPv4 addresses, its own included, and 32 IPv6 addresses.
MAX_VIPS_PER_VNIC = {4: 63, 6: 32}
LONGEST_PREFIX = {4: 30, 6: 126}
VIRTUAL_ROUTER_IDS = 255

CLUSTER = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
OCID = re.compile(r"ocid1\.[a-z]+\.\S+")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class ModelError(ValueError):
    """The input is not usable; the text lists every problem, one per line."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Build the text from the collected problems."""
        self.problems = list(problems)
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) > 1 else "")
        super().__init__("\n".join([f"{count} in the inventory, nothing was touched:", *(f"- {p}" for p in problems)]))


@dataclass(frozen=True)
class Vnic:
    """A cloud network interface of a node and the Linux interface it is."""

    vnic_id: str
    mac: str
    private_ip: IPv4Address
    subnet: IPv4Network
    gateway: IPv4Address
    interface: str | None
    ipv6_subnet: IPv6Network | None = None

    def network_of(self, address: Address) -> Network | None:
        """The subnet's network of the address's version, where there is one that holds the address."""
        network: Network | None = self.subnet if address.version == 4 else self.ipv6_subnet
        return network if network is not None and address in network else None

    @classmethod
    def from_fact(cls, fact: Mapping[str, Any]) -> Vnic:
        """Read one entry of the ``vnics`` list of the ``cloudvip_vnic`` fact."""
        return cls(
            vnic_id=str(fact["vnic_id"]),
            mac=str(fact["mac"]),
            private_ip=IPv4Address(str(fact["private_ip"])),
            subnet=IPv4Network(str(fact["subnet_cidr"])),
            gateway=IPv4Address(str(fact["virtual_router_ip"])),
            interface=None if fact["interface"] is None else str(fact["interface"]),
            ipv6_subnet=IPv6Network(fact["ipv6_subnet_cidr"]) if fact.get("ipv6_subnet_cidr") else None,
        )


@dataclass(frozen=True)
class Route:
    """A rule of a VCN's route table that leads to a VIP."""

    route_table_id: str
    destination: IPv4Network


@dataclass(frozen=True)
class Vip:
    """A virtual address as the user wrote it, with the defaults filled in."""

    label: str
    name: str
    address: Address
    prefix: int
    group: str
    preferred_node: str | None
    interface: str | None
    state: str
    display_name: str
    tags: Mapping[str, str]
    public_ip: bool
    routes: tuple[Route, ...]
    subnet_id: str | None


@dataclass(frozen=True)
class Settings:
    """The cluster-wide inputs that stand beside ``cloudvip_vips``.

    :param pods: the value of ``cloudvip_pods``
    :param vnics: node -> ``cloudvip_vnic`` fact; None checks only what can be checked without connecting to a node.
    :param checks: the value of ``cloudvip_checks``
    :param virtual_router_ids: the value of ``cloudvip_virtual_router_ids``, which only keepalived needs
    :param predicted: nodes may be without the VNIC of a POD, as in check mode; one that no node has is left out
    :param others: further variables, by name, that are searched for placeholders.
    """

    cluster: str
    nodes: Sequence[str]
    vnics: Mapping[str, Mapping[str, Any] | None] | None = None
    pods: object = ()
    engine: str = "pacemaker"
    cloud: str = "oci"
    profile: str = "balanced"
    fencing: str = "none"
    checks: object = ()
    virtual_router_ids: object = None
    predicted: bool = False
    others: Mapping[str, Any] = field(default_factory=dict)


def build(raw: object, settings: Settings) -> dict[str, Any]:
    """Check the input as a whole and return the model.

    :raises ModelError: listing every problem found
    """
    problems = Problems()
    check_placeholders(settings.others, problems)
    _check_settings(settings, problems)
    before = len(problems.messages)
    vips = _parse_vips(raw, settings, problems)
    complete = len(problems.messages) == before
    _check_duplicates(vips, problems)
    preferred = _preferred_nodes(vips, settings.nodes, problems)
    checks = parse_checks(settings.checks, problems)
    # Those of PODs whose VNICs are to come too: an id that must not be is to come out before.
    router_ids = _virtual_router_ids(vips, complete, settings, problems)
    vnics = _parse_vnics(settings, problems)
    vips = [vip for vip in vips if not _unattached(vip, vnics, settings.predicted)]
    bindings = {vip.name: _bind(vip, vnics, settings.predicted, problems) for vip in vips}
    _check_capacity(vips, bindings, problems)
    _check_ipv6(vips, bindings, settings, problems)
    if problems.messages:
        raise ModelError(problems.messages)

    present = [vip for vip in vips if vip.state == "present"]
    groups = list(dict.fromkeys(vip.group for vip in present))
    return {
        "cluster": str(settings.cluster),
        "engine": settings.engine,
        "router": any(
            # No route of a VCN can lead to an IPv6 address.
            len({_network(vip) for vip in present if vip.group == group and vip.address.version == 4}) > 1
            for group in groups
        ),
        "nodes": [str(node) for node in settings.nodes],
        "addresses": {node: str(own[0].private_ip) for node, own in vnics.items()},
        "interfaces": {node: own[0].interface for node, own in vnics.items()},
        "checks": checks,
        "groups": [
            {
                "name": group,
                "preferred_node": preferred.get(group),
                "virtual_router_id": router_ids[group],
                "vips": [_as_data(vip, bindings[vip.name]) for vip in present if vip.group == group],
            }
            for group in groups
        ],
        "absent": [_as_data(vip, bindings[vip.name]) for vip in vips if vip.state == "absent"],
    }


def virtual_routers(raw: object, settings: Settings) -> dict[str, Any]:
    """Name a cluster's virtual routers and the VNICs between which they speak, for ``_clusters.conflicts``.

    What is wrong with the input is left to ``build``.
    """
    problems = Problems()
    ids = _virtual_router_ids(_parse_vips(raw, settings, problems), False, settings, problems)
    facts = [fact for fact in (settings.vnics or {}).values() if fact and fact["vnics"]]
    return {
        "cluster": str(settings.cluster),
        "ids": ids,
        "vnics": [
            {
                "tenancy_id": fact["tenancy_id"],
                "region": fact["region"],
                "subnet_cidr": fact["vnics"][0]["subnet_cidr"],
                "private_ip": fact["vnics"][0]["private_ip"],
            }
            for fact in facts
        ],
    }


def own_interfaces(vnics: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return those of a node's VNICs whose interfaces nothing but cloudvip configures, if they carry a VIP.

    :param vnics: of the ``cloudvip_vnic`` fact
    """
    # The primary VNIC is the image's business.
    return [vnic for vnic in vnics[1:] if vnic["owned"] or not vnic["addressed"]]


def cluster_of(group_names: Iterable[str], groups: Mapping[str, Sequence[str]], root: str = "cloudvip") -> str:
    """Return the inventory group below ``root`` that a host is in: the name of its cluster.

    Inventory variables do not tell a group's parent, so a group counts as "below" when all its hosts are in ``root``.

    :raises ModelError: when there is none, or more than one
    """
    members = set(groups.get(root, ()))
    mine = set(group_names) - {"all", "ungrouped", root}
    candidates = sorted(name for name in mine if set(groups[name]) <= members)
    if len(candidates) == 1:
        return candidates[0]
    problems = Problems()
    if candidates:
        expected = "one group per cluster; set cloudvip_cluster and cloudvip_nodes where a host is in several"
    else:
        expected = f"one group below '{root}' that holds the nodes of this host's cluster and nothing else"
    problems.add(f"groups below '{root}'", candidates, expected)
    raise ModelError(problems.messages)


def _as_data(vip: Vip, bindings: Mapping[str, Vnic]) -> dict[str, Any]:
    return {
        "name": vip.name,
        "address": str(vip.address),
        "prefix": vip.prefix,
        "state": vip.state,
        "display_name": vip.display_name,
        "tags": dict(vip.tags),
        "public_ip": vip.public_ip,
        "subnet_id": vip.subnet_id,
        "routes": [{"route_table_id": r.route_table_id, "destination": str(r.destination)} for r in vip.routes],
        "group": vip.group,
        "bindings": {
            node: {
                "interface": vnic.interface,
                "mac": vnic.mac,
                "vnic_id": vnic.vnic_id,
                "primary": str(vnic.private_ip),
            }
            for node, vnic in bindings.items()
        },
    }


def _network(vip: Vip) -> Network:
    return ip_network((vip.address, vip.prefix), strict=False)


def _may_lack_vnics(vip: Vip, predicted: bool) -> bool:
    """Whether nodes may be without the VNIC of a POD: if it is absent they lose it, if predicted they are to get it.

    One that is to come serves IPv4 only, see `_check_ipv6`.
    """
    return vip.subnet_id is not None and (vip.state == "absent" or (predicted and vip.address.version == 4))


def _unattached(vip: Vip, vnics: Mapping[str, Sequence[Vnic]], predicted: bool) -> bool:
    """Whether a POD is left out because no node has its VNIC yet.

    An absent one stays: its private IP may be left.
    """
    attached = any(vnic.network_of(vip.address) for own in vnics.values() for vnic in own)
    return vip.state == "present" and _may_lack_vnics(vip, predicted) and not attached


def _check_settings(settings: Settings, problems: Problems) -> None:
    check_choice("cloudvip_engine", settings.engine, ENGINES, problems)
    check_choice("cloudvip_cloud", settings.cloud, CLOUDS, problems)
    check_choice("cloudvip_profile", settings.profile, PROFILES, problems)
    check_choice("cloudvip_fencing", settings.fencing, FENCING, problems)
    if not CLUSTER.fullmatch(settings.cluster):
        problems.add("cloudvip_cluster", settings.cluster, "a letter, then up to 31 letters, digits, '_' or '-'")
    if not MIN_NODES <= len(settings.nodes) <= MAX_NODES:
        problems.add("cloudvip_nodes", list(settings.nodes), f"{MIN_NODES} to {MAX_NODES} nodes")
    for node in settings.nodes:
        if not NODE.fullmatch(node):
            problems.add("cloudvip_nodes", node, "node names of letters, digits, '.', '_' or '-'")


def _parse_vips(raw: object, settings: Settings, problems: Problems) -> list[Vip]:
    if not isinstance(raw, (list, tuple)):
        problems.add("cloudvip_vips", raw, "a list of VIPs, each with name, address and prefix")
        return []
    pods = settings.pods
    if not isinstance(pods, (list, tuple)):
        problems.add("cloudvip_pods", pods, "a list of PODs, each with name, address, prefix and subnet_id")
        pods = []
    if not raw and not pods:
        problems.add("cloudvip_vips", list(raw), "at least one VIP; one to be removed stays listed with state: absent")
    vips = [_parse_vip(entry, f"cloudvip_vips[{i}]", VIP_KEYS, settings, problems) for i, entry in enumerate(raw)]
    vips += [_parse_vip(entry, f"cloudvip_pods[{i}]", POD_KEYS, settings, problems) for i, entry in enumerate(pods)]
    return [vip for vip in vips if vip is not None]


def _parse_vip(entry: object, label: str, keys: Sequence[str], settings: Settings, problems: Problems) -> Vip | None:
    required = (*REQUIRED_KEYS, *(key for key in keys if key not in VIP_KEYS))
    if not isinstance(entry, Mapping):
        problems.add(label, entry, f"a mapping with the keys {', '.join(required)}")
        return None
    before = len(problems.messages)
    label, given = given_values(entry, label, keys, required, problems)
    for key in ("name", "group"):
        if key in given and not (isinstance(given[key], str) and NAME.fullmatch(given[key])):
            problems.add(f"{label}.{key}", given[key], NAME_EXPECTED)
    address = _parse_address(given.get("address"), f"{label}.address", problems)
    version = 4 if address is None else address.version
    prefix = _parse_prefix(given.get("prefix"), version, f"{label}.prefix", problems)
    routes: tuple[Route, ...] = ()
    if given.get("routes") and version == 6:
        expectation = "[]: in OCI, a route rule for IPv6 cannot lead to an address"
        problems.add(f"{label}.routes", given["routes"], expectation)
    else:
        routes = _parse_routes(given.get("routes", []), f"{label}.routes", problems)
    check_choice(f"{label}.state", given.get("state", "present"), STATES, problems)
    if not isinstance(given.get("public_ip", False), bool):
        problems.add(f"{label}.public_ip", given["public_ip"], "true or false")
    elif given.get("public_ip") and version == 6:
        problems.add(f"{label}.public_ip", True, "false: an IPv6 address needs no other one to be public")
    if "subnet_id" in given and not (isinstance(given["subnet_id"], str) and OCID.fullmatch(given["subnet_id"])):
        problems.add(f"{label}.subnet_id", given["subnet_id"], "the OCID of the POD's subnet")
    if "preferred_node" in given and given["preferred_node"] not in settings.nodes:
        expectation = f"one of the nodes {', '.join(settings.nodes)}{suggest(given['preferred_node'], settings.nodes)}"
        problems.add(f"{label}.preferred_node", given["preferred_node"], expectation)
    for key in ("interface", "display_name"):
        if key in given and not (isinstance(given[key], str) and given[key]):
            problems.add(f"{label}.{key}", given[key], "a text that is not empty")
    tags = given.get("tags", {})
    if not (isinstance(tags, Mapping) and all(isinstance(part, str) for pair in tags.items() for part in pair)):
        problems.add(f"{label}.tags", tags, "a mapping of texts to texts")
    if len(problems.messages) > before or address is None or prefix is None:
        return None
    name = str(given["name"])
    return Vip(
        label=label,
        name=name,
        address=address,
        prefix=prefix,
        group=str(given.get("group", DEFAULT_GROUP)),
        preferred_node=given.get("preferred_node"),
        interface=given.get("interface"),
        state=str(given.get("state", "present")),
        display_name=str(given.get("display_name", f"{settings.cluster}-{name}")),
        tags={str(key): str(value) for key, value in tags.items()},
        public_ip=bool(given.get("public_ip", False)),
        routes=routes,
        subnet_id=given.get("subnet_id"),
    )


def _parse_address(value: object, variable: str, problems: Problems) -> Address | None:
    if value is None:
        return None
    try:
        return ip_address(str(value))
    except ValueError:
        problems.add(variable, value, "an IPv4 or IPv6 address without a prefix, such as 10.0.0.4")
        return None


def _parse_prefix(value: object, version: int, variable: str, problems: Problems) -> int | None:
    if value is None:
        return None
    longest = LONGEST_PREFIX[version]
    prefix = whole(value, 1, longest)
    if prefix is None:
        problems.add(variable, value, f"the prefix length of the address's subnet, 1 to {longest}")
    return prefix


def _parse_routes(value: object, label: str, problems: Problems) -> tuple[Route, ...]:
    if not isinstance(value, (list, tuple)):
        problems.add(label, value, f"a list of rules, each with {' and '.join(ROUTE_KEYS)}")
        return ()
    return tuple(
        route for index, entry in enumerate(value) if (route := _parse_route(entry, f"{label}[{index}]", problems))
    )


def _parse_route(entry: object, label: str, problems: Problems) -> Route | None:
    if not isinstance(entry, Mapping):
        problems.add(label, entry, f"a mapping with the keys {' and '.join(ROUTE_KEYS)}")
        return None
    before = len(problems.messages)
    check_keys(entry, label, ROUTE_KEYS, ROUTE_KEYS, problems)
    table, destination = entry.get("route_table_id"), entry.get("destination")
    if table is not None and not (isinstance(table, str) and OCID.fullmatch(table)):
        problems.add(f"{label}.route_table_id", table, "the OCID of a route table")
    network: IPv4Network | None = None
    if destination is not None:
        try:
            network = IPv4Network(str(destination))
        except ValueError:
            problems.add(f"{label}.destination", destination, "an IPv4 network, such as 192.0.2.0/24")
    if len(problems.messages) > before or network is None:
        return None
    return Route(str(table), network)


def _check_duplicates(vips: Sequence[Vip], problems: Problems) -> None:
    for index, vip in enumerate(vips):
        for other in vips[:index]:
            if vip.name == other.name:
                problems.add(f"{vip.label}.name", vip.name, f"a name of its own: {other.label} has this one")
            if vip.address == other.address:
                expectation = f"an address of its own: {other.label} has this one"
                problems.add(f"{vip.label}.address", str(vip.address), expectation)
            if vip.public_ip and other.public_ip and vip.display_name == other.display_name:
                expectation = f"a name of its own, by which its public IP is found: {other.label} has this one"
                problems.add(f"{vip.label}.display_name", vip.display_name, expectation)
        routes = [(route, other.label) for other in vips[:index] for route in other.routes]
        for position, route in enumerate(vip.routes):
            taken = dict([*routes, *((r, vip.label) for r in vip.routes[:position])])
            if route in taken:
                expectation = f"one VIP per table and destination: {taken[route]} has this one"
                problems.add(f"{vip.label}.routes", f"{route.destination} in {route.route_table_id}", expectation)


def _preferred_nodes(vips: Sequence[Vip], nodes: Sequence[str], problems: Problems) -> dict[str, str]:
    preferred: dict[str, str] = {}
    for vip in vips:
        if vip.preferred_node is None or vip.preferred_node not in nodes:
            continue
        first = preferred.setdefault(vip.group, vip.preferred_node)
        if first != vip.preferred_node:
            expectation = f"'{first}' as for the other VIPs of group '{vip.group}', which move together"
            problems.add(f"{vip.label}.preferred_node", vip.preferred_node, expectation)
    return preferred


def _virtual_router_ids(vips: Sequence[Vip], complete: bool, settings: Settings, problems: Problems) -> dict[str, int]:
    """The id of each group's virtual router: that given by hand, or else one that other groups do not change.

    :param complete: whether all VIPs could be read, so that what they do not name is no group
    """
    ids = {vip.group: _derived_id(settings.cluster, vip.group) for vip in vips if vip.state == "present"}
    given = {} if settings.virtual_router_ids is None else settings.virtual_router_ids
    if not isinstance(given, Mapping):
        problems.add("cloudvip_virtual_router_ids", given, "a mapping of VIP groups to whole numbers")
        return ids
    known = list(dict.fromkeys(vip.group for vip in vips))
    for group, value in given.items():
        variable = f"cloudvip_virtual_router_ids.{group}"
        number = whole(value, 1, VIRTUAL_ROUTER_IDS)
        if number is None:
            problems.add(variable, value, f"a whole number from 1 to {VIRTUAL_ROUTER_IDS}")
        elif group in ids:
            ids[group] = number
        elif complete and group not in known:
            problems.add(variable, value, f"one of the groups {', '.join(known)}{suggest(group, known)}")
    if settings.engine != "keepalived":
        return ids
    owners: dict[int, str] = {}
    for group, number in ids.items():
        owner = owners.setdefault(number, group)
        if owner != group:
            expectation = f"an id of its own: group '{owner}' has this one; set another in cloudvip_virtual_router_ids"
            problems.add(f"cloudvip_virtual_router_ids.{group}", number, expectation)
    return ids


def _derived_id(cluster: str, group: str) -> int:
    digest = hashlib.sha256(f"{cluster}/{group}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % VIRTUAL_ROUTER_IDS + 1


def _parse_vnics(settings: Settings, problems: Problems) -> dict[str, list[Vnic]]:
    if settings.vnics is None:
        return {}
    parsed: dict[str, list[Vnic]] = {}
    for node in settings.nodes:
        fact = settings.vnics.get(node)
        if not fact or not fact["vnics"]:
            expectation = f"the VNICs of every node; '{node}' was not asked (run without --limit, all nodes up)"
            problems.add(f"cloudvip_vnic of {node}", fact, expectation)
        else:
            parsed[node] = [Vnic.from_fact(entry) for entry in fact["vnics"]]
            primary = parsed[node][0]
            if settings.engine == "keepalived" and primary.interface is None:
                expectation = (
                    f"a Linux interface of {node} with the MAC address {primary.mac} of its primary VNIC "
                    f"{primary.vnic_id}, on which keepalived talks to the other nodes"
                )
                problems.add(f"cloudvip_vnic of {node}", None, expectation)
    return parsed


def _bind(vip: Vip, vnics: Mapping[str, Sequence[Vnic]], predicted: bool, problems: Problems) -> dict[str, Vnic]:
    """Find the VNIC of each node that serves a VIP: the one whose subnet holds the address."""
    bindings: dict[str, Vnic] = {}
    for node, own in vnics.items():
        holders = [vnic for vnic in own if vnic.network_of(vip.address)]
        if not holders:
            # A removal may have broken off between two nodes, and a new node may join others that have it.
            if _may_lack_vnics(vip, predicted):
                continue
            subnets = ", ".join(
                f"{vnic.interface or vnic.mac} {network}"
                for vnic in own
                for network in (vnic.subnet, vnic.ipv6_subnet)
                if network and network.version == vip.address.version
            )
            expectation = f"an address in a subnet of {node}: {subnets or 'it has none for this version of IP'}"
            if vip.subnet_id is not None and vip.address.version == 6:
                expectation += "; cloudvip attaches and configures VNICs for IPv4 only"
            problems.add(f"{vip.label}.address", str(vip.address), expectation)
            continue
        if vip.interface is not None:
            chosen = [vnic for vnic in holders if vnic.interface == vip.interface]
            if not chosen:
                names = ", ".join(str(vnic.interface) for vnic in holders)
                expectation = f"an interface of {node} in the subnet of {vip.address}: {names}"
                problems.add(f"{vip.label}.interface", vip.interface, expectation)
                continue
        else:
            chosen = holders
            if len(chosen) > 1:
                names = " or ".join(str(vnic.interface) for vnic in chosen)
                expectation = f"{names}: several VNICs of {node} are in the subnet of {vip.address}"
                problems.add(f"{vip.label}.interface", None, expectation)
                continue
        vnic = chosen[0]
        _check_address(vip, node, vnic, problems)
        bindings[node] = vnic
    for node, own in vnics.items():
        if any(vip.address == vnic.private_ip for vnic in own):
            expectation = f"an address that is not a node's primary: this one is {node}'s"
            problems.add(f"{vip.label}.address", str(vip.address), expectation)
    return bindings


def _check_address(vip: Vip, node: str, vnic: Vnic, problems: Problems) -> None:
    subnet = vnic.network_of(vip.address)
    if subnet is None:
        return
    if vip.prefix != subnet.prefixlen:
        problems.add(f"{vip.label}.prefix", vip.prefix, f"{subnet.prefixlen}, that of its subnet {subnet}")
    reserved: dict[Address, str] = {subnet.network_address: "the network address", vnic.gateway: "the gateway"}
    if subnet.version == 4:
        reserved[subnet.broadcast_address] = "the broadcast address"
    if vip.address in reserved:
        expectation = f"a free host address of {subnet}: this one is {reserved[vip.address]}"
        problems.add(f"{vip.label}.address", str(vip.address), expectation)
    if vnic.interface is None:
        expectation = f"a Linux interface of {node} with the MAC address {vnic.mac} of VNIC {vnic.vnic_id}"
        problems.add(f"{vip.label}.interface", None, expectation)


def _check_capacity(vips: Sequence[Vip], bindings: Mapping[str, Mapping[str, Vnic]], problems: Problems) -> None:
    held: dict[tuple[str, Vnic, int], int] = {}
    for vip in vips:
        if vip.state == "present":
            for node, vnic in bindings[vip.name].items():
                key = node, vnic, vip.address.version
                held[key] = held.get(key, 0) + 1
    for (node, vnic, version), count in held.items():
        most = MAX_VIPS_PER_VNIC[version]
        if count > most:
            subnet = vnic.subnet if version == 4 else vnic.ipv6_subnet
            expectation = f"at most {most} VIPs in {subnet}, all that a VNIC ({node}) can hold"
            problems.add("cloudvip_vips", f"{count} VIPs", expectation)


def _check_ipv6(
    vips: Sequence[Vip], bindings: Mapping[str, Mapping[str, Vnic]], settings: Settings, problems: Problems
) -> None:
    for vip in vips:
        if vip.state == "absent" or vip.address.version == 4:
            continue
        for node, vnic in bindings[vip.name].items():
            fact = (settings.vnics or {})[node]
            if fact and vnic.vnic_id in [own["vnic_id"] for own in own_interfaces(fact["vnics"])]:
                expectation = (
                    f"an interface of {node} that something else configures: cloudvip configures "
                    f"{vnic.interface or vnic.mac} itself, which it can for IPv4 only"
                )
                problems.add(f"{vip.label}.address", str(vip.address), expectation)

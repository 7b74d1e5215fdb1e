# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What a user writes in ``cloudvip_vips``, checked and completed, as one model that every role reads."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

ENGINES = {"pacemaker": True, "keepalived": False}
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
)
REQUIRED_KEYS = ("name", "address", "prefix")

DEFAULT_GROUP = "main"
MIN_NODES = 2
MAX_NODES = 16
# A VNIC holds 64 IPv4 addresses, its own included.
MAX_VIPS_PER_VNIC = 63

# Names become part of cluster resource ids (NCName) and of file names under /run.
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
CLUSTER = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
PLACEHOLDER = re.compile(r"(change|replace)[_-]?me|^<[^<>]+>$", re.IGNORECASE)


class Problems:
    """Everything that is wrong, so that a user sees it all at once."""

    def __init__(self) -> None:
        """Start with nothing wrong."""
        self.messages: list[str] = []

    def add(self, variable: str, value: object, expectation: str) -> None:
        """Name the variable, its value and what was expected instead."""
        message = f"{variable} = {value!r}: expected {expectation}"
        if message not in self.messages:
            self.messages.append(message)


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
        )


@dataclass(frozen=True)
class Vip:
    """A virtual address as the user wrote it, with the defaults filled in."""

    label: str
    name: str
    address: IPv4Address
    prefix: int
    group: str
    preferred_node: str | None
    interface: str | None
    state: str
    display_name: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Settings:
    """The cluster-wide inputs that stand beside ``cloudvip_vips``.

    :param vnics: node -> ``cloudvip_vnic`` fact; None checks only what can be checked without connecting to a node.
    :param others: further variables, by name, that are searched for placeholders.
    """

    cluster: str
    nodes: Sequence[str]
    vnics: Mapping[str, Mapping[str, Any] | None] | None = None
    engine: str = "pacemaker"
    cloud: str = "oci"
    profile: str = "balanced"
    fencing: str = "none"
    others: Mapping[str, Any] = field(default_factory=dict)


def build(raw: object, settings: Settings) -> dict[str, Any]:
    """Check the input as a whole and return the model.

    :raises ModelError: listing every problem found
    """
    problems = Problems()
    _check_placeholders(settings.others, problems)
    _check_settings(settings, problems)
    vips = _parse_vips(raw, settings, problems)
    _check_duplicates(vips, problems)
    preferred = _preferred_nodes(vips, settings.nodes, problems)
    vnics = _parse_vnics(settings, problems)
    bindings = {vip.name: _bind(vip, vnics, problems) for vip in vips}
    _check_capacity(vips, bindings, problems)
    if problems.messages:
        raise ModelError(problems.messages)

    present = [vip for vip in vips if vip.state == "present"]
    groups = list(dict.fromkeys(vip.group for vip in present))
    return {
        "cluster": str(settings.cluster),
        "router": any(len({_network(vip) for vip in present if vip.group == group}) > 1 for group in groups),
        "nodes": [str(node) for node in settings.nodes],
        "addresses": {node: str(own[0].private_ip) for node, own in vnics.items()},
        "groups": [
            {
                "name": group,
                "preferred_node": preferred.get(group),
                "vips": [_as_data(vip, bindings[vip.name]) for vip in present if vip.group == group],
            }
            for group in groups
        ],
        "absent": [_as_data(vip, bindings[vip.name]) for vip in vips if vip.state == "absent"],
    }


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


def _network(vip: Vip) -> IPv4Network:
    return IPv4Network((vip.address, vip.prefix), strict=False)


def _check_placeholders(values: object, problems: Problems, path: str = "") -> None:
    if isinstance(values, Mapping):
        for key, value in values.items():
            _check_placeholders(value, problems, f"{path}.{key}" if path else str(key))
    elif isinstance(values, (list, tuple)):
        for index, value in enumerate(values):
            _check_placeholders(value, problems, f"{path}[{index}]")
    elif isinstance(values, str) and PLACEHOLDER.search(values):
        problems.add(path, values, "a value of your own in place of the example's placeholder")


def _suggest(word: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _check_choice(variable: str, value: object, choices: Mapping[str, bool], problems: Problems) -> None:
    available = [name for name, built in choices.items() if built]
    if value in available:
        return
    if value in choices:
        problems.add(variable, value, f"{' or '.join(available)}: '{value}' is not available yet")
    else:
        problems.add(variable, value, f"{' or '.join(available)}{_suggest(value, choices)}")


def _check_settings(settings: Settings, problems: Problems) -> None:
    _check_choice("cloudvip_engine", settings.engine, ENGINES, problems)
    _check_choice("cloudvip_cloud", settings.cloud, CLOUDS, problems)
    _check_choice("cloudvip_profile", settings.profile, PROFILES, problems)
    _check_choice("cloudvip_fencing", settings.fencing, FENCING, problems)
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
    if not raw:
        problems.add("cloudvip_vips", list(raw), "at least one VIP; one to be removed stays listed with state: absent")
    vips = [_parse_vip(entry, f"cloudvip_vips[{index}]", settings, problems) for index, entry in enumerate(raw)]
    return [vip for vip in vips if vip is not None]


def _parse_vip(entry: object, label: str, settings: Settings, problems: Problems) -> Vip | None:
    if not isinstance(entry, Mapping):
        problems.add(label, entry, "a mapping with the keys name, address and prefix")
        return None
    before = len(problems.messages)
    for key in entry:
        if key not in VIP_KEYS:
            expectation = f"no such key{_suggest(key, VIP_KEYS)}; known are {', '.join(VIP_KEYS)}"
            problems.add(f"{label}.{key}", entry[key], expectation)
    for key in REQUIRED_KEYS:
        if entry.get(key) is None:
            problems.add(f"{label}.{key}", None, "a value: the key is required")
    given = {key: value for key, value in entry.items() if key in VIP_KEYS and value is not None}
    if isinstance(given.get("name"), str):
        label = f"{label} ({given['name']})"
    for key in list(given):
        known = len(problems.messages)
        _check_placeholders(given[key], problems, f"{label}.{key}")
        # A placeholder is one problem; that it is no address either is not another.
        if len(problems.messages) > known:
            del given[key]

    for key in ("name", "group"):
        if key in given and not (isinstance(given[key], str) and NAME.fullmatch(given[key])):
            expectation = "a lower-case letter, then up to 31 lower-case letters, digits or '-'"
            problems.add(f"{label}.{key}", given[key], expectation)
    address = _parse_address(given.get("address"), f"{label}.address", problems)
    prefix = _parse_prefix(given.get("prefix"), f"{label}.prefix", problems)
    _check_choice(f"{label}.state", given.get("state", "present"), STATES, problems)
    if given.get("public_ip", False) is not False:
        problems.add(f"{label}.public_ip", given["public_ip"], "false: public addresses are not available yet")
    if "preferred_node" in given and given["preferred_node"] not in settings.nodes:
        expectation = f"one of the nodes {', '.join(settings.nodes)}{_suggest(given['preferred_node'], settings.nodes)}"
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
    )


def _parse_address(value: object, variable: str, problems: Problems) -> IPv4Address | None:
    if value is None:
        return None
    try:
        return IPv4Address(str(value))
    except AddressValueError:
        problems.add(variable, value, "an IPv4 address without a prefix, such as 10.0.0.4")
        return None


def _parse_prefix(value: object, variable: str, problems: Problems) -> int | None:
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or not 1 <= int(text) <= 30:
        problems.add(variable, value, "the prefix length of the address's subnet, 1 to 30")
        return None
    return int(text)


def _check_duplicates(vips: Sequence[Vip], problems: Problems) -> None:
    for index, vip in enumerate(vips):
        for other in vips[:index]:
            if vip.name == other.name:
                problems.add(f"{vip.label}.name", vip.name, f"a name of its own: {other.label} has this one")
            if vip.address == other.address:
                expectation = f"an address of its own: {other.label} has this one"
                problems.add(f"{vip.label}.address", str(vip.address), expectation)


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
    return parsed


def _bind(vip: Vip, vnics: Mapping[str, Sequence[Vnic]], problems: Problems) -> dict[str, Vnic]:
    """Find the VNIC of each node that serves a VIP: the one whose subnet holds the address."""
    bindings: dict[str, Vnic] = {}
    for node, own in vnics.items():
        holders = [vnic for vnic in own if vip.address in vnic.subnet]
        if not holders:
            subnets = ", ".join(f"{vnic.interface or vnic.mac} {vnic.subnet}" for vnic in own)
            problems.add(f"{vip.label}.address", str(vip.address), f"an address in a subnet of {node}: {subnets}")
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
    if vip.prefix != vnic.subnet.prefixlen:
        problems.add(f"{vip.label}.prefix", vip.prefix, f"{vnic.subnet.prefixlen}, that of its subnet {vnic.subnet}")
    reserved = {
        vnic.subnet.network_address: "the network address",
        vnic.subnet.broadcast_address: "the broadcast address",
        vnic.gateway: "the gateway",
    }
    if vip.address in reserved:
        expectation = f"a free host address of {vnic.subnet}: this one is {reserved[vip.address]}"
        problems.add(f"{vip.label}.address", str(vip.address), expectation)
    if vnic.interface is None:
        expectation = f"a Linux interface of {node} with the MAC address {vnic.mac} of VNIC {vnic.vnic_id}"
        problems.add(f"{vip.label}.interface", None, expectation)


def _check_capacity(vips: Sequence[Vip], bindings: Mapping[str, Mapping[str, Vnic]], problems: Problems) -> None:
    held: dict[tuple[str, Vnic], int] = {}
    for vip in vips:
        if vip.state == "present":
            for node, vnic in bindings[vip.name].items():
                held[node, vnic] = held.get((node, vnic), 0) + 1
    for (node, vnic), count in held.items():
        if count > MAX_VIPS_PER_VNIC:
            expectation = f"at most {MAX_VIPS_PER_VNIC} VIPs in {vnic.subnet}, all that a VNIC ({node}) can hold"
            problems.add("cloudvip_vips", f"{count} VIPs", expectation)

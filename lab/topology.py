# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab's shape, read from a small YAML file: one VCN, its subnets, the nodes and the clients."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import yaml

REGION = "lab-emu-1"
REGION_KEY = "LAB"
REALM_KEY = "oc99"
REALM_DOMAIN = "ocilab.internal"
API_ADDRESS = "198.18.0.1"
METADATA_ADDRESS = "169.254.169.254"
_PROTOCOLS = {"all": "all", "icmp": "1", "tcp": "6", "udp": "17", "vrrp": "112"}
_ANYTHING = ({"from": "0.0.0.0/0", "protocol": "all"},)


class TopologyError(ValueError):
    """The topology file does not describe a lab that can be built."""


def ocid(kind: str, name: str) -> str:
    """A stable OCID: the same name always gets the same one, so that a rebuilt lab is the same cloud."""
    digest = hashlib.sha256(f"{kind}/{name}".encode()).hexdigest()[:32]
    return f"ocid1.{kind}.{REALM_KEY}.{REGION_KEY.lower()}.{digest}"


def mac(name: str) -> str:
    """A stable MAC address with the prefix that OCI gives to its VNICs."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return f"02:00:17:{digest[0:2]}:{digest[2:4]}:{digest[4:6]}"


@dataclass(frozen=True)
class RouteRule:
    """A rule of a subnet's route table: traffic that leaves the subnet for `destination` goes to the private IP `via`.

    `via` is an address; the rule binds to the OCID of the first private IP that is created there and then keeps that
    OCID for good, as a rule in a real VCN does: when the object is deleted, the rule is a black hole.
    """

    destination: IPv4Network
    via: IPv4Address


@dataclass(frozen=True)
class IngressRule:
    """A rule of a subnet's security list.

    `protocol` is `all` or a number, `ports` are the destination's (None: all of them).
    """

    source: IPv4Network
    protocol: str
    ports: tuple[int, int] | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> IngressRule:
        """Read `{from: CIDR, protocol: NAME, ports: 22}` or `ports: 5405-5412`. Raises KeyError and ValueError."""
        ports = [int(p) for p in str(data["ports"]).split("-")] if "ports" in data else []
        return cls(IPv4Network(data["from"]), _PROTOCOLS[data["protocol"]], (ports[0], ports[-1]) if ports else None)


@dataclass(frozen=True)
class Subnet:
    """`ipv6` is its IPv6 prefix where it has one: the API knows it, the fabric routes IPv4 only.

    `ingress` is what its security list lets in: anything, unless the file says otherwise.
    """

    name: str
    cidr: IPv4Network
    routes: tuple[RouteRule, ...]
    ingress: tuple[IngressRule, ...]
    ipv6: IPv6Network | None = None

    @property
    def id(self) -> str:
        return ocid("subnet", self.name)

    @property
    def gateway(self) -> IPv4Address:
        return self.cidr.network_address + 1


@dataclass(frozen=True)
class VnicSpec:
    """A VNIC that exists from the start; `interface` is its Linux name, and an instance's first one is its primary."""

    interface: str
    subnet: str
    address: IPv4Address
    instance: str

    @property
    def id(self) -> str:
        return ocid("vnic", f"{self.instance}/{self.interface}")

    @property
    def mac(self) -> str:
        return mac(f"{self.instance}/{self.interface}")


@dataclass(frozen=True)
class Instance:
    """A node (`is_node`: a container with systemd) or a client (a network namespace with an echo server)."""

    name: str
    availability_domain: str
    is_node: bool
    vnics: tuple[VnicSpec, ...]

    @property
    def id(self) -> str:
        return ocid("instance", self.name)


@dataclass(frozen=True)
class Flow:
    """A client-to-client flow that a probe sends through the routers."""

    source: str
    target: str


@dataclass(frozen=True)
class Topology:
    name: str
    cidrs: tuple[IPv4Network, ...]
    subnets: tuple[Subnet, ...]
    instances: tuple[Instance, ...]
    flows: tuple[Flow, ...]

    @property
    def nodes(self) -> tuple[Instance, ...]:
        return tuple(i for i in self.instances if i.is_node)

    @property
    def clients(self) -> tuple[Instance, ...]:
        return tuple(i for i in self.instances if not i.is_node)

    def subnet(self, name: str) -> Subnet:
        """The subnet of that name. Raises KeyError."""
        return {s.name: s for s in self.subnets}[name]

    def instance(self, name: str) -> Instance:
        """The node or client of that name. Raises KeyError."""
        return {i.name: i for i in self.instances}[name]


def parse(data: Mapping[str, Any]) -> Topology:
    """Build a Topology from a topology file's content. Raises TopologyError with the key and the value at fault."""
    try:
        subnets = tuple(
            Subnet(
                name,
                IPv4Network(s["cidr"]),
                tuple(RouteRule(IPv4Network(r["to"]), IPv4Address(r["via"])) for r in s.get("routes", ())),
                tuple(IngressRule.parse(r) for r in s.get("ingress", _ANYTHING)),
                IPv6Network(s["ipv6"]) if "ipv6" in s else None,
            )
            for name, s in data["subnets"].items()
        )
        instances = tuple(
            Instance(
                name,
                spec.get("availability_domain", "AD-1"),
                kind == "nodes",
                tuple(
                    VnicSpec(interface, v["subnet"], IPv4Address(v["address"]), name)
                    for interface, v in spec["vnics"].items()
                ),
            )
            for kind in ("nodes", "clients")
            for name, spec in data[kind].items()
        )
        topology = Topology(
            data["name"],
            tuple(IPv4Network(c) for c in data["cidrs"]),
            subnets,
            instances,
            tuple(Flow(f["from"], f["to"]) for f in data.get("flows", ())),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise TopologyError(f"topology: {type(error).__name__}: {error}") from error
    _check(topology)
    return topology


def _check(topology: Topology) -> None:
    by_name = {s.name: s for s in topology.subnets}
    seen: dict[IPv4Address, str] = {}
    for instance in topology.instances:
        for vnic in instance.vnics:
            where = f"{instance.name}.{vnic.interface}"
            if vnic.subnet not in by_name:
                raise TopologyError(f"{where}: subnet {vnic.subnet!r} is not one of {sorted(by_name)}")
            cidr = by_name[vnic.subnet].cidr
            if vnic.address not in cidr:
                raise TopologyError(f"{where}: address {vnic.address} is not in subnet {vnic.subnet} ({cidr})")
            if vnic.address in seen:
                raise TopologyError(f"{where}: address {vnic.address} is already that of {seen[vnic.address]}")
            seen[vnic.address] = where
    for subnet in topology.subnets:
        if not any(subnet.cidr.subnet_of(c) for c in topology.cidrs):
            raise TopologyError(f"subnet {subnet.name}: {subnet.cidr} is in none of the VCN's cidrs")
        if subnet.ipv6 and subnet.ipv6.prefixlen != 64:
            raise TopologyError(f"subnet {subnet.name}: {subnet.ipv6} is not a /64, as every IPv6 subnet is")
    names = {i.name for i in topology.instances}
    for flow in topology.flows:
        if not {flow.source, flow.target} <= names:
            raise TopologyError(f"flow {flow.source} -> {flow.target}: not a node or client of this topology")


def names() -> list[str]:
    """The topologies that come with the lab."""
    return sorted(
        p.name.removesuffix(".yml") for p in resources.files("lab.topologies").iterdir() if p.name.endswith(".yml")
    )


def load(name: str) -> Topology:
    """Load a topology by the name of a shipped one or by a file's path. Raises TopologyError."""
    path = Path(name)
    if path.suffix in {".yml", ".yaml"}:
        text = path.read_text(encoding="utf-8")
    elif name in names():
        text = resources.files("lab.topologies").joinpath(f"{name}.yml").read_text(encoding="utf-8")
    else:
        raise TopologyError(f"topology {name!r}: expected one of {names()} or the path of a .yml file")
    return parse(yaml.safe_load(text))

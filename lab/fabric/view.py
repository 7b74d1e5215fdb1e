# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control plane tells the fabric: a plain picture of who is attached where, with no cloud vocabulary left."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network


@dataclass(frozen=True)
class Admission:
    """Packets that a port takes: from a network or from the ports of these VNICs, of a protocol, to a range of ports.

    What is None does not matter.
    """

    source: IPv4Network | frozenset[str]
    protocol: int | None = None
    ports: tuple[int, int] | None = None


ANYTHING = Admission(IPv4Network("0.0.0.0/0"))


@dataclass(frozen=True)
class Port:
    """A VNIC: the fabric's end of an instance's interface.

    What no entry of `admits` describes does not get in, unless it belongs to something that the instance began.
    """

    vnic_id: str
    instance: str
    interface: str
    mac: str
    address: IPv4Address
    subnet: str
    forwards: bool
    """skipSourceDestCheck: the instance may send and receive packets that are not its own."""
    admits: tuple[Admission, ...] = (ANYTHING,)


@dataclass(frozen=True)
class Floating:
    """A secondary private IP. `vnic_id` is None while it is reserved but not attached."""

    private_ip_id: str
    address: IPv4Address
    vnic_id: str | None


@dataclass(frozen=True)
class Rule:
    """Traffic entering the fabric from `subnet` for `destination` goes to the holder of `private_ip_id`.

    An id that is no Floating of the view (deleted), or one that is not attached, is a black hole.
    """

    subnet: str
    destination: IPv4Network
    private_ip_id: str


@dataclass(frozen=True)
class SubnetView:
    name: str
    cidr: IPv4Network
    gateway: IPv4Address


@dataclass(frozen=True)
class View:
    subnets: tuple[SubnetView, ...]
    ports: tuple[Port, ...]
    floatings: tuple[Floating, ...]
    rules: tuple[Rule, ...]

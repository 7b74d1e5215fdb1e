# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The VNICs of instances: what is wanted, what is there, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Any, Literal

from .errors import PlanError


@dataclass(frozen=True)
class VnicAttachment:
    """The bond of an instance and a VNIC; `vnic_id` is None until it is complete."""

    id: str
    instance_id: str
    subnet_id: str
    vnic_id: str | None
    lifecycle_state: str


@dataclass(frozen=True)
class AttachedVnic:
    """A VNIC that is attached; `private_ip` is its primary one."""

    attachment_id: str
    id: str
    instance_id: str
    subnet_id: str
    display_name: str
    mac_address: str
    private_ip: str
    is_primary: bool


@dataclass(frozen=True)
class Request:
    """What is wanted of one instance in one subnet.

    :param display_name: the name of a VNIC to attach, and of the one that `absent` detaches
    :param private_ip: the primary private IP of a VNIC to attach; None lets the service choose
    :param nsg_ids: the network security groups of a VNIC to attach
    :param label: how messages and results call the request
    :param vip: an address that the subnet is to have; None if there is none to check
    """

    instance_id: str
    subnet_id: str
    display_name: str
    private_ip: str | None
    nsg_ids: tuple[str, ...]
    skip_source_dest_check: bool
    state: Literal["present", "absent"]
    label: str
    vip: str | None = None

    @classmethod
    def from_param(cls, index: int, param: Mapping[str, Any]) -> Request:
        """Read one entry of the module's option `attachments`. Raises ValueError with what is wrong with it."""
        label = param["label"] or f"attachments[{index}]"
        private_ip = param["private_ip"]
        if private_ip is not None:
            try:
                private_ip = str(IPv4Address(private_ip))
            except ValueError as error:
                raise ValueError(f"{label}.private_ip = {private_ip!r}: expected an IPv4 address") from error
        return cls(
            instance_id=param["instance_id"],
            subnet_id=param["subnet_id"],
            display_name=param["display_name"],
            private_ip=private_ip,
            nsg_ids=tuple(param["nsg_ids"] or ()),
            skip_source_dest_check=param["skip_source_dest_check"],
            state=param["state"],
            label=label,
            vip=param["vip"],
        )


@dataclass(frozen=True)
class Attach:
    """Make a VNIC and attach it."""

    request: Request


@dataclass(frozen=True)
class Detach:
    """Detach a VNIC, which deletes it."""

    request: Request
    vnic: AttachedVnic


@dataclass(frozen=True)
class Plan:
    """What to do, and the VNICs asked for before and after: by label, None where there is nothing."""

    actions: tuple[Attach | Detach, ...]
    before: Mapping[str, Mapping[str, Any] | None]
    after: Mapping[str, Mapping[str, Any] | None]


def parse(params: Iterable[Mapping[str, Any]]) -> tuple[Request, ...]:
    """Read the module's option `attachments`. Raises PlanError with everything that is wrong with it."""
    requests: list[Request] = []
    problems: list[str] = []
    for index, param in enumerate(params):
        try:
            request = Request.from_param(index, param)
        except ValueError as error:
            problems.append(str(error))
            continue
        for twin in requests:
            if twin.label == request.label:
                problems.append(f"attachments[{index}].label = {request.label!r}: expected a label of its own")
            elif (twin.instance_id, twin.subnet_id) == (request.instance_id, request.subnet_id):
                problems.append(
                    f"{request.label}.subnet_id = {request.subnet_id!r}: expected once for each instance, {twin.label} "
                    "has this instance and subnet too"
                )
        requests.append(request)
    if problems:
        raise PlanError(problems)
    return tuple(requests)


def find(request: Request, vnics: Iterable[AttachedVnic]) -> AttachedVnic | None:
    """The VNIC that a request is about: to be present any in the subnet will do, to be absent its name counts."""
    there = [v for v in vnics if (v.instance_id, v.subnet_id) == (request.instance_id, request.subnet_id)]
    named = [v for v in there if v.display_name == request.display_name]
    return next(iter(named if request.state == "absent" else [*named, *there]), None)


def plan(requests: Sequence[Request], vnics: Sequence[AttachedVnic], secondary: Mapping[str, Sequence[str]]) -> Plan:
    """Compare what is wanted with what is there.

    :param vnics: the attached VNICs of the instances in the subnets asked for
    :param secondary: the secondary addresses of each VNIC that may have to go, by its OCID
    :raises PlanError: with every request that must not be carried out
    """
    found = {r.label: find(r, vnics) for r in requests}
    problems = [
        problem
        for r in requests
        if r.state == "absent" and (vnic := found[r.label]) and (problem := _needed(r, vnic, secondary))
    ]
    if problems:
        raise PlanError(problems)
    actions: list[Attach | Detach] = []
    before: dict[str, Mapping[str, Any] | None] = {}
    after: dict[str, Mapping[str, Any] | None] = {}
    for request in requests:
        vnic = found[request.label]
        before[request.label] = None if vnic is None else _shown(vnic)
        if request.state == "absent":
            after[request.label] = None
            actions += [] if vnic is None else [Detach(request, vnic)]
        elif vnic is None:
            after[request.label] = {"display_name": request.display_name, "private_ip": request.private_ip}
            actions.append(Attach(request))
        else:
            after[request.label] = _shown(vnic)
    return Plan(tuple(actions), before, after)


def _needed(request: Request, vnic: AttachedVnic, secondary: Mapping[str, Sequence[str]]) -> str | None:
    """Why a VNIC must stay, if it must."""
    given = f"{request.label}.display_name = {request.display_name!r}: expected a"
    if vnic.is_primary:
        return f"{given} secondary VNIC; {vnic.id} is the primary one of its instance"
    if addresses := secondary[vnic.id]:
        return f"{given} VNIC without secondary private IPs; {vnic.id} has {', '.join(addresses)}"
    return None


def _shown(vnic: AttachedVnic) -> dict[str, Any]:
    return {"display_name": vnic.display_name, "private_ip": vnic.private_ip}


def check_subnets(requests: Iterable[Request], cidrs: Mapping[str, Sequence[str]]) -> None:
    """Refuse subnets that do not have the VIP they are for. Raises PlanError.

    :param cidrs: the IPv4 blocks of each subnet
    """
    problems = [
        f"{r.label}.subnet_id = {r.subnet_id!r}: expected the subnet of {r.vip}; this one is {', '.join(own)}"
        for r in requests
        if r.vip is not None
        and (own := cidrs[r.subnet_id])
        and not any(ip_address(r.vip) in IPv4Network(cidr) for cidr in own)
    ]
    if problems:
        raise PlanError(problems)


def result(request: Request, vnic: AttachedVnic | None, cidrs: Sequence[str]) -> dict[str, Any]:
    """What the module answers about a VNIC that is there, or (None) that would be.

    :param cidrs: those of its subnet, the first one first
    """
    address = request.private_ip if vnic is None else vnic.private_ip
    return {
        "instance_id": request.instance_id,
        "subnet_id": request.subnet_id,
        "subnet_cidr": cidr_of(address, cidrs),
        "vnic_id": None if vnic is None else vnic.id,
        "display_name": request.display_name if vnic is None else vnic.display_name,
        "mac_address": None if vnic is None else vnic.mac_address,
        "private_ip": address,
    }


def cidr_of(address: str | None, cidrs: Sequence[str]) -> str:
    """The block of a subnet that an address is in; the first one as long as there is no address."""
    return next((c for c in cidrs if address is not None and IPv4Address(address) in IPv4Network(c)), cidrs[0])

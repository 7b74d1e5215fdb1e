# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of VNICs: private IPs and IPv6 objects, which are alike but for their names and permissions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv6Address
from typing import Any, Generic, TypeVar, cast, get_args

from lab.cloud.call import Call, Operation, Reply, fields, filtered, page, single, typed
from lab.cloud.errors import invalid, not_found
from lab.cloud.names import COMPARTMENT_ID
from lab.cloud.records import find
from lab.cloud.state import IPV6, PRIVATE_IP, AddressKind, Ipv6, Lifetime, PrivateIp

_A = TypeVar("_A", PrivateIp, Ipv6)
_FIELDS: dict[str, tuple[str, type]] = {
    "displayName": ("display_name", str),
    "freeformTags": ("freeform_tags", dict),
    "definedTags": ("defined_tags", dict),
}
_PLACE: dict[str, tuple[str, type]] = {
    "vnicId": ("vnic_id", str),
    "lifetime": ("lifetime", str),
}
_RESERVATION = ("subnetId", "lifetime")
"""The attributes that an API without reserved private IPs does not know."""


@dataclass(frozen=True)
class _Kind(Generic[_A]):
    """How one kind of addresses appears in the API.

    :param kind: what the control plane calls it
    :param hostname: its attribute for a name in the subnet's DNS, and the record's field for that
    :param more: what an answer shows beside what both kinds do
    :param canonical: how the control plane writes the address of a query
    :param permissions: for each verb of an operation, and for what else a call may ask for: see `_require`
    """

    kind: AddressKind[_A]
    hostname: tuple[str, str]
    more: Callable[[_A], dict[str, Any]]
    canonical: Callable[[str], str]
    permissions: Mapping[str, tuple[str, ...]]

    @property
    def fields(self) -> dict[str, tuple[str, type]]:
        """What can be set at any time."""
        name, field = self.hostname
        return {**_FIELDS, name: (field, str)}


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError as error:
        raise invalid(f"{text!r} is not an IPv6 address.") from error


_PRIVATE_IP = _Kind(
    PRIVATE_IP,
    ("hostnameLabel", "hostname_label"),
    lambda record: {
        "availabilityDomain": record.availability_domain,
        "vlanId": None,
        "isPrimary": record.is_primary,
        "hostnameLabel": record.hostname_label,
        "ipv4SubnetCidrAtCreation": None,
    },
    str,
    {
        "list": ("PRIVATE_IP_READ",),
        "get": ("PRIVATE_IP_READ",),
        "create": ("PRIVATE_IP_CREATE", "PRIVATE_IP_ASSIGN", "VNIC_ASSIGN", "SUBNET_ATTACH"),
        "update": ("PRIVATE_IP_UPDATE", "VNIC_ASSIGN", "VNIC_UNASSIGN"),
        "delete": ("PRIVATE_IP_DELETE", "PRIVATE_IP_UNASSIGN", "VNIC_UNASSIGN", "SUBNET_DETACH"),
        # The policy reference does not list this operation; these are the parts of a deletion that unassign.
        "detach": ("PRIVATE_IP_UNASSIGN", "VNIC_UNASSIGN"),
    },
)
_IPV6 = _Kind(
    IPV6,
    ("hostname", "hostname"),
    lambda record: {"hostname": record.hostname, "lifecycleState": "AVAILABLE", "systemTags": {}},
    _ipv6,
    {
        "list": ("IPV6_READ",),
        "list of a VNIC": ("VNIC_READ",),
        "list of a subnet": ("SUBNET_READ",),
        "get": ("IPV6_READ",),
        "create": ("IPV6_CREATE", "SUBNET_ATTACH", "VNIC_ASSIGN"),
        "update": ("IPV6_UPDATE",),
        "move": ("VNIC_ASSIGN", "VNIC_UNASSIGN"),
        "delete": ("IPV6_DELETE", "SUBNET_DETACH", "VNIC_UNASSIGN"),
        # Not in the policy reference either: what a move away needs.
        "detach": ("IPV6_UPDATE", "VNIC_UNASSIGN"),
    },
)


def _require(kind: _Kind[Any], call: Call, *what: str) -> None:
    """Check the permissions for everything that a call asks for; for some of it a kind needs none of its own."""
    call.require(COMPARTMENT_ID, *(p for each in what for p in kind.permissions.get(each, ())))


def _shown(kind: _Kind[_A], call: Call, record: _A) -> dict[str, Any]:
    body = {
        "id": record.id,
        "compartmentId": COMPARTMENT_ID,
        "subnetId": record.subnet_id,
        "vnicId": record.vnic_id,
        "ipAddress": str(record.address),
        "cidrPrefixLength": None,
        "displayName": record.display_name,
        "routeTableId": None,
        "timeCreated": record.time_created,
        "freeformTags": dict(record.freeform_tags),
        "definedTags": dict(record.defined_tags),
        **kind.more(record),
    }
    if call.cloud.reserved_private_ips:
        body |= {"ipState": _state(record), "lifetime": record.lifetime}
    return body


def _state(record: PrivateIp | Ipv6) -> str:
    return "AVAILABLE" if record.vnic_id is None else "ASSIGNED"


def _given(call: Call, *names: str) -> dict[str, Any]:
    """The body of a call that takes these attributes. Raises ApiError 400."""
    # How an API answers what it does not know yet is not documented.
    known = [n for n in names if call.cloud.reserved_private_ips or n not in _RESERVATION]
    body = call.body(*known)
    lifetime = typed(body, "lifetime", str)
    if lifetime is not None and lifetime not in get_args(Lifetime):
        raise invalid(f"The attribute lifetime must be one of {', '.join(get_args(Lifetime))}.")
    return body


async def _list(kind: _Kind[_A], call: Call) -> Reply:
    vnic_id, subnet_id = call.query.get("vnicId"), call.query.get("subnetId")
    _require(kind, call, "list", "list of a VNIC" if vnic_id is not None else "list of a subnet")
    if "ipAddress" in call.query:
        call = replace(call, query={**call.query, "ipAddress": kind.canonical(call.query["ipAddress"])})
    for first, second in (("vnicId", "subnetId"), ("vnicId", "ipAddress")):
        if first in call.query and second in call.query:
            raise invalid(
                f"Conflicting query parameters {{{first} and {second}}} are specified "
                "{Both parameters cannot be specified}"
            )
    if vnic_id is None and subnet_id is None:
        raise invalid("One of the query parameters vnicId, subnetId, vlanId must be given.")
    if (vnic_id is not None and vnic_id not in call.cloud.vnics) or (
        subnet_id is not None and subnet_id not in call.cloud.subnets
    ):
        raise not_found()
    found = filtered(
        call,
        call.cloud.addresses(kind.kind).values(),
        ("vnicId", lambda p: p.vnic_id),
        ("subnetId", lambda p: p.subnet_id),
        ("ipAddress", lambda p: p.address),
        ("lifetime", lambda p: p.lifetime),
        ("ipState", _state),
    )
    return page(call, [_shown(kind, call, p) for p in found])


async def _get(kind: _Kind[_A], call: Call) -> Reply:
    _require(kind, call, "get")
    record = find(call.cloud.addresses(kind.kind), call.path["id"])
    return single(record, _shown(kind, call, record))


async def _create(kind: _Kind[_A], call: Call) -> Reply:
    _require(kind, call, "create")
    body = _given(call, *kind.fields, "vnicId", "subnetId", "ipAddress", "lifetime")
    record = await call.cloud.create_address(
        kind.kind,
        vnic_id=typed(body, "vnicId", str),
        subnet_id=typed(body, "subnetId", str),
        address=typed(body, "ipAddress", str),
        lifetime=cast("Lifetime | None", body.get("lifetime")),
        **fields(body, kind.fields),
    )
    return single(record, _shown(kind, call, record))


async def _update(kind: _Kind[_A], call: Call) -> Reply:
    names = {**kind.fields, **_PLACE}
    body = _given(call, *names)
    _require(kind, call, "update", *(["move"] if "vnicId" in body else []))
    record = await call.cloud.update_address(kind.kind, call.path["id"], fields(body, names), call.if_match)
    return single(record, _shown(kind, call, record))


async def _delete(kind: _Kind[_A], call: Call) -> Reply:
    _require(kind, call, "delete")
    await call.cloud.delete_address(kind.kind, call.path["id"], call.if_match)
    return Reply(None, 204)


async def _detach(kind: _Kind[_A], call: Call) -> Reply:
    _require(kind, call, "detach")
    record = await call.cloud.detach_address(kind.kind, call.path["id"], call.if_match)
    return single(record, _shown(kind, call, record))


def _operations(kind: _Kind[_A], name: str, path: str) -> tuple[Operation, ...]:
    one = f"{path}/{{id}}"
    return (
        Operation(f"List{name}s", "GET", path, partial(_list, kind)),
        Operation(f"Create{name}", "POST", path, partial(_create, kind)),
        Operation(f"Get{name}", "GET", one, partial(_get, kind)),
        Operation(f"Update{name}", "PUT", one, partial(_update, kind)),
        Operation(f"Delete{name}", "DELETE", one, partial(_delete, kind)),
        Operation(f"{name}VnicDetach", "POST", f"{one}/actions/detach", partial(_detach, kind)),
    )


OPERATIONS = (
    *_operations(_PRIVATE_IP, "PrivateIp", "/20160918/privateIps"),
    *_operations(_IPV6, "Ipv6", "/20160918/ipv6"),
)

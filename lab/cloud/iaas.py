# SPDX-License-Identifier: GPL-3.0-or-later
"""The core services: VNICs, private IPs, subnets, route tables, instances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address
from typing import Any, cast, get_args

from lab.cloud.call import Call, Operation, Reply, page, typed
from lab.cloud.errors import invalid, missing, not_found
from lab.cloud.names import COMPARTMENT_ID
from lab.cloud.state import (
    Action,
    Cloud,
    Instance,
    Ipv6,
    Lifetime,
    PrivateIp,
    PublicIp,
    RouteRule,
    RouteTable,
    Subnet,
    Vnic,
    VnicAttachment,
)
from lab.topology import REGION

_BASE = "/20160918"
_VCN_NAME = "lab"


def _tags(record: Vnic | PrivateIp | Ipv6 | PublicIp) -> dict[str, Any]:
    return {"freeformTags": dict(record.freeform_tags), "definedTags": dict(record.defined_tags)}


def _vnic(cloud: Cloud, vnic: Vnic) -> dict[str, Any]:
    primary = {p.id for p in cloud.private_ips.values() if p.vnic_id == vnic.id and p.is_primary}
    return {
        "id": vnic.id,
        "availabilityDomain": vnic.availability_domain,
        "compartmentId": COMPARTMENT_ID,
        "displayName": vnic.display_name,
        "hostnameLabel": vnic.hostname_label,
        "isPrimary": vnic.is_primary,
        "lifecycleState": "AVAILABLE",
        "macAddress": vnic.mac.upper(),
        "nsgIds": [],
        "privateIp": str(vnic.address),
        "publicIp": next((str(p.address) for p in cloud.public_ips.values() if p.private_ip_id in primary), None),
        "ipv6Addresses": [str(p.address) for p in cloud.ipv6s.values() if p.vnic_id == vnic.id] or None,
        "routeTableId": None,
        "skipSourceDestCheck": vnic.skip_source_dest_check,
        "subnetId": vnic.subnet_id,
        "vlanId": None,
        "timeCreated": vnic.time_created,
        "securityAttributes": {},
        **_tags(vnic),
    }


def _attachment(attachment: VnicAttachment) -> dict[str, Any]:
    return {
        "id": attachment.id,
        "availabilityDomain": attachment.availability_domain,
        "compartmentId": COMPARTMENT_ID,
        "displayName": None,
        "instanceId": attachment.instance_id,
        "lifecycleState": "ATTACHED",
        "nicIndex": 0,
        "subnetId": attachment.subnet_id,
        "timeCreated": attachment.time_created,
        "vlanId": None,
        "vlanTag": attachment.nic_index + 1,
        "vnicId": attachment.vnic_id,
    }


def _private_ip(record: PrivateIp) -> dict[str, Any]:
    return {
        "id": record.id,
        "availabilityDomain": record.availability_domain,
        "compartmentId": COMPARTMENT_ID,
        "subnetId": record.subnet_id,
        "vnicId": record.vnic_id,
        "vlanId": None,
        "ipAddress": str(record.address),
        "cidrPrefixLength": None,
        "isPrimary": record.is_primary,
        "ipState": "AVAILABLE" if record.vnic_id is None else "ASSIGNED",
        "lifetime": record.lifetime,
        "displayName": record.display_name,
        "hostnameLabel": record.hostname_label,
        "routeTableId": None,
        "ipv4SubnetCidrAtCreation": None,
        "timeCreated": record.time_created,
        **_tags(record),
    }


def _ipv6(record: Ipv6) -> dict[str, Any]:
    return {
        "id": record.id,
        "compartmentId": COMPARTMENT_ID,
        "subnetId": record.subnet_id,
        "vnicId": record.vnic_id,
        "ipAddress": str(record.address),
        "cidrPrefixLength": None,
        "ipState": "AVAILABLE" if record.vnic_id is None else "ASSIGNED",
        "lifetime": record.lifetime,
        "lifecycleState": "AVAILABLE",
        "displayName": record.display_name,
        "hostname": record.hostname,
        "routeTableId": None,
        "timeCreated": record.time_created,
        "systemTags": {},
        **_tags(record),
    }


def _public_ip(record: PublicIp, state: str | None = None) -> dict[str, Any]:
    return {
        "id": record.id,
        "availabilityDomain": None,
        "compartmentId": COMPARTMENT_ID,
        "ipAddress": str(record.address),
        "lifetime": "RESERVED",
        "scope": "REGION",
        "lifecycleState": state or ("ASSIGNED" if record.private_ip_id else "AVAILABLE"),
        "assignedEntityId": record.private_ip_id,
        "assignedEntityType": "PRIVATE_IP" if record.private_ip_id else None,
        "privateIpId": record.private_ip_id,
        "publicIpPoolId": None,
        "displayName": record.display_name,
        "timeCreated": record.time_created,
        **_tags(record),
    }


def _subnet(cloud: Cloud, subnet: Subnet) -> dict[str, Any]:
    return {
        "id": subnet.id,
        "availabilityDomain": None,
        "cidrBlock": str(subnet.cidr),
        "ipv4CidrBlocks": [str(subnet.cidr)],
        "ipv6CidrBlock": str(subnet.ipv6) if subnet.ipv6 else None,
        "ipv6CidrBlocks": [str(subnet.ipv6)] if subnet.ipv6 else [],
        "ipv6VirtualRouterIp": "fe80::1" if subnet.ipv6 else None,
        "compartmentId": COMPARTMENT_ID,
        "dhcpOptionsId": None,
        "displayName": subnet.name,
        "dnsLabel": subnet.name.replace("-", ""),
        "lifecycleState": "AVAILABLE",
        "prohibitInternetIngress": False,
        "prohibitPublicIpOnVnic": False,
        "routeTableId": subnet.route_table_id,
        "securityListIds": [],
        "subnetDomainName": f"{subnet.name.replace('-', '')}.{_VCN_NAME}.oraclevcn.com",
        "timeCreated": subnet.time_created,
        "vcnId": cloud.vcn_id,
        "virtualRouterIp": str(subnet.gateway),
        "virtualRouterMac": None,
        "freeformTags": {},
        "definedTags": {},
    }


def _vcn(cloud: Cloud) -> dict[str, Any]:
    cidrs = [str(c) for c in cloud.topology.cidrs]
    return {
        "id": cloud.vcn_id,
        "cidrBlock": cidrs[0],
        "cidrBlocks": cidrs,
        "ipv6CidrBlocks": sorted({str(s.ipv6.supernet(new_prefix=56)) for s in cloud.subnets.values() if s.ipv6}),
        "compartmentId": COMPARTMENT_ID,
        "defaultDhcpOptionsId": None,
        "defaultRouteTableId": None,
        "defaultSecurityListId": None,
        "displayName": cloud.topology.name,
        "dnsLabel": _VCN_NAME,
        "lifecycleState": "AVAILABLE",
        "timeCreated": cloud.time_created,
        "vcnDomainName": f"{_VCN_NAME}.oraclevcn.com",
        "freeformTags": {},
        "definedTags": {},
    }


def _route_table(cloud: Cloud, table: RouteTable) -> dict[str, Any]:
    return {
        "id": table.id,
        "compartmentId": COMPARTMENT_ID,
        "displayName": table.subnet,
        "lifecycleState": "AVAILABLE",
        "routeRules": [
            {
                "cidrBlock": None,
                "destination": str(r.destination),
                "destinationType": "CIDR_BLOCK",
                "networkEntityId": r.network_entity_id,
                "description": r.description,
                "routeType": "STATIC",
            }
            for r in table.rules
        ],
        "timeCreated": table.time_created,
        "vcnId": cloud.vcn_id,
        "freeformTags": {},
        "definedTags": {},
    }


def _instance(instance: Instance) -> dict[str, Any]:
    return {
        "id": instance.id,
        "availabilityDomain": instance.availability_domain,
        "compartmentId": COMPARTMENT_ID,
        "displayName": instance.name,
        "faultDomain": "FAULT-DOMAIN-1",
        "imageId": None,
        "launchMode": "PARAVIRTUALIZED",
        "lifecycleState": instance.lifecycle_state,
        "metadata": {},
        "extendedMetadata": {},
        "region": REGION,
        "shape": "VM.Standard.E4.Flex",
        "shapeConfig": {"ocpus": 1.0, "memoryInGBs": 2.0},
        "timeCreated": instance.time_created,
        "freeformTags": {},
        "definedTags": {},
    }


def _single(record: Any, body: dict[str, Any]) -> Reply:
    return Reply(body, headers={"etag": record.etag})


_Filter = tuple[str, Callable[[Any], Any]]


def _filtered(call: Call, records: Iterable[Any], *filters: _Filter) -> list[Any]:
    """Those records for which each query parameter that was given equals what the filter reads from the record."""
    wanted = [(call.query[name], read) for name, read in filters if name in call.query]
    return [r for r in records if all(str(read(r)) == value for value, read in wanted)]


def _in_compartment(call: Call, *permissions: str) -> bool:
    """Check a listing by compartment; False where there is nothing because everything is in the other one."""
    compartment_id = call.needed("compartmentId")
    call.require(compartment_id, *permissions)
    return compartment_id == COMPARTMENT_ID


# ---- VNICs ----


async def get_vnic(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "VNIC_READ")
    vnic = call.cloud.vnics.get(call.path["id"])
    if vnic is None:
        raise not_found()
    return _single(vnic, _vnic(call.cloud, vnic))


_COMMON_FIELDS: dict[str, tuple[str, type]] = {
    "displayName": ("display_name", str),
    "hostnameLabel": ("hostname_label", str),
    "freeformTags": ("freeform_tags", dict),
    "definedTags": ("defined_tags", dict),
}


def _changes(body: Mapping[str, Any], names: Mapping[str, tuple[str, type]]) -> dict[str, Any]:
    return {attribute: typed(body, key, kind) for key, (attribute, kind) in names.items() if key in body}


async def update_vnic(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "VNIC_UPDATE")
    names = {**_COMMON_FIELDS, "skipSourceDestCheck": ("skip_source_dest_check", bool)}
    vnic = await call.cloud.update_vnic(call.path["id"], _changes(call.body(*names), names), call.if_match)
    return _single(vnic, _vnic(call.cloud, vnic))


async def list_vnic_attachments(call: Call) -> Reply:
    here = _in_compartment(call, "VNIC_ATTACHMENT_READ", "INSTANCE_INSPECT")
    found = _filtered(
        call,
        call.cloud.attachments.values() if here else (),
        ("instanceId", lambda a: a.instance_id),
        ("vnicId", lambda a: a.vnic_id),
        ("availabilityDomain", lambda a: a.availability_domain),
    )
    return page(call, [_attachment(a) for a in found])


async def get_vnic_attachment(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "VNIC_ATTACHMENT_READ")
    attachment = call.cloud.attachments.get(call.path["id"])
    if attachment is None:
        raise not_found()
    return _single(attachment, _attachment(attachment))


# ---- private IPs ----


def _listed(call: Call, records: Iterable[PrivateIp | Ipv6]) -> list[Any]:
    """Those of one VNIC or one subnet that the query asks for. Raises ApiError."""
    vnic_id, subnet_id = call.query.get("vnicId"), call.query.get("subnetId")
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
    return _filtered(
        call,
        records,
        ("vnicId", lambda p: p.vnic_id),
        ("subnetId", lambda p: p.subnet_id),
        ("ipAddress", lambda p: p.address),
        ("lifetime", lambda p: p.lifetime),
        ("ipState", lambda p: "AVAILABLE" if p.vnic_id is None else "ASSIGNED"),
    )


async def list_private_ips(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "PRIVATE_IP_READ")
    return page(call, [_private_ip(p) for p in _listed(call, call.cloud.private_ips.values())])


async def get_private_ip(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "PRIVATE_IP_READ")
    record = call.cloud.private_ips.get(call.path["id"])
    if record is None:
        raise not_found()
    return _single(record, _private_ip(record))


def _lifetime(body: Mapping[str, Any]) -> Lifetime | None:
    lifetime = typed(body, "lifetime", str)
    if lifetime is not None and lifetime not in get_args(Lifetime):
        raise invalid(f"The attribute lifetime must be one of {', '.join(get_args(Lifetime))}.")
    return cast("Lifetime | None", lifetime)


async def create_private_ip(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "PRIVATE_IP_CREATE", "PRIVATE_IP_ASSIGN", "VNIC_ASSIGN", "SUBNET_ATTACH")
    body = call.body(*_COMMON_FIELDS, "vnicId", "subnetId", "ipAddress", "lifetime")
    record = await call.cloud.create_private_ip(
        vnic_id=typed(body, "vnicId", str),
        subnet_id=typed(body, "subnetId", str),
        address=typed(body, "ipAddress", str),
        lifetime=_lifetime(body),
        **_changes(body, _COMMON_FIELDS),
    )
    return _single(record, _private_ip(record))


async def update_private_ip(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "PRIVATE_IP_UPDATE", "VNIC_ASSIGN", "VNIC_UNASSIGN")
    names = {**_COMMON_FIELDS, "vnicId": ("vnic_id", str), "lifetime": ("lifetime", str)}
    body = call.body(*names)
    _lifetime(body)
    record = await call.cloud.update_private_ip(call.path["id"], _changes(body, names), call.if_match)
    return _single(record, _private_ip(record))


async def delete_private_ip(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "PRIVATE_IP_DELETE", "PRIVATE_IP_UNASSIGN", "VNIC_UNASSIGN", "SUBNET_DETACH")
    await call.cloud.delete_private_ip(call.path["id"], call.if_match)
    return Reply(None, 204)


async def detach_private_ip(call: Call) -> Reply:
    # The policy reference does not list this operation; these are the parts of a deletion that unassign.
    call.require(COMPARTMENT_ID, "PRIVATE_IP_UNASSIGN", "VNIC_UNASSIGN")
    record = await call.cloud.detach_private_ip(call.path["id"], call.if_match)
    return _single(record, _private_ip(record))


# ---- IPv6 ----


async def list_ipv6s(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "IPV6_READ", *(["VNIC_READ"] if "vnicId" in call.query else ["SUBNET_READ"]))
    wanted = call.query.get("ipAddress")
    if wanted is not None:
        try:
            call = replace(call, query={**call.query, "ipAddress": str(IPv6Address(wanted))})
        except ValueError as error:
            raise invalid(f"{wanted!r} is not an IPv6 address.") from error
    return page(call, [_ipv6(p) for p in _listed(call, call.cloud.ipv6s.values())])


async def get_ipv6(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "IPV6_READ")
    record = call.cloud.ipv6s.get(call.path["id"])
    if record is None:
        raise not_found()
    return _single(record, _ipv6(record))


_IPV6_FIELDS = {k: v for k, v in _COMMON_FIELDS.items() if k != "hostnameLabel"} | {"hostname": ("hostname", str)}


async def create_ipv6(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "IPV6_CREATE", "SUBNET_ATTACH", "VNIC_ASSIGN")
    body = call.body(*_IPV6_FIELDS, "vnicId", "subnetId", "ipAddress", "lifetime")
    record = await call.cloud.create_ipv6(
        vnic_id=typed(body, "vnicId", str),
        subnet_id=typed(body, "subnetId", str),
        address=typed(body, "ipAddress", str),
        lifetime=_lifetime(body),
        **_changes(body, _IPV6_FIELDS),
    )
    return _single(record, _ipv6(record))


async def update_ipv6(call: Call) -> Reply:
    names = {**_IPV6_FIELDS, "vnicId": ("vnic_id", str), "lifetime": ("lifetime", str)}
    body = call.body(*names)
    call.require(COMPARTMENT_ID, "IPV6_UPDATE", *(["VNIC_ASSIGN", "VNIC_UNASSIGN"] if "vnicId" in body else []))
    _lifetime(body)
    record = await call.cloud.update_ipv6(call.path["id"], _changes(body, names), call.if_match)
    return _single(record, _ipv6(record))


async def delete_ipv6(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "IPV6_DELETE", "SUBNET_DETACH", "VNIC_UNASSIGN")
    await call.cloud.delete_ipv6(call.path["id"], call.if_match)
    return Reply(None, 204)


async def detach_ipv6(call: Call) -> Reply:
    # Not in the policy reference either: what a move away needs.
    call.require(COMPARTMENT_ID, "IPV6_UPDATE", "VNIC_UNASSIGN")
    record = await call.cloud.detach_ipv6(call.path["id"], call.if_match)
    return _single(record, _ipv6(record))


# ---- public IPs: reserved ones, assigned to private IPs ----


async def list_public_ips(call: Call) -> Reply:
    scope = call.needed("scope")
    if scope not in ("REGION", "AVAILABILITY_DOMAIN"):
        raise invalid("The query parameter scope must be REGION or AVAILABILITY_DOMAIN.")
    here = _in_compartment(call, "PUBLIC_IP_READ") and scope == "REGION"
    found = _filtered(call, call.cloud.public_ips.values() if here else (), ("lifetime", lambda _: "RESERVED"))
    return page(call, [_public_ip(p) for p in found])


async def get_public_ip(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "PUBLIC_IP_READ")
    record = call.cloud.public_ips.get(call.path["id"])
    if record is None:
        raise not_found()
    return _single(record, _public_ip(record))


async def get_public_ip_by_private_ip_id(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "PUBLIC_IP_READ")
    wanted = typed(call.body("privateIpId"), "privateIpId", str)
    if not wanted:
        raise missing("The attribute privateIpId is missing.")
    for record in call.cloud.public_ips.values():
        if record.private_ip_id == wanted:
            return _single(record, _public_ip(record))
    raise not_found()


_PUBLIC_IP_FIELDS = {k: v for k, v in _COMMON_FIELDS.items() if k != "hostnameLabel"}


async def create_public_ip(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "PUBLIC_IP_CREATE", "PUBLIC_IP_ASSIGN_PRIVATE_IP", "PRIVATE_IP_ASSIGN_PUBLIC_IP")
    body = call.body(*_PUBLIC_IP_FIELDS, "compartmentId", "lifetime", "privateIpId")
    if typed(body, "compartmentId", str) != COMPARTMENT_ID:
        raise not_found()
    if _lifetime(body) != "RESERVED":
        raise invalid("The attribute lifetime must be RESERVED: the lab has no ephemeral public IPs.")
    record = await call.cloud.create_public_ip(
        typed(body, "privateIpId", str) or None, **_changes(body, _PUBLIC_IP_FIELDS)
    )
    return _single(record, _public_ip(record, "ASSIGNING" if record.private_ip_id else None))


async def update_public_ip(call: Call) -> Reply:
    call.require(
        COMPARTMENT_ID,
        "PUBLIC_IP_UPDATE",
        "PRIVATE_IP_ASSIGN_PUBLIC_IP",
        "PUBLIC_IP_ASSIGN_PRIVATE_IP",
        "PRIVATE_IP_UNASSIGN_PUBLIC_IP",
        "PUBLIC_IP_UNASSIGN_PRIVATE_IP",
    )
    names = {**_PUBLIC_IP_FIELDS, "privateIpId": ("private_ip_id", str)}
    changes = _changes(call.body(*names), names)
    transition = None
    if "private_ip_id" in changes:
        changes["private_ip_id"] = changes["private_ip_id"] or None
        # It is done when it is answered, but a client that does not poll for the outcome must not get away with it.
        transition = "ASSIGNING" if changes["private_ip_id"] else "UNASSIGNING"
    record = await call.cloud.update_public_ip(call.path["id"], changes, call.if_match)
    return _single(record, _public_ip(record, transition))


async def delete_public_ip(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "PUBLIC_IP_DELETE", "PUBLIC_IP_UNASSIGN_PRIVATE_IP", "PRIVATE_IP_UNASSIGN_PUBLIC_IP")
    await call.cloud.delete_public_ip(call.path["id"], call.if_match)
    return Reply(None, 204)


# ---- subnets, VCN, route tables ----


async def get_subnet(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "SUBNET_READ")
    subnet = call.cloud.subnets.get(call.path["id"])
    if subnet is None:
        raise not_found()
    return _single(subnet, _subnet(call.cloud, subnet))


async def list_subnets(call: Call) -> Reply:
    here = _in_compartment(call, "SUBNET_READ")
    found = _filtered(
        call,
        call.cloud.subnets.values() if here else (),
        ("vcnId", lambda _: call.cloud.vcn_id),
        ("displayName", lambda s: s.name),
    )
    return page(call, [_subnet(call.cloud, s) for s in found])


async def get_vcn(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "VCN_READ")
    if call.path["id"] != call.cloud.vcn_id:
        raise not_found()
    return Reply(_vcn(call.cloud), headers={"etag": call.cloud.vcn_etag})


async def list_vcns(call: Call) -> Reply:
    here = _in_compartment(call, "VCN_READ")
    found = _filtered(call, [call.cloud] if here else (), ("displayName", lambda c: c.topology.name))
    return page(call, [_vcn(c) for c in found])


async def get_route_table(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "ROUTE_TABLE_READ")
    table = call.cloud.route_tables.get(call.path["id"])
    if table is None:
        raise not_found()
    return _single(table, _route_table(call.cloud, table))


async def list_route_tables(call: Call) -> Reply:
    here = _in_compartment(call, "ROUTE_TABLE_READ")
    found = _filtered(
        call,
        call.cloud.route_tables.values() if here else (),
        ("vcnId", lambda _: call.cloud.vcn_id),
        ("displayName", lambda t: t.subnet),
    )
    return page(call, [_route_table(call.cloud, t) for t in found])


async def update_route_table(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "ROUTE_TABLE_UPDATE", "PRIVATE_IP_ROUTE_TABLE_ATTACH", "PRIVATE_IP_ROUTE_TABLE_DETACH")
    rules = typed(call.body("routeRules"), "routeRules", list)
    if rules is None:
        raise invalid("The attribute routeRules is missing.")
    table = await call.cloud.update_route_table(call.path["id"], [_rule(r) for r in rules], call.if_match)
    return _single(table, _route_table(call.cloud, table))


def _rule(data: Any) -> RouteRule:
    if not isinstance(data, dict):
        raise invalid("A route rule must be an object.")
    if data.get("destinationType") not in (None, "CIDR_BLOCK"):
        raise invalid("The attribute destinationType must be CIDR_BLOCK.")
    target, destination = typed(data, "networkEntityId", str), typed(data, "destination", str)
    if not target or not destination:
        raise invalid("A route rule needs networkEntityId and destination.")
    try:
        return RouteRule(IPv4Network(destination), target, typed(data, "description", str))
    except ValueError as error:
        raise invalid(f"{destination!r} is not an IPv4 CIDR block.") from error


# ---- instances ----


async def get_instance(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "INSTANCE_READ")
    instance = call.cloud.instances.get(call.path["id"])
    if instance is None:
        raise not_found()
    return _single(instance, _instance(instance))


async def list_instances(call: Call) -> Reply:
    here = _in_compartment(call, "INSTANCE_READ")
    found = _filtered(
        call,
        call.cloud.instances.values() if here else (),
        ("displayName", lambda i: i.name),
        ("lifecycleState", lambda i: i.lifecycle_state),
        ("availabilityDomain", lambda i: i.availability_domain),
    )
    return page(call, [_instance(i) for i in found])


async def instance_action(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "INSTANCE_POWER_ACTIONS")
    action = call.needed("action").upper()
    if action not in get_args(Action):
        raise invalid(f"The query parameter action must be one of {', '.join(get_args(Action))}.")
    instance = await call.cloud.instance_action(call.path["id"], cast("Action", action), call.if_match)
    return _single(instance, _instance(instance))


OPERATIONS = (
    Operation("GetVnic", "GET", f"{_BASE}/vnics/{{id}}", get_vnic),
    Operation("UpdateVnic", "PUT", f"{_BASE}/vnics/{{id}}", update_vnic),
    Operation("ListVnicAttachments", "GET", f"{_BASE}/vnicAttachments", list_vnic_attachments),
    Operation("GetVnicAttachment", "GET", f"{_BASE}/vnicAttachments/{{id}}", get_vnic_attachment),
    Operation("ListPrivateIps", "GET", f"{_BASE}/privateIps", list_private_ips),
    Operation("CreatePrivateIp", "POST", f"{_BASE}/privateIps", create_private_ip),
    Operation("GetPrivateIp", "GET", f"{_BASE}/privateIps/{{id}}", get_private_ip),
    Operation("UpdatePrivateIp", "PUT", f"{_BASE}/privateIps/{{id}}", update_private_ip),
    Operation("DeletePrivateIp", "DELETE", f"{_BASE}/privateIps/{{id}}", delete_private_ip),
    Operation("PrivateIpVnicDetach", "POST", f"{_BASE}/privateIps/{{id}}/actions/detach", detach_private_ip),
    Operation("ListIpv6s", "GET", f"{_BASE}/ipv6", list_ipv6s),
    Operation("CreateIpv6", "POST", f"{_BASE}/ipv6", create_ipv6),
    Operation("GetIpv6", "GET", f"{_BASE}/ipv6/{{id}}", get_ipv6),
    Operation("UpdateIpv6", "PUT", f"{_BASE}/ipv6/{{id}}", update_ipv6),
    Operation("DeleteIpv6", "DELETE", f"{_BASE}/ipv6/{{id}}", delete_ipv6),
    Operation("Ipv6VnicDetach", "POST", f"{_BASE}/ipv6/{{id}}/actions/detach", detach_ipv6),
    Operation("ListPublicIps", "GET", f"{_BASE}/publicIps", list_public_ips),
    Operation("CreatePublicIp", "POST", f"{_BASE}/publicIps", create_public_ip),
    Operation(
        "GetPublicIpByPrivateIpId",
        "POST",
        f"{_BASE}/publicIps/actions/getByPrivateIpId",
        get_public_ip_by_private_ip_id,
    ),
    Operation("GetPublicIp", "GET", f"{_BASE}/publicIps/{{id}}", get_public_ip),
    Operation("UpdatePublicIp", "PUT", f"{_BASE}/publicIps/{{id}}", update_public_ip),
    Operation("DeletePublicIp", "DELETE", f"{_BASE}/publicIps/{{id}}", delete_public_ip),
    Operation("ListSubnets", "GET", f"{_BASE}/subnets", list_subnets),
    Operation("GetSubnet", "GET", f"{_BASE}/subnets/{{id}}", get_subnet),
    Operation("ListVcns", "GET", f"{_BASE}/vcns", list_vcns),
    Operation("GetVcn", "GET", f"{_BASE}/vcns/{{id}}", get_vcn),
    Operation("ListRouteTables", "GET", f"{_BASE}/routeTables", list_route_tables),
    Operation("GetRouteTable", "GET", f"{_BASE}/routeTables/{{id}}", get_route_table),
    Operation("UpdateRouteTable", "PUT", f"{_BASE}/routeTables/{{id}}", update_route_table),
    Operation("ListInstances", "GET", f"{_BASE}/instances", list_instances),
    Operation("GetInstance", "GET", f"{_BASE}/instances/{{id}}", get_instance),
    Operation("InstanceAction", "POST", f"{_BASE}/instances/{{id}}", instance_action),
)

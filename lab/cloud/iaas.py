# SPDX-License-Identifier: GPL-3.0-or-later
"""The core services: VNICs, private IPs, subnets, route tables, instances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any, cast, get_args

from lab.cloud.call import Call, Operation, Reply, page, typed
from lab.cloud.errors import invalid, not_found
from lab.cloud.names import COMPARTMENT_ID
from lab.cloud.state import (
    Action,
    Cloud,
    Instance,
    Lifetime,
    PrivateIp,
    RouteRule,
    RouteTable,
    Subnet,
    Vnic,
    VnicAttachment,
)
from lab.topology import REGION

_BASE = "/20160918"
_VCN_NAME = "lab"


def _tags(record: Vnic | PrivateIp) -> dict[str, Any]:
    return {"freeformTags": dict(record.freeform_tags), "definedTags": dict(record.defined_tags)}


def _vnic(vnic: Vnic) -> dict[str, Any]:
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
        "publicIp": None,
        "ipv6Addresses": None,
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


def _subnet(cloud: Cloud, subnet: Subnet) -> dict[str, Any]:
    return {
        "id": subnet.id,
        "availabilityDomain": None,
        "cidrBlock": str(subnet.cidr),
        "ipv4CidrBlocks": [str(subnet.cidr)],
        "compartmentId": COMPARTMENT_ID,
        "dhcpOptionsId": None,
        "displayName": subnet.name,
        "dnsLabel": subnet.name.replace("-", ""),
        "lifecycleState": "AVAILABLE",
        "prohibitInternetIngress": True,
        "prohibitPublicIpOnVnic": True,
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
    return _single(vnic, _vnic(vnic))


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
    return _single(vnic, _vnic(vnic))


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


async def list_private_ips(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "PRIVATE_IP_READ")
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
    found = _filtered(
        call,
        call.cloud.private_ips.values(),
        ("vnicId", lambda p: p.vnic_id),
        ("subnetId", lambda p: p.subnet_id),
        ("ipAddress", lambda p: p.address),
        ("lifetime", lambda p: p.lifetime),
        ("ipState", lambda p: "AVAILABLE" if p.vnic_id is None else "ASSIGNED"),
    )
    return page(call, [_private_ip(p) for p in found])


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

# SPDX-License-Identifier: GPL-3.0-or-later
"""The core services: VNICs, public IPs, subnets, route tables, instances."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any, cast, get_args

from lab.cloud.call import Call, Operation, Reply, fields, filtered, in_compartment, page, single, typed
from lab.cloud.errors import invalid, missing, not_found
from lab.cloud.names import COMPARTMENT_ID
from lab.cloud.records import find
from lab.cloud.security import joined
from lab.cloud.state import (
    VNICS_PER_INSTANCE,
    Action,
    Cloud,
    Instance,
    PublicIp,
    RouteRule,
    RouteTable,
    Subnet,
    Vnic,
)
from lab.topology import REGION

_BASE = "/20160918"
_VCN_NAME = "lab"


def _tags(record: Vnic | PublicIp) -> dict[str, Any]:
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
        "nsgIds": list(vnic.nsg_ids),
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
        "securityListIds": [subnet.security_list_id],
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
        "shapeConfig": {"ocpus": 8.0, "memoryInGBs": 2.0, "maxVnicAttachments": VNICS_PER_INSTANCE},
        "timeCreated": instance.time_created,
        "freeformTags": {},
        "definedTags": {},
    }


# ---- VNICs ----


async def get_vnic(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "VNIC_READ")
    vnic = call.cloud.vnics.get(call.path["id"])
    if vnic is None:
        raise not_found()
    return single(vnic, _vnic(call.cloud, vnic))


_COMMON_FIELDS: dict[str, tuple[str, type]] = {
    "displayName": ("display_name", str),
    "hostnameLabel": ("hostname_label", str),
    "freeformTags": ("freeform_tags", dict),
    "definedTags": ("defined_tags", dict),
}


async def update_vnic(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "VNIC_UPDATE")
    names = {
        **_COMMON_FIELDS,
        "skipSourceDestCheck": ("skip_source_dest_check", bool),
        "nsgIds": ("nsg_ids", list),
    }
    changes = fields(call.body(*names), names)
    if "nsg_ids" in changes:
        current = find(call.cloud.vnics, call.path["id"]).nsg_ids
        if current.keys() ^ set(changes["nsg_ids"]):
            call.require(
                COMPARTMENT_ID, "NETWORK_SECURITY_GROUP_UPDATE_MEMBERS", "VNIC_ASSOCIATE_NETWORK_SECURITY_GROUP"
            )
        changes["nsg_ids"] = joined(current, changes["nsg_ids"], call.cloud.network_security_groups)
    vnic = await call.cloud.update_vnic(call.path["id"], changes, call.if_match)
    return single(vnic, _vnic(call.cloud, vnic))


# ---- public IPs: reserved ones, assigned to private IPs ----


async def list_public_ips(call: Call) -> Reply:
    scope = call.needed("scope")
    if scope not in ("REGION", "AVAILABILITY_DOMAIN"):
        raise invalid("The query parameter scope must be REGION or AVAILABILITY_DOMAIN.")
    here = in_compartment(call, "PUBLIC_IP_READ") and scope == "REGION"
    found = filtered(call, call.cloud.public_ips.values() if here else (), ("lifetime", lambda _: "RESERVED"))
    return page(call, [_public_ip(p) for p in found])


async def get_public_ip(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "PUBLIC_IP_READ")
    record = call.cloud.public_ips.get(call.path["id"])
    if record is None:
        raise not_found()
    return single(record, _public_ip(record))


async def get_public_ip_by_private_ip_id(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "PUBLIC_IP_READ")
    wanted = typed(call.body("privateIpId"), "privateIpId", str)
    if not wanted:
        raise missing("The attribute privateIpId is missing.")
    for record in call.cloud.public_ips.values():
        if record.private_ip_id == wanted:
            return single(record, _public_ip(record))
    raise not_found()


_PUBLIC_IP_FIELDS = {k: v for k, v in _COMMON_FIELDS.items() if k != "hostnameLabel"}


async def create_public_ip(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "PUBLIC_IP_CREATE", "PUBLIC_IP_ASSIGN_PRIVATE_IP", "PRIVATE_IP_ASSIGN_PUBLIC_IP")
    body = call.body(*_PUBLIC_IP_FIELDS, "compartmentId", "lifetime", "privateIpId")
    if typed(body, "compartmentId", str) != COMPARTMENT_ID:
        raise not_found()
    if typed(body, "lifetime", str) != "RESERVED":
        raise invalid("The attribute lifetime must be RESERVED: the lab has no ephemeral public IPs.")
    record = await call.cloud.create_public_ip(
        typed(body, "privateIpId", str) or None, **fields(body, _PUBLIC_IP_FIELDS)
    )
    return single(record, _public_ip(record, "ASSIGNING" if record.private_ip_id else None))


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
    changes = fields(call.body(*names), names)
    transition = None
    if "private_ip_id" in changes:
        changes["private_ip_id"] = changes["private_ip_id"] or None
        # It is done when it is answered, but a client that does not poll for the outcome must not get away with it.
        transition = "ASSIGNING" if changes["private_ip_id"] else "UNASSIGNING"
    record = await call.cloud.update_public_ip(call.path["id"], changes, call.if_match)
    return single(record, _public_ip(record, transition))


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
    return single(subnet, _subnet(call.cloud, subnet))


async def list_subnets(call: Call) -> Reply:
    here = in_compartment(call, "SUBNET_READ")
    found = filtered(
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
    here = in_compartment(call, "VCN_READ")
    found = filtered(call, [call.cloud] if here else (), ("displayName", lambda c: c.topology.name))
    return page(call, [_vcn(c) for c in found])


async def get_route_table(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "ROUTE_TABLE_READ")
    table = call.cloud.route_tables.get(call.path["id"])
    if table is None:
        raise not_found()
    return single(table, _route_table(call.cloud, table))


async def list_route_tables(call: Call) -> Reply:
    here = in_compartment(call, "ROUTE_TABLE_READ")
    found = filtered(
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
    return single(table, _route_table(call.cloud, table))


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
    return single(instance, _instance(instance))


async def list_instances(call: Call) -> Reply:
    here = in_compartment(call, "INSTANCE_READ")
    found = filtered(
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
    return single(instance, _instance(instance))


OPERATIONS = (
    Operation("GetVnic", "GET", f"{_BASE}/vnics/{{id}}", get_vnic),
    Operation("UpdateVnic", "PUT", f"{_BASE}/vnics/{{id}}", update_vnic),
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

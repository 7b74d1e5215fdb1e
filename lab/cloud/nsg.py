# SPDX-License-Identifier: GPL-3.0-or-later
"""The core services: network security groups and their rules, and security lists to look at."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, get_args

from lab.cloud.call import Call, Operation, Reply, fields, filtered, in_compartment, page, single, typed
from lab.cloud.errors import ApiError, invalid, missing, not_found
from lab.cloud.names import COMPARTMENT_ID
from lab.cloud.records import added, changed, find, now, without
from lab.cloud.security import (
    RULES_PER_REQUEST,
    Direction,
    NetworkSecurityGroup,
    PeerType,
    SecurityList,
    SecurityRule,
    with_rules,
)
from lab.topology import ocid

_BASE = "/20160918/networkSecurityGroups"
_ONE = f"{_BASE}/{{id}}"
_FIELDS: dict[str, tuple[str, type]] = {
    "displayName": ("name", str),
    "freeformTags": ("freeform_tags", dict),
    "definedTags": ("defined_tags", dict),
}
_RULE_FIELDS = (
    "direction",
    "protocol",
    "source",
    "sourceType",
    "destination",
    "destinationType",
    "tcpOptions",
    "udpOptions",
    "isStateless",
    "description",
)
_OPTIONS = {"6": "tcpOptions", "17": "udpOptions"}


def _group(call: Call, group: NetworkSecurityGroup, state: str = "AVAILABLE") -> dict[str, Any]:
    return {
        "id": group.id,
        "compartmentId": COMPARTMENT_ID,
        "vcnId": call.cloud.vcn_id,
        "displayName": group.name,
        "lifecycleState": state,
        "timeCreated": group.time_created,
        "freeformTags": dict(group.freeform_tags),
        "definedTags": dict(group.defined_tags),
    }


def _rule_body(rule: SecurityRule) -> dict[str, Any]:
    """What a rule of a group and one of a security list have in common."""
    end = "source" if rule.direction == "INGRESS" else "destination"
    body: dict[str, Any] = {
        end: rule.peer,
        f"{end}Type": rule.peer_type,
        "protocol": rule.protocol,
        "isStateless": rule.is_stateless,
        "description": rule.description,
    }
    if rule.ports:
        body[_OPTIONS[rule.protocol]] = {"destinationPortRange": {"min": rule.ports[0], "max": rule.ports[1]}}
    return body


def _rule(call: Call, rule: SecurityRule) -> dict[str, Any]:
    is_valid = rule.peer_type == "CIDR_BLOCK" or rule.peer in call.cloud.network_security_groups
    return {
        **_rule_body(rule),
        "id": rule.id,
        "direction": rule.direction,
        "isValid": is_valid,
        "timeCreated": rule.time_created,
    }


def _security_list(call: Call, found: SecurityList) -> dict[str, Any]:
    return {
        "id": found.id,
        "compartmentId": COMPARTMENT_ID,
        "vcnId": call.cloud.vcn_id,
        "displayName": found.subnet,
        "lifecycleState": "AVAILABLE",
        "ingressSecurityRules": [_rule_body(r) for r in found.rules if r.direction == "INGRESS"],
        "egressSecurityRules": [_rule_body(r) for r in found.rules if r.direction == "EGRESS"],
        "timeCreated": found.time_created,
        "freeformTags": {},
        "definedTags": {},
    }


# ---- groups ----


async def list_groups(call: Call) -> Reply:
    here = in_compartment(call, "NETWORK_SECURITY_GROUP_READ")
    found = filtered(
        call,
        call.cloud.network_security_groups.values() if here else (),
        ("vcnId", lambda _: call.cloud.vcn_id),
        ("displayName", lambda g: g.name),
        ("lifecycleState", lambda _: "AVAILABLE"),
    )
    return page(call, [_group(call, g) for g in found])


async def get_group(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "NETWORK_SECURITY_GROUP_READ")
    group = find(call.cloud.network_security_groups, call.path["id"])
    return single(group, _group(call, group))


async def create_group(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "NETWORK_SECURITY_GROUP_CREATE", "VCN_ATTACH")
    body = call.body("compartmentId", "vcnId", *_FIELDS)
    for key, expected in (("compartmentId", COMPARTMENT_ID), ("vcnId", call.cloud.vcn_id)):
        given = typed(body, key, str)
        if not given:
            raise missing(f"The attribute {key} is missing.")
        if given != expected:
            raise not_found()
    created = now()
    name = f"networksecuritygroup{created.translate({ord(c): None for c in '-:.TZ'})}"
    key = ocid("networksecuritygroup", secrets.token_hex(8))
    group = NetworkSecurityGroup(**{"id": key, "name": name, "time_created": created, **fields(body, _FIELDS)})
    await call.cloud.set_network_security_groups(added(call.cloud.network_security_groups, group))
    # It is there when it is answered, but a client that does not poll for it must not get away with that.
    return single(group, _group(call, group, "PROVISIONING"))


async def update_group(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "NETWORK_SECURITY_GROUP_UPDATE")
    groups = call.cloud.network_security_groups
    changes = fields(call.body(*_FIELDS), _FIELDS)
    group = changed(find(groups, call.path["id"], call.if_match), **changes)
    await call.cloud.set_network_security_groups(added(groups, group))
    return single(group, _group(call, group))


async def delete_group(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "NETWORK_SECURITY_GROUP_DELETE", "VCN_DETACH")
    groups = call.cloud.network_security_groups
    group = find(groups, call.path["id"], call.if_match)
    if any(group.id in vnic.nsg_ids for vnic in call.cloud.vnics.values()):
        message = f"NetworkSecurityGroup {group.id} cannot be deleted since it still has vnics attached to it"
        raise ApiError(412, "PreconditionFailed", message)
    await call.cloud.set_network_security_groups(without(groups, group.id))
    return Reply(None, 204)


async def list_vnics(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "NETWORK_SECURITY_GROUP_LIST_MEMBERS")
    group = find(call.cloud.network_security_groups, call.path["id"])
    members = [
        {"vnicId": vnic.id, "resourceId": vnic.instance_id, "timeAssociated": vnic.nsg_ids[group.id]}
        for vnic in call.cloud.vnics.values()
        if group.id in vnic.nsg_ids
    ]
    return page(call, members)


# ---- rules ----


async def list_rules(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "NETWORK_SECURITY_GROUP_LIST_SECURITY_RULES")
    group = find(call.cloud.network_security_groups, call.path["id"])
    direction = call.query.get("direction")
    return page(call, [_rule(call, r) for r in group.rules if direction in (None, r.direction)])


async def add_rules(call: Call) -> Reply:
    given = [_parsed(call, data) for data in _objects(call)]
    _require_update(call, given)
    group = find(call.cloud.network_security_groups, call.path["id"])
    await _replace_rules(call, group, [*group.rules, *given])
    return Reply({"securityRules": [_rule(call, r) for r in given]})


async def update_rules(call: Call) -> Reply:
    given = {str(data.get("id")): _parsed(call, data) for data in _objects(call, "id")}
    _require_update(call, given.values())
    group = find(call.cloud.network_security_groups, call.path["id"])
    _check_known(group, given)
    new = {
        r.id: replace(given[r.id], id=r.id, time_created=r.time_created) if r.id in given else r for r in group.rules
    }
    await _replace_rules(call, group, list(new.values()))
    return Reply({"securityRules": [_rule(call, new[key]) for key in given]})


async def remove_rules(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "NETWORK_SECURITY_GROUP_UPDATE_SECURITY_RULES")
    wanted = typed(call.body("securityRuleIds"), "securityRuleIds", list) or []
    group = find(call.cloud.network_security_groups, call.path["id"])
    _check_known(group, wanted)
    await _replace_rules(call, group, [r for r in group.rules if r.id not in wanted])
    return Reply(None, 204)


def _require_update(call: Call, rules: Iterable[SecurityRule]) -> None:
    names_group = any(r.peer_type == "NETWORK_SECURITY_GROUP" for r in rules)
    inspect = ["NETWORK_SECURITY_GROUP_INSPECT"] if names_group else []
    call.require(COMPARTMENT_ID, "NETWORK_SECURITY_GROUP_UPDATE_SECURITY_RULES", *inspect)


async def _replace_rules(call: Call, group: NetworkSecurityGroup, rules: Sequence[SecurityRule]) -> None:
    groups = call.cloud.network_security_groups
    await call.cloud.set_network_security_groups(added(groups, with_rules(group, rules, groups)))


def _check_known(group: NetworkSecurityGroup, rule_ids: Iterable[Any]) -> None:
    # What the service says to the id of a rule that is not there is not documented.
    if not {r.id for r in group.rules}.issuperset(rule_ids):
        raise not_found()


def _objects(call: Call, *more_keys: str) -> list[dict[str, Any]]:
    given = typed(call.body("securityRules"), "securityRules", list) or []
    if len(given) > RULES_PER_REQUEST:
        raise invalid(f"The attribute securityRules cannot have more than {RULES_PER_REQUEST} elements.")
    return [call.known(data, *_RULE_FIELDS, *more_keys) for data in given]


def _parsed(call: Call, data: Mapping[str, Any]) -> SecurityRule:
    """Raises ApiError 400 for what is no rule. The codes for a bad one are not documented."""
    direction = _one_of(data, "direction", get_args(Direction))
    end, other = ("source", "destination") if direction == "INGRESS" else ("destination", "source")
    if other in data or f"{other}Type" in data:
        raise invalid(f"A security rule with the direction {direction} cannot have a {other}.")
    peer, peer_type = typed(data, end, str), _one_of(data, f"{end}Type", get_args(PeerType))
    protocol = typed(data, "protocol", str)
    if not peer or not protocol:
        raise missing(f"A security rule needs {end} and protocol.")
    if protocol != "all" and not (protocol.isdecimal() and int(protocol) < 256):
        raise invalid(f"{protocol!r} is neither all nor the number of a protocol.")
    if peer_type == "CIDR_BLOCK":
        try:
            ip_network(peer)
        except ValueError as error:
            raise invalid(f"{peer!r} is not a CIDR block.") from error
    return SecurityRule(
        direction,
        protocol,
        peer,
        peer_type,
        _ports(call, data, protocol),
        bool(typed(data, "isStateless", bool)),
        typed(data, "description", str),
    )


def _one_of(data: Mapping[str, Any], key: str, values: Sequence[str]) -> Any:
    value = data.get(key)
    if value not in values:
        raise invalid(f"The attribute {key} of a security rule must be one of {', '.join(values)}.")
    return value


def _ports(call: Call, data: Mapping[str, Any], protocol: str) -> tuple[int, int] | None:
    given = [key for key in _OPTIONS.values() if key in data]
    if not given:
        return None
    if given != [_OPTIONS.get(protocol)]:
        raise invalid(f"{' and '.join(given)} cannot be given for the protocol {protocol}.")
    ports = typed(call.known(typed(data, given[0], dict), "destinationPortRange"), "destinationPortRange", dict)
    if ports is None:
        return None
    low, high = (typed(ports, end, int) for end in ("min", "max"))
    if low is None or high is None or not 1 <= low <= high <= 65535:
        raise invalid(f"{low}-{high} is not a range of ports.")
    return low, high


# ---- security lists ----


async def get_security_list(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "SECURITY_LIST_READ")
    found = find(call.cloud.security_lists, call.path["id"])
    return single(found, _security_list(call, found))


OPERATIONS = (
    Operation("ListNetworkSecurityGroups", "GET", _BASE, list_groups),
    Operation("CreateNetworkSecurityGroup", "POST", _BASE, create_group),
    Operation("GetNetworkSecurityGroup", "GET", _ONE, get_group),
    Operation("UpdateNetworkSecurityGroup", "PUT", _ONE, update_group),
    Operation("DeleteNetworkSecurityGroup", "DELETE", _ONE, delete_group),
    Operation("ListNetworkSecurityGroupVnics", "GET", f"{_ONE}/vnics", list_vnics),
    Operation("ListNetworkSecurityGroupSecurityRules", "GET", f"{_ONE}/securityRules", list_rules),
    Operation("AddNetworkSecurityGroupSecurityRules", "POST", f"{_ONE}/actions/addSecurityRules", add_rules),
    Operation("UpdateNetworkSecurityGroupSecurityRules", "POST", f"{_ONE}/actions/updateSecurityRules", update_rules),
    Operation("RemoveNetworkSecurityGroupSecurityRules", "POST", f"{_ONE}/actions/removeSecurityRules", remove_rules),
    Operation("GetSecurityList", "GET", "/20160918/securityLists/{id}", get_security_list),
)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The dynamic groups of the identity domain that is not the default one, by SCIM.

A real domain has a host of its own. The SDK takes no path in a domain's URL, so that the one host that serves
everything here can be only one domain; the groups of the default one are those of the classic API.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from lab.cloud.call import Call, Operation, Reply, typed
from lab.cloud.errors import ApiError, invalid, missing
from lab.cloud.iam import DynamicGroup
from lab.cloud.names import FURTHER_DOMAIN, TENANCY_ID
from lab.topology import ocid

_SCHEMA = "urn:ietf:params:scim:schemas:oracle:idcs:DynamicResourceGroup"
_LIST_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_PATCH_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_ERROR_SCHEMAS = (
    "urn:ietf:params:scim:api:messages:2.0:Error",
    "urn:ietf:params:scim:api:oracle:idcs:extension:messages:Error",
)
_MESSAGE_IDS = {409: "error.common.exception.duplicateResource"}
_ALWAYS = frozenset({"id", "ocid", "schemas", "displayName"})
_ON_REQUEST = frozenset({"matchingRule"})
_FIELDS = {"displayName": "name", "matchingRule": "matching_rule", "description": "description"}
_FILTER = re.compile(r'\s*(displayName|id|ocid)\s+(eq|co|sw)\s+"((?:[^"\\]|\\.)*)"\s*', re.IGNORECASE)
_MATCHES: dict[str, Callable[[str, str], bool]] = {
    "eq": operator.eq,
    "co": operator.contains,
    "sw": str.startswith,
}
_BASE = "/admin/v1/DynamicResourceGroups"
_DEFAULT_COUNT = 50
_MAX_COUNT = 1000


def error_body(error: ApiError) -> dict[str, Any]:
    """The error as an identity domain sends it."""
    return {
        "schemas": [*_ERROR_SCHEMAS],
        "detail": error.message,
        "status": str(error.status),
        _ERROR_SCHEMAS[1]: {"messageId": _MESSAGE_IDS.get(error.status, f"error.common.{error.code}")},
    }


def _groups(call: Call) -> list[DynamicGroup]:
    return [g for g in call.cloud.iam.dynamic_groups.values() if g.domain == FURTHER_DOMAIN]


def _group(call: Call) -> DynamicGroup:
    # Either identifier is good in a path.
    key = call.path["id"]
    group = next((g for g in _groups(call) if key in (g.scim_id, g.id)), None)
    if group is None:
        raise ApiError(404, "notFound", f"DynamicResourceGroup {key} not found.")
    if call.if_match not in (None, group.etag):
        raise ApiError(412, "preconditionFailed", "The resource has another version.")
    return group


def _resource(call: Call, group: DynamicGroup) -> dict[str, Any]:
    """The group with the attributes that the request asks for."""
    whole = {
        "id": group.scim_id,
        "ocid": group.id,
        "schemas": [_SCHEMA],
        "displayName": group.name,
        "description": group.description,
        "matchingRule": group.matching_rule,
        "domainOcid": ocid("domain", group.domain),
        "compartmentOcid": TENANCY_ID,
        "tenancyOcid": TENANCY_ID,
        "meta": {
            "resourceType": "DynamicResourceGroup",
            "created": group.time_created,
            "version": group.etag,
            "location": f"{call.endpoint}{_BASE}/{group.scim_id}",
        },
    }
    named = {a.strip() for a in call.query.get("attributes", "").split(",") if a.strip()}
    sets = {s.lower() for s in call.query.get("attributeSets", "").split(",") if s}
    if "all" in sets:
        return whole
    wanted = _ALWAYS | named
    if (not named and not sets) or "default" in sets:
        wanted |= whole.keys() - _ON_REQUEST
    if "request" in sets:
        wanted |= _ON_REQUEST
    lower = {w.lower() for w in wanted}
    return {k: v for k, v in whole.items() if k.lower() in lower}


def _reply(call: Call, group: DynamicGroup, status: int = 200) -> Reply:
    return Reply(_resource(call, group), status, {"etag": group.etag})


def _number(call: Call, name: str, default: int, least: int) -> int:
    text = call.query.get(name, str(default))
    if not text.isdigit() or int(text) < least:
        raise invalid(f"The query parameter {name} must be a number from {least}.")
    return int(text)


async def list_groups(call: Call) -> Reply:
    call.require(TENANCY_ID, "DYNAMIC_GROUP_INSPECT")
    found = _groups(call)
    if "filter" in call.query:
        match = _FILTER.fullmatch(call.query["filter"])
        if match is None:
            raise invalid(f"The filter {call.query['filter']!r} is not one that the lab knows.")
        attribute, test, value = match[1].lower(), match[2].lower(), re.sub(r"\\(.)", r"\1", match[3]).lower()
        field = {"displayname": "name", "id": "scim_id", "ocid": "id"}[attribute]
        found = [g for g in found if _MATCHES[test](getattr(g, field).lower(), value)]
    start = _number(call, "startIndex", 1, 1)
    count = min(_number(call, "count", _DEFAULT_COUNT, 0), _MAX_COUNT)
    shown = found[start - 1 : start - 1 + count]
    return Reply(
        {
            "schemas": [_LIST_SCHEMA],
            "totalResults": len(found),
            "Resources": [_resource(call, g) for g in shown],
            "startIndex": start,
            "itemsPerPage": count,
        }
    )


async def get_group(call: Call) -> Reply:
    call.require(TENANCY_ID, "DYNAMIC_GROUP_INSPECT")
    return _reply(call, _group(call))


def _fields(call: Call) -> dict[str, str]:
    """What a body says of a group, by the names of DynamicGroup. Raises ApiError 400."""
    body = call.body("schemas", *_FIELDS)
    if typed(body, "schemas", list) != [_SCHEMA]:
        raise missing(f"The attribute schemas must be [{_SCHEMA}].")
    for key in ("displayName", "matchingRule"):
        if not typed(body, key, str):
            raise missing(f"The attribute {key} is missing.")
    return {_FIELDS[key]: value for key, value in body.items() if key in _FIELDS}


async def create_group(call: Call) -> Reply:
    call.require(TENANCY_ID, "DYNAMIC_GROUP_CREATE")
    fields = _fields(call)
    group = call.cloud.iam.create_dynamic_group(
        fields["name"], fields["matching_rule"], fields.get("description", ""), domain=FURTHER_DOMAIN
    )
    return _reply(call, group, 201)


def _changed(call: Call, group: DynamicGroup, fields: Mapping[str, str]) -> Reply:
    # The real name can change. Nothing that is tested here does that.
    if fields.get("name", group.name) != group.name:
        raise invalid("The lab does not rename a dynamic group.")
    return _reply(call, call.cloud.iam.update_dynamic_group(group.id, fields))


async def replace_group(call: Call) -> Reply:
    call.require(TENANCY_ID, "DYNAMIC_GROUP_UPDATE")
    return _changed(call, _group(call), {"description": "", **_fields(call)})


async def patch_group(call: Call) -> Reply:
    call.require(TENANCY_ID, "DYNAMIC_GROUP_UPDATE")
    group = _group(call)
    body = call.body("schemas", "Operations")
    if typed(body, "schemas", list) != [_PATCH_SCHEMA]:
        raise missing(f"The attribute schemas must be [{_PATCH_SCHEMA}].")
    fields = {}
    for operation in typed(body, "Operations", list) or []:
        path, value = operation.get("path"), operation.get("value")
        known = str(operation.get("op")).lower() in ("replace", "add") and path in _FIELDS and isinstance(value, str)
        if not known:
            raise invalid(f"The operation {operation} is not one that the lab knows.")
        fields[_FIELDS[path]] = value
    return _changed(call, group, fields)


async def delete_group(call: Call) -> Reply:
    call.require(TENANCY_ID, "DYNAMIC_GROUP_DELETE")
    call.cloud.iam.delete_dynamic_group(_group(call).id)
    return Reply(None, 204)


# Which permissions these take is not documented; those of the classic API are assumed.
OPERATIONS = (
    Operation("ListDynamicResourceGroups", "GET", _BASE, list_groups, error_body),
    Operation("CreateDynamicResourceGroup", "POST", _BASE, create_group, error_body),
    Operation("GetDynamicResourceGroup", "GET", f"{_BASE}/{{id}}", get_group, error_body),
    Operation("PutDynamicResourceGroup", "PUT", f"{_BASE}/{{id}}", replace_group, error_body),
    Operation("PatchDynamicResourceGroup", "PATCH", f"{_BASE}/{{id}}", patch_group, error_body),
    Operation("DeleteDynamicResourceGroup", "DELETE", f"{_BASE}/{{id}}", delete_group, error_body),
)

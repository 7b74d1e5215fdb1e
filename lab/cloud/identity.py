# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity service: dynamic groups, policies, and the little about the tenancy that clients ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.cloud.call import Call, Operation, Reply, page, typed
from lab.cloud.errors import ApiError, invalid, missing, not_found
from lab.cloud.iam import DynamicGroup, Policy
from lab.cloud.names import (
    COMPARTMENT_ID,
    COMPARTMENT_NAME,
    DEFAULT_DOMAIN,
    DOMAINS,
    FURTHER_DOMAIN,
    REGIONS,
    TENANCY_ID,
    TENANCY_NAME,
)
from lab.topology import REALM_DOMAIN, ocid

_BASE = "/20160918"


def _dynamic_group(group: DynamicGroup) -> dict[str, Any]:
    return {
        "id": group.id,
        "compartmentId": TENANCY_ID,
        "name": group.name,
        "description": group.description,
        "matchingRule": group.matching_rule,
        "timeCreated": group.time_created,
        "lifecycleState": "ACTIVE",
        "inactiveStatus": None,
        "freeformTags": dict(group.freeform_tags),
        "definedTags": dict(group.defined_tags),
    }


def _policy(policy: Policy) -> dict[str, Any]:
    return {
        "id": policy.id,
        "compartmentId": policy.compartment_id,
        "name": policy.name,
        "description": policy.description,
        "statements": list(policy.statements),
        "versionDate": policy.version_date,
        "timeCreated": policy.time_created,
        "lifecycleState": "ACTIVE",
        "inactiveStatus": None,
        "freeformTags": dict(policy.freeform_tags),
        "definedTags": dict(policy.defined_tags),
    }


def _compartment(call: Call, compartment_id: str) -> dict[str, Any]:
    inside = compartment_id == COMPARTMENT_ID
    return {
        "id": compartment_id,
        "compartmentId": TENANCY_ID if inside else None,
        "name": COMPARTMENT_NAME if inside else TENANCY_NAME,
        "description": "The lab's compartment" if inside else "The lab's tenancy",
        "timeCreated": call.cloud.time_created,
        "lifecycleState": "ACTIVE",
        "inactiveStatus": None,
        "isAccessible": True,
        "freeformTags": {},
        "definedTags": {},
    }


def _at_home(call: Call) -> None:
    """Raises ApiError 403 for a change that is asked of another region than the tenancy's home region.

    All regions are served in one place, so it is the name in the URL that tells them apart. A URL without one is home.
    """
    asked = next((label for label in call.headers["host"].split(".") if label in REGIONS), None)
    home = call.cloud.iam.home_region
    if asked not in (None, home):
        message = f"Please go to your home region {REGIONS[home]} to execute CREATE, UPDATE and DELETE operations."
        raise ApiError(403, "NotAllowed", message)


def _required(body: Mapping[str, Any], *names: str) -> list[str]:
    values = [typed(body, name, str) for name in names]
    for name, value in zip(names, values, strict=True):
        if not value:
            raise missing(f"The attribute {name} is missing.")
    return [str(v) for v in values]


def _tags(body: Mapping[str, Any]) -> dict[str, Any]:
    names = {"freeformTags": "freeform_tags", "definedTags": "defined_tags"}
    return {attribute: typed(body, key, dict) for key, attribute in names.items() if key in body}


def _named(call: Call, items: list[dict[str, Any]]) -> Reply:
    wanted = {k: call.query[k] for k in ("name", "lifecycleState") if k in call.query}
    return page(call, [i for i in items if all(i[k] == v for k, v in wanted.items())])


# ---- dynamic groups ----


async def list_dynamic_groups(call: Call) -> Reply:
    call.require(TENANCY_ID, "DYNAMIC_GROUP_INSPECT")
    here = call.needed("compartmentId") == TENANCY_ID
    return _named(call, [_dynamic_group(g) for g in _classic(call).values()] if here else [])


def _classic(call: Call) -> dict[str, DynamicGroup]:
    """The groups that this API knows: those of the default domain."""
    return {k: g for k, g in call.cloud.iam.dynamic_groups.items() if g.domain == DEFAULT_DOMAIN}


def _classic_group(call: Call) -> DynamicGroup:
    group = _classic(call).get(call.path["id"])
    if group is None:
        raise not_found()
    return group


async def get_dynamic_group(call: Call) -> Reply:
    call.require(TENANCY_ID, "DYNAMIC_GROUP_INSPECT")
    group = _classic_group(call)
    return Reply(_dynamic_group(group), headers={"etag": group.etag})


async def create_dynamic_group(call: Call) -> Reply:
    call.require(TENANCY_ID, "DYNAMIC_GROUP_CREATE")
    _at_home(call)
    names = ("compartmentId", "name", "matchingRule", "description")
    body = call.body(*names, "freeformTags", "definedTags")
    compartment_id, name, rule, description = _required(body, *names)
    if compartment_id != TENANCY_ID:
        raise invalid("A dynamic group can only be in the root compartment.")
    group = call.cloud.iam.create_dynamic_group(name, rule, description, **_tags(body))
    return Reply(_dynamic_group(group), headers={"etag": group.etag})


async def update_dynamic_group(call: Call) -> Reply:
    call.require(TENANCY_ID, "DYNAMIC_GROUP_UPDATE")
    _at_home(call)
    body = call.body("matchingRule", "description", "freeformTags", "definedTags")
    changes = _tags(body)
    for key, attribute in (("matchingRule", "matching_rule"), ("description", "description")):
        if key in body:
            changes[attribute] = typed(body, key, str)
    group = call.cloud.iam.update_dynamic_group(_classic_group(call).id, changes, call.if_match)
    return Reply(_dynamic_group(group), headers={"etag": group.etag})


async def delete_dynamic_group(call: Call) -> Reply:
    call.require(TENANCY_ID, "DYNAMIC_GROUP_DELETE")
    _at_home(call)
    call.cloud.iam.delete_dynamic_group(_classic_group(call).id, call.if_match)
    return Reply(None, 204)


# ---- policies ----


async def list_policies(call: Call) -> Reply:
    compartment_id = call.needed("compartmentId")
    call.require(compartment_id, "POLICY_READ")
    return _named(call, [_policy(p) for p in call.cloud.iam.policies.values() if p.compartment_id == compartment_id])


def _policy_at(call: Call, *permissions: str) -> Policy:
    policy = call.cloud.iam.policies.get(call.path["id"])
    if policy is None:
        raise not_found()
    call.require(policy.compartment_id, *permissions)
    return policy


async def get_policy(call: Call) -> Reply:
    policy = _policy_at(call, "POLICY_READ")
    return Reply(_policy(policy), headers={"etag": policy.etag})


def _statements(body: Mapping[str, Any]) -> tuple[str, ...]:
    statements = typed(body, "statements", list) or []
    if not all(isinstance(s, str) for s in statements):
        raise invalid("The attribute statements must be a list of strings.")
    return tuple(statements)


async def create_policy(call: Call) -> Reply:
    names = ("compartmentId", "name", "description")
    body = call.body(*names, "statements", "versionDate", "freeformTags", "definedTags")
    compartment_id, name, description = _required(body, *names)
    call.require(compartment_id, "POLICY_CREATE")
    _at_home(call)
    policy = call.cloud.iam.create_policy(
        compartment_id, name, description, _statements(body), typed(body, "versionDate", str), **_tags(body)
    )
    return Reply(_policy(policy), headers={"etag": policy.etag})


async def update_policy(call: Call) -> Reply:
    policy = _policy_at(call, "POLICY_UPDATE")
    _at_home(call)
    body = call.body("statements", "description", "versionDate", "freeformTags", "definedTags")
    changes = _tags(body)
    if "statements" in body:
        changes["statements"] = _statements(body)
    for key, attribute in (("description", "description"), ("versionDate", "version_date")):
        if key in body:
            changes[attribute] = typed(body, key, str)
    policy = call.cloud.iam.update_policy(policy.id, changes, call.if_match)
    return Reply(_policy(policy), headers={"etag": policy.etag})


async def delete_policy(call: Call) -> Reply:
    policy = _policy_at(call, "POLICY_DELETE")
    _at_home(call)
    call.cloud.iam.delete_policy(policy.id, call.if_match)
    return Reply(None, 204)


# ---- tenancy ----


async def list_compartments(call: Call) -> Reply:
    parent = call.needed("compartmentId")
    call.require(parent, "COMPARTMENT_INSPECT")
    return _named(call, [_compartment(call, COMPARTMENT_ID)] if parent == TENANCY_ID else [])


async def get_compartment(call: Call) -> Reply:
    compartment_id = call.path["id"]
    call.require(compartment_id, "COMPARTMENT_INSPECT")
    if compartment_id not in (TENANCY_ID, COMPARTMENT_ID):
        raise not_found()
    return Reply(_compartment(call, compartment_id), headers={"etag": call.cloud.vcn_etag})


async def get_tenancy(call: Call) -> Reply:
    call.require(TENANCY_ID, "TENANCY_INSPECT")
    if call.path["id"] != TENANCY_ID:
        raise not_found()
    return Reply(
        {
            "id": TENANCY_ID,
            "name": TENANCY_NAME,
            "description": "The lab's tenancy",
            "homeRegionKey": REGIONS[call.cloud.iam.home_region],
            "freeformTags": {},
            "definedTags": {},
        }
    )


async def list_regions(_call: Call) -> Reply:
    return Reply([{"key": key, "name": name} for name, key in REGIONS.items()])


async def list_region_subscriptions(call: Call) -> Reply:
    call.require(TENANCY_ID, "TENANCY_INSPECT")
    if call.path["id"] != TENANCY_ID:
        raise not_found()
    home = call.cloud.iam.home_region
    return Reply(
        [
            {"regionKey": key, "regionName": name, "status": "READY", "isHomeRegion": name == home}
            for name, key in REGIONS.items()
        ]
    )


async def list_domains(call: Call) -> Reply:
    # Which permission it takes is not documented.
    call.require(TENANCY_ID, "DOMAIN_INSPECT")
    here = call.needed("compartmentId") == TENANCY_ID
    wanted = {k: call.query[k] for k in ("displayName", "url", "type", "lifecycleState") if k in call.query}
    domains = [_domain(call, name) for name in DOMAINS] if here else []
    return page(call, [d for d in domains if all(d[k] == v for k, v in wanted.items())])


def _domain(call: Call, name: str) -> dict[str, Any]:
    # Only the further domain is served, and where everything is; see lab.cloud.scim.
    url = call.endpoint if name == FURTHER_DOMAIN else f"https://idcs-default.identity.{REALM_DOMAIN}"
    return {
        "id": ocid("domain", name),
        "compartmentId": TENANCY_ID,
        "displayName": name,
        "description": f"The identity domain {name}",
        "url": url,
        "homeRegionUrl": url,
        "homeRegion": call.cloud.iam.home_region,
        "replicaRegions": [],
        "type": "DEFAULT" if name == DEFAULT_DOMAIN else "SECONDARY",
        "licenseType": "free",
        "isHiddenOnLogin": False,
        "timeCreated": call.cloud.time_created,
        "lifecycleState": "ACTIVE",
        "lifecycleDetails": None,
        "freeformTags": {},
        "definedTags": {},
    }


async def list_availability_domains(call: Call) -> Reply:
    compartment_id = call.needed("compartmentId")
    call.require(compartment_id, "COMPARTMENT_INSPECT")
    names = sorted({i.availability_domain for i in call.cloud.instances.values()})
    return Reply([{"name": n, "id": ocid("availabilitydomain", n), "compartmentId": compartment_id} for n in names])


OPERATIONS = (
    Operation("ListDynamicGroups", "GET", f"{_BASE}/dynamicGroups", list_dynamic_groups),
    Operation("CreateDynamicGroup", "POST", f"{_BASE}/dynamicGroups", create_dynamic_group),
    Operation("GetDynamicGroup", "GET", f"{_BASE}/dynamicGroups/{{id}}", get_dynamic_group),
    Operation("UpdateDynamicGroup", "PUT", f"{_BASE}/dynamicGroups/{{id}}", update_dynamic_group),
    Operation("DeleteDynamicGroup", "DELETE", f"{_BASE}/dynamicGroups/{{id}}", delete_dynamic_group),
    Operation("ListPolicies", "GET", f"{_BASE}/policies", list_policies),
    Operation("CreatePolicy", "POST", f"{_BASE}/policies", create_policy),
    Operation("GetPolicy", "GET", f"{_BASE}/policies/{{id}}", get_policy),
    Operation("UpdatePolicy", "PUT", f"{_BASE}/policies/{{id}}", update_policy),
    Operation("DeletePolicy", "DELETE", f"{_BASE}/policies/{{id}}", delete_policy),
    Operation("ListCompartments", "GET", f"{_BASE}/compartments", list_compartments),
    Operation("GetCompartment", "GET", f"{_BASE}/compartments/{{id}}", get_compartment),
    Operation("GetTenancy", "GET", f"{_BASE}/tenancies/{{id}}", get_tenancy),
    Operation(
        "ListRegionSubscriptions", "GET", f"{_BASE}/tenancies/{{id}}/regionSubscriptions", list_region_subscriptions
    ),
    Operation("ListDomains", "GET", f"{_BASE}/domains", list_domains),
    Operation("ListRegions", "GET", f"{_BASE}/regions", list_regions),
    Operation("ListAvailabilityDomains", "GET", f"{_BASE}/availabilityDomains", list_availability_domains),
)

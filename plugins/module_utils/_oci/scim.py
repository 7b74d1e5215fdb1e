# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The dynamic groups of an identity domain that is not the default one: the calls of its own service."""

from __future__ import annotations

import json
from typing import Any

from .caller import Caller
from .dynamic_group import DynamicGroup
from .named import Fields
from .retry import Patience

_SCHEMA = "urn:ietf:params:scim:schemas:oracle:idcs:DynamicResourceGroup"
_PATCH_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_NAMES = {"description": "description", "matching_rule": "matchingRule"}
# A rule is in an answer only when it is asked for.
_ATTRIBUTES = "ocid,displayName,description,matchingRule,meta"


class ScimDynamicGroups(Caller):
    """`Store` of the dynamic groups of a domain, which are in the domain's compartment.

    :param oci: the SDK
    :param client: its IdentityDomainsClient for the domain
    :param domain: the domain's name
    """

    def __init__(self, oci: Any, client: Any, patience: Patience, domain: str) -> None:
        super().__init__(oci, client, patience)
        self._domain = domain

    def all(self) -> list[DynamicGroup]:
        """See Store."""
        return self._search()

    def find(self, name: str) -> DynamicGroup | None:
        """See Store."""
        found = self._search(filter=f"displayName eq {json.dumps(name)}")
        return next((group for group in found if group.name == name), None)

    def latest(self, found: DynamicGroup) -> DynamicGroup:
        """See Store. A domain's listing has the ETags."""
        return found

    def create(self, name: str, fields: Fields) -> DynamicGroup:
        """See Store."""
        details = self._oci.identity_domains.models.DynamicResourceGroup(schemas=[_SCHEMA], display_name=name, **fields)
        created = self._create(
            "CreateDynamicResourceGroup",
            "create_dynamic_resource_group",
            dynamic_resource_group=details,
            attributes=_ATTRIBUTES,
        )
        return self._group(created.data)

    def update(self, current: DynamicGroup, changes: Fields) -> DynamicGroup:
        """See Store."""
        models = self._oci.identity_domains.models
        operations = [models.Operations(op="REPLACE", path=_NAMES[k], value=v) for k, v in changes.items()]
        changed = self._call(
            "PatchDynamicResourceGroup",
            "patch_dynamic_resource_group",
            current.key,
            patch_op=models.PatchOp(schemas=[_PATCH_SCHEMA], operations=operations),
            if_match=current.etag,
            attributes=_ATTRIBUTES,
        )
        return self._group(changed.data)

    def delete(self, current: DynamicGroup) -> None:
        """See Store."""
        self._delete(
            "DeleteDynamicResourceGroup",
            "delete_dynamic_resource_group",
            str(current.key),
            lambda key: self._call("GetDynamicResourceGroup", "get_dynamic_resource_group", key),
            if_match=current.etag,
        )

    def _search(self, **criteria: Any) -> list[DynamicGroup]:
        groups: list[DynamicGroup] = []
        while True:
            page = self._call(
                "ListDynamicResourceGroups",
                "list_dynamic_resource_groups",
                attributes=_ATTRIBUTES,
                start_index=len(groups) + 1,
                **criteria,
            ).data
            groups += [self._group(data) for data in page.resources]
            if not page.resources or len(groups) >= page.total_results:
                return groups

    def _group(self, data: Any) -> DynamicGroup:
        return DynamicGroup(
            id=data.ocid,
            name=data.display_name,
            description=data.description or "",
            matching_rule=data.matching_rule,
            lifecycle_state="ACTIVE",
            etag=data.meta.version,
            domain=self._domain,
            key=data.id,
        )

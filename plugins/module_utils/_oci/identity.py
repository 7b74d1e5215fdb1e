# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The calls about dynamic groups and policies: one thin method each, in the words of the models."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from .caller import Caller
from .dynamic_group import DynamicGroup
from .errors import CloudError
from .policy import Policy

T = TypeVar("T", DynamicGroup, Policy)

_ACTIVE = "ACTIVE"

# IAM learns of a new dynamic group later than it answers for it.
_UNKNOWN_GROUP = re.compile(r"dynamic.?(resource.?)?group.*(does not exist|not found)", re.IGNORECASE | re.DOTALL)


class Identity(Protocol):
    """Dynamic groups and policies. Every method raises CloudError, those that wait also OciError."""

    def dynamic_group(self, compartment_id: str, name: str) -> DynamicGroup | None:
        """Find a group by its name."""
        ...

    def create_dynamic_group(self, compartment_id: str, name: str, fields: Mapping[str, Any]) -> DynamicGroup:
        """Create a group and wait until it is active. `fields`: description, matching_rule."""
        ...

    def update_dynamic_group(self, group: DynamicGroup, changes: Mapping[str, Any]) -> DynamicGroup:
        """Change description or matching_rule, unless someone else changed the group since it was read."""
        ...

    def delete_dynamic_group(self, group: DynamicGroup) -> None:
        """Delete, unless someone else changed the group since it was read."""
        ...

    def policy(self, compartment_id: str, name: str) -> Policy | None:
        """Find a policy by its name."""
        ...

    def create_policy(self, compartment_id: str, name: str, fields: Mapping[str, Any]) -> Policy:
        """Create a policy and wait until it is active. `fields`: description, statements."""
        ...

    def update_policy(self, policy: Policy, changes: Mapping[str, Any]) -> Policy:
        """Change description or statements, unless someone else changed the policy since it was read."""
        ...

    def delete_policy(self, policy: Policy) -> None:
        """Delete, unless someone else changed the policy since it was read."""
        ...


class OciIdentity(Caller):
    """`Identity` by the SDK.

    :param oci: the SDK
    :param client: its IdentityClient
    """

    def dynamic_group(self, compartment_id: str, name: str) -> DynamicGroup | None:
        """See Identity."""
        found = self._list("ListDynamicGroups", "list_dynamic_groups", compartment_id, name=name)
        return next((self._read_group(item.id) for item in found if item.name == name), None)

    def create_dynamic_group(self, compartment_id: str, name: str, fields: Mapping[str, Any]) -> DynamicGroup:
        """See Identity."""
        details = self._oci.identity.models.CreateDynamicGroupDetails(
            compartment_id=compartment_id, name=name, **fields
        )
        created = self._create("CreateDynamicGroup", "create_dynamic_group", details)
        return self._active(_dynamic_group(created), f"dynamic group {name}", self._read_group)

    def update_dynamic_group(self, group: DynamicGroup, changes: Mapping[str, Any]) -> DynamicGroup:
        """See Identity."""
        details = self._oci.identity.models.UpdateDynamicGroupDetails(**changes)
        return _dynamic_group(
            self._call("UpdateDynamicGroup", "update_dynamic_group", group.id, details, if_match=group.etag)
        )

    def delete_dynamic_group(self, group: DynamicGroup) -> None:
        """See Identity."""
        self._delete("DeleteDynamicGroup", "delete_dynamic_group", group.id, self._read_group, if_match=group.etag)

    def policy(self, compartment_id: str, name: str) -> Policy | None:
        """See Identity."""
        found = self._list("ListPolicies", "list_policies", compartment_id, name=name)
        return next((self._read_policy(item.id) for item in found if item.name == name), None)

    def create_policy(self, compartment_id: str, name: str, fields: Mapping[str, Any]) -> Policy:
        """See Identity."""
        details = self._oci.identity.models.CreatePolicyDetails(compartment_id=compartment_id, name=name, **fields)
        created = self._create("CreatePolicy", "create_policy", details, worth_it=_may_become_known)
        return self._active(_policy(created), f"policy {name}", self._read_policy)

    def update_policy(self, policy: Policy, changes: Mapping[str, Any]) -> Policy:
        """See Identity."""
        details = self._oci.identity.models.UpdatePolicyDetails(**changes)
        return _policy(
            self._call(
                "UpdatePolicy",
                "update_policy",
                policy.id,
                details,
                if_match=policy.etag,
                worth_it=_may_become_known,
            )
        )

    def delete_policy(self, policy: Policy) -> None:
        """See Identity."""
        self._delete("DeletePolicy", "delete_policy", policy.id, self._read_policy, if_match=policy.etag)

    def _read_group(self, group_id: str) -> DynamicGroup:
        return _dynamic_group(self._call("GetDynamicGroup", "get_dynamic_group", group_id))

    def _read_policy(self, policy_id: str) -> Policy:
        return _policy(self._call("GetPolicy", "get_policy", policy_id))

    def _active(self, created: T, what: str, read: Callable[[str], T]) -> T:
        if created.lifecycle_state == _ACTIVE:
            return created
        return self._patience.until(
            f"{what} to become {_ACTIVE}", lambda: read(created.id), lambda seen: seen.lifecycle_state == _ACTIVE
        )


def _may_become_known(error: CloudError) -> bool:
    unknown_group = error.status in (400, 404) and _UNKNOWN_GROUP.search(error.message) is not None
    return error.kind == "retryable" or unknown_group


def _dynamic_group(response: Any) -> DynamicGroup:
    data = response.data
    return DynamicGroup(
        id=data.id,
        name=data.name,
        description=data.description or "",
        matching_rule=data.matching_rule,
        lifecycle_state=data.lifecycle_state,
        etag=response.headers.get("etag"),
    )


def _policy(response: Any) -> Policy:
    data = response.data
    return Policy(
        id=data.id,
        compartment_id=data.compartment_id,
        name=data.name,
        description=data.description or "",
        statements=tuple(data.statements),
        lifecycle_state=data.lifecycle_state,
        etag=response.headers.get("etag"),
    )

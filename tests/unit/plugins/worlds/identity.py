# SPDX-License-Identifier: GPL-3.0-or-later
"""Dynamic groups and policies in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.cloudvip.ha.plugins.module_utils._oci.dynamic_group import DynamicGroup
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.policy import Policy

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from tests.unit.plugins.worlds.fake import Log, error, unchanged


class FakeIdentity:
    """`Identity` in memory."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.groups: dict[str, DynamicGroup] = {}
        self.policies: dict[str, Policy] = {}

    def dynamic_group(self, compartment_id: str, name: str) -> DynamicGroup | None:
        assert compartment_id == TENANCY_ID
        self._log.called("GET", "dynamicGroups")
        found = next((g for g in self.groups.values() if g.name == name), None)
        if found is not None:
            self._log.called("GET", "dynamicGroups")
        return found

    def create_dynamic_group(self, compartment_id: str, name: str, fields: Mapping[str, Any]) -> DynamicGroup:
        assert compartment_id == TENANCY_ID
        self._log.called("POST", "dynamicGroups")
        if any(g.name == name for g in self.groups.values()):
            raise error("CreateDynamicGroup", "refused", 409)
        key = f"ocid1.dynamicgroup.fake..{next(self._log.serial)}"
        self.groups[key] = DynamicGroup(id=key, name=name, lifecycle_state="ACTIVE", etag=self._log.etag(), **fields)
        return self.groups[key]

    def update_dynamic_group(self, group: DynamicGroup, changes: Mapping[str, Any]) -> DynamicGroup:
        self._log.called("PUT", "dynamicGroups")
        current = unchanged("UpdateDynamicGroup", self.groups, group)
        self.groups[group.id] = replace(current, etag=self._log.etag(), **changes)
        return self.groups[group.id]

    def delete_dynamic_group(self, group: DynamicGroup) -> None:
        self._log.called("DELETE", "dynamicGroups")
        if group.id in self.groups:
            unchanged("DeleteDynamicGroup", self.groups, group)
            del self.groups[group.id]

    def policy(self, compartment_id: str, name: str) -> Policy | None:
        self._log.called("GET", "policies")
        found = (p for p in self.policies.values() if p.name == name and p.compartment_id == compartment_id)
        policy = next(found, None)
        if policy is not None:
            self._log.called("GET", "policies")
        return policy

    def create_policy(self, compartment_id: str, name: str, fields: Mapping[str, Any]) -> Policy:
        self._log.called("POST", "policies")
        if compartment_id not in (TENANCY_ID, COMPARTMENT_ID):
            raise error("CreatePolicy", "absent", 404)
        if any(p.name == name for p in self.policies.values()):
            raise error("CreatePolicy", "refused", 409)
        key = f"ocid1.policy.fake..{next(self._log.serial)}"
        statements = tuple(fields["statements"])
        self.policies[key] = Policy(
            key, compartment_id, name, fields["description"], statements, "ACTIVE", self._log.etag()
        )
        return self.policies[key]

    def update_policy(self, policy: Policy, changes: Mapping[str, Any]) -> Policy:
        self._log.called("PUT", "policies")
        current = unchanged("UpdatePolicy", self.policies, policy)
        changes = {k: tuple(v) if k == "statements" else v for k, v in changes.items()}
        self.policies[policy.id] = replace(current, etag=self._log.etag(), **changes)
        return self.policies[policy.id]

    def delete_policy(self, policy: Policy) -> None:
        self._log.called("DELETE", "policies")
        if policy.id in self.policies:
            unchanged("DeletePolicy", self.policies, policy)
            del self.policies[policy.id]

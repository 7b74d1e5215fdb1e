# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: the records of dynamic groups and policies, every change to them, and what they permit.

A change is answered at once and is read back at once, but the services that ask for permissions may get to know of it
only later.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lab.cloud import policy
from lab.cloud.errors import ApiError, invalid, missing, not_found
from lab.cloud.names import COMPARTMENT_ID, COMPARTMENT_NAME, DEFAULT_DOMAIN, TENANCY_ID, TENANCY_NAME
from lab.cloud.records import Tags, added, changed, find, new_etag, now, without
from lab.topology import REGION, ocid

MAX_LAG = 3600.0
"""For so many seconds it is known what was permitted before."""


@dataclass(frozen=True)
class DynamicGroup:
    """`scim_id` is what the identity domain calls it, `id` is its OCID."""

    id: str
    name: str
    description: str
    matching_rule: str
    time_created: str
    freeform_tags: Tags = field(default_factory=dict)
    defined_tags: Tags = field(default_factory=dict)
    domain: str = DEFAULT_DOMAIN
    scim_id: str = field(default_factory=lambda: secrets.token_hex(16))
    etag: str = field(default_factory=new_etag)

    @property
    def subject(self) -> policy.Group:
        return policy.Group(self.id, self.name, self.domain)


@dataclass(frozen=True)
class Policy:
    id: str
    compartment_id: str
    name: str
    description: str
    statements: tuple[str, ...]
    version_date: str | None
    time_created: str
    freeform_tags: Tags = field(default_factory=dict)
    defined_tags: Tags = field(default_factory=dict)
    etag: str = field(default_factory=new_etag)


@dataclass(frozen=True)
class _State:
    dynamic_groups: Mapping[str, DynamicGroup] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)


class Iam:
    """The identity service's part of the tenancy.

    `lag` says by how many seconds of `clock` the rest of the cloud is behind, and `home_region` is where the tenancy
    takes changes; all three may be changed while it runs.
    """

    def __init__(self) -> None:
        self.clock: Callable[[], float] = time.monotonic
        self.lag: Callable[[], float] = lambda: 0.0
        self.home_region = REGION
        self._state = _State()
        self._history = [(-math.inf, self._state)]

    @property
    def dynamic_groups(self) -> Mapping[str, DynamicGroup]:
        """Of all identity domains, by OCID."""
        return self._state.dynamic_groups

    @property
    def policies(self) -> Mapping[str, Policy]:
        return self._state.policies

    def _set(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
        moment = self.clock()
        oldest = [entry for entry in self._history if entry[0] <= moment - MAX_LAG][-1:]
        recent = [entry for entry in self._history if entry[0] > moment - MAX_LAG]
        self._history = [*oldest, *recent, (moment, self._state)]

    @property
    def _in_force(self) -> _State:
        known_at = self.clock() - self.lag()
        return next(state for since, state in reversed(self._history) if since <= known_at)

    def reset(self) -> None:
        """No groups and no policies, everywhere at once."""
        self._state = _State()
        self._history = [(-math.inf, self._state)]

    # ---- permissions ----

    def groups_of(self, instance_id: str) -> frozenset[policy.Group]:
        """The dynamic groups that the instance is in, as far as the rest of the cloud knows."""
        variables = {
            "instance.id": instance_id,
            "instance.compartment.id": COMPARTMENT_ID,
            "resource.id": instance_id,
            "resource.type": "instance",
            "resource.compartment.id": COMPARTMENT_ID,
        }
        return frozenset(
            g.subject
            for g in self._in_force.dynamic_groups.values()
            if policy.parse_rule(g.matching_rule).holds(variables)
        )

    def permitted(self, instance_id: str, permission: str, compartment_id: str, variables: Mapping[str, str]) -> bool:
        """Whether the policies let the instance use the permission on something in that compartment."""
        inside = ((COMPARTMENT_ID, COMPARTMENT_NAME),) if compartment_id == COMPARTMENT_ID else ()
        above = ((TENANCY_ID, TENANCY_NAME), *inside)
        request = policy.Request(permission, self.groups_of(instance_id), above, variables)
        return any(
            policy.permitted([policy.parse_statement(s) for s in p.statements], request)
            for p in self._in_force.policies.values()
        )

    # ---- changes ----

    def create_dynamic_group(
        self,
        name: str,
        rule: str,
        description: str,
        freeform_tags: Tags | None = None,
        defined_tags: Tags | None = None,
        domain: str = DEFAULT_DOMAIN,
    ) -> DynamicGroup:
        """A new group. Raises ApiError: 400 for a rule that cannot be parsed, 409 when the domain has the name."""
        _check_rule(rule)
        if any(g.name.lower() == name.lower() and g.domain == domain for g in self.dynamic_groups.values()):
            message = f"DynamicResourceGroup with the same displayName {name} already exists."
            raise ApiError(409, "IdcsConversionError", message)
        key = ocid("dynamicgroup", f"{name}/{secrets.token_hex(8)}")
        group = DynamicGroup(key, name, description, rule, now(), freeform_tags or {}, defined_tags or {}, domain)
        self._set(dynamic_groups=added(self.dynamic_groups, group))
        return group

    def update_dynamic_group(
        self, group_id: str, changes: Mapping[str, Any], if_match: str | None = None
    ) -> DynamicGroup:
        """`changes` are fields of DynamicGroup. The name is not one that can change."""
        group = find(self.dynamic_groups, group_id, if_match)
        if "matching_rule" in changes:
            _check_rule(changes["matching_rule"])
        group = changed(group, **changes)
        self._set(dynamic_groups=added(self.dynamic_groups, group))
        return group

    def delete_dynamic_group(self, group_id: str, if_match: str | None = None) -> None:
        """Policies that name it stay. Raises ApiError: 404 when there is none, 412 when it has another ETag."""
        group = find(self.dynamic_groups, group_id, if_match)
        self._set(dynamic_groups=without(self.dynamic_groups, group.id))

    def create_policy(
        self,
        compartment_id: str,
        name: str,
        description: str,
        statements: Iterable[str],
        version_date: str | None = None,
        freeform_tags: Tags | None = None,
        defined_tags: Tags | None = None,
    ) -> Policy:
        """A new policy. Raises ApiError: 404 for the compartment, 400 for a statement, 409 when the name is taken."""
        if compartment_id not in (TENANCY_ID, COMPARTMENT_ID):
            raise not_found()
        texts = tuple(statements)
        self._check_statements(compartment_id, texts)
        if any(p.name.lower() == name.lower() for p in self.policies.values()):
            raise ApiError(409, "PolicyAlreadyExists", f"Policy '{name}' already exists.")
        key = ocid("policy", f"{name}/{secrets.token_hex(8)}")
        record = Policy(
            key,
            compartment_id,
            name,
            description,
            texts,
            version_date,
            now(),
            freeform_tags or {},
            defined_tags or {},
        )
        self._set(policies=added(self.policies, record))
        return record

    def update_policy(self, policy_id: str, changes: Mapping[str, Any], if_match: str | None = None) -> Policy:
        """`changes` are fields of Policy."""
        record = find(self.policies, policy_id, if_match)
        if "statements" in changes:
            self._check_statements(record.compartment_id, changes["statements"])
        record = changed(record, **changes)
        self._set(policies=added(self.policies, record))
        return record

    def delete_policy(self, policy_id: str, if_match: str | None = None) -> None:
        """It permits nothing from now on. Raises ApiError: 404 when there is none, 412 when it has another ETag."""
        record = find(self.policies, policy_id, if_match)
        self._set(policies=without(self.policies, record.id))

    def _check_statements(self, compartment_id: str, texts: tuple[str, ...]) -> None:
        if not texts:
            raise missing("A policy needs at least one statement.")
        for text in texts:
            try:
                statement = policy.parse_statement(text)
            except policy.PolicyError as error:
                raise invalid(f"Invalid policy statement {text!r}: {error}.") from error
            # A policy is checked against what is in force: right after it was made, a group does not exist for it.
            if not any(policy.concerns(statement, g.subject) for g in self._in_force.dynamic_groups.values()):
                raise invalid(
                    f"The dynamic group {statement.subject} specified in the policy statement does not exist under "
                    "current compartment hierarchy."
                )
            names = {"id": {COMPARTMENT_ID}, "name": {COMPARTMENT_NAME.lower()}, "tenancy": {TENANCY_ID}}
            if compartment_id == TENANCY_ID:
                names["id"].add(TENANCY_ID)
                names["name"].add(TENANCY_NAME.lower())
            elif statement.scope_by == "tenancy":
                raise invalid("A statement on the tenancy must be in a policy of the root compartment.")
            scope = TENANCY_ID if statement.scope is None else statement.scope.lower()
            if scope not in names[statement.scope_by]:
                raise invalid(
                    f"Compartment {{{statement.scope}}} does not exist or is not part of the policy compartment subtree"
                )


def _check_rule(rule: str) -> None:
    try:
        policy.parse_rule(rule)
    except policy.PolicyError as error:
        raise invalid(f"Invalid matching rule {rule!r}: {error}.") from error

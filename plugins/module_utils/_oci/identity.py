# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The calls about dynamic groups, policies and compartments: one thin method each, in the words of the models."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from .caller import Caller
from .dynamic_group import DynamicGroup, is_default
from .errors import CloudError, OciError
from .named import Fields, Store
from .policy import Policy
from .retry import Patience
from .scim import ScimDynamicGroups

T = TypeVar("T", DynamicGroup, Policy)

_ACTIVE = "ACTIVE"

# IAM learns of a new dynamic group later than it answers for it.
_UNKNOWN_GROUP = re.compile(r"dynamic.?(resource.?)?group.*(does not exist|not found)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Compartment:
    """A compartment of the tenancy."""

    id: str
    name: str


class Identity(Protocol):
    """The tenancy's IAM. Every method raises CloudError."""

    def policies(self, compartment_id: str) -> Store[Policy]:
        """The policies of a compartment. Their fields: description, statements."""
        ...

    def dynamic_groups(self, compartment_id: str, domain: str | None) -> Store[DynamicGroup]:
        """Look up the groups of an identity domain, None for the default one. Their fields: description, matching_rule.

        :param compartment_id: the compartment that the domain is in
        :raises OciError: when there is no such domain
        """
        ...

    def lineage(self, compartment_id: str) -> list[Compartment]:
        """Read a compartment and those above it, the root last."""
        ...


@dataclass(frozen=True)
class Clients:
    """How to make the SDK's clients of other services than the one at hand.

    :param in_region: an IdentityClient of a region, by the region's name; None where the endpoint is the user's choice
    :param of_domain: an IdentityDomainsClient, by the domain's URL
    """

    in_region: Callable[[str], Any] | None
    of_domain: Callable[[str], Any]


class _Service(Caller):
    """Makes calls of the identity service: of the region that was asked for, until something is to be changed there.

    Only the tenancy's home region takes changes. To be sent there first takes no permission; to look the home region up
    takes one, so that is left until it is needed. From then on all calls go there: what was changed is known
    there first.

    :param oci: the SDK
    :param client: its IdentityClient
    """

    def __init__(self, oci: Any, client: Any, patience: Patience, tenancy_id: str, clients: Clients) -> None:
        super().__init__(oci, client, patience)
        self._tenancy_id = tenancy_id
        self._clients = clients

    def _call(self, operation: str, method: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._call(operation, method, *args, **kwargs)
        except CloudError as error:
            if error.code != "NotAllowed" or self._clients.in_region is None:
                raise
        regions = super()._call("ListRegionSubscriptions", "list_region_subscriptions", self._tenancy_id).data
        self._client = self._clients.in_region(next(r.region_name for r in regions if r.is_home_region))
        return super()._call(operation, method, *args, **kwargs)

    def _active(self, created: T, what: str, read: Callable[[str], T]) -> T:
        if created.lifecycle_state == _ACTIVE:
            return created
        return self._patience.until(
            f"{what} to become {_ACTIVE}", lambda: read(created.id), lambda seen: seen.lifecycle_state == _ACTIVE
        )


class _Store(_Service):
    def __init__(self, compartment_id: str, *service: Any) -> None:
        super().__init__(*service)
        self._compartment_id = compartment_id


class _DynamicGroups(_Store):
    """`Store` of the groups of the default domain, which are in the root compartment."""

    def all(self, **where: str) -> list[DynamicGroup]:
        found = self._list("ListDynamicGroups", "list_dynamic_groups", self._compartment_id, **where)
        return [_dynamic_group(item) for item in found]

    def find(self, name: str) -> DynamicGroup | None:
        return next((group for group in self.all(name=name) if group.name == name), None)

    def latest(self, found: DynamicGroup) -> DynamicGroup:
        return self._read(found.id)

    def create(self, name: str, fields: Fields) -> DynamicGroup:
        details = self._oci.identity.models.CreateDynamicGroupDetails(
            compartment_id=self._compartment_id, name=name, **fields
        )
        created = self._create("CreateDynamicGroup", "create_dynamic_group", details)
        return self._active(_dynamic_group(created.data, created), f"dynamic group {name}", self._read)

    def update(self, current: DynamicGroup, changes: Fields) -> DynamicGroup:
        details = self._oci.identity.models.UpdateDynamicGroupDetails(**changes)
        changed = self._call("UpdateDynamicGroup", "update_dynamic_group", current.id, details, if_match=current.etag)
        return _dynamic_group(changed.data, changed)

    def delete(self, current: DynamicGroup) -> None:
        self._delete("DeleteDynamicGroup", "delete_dynamic_group", current.id, self._read, if_match=current.etag)

    def _read(self, group_id: str) -> DynamicGroup:
        response = self._call("GetDynamicGroup", "get_dynamic_group", group_id)
        return _dynamic_group(response.data, response)


class _Policies(_Store):
    """`Store` of the policies."""

    def all(self, **where: str) -> list[Policy]:
        return [_policy(item) for item in self._list("ListPolicies", "list_policies", self._compartment_id, **where)]

    def find(self, name: str) -> Policy | None:
        return next((policy for policy in self.all(name=name) if policy.name == name), None)

    def latest(self, found: Policy) -> Policy:
        return self._read(found.id)

    def create(self, name: str, fields: Fields) -> Policy:
        details = self._oci.identity.models.CreatePolicyDetails(
            compartment_id=self._compartment_id, name=name, **fields
        )
        created = self._create("CreatePolicy", "create_policy", details, worth_it=_may_become_known)
        return self._active(_policy(created.data, created), f"policy {name}", self._read)

    def update(self, current: Policy, changes: Fields) -> Policy:
        details = self._oci.identity.models.UpdatePolicyDetails(**changes)
        changed = self._call(
            "UpdatePolicy",
            "update_policy",
            current.id,
            details,
            if_match=current.etag,
            worth_it=_may_become_known,
        )
        return _policy(changed.data, changed)

    def delete(self, current: Policy) -> None:
        self._delete("DeletePolicy", "delete_policy", current.id, self._read, if_match=current.etag)

    def _read(self, policy_id: str) -> Policy:
        response = self._call("GetPolicy", "get_policy", policy_id)
        return _policy(response.data, response)


class OciIdentity(_Service):
    """`Identity` by the SDK."""

    @property
    def _service(self) -> tuple[Any, ...]:
        return self._oci, self._client, self._patience, self._tenancy_id, self._clients

    def policies(self, compartment_id: str) -> Store[Policy]:
        """See Identity."""
        return _Policies(compartment_id, *self._service)

    def dynamic_groups(self, compartment_id: str, domain: str | None) -> Store[DynamicGroup]:
        """See Identity."""
        if domain is None or is_default(domain):
            return _DynamicGroups(compartment_id, *self._service)
        domains = {d.display_name: d.url for d in self._list("ListDomains", "list_domains", compartment_id)}
        name = next((n for n in domains if n.lower() == domain.lower()), None)
        if name is None:
            there = ", ".join(sorted(domains)) or "none"
            raise OciError(f"domain = {domain!r}: expected an identity domain of {compartment_id}, which has {there}")
        return ScimDynamicGroups(self._oci, self._clients.of_domain(domains[name]), self._patience, name)

    def lineage(self, compartment_id: str) -> list[Compartment]:
        """See Identity."""
        found: list[Compartment] = []
        while not found or found[-1].id != self._tenancy_id:
            data = self._call("GetCompartment", "get_compartment", compartment_id).data
            found.append(Compartment(data.id, data.name))
            compartment_id = data.compartment_id
        return found


def _may_become_known(error: CloudError) -> bool:
    unknown_group = error.status in (400, 404) and _UNKNOWN_GROUP.search(error.message) is not None
    return error.kind == "retryable" or unknown_group


def _etag(response: Any) -> str | None:
    # The items of a list have none.
    return None if response is None else response.headers.get("etag")


def _dynamic_group(data: Any, response: Any = None) -> DynamicGroup:
    return DynamicGroup(
        id=data.id,
        name=data.name,
        description=data.description or "",
        matching_rule=data.matching_rule,
        lifecycle_state=data.lifecycle_state,
        etag=_etag(response),
    )


def _policy(data: Any, response: Any = None) -> Policy:
    return Policy(
        id=data.id,
        compartment_id=data.compartment_id,
        name=data.name,
        description=data.description or "",
        statements=tuple(data.statements),
        lifecycle_state=data.lifecycle_state,
        etag=_etag(response),
    )

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The calls that the modules make: one thin method each, in the words of the models."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from .dynamic_group import DynamicGroup
from .errors import CloudError, classify
from .policy import Policy
from .private_ip import RESERVED, PrivateIp
from .retry import Patience
from .vnic import Vnic

T = TypeVar("T", DynamicGroup, Policy)

_ACTIVE = "ACTIVE"

# IAM learns of a new dynamic group later than it answers for it.
_UNKNOWN_GROUP = re.compile(r"dynamic.?(resource.?)?group.*(does not exist|not found)", re.IGNORECASE | re.DOTALL)


class Network(Protocol):
    """Private IPs and VNICs. Every method raises CloudError."""

    def vnic(self, vnic_id: str) -> Vnic:
        """Read a VNIC."""
        ...

    def set_skip_source_dest_check(self, vnic_id: str, skip: bool) -> Vnic:
        """Switch a VNIC's source/destination check."""
        ...

    def private_ips(self, subnet_id: str) -> list[PrivateIp]:
        """All private IPs of a subnet, the primary ones included."""
        ...

    def reserve_private_ip(
        self, subnet_id: str, address: str, display_name: str | None, tags: Mapping[str, str]
    ) -> PrivateIp:
        """Create a private IP with the lifetime RESERVED on no VNIC."""
        ...

    def update_private_ip(self, private_ip_id: str, changes: Mapping[str, Any]) -> PrivateIp:
        """Change lifetime, display_name or tags. The VNIC stays what it is."""
        ...

    def delete_private_ip(self, private_ip: PrivateIp) -> None:
        """Unassign and delete. It being gone already is no error."""
        ...


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


class _Caller:
    """Makes calls of one SDK client: insists on those that may work later, and turns errors into CloudError."""

    def __init__(self, oci: Any, client: Any, patience: Patience) -> None:
        self._oci = oci
        self._client = client
        self._patience = patience

    def _call(
        self,
        operation: str,
        method: str,
        *args: Any,
        worth_it: Callable[[CloudError], bool] = lambda error: error.kind == "retryable",
        **kwargs: Any,
    ) -> Any:
        function = getattr(self._client, method)

        def once() -> Any:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                known = classify(self._oci, operation, error)
                if known is None:
                    raise
                raise known from error

        return self._patience.call(once, worth_it)

    def _create(self, operation: str, method: str, *args: Any, **kwargs: Any) -> Any:
        # The token makes a repeated creation, after an answer that was lost, give the object of the first one.
        return self._call(operation, method, *args, opc_retry_token=uuid.uuid4().hex, **kwargs)

    def _list(self, operation: str, method: str, *args: Any, **kwargs: Any) -> list[Any]:
        items: list[Any] = []
        page: dict[str, Any] = {}
        while True:
            response = self._call(operation, method, *args, **kwargs, **page)
            items += response.data
            if not response.has_next_page:
                return items
            page = {"page": response.next_page}

    def _delete(self, operation: str, method: str, key: str, exists: Callable[[str], Any], **kwargs: Any) -> None:
        try:
            self._call(operation, method, key, **kwargs)
        except CloudError as error:
            if error.kind != "absent":
                raise
            # "Not there" after a lost answer is success, "not allowed" is not, and the API says the same for both.
            try:
                exists(key)
            except CloudError as gone:
                if gone.kind == "absent":
                    return
                raise
            raise


class OciNetwork(_Caller):
    """`Network` by the SDK.

    :param oci: the SDK
    :param client: its VirtualNetworkClient
    """

    def vnic(self, vnic_id: str) -> Vnic:
        """See Network."""
        return _vnic(self._call("GetVnic", "get_vnic", vnic_id).data)

    def set_skip_source_dest_check(self, vnic_id: str, skip: bool) -> Vnic:
        """See Network."""
        details = self._oci.core.models.UpdateVnicDetails(skip_source_dest_check=skip)
        return _vnic(self._call("UpdateVnic", "update_vnic", vnic_id, details).data)

    def private_ips(self, subnet_id: str) -> list[PrivateIp]:
        """See Network."""
        return [_private_ip(p) for p in self._list("ListPrivateIps", "list_private_ips", subnet_id=subnet_id)]

    def reserve_private_ip(
        self, subnet_id: str, address: str, display_name: str | None, tags: Mapping[str, str]
    ) -> PrivateIp:
        """See Network."""
        details = self._oci.core.models.CreatePrivateIpDetails(
            subnet_id=subnet_id,
            ip_address=address,
            lifetime=RESERVED,
            display_name=display_name,
            freeform_tags=dict(tags) or None,
        )
        return _private_ip(self._create("CreatePrivateIp", "create_private_ip", details).data)

    def update_private_ip(self, private_ip_id: str, changes: Mapping[str, Any]) -> PrivateIp:
        """See Network."""
        names = {"tags": "freeform_tags"}
        details = self._oci.core.models.UpdatePrivateIpDetails(**{names.get(k, k): v for k, v in changes.items()})
        return _private_ip(self._call("UpdatePrivateIp", "update_private_ip", private_ip_id, details).data)

    def delete_private_ip(self, private_ip: PrivateIp) -> None:
        """See Network."""
        if private_ip.vnic_id is not None and private_ip.lifetime == RESERVED:
            # The service refuses to delete a reserved private IP that is assigned.
            self._call("PrivateIpVnicDetach", "private_ip_vnic_detach", private_ip.id)
        self._delete("DeletePrivateIp", "delete_private_ip", private_ip.id, self._get_private_ip)

    def _get_private_ip(self, private_ip_id: str) -> Any:
        return self._call("GetPrivateIp", "get_private_ip", private_ip_id).data


class OciIdentity(_Caller):
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


def _vnic(data: Any) -> Vnic:
    return Vnic(data.id, data.subnet_id, data.display_name or "", bool(data.skip_source_dest_check))


def _private_ip(data: Any) -> PrivateIp:
    return PrivateIp(
        id=data.id,
        address=data.ip_address,
        subnet_id=data.subnet_id,
        vnic_id=data.vnic_id,
        is_primary=bool(data.is_primary),
        lifetime=data.lifetime or "EPHEMERAL",
        display_name=data.display_name or "",
        tags=dict(data.freeform_tags or {}),
    )


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

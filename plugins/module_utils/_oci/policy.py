# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Policies: what is wanted, what is there, and what to do about it; and the statements that a cluster needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

DEFAULT_DESCRIPTION = "Managed by Ansible"

# To move a private IP is one UpdatePrivateIp, which needs these and no more; to audit it, the two _READ. The verb alone
# would grant creation and deletion too. A condition on tags is no alternative: the service does not know the target's
# tags for PRIVATE_IP_UPDATE and VNIC_UNASSIGN.
_MOVE = {
    "private-ips": ("PRIVATE_IP_READ", "PRIVATE_IP_UPDATE"),
    "vnics": ("VNIC_READ", "VNIC_ASSIGN", "VNIC_UNASSIGN"),
}


@dataclass(frozen=True)
class Policy:
    """A policy of a compartment; `etag` guards a change against one that someone else makes meanwhile."""

    id: str
    compartment_id: str
    name: str
    description: str
    statements: tuple[str, ...]
    lifecycle_state: str
    etag: str | None = None


@dataclass(frozen=True)
class Request:
    """What is wanted. `description` None leaves that of an existing policy as it is."""

    name: str
    state: Literal["present", "absent"]
    statements: tuple[str, ...]
    description: str | None


@dataclass(frozen=True)
class Plan:
    """What to do: at most one of create, update and delete, and what the policy is like after it."""

    action: Literal["create", "update", "delete"] | None
    changes: Mapping[str, Any]
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


def move_statements(dynamic_group_id: str, compartment_id: str) -> list[str]:
    """What the members of the group need to move and to audit the private IPs of a compartment."""
    # A tenancy's root compartment has the tenancy's OCID, and the policy language another word for it.
    scope = "tenancy" if compartment_id.startswith("ocid1.tenancy.") else f"compartment id {compartment_id}"
    statements = []
    for resource, permissions in _MOVE.items():
        condition = ", ".join(f"request.permission='{p}'" for p in permissions)
        statements.append(
            f"allow dynamic-group id {dynamic_group_id} to use {resource} in {scope} where any {{{condition}}}"
        )
    return statements


def _normal(statements: Iterable[str]) -> list[str]:
    return sorted(" ".join(s.split()) for s in statements)


def plan(request: Request, current: Policy | None) -> Plan:
    """Compare what is wanted with what is there; the order of the statements and their white space do not count."""
    before = None if current is None else {"description": current.description, "statements": list(current.statements)}
    if request.state == "absent":
        return Plan(None if current is None else "delete", {}, before, None)
    if current is None:
        wanted = {"description": request.description or DEFAULT_DESCRIPTION, "statements": list(request.statements)}
        return Plan("create", wanted, None, wanted)
    changes: dict[str, Any] = {}
    if _normal(request.statements) != _normal(current.statements):
        changes["statements"] = list(request.statements)
    if request.description is not None and request.description != current.description:
        changes["description"] = request.description
    return Plan("update" if changes else None, changes, before, {**(before or {}), **changes})

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Dynamic groups: what is wanted, what is there, and what to do about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

DEFAULT_DESCRIPTION = "Managed by Ansible"

_MEMBERS = re.compile(r"ANY\s*\{(.*)\}", re.IGNORECASE | re.DOTALL)
_MEMBER = re.compile(r"\s*instance\.id\s*=\s*(?:'([^']*)'|\"([^\"]*)\")\s*", re.IGNORECASE)


@dataclass(frozen=True)
class DynamicGroup:
    """A dynamic group of the tenancy; `etag` guards a change against one that someone else makes meanwhile."""

    id: str
    name: str
    description: str
    matching_rule: str
    lifecycle_state: str
    etag: str | None = None


@dataclass(frozen=True)
class Request:
    """What is wanted. `description` None leaves that of an existing group as it is."""

    name: str
    state: Literal["present", "absent"]
    matching_rule: str
    description: str | None


@dataclass(frozen=True)
class Plan:
    """What to do: at most one of create, update and delete, and what the group is like after it."""

    action: Literal["create", "update", "delete"] | None
    changes: Mapping[str, str]
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


def members_rule(instance_ids: Iterable[str]) -> str:
    """The matching rule for exactly these instances, the same for every order of them."""
    members = ", ".join(f"instance.id = '{i}'" for i in sorted(set(instance_ids)))
    return f"ANY {{{members}}}"


def same_rule(left: str, right: str) -> bool:
    """Whether two rules are the same but for white space and, among lists of instances, their order."""
    return _normal(left) == _normal(right)


def _normal(rule: str) -> str:
    match = _MEMBERS.fullmatch(rule.strip())
    if match:
        members = [_MEMBER.fullmatch(part) for part in match[1].split(",")]
        if all(members):
            return members_rule(m[1] or m[2] for m in members if m)
    return " ".join(rule.split())


def plan(request: Request, current: DynamicGroup | None) -> Plan:
    """Compare what is wanted with what is there."""
    before = None if current is None else {"description": current.description, "matching_rule": current.matching_rule}
    if request.state == "absent":
        return Plan(None if current is None else "delete", {}, before, None)
    if current is None:
        wanted = {"description": request.description or DEFAULT_DESCRIPTION, "matching_rule": request.matching_rule}
        return Plan("create", wanted, None, wanted)
    changes: dict[str, str] = {}
    if not same_rule(request.matching_rule, current.matching_rule):
        changes["matching_rule"] = request.matching_rule
    if request.description is not None and request.description != current.description:
        changes["description"] = request.description
    return Plan("update" if changes else None, changes, before, {**(before or {}), **changes})

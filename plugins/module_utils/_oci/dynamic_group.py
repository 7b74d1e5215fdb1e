# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Dynamic groups, and the rules that say what is in them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_DOMAIN = "Default"

_CONDITION = r"""[\w.-]+(?:\s*!?=\s*(?:'[^']*'|"[^"]*"))?"""
_RULE = re.compile(rf"(?:(ANY|ALL)\s*\{{\s*)?({_CONDITION}(?:\s*,\s*{_CONDITION})*)\s*(\}})?", re.IGNORECASE)


@dataclass(frozen=True)
class DynamicGroup:
    """A dynamic group of an identity domain.

    :param etag: guards a change against one that someone else makes meanwhile
    :param key: what a domain other than the default one calls it
    """

    id: str
    name: str
    description: str
    matching_rule: str
    lifecycle_state: str
    etag: str | None = None
    domain: str = DEFAULT_DOMAIN
    key: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """What can be changed of it."""
        return {"description": self.description, "matching_rule": self.matching_rule}


def is_default(domain: str | None) -> bool:
    """Whether this is a name of the default identity domain."""
    return domain is None or domain.lower() == DEFAULT_DOMAIN.lower()


def instances_rule(instance_ids: Iterable[str]) -> str:
    """The matching rule for exactly these instances, the same for every order of them."""
    members = ", ".join(f"instance.id = '{i}'" for i in sorted(set(instance_ids)))
    return f"ANY {{{members}}}"


def compartment_rule(compartment_id: str) -> str:
    """The matching rule for the instances of a compartment; those of compartments below it are not in the group."""
    return f"ALL {{instance.compartment.id = '{compartment_id}'}}"


def tag_rule(tag: Mapping[str, str]) -> str:
    """The matching rule for the instances with a defined tag. `tag`: namespace, key, value."""
    return f"ALL {{tag.{tag['namespace']}.{tag['key']}.value = '{tag['value']}'}}"


def same_rule(left: str, right: str) -> bool:
    """Whether two rules are the same but for white space, quotes, and the order of their conditions."""
    return _normal(left) == _normal(right)


def _normal(rule: str) -> tuple[str, ...]:
    match = _RULE.fullmatch(rule.strip())
    if match is None or bool(match[1]) != bool(match[3]):
        return (" ".join(rule.split()),)
    conditions = {_normal_condition(c) for c in re.findall(_CONDITION, match[2])}
    # Of one condition, any and all are the same, and it may stand alone.
    kind = match[1].upper() if match[1] and len(conditions) > 1 else ""
    return (kind, *sorted(conditions))


def _normal_condition(condition: str) -> str:
    variable, relation, value = re.split(r"\s*(!?=)\s*|$", condition, maxsplit=1)
    return f"{variable.lower()}{relation or ''}{value[1:-1]}"

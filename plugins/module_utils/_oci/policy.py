# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Policies. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


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

    @property
    def fields(self) -> dict[str, Any]:
        """What can be changed of it."""
        return {"description": self.description, "statements": list(self.statements)}


def same_statements(left: Iterable[str], right: Iterable[str]) -> bool:
    """Whether two lists of statements are the same but for their order and their white space."""
    return _normal(left) == _normal(right)


def _normal(statements: Iterable[str]) -> list[str]:
    return sorted(" ".join(s.split()) for s in statements)

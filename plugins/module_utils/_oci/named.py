# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Objects that are known by a name and consist of fields: what is wanted, what is there, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

DEFAULT_DESCRIPTION = "Managed by Ansible"

Fields = Mapping[str, Any]


class Record(Protocol):
    """An object of the cloud."""

    @property
    def id(self) -> str:
        """Its OCID."""
        ...

    @property
    def fields(self) -> Fields:
        """What can be changed of it."""
        ...


T = TypeVar("T", bound=Record)


class Store(Protocol[T]):
    """The objects of one kind in a compartment. Every method raises CloudError, those that wait also OciError."""

    def all(self) -> list[T]:
        """Read them."""
        ...

    def find(self, name: str) -> T | None:
        """Find one by its name."""
        ...

    def latest(self, found: T) -> T:
        """Read one that was found once more, together with what guards its changes."""
        ...

    def create(self, name: str, fields: Fields) -> T:
        """Create one and wait until it is active."""
        ...

    def update(self, current: T, changes: Fields) -> T:
        """Change some of the fields, unless someone else changed the object since it was read."""
        ...

    def delete(self, current: T) -> None:
        """Delete, unless someone else changed the object since it was read."""
        ...


def read(store: Store[T], name: str | None) -> list[T]:
    """Read the one of that name, or all without a name. Raises what `store` raises."""
    if name is None:
        return store.all()
    found = store.find(name)
    return [] if found is None else [found]


@dataclass(frozen=True)
class Request:
    """What is wanted.

    :param fields: those of the object; a description of None leaves that of an existing object as it is
    :param same: for a field whose values can differ and mean the same, how to compare them
    """

    name: str
    state: Literal["present", "absent"]
    fields: Fields
    same: Mapping[str, Callable[[Any, Any], bool]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What to do: at most one of create, update and delete, and the fields before and after it."""

    action: Literal["create", "update", "delete"] | None
    changes: Fields
    before: Fields | None
    after: Fields | None


def plan(request: Request, current: Fields | None) -> Plan:
    """Compare what is wanted with what is there. Pure."""
    if request.state == "absent":
        return Plan(None if current is None else "delete", {}, current, None)
    if current is None:
        new = {**request.fields, "description": request.fields["description"] or DEFAULT_DESCRIPTION}
        return Plan("create", new, None, new)
    changes = {name: value for name, value in request.fields.items() if not _is_so(request, name, current[name])}
    return Plan("update" if changes else None, changes, current, {**current, **changes})


def _is_so(request: Request, name: str, current: Any) -> bool:
    wanted = request.fields[name]
    if name == "description" and wanted is None:
        return True
    same = request.same.get(name)
    return same(wanted, current) if same else bool(wanted == current)


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be in check mode. `found` is the object then, None when there is none."""

    changed: bool
    diff: Mapping[str, Fields]
    found: dict[str, Any] | None


def keep(store: Store[T], request: Request, check_mode: bool) -> Outcome:
    """Make the object what is wanted. Raises what `store` raises."""
    current = store.find(request.name)
    todo = plan(request, None if current is None else current.fields)
    if current is not None and todo.action is not None and not check_mode:
        # A listing says all that there is to compare, but it has no ETag.
        current = store.latest(current)
        todo = plan(request, current.fields)
    object_id = None if current is None else current.id
    if not check_mode:
        if todo.action == "create":
            object_id = store.create(request.name, todo.changes).id
        elif current is not None and todo.action == "update":
            store.update(current, todo.changes)
        elif current is not None and todo.action == "delete":
            store.delete(current)
    found = None if todo.after is None else {"id": object_id, "name": request.name, **todo.after}
    return Outcome(todo.action is not None, {"before": todo.before or {}, "after": todo.after or {}}, found)

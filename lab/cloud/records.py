# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control plane's records have in common: an OCID, an ETag, and a mapping that they are kept in."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol, TypeVar

from lab.cloud.errors import no_etag_match, not_found

Tags = Mapping[str, Any]


class Record(Protocol):
    """A frozen dataclass with these fields."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> str: ...

    @property
    def etag(self) -> str: ...


_Record = TypeVar("_Record", bound=Record)


def new_etag() -> str:
    return secrets.token_hex(16)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def find(records: Mapping[str, _Record], key: str, if_match: str | None = None) -> _Record:
    """Raises ApiError: 404 when there is none, 412 when it has another ETag."""
    record = records.get(key)
    if record is None:
        raise not_found()
    if if_match is not None and if_match != record.etag:
        raise no_etag_match()
    return record


def changed(record: _Record, **changes: Any) -> _Record:
    """The record with these fields and a new ETag."""
    return replace(record, **changes, etag=new_etag())


def added(records: Mapping[str, _Record], *new: _Record) -> dict[str, _Record]:
    return {**records, **{r.id: r for r in new}}


def without(records: Mapping[str, _Record], key: str) -> dict[str, _Record]:
    return {k: r for k, r in records.items() if k != key}

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of the fake cloud share."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Protocol

from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import CloudError, Kind

Calls = list[tuple[str, str]]


class Versioned(Protocol):
    """What guards its changes by an ETag."""

    @property
    def id(self) -> str: ...

    @property
    def etag(self) -> str | None: ...


class Log:
    """What was asked, and a source of identifiers."""

    def __init__(self) -> None:
        self.calls: Calls = []
        self.serial = itertools.count(1)

    def called(self, method: str, kind: str) -> None:
        self.calls.append((method, kind))

    def etag(self) -> str:
        return f"etag-{next(self.serial)}"


def found(operation: str, records: Mapping[str, Any], key: str) -> Any:
    """Raises CloudError as the service does for what is not there."""
    if key not in records:
        raise error(operation, "absent", 404)
    return records[key]


def unchanged(operation: str, records: Mapping[str, Any], read: Versioned) -> Any:
    """Raises CloudError as the service does for an ETag that is not the object's any more."""
    current = found(operation, records, read.id)
    if current.etag != read.etag:
        raise error(operation, "changed", 412)
    return current


def error(operation: str, kind: Kind, status: int) -> CloudError:
    """An error of the service."""
    return CloudError(operation, kind, status, "Fake", "as the real one would")

# SPDX-License-Identifier: GPL-3.0-or-later
"""Dynamic groups and policies in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ansible_collections.cloudvip.ha.plugins.module_utils._oci.dynamic_group import (
    DEFAULT_DOMAIN,
    DynamicGroup,
    is_default,
)
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import OciError
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.identity import Compartment
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.named import Fields
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.policy import Policy

from lab.cloud.names import COMPARTMENT_ID, COMPARTMENT_NAME, FURTHER_DOMAIN, TENANCY_ID, TENANCY_NAME
from tests.unit.plugins.worlds.fake import Log, error, unchanged

ROOT = Compartment(TENANCY_ID, TENANCY_NAME)


class FakeStore:
    """`Store` in memory.

    :param noun: what the API calls an object, as in `CreatePolicy`
    :param kind: what it calls several of them, as in a path
    :param records: where the records of this store, and others, are, by OCID
    :param mine: whether a record is one of this store
    :param new: makes a record
    """

    def __init__(
        self,
        log: Log,
        noun: str,
        kind: str,
        records: dict[str, Any],
        mine: Callable[[Any], bool],
        new: Callable[..., Any],
    ) -> None:
        self._log = log
        self._noun = noun
        self._kind = kind
        self._records = records
        self._mine = mine
        self._new = new

    def all(self) -> list[Any]:
        self._log.called("GET", self._kind)
        # As in the listings of the real one.
        return [replace(r, etag=None) for r in self._records.values() if self._mine(r)]

    def find(self, name: str) -> Any:
        return next((r for r in self.all() if r.name == name), None)

    def latest(self, found: Any) -> Any:
        self._log.called("GET", self._kind)
        return self._records[found.id]

    def create(self, name: str, fields: Fields) -> Any:
        self._log.called("POST", self._kind)
        if any(r.name == name and self._mine(r) for r in self._records.values()):
            raise error(f"Create{self._noun}", "refused", 409)
        key = f"ocid1.{self._kind}.fake..{next(self._log.serial)}"
        self._records[key] = self._new(
            id=key, name=name, lifecycle_state="ACTIVE", etag=self._log.etag(), **_kept(fields)
        )
        return self._records[key]

    def update(self, current: Any, changes: Fields) -> Any:
        self._log.called("PUT", self._kind)
        found = unchanged(f"Update{self._noun}", self._records, current)
        self._records[current.id] = replace(found, etag=self._log.etag(), **_kept(changes))
        return self._records[current.id]

    def delete(self, current: Any) -> None:
        self._log.called("DELETE", self._kind)
        if current.id in self._records:
            unchanged(f"Delete{self._noun}", self._records, current)
            del self._records[current.id]


def _kept(fields: Fields) -> dict[str, Any]:
    return {k: tuple(v) if k == "statements" else v for k, v in fields.items()}


class FakeIdentity:
    """`Identity` in memory."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._groups: dict[str, DynamicGroup] = {}
        self._policies: dict[str, Policy] = {}

    def policies(self, compartment_id: str) -> FakeStore:
        def new(**fields: Any) -> Policy:
            if compartment_id not in (TENANCY_ID, COMPARTMENT_ID):
                raise error("CreatePolicy", "absent", 404)
            return Policy(compartment_id=compartment_id, **fields)

        return FakeStore(
            self._log, "Policy", "policies", self._policies, lambda p: p.compartment_id == compartment_id, new
        )

    def dynamic_groups(self, compartment_id: str, domain: str | None) -> FakeStore:
        assert compartment_id == TENANCY_ID
        name = DEFAULT_DOMAIN if domain is None or is_default(domain) else domain
        if name.lower() not in (DEFAULT_DOMAIN.lower(), FURTHER_DOMAIN.lower()):
            raise OciError(f"domain = {domain!r}: expected an identity domain of {compartment_id}")

        def new(**fields: Any) -> DynamicGroup:
            return DynamicGroup(domain=FURTHER_DOMAIN if name != DEFAULT_DOMAIN else name, **fields)

        return FakeStore(
            self._log, "DynamicGroup", "dynamicGroups", self._groups, lambda g: g.domain.lower() == name.lower(), new
        )

    def lineage(self, compartment_id: str) -> list[Compartment]:
        self._log.called("GET", "compartments")
        return [Compartment(COMPARTMENT_ID, COMPARTMENT_NAME), ROOT] if compartment_id == COMPARTMENT_ID else [ROOT]

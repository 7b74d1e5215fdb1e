# SPDX-License-Identifier: GPL-3.0-or-later
"""What the handlers of the API get and give: an authenticated call, and a reply."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lab.cloud.auth import Principal
from lab.cloud.errors import ApiError, body, invalid, missing, not_found
from lab.cloud.names import COMPARTMENT_ID, COMPARTMENT_NAME, TENANCY_ID
from lab.cloud.state import Cloud
from lab.topology import REGION

MAX_PAGE = 1000


@dataclass(frozen=True)
class Reply:
    """`body` is what becomes JSON; None stands for no content."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One request to the API, after its signature has been found good.

    `endpoint` is the base URL that it was sent to; the values of a query parameter that is there twice are joined by
    commas.
    """

    cloud: Cloud
    principal: Principal
    operation: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw_body: bytes
    endpoint: str

    def require(self, compartment_id: str, *permissions: str) -> None:
        """Raises ApiError 404 unless the caller has every one of the permissions on that compartment's things."""
        if self.principal.is_admin:
            return
        if compartment_id not in (TENANCY_ID, COMPARTMENT_ID):
            raise not_found()
        variables = {
            "request.operation": self.operation,
            "request.region": REGION,
            "request.principal.id": self.principal.id,
            "request.principal.type": "instance",
            "request.principal.compartment.id": COMPARTMENT_ID,
            "target.compartment.id": compartment_id,
        }
        if compartment_id == COMPARTMENT_ID:
            variables["target.compartment.name"] = COMPARTMENT_NAME
        if not all(self.cloud.iam.permitted(self.principal.id, p, compartment_id, variables) for p in permissions):
            raise not_found()

    def needed(self, name: str) -> str:
        """A query parameter that must be there. Raises ApiError 400."""
        value = self.query.get(name)
        if not value:
            raise missing(f"The query parameter {name} is missing.")
        return value

    @property
    def if_match(self) -> str | None:
        return self.headers.get("if-match")

    def body(self, *keys: str) -> dict[str, Any]:
        """The JSON object sent, without its nulls. Raises ApiError 400, also for a key that the lab does not know.

        The real service may know more keys; to ignore one would be to pretend.
        """
        try:
            data = json.loads(self.raw_body)
        except ValueError as error:
            raise _unparsable() from error
        if not isinstance(data, dict):
            raise _unparsable()
        return self.known(data, *keys)

    def known(self, data: Mapping[str, Any], *keys: str) -> dict[str, Any]:
        """A JSON object without its nulls. Raises ApiError 400 for a key that the lab does not know."""
        given = {k: v for k, v in data.items() if v is not None}
        for key in given:
            if key not in keys:
                raise invalid(f"The attribute {key} is not supported for {self.operation}.")
        return given


def _unparsable() -> ApiError:
    message = "Incorrectly formatted request. Please refer to our documentation for help."
    return ApiError(400, "CannotParseRequest", message)


def typed(data: Mapping[str, Any], key: str, kind: type) -> Any:
    """data[key], or None. Raises ApiError 400 when it is of another type."""
    value = data.get(key)
    if value is not None and not isinstance(value, kind):
        raise invalid(f"The attribute {key} must be a {kind.__name__}.")
    return value


def fields(data: Mapping[str, Any], names: Mapping[str, tuple[str, type]]) -> dict[str, Any]:
    """What `data` has of the attributes in `names`, under the names of the record's fields. Raises ApiError 400."""
    return {attribute: typed(data, key, kind) for key, (attribute, kind) in names.items() if key in data}


def single(record: Any, body: dict[str, Any]) -> Reply:
    """The reply that shows one record."""
    return Reply(body, headers={"etag": record.etag})


def filtered(call: Call, records: Iterable[Any], *filters: tuple[str, Callable[[Any], Any]]) -> list[Any]:
    """Those records for which each query parameter that was given equals what the filter reads from the record."""
    wanted = [(call.query[name], read) for name, read in filters if name in call.query]
    return [r for r in records if all(str(read(r)) == value for value, read in wanted)]


def in_compartment(call: Call, *permissions: str) -> bool:
    """Check a listing by compartment; False where there is nothing because everything is in the other one."""
    compartment_id = call.needed("compartmentId")
    call.require(compartment_id, *permissions)
    return compartment_id == COMPARTMENT_ID


def page(call: Call, items: Sequence[Any]) -> Reply:
    """The page of `items` that `limit` and `page` ask for, with opc-next-page when there is more."""
    try:
        limit = int(call.query.get("limit", MAX_PAGE))
        token = call.query.get("page")
        start = int(base64.urlsafe_b64decode(token)) if token else 0
    except (ValueError, binascii.Error) as error:
        raise invalid("The query parameter limit or page is not valid.") from error
    if not 1 <= limit <= MAX_PAGE:
        raise invalid(f"The query parameter limit must be from 1 to {MAX_PAGE}.")
    end = start + limit
    more = {"opc-next-page": base64.urlsafe_b64encode(str(end).encode()).decode()} if end < len(items) else {}
    return Reply([*items[start:end]], headers=more)


class Operation(NamedTuple):
    """An API operation: its name in policies, where it is, and how it words an error."""

    name: str
    method: str
    path: str
    handler: Callable[[Call], Awaitable[Reply]]
    error_body: Callable[[ApiError], Any] = body

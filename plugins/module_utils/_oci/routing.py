# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The calls about route tables: one thin method each, in the words of the models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Protocol

from .caller import Caller
from .route_rule import CIDR_BLOCK, RouteRule, RouteTable


class Routing(Protocol):
    """Route tables. Every method raises CloudError."""

    def route_table(self, route_table_id: str) -> RouteTable:
        """Read a route table."""
        ...

    def set_rules(self, table: RouteTable, rules: Iterable[RouteRule]) -> RouteTable:
        """Replace all rules of a route table, unless someone else changed it since it was read."""
        ...


class OciRouting(Caller):
    """`Routing` by the SDK.

    :param oci: the SDK
    :param client: its VirtualNetworkClient
    """

    def route_table(self, route_table_id: str) -> RouteTable:
        """See Routing."""
        return _table(self._call("GetRouteTable", "get_route_table", route_table_id))

    def set_rules(self, table: RouteTable, rules: Iterable[RouteRule]) -> RouteTable:
        """See Routing."""
        models = self._oci.core.models
        details = models.UpdateRouteTableDetails(route_rules=[models.RouteRule(**asdict(r)) for r in rules])
        return _table(self._call("UpdateRouteTable", "update_route_table", table.id, details, if_match=table.etag))


def _table(response: Any) -> RouteTable:
    rules = tuple(
        # A rule from before there were types of destinations has a `cidr_block` only.
        RouteRule(
            r.destination or r.cidr_block,
            r.destination_type or CIDR_BLOCK,
            r.network_entity_id,
            r.description,
            r.route_type,
        )
        for r in response.data.route_rules
    )
    return RouteTable(response.data.id, rules, response.headers.get("etag"))

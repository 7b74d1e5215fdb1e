# SPDX-License-Identifier: GPL-3.0-or-later
"""Route tables in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ansible_collections.cloudvip.ha.plugins.module_utils._oci.route_rule import RouteRule, RouteTable

from lab.topology import Topology, ocid
from tests.unit.plugins.worlds.fake import Log, error, found, unchanged
from tests.unit.plugins.worlds.network import FakeNetwork


class FakeRouting:
    """`Routing` in memory."""

    def __init__(self, topology: Topology, network: FakeNetwork, log: Log) -> None:
        self._log = log
        self._network = network
        keys = [ocid("routetable", s.name) for s in topology.subnets]
        self._tables = {key: RouteTable(key, (), log.etag()) for key in keys}

    def route_table(self, route_table_id: str) -> RouteTable:
        self._log.called("GET", "routeTables")
        table: RouteTable = found("GetRouteTable", self._tables, route_table_id)
        return table

    def set_rules(self, table: RouteTable, rules: Iterable[RouteRule]) -> RouteTable:
        self._log.called("PUT", "routeTables")
        unchanged("UpdateRouteTable", self._tables, table)
        rules = tuple(replace(r, route_type="STATIC") for r in rules)
        for rule in rules:
            found("UpdateRouteTable", self._network.ips, str(rule.network_entity_id))
        if len({r.destination for r in rules}) != len(rules):
            raise error("UpdateRouteTable", "refused", 400)
        self._tables[table.id] = RouteTable(table.id, rules, self._log.etag())
        return self._tables[table.id]

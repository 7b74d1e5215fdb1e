# SPDX-License-Identifier: GPL-3.0-or-later
"""Network security groups in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ansible_collections.cloudvip.ha.plugins.module_utils._oci.network_security_group import (
    Member,
    NetworkSecurityGroup,
    SecurityRule,
)

from lab.cloud.names import COMPARTMENT_ID
from lab.topology import Topology
from tests.unit.plugins.worlds.fake import Log, error, found

KIND = "networkSecurityGroups"
_HERE = (COMPARTMENT_ID, "vcn")
"""The compartment of everything, and the VCN of all subnets in memory."""


class FakeSecurity:
    """`Security` in memory."""

    def __init__(self, topology: Topology, log: Log) -> None:
        self._log = log
        self._groups: dict[str, NetworkSecurityGroup] = {}
        self._members = {v.id: Member(v.id, (), log.etag()) for i in topology.instances for v in i.vnics}

    def groups(self, compartment_id: str, vcn_id: str | None, name: str | None = None) -> list[NetworkSecurityGroup]:
        self._log.called("GET", KIND)
        here = compartment_id == COMPARTMENT_ID and vcn_id in (None, _HERE[1])
        listed = [g for g in self._groups.values() if here and name in (None, g.name)]
        for _ in listed:
            self._log.called("GET", KIND)
            self._log.called("GET", KIND)
        return [
            replace(g, vnic_ids=tuple(m.vnic_id for m in self._members.values() if g.id in m.group_ids)) for g in listed
        ]

    def member(self, vnic_id: str) -> Member:
        self._log.called("GET", "vnics")
        member: Member = found("GetVnic", self._members, vnic_id)
        return member

    def create_group(self, compartment_id: str, vcn_id: str, name: str) -> str:
        self._log.called("POST", KIND)
        if (compartment_id, vcn_id) != _HERE:
            raise error("CreateNetworkSecurityGroup", "absent", 404)
        self._log.called("GET", KIND)
        key = f"ocid1.networksecuritygroup.fake..{next(self._log.serial)}"
        self._groups[key] = NetworkSecurityGroup(key, name, vcn_id, {}, ())
        return key

    def add_rules(self, group_id: str, rules: Sequence[SecurityRule]) -> None:
        for start in range(0, len(rules), 25):
            self._log.called("GET", KIND)
            group = found("ListNetworkSecurityGroupSecurityRules", self._groups, group_id)
            missing = [rule for rule in rules[start : start + 25] if rule not in group.rules.values()]
            if missing:
                self._log.called("POST", KIND)
            more = {f"{next(self._log.serial):06X}": rule for rule in missing}
            if len(group.rules) + len(more) > 120:
                raise error("AddNetworkSecurityGroupSecurityRules", "refused", 400)
            self._groups[group_id] = replace(group, rules={**group.rules, **more})

    def remove_rules(self, group_id: str, rule_ids: Sequence[str]) -> None:
        for start in range(0, len(rule_ids), 25):
            self._log.called("GET", KIND)
            group = found("ListNetworkSecurityGroupSecurityRules", self._groups, group_id)
            gone = set(rule_ids[start : start + 25])
            if gone & group.rules.keys():
                self._log.called("POST", KIND)
            self._groups[group_id] = replace(group, rules={k: r for k, r in group.rules.items() if k not in gone})

    def set_groups(self, member: Member, group_ids: Sequence[str]) -> None:
        self._log.called("PUT", "vnics")
        current = found("UpdateVnic", self._members, member.vnic_id)
        for group_id in group_ids:
            found("UpdateVnic", self._groups, group_id)
        if current.etag != member.etag:
            raise error("UpdateVnic", "changed", 412)
        if len(group_ids) > 5:
            raise error("UpdateVnic", "refused", 400)
        self._members[member.vnic_id] = Member(member.vnic_id, tuple(group_ids), self._log.etag())

    def delete_group(self, group_id: str) -> None:
        self._log.called("DELETE", KIND)
        if any(group_id in m.group_ids for m in self._members.values()):
            raise error("DeleteNetworkSecurityGroup", "changed", 412)
        self._groups.pop(group_id, None)

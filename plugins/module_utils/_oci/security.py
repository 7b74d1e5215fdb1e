# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The calls about network security groups: one thin method each, in the words of the models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from .caller import Caller
from .errors import CloudError
from .network_security_group import SELF, Member, NetworkSecurityGroup, SecurityRule

_AVAILABLE = "AVAILABLE"
_AT_ONCE = 25
_OPTIONS = {"6": "tcp_options", "17": "udp_options"}


class Security(Protocol):
    """Network security groups. Every method raises CloudError, one that waits also OciError."""

    def groups(self, compartment_id: str, vcn_id: str | None, name: str | None = None) -> list[NetworkSecurityGroup]:
        """The groups of a compartment; those of one VCN, and those of a name, which need not be only one."""
        ...

    def member(self, vnic_id: str) -> Member:
        """Read the groups of a VNIC."""
        ...

    def create_group(self, compartment_id: str, vcn_id: str, name: str) -> str:
        """Create a group without rules, wait until it is available, and return its OCID."""
        ...

    def add_rules(self, group_id: str, rules: Sequence[SecurityRule]) -> None:
        """Add rules that are not there. The peer SELF is the group."""
        ...

    def remove_rules(self, group_id: str, rule_ids: Sequence[str]) -> None:
        """Remove rules. One of them being gone already is no error."""
        ...

    def set_groups(self, member: Member, group_ids: Sequence[str]) -> None:
        """Have a VNIC in exactly these groups, unless someone else changed the VNIC since it was read."""
        ...

    def delete_group(self, group_id: str) -> None:
        """Delete a group. It being gone already is no error."""
        ...


class OciSecurity(Caller):
    """`Security` by the SDK.

    :param oci: the SDK
    :param client: its VirtualNetworkClient
    """

    def groups(self, compartment_id: str, vcn_id: str | None, name: str | None = None) -> list[NetworkSecurityGroup]:
        """See Security."""
        where = {"vcn_id": vcn_id, "display_name": name}
        found = self._list(
            "ListNetworkSecurityGroups",
            "list_network_security_groups",
            compartment_id=compartment_id,
            lifecycle_state=_AVAILABLE,
            **{key: value for key, value in where.items() if value is not None},
        )
        return [
            NetworkSecurityGroup(g.id, g.display_name, g.vcn_id, self._rules(g.id), self._vnic_ids(g.id)) for g in found
        ]

    def member(self, vnic_id: str) -> Member:
        """See Security."""
        response = self._call("GetVnic", "get_vnic", vnic_id)
        return Member(vnic_id, tuple(response.data.nsg_ids or ()), response.headers.get("etag"))

    def create_group(self, compartment_id: str, vcn_id: str, name: str) -> str:
        """See Security."""
        details = self._oci.core.models.CreateNetworkSecurityGroupDetails(
            compartment_id=compartment_id, vcn_id=vcn_id, display_name=name
        )
        created = self._create("CreateNetworkSecurityGroup", "create_network_security_group", details).data
        seen = self._patience.until(
            f"network security group {name} to become {_AVAILABLE}",
            lambda: self._get(created.id),
            lambda group: group.lifecycle_state == _AVAILABLE,
        )
        return str(seen.id)

    def add_rules(self, group_id: str, rules: Sequence[SecurityRule]) -> None:
        """See Security."""

        def details(there: Mapping[str, SecurityRule], some: Sequence[SecurityRule]) -> Any:
            missing = [_details(self._oci, r, group_id) for r in some if r not in there.values()]
            return missing and self._oci.core.models.AddNetworkSecurityGroupSecurityRulesDetails(security_rules=missing)

        self._change_rules("Add", group_id, rules, details)

    def remove_rules(self, group_id: str, rule_ids: Sequence[str]) -> None:
        """See Security."""

        def details(there: Mapping[str, SecurityRule], some: Sequence[str]) -> Any:
            left = [key for key in some if key in there]
            return left and self._oci.core.models.RemoveNetworkSecurityGroupSecurityRulesDetails(security_rule_ids=left)

        self._change_rules("Remove", group_id, rule_ids, details)

    def _change_rules(
        self,
        verb: str,
        group_id: str,
        items: Sequence[Any],
        details: Callable[[Mapping[str, SecurityRule], Sequence[Any]], Any],
    ) -> None:
        """Change what is still to be changed: these operations know no retry token, and an answer may be lost."""

        def once(some: Sequence[Any]) -> None:
            todo = details(self._rules(group_id), some)
            if todo:
                self._call(
                    f"{verb}NetworkSecurityGroupSecurityRules",
                    f"{verb.lower()}_network_security_group_security_rules",
                    group_id,
                    todo,
                    worth_it=lambda _: False,
                )

        for start in range(0, len(items), _AT_ONCE):
            some = items[start : start + _AT_ONCE]
            self._patience.call(partial(once, some), lambda error: error.kind == "retryable")

    def set_groups(self, member: Member, group_ids: Sequence[str]) -> None:
        """See Security."""
        details = self._oci.core.models.UpdateVnicDetails(nsg_ids=list(group_ids))
        self._call("UpdateVnic", "update_vnic", member.vnic_id, details, if_match=member.etag)

    def delete_group(self, group_id: str) -> None:
        """See Security."""
        self._delete(
            "DeleteNetworkSecurityGroup", "delete_network_security_group", group_id, self._get, worth_it=_may_be_deleted
        )

    def _get(self, group_id: str) -> Any:
        return self._call("GetNetworkSecurityGroup", "get_network_security_group", group_id).data

    def _rules(self, group_id: str) -> dict[str, SecurityRule]:
        found = self._list(
            "ListNetworkSecurityGroupSecurityRules", "list_network_security_group_security_rules", group_id
        )
        return {rule.id: _rule(rule, group_id) for rule in found}

    def _vnic_ids(self, group_id: str) -> tuple[str, ...]:
        found = self._list("ListNetworkSecurityGroupVnics", "list_network_security_group_vnics", group_id)
        return tuple(vnic.vnic_id for vnic in found)


def _may_be_deleted(error: CloudError) -> bool:
    # A group may still have VNICs for a while after they were taken out of it.
    return error.kind == "retryable" or error.code == "PreconditionFailed"


def _details(oci: Any, rule: SecurityRule, group_id: str) -> Any:
    end = "source" if rule.direction == "INGRESS" else "destination"
    fields: dict[str, Any] = {
        end: group_id if rule.peer == SELF else rule.peer,
        f"{end}_type": "NETWORK_SECURITY_GROUP" if rule.peer == SELF else "CIDR_BLOCK",
    }
    if rule.ports:
        models = oci.core.models
        ports = models.PortRange(min=rule.ports[0], max=rule.ports[1])
        options = models.TcpOptions if rule.protocol == "6" else models.UdpOptions
        fields[_OPTIONS[rule.protocol]] = options(destination_port_range=ports)
    return oci.core.models.AddSecurityRuleDetails(
        direction=rule.direction, protocol=rule.protocol, description=rule.description, **fields
    )


def _rule(data: Any, group_id: str) -> SecurityRule:
    peer = data.source if data.direction == "INGRESS" else data.destination
    options = data.tcp_options or data.udp_options
    return SecurityRule(
        direction=data.direction,
        protocol=data.protocol,
        peer=SELF if peer == group_id else peer,
        ports=_range(options and options.destination_port_range),
        description=data.description or "",
        is_stateless=bool(data.is_stateless),
        source_ports=_range(options and options.source_port_range),
        icmp=(data.icmp_options.type, data.icmp_options.code) if data.icmp_options else None,
    )


def _range(ports: Any) -> tuple[int, int] | None:
    return (ports.min, ports.max) if ports else None

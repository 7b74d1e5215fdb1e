# SPDX-License-Identifier: GPL-3.0-or-later
"""What may get in: the records of network security groups and security lists, and what they mean for a VNIC. Pure.

The security lists of the lab let everything out, as the default one of a VCN does, and a packet passes if any rule
allows it. So rules with the direction EGRESS are kept and shown, and change nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, ip_network
from typing import Literal

from lab.cloud.errors import invalid
from lab.cloud.records import Tags, find, new_etag, now
from lab.fabric.view import Admission
from lab.topology import IngressRule

RULES_PER_GROUP = 120
RULES_PER_REQUEST = 25
GROUPS_PER_VNIC = 5

Direction = Literal["INGRESS", "EGRESS"]
PeerType = Literal["CIDR_BLOCK", "NETWORK_SECURITY_GROUP"]


@dataclass(frozen=True)
class SecurityRule:
    """`peer` is the source of a rule for ingress and the destination of one for egress: a CIDR, or a group's OCID.

    `protocol` is `all` or a number, `ports` the destination's (None: all of them).
    """

    direction: Direction
    protocol: str
    peer: str
    peer_type: PeerType
    ports: tuple[int, int] | None = None
    is_stateless: bool = False
    description: str | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(3).upper())
    time_created: str = field(default_factory=now)


@dataclass(frozen=True)
class NetworkSecurityGroup:
    """Its ETag guards the group, not the rules: their operations take none."""

    id: str
    name: str
    time_created: str
    rules: tuple[SecurityRule, ...] = ()
    freeform_tags: Tags = field(default_factory=dict)
    defined_tags: Tags = field(default_factory=dict)
    etag: str = field(default_factory=new_etag)


Groups = Mapping[str, NetworkSecurityGroup]
Memberships = Mapping[str, str]
"""The groups of a VNIC: for the OCID of each, since when."""


@dataclass(frozen=True)
class SecurityList:
    id: str
    subnet: str
    rules: tuple[SecurityRule, ...]
    time_created: str
    etag: str = field(default_factory=new_etag)


def listed(rules: Iterable[IngressRule]) -> tuple[SecurityRule, ...]:
    """The rules of a topology's security list, and the one that lets everything out."""
    ingress = (SecurityRule("INGRESS", r.protocol, str(r.source), "CIDR_BLOCK", r.ports) for r in rules)
    return (*ingress, SecurityRule("EGRESS", "all", "0.0.0.0/0", "CIDR_BLOCK"))


def with_rules(group: NetworkSecurityGroup, rules: Iterable[SecurityRule], groups: Groups) -> NetworkSecurityGroup:
    """The group with these rules. Raises ApiError: 400 for too many, 404 when one names a group that is not there."""
    rules = tuple(rules)
    if len(rules) > RULES_PER_GROUP:
        raise invalid(f"Total security rules count {len(rules)} cannot be greater than {RULES_PER_GROUP}.")
    for rule in rules:
        # A rule that is there already may name a group that is gone.
        if rule.peer_type == "NETWORK_SECURITY_GROUP" and rule not in group.rules:
            find(groups, rule.peer)
    return replace(group, rules=rules)


def joined(current: Memberships, group_ids: Iterable[str], groups: Groups) -> Memberships:
    """A VNIC's groups when it is to be in exactly these. Raises ApiError: 400 for too many, 404 for an unknown one."""
    wanted = {find(groups, group_id).id: now() for group_id in group_ids}
    if len(wanted) > GROUPS_PER_VNIC:
        # Neither the code nor the text of this refusal is documented.
        raise invalid(f"A VNIC cannot be in more than {GROUPS_PER_VNIC} network security groups.")
    return {**wanted, **{group_id: since for group_id, since in current.items() if group_id in wanted}}


def admissions(rules: Iterable[SecurityRule], memberships: Mapping[str, Memberships]) -> tuple[Admission, ...]:
    """What these rules let in, given the groups of every VNIC."""
    found = []
    for rule in rules:
        protocol = None if rule.protocol == "all" else int(rule.protocol)
        if rule.direction == "EGRESS":
            continue
        if rule.peer_type == "NETWORK_SECURITY_GROUP":
            members = frozenset(vnic_id for vnic_id, groups in memberships.items() if rule.peer in groups)
            found.append(Admission(members, protocol, rule.ports))
        elif isinstance(network := ip_network(rule.peer), IPv4Network):
            found.append(Admission(network, protocol, rule.ports))
    return tuple(found)

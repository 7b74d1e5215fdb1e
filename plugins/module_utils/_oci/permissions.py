# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What a cluster's nodes need to be permitted, the statements that permit it, and what statements leave out. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

VERBS = ("inspect", "read", "use", "manage")

# What each feature has the nodes use. A reserved public IP is no feature: it belongs to the private IP's object and is
# wherever that is. A condition on tags is no alternative to one on the permission: the service does not know the
# target's tags for PRIVATE_IP_UPDATE and VNIC_UNASSIGN.
_MOVER = ("VNIC_READ", "VNIC_ASSIGN", "VNIC_UNASSIGN")
FEATURES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "move": {"private-ips": ("PRIVATE_IP_READ", "PRIVATE_IP_UPDATE"), "vnics": _MOVER},
    # To find an address in its subnet takes SUBNET_READ, which the same call for IPv4 does not.
    "ipv6": {"vnics": _MOVER, "ipv6s": ("IPV6_READ", "IPV6_UPDATE"), "subnets": ("SUBNET_READ",)},
}

# What each of VERBS adds to the one before it, by Oracle's policy reference for the core services. VNIC_ASSIGN and
# VNIC_UNASSIGN are not in its table, but a move is said to need `use vnics`.
_RESOURCES: Mapping[str, tuple[str, str, str, str]] = {
    "private-ips": (
        "PRIVATE_IP_READ",
        "",
        "PRIVATE_IP_UPDATE PRIVATE_IP_ASSIGN PRIVATE_IP_UNASSIGN PRIVATE_IP_CREATE PRIVATE_IP_DELETE",
        "",
    ),
    "vnics": ("VNIC_READ", "", "VNIC_ASSIGN VNIC_UNASSIGN VNIC_UPDATE", ""),
    "ipv6s": ("", "IPV6_READ", "", "IPV6_UPDATE IPV6_CREATE IPV6_DELETE"),
    "subnets": ("SUBNET_READ", "", "SUBNET_ATTACH SUBNET_DETACH", ""),
    "vnic-attachments": ("VNIC_ATTACHMENT_READ", "", "", ""),
}
_FAMILIES: Mapping[str, Collection[str]] = {
    "virtual-network-family": ("private-ips", "vnics", "ipv6s", "subnets", "vnic-attachments"),
    "all-resources": tuple(_RESOURCES),
}
# What an aggregate grants beyond its members.
_FAMILY_EXTRAS = {"instance-family": ("VNIC_READ VNIC_ATTACHMENT_READ", "", "", "")}

PERMISSIONS = frozenset(" ".join(text for row in _RESOURCES.values() for text in row).split())
"""Those that `missing_permissions` knows."""


def statements(dynamic_group_id: str, compartment_id: str, features: Collection[str]) -> list[str]:
    """Make the statements that let the members of the group do what the features need, and nothing else.

    One for each type of resource, by the weakest verb that can and a condition on the permission: the verb alone would
    let them create and delete too.

    :param features: some of FEATURES
    """
    # A tenancy's root compartment has the tenancy's OCID, and the policy language another word for it.
    scope = "tenancy" if compartment_id.startswith("ocid1.tenancy.") else f"compartment id {compartment_id}"
    texts = []
    for resource in _RESOURCES:
        needed = _needed(resource, features)
        if needed:
            verb = next(v for v in VERBS if permissions_of(v, resource) >= set(needed))
            condition = ", ".join(f"request.permission='{p}'" for p in needed)
            texts.append(
                f"allow dynamic-group id {dynamic_group_id} to {verb} {resource} in {scope} where any {{{condition}}}"
            )
    return texts


def _needed(resource: str, features: Collection[str]) -> list[str]:
    """The permissions on one type of resource, each once."""
    return list(dict.fromkeys(p for name, f in FEATURES.items() if name in features for p in f.get(resource, ())))


def permissions_of(verb: str, resource: str) -> frozenset[str]:
    """What a verb grants on a type of resource, or on an aggregate; of those that PERMISSIONS has."""
    rows = [_RESOURCES[r] for r in _FAMILIES.get(resource, (resource,)) if r in _RESOURCES]
    if resource in _FAMILY_EXTRAS:
        rows.append(_FAMILY_EXTRAS[resource])
    granted = VERBS.index(verb) + 1 if verb in VERBS else 0
    return frozenset(" ".join(text for row in rows for text in row[:granted]).split())


_QUOTED = r"""(?:'[^']*'|"[^"]*"|[^\s'",{}/]+)"""
_STATEMENT = re.compile(
    rf"""\s*allow\s+dynamic-group\s+(?P<subjects>.+?)\s+to\s+
    (?:\{{(?P<permissions>[^}}]*)\}}|(?P<verb>\w+)\s+(?P<resource>[\w-]+))\s+in\s+
    (?:(?P<tenancy>tenancy)|compartment\s+(?:id\s+)?(?P<scope>{_QUOTED}))
    (?:\s+where\s+(?P<condition>.+?))?\s*""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_SUBJECT = re.compile(rf"(?:id\s+)?(?P<name>{_QUOTED}(?:/{_QUOTED})?)", re.IGNORECASE)
_CONDITION = re.compile(r"(any|all)\s*\{([^{}]*)\}|([^{}]*)", re.IGNORECASE)
_TEST = re.compile(r"""\s*request\.permission\s*(!?=)\s*(?:'(\w+)'|"(\w+)")\s*""", re.IGNORECASE)


class _Grant(NamedTuple):
    """A statement: whom it concerns, where, what it grants, and under which condition."""

    subjects: frozenset[str]
    scope: str
    permissions: frozenset[str]
    condition: str | None


def missing_permissions(
    statements: Iterable[str],
    dynamic_group_id: str,
    names: Mapping[str, Collection[str]],
    compartment_id: str,
    needed: Iterable[str],
) -> list[str]:
    """Say which permissions no statement grants the group on the things of a compartment.

    What cannot be told from the statements is taken not to be granted: by a condition on something other than the
    permission, or in a compartment that is named by its path.

    :param names: by the OCID of the group, how statements may call it: `web`, `Domain/web`; and by the OCIDs of the
        compartment and of those above it, their names
    """
    groups = {dynamic_group_id.lower(), *(n.lower() for n in names.get(dynamic_group_id, ()))}
    scopes = {"tenancy", compartment_id.lower()}
    scopes |= {text.lower() for key, them in names.items() if key != dynamic_group_id for text in (key, *them)}
    grants = [g for g in map(_parsed, statements) if g is not None and g.subjects & groups and g.scope in scopes]
    return [p for p in needed if not any(p in g.permissions and _holds(g.condition, p) for g in grants)]


def _parsed(statement: str) -> _Grant | None:
    match = _STATEMENT.fullmatch(statement)
    if match is None:
        return None
    found = match.groupdict(default="")
    granted = (
        frozenset(found["permissions"].upper().replace(",", " ").split())
        if found["permissions"]
        else permissions_of(found["verb"].lower(), found["resource"].lower())
    )
    subjects = frozenset(re.sub("['\"]", "", s["name"]).lower() for s in _SUBJECT.finditer(found["subjects"]))
    scope = "tenancy" if found["tenancy"] else found["scope"].strip("'\"").lower()
    return _Grant(subjects, scope, granted, match["condition"])


def _holds(condition: str | None, permission: str) -> bool:
    if condition is None:
        return True
    match = _CONDITION.fullmatch(condition)
    if match is None:
        return False
    tests = [_is_true(text, permission) for text in (match[2] or match[3]).split(",")]
    return all(tests) if (match[1] or "").lower() == "all" else any(tests)


def _is_true(test: str, permission: str) -> bool:
    match = _TEST.fullmatch(test)
    return match is not None and ((match[2] or match[3]).upper() == permission) is (match[1] == "=")

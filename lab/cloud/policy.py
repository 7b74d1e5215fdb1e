# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: matching rules of dynamic groups and policy statements, parsed and evaluated. Pure.

The permissions behind each verb are those of Oracle's policy reference for the core services. VNIC_ASSIGN and
VNIC_UNASSIGN stand under `use vnics`: the reference forgets them in its table, but demands them for a move and says
that `use vnics` is enough for one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from lab.cloud.names import DEFAULT_DOMAIN, DOMAINS

VERBS = ("inspect", "read", "use", "manage")

# Per resource type what each verb of VERBS adds to the one before it.
_RESOURCES: dict[str, tuple[str, str, str, str]] = {
    "private-ips": (
        "PRIVATE_IP_READ",
        "",
        "PRIVATE_IP_UPDATE PRIVATE_IP_ASSIGN PRIVATE_IP_UNASSIGN PRIVATE_IP_CREATE PRIVATE_IP_DELETE"
        " PRIVATE_IP_ASSIGN_PUBLIC_IP PRIVATE_IP_UNASSIGN_PUBLIC_IP",
        "PRIVATE_IP_ROUTE_TABLE_ATTACH PRIVATE_IP_ROUTE_TABLE_DETACH",
    ),
    "vnics": (
        "VNIC_READ",
        "",
        "VNIC_ASSIGN VNIC_UNASSIGN VNIC_ATTACH VNIC_DETACH VNIC_CREATE VNIC_DELETE VNIC_UPDATE"
        " VNIC_ASSOCIATE_NETWORK_SECURITY_GROUP VNIC_DISASSOCIATE_NETWORK_SECURITY_GROUP",
        "",
    ),
    "vnic-attachments": ("VNIC_ATTACHMENT_READ", "", "", ""),
    "subnets": (
        "SUBNET_READ",
        "",
        "SUBNET_ATTACH SUBNET_DETACH",
        "SUBNET_CREATE SUBNET_UPDATE SUBNET_DELETE SUBNET_MOVE",
    ),
    "vcns": ("VCN_READ", "", "", "VCN_ATTACH VCN_DETACH VCN_UPDATE VCN_CREATE VCN_DELETE VCN_MOVE"),
    "route-tables": (
        "ROUTE_TABLE_READ",
        "",
        "",
        "ROUTE_TABLE_ATTACH ROUTE_TABLE_DETACH ROUTE_TABLE_UPDATE ROUTE_TABLE_CREATE ROUTE_TABLE_DELETE"
        " ROUTE_TABLE_MOVE",
    ),
    "network-security-groups": (
        "NETWORK_SECURITY_GROUP_INSPECT",
        "NETWORK_SECURITY_GROUP_READ",
        "NETWORK_SECURITY_GROUP_LIST_SECURITY_RULES NETWORK_SECURITY_GROUP_LIST_MEMBERS"
        " NETWORK_SECURITY_GROUP_UPDATE_MEMBERS",
        "NETWORK_SECURITY_GROUP_UPDATE NETWORK_SECURITY_GROUP_CREATE NETWORK_SECURITY_GROUP_DELETE"
        " NETWORK_SECURITY_GROUP_MOVE NETWORK_SECURITY_GROUP_UPDATE_SECURITY_RULES",
    ),
    "security-lists": (
        "SECURITY_LIST_READ",
        "",
        "",
        "SECURITY_LIST_ATTACH SECURITY_LIST_DETACH SECURITY_LIST_UPDATE SECURITY_LIST_CREATE SECURITY_LIST_DELETE"
        " SECURITY_LIST_MOVE",
    ),
    "public-ips": (
        "",
        "PUBLIC_IP_READ",
        "PUBLIC_IP_ASSIGN_PRIVATE_IP PUBLIC_IP_UNASSIGN_PRIVATE_IP",
        "PUBLIC_IP_UPDATE PUBLIC_IP_CREATE PUBLIC_IP_DELETE",
    ),
    "ipv6s": ("", "IPV6_READ", "", "IPV6_UPDATE IPV6_CREATE IPV6_DELETE"),
    "instances": (
        "INSTANCE_INSPECT",
        "INSTANCE_READ",
        "INSTANCE_UPDATE INSTANCE_CREATE_IMAGE INSTANCE_POWER_ACTIONS INSTANCE_ATTACH_VOLUME INSTANCE_DETACH_VOLUME",
        "INSTANCE_CREATE INSTANCE_DELETE INSTANCE_ATTACH_SECONDARY_VNIC INSTANCE_DETACH_SECONDARY_VNIC INSTANCE_MOVE",
    ),
    "objectstorage-namespaces": ("", "OBJECTSTORAGE_NAMESPACE_READ", "", "OBJECTSTORAGE_NAMESPACE_UPDATE"),
    "compartments": (
        "COMPARTMENT_INSPECT",
        "",
        "COMPARTMENT_UPDATE",
        "COMPARTMENT_CREATE COMPARTMENT_DELETE COMPARTMENT_RECOVER",
    ),
    "tenancies": ("TENANCY_INSPECT", "", "TENANCY_UPDATE", ""),
    "dynamic-groups": (
        "DYNAMIC_GROUP_INSPECT",
        "",
        "DYNAMIC_GROUP_UPDATE",
        "DYNAMIC_GROUP_CREATE DYNAMIC_GROUP_DELETE",
    ),
    "domains": ("DOMAIN_INSPECT", "DOMAIN_READ", "DOMAIN_UPDATE", "DOMAIN_CREATE DOMAIN_DELETE"),
    "policies": ("", "POLICY_READ", "", "POLICY_CREATE POLICY_DELETE POLICY_UPDATE"),
}
_NETWORK = (
    "private-ips",
    "vnics",
    "vnic-attachments",
    "subnets",
    "vcns",
    "route-tables",
    "network-security-groups",
    "security-lists",
    "public-ips",
    "ipv6s",
)
_FAMILIES: dict[str, tuple[str, ...]] = {
    "virtual-network-family": _NETWORK,
    "instance-family": ("instances",),
    "all-resources": tuple(_RESOURCES),
}
# What the aggregate grants beyond its members.
_FAMILY_EXTRAS: dict[str, tuple[str, str, str, str]] = {
    "instance-family": ("VNIC_READ VNIC_ATTACHMENT_READ", "", "VNIC_ATTACH VNIC_DETACH", ""),
}
_KNOWN_PERMISSIONS = frozenset(" ".join(text for row in _RESOURCES.values() for text in row).split())


class PolicyError(ValueError):
    """A statement or a matching rule that the service would not take."""


@dataclass(frozen=True)
class Test:
    """`variable = 'value'` or `variable != 'value'`; with no value: the variable is there at all."""

    variable: str
    equal: bool
    value: str | None

    def holds(self, variables: Mapping[str, str]) -> bool:
        """A variable that the request does not have makes every test on it false, `!=` included, as in OCI."""
        actual = variables.get(self.variable)
        if actual is None:
            return False
        return self.value is None or (actual.lower() == self.value.lower()) is self.equal


@dataclass(frozen=True)
class Every:
    parts: tuple[Condition, ...]

    def holds(self, variables: Mapping[str, str]) -> bool:
        return all(p.holds(variables) for p in self.parts)


@dataclass(frozen=True)
class Some:
    parts: tuple[Condition, ...]

    def holds(self, variables: Mapping[str, str]) -> bool:
        return any(p.holds(variables) for p in self.parts)


Condition = Test | Every | Some


class Group(NamedTuple):
    """A dynamic group as statements can name it: by its OCID, or by its name in an identity domain."""

    id: str
    name: str
    domain: str = DEFAULT_DOMAIN


@dataclass(frozen=True)
class Statement:
    """A parsed policy statement.

    `subject` is the OCID or the name of a dynamic group, `domain` the identity domain of the name, `permissions` what
    verb and resource type stand for, `scope` the OCID or the name of a compartment (None: the tenancy).
    """

    by: Literal["id", "name"]
    domain: str
    subject: str
    permissions: frozenset[str]
    scope_by: Literal["id", "name", "tenancy"]
    scope: str | None
    condition: Condition | None


def permissions_of(verb: str, resource: str) -> frozenset[str]:
    """The permissions of `verb resource`. Raises PolicyError for a verb or resource type that does not exist."""
    if verb not in VERBS:
        raise PolicyError(f"the verb {verb!r} is not one of {', '.join(VERBS)}")
    rows = [_RESOURCES[r] for r in _FAMILIES.get(resource, (resource,)) if r in _RESOURCES]
    if not rows:
        raise PolicyError(f"the resource-type {resource!r} does not exist")
    if resource in _FAMILY_EXTRAS:
        rows.append(_FAMILY_EXTRAS[resource])
    last = VERBS.index(verb)
    return frozenset(" ".join(text for row in rows for text in row[: last + 1]).split())


_TOKEN = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)"|(!=|[{}=,/])|([^\s'"{}=,/!]+))""")


class _Tokens:
    """The words of a statement. Quoted strings are kept apart from words, so that 'any' in quotes is only a string."""

    def __init__(self, text: str) -> None:
        self._items: list[tuple[Literal["string", "word", "mark"], str]] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                raise PolicyError(f"cannot parse {text[position:].strip()!r}")
            single, double, mark, word = match.groups()
            if mark is not None:
                self._items.append(("mark", mark))
            elif word is not None:
                self._items.append(("word", word))
            else:
                self._items.append(("string", single if single is not None else double))
            position = match.end()
        self._next = 0

    def at(self, *values: str) -> bool:
        """Whether the next token is one of these words or marks. Words are compared without case."""
        return not self.done and self._items[self._next][0] != "string" and self._items[self._next][1].lower() in values

    @property
    def done(self) -> bool:
        return self._next == len(self._items)

    def accept(self, *values: str) -> bool:
        if self.at(*values):
            self._next += 1
            return True
        return False

    def expect(self, *values: str) -> None:
        if not self.accept(*values):
            raise PolicyError(f"expected {' or '.join(repr(v) for v in values)} {self._where()}")

    def take(self, *kinds: str) -> str:
        if self.done or self._items[self._next][0] not in kinds:
            raise PolicyError(f"expected a {' or '.join(kinds)} {self._where()}")
        self._next += 1
        return self._items[self._next - 1][1]

    def finish(self) -> None:
        if not self.done:
            raise PolicyError(f"unexpected text {self._where()}")

    def _where(self) -> str:
        return "at the end" if self.done else f"at {self._items[self._next][1]!r}"


def _condition(tokens: _Tokens, known: re.Pattern[str]) -> Condition:
    if tokens.at("any", "all"):
        kind = tokens.take("word").lower()
        tokens.expect("{")
        parts = [_condition(tokens, known)]
        while tokens.accept(","):
            parts.append(_condition(tokens, known))
        tokens.expect("}")
        return Some(tuple(parts)) if kind == "any" else Every(tuple(parts))
    variable = tokens.take("word").lower()
    if not known.fullmatch(variable):
        raise PolicyError(f"the variable {variable!r} does not exist")
    if variable.startswith("tag.") and not tokens.at("=", "!="):
        return Test(variable, True, None)
    equal = not tokens.at("!=")
    tokens.expect("=", "!=")
    return Test(variable, equal, tokens.take("string"))


_RULE_VARIABLES = re.compile(
    r"instance\.id|instance\.compartment\.id|resource\.id|resource\.type|resource\.compartment\.id|tag\.[^.]+\.[^.]+\.value"
)
_POLICY_VARIABLES = re.compile(r"(request|target)\.[a-z0-9_.-]+")


@lru_cache
def parse_rule(text: str) -> Condition:
    """A dynamic group's matching rule. Several conditions must stand in ANY {...} or ALL {...}. Raises PolicyError."""
    tokens = _Tokens(text)
    condition = _condition(tokens, _RULE_VARIABLES)
    tokens.finish()
    return condition


@lru_cache
def parse_statement(text: str) -> Statement:
    """`allow dynamic-group … to … in … [where …]`. Raises PolicyError with what was expected where."""
    tokens = _Tokens(text)
    tokens.expect("allow")
    tokens.expect("dynamic-group")
    by: Literal["id", "name"] = "name"
    domain = DEFAULT_DOMAIN
    if tokens.accept("id"):
        by, subject = "id", tokens.take("word")
    else:
        subject = tokens.take("word", "string")
        if tokens.accept("/"):
            if subject.lower() not in (d.lower() for d in DOMAINS):
                raise PolicyError(f"the identity domain {subject!r} does not exist")
            domain, subject = subject, tokens.take("word", "string")
    tokens.expect("to")
    permissions = _grant(tokens)
    tokens.expect("in")
    scope_by: Literal["id", "name", "tenancy"] = "tenancy"
    scope = None
    if not tokens.accept("tenancy"):
        tokens.expect("compartment")
        scope_by = "id" if tokens.accept("id") else "name"
        scope = tokens.take("word", "string")
    condition = _condition(tokens, _POLICY_VARIABLES) if tokens.accept("where") else None
    tokens.finish()
    return Statement(by, domain, subject, permissions, scope_by, scope, condition)


def _grant(tokens: _Tokens) -> frozenset[str]:
    if not tokens.accept("{"):
        verb = tokens.take("word").lower()
        return permissions_of(verb, tokens.take("word").lower())
    permissions = {tokens.take("word").upper()}
    while tokens.accept(","):
        permissions.add(tokens.take("word").upper())
    tokens.expect("}")
    unknown = sorted(permissions - _KNOWN_PERMISSIONS)
    if unknown:
        raise PolicyError(f"the permission {unknown[0]!r} does not exist")
    return frozenset(permissions)


@dataclass(frozen=True)
class Request:
    """What is asked for: one permission on something in a compartment.

    `groups` are the caller's dynamic groups, `compartments` the OCIDs and names of the target's
    compartment and of those above it, the tenancy included; `variables` are the request's, without the permission.
    """

    permission: str
    groups: frozenset[Group]
    compartments: tuple[tuple[str, str], ...]
    variables: Mapping[str, str]


def concerns(statement: Statement, group: Group) -> bool:
    """Whether the group is the statement's subject."""
    if statement.by == "id":
        return group.id.lower() == statement.subject.lower()
    wanted = statement.domain.lower(), statement.subject.lower()
    return (group.domain.lower(), group.name.lower()) == wanted


def allows(statement: Statement, request: Request) -> bool:
    """Whether this one statement grants the permission that the request needs."""
    if request.permission not in statement.permissions:
        return False
    if not any(concerns(statement, group) for group in request.groups):
        return False
    if statement.scope is not None:
        scope = statement.scope.lower()
        if not any((c[0] if statement.scope_by == "id" else c[1]).lower() == scope for c in request.compartments):
            return False
    variables = {**request.variables, "request.permission": request.permission}
    return statement.condition is None or statement.condition.holds(variables)


def permitted(statements: Sequence[Statement], request: Request) -> bool:
    """Whether any statement grants it. Nothing is granted by default."""
    return any(allows(s, request) for s in statements)

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What a user writes in ``cloudvip_checks``, checked and completed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ._problems import NAME, NAME_EXPECTED, Problems, check_choice, given_values, whole

HOST = re.compile(r"[A-Za-z0-9.:_-]+")
# It stands unquoted in keepalived.conf.
PROGRAM = re.compile(r"[A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class _Key:
    """A key of a check.

    :param parse: returns the value, None for one that is not usable
    :param default: None where the key is required
    """

    parse: Callable[[object], int | str | None]
    expectation: str
    default: int | str | None = None


def _number(low: int, high: int, default: int | None = None) -> _Key:
    return _Key(lambda value: whole(value, low, high), f"a whole number from {low} to {high}", default)


def _matching(pattern: re.Pattern[str]) -> Callable[[object], str | None]:
    return lambda value: value if isinstance(value, str) and pattern.fullmatch(value) else None


def _url(value: object) -> str | None:
    if not isinstance(value, str) or re.search(r"[^!-~]", value):
        return None
    try:
        parts = urlsplit(value)
        usable = parts.scheme == "http" and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:
        return None
    return value if usable else None


def _command(value: object) -> str | None:
    if not isinstance(value, str) or not value.startswith("/"):
        return None
    try:
        shlex.split(value)
    except ValueError:
        return None
    return value


# keepalived counts in whole seconds.
_OF_ALL = {
    "interval": _number(1, 3600, 2),
    "timeout": _number(1, 3600, 1),
    "fall": _number(1, 255, 2),
    "rise": _number(1, 255, 2),
}
_OF_TYPE: Mapping[str, Mapping[str, _Key]] = {
    "tcp": {
        "port": _number(1, 65535),
        "host": _Key(_matching(HOST), "a host name or an IP address", "127.0.0.1"),
    },
    "http": {
        "url": _Key(_url, "a URL that begins with http://, such as http://127.0.0.1:8080/health"),
        "status": _number(100, 599, 200),
    },
    "process": {"process": _Key(_matching(PROGRAM), "the name of an executable, without its path")},
    "script": {"command": _Key(_command, "the absolute path of a program, with its arguments in the same text")},
}
_TYPES = dict.fromkeys(_OF_TYPE, True)


def parse_checks(raw: object, problems: Problems) -> list[dict[str, Any]]:
    """Return the usable checks with their defaults filled in; name every problem of the others."""
    if not isinstance(raw, (list, tuple)):
        problems.add("cloudvip_checks", raw, "a list of checks, each with name and type")
        return []
    labels: dict[str, str] = {}
    checks = []
    for index, entry in enumerate(raw):
        label = f"cloudvip_checks[{index}]"
        check = _parse_check(entry, label, problems)
        if check is None:
            continue
        name = check["name"]
        label = f"{label} ({name})"
        if labels.setdefault(name, label) != label:
            problems.add(f"{label}.name", name, f"a name of its own: {labels[name]} has this one")
        checks.append(check)
    return checks


def _parse_check(entry: object, label: str, problems: Problems) -> dict[str, Any] | None:
    if not isinstance(entry, Mapping):
        problems.add(label, entry, "a mapping with the keys name and type")
        return None
    before = len(problems.messages)
    kind: Any = entry.get("type")
    check_choice(f"{label}.type", kind, _TYPES, problems)
    if len(problems.messages) > before:
        return None
    known = {**_OF_ALL, **_OF_TYPE[kind]}
    required = ("name", *(key for key, option in known.items() if option.default is None))
    label, given = given_values(entry, label, ("name", "type", *known), required, problems)
    name = given.get("name")
    if name is not None and not (isinstance(name, str) and NAME.fullmatch(name)):
        problems.add(f"{label}.name", name, NAME_EXPECTED)
    check: dict[str, Any] = {"name": name, "type": kind}
    for key, option in known.items():
        value = given.get(key, option.default)
        check[key] = None if value is None else option.parse(value)
        if value is not None and check[key] is None:
            problems.add(f"{label}.{key}", value, option.expectation)
    if len(problems.messages) == before and check["timeout"] > check["interval"]:
        problems.add(f"{label}.timeout", check["timeout"], f"at most the interval, {check['interval']}")
    return check if len(problems.messages) == before else None

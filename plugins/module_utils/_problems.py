# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What is wrong with an inventory, collected and worded the same everywhere."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Names become part of cluster resource ids (NCName) and of file names under /run.
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
NAME_EXPECTED = "a lower-case letter, then up to 31 lower-case letters, digits or '-'"
PLACEHOLDER = re.compile(r"(change|replace)[_-]?me|^<[^<>]+>$", re.IGNORECASE)


class Problems:
    """Everything that is wrong, so that a user sees it all at once."""

    def __init__(self) -> None:
        """Start with nothing wrong."""
        self.messages: list[str] = []

    def add(self, variable: str, value: object, expectation: str) -> None:
        """Name the variable, its value and what was expected instead."""
        message = f"{variable} = {value!r}: expected {expectation}"
        if message not in self.messages:
            self.messages.append(message)


def suggest(word: object, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, as the end of an expectation."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def whole(value: object, low: int, high: int) -> int | None:
    """Return the value as a number; None if it is none, or out of bounds. Templates make texts of numbers."""
    text = str(value)
    if not text.isdecimal() or not low <= int(text) <= high:
        return None
    return int(text)


def check_choice(variable: str, value: object, choices: Mapping[str, bool], problems: Problems) -> None:
    """Refuse what is no choice.

    :param choices: name -> whether it is available
    """
    available = [name for name, built in choices.items() if built]
    if value in available:
        return
    if value in list(choices):
        problems.add(variable, value, f"{' or '.join(available)}: '{value}' is not available yet")
    else:
        problems.add(variable, value, f"{' or '.join(available)}{suggest(value, choices)}")


def check_placeholders(values: object, problems: Problems, path: str = "") -> None:
    """Refuse the placeholders of the example inventory, however deep they are."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            check_placeholders(value, problems, f"{path}.{key}" if path else str(key))
    elif isinstance(values, (list, tuple)):
        for index, value in enumerate(values):
            check_placeholders(value, problems, f"{path}[{index}]")
    elif isinstance(values, str) and PLACEHOLDER.search(values):
        problems.add(path, values, "a value of your own in place of the example's placeholder")


def check_keys(
    entry: Mapping[Any, Any], label: str, keys: Sequence[str], required: Sequence[str], problems: Problems
) -> None:
    """Refuse the keys that there are not, and the lack of those that there must be."""
    for key in entry:
        if key not in keys:
            expectation = f"no such key{suggest(key, keys)}; known are {', '.join(keys)}"
            problems.add(f"{label}.{key}", entry[key], expectation)
    for key in required:
        if entry.get(key) is None:
            problems.add(f"{label}.{key}", None, "a value: the key is required")


def given_values(
    entry: Mapping[Any, Any], label: str, keys: Sequence[str], required: Sequence[str], problems: Problems
) -> tuple[str, dict[str, Any]]:
    """Check the keys of a list's entry. Return its label, with its name, and what there is to be checked further."""
    check_keys(entry, label, keys, required, problems)
    given = {key: value for key, value in entry.items() if key in keys and value is not None}
    if isinstance(given.get("name"), str):
        label = f"{label} ({given['name']})"
    for key in list(given):
        known = len(problems.messages)
        check_placeholders(given[key], problems, f"{label}.{key}")
        # A placeholder is one problem; that it is no address either is not another.
        if len(problems.messages) > known:
            del given[key]
    return label, given

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter of the role ``firewall``; its documentation stands beside this file."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any


def rich_rules(policy: str) -> list[str]:
    """Return the rules of firewalld's policy file in the language in which firewall-cmd knows them."""
    return [" ".join(_words(rule)) for rule in ET.fromstring(policy).iterfind("rule")]


def _words(element: ET.Element) -> list[str]:
    own = [element.tag, *(f'{key}="{value}"' for key, value in element.attrib.items())]
    return [*own, *(word for child in element for word in _words(child))]


class FilterModule:
    """What Ansible looks for in a filter file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {"rich_rules": rich_rules}

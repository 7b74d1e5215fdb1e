# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The source/destination check of VNICs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Vnic:
    """A VNIC of the cloud. With `skip_source_dest_check` it may forward: other sources and destinations pass."""

    id: str
    subnet_id: str
    display_name: str
    skip_source_dest_check: bool


@dataclass(frozen=True)
class Plan:
    """The VNICs to change, and how those asked for look before and after, by OCID."""

    actions: tuple[Vnic, ...]
    before: Mapping[str, Mapping[str, Any]]
    after: Mapping[str, Mapping[str, Any]]


def plan(skip_source_dest_check: bool, vnics: Iterable[Vnic]) -> Plan:
    """Compare what is wanted of the VNICs with what they are."""
    vnics = tuple(vnics)
    return Plan(
        actions=tuple(v for v in vnics if v.skip_source_dest_check != skip_source_dest_check),
        before={v.id: {"skip_source_dest_check": v.skip_source_dest_check} for v in vnics},
        after={v.id: {"skip_source_dest_check": skip_source_dest_check} for v in vnics},
    )

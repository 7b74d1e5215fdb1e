# SPDX-License-Identifier: GPL-3.0-or-later
"""A node without a firewall is left as open as it was."""

from __future__ import annotations

from collections.abc import Callable

WAYS = {"udp 5404", "udp 5405", "tcp 2224", "vrrp"}


def test_everybody_gets_in(from_stranger: Callable[..., set[str]]) -> None:
    assert from_stranger(*WAYS) == WAYS

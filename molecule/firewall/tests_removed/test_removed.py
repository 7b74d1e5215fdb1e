# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role has opened is shut again, and the node's own rules still let in SSH, by which the node is asked."""

from __future__ import annotations

from collections.abc import Callable

PORTS = ["udp 5405", "udp 5412", "tcp 2224"]


def test_a_peer_does_not_get_in_any_more(from_peer: Callable[..., set[str]]) -> None:
    assert from_peer(*PORTS) == set()


def test_nor_by_vrrp(one_way: Callable[..., set[str]]) -> None:
    assert one_way("vrrp") == set()


def test_nor_does_a_stranger(from_stranger: Callable[..., set[str]]) -> None:
    assert from_stranger(*PORTS, "vrrp") == set()

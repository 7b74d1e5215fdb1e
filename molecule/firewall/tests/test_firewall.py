# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers get in by what their engine needs and by nothing else, strangers by none of it."""

from __future__ import annotations

import os
from collections.abc import Callable

ENGINE = os.environ.get("CLOUDVIP_ENGINE", "pacemaker")
NEEDED = {"pacemaker": {"udp 5405", "udp 5412"}, "keepalived": {"vrrp"}}[ENGINE]
# The last one is that of pcsd, which the cluster does not need.
PORTS = ["udp 5404", "udp 5405", "udp 5412", "udp 5413", "tcp 2224"]


def test_a_peer_gets_in_by_the_engine_s_ports_alone(from_peer: Callable[..., set[str]]) -> None:
    assert from_peer(*PORTS) == NEEDED & {*PORTS}


def test_a_peer_gets_in_by_vrrp_if_the_engine_speaks_it(one_way: Callable[..., set[str]]) -> None:
    assert one_way("vrrp") == NEEDED & {"vrrp"}


def test_a_stranger_does_not_get_in(from_stranger: Callable[..., set[str]]) -> None:
    assert from_stranger(*PORTS, "vrrp") == set()

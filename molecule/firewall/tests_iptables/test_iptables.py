# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that the image came with keep their force."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from testinfra.host import Host

ROOT, NOBODY = 0, 65534
# Where OCI has the volume that an instance boots from.
VOLUMES = ("169.254.0.2", 3260)


@pytest.mark.parametrize(("user", "allowed"), [(ROOT, True), (NOBODY, False)])
def test_the_way_to_the_volumes_is_open_to_root_alone(
    lets_out: Callable[[int, str, int], bool], user: int, allowed: bool
) -> None:
    assert lets_out(user, *VOLUMES) == allowed


@pytest.mark.parametrize("chain", ["INPUT", "FORWARD"])
def test_what_refuses_everything_comes_last(host: Host, chain: str) -> None:
    *_, last = host.check_output("iptables --list-rules %s", chain).splitlines()
    assert last == f"-A {chain} -j REJECT --reject-with icmp-host-prohibited"

# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes with rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.roles.firewall.hosts import Host


@pytest.fixture(params=["iptables", "iptables-legacy", "nftables"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    """A node whose rules let in SSH only."""
    provider, _, program = request.param.partition("-")
    with Host(tmp_path, provider, program or "nft").make() as found:
        yield found

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios' tests share: the cloud as its administrator sees it, and the node as its kernel does."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

from lab.control import Control, Status


@pytest.fixture
def cloud() -> Status:
    """The nodes, and where the cloud delivers the VIPs."""
    return Control().status()


@pytest.fixture
def vips(cloud: Status) -> set[str]:
    """The VIPs' addresses."""
    assert cloud.floating, "expected a VIP in the cloud"
    return {vip.address for vip in cloud.floating}


@pytest.fixture
def holder(cloud: Status) -> str | None:
    """The node that the cloud delivers the VIPs to."""
    holders = {cloud.holder(vip) for vip in cloud.floating}
    assert len(holders) == 1, f"expected one holder of all VIPs: {holders}"
    return holders.pop()


@pytest.fixture
def name(host: Host) -> str:
    """The node's name."""
    return str(host.check_output("hostname"))


@pytest.fixture
def addresses(host: Host) -> set[str]:
    """The addresses on the node's interfaces."""
    said = json.loads(host.check_output("ip -json address"))
    return {address["local"] for interface in said for address in interface["addr_info"]}

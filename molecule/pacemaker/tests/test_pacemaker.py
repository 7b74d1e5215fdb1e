# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of Pacemaker's: it starts with the nodes, strangers do not get in, and nothing in it has failed."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from testinfra.host import Host

from lab.control import Status


@pytest.fixture
def monitor(host: Host) -> ElementTree.Element:
    """The cluster as this node sees it."""
    return ElementTree.fromstring(host.check_output("crm_mon --one-shot --output-as=xml"))


def test_it_runs_and_starts_with_the_node(host: Host) -> None:
    assert host.service("corosync").is_running
    assert host.service("pacemaker").is_running
    # Which takes corosync with it.
    assert host.service("pacemaker").is_enabled


def test_all_nodes_are_members(monitor: ElementTree.Element, cloud: Status) -> None:
    online = {node.get("name") for node in monitor.findall("nodes/node") if node.get("online") == "true"}
    assert online == {node.name for node in cloud.nodes}


def test_what_the_nodes_say_to_each_other_is_encrypted(host: Host) -> None:
    assert host.check_output("corosync-cmapctl -g totem.crypto_cipher").endswith("= aes256")


def test_only_root_reads_the_key(host: Host) -> None:
    key = host.file("/etc/corosync/authkey")
    assert (key.user, key.group, key.mode, key.size) == ("root", "root", 0o400, 256)


def test_the_group_runs_where_the_cloud_delivers_its_vips(monitor: ElementTree.Element, holder: str) -> None:
    running = [node.get("name") for node in monitor.findall(".//resource[@id='cloudvip-main']/node")]
    assert running == [holder]


def test_the_group_s_agent_is_ours(host: Host, monitor: ElementTree.Element) -> None:
    (resource,) = monitor.findall(".//resource[@id='cloudvip-main']")
    # Pacemaker 2.0 says ocf::cloudvip:vips.
    assert str(resource.get("resource_agent")).split(":")[-2:] == ["cloudvip", "vips"]
    assert host.file("/usr/lib/ocf/resource.d/cloudvip/vips").mode == 0o755


def test_nothing_has_failed(monitor: ElementTree.Element) -> None:
    assert monitor.findall("failures/failure") == []

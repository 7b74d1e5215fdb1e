# SPDX-License-Identifier: GPL-3.0-or-later
"""What every node needs: it knows its peers by name, forwards if it is a router, and has what the other roles use."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from lab.control import Status


@pytest.fixture
def interface(cloud: Status, name: str) -> str:
    """The interface of the node's VNIC."""
    (vnic,) = cloud.node(name).vnics
    return vnic.interface


def resolved(host: Host, name: str) -> str:
    """The address of a name, without asking DNS, which the lab has too."""
    return str(host.check_output("getent --service=files hosts %s", name)).split()[0]


def test_the_nodes_know_each_other_by_name(host: Host, cloud: Status) -> None:
    known = {node.name: resolved(host, node.name) for node in cloud.nodes}
    assert known == {node.name: node.vnics[0].address for node in cloud.nodes}


def test_names_of_others_stay(host: Host) -> None:
    assert resolved(host, "ns.example.com") == "192.0.2.53"


def test_it_forwards(host: Host) -> None:
    assert host.sysctl("net.ipv4.ip_forward") == 1


def test_answers_may_leave_by_another_interface(host: Host, interface: str) -> None:
    # The kernel takes the greater one. 1 is strict, 2 is loose.
    assert max(host.sysctl(f"net.ipv4.conf.{where}.rp_filter") for where in ("all", interface)) == 2


def test_it_sends_nobody_past_itself(host: Host, interface: str) -> None:
    # One of them is enough for a redirect.
    assert [host.sysctl(f"net.ipv4.conf.{where}.send_redirects") for where in ("all", interface)] == [0, 0]


@pytest.mark.parametrize("program", ["ip", "openssl", "sysctl"])
def test_what_the_other_roles_use_is_there(host: Host, program: str) -> None:
    assert host.exists(program)


def test_the_clock_is_left_to_whom_it_was_left_to(host: Host) -> None:
    # The lab's inventory has node_time_sync: false.
    assert not host.exists("chronyd")

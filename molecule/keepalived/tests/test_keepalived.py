# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of keepalived's: its master is who the cloud delivers to, and no check runs as root."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from lab import engines
from lab.control import Status
from lab.shell import exec_in


@pytest.mark.parametrize("service", ["keepalived", "cloudvip-vrrp"])
def test_it_runs(host: Host, service: str) -> None:
    assert host.service(service).is_running


def test_it_starts_with_the_node(host: Host) -> None:
    # Which wants its consumer.
    assert host.service("keepalived").is_enabled


def test_the_master_is_who_the_cloud_delivers_to(cloud: Status, holder: str) -> None:
    keepalived = engines.Keepalived(exec_in)
    states = {node.name: keepalived.states(node.name) for node in cloud.nodes}
    assert states == {node.name: {"main": "MASTER" if node.name == holder else "BACKUP"} for node in cloud.nodes}


def test_it_is_content_with_its_configuration(host: Host) -> None:
    assert host.run("sh -c 'trap \"\" TERM; exec keepalived --config-test'").rc == 0


def test_checks_run_as_a_user_without_a_shell(host: Host) -> None:
    user = host.user("keepalived_script")
    assert user.uid != 0
    assert user.shell.endswith(("/nologin", "/false"))


def test_its_consumer_may_change_addresses_and_no_more(host: Host) -> None:
    pid = host.check_output("systemctl show --property=MainPID --value cloudvip-vrrp")
    status = host.file(f"/proc/{pid}/status").content_string
    cap_net_admin = 1 << 12
    (bounding,) = [line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")]
    assert int(bounding, 16) == cap_net_admin

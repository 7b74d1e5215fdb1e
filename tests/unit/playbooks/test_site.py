# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook refuses before it makes any connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.interpreter import ROOT
from tests.unit.playing import play

HOSTS = """
cloudvip:
  children:
    web:
      hosts: {hosts}
      vars:
        # A connection that is tried fails the test: nobody listens there.
        ansible_port: 1
        cloudvip_vips: {vips}
"""


def refusal(folder: Path, inventory: Path, *arguments: str, **variables: Any) -> str:
    """What site.yml prints; it must fail, and without a connection."""
    played = play(folder, ROOT / "site.yml", inventory, *arguments, **variables)
    assert played.returncode == 2, played.output
    assert "UNREACHABLE" not in played.output
    assert "unreachable=1" not in played.output
    return played.output


def inventory(path: Path, hosts: str = "{a: {}, b: {}}", vips: str = "[]") -> Path:
    file = path / "hosts.yml"
    file.write_text(HOSTS.format(hosts=hosts, vips=vips))
    return file


def test_the_example_s_placeholders_are_refused(tmp_path: Path) -> None:
    output = refusal(tmp_path, ROOT / "inventory/prod")

    for variable, value in (
        ("ansible_host.vr1", "CHANGE_ME_ADDRESS_OF_VR1"),
        ("ansible_host.vr3", "CHANGE_ME_ADDRESS_OF_VR3"),
        ("cloudvip_vips[0] (transit).address", "CHANGE_ME_TRANSIT_ADDRESS"),
        ("cloudvip_vips[2] (pod2).address", "CHANGE_ME_POD2_ADDRESS"),
    ):
        assert f"{variable} = '{value}': expected a value of your own" in output


@pytest.mark.parametrize(
    ("hosts", "vips", "problem"),
    [
        ("{a: {}}", "[{name: x, address: 192.0.2.4, prefix: 24}]", "cloudvip_nodes = ['a']: expected 2 to 16 nodes"),
        ("{a: {}, b: {}}", "[{name: x, adress: 192.0.2.4, prefix: 24}]", "did you mean 'address'?"),
        ("{a: {}, b: {}}", "[{name: x, address: 192.0.2.4, prefix: 24, state: off}]", "expected present or absent"),
        ("{a: {}, b: {}}", "[]", "cloudvip_vips = []: expected at least one VIP"),
    ],
)
def test_bad_input_is_refused(tmp_path: Path, hosts: str, vips: str, problem: str) -> None:
    assert problem in refusal(tmp_path, inventory(tmp_path, hosts, vips))


def test_a_part_of_a_cluster_is_refused(tmp_path: Path) -> None:
    vips = "[{name: x, address: 192.0.2.4, prefix: 24}]"

    assert "Run without --limit" in refusal(tmp_path, inventory(tmp_path, vips=vips), "--limit", "b")


def test_a_cloud_that_is_not_available_yet_is_refused(tmp_path: Path) -> None:
    vips = "[{name: x, address: 192.0.2.4, prefix: 24}]"

    output = refusal(tmp_path, inventory(tmp_path, vips=vips), cloudvip_cloud="openstack")

    assert "cloudvip_cloud = 'openstack': expected oci: 'openstack' is not available yet" in output


def test_checks_and_virtual_routers_are_looked_at(tmp_path: Path) -> None:
    vips = "[{name: x, address: 192.0.2.4, prefix: 24}, {name: y, address: 192.0.2.5, prefix: 24, group: b}]"
    extra = {
        "cloudvip_engine": "keepalived",
        "cloudvip_checks": [{"name": "web", "type": "tcp", "port": 0, "host": "CHANGE_ME"}],
        "cloudvip_virtual_router_ids": {"maan": 1, "main": 7, "b": 7},
    }

    output = refusal(tmp_path, inventory(tmp_path, vips=vips), **extra)

    assert "cloudvip_checks[0] (web).port = 0: expected a whole number" in output
    assert "cloudvip_checks[0] (web).host = 'CHANGE_ME': expected a value of your own" in output
    assert "cloudvip_checks[0].host = 'CHANGE_ME'" not in output
    assert "cloudvip_virtual_router_ids.maan = 1: expected one of the groups main, b" in output
    assert "cloudvip_virtual_router_ids.b = 7: expected an id of its own: group 'main' has this one" in output


def test_nodes_that_disagree_about_their_cluster_are_refused(tmp_path: Path) -> None:
    vips = "[{name: x, address: 192.0.2.4, prefix: 24}]"
    other = "[{name: x, address: '192.0.2.{{ 2 + 3 }}', prefix: 24}]"
    hosts = f"{{a: {{}}, b: {{cloudvip_vips: {other}, cloudvip_profile: fast}}}}"

    output = refusal(tmp_path, inventory(tmp_path, hosts, vips))

    assert "cloudvip_vips (x).address of b = '192.0.2.5': expected '192.0.2.4' as on a" in output
    assert "cloudvip_profile of b = 'fast': expected None as on a" in output

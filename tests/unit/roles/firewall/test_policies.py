# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall's policies: peers only, and forwarding for routers only."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parents[4] / "roles/firewall/templates"


def rendered(name: str, router: bool = True) -> ET.Element:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), trim_blocks=True, undefined=StrictUndefined)
    environment.filters["comment"] = lambda text, _style: f"<!-- {text} -->"
    addresses = {"vr1": "192.0.2.11", "vr2": "192.0.2.12", "vr3": "192.0.2.13"}
    text = environment.get_template(f"{name}.xml.j2").render(
        ansible_managed="managed",
        inventory_hostname="vr2",
        firewall_model={"nodes": list(addresses), "addresses": addresses, "router": router},
    )
    return ET.fromstring(text)


def test_corosync_is_open_to_the_peers_only() -> None:
    policy = rendered("cloudvip-peers")

    assert [source.get("address") for source in policy.iterfind("rule/source")] == ["192.0.2.11", "192.0.2.13"]
    assert {(port.get("port"), port.get("protocol")) for port in policy.iterfind("rule/port")} == {("5405-5412", "udp")}
    assert all(rule.find("accept") is not None for rule in policy.iterfind("rule"))


def test_the_policies_come_before_the_zones_and_leave_the_rest_to_them() -> None:
    policy = rendered("cloudvip-peers")

    assert int(policy.attrib["priority"]) < 0
    assert policy.attrib["target"] == "CONTINUE"
    assert [zone.get("name") for zone in (*policy.iterfind("ingress-zone"), *policy.iterfind("egress-zone"))] == [
        "ANY",
        "HOST",
    ]


@pytest.mark.parametrize(("router", "target"), [(True, "ACCEPT"), (False, "CONTINUE")])
def test_only_a_router_forwards(router: bool, target: str) -> None:
    policy = rendered("cloudvip-forward", router)

    assert policy.attrib["target"] == target
    assert int(policy.attrib["priority"]) < 0

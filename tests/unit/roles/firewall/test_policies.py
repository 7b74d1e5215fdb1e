# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall's policies: peers only, what the engines need only, and forwarding for routers only."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.nativetypes import NativeEnvironment

ROLE = Path(__file__).parents[4] / "roles/firewall"
TEMPLATES = ROLE / "templates"
COROSYNC = ("port", {"port": "5405-5412", "protocol": "udp"})
VRRP = ("protocol", {"value": "vrrp"})


def rendered(name: str, router: bool = True, engines: tuple[str, ...] = ("pacemaker",)) -> ET.Element:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), trim_blocks=True, undefined=StrictUndefined)
    environment.filters["comment"] = lambda text, _style: f"<!-- {text} -->"
    addresses = {"vr1": "192.0.2.11", "vr2": "192.0.2.12", "vr3": "192.0.2.13"}
    text = environment.get_template(f"{name}.xml.j2").render(
        ansible_managed="managed",
        inventory_hostname="vr2",
        firewall_model={"nodes": list(addresses), "addresses": addresses, "router": router},
        __firewall_engines=list(engines),
    )
    return ET.fromstring(text)


@pytest.mark.parametrize(
    ("engines", "needed"),
    [
        (("pacemaker",), [COROSYNC]),
        (("keepalived",), [VRRP]),
        (("keepalived", "pacemaker"), [COROSYNC, VRRP]),
    ],
)
def test_what_the_engine_needs_is_open_to_the_peers_only(
    engines: tuple[str, ...], needed: list[tuple[str, dict[str, str]]]
) -> None:
    rules = list(rendered("cloudvip-peers", engines=engines).iterfind("rule"))

    opened = [(source.get("address"), what.tag, what.attrib) for source, what, _ in rules]
    assert opened == [(peer, *what) for peer in ("192.0.2.11", "192.0.2.13") for what in needed]
    assert {accept.tag for _, _, accept in rules} == {"accept"}


@pytest.mark.parametrize(
    ("engine", "running", "engines"),
    [
        ("keepalived", ["inactive", "inactive"], ["keepalived"]),
        ("keepalived", ["inactive", "active"], ["keepalived"]),
        ("keepalived", ["active", "inactive"], ["keepalived", "pacemaker"]),
        ("pacemaker", ["active", "active"], ["pacemaker", "keepalived"]),
        ("pacemaker", ["failed", "unknown"], ["pacemaker"]),
    ],
)
def test_an_engine_that_still_runs_is_not_shut_out(engine: str, running: list[str], engines: list[str]) -> None:
    environment = NativeEnvironment(undefined=StrictUndefined)
    environment.filters["zip"] = zip
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))

    found = environment.from_string(variables["__firewall_engines"]).render(
        firewall_model={"engine": engine}, __firewall_running={"stdout_lines": running}
    )

    assert list(found) == engines


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

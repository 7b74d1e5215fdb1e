# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall's policies: peers only, what the engines need only, and forwarding for routers only."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from ansible_collections.cloudvip.ha.plugins.filter.firewall import rich_rules
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.nativetypes import NativeEnvironment

ROLE = Path(__file__).parents[4] / "roles/firewall"
TEMPLATES = ROLE / "templates"
COROSYNC = ("port", {"port": "5405-5412", "protocol": "udp"})
VRRP = ("protocol", {"value": "vrrp"})


def rendered(name: str, router: bool = True, engines: tuple[str, ...] = ("pacemaker",)) -> ET.Element:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), trim_blocks=True, undefined=StrictUndefined)
    environment.filters["comment"] = lambda text, _style: f"<!-- {text} -->"
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))
    text = environment.get_template(f"{name}.xml.j2").render(
        ansible_managed="managed",
        firewall_model={"router": router},
        __firewall_peers=["192.0.2.11", "2001:db8::13"],
        __firewall_services=[what for engine, what in variables["__firewall_needs"].items() if engine in engines],
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
    assert opened == [(peer, *what) for peer in ("192.0.2.11", "2001:db8::13") for what in needed]
    assert {accept.tag for _, _, accept in rules} == {"accept"}
    assert [rule.get("family") for rule in rules] == ["ipv4"] * len(needed) + ["ipv6"] * len(needed)


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


@pytest.mark.parametrize(("router", "rules"), [(True, ['rule priority="-1" accept']), (False, [])])
def test_only_a_router_forwards(router: bool, rules: list[str]) -> None:
    policy = rendered("cloudvip-forward", router)

    assert rich_rules(ET.tostring(policy, "unicode")) == rules
    # What firewalld can change while it runs: the rules of a policy, and neither its target nor its priority.
    assert policy.attrib == rendered("cloudvip-forward", not router).attrib
    assert (policy.attrib["target"], int(policy.attrib["priority"]) < 0) == ("CONTINUE", True)


def test_rules_are_spelled_as_firewall_cmd_lists_them() -> None:
    policy = rendered("cloudvip-peers", engines=("pacemaker", "keepalived"))

    # Copied from firewalld 1.3.3.
    assert rich_rules(ET.tostring(policy, "unicode")) == [
        'rule family="ipv4" source address="192.0.2.11" port port="5405-5412" protocol="udp" accept',
        'rule family="ipv4" source address="192.0.2.11" protocol value="vrrp" accept',
        'rule family="ipv6" source address="2001:db8::13" port port="5405-5412" protocol="udp" accept',
        'rule family="ipv6" source address="2001:db8::13" protocol value="vrrp" accept',
    ]

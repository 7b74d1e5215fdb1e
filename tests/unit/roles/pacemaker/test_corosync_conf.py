# SPDX-License-Identifier: GPL-3.0-or-later
"""The timers and the shape of corosync.conf."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.nativetypes import NativeEnvironment

from tests.unit.roles.fake_nodes import Nodes

ROOT = Path(__file__).parents[4]
ROLE = ROOT / "roles/pacemaker"
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
PROFILES = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__pacemaker_profiles"]


def default(name: str, **inputs: Any) -> Any:
    return NativeEnvironment(undefined=StrictUndefined).from_string(DEFAULTS[name]).render(**inputs)


def rendered(nodes: int, profile: str) -> str:
    names = [f"n{index}" for index in range(1, nodes + 1)]
    token = default("pacemaker_token", __pacemaker_profiles=PROFILES, pacemaker_profile=profile)
    environment = Environment(loader=FileSystemLoader(ROLE / "templates"), trim_blocks=True, undefined=StrictUndefined)
    environment.filters["comment"] = lambda text: f"# {text}"
    return environment.get_template("corosync.conf.j2").render(
        ansible_managed="managed",
        pacemaker_nodes=names,
        pacemaker_model={
            "cluster": "vrouters",
            "addresses": {name: f"192.0.2.{index}" for index, name in enumerate(names, 11)},
        },
        pacemaker_token=token,
        pacemaker_consensus=default("pacemaker_consensus", pacemaker_token=token, pacemaker_nodes=names),
    )


def value(text: str, key: str) -> int:
    (found,) = re.findall(rf"^ *{key}: (\d+)$", text, re.MULTILINE)
    return int(found)


@pytest.mark.parametrize("profile", PROFILES)
def test_two_nodes_agree_faster_than_the_token(profile: str) -> None:
    text = rendered(2, profile)

    # Longer than the join timeout of 50 ms and shorter than the token is what corosync.conf(5) calls safe.
    assert 50 < value(text, "consensus") < value(text, "token")
    assert value(text, "two_node") == 1


@pytest.mark.parametrize("nodes", [3, 16])
@pytest.mark.parametrize("profile", PROFILES)
def test_more_nodes_need_a_consensus_above_the_token(profile: str, nodes: int) -> None:
    text = rendered(nodes, profile)

    assert value(text, "consensus") >= 1.2 * value(text, "token")
    assert "two_node" not in text


@pytest.mark.parametrize("profile", PROFILES)
def test_the_pings_follow_the_token(profile: str) -> None:
    text = rendered(3, profile)

    assert value(text, "knet_ping_interval") * 4 == value(text, "token")
    assert value(text, "knet_ping_timeout") * 2 == value(text, "token")
    assert value(text, "token_coefficient") == 0


def test_the_traffic_is_encrypted() -> None:
    text = rendered(2, "fast")

    assert all(line in text for line in ("transport: knet\n", "crypto_cipher: aes256\n", "crypto_hash: sha256\n"))


def test_each_node_has_its_name_address_and_number() -> None:
    nodes = re.findall(r"node \{\n +name: (\S+)\n +nodeid: (\d+)\n +ring0_addr: (\S+)\n", rendered(3, "fast"))

    assert nodes == [("n1", "1", "192.0.2.11"), ("n2", "2", "192.0.2.12"), ("n3", "3", "192.0.2.13")]


def test_the_braces_match() -> None:
    text = rendered(3, "balanced")

    assert text.count("{") == text.count("}") == 8


def test_ansible_computes_the_timers_too(tmp_path: Path) -> None:
    model = {"cluster": "web", "addresses": {"n1": "192.0.2.11", "n2": "192.0.2.12"}}
    nodes = Nodes(tmp_path, ("n1", "n2"))
    (tmp_path / "n1/etc/corosync").mkdir()
    (tmp_path / "n2/etc/corosync").mkdir()

    good, _, output = nodes.play("pacemaker", "configure", cloudvip_model=model, cloudvip_nodes=["n1", "n2"])

    assert good, output
    text = (tmp_path / "n2/etc/corosync/corosync.conf").read_text()
    timers = ("token", "consensus", "knet_ping_interval", "knet_ping_timeout")
    assert [value(text, timer) for timer in timers] == [2000, 600, 500, 1000]

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
VARS = yaml.safe_load((ROLE / "vars/main.yml").read_text())
PROFILES = VARS["__pacemaker_profiles"]


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
        __pacemaker_ids={name: index * 10 for index, name in enumerate(names, 1)},
        __pacemaker_mark=VARS["__pacemaker_mark"],
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

    assert nodes == [("n1", "10", "192.0.2.11"), ("n2", "20", "192.0.2.12"), ("n3", "30", "192.0.2.13")]


def test_the_braces_match() -> None:
    text = rendered(3, "balanced")

    assert text.count("{") == text.count("}") == 8


NAMES = ("n1", "n2", "n3")
RELOADED = "corosync-cfgtool -R"


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    return Nodes(tmp_path, NAMES)


def configure(nodes: Nodes, *names: str, **variables: Any) -> tuple[int, list[str]]:
    """Configure the cluster of these nodes; what that changed, and who has given the word to reload."""
    addresses = {name: f"192.0.2.{index}" for index, name in enumerate(NAMES, 11)}
    model = {"cluster": "web", "addresses": addresses}
    nodes.names = names
    good, changed, output = nodes.play(
        "pacemaker", "key", "configure", cloudvip_model=model, cloudvip_nodes=list(names), **variables
    )
    assert good, output
    return changed, [call for call in nodes.calls() if call.endswith(RELOADED)]


def conf(nodes: Nodes, name: str) -> Path:
    return nodes.root / name / "etc/corosync/corosync.conf"


def ids(nodes: Nodes) -> list[dict[str, int]]:
    """The node ids that each node has in its file."""
    found = [re.findall(r"name: (\S+)\n +nodeid: (\d+)\n", conf(nodes, name).read_text()) for name in nodes.names]
    return [{name: int(number) for name, number in pairs} for pairs in found]


def test_a_node_keeps_its_id_while_others_come_and_go(nodes: Nodes) -> None:
    configure(nodes, "n1", "n2", "n3")
    assert ids(nodes) == [{"n1": 1, "n2": 2, "n3": 3}] * 3
    assert configure(nodes, "n3", "n1", "n2")[0] == 3
    assert configure(nodes, "n3", "n1", "n2")[0] == 0

    configure(nodes, "n3", "n1")
    assert ids(nodes) == [{"n3": 3, "n1": 1}] * 2
    assert "two_node" in conf(nodes, "n1").read_text()

    # What it has had is still in its own file.
    configure(nodes, "n2", "n1", "n3")
    assert ids(nodes) == [{"n1": 1, "n2": 2, "n3": 3}] * 3


def test_a_new_node_gets_an_id_that_no_member_has(nodes: Nodes) -> None:
    configure(nodes, "n1", "n2")
    conf(nodes, "n3").parent.mkdir()
    conf(nodes, "n3").write_text(
        "nodelist {\n\tnode {\n\t\tname: n1\n\t\tnodeid: 9\n\t\tring0_addr: 192.0.2.99\n\t}\n}\n"
    )

    configure(nodes, "n3", "n1", "n2")

    assert ids(nodes) == [{"n1": 1, "n2": 2, "n3": 3}] * 3


def test_members_that_do_not_agree_are_left_as_they_are(nodes: Nodes) -> None:
    configure(nodes, "n1", "n2")
    before = conf(nodes, "n2").read_text()
    conf(nodes, "n2").write_text(before.replace("nodeid: 2", "nodeid: 7"))

    good, changed, output = nodes.play(
        "pacemaker", "key", "configure", cloudvip_model={"cluster": "web"}, cloudvip_nodes=["n1", "n2"]
    )

    assert (good, changed) == (False, 0)
    assert "corosync.conf of n2 has nodeid 7 for n2, that of another member 2 for n2" in output


def test_a_change_is_taken_up_by_one_word(nodes: Nodes) -> None:
    assert configure(nodes, "n1", "n2")[1] == []
    nodes.run("corosync.service")

    assert configure(nodes, "n1", "n2", pacemaker_token=1500) == (3, [f"n1 {RELOADED}"])
    assert configure(nodes, "n1", "n2", pacemaker_token=1500) == (0, [])


def test_a_file_that_was_late_is_taken_up_too(nodes: Nodes) -> None:
    configure(nodes, "n1", "n2")
    nodes.run("corosync.service")
    conf(nodes, "n2").write_text(conf(nodes, "n2").read_text().replace("token: 2000", "token: 1000"))

    assert configure(nodes, "n1", "n2") == (2, [f"n2 {RELOADED}"])


def test_a_first_member_that_is_stopped_keeps_nobody_from_it(nodes: Nodes) -> None:
    configure(nodes, "n1", "n2")
    nodes.run("corosync.service")
    (nodes.root / "n1/running/corosync.service").unlink()

    assert configure(nodes, "n1", "n2", pacemaker_token=1500) == (3, [f"n2 {RELOADED}"])


def test_ansible_computes_the_timers_too(nodes: Nodes) -> None:
    configure(nodes, "n1", "n2")

    text = conf(nodes, "n2").read_text()
    timers = ("token", "consensus", "knet_ping_interval", "knet_ping_timeout")
    assert [value(text, timer) for timer in timers] == [2000, 600, 500, 1000]

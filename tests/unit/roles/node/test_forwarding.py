# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel settings of a router."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.filter import core, mathstuff
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lab.fabric import ns
from tests.unit.playing import Played, play

TEMPLATES = Path(__file__).parents[4] / "roles/node/templates"
NODE = "vr1.example.com"
# One with a dot in its name, and one that is not there.
INTERFACES = ("ens5.9", "ens6")
FORWARD, REDIRECT = "net.ipv4.ip_forward", "net.ipv4.conf.ens5/9.send_redirects"


class Node:
    """A node with a network of its own, and a directory for the file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.namespace = f"cvnode-{os.getpid()}"
        program = directory / "bin/sysctl"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec nsenter --net=/run/netns/{self.namespace} {shutil.which("sysctl")} "$@"\n')
        program.chmod(0o755)

    def sysctl(self, *arguments: str) -> list[str]:
        """What the kernel of the node says."""
        done = subprocess.run([self.directory / "bin/sysctl", *arguments], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    def play(self, *arguments: str, router: bool = True) -> Played:
        """Play the task file with these arguments of ansible-playbook."""
        vips = [{"bindings": {NODE: {"interface": interface}}} for interface in INTERFACES]
        variables: dict[str, Any] = {
            "node_model": {"router": router, "groups": [{"vips": vips}]},
            "__node_forwarding": str(self.directory / "60-cloudvip.conf"),
            "__node_packages": {"changed": False},
        }
        tasks = [{"ansible.builtin.include_role": {"name": "cloudvip.ha.node", "tasks_from": "forwarding"}}]
        environment = {"PATH": f"{self.directory}/bin:{os.environ['PATH']}"}
        playbook = [{"hosts": "all", "gather_facts": False, "environment": environment, "tasks": tasks}]
        return play(self.directory, playbook, f"{NODE},", "--connection=local", "--diff", *arguments, **variables)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """One that is no router, and is strict."""
    node = Node(tmp_path)
    ns.create(node.namespace)
    try:
        subprocess.run(["ip", "-n", node.namespace, "link", "add", INTERFACES[0], "type", "veth"], check=True)
        node.sysctl("--write", f"{FORWARD}=0", "net.ipv4.conf.all.rp_filter=1", f"{REDIRECT}=1")
        yield node
    finally:
        ns.delete(node.namespace)


def test_what_the_file_says_is_put_in_force_whenever_it_is_not(node: Node) -> None:
    wanted = [f"{FORWARD} = 1", f"{REDIRECT} = 0"]

    first = node.play()
    assert first.good, first.output
    assert node.sysctl(FORWARD, REDIRECT) == wanted

    again = node.play()
    assert (again.good, again.changes) == (True, 0), again.output

    # As after a run that wrote the file and came no further.
    for setting in (f"{FORWARD}=0", f"{REDIRECT}=1"):
        node.sysctl("--write", setting)
        mended = node.play()
        assert (mended.good, mended.changes) == (True, 1), mended.output
        assert node.sysctl(FORWARD, REDIRECT) == wanted


def test_check_mode_says_what_would_be_loaded_and_loads_nothing(node: Node) -> None:
    strict = [f"{FORWARD} = 0", f"{REDIRECT} = 1"]

    predicted = node.play("--check")
    assert (predicted.good, predicted.changes) == (True, 2), predicted.output
    assert node.sysctl(FORWARD, REDIRECT) == strict

    assert node.play().good
    node.sysctl("--write", f"{FORWARD}=0", f"{REDIRECT}=1")
    predicted = node.play("--check")
    assert (predicted.good, predicted.changes) == (True, 1), predicted.output
    assert node.sysctl(FORWARD, REDIRECT) == strict

    assert node.play().good
    predicted = node.play("--check")
    assert (predicted.good, predicted.changes) == (True, 0), predicted.output


def test_a_node_that_is_no_router_is_not_told_whether_to_forward(node: Node) -> None:
    played = node.play(router=False)

    assert played.good, played.output
    assert node.sysctl(FORWARD, "net.ipv4.conf.all.rp_filter") == [f"{FORWARD} = 0", "net.ipv4.conf.all.rp_filter = 2"]
    assert node.play(router=False).changes == 0


def test_a_router_sends_no_redirects_from_the_interfaces_that_it_has() -> None:
    def vip(**interfaces: str) -> dict[str, object]:
        return {"bindings": {f"{node}.example.com": {"interface": name} for node, name in interfaces.items()}}

    # The VNIC of the last one is yet to be attached.
    vips = [vip(vr1="ens3", vr2="eth0"), vip(vr1="ens5.9", vr2="eth1"), vip(vr1="ens5.9", vr2="eth1"), vip(vr2="eth2")]
    environment = Environment(loader=FileSystemLoader(TEMPLATES), trim_blocks=True, undefined=StrictUndefined)
    environment.filters.update({**core.FilterModule().filters(), **mathstuff.FilterModule().filters()})

    lines = (
        environment.get_template("60-cloudvip.conf.j2")
        .render(
            ansible_managed="managed",
            inventory_hostname=NODE,
            node_model={"router": True, "groups": [{"vips": vips[:2]}, {"vips": vips[2:]}]},
        )
        .splitlines()
    )

    assert [line for line in lines if "send_redirects" in line] == [
        f"net.ipv4.conf.{name}.send_redirects = 0" for name in ("all", "default", "ens3", "ens5/9")
    ]

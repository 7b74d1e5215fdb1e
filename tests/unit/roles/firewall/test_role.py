# SPDX-License-Identifier: GPL-3.0-or-later
"""The role on nodes with one firewall or another: what it finds, what it changes, and how."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.unit.roles.firewall.hosts import ALL, PEER, STRANGER, Host

# Knows the policies whose files it has; each option is a line of the log. The rules in force are in files of their own.
FIREWALL_CMD = """#!{python}
import pathlib, sys
home, files = pathlib.Path({home!r}), pathlib.Path("/etc/firewalld/policies")
arguments = sys.argv[1:]
with (home / "calls").open("a") as calls:
    print(*(a for a in arguments if not a.startswith("--policy=") and a != "--list-rich-rules"), file=calls)
if arguments[0] == "--reload":
    for file in files.iterdir():
        (home / file.stem).write_text("")
elif arguments[0].startswith("--policy="):
    policy = home / arguments[0].partition("=")[2]
    if not policy.exists():
        sys.exit(140)
    rules = policy.read_text().splitlines()
    for option in arguments[1:]:
        name, _, rule = option.partition("=")
        if name == "--add-rich-rule":
            rules.append(rule)
        elif name == "--remove-rich-rule":
            rules.remove(rule)
        else:
            print("\\n".join(rules))
    policy.write_text("".join(rule + "\\n" for rule in rules))
"""


@pytest.fixture
def firewalld(tmp_path: Path) -> Host:
    """A node on which firewalld runs, and has never heard of a cluster."""
    host = Host(tmp_path, "firewalld")
    (tmp_path / "in-force").mkdir()
    host.program("firewall-cmd", FIREWALL_CMD.format(python=sys.executable, home=str(tmp_path / "in-force")))
    host.program("firewall-offline-cmd", "#!/bin/sh\n")
    return host


def calls(host: Host) -> list[str]:
    """What firewalld was told since the last time."""
    path = host.root / "in-force/calls"
    lines = path.read_text().split("\n") if path.exists() else []
    path.write_text("")
    return [line for line in lines if line]


@pytest.mark.parametrize("host", ["iptables", "nftables"], indirect=True)
def test_what_loads_the_rules_is_found_and_the_ports_are_opened(host: Host) -> None:
    before = host.rules(), host.files()

    assert host.play("main", "main close")[0] == [1, 0]

    assert host.heard() == {PEER: {"udp 5405", "udp 5412"}, STRANGER: set()}
    assert host.forwards() == {4, 6}
    assert host.play("remove")[0] == [1]
    assert (host.rules(), host.files()) == before


@pytest.mark.parametrize("host", ["iptables"], indirect=True)
def test_what_an_engine_needs_that_still_runs_is_closed_after_its_end(host: Host) -> None:
    keepalived = {"engine": "keepalived"}

    host.play("main", engines="active inactive", model=keepalived)
    assert host.heard() == {PEER: ALL, STRANGER: set()}
    assert host.play("main close", engines="active inactive", model=keepalived)[0] == [1]

    assert host.heard() == {PEER: {"protocol 112"}, STRANGER: set()}


@pytest.mark.parametrize("host", ["iptables"], indirect=True)
def test_a_provider_that_is_given_wins(host: Host) -> None:
    before = host.rules(), host.files()

    changed, printed = host.play("main", firewall_provider="none")

    assert (changed[0], (host.rules(), host.files())) == (0, before)
    assert "No firewall is kept" not in printed


def test_a_node_without_a_firewall_stays_open_and_the_run_says_so(tmp_path: Path) -> None:
    with Host(tmp_path, "none").make() as host:
        changed, printed = host.play("main")

        assert changed == [0]
        assert "it has to let in from 192.0.2.12, 2001:db8:0:1::12: udp 5405-5412." in " ".join(printed.split())
        assert host.heard()[STRANGER] >= ALL


def test_firewalld_is_found_and_policies_that_are_new_or_gone_are_taken_up_by_a_reload(firewalld: Host) -> None:
    with firewalld.make():
        firewalld.play("main")
        assert calls(firewalld) == ["--reload"]
        policies = {f"firewalld/policies/{name}.xml" for name in ("cloudvip-peers", "cloudvip-forward")}
        assert set(firewalld.files()) == policies

        firewalld.play("remove")
        assert (calls(firewalld), firewalld.files()) == (["--reload"], {})


def test_rules_of_policies_that_run_are_changed_without_a_reload(firewalld: Host) -> None:
    def rule(family: str, address: str) -> str:
        return f'rule family="{family}" source address="{address}" port port="5405-5412" protocol="udp" accept'

    (firewalld.root / "in-force/cloudvip-forward").write_text("")
    (firewalld.root / "in-force/cloudvip-peers").write_text(
        f"{rule('ipv4', '192.0.2.14')}\n{rule('ipv4', '192.0.2.12')}\n{rule('ipv4', '192.0.2.15')}\n"
    )
    with firewalld.make():
        assert firewalld.play("main", "main")[0] == [4, 0]
        assert calls(firewalld) == [
            f"--add-rich-rule={rule('ipv6', '2001:db8:0:1::12')}",
            '--add-rich-rule=rule priority="-1" accept',
            f"--remove-rich-rule={rule('ipv4', '192.0.2.14')} --remove-rich-rule={rule('ipv4', '192.0.2.15')}",
        ]

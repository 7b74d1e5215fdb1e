# SPDX-License-Identifier: GPL-3.0-or-later
"""The role on nodes with one firewall or another: what it finds, what it changes, and how."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.firewall.hosts import ALL, PEER, ROOT, STRANGER, Host

# Knows the policies whose files it has; each option is a line of the log. The rules in force are in files of their own.
FIREWALL_CMD = """#!{python}
import pathlib, sys
sys.path.insert(0, {collections!r})
from ansible_collections.cloudvip.ha.plugins.filter.firewall import rich_rules
home, files = pathlib.Path({home!r}), pathlib.Path("/etc/firewalld/policies")
arguments = sys.argv[1:]
reads = {{"--list-rich-rules", "--get-policies"}}
with (home / "calls").open("a") as calls:
    print(*(a for a in arguments if not a.startswith("--policy=") and a not in reads), file=calls)
if (home / "broken").exists() and not reads & {{*arguments}}:
    sys.exit(252)
if arguments[0] == "--reload":
    for policy in home.glob("cloudvip-*"):
        policy.unlink()
    for file in files.iterdir():
        (home / file.stem).write_text("".join(rule + "\\n" for rule in rich_rules(file.read_text())))
elif arguments[0] == "--get-policies":
    print("allow-host-ipv6", *(policy.name for policy in home.glob("cloudvip-*")))
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
    names = {"python": sys.executable, "collections": str(ROOT / "collections"), "home": str(tmp_path / "in-force")}
    host.program("firewall-cmd", FIREWALL_CMD.format(**names))
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
    assert host.play("remove", firewall_provider="none")[0] == [1]
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
        assert firewalld.play("main", "main")[0] == [2, 0]
        assert calls(firewalld) == ["--reload"]
        policies = {f"firewalld/policies/{name}.xml" for name in ("cloudvip-peers", "cloudvip-forward")}
        assert set(firewalld.files()) == policies

        assert firewalld.play("remove", "remove")[0] == [2, 0]
        assert (calls(firewalld), firewalld.files()) == (["--reload"], {})


@pytest.mark.parametrize("entry", ["main", "remove"])
def test_what_a_run_that_broke_off_has_not_taken_up_the_next_one_does(firewalld: Host, entry: str) -> None:
    broken = firewalld.root / "in-force/broken"
    with firewalld.make():
        if entry == "remove":
            firewalld.play("main")
        broken.touch()
        firewalld.play(entry, good=False)
        broken.unlink()
        calls(firewalld)
        files = firewalld.files()

        assert firewalld.play(entry, check=True)[0] == [1]
        assert calls(firewalld) == []
        assert firewalld.play(entry, entry)[0] == [1, 0]

        assert (calls(firewalld), firewalld.files()) == (["--reload"], files)


def test_rules_in_force_that_differ_from_their_files_are_mended(firewalld: Host) -> None:
    with firewalld.make():
        firewalld.play("main")
        calls(firewalld)
        path = firewalld.root / "in-force/cloudvip-peers"
        before = path.read_text()
        path.write_text("".join([*before.splitlines(keepends=True)[1:], 'rule protocol value="vrrp" accept\n']))

        assert firewalld.play("main", check=True)[0] == [2]
        assert calls(firewalld) == []
        assert firewalld.play("main", "main")[0] == [2, 0]

        assert len(calls(firewalld)) == 2
        assert sorted(path.read_text().splitlines()) == sorted(before.splitlines())


def test_policies_do_not_wait_for_a_firewalld_that_was_stopped_before_their_removal(firewalld: Host) -> None:
    with firewalld.make():
        firewalld.play("main")
        calls(firewalld)
        firewalld.unit("firewalld.service", "inactive")

        assert firewalld.play("remove", "remove")[0] == [1, 0]

        assert (calls(firewalld), firewalld.files()) == ([], {})


@pytest.mark.parametrize(
    ("state", "port", "refused"),
    [
        ("inactive", {}, False),
        ("inactive", {"ansible_port": 22}, False),
        ("inactive", {"ansible_port": 2222}, True),
        ("active", {"ansible_port": 2222}, False),
    ],
)
def test_firewalld_is_not_started_where_it_would_shut_out_whoever_is_connected(
    firewalld: Host, state: str, port: dict[str, Any], refused: bool
) -> None:
    # So that a run that does not refuse ends before it would install anything on the machine of the test.
    (firewalld.etc / "firewalld/policies").rmdir()
    (firewalld.etc / "firewalld/policies").touch()
    with firewalld.make():
        firewalld.unit("firewalld.service", state)

        printed = firewalld.play("main", good=False, firewall_provider="firewalld", **port)[1]

        assert ("firewall_provider = firewalld: expected" in printed) == refused
        assert ("Firewalld | Policies" in printed) != refused


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

# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packets get in, with the rules of iptables and of nftables that the module makes."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.firewall.hosts import (
    ALL,
    COROSYNC,
    FORBIDDEN,
    HTTP,
    NOBODY,
    PEER,
    PEERS,
    RULES_V4,
    STRANGER,
    VRRP,
    Host,
    stable,
)

NOTHING: dict[str, set[str]] = {PEER: set(), STRANGER: set()}
OPEN = {PEER: ALL, STRANGER: set()}


def shown(answer: dict[str, Any]) -> list[dict[str, str]]:
    """The differences, without times and counters."""
    return [{name: stable(text) for name, text in difference.items()} for difference in answer["diff"]]


def test_peers_get_in_and_strangers_do_not(host: Host) -> None:
    assert (host.heard(), host.forwards()) == (NOTHING, set())

    first, second = host.filter(), host.filter()

    assert (first["changed"], first["provider"], second["changed"]) == (True, host.provider, False)
    assert host.heard() == OPEN


def test_a_router_forwards_all_but_what_its_own_rules_refuse(host: Host) -> None:
    host.filter(forward=False)
    assert host.forwards() == set()

    host.filter(forward=True)

    assert host.forwards() == {4, 6}
    assert not host.connects(STRANGER, FORBIDDEN, HTTP, 4)
    assert host.filter(forward=False)["changed"]
    assert host.forwards() == set()
    assert host.heard() == OPEN


@pytest.mark.parametrize("host", ["iptables", "iptables-legacy"], indirect=True)
def test_the_way_to_the_volumes_stays_open_to_root_alone(host: Host) -> None:
    assert (host.reaches_its_volumes(0), host.reaches_its_volumes(NOBODY)) == (True, False)

    host.filter()

    assert (host.reaches_its_volumes(0), host.reaches_its_volumes(NOBODY)) == (True, False)
    host.filter(state="absent")
    assert (host.reaches_its_volumes(0), host.reaches_its_volumes(NOBODY)) == (True, False)


def test_only_what_the_engine_needs_is_open_and_to_those_who_are_peers_now(host: Host) -> None:
    host.filter()

    host.filter(services=[VRRP])
    assert host.heard() == {PEER: {"protocol 112"}, STRANGER: set()}
    host.filter(services=[COROSYNC], peers=[*PEERS[:2], "192.0.2.14"])
    assert host.heard() == {PEER: {"udp 5405", "udp 5412"}, STRANGER: set()}
    host.filter(peers=["192.0.2.14"])
    assert host.heard() == NOTHING


def test_it_is_the_same_after_a_boot(host: Host) -> None:
    host.filter()
    before = host.rules()

    host.boot()

    assert host.rules() == before
    assert (host.heard(), host.forwards()) == (OPEN, {4, 6})
    assert not host.filter()["changed"]


def test_removal_leaves_no_trace(host: Host) -> None:
    before = host.rules(), host.files()
    host.filter()
    assert host.rules() != before[0]
    assert host.files() != before[1]

    first, second = host.filter(state="absent"), host.filter(state="absent")

    assert (first["changed"], second["changed"]) == (True, False)
    assert (host.rules(), host.files()) == before


@pytest.mark.parametrize("stopped", [True, False])
def test_removal_finds_what_was_put_in_though_something_else_filters_now(host: Host, stopped: bool) -> None:
    before = host.rules(), host.files()
    host.filter()
    if stopped:
        host.unit("netfilter-persistent.service" if host.provider == "iptables" else "nftables.service", "inactive")
    else:
        host.unit("firewalld.service", "active")

    first, second = host.filter(state="absent"), host.filter(state="absent")

    assert (first["changed"], second["changed"]) == (True, False)
    assert stopped or first["provider"] == "firewalld"
    assert (host.rules(), host.files()) == before


@pytest.mark.parametrize("host", ["iptables", "nftables"], indirect=True)
def test_removal_edits_files_that_outlive_their_programs(host: Host) -> None:
    before = host.files()
    host.filter()
    host.hide("/usr/sbin/nft", "/usr/sbin/xtables-nft-multi")
    (host.root / "units").write_text("Id=other.service\nActiveState=inactive\n")

    assert host.filter(state="absent")["changed"]

    assert host.files() == before
    assert not host.filter(state="absent")["changed"]


@pytest.mark.parametrize("host", ["iptables"], indirect=True)
def test_rules_that_two_services_load_are_changed_once(host: Host) -> None:
    (host.etc / "sysconfig").mkdir()
    (host.etc / "sysconfig/iptables").write_text(RULES_V4)
    host.unit("iptables.service", "active")
    before = host.rules()

    assert host.filter()["changed"]
    assert not host.filter()["changed"]
    assert host.filter(state="absent")["changed"]

    assert (host.rules(), (host.etc / "sysconfig/iptables").read_text()) == (before, RULES_V4)


def test_check_mode_predicts_and_does_nothing(host: Host) -> None:
    before = host.rules(), host.files()

    predicted = host.filter(check=True)

    assert (host.rules(), host.files()) == before
    assert predicted["changed"]
    assert shown(predicted) == shown(host.filter())
    assert not host.filter(check=True)["changed"]


def test_files_keep_their_permissions(host: Host) -> None:
    before = {name: (host.etc / name).stat().st_mode for name in host.files()}

    host.filter()

    assert {name: (host.etc / name).stat().st_mode for name in before} == before


def test_no_packet_of_a_peer_is_lost_while_rules_change(host: Host) -> None:
    host.filter()
    host.heard()
    done = threading.Event()
    sent: list[str] = []
    arrived: list[str] = []

    def send() -> None:
        while not done.wait(0.001):
            for what in ("udp 5405", "protocol 112"):
                sent.append(f"{what} {len(sent)}")
                host.send(PEER, what, 4, sent[-1])
            arrived.extend(text for _, _, text in host.received())

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for peers in (["192.0.2.14"], ["192.0.2.14", *PEERS], PEERS):
            host.filter(peers=[*PEERS[:2], *peers])
    finally:
        done.set()
        sender.join()

    assert len(sent) > 200
    assert {*sent} == {*arrived, *(text for _, _, text in host.received())}


def test_a_refusal_that_came_before_ours_is_found(host: Host) -> None:
    host.filter()
    if host.provider == "iptables":
        host.run("iptables", "-I", "INPUT", "-p", "udp", "-j", "DROP")
        host.run("ip6tables", "-I", "INPUT", "-j", "REJECT")
        host.run("ip6tables", "-I", "INPUT", "-p", "tcp", "-j", "ACCEPT")
    else:
        host.run("nft", "insert", "rule", "inet", "filter", "input", "meta", "l4proto", "udp", "drop")
    rules = host.rules()

    assert host.filter()["changed"]

    assert host.heard() == OPEN
    assert sorted(host.rules().splitlines()) == sorted(rules.splitlines())


@pytest.mark.parametrize("host", ["iptables", "iptables-legacy"], indirect=True)
def test_others_may_add_rules_that_do_not_refuse_peers(host: Host) -> None:
    host.filter()
    # What fail2ban does at each of its starts.
    host.run("iptables", "-N", "f2b-sshd")
    host.run("iptables", "-A", "f2b-sshd", "-s", "203.0.113.7", "-j", "REJECT")
    host.run("iptables", "-A", "f2b-sshd", "-j", "RETURN")
    host.run("iptables", "-I", "INPUT", "-p", "tcp", "-m", "multiport", "--dports", "22", "-j", "f2b-sshd")

    assert not host.filter()["changed"]


@pytest.mark.parametrize("host", ["iptables"], indirect=True)
def test_what_is_saved_from_the_kernel_is_taken_for_ours(host: Host) -> None:
    host.filter()
    host.run("sh", "-c", "iptables-save -c >/etc/iptables/rules.v4")

    assert not host.filter()["changed"]
    host.filter(state="absent")
    assert b"cloudvip" not in host.files()["iptables/rules.v4"]


@pytest.mark.parametrize("host", ["iptables"], indirect=True)
def test_a_file_that_would_not_be_loaded_is_not_written(host: Host) -> None:
    path = host.etc / "iptables/rules.v6"
    path.write_text(path.read_text().replace("-A INPUT -p ipv6-icmp", "-A INPUT --no-such-option"))
    before = path.read_bytes()

    answer = host.filter()

    assert answer["failed"]
    assert "no-such-option" in answer["msg"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("host", ["iptables"], indirect=True)
def test_a_version_of_ip_without_a_file_is_left_alone(host: Host) -> None:
    (host.etc / "iptables/rules.v6").unlink()
    before = host.run("ip6tables-save")

    assert host.filter()["changed"]

    assert stable(host.run("ip6tables-save")) == stable(before)
    assert not (host.etc / "iptables/rules.v6").exists()
    assert not host.filter()["changed"]


@pytest.mark.parametrize("host", ["nftables"], indirect=True)
def test_tables_that_others_make_while_the_node_runs_are_left_alone(host: Host) -> None:
    host.run("iptables", "-P", "FORWARD", "DROP")
    before = host.run("nft", "list", "table", "ip", "filter")

    host.filter()

    assert host.run("nft", "list", "table", "ip", "filter") == before
    assert "ip filter" not in (host.etc / "cloudvip/firewall.nft").read_text()


@pytest.mark.parametrize("host", ["nftables"], indirect=True)
def test_nftables_loads_its_rules_though_ours_are_gone_or_do_not_fit_any_more(host: Host) -> None:
    host.filter()
    path = host.etc / "nftables.conf"
    path.write_text(path.read_text().replace("chain input", "chain renamed"))

    host.boot()
    assert host.heard() == NOTHING
    assert host.filter()["changed"]
    assert host.heard() == OPEN
    (host.etc / "cloudvip/firewall.nft").unlink()
    host.boot()
    assert host.heard() == NOTHING


@pytest.mark.parametrize(("provider", "expected"), [("iptables", "/etc/sysconfig/iptables"), ("nftables", "active")])
def test_a_provider_without_its_service_is_refused(tmp_path: Path, provider: str, expected: str) -> None:
    with Host(tmp_path, "none").make() as host:
        assert expected in host.filter(provider=provider)["msg"]
        assert host.filter()["provider"] == "none"


def test_rules_that_will_be_loaded_only_at_boot_are_refused(tmp_path: Path) -> None:
    with Host(tmp_path, "nftables").make() as host:
        host.unit("nftables.service", "inactive")

        assert "expected nftables.service to have loaded its rules" in host.filter()["msg"]


@pytest.mark.parametrize(
    "options",
    [{"peers": ["192.0.2.300"]}, {"services": [{"protocol": "udp"}]}, {"services": [{"protocol": "icmp"}]}],
)
@pytest.mark.parametrize("host", ["iptables"], indirect=True)
def test_input_that_makes_no_rule_is_refused(host: Host, options: dict[str, Any]) -> None:
    before = host.rules()

    assert host.filter(**options)["failed"]

    assert host.rules() == before


def test_the_namespaces_are_gone_afterwards(tmp_path: Path) -> None:
    def names() -> set[str]:
        return {line.split()[0] for line in subprocess.check_output(["ip", "netns"], text=True).splitlines()}

    with Host(tmp_path, "none").make() as host:
        made = {name for name in names() if name.startswith(host.name)}
        assert len(made) == 3
    assert not made & names()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Where our rules go between those of others, and what is found out about a node. Packets prove the rest."""

from __future__ import annotations

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils import _packet_filter as rules

OURS = {"INPUT": ["-s 192.0.2.12/32 -p 112 -m comment --comment cloudvip -j ACCEPT"], "FORWARD": []}
ROUTER = {"INPUT": [], "FORWARD": ["-m comment --comment cloudvip -j ACCEPT"]}


def table(*lines: str) -> str:
    return "\n".join(["*nat", ":INPUT ACCEPT [0:0]", "-A INPUT -j SNAT", "COMMIT", "*filter", *lines, "COMMIT", ""])


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ([], 0),
        (["-A INPUT -j ACCEPT"], 1),
        (["-A INPUT -j REJECT", "-A INPUT -j ACCEPT"], 0),
        (["-A INPUT -j ACCEPT", "-A FORWARD -j DROP"], 1),
        (["-A FORWARD -j DROP"], 1),
        (["-A INPUT -i lo -j ACCEPT", "-A INPUT -m conntrack --ctstate INVALID -j DROP", "-A INPUT -j REJECT"], 1),
        (["[5:300] -A INPUT -i lo -j ACCEPT", "[0:0] -A INPUT -j REJECT"], 1),
        (['-A INPUT -m comment --comment "no -j DROP here" -j ACCEPT', "-A INPUT -j REJECT"], 1),
        (["-A guard -j inner", "-A inner -j LOG", "-A inner -j DROP", "-A INPUT -j ACCEPT", "-A INPUT -g guard"], 4),
        (["-A guard -s 203.0.113.7/32 -j DROP", "-A INPUT -j guard", "-A INPUT -j ACCEPT"], 3),
        (["-A guard -p tcp -j ACCEPT", "-A guard -j DROP", "-A INPUT -i ens3 -j guard", "-A INPUT -j REJECT"], 2),
        (["-A guard -s 203.0.113.7/32 -j DROP", "-A INPUT -i ens3 -j guard", "-A INPUT -j REJECT"], 2),
    ],
)
def test_peers_come_before_the_first_rule_that_refuses_anything(lines: list[str], place: int) -> None:
    edit = rules.edit_iptables(table(*lines), OURS)

    assert edit.text == table(*lines[:place], f"-A INPUT {OURS['INPUT'][0]}", *lines[place:])
    before = sum("-A INPUT" in line for line in lines[:place])
    assert edit.commands == [f"-I INPUT {before + 1} {OURS['INPUT'][0]}"]
    assert rules.edit_iptables(edit.text, OURS) == (edit.text, [])
    assert rules.edit_iptables(edit.text, {"INPUT": []}).text == table(*lines)


def test_what_everybody_may_comes_before_the_first_rule_that_refuses_everything() -> None:
    lines = [
        "-A FORWARD -d 198.51.100.0/24 -j DROP",
        "-A guard -j DROP",
        "-A FORWARD -s 203.0.113.0/24 -j guard",
        "-A FORWARD -j LOG",
        "-A FORWARD -j REJECT --reject-with tcp-reset",
    ]

    edit = rules.edit_iptables(table(*lines), ROUTER)

    assert edit.text == table(*lines[:4], f"-A FORWARD {ROUTER['FORWARD'][0]}", lines[4])


@pytest.mark.parametrize("text", ["", "*nat\n-A INPUT -j DROP\nCOMMIT\n", "*filter\n-A INPUT -j DROP\n"])
def test_a_table_that_is_not_loaded_gets_no_rules(text: str) -> None:
    assert rules.edit_iptables(text, OURS) == (text, [])


@pytest.mark.parametrize(
    "found",
    [
        '-s 192.0.2.12/32 -p vrrp -m comment --comment "cloudvip" -j ACCEPT',
        "-s 192.0.2.12/32 -m comment --comment cloudvip -p vrrp -j ACCEPT",
    ],
)
def test_releases_that_spell_our_rules_in_other_ways_are_understood(found: str) -> None:
    text = table(f"-A INPUT {found}", "-A INPUT -j DROP")

    assert rules.edit_iptables(text, OURS).commands == []


@pytest.mark.parametrize(
    "found",
    [
        "-p vrrp -m comment --comment cloudvip -j ACCEPT",
        "-s 192.0.2.12/32 -p vrrp -m comment --comment cloudvip -j DROP",
        "-s 192.0.2.12/32 -p udp -m comment --comment cloudvip -j ACCEPT",
    ],
)
def test_a_rule_of_ours_that_somebody_has_changed_is_replaced(found: str) -> None:
    edit = rules.edit_iptables(table(f"-A INPUT {found}"), OURS)

    assert edit.text == table(f"-A INPUT {OURS['INPUT'][0]}")
    assert edit.commands == [f"-D INPUT {found}", f"-I INPUT 1 {OURS['INPUT'][0]}"]


@pytest.mark.parametrize("text", ["", "flush ruleset\n", "table inet filter {\n}"])
def test_the_configuration_of_nftables_is_restored_byte_by_byte(text: str) -> None:
    included = rules.edit_configuration(text, True)

    assert rules.INCLUDE_LINE in included.split("\n")
    assert rules.edit_configuration(included, True) == included
    assert rules.edit_configuration(included, False) == text


def test_tables_and_included_files_of_nftables_are_found() -> None:
    text = """#!/usr/sbin/nft -f
# table inet old {}; table inet older {}; include "/etc/old.nft"
flush ruleset; include "/etc/nftables.d/*.nft"
table inet filter { chain input { type filter hook input priority 0; } }
  add table ip6 guard
table plain {
}
define x = of_a_name_that_is_elsewhere
table inet $x {
}
delete table ip gone; table ip6 short {}; table ip last;
include "/etc/cloudvip/firewall.nft*";
"""

    assert rules.tables(text) == {
        ("inet", "filter"),
        ("ip6", "guard"),
        ("ip", "plain"),
        ("ip6", "short"),
        ("ip", "last"),
    }
    assert rules.included(text) == ["/etc/nftables.d/*.nft"]


FIREWALLD = "Id=firewalld.service\nActiveState={}\nUnitFileState=enabled\n"
PERSISTENT = "Id=netfilter-persistent.service\nActiveState={}\nUnitFileState=enabled\n"
SYSCONFIG = "Id=ip6tables.service\nActiveState={}\nUnitFileState=enabled\n"
NFTABLES = "Id=nftables.service\nActiveState={}\nUnitFileState={}\nExecStart={{ argv[]=/sbin/nft -f /etc/x.conf ; }}\n"


@pytest.mark.parametrize(
    ("output", "provider"),
    [
        ([], "none"),
        ([FIREWALLD.format("active"), PERSISTENT.format("active"), NFTABLES.format("active", "enabled")], "firewalld"),
        ([FIREWALLD.format("inactive"), PERSISTENT.format("active"), NFTABLES.format("active", "enabled")], "iptables"),
        ([SYSCONFIG.format("active")], "iptables"),
        ([PERSISTENT.format("inactive"), NFTABLES.format("active", "enabled")], "nftables"),
        ([NFTABLES.format("inactive", "enabled")], "nftables"),
        ([NFTABLES.format("inactive", "disabled")], "none"),
    ],
)
def test_what_loads_the_rules_is_found_by_its_service(output: list[str], provider: str) -> None:
    known = rules.units("\n".join(output))

    assert rules.detect(known, rules.saved(known)) == provider


def test_a_service_without_its_file_loads_nothing() -> None:
    known = rules.units(PERSISTENT.format("active"))

    assert rules.saved(known) == [(4, "/etc/iptables/rules.v4"), (6, "/etc/iptables/rules.v6")]
    assert rules.detect(known, []) == "none"


def test_the_file_that_nftables_loads_is_the_service_s() -> None:
    assert rules.configuration(rules.units(NFTABLES.format("active", "enabled"))) == "/etc/x.conf"
    assert rules.configuration({}) is None

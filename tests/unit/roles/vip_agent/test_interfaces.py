# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces that the node configures itself: what has to be done, and that it is done."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._vnics import tables_by_source
from cloudvip import process
from cloudvip.cli import main
from cloudvip.config import VnicInterface
from cloudvip.doctor import Finding, Level, doctor
from cloudvip.interfaces import PRIORITY, Current, Interfaces, Link, Route, Rule, parse, plan
from cloudvip.netdev import NetdevError

from tests.unit.roles.vip_agent.conftest import Bench
from tests.unit.roles.vip_agent.fakes import FakeClock

MAC = "02:00:17:00:00:07"
POD2 = VnicInterface(MAC, "10.0.2.5", 28, "10.0.2.1", 7000, ("10.0.2.9",), 9000)
POD3 = VnicInterface("02:00:17:00:00:08", "10.0.3.5", 28, "10.0.3.1", 7001, (), 9000)
LINK = Link("ens7", MAC, 9000, True, frozenset({("10.0.2.5", 28), ("10.0.2.9", 32)}))
ROUTES = frozenset({Route(7000, "10.0.2.0/28", "", "ens7", "10.0.2.5"), Route(7000, "default", "10.0.2.1", "ens7", "")})
RULES = frozenset({Rule("10.0.2.5", 7000, PRIORITY), Rule("10.0.2.9", 7000, PRIORITY)})
CONFIGURED = Current((LINK,), ROUTES, RULES)
# After the mover has taken its VIP off.
RELEASED = CONFIGURED._replace(links=(LINK._replace(addresses=frozenset({("10.0.2.5", 28)})),))
BARE = Current((Link("ens7", MAC, 1500, False, frozenset()),), frozenset(), frozenset())

ALL = [
    "link set dev ens7 mtu 9000",
    "link set dev ens7 up",
    "address replace 10.0.2.5/28 dev ens7",
    "route replace 10.0.2.0/28 dev ens7 src 10.0.2.5 table 7000",
    "route replace default via 10.0.2.1 dev ens7 table 7000",
    "rule add from 10.0.2.5 lookup 7000 priority 7000 protocol kernel",
    "rule add from 10.0.2.9 lookup 7000 priority 7000 protocol kernel",
]


class FakeKernel:
    """Does what iproute2 would do to one namespace in memory. stuck: lines that fail."""

    def __init__(self, current: Current) -> None:
        self.links = {link.name: link for link in current.links}
        self.routes = set(current.routes)
        self.rules = set(current.rules)
        self.stuck: set[str] = set()
        self.batches: list[list[str]] = []

    def __call__(self, argv: Sequence[str], data: bytes = b"") -> bytes:
        if "-batch" in argv:
            self.batches.append(data.decode().splitlines())
            failed = [line for line in self.batches[-1] if line in self.stuck or self._apply(line)]
            if failed:
                raise process.ProcessError("ip failed with status 1: RTNETLINK answers: Operation not permitted")
            return b""
        return json.dumps({"address": self._show_links, "route": self._show_routes, "rule": self._show_rules}[
            next(word for word in argv if word in ("address", "route", "rule"))
        ]()).encode()  # fmt: skip

    def _show_links(self) -> list[dict[str, Any]]:
        return [
            {
                "ifname": link.name,
                "address": link.mac.upper(),
                "mtu": link.mtu,
                "flags": ["BROADCAST"] + ["UP"] * link.up,
                "addr_info": [{"local": a, "prefixlen": p} for a, p in sorted(link.addresses)],
            }
            for link in self.links.values()
        ]

    def _show_routes(self) -> list[dict[str, Any]]:
        own = [
            {"dst": r.destination, "table": str(r.table), "dev": r.interface}
            | ({"gateway": r.gateway} if r.gateway else {"prefsrc": r.source})
            for r in sorted(self.routes)
        ]
        return [{"dst": "default", "gateway": "172.20.136.129", "dev": "ens3"}, *own]

    def _show_rules(self) -> list[dict[str, Any]]:
        own = [{"priority": r.priority, "src": r.source, "table": str(r.table)} for r in sorted(self.rules)]
        return [{"priority": 0, "src": "all", "table": "local"}, *own]

    def _apply(self, line: str) -> bool:
        """Whether it fails."""
        if m := re.fullmatch(r"link set dev (\S+) (?:mtu (\d+)|up)", line):
            link = self.links[m[1]]
            self.links[m[1]] = link._replace(mtu=int(m[2])) if m[2] else link._replace(up=True)
        elif m := re.fullmatch(r"address (\w+) (\S+)/(\d+) dev (\S+)", line):
            link, entry = self.links[m[4]], frozenset({(m[2], int(m[3]))})
            changed = link.addresses | entry if m[1] == "replace" else link.addresses - entry
            self.links[m[4]] = link._replace(addresses=changed)
        elif m := re.fullmatch(r"route (\w+) (\S+)(?: via (\S+))? dev (\S+)(?: src (\S+))? table (\d+)", line):
            route = Route(int(m[6]), m[2], m[3] or "", m[4], m[5] or "")
            self.routes = {r for r in self.routes if (r.table, r.destination) != (route.table, route.destination)}
            self.routes |= {route} if m[1] == "replace" else set()
        else:
            m = re.fullmatch(r"rule (\w+) from (\S+) lookup (\d+) priority (\d+)( protocol kernel)?", line)
            assert m, line
            rule = Rule(m[2], int(m[3]), int(m[4]))
            self.rules = self.rules | {rule} if m[1] == "add" else self.rules - {rule}
        return False


def test_a_bare_interface_gets_everything_and_its_rules_last() -> None:
    assert plan([POD2], BARE) == ALL


def test_a_configured_interface_is_not_touched() -> None:
    assert plan([POD2], CONFIGURED) == []


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        (CONFIGURED._replace(links=(LINK._replace(mtu=1500),)), ALL[:1]),
        (CONFIGURED._replace(links=(LINK._replace(up=False),)), ALL[1:2]),
        (CONFIGURED._replace(links=(LINK._replace(addresses=frozenset({("10.0.2.9", 32)})),)), ALL[2:3]),
        (CONFIGURED._replace(routes=frozenset(r for r in ROUTES if r.gateway)), ALL[3:4]),
        (CONFIGURED._replace(routes=frozenset(r for r in ROUTES if not r.gateway)), ALL[4:5]),
        (CONFIGURED._replace(rules=frozenset({Rule("10.0.2.5", 7000, PRIORITY)})), ALL[6:]),
    ],
)
def test_only_what_is_missing_is_done(current: Current, expected: list[str]) -> None:
    assert plan([POD2], current) == expected


def test_a_new_vip_gets_its_rule_and_nothing_else_happens() -> None:
    more = POD2._replace(vips=("10.0.2.9", "10.0.2.10"))

    assert plan([more], CONFIGURED) == ["rule add from 10.0.2.10 lookup 7000 priority 7000 protocol kernel"]


def test_a_vip_that_is_gone_loses_its_rule_once_it_is_released() -> None:
    pod = POD2._replace(vips=())

    assert plan([pod], CONFIGURED) == []
    assert plan([pod], RELEASED) == ["rule delete from 10.0.2.9 lookup 7000 priority 7000"]


def test_a_virtual_router_that_changed_is_replaced_in_one_step() -> None:
    assert plan([POD2._replace(gateway="10.0.2.14")], CONFIGURED) == [
        "route replace default via 10.0.2.14 dev ens7 table 7000"
    ]


def test_an_interface_that_is_configured_no_more_stays_until_its_vip_is_released() -> None:
    assert plan([], CONFIGURED) == []
    assert plan([], RELEASED) == [
        "rule delete from 10.0.2.5 lookup 7000 priority 7000",
        "rule delete from 10.0.2.9 lookup 7000 priority 7000",
        "address delete 10.0.2.5/28 dev ens7",
        "route delete 10.0.2.0/28 dev ens7 src 10.0.2.5 table 7000",
        "route delete default via 10.0.2.1 dev ens7 table 7000",
    ]


def test_one_that_is_still_in_use_keeps_no_other_from_being_cleared() -> None:
    other = Link("ens8", POD3.mac, 9000, True, frozenset({("10.0.3.5", 28)}))
    rule = Rule("10.0.3.5", 7001, PRIORITY)
    current = CONFIGURED._replace(links=(LINK, other), rules=RULES | {rule})

    assert plan([], current) == ["rule delete from 10.0.3.5 lookup 7001 priority 7000"]


def test_an_interface_that_gets_another_table_keeps_its_address() -> None:
    lines = plan([POD2._replace(table=7003)], CONFIGURED)

    assert not [line for line in lines if line.startswith(("address", "link"))]
    assert lines[0] == "route replace 10.0.2.0/28 dev ens7 src 10.0.2.5 table 7003"
    assert lines[-1] == "route delete default via 10.0.2.1 dev ens7 table 7000"


def test_tables_rules_and_interfaces_of_others_do_not_count() -> None:
    links = [{"ifname": "ens3", "mtu": 9000, "flags": ["UP"], "addr_info": [{"local": "10.0.2.5", "prefixlen": 28}]}]
    routes = [
        {"dst": "default", "gateway": "10.9.9.1", "dev": "ens3"},
        {"dst": "default", "gateway": "10.9.9.1", "dev": "ens3", "table": "100"},
        {"dst": "127.0.0.1", "dev": "lo", "table": "local", "prefsrc": "127.0.0.1"},
    ]
    rules = [{"priority": 100, "src": "10.9.9.9", "table": "100"}, {"priority": 32766, "src": "all", "table": "main"}]

    current = parse(json.dumps(links), json.dumps(routes), json.dumps(rules))

    assert (current.routes, current.rules) == (frozenset(), frozenset())
    assert plan([], current) == []


def test_a_rule_for_a_network_in_one_of_our_tables_goes() -> None:
    rules = [{"priority": 9, "src": "10.9.0.0", "srclen": 16, "table": "7042"}]

    assert plan([], parse("[]", "[]", json.dumps(rules))) == ["rule delete from 10.9.0.0/16 lookup 7042 priority 9"]


@pytest.mark.parametrize("text", ["", "{", "[{}]", '["x"]'])
def test_output_that_is_not_understood(text: str) -> None:
    with pytest.raises(NetdevError, match="the output of ip is not understood"):
        parse(text, "[]", "[]")


def test_applying_twice_changes_nothing_the_second_time() -> None:
    kernel, clock = FakeKernel(BARE), FakeClock()
    interfaces = Interfaces(clock, kernel)

    first, second = interfaces.apply([POD2], 30), interfaces.apply([POD2], 30)

    assert (first, second) == (ALL, [])
    assert kernel.batches == [ALL]
    assert clock.sleeps == []


def test_an_interface_that_comes_late_is_waited_for_and_the_others_do_not_wait() -> None:
    kernel = FakeKernel(BARE)

    class Clock(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            assert len(kernel.batches) == 1
            if len(self.sleeps) == 3:
                kernel.links["ens8"] = Link("ens8", POD3.mac, 1500, False, frozenset())

    clock = Clock()
    done = Interfaces(clock, kernel).apply([POD3, POD2], 30)

    assert done[: len(ALL)] == ALL
    assert "address replace 10.0.3.5/28 dev ens8" in done
    assert len(clock.sleeps) == 3


def test_an_interface_that_does_not_come_is_an_error_after_the_time_and_the_others_are_configured() -> None:
    kernel, clock = FakeKernel(BARE), FakeClock()

    with pytest.raises(
        NetdevError, match=r"^no interface has the MAC address 02:00:17:00:00:08 \(10\.0\.3\.5\); is its"
    ):
        Interfaces(clock, kernel).apply([POD3, POD2], 30)

    assert kernel.batches == [ALL]
    assert 29.5 <= clock.monotonic() <= 31


def test_what_fails_is_named_with_the_words_of_ip_and_the_rest_is_done() -> None:
    kernel, clock = FakeKernel(BARE), FakeClock()
    kernel.stuck = {ALL[0]}

    with pytest.raises(NetdevError, match=r"^not done: ip link set dev ens7 mtu 9000 \(ip failed .*not permitted\)$"):
        Interfaces(clock, kernel).apply([POD2], 30)

    assert kernel.rules == RULES
    assert len(kernel.batches) == 2
    assert clock.sleeps == []


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """The kernel that the commands find."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    kernel = FakeKernel(BARE)
    original = process.run

    def run(argv: Sequence[str], *arguments: Any, **options: Any) -> bytes:
        return kernel(argv, *arguments) if argv[0] == "ip" else original(argv, *arguments, **options)

    monkeypatch.setattr(process, "run", run)
    return kernel


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(bench: Bench) -> Command:
    """Runs `cloudvip` on a node that configures POD2's interface."""
    configure(bench, POD2)

    def run(*arguments: str) -> tuple[int, str, str]:
        output, errors = io.StringIO(), io.StringIO()
        code = main(["cloudvip", *arguments], output, errors, lambda: bench.mover)
        return code, output.getvalue(), errors.getvalue()

    return run


def configure(bench: Bench, *interfaces: VnicInterface) -> None:
    config = json.loads(bench.config_file.read_text())
    config["interfaces"] = [interface._asdict() for interface in interfaces]
    bench.config_file.write_text(json.dumps(config))


def test_the_command_says_what_is_not_as_it_should_be_and_changes_nothing(command: Command, kernel: FakeKernel) -> None:
    code, output, errors = command("interfaces")

    assert (code, errors) == (1, "")
    assert output.splitlines() == [
        "ens7: 10.0.2.5/28, table 7000, VIPs 10.0.2.9",
        *(f"not done: ip {line}" for line in ALL),
    ]
    assert kernel.batches == []


def test_the_command_says_what_it_did(command: Command, kernel: FakeKernel) -> None:
    assert command("interfaces", "apply") == (0, "".join(f"ip {line}\n" for line in ALL), "")
    assert command("interfaces", "apply") == (0, "", "")
    assert command("interfaces") == (0, "ens7: 10.0.2.5/28, table 7000, VIPs 10.0.2.9\n", "")
    assert len(kernel.batches) == 1


def test_the_command_fails_with_the_reason(command: Command, kernel: FakeKernel) -> None:
    kernel.links.clear()

    assert command("interfaces")[0] == 1
    code, output, errors = command("interfaces", "apply")

    assert (code, output) == (1, "")
    assert errors == f"cloudvip: no interface has the MAC address {MAC} (10.0.2.5); is its VNIC attached?\n"


def own(bench: Bench) -> list[Finding]:
    """What doctor says of the interfaces that the node configures."""
    return [finding for finding in doctor(bench.mover) if finding.subject == "own interfaces"]


@pytest.mark.usefixtures("kernel")
def test_doctor_names_everything_that_an_interface_lacks_and_the_remedy(bench: Bench) -> None:
    configure(bench, POD2)

    findings = own(bench)

    assert [finding.text for finding in findings] == [f"not done: ip {line}" for line in ALL]
    assert {(f.level, f.remedy) for f in findings} == {(Level.FAILURE, "cloudvip interfaces apply")}


def test_doctor_is_content_with_a_configured_interface_and_silent_without_one(bench: Bench, kernel: FakeKernel) -> None:
    assert own(bench) == []

    configure(bench, POD2)
    Interfaces(FakeClock(), kernel).apply([POD2], 0)

    assert [(f.level, f.text) for f in own(bench)] == [(Level.OK, "have their addresses, rules and tables (7000)")]


# In namespaces of its own, so that it takes no privileges where the kernel allows that to anybody.
NAMESPACES = ["unshare", "--user", "--map-root-user", "--net"]
SCRIPT = """
set -e
ip link set lo up
ip link add ens7 address 02:00:17:00:00:07 type veth peer name fabric
ip link set fabric up
ip address add 10.0.2.9/32 dev ens7 noprefixroute
ip address add 192.0.2.77/32 dev ens7
exec "$@"
"""
PROGRAM = """
import json, subprocess, sys
from cloudvip.clock import Clock
from cloudvip.config import VnicInterface
from cloudvip.interfaces import Interfaces

def rules():
    return subprocess.check_output(["ip", "-json", "-4", "rule", "show"]).decode()

def route(source):
    return json.loads(subprocess.check_output(["ip", "-json", "route", "get", "198.51.100.1", "from", source]))[0]

def addresses():
    found = json.loads(subprocess.check_output(["ip", "-json", "-4", "address", "show", "dev", "ens7"]))
    return sorted(a["local"] + "/" + str(a["prefixlen"]) for a in found[0]["addr_info"])

pod, interfaces = VnicInterface(*json.loads(sys.argv[1])), Interfaces(Clock())
applied = [interfaces.apply([pod], 0) for _ in range(2)]
routes = [route(source) for source in ("10.0.2.5", "10.0.2.9")]
configured = addresses()
main = subprocess.check_output(["ip", "-4", "route", "show", "10.0.2.0/28"]).decode()
in_use = [interfaces.apply([], 0), rules()]
subprocess.check_call(["ip", "address", "delete", "10.0.2.9/32", "dev", "ens7"])
removed = [interfaces.apply([], 0) for _ in range(2)]
print(json.dumps([applied, routes, configured, main, in_use, removed, addresses(), rules()]))
"""


def test_the_kernel_accepts_it_and_addresses_of_others_survive() -> None:
    library = Path(__file__).parents[4] / "roles/vip_agent/files/lib"
    done = subprocess.run(
        [*NAMESPACES, "sh", "-c", SCRIPT, "sh", sys.executable, "-c", PROGRAM, json.dumps(POD2)],
        env={**os.environ, "PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    applied, routes, configured, connected, in_use, removed, left, rules = json.loads(done.stdout)
    assert applied == [ALL, []]
    assert [(route["gateway"], route["dev"]) for route in routes] == [("10.0.2.1", "ens7")] * 2
    assert configured == ["10.0.2.5/28", "10.0.2.9/32", "192.0.2.77/32"]
    # What the node forwards into the subnet takes the main table.
    assert "dev ens7" in connected
    assert in_use[0] == []
    # By which the playbook knows it as the node's own, and learns that it is not any more.
    assert tables_by_source(in_use[1])["10.0.2.5"] == 7000
    assert tables_by_source(rules) == {}
    assert [bool(lines) for lines in removed] == [True, False]
    assert left == ["192.0.2.77/32"]

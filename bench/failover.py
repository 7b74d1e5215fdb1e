# SPDX-License-Identifier: GPL-3.0-or-later
"""Failovers with keepalived: the tutorials' configuration against this project's, on the same two nodes in turns."""

from __future__ import annotations

import functools
import json
import shlex
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.measures import turns
from bench.rig import CLI_ENVIRONMENT, COMMAND, CONFIG, Address, Bed, BenchError, Node, assign_argv
from bench.stats import Measure, Series
from lab.control import Machine
from lab.probe import NS_PER_MS, Probe, Sample, Target, analyse

COUNTS = (1, 3, 10)
"""How many VIPs are failed over. A contender is set up with the first ones, so that none has to be taken away."""
HOLDER, SUCCESSOR = "n1", "n2"
TUTORIAL, EQUAL, BALANCED, FAST = "tutorial", "equal timers", "balanced", "fast"
# What the playbook is run with. The tutorials leave a master's timers as they are in VRRP.
TIMERS: Mapping[str, Mapping[str, Any]] = {
    EQUAL: {"keepalived_advert_int": 1, "keepalived_down_timer_adverts": 3},
    BALANCED: {},
    FAST: {"cloudvip_profile": "fast"},
}
_LATENCY_MS = 150
_CLIENT = "client"
_KEEPALIVED = "/etc/keepalived/keepalived.conf"
# Where keepalived accepts a script of root's: no part of the path can be written by anybody else.
_SCRIPT = "/root/claim-vips"
_STEADY_NS = 500 * NS_PER_MS
_BACK_NS = 200 * NS_PER_MS
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Failovers:
    """One contender's failovers of so many VIPs. `outages`: for each of them the VIPs' in ms, the shortest first."""

    contender: str
    vips: int
    outages: tuple[tuple[float, ...], ...]

    @property
    def first(self) -> Series:
        """The outages of the VIP that was back first."""
        return Series(tuple(each[0] for each in self.outages), "ms")

    @property
    def last(self) -> Series:
        """The outages of the VIP that was back last."""
        return Series(tuple(each[-1] for each in self.outages), "ms")

    def to_json(self) -> dict[str, Any]:
        return {
            "contender": self.contender,
            "vips": self.vips,
            "first": self.first.to_json(),
            "last": self.last.to_json(),
            "outages": self.outages,
        }


def outages(samples: Iterable[Sequence[Sample]]) -> tuple[float, ...]:
    """Each VIP's outage in ms, the shortest first, from its samples since the fault. Raises BenchError without one."""
    found = []
    for each in samples:
        ended = [o for o in analyse(each).outages if o.end is not None]
        longest = max(ended, key=lambda outage: outage.ms, default=None)
        if longest is None or longest.after != SUCCESSOR:
            raise BenchError(f"a VIP went on without {HOLDER}, or did not come back on {SUCCESSOR}")
        found.append(longest.ms)
    return tuple(sorted(found))


def measures(found: Iterable[Failovers]) -> list[Measure]:
    """What has a budget."""
    by_name = {(each.contender, each.vips): each for each in found}

    def against(contender: str, vips: int) -> tuple[Failovers, Failovers]:
        return by_name[contender, vips], by_name[TUTORIAL, vips]

    baseline = "keepalived as in the tutorials"
    ten, their_ten = against(EQUAL, COUNTS[-1])
    balanced, their_one = against(BALANCED, COUNTS[0])
    fast, _ = against(FAST, COUNTS[0])
    return [
        Measure("outage of the first of 10 VIPs, equal timers", baseline, ten.first, their_ten.first, 0.75),
        Measure("outage of the tenth, equal timers", baseline, ten.last, their_ten.last, 0.25),
        Measure("outage of 1 VIP, profile balanced", baseline, balanced.first, their_one.first, 0.4),
        Measure("outage of 1 VIP, profile fast", baseline, fast.first, their_one.first, 0.25),
    ]


def tutorial_configuration(own: Machine, peer: Machine) -> str:
    """keepalived.conf with what the tutorials set, and the defaults that they rely on."""
    state, priority = ("MASTER", 200) if own.name == HOLDER else ("BACKUP", 100)
    interface = own.vnics[0].interface
    tracked = "\n        ".join(vnic.interface for vnic in own.vnics)
    return f"""global_defs {{
    enable_script_security
    script_user root
}}
vrrp_instance bench {{
    state {state}
    priority {priority}
    advert_int 1
    virtual_router_id 51
    interface {interface}
    track_interface {{
        {tracked}
    }}
    unicast_src_ip {own.vnics[0].address}
    unicast_peer {{
        {peer.vnics[0].address}
    }}
    authentication {{
        auth_type PASS
        auth_pass bench
    }}
    notify_master {_SCRIPT}
}}
"""


def tutorial_script(vnic_id: str, addresses: Iterable[str]) -> str:
    """The script of the tutorials: one call of Oracle's CLI after the other."""
    exports = [f"export {name}={shlex.quote(value)}" for name, value in CLI_ENVIRONMENT.items()]
    calls = [shlex.join(assign_argv(vnic_id, address)) for address in addresses]
    return "\n".join(["#!/bin/sh", *exports, *calls, ""])


def with_vips(config: str, addresses: Iterable[str]) -> str:
    """A node's configuration as the playbook has written it, with no VIPs of its group but these."""
    data = json.loads(config)
    (group,) = data["groups"].values()
    group["vips"] = [vip for vip in group["vips"] if vip["address"] in set(addresses)]
    group["revision"] = f"bench{len(group['vips'])}"
    return json.dumps(data)


def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for the condition. Raises BenchError that says what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            raise BenchError(f"{what}: not within {seconds:.0f} s")
        time.sleep(_POLL_SECONDS)


class Pair(Bed):
    """Two nodes with keepalived, and the VIPs that go from one to the other."""

    def __init__(self) -> None:
        super().__init__()
        self.machines: dict[str, Machine] = {}
        self.nodes: dict[str, Node] = {}
        self.vips: list[Address] = []
        self.configurations: dict[str, str] = {}
        """Of the mover, by node: the same with all timers."""
        self.keepalived: dict[str, dict[str, str]] = {}
        """keepalived.conf by timers and node."""
        self._adverts = (Path(__file__).parent / "adverts.py").read_text(encoding="utf-8")

    def build(self) -> None:
        """A fresh lab, and keepalived as the playbook sets it up with each of the timers. Raises BenchError."""
        self.fresh()
        self.nodes = {name: Node(name) for name in (HOLDER, SUCCESSOR)}
        for name, options in TIMERS.items():
            self.play("inventory_failover", "--extra-vars", json.dumps(options))
            self.keepalived[name] = {n: node.sh(f"cat {_KEEPALIVED}") for n, node in self.nodes.items()}
        self.configurations = {n: node.sh(f"cat {CONFIG}") for n, node in self.nodes.items()}
        status = self.control.status()
        self.machines = {name: status.node(name) for name in self.nodes}
        home, away = (self.machines[name].vnics[0].vnic_id for name in (SUCCESSOR, HOLDER))
        self.vips = [Address(ip.id, ip.address, home, away) for ip in status.floating]
        self.vips.sort(key=lambda vip: vip.address)

    def install(self) -> dict[str, str]:
        """Oracle's CLI on both nodes. Returns the versions of what is compared."""
        here = self.delivered()
        vip = self.vips[0]
        for node in self.nodes.values():
            release = self.install_cli(node)
            # Once uncounted, so that it has its bytecode; the address is there already.
            node.time(assign_argv(str(here[vip.id]), vip.address), CLI_ENVIRONMENT)
        keepalived = self.nodes[HOLDER].sh("dpkg-query -W -f '${Version}' keepalived")
        return {"oci-cli": release, "keepalived": keepalived}

    def fail_over(self, count: int) -> tuple[float, ...]:
        """Silence the holder of the first `count` VIPs, and give it back its voice when the other node serves them.

        Returns each VIP's outage in ms, the shortest first. Raises BenchError.
        """
        vips = self.vips[:count]
        targets = [Target("vip", vip.address, _CLIENT, vip.address) for vip in vips]

        def answered(window: int, since: int) -> bool:
            now = time.monotonic_ns()
            return all(probe.steady(target, now, window, since) for target in targets)

        with Probe(targets) as probe:
            since = time.monotonic_ns()
            until(lambda: answered(_STEADY_NS, since), f"answers of {count} VIPs on {HOLDER}")
            with self.latency(_LATENCY_MS, SUCCESSOR):
                # Where a power cut is on average: how long its detection takes is not to be left to chance.
                middle = self.hear()
                time.sleep(max(0, middle - time.monotonic_ns()) / 1e9)
                fault = time.monotonic_ns()
                # As a power cut looks to everybody else: silent first, and then it does nothing more.
                self.control.nemesis("freeze", HOLDER)
                silent = time.monotonic_ns()
                try:
                    until(lambda: answered(_BACK_NS, silent), f"answers of {count} VIPs on {SUCCESSOR}", 120)
                    back = time.monotonic_ns()
                finally:
                    self.control.nemesis("thaw", HOLDER)
        return outages([s for s in probe.samples(target, fault) if s.sent < back] for target in targets)

    def held(self, count: int) -> bool:
        """Whether the cloud delivers the first `count` VIPs to the holder."""
        here = self.delivered()
        return all(here[vip.id] == vip.away for vip in self.vips[:count])

    def hear(self) -> int:
        """Wait until the successor has heard two of the holder's adverts. Returns the middle of the next interval."""
        heard = json.loads(self.nodes[SUCCESSOR].sh(f"python3 -IS -c {shlex.quote(self._adverts)}"))
        middle: int = heard["at"] + heard["interval"] // 2
        return middle


class Contender(Protocol):
    """A way to set keepalived up on both nodes of a Pair."""

    name: str

    def start(self) -> None:
        """Before the first `begin`; no other contender runs."""
        ...

    def begin(self, count: int) -> None:
        """See to it that the holder serves the first `count` VIPs and the successor backs it."""
        ...

    def stop(self) -> None:
        """Nothing of it runs any more, and no VIP is on an interface."""
        ...


class Tutorial:
    """keepalived as the tutorials set it up. The VIPs are on the interfaces of both nodes for good."""

    name = TUTORIAL

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def start(self) -> None:
        machines = self._pair.machines
        for own, peer in ((HOLDER, SUCCESSOR), (SUCCESSOR, HOLDER)):
            configuration = tutorial_configuration(machines[own], machines[peer])
            self._pair.nodes[own].sh(f"cat > {_KEEPALIVED}", configuration.encode())
            self._addresses(own, "replace")

    def begin(self, count: int) -> None:
        vips = self._pair.vips[:count]
        addresses = [vip.address for vip in vips]
        until(self._idle, "the end of the last claim")
        for name, node in self._pair.nodes.items():
            script = tutorial_script(self._pair.machines[name].vnics[0].vnic_id, addresses)
            node.sh(f"cat > {_SCRIPT} && chmod 755 {_SCRIPT}", script.encode())
        # The holder is master already, or becomes it and claims. The successor forgets that it has been one.
        # The unit is the playbook's and brings cloudvip's own with it, of which nothing is to run beside the tutorial.
        self._pair.nodes[HOLDER].sh("systemctl start keepalived && systemctl stop cloudvip-vrrp")
        self._pair.nodes[SUCCESSOR].sh("systemctl restart keepalived && systemctl stop cloudvip-vrrp")
        self._pair.hear()
        until(self._idle, f"the end of {HOLDER}'s first claim")
        # A holder that is thawed is master as before and claims nothing.
        self._pair.put_away(vips)

    def stop(self) -> None:
        # In this order, or the successor would claim.
        for name in (SUCCESSOR, HOLDER):
            self._pair.nodes[name].sh("systemctl stop keepalived")
            self._addresses(name, "delete")
        until(self._idle, "the end of the last claim")

    def _addresses(self, name: str, command: str) -> None:
        interface = self._pair.machines[name].vnics[0].interface
        commands = [f"ip address {command} {vip.address}/32 dev {interface}" for vip in self._pair.vips]
        self._pair.nodes[name].sh(" && ".join(commands))

    def _idle(self) -> bool:
        count = f"pgrep --count --exact {Path(_SCRIPT).name} || test $? -eq 1"
        return all(node.sh(count).strip() == "0" for node in self._pair.nodes.values())


class Cloudvip:
    """keepalived as the playbook has set it up with one of the timers."""

    def __init__(self, pair: Pair, name: str) -> None:
        self.name = name
        self._pair = pair

    def start(self) -> None:
        for name, node in self._pair.nodes.items():
            node.sh(f"cat > {_KEEPALIVED}", self._pair.keepalived[self.name][name].encode())

    def begin(self, count: int) -> None:
        addresses = [vip.address for vip in self._pair.vips[:count]]
        for name, node in self._pair.nodes.items():
            configuration = with_vips(self._pair.configurations[name], addresses)
            node.sh(f"cat > {CONFIG}", configuration.encode())
        # The first of the two to start becomes master, and stays it: when it is thawed it takes back what it had.
        for name in (HOLDER, SUCCESSOR):
            self._pair.nodes[name].sh("systemctl start keepalived")
        until(lambda: self._taken_up(count), f"{count} VIPs on {HOLDER}")

    def _taken_up(self, count: int) -> bool:
        self._pair.nodes[HOLDER].sh(f"{COMMAND} apply")
        return self._pair.held(count)

    def stop(self) -> None:
        for name, node in self._pair.nodes.items():
            (group,) = json.loads(self._pair.configurations[name])["groups"]
            node.sh(f"systemctl stop keepalived cloudvip-vrrp && {COMMAND} release {group}")


def failovers(pair: Pair, repetitions: int) -> list[Failovers]:
    """Every contender fails over every number of VIPs so many times, in turns."""
    found: dict[tuple[str, int], list[tuple[float, ...]]] = defaultdict(list)

    def work(contender: Contender) -> None:
        contender.start()
        for count in COUNTS:
            contender.begin(count)
            found[contender.name, count].append(pair.fail_over(count))
        contender.stop()

    ours = [Cloudvip(pair, name) for name in TIMERS]
    # As the playbook has left them, the last one runs.
    ours[-1].stop()
    contenders: list[Contender] = [Tutorial(pair), *ours]
    turns(repetitions, *(functools.partial(work, contender) for contender in contenders))
    return [Failovers(name, count, tuple(each)) for (name, count), each in found.items()]

# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene: a cluster that is well, under a probe, to which something happens; and that is well again in the end."""

from __future__ import annotations

import functools
import json
import re
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from pyroute2 import IPRoute

from lab import engines
from lab.campaign import Observer
from lab.control import Act, Direction
from lab.fabric import ns
from lab.probe import IN_FLIGHT_NS, NS_PER_S, Measurement, Probe, analyse, plan_targets
from lab.shell import exec_in
from tests.lab.conftest import Lab, wait_until

GROUP = "main"
RESOURCE = f"cloudvip-{GROUP}"
CONFIG = "/etc/cloudvip/config.json"
AUDIT = f"/run/cloudvip/audit-{GROUP}.json"
_AGENT = "/usr/lib/ocf/resource.d/cloudvip/vips"
_HEALING: dict[Act, Act] = {
    "kill": "start", "freeze": "thaw", "hang": "unhang", "partition": "heal", "linkdown": "linkup",
}  # fmt: skip


class Answer(NamedTuple):
    """What the agent returned and wrote."""

    code: int
    text: str
    seconds: float


class Scene:
    """What a test does to the cluster and sees of it, from `with` on. What it breaks is healed at the end."""

    def __init__(self, lab: Lab, interval_ms: float = 10.0) -> None:
        self.lab = lab
        self.control = lab.control
        status = self.control.status()
        self.nodes = [n.name for n in status.nodes]
        self.vips = {ip.address: ip.id for ip in status.floating}
        self.since = 0
        self._targets = plan_targets(status)
        self._observer = Observer(self.control, self.vips)
        self._probe = Probe(self._targets, interval_ms=interval_ms)
        self._heal: list[tuple[Act, str, str | None]] = []
        self._moved = False

    def __enter__(self) -> Self:
        self.control.clear_faults()
        self._probe.start()
        try:
            self.well()
            for node in self.nodes:
                wait_until(f"a token on {node}", functools.partial(self.has_token, node), 60)
        except BaseException:
            self._probe.stop()
            raise
        self.since = time.monotonic_ns()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.heal()
            if kind is None:
                self.well()
        finally:
            self._probe.stop()

    def well(self, within: float = 90.0) -> None:
        """Wait until all is as it must be: see lab.campaign.problems."""
        wrong = self._observer.wait(self._probe, within)
        if wrong:
            pytest.fail(f"not well after {within:.0f} s: " + "; ".join(wrong))

    # -- what happens --------------------------------------------------------------------------------------------------

    def fault(self, effect: str, **scope: Any) -> None:
        """A fault of the cloud, until the faults are cleared."""
        self.control.add_fault({"effect": effect, **scope})

    def hits(self) -> int:
        """How many requests were struck by a fault."""
        return sum(int(f["hits"]) for f in self.control.faults())

    def hit(self, act: Act, node: str, *, interface: str | None = None, direction: Direction = "both") -> None:
        """Break something of a node."""
        self._heal.append((_HEALING[act], node, interface))
        self.control.nemesis(act, node, interface=interface, direction=direction)

    def move(self, to: str | None = None) -> None:
        """Have the cluster move the group to any other node; Pacemaker also to a given one."""
        holder = self.holder
        if engines.running(holder, exec_in) == "keepalived":
            assert to is None
            # The next one by priority takes over, and keeps it.
            self.sh(holder, "systemctl restart keepalived")
            return
        self._moved = True
        where = f" --node {to}" if to else ""
        self.sh(holder, f"crm_resource --resource {RESOURCE} --move{where}")

    def settle(self) -> None:
        """Take back what a move has told Pacemaker about where the group is to be."""
        if not self._moved:
            return
        broken = {node for _, node, _ in self._heal}
        node = next(n for n in self.nodes if n not in broken)
        self.sh(node, f"crm_resource --resource {RESOURCE} --clear")
        self._moved = False

    def heal(self) -> None:
        """End all that was done."""
        self.control.clear_faults()
        for act, node, interface in reversed(self._heal):
            self.control.nemesis(act, node, interface=interface)
        self._heal.clear()
        self.settle()

    def sh(self, node: str, command: str, *, check: bool = True) -> str:
        return self.lab.sh(node, command, check=check)

    def agent(
        self, node: str, action: str, *, level: int = 0, every: int = 0, timeout: int = 30, wrapper: str = ""
    ) -> Answer:
        """Run an action of the resource agent as Pacemaker would. `every`, `timeout`: seconds."""
        settings = {
            "OCF_ROOT": "/usr/lib/ocf",
            "OCF_RESKEY_group": GROUP,
            "OCF_RESKEY_CRM_meta_timeout": timeout * 1000,
            "OCF_RESKEY_CRM_meta_interval": every * 1000,
            "OCF_CHECK_LEVEL": level,
        }
        words = " ".join(f"{k}={v}" for k, v in settings.items())
        began = time.monotonic()
        text = self.sh(node, f"{wrapper} env {words} {_AGENT} {action} 2>&1; echo code $?")
        code = re.search(r"code (\d+)\s*$", text)
        assert code is not None
        return Answer(int(code[1]), text[: code.start()], time.monotonic() - began)

    def audit(self, node: str) -> Answer:
        """Pacemaker's audit, now: as if none had been for a while."""
        self.sh(node, f"rm -f {AUDIT}")
        return self.agent(node, "monitor", level=10, every=60)

    def has_token(self, node: str) -> bool:
        return self.sh(node, "cloudvip token show >/dev/null && echo there", check=False) != ""

    # -- what is seen --------------------------------------------------------------------------------------------------

    @property
    def holder(self) -> str:
        """The node that the cloud delivers all the addresses to."""
        holders = self._holders()
        if len(holders) != 1:
            pytest.fail(f"not one holder: {self.lab.holders()}")
        (holder,) = holders
        assert holder is not None
        return holder

    def _holders(self) -> set[str | None]:
        return {node for address, node in self.lab.holders().items() if address in self.vips}

    @property
    def others(self) -> list[str]:
        holder = self.holder
        return [n for n in self.nodes if n != holder]

    def wait_for_takeover(self, old: str, seconds: float = 30) -> str:
        """Wait until the cloud delivers all the addresses to one node that is not `old`."""

        def new() -> str | None:
            holders = self._holders()
            return next(iter(holders)) if len(holders) == 1 and old not in holders else None

        return str(wait_until(f"all addresses away from {old}", new, seconds))

    def configured(self, node: str) -> set[str]:
        """The addresses on a node's interfaces."""
        return {a["local"] for i in json.loads(self.sh(node, "ip -json address")) for a in i["addr_info"]}

    def lost(self) -> dict[str, int]:
        """Target to the number of packets that were not answered, of those that lost any."""
        measured = self._measured()
        assert all(m.sent for m in measured.values())
        return {name: m.lost for name, m in measured.items() if m.lost}

    def _measured(self) -> dict[str, Measurement]:
        """Target to what was seen of it until now."""
        now = time.monotonic_ns()
        time.sleep(IN_FLIGHT_NS / NS_PER_S)
        return {t.name: analyse([s for s in self._probe.samples(t, self.since) if s.sent < now]) for t in self._targets}

    def answers(self) -> bool:
        """Whether the latest packet to every target, of those that are not on their way any more, was answered."""
        return all(m.sent and not any(o.end is None for o in m.outages) for m in self._measured().values())

    def back_after(self, since: int) -> float:
        """Seconds from `since` (monotonic ns) until the last target answered again; to be asked when all do."""
        ends = []
        for name, measurement in self._measured().items():
            for outage in measurement.outages:
                assert outage.end is not None, f"{name} does not answer"
                ends.append(outage.end)
        return max(0, max(ends, default=since) - since) / NS_PER_S

    def outages(self, since: int) -> dict[str, float]:
        """Target to its longest outage from `since` (monotonic ns) on, in ms; to be asked when all answer."""
        return {
            name: max((o.ms for o in m.outages if o.start >= since), default=0.0)
            for name, m in self._measured().items()
        }

    def events(self, kind: str, since: int | None = None) -> list[dict[str, Any]]:
        return [e for e in self.control.events(since or self.since) if e["kind"] == kind]

    def moves(self, since: int | None = None) -> list[str]:
        """Where the data plane was turned to, one for each address and time."""
        return [str(e["port"]) for e in self.events("moved", since)]

    def stays(self, seconds: float) -> None:
        """Insist that nothing moves for so long."""
        since = time.monotonic_ns()
        time.sleep(seconds)
        assert self.moves(since) == []

    def claims_of(self, node: str, since: int) -> list[dict[str, Any]]:
        """A node's requests that change something."""
        return [e for e in self.events("api", since) if e["instance"] == node and e["method"] == "PUT"]

    def status(self, node: str) -> dict[str, dict[str, Any]]:
        """Address -> what `cloudvip status` says of it."""
        said = json.loads(self.sh(node, "cloudvip status --json"))
        return {vip["address"]: vip for vip in said["groups"][GROUP]["vips"]}

    def cloud_truths(self, node: str) -> set[str]:
        """Where `cloudvip status` says the cloud delivers the addresses: here, elsewhere or unknown."""
        return {vip["cloud"] for vip in self.status(node).values()}

    def failures(self, node: str) -> str:
        """The failed actions that Pacemaker remembers, in its words."""
        return self.sh(node, "crm_mon --one-shot --exclude=all --include=failures,failcounts")

    def vrrp(self, node: str) -> str | None:
        """The state of the group's virtual router on a node, in keepalived's words."""
        return (engines.Keepalived(exec_in).states(node) or {}).get(GROUP)

    def journal(self, node: str, seconds: int) -> str:
        """What keepalived and the mover have said of late."""
        of = "--identifier=Keepalived_vrrp --identifier=cloudvip"
        return self.sh(node, f"journalctl --no-pager --output=short-precise --since=-{seconds}s {of}", check=False)


class Look(NamedTuple):
    """The nodes that have a group at one moment: to which the cloud delivers it, which are master, which have all of
    its addresses on their interfaces, and which have any."""

    cloud: frozenset[str | None]
    masters: frozenset[str]
    whole: frozenset[str]
    touched: frozenset[str]

    @property
    def agreed(self) -> bool:
        """Whether all of these are the same one."""
        return len(self.cloud) == 1 and self.cloud == self.masters == self.whole == self.touched


class Router(NamedTuple):
    """A group of keepalived's: its addresses, and the one on the loopback interface of whoever is its master."""

    vips: frozenset[str]
    marker: str


class Watch:
    """Looks at the groups of keepalived's from outside, in milliseconds, and so at a frozen node too. Ends with a power
    cut: a node that boots is another one to look at."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._nodes = {node: scene.lab.netns(node) for node in scene.nodes}
        config = json.loads(scene.sh(scene.nodes[0], f"cat {CONFIG}"))
        self.routers = config["vrrp"]
        self._groups = {
            name: Router(frozenset(vip["address"] for vip in group["vips"]), f"192.0.2.{self.routers[name]}")
            for name, group in config["groups"].items()
        }

    def look(self) -> Look:
        """Who has the only group now."""
        (look,) = self.looks().values()
        return look

    def looks(self) -> dict[str, Look]:
        """Who has which group now."""
        there = {node: _addresses(netns) for node, netns in self._nodes.items()}
        holders = self._scene.lab.holders()
        return {
            name: Look(
                frozenset(holders[vip] for vip in router.vips),
                frozenset(n for n, addresses in there.items() if router.marker in addresses),
                frozenset(n for n, addresses in there.items() if addresses >= router.vips),
                frozenset(n for n, addresses in there.items() if not addresses.isdisjoint(router.vips)),
            )
            for name, router in self._groups.items()
        }

    def agreed(self, what: str, within: float = 10.0, hold: float = 1.0) -> list[float]:
        """Wait until all agree about every group, and go on to for `hold` seconds. Returns for each group the seconds
        from now to when that began."""
        asked = time.monotonic()
        since: dict[str, float] = {}
        while True:
            now, looks = time.monotonic(), self.looks()
            since = {name: since.get(name, now) for name, look in looks.items() if look.agreed}
            if len(since) == len(looks) and now - max(since.values()) >= hold:
                return [began - asked for began in since.values()]
            if now - asked > within and len(since) < len(looks):
                wrong = {name: look for name, look in looks.items() if name not in since}
                said = "\n".join(f"{n}:\n{self._scene.journal(n, 30)}" for n in self._scene.nodes)
                pytest.fail(f"{what}: no agreement within {within:.0f} s: {wrong}\n{said}")
            time.sleep(0.05)


def _addresses(netns: Path) -> set[str]:
    with ns.enter(netns), IPRoute() as inside:
        return {message.get_attr("IFA_LOCAL") for message in inside.get_addr(family=socket.AF_INET)}

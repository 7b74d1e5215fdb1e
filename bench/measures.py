# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured, and how: everything that is compared takes turns, so that a busy machine is busy for both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.rig import AGENT, COMMAND, NODE, OCF_ENVIRONMENT, BenchError, Rig, Run, eighth_of_a_core
from bench.stats import Measure, Series, calls, first_put, parse_depends, per_minute, required
from lab.cloud.auth import TOKEN_TTL

LATENCIES_MS = (0, 150, 1000)
_ASSIGN = "oci network vnic assign-private-ip"
_STEADY_NODES = ("n1", "n2")
# As long as several audits, and as long as no audit can come any more by chance.
_STEADY_SECONDS = 180.0
_QUIET_SECONDS = 100.0
_INSTALLED = (
    "/usr/lib/cloudvip", "/usr/lib/ocf/resource.d/cloudvip", "/usr/sbin/cloudvip", "/usr/lib/tmpfiles.d/cloudvip.conf",
    "/etc/systemd/system/cloudvip-token.*",
)  # fmt: skip
_PACKAGES = ("python3", "openssl", "iproute2")


@dataclass(frozen=True)
class Claims:
    """Claims of one VIP at one latency of the API, by the mover and by Oracle's CLI."""

    latency_ms: int
    ours: Series
    theirs: Series
    ours_put: Series
    theirs_put: Series
    ours_peak: Series
    theirs_peak: Series

    def to_json(self) -> dict[str, Any]:
        return {
            "latency_ms": self.latency_ms,
            "start_to_done": {"ours": self.ours.to_json(), "cli": self.theirs.to_json()},
            "start_to_first_put": {"ours": self.ours_put.to_json(), "cli": self.theirs_put.to_json()},
        }


def turns(repetitions: int, *contenders: Callable[[], None]) -> None:
    """Call each so many times, one after the other, and the other way round every second time."""
    for number in range(repetitions):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            contender()


def _ms(runs: Iterable[Run]) -> Series:
    return Series(tuple(r.ms for r in runs), "ms")


def _cpu(runs: Iterable[Run]) -> Series:
    return Series(tuple(r.cpu * 1000 for r in runs), "ms")


def _peak(runs: Iterable[Run]) -> Series:
    return Series(tuple(r.peak / 1e6 for r in runs), "MB")


def claims(rig: Rig, repetitions: int, latency_ms: int, cgroup: int = -1) -> Claims:
    """The mover and the CLI claim the same VIP in turns."""
    ours: list[tuple[Run, float]] = []
    theirs: list[tuple[Run, float]] = []

    def timed(run: Run) -> tuple[Run, float]:
        rig.check_claimed([rig.one])
        put = first_put(rig.control.events(run.began), NODE, run.began)
        if put is None:
            raise BenchError(f"a claim without an UpdatePrivateIp\n{run.output[-3000:]}")
        return run, put

    def mover() -> None:
        ours.append(timed(rig.claim("one", cgroup)))
        rig.release("one")

    def cli() -> None:
        theirs.append(timed(rig.assign(cgroup)))
        rig.put_away([rig.one])

    with rig.latency(latency_ms, NODE):
        turns(repetitions, mover, cli)
    return Claims(
        latency_ms,
        _ms(r for r, _ in ours), _ms(r for r, _ in theirs),
        Series(tuple(put for _, put in ours), "ms"), Series(tuple(put for _, put in theirs), "ms"),
        _peak(r for r, _ in ours), _peak(r for r, _ in theirs),
    )  # fmt: skip


def limited(rig: Rig, repetitions: int) -> Claims:
    """claims() with an eighth of a core."""
    with eighth_of_a_core() as cgroup:
        return claims(rig, repetitions, 0, cgroup)


def first_put_measure(name: str, found: Claims, limit: float) -> Measure:
    return Measure(name, _ASSIGN, found.ours_put, found.theirs_put, limit)


def memory(found: Claims) -> Measure:
    return Measure("peak memory of a claim", _ASSIGN, found.ours_peak, found.theirs_peak, 1 / 4)


def many(rig: Rig, repetitions: int) -> Measure:
    """A claim of 32 VIPs on three VNICs against a claim of one."""
    group: list[Run] = []
    single: list[Run] = []

    def claim_many() -> None:
        group.append(rig.claim("many"))
        rig.check_claimed(rig.many)
        rig.release("many")

    def claim_one() -> None:
        single.append(rig.claim("one"))
        rig.check_claimed([rig.one])
        rig.release("one")

    with rig.latency(150, NODE):
        turns(repetitions, claim_many, claim_one)
    name = f"claim of {len(rig.many)} VIPs on 3 VNICs at 150 ms per call"
    return Measure(name, "claim of 1 VIP", _ms(group), _ms(single), 1.6)


def monitor(rig: Rig, repetitions: int) -> Measure:
    """The processor time of a monitor: the whole group by the mover, one VIP by the agent that asks the cloud."""
    ours: list[Run] = []
    theirs: list[Run] = []
    rig.claim("many")
    rig.assign()
    turns(
        repetitions,
        lambda: ours.append(rig.monitor("many")),
        lambda: theirs.append(rig.ocivip_monitor()),
    )
    rig.release("many")
    rig.put_away([rig.one])
    name = f"CPU of a monitor for {len(rig.many)} VIPs"
    return Measure(name, "ocivip monitor, 1 VIP", _cpu(ours), _cpu(theirs), 1 / 10)


class Window:
    """A stretch of steady state of the cluster beside the timed node, and what its nodes ask in it."""

    def __init__(self, rig: Rig, seconds: float) -> None:
        self._rig = rig
        self._seconds = seconds
        self._began = time.monotonic_ns()

    def close(self) -> tuple[list[Mapping[str, Any]], float]:
        """The requests in it and its length in seconds, which is not less than what was asked for."""
        lasted = (time.monotonic_ns() - self._began) / 1e9
        time.sleep(max(0.0, self._seconds - lasted))
        now = time.monotonic_ns()
        return calls(self._rig.control.events(self._began), _STEADY_NODES, self._began, now), (now - self._began) / 1e9


def steady(rig: Rig) -> Window:
    return Window(rig, _STEADY_SECONDS)


def quiet(rig: Rig) -> Window:
    """Turn the audit off, and watch from then on."""
    rig.audit_off()
    return Window(rig, _QUIET_SECONDS)


def another_run(first: float, again: float) -> Measure:
    """How long the playbook takes to find that nothing is to be done, in seconds."""
    return Measure(
        "another run of the playbook",
        "the run that builds the cluster",
        Series((again,), "s"),
        Series((first,), "s"),
        1 / 2,
    )


def traffic(rig: Rig, audited: Window) -> Measure:
    """What the group's holder asks of the cloud and of the metadata service, its token's renewal included."""
    window, seconds = audited.close()
    began = time.monotonic_ns()
    rig.node.sh(f"{COMMAND} token refresh")
    renewal = len(calls(rig.control.events(began), [NODE], began, time.monotonic_ns()))
    value = per_minute(window, seconds, renewal, TOKEN_TTL / 2)
    return Measure("cloud and metadata calls, 32 VIPs", "", Series((value,), "calls/min"), None, 6)


def silence(unaudited: Window) -> Measure:
    """The same without the audit. The renewal of the token is not the group's: a node without VIPs renews as often."""
    window, seconds = unaudited.close()
    if any(e["service"] == "federation" for e in window):
        raise BenchError("a token was renewed while the calls of a group without an audit were counted: try again")
    return Measure("the same, audit off", "", Series((len(window) * 60 / seconds,), "calls/min"), None, 0)


def size(rig: Rig) -> Measure:
    """What the role puts on a node: source, bytecode, entry points and units."""
    listed = rig.node.sh(f"find {' '.join(_INSTALLED)} -type f -printf '%s\\n'")
    return Measure("installed size", "", Series((sum(map(int, listed.split())) / 1000,), "kB"), None, 200)


def packages(rig: Rig) -> tuple[Measure, list[str]]:
    """The packages of the system that the mover takes files from, beyond what it may need; and their names."""
    ocf = {**OCF_ENVIRONMENT, "OCF_RESKEY_group": "one", "OCF_RESKEY_CRM_meta_timeout": "60000"}
    files: set[str] = set()
    for argv, environment in (
        ([COMMAND, "token", "refresh"], OCF_ENVIRONMENT),
        ([AGENT, "start"], ocf),
        ([AGENT, "monitor"], ocf),
        ([AGENT, "monitor"], {**ocf, "OCF_CHECK_LEVEL": "10", "OCF_RESKEY_CRM_meta_interval": "60000"}),
        ([AGENT, "stop"], ocf),
    ):
        files |= set(rig.node.trace(argv, environment))
    rig.release("one")
    foreign = sorted(f for f in files if not f.startswith(_INSTALLED[:3]))
    owners = set(rig.node.sh(f"for f in {' '.join(foreign)}; do {_OWNER}; done").split())
    known: dict[str, list[str]] = {}
    roots = set(_PACKAGES)
    for line in rig.node.sh(r"dpkg-query -W -f '${Package}\t${Essential}\t${Pre-Depends}, ${Depends}\n'").splitlines():
        name, essential, depends = line.split("\t")
        known[name] = parse_depends(depends)
        if essential == "yes":
            roots.add(name)
    beyond = sorted(owners - required(known, roots))
    name = f"packages beyond {', '.join(_PACKAGES)}"
    return Measure(name, "", Series((float(len(beyond)),), "packages"), None, 0), beyond


# A package may list a file under a directory that is a link into /usr today; a file of no package is named itself.
_OWNER = '{ dpkg-query -S "$f" || dpkg-query -S "${f#/usr}" || echo "$f:"; } 2>/dev/null | head -n 1 | cut -d: -f1'

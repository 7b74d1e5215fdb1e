# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster engines: which one runs, whether it is well by its own word, and how it is asked for a move."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from lab.control import LabError
from lab.shell import Exec, attempt


@dataclass(frozen=True)
class View:
    """What an engine says of itself. `serving` are the nodes on which it says that addresses are held."""

    problems: tuple[str, ...]
    serving: frozenset[str]


class Engine(Protocol):
    """An engine of the nodes. `evidence`: what a node can say of it, by the name of the file that keeps it."""

    name: ClassVar[str | None]
    evidence: ClassVar[Mapping[str, Sequence[str]]]

    def whole(self, nodes: Sequence[str], /) -> bool:
        """Whether all of these nodes run it and see each other, in the eyes of all: a thawed node's own are stale."""
        ...

    def view(self, nodes: Sequence[str]) -> View:
        """All that it says of itself on these nodes."""
        ...

    def move(self, node: str) -> None:
        """Have it move what runs on `node` to wherever it likes. Raises LabError."""
        ...

    def settle(self, node: str) -> None:
        """Take back, on any node, what the moves have said about where things are to be. Raises LabError."""
        ...


_CRM_MON = ("crm_mon", "--one-shot", "--include=all", "--output-as=xml")


class Pacemaker:
    name: ClassVar[str | None] = "pacemaker"
    evidence: ClassVar[Mapping[str, Sequence[str]]] = {"crm_mon.xml": _CRM_MON, "cib.xml": ("cibadmin", "--query")}

    def __init__(self, exec_on: Exec) -> None:
        self._exec = exec_on
        self._moved: list[str] = []

    def whole(self, nodes: Sequence[str]) -> bool:
        views = (attempt(self._exec, n, _CRM_MON) for n in nodes)
        return all(view is not None and all_online(view) for view in views)

    def view(self, nodes: Sequence[str]) -> View:
        views = {n: attempt(self._exec, n, _CRM_MON) for n in nodes}
        # A move by a person leaves a constraint, which has to be taken away again; all else has to go by itself.
        query = ("cibadmin", "--query", "--scope", "constraints")
        constraints = next((c for n in nodes if (c := attempt(self._exec, n, query)) is not None), None)
        serving = {
            node.get("name", "")
            for text in views.values() if text
            for resource in ET.fromstring(text).iter("resource")
            for node in resource.iter("node")
        }  # fmt: skip
        return View(tuple(_crm_problems(views, constraints)), frozenset(serving))

    def move(self, node: str) -> None:
        for resource in active_resources(self._exec(node, _CRM_MON), node):
            self._moved.append(resource)
            self._exec(node, ["crm_resource", "--resource", resource, "--move"])

    def settle(self, node: str) -> None:
        while self._moved:
            self._exec(node, ["crm_resource", "--resource", self._moved[0], "--clear"])
            del self._moved[0]


def active_resources(crm_mon: str, node: str) -> list[str]:
    """The resources that run on `node` and can be moved: primitives and groups, without clones and fence devices."""
    resources = ET.fromstring(crm_mon).find("resources")
    return [
        element.attrib["id"]
        for element in (resources if resources is not None else ())
        if element.tag in ("resource", "group")
        and not element.get("resource_agent", "").startswith("stonith:")
        and any(n.get("name") == node for n in element.iter("node"))
    ]


def all_online(crm_mon: str) -> bool:
    """Whether every node of the cluster is a full member of it."""
    nodes = ET.fromstring(crm_mon).findall("nodes/node")
    return bool(nodes) and all(
        (n.get("online"), n.get("pending"), n.get("unclean")) == ("true", "false", "false") for n in nodes
    )


def _crm_problems(views: Mapping[str, str | None], constraints: str | None) -> Iterator[str]:
    for node_name, text in views.items():
        if text is None:
            yield f"{node_name}: the cluster's state cannot be read"
            continue
        if not all_online(text):
            yield f"{node_name} does not see all nodes online"
        root = ET.fromstring(text)
        dc = root.find("summary/current_dc")
        if dc is None or dc.get("with_quorum") != "true":
            yield f"{node_name} sees no quorum"
        for resource in root.iter("resource"):
            on = [n.get("name") for n in resource.iter("node")]
            bad = [k for k in ("failed", "blocked", "orphaned", "failure_ignored") if resource.get(k) == "true"]
            if resource.get("role") != "Started" or len(on) != 1 or resource.get("pending") or bad:
                state = " ".join(filter(None, [resource.get("role"), resource.get("pending"), *bad]))
                yield f"{node_name} sees {resource.get('id')} {state} on {', '.join(map(str, on)) or 'no node'}"
        for failure in root.iter("failure"):
            yield f"{node_name} sees a failed action: {failure.get('op_key')} on {failure.get('node')}"
        for history in root.iter("resource_history"):
            if history.get("fail-count", "0") != "0":
                yield f"{node_name} sees a fail count of {history.get('fail-count')} for {history.get('id')}"
    for constraint in ET.fromstring(constraints) if constraints else ():
        if constraint.get("id", "").startswith("cli-"):
            yield f"constraint {constraint.get('id')} is left"


_VRRP_JOURNAL = ("journalctl", "--no-pager", "--output=cat", "--identifier=Keepalived_vrrp")
_VRRP_STATE = re.compile(r"^\(([^)]+)\):? entering (\w+) state", re.IGNORECASE | re.MULTILINE)


class Keepalived:
    name: ClassVar[str | None] = "keepalived"
    evidence: ClassVar[Mapping[str, Sequence[str]]] = {"keepalived.conf": ("cat", "/etc/keepalived/keepalived.conf")}

    def __init__(self, exec_on: Exec) -> None:
        self._exec = exec_on

    def whole(self, nodes: Sequence[str]) -> bool:
        return not self.view(nodes).problems

    def view(self, nodes: Sequence[str]) -> View:
        states = {n: self.states(n) for n in nodes}
        serving = frozenset(n for n, instances in states.items() if instances and "MASTER" in instances.values())
        return View(tuple(_vrrp_problems(states)), serving)

    def states(self, node: str) -> dict[str, str] | None:
        """Instance to its state; None if keepalived does not run there, or the node cannot be asked."""
        # In this order: the journal goes on having the last word of one that does not run any more.
        journal = attempt(self._exec, node, _VRRP_JOURNAL)
        return None if journal is None or running(node, self._exec) != self.name else vrrp_states(journal)

    def move(self, node: str) -> None:
        # A holder that goes tells the others at once; with nopreempt it takes nothing back when it returns.
        self._exec(node, ["systemctl", "restart", "keepalived"])

    def settle(self, node: str) -> None:
        """Nothing: a move leaves nothing behind."""


def vrrp_states(journal: str) -> dict[str, str]:
    """VRRP instance to its state, by the last word of keepalived in a node's journal."""
    return {instance: state.upper() for instance, state in _VRRP_STATE.findall(journal)}


def _vrrp_problems(states: Mapping[str, Mapping[str, str] | None]) -> Iterator[str]:
    for node, instances in states.items():
        if instances is None:
            yield f"{node}: keepalived does not run, or cannot be asked"
            continue
        for instance, state in instances.items():
            if state == "FAULT":
                yield f"{node}: {instance} is in state FAULT"
    for instance in sorted({i for instances in states.values() for i in instances or ()}):
        for node, instances in states.items():
            if instances is not None and instance not in instances:
                yield f"{node}: {instance} has no state"
        masters = [n for n, instances in states.items() if instances and instances.get(instance) == "MASTER"]
        if len(masters) != 1:
            yield f"{instance} is MASTER on {', '.join(masters) or 'no node'}"


class NoEngine:
    """Stands for an engine where there is none."""

    name: ClassVar[str | None] = None
    evidence: ClassVar[Mapping[str, Sequence[str]]] = {}

    def whole(self, *_: object) -> bool:
        """Nothing is missing."""
        return True

    def view(self, nodes: Sequence[str]) -> View:
        return View((f"none of {', '.join(nodes)} runs a cluster engine",), frozenset())

    def move(self, node: str) -> None:
        raise LabError(f"{node} runs no engine that the lab can ask for a move (looked for {', '.join(_ENGINES)})")

    def settle(self, node: str) -> None:
        """Nothing: there was no move."""


_ENGINES: Mapping[str, Callable[[Exec], Engine]] = {"pacemaker": Pacemaker, "keepalived": Keepalived}


def running(node: str, exec_on: Exec) -> str | None:
    """The name of the cluster engine that runs on a node; None also if the node cannot be asked."""
    # Fails when none of them is active.
    states = attempt(exec_on, node, ["systemctl", "is-active", *_ENGINES]) or ""
    return next((name for name, state in zip(_ENGINES, states.split(), strict=False) if state == "active"), None)


def find(nodes: Sequence[str], exec_on: Exec) -> Engine:
    """The engine of the first of these nodes that runs one."""
    return next((_ENGINES[name](exec_on) for n in nodes if (name := running(n, exec_on))), NoEngine())

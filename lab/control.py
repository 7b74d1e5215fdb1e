# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's commands ask the lab's daemon, over its unix socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import httpx

from lab.paths import CONTROL_SOCKET, LOG_FILE

Act = Literal[
    "kill", "start", "stop", "freeze", "thaw", "hang", "unhang", "partition", "heal", "linkdown", "linkup"
]  # fmt: skip
Direction = Literal["both", "in", "out"]
# An orderly shutdown waits for every service of the node, and a reset for all nodes to boot.
_TIMEOUT_SECONDS = 180.0


class LabError(RuntimeError):
    """The lab did not do what was asked; the message is for the person at the command line."""


@dataclass(frozen=True)
class Vnic:
    interface: str
    vnic_id: str
    address: str
    subnet: str
    """The subnet's CIDR."""


@dataclass(frozen=True)
class Machine:
    """A node, or a client (which has neither `instance_id` nor `state`)."""

    name: str
    instance_id: str
    state: str
    vnics: tuple[Vnic, ...]


@dataclass(frozen=True)
class FloatingIp:
    """A secondary private IP; `vnic_id` is None while it is on no VNIC."""

    id: str
    address: str
    vnic_id: str | None
    subnet: str
    display_name: str


@dataclass(frozen=True)
class Flow:
    """A client-to-client flow through the routers."""

    source: str
    target: str
    address: str


@dataclass(frozen=True)
class Status:
    topology: str
    nodes: tuple[Machine, ...]
    clients: tuple[Machine, ...]
    floating: tuple[FloatingIp, ...]
    flows: tuple[Flow, ...]

    def node(self, name: str) -> Machine:
        """The node of that name. Raises LabError with the names there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise LabError(f"node {name!r}: expected one of {', '.join(n.name for n in self.nodes)}")

    def holder(self, floating: FloatingIp) -> str | None:
        """The node that the cloud delivers the address to, or None."""
        for node in self.nodes:
            if any(v.vnic_id == floating.vnic_id for v in node.vnics):
                return node.name
        return None


def parse_status(data: Mapping[str, Any]) -> Status:
    """The daemon's answer to GET /status as a Status."""
    return Status(
        data["topology"],
        tuple(_machine(n) for n in data["nodes"]),
        tuple(_machine(c) for c in data["clients"]),
        tuple(
            FloatingIp(p["id"], p["address"], p["vnic_id"], p["subnet"], p["display_name"] or "")
            for p in data["private_ips"]
        ),
        tuple(Flow(f["from"], f["to"], f["address"]) for f in data["flows"]),
    )


def _machine(data: Mapping[str, Any]) -> Machine:
    vnics = tuple(Vnic(v["interface"], v["vnic_id"], v["address"], v["subnet"]) for v in data["vnics"])
    return Machine(data["name"], data.get("instance_id", ""), data.get("state", ""), vnics)


class Control:
    """The daemon's control API. Every method raises LabError, also when there is no daemon."""

    def __init__(self, path: Path = CONTROL_SOCKET, transport: httpx.BaseTransport | None = None) -> None:
        self._log = path.with_name(LOG_FILE.name)
        self._client = httpx.Client(
            transport=transport or httpx.HTTPTransport(uds=str(path)),
            base_url="http://lab",
            timeout=_TIMEOUT_SECONDS,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def raw_status(self) -> dict[str, Any]:
        """GET /status as it comes."""
        status: dict[str, Any] = self._call("GET", "/status")
        return status

    def status(self) -> Status:
        return parse_status(self.raw_status())

    def events(self, since: int) -> list[dict[str, Any]]:
        """What happened from `since` on (monotonic ns), oldest first."""
        events: list[dict[str, Any]] = self._call("GET", "/events", params={"since": since})
        return sorted(events, key=lambda event: int(event["t"]))

    def nemesis(self, act: Act, node: str, *, interface: str | None = None, direction: Direction = "both") -> None:
        """Break something of a node, or make it whole again."""
        self._call("POST", f"/nemesis/{act}", json={"node": node, "interface": interface, "direction": direction})

    def add_fault(self, fault: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add a fault to the cloud's API. Returns all faults."""
        faults: list[dict[str, Any]] = self._call("POST", "/faults", json=dict(fault))
        return faults

    def faults(self) -> list[dict[str, Any]]:
        faults: list[dict[str, Any]] = self._call("GET", "/faults")
        return faults

    def clear_faults(self) -> None:
        self._call("DELETE", "/faults")

    def reset(self, *, fresh_cloud: bool) -> dict[str, Any]:
        """All nodes back to the bare image. Returns the status afterwards."""
        status: dict[str, Any] = self._call("POST", "/reset", json={"cloud": "fresh" if fresh_cloud else "keep"})
        return status

    def _call(self, method: str, path: str, **kwargs: Any) -> Any:
        try:
            response = self._client.request(method, path, **kwargs)
        except httpx.ConnectError as error:
            # `lab down` removes the log.
            why = f"its daemon has ended, see {self._log}; " if self._log.exists() else ""
            raise LabError(f"the lab is not up: {why}run `lab up`") from error
        except httpx.HTTPError as error:
            raise LabError(
                f"the lab's daemon did not answer {method} {path}: {error or type(error).__name__}"
            ) from error
        if response.is_error:
            raise LabError(f"{method} {path}: {_reason(response)}")
        return response.json()


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code} {response.text}".strip()

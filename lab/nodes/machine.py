# SPDX-License-Identifier: GPL-3.0-or-later
"""A node as a virtual machine: power, and the ways in which one fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from lab.fabric.kernel import Fabric
from lab.fabric.view import Port, View
from lab.nodes import podman
from lab.topology import Instance, Topology

log = logging.getLogger("lab")
State = Literal["STOPPED", "STARTING", "RUNNING", "STOPPING"]


class Machine:
    """One node. `on_state` hears of every change, also of those that the node makes itself (poweroff, crash)."""

    def __init__(
        self,
        node: Instance,
        topology: Topology,
        fabric: Fabric,
        view: Callable[[], View],
        on_state: Callable[[str, State], None],
    ) -> None:
        self.node = node
        self.state: State = "STOPPED"
        self._topology = topology
        self._fabric = fabric
        self._view = view
        self._on_state = on_state
        self._watcher: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._pid: int | None = None
        self._plugged: dict[str, Port] = {}
        self._plugging = asyncio.Lock()

    def _set(self, state: State) -> None:
        self.state = state
        self._on_state(self.node.name, state)

    async def power_on(self) -> None:
        """Boot; returns when systemd has been started. A node that runs stays as it is."""
        async with self._lock:
            if self.state != "RUNNING":
                await self._boot()

    async def _boot(self) -> None:
        """With the lock held. A boot that fails leaves the power off."""
        name = self.node.name
        self._set("STARTING")
        try:
            pid, conmon = await podman.init(name)
        except BaseException:
            self._set("STOPPED")
            raise
        self._pid = pid
        try:
            await self.follow()
            await self._fabric.silence(name, silent=False)
            await podman.start(name)
        except BaseException:
            podman.end(pid)
            await self._end(pid, conmon)
            raise
        self._watcher = asyncio.create_task(self._watch(pid, conmon), name=f"watch-{name}")
        self._watcher.add_done_callback(self._watched)
        self._set("RUNNING")

    async def follow(self) -> None:
        """Plug the VNICs that the node has by now, and unplug those that it has no more. Without power, its boot will.

        This has a lock of its own: a shutdown holds the power's for as long as the node's services ask for moves.
        """
        async with self._plugging:
            if self._pid is None:
                return
            wanted = {p.vnic_id: p for p in self._view().ports if p.instance == self.node.name}
            for vnic_id in self._plugged.keys() - wanted.keys():
                await self._fabric.unplug(self._plugged.pop(vnic_id))
            for port in (p for v, p in wanted.items() if v not in self._plugged):
                try:
                    await self._plug(port, podman.netns(self._pid))
                except Exception:
                    await self._fabric.unplug(port)
                    if podman.has_ended(self._pid):
                        return
                    raise
                self._plugged[port.vnic_id] = port

    async def _plug(self, port: Port, netns: Path) -> None:
        if port.vnic_id in (v.id for v in self.node.vnics):
            subnet, primary = self._topology.subnet(port.subnet), self.node.vnics[0].id
            await self._fabric.plug(
                port, netns, subnet.gateway, subnet.cidr.prefixlen, default_route=port.vnic_id == primary
            )
        else:
            await self._fabric.plug_bare(port, netns)

    async def _watch(self, pid: int, conmon: int) -> None:
        code = await self._end(pid, conmon)
        # Whoever holds the lock waits for this end and takes the power away: then a reboot does not come to pass.
        if code == podman.EXIT_REBOOT and not self._lock.locked():
            await self.power_on()

    def _watched(self, watcher: asyncio.Task[None]) -> None:
        """Nobody may be waiting for the end of a node that ends by itself, and nobody is for its reboot."""
        if not watcher.cancelled() and (error := watcher.exception()):
            log.error("%s did not end or reboot as it should: %s", self.node.name, error)

    async def _end(self, pid: int, conmon: int) -> int:
        """Wait until the node's process has ended, and tidy up. Returns its exit code."""
        await podman.gone(pid)
        try:
            async with self._plugging:
                plugged, self._pid, self._plugged = self._plugged, None, {}
                for port in plugged.values():
                    await self._fabric.unplug(port)
            # The last thing that conmon does is to unmount the disk: of the node's next life, if that has begun.
            await podman.gone(conmon)
            return await podman.exit_code(self.node.name)
        finally:
            # Whatever else goes wrong, a node without a process can be started again.
            self._set("STOPPED")

    async def power_off(self) -> None:
        """A power cut: silent first, because a killed node's kernel goes on answering for a tenth of a second."""
        async with self._lock:
            if self.state == "RUNNING":
                await self._fabric.silence(self.node.name, silent=True)
                await podman.kill(self.node.name)
                await self._ended()

    async def shut_down(self) -> None:
        """An orderly shutdown: the node's services stop in order, then the power goes."""
        async with self._lock:
            if self.state == "RUNNING":
                self._set("STOPPING")
                try:
                    await podman.stop(self.node.name)
                except podman.NodeError:
                    # Refused, for example because it is paused: its power can still be cut.
                    if self._watcher and not self._watcher.done():
                        self._set("RUNNING")
                    raise
                await self._ended()

    async def _ended(self) -> None:
        if self._watcher:
            await self._watcher

    async def freeze(self) -> None:
        """A hypervisor stall: nothing runs, and nobody sees anything of the machine."""
        await self._fabric.silence(self.node.name, silent=True)
        await podman.pause(self.node.name)

    async def thaw(self) -> None:
        await podman.unpause(self.node.name)
        await self._fabric.silence(self.node.name, silent=False)

    async def hang(self) -> None:
        """Userspace stops; the kernel goes on answering ping, ARP and TCP handshakes."""
        await podman.pause(self.node.name)

    async def unhang(self) -> None:
        await podman.unpause(self.node.name)

    async def rebuild(self, image: str) -> None:
        """Throw the disk away and make a fresh one from `image`; the power is off afterwards."""
        await self.power_off()
        await podman.remove(self.node.name)
        await podman.create(self.node.name, image)

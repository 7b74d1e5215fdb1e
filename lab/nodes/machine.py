# SPDX-License-Identifier: GPL-3.0-or-later
"""A node as a virtual machine: power, and the ways in which one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from lab.fabric.kernel import Fabric
from lab.fabric.view import View
from lab.nodes import podman
from lab.topology import Instance, Topology

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
        try:
            await self._plug(pid)
            await self._fabric.silence(name, silent=False)
            await podman.start(name)
        except BaseException:
            podman.end(pid)
            await self._end(pid, conmon)
            raise
        self._watcher = asyncio.create_task(self._watch(pid, conmon), name=f"watch-{name}")
        self._set("RUNNING")

    async def _plug(self, pid: int) -> None:
        name, primary = self.node.name, self.node.vnics[0].interface
        for port in (p for p in self._view().ports if p.instance == name):
            subnet = self._topology.subnet(port.subnet)
            await self._fabric.plug(
                port, podman.netns(pid), subnet.gateway, subnet.cidr.prefixlen, default_route=port.interface == primary
            )

    async def _watch(self, pid: int, conmon: int) -> None:
        code = await self._end(pid, conmon)
        # Whoever holds the lock waits for this end and takes the power away: then a reboot does not come to pass.
        if code == podman.EXIT_REBOOT and not self._lock.locked():
            await self.power_on()

    async def _end(self, pid: int, conmon: int) -> int:
        """Wait until the node's process has ended, and tidy up. Returns its exit code."""
        await podman.gone(pid)
        try:
            await self._fabric.unplug(self.node.name)
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

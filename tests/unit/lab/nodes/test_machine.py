# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's power, on a podman and a fabric that do and refuse what the test says."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any

import pytest

from lab.cloud.state import Cloud, NullEffects
from lab.fabric import kernel
from lab.fabric.view import Port
from lab.nodes import podman
from lab.nodes.machine import Machine, State
from lab.topology import load


class World(kernel.Fabric):
    """What is below a machine. A step in `refused` fails; one in `held` waits until the test lets it go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[str] = []
        self.states: list[State] = []
        self.refused: set[str] = set()
        self.held: dict[str, asyncio.Event] = {}
        self.code_of_a_kill = 137
        self._pids = itertools.count(100, 2)
        self._pid = 0
        self._gone: dict[int, asyncio.Event] = {}
        self._code = 0
        self.plugged: dict[str, str] = {}
        for name in ("init", "start", "kill", "stop", "gone", "exit_code", "end", "has_ended"):
            monkeypatch.setattr(podman, name, getattr(self, name))
        shape = load("pair")
        self.cloud = Cloud(shape, NullEffects())
        self.machine = Machine(shape.nodes[0], shape, self, self.cloud.view, lambda _, state: self.states.append(state))

    @property
    def boots(self) -> int:
        return self.steps.count("init")

    def exit(self, code: int) -> None:
        """End the node's process."""
        self._code = code
        self._gone[self._pid].set()

    def end(self, pid: int) -> None:
        assert pid == self._pid
        self.exit(137)

    async def _step(self, name: str) -> None:
        self.steps.append(name)
        await asyncio.sleep(0)
        if name in self.held:
            await self.held[name].wait()
        if name in self.refused:
            raise podman.NodeError(f"{name} refused")

    async def init(self, _: str) -> tuple[int, int]:
        await self._step("init")
        alive = [pid for pid, gone in self._gone.items() if not gone.is_set()]
        assert not alive, "two lives at once"
        self._pid = next(self._pids)
        self._gone[self._pid] = self._gone[self._pid + 1] = asyncio.Event()
        return self._pid, self._pid + 1

    async def start(self, _: str) -> None:
        await self._step("start")

    async def kill(self, _: str) -> None:
        await self._step("kill")
        self.exit(self.code_of_a_kill)

    async def stop(self, _: str) -> None:
        await self._step("stop")
        self.exit(130)

    async def gone(self, pid: int) -> None:
        await self._gone[pid].wait()

    async def exit_code(self, _: str) -> int:
        await self._step("exit_code")
        return self._code

    def has_ended(self, pid: int) -> bool:
        return self._gone[pid].is_set()

    async def plug(self, port: Port, *_: Any, **__: Any) -> None:
        await self._step("plug")
        self.plugged[port.interface] = "addressed"

    async def plug_bare(self, port: Port, *_: Any) -> None:
        await self._step("plug_bare")
        self.plugged[port.interface] = "bare"

    async def unplug(self, port: Port) -> None:
        await self._step("unplug")
        self.plugged.pop(port.interface, None)

    async def attach(self) -> str:
        """Attach a VNIC to the node in the cloud, and return its attachment's OCID."""
        shape = self.cloud.topology
        attachment = await self.cloud.attach_vnic(self.machine.node.id, shape.subnet("app").id)
        self.cloud.settle([attachment])
        return attachment.id

    async def silence(self, *_: Any, **__: Any) -> None:
        await self._step("silence")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test; one that would wait for ever fails."""
    asyncio.run(asyncio.wait_for(test, 10))


async def until_seen(world: World, step: str, times: int) -> None:
    while world.steps.count(step) < times:
        await asyncio.sleep(0)


def test_power_goes_on_and_off_without_a_pause(world: World) -> None:
    async def test() -> None:
        for _ in range(3):
            await world.machine.power_on()
            await world.machine.power_off()

    run(test())
    assert world.boots == 3
    assert world.states == ["STARTING", "RUNNING", "STOPPED"] * 3


def test_a_node_that_reboots_comes_back(world: World) -> None:
    async def test() -> None:
        await world.machine.power_on()
        world.exit(podman.EXIT_REBOOT)
        await until_seen(world, "start", 2)
        await world.machine.power_on()

    run(test())
    assert world.states == ["STARTING", "RUNNING", "STOPPED", "STARTING", "RUNNING"]


async def reboot_until_init(world: World) -> None:
    await world.machine.power_on()
    world.held["init"] = asyncio.Event()
    world.exit(podman.EXIT_REBOOT)
    await until_seen(world, "init", 2)


def test_a_start_while_a_node_reboots_does_not_boot_it_twice(world: World) -> None:
    async def test() -> None:
        await reboot_until_init(world)
        start = asyncio.create_task(world.machine.power_on())
        await asyncio.sleep(0.01)
        world.held["init"].set()
        await start

    run(test())
    assert (world.boots, world.machine.state) == (2, "RUNNING")


@pytest.mark.parametrize("how", ["power_off", "shut_down"])
def test_power_goes_off_while_a_node_reboots(world: World, how: str) -> None:
    async def test() -> None:
        await reboot_until_init(world)
        off = asyncio.create_task(getattr(world.machine, how)())
        await asyncio.sleep(0.01)
        world.held["init"].set()
        await off

    run(test())
    assert (world.boots, world.machine.state) == (2, "STOPPED")


def test_a_power_cut_at_the_moment_of_a_reboot_is_final(world: World) -> None:
    world.code_of_a_kill = podman.EXIT_REBOOT

    async def test() -> None:
        await world.machine.power_on()
        await world.machine.power_off()
        await asyncio.sleep(0.01)
        assert (world.boots, world.machine.state) == (1, "STOPPED")
        await world.machine.power_on()

    run(test())
    assert (world.boots, world.machine.state) == (2, "RUNNING")


@pytest.mark.parametrize("step", ["init", "plug", "silence", "start"])
def test_a_boot_that_fails_leaves_the_power_off_and_can_be_tried_again(world: World, step: str) -> None:
    async def test() -> None:
        world.refused = {step}
        with pytest.raises(podman.NodeError, match=step):
            await world.machine.power_on()
        assert world.machine.state == "STOPPED"
        await world.machine.power_off()
        world.refused = set()
        await world.machine.power_on()

    run(test())
    assert world.states == ["STARTING", "STOPPED", "STARTING", "RUNNING"]


def test_a_reboot_that_fails_leaves_the_power_off_and_can_be_tried_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        await world.machine.power_on()
        world.refused = {"start"}
        world.exit(podman.EXIT_REBOOT)
        await until_seen(world, "exit_code", 2)
        world.refused = set()
        await world.machine.power_on()

    run(test())
    assert (world.boots, world.machine.state) == (3, "RUNNING")
    assert "n1 did not end or reboot as it should: start refused" in caplog.text


def test_a_shutdown_that_is_refused_leaves_a_node_whose_power_can_be_cut(world: World) -> None:
    world.refused = {"stop"}

    async def test() -> None:
        await world.machine.power_on()
        with pytest.raises(podman.NodeError, match="stop"):
            await world.machine.shut_down()
        assert world.machine.state == "RUNNING"
        await world.machine.power_off()

    run(test())
    assert world.machine.state == "STOPPED"


def test_a_vnic_that_is_attached_to_a_running_node_is_plugged_bare_and_unplugged_when_it_is_detached(
    world: World,
) -> None:
    async def test() -> None:
        await world.machine.power_on()
        attachment_id = await world.attach()
        await world.machine.follow()
        assert world.plugged == {"ens3": "addressed", "ens5": "bare"}
        await world.cloud.detach_vnic(attachment_id)
        await world.machine.follow()
        assert world.plugged == {"ens3": "addressed"}

    run(test())


def test_a_node_without_power_gets_its_new_vnic_at_every_boot_and_bare(world: World) -> None:
    async def test() -> None:
        await world.attach()
        await world.machine.follow()
        assert world.plugged == {}
        for _ in range(2):
            await world.machine.power_on()
            assert world.plugged == {"ens3": "addressed", "ens5": "bare"}
            await world.machine.power_off()
            assert world.plugged == {}

    run(test())


def test_a_vnic_that_went_while_the_power_was_off_is_not_plugged_again(world: World) -> None:
    async def test() -> None:
        attachment_id = await world.attach()
        await world.machine.power_on()
        await world.machine.power_off()
        await world.cloud.detach_vnic(attachment_id)
        await world.machine.power_on()

    run(test())
    assert world.plugged == {"ens3": "addressed"}


def test_a_node_that_dies_while_it_gets_a_vnic_gets_it_at_its_next_boot(world: World) -> None:
    async def test() -> None:
        await world.machine.power_on()
        await world.attach()
        world.held["plug_bare"] = asyncio.Event()
        plugging = asyncio.create_task(world.machine.follow())
        await until_seen(world, "plug_bare", 1)
        world.exit(130)
        world.refused = {"plug_bare"}
        world.held["plug_bare"].set()
        await plugging
        world.refused = set()
        await world.machine.power_off()
        await world.machine.power_on()

    run(test())
    assert world.plugged == {"ens3": "addressed", "ens5": "bare"}


def test_a_vnic_that_the_kernel_refuses_is_refused_and_can_be_tried_again(world: World) -> None:
    async def test() -> None:
        await world.machine.power_on()
        await world.attach()
        world.refused = {"plug_bare"}
        with pytest.raises(podman.NodeError):
            await world.machine.follow()
        world.refused = set()
        await world.machine.follow()

    run(test())
    assert world.plugged == {"ens3": "addressed", "ens5": "bare"}


def test_a_vnic_is_attached_during_a_shutdown_that_takes_its_time(world: World) -> None:
    world.held["stop"] = asyncio.Event()

    async def test() -> None:
        await world.machine.power_on()
        off = asyncio.create_task(world.machine.shut_down())
        await until_seen(world, "stop", 1)
        await world.attach()
        await world.machine.follow()
        assert "ens5" in world.plugged
        world.held["stop"].set()
        await off

    run(test())
    assert world.plugged == {}

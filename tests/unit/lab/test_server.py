# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon: nothing of it fails unheard, and a change that fails leaves nothing of itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Literal

import pytest

from lab import server
from lab.cloud import pki
from lab.cloud.state import Action
from lab.fabric import kernel
from lab.fabric.view import Port, View
from lab.nodes import podman
from lab.topology import load


class Fabric(kernel.Fabric):
    """A fabric without a kernel. It refuses VNICs that are attached to a running node as long as `refuses` says so."""

    def __init__(self, _: Any) -> None:
        self.view = View((), (), (), ())
        self.plugged: set[str] = set()
        self.refuses = False

    async def apply(self, view: View) -> None:
        self.view = view

    async def plug(self, port: Port, *_: Any, **__: Any) -> None:
        self.plugged.add(port.vnic_id)

    async def plug_bare(self, port: Port, *_: Any) -> None:
        if self.refuses:
            raise OSError("the kernel said no")
        self.plugged.add(port.vnic_id)

    async def unplug(self, port: Port) -> None:
        self.plugged.discard(port.vnic_id)

    async def silence(self, *_: Any, **__: Any) -> None:
        pass


class Lab(server.Lab):
    """The daemon of the topology `pair`, whose first node is up."""

    fabric: Fabric

    @classmethod
    async def up(cls) -> Lab:
        lab = cls(load("pair"), "image")
        await lab.machines["n1"].power_on()
        return lab


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A podman whose nodes stay up and refuse to go down, and a daemon that has neither a kernel nor keys."""

    async def init(_: str) -> tuple[int, int]:
        return 100, 101

    async def done(_: str) -> None:
        pass

    async def gone(_: int) -> None:
        await asyncio.Event().wait()

    async def refuse(_: str) -> None:
        raise podman.NodeError("the node is paused")

    monkeypatch.setattr(server, "Fabric", Fabric)
    monkeypatch.setattr(pki, "ensure", lambda *_: None)
    for name, fake in {"init": init, "start": done, "gone": gone, "stop": refuse, "kill": refuse}.items():
        monkeypatch.setattr(podman, name, fake)
    monkeypatch.setattr(podman, "has_ended", lambda _: False)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test; one that would wait for ever fails."""
    asyncio.run(asyncio.wait_for(test, 10))


@pytest.mark.usefixtures("nodes")
def test_a_vnic_that_a_node_cannot_get_is_in_the_fabric_no_more_than_in_the_cloud() -> None:
    async def test() -> None:
        lab = await Lab.up()
        before, plugged = lab.cloud.view(), set(lab.fabric.plugged)
        attach = (lab.topology.instance("n1").id, lab.topology.subnet("app").id)
        lab.fabric.refuses = True
        with pytest.raises(OSError, match="the kernel said no"):
            await lab.cloud.attach_vnic(*attach)
        assert (lab.cloud.view(), lab.fabric.view, lab.fabric.plugged) == (before, before, plugged)
        lab.fabric.refuses = False
        await lab.cloud.attach_vnic(*attach)
        assert lab.fabric.view == lab.cloud.view() != before
        assert len(lab.fabric.plugged) == len(plugged) + 1

    run(test())


@pytest.mark.parametrize("action", ["STOP", "SOFTSTOP", "RESET"])
@pytest.mark.usefixtures("nodes")
def test_a_power_action_that_a_node_refuses_is_logged_and_the_lab_goes_on(
    action: Action, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        stop = asyncio.Event()
        server.stop_on_failure(stop)
        lab = await Lab.up()
        await lab.cloud.instance_action(lab.topology.instance("n1").id, action)
        while f"{action} of n1: the node is paused" not in caplog.text:
            await asyncio.sleep(0)
        assert lab.cloud.instance_named("n1").lifecycle_state == "RUNNING"
        assert not stop.is_set()

    run(test())


class Stop(asyncio.Event):
    def set(self) -> None:
        assert threading.current_thread() is threading.main_thread(), "nothing else wakes the loop"
        super().set()


@pytest.mark.parametrize("where", ["callback", "task", "thread"])
def test_a_failure_that_nobody_waits_for_is_logged_and_ends_the_lab(
    where: Literal["callback", "task", "thread"], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise OSError("the kernel said no")

    async def fail_later() -> None:
        await asyncio.sleep(0)
        fail()

    async def test() -> None:
        stop = Stop()
        server.stop_on_failure(stop)
        loop = asyncio.get_running_loop()
        if where == "callback":
            loop.call_soon(fail)
        elif where == "task":
            tasks = {loop.create_task(fail_later())}
            tasks.clear()
        else:
            failure = {"message": "", "exception": OSError("the kernel said no")}
            loop.call_soon(threading.Thread(target=loop.call_exception_handler, args=(failure,)).start)
        await stop.wait()

    run(test())
    assert "the kernel said no" in caplog.text
    assert "the lab ends" in caplog.text


async def part(failure: str) -> None:
    if failure:
        raise OSError(failure)


@pytest.mark.parametrize("failure", ["the kernel said no", ""])
def test_the_lab_ends_with_any_part_that_it_cannot_be_without(failure: str, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        stop = asyncio.Event()
        await server.vital("DNS", part(failure), stop)
        assert stop.is_set()

    run(test())
    assert "DNS ended" in caplog.text
    assert failure in caplog.text


def test_the_parts_of_a_lab_that_is_ending_end_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        stop = asyncio.Event()
        stop.set()
        await server.vital("DNS", part(""), stop)

    run(test())
    assert not caplog.text

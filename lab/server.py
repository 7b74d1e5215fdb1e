# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's daemon: the cloud's control plane, its data plane and its machines, in one process."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lab import echo, paths, topology
from lab.cloud import dns, pki
from lab.cloud.api import create_api
from lab.cloud.auth import Authenticator
from lab.cloud.faults import Fault, Faults
from lab.cloud.http import server
from lab.cloud.imds import create_imds
from lab.cloud.state import Cloud
from lab.fabric import ns
from lab.fabric.kernel import Fabric
from lab.fabric.view import View
from lab.nodes import podman
from lab.nodes.machine import Machine, State

log = logging.getLogger("lab")
PowerAction = Literal["START", "STOP", "SOFTSTOP", "RESET", "SOFTRESET"]
_ECHO_PORT = 7
_DNS_PORT = 53
# In the VCN's namespace. Nodes reach it by way of lab.cloud.dns only, which can fail on purpose.
_DNSMASQ_ADDRESS = "127.0.0.1"


class Lab:
    """Everything that is up between `lab up` and `lab down`."""

    def __init__(self, shape: topology.Topology, image: str) -> None:
        self.topology = shape
        self.image = image
        self.events: deque[dict[str, Any]] = deque(maxlen=50_000)
        self.faults = Faults()
        self.fabric = Fabric(self._moved)
        self.pki = pki.ensure(paths.STATE, shape)
        self.cloud = Cloud(shape, self, on_event=self.event)
        self.machines = {n.name: Machine(n, shape, self.fabric, self.cloud.view, self._node_state) for n in shape.nodes}
        self.ready = False
        self._tasks: set[asyncio.Task[None]] = set()

    # -- events ------------------------------------------------------------------------------------------------------

    def event(self, event: dict[str, Any]) -> None:
        """Remember what happened and when, for whoever draws up a drill's time table."""
        self.events.append({"t": time.monotonic_ns(), "wall": time.time(), **event})

    def _moved(self, private_ip_id: str, port: str, at: int) -> None:
        self.event({"kind": "moved", "private_ip_id": private_ip_id, "port": port, "t": at})

    def _node_state(self, node: str, state: State) -> None:
        self.event({"kind": "power", "node": node, "state": state})
        self.cloud.set_instance_state(node, state)

    # -- what the control plane makes happen (lab.cloud.state.Effects) ------------------------------------------------

    async def apply(self, view: View) -> None:
        await self.fabric.apply(view)
        await asyncio.gather(*(m.follow() for m in self.machines.values()))

    async def power(self, instance: str, action: PowerAction) -> None:
        machine = self.machines[instance]

        async def act() -> None:
            try:
                if action in ("STOP", "RESET"):
                    await machine.power_off()
                elif action in ("SOFTSTOP", "SOFTRESET"):
                    await machine.shut_down()
                if action in ("START", "RESET", "SOFTRESET"):
                    await machine.power_on()
            except podman.NodeError as error:
                # The request was answered long ago: the instance's state has to tell the caller.
                log.error("%s of %s: %s", action, instance, error)
                self.cloud.set_instance_state(instance, machine.state)

        self._background(act())

    def _background(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        view = self.cloud.view()
        await self.fabric.build(view)
        await self.fabric.apply(view)
        for client in self.topology.clients:
            await self._start_client(client)

    async def boot(self) -> None:
        """Make and start all nodes at once."""
        await asyncio.gather(*(self._first_boot(m) for m in self.machines.values()))
        self.ready = True

    async def _first_boot(self, machine: Machine) -> None:
        await podman.create(machine.node.name, self.image)
        await machine.power_on()

    async def _start_client(self, client: topology.Instance) -> None:
        netns = paths.client_netns(client.name)
        for port in (p for p in self.cloud.view().ports if p.instance == client.name):
            subnet = self.topology.subnet(port.subnet)
            await self.fabric.plug(port, paths.NETNS / netns, subnet.gateway, subnet.cidr.prefixlen, default_route=True)
        server = echo.bind(ns.socket_in(netns, socket.AF_INET, socket.SOCK_DGRAM), "0.0.0.0", _ECHO_PORT)
        threading.Thread(target=echo.serve, args=(server, client.name), daemon=True, name=f"echo-{client.name}").start()

    async def reset(self, *, fresh_cloud: bool) -> None:
        """All nodes back to bare metal; the cloud's objects too where asked for."""
        self.ready = False
        await asyncio.gather(*(m.rebuild(self.image) for m in self.machines.values()))
        if fresh_cloud:
            await self.cloud.reset()
        await asyncio.gather(*(m.power_on() for m in self.machines.values()))
        self.ready = True

    async def nemesis(self, act: str, node: str, interface: str | None, direction: str) -> None:
        """Do `act` to `node`. Raises KeyError for an unknown act, node or interface."""
        machine = self.machines[node]
        peers = [n for n in self.machines if n != node]
        self.event({"kind": "nemesis", "act": act, "node": node, "interface": interface})
        match act:
            case "kill":
                await machine.power_off()
            case "start":
                await machine.power_on()
            case "stop":
                await machine.shut_down()
            case "freeze":
                await machine.freeze()
            case "thaw":
                await machine.thaw()
            case "hang":
                await machine.hang()
            case "unhang":
                await machine.unhang()
            case "partition" | "heal":
                if direction in ("both", "out"):
                    await self.fabric.cut([node], peers, cut=act == "partition")
                if direction in ("both", "in"):
                    await self.fabric.cut(peers, [node], cut=act == "partition")
            case "linkdown" | "linkup":
                await self.fabric.set_link(node, interface or machine.node.vnics[0].interface, up=act == "linkup")
            case _:
                raise KeyError(act)

    def status(self) -> dict[str, Any]:
        view = self.cloud.view()

        def vnics(instance: str) -> list[dict[str, str]]:
            return [
                {
                    "interface": p.interface, "vnic_id": p.vnic_id, "address": str(p.address),
                    "subnet": str(self.topology.subnet(p.subnet).cidr), "mac": p.mac,
                }
                for p in view.ports if p.instance == instance
            ]  # fmt: skip

        return {
            "topology": self.topology.name,
            "image": self.image,
            "ready": self.ready,
            "nodes": [
                {"name": m.node.name, "instance_id": m.node.id, "state": m.state, "vnics": vnics(m.node.name)}
                for m in self.machines.values()
            ],
            "clients": [{"name": c.name, "vnics": vnics(c.name)} for c in self.topology.clients],
            "private_ips": [
                {
                    "id": p.id,
                    "address": str(p.address),
                    "vnic_id": p.vnic_id,
                    "instance": self.cloud.vnics[p.vnic_id].instance if p.vnic_id else None,
                    "subnet": str(self.cloud.subnets[p.subnet_id].cidr),
                    "lifetime": p.lifetime,
                    "display_name": p.display_name,
                }
                for p in self.cloud.private_ips.values()
                if not p.is_primary
            ],
            "flows": [
                {
                    "from": f.source, "to": f.target,
                    "address": str(self.topology.instance(f.target).vnics[0].address),
                }
                for f in self.topology.flows
            ],
        }  # fmt: skip


def control_app(lab: Lab) -> Starlette:
    """What `lab` the command talks to."""

    async def status(_: Request) -> Response:
        return JSONResponse(lab.status())

    async def events(request: Request) -> Response:
        since = int(request.query_params.get("since", "0"))
        return JSONResponse([e for e in lab.events if e["t"] >= since])

    async def nemesis(request: Request) -> Response:
        body = await request.json()
        try:
            await lab.nemesis(
                request.path_params["act"], body["node"], body.get("interface"), body.get("direction", "both")
            )
        except (KeyError, ValueError) as error:
            return JSONResponse({"error": f"unknown act, node or interface: {error}"}, status_code=400)
        except podman.NodeError as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        return JSONResponse({"t": time.monotonic_ns(), "wall": time.time()})

    async def faults(request: Request) -> Response:
        if request.method == "DELETE":
            lab.faults.clear()
        elif request.method == "POST":
            try:
                lab.faults.add(Fault.from_json(await request.json()))
            except (TypeError, ValueError) as error:
                return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse([f.to_json() for f in lab.faults.items()])

    async def reset(request: Request) -> Response:
        await lab.reset(fresh_cloud=(await request.json()).get("cloud") == "fresh")
        return JSONResponse(lab.status())

    return Starlette(
        routes=[
            Route("/status", status),
            Route("/events", events),
            Route("/nemesis/{act}", nemesis, methods=["POST"]),
            Route("/faults", faults, methods=["GET", "POST", "DELETE"]),
            Route("/reset", reset, methods=["POST"]),
        ]
    )


def _listen(address: str, port: int) -> socket.socket:
    server = ns.socket_in(paths.VCN_NETNS, socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    server.listen(512)
    return server


def _udp_socket() -> socket.socket:
    udp = ns.socket_in(paths.VCN_NETNS, socket.AF_INET, socket.SOCK_DGRAM)
    udp.setblocking(False)
    return udp


def _dns_listener() -> socket.socket:
    listener = _udp_socket()
    listener.bind((topology.METADATA_ADDRESS, _DNS_PORT))
    return listener


def _ask_dns() -> socket.socket:
    asker = _udp_socket()
    asker.connect((_DNSMASQ_ADDRESS, _DNS_PORT))
    return asker


def _control_socket() -> socket.socket:
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    control.bind(str(paths.CONTROL_SOCKET))
    control.listen()
    return control


def _name_servers() -> list[str]:
    """The host's own resolvers; a stub on loopback cannot be reached from a namespace, but it says whom it asks."""
    for file in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        if file.exists():
            lines = (line.split() for line in file.read_text(encoding="utf-8").splitlines())
            servers = [f[1] for f in lines if len(f) > 1 and f[0] == "nameserver" and ":" not in f[1]]
            if servers and not all(s.startswith("127.") for s in servers):
                return servers
    return []


async def _start_dns(shape: topology.Topology) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", paths.VCN_NETNS, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
        "--no-resolv", "--no-hosts", "--bind-interfaces", "--user=root", "--pid-file=", "--log-facility=-",
        f"--listen-address={_DNSMASQ_ADDRESS}",
        f"--address=/{topology.REALM_DOMAIN}/{topology.API_ADDRESS}",
        *(f"--host-record={i.name},{i.vnics[0].address}" for i in shape.instances),
        *(f"--server={s}" for s in _name_servers()),
    )  # fmt: skip


def stop_on_failure(stop: asyncio.Event) -> None:
    """Have `stop` set, and the failure logged, when something fails in the running loop that nobody waits for.

    A lab of which a part has failed goes on to answer, and what is tested on it means nothing.
    """

    def failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        loop.default_exception_handler(context)
        log.error("the lab ends: something of it failed, see above")
        # A task whose exception nobody has read is reported wherever its last reference goes, in any thread.
        loop.call_soon_threadsafe(stop.set)

    asyncio.get_running_loop().set_exception_handler(failed)


async def vital(name: str, part: Awaitable[object], stop: asyncio.Event) -> None:
    """Wait for the end of a part that the lab cannot be without; if it comes before `stop` is set, that is set."""
    try:
        await part
    except Exception:
        log.exception("%s failed", name)
    if not stop.is_set():
        log.error("the lab ends: %s ended", name)
        stop.set()


async def serve(shape: topology.Topology, image: str) -> None:
    """Run the lab until SIGTERM, or until a part of it fails."""
    stop = asyncio.Event()
    stop_on_failure(stop)
    lab = Lab(shape, image)
    await lab.start()
    dnsmasq = await _start_dns(shape)
    api = server(
        create_api(lab.cloud, Authenticator(lab.cloud, lab.pki), lab.faults, lab.cloud.instance_at),
        lab.pki.server_certificate_file,
        lab.pki.server_key_file,
    )
    imds = server(create_imds(lab.cloud, lab.pki, lab.faults, lab.cloud.instance_at))
    control = server(control_app(lab))
    queries, *running = (
        asyncio.create_task(vital(name, part, stop))
        for name, part in (
            ("DNS", dns.serve(_dns_listener(), lab.faults, lab.cloud.instance_at, _ask_dns)),
            ("dnsmasq", dnsmasq.wait()),
            ("the API", api.serve([_listen(topology.API_ADDRESS, 443)])),
            ("the metadata service", imds.serve([_listen(topology.METADATA_ADDRESS, 80)])),
            ("the control socket", control.serve([_control_socket()])),
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    boot = asyncio.create_task(lab.boot())

    def booted(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            log.error("boot failed: %s", error)
            stop.set()

    boot.add_done_callback(booted)
    await stop.wait()
    for each in (api, imds, control):
        each.should_exit = True
    queries.cancel()
    if dnsmasq.returncode is None:
        dnsmasq.terminate()
    await asyncio.gather(*running)
    lab.fabric.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="lab.server")
    parser.add_argument("--topology", required=True)
    parser.add_argument("--image", required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("pyroute2").setLevel(logging.WARNING)
    paths.PID_FILE.write_text(f"{os.getpid()}\n", encoding="ascii")
    asyncio.run(serve(topology.load(options.topology), options.image))


if __name__ == "__main__":
    main()

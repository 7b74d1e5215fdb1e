# SPDX-License-Identifier: GPL-3.0-or-later
"""`lab`: the emulated cloud's command line."""

from __future__ import annotations

import functools
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lab import cli_campaign, cli_drill, host, paths, topology
from lab.cloud import pki
from lab.control import Control, LabError, Status, parse_status
from lab.nodes import image, podman

app = typer.Typer(
    help="An emulated cloud with real cluster nodes, in containers and network namespaces of this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
cli_drill.register(app)
cli_campaign.register(app)
_console = Console(stderr=True)
_BOOT_SECONDS = 60.0


def _fail(message: str) -> typer.Exit:
    _console.print(f"[red]lab:[/red] {message}", highlight=False)
    return typer.Exit(1)


def _step(title: str, work: Callable[[], object]) -> None:
    began = time.monotonic()
    with _console.status(title):
        work()
    _console.print(f"  {title} [dim]{time.monotonic() - began:.1f} s[/dim]", highlight=False)


def _start_daemon(shape: str, node_image: str) -> None:
    with paths.LOG_FILE.open("ab") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "lab.server", "--topology", shape, "--image", node_image],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
        )  # fmt: skip
    _until(lambda: _ready(daemon), "the daemon")


def _ready(daemon: subprocess.Popen[bytes]) -> bool:
    if daemon.poll() is not None:
        last = paths.LOG_FILE.read_text(encoding="utf-8").strip().splitlines()[-3:]
        raise host.HostError("the lab's daemon ended: " + " | ".join(last))
    try:
        return bool(Control().raw_status()["ready"])
    except LabError:
        return False


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _BOOT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise host.HostError(f"{what} was not ready within {_BOOT_SECONDS:.0f} s: see {paths.LOG_FILE}")
        select.select([], [], [], 0.05)


def _answers_ssh(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _wait_for_ssh(status: Status) -> None:
    for node in status.nodes:
        _until(functools.partial(_answers_ssh, node.vnics[0].address), f"SSH on {node.name}")


def _stands(shape: str, node_image: str) -> bool:
    """Whether a lab of that topology and image is up and whole."""
    if host.daemon_pid() is None:
        return False
    try:
        raw = Control().raw_status()
    except LabError:
        return False
    whole = all(node["state"] == "RUNNING" for node in raw["nodes"])
    return bool(raw["topology"] == shape and raw["image"] == node_image and whole)


@app.command()
def up(
    shape: Annotated[str, typer.Option("--topology", help="A shipped topology's name or a .yml file.")] = "vrouters",
    release: Annotated[
        str | None,
        typer.Option(
            "--release", help=f"The nodes' release: {', '.join(image.RELEASES)}.", show_default=image.RELEASES[0]
        ),
    ] = None,
    reference: Annotated[
        str | None, typer.Option("--image", help="Make the nodes of this container image instead: REGISTRY/NAME:TAG.")
    ] = None,
) -> None:
    """Build what is missing and start the lab. A lab of the same topology and nodes that is up stays as it is."""
    if reason := host.missing():
        raise _fail(reason)
    if release is not None and reference is not None:
        raise _fail(f"--release {release} and --image {reference}: nodes are made of one or of the other")
    if release is not None and release not in image.RELEASES:
        raise _fail(f"--release {release}: expected one of {', '.join(image.RELEASES)}")
    try:
        wanted = topology.load(shape)
        paths.STATE.mkdir(mode=0o755, exist_ok=True)
        keys = pki.ensure(paths.STATE, wanted)
        image.ensure_ssh_keys()
        source = image.pull(reference) if reference is not None else release or image.RELEASES[0]
        name = image.tag(source, keys.ca_file)
        if _stands(wanted.name, name):
            _console.print(f"lab {wanted.name} is up")
            return
        _step("clean the host", host.tear_down)
        if not image.exists(name):
            _step(f"build the node image of {source} (once)", lambda: image.build(source, name, keys.ca_file))
        _step("network", lambda: host.set_up(wanted))
        _step(f"cloud and {len(wanted.nodes)} nodes", lambda: _start_daemon(shape, name))
        _step("SSH", lambda: _wait_for_ssh(Control().status()))
    except (host.HostError, topology.TopologyError, LabError) as error:
        raise _fail(str(error)) from error
    _console.print(f"lab {wanted.name} is up: {', '.join(n.name for n in wanted.nodes)}")


@app.command()
def down(
    images: Annotated[bool, typer.Option("--images", help="Drop the cached node image too.")] = False,
) -> None:
    """Take the lab away: containers, namespaces, links, rules, processes. Only the image cache and the keys stay."""
    if os.geteuid() != 0:
        raise _fail("the lab needs root")
    try:
        _step("clean the host", host.tear_down)
        if images:
            _step("drop the images", image.remove_all)
    except host.HostError as error:
        raise _fail(str(error)) from error


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Who is up, and where the cloud delivers each private IP."""
    try:
        raw = Control().raw_status()
    except LabError as error:
        raise _fail(str(error)) from error
    if as_json:
        sys.stdout.write(json.dumps(raw, indent=2) + "\n")
        return
    current = parse_status(raw)
    out = Console()
    machines = Table("machine", "state", "addresses", title=f"topology {current.topology}")
    for machine in (*current.nodes, *current.clients):
        machines.add_row(
            machine.name, machine.state or "client", ", ".join(f"{v.interface} {v.address}" for v in machine.vnics)
        )
    out.print(machines)
    addresses = Table("secondary private IP", "name", "delivered to")
    for address in current.floating:
        addresses.add_row(address.address, address.display_name, current.holder(address) or "nobody")
    out.print(addresses)


def _node(name: str) -> str:
    try:
        return Control().status().node(name).name
    except LabError as error:
        raise _fail(str(error)) from error


@app.command(name="exec", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def exec_(context: typer.Context, node: str) -> None:
    """Run a command on a node as root: `lab exec vr1 -- pcs status`."""
    argv = podman.exec_argv(_node(node), context.args or ["bash"], tty=sys.stdin.isatty() and sys.stdout.isatty())
    os.execvp(argv[0], argv)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def log(context: typer.Context, node: str) -> None:
    """A node's journal; further options go to journalctl: `lab log vr1 -u pacemaker -f`."""
    argv = podman.exec_argv(_node(node), ["journalctl", "--no-pager", "--output=short-precise", *context.args])
    os.execvp(argv[0], argv)


@app.command()
def reset(
    keep_cloud: Annotated[
        bool, typer.Option("--keep-cloud/--fresh-cloud", help="Keep the cloud's objects, or start with an empty one.")
    ] = False,
) -> None:
    """Every node back to a bare machine."""
    try:
        control = Control()
        _step("reset", lambda: control.reset(fresh_cloud=not keep_cloud))
        _step("SSH", lambda: _wait_for_ssh(control.status()))
    except (host.HostError, LabError) as error:
        raise _fail(str(error)) from error


if __name__ == "__main__":
    app()

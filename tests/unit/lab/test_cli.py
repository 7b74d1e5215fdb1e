# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `up`: what the nodes are made of, and when the lab that is up is replaced."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from lab import cli, host, paths
from lab.cloud import pki
from lab.host import HostError
from lab.nodes import image

ORACLE = image.Base("registry.example/oraclelinux:9", "0d163dfa5b98")


class Machine:
    """The machine that the lab runs on: the images it has, and what is up on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
        self.images: set[str] = set()
        self.up_with = ""
        self.torn_down = 0
        keys = SimpleNamespace(ca_file=state / "ca.pem")
        monkeypatch.setattr(paths, "STATE", state)
        monkeypatch.setattr(host, "missing", lambda: None)
        monkeypatch.setattr(host, "tear_down", self.tear_down)
        monkeypatch.setattr(host, "set_up", lambda _: None)
        monkeypatch.setattr(host, "daemon_pid", lambda: 1 if self.up_with else None)
        monkeypatch.setattr(pki, "ensure", lambda *_: keys)
        monkeypatch.setattr(image, "ensure_ssh_keys", lambda: None)
        monkeypatch.setattr(image, "pull", self.pull)
        monkeypatch.setattr(image, "tag", lambda source, _: f"node-of-{source}")
        monkeypatch.setattr(image, "exists", self.images.__contains__)
        monkeypatch.setattr(image, "build", lambda _, name, __: self.images.add(name))
        monkeypatch.setattr(cli, "_start_daemon", self.start)
        monkeypatch.setattr(cli, "_wait_for_ssh", lambda _: None)
        monkeypatch.setattr(cli, "Control", lambda: SimpleNamespace(raw_status=self.status, status=self.status))

    def pull(self, reference: str) -> image.Base:
        if reference != ORACLE.reference:
            raise HostError(f"no image {reference}: podman says why")
        return ORACLE

    def tear_down(self) -> None:
        self.torn_down += 1
        self.up_with = ""

    def start(self, _: str, node_image: str) -> None:
        assert node_image in self.images
        self.up_with = node_image

    def status(self) -> dict[str, Any]:
        return {"topology": "vrouters", "image": self.up_with, "nodes": [{"state": "RUNNING"}]}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


def up(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["up", *arguments])
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        ((), "bookworm"),
        (("--release", "trixie"), "trixie"),
        (("--image", ORACLE.reference), ORACLE.reference),
    ],
)
def test_nodes_are_made_of_a_release_or_of_an_image(machine: Machine, arguments: tuple[str, ...], source: str) -> None:
    assert up(*arguments)[0] == 0

    assert machine.up_with == f"node-of-{source}"


def test_another_image_replaces_the_lab_and_the_same_one_does_not(machine: Machine) -> None:
    up()

    up("--image", ORACLE.reference)
    assert (machine.up_with, machine.torn_down) == (f"node-of-{ORACLE}", 2)

    up("--image", ORACLE.reference)
    assert machine.torn_down == 2

    up()
    assert (machine.up_with, machine.torn_down) == ("node-of-bookworm", 3)


def test_a_release_and_an_image_exclude_each_other(machine: Machine) -> None:
    code, output = up("--release", "bookworm", "--image", ORACLE.reference)

    assert code == 1
    assert f"--release bookworm and --image {ORACLE.reference}" in output
    assert (machine.up_with, machine.torn_down) == ("", 0)


def test_an_image_that_cannot_be_had_leaves_the_lab_that_is_up(machine: Machine) -> None:
    up()

    code, output = up("--image", "registry.example/none:1")

    assert code == 1
    assert "no image registry.example/none:1: podman says why" in output
    assert (machine.up_with, machine.torn_down) == ("node-of-bookworm", 1)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of wheels: complete, hashed, and of the release that this repository is tested with."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.oci_cli_wheels import MACHINES, PYTHONS, WHEELS, environment, requirements, version

ROLE = Path(__file__).parents[4] / "roles/oci_cli"
NODES = [(python, machine) for python in PYTHONS for machine in MACHINES]
PIN = re.compile(r"^(?P<pin>\S.*?)(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n", re.MULTILINE)


def listed() -> list[Requirement]:
    return [Requirement(found["pin"]) for found in PIN.finditer(WHEELS.read_text(encoding="utf-8"))]


def on_node(python: str, machine: str) -> dict[str, str]:
    """What pip installs on such a node: versions by name."""
    needed = [r for r in listed() if r.marker is None or r.marker.evaluate(environment(python, machine))]
    pins: dict[str, str] = {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in needed}
    assert len(pins) == len(needed)
    return pins


def test_nothing_is_in_the_list_but_pins_with_hashes() -> None:
    rest = PIN.sub("", WHEELS.read_text(encoding="utf-8"))

    assert [line for line in rest.splitlines() if not line.startswith("#")] == []
    assert all(str(r.specifier).startswith("==") for r in listed())


@pytest.mark.parametrize(("python", "machine"), NODES)
def test_every_node_gets_all_that_the_tested_release_needs(python: str, machine: str) -> None:
    pins = on_node(python, machine)

    assert pins["oci-cli"] == version()
    # What a package needs is known where the release that is installed here is the one of the list.
    installed = [(canonicalize_name(d.name), d) for d in metadata.distributions()]
    known = {name: d.requires or [] for name, d in installed if pins.get(name) == d.version}
    assert known.keys() >= {"oci", "oci-cli"}
    for name, needs in known.items():
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({**environment(python, machine), "extra": ""}):
                assert pins.get(canonicalize_name(need.name), "") in need.specifier, f"{name} needs {need}"


def test_the_role_takes_the_nodes_that_the_list_is_made_for() -> None:
    constants = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))

    assert constants["__oci_cli_pythons"] == [f"cpython {python.rpartition('.')[0]}" for python in PYTHONS]
    assert constants["__oci_cli_machines"] == list(MACHINES)


def package(*wheels: str, marker: str = "") -> dict[str, Any]:
    """A package as uv resolves it, whose wheels have their number as hash."""
    files = [{"url": f"https://example.org/{w}", "hashes": {"sha256": str(n)}} for n, w in enumerate(wheels)]
    return {"name": "example", "version": "1.0", "wheels": files} | ({"marker": marker} if marker else {})


def test_wheels_that_no_node_can_use_are_left_out() -> None:
    found = requirements(
        [
            package("example-1.0-py3-none-any.whl", marker="sys_platform == 'win32'"),
            package(
                "example-1.0-cp313-cp313-win_amd64.whl",
                "example-1.0-cp313-cp313-musllinux_1_2_x86_64.whl",
                "example-1.0-cp313-cp313t-manylinux_2_28_x86_64.whl",
                "example-1.0-cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
                "example-1.0-cp39-abi3-manylinux_2_34_aarch64.whl",
                marker="python_full_version >= '3.13'",
            ),
        ]
    )

    assert list(found) == [
        "example==1.0 ; python_full_version >= '3.13' \\\n    --hash=sha256:3 \\\n    --hash=sha256:4",
    ]


def test_a_package_that_some_node_cannot_install_is_refused() -> None:
    wheels = [f"example-1.0-cp39-abi3-manylinux_2_17_{machine}.whl" for machine in ("x86_64", "ppc64le")]

    with pytest.raises(ValueError, match=r"^example 1\.0: no wheel for Python 3\.9\.2 on aarch64$"):
        list(requirements([package(*wheels)]))

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role puts on a node."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.cloudvip.ha.plugins.filter.file_tree import file_tree
from ansible_collections.cloudvip.ha.plugins.modules.files import Program, pack
from cloudvip import VERSION
from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROOT = Path(__file__).parents[4]
TEMPLATES = ROOT / "templates" / "vip_agent"
BUDGET = 200_000
ARCHIVE = "/usr/lib/cloudvip/cloudvip.zip"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with everything that the role's templates and its program become, all in one place."""
    directory = tmp_path_factory.mktemp("node")
    sources = {f["path"]: f["content"] for f in file_tree(str(ROOT / "roles/vip_agent/files/lib/cloudvip"), "cloudvip")}
    archive = directory / "cloudvip.zip"
    archive.write_bytes(pack(archive, Program(sources, sys.executable)))
    environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["comment"] = lambda text: f"# {text}"
    for template in TEMPLATES.glob("*.j2"):
        if not template.name.endswith(".json.j2"):
            text = environment.get_template(template.name).render(
                ansible_managed="managed",
                vip_agent_python=sys.executable,
                __vip_agent_unmanaged=["02:00:17:00:00:07", "02:00:17:00:00:08"],
                __vip_agent_unmanaged_names=["ens8"],
            )
            file = directory / template.stem
            file.write_text(text.replace(ARCHIVE, str(archive)))
            file.chmod(0o755)
    return directory


def run(*argv: object) -> str:
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60, check=True).stdout


def test_all_of_it_fits_into_the_budget(node: Path) -> None:
    files = [p for p in node.iterdir() if p.is_file()]

    assert {"cloudvip.zip", "cloudvip", "vips", "cloudvip-token.service"} <= {p.name for p in files}
    assert sum(p.stat().st_size for p in files) <= BUDGET


def test_the_entry_points_run_what_is_compiled(node: Path) -> None:
    assert run(node / "cloudvip", "--version") == f"cloudvip {VERSION}\n"
    assert '<resource-agent name="vips"' in run(node / "vips", "meta-data")
    for entry in ("cloudvip", "vips"):
        imports = (node / entry).read_text().rpartition("leave(")[0]
        loaded = run(sys.executable, "-IS", "-c", f"{imports}\nprint(sys.modules[main.__module__].__file__)")
        assert loaded.startswith(f"{node}/cloudvip.zip/{sys.implementation.cache_tag}/cloudvip/")


def test_network_managers_are_kept_off_every_interface_that_the_node_configures(node: Path) -> None:
    network, manager = ((node / name).read_text() for name in ("05-cloudvip.network", "90-cloudvip.conf"))

    assert "\nMACAddress=02:00:17:00:00:07 02:00:17:00:00:08\n" in network
    assert network.endswith("[Link]\nUnmanaged=yes\n")
    # Added to what others have set, not put in its place.
    devices = "mac:02:00:17:00:00:07;mac:02:00:17:00:00:08;interface-name:ens8"
    assert manager.endswith(f"[keyfile]\nunmanaged-devices+={devices}\n")


def test_interfaces_are_configured_before_the_cluster_starts(node: Path) -> None:
    unit = (node / "cloudvip-interfaces.service").read_text()
    order = dict(line.split("=", 1) for line in unit.splitlines() if line.startswith(("Before=", "After=")))

    assert {"network-online.target", "corosync.service", "pacemaker.service"} <= set(order["Before"].split())
    assert {"systemd-networkd.service", "NetworkManager.service"} <= set(order["After"].split())


def test_a_program_that_ends_flushes_what_it_said_and_waits_for_no_thread(node: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, '{node}/cloudvip.zip/source')\n"
        "import threading; from cloudvip.process import leave\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "print('said'); print('why', file=sys.stderr); leave(3)"
    )

    done = subprocess.run(
        [sys.executable, "-IS", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (3, "said\n", "why\n")


def test_an_upgraded_python_runs_the_sources(node: Path) -> None:
    command = (node / "cloudvip").read_text().replace("sys.implementation.cache_tag", "'cpython-26'")
    (node / "upgraded").write_text(command)

    assert run(sys.executable, "-IS", node / "upgraded", "--version") == f"cloudvip {VERSION}\n"

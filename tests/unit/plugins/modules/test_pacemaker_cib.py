# SPDX-License-Identifier: GPL-3.0-or-later
"""The module pacemaker_cib with a stand-in for the cluster's tools on the PATH."""

from __future__ import annotations

import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloudvip.ha.plugins.modules import pacemaker_cib

from tests.unit.plugins.modules.conftest import Run

DATA = Path(__file__).parents[1] / "cluster"
RESOURCE = {
    "id": "cloudvip-main",
    "agent": "ocf:cloudvip:vips",
    "params": {"group": "main", "revision": "084410478403"},
    "operations": [{"name": "monitor", "interval": "5s", "attributes": {"timeout": "20s"}}],
}
# The patch is the new configuration itself. A file named after a tool makes it fail with the file's content. In `finds`
# the checker has what to say of a configuration, and before a colon what that must have in it.
TOOL = """#!{python}
import pathlib, sys, xml.etree.ElementTree as ET
state, tool, args = pathlib.Path({state!r}), pathlib.Path(sys.argv[0]).name, sys.argv[1:]
with state.joinpath("calls").open("a") as calls:
    print(tool, *(arg.split("=")[0] for arg in args), file=calls)
if state.joinpath(tool).exists():
    sys.exit(state.joinpath(tool).read_text())
if tool == "cibadmin" and args[0] == "--query":
    print(state.joinpath("cib.xml").read_text())
elif tool == "cibadmin":
    state.joinpath("forgetful").exists() or state.joinpath("cib.xml").write_text(sys.stdin.read())
elif tool == "crm_attribute":
    assert args[1:] == ["--name=maintenance", "--lifetime=reboot", "--delete"]
    root = ET.fromstring(state.joinpath("cib.xml").read_text())
    node = root.find("status/node_state[@uname='" + args[0].split("=")[1] + "']")
    node.remove(node.find("transient_attributes"))
    state.joinpath("forgetful").exists() or state.joinpath("cib.xml").write_text(ET.tostring(root, "unicode"))
elif tool == "crm_mon":
    print(state.joinpath("status.xml").read_text())
elif tool == "crm_verify" and state.joinpath("finds").exists():
    checked = pathlib.Path(args[0].split("=")[1]).read_text()
    found = [line.split(":", 1) for line in state.joinpath("finds").read_text().splitlines()]
    said = [text for cause, text in found if cause in checked]
    worst = "errors" if "error:" in str(said) else "warnings"
    if said:
        print(*said, "Configuration invalid (with " + worst + ")", sep="\\n", file=sys.stderr)
        sys.exit(78)
elif tool == "crm_diff":
    old, new = (pathlib.Path(arg.split("=")[1]).read_text() for arg in args[:2])
    print(new)
    sys.exit(old != new)
"""


class Cluster:
    """The state behind the tools."""

    def __init__(self, root: Path) -> None:
        self.state = root / "state"
        self.bin = root / "bin"
        self.state.mkdir()
        self.bin.mkdir()
        self.cib = self.state / "cib.xml"
        self.cib.write_text((DATA / "fresh.xml").read_text())
        self.status = self.state / "status.xml"
        self.status.write_text((DATA / "status.xml").read_text())
        for tool in pacemaker_cib.TOOLS:
            path = self.bin / tool
            path.write_text(TOOL.format(python=sys.executable, state=str(self.state)))
            path.chmod(0o755)

    def breaks(self, tool: str, message: str) -> None:
        (self.state / tool).write_text(message)

    def calls(self) -> list[str]:
        log = self.state / "calls"
        found = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return found


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster(tmp_path)
    monkeypatch.setenv("PATH", str(cluster.bin))
    return cluster


READY = "crm_mon --one-shot --output-as"
QUERY = "cibadmin --query"
VERIFY = "crm_verify --xml-file --verbose"
DIFF = "crm_diff --original --new --no-version"
PATCH = "cibadmin --patch --xml-pipe"
SETTLE = "crm_resource --wait --timeout"


def push(run: Run, **options: Any) -> dict[str, Any]:
    given = {"properties": {"stonith-enabled": False}, "resources": [RESOURCE], "nodes": ["vr1", "vr2"]}
    return run(pacemaker_cib.main, **{**given, "wait_timeout": 0, **options})


def test_a_change_is_checked_and_sent_as_one_patch(run: Run, cluster: Cluster) -> None:
    answer = push(run)

    assert answer["changed"] is True
    assert cluster.calls() == [READY, QUERY, VERIFY, DIFF, PATCH, SETTLE, QUERY, READY]
    assert 'id="cloudvip-main"' in cluster.cib.read_text()


def test_a_second_run_reads_and_writes_nothing(run: Run, cluster: Cluster) -> None:
    push(run)
    cluster.calls()

    answer = push(run)

    assert answer["changed"] is False
    assert answer["diff"]["before"] == answer["diff"]["after"]
    assert cluster.calls() == [READY, QUERY, READY]


def test_check_mode_predicts_what_the_run_does(run: Run, cluster: Cluster) -> None:
    before = cluster.cib.read_text()

    predicted = push(run, check=True)

    assert cluster.cib.read_text() == before
    assert cluster.calls() == [QUERY, VERIFY]
    answer = push(run)
    assert (predicted["changed"], predicted["diff"]) == (answer["changed"], answer["diff"])


def test_check_mode_on_a_bare_node_starts_from_nothing(
    run: Run, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacemaker_cib, "TOOLS", ("tool-that-no-system-has",))

    answer = push(run, check=True)

    assert answer["changed"] is True
    assert answer["diff"]["before"] == ""
    assert "resource cloudvip-main" in answer["diff"]["after"]
    assert cluster.calls() == []


def test_check_mode_where_no_cluster_runs_starts_from_nothing(
    run: Run, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.breaks("cibadmin", "Transport endpoint is not connected")
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warnings.append(text))

    answer = push(run, check=True)

    assert answer["changed"] is True
    assert answer["diff"]["before"] == ""
    assert "Transport endpoint is not connected" in warnings[0]


def test_missing_tools_are_named(run: Run, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacemaker_cib, "TOOLS", (*pacemaker_cib.TOOLS, "tool-that-no-system-has"))

    assert push(run)["msg"] == "not installed: tool-that-no-system-has (package pacemaker-cli-utils)"
    assert cluster.calls() == []


def test_nothing_is_written_before_all_nodes_are_there(run: Run, cluster: Cluster) -> None:
    answer = push(run, nodes=["vr1", "vr2", "vr3"])

    assert answer["msg"] == "after 0 s: node 'vr3' is not online in the cluster"
    assert cluster.calls() == [READY]


def test_the_wait_goes_on_until_the_cluster_is_ready(
    run: Run, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = cluster.status.read_text()
    cluster.status.write_text(good.replace('present="true"', 'present="false"'))
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        cluster.status.write_text(good)

    monkeypatch.setattr(time, "sleep", sleep)

    assert push(run, wait_timeout=60)["changed"] is True
    assert pauses == [pacemaker_cib.PAUSE]


def test_a_checker_that_breaks_off_lets_nothing_through(run: Run, cluster: Cluster) -> None:
    cluster.breaks("crm_verify", "no such library")

    assert push(run)["msg"] == "crm_verify --xml-file failed with status 1: no such library"
    assert PATCH not in cluster.calls()


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: told.append(text))
    return told


OLD = "vr1:error: of an operator\n"
NEW = "cloudvip-main:warning: of the change\n"


@pytest.mark.parametrize(
    ("finds", "told"),
    [
        (OLD, []),
        (OLD.replace("error", "warning"), []),
        (NEW, ["crm_verify: warning: of the change; Configuration invalid (with warnings)"]),
        (OLD.replace("error", "warning") + NEW, ["crm_verify: warning: of the change"]),
        (OLD + NEW, ["crm_verify: warning: of the change"]),
        # Some releases tell in the last line only what it is.
        (NEW.replace("warning: ", ""), ["crm_verify: of the change; Configuration invalid (with warnings)"]),
    ],
)
def test_neither_warnings_nor_what_was_wrong_before_keep_a_change_off(
    run: Run, cluster: Cluster, warnings: list[str], finds: str, told: list[str]
) -> None:
    (cluster.state / "finds").write_text(finds)

    answer = push(run)

    assert answer["changed"] is True
    assert cluster.calls() == [READY, QUERY, VERIFY, VERIFY, DIFF, PATCH, SETTLE, QUERY, READY]
    assert warnings == told


@pytest.mark.parametrize("before", ["", OLD, OLD.replace("error", "warning")])
def test_an_error_that_is_new_keeps_the_change_off(run: Run, cluster: Cluster, before: str) -> None:
    (cluster.state / "finds").write_text(before + NEW.replace("warning", "error"))

    new = "error: of the change" + ("" if before == OLD else "; Configuration invalid (with errors)")
    assert push(run)["msg"] == f"crm_verify --xml-file failed with status 78: {new}"
    assert PATCH not in cluster.calls()


def test_a_cluster_that_is_told_to_leave_the_group_alone_is_warned_of(
    run: Run, cluster: Cluster, warnings: list[str]
) -> None:
    push(run)
    assert warnings == []
    cluster.status.write_text(cluster.status.read_text().replace('managed="true"', 'managed="false"'))

    answer = push(run)

    assert answer["changed"] is False
    assert [text.partition(":")[0] for text in warnings] == ["resource 'cloudvip-main' is unmanaged"]


def test_a_group_of_another_name_takes_the_place_of_the_old_one(run: Run, cluster: Cluster) -> None:
    push(run, purge_agent="ocf:cloudvip:vips")
    status = cluster.status.read_text()
    cluster.status.write_text(status.replace('id="cloudvip-main"', 'id="cloudvip-web"'))
    renamed = {"resources": [{**RESOURCE, "id": "cloudvip-web"}], "purge_agent": "ocf:cloudvip:vips"}

    answer = push(run, **renamed)

    assert answer["changed"] is True
    assert [p.get("id") for p in ET.fromstring(cluster.cib.read_text()).iter("primitive")] == ["cloudvip-web"]
    assert push(run, **renamed)["changed"] is False


def test_a_patch_that_did_not_take_is_an_error(run: Run, cluster: Cluster) -> None:
    (cluster.state / "forgetful").touch()

    assert "its configuration is not the wanted one" in push(run)["msg"]


def test_a_resource_that_does_not_start_is_an_error(run: Run, cluster: Cluster) -> None:
    cluster.status.write_text(cluster.status.read_text().replace('role="Started"', 'role="Stopped"'))

    answer = push(run)

    assert "resource 'cloudvip-main' is not started on exactly one node: role=Stopped" in answer["msg"]


def maintenance(cluster: Cluster, node: str, value: str = "true") -> None:
    """Set the attribute with which a change of the engine begins."""
    root = ET.fromstring(cluster.cib.read_text())
    states = {state.get("uname"): state for state in root.iterfind("status/node_state")}
    state = states[node] if node in states else ET.SubElement(root[-1], "node_state", {"uname": node})
    attributes = ET.SubElement(ET.SubElement(state, "transient_attributes"), "instance_attributes")
    ET.SubElement(attributes, "nvpair", {"name": "maintenance", "value": value})
    cluster.cib.write_text(ET.tostring(root, "unicode"))


ATTRIBUTE = "crm_attribute --node --name --lifetime --delete"


def test_maintenance_that_a_broken_off_change_of_the_engine_left_is_ended(run: Run, cluster: Cluster) -> None:
    push(run)
    for node in ("vr1", "vr2"):
        maintenance(cluster, node)
    cluster.calls()

    predicted = push(run, end_maintenance=True, check=True)
    assert cluster.calls() == [QUERY]
    answer = push(run, end_maintenance=True)

    assert answer["changed"] is True
    assert cluster.calls() == [READY, QUERY, ATTRIBUTE, ATTRIBUTE, QUERY, READY]
    assert "maintenance" not in cluster.cib.read_text()
    assert answer["diff"]["before"].startswith("node vr1 maintenance=true\nnode vr2 maintenance=true\n")
    assert (predicted["changed"], predicted["diff"]) == (True, answer["diff"])
    assert push(run, end_maintenance=True)["changed"] is False


def test_maintenance_is_ended_before_the_change(run: Run, cluster: Cluster) -> None:
    maintenance(cluster, "vr2")

    answer = push(run, end_maintenance=True)

    assert answer["changed"] is True
    assert cluster.calls() == [READY, QUERY, ATTRIBUTE, QUERY, VERIFY, DIFF, PATCH, SETTLE, QUERY, READY]


@pytest.mark.parametrize(("value", "options"), [("false", {"end_maintenance": True}), ("true", {})])
def test_maintenance_that_nobody_asks_to_end_is_left_alone(
    run: Run, cluster: Cluster, value: str, options: dict[str, Any]
) -> None:
    push(run)
    maintenance(cluster, "vr1", value)
    cluster.calls()

    assert push(run, **options)["changed"] is False
    assert cluster.calls() == [READY, QUERY, READY]


def test_maintenance_that_does_not_end_is_an_error(run: Run, cluster: Cluster) -> None:
    maintenance(cluster, "vr1")
    (cluster.state / "forgetful").touch()

    assert push(run, end_maintenance=True)["msg"] == "after 0 s: node 'vr1' is still in maintenance"


def test_a_resource_needs_its_agent(run: Run, cluster: Cluster) -> None:
    answer = push(run, resources=[{"id": "x"}])

    assert "agent" in answer["msg"]
    assert cluster.calls() == []

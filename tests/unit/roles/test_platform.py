# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles call things on each platform, by their own task files and the facts of a node."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.playing import play

ASKED = {
    "node": ["node_packages", "__node_time_service"],
    "pacemaker": ["__pacemaker_packages", "__pacemaker_repositories"],
    "vip_agent": ["vip_agent_python"],
}
FACTS = ("os_family", "distribution", "distribution_major_version", "pkg_mgr")
NODES = {
    "debian": dict(zip(FACTS, ("Debian", "Debian", "12", "apt"), strict=True)),
    "ubuntu": dict(zip(FACTS, ("Debian", "Ubuntu", "24", "apt"), strict=True)),
    **{
        f"{name}{major}": dict(zip(FACTS, ("RedHat", distribution, major, "dnf"), strict=True))
        for name, distribution in (("ol", "OracleLinux"), ("rhel", "RedHat"))
        for major in ("8", "9", "10")
    },
}


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """By node, what the roles say of it."""
    directory = tmp_path_factory.mktemp("platform")
    names = [name for role in ASKED.values() for name in role]
    tasks: list[dict[str, Any]] = [
        # What can be cached is a fact.
        {"ansible.builtin.set_fact": {name: f"{{{{ platform.{name} }}}}" for name in FACTS} | {"cacheable": True}},
        *(
            {"ansible.builtin.include_role": {"name": f"cloudvip.ha.{role}", "tasks_from": "platform", "public": True}}
            for role in ASKED
        ),
        {
            "ansible.builtin.copy": {
                "content": "{{ {" + ", ".join(f"'{name}': {name}" for name in names) + "} | to_json }}",
                "dest": f"{directory}/{{{{ inventory_hostname }}}}.json",
                "mode": "0600",
            }
        },
    ]
    playbook = [{"hosts": "all", "gather_facts": False, "connection": "local", "tasks": tasks}]
    inventory = {"all": {"hosts": {name: {"platform": facts} for name, facts in NODES.items()}}}
    played = play(directory, playbook, inventory)
    assert played.good, played.output
    return {name: json.loads((directory / f"{name}.json").read_text()) for name in NODES}


def test_debian_has_its_own_names(called: dict[str, dict[str, Any]]) -> None:
    debian = called["debian"]

    assert debian["node_packages"] == ["ca-certificates", "iproute2", "openssl", "procps"]
    assert debian["__node_time_service"] == "chrony.service"
    assert "pacemaker-cli-utils" in debian["__pacemaker_packages"]
    assert debian["__pacemaker_repositories"] == []
    assert debian["vip_agent_python"] == "/usr/bin/python3"


def test_ubuntu_differs_from_debian_in_the_package_of_the_agents(called: dict[str, dict[str, Any]]) -> None:
    debian, ubuntu = (called[name]["__pacemaker_packages"] for name in ("debian", "ubuntu"))

    assert [name.replace("resource-agents", "resource-agents-base") for name in debian] == ubuntu
    assert called["ubuntu"] == {**called["debian"], "__pacemaker_packages": ubuntu}


@pytest.mark.parametrize("node", [name for name in NODES if NODES[name]["os_family"] == "RedHat"])
def test_enterprise_linux_has_others(node: str, called: dict[str, dict[str, Any]]) -> None:
    names = called[node]

    assert names["node_packages"] == ["ca-certificates", "iproute", "openssl", "procps-ng"]
    assert names["__node_time_service"] == "chronyd.service"
    assert {"corosync", "pacemaker", "pcs", "resource-agents"} <= set(names["__pacemaker_packages"])
    assert "pacemaker-cli-utils" not in names["__pacemaker_packages"]


@pytest.mark.parametrize("major", ["8", "9", "10"])
def test_only_oracle_has_a_repository_that_is_enabled(major: str, called: dict[str, dict[str, Any]]) -> None:
    assert called[f"ol{major}"]["__pacemaker_repositories"] == [f"ol{major}_addons"]
    assert called[f"rhel{major}"]["__pacemaker_repositories"] == []


def test_the_agent_runs_with_the_python_of_the_platform(called: dict[str, dict[str, Any]]) -> None:
    own = {name for name, names in called.items() if names["vip_agent_python"] == "/usr/libexec/platform-python"}

    assert own == {"ol8", "rhel8"}

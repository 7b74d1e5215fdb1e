# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interfaces the role keeps network managers off, and on which it has them leave the VIPs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.interpreter import ROOT
from tests.unit.playing import play

ROLE = ROOT / "roles" / "vip_agent"
MINE, LEAVING, THEIRS, OTHERS = (f"02:00:17:00:00:0{number}" for number in (5, 6, 7, 8))
# What systemd-networkd configures them by before the role comes.
FILES = {
    MINE: "/etc/systemd/network/30-mine.network",
    THEIRS: "/run/systemd/network/10-netplan-all-en.network",
    OTHERS: "/run/systemd/network/10-netplan-all-en.network",
}
MANAGER, NETWORK = "/etc/NetworkManager/conf.d/90-cloudvip.conf", "/etc/systemd/network/05-cloudvip.network"
KEEP = "/etc/systemd/network/10-netplan-all-en.network.d/90-cloudvip.conf"


def files(folder: Path, interfaces: list[dict[str, Any]], owned: dict[str, bool], *arguments: str) -> dict[str, str]:
    """What the role writes on a node that configures these interfaces now, and did those of the facts that it owns."""
    output = folder / "files.json"
    task = {
        "ansible.builtin.copy": {
            "content": "{{ (__vip_agent_keep_off_files + __vip_agent_keep_files) | to_json }}",
            "dest": str(output),
        },
        "check_mode": False,
    }
    playbook = [{"hosts": "all", "gather_facts": False, "vars_files": [str(ROLE / "vars/main.yml")], "tasks": [task]}]
    if not (folder / "templates").exists():
        (folder / "templates").symlink_to(ROLE / "templates")
    variables = {
        "__vip_agent_config": {"interfaces": interfaces},
        "vip_agent_vnic": {
            "network_managers": ["NetworkManager", "systemd-networkd"],
            "vnics": [
                {
                    "mac": mac,
                    "interface": f"ens{mac[-1]}",
                    "permanent": mac != OTHERS,
                    "owned": mine,
                    "network_file": FILES.get(mac),
                }
                for mac, mine in owned.items()
            ],
        },
    }
    played = play(folder, playbook, "vr1,", "--connection=local", *arguments, **variables)
    assert played.good, played.output
    return {file["path"]: file["content"] for file in json.loads(output.read_text())}


@pytest.mark.parametrize(
    ("arguments", "macs"), [((), [MINE, LEAVING]), (("--check",), [MINE])], ids=["now", "in the end"]
)
def test_one_that_is_configured_no_more_stays_unmanaged_while_a_vip_may_be_on(
    tmp_path: Path, arguments: tuple[str, ...], macs: list[str]
) -> None:
    written = files(tmp_path, [{"mac": MINE}], {MINE: True, LEAVING: True, THEIRS: False}, *arguments)

    assert f"unmanaged-devices+=mac:{';mac:'.join(macs)}" in written[MANAGER].splitlines()
    assert f"MACAddress={' '.join(macs)}" in written[NETWORK].splitlines()


def test_one_that_networkmanager_does_not_know_by_its_mac_address_is_named(tmp_path: Path) -> None:
    written = files(tmp_path, [{"mac": MINE}, {"mac": OTHERS}], {MINE: True, OTHERS: True, THEIRS: False})

    assert f"unmanaged-devices+=mac:{MINE};mac:{OTHERS};interface-name:ens8" in written[MANAGER].splitlines()


def test_a_node_that_configures_no_interface_leaves_network_managers_alone(tmp_path: Path) -> None:
    assert files(tmp_path, [], {LEAVING: False}) == {}


def test_vips_stay_on_the_interfaces_that_systemd_networkd_configures(tmp_path: Path) -> None:
    written = files(tmp_path, [{"mac": MINE}], {MINE: False, THEIRS: False, OTHERS: False})

    assert written.keys() == {MANAGER, NETWORK, KEEP}
    assert written[KEEP].endswith("\n[Network]\nKeepConfiguration=yes\n")

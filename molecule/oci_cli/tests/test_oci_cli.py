# SPDX-License-Identifier: GPL-3.0-or-later
"""Oracle's CLI is root's, acts as the instance, and is nobody else's to change."""

from __future__ import annotations

import json
import re

from testinfra.host import Host

from lab.control import Status
from lab.topology import API_ADDRESS

# Of a region that is not in the list of the CLI, which takes this from no file.
ENVIRONMENT = f"OCI_CLI_FEDERATION_ENDPOINT=https://{API_ADDRESS}/v1/x509"
# What the package of el8-shaped and of el9-shaped holds says this of itself.
STAND_IN = "not the CLI, but what has its name and its place"


def test_it_is_a_command_of_root(host: Host) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", host.check_output("su - root -c %s", "oci --version"))


def test_only_root_can_change_it(host: Host) -> None:
    program = host.check_output("readlink -f %s", host.check_output("su - root -c %s", "command -v oci"))
    whole = "/opt/cloudvip-oci-cli" if program.startswith("/opt/") else program
    assert host.check_output(r"find %s ! -type l \( ! -user root -o -perm /022 \)", whole) == ""


def test_it_acts_as_the_instance(host: Host, cloud: Status, name: str) -> None:
    primary = cloud.node(name).vnics[0]
    command = f"{ENVIRONMENT} oci --no-retry network private-ip list --vnic-id {primary.vnic_id}"
    listed = host.run("su - root -c %s", command)
    assert STAND_IN in listed.stderr or primary.address in [p["ip-address"] for p in json.loads(listed.stdout)["data"]]

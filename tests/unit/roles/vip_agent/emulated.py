# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of the lab's emulated cloud: it enforces policies, checks signatures and has a metadata service per node."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloudvip.cli import main
from cloudvip.mover import Mover
from cloudvip.netdev import Netdev
from cloudvip.state import State

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from lab.cloud.state import PrivateIp
from lab.cloud.testing import Running
from lab.topology import ocid
from tests.unit.roles.vip_agent.fakes import MACS, POD1, TRANSIT, FakeClock, FakeIp, FakeLog

SUBNETS = {"ens3": "transit", "ens5": "pod1"}
READ, UPDATE = "PRIVATE_IP_READ", "PRIVATE_IP_UPDATE"
VNIC = ("VNIC_READ", "VNIC_ASSIGN", "VNIC_UNASSIGN")


def allow(lab: Running, *permissions: str) -> None:
    """Do what the role oci does: a dynamic group of the nodes, and a policy with the least that they need."""
    rule = "ANY {" + ", ".join(f"instance.id = '{ocid('instance', n)}'" for n in ("vr1", "vr2")) + "}"
    lab.call(lab.cloud.iam.create_dynamic_group, "nodes", rule, "nodes")
    statements = [
        f"allow dynamic-group nodes to use {resource} in compartment id {COMPARTMENT_ID} where any "
        "{" + ", ".join(f"request.permission='{p}'" for p in permissions or (READ, UPDATE, *VNIC)) + "}"
        for resource in ("private-ips", "vnics")
    ]
    lab.call(lab.cloud.iam.create_policy, COMPARTMENT_ID, "nodes", "nodes", statements)


def reserve(lab: Running) -> None:
    """Make the objects of the VIPs, on no VNIC."""
    for vip in (TRANSIT, POD1):
        subnet = ocid("subnet", SUBNETS[vip["interface"]])
        lab.do(lab.cloud.create_private_ip(subnet_id=subnet, address=vip["address"], lifetime="RESERVED"))


def private_ip(lab: Running, vip: dict[str, Any]) -> PrivateIp:
    """The object of a VIP."""
    return next(p for p in lab.cloud.private_ips.values() if str(p.address) == vip["address"])


def holders(lab: Running) -> set[str | None]:
    """The VNICs that have the VIPs."""
    return {private_ip(lab, vip).vnic_id for vip in (TRANSIT, POD1)}


class Node:
    """A node as the role configures it, its interfaces in memory with the MAC addresses of its VNICs."""

    def __init__(self, lab: Running, name: str, directory: Path) -> None:
        self.lab = lab
        self.name = name
        self.ip = FakeIp()
        self.log = FakeLog()
        self.clock = FakeClock()
        self.state = State(str(directory / name))
        self.macs = {MACS[i]: lab.cloud.vnics[self.vnic(i)].mac for i in SUBNETS}
        self._file = directory / f"{name}.json"
        self.checks_file = directory / f"{name}-checks.json"
        self.vips = [
            {
                **vip,
                "mac": self.macs[vip["mac"]],
                "vnic_id": self.vnic(vip["interface"]),
                "private_ip_id": private_ip(lab, vip).id,
                "subnet_id": ocid("subnet", SUBNETS[vip["interface"]]),
            }
            for vip in (TRANSIT, POD1)
        ]
        self.configure()
        self.mover = Mover(
            str(self._file), self.state, Netdev(self._run), self.log, self.clock, checks_file=str(self.checks_file)
        )

    def vnic(self, interface: str) -> str:
        """The OCID of the node's VNIC behind an interface."""
        return ocid("vnic", f"{self.name}/{interface}")

    def configure(self, groups: dict[str, Any] | None = None, **oci: str) -> None:
        """Write the configuration, with other groups or settings of the cloud if some are given."""
        settings = {
            "tenancy_id": TENANCY_ID,
            "instance_id": ocid("instance", self.name),
            "endpoint": self.lab.url,
            "federation_endpoint": self.lab.federation_endpoint,
            "ca_bundle": str(self.lab.pki.ca_file),
            "metadata_url": self.lab.metadata_url(self.name),
            **oci,
        }
        groups = {"main": {"revision": "r1", "vips": self.vips}} if groups is None else groups
        self._file.write_text(json.dumps({"version": 1, "cloud": "oci", "oci": settings, "groups": groups}))

    def unconfigure(self) -> None:
        """Take the configuration away."""
        self._file.unlink()

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """What the command `cloudvip` returns and prints."""
        output, errors = io.StringIO(), io.StringIO()
        code = main(["cloudvip", *arguments], output, errors, lambda: self.mover)
        return code, output.getvalue(), errors.getvalue()

    def calls(self, method: str, path: str) -> int:
        """How many calls of that method the API got whose path contains `path`."""
        return sum(e["kind"] == "api" and e["method"] == method and path in e["path"] for e in self.lab.events)

    def _run(self, argv: Sequence[str], data: bytes) -> bytes:
        output = self.ip(argv, data).decode()
        for fake, mac in self.macs.items():
            output = output.replace(fake, mac)
        return output.encode()

# SPDX-License-Identifier: GPL-3.0-or-later
"""VNICs and private IPs in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.cloudvip.ha.plugins.module_utils._oci.private_ip import PrivateIp
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.vnic import Vnic

from lab.topology import Topology
from tests.unit.plugins.worlds.fake import Log, error, found


class FakeNetwork:
    """`Network` in memory."""

    def __init__(self, topology: Topology, log: Log) -> None:
        self._log = log
        self.vnics: dict[str, Vnic] = {}
        self.ips: dict[str, PrivateIp] = {}
        for instance in topology.instances:
            for spec in instance.vnics:
                subnet_id = topology.subnet(spec.subnet).id
                self.vnics[spec.id] = Vnic(spec.id, subnet_id, spec.interface, False)
                self.store(PrivateIp("", str(spec.address), subnet_id, spec.id, True, "EPHEMERAL", instance.name))

    def store(self, private_ip: PrivateIp) -> PrivateIp:
        private_ip = replace(private_ip, id=f"ocid1.privateip.fake..{next(self._log.serial)}")
        self.ips[private_ip.id] = private_ip
        return private_ip

    def vnic(self, vnic_id: str) -> Vnic:
        self._log.called("GET", "vnics")
        vnic: Vnic = found("GetVnic", self.vnics, vnic_id)
        return vnic

    def set_skip_source_dest_check(self, vnic_id: str, skip: bool) -> Vnic:
        self._log.called("PUT", "vnics")
        self.vnics[vnic_id] = replace(found("UpdateVnic", self.vnics, vnic_id), skip_source_dest_check=skip)
        return self.vnics[vnic_id]

    def private_ips(self, subnet_id: str) -> list[PrivateIp]:
        self._log.called("GET", "privateIps")
        if all(v.subnet_id != subnet_id for v in self.vnics.values()):
            raise error("ListPrivateIps", "absent", 404)
        return [p for p in self.ips.values() if p.subnet_id == subnet_id]

    def reserve_private_ip(
        self, subnet_id: str, address: str, display_name: str | None, tags: Mapping[str, str]
    ) -> PrivateIp:
        self._log.called("POST", "privateIps")
        if any(p.address == address and p.subnet_id == subnet_id for p in self.ips.values()):
            raise error("CreatePrivateIp", "refused", 409)
        name = display_name or "privateip2026"
        return self.store(PrivateIp("", address, subnet_id, None, False, "RESERVED", name, dict(tags)))

    def update_private_ip(self, private_ip_id: str, changes: Mapping[str, Any]) -> PrivateIp:
        self._log.called("PUT", "privateIps")
        current = found("UpdatePrivateIp", self.ips, private_ip_id)
        if current.is_primary:
            raise error("UpdatePrivateIp", "refused", 400)
        self.ips[private_ip_id] = replace(current, **changes)
        return self.ips[private_ip_id]

    def delete_private_ip(self, private_ip: PrivateIp) -> None:
        if private_ip.lifetime == "RESERVED" and private_ip.vnic_id is not None:
            self._log.called("POST", "privateIps")
        self._log.called("DELETE", "privateIps")
        self.ips.pop(private_ip.id, None)

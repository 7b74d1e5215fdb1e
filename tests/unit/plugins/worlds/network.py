# SPDX-License-Identifier: GPL-3.0-or-later
"""VNICs, private IPs and public IPs in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import CloudError
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.private_ip import (
    Create,
    Family,
    PrivateIp,
    Route,
    Subnet,
)
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.public_ip import PublicIp
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.vnic import Vnic

from lab.cloud.names import COMPARTMENT_ID
from lab.topology import Topology
from tests.unit.plugins.worlds.fake import Log, error, found

_KINDS: Mapping[Family, tuple[str, str]] = {"IPv4": ("PrivateIp", "privateIps"), "IPv6": ("Ipv6", "ipv6")}


class FakeNetwork:
    """`Network` in memory. `reserving` is whether the service knows reserved private IPs."""

    def __init__(self, topology: Topology, log: Log) -> None:
        self._log = log
        self.reserving = True
        self.vnics: dict[str, Vnic] = {}
        self.ips: dict[str, PrivateIp] = {}
        self.publics: dict[str, PublicIp] = {}
        self.rules: list[Route] = []
        self.prefixes = {s.id: (s.cidr, s.ipv6) for s in topology.subnets}
        for instance in topology.instances:
            for spec in instance.vnics:
                subnet_id = topology.subnet(spec.subnet).id
                self.vnics[spec.id] = Vnic(spec.id, subnet_id, spec.interface, False)
                self.store(PrivateIp("", str(spec.address), subnet_id, spec.id, True, "EPHEMERAL", instance.name))

    def store(self, private_ip: PrivateIp) -> PrivateIp:
        private_ip = replace(private_ip, id=f"ocid1.privateip.fake..{next(self._log.serial)}")
        self.ips[private_ip.id] = private_ip
        return private_ip

    def _seen(self, private_ip: PrivateIp) -> PrivateIp:
        return private_ip if self.reserving else replace(private_ip, lifetime=None)

    def vnic(self, vnic_id: str) -> Vnic:
        self._log.called("GET", "vnics")
        vnic: Vnic = found("GetVnic", self.vnics, vnic_id)
        return vnic

    def set_skip_source_dest_check(self, vnic_id: str, skip: bool) -> Vnic:
        self._log.called("PUT", "vnics")
        self.vnics[vnic_id] = replace(found("UpdateVnic", self.vnics, vnic_id), skip_source_dest_check=skip)
        return self.vnics[vnic_id]

    def private_ips(self, subnet_id: str, family: Family = "IPv4") -> list[PrivateIp]:
        name, path = _KINDS[family]
        self._log.called("GET", path)
        found(f"List{name}s", self.prefixes, subnet_id)
        return [self._seen(p) for p in self.ips.values() if p.subnet_id == subnet_id and p.family == family]

    def private_ips_of_vnic(self, vnic_id: str, family: Family = "IPv4") -> list[PrivateIp]:
        name, path = _KINDS[family]
        self._log.called("GET", path)
        found(f"List{name}s", self.vnics, vnic_id)
        return [self._seen(p) for p in self.ips.values() if p.vnic_id == vnic_id and p.family == family]

    def create_private_ip(self, wanted: Create) -> PrivateIp:
        name, path = _KINDS[wanted.family]
        self._log.called("POST", path)
        if not self.reserving and (wanted.vnic_id is None or wanted.lifetime == "RESERVED"):
            raise CloudError(f"Create{name}", "refused", 400, "InvalidParameter", "not known")
        if all(p is None or ip_address(wanted.address) not in p for p in self.prefixes[wanted.subnet_id]):
            raise CloudError(f"Create{name}", "refused", 400, "InvalidParameter", "not in the subnet")
        if any(p.address == wanted.address and p.subnet_id == wanted.subnet_id for p in self.ips.values()):
            raise error(f"Create{name}", "refused", 409)
        return self._seen(
            self.store(
                PrivateIp(
                    "",
                    wanted.address,
                    wanted.subnet_id,
                    wanted.vnic_id,
                    False,
                    wanted.lifetime,
                    wanted.display_name or "privateip2026",
                    dict(wanted.tags),
                )
            )
        )

    def update_private_ip(self, private_ip: PrivateIp, changes: Mapping[str, Any]) -> PrivateIp:
        name, path = _KINDS[private_ip.family]
        self._log.called("PUT", path)
        current = found(f"Update{name}", self.ips, private_ip.id)
        if current.is_primary:
            raise error(f"Update{name}", "refused", 400)
        self.ips[private_ip.id] = replace(current, **changes)
        return self._seen(self.ips[private_ip.id])

    def delete_private_ip(self, private_ip: PrivateIp) -> None:
        _, path = _KINDS[private_ip.family]
        if private_ip.lifetime == "RESERVED" and private_ip.vnic_id is not None:
            self._log.called("POST", path)
        self._log.called("DELETE", path)
        self.ips.pop(private_ip.id, None)

    def subnet(self, subnet_id: str) -> Subnet:
        self._log.called("GET", "subnets")
        found("GetSubnet", self.prefixes, subnet_id)
        return Subnet(subnet_id, "vcn", COMPARTMENT_ID)

    def routes(self, vcn_id: str, compartment_id: str) -> list[Route]:
        self._log.called("GET", "routeTables")
        assert (vcn_id, compartment_id) == ("vcn", COMPARTMENT_ID)
        return self.rules

    def public_ips(self, compartment_id: str) -> list[PublicIp]:
        self._log.called("GET", "publicIps")
        return [p for p in self.publics.values() if p.lifetime == "RESERVED" and compartment_id == COMPARTMENT_ID]

    def public_ip_of(self, private_ip_id: str) -> PublicIp | None:
        self._log.called("POST", "publicIps")
        return next((p for p in self.publics.values() if p.private_ip_id == private_ip_id), None)

    def create_public_ip(
        self, compartment_id: str, private_ip_id: str | None, display_name: str, tags: Mapping[str, str]
    ) -> PublicIp:
        self._log.called("POST", "publicIps")
        if compartment_id != COMPARTMENT_ID:
            raise error("CreatePublicIp", "absent", 404)
        number = next(self._log.serial)
        new = PublicIp(
            f"ocid1.publicip.fake..{number}",
            f"203.0.113.{len(self.publics) + 1}",
            None,
            "RESERVED",
            "AVAILABLE",
            display_name,
            dict(tags),
        )
        self.publics[new.id] = new
        return new if private_ip_id is None else self._assigned("CreatePublicIp", new, private_ip_id)

    def _assigned(self, operation: str, public_ip: PublicIp, private_ip_id: str) -> PublicIp:
        found(operation, self.ips, private_ip_id)
        if any(p.private_ip_id == private_ip_id for p in self.publics.values()):
            raise error(operation, "refused", 409)
        self._log.called("GET", "publicIps")
        self.publics[public_ip.id] = replace(public_ip, private_ip_id=private_ip_id, lifecycle_state="ASSIGNED")
        return self.publics[public_ip.id]

    def update_public_ip(self, public_ip: PublicIp, changes: Mapping[str, Any]) -> PublicIp:
        self._log.called("PUT", "publicIps")
        current = found("UpdatePublicIp", self.publics, public_ip.id)
        rest = {key: value for key, value in changes.items() if key != "private_ip_id"}
        self.publics[public_ip.id] = replace(current, **rest)
        if "private_ip_id" in changes:
            return self._assigned("UpdatePublicIp", self.publics[public_ip.id], changes["private_ip_id"])
        return self.publics[public_ip.id]

    def delete_public_ip(self, public_ip: PublicIp) -> None:
        self._log.called("DELETE", "publicIps")
        self.publics.pop(public_ip.id, None)
        self._log.called("GET", "publicIps")

# SPDX-License-Identifier: GPL-3.0-or-later
"""VNIC attachments in memory."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.cloudvip.ha.plugins.module_utils._oci.private_ip import PrivateIp
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.vnic import Vnic
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.vnic_attachment import (
    AttachedVnic,
    Request,
    VnicAttachment,
)

from lab.cloud.names import COMPARTMENT_ID
from lab.cloud.state import VNICS_PER_INSTANCE
from lab.topology import Topology, mac
from tests.unit.plugins.worlds.fake import Log, error, found
from tests.unit.plugins.worlds.network import FakeNetwork


class FakeCompute:
    """`Compute` in memory. An attachment is complete, and a VNIC gone, at the second look, as in the lab."""

    def __init__(self, topology: Topology, network: FakeNetwork, log: Log) -> None:
        self._log = log
        self._network = network
        self._subnets = {s.id: s for s in topology.subnets}
        self._attachments: dict[str, VnicAttachment] = {}
        self._vnics: dict[str, AttachedVnic] = {}
        self._instances = {i.id: i for i in topology.instances}
        for instance in topology.instances:
            for index, spec in enumerate(instance.vnics):
                name = instance.name if index == 0 else f"{instance.name}-{spec.interface}"
                subnet_id = topology.subnet(spec.subnet).id
                self._store(
                    AttachedVnic("", spec.id, instance.id, subnet_id, name, spec.mac, str(spec.address), index == 0)
                )

    def _store(self, vnic: AttachedVnic) -> VnicAttachment:
        vnic = replace(vnic, attachment_id=f"ocid1.vnicattachment.fake..{next(self._log.serial)}")
        self._vnics[vnic.id] = vnic
        attachment = VnicAttachment(vnic.attachment_id, vnic.instance_id, vnic.subnet_id, vnic.id, "ATTACHED")
        self._attachments[attachment.id] = attachment
        return attachment

    def vnic_attachments(self, compartment_id: str, instance_id: str) -> list[VnicAttachment]:
        assert compartment_id == COMPARTMENT_ID
        self._log.called("GET", "vnicAttachments")
        return [a for a in self._attachments.values() if a.instance_id == instance_id]

    def attached(self, attachment: VnicAttachment) -> AttachedVnic:
        if attachment.lifecycle_state == "ATTACHING":
            self._log.called("GET", "vnicAttachments")
            self._log.called("GET", "vnicAttachments")
        self._log.called("GET", "vnics")
        return self._vnics[str(self._attachments[attachment.id].vnic_id)]

    def attach_vnic(self, request: Request) -> VnicAttachment:
        self._log.called("POST", "vnicAttachments")
        found("AttachVnic", self._instances, request.instance_id)
        subnet = found("AttachVnic", self._subnets, request.subnet_id)
        if sum(v.instance_id == request.instance_id for v in self._vnics.values()) >= VNICS_PER_INSTANCE:
            raise error("AttachVnic", "refused", 400)
        taken = {p.address for p in self._network.ips.values() if p.subnet_id == subnet.id}
        if request.private_ip in taken:
            raise error("AttachVnic", "refused", 409)
        address = request.private_ip or next(str(a) for a in list(subnet.cidr)[2:] if str(a) not in taken)
        key = f"ocid1.vnic.fake..{next(self._log.serial)}"
        name, skip = request.display_name, request.skip_source_dest_check
        self._network.vnics[key] = Vnic(key, subnet.id, name, skip)
        self._network.store(PrivateIp("", address, subnet.id, key, True, "EPHEMERAL", name))
        attachment = self._store(AttachedVnic("", key, request.instance_id, subnet.id, name, mac(key), address, False))
        return replace(attachment, vnic_id=None, lifecycle_state="ATTACHING")

    def detach_vnic(self, vnic: AttachedVnic) -> None:
        for method in ("GET", "DELETE", "GET", "GET"):
            self._log.called(method, "vnicAttachments")
        if vnic.is_primary:
            raise error("DetachVnic", "refused", 400)
        del self._attachments[vnic.attachment_id], self._vnics[vnic.id], self._network.vnics[vnic.id]
        self._network.ips = {k: p for k, p in self._network.ips.items() if p.vnic_id != vnic.id}

    def subnet_cidrs(self, subnet_id: str) -> list[str]:
        self._log.called("GET", "subnets")
        return [str(found("GetSubnet", self._subnets, subnet_id).cidr)]

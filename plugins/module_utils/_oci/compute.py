# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The calls about the VNICs of instances: one thin method each, in the words of the models."""

from __future__ import annotations

from typing import Any, Protocol

from .caller import Caller
from .errors import CloudError, OciError
from .retry import Patience
from .vnic_attachment import AttachedVnic, Request, VnicAttachment

_ATTACHING, ATTACHED, _DETACHED = "ATTACHING", "ATTACHED", "DETACHED"


class Compute(Protocol):
    """VNIC attachments, and the VNICs behind them. Every method raises CloudError, those that wait also OciError."""

    def vnic_attachments(self, compartment_id: str, instance_id: str) -> list[VnicAttachment]:
        """The attachments of an instance that are there or are to be there soon."""
        ...

    def attached(self, attachment: VnicAttachment) -> AttachedVnic:
        """Wait until an attachment is complete, and read its VNIC."""
        ...

    def attach_vnic(self, request: Request) -> VnicAttachment:
        """Begin to attach a new VNIC. It gets no public IP."""
        ...

    def detach_vnic(self, vnic: AttachedVnic) -> None:
        """Detach a VNIC, which deletes it, and wait for that."""
        ...

    def subnet_cidrs(self, subnet_id: str) -> list[str]:
        """The IPv4 blocks of a subnet, the first one first."""
        ...


class VirtualNetwork(Caller):
    """What of the virtual network an attachment leads to.

    :param oci: the SDK
    :param client: its VirtualNetworkClient
    """

    def vnic(self, vnic_id: str) -> Any:
        """Read a VNIC. Raises CloudError."""
        return self._call("GetVnic", "get_vnic", vnic_id).data

    def subnet(self, subnet_id: str) -> Any:
        """Read a subnet. Raises CloudError."""
        return self._call("GetSubnet", "get_subnet", subnet_id).data


class OciCompute(Caller):
    """`Compute` by the SDK.

    :param oci: the SDK
    :param client: its ComputeClient
    """

    def __init__(self, oci: Any, client: Any, network: VirtualNetwork, patience: Patience) -> None:
        super().__init__(oci, client, patience)
        self._network = network

    def vnic_attachments(self, compartment_id: str, instance_id: str) -> list[VnicAttachment]:
        """See Compute."""
        found = self._list("ListVnicAttachments", "list_vnic_attachments", compartment_id, instance_id=instance_id)
        return [_attachment(a) for a in found if a.lifecycle_state in (_ATTACHING, ATTACHED)]

    def attached(self, attachment: VnicAttachment) -> AttachedVnic:
        """See Compute."""
        if attachment.lifecycle_state == _ATTACHING:
            attachment = self._patience.until(
                f"the VNIC attachment {attachment.id} to become {ATTACHED}",
                lambda: self._read(attachment.id),
                lambda seen: seen.lifecycle_state != _ATTACHING,
            )
        if attachment.lifecycle_state != ATTACHED:
            raise OciError(f"The VNIC attachment {attachment.id} failed: it became {attachment.lifecycle_state}.")
        return _vnic(attachment, self._network.vnic(str(attachment.vnic_id)))

    def attach_vnic(self, request: Request) -> VnicAttachment:
        """See Compute."""
        models = self._oci.core.models
        details = models.AttachVnicDetails(
            instance_id=request.instance_id,
            create_vnic_details=models.CreateVnicDetails(
                subnet_id=request.subnet_id,
                display_name=request.display_name,
                private_ip=request.private_ip,
                nsg_ids=list(request.nsg_ids) or None,
                skip_source_dest_check=request.skip_source_dest_check,
                # In a public subnet the service would assign one.
                assign_public_ip=False,
            ),
        )
        return _attachment(self._create("AttachVnic", "attach_vnic", details).data)

    def detach_vnic(self, vnic: AttachedVnic) -> None:
        """See Compute."""

        def attempt() -> VnicAttachment:
            seen = self._read(vnic.attachment_id)
            if seen.lifecycle_state == ATTACHED:
                try:
                    self._call("DetachVnic", "detach_vnic", seen.id, worth_it=lambda _: False)
                except CloudError as error:
                    # Repeated after a lost answer, it is refused: what became of it is seen at the next look.
                    if error.kind != "retryable":
                        raise
            return seen

        self._patience.until(
            f"the VNIC {vnic.id} to be detached", attempt, lambda seen: seen.lifecycle_state == _DETACHED
        )

    def subnet_cidrs(self, subnet_id: str) -> list[str]:
        """See Compute."""
        subnet = self._network.subnet(subnet_id)
        return list(subnet.ipv4_cidr_blocks or [subnet.cidr_block])

    def _read(self, attachment_id: str) -> VnicAttachment:
        return _attachment(self._call("GetVnicAttachment", "get_vnic_attachment", attachment_id).data)


def _attachment(data: Any) -> VnicAttachment:
    return VnicAttachment(data.id, data.instance_id, data.subnet_id, data.vnic_id, data.lifecycle_state)


def _vnic(attachment: VnicAttachment, data: Any) -> AttachedVnic:
    return AttachedVnic(
        attachment_id=attachment.id,
        id=data.id,
        instance_id=attachment.instance_id,
        subnet_id=data.subnet_id,
        display_name=data.display_name or "",
        mac_address=data.mac_address.lower(),
        private_ip=data.private_ip,
        is_primary=bool(data.is_primary),
    )

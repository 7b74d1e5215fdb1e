# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The calls about VNICs and private IPs: one thin method each, in the words of the models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .caller import Caller
from .private_ip import RESERVED, PrivateIp
from .vnic import Vnic


class Network(Protocol):
    """Private IPs and VNICs. Every method raises CloudError."""

    def vnic(self, vnic_id: str) -> Vnic:
        """Read a VNIC."""
        ...

    def set_skip_source_dest_check(self, vnic_id: str, skip: bool) -> Vnic:
        """Switch a VNIC's source/destination check."""
        ...

    def private_ips(self, subnet_id: str) -> list[PrivateIp]:
        """All private IPs of a subnet, the primary ones included."""
        ...

    def reserve_private_ip(
        self, subnet_id: str, address: str, display_name: str | None, tags: Mapping[str, str]
    ) -> PrivateIp:
        """Create a private IP with the lifetime RESERVED on no VNIC."""
        ...

    def update_private_ip(self, private_ip_id: str, changes: Mapping[str, Any]) -> PrivateIp:
        """Change lifetime, display_name or tags. The VNIC stays what it is."""
        ...

    def delete_private_ip(self, private_ip: PrivateIp) -> None:
        """Unassign and delete. It being gone already is no error."""
        ...


class OciNetwork(Caller):
    """`Network` by the SDK.

    :param oci: the SDK
    :param client: its VirtualNetworkClient
    """

    def vnic(self, vnic_id: str) -> Vnic:
        """See Network."""
        return _vnic(self._call("GetVnic", "get_vnic", vnic_id).data)

    def set_skip_source_dest_check(self, vnic_id: str, skip: bool) -> Vnic:
        """See Network."""
        details = self._oci.core.models.UpdateVnicDetails(skip_source_dest_check=skip)
        return _vnic(self._call("UpdateVnic", "update_vnic", vnic_id, details).data)

    def private_ips(self, subnet_id: str) -> list[PrivateIp]:
        """See Network."""
        return [_private_ip(p) for p in self._list("ListPrivateIps", "list_private_ips", subnet_id=subnet_id)]

    def reserve_private_ip(
        self, subnet_id: str, address: str, display_name: str | None, tags: Mapping[str, str]
    ) -> PrivateIp:
        """See Network."""
        details = self._oci.core.models.CreatePrivateIpDetails(
            subnet_id=subnet_id,
            ip_address=address,
            lifetime=RESERVED,
            display_name=display_name,
            freeform_tags=dict(tags) or None,
        )
        return _private_ip(self._create("CreatePrivateIp", "create_private_ip", details).data)

    def update_private_ip(self, private_ip_id: str, changes: Mapping[str, Any]) -> PrivateIp:
        """See Network."""
        names = {"tags": "freeform_tags"}
        details = self._oci.core.models.UpdatePrivateIpDetails(**{names.get(k, k): v for k, v in changes.items()})
        return _private_ip(self._call("UpdatePrivateIp", "update_private_ip", private_ip_id, details).data)

    def delete_private_ip(self, private_ip: PrivateIp) -> None:
        """See Network."""
        if private_ip.vnic_id is not None and private_ip.lifetime == RESERVED:
            # The service refuses to delete a reserved private IP that is assigned.
            self._call("PrivateIpVnicDetach", "private_ip_vnic_detach", private_ip.id)
        self._delete("DeletePrivateIp", "delete_private_ip", private_ip.id, self._get_private_ip)

    def _get_private_ip(self, private_ip_id: str) -> Any:
        return self._call("GetPrivateIp", "get_private_ip", private_ip_id).data


def _vnic(data: Any) -> Vnic:
    return Vnic(data.id, data.subnet_id, data.display_name or "", bool(data.skip_source_dest_check))


def _private_ip(data: Any) -> PrivateIp:
    return PrivateIp(
        id=data.id,
        address=data.ip_address,
        subnet_id=data.subnet_id,
        vnic_id=data.vnic_id,
        is_primary=bool(data.is_primary),
        lifetime=data.lifetime or "EPHEMERAL",
        display_name=data.display_name or "",
        tags=dict(data.freeform_tags or {}),
    )

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The calls about VNICs, private IPs and public IPs: one thin method each, in the words of the models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .caller import Caller
from .errors import CloudError, OciError
from .private_ip import RESERVED, Create, Family, PrivateIp, Route, Subnet
from .public_ip import PublicIp
from .vnic import Vnic

# The two kinds of objects differ by their name only: in operations and models, and in the SDK's methods.
_NAMES: Mapping[Family, tuple[str, str]] = {"IPv4": ("PrivateIp", "private_ip"), "IPv6": ("Ipv6", "ipv6")}
_RENAMED = {"tags": "freeform_tags"}
_GONE = ("TERMINATING", "TERMINATED")
_IN_TRANSITION = ("PROVISIONING", "ASSIGNING", "UNASSIGNING")


class Network(Protocol):
    """VNICs, private IPs and public IPs. Every method raises CloudError."""

    def vnic(self, vnic_id: str) -> Vnic:
        """Read a VNIC."""
        ...

    def set_skip_source_dest_check(self, vnic_id: str, skip: bool) -> Vnic:
        """Switch a VNIC's source/destination check."""
        ...

    def private_ips(self, subnet_id: str, family: Family = "IPv4") -> list[PrivateIp]:
        """All private IPs of a subnet, the primary ones included."""
        ...

    def private_ips_of_vnic(self, vnic_id: str, family: Family = "IPv4") -> list[PrivateIp]:
        """All private IPs of a VNIC, the primary one included."""
        ...

    def create_private_ip(self, wanted: Create) -> PrivateIp:
        """Create a private IP, on a VNIC or on none."""
        ...

    def update_private_ip(self, private_ip: PrivateIp, changes: Mapping[str, Any]) -> PrivateIp:
        """Change lifetime, display_name or tags, or move it to the VNIC `vnic_id`."""
        ...

    def delete_private_ip(self, private_ip: PrivateIp) -> None:
        """Unassign and delete. It being gone already is no error."""
        ...

    def subnet(self, subnet_id: str) -> Subnet:
        """Read a subnet."""
        ...

    def routes(self, vcn_id: str, compartment_id: str) -> list[Route]:
        """The rules of all route tables of a VCN that are in a compartment."""
        ...

    def public_ips(self, compartment_id: str) -> list[PublicIp]:
        """The reserved public IPs of a compartment."""
        ...

    def public_ip_of(self, private_ip_id: str) -> PublicIp | None:
        """The public IP that is assigned to a private IP."""
        ...

    def create_public_ip(
        self, compartment_id: str, private_ip_id: str | None, display_name: str, tags: Mapping[str, str]
    ) -> PublicIp:
        """Create a reserved public IP and have it assigned. Raises OciError when that does not come about."""
        ...

    def update_public_ip(self, public_ip: PublicIp, changes: Mapping[str, Any]) -> PublicIp:
        """Change display_name or tags, or have it assigned to `private_ip_id`, as `create_public_ip` does."""
        ...

    def delete_public_ip(self, public_ip: PublicIp) -> None:
        """Unassign and delete, and wait for that. It being gone already is no error."""
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

    def private_ips(self, subnet_id: str, family: Family = "IPv4") -> list[PrivateIp]:
        """See Network."""
        return self._private_ips(family, subnet_id=subnet_id)

    def private_ips_of_vnic(self, vnic_id: str, family: Family = "IPv4") -> list[PrivateIp]:
        """See Network."""
        return self._private_ips(family, vnic_id=vnic_id)

    def _private_ips(self, family: Family, **where: str) -> list[PrivateIp]:
        name, method = _NAMES[family]
        return [_private_ip(p) for p in self._list(f"List{name}s", f"list_{method}s", **where)]

    def create_private_ip(self, wanted: Create) -> PrivateIp:
        """See Network."""
        name, method = _NAMES[wanted.family]
        details = getattr(self._oci.core.models, f"Create{name}Details")(
            # A service that reserves nothing takes neither a subnet nor a lifetime: on a VNIC, both go without saying.
            subnet_id=wanted.subnet_id if wanted.vnic_id is None else None,
            vnic_id=wanted.vnic_id,
            ip_address=wanted.address,
            lifetime=RESERVED if wanted.lifetime == RESERVED else None,
            display_name=wanted.display_name,
            freeform_tags=dict(wanted.tags) or None,
        )
        return _private_ip(self._create(f"Create{name}", f"create_{method}", details).data)

    def update_private_ip(self, private_ip: PrivateIp, changes: Mapping[str, Any]) -> PrivateIp:
        """See Network."""
        name, method = _NAMES[private_ip.family]
        details = getattr(self._oci.core.models, f"Update{name}Details")(**_renamed(changes))
        return _private_ip(self._call(f"Update{name}", f"update_{method}", private_ip.id, details).data)

    def delete_private_ip(self, private_ip: PrivateIp) -> None:
        """See Network."""
        name, method = _NAMES[private_ip.family]
        if private_ip.vnic_id is not None and private_ip.lifetime == RESERVED:
            # The service refuses to delete a reserved private IP that is assigned.
            self._call(f"{name}VnicDetach", f"{method}_vnic_detach", private_ip.id)
        self._delete(
            f"Delete{name}",
            f"delete_{method}",
            private_ip.id,
            lambda key: self._call(f"Get{name}", f"get_{method}", key),
        )

    def subnet(self, subnet_id: str) -> Subnet:
        """See Network."""
        data = self._call("GetSubnet", "get_subnet", subnet_id).data
        return Subnet(data.id, data.vcn_id, data.compartment_id)

    def routes(self, vcn_id: str, compartment_id: str) -> list[Route]:
        """See Network."""
        tables = self._list("ListRouteTables", "list_route_tables", compartment_id, vcn_id=vcn_id)
        return [
            Route(t.id, t.display_name or "", r.destination, r.network_entity_id) for t in tables for r in t.route_rules
        ]

    def public_ips(self, compartment_id: str) -> list[PublicIp]:
        """See Network."""
        found = self._list("ListPublicIps", "list_public_ips", "REGION", compartment_id, lifetime=RESERVED)
        return [_public_ip(p) for p in found if p.lifecycle_state not in _GONE]

    def public_ip_of(self, private_ip_id: str) -> PublicIp | None:
        """See Network."""
        details = self._oci.core.models.GetPublicIpByPrivateIpIdDetails(private_ip_id=private_ip_id)
        return self._unless_gone("GetPublicIpByPrivateIpId", "get_public_ip_by_private_ip_id", details)

    def create_public_ip(
        self, compartment_id: str, private_ip_id: str | None, display_name: str, tags: Mapping[str, str]
    ) -> PublicIp:
        """See Network."""
        details = self._oci.core.models.CreatePublicIpDetails(
            compartment_id=compartment_id,
            lifetime=RESERVED,
            private_ip_id=private_ip_id,
            display_name=display_name,
            freeform_tags=dict(tags) or None,
        )
        made = _public_ip(self._create("CreatePublicIp", "create_public_ip", details).data)
        return made if private_ip_id is None else self._assigned(made, private_ip_id)

    def update_public_ip(self, public_ip: PublicIp, changes: Mapping[str, Any]) -> PublicIp:
        """See Network."""
        details = self._oci.core.models.UpdatePublicIpDetails(**_renamed(changes))
        changed = _public_ip(self._call("UpdatePublicIp", "update_public_ip", public_ip.id, details).data)
        return self._assigned(changed, changes["private_ip_id"]) if "private_ip_id" in changes else changed

    def _assigned(self, public_ip: PublicIp, private_ip_id: str) -> PublicIp:
        settled = self._patience.until(
            f"public IP {public_ip} to be assigned to {private_ip_id}",
            lambda: _public_ip(self._call("GetPublicIp", "get_public_ip", public_ip.id).data),
            lambda seen: seen.lifecycle_state not in _IN_TRANSITION,
        )
        if settled.lifecycle_state != "ASSIGNED" or settled.private_ip_id != private_ip_id:
            # The service says no more than this when an assignment that it accepted fails.
            raise OciError(
                f"The public IP {public_ip} was not assigned to {private_ip_id}: it is {settled.lifecycle_state} and "
                f"belongs to {settled.private_ip_id or 'nothing'}. Was the private IP deleted, or given another "
                "public IP, at the same time?"
            )
        return settled

    def delete_public_ip(self, public_ip: PublicIp) -> None:
        """See Network."""
        self._delete(
            "DeletePublicIp",
            "delete_public_ip",
            public_ip.id,
            lambda key: self._call("GetPublicIp", "get_public_ip", key),
        )
        self._patience.until(
            f"public IP {public_ip} to be deleted",
            lambda: self._unless_gone("GetPublicIp", "get_public_ip", public_ip.id),
            lambda seen: seen is None,
        )

    def _unless_gone(self, operation: str, method: str, key: Any) -> PublicIp | None:
        try:
            found = _public_ip(self._call(operation, method, key).data)
        except CloudError as error:
            if error.kind != "absent":
                raise
            return None
        return None if found.lifecycle_state in _GONE else found


def _renamed(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(key, key): value for key, value in changes.items()}


def _vnic(data: Any) -> Vnic:
    return Vnic(data.id, data.subnet_id, data.display_name or "", bool(data.skip_source_dest_check))


def _private_ip(data: Any) -> PrivateIp:
    return PrivateIp(
        id=data.id,
        address=data.ip_address,
        subnet_id=data.subnet_id,
        vnic_id=data.vnic_id,
        # No IPv6 object is a primary one.
        is_primary=bool(getattr(data, "is_primary", False)),
        lifetime=data.lifetime,
        display_name=data.display_name or "",
        tags=dict(data.freeform_tags or {}),
    )


def _public_ip(data: Any) -> PublicIp:
    return PublicIp(
        id=data.id,
        address=data.ip_address,
        private_ip_id=data.assigned_entity_id,
        lifetime=data.lifetime,
        lifecycle_state=data.lifecycle_state,
        display_name=data.display_name or "",
        tags=dict(data.freeform_tags or {}),
    )

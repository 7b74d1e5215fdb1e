# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The one place where failures of the SDK become errors that a plan, a retry or a person can act on."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["retryable", "absent", "changed", "refused"]

# What the caller needs for each operation (Oracle's policy reference for the core services and for IAM). The detach is
# not in that reference; these are the parts of a deletion that unassign.
PERMISSIONS = {
    "GetVnic": "VNIC_READ",
    "UpdateVnic": "VNIC_UPDATE, and for a change of the network security groups NETWORK_SECURITY_GROUP_UPDATE_MEMBERS, "
    "VNIC_ASSOCIATE_NETWORK_SECURITY_GROUP",
    "ListPrivateIps": "PRIVATE_IP_READ",
    "GetPrivateIp": "PRIVATE_IP_READ",
    "CreatePrivateIp": "PRIVATE_IP_CREATE, PRIVATE_IP_ASSIGN, VNIC_ASSIGN, SUBNET_ATTACH",
    "UpdatePrivateIp": "PRIVATE_IP_UPDATE, VNIC_ASSIGN, VNIC_UNASSIGN",
    "PrivateIpVnicDetach": "PRIVATE_IP_UNASSIGN, VNIC_UNASSIGN",
    "DeletePrivateIp": "PRIVATE_IP_DELETE, PRIVATE_IP_UNASSIGN, VNIC_UNASSIGN, SUBNET_DETACH",
    "ListIpv6s": "IPV6_READ, and SUBNET_READ for a subnet or VNIC_READ for a VNIC",
    "GetIpv6": "IPV6_READ",
    "CreateIpv6": "IPV6_CREATE, SUBNET_ATTACH, VNIC_ASSIGN",
    "UpdateIpv6": "IPV6_UPDATE, VNIC_ASSIGN, VNIC_UNASSIGN",
    "Ipv6VnicDetach": "IPV6_UPDATE, VNIC_UNASSIGN",
    "DeleteIpv6": "IPV6_DELETE, SUBNET_DETACH, VNIC_UNASSIGN",
    "GetSubnet": "SUBNET_READ",
    "ListRouteTables": "ROUTE_TABLE_READ",
    "GetRouteTable": "ROUTE_TABLE_READ",
    "UpdateRouteTable": "ROUTE_TABLE_UPDATE, PRIVATE_IP_ROUTE_TABLE_ATTACH, PRIVATE_IP_ROUTE_TABLE_DETACH",
    "ListVnicAttachments": "VNIC_ATTACHMENT_READ, INSTANCE_INSPECT",
    "GetVnicAttachment": "VNIC_ATTACHMENT_READ",
    "AttachVnic": "INSTANCE_ATTACH_SECONDARY_VNIC, VNIC_ATTACH, VNIC_CREATE, SUBNET_ATTACH, and for a network security "
    "group NETWORK_SECURITY_GROUP_UPDATE_MEMBERS, VNIC_ASSOCIATE_NETWORK_SECURITY_GROUP",
    "DetachVnic": "INSTANCE_DETACH_SECONDARY_VNIC, VNIC_DETACH, VNIC_DELETE, SUBNET_DETACH",
    "ListPublicIps": "PUBLIC_IP_READ",
    "GetPublicIp": "PUBLIC_IP_READ",
    "GetPublicIpByPrivateIpId": "PUBLIC_IP_READ",
    "CreatePublicIp": "PUBLIC_IP_CREATE, PUBLIC_IP_ASSIGN_PRIVATE_IP, PRIVATE_IP_ASSIGN_PUBLIC_IP",
    "UpdatePublicIp": "PUBLIC_IP_UPDATE, PUBLIC_IP_ASSIGN_PRIVATE_IP, PUBLIC_IP_UNASSIGN_PRIVATE_IP, "
    "PRIVATE_IP_ASSIGN_PUBLIC_IP, PRIVATE_IP_UNASSIGN_PUBLIC_IP",
    "DeletePublicIp": "PUBLIC_IP_DELETE, PUBLIC_IP_UNASSIGN_PRIVATE_IP, PRIVATE_IP_UNASSIGN_PUBLIC_IP",
    "ListNetworkSecurityGroups": "NETWORK_SECURITY_GROUP_READ",
    "GetNetworkSecurityGroup": "NETWORK_SECURITY_GROUP_READ",
    "CreateNetworkSecurityGroup": "NETWORK_SECURITY_GROUP_CREATE, VCN_ATTACH",
    "DeleteNetworkSecurityGroup": "NETWORK_SECURITY_GROUP_DELETE, VCN_DETACH",
    "ListNetworkSecurityGroupVnics": "NETWORK_SECURITY_GROUP_LIST_MEMBERS",
    "ListNetworkSecurityGroupSecurityRules": "NETWORK_SECURITY_GROUP_LIST_SECURITY_RULES",
    "AddNetworkSecurityGroupSecurityRules": "NETWORK_SECURITY_GROUP_UPDATE_SECURITY_RULES, and for a rule about a "
    "network security group NETWORK_SECURITY_GROUP_INSPECT",
    "RemoveNetworkSecurityGroupSecurityRules": "NETWORK_SECURITY_GROUP_UPDATE_SECURITY_RULES",
    "ListDynamicGroups": "DYNAMIC_GROUP_INSPECT",
    "GetDynamicGroup": "DYNAMIC_GROUP_INSPECT",
    "CreateDynamicGroup": "DYNAMIC_GROUP_CREATE",
    "UpdateDynamicGroup": "DYNAMIC_GROUP_UPDATE",
    "DeleteDynamicGroup": "DYNAMIC_GROUP_DELETE",
    "ListPolicies": "POLICY_READ",
    "GetPolicy": "POLICY_READ",
    "CreatePolicy": "POLICY_CREATE",
    "UpdatePolicy": "POLICY_UPDATE",
    "DeletePolicy": "POLICY_DELETE",
    "ListDomains": "DOMAIN_INSPECT",
    "ListDynamicResourceGroups": "DYNAMIC_GROUP_INSPECT",
    "GetDynamicResourceGroup": "DYNAMIC_GROUP_INSPECT",
    "CreateDynamicResourceGroup": "DYNAMIC_GROUP_CREATE",
    "PatchDynamicResourceGroup": "DYNAMIC_GROUP_UPDATE",
    "DeleteDynamicResourceGroup": "DYNAMIC_GROUP_DELETE",
    "GetCompartment": "COMPARTMENT_INSPECT",
    "ListRegionSubscriptions": "TENANCY_INSPECT",
}

_UNTRUSTED = "CertificateNotTrusted"
_RETRYABLE_CONFLICTS = frozenset({"IncorrectState", "LockConflict"})


class OciError(Exception):
    """A failure that ends the module. The text is for the user."""


class PlanError(OciError):
    """The request cannot be carried out; `problems` has one text per problem."""

    def __init__(self, problems: list[str]) -> None:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}, nothing was changed:"
        super().__init__("\n".join([count, *(f"- {p}" for p in problems)]))
        self.problems = problems


@dataclass(eq=False)
class CloudError(OciError):
    """A call that failed.

    :param operation: the API's name for the call
    :param kind: `retryable`: the same call may work later; `absent`: not there, or not allowed (the API does not tell
        which); `changed`: someone else changed the object since it was read; `refused`: everything else
    :param status: HTTP status, 0 when there was no answer
    :param code: the API's error code, or the exception's name when there was no answer
    :param message: the API's text
    :param request_id: what Oracle's support asks for, if known
    :param subject: what the call was about, in the user's words
    """

    operation: str
    kind: Kind
    status: int
    code: str
    message: str
    request_id: str | None = None
    subject: str = ""

    def __str__(self) -> str:
        answer = f"{self.status} {self.code}".strip() if self.status else self.code
        about = f"{self.subject}: " if self.subject else ""
        text = f"{about}{self.operation} failed: {answer}: {self.message.strip().rstrip('.')}."
        hint = self._hint()
        return f"{text} {hint}" if hint else text

    def _hint(self) -> str:
        if self.kind == "absent":
            return (
                "OCI answers the same for an object that does not exist and for one that the caller may not touch. "
                f"Permissions that this call needs: {PERMISSIONS[self.operation]}."
            )
        if self.kind == "changed":
            return "Something else changed the object at the same time; run again."
        if self.status == 401:
            return "The key, the fingerprint or the token is not accepted, or the clock is more than 5 minutes off."
        if self.code == _UNTRUSTED:
            return "Nothing vouches for the service's certificate: set `ca_bundle` to the authority's."
        if self.code == "NotAllowed":
            return (
                "Dynamic groups and policies can only be written in the tenancy's home region: set `identity_endpoint` "
                "to that region's, or leave it and `endpoint` out."
            )
        return ""


def classify(oci: Any, operation: str, error: Exception) -> CloudError | None:
    """Say what an exception of the SDK means; None when it is none of the service's or the network's.

    :param oci: the SDK
    """
    if isinstance(error, oci.exceptions.ServiceError):
        # An identity domain has no code, and its text stands elsewhere.
        status, code = int(error.status), str(error.code or "")
        message = str(error.message or error.args[0].get("detail", ""))
        return CloudError(operation, _kind(status, code), status, code, message, error.request_id)
    if isinstance(error, (oci.exceptions.RequestException, oci.exceptions.ConnectTimeout)):
        if any(isinstance(e, ssl.SSLCertVerificationError) for e in _chain(error)):
            return CloudError(operation, "refused", 0, _UNTRUSTED, str(error))
        return CloudError(operation, "retryable", 0, type(error).__name__, str(error))
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _kind(status: int, code: str) -> Kind:
    if status == 429 or (status >= 500 and status != 501) or (status == 409 and code in _RETRYABLE_CONFLICTS):
        return "retryable"
    if status == 404:
        return "absent"
    return "changed" if status == 412 else "refused"

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
    "UpdateVnic": "VNIC_UPDATE",
    "ListPrivateIps": "PRIVATE_IP_READ",
    "GetPrivateIp": "PRIVATE_IP_READ",
    "CreatePrivateIp": "PRIVATE_IP_CREATE, PRIVATE_IP_ASSIGN, VNIC_ASSIGN, SUBNET_ATTACH",
    "UpdatePrivateIp": "PRIVATE_IP_UPDATE, VNIC_ASSIGN, VNIC_UNASSIGN",
    "PrivateIpVnicDetach": "PRIVATE_IP_UNASSIGN, VNIC_UNASSIGN",
    "DeletePrivateIp": "PRIVATE_IP_DELETE, PRIVATE_IP_UNASSIGN, VNIC_UNASSIGN, SUBNET_DETACH",
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
        answer = f"{self.status} {self.code}" if self.status else self.code
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
            return "Dynamic groups and policies can only be written in the tenancy's home region: set `region` to it."
        return ""


def classify(oci: Any, operation: str, error: Exception) -> CloudError | None:
    """Say what an exception of the SDK means; None when it is none of the service's or the network's.

    :param oci: the SDK
    """
    if isinstance(error, oci.exceptions.ServiceError):
        status, code = int(error.status), str(error.code)
        return CloudError(operation, _kind(status, code), status, code, str(error.message), error.request_id)
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

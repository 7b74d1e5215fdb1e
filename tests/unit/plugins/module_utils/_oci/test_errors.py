# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SDK's exceptions become."""

from __future__ import annotations

import oci
import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import (
    PERMISSIONS,
    CloudError,
    Kind,
    PlanError,
    classify,
)


def refused(status: int, code: str, message: str = "No.") -> Exception:
    error: Exception = oci.exceptions.ServiceError(status, code, {"opc-request-id": "REQ"}, message)
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused(400, "InvalidParameter"), "refused"),
        (refused(401, "NotAuthenticated"), "refused"),
        (refused(403, "NotAllowed"), "refused"),
        (refused(404, "NotAuthorizedOrNotFound"), "absent"),
        (refused(409, "IncorrectState"), "retryable"),
        (refused(409, "LockConflict"), "retryable"),
        (refused(409, "Conflict"), "refused"),
        (refused(412, "NoEtagMatch"), "changed"),
        (refused(429, "TooManyRequests"), "retryable"),
        (refused(500, "InternalServerError"), "retryable"),
        (refused(501, "MethodNotImplemented"), "refused"),
        (refused(503, "ServiceUnavailable"), "retryable"),
        (oci.exceptions.RequestException("refused"), "retryable"),
        (oci.exceptions.ConnectTimeout("slow"), "retryable"),
    ],
)
def test_every_failure_has_a_kind(error: Exception, kind: Kind) -> None:
    known = classify(oci, "GetVnic", error)

    assert known is not None
    assert known.kind == kind


def test_a_programming_error_is_not_taken_for_a_failure_of_the_cloud() -> None:
    assert classify(oci, "GetVnic", TypeError("no such argument")) is None


def test_the_text_names_the_operation_and_what_the_service_said() -> None:
    known = classify(oci, "CreatePrivateIp", refused(400, "InvalidParameter", "Not in the subnet."))

    assert str(known) == "CreatePrivateIp failed: 400 InvalidParameter: Not in the subnet."
    assert known is not None
    assert known.request_id == "REQ"


def test_no_answer_is_told_apart_from_a_refusal() -> None:
    known = classify(oci, "GetVnic", oci.exceptions.RequestException("Connection refused"))

    assert str(known) == "GetVnic failed: RequestException: Connection refused."


@pytest.mark.parametrize("operation", PERMISSIONS)
def test_not_found_names_the_permissions_that_may_be_missing(operation: str) -> None:
    known = classify(oci, operation, refused(404, "NotAuthorizedOrNotFound"))

    assert f"Permissions that this call needs: {PERMISSIONS[operation]}." in str(known)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (CloudError("CreatePolicy", "refused", 403, "NotAllowed", "Go home"), "home region: set `identity_endpoint`"),
        (CloudError("GetVnic", "refused", 401, "NotAuthenticated", "Who?"), "clock is more than 5 minutes off"),
        (CloudError("UpdatePolicy", "changed", 412, "NoEtagMatch", "Stale"), "run again"),
    ],
)
def test_the_text_says_what_to_do(error: CloudError, hint: str) -> None:
    assert hint in str(error)


def test_all_problems_of_a_plan_are_in_its_text() -> None:
    assert str(PlanError(["one"])) == "1 problem, nothing was changed:\n- one"
    assert str(PlanError(["one", "two"])) == "2 problems, nothing was changed:\n- one\n- two"

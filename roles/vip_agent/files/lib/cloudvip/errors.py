# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors of the cloud, by what can be done about them."""

import enum
from typing import Optional


class ErrorKind(enum.Enum):
    """RETRYABLE: unreachable, throttled or broken for now. AUTH: the token was not accepted. PERMISSION: not allowed,
    or no such object (the API does not tell which). CONFLICT: something else is changing the object. FATAL: the same
    call will never work."""

    RETRYABLE = "retryable"
    AUTH = "auth"
    PERMISSION = "permission"
    CONFLICT = "conflict"
    FATAL = "fatal"


class CloudError(Exception):
    """A call to the cloud that did not work. `retry_after` is in seconds, where the server gave one."""

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        status: Optional[int] = None,
        retry_after: Optional[float] = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.retry_after = retry_after


def classify(status: int, code: str) -> ErrorKind:
    """The kind of an HTTP error answer. `code` is the API's own word for it, which may be empty."""
    if status == 401:
        return ErrorKind.AUTH
    if status in (403, 404):
        return ErrorKind.PERMISSION
    if (status == 409 and code != "IncorrectState") or status == 412:
        return ErrorKind.CONFLICT
    if status in (408, 409, 425, 429) or (status >= 500 and status != 501):
        return ErrorKind.RETRYABLE
    return ErrorKind.FATAL

# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that the API answers with, in the words of the real one where these are known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(eq=False)
class ApiError(Exception):
    """A refused request: the HTTP status, OCI's error code and the text for people."""

    status: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"


def body(error: ApiError) -> dict[str, str]:
    """The error as the services of OCI send it."""
    return {"code": error.code, "message": error.message}


def not_authenticated() -> ApiError:
    """One answer whatever part of the authentication is wrong, so that a caller learns nothing from it."""
    message = "The required information to complete authentication was not provided or was incorrect."
    return ApiError(401, "NotAuthenticated", message)


def not_found() -> ApiError:
    """The resource does not exist, or the caller may not know that it does."""
    return ApiError(404, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found.")


def invalid(message: str) -> ApiError:
    return ApiError(400, "InvalidParameter", message)


def missing(message: str) -> ApiError:
    return ApiError(400, "MissingParameter", message)


def incorrect_state(message: str) -> ApiError:
    return ApiError(409, "IncorrectState", message)


def no_etag_match() -> ApiError:
    return ApiError(412, "NoEtagMatch", "The etag that was given does not match the current one of the resource.")

# SPDX-License-Identifier: GPL-3.0-or-later
"""The instance metadata service: who this node is, in certificates."""

from typing import NamedTuple

from cloudvip.errors import CloudError, ErrorKind
from cloudvip.transport import Endpoint, check

_TIMEOUT = 5.0


class Identity(NamedTuple):
    """What the instance proves itself with, in PEM. The key stays in memory."""

    certificate: str
    key: str
    intermediate: str


class Metadata:
    """The service behind `url`, for example http://169.254.169.254/opc/v2."""

    def __init__(self, url: str) -> None:
        self._endpoint = Endpoint(url)

    def get(self, path: str) -> str:
        """The value at a path such as `instance/region`. Raises CloudError."""
        endpoint = self._endpoint
        target = f"{endpoint.path}/{path}"
        headers = {"host": endpoint.netloc, "authorization": "Bearer Oracle"}
        try:
            response = check(endpoint.call("GET", target, headers, b"", _TIMEOUT), target)
        except CloudError as error:
            # Whatever it answers, it says nothing about this node's permissions or about the objects.
            raise CloudError(ErrorKind.RETRYABLE, f"metadata service: {error}", error.status) from error
        return response.body.decode("utf-8", "replace")

    def identity(self) -> Identity:
        """The instance's certificate, its key and the certificate's issuer. Raises CloudError."""
        return Identity(
            self.get("identity/cert.pem"), self.get("identity/key.pem"), self.get("identity/intermediate.pem")
        )

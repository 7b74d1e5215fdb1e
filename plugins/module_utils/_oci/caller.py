# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""How every call is made: insisted on where it may work later, and with errors that a plan or a person can act on."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from .errors import CloudError, classify
from .retry import Patience


class Caller:
    """Makes calls of one SDK client: insists on those that may work later, and turns errors into CloudError."""

    def __init__(self, oci: Any, client: Any, patience: Patience) -> None:
        self._oci = oci
        self._client = client
        self._patience = patience

    def _call(
        self,
        operation: str,
        method: str,
        *args: Any,
        worth_it: Callable[[CloudError], bool] = lambda error: error.kind == "retryable",
        **kwargs: Any,
    ) -> Any:
        function = getattr(self._client, method)

        def once() -> Any:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                known = classify(self._oci, operation, error)
                if known is None:
                    raise
                raise known from error

        return self._patience.call(once, worth_it)

    def _create(self, operation: str, method: str, *args: Any, **kwargs: Any) -> Any:
        # The token makes a repeated creation, after an answer that was lost, give the object of the first one.
        return self._call(operation, method, *args, opc_retry_token=uuid.uuid4().hex, **kwargs)

    def _list(self, operation: str, method: str, *args: Any, **kwargs: Any) -> list[Any]:
        items: list[Any] = []
        page: dict[str, Any] = {}
        while True:
            response = self._call(operation, method, *args, **kwargs, **page)
            items += response.data
            if not response.has_next_page:
                return items
            page = {"page": response.next_page}

    def _delete(self, operation: str, method: str, key: str, exists: Callable[[str], Any], **kwargs: Any) -> None:
        try:
            self._call(operation, method, key, **kwargs)
        except CloudError as error:
            if error.kind != "absent":
                raise
            # "Not there" after a lost answer is success, "not allowed" is not, and the API says the same for both.
            try:
                exists(key)
            except CloudError as gone:
                if gone.kind == "absent":
                    return
                raise
            raise

# SPDX-License-Identifier: GPL-3.0-or-later
"""Object storage, as far as `oci os ns get` goes: the cheapest call to find out whether authentication works."""

from __future__ import annotations

from lab.cloud.call import Call, Operation, Reply
from lab.cloud.names import NAMESPACE


async def get_namespace(call: Call) -> Reply:
    """Everyone may ask for their own tenancy's; to ask for a compartment's takes a permission."""
    if "compartmentId" in call.query:
        call.require(call.query["compartmentId"], "OBJECTSTORAGE_NAMESPACE_READ")
    return Reply(NAMESPACE)


OPERATIONS = (
    Operation("GetNamespace", "GET", "/n", get_namespace),
    Operation("GetNamespace", "GET", "/n/", get_namespace),
)

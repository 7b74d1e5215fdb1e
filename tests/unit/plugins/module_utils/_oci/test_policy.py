# SPDX-License-Identifier: GPL-3.0-or-later
"""When two policies say the same."""

from __future__ import annotations

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.policy import same_statements

ONE, TWO = "allow group a to inspect vnics in tenancy", "allow group a to inspect private-ips in tenancy"


@pytest.mark.parametrize(
    ("there", "same"),
    [
        ((ONE, TWO), True),
        ((f" {TWO} ", ONE.replace(" ", "  ")), True),
        ((ONE,), False),
        ((ONE, TWO, TWO), False),
    ],
)
def test_neither_order_nor_white_space_counts(there: tuple[str, ...], same: bool) -> None:
    assert same_statements([ONE, TWO], there) is same

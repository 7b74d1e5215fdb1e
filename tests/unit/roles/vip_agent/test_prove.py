# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node that cannot take over is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.roles.fake_nodes import Nodes

FAILURE = {"subject": "10.0.0.4", "text": "may not be moved", "remedy": "grant it", "permissions": ["VNIC_ASSIGN"]}


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("{{ nobody_looked | default(none) }}", None),
        ([], "The policies grant all of it"),
        (["VNIC_ASSIGN"], "dynamic group VNIC_ASSIGN; nothing else"),
    ],
)
def test_only_who_has_looked_at_the_policies_speaks_of_them(tmp_path: Path, missing: object, told: str | None) -> None:
    failures = {"vip_agent_failures": [FAILURE], "vip_agent_missing_permissions": missing}

    good, _, output = Nodes(tmp_path, ("vr1",)).play("vip_agent", "prove", **failures)

    said = " ".join(output.split())
    assert not good
    assert "10.0.0.4: may not be moved" in said
    assert ("polic" in said.casefold(), (told or "") in said) == (told is not None, True)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `oci_dynamic_group_info`."""

from __future__ import annotations

import pytest
from ansible_collections.cloudvip.ha.plugins.modules import oci_dynamic_group, oci_dynamic_group_info

from lab.cloud.names import DEFAULT_DOMAIN, FURTHER_DOMAIN
from tests.unit.plugins.modules.conftest import Run
from tests.unit.plugins.worlds import World


@pytest.mark.parametrize("domain", [DEFAULT_DOMAIN, FURTHER_DOMAIN])
def test_groups_are_read_as_they_were_made(world: World, run: Run, domain: str) -> None:
    made = [
        run(oci_dynamic_group.main, world.connect, name=name, domain=domain, member_compartment_id="c")["dynamic_group"]
        for name in ("nodes", "others")
    ]

    everything = run(oci_dynamic_group_info.main, world.connect, domain=domain)
    one = run(oci_dynamic_group_info.main, world.connect, domain=domain, name="others")
    none = run(oci_dynamic_group_info.main, world.connect, domain=domain, name="nobody")

    assert sorted(everything["dynamic_groups"], key=lambda g: str(g["name"])) == made
    assert (one["dynamic_groups"], none["dynamic_groups"]) == (made[1:], [])
    assert everything["changed"] is False

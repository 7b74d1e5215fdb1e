# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for the source/destination check."""

from __future__ import annotations

from ansible_collections.cloudvip.ha.plugins.module_utils._oci.vnic import Vnic, plan

CHECKED = Vnic("vnic-a", "subnet", "a", False)
FORWARDING = Vnic("vnic-b", "subnet", "b", True)


def test_only_vnics_that_differ_are_changed() -> None:
    todo = plan(True, [CHECKED, FORWARDING])

    assert todo.actions == (CHECKED,)
    assert todo.before == {"vnic-a": {"skip_source_dest_check": False}, "vnic-b": {"skip_source_dest_check": True}}
    assert todo.after == {"vnic-a": {"skip_source_dest_check": True}, "vnic-b": {"skip_source_dest_check": True}}


def test_the_check_can_be_switched_on_again() -> None:
    assert plan(False, [CHECKED, FORWARDING]).actions == (FORWARDING,)

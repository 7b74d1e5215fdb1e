# SPDX-License-Identifier: GPL-3.0-or-later
"""The module vnic_facts: arguments in, a fact or an error out."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils import _vnics
from ansible_collections.cloudvip.ha.plugins.modules import vnic_facts

from tests.unit.plugins.modules.conftest import Run


class Answers:
    """What `gather` finds, without a service."""

    def __init__(self, result: dict[str, Any] | _vnics.MetadataError) -> None:
        self.result = result

    def __call__(self, *_: object) -> dict[str, Any]:
        if isinstance(self.result, _vnics.MetadataError):
            raise self.result
        return self.result


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node without interfaces."""
    monkeypatch.setattr(_vnics, "read_host", lambda: _vnics.Host({}, {}, {}, {}, [], {}, frozenset()))


@pytest.mark.parametrize("check", [False, True])
def test_the_fact_is_returned_and_nothing_changes(run: Run, monkeypatch: pytest.MonkeyPatch, check: bool) -> None:
    monkeypatch.setattr(_vnics, "gather", Answers({"region": "r"}))

    answer = run(vnic_facts.main, check=check)

    assert answer["ansible_facts"] == {"cloudvip_vnic": {"region": "r"}}
    assert answer["changed"] is False


def test_a_silent_service_fails_with_its_address(run: Run) -> None:
    answer = run(vnic_facts.main, metadata_url="http://127.0.0.1:1/opc/v2", timeout=1, retries=0)

    assert answer["failed"]
    assert "http://127.0.0.1:1/opc/v2/instance/" in answer["msg"]


def test_a_node_that_cannot_be_looked_at_fails_with_the_reason(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise _vnics.NodeError("/etc/cloudvip/config.json: Permission denied")

    monkeypatch.setattr(_vnics, "read_host", refuse)

    answer = run(vnic_facts.main)

    assert answer["failed"]
    assert answer["msg"] == "/etc/cloudvip/config.json: Permission denied"

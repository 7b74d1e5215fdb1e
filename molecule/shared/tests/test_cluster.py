# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster owes its users whatever the engine: the VIPs are where the cloud delivers them, and answer."""

from __future__ import annotations

import json
import subprocess


def test_the_holder_and_nobody_else_has_the_vips(
    name: str, holder: str | None, vips: set[str], addresses: set[str]
) -> None:
    assert addresses & vips == (vips if name == holder else set())


def test_the_vips_answer(vips: set[str]) -> None:
    said = subprocess.run(["lab", "probe", "--for", "2s", "--json"], check=True, capture_output=True, text=True).stdout
    targets = {target["address"]: target for target in json.loads(said)["targets"]}
    assert targets.keys() == vips
    assert {address: target["lost"] for address, target in targets.items()} == dict.fromkeys(vips, 0)
    assert all(target["sent"] > 0 for target in targets.values())

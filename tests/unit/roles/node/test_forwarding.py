# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel settings of a router."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.filter import core, mathstuff
from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parents[4] / "roles/node/templates"
NODE = "vr1.example.com"


def test_a_router_sends_no_redirects_from_the_interfaces_that_it_has() -> None:
    def vip(**interfaces: str) -> dict[str, object]:
        return {"bindings": {f"{node}.example.com": {"interface": name} for node, name in interfaces.items()}}

    # The VNIC of the last one is yet to be attached.
    vips = [vip(vr1="ens3", vr2="eth0"), vip(vr1="ens5", vr2="eth1"), vip(vr1="ens5", vr2="eth1"), vip(vr2="eth2")]
    environment = Environment(loader=FileSystemLoader(TEMPLATES), trim_blocks=True, undefined=StrictUndefined)
    environment.filters.update({**core.FilterModule().filters(), **mathstuff.FilterModule().filters()})

    lines = (
        environment.get_template("60-cloudvip.conf.j2")
        .render(
            ansible_managed="managed",
            inventory_hostname=NODE,
            node_model={"router": True, "groups": [{"vips": vips[:2]}, {"vips": vips[2:]}]},
        )
        .splitlines()
    )

    assert [line for line in lines if "send_redirects" in line] == [
        f"net.ipv4.conf.{name}.send_redirects = 0" for name in ("all", "default", "ens3", "ens5")
    ]

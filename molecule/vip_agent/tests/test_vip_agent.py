# SPDX-License-Identifier: GPL-3.0-or-later
"""The mover without an engine: it knows the cloud and its VIPs, has a token, and takes nothing by itself."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from testinfra.host import Host

from lab.control import Status

AGENT = "/usr/lib/ocf/resource.d/cloudvip/vips"


@pytest.mark.parametrize(
    ("path", "mode"), [("/etc/cloudvip/config.json", 0o640), ("/usr/sbin/cloudvip", 0o755), (AGENT, 0o755)]
)
def test_only_root_may_change_it(host: Host, path: str, mode: int) -> None:
    file = host.file(path)
    assert (file.user, file.group, file.mode) == ("root", "root", mode)


def test_its_token_is_fresh_and_stays_so(host: Host) -> None:
    assert host.service("cloudvip-token.timer").is_running
    assert host.service("cloudvip-token.timer").is_enabled
    host.run_expect([0], "cloudvip token show")
    private = host.file("/run/cloudvip")
    assert (private.user, private.mode) == ("root", 0o700)


def test_a_takeover_would_work(host: Host) -> None:
    doctor = host.run("cloudvip doctor --wait 30")
    assert doctor.rc == 0, doctor.stdout


def test_it_knows_the_vips_by_their_ocids(host: Host, cloud: Status) -> None:
    config = json.loads(host.file("/etc/cloudvip/config.json").content_string)
    known = {vip["address"]: vip["private_ip_id"] for group in config["groups"].values() for vip in group["vips"]}
    assert known == {vip.address: vip.id for vip in cloud.floating}


def test_nobody_has_a_vip_unasked(vips: set[str], addresses: set[str]) -> None:
    assert addresses.isdisjoint(vips)


def test_a_claim_moves_the_vip_here_and_a_release_takes_it_off(host: Host, vips: set[str]) -> None:
    def here() -> set[str]:
        return {word.split("/")[0] for word in host.check_output("ip -oneline address").split()} & vips

    claim = host.run("cloudvip claim main")
    assert claim.rc == 0, claim.stderr
    assert here() == vips
    host.run_expect([0], "cloudvip audit main")
    host.run_expect([0], "cloudvip release main")
    assert here() == set()


def test_pacemaker_can_read_what_the_agent_is(host: Host) -> None:
    metadata = ElementTree.fromstring(host.check_output(f"env OCF_ROOT=/usr/lib/ocf {AGENT} meta-data"))
    actions = {action.get("name") for action in metadata.iter("action")}
    assert {"start", "stop", "monitor", "reload", "reload-agent", "meta-data", "validate-all"} <= actions

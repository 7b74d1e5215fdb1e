# SPDX-License-Identifier: GPL-3.0-or-later
"""What keepalived and systemd are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cloudvip.ha.plugins.filter.keepalived import keepalived_instances
from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROOT = Path(__file__).parents[4]
ROLE = ROOT / "roles/keepalived"
PROFILES = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__keepalived_profiles"]
KEYWORDS = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__keepalived_keywords"]
NODES = ["vr1", "vr2", "vr3"]
CHECK = {
    "name": "web",
    "type": "tcp",
    "port": 80,
    "host": "127.0.0.1",
    "interval": 3,
    "timeout": 2,
    "fall": 4,
    "rise": 5,
}
Block = dict[str, Any]


def template(name: str, **variables: Any) -> str:
    environment = Environment(loader=FileSystemLoader(ROLE / "templates"), trim_blocks=True, undefined=StrictUndefined)
    environment.filters["comment"] = lambda text: f"# {text}"
    return environment.get_template(name).render(ansible_managed="managed", **variables)


def model(*checks: Block, interfaces: tuple[str, ...] = ("ens3", "ens5")) -> Block:
    vips = [{"bindings": {node: {"interface": name} for node in NODES}} for name in interfaces]
    return {
        "nodes": NODES,
        "addresses": {node: f"10.0.0.{number}" for number, node in enumerate(NODES, 11)},
        "interfaces": dict.fromkeys(NODES, "ens3"),
        "checks": list(checks),
        "groups": [
            {"name": name, "preferred_node": None, "virtual_router_id": number, "vips": vips}
            for number, name in enumerate(("main", "other"), 77)
        ],
    }


def conf(
    wanted: Block, node: str = "vr1", profile: str = "fast", preempt_delay: int | None = None, known: Any = KEYWORDS
) -> Block:
    """keepalived.conf as blocks: what a word says, and the blocks by their first line."""
    instances = keepalived_instances(wanted, node, **PROFILES[profile], preempt_delay=preempt_delay, known=[known])
    text = template(
        "keepalived.conf.j2",
        inventory_hostname=node,
        keepalived_startup_delay=2,
        keepalived_model=wanted,
        __keepalived_instances=instances,
    )
    lines = [line.strip() for line in text.splitlines()]
    top: Block = {}
    stack = [top]
    for line in (line for line in lines if line and not line.startswith("#")):
        if line.endswith(" {"):
            assert line not in stack[-1]
            stack.append(stack[-1].setdefault(line.removesuffix(" {"), {}))
        elif line == "}":
            stack.pop()
        else:
            word, _, rest = line.partition(" ")
            assert word not in stack[-1]
            stack[-1][word] = rest
    assert stack == [top]
    return top


def main(wanted: Block | None = None, **options: Any) -> Block:
    """The instance of the group main."""
    found: Block = conf(wanted or model(), **options)["vrrp_instance main"]
    return found


@pytest.mark.parametrize(("profile", "seconds"), [("fast", 0.5), ("balanced", 1.2), ("tolerant", 20)])
@pytest.mark.parametrize("known", [KEYWORDS, []])
def test_a_silent_master_is_given_up_after_the_time_of_the_profile(
    profile: str, seconds: float, known: list[str]
) -> None:
    found = main(profile=profile, known=known)

    silence = float(found["advert_int"]) * int(found.get("down_timer_adverts", 3))
    assert seconds <= round(silence, 6) < seconds + 0.03


def test_nobody_is_born_master_and_a_group_stays_where_it_is() -> None:
    found = [main(node=node) for node in NODES]

    assert {instance["state"] for instance in found} == {"BACKUP"}
    assert all("nopreempt" in instance and "preempt_delay" not in instance for instance in found)


def test_a_preferred_node_takes_its_group_back_if_it_is_told_to() -> None:
    found = main(preempt_delay=300)

    assert found["preempt_delay"] == "300"
    assert not found.keys() & {"nopreempt", "timer_expired_backup"}


def test_a_release_gets_only_what_it_knows() -> None:
    assert main().keys() >= set(KEYWORDS)
    assert not main(known=[]).keys() & set(KEYWORDS)


def test_the_only_address_of_an_instance_is_its_marker() -> None:
    found = conf(model())

    assert {name: list(block["virtual_ipaddress"].items()) for name, block in found.items() if "instance" in name} == {
        "vrrp_instance main": [("192.0.2.77/32", "dev lo scope host no_track")],
        "vrrp_instance other": [("192.0.2.78/32", "dev lo scope host no_track")],
    }
    assert found["vrrp_instance main"]["virtual_router_id"] == "77"


def test_only_the_other_nodes_are_spoken_to_and_heard() -> None:
    found = conf(model(), node="vr2")

    assert list(found["vrrp_instance main"]["unicast_peer"]) == ["10.0.0.11", "10.0.0.13"]
    assert found["vrrp_instance main"]["unicast_src_ip"] == "10.0.0.12"
    assert found["global_defs"].keys() >= {"vrrp_check_unicast_src"}
    assert found["global_defs"]["vrrp_version"] == "3"


def test_what_becomes_of_an_instance_is_written_where_the_consumer_reads() -> None:
    assert conf(model())["global_defs"]["vrrp_notify_fifo"] == "/run/cloudvip/vrrp.fifo"


def test_a_node_that_lacks_an_interface_holds_nothing() -> None:
    assert list(main()["track_interface"]) == ["ens5"]
    assert "track_interface" not in main(model(interfaces=("ens3",)))


def test_a_node_that_fails_a_check_holds_nothing() -> None:
    found = conf(model(CHECK))

    assert found["vrrp_script web"] == {
        "script": '"/usr/sbin/cloudvip check --optional web"',
        "interval": "3",
        "timeout": "2",
        "fall": "4",
        "rise": "5",
    }
    assert all(
        list(found[f"vrrp_instance {name}"]["track_script"]) == ["cloudvip_consumer", "web"]
        for name in ("main", "other")
    )


def test_a_node_without_the_consumer_holds_nothing() -> None:
    script = conf(model())["vrrp_script cloudvip_consumer"]["script"]

    assert script == '"/usr/bin/env systemctl is-active --quiet cloudvip-vrrp.service"'
    assert list(main()["track_script"]) == ["cloudvip_consumer"]


def test_checks_run_without_rights() -> None:
    assert conf(model(CHECK))["global_defs"].keys() >= {"enable_script_security"}
    assert conf(model(CHECK))["global_defs"]["script_user"] == "keepalived_script"


def settings(name: str) -> dict[str, list[str]]:
    """What a unit says, each setting with all that it is set to."""
    found: dict[str, list[str]] = {}
    for line in template(name).splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(key, []).extend(value.split())
    return found


def test_a_consumer_that_ends_is_started_again_and_takes_keepalived_along_in_nothing() -> None:
    unit, keepalived = settings("cloudvip-vrrp.service.j2"), settings("cloudvip.conf.j2")

    assert (unit["Restart"], unit["StartLimitIntervalSec"]) == (["always"], ["0"])
    assert keepalived["Wants"] == keepalived["After"] == ["cloudvip-vrrp.service"]
    assert not keepalived.keys() & {"Requires", "BindsTo", "PartOf", "Requisite"}


def test_keepalived_does_not_start_without_a_consumer_and_does_not_stay_away() -> None:
    keepalived = settings("cloudvip.conf.j2")

    assert keepalived["ExecStartPre"][-1] == "cloudvip-vrrp.service"
    assert (keepalived["Restart"], keepalived["StartLimitIntervalSec"]) == (["always"], ["0"])


def test_a_keepalived_that_may_not_raise_limits_sets_none_that_a_reload_would_make_deadly() -> None:
    soft, hard = settings("cloudvip.conf.j2")["LimitRTTIME"][0].split(":")

    assert (soft, hard) == ("500ms", "1s")
    assert int(conf(model())["global_defs"]["vrrp_rlimit_rttime"]) > 1_000_000


def test_the_consumer_may_change_addresses_and_nothing_else() -> None:
    unit = settings("cloudvip-vrrp.service.j2")

    assert unit["CapabilityBoundingSet"] == ["CAP_NET_ADMIN"]
    assert (unit["ProtectSystem"], unit["ReadWritePaths"]) == (["strict"], ["/run/cloudvip"])

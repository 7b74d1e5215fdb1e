# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster engines, by what their own commands and their journals say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from lab import engines
from lab.control import LabError
from lab.engines import Keepalived, NoEngine, Pacemaker
from lab.shell import Exec, exec_in

NODES = ("vr1", "vr2", "vr3")


def crm_mon(holder: str = "vr1", *, quorum: bool = True, offline: str = "", resource: str = "", more: str = "") -> str:
    nodes = "".join(
        f'<node name="{n}" online="{str(n != offline).lower()}" pending="false" unclean="false"/>' for n in NODES
    )
    return (
        f'<pacemaker-result><summary><current_dc present="true" with_quorum="{str(quorum).lower()}"/></summary>'
        f'<nodes>{nodes}</nodes><resources><resource id="main" role="Started" failed="false" blocked="false" '
        f'orphaned="false" {resource}><node name="{holder}"/></resource></resources>{more}</pacemaker-result>'
    )


def pacemaker(views: Mapping[str, str | None], constraints: str = "<constraints/>") -> Pacemaker:
    def exec_on(node: str, argv: Sequence[str]) -> str:
        answer = views[node]
        if answer is None:
            raise LabError("off")
        return answer if argv[0] == "crm_mon" else constraints

    return Pacemaker(exec_on)


WELL: Mapping[str, str | None] = dict.fromkeys(NODES, crm_mon())


def test_a_pacemaker_that_is_well_says_who_serves_and_no_more() -> None:
    view = pacemaker(WELL).view(NODES)
    assert view.problems == ()
    assert view.serving == {"vr1"}


_FAILURE = '<failures><failure op_key="main_start_0" node="vr2"/></failures>'
_COUNT = (
    '<node_history><node name="vr2"><resource_history id="main" fail-count="INFINITY"/></node></node_history>'
)  # fmt: skip


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        ({"vr2": None}, "vr2: the cluster's state cannot be read"),
        ({"vr2": crm_mon(offline="vr3")}, "vr2 does not see all nodes online"),
        ({"vr2": crm_mon(quorum=False)}, "vr2 sees no quorum"),
        ({"vr3": crm_mon(resource='pending="Starting"')}, "vr3 sees main Started Starting on vr1"),
        ({"vr3": crm_mon().replace("Started", "Stopped")}, "vr3 sees main Stopped on vr1"),
        ({"vr3": crm_mon().replace('failed="false"', 'failed="true"')}, "vr3 sees main Started failed on vr1"),
        ({"vr3": crm_mon().replace('blocked="false"', 'blocked="true"')}, "vr3 sees main Started blocked on vr1"),
        (
            {"vr3": crm_mon().replace('<node name="vr1"/></r', '<node name="vr1"/><node name="vr2"/></r')},
            "vr3 sees main Started on vr1, vr2",
        ),
        ({"vr1": crm_mon(more=_FAILURE)}, "vr1 sees a failed action: main_start_0 on vr2"),
        ({"vr1": crm_mon(more=_COUNT)}, "vr1 sees a fail count of INFINITY for main"),
    ],
)
def test_what_is_wrong_with_pacemaker_is_said(views: Mapping[str, str | None], expected: str) -> None:
    assert expected in pacemaker({**WELL, **views}).view(NODES).problems


def test_a_constraint_that_a_move_has_left_is_wrong_and_one_of_the_configuration_is_not() -> None:
    left = '<constraints><rsc_location id="cli-ban-main-on-vr1"/><rsc_location id="main-prefers"/></constraints>'
    assert pacemaker(WELL, left).view(NODES).problems == ("constraint cli-ban-main-on-vr1 is left",)


@pytest.mark.parametrize(
    ("views", "whole"),
    [
        ({}, True),
        # A failure that has yet to expire keeps no node away.
        ({"vr1": crm_mon(more=_FAILURE)}, True),
        ({"vr1": crm_mon(offline="vr2")}, False),
        ({"vr3": None}, False),
    ],
)
def test_pacemaker_is_whole_when_every_node_sees_every_other(views: Mapping[str, str | None], whole: bool) -> None:
    assert pacemaker({**WELL, **views}).whole(NODES) is whole


ONLINE = 'online="true" pending="false" unclean="false"'
LISTED = f"""<pacemaker-result>
  <nodes><node name="vr1" {ONLINE} type="member"/><node name="vr2" {ONLINE}/></nodes>
  <resources>
    <resource id="cloudvip-main" resource_agent="ocf:cloudvip:vips"><node name="vr2"/></resource>
    <resource id="fence" resource_agent="stonith:fence_oci"><node name="vr1"/></resource>
    <group id="web"><resource id="web-ip" resource_agent="ocf:x:y"><node name="vr1"/></resource></group>
    <resource id="idle" resource_agent="ocf:x:y"/>
    <clone id="ping-clone"><resource id="ping" resource_agent="ocf:x:y"><node name="vr1"/></resource></clone>
  </resources>
</pacemaker-result>"""


def test_what_can_be_moved() -> None:
    assert engines.active_resources(LISTED, "vr1") == ["web"]
    assert engines.active_resources(LISTED, "vr2") == ["cloudvip-main"]


@pytest.mark.parametrize(
    ("vr1", "expected"),
    [
        (ONLINE, True),
        ('online="false" pending="false" unclean="false"', False),
        ('online="true" pending="true" unclean="false"', False),
        ('online="true" pending="false" unclean="true"', False),
    ],
)
def test_whether_all_are_members(vr1: str, expected: bool) -> None:
    assert engines.all_online(LISTED.replace(f'{ONLINE} type="member"', vr1)) is expected


def recorder(answer: Callable[[str, Sequence[str]], str]) -> tuple[Exec, list[str]]:
    commands: list[str] = []

    def exec_on(node: str, argv: Sequence[str]) -> str:
        commands.append(f"{node}: {' '.join(argv)}")
        return answer(node, argv)

    return exec_on, commands


def test_what_pacemaker_is_told_about_a_move_is_taken_back_once() -> None:
    exec_on, commands = recorder(lambda _, argv: LISTED if argv[0] == "crm_mon" else "")
    engine = Pacemaker(exec_on)
    engine.move("vr2")
    engine.settle("vr1")
    engine.settle("vr1")
    assert commands[1:] == [
        "vr2: crm_resource --resource cloudvip-main --move",
        "vr1: crm_resource --resource cloudvip-main --clear",
    ]


# -- keepalived --------------------------------------------------------------------------------------------------------

# The words of 2.1.5, 2.2.7 and 2.3.3.
MASTER = """Registering Kernel netlink reflector
(main) Entering BACKUP STATE (init)
VRRP sockpool: [ifindex(  2), family(IPv4), proto(112), fd(12,13) unicast, address(172.20.136.131)]
(main) Entering MASTER STATE
"""
BACKUP = MASTER + "(main) Master received advert from 172.20.136.132 with higher priority 240, ours 160\n"
BACKUP += "(main) Entering BACKUP STATE\n"
FAULT = MASTER + "Netlink reports ens5 down\n(main) Entering FAULT STATE\n(main) sent 0 priority\n"
NO_INTERFACE = "(main): entering FAULT state (interface ens5 down)\n(main) Entering FAULT STATE (init)\n"


@pytest.mark.parametrize(
    ("journal", "state"),
    [
        (MASTER, {"main": "MASTER"}),
        (BACKUP, {"main": "BACKUP"}),
        (FAULT, {"main": "FAULT"}),
        (NO_INTERFACE, {"main": "FAULT"}),
        (FAULT + "Netlink reports ens5 up\n(main) Entering BACKUP STATE\n", {"main": "BACKUP"}),
        (MASTER + "(web) Entering BACKUP STATE (init)\n", {"main": "MASTER", "web": "BACKUP"}),
        ("Starting VRRP child process, pid=716\n", {}),
    ],
)
def test_the_state_of_an_instance_is_the_last_one_that_keepalived_has_written(
    journal: str, state: dict[str, str]
) -> None:
    assert engines.vrrp_states(journal) == state


def keepalived(journals: Mapping[str, str | None], stopped: str = "") -> Keepalived:
    def exec_on(node: str, argv: Sequence[str]) -> str:
        journal = journals[node]
        if journal is None or (argv[0] == "systemctl" and node == stopped):
            raise LabError("off")
        return "inactive\nactive\n" if argv[0] == "systemctl" else journal

    return Keepalived(exec_on)


ONE_MASTER: Mapping[str, str | None] = {"vr1": BACKUP, "vr2": MASTER, "vr3": BACKUP}


def test_a_keepalived_that_is_well_says_who_serves_and_no_more() -> None:
    engine = keepalived(ONE_MASTER)
    assert engine.view(NODES).problems == ()
    assert engine.view(NODES).serving == {"vr2"}
    assert engine.whole(NODES)


@pytest.mark.parametrize(
    ("journals", "stopped", "expected"),
    [
        ({"vr1": MASTER}, "", "main is MASTER on vr1, vr2"),
        ({"vr2": BACKUP}, "", "main is MASTER on no node"),
        ({"vr3": FAULT}, "", "vr3: main is in state FAULT"),
        ({"vr3": None}, "", "vr3: keepalived does not run, or cannot be asked"),
        # Its journal goes on saying that it is master.
        ({}, "vr2", "vr2: keepalived does not run, or cannot be asked"),
        ({}, "vr2", "main is MASTER on no node"),
    ],
)
def test_what_is_wrong_with_keepalived_is_said(journals: Mapping[str, str | None], stopped: str, expected: str) -> None:
    engine = keepalived({**ONE_MASTER, **journals}, stopped)
    assert expected in engine.view(NODES).problems
    assert not engine.whole(NODES)


def test_a_keepalived_that_has_ended_serves_nothing() -> None:
    assert keepalived(ONE_MASTER, "vr2").view(NODES).serving == frozenset()


def test_a_move_of_keepalived_is_a_restart_and_leaves_nothing_to_take_back() -> None:
    exec_on, commands = recorder(lambda *_: "")
    engine = Keepalived(exec_on)
    engine.move("vr2")
    engine.settle("vr2")
    assert commands == ["vr2: systemctl restart keepalived"]


# -- which one ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "name"),
    [
        ("active\ninactive\n", "pacemaker"),
        ("inactive\nactive\n", "keepalived"),
        ("failed\nactive\n", "keepalived"),
        ("active\nactive\n", "pacemaker"),
        # Another one is active by systemctl's exit status, and says so by another word.
        ("inactive\nreloading\n", None),
        (None, None),
    ],
)
def test_the_engine_is_the_one_whose_service_is_active(states: str | None, name: str | None) -> None:
    def exec_on(node: str, argv: Sequence[str]) -> str:
        assert (node, *argv) == ("vr1", "systemctl", "is-active", "pacemaker", "keepalived")
        if states is None:
            raise LabError("exit status 3")
        return states

    assert engines.running("vr1", exec_on) == name
    assert engines.find(["vr1"], exec_on).name == name


def test_a_node_that_cannot_be_asked_is_passed_over() -> None:
    def exec_on(node: str, _: Sequence[str]) -> str:
        if node == "vr1":
            raise LabError("off")
        return "inactive\nactive\n"

    assert isinstance(engines.find(NODES, exec_on), Keepalived)


def test_where_no_engine_runs_nothing_is_well_and_nothing_is_missing() -> None:
    view = NoEngine().view(NODES)
    assert view.problems == ("none of vr1, vr2, vr3 runs a cluster engine",)
    assert view.serving == frozenset()
    assert NoEngine().whole(NODES)
    with pytest.raises(LabError, match=r"vr1 runs no engine .* pacemaker, keepalived"):
        NoEngine().move("vr1")


# -- commands on nodes -------------------------------------------------------------------------------------------------


def test_a_command_that_fails_says_where_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.shell.exec_argv", lambda node, argv: ["sh", "-c", f"echo {node} >&2; exit {argv[1]}"])
    assert exec_in("vr1", ["exit", "0"]) == ""
    with pytest.raises(LabError, match="vr1: exit 3: vr1"):
        exec_in("vr1", ["exit", "3"])

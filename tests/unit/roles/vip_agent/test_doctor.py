# SPDX-License-Identifier: GPL-3.0-or-later
"""`cloudvip doctor`: each finding on a node where all is well, and on one where just that is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from cloudvip.clock import Clock
from cloudvip.doctor import Finding, Level, doctor, statement
from cloudvip.model import Outcome

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from lab.cloud.state import Ipv6
from lab.cloud.testing import Running
from lab.topology import ocid
from tests.unit.roles.vip_agent.checking import exists, script, write
from tests.unit.roles.vip_agent.emulated import READ, UPDATE, Node, holders, private_ip
from tests.unit.roles.vip_agent.fakes import POD1, TRANSIT

POD1_ADDRESS = str(POD1["address"])


@pytest.fixture(autouse=True)
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The part of /proc/sys that doctor reads, of a node that does not forward."""
    settings = tmp_path / "ipv4"
    for name in ("all", "ens3", "ens5"):
        (settings / "conf" / name).mkdir(parents=True)
        (settings / "conf" / name / "rp_filter").write_text("2\n" if name == "all" else "0\n")
    (settings / "ip_forward").write_text("0\n")
    monkeypatch.setattr("cloudvip.doctor._IPV4", f"{settings}/")
    return settings


def trouble(node: Node) -> list[Finding]:
    """What doctor is not content with. Each such finding has a remedy."""
    findings = [f for f in doctor(node.mover) if f.level is not Level.OK]
    assert all(f.remedy for f in findings)
    return findings


def only(node: Node) -> Finding:
    """The one thing that is wrong."""
    findings = trouble(node)
    assert len(findings) == 1, findings
    return findings[0]


def test_a_node_on_which_all_is_well(node: Node) -> None:
    findings = doctor(node.mover)

    assert {f.level for f in findings} == {Level.OK}
    assert [f.subject for f in findings] == [
        "configuration",
        "metadata service",
        "ens3",
        "ens5",
        "token",
        *("ListPrivateIps", "GetPrivateIp", "UpdatePrivateIp") * 2,
        "clock",
        f"holder of {TRANSIT['address']}",
        f"holder of {POD1_ADDRESS}",
        "addresses",
    ]


def test_it_asks_three_things_of_each_subnet_and_moves_nothing(node: Node, tmp_path: Path) -> None:
    other = Node(node.lab, "vr2", tmp_path)
    other.mover.claim("main", 20)
    node.lab.events.clear()

    assert trouble(node) == []

    assert holders(node.lab) == {other.vnic("ens3"), other.vnic("ens5")}
    # One more: whether the API accepts the renewed token.
    assert (node.calls("GET", "/20160918/"), node.calls("PUT", "/20160918/")) == (5, 2)


def test_no_configuration(node: Node) -> None:
    node.unconfigure()

    finding = only(node)

    assert (finding.level, finding.subject) == (Level.FAILURE, "configuration")
    assert "vr1.json" in finding.text


def test_a_health_check_that_fails(node: Node, tmp_path: Path) -> None:
    write(node.checks_file, exists("web", tmp_path / "up"), script("own", "/bin/true"))

    finding = only(node)

    assert (finding.level, finding.subject) == (Level.WARNING, "check web")
    assert finding.text == "/usr/bin/test failed with status 1"
    assert "cloudvip check web" in finding.remedy

    (tmp_path / "up").touch()
    assert Finding(Level.OK, "health checks", "all pass") in doctor(node.mover)


def test_health_checks_that_cannot_be_read(node: Node) -> None:
    node.checks_file.write_text("{}")

    finding = only(node)

    assert (finding.level, finding.subject) == (Level.FAILURE, "health checks")
    assert f"{node.checks_file}.checks: missing" in finding.text


def test_no_metadata_service(node: Node) -> None:
    node.mover.claim("main", 20)
    node.lab.fault(effect="drop", service="imds")

    metadata, token = trouble(node)

    assert (metadata.level, metadata.subject) == (Level.FAILURE, "metadata service")
    assert "Bearer Oracle" in metadata.remedy
    assert (token.level, token.subject) == (Level.FAILURE, "token")


def test_a_metadata_service_that_refuses(node: Node) -> None:
    node.lab.fault(effect="status", status=404, service="imds", path="instance/id")

    assert "404" in only(node).text


def test_the_metadata_service_of_another_instance(node: Node) -> None:
    node.configure(instance_id=ocid("instance", "vr2"))

    finding = only(node)

    assert (finding.level, finding.subject) == (Level.FAILURE, "metadata service")
    assert ocid("instance", "vr1") in finding.text
    assert ocid("instance", "vr2") in finding.text


def test_a_vnic_of_another_instance(node: Node) -> None:
    node.vips[1]["vnic_id"] = ocid("vnic", "vr2/ens5")
    node.configure()

    finding = only(node)

    assert (finding.level, finding.subject) == (Level.FAILURE, "ens5")
    assert "is not a VNIC of this instance" in finding.text


def test_a_vnic_with_another_mac_address(node: Node) -> None:
    node.vips[1]["mac"] = "02:00:17:99:99:99"
    node.configure()

    findings = trouble(node)

    assert {(f.level, f.subject) for f in findings} == {(Level.FAILURE, "ens5")}
    assert f"has the MAC address {node.macs[POD1['mac']]}" in findings[0].text
    assert "no interface has the MAC address 02:00:17:99:99:99" in findings[1].text


def test_a_vip_outside_the_subnet_of_its_vnic(node: Node) -> None:
    node.vips[1]["vnic_id"] = node.vnic("ens3")
    node.vips[1]["mac"] = node.vips[0]["mac"]
    node.vips[1]["interface"] = "ens3"
    node.configure()

    finding = only(node)

    assert (finding.level, finding.subject) == (Level.FAILURE, "ens3")
    assert "10.0.0.4 is not in the VNIC's subnet 172.20.136.128/28" in finding.text


def test_a_missing_interface(node: Node) -> None:
    node.ip.missing.add("ens5")

    finding = only(node)

    assert (finding.level, finding.subject) == (Level.FAILURE, "ens5")
    assert "no interface has the MAC address" in finding.text


def test_an_interface_without_carrier(node: Node) -> None:
    node.ip.no_carrier.add("ens5")

    assert (only(node).subject, only(node).text) == ("ens5", "no carrier")


def test_an_interface_that_was_renamed(node: Node) -> None:
    node.vips[1]["interface"] = "eth1"
    node.configure()

    finding = only(node)

    assert (finding.level, finding.subject, finding.text) == (
        Level.WARNING,
        "ens5",
        "was called eth1 when it was configured",
    )


def test_interfaces_that_cannot_be_read(node: Node) -> None:
    node.ip.broken = "ip cannot be run"

    assert (only(node).level, only(node).subject) == (Level.FAILURE, "interfaces")


@pytest.mark.parametrize(("everywhere", "here", "strict"), [(1, 0, True), (0, 1, True), (2, 1, False), (1, 2, False)])
def test_a_strict_reverse_path_check(node: Node, kernel: Path, everywhere: int, here: int, strict: bool) -> None:
    (kernel / "conf/all/rp_filter").write_text(f"{everywhere}\n")
    for name in ("ens3", "ens5"):
        (kernel / "conf" / name / "rp_filter").write_text(f"{here if name == 'ens5' else 2}\n")

    findings = trouble(node)

    assert [(f.level, f.subject) for f in findings] == [(Level.WARNING, "ens5")] * strict
    assert all("net.ipv4.conf.ens5.rp_filter=2" in f.remedy for f in findings)


def test_a_token_that_cannot_be_renewed_while_the_old_one_lives(node: Node) -> None:
    node.mover.claim("main", 20)
    node.lab.fault(effect="status", status=503, service="federation")
    node.clock.sleep(20)

    finding = only(node)

    assert (finding.level, finding.subject) == (Level.FAILURE, "token")
    assert "the present one has 20 min left" in finding.text


def test_no_token_at_all(node: Node) -> None:
    node.lab.fault(effect="status", status=503, service="federation")

    findings = trouble(node)

    assert [f.subject for f in findings] == ["token", f"holder of {TRANSIT['address']}", f"holder of {POD1_ADDRESS}"]
    assert "none that lives" in findings[0].text
    assert all("any other node or instance may have it" in f.text for f in findings[1:])


V4 = {
    READ: {"ListPrivateIps": {READ}, "GetPrivateIp": {READ}},
    UPDATE: {"UpdatePrivateIp": {UPDATE, "VNIC_ASSIGN", "VNIC_UNASSIGN"}},
    "VNIC_ASSIGN": {"UpdatePrivateIp": {UPDATE, "VNIC_ASSIGN", "VNIC_UNASSIGN"}},
    "VNIC_UNASSIGN": {"UpdatePrivateIp": {UPDATE, "VNIC_ASSIGN", "VNIC_UNASSIGN"}},
    "VNIC_READ": {"GetVnic": {"VNIC_READ"}},
}
V6 = {
    "IPV6_READ": {"ListIpv6s": {"IPV6_READ", "SUBNET_READ"}, "GetIpv6": {"IPV6_READ"}},
    "SUBNET_READ": {"ListIpv6s": {"SUBNET_READ"}},
    "IPV6_UPDATE": {"UpdateIpv6": {"IPV6_UPDATE"}},
    "VNIC_ASSIGN": {"UpdateIpv6": {"VNIC_ASSIGN", "VNIC_UNASSIGN"}},
    "VNIC_UNASSIGN": {"UpdateIpv6": {"VNIC_ASSIGN", "VNIC_UNASSIGN"}},
    "VNIC_READ": {"GetVnic": {"VNIC_READ"}},
}


def grant(lab: Running, *permissions: str) -> None:
    """Let the nodes have these permissions and no others."""
    for policy in list(lab.cloud.iam.policies):
        lab.call(lab.cloud.iam.delete_policy, policy)
    if permissions:
        statements = [f"allow dynamic-group nodes to {{{', '.join(permissions)}}} in compartment id {COMPARTMENT_ID}"]
        lab.call(lab.cloud.iam.create_policy, COMPARTMENT_ID, "nodes", "nodes", statements)


def refused(findings: Iterable[Finding]) -> dict[str, set[str]]:
    """The permissions that may be lacking, by operation."""
    return {f.operation: set(f.permissions) for f in findings if f.level is Level.FAILURE}


def reserve_ipv6(node: Node, vnic_id: str | None) -> Ipv6:
    """Make the node's first VIP an IPv6 one."""
    place = {"subnet_id": ocid("subnet", "pod1")} if vnic_id is None else {"vnic_id": vnic_id}
    record = node.lab.do(node.lab.cloud.create_ipv6(**place, lifetime="RESERVED"))
    node.vips[0] = {**node.vips[1], "name": "v6", "address": str(record.address), "private_ip_id": record.id}
    return record


@pytest.mark.parametrize("missing", V4)
@pytest.mark.parametrize("held", [True, False])
def test_a_missing_permission(node: Node, kernel: Path, missing: str, held: bool) -> None:
    (kernel / "ip_forward").write_text("1\n")
    for interface, vip in (("ens3", TRANSIT), ("ens5", POD1)):
        node.lab.do(node.lab.cloud.update_vnic(node.vnic(interface), {"skip_source_dest_check": True}))
        if held:
            change = {"vnic_id": ocid("vnic", f"vr2/{interface}")}
            node.lab.do(node.lab.cloud.update_private_ip(private_ip(node.lab, vip).id, change))
    before = holders(node.lab)
    grant(node.lab, *(V4.keys() - {missing}))

    findings = trouble(node)

    assert refused(findings) == V4[missing]
    assert holders(node.lab) == before
    for permissions in V4[missing].values():
        assert missing in permissions


@pytest.mark.parametrize("missing", V6)
def test_a_missing_permission_for_ipv6(node: Node, kernel: Path, missing: str) -> None:
    (kernel / "ip_forward").write_text("1\n")
    for interface in ("ens3", "ens5"):
        node.lab.do(node.lab.cloud.update_vnic(node.vnic(interface), {"skip_source_dest_check": True}))
    record = reserve_ipv6(node, ocid("vnic", "vr2/ens5"))
    node.vips[1:] = []
    node.configure()
    grant(node.lab, *(V6.keys() - {missing}))

    findings = trouble(node)

    assert refused(findings) == V6[missing]
    assert node.lab.cloud.ipv6s[record.id] == replace(record, etag=node.lab.cloud.ipv6s[record.id].etag)


def test_an_ipv6_vip_that_no_vnic_has(node: Node) -> None:
    record = reserve_ipv6(node, None)
    node.configure()
    grant(node.lab, *V4, *V6)

    (written,) = [f for f in doctor(node.mover) if f.subject == "UpdateIpv6"]

    assert written.level is Level.OK
    assert "VNIC_ASSIGN and VNIC_UNASSIGN can only be tried while a VNIC has it" in written.text
    assert node.lab.cloud.ipv6s[record.id].vnic_id is None
    grant(node.lab, *V4, *(V6.keys() - {"IPV6_UPDATE"}))
    assert refused(trouble(node)) == {"UpdateIpv6": {"IPV6_UPDATE"}}


@pytest.mark.parametrize("lacking", [(READ,), (UPDATE,), tuple(V4)])
def test_what_is_said_of_a_refusal_can_be_pasted_into_a_policy(node: Node, lacking: tuple[str, ...]) -> None:
    grant(node.lab, *(V4.keys() - set(lacking)))
    statements = set()
    while failures := [f for f in trouble(node) if f.level is Level.FAILURE]:
        for finding in failures:
            causes, statement = finding.remedy.splitlines()
            assert "up to an hour" in causes
            assert all(permission in finding.text for permission in finding.permissions)
            statements.add(statement.replace("<group>", "nodes").replace("<compartment>", COMPARTMENT_ID))
        name = f"said-{len(statements)}"
        node.lab.call(node.lab.cloud.iam.create_policy, COMPARTMENT_ID, name, name, sorted(statements))

    assert statements


def test_the_statement_names_the_compartment_if_it_is_known(node: Node) -> None:
    grant(node.lab, READ)

    statement = trouble(node)[0].remedy.splitlines()[-1]

    permissions = "{PRIVATE_IP_UPDATE, VNIC_ASSIGN, VNIC_UNASSIGN}"
    assert statement == f"allow dynamic-group <group> to {permissions} in compartment id {COMPARTMENT_ID}"


def test_the_root_compartment_is_called_tenancy() -> None:
    assert statement([READ], TENANCY_ID) == "allow dynamic-group <group> to {PRIVATE_IP_READ} in tenancy"


def meanwhile(node: Node, monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Have something happen while doctor waits for the second time."""
    sleep = node.clock.sleep

    def asleep(seconds: float) -> None:
        sleep(seconds)
        if len(node.clock.sleeps) == 2:
            change()

    monkeypatch.setattr(node.clock, "sleep", asleep)


def renewals(node: Node) -> int:
    """How often the federation endpoint was asked for a token."""
    return node.calls("POST", "/v1/x509")


def test_it_waits_until_a_new_policy_takes_effect(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    grant(node.lab)
    meanwhile(node, monkeypatch, lambda: grant(node.lab, *V4))

    findings = doctor(node.mover, wait=300)

    assert {f.level for f in findings} == {Level.OK}
    assert len(node.clock.sleeps) == 2


def test_it_waits_with_a_token_of_after_the_dynamic_group(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[int] = []
    iam = node.lab.cloud.iam
    permitted = iam.permitted
    # As the service does it: what an instance may do is decided when its token is issued.
    monkeypatch.setattr(
        iam, "permitted", lambda *call: bool(joined) and renewals(node) > joined[0] and permitted(*call)
    )
    meanwhile(node, monkeypatch, lambda: joined.append(renewals(node)))

    assert {f.level for f in doctor(node.mover, wait=300)} == {Level.OK}


@pytest.mark.parametrize(
    "away", [{"service": "imds", "path": "/vnics"}, {"service": "federation"}, {"service": "api", "path": "/2016"}]
)
def test_it_waits_for_a_service_that_is_away(node: Node, monkeypatch: pytest.MonkeyPatch, away: dict[str, str]) -> None:
    node.lab.fault(effect="drop", **away)
    meanwhile(node, monkeypatch, lambda: node.lab.call(node.lab.faults.clear))

    assert {f.level for f in doctor(node.mover, wait=300)} == {Level.OK}


def test_it_stops_waiting_in_time_and_says_what_it_saw_last(node: Node) -> None:
    grant(node.lab)

    findings = doctor(node.mover, wait=20)

    assert {f.operation for f in findings if f.level is Level.FAILURE} == {"ListPrivateIps", "GetPrivateIp"}
    assert 12 <= node.clock.monotonic() <= 20


def test_it_does_not_wait_for_what_cannot_pass(node: Node) -> None:
    node.ip.missing.add("ens5")
    node.vips[0]["mac"] = "02:00:17:99:99:99"
    node.configure(instance_id=ocid("instance", "vr2"))

    findings = doctor(node.mover, wait=300)

    assert len([f for f in findings if f.level is Level.FAILURE]) >= 3
    assert node.clock.sleeps == []


def test_a_missing_object_is_not_taken_for_a_missing_permission(node: Node) -> None:
    node.lab.do(node.lab.cloud.delete_private_ip(node.vips[1]["private_ip_id"]))

    findings = doctor(node.mover, wait=300)

    assert {f.subject for f in findings if f.level is Level.FAILURE} == {"GetPrivateIp", f"holder of {POD1_ADDRESS}"}
    assert not any(f.operation or f.permissions for f in findings)
    assert node.clock.sleeps == []


@pytest.mark.parametrize("service", ["imds", "federation", "api"])
def test_a_service_that_never_answers_does_not_stretch_the_time(node: Node, service: str) -> None:
    node.lab.fault(effect="hang", service=service)
    node.mover.clock = Clock()

    began = time.monotonic()
    findings = doctor(node.mover, wait=0.5)

    assert time.monotonic() - began < 1.5
    assert Level.FAILURE in {f.level for f in findings}


def test_an_api_that_does_not_answer(node: Node) -> None:
    node.mover.claim("main", 20)
    node.lab.fault(effect="status", status=503, service="api", path="/20160918/")

    failures = [f for f in trouble(node) if f.level is Level.FAILURE]

    assert {f.subject for f in failures} == {"ListPrivateIps"}
    assert all("503" in f.text and f"does {node.lab.url} answer" in f.remedy for f in failures)


def test_a_read_that_is_refused_for_one_object(node: Node) -> None:
    node.lab.fault(effect="status", status=404, service="api", method="GET", path=node.vips[1]["private_ip_id"])

    assert (only(node).level, only(node).subject) == (Level.FAILURE, "GetPrivateIp")


def test_a_vip_that_moves_while_the_write_is_tried_stays_where_it_went(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def move(interface_of: str) -> None:
        change = {"vnic_id": ocid("vnic", f"{interface_of}/ens3")}
        node.lab.do(node.lab.cloud.update_private_ip(node.vips[0]["private_ip_id"], change))

    moved: list[bool] = []
    original = node.clock.now

    def now() -> float:
        # Between the read and the write that follows it, whose signature needs the time, another node takes over.
        if node.calls("GET", "/privateIps/") == 1 and not moved:
            moved.append(True)
            move("vr2")
        return original()

    move("vr1")
    monkeypatch.setattr(node.clock, "now", now)
    findings = doctor(node.mover)

    assert moved
    assert private_ip(node.lab, TRANSIT).vnic_id == ocid("vnic", "vr2/ens3")
    assert "UpdatePrivateIp" not in {f.subject for f in findings if f.level is not Level.OK}


def test_a_clock_that_is_off(node: Node) -> None:
    node.clock.sleep(-200)

    finding = only(node)

    assert (finding.level, finding.subject) == (Level.WARNING, "clock")
    assert finding.text.startswith("3 min behind the API's")


def test_a_node_that_forwards_needs_vnics_that_let_it(node: Node, kernel: Path) -> None:
    (kernel / "ip_forward").write_text("1\n")
    node.lab.do(node.lab.cloud.update_vnic(node.vnic("ens3"), {"skip_source_dest_check": True}))

    finding = only(node)

    assert (finding.level, finding.subject) == (Level.WARNING, "source/destination check of ens5")
    assert node.vnic("ens5") in finding.remedy


def test_a_source_destination_check_that_cannot_be_read_for_now(node: Node, kernel: Path) -> None:
    (kernel / "ip_forward").write_text("1\n")
    node.lab.fault(effect="status", status=503, service="api", path="/vnics/")

    findings = trouble(node)

    assert [f.level for f in findings] == [Level.WARNING] * 2
    assert all("503" in f.text for f in findings)


def test_who_has_the_vips(node: Node, tmp_path: Path) -> None:
    def said() -> list[tuple[Level, str]]:
        return [(f.level, f.text) for f in doctor(node.mover) if f.subject == f"holder of {POD1_ADDRESS}"]

    assert said() == [(Level.OK, "no VNIC")]
    other = Node(node.lab, "vr2", tmp_path)
    other.mover.claim("main", 20)
    assert said() == [(Level.OK, other.vnic("ens5"))]
    node.mover.claim("main", 20)
    assert said() == [(Level.OK, "this node")]


def test_a_vip_that_somebody_took_away(node: Node) -> None:
    assert node.mover.claim("main", 20).outcome is Outcome.SUCCESS
    vnic_id = ocid("vnic", "vr2/ens5")
    node.lab.do(node.lab.cloud.update_private_ip(node.vips[1]["private_ip_id"], {"vnic_id": vnic_id}))

    finding = only(node)

    assert (finding.level, finding.subject) == (Level.WARNING, f"holder of {POD1_ADDRESS}")
    assert finding.text == f"{vnic_id}, although this node has claimed it"


def test_vips_that_nobody_serves_although_the_cloud_delivers_them_here(node: Node) -> None:
    node.mover.claim("main", 20)
    node.mover.release("main")

    findings = trouble(node)

    assert [f.level for f in findings] == [Level.WARNING] * 2
    assert all("cloudvip claim main" in f.remedy for f in findings)


def test_an_object_that_was_made_anew(node: Node) -> None:
    node.lab.do(node.lab.cloud.delete_private_ip(node.vips[1]["private_ip_id"]))
    node.lab.do(node.lab.cloud.create_private_ip(vnic_id=ocid("vnic", "vr2/ens5"), address=POD1_ADDRESS))

    read, holder = trouble(node)

    assert (read.level, read.subject) == (Level.FAILURE, "GetPrivateIp")
    assert (holder.level, holder.subject) == (Level.FAILURE, f"holder of {POD1_ADDRESS}")
    assert private_ip(node.lab, POD1).id in holder.text


def test_addresses_that_no_claim_covers(node: Node) -> None:
    node.ip.addresses["ens5"] |= {POD1_ADDRESS: 32, "10.0.0.9": 32, "10.0.0.10": 28}

    configured, foreign = trouble(node)

    assert (configured.level, configured.subject) == (Level.WARNING, f"stale {POD1_ADDRESS}")
    assert configured.remedy == "cloudvip release main"
    assert (foreign.subject, foreign.remedy) == ("stale 10.0.0.9", "ip address delete 10.0.0.9/32 dev ens5")


def test_a_vip_that_somebody_else_put_on_is_stale_whatever_its_prefix(node: Node) -> None:
    node.ip.addresses["ens5"][POD1_ADDRESS] = 28

    assert only(node).subject == f"stale {POD1_ADDRESS}"


def test_a_group_that_is_held_and_no_longer_configured(node: Node) -> None:
    node.mover.claim("main", 20)
    node.configure(groups={"other": {"revision": "r1", "vips": node.vips[:1]}})

    (finding,) = [f for f in doctor(node.mover) if f.subject == "group main"]

    assert finding.level is Level.WARNING
    assert "no longer configured" in finding.text
    assert "cloudvip release main" in finding.remedy
    assert not [f for f in doctor(node.mover) if f.subject.startswith("stale")]


def test_addresses_that_are_claimed_are_not_stale(node: Node) -> None:
    node.mover.claim("main", 20)

    assert trouble(node) == []

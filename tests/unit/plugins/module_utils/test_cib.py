# SPDX-License-Identifier: GPL-3.0-or-later
"""From the configuration a cluster has to the one it is to have."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils import _cib

DATA = Path(__file__).parents[1] / "cluster"
FRESH = (DATA / "fresh.xml").read_text()
CONVERGED = (DATA / "converged.xml").read_text()
STATUS = (DATA / "status.xml").read_text()

MAIN = {
    "id": "cloudvip-main",
    "state": "present",
    "agent": "ocf:cloudvip:vips",
    "params": {"group": "main", "revision": "084410478403"},
    "meta": {"migration-threshold": 1},
    "operations": [
        {"name": "start", "interval": "0s", "attributes": {"timeout": "60s"}, "params": {}},
        {"name": "monitor", "interval": "60s", "attributes": {"timeout": "30s"}, "params": {"OCF_CHECK_LEVEL": 10}},
    ],
}
PREFERS = {
    "id": "cloudvip-main-prefers",
    "state": "present",
    "resource": "cloudvip-main",
    "node": "vr1",
    "score": "50",
}


def request(**params: Any) -> _cib.Request:
    return _cib.Request.from_params(
        {"properties": {}, "resource_defaults": {}, "resources": [], "locations": [], "purge_agent": None, **params}
    )


def applied(xml: str, **params: Any) -> ET.Element:
    return _cib.apply(_cib.parse(xml), request(**params))


def absent(resource_id: str) -> dict[str, Any]:
    return {**MAIN, "id": resource_id, "state": "absent", "agent": None}


@pytest.mark.parametrize("xml", [FRESH, CONVERGED, _cib.EMPTY])
def test_a_second_application_changes_nothing(xml: str) -> None:
    wanted = request(
        properties={"stonith-enabled": False},
        resource_defaults={"resource-stickiness": 100},
        resources=[MAIN],
        locations=[PREFERS],
    )

    once = _cib.apply(_cib.parse(xml), wanted)

    assert _cib.serialise(once) != _cib.serialise(_cib.parse(xml))
    assert _cib.serialise(_cib.apply(once, wanted)) == _cib.serialise(once)


def test_a_converged_cluster_is_left_alone() -> None:
    wanted = {"properties": {"stonith-enabled": False}, "resources": [MAIN], "locations": [PREFERS]}

    assert _cib.serialise(applied(CONVERGED, **wanted)) == _cib.serialise(_cib.parse(CONVERGED))


def test_the_current_configuration_is_not_modified() -> None:
    current = _cib.parse(FRESH)

    _cib.apply(current, request(resources=[MAIN]))

    assert _cib.serialise(current) == _cib.serialise(_cib.parse(FRESH))


def test_a_new_resource_is_what_pcs_would_have_made() -> None:
    (primitive,) = applied(FRESH, resources=[MAIN], locations=[PREFERS]).iterfind(".//primitive")
    known = _cib.parse(CONVERGED).find(".//primitive[@id='cloudvip-main']")
    assert known is not None
    meta = known.find("meta_attributes")
    assert meta is not None
    meta.remove(meta[1])
    for element in known.iter():
        element.text = element.tail = None

    assert ET.tostring(primitive) == ET.tostring(known)


def test_properties_are_set_beside_those_that_exist() -> None:
    root = applied(FRESH, properties={"stonith-enabled": False, "cluster-name": "renamed"})

    pairs = {pair.get("name"): pair for pair in root.iterfind("configuration/crm_config/cluster_property_set/nvpair")}
    assert pairs["stonith-enabled"].attrib == {
        "id": "cib-bootstrap-options-stonith-enabled",
        "name": "stonith-enabled",
        "value": "false",
    }
    assert pairs["cluster-name"].get("value") == "renamed"
    assert pairs["dc-version"].get("value") == "2.1.5-a3f44794f94"


def test_a_set_with_a_rule_is_not_taken_for_the_one_that_always_holds() -> None:
    ruled = FRESH.replace(
        "<crm_config>", '<crm_config><cluster_property_set id="at-night"><rule id="r"/></cluster_property_set>'
    )

    root = applied(ruled, properties={"x": "1"})

    assert root.find("configuration/crm_config/cluster_property_set[@id='at-night']/nvpair") is None
    assert (
        root.find("configuration/crm_config/cluster_property_set[@id='cib-bootstrap-options']/nvpair[@name='x']")
        is not None
    )


def test_a_parameter_that_is_not_wanted_any_more_goes() -> None:
    root = applied(CONVERGED, resources=[{**MAIN, "params": {"group": "main"}}])

    names = [pair.get("name") for pair in root.iterfind(".//*[@id='cloudvip-main-instance_attributes']/nvpair")]
    assert names == ["group"]


def test_an_operator_s_decision_in_the_meta_attributes_stays() -> None:
    root = applied(CONVERGED, resources=[{**MAIN, "meta": {"migration-threshold": 3}}])

    meta = root.iterfind(".//*[@id='cloudvip-main-meta_attributes']/nvpair")
    assert {pair.get("name"): pair.get("value") for pair in meta} == {
        "migration-threshold": "3",
        "target-role": "Stopped",
    }


def test_the_operations_are_exactly_the_wanted_ones() -> None:
    operations = [
        {"name": "monitor", "interval": "5s", "attributes": {"timeout": "20s"}, "params": {}},
        {"name": "monitor", "interval": "60s", "attributes": {"timeout": "31s"}, "params": {}},
    ]

    ops = list(applied(CONVERGED, resources=[{**MAIN, "operations": operations}]).iterfind(".//op"))

    assert [(op.get("id"), op.get("timeout")) for op in ops] == [
        ("cloudvip-main-monitor-interval-60s", "31s"),
        ("cloudvip-main-monitor-interval-5s", "20s"),
    ]
    assert ops[0].find("instance_attributes") is None


def test_an_attribute_of_an_operation_that_is_not_wanted_goes() -> None:
    odd = CONVERGED.replace('name="start" interval="0s"', 'name="start" interval="0s" on-fail="block"')

    op = applied(odd, resources=[MAIN]).find(".//op[@name='start']")

    assert op is not None
    assert "on-fail" not in op.attrib


def test_the_resources_of_others_are_not_touched() -> None:
    root = applied(CONVERGED, resources=[{**MAIN, "params": {}, "operations": []}], locations=[])

    before = _cib.parse(CONVERGED).find(".//group")
    after = root.find(".//group")
    assert before is not None
    assert after is not None
    assert ET.tostring(after) == ET.tostring(before)


def test_a_resource_that_an_operator_put_into_a_group_is_found_there() -> None:
    moved = CONVERGED.replace(
        'id="theirs" class="ocf" provider="heartbeat" type="Dummy"',
        'id="x" class="ocf" provider="cloudvip" type="vips"',
    )

    root = applied(moved, resources=[{**MAIN, "id": "x"}])

    assert len(root.findall(".//primitive[@id='x']")) == 1
    assert root.find(".//group/primitive[@id='x']/operations/op") is not None


def test_a_removed_resource_takes_its_constraints_along() -> None:
    root = applied(CONVERGED, resources=[absent("cloudvip-main")])

    assert [primitive.get("id") for primitive in root.iterfind(".//primitive")] == ["theirs"]
    assert [constraint.get("id") for constraint in root.iterfind(".//constraints/*")] == ["other"]


VIPS = "ocf:cloudvip:vips"
RENAMED = {**MAIN, "id": "cloudvip-web", "params": {"group": "web"}}


def test_what_else_has_the_agent_is_purged_with_its_constraints() -> None:
    root = applied(CONVERGED, resources=[RENAMED], locations=[], purge_agent=VIPS)

    assert [primitive.get("id") for primitive in root.iterfind(".//primitive")] == ["theirs", "cloudvip-web"]
    assert [constraint.get("id") for constraint in root.iterfind(".//constraints/*")] == ["other"]


def test_what_is_asked_for_is_not_purged() -> None:
    root = applied(CONVERGED, resources=[MAIN], purge_agent=VIPS)

    assert _cib.serialise(root) == _cib.serialise(_cib.parse(CONVERGED))


def test_the_agent_to_be_purged_has_three_parts() -> None:
    with pytest.raises(_cib.CibError, match="purge_agent = 'vips': expected class:provider:type"):
        request(purge_agent="vips")


def test_the_description_shows_what_is_purged() -> None:
    text = _cib.describe(_cib.parse(CONVERGED), request(resources=[RENAMED], purge_agent=VIPS))

    assert text.splitlines()[0] == "resource cloudvip-main ocf:cloudvip:vips"
    assert text.splitlines()[-1] == "rsc_colocation id=together rsc=theirs score=INFINITY with-rsc=cloudvip-main"


def test_removing_what_is_not_there_changes_nothing() -> None:
    gone = {**PREFERS, "state": "absent", "id": "never"}

    root = applied(CONVERGED, resources=[absent("never")], locations=[gone])

    assert _cib.serialise(root) == _cib.serialise(_cib.parse(CONVERGED))


def test_a_preference_moves_to_another_node_and_goes() -> None:
    moved = applied(CONVERGED, locations=[{**PREFERS, "node": "vr2"}])
    gone = applied(CONVERGED, locations=[{**PREFERS, "state": "absent", "resource": None, "node": None, "score": None}])

    found = moved.find(".//rsc_location[@id='cloudvip-main-prefers']")
    assert found is not None
    assert found.get("node") == "vr2"
    assert gone.find(".//rsc_location[@id='cloudvip-main-prefers']") is None


def test_another_agent_under_the_same_id_is_refused() -> None:
    with pytest.raises(_cib.CibError, match=r"resource 'theirs' exists with .*Dummy.*: expected .*vips"):
        applied(CONVERGED, resources=[{**MAIN, "id": "theirs"}])


@pytest.mark.parametrize("agent", ["ocf:vips", "ocf::vips", "vips"])
def test_an_agent_has_three_parts(agent: str) -> None:
    with pytest.raises(_cib.CibError, match=f"agent of resource 'cloudvip-main' = '{agent}'"):
        request(resources=[{**MAIN, "agent": agent}])


@pytest.mark.parametrize(
    ("xml", "problem"), [("no", "is not XML"), ("<a/>", "starts with <a>"), ("<cib/>", "expected")]
)
def test_what_is_no_configuration_is_refused(xml: str, problem: str) -> None:
    with pytest.raises(_cib.CibError, match=problem):
        _cib.parse(xml)


def test_the_description_shows_what_is_asked_for_and_no_more() -> None:
    wanted = request(properties={"stonith-enabled": False}, resources=[MAIN], locations=[PREFERS])

    text = _cib.describe(_cib.parse(CONVERGED), wanted)

    assert text.splitlines() == [
        "property stonith-enabled=false",
        "resource cloudvip-main ocf:cloudvip:vips",
        "  param group=main",
        "  param revision=084410478403",
        "  meta migration-threshold=1",
        "  meta target-role=Stopped",
        "  op start interval=0s timeout=60s",
        "  op monitor OCF_CHECK_LEVEL=10 interval=60s timeout=30s",
        "rsc_location id=cloudvip-main-prefers node=vr1 rsc=cloudvip-main score=50",
        "rsc_colocation id=together rsc=theirs score=INFINITY with-rsc=cloudvip-main",
    ]


def test_an_empty_cluster_is_described_by_nothing() -> None:
    assert _cib.describe(_cib.parse(_cib.EMPTY), request(properties={"a": 1}, resources=[MAIN])) == ""


def test_a_complete_cluster_has_no_membership_problem() -> None:
    assert _cib.membership_problems(STATUS, ["vr1", "vr2"]) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('present="true"', 'present="false"', "the cluster has not elected a coordinator"),
        ('with_quorum="true"', 'with_quorum="false"', "the cluster has no quorum"),
        ('name="vr1" id="1" online="true"', 'name="vr1" id="1" online="false"', "node 'vr1' is not online"),
        ('pending="false" unclean="false" is_dc="true"', 'pending="true" unclean="false" is_dc="true"', "node 'vr2'"),
        ('unclean="false" is_dc="false"', 'unclean="true" is_dc="false"', "node 'vr1'"),
        ('<node name="vr2" id="2" online', '<node name="vr9" id="2" online', "node 'vr2'"),
    ],
)
def test_what_keeps_a_cluster_from_being_ready_is_named(old: str, new: str, problem: str) -> None:
    assert old in STATUS

    (found,) = _cib.membership_problems(STATUS.replace(old, new), ["vr1", "vr2"])

    assert problem in found


def test_a_started_resource_has_no_problem() -> None:
    assert _cib.resource_problems(STATUS, request(resources=[MAIN])) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('role="Started"', 'role="Stopped"'),
        ('failed="false"', 'failed="true"'),
        ('blocked="false"', 'blocked="true"'),
        ('nodes_running_on="1"', 'nodes_running_on="2"'),
    ],
)
def test_a_resource_that_is_not_started_once_is_named(old: str, new: str) -> None:
    (found,) = _cib.resource_problems(STATUS.replace(old, new), request(resources=[MAIN]))

    assert found.startswith("resource 'cloudvip-main' is not started on exactly one node")
    assert new.replace('"', "") in found


def test_the_failures_are_told_with_the_problem() -> None:
    failure = '<failure op_key="cloudvip-main_start_0" node="vr1" exitstatus="error" exitreason="no token"/>'
    told = f"<failures>{failure}</failures><status code"
    status = STATUS.replace('role="Started"', 'role="Stopped"').replace("<status code", told)

    assert _cib.resource_problems(status, request(resources=[MAIN]))[1] == (
        "failed operation cloudvip-main_start_0 on node 'vr1': no token"
    )


def test_a_resource_is_missing_or_still_there() -> None:
    assert _cib.resource_problems(STATUS, request(resources=[{**MAIN, "id": "new"}])) == [
        "resource 'new' is not known to the cluster"
    ]
    assert _cib.resource_problems(STATUS, request(resources=[absent("cloudvip-main")])) == [
        "resource 'cloudvip-main' has been removed, but is still active"
    ]
    assert _cib.resource_problems(STATUS, request(resources=[absent("never")])) == []
    assert _cib.resource_problems(STATUS, request(purge_agent=VIPS)) == [
        "resource 'cloudvip-main' has been removed, but is still active"
    ]
    assert _cib.resource_problems(STATUS.replace('active="true"', 'active="false"'), request(purge_agent=VIPS)) == []


def test_a_cluster_at_work_is_not_warned_of() -> None:
    assert _cib.unwatched(STATUS, request(resources=[MAIN])) == []


def test_an_unmanaged_resource_is_told_with_what_ends_it() -> None:
    status = STATUS.replace('managed="true"', 'managed="false"')

    (told,) = _cib.unwatched(status, request(resources=[MAIN]))

    assert told.startswith("resource 'cloudvip-main' is unmanaged")
    assert "crm_resource --resource cloudvip-main --meta --delete-parameter is-managed" in told
    assert _cib.unwatched(status, request(resources=[absent("never")])) == []


def test_the_maintenance_mode_is_told_and_nothing_that_comes_of_it() -> None:
    options = '<cluster_options stonith-enabled="false" maintenance-mode="{}"/></summary>'
    on, off = (STATUS.replace("</summary>", options.format(mode)) for mode in ("true", "false"))

    (told,) = _cib.unwatched(on.replace('managed="true"', 'managed="false"'), request(resources=[MAIN]))

    assert told.startswith("the cluster is in maintenance mode")
    assert "crm_attribute --name maintenance-mode --delete" in told
    assert _cib.unwatched(off, request(resources=[MAIN])) == []


def test_a_status_that_is_no_xml_is_refused() -> None:
    with pytest.raises(_cib.CibError, match="status is not XML"):
        _cib.membership_problems("Connection failed", [])

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the identity service has beyond groups and policies: a home region, and identity domains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import oci
import pytest
import urllib3.util.connection
from oci.identity.models import CreateDynamicGroupDetails, CreatePolicyDetails, UpdateDynamicGroupDetails
from oci.identity_domains.models import DynamicResourceGroup, Operations, PatchOp

from lab.cloud.names import COMPARTMENT_ID, DEFAULT_DOMAIN, FURTHER_DOMAIN, FURTHER_REGION, TENANCY_ID
from lab.cloud.testing import Running
from lab.topology import REALM_DOMAIN, REGION

SCHEMA = "urn:ietf:params:scim:schemas:oracle:idcs:DynamicResourceGroup"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
RULE = "ANY {instance.id = 'x'}"


@pytest.fixture
def identity(lab: Running) -> Any:
    return oci.identity.IdentityClient(lab.sdk_config, service_endpoint=lab.url)


@pytest.fixture
def domain(lab: Running, identity: Any) -> Any:
    """A client of the further domain."""
    found = identity.list_domains(TENANCY_ID, display_name=FURTHER_DOMAIN).data
    return oci.identity_domains.IdentityDomainsClient(lab.sdk_config, service_endpoint=found[0].url)


def refusal(act: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with pytest.raises(oci.exceptions.ServiceError) as caught:
        act(*args, **kwargs)
    return caught.value


# ---- home region ----


@pytest.fixture
def regional(lab: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Clients that reach the service by the name of a region, as they do where there is a DNS."""
    port = int(lab.url.rpartition(":")[2])
    connect = urllib3.util.connection.create_connection
    monkeypatch.setattr(
        "urllib3.util.connection.create_connection",
        lambda _address, *args, **kwargs: connect(("127.0.0.1", port), *args, **kwargs),
    )

    def client(region: str) -> Any:
        endpoint = f"http://identity.{region}.oci.{REALM_DOMAIN}"
        return oci.identity.IdentityClient(lab.sdk_config, service_endpoint=endpoint)

    yield client
    lab.cloud.iam.home_region = REGION


def group_details(name: str = "g") -> CreateDynamicGroupDetails:
    return CreateDynamicGroupDetails(compartment_id=TENANCY_ID, name=name, description="d", matching_rule=RULE)


def test_changes_are_taken_in_the_home_region_only(lab: Running, regional: Callable[[str], Any]) -> None:
    lab.cloud.iam.home_region = FURTHER_REGION
    here, home = regional(REGION), regional(FURTHER_REGION)
    group = home.create_dynamic_group(group_details()).data
    statements = [f"allow dynamic-group id {group.id} to inspect vnics in tenancy"]
    policy = home.create_policy(
        CreatePolicyDetails(compartment_id=TENANCY_ID, name="p", description="d", statements=statements)
    ).data
    for change in (
        lambda: here.create_dynamic_group(group_details("h")),
        lambda: here.update_dynamic_group(group.id, UpdateDynamicGroupDetails(description="e")),
        lambda: here.delete_dynamic_group(group.id),
        lambda: here.create_policy(
            CreatePolicyDetails(compartment_id=TENANCY_ID, name="q", description="d", statements=statements)
        ),
        lambda: here.update_policy(policy.id, UpdateDynamicGroupDetails(description="e")),
        lambda: here.delete_policy(policy.id),
    ):
        error = refusal(change)
        assert (error.status, error.code) == (403, "NotAllowed")
        assert error.message == "Please go to your home region LA2 to execute CREATE, UPDATE and DELETE operations."
    assert here.get_dynamic_group(group.id).data.description == "d"
    assert here.get_tenancy(TENANCY_ID).data.home_region_key == "LA2"
    subscriptions = here.list_region_subscriptions(TENANCY_ID).data
    assert [r.region_name for r in subscriptions if r.is_home_region] == [FURTHER_REGION]


def test_a_url_without_a_region_is_home(lab: Running, regional: Callable[[str], Any], identity: Any) -> None:
    regional(REGION)
    lab.cloud.iam.home_region = FURTHER_REGION
    assert identity.create_dynamic_group(group_details()).data.name == "g"


# ---- identity domains ----


def new(name: str, **fields: Any) -> DynamicResourceGroup:
    return DynamicResourceGroup(schemas=[SCHEMA], display_name=name, matching_rule=RULE, **fields)


def test_the_domains_have_urls_of_their_own(identity: Any) -> None:
    domains = identity.list_domains(TENANCY_ID).data
    assert {d.display_name: d.type for d in domains} == {DEFAULT_DOMAIN: "DEFAULT", FURTHER_DOMAIN: "SECONDARY"}
    assert len({d.url for d in domains}) == 2
    assert identity.list_domains(COMPARTMENT_ID).data == []


def test_a_group_of_a_domain_is_not_one_of_the_classic_api(identity: Any, domain: Any) -> None:
    made = domain.create_dynamic_resource_group(dynamic_resource_group=new("g", description="d")).data
    assert made.ocid.startswith("ocid1.dynamicgroup.")
    assert identity.list_dynamic_groups(TENANCY_ID).data == []
    assert refusal(identity.get_dynamic_group, made.ocid).status == 404
    assert refusal(identity.delete_dynamic_group, made.ocid).status == 404
    assert identity.create_dynamic_group(group_details()).data.name == "g"


def test_the_rule_is_returned_only_when_it_is_asked_for(domain: Any) -> None:
    made = domain.create_dynamic_resource_group(dynamic_resource_group=new("g")).data
    assert (made.display_name, made.matching_rule) == ("g", None)
    assert domain.get_dynamic_resource_group(made.id).data.matching_rule is None
    asked = domain.get_dynamic_resource_group(made.id, attributes="matchingRule").data
    assert (asked.matching_rule, asked.description, asked.display_name) == (RULE, None, "g")
    assert domain.get_dynamic_resource_group(made.ocid, attribute_sets=["all"]).data.matching_rule == RULE
    both = domain.get_dynamic_resource_group(made.id, attribute_sets=["default", "request"]).data
    assert (both.matching_rule, both.tenancy_ocid) == (RULE, TENANCY_ID)
    listed = domain.list_dynamic_resource_groups(attributes="matchingRule").data
    assert [g.matching_rule for g in listed.resources] == [RULE]


def test_groups_are_found_by_their_name_and_come_in_pages(domain: Any) -> None:
    for name in ("a", 'b "two"', "c"):
        domain.create_dynamic_resource_group(dynamic_resource_group=new(name))
    named = domain.list_dynamic_resource_groups(filter=r'displayName eq "b \"two\""').data
    assert [g.display_name for g in named.resources] == ['b "two"']
    second = domain.list_dynamic_resource_groups(start_index=2, count=1).data
    assert [g.display_name for g in second.resources] == ['b "two"']
    assert (second.total_results, second.start_index, second.items_per_page) == (3, 2, 1)
    assert refusal(domain.list_dynamic_resource_groups, filter="displayName").status == 400
    assert refusal(domain.list_dynamic_resource_groups, count=-1).status == 400


def test_a_group_of_a_domain_is_changed_and_deleted(domain: Any) -> None:
    made = domain.create_dynamic_resource_group(dynamic_resource_group=new("g", description="d"))
    group = made.data
    rule = "ANY {instance.id = 'y'}"
    patch = PatchOp(schemas=[PATCH], operations=[Operations(op="REPLACE", path="matchingRule", value=rule)])
    patched = domain.patch_dynamic_resource_group(
        group.id, patch_op=patch, if_match=made.headers["etag"], attribute_sets=["all"]
    ).data
    assert (patched.matching_rule, patched.description) == (rule, "d")
    stale = refusal(domain.patch_dynamic_resource_group, group.id, patch_op=patch, if_match=made.headers["etag"])
    assert stale.status == 412
    replaced = domain.put_dynamic_resource_group(group.id, dynamic_resource_group=new("g"), attribute_sets=["all"]).data
    assert (replaced.matching_rule, replaced.description) == (RULE, "")
    renamed = new("h")
    assert refusal(domain.put_dynamic_resource_group, group.id, dynamic_resource_group=renamed).status == 400
    domain.delete_dynamic_resource_group(group.id)
    assert refusal(domain.delete_dynamic_resource_group, group.id).status == 404


@pytest.mark.parametrize(
    ("group", "status", "detail"),
    [
        (new("G"), 409, "same displayName G already exists"),
        (DynamicResourceGroup(schemas=["x"], display_name="h", matching_rule=RULE), 400, "schemas must be"),
        (DynamicResourceGroup(schemas=[SCHEMA], display_name="h"), 400, "matchingRule is missing"),
        (DynamicResourceGroup(schemas=[SCHEMA], display_name="h", matching_rule="?"), 400, "Invalid matching rule"),
    ],
)
def test_an_error_of_a_domain_is_in_the_words_of_scim(
    domain: Any, group: DynamicResourceGroup, status: int, detail: str
) -> None:
    domain.create_dynamic_resource_group(dynamic_resource_group=new("g"))
    error = refusal(domain.create_dynamic_resource_group, dynamic_resource_group=group)
    assert error.status == status
    assert detail in error.args[0]["detail"]

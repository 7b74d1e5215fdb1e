# SPDX-License-Identifier: GPL-3.0-or-later
"""How a session authenticates and where it goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import oci
import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloudvip.ha.plugins.module_utils._oci import session
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.dynamic_group import instances_rule
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import CloudError, OciError
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.permissions import statements
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from lab.cloud.testing import running
from lab.topology import Topology
from tests.unit.plugins.conftest import give
from tests.unit.plugins.worlds import LabWorld

PEM = (Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def reaches_the_cloud(cloud: session.Cloud, world: LabWorld) -> bool:
    vnic_id = world.vnic("vr1", "ens5")
    return cloud.network.vnic(vnic_id).id == vnic_id


def test_a_profile_authenticates_by_its_key(lab_world: LabWorld) -> None:
    cloud = lab_world.session()

    assert cloud.tenancy_id == TENANCY_ID
    assert reaches_the_cloud(cloud, lab_world)


@pytest.fixture
def on_vr1(lab_world: LabWorld, monkeypatch: pytest.MonkeyPatch) -> LabWorld:
    """As if on the instance vr1, which may read VNICs."""
    monkeypatch.setenv("OCI_METADATA_BASE_URL", lab_world.lab.metadata_url("vr1"))
    monkeypatch.setattr("oci.regions.endpoint_for", lambda *_args, **_kwargs: lab_world.lab.url)
    rule = instances_rule([lab_world.topology.instance("vr1").id])
    identity = lab_world.cloud.identity
    group = identity.dynamic_groups(TENANCY_ID, None).create("nodes", {"description": "Nodes", "matching_rule": rule})
    texts = statements(group.id, COMPARTMENT_ID, {"move"})
    identity.policies(COMPARTMENT_ID).create("move", {"description": "Move", "statements": texts})
    return lab_world


def test_an_instance_authenticates_by_its_certificate(on_vr1: LabWorld) -> None:
    cloud = on_vr1.session(auth_type="instance_principal", config_file_location="/nonexistent")

    assert cloud.tenancy_id == TENANCY_ID
    assert reaches_the_cloud(cloud, on_vr1)


def test_an_instance_is_told_which_permission_it_lacks(on_vr1: LabWorld) -> None:
    cloud = on_vr1.session(auth_type="instance_principal")

    with pytest.raises(CloudError, match=r"UpdateVnic failed: 404 .* VNIC_UPDATE"):
        cloud.network.set_skip_source_dest_check(on_vr1.vnic("vr1", "ens5"), True)


def test_a_token_authenticates_with_the_key_of_its_session(on_vr1: LabWorld, tmp_path: Path) -> None:
    federated = oci.auth.signers.InstancePrincipalsSecurityTokenSigner().federation_client
    (tmp_path / "token").write_text(federated.get_security_token(), encoding="utf-8")
    (tmp_path / "key.pem").write_bytes(federated.session_key_supplier.get_key_pair()["private"].private_bytes(*PEM))
    config = f"region=lab-emu-1\ntenancy={TENANCY_ID}\nkey_file={tmp_path}/key.pem"
    (tmp_path / "config").write_text(f"[DEFAULT]\n{config}\nsecurity_token_file={tmp_path}/token\n", encoding="utf-8")

    cloud = on_vr1.session(auth_type="security_token", config_file_location=str(tmp_path / "config"))

    assert cloud.tenancy_id == TENANCY_ID
    assert reaches_the_cloud(cloud, on_vr1)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"config_file_location": "/nonexistent/config"}, "Could not find config file at /nonexistent/config"),
        ({"config_profile_name": "OTHER"}, "Profile 'OTHER' not found"),
        ({"auth_type": "security_token"}, "KeyError: 'security_token_file'"),
        ({"ca_bundle": "/nonexistent/ca.pem"}, "ca_bundle = '/nonexistent/ca.pem': expected a file"),
    ],
)
def test_an_unusable_configuration_is_named(lab_world: LabWorld, params: dict[str, Any], text: str) -> None:
    with pytest.raises(OciError, match=text):
        lab_world.session(**params)


def test_a_private_authority_is_trusted_whatever_the_environment_says(
    topology: Topology, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem")
    with running(topology, keys, tls=True) as lab:
        world = LabWorld(lab, topology)

        assert reaches_the_cloud(world.session(ca_bundle=str(lab.pki.ca_file)), world)


def test_an_authority_that_is_not_trusted_is_named_at_once(
    topology: Topology, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with running(topology, keys, tls=True) as lab:
        world = LabWorld(lab, topology)

        with pytest.raises(CloudError, match="set `ca_bundle`") as caught:
            reaches_the_cloud(world.session(), world)

    assert caught.value.kind == "refused"


def test_identity_can_have_an_endpoint_of_its_own(lab_world: LabWorld) -> None:
    cloud = lab_world.session(endpoint="http://127.0.0.1:9", identity_endpoint=lab_world.lab.url)

    assert cloud.identity.dynamic_groups(TENANCY_ID, None).find("nodes") is None


def test_options_come_from_the_environment_when_they_are_not_given(
    lab_world: LabWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCI_CLI_CONFIG_FILE", str(lab_world.lab.sdk_config_file))
    monkeypatch.setenv("OCI_CLI_ENDPOINT", lab_world.lab.url)
    give(monkeypatch, {})
    module = AnsibleModule(session.argument_spec())

    assert reaches_the_cloud(session.connect(module), lab_world)


def test_a_missing_sdk_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(session, "_IMPORT_ERROR", "ImportError: oci")
    give(monkeypatch, {})
    module = AnsibleModule(session.argument_spec())

    with pytest.raises(SystemExit):
        session.connect(module)

    assert "Failed to import the required Python library (oci)" in capsys.readouterr().out

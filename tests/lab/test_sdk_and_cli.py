# SPDX-License-Identifier: GPL-3.0-or-later
"""Oracle's own SDK and CLI, unmodified, on a node, as the instance principal that the playbook gave its permissions."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import oci
import pytest

from lab import paths
from tests.lab.conftest import Lab

VIP = "10.0.0.4"
# What a user of a private realm would set; the region itself comes from the metadata service.
ENVIRONMENT = (
    "PYTHONPATH=/opt/oci/site-packages REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt "
    "OCI_CLI_USE_INSTANCE_METADATA_SERVICE=1 OCI_CLI_AUTH=instance_principal LC_ALL=C.UTF-8"
)
MOVE_BY_SDK = """
import oci
oci.regions.enable_instance_metadata_service()
client = oci.core.VirtualNetworkClient({{}}, signer=oci.auth.signers.InstancePrincipalsSecurityTokenSigner())
client.update_private_ip("{private_ip}", oci.core.models.UpdatePrivateIpDetails(vnic_id="{vnic}"))
create = oci.core.models.CreatePrivateIpDetails(vnic_id="{vnic}")
for forbidden in lambda: client.delete_private_ip("{private_ip}"), lambda: client.create_private_ip(create):
    try:
        forbidden()
    except oci.exceptions.ServiceError as error:
        print(error.status, error.code)
"""


pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("cluster")]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> str:
    """vr1 with the SDK and the CLI for its own Python."""
    target = tmp_path_factory.mktemp("wheels") / "site-packages"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(target),
         "--python-version", "3.11", "--only-binary=:all:", f"oci=={version('oci')}", f"oci-cli=={version('oci-cli')}"],
        check=True,
    )  # fmt: skip
    lab_node = paths.container("vr1")
    subprocess.run(["podman", "exec", lab_node, "mkdir", "-p", "/opt/oci"], check=True)
    subprocess.run(["podman", "cp", str(target), f"{lab_node}:/opt/oci/site-packages"], check=True)
    return "vr1"


def vnic(lab: Lab, node: str) -> str:
    return next(v.vnic_id for v in lab.control.status().node(node).vnics if v.interface == "ens5")


def private_ip(lab: Lab) -> str:
    return next(f.id for f in lab.control.status().floating if f.address == VIP)


def test_the_sdk_moves_an_address_and_may_neither_delete_nor_create_one(lab: Lab, node: str, tmp_path: Path) -> None:
    before = lab.holders()[VIP]
    script = tmp_path / "move.py"
    script.write_text(MOVE_BY_SDK.format(private_ip=private_ip(lab), vnic=vnic(lab, "vr1")))
    subprocess.run(["podman", "cp", str(script), f"{paths.container(node)}:/root/move.py"], check=True)
    out = lab.sh(node, f"{ENVIRONMENT} python3 /root/move.py")
    assert lab.holders()[VIP] == "vr1"
    assert out.split() == ["404", "NotAuthorizedOrNotFound"] * 2
    assert before is not None
    back = oci.core.models.UpdatePrivateIpDetails(vnic_id=vnic(lab, before))
    lab.network().update_private_ip(private_ip(lab), back)


def test_the_cli_lists_and_moves_an_address(lab: Lab, node: str) -> None:
    cli = f"{ENVIRONMENT} python3 -m oci_cli.cli"
    listed = json.loads(lab.sh(node, f"{cli} network private-ip list --vnic-id {vnic(lab, 'vr1')}"))
    assert "10.0.0.5" in [p["ip-address"] for p in listed["data"]]
    before = lab.holders()[VIP]
    assert before is not None
    for target in ("vr1", before):
        lab.sh(
            node,
            f"{cli} network vnic assign-private-ip --vnic-id {vnic(lab, target)} --ip-address {VIP} "
            "--unassign-if-already-assigned",
        )
        assert lab.holders()[VIP] == target

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import configparser
import ipaddress
import shutil
from pathlib import Path

import oci
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from lab.cloud.pki import Pki, ensure
from lab.topology import Topology, load


@pytest.fixture
def own_base(keys: Path, pki: Pki, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    assert pki.ca_file.is_relative_to(keys)
    return Path(shutil.copytree(keys, tmp_path / "own"))


def contents(base: Path) -> dict[str, bytes]:
    return {str(p.relative_to(base)): p.read_bytes() for p in base.rglob("*") if p.is_file() and p.name != "config"}


def test_a_second_call_changes_nothing(own_base: Path, topology: Topology) -> None:
    before = contents(own_base)
    ensure(own_base, topology)
    assert contents(own_base) == before


def test_another_topology_keeps_the_keys_and_adds_its_instances(own_base: Path) -> None:
    before = contents(own_base)
    pki = ensure(own_base, load("pair"))
    after = contents(own_base)
    assert set(pki.instances) == {"n1", "n2", "client"}
    assert before.items() <= after.items()


@pytest.mark.parametrize("lost", ["ca.key", "server.pem", "server.key", "instance-root.pem", "instances/vr1.key"])
def test_what_was_lost_is_made_anew_with_what_depends_on_it(own_base: Path, topology: Topology, lost: str) -> None:
    (own_base / "pki" / lost).unlink()
    pki = ensure(own_base, topology)
    server = x509.load_pem_x509_certificate(pki.server_certificate_file.read_bytes())
    server.verify_directly_issued_by(x509.load_pem_x509_certificate(pki.ca_file.read_bytes()))
    intermediate = x509.load_pem_x509_certificate(pki.intermediate_pem)
    intermediate.verify_directly_issued_by(pki.instance_root)
    for identity in pki.instances.values():
        identity.certificate.verify_directly_issued_by(intermediate)


def test_private_keys_are_private(own_base: Path) -> None:
    keys = [*own_base.rglob("*.key"), own_base / "oci" / "api_key.pem", own_base / "oci" / "config"]
    assert len(keys) > 8
    assert {k.stat().st_mode & 0o777 for k in keys} == {0o600}
    assert (own_base / "pki" / "ca.pem").stat().st_mode & 0o777 == 0o644
    assert (own_base / "oci").stat().st_mode & 0o777 == 0o700


def test_the_server_certificate_covers_every_host_of_the_region(pki: Pki) -> None:
    server = x509.load_pem_x509_certificate(pki.server_certificate_file.read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"*.lab-emu-1.ocilab.internal", "*.lab-emu-1.oci.ocilab.internal"} <= set(
        names.get_values_for_type(x509.DNSName)
    )
    assert ipaddress.ip_address("198.18.0.1") in names.get_values_for_type(x509.IPAddress)


def test_an_instances_subject_is_that_of_a_real_one(pki: Pki, topology: Topology) -> None:
    subject = pki.instances["vr1"].certificate.subject
    instance = topology.instance("vr1").id
    assert [a.value for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [instance]
    assert {str(a.value) for a in subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)} == {
        "opc-certtype:instance",
        f"opc-compartment:{COMPARTMENT_ID}",
        f"opc-instance:{instance}",
        f"opc-tenant:{TENANCY_ID}",
    }


def test_the_sdk_accepts_the_configuration_file(pki: Pki) -> None:
    config = oci.config.from_file(str(pki.sdk_config_file))
    oci.config.validate_config(config)
    parser = configparser.ConfigParser()
    parser.read(pki.sdk_config_file)
    assert parser["DEFAULT"]["fingerprint"] == pki.user_fingerprint
    assert Path(parser["DEFAULT"]["key_file"]).is_absolute()

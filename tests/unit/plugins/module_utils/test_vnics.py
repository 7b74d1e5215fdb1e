# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the metadata service and the interfaces of a node."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils import _vnics

INSTANCE = {
    "id": "ocid1.instance.a",
    "compartmentId": "ocid1.compartment.a",
    "availabilityDomain": "AD-1",
    "tenantId": "ocid1.tenancy.a",
    "regionInfo": {"regionIdentifier": "eu-frankfurt-1", "realmDomainComponent": "oraclecloud.com"},
}
VNIC = {
    "vnicId": "ocid1.vnic.a",
    "macAddr": "02:00:17:AA:BB:CC",
    "privateIp": "192.0.2.11",
    "subnetCidrBlock": "192.0.2.0/24",
    "virtualRouterIp": "192.0.2.1",
}
MAC = "02:00:17:aa:bb:cc"
PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


class Service:
    """A metadata service that answers what the test puts into it, and keeps what it was asked."""

    def __init__(self) -> None:
        self.bodies: dict[str, str] = {}
        self.failures: list[int] = []
        self.asked: list[tuple[str, str | None]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked.append((self.path, self.headers.get("Authorization")))
                status = service.failures.pop(0) if service.failures else 200
                body = service.bodies.get(self.path)
                self.send_response(404 if body is None else status)
                self.end_headers()
                if body is not None and status == 200:
                    self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/opc/v2"


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    threading.Thread(target=service.server.serve_forever, args=(0.01,), daemon=True).start()
    yield service
    service.server.shutdown()
    service.server.server_close()


def client(service: Service, pauses: list[float] | None = None, retries: int = 3) -> _vnics.Metadata:
    waited: list[float] = [] if pauses is None else pauses
    return _vnics.Metadata(service.url, timeout=2, retries=retries, sleep=waited.append)


def test_the_header_of_version_2_is_sent(service: Service) -> None:
    service.bodies["/opc/v2/x"] = "answer"

    assert client(service).get("x") == "answer"
    assert service.asked == [("/opc/v2/x", "Bearer Oracle")]


def test_the_proxy_of_the_environment_is_not_asked(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    service.bodies["/opc/v2/x"] = "answer"

    assert client(service).get("x") == "answer"


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_a_moment_s_trouble_is_waited_out(service: Service, status: int) -> None:
    service.bodies["/opc/v2/x"] = "answer"
    service.failures = [status, status]
    pauses: list[float] = []

    assert client(service, pauses).get("x") == "answer"
    assert pauses == [1.0, 1.0]


def test_the_attempts_are_bounded_and_the_last_problem_is_named(service: Service) -> None:
    pauses: list[float] = []

    with pytest.raises(_vnics.MetadataError, match=r"GET http://127.0.0.1:\d+/opc/v2/x: HTTP status 404"):
        client(service, pauses, retries=2).get("x")

    assert len(service.asked) == 3
    assert len(pauses) == 2


def test_a_refusal_is_not_repeated(service: Service) -> None:
    service.bodies["/opc/v2/x"] = "answer"
    service.failures = [401]

    with pytest.raises(_vnics.MetadataError, match="HTTP status 401"):
        client(service).get("x")

    assert len(service.asked) == 1


def test_nobody_there_is_an_error_with_the_address() -> None:
    metadata = _vnics.Metadata("http://127.0.0.1:1/opc/v2", timeout=1, retries=0)

    with pytest.raises(_vnics.MetadataError, match=r"GET http://127.0.0.1:1/opc/v2/x: .*refused"):
        metadata.get("x")


def test_what_is_not_json_is_refused(service: Service) -> None:
    service.bodies["/opc/v2/x"] = "<html>"

    with pytest.raises(_vnics.MetadataError, match="is not JSON"):
        client(service).get_json("x")


FILE = "/run/systemd/network/10-netplan-ens3.network"
HOST = _vnics.Host(
    interfaces={MAC: "ens3"},
    addresses={"ens3": frozenset({"192.0.2.11"})},
    tables={},
    rules={},
    network_managers=["systemd-networkd"],
    network_files={"ens3": FILE},
    permanent=frozenset({"ens3"}),
)


def gather(service: Service, instance: dict[str, Any]) -> dict[str, Any]:
    service.bodies["/opc/v2/instance/"] = json.dumps(instance)
    service.bodies["/opc/v2/vnics/"] = json.dumps([VNIC])
    return _vnics.gather(client(service), HOST)


def test_the_fact_is_complete(service: Service) -> None:
    assert gather(service, INSTANCE) == {
        "instance_id": "ocid1.instance.a",
        "tenancy_id": "ocid1.tenancy.a",
        "compartment_id": "ocid1.compartment.a",
        "region": "eu-frankfurt-1",
        "realm_domain": "oraclecloud.com",
        "availability_domain": "AD-1",
        "network_managers": ["systemd-networkd"],
        "vnics": [
            {
                "vnic_id": "ocid1.vnic.a",
                "mac": "02:00:17:aa:bb:cc",
                "private_ip": "192.0.2.11",
                "subnet_cidr": "192.0.2.0/24",
                "ipv6_subnet_cidr": None,
                "virtual_router_ip": "192.0.2.1",
                "interface": "ens3",
                "addressed": True,
                "network_file": FILE,
                "permanent": True,
                "owned": False,
                "table": None,
            }
        ],
    }


def test_the_certificate_names_the_tenancy_where_the_instance_does_not(service: Service) -> None:
    # The byte after the text begins the next part of the subject, and is a digit as well.
    der = b"0\x82\x01\x02CN=x\x13\x22opc-tenant:ocid1.tenancy.oc1..aaaa\x31\x0b"
    service.bodies["/opc/v2/identity/cert.pem"] = PEM.format(base64.encodebytes(der).decode())

    fact = gather(service, {key: value for key, value in INSTANCE.items() if key != "tenantId"})

    assert fact["tenancy_id"] == "ocid1.tenancy.oc1..aaaa"


@pytest.mark.parametrize("certificate", ["", PEM.format(base64.b64encode(b"opc-instance:ocid1.instance.a").decode())])
def test_a_certificate_without_a_tenancy_is_an_error(certificate: str) -> None:
    with pytest.raises(_vnics.MetadataError, match="names no tenancy"):
        _vnics.tenancy_of(certificate)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(_vnics.MetadataError, match="lacks 'regionInfo'"):
        _vnics.facts({}, [], "t", HOST)


def interface(root: Path, name: str, mac: str | None, lower: str | None = None) -> None:
    directory = root / name
    directory.mkdir()
    if mac is not None:
        (directory / "address").write_text(f"{mac}\n")
    if lower:
        (directory / f"lower_{lower}").symlink_to(root / lower)


def test_interfaces_are_found_by_mac_below_what_stands_on_them(tmp_path: Path) -> None:
    interface(tmp_path, "br0", "02:00:17:aa:bb:cc", lower="ens3")
    interface(tmp_path, "ens3", "02:00:17:AA:BB:CC")
    interface(tmp_path, "ens5", "02:00:17:aa:bb:dd")
    interface(tmp_path, "odd", None)
    (tmp_path / "bonding_masters").write_text("bond0\n")

    assert _vnics.interfaces_by_mac(str(tmp_path)) == {"02:00:17:aa:bb:cc": "ens3", "02:00:17:aa:bb:dd": "ens5"}


def test_an_interface_that_was_given_its_mac_address_is_told_from_one_that_was_made_with_it(tmp_path: Path) -> None:
    for name, assigned in {"ens3": "0", "ens5": "3"}.items():
        interface(tmp_path, name, "02:00:17:aa:bb:cc")
        (tmp_path / name / "addr_assign_type").write_text(f"{assigned}\n")

    assert _vnics.permanent_interfaces(str(tmp_path)) == {"ens3"}


def vnic(host: _vnics.Host) -> dict[str, Any]:
    """The fact of the one VNIC on a node that knows that much."""
    found: dict[str, Any] = _vnics.facts(INSTANCE, [VNIC], "t", host)["vnics"][0]
    return found


def test_a_vnic_without_an_interface_says_so() -> None:
    found = vnic(HOST._replace(interfaces={}))

    assert (found["interface"], found["addressed"], found["owned"]) == (None, False, False)
    assert (found["network_file"], found["permanent"]) == (None, False)


@pytest.mark.parametrize("addresses", [{}, {"ens3": {"192.0.2.111", "10.0.0.4"}}, {"ens5": {"192.0.2.11"}}])
def test_only_its_primary_address_on_its_interface_counts(addresses: dict[str, set[str]]) -> None:
    host = HOST._replace(addresses={name: frozenset(found) for name, found in addresses.items()})

    assert vnic(host)["addressed"] is False


def test_an_interface_that_cloudvip_configures_is_known_by_its_table() -> None:
    found = vnic(HOST._replace(tables={MAC: 7004}))

    assert (found["owned"], found["table"]) == (True, 7004)


# From iproute2 6.1. Only the second is cloudvip's.
RULES = json.dumps(
    [
        {"priority": 0, "src": "all", "table": "local"},
        {"priority": 7000, "src": "192.0.2.11", "table": "7004"},
        {"priority": 7000, "src": "192.0.2.12", "table": "100"},
        {"priority": 6999, "src": "192.0.2.13", "table": "7005"},
        {"priority": 7000, "src": "192.0.2.14", "action": "blackhole"},
        {"priority": 32766, "src": "all", "table": "main"},
    ]
)


def test_an_interface_that_a_broken_off_run_has_not_cleared_is_known_by_its_rule() -> None:
    rules = _vnics.tables_by_source(RULES)
    found = vnic(HOST._replace(rules=rules))

    assert rules == {"192.0.2.11": 7004}
    assert (found["owned"], found["table"]) == (True, 7004)
    # What is configured counts.
    assert vnic(HOST._replace(rules=rules, tables={MAC: 7001}))["table"] == 7001


@pytest.mark.parametrize("text", ["", "Object not found", '[{"src": "all"}]'])
def test_rules_that_are_not_understood(text: str) -> None:
    with pytest.raises(_vnics.NodeError, match="ip -json -4 rule show"):
        _vnics.tables_by_source(text)


# From iproute2 6.1, which leaves an empty object for a link without an address of the family.
ADDRESSES = json.dumps(
    [
        {"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8}]},
        {"ifname": "ens3", "addr_info": [{"local": "192.0.2.11", "prefixlen": 24}, {"local": "192.0.2.50"}, {}]},
        {},
    ]
)


def test_the_addresses_of_each_interface() -> None:
    found = _vnics.addresses_by_interface(ADDRESSES)

    assert found == {"lo": {"127.0.0.1"}, "ens3": {"192.0.2.11", "192.0.2.50"}}


@pytest.mark.parametrize("text", ["", "Object not found", '[{"addr_info": []}]'])
def test_addresses_that_are_not_understood(text: str) -> None:
    with pytest.raises(_vnics.NodeError, match="ip -json -4 address show"):
        _vnics.addresses_by_interface(text)


def test_the_tables_are_those_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    assert _vnics.tables_by_mac(str(file)) == {}

    file.write_text('{"version": 1}')
    assert _vnics.tables_by_mac(str(file)) == {}

    file.write_text(json.dumps({"interfaces": [{"mac": MAC, "table": 7001, "address": "10.0.2.5"}]}))
    assert _vnics.tables_by_mac(str(file)) == {MAC: 7001}


@pytest.mark.parametrize("text", ["", "[]", '{"interfaces": [{}]}'])
def test_a_configuration_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)

    with pytest.raises(_vnics.NodeError, match=r"config\.json: .*: expected what the playbook wrote"):
        _vnics.tables_by_mac(str(file))


def test_a_configuration_that_may_not_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    with pytest.raises(_vnics.NodeError, match="expected to be able to read it; root is"):
        _vnics.tables_by_mac(str(tmp_path))


# From systemd 247, which fills the names up with blanks, and 257, which lists drop-ins.
LINKS_247 = """\
* 1: lo                        \x20
                     Link File: n/a
                  Network File: n/a
                          Type: loopback

* 2: ens3                      \x20
                     Link File: /usr/lib/systemd/network/99-default.link
                  Network File: /run/systemd/network/10-netplan-ens3.network
                          Type: ether
                       Address: 192.0.2.11
                                192.0.2.50

Nov 21 23:38:36 vr1 systemd-networkd[108]: ens3: Re-configuring with /etc/systemd/network/20-ens3.network

* 4: ens7                      \x20
                     Link File: n/a
                  Network File: n/a
                         State: routable (unmanaged)
"""
LINKS_257 = """\
* 2: ens3
                   Link File: /usr/lib/systemd/network/99-default.link
                Network File: /run/systemd/network/10-netplan-ens3.network
                              `-/etc/systemd/network/10-netplan-ens3.network.d/90-cloudvip.conf
                       State: routable (configured)

* 4: ens7
                   Link File: n/a
                Network File: n/a
"""


@pytest.mark.parametrize("text", [LINKS_247, LINKS_257], ids=["systemd 247", "systemd 257"])
def test_the_files_by_which_systemd_networkd_configures_interfaces(text: str) -> None:
    assert _vnics.network_files_by_interface(text) == {"ens3": FILE}


@pytest.mark.parametrize(
    ("networkd", "managers", "files"), [("active", ["systemd-networkd"], {"ens3": FILE}), ("inactive", [], {})]
)
def test_the_network_managers_are_those_that_run(
    tmp_path: Path, networkd: str, managers: list[str], files: dict[str, str]
) -> None:
    said = {
        "ip -json -4 address show": ADDRESSES,
        "ip -json -4 rule show": RULES,
        "systemctl is-active NetworkManager.service": "inactive\n",
        "systemctl is-active systemd-networkd.service": f"{networkd}\n",
    }
    if managers:
        # Where systemd-networkd does not run, there may be no such program.
        said["networkctl --no-pager --all status"] = LINKS_257

    host = _vnics.read_host(lambda argv: said[" ".join(argv)], str(tmp_path / "none"))

    assert host.network_managers == managers
    assert host.network_files == files
    assert host.addresses["ens3"] == {"192.0.2.11", "192.0.2.50"}
    assert host.rules == {"192.0.2.11": 7004}

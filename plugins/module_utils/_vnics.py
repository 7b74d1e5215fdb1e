# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What the cloud's metadata service says about a node, and what the node knows of its interfaces, as facts.

This runs on the nodes: Python 3.6 and the standard library only.
"""

import base64
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence

# Version 2 of the service refuses requests without this header, which a forged request cannot set.
HEADERS = {"Authorization": "Bearer Oracle"}
# "Not found" and "too many requests" are given for a moment while an instance starts.
TRANSIENT = (404, 429, 500, 502, 503, 504)
PAUSE = 1.0

TENANT = b"opc-tenant:"
PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)

CONFIG_FILE = "/etc/cloudvip/config.json"
# Of the rules that the mover makes for the interfaces that it configures: nobody else's have both.
_RULE_PRIORITY = 7000
_TABLES = range(7000, 8000)
# Programs that configure every interface they find, unless they are told to leave one alone.
NETWORKD = "systemd-networkd"
NETWORK_MANAGERS = ("NetworkManager", NETWORKD)
# Of the output of networkctl status, which has many more lines about each interface.
_LINK = re.compile(r"^\S+ +\d+: (\S+)\s*$|^ *Network File: (/\S+)$", re.MULTILINE)
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_PROGRAM_TIMEOUT = 20.0

# Runs a program and returns its output, whatever its exit status; raises NodeError.
Run = Callable[[Sequence[str]], str]


class MetadataError(Exception):
    """The metadata service did not give what is needed; the text says what and where."""


class NodeError(Exception):
    """The node does not tell what is needed; the text says what, where and what was expected."""


class Host(NamedTuple):
    """What a node itself knows of its interfaces.

    :param interfaces: MAC address -> name of the Linux interface
    :param addresses: name of the interface -> its IPv4 addresses
    :param tables: MAC address -> routing table of each interface that cloudvip configures
    :param rules: address -> routing table to which a rule of cloudvip's leads from it
    :param network_managers: those of NETWORK_MANAGERS that run
    :param network_files: name of the interface -> the .network file by which systemd-networkd configures it
    :param permanent: names of the interfaces that have the MAC address they were made with
    """

    interfaces: Mapping[str, str]
    addresses: Mapping[str, FrozenSet[str]]
    tables: Mapping[str, int]
    rules: Mapping[str, int]
    network_managers: Sequence[str]
    network_files: Mapping[str, str]
    permanent: FrozenSet[str]


class Metadata:
    """The metadata service, with a deadline for each request and a bounded number of attempts."""

    def __init__(
        self, base: str, timeout: float = 5.0, retries: int = 3, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Remember where the service is.

        :param base: such as http://169.254.169.254/opc/v2
        :param timeout: of one attempt, in seconds
        :param retries: attempts after the first
        """
        self._base = base.rstrip("/")
        self._timeout = timeout
        self._retries = retries
        self._sleep = sleep
        # A proxy from the environment must never see a request for the node's own identity.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str) -> str:
        """Return the body of a path below the base.

        :raises MetadataError: when the last attempt failed too
        """
        url = f"{self._base}/{path}"
        attempts = self._retries + 1
        for left in reversed(range(attempts)):
            try:
                request = urllib.request.Request(url, headers=HEADERS)
                with self._opener.open(request, timeout=self._timeout) as answer:
                    body: bytes = answer.read()
                    return body.decode("utf-8")
            except urllib.error.HTTPError as error:
                problem = f"HTTP status {error.code}"
                if error.code not in TRANSIENT:
                    break
            except OSError as error:
                problem = str(getattr(error, "reason", error))
            if left:
                self._sleep(PAUSE)
        raise MetadataError(f"metadata service: GET {url}: {problem}")

    def get_json(self, path: str) -> Any:
        """Return the parsed body of a path below the base."""
        body = self.get(path)
        try:
            return json.loads(body)
        except ValueError as error:
            raise MetadataError(f"metadata service: {self._base}/{path} is not JSON: {error}") from error


def tenancy_of(certificate: str) -> str:
    """Return the tenancy that the instance's identity certificate names in its subject.

    The text is found without an X.509 library, which the standard library lacks. What follows it in the DER encoding
    may look like more of it, so its end is told by its length, the byte before it.

    :param certificate: PEM
    """
    found = PEM.search(certificate)
    der = base64.b64decode(found.group(1)) if found else b""
    start = der.find(TENANT)
    if start < 1:
        raise MetadataError("metadata service: identity/cert.pem names no tenancy")
    return der[start + len(TENANT) : start + der[start - 1]].decode("ascii")


def facts(
    instance: Mapping[str, Any], vnics: Sequence[Mapping[str, Any]], tenancy_id: str, host: Host
) -> Dict[str, Any]:
    """Return the ``cloudvip_vnic`` fact.

    :param instance: body of ``instance/``
    :param vnics: body of ``vnics/``; the first one is the primary
    """
    try:
        region = instance["regionInfo"]
        return {
            "instance_id": instance["id"],
            "tenancy_id": tenancy_id,
            "compartment_id": instance["compartmentId"],
            "region": region["regionIdentifier"],
            "realm_domain": region["realmDomainComponent"],
            "availability_domain": instance["availabilityDomain"],
            "network_managers": list(host.network_managers),
            "vnics": [_vnic_fact(vnic, host) for vnic in vnics],
        }
    except KeyError as error:
        raise MetadataError(f"metadata service: the answer lacks {error}") from error


def _vnic_fact(vnic: Mapping[str, Any], host: Host) -> Dict[str, Any]:
    mac = vnic["macAddr"].lower()
    interface = host.interfaces.get(mac)
    # A run that broke off may have taken it out of the configuration already, and cleared nothing.
    table = host.tables.get(mac, host.rules.get(vnic["privateIp"]))
    return {
        "vnic_id": vnic["vnicId"],
        "mac": mac,
        "private_ip": vnic["privateIp"],
        "subnet_cidr": vnic["subnetCidrBlock"],
        "ipv6_subnet_cidr": vnic.get("ipv6SubnetCidrBlock"),
        "virtual_router_ip": vnic["virtualRouterIp"],
        "interface": interface,
        "addressed": interface is not None and vnic["privateIp"] in host.addresses.get(interface, ()),
        "network_file": None if interface is None else host.network_files.get(interface),
        "permanent": interface in host.permanent,
        "owned": table is not None,
        "table": table,
    }


def interfaces_by_mac(root: str = "/sys/class/net") -> Dict[str, str]:
    """Return the Linux interface of each MAC address.

    VLANs, bridges and bonds repeat the address of the interface they stand on; that one is wanted.
    """
    found: Dict[str, str] = {}
    for name in sorted(os.listdir(root)):
        directory = os.path.join(root, name)
        mac = _read(os.path.join(directory, "address"))
        stacked = mac is not None and any(entry.startswith("lower_") for entry in os.listdir(directory))
        if mac and not stacked:
            found.setdefault(mac.lower(), name)
    return found


def permanent_interfaces(root: str = "/sys/class/net") -> FrozenSet[str]:
    """Return the Linux interfaces that have the MAC address they were made with: NetworkManager knows no other."""
    return frozenset(name for name in os.listdir(root) if _read(os.path.join(root, name, "addr_assign_type")) == "0")


def _read(path: str) -> Optional[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        # An interface may go away between the listing and the reading; bonding_masters is a file, not an interface.
        return None


def addresses_by_interface(text: str) -> Dict[str, FrozenSet[str]]:
    """Return the IPv4 addresses of each interface in the output of ``ip -json -4 address show``.

    :raises NodeError: when it is something else
    """
    try:
        # iproute2 leaves an empty object for every interface that a filter left out.
        links = [link for link in json.loads(text) if link]
        return {
            link["ifname"]: frozenset(entry["local"] for entry in link["addr_info"] if "local" in entry)
            for link in links
        }
    except (ValueError, KeyError, TypeError) as error:
        raise NodeError(f"ip -json -4 address show: the output is not understood: {error!r}") from error


def tables_by_source(text: str) -> Dict[str, int]:
    """Return the table to which cloudvip's rule for each address leads, of the output of ``ip -json -4 rule show``.

    :raises NodeError: when it is something else
    """
    try:
        rules = [rule for rule in json.loads(text) if rule["priority"] == _RULE_PRIORITY]
        # Tables that have a name are given by it, and a rule may lead to none.
        tables = [(rule["src"], str(rule.get("table"))) for rule in rules]
        return {source: int(table) for source, table in tables if table.isdigit() and int(table) in _TABLES}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NodeError(f"ip -json -4 rule show: the output is not understood: {error!r}") from error


def network_files_by_interface(text: str) -> Dict[str, str]:
    """Return the .network file of each interface in the output of ``networkctl status`` that has one."""
    found: Dict[str, str] = {}
    name = ""
    for interface, file in _LINK.findall(text):
        if interface:
            name = interface
        else:
            found[name] = file
    return found


def tables_by_mac(path: str = CONFIG_FILE) -> Dict[str, int]:
    """Return the routing table of each interface that cloudvip configures, by MAC address.

    An interface that is taken for somebody else's is configured no more, so a file that cannot be read is an error.

    :raises NodeError: when there is a file that cannot be read
    """
    try:
        with open(path, encoding="utf-8") as file:
            # Of an earlier version, it names no interfaces.
            return {entry["mac"]: entry["table"] for entry in json.load(file).get("interfaces", [])}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise NodeError(f"{path}: {error.strerror}: expected to be able to read it; root is") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NodeError(f"{path}: {error!r}: expected what the playbook wrote; restore it") from error


def _run(argv: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
            env=_ENVIRONMENT, timeout=_PROGRAM_TIMEOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise NodeError(f"{argv[0]} did not finish within {_PROGRAM_TIMEOUT:g} s") from error
    except OSError as error:
        raise NodeError(f"{argv[0]} cannot be run: {error.strerror}") from error
    return done.stdout.decode("utf-8", "replace")


def read_host(run: Run = _run, config_file: str = CONFIG_FILE) -> Host:
    """Look at the node.

    :raises NodeError: when it cannot be looked at
    """
    managers = [m for m in NETWORK_MANAGERS if run(["systemctl", "is-active", f"{m}.service"]).strip() == "active"]
    links = run(["networkctl", "--no-pager", "--all", "status"]) if NETWORKD in managers else ""
    if NETWORKD in managers and not links.strip():
        # Without it a restart of systemd-networkd would take VIPs off, and nobody would know before.
        raise NodeError("networkctl status: no output: expected what systemd-networkd, which runs, configures")
    return Host(
        interfaces=interfaces_by_mac(),
        addresses=addresses_by_interface(run(["ip", "-json", "-4", "address", "show"])),
        tables=tables_by_mac(config_file),
        rules=tables_by_source(run(["ip", "-json", "-4", "rule", "show"])),
        network_managers=managers,
        network_files=network_files_by_interface(links),
        permanent=permanent_interfaces(),
    )


def gather(metadata: Metadata, host: Host) -> Dict[str, Any]:
    """Ask the metadata service and return the ``cloudvip_vnic`` fact."""
    instance: Dict[str, Any] = metadata.get_json("instance/")
    vnics: List[Dict[str, Any]] = metadata.get_json("vnics/")
    tenancy_id = instance.get("tenantId") or tenancy_of(metadata.get("identity/cert.pem"))
    return facts(instance, vnics, tenancy_id, host)

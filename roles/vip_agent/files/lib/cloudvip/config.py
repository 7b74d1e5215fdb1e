# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's configuration, /etc/cloudvip/config.json: read, checked, and turned into the model."""

import json
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from cloudvip.model import Group, Vip

CONFIG_FILE = "/etc/cloudvip/config.json"
CHECKS_FILE = "/etc/cloudvip/checks.json"
# The routing tables of the interfaces that the node configures; nothing else may use them.
TABLES = range(7000, 8000)
_VERSION = 1
_GROUP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_ADDRESS = "an IPv4 or IPv6 address"
_OCID = re.compile(r"ocid1\.[a-z0-9]+\.\S+\Z")


class ConfigError(Exception):
    """The configuration cannot be used. The text names the key, its value and what was expected."""


class OciSettings(NamedTuple):
    """Where OCI is reached, and as which instance."""

    tenancy_id: str
    instance_id: str
    endpoint: str
    federation_endpoint: str
    ca_bundle: Optional[str]
    metadata_url: str


class VnicInterface(NamedTuple):
    """The interface of a VNIC that this node configures, as nothing else does.

    address, prefix: its primary one. gateway: the subnet's virtual router. table: its routing table.
    vips: the IPv4 addresses of the VIPs on it.
    """

    mac: str
    address: str
    prefix: int
    gateway: str
    table: int
    vips: Tuple[str, ...]
    mtu: int


class Config(NamedTuple):
    """What the playbook wrote: the cloud, the VIP groups by name, and the interfaces that this node configures.

    vrrp: the virtual router id of each group, for when keepalived decides about it.
    """

    oci: OciSettings
    groups: Dict[str, Group]
    interfaces: Tuple[VnicInterface, ...]
    vrrp: Dict[str, int]

    def group(self, name: str) -> Group:
        """The group of that name. Raises ConfigError."""
        if name not in self.groups:
            expected = ", ".join(sorted(self.groups)) or "none is configured"
            raise ConfigError(f"group {name!r} is not configured on this node; expected one of: {expected}")
        return self.groups[name]


def is_group_name(text: str) -> bool:
    """Whether a text can be a group's name. It becomes a part of a file's name, so it must not be able to leave it."""
    return bool(_GROUP_NAME.match(text))


def _is_text(value: str) -> bool:
    return bool(value)


def _is_https(value: str) -> bool:
    return value.startswith("https://")


def _is_http(value: str) -> bool:
    return value.startswith("http://")


def _is_mac(value: str) -> bool:
    return bool(_MAC.match(value))


def _is_ocid(value: str) -> bool:
    return bool(_OCID.match(value))


def _is_ipv4(value: str) -> bool:
    # Imported here: the monitor of a group that is held does not read the configuration, and runs every few seconds.
    import socket

    try:
        socket.inet_pton(socket.AF_INET, value)
    except (OSError, ValueError):
        return False
    return True


class Reader:
    """Takes checked values out of decoded JSON and knows where in the file it stands. All of it raises ConfigError."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, dict):
            raise ConfigError(f"{where}: {data!r}: expected an object")
        self._data = data
        self._where = where

    def error(self, key: str, expected: str) -> ConfigError:
        if key not in self._data:
            return ConfigError(f"{self._where}.{key}: missing; expected {expected}")
        return ConfigError(f"{self._where}.{key}: {self._data[key]!r}: expected {expected}")

    def text(self, key: str, check: Callable[[str], bool], expected: str) -> str:
        value = self._data.get(key)
        if not isinstance(value, str) or not check(value):
            raise self.error(key, expected)
        return value

    def number(self, key: str, low: int, high: int) -> int:
        value = self._data.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(key, f"a whole number from {low} to {high}")
        return value

    def optional_text(self, key: str) -> Optional[str]:
        return None if self._data.get(key) is None else self.text(key, _is_text, "a text or null")

    def texts(self, key: str, check: Callable[[str], bool], expected: str) -> Tuple[str, ...]:
        value = self._data.get(key)
        if not isinstance(value, list) or not all(isinstance(text, str) and check(text) for text in value):
            raise self.error(key, expected)
        return tuple(value)

    def object(self, key: str) -> "Reader":
        if key not in self._data:
            raise self.error(key, "an object")
        return Reader(self._data[key], f"{self._where}.{key}")

    def names(self) -> List[str]:
        return list(self._data)

    def objects(self, key: str) -> "List[Reader]":
        value = self._data.get(key)
        if not isinstance(value, list):
            raise self.error(key, "a list")
        return [Reader(item, f"{self._where}.{key}[{i}]") for i, item in enumerate(value)]


def _address(reader: Reader) -> str:
    """The address in the form that the kernel gives it, so that equal addresses are equal texts."""
    # Imported here: the monitor of a group that is held does not read the configuration, and runs every few seconds.
    import socket

    value = reader.text("address", _is_text, _ADDRESS)
    family = socket.AF_INET6 if ":" in value else socket.AF_INET
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, value))
    except (OSError, ValueError):
        raise reader.error("address", _ADDRESS) from None


def _vip(reader: Reader) -> Vip:
    address = _address(reader)
    return Vip(
        reader.text("name", _is_text, "a name"),
        address,
        reader.number("prefix", 1, 128 if ":" in address else 32),
        reader.text("interface", _is_text, "the name of an interface"),
        reader.text("mac", _is_mac, "a MAC address in lower case such as 02:00:17:aa:bb:cc"),
        reader.text("vnic_id", _is_ocid, "the OCID of a VNIC"),
        reader.text("private_ip_id", _is_ocid, "the OCID of a private IP"),
        reader.text("subnet_id", _is_ocid, "the OCID of a subnet"),
    )


def _interface(reader: Reader) -> VnicInterface:
    return VnicInterface(
        reader.text("mac", _is_mac, "a MAC address in lower case such as 02:00:17:aa:bb:cc"),
        reader.text("address", _is_ipv4, "an IPv4 address"),
        reader.number("prefix", 1, 32),
        reader.text("gateway", _is_ipv4, "an IPv4 address"),
        reader.number("table", TABLES[0], TABLES[-1]),
        reader.texts("vips", _is_ipv4, "a list of IPv4 addresses"),
        reader.number("mtu", 1280, 65535),
    )


def parse(data: Any, where: str) -> Config:
    """Turn decoded JSON into a Config. `where` names the file in messages. Raises ConfigError."""
    top = Reader(data, where)
    top.number("version", _VERSION, _VERSION)
    top.text("cloud", lambda value: value == "oci", "'oci'")
    oci = top.object("oci")
    settings = OciSettings(
        oci.text("tenancy_id", _is_ocid, "the OCID of the tenancy"),
        oci.text("instance_id", _is_ocid, "the OCID of this instance"),
        oci.text("endpoint", _is_https, "an https:// URL"),
        oci.text("federation_endpoint", _is_https, "an https:// URL"),
        oci.optional_text("ca_bundle"),
        oci.text("metadata_url", _is_http, "an http:// URL"),
    )
    groups = top.object("groups")
    parsed = {}
    for name in groups.names():
        if not is_group_name(name):
            raise ConfigError(f"{where}.groups: {name!r}: expected letters, digits, '.', '_' or '-'")
        group = groups.object(name)
        revision = group.text("revision", _is_text, "a text")
        parsed[name] = Group(name, revision, tuple(_vip(vip) for vip in group.objects("vips")))
    # A configuration written by an earlier version has none.
    interfaces = top.objects("interfaces") if "interfaces" in top.names() else []
    # A configuration written by an earlier version has none.
    routers = top.object("vrrp") if "vrrp" in top.names() else Reader({}, where)
    vrrp = {name: routers.number(name, 1, 255) for name in routers.names()}
    return Config(settings, parsed, tuple(_interface(interface) for interface in interfaces), vrrp)


def read(path: str) -> Any:
    """The decoded JSON of a file that the playbook writes. Raises ConfigError, also when there is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; the playbook writes it") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error


def load(path: str = CONFIG_FILE) -> Config:
    """Read the configuration. Raises ConfigError, also when there is none."""
    return parse(read(path), path)

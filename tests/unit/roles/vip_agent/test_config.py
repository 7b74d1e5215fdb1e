# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the node's configuration."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from cloudvip.config import ConfigError, VnicInterface, is_group_name, load, parse
from cloudvip.model import Vip

from tests.unit.roles.vip_agent.fakes import INSTANCE, POD1, POD1_V6, TENANCY

GOOD: dict[str, Any] = {
    "version": 1,
    "cloud": "oci",
    "oci": {
        "tenancy_id": TENANCY,
        "instance_id": INSTANCE,
        "endpoint": "https://iaas.lab-emu-1.ocilab.internal",
        "federation_endpoint": "https://auth.lab-emu-1.ocilab.internal/v1/x509",
        "ca_bundle": None,
        "metadata_url": "http://169.254.169.254/opc/v2",
    },
    "groups": {"main": {"revision": "0f3c2a9b71de", "vips": [POD1]}},
}


def test_a_good_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(GOOD))

    config = load(str(file))

    assert config.oci.ca_bundle is None
    assert config.group("main").vips == (Vip(**POD1),)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["version"], 2, "version: 2: expected a whole number from 1 to 1"),
        (["cloud"], "openstack", "cloud: 'openstack': expected 'oci'"),
        (["oci", "endpoint"], "http://x", "oci.endpoint: 'http://x': expected an https:// URL"),
        (["groups"], [], "groups: []: expected an object"),
        (["groups", "main", "vips"], {}, "groups.main.vips: {}: expected a list"),
        (["groups", "main", "vips", 0, "mac"], "x", "groups.main.vips[0].mac: 'x': expected a MAC address"),
        (["groups", "main", "vips", 0, "address"], "10.0.0", "vips[0].address: '10.0.0': expected an IPv4 or IPv6"),
        (["groups", "main", "vips", 0, "address"], "2001:db8::g", "address: '2001:db8::g': expected an IPv4 or IPv6"),
        (["groups", "main", "vips", 0, "address"], "10.0.0.4\0", "expected an IPv4 or IPv6 address"),
        (["groups", "main", "vips", 0, "prefix"], 33, "vips[0].prefix: 33: expected a whole number from 1 to 32"),
        (["groups", "main", "vips", 0, "subnet_id"], "", "vips[0].subnet_id: '': expected the OCID of a subnet"),
        (["groups", "main", "vips", 0, "prefix"], True, "vips[0].prefix: True: expected a whole number"),
        (["groups", "main", "vips", 0, "private_ip_id"], "known after creation", "expected the OCID of a private IP"),
        (["groups", "../x"], {"revision": "x", "vips": []}, "groups: '../x': expected letters"),
    ],
)
def test_an_error_names_the_key_the_value_and_the_expectation(path: list[Any], value: Any, message: str) -> None:
    data = copy.deepcopy(GOOD)
    target: Any = data
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value

    with pytest.raises(ConfigError) as error:
        parse(data, "config.json")

    assert message in str(error.value)


def test_what_an_earlier_version_wrote_and_nobody_needs_is_no_error() -> None:
    earlier = {**GOOD, "oci": {**GOOD["oci"], "region": "lab-emu-1"}}

    assert parse(earlier, "config.json") == parse(GOOD, "config.json")


INTERFACE: dict[str, Any] = {
    "mac": "02:00:17:00:00:07",
    "address": "10.0.2.5",
    "prefix": 28,
    "gateway": "10.0.2.1",
    "table": 7000,
    "vips": ["10.0.2.9"],
    "mtu": 9000,
}


def test_the_interfaces_that_the_node_configures() -> None:
    config = parse({**GOOD, "interfaces": [INTERFACE]}, "config.json")

    assert config.interfaces == (VnicInterface(**{**INTERFACE, "vips": ("10.0.2.9",)}),)
    assert parse(GOOD, "config.json").interfaces == ()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("mac", "02:00:17:00:00:0G", "expected a MAC address"),
        ("address", "10.0.2.5/28", "expected an IPv4 address"),
        ("gateway", "10.0.2.1; reboot", "expected an IPv4 address"),
        ("table", 254, "expected a whole number from 7000 to 7999"),
        ("vips", ["10.0.2.9", "2001:db8::4"], "expected a list of IPv4 addresses"),
        ("mtu", 90000, "expected a whole number from 1280 to 65535"),
    ],
)
def test_an_interface_that_is_not_usable(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse({**GOOD, "interfaces": [{**INTERFACE, key: value}]}, "config.json")

    assert f"config.json.interfaces[0].{key}: {value!r}: {message}" in str(error.value)


def test_a_missing_key_is_named() -> None:
    data = copy.deepcopy(GOOD)
    del data["oci"]["tenancy_id"]

    with pytest.raises(ConfigError, match=r"config\.json\.oci\.tenancy_id: missing; expected the OCID of the tenancy"):
        parse(data, "config.json")


@pytest.mark.parametrize("text", ["2001:db8::4", "2001:DB8:0:0::4", "2001:0db8:0000:0000:0000:0000:0000:0004"])
def test_an_ipv6_address_is_read_in_the_form_that_the_kernel_gives_it(text: str) -> None:
    data = copy.deepcopy(GOOD)
    data["groups"]["main"]["vips"] = [POD1, {**POD1_V6, "address": text, "prefix": 128}]

    vips = parse(data, "config.json").group("main").vips

    assert [vip.address for vip in vips] == ["10.0.0.4", "2001:db8::4"]
    assert [vip.ipv6 for vip in vips] == [False, True]
    assert vips[1].prefix == 128


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)

    with pytest.raises(ConfigError, match=r"config\.json: "):
        load(str(file))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(str(tmp_path / "none"))


def test_an_unknown_group_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'other' is not configured on this node; expected one of: main"):
        parse(GOOD, "config.json").group("other")


@pytest.mark.parametrize(
    ("name", "good"), [("main", True), ("a.b-c_1", True), ("", False), ("../x", False), ("a\n", False)]
)
def test_group_names(name: str, good: bool) -> None:
    assert is_group_name(name) is good

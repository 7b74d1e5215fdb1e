# SPDX-License-Identifier: GPL-3.0-or-later
"""Network managers that run on the nodes, each on one, as in a cloud's image: they configure the interfaces that have
VIPs, and cloudvip that of a POD whose VNIC somebody has attached. Neither spoils the other's work.
"""

from __future__ import annotations

import ipaddress
import json
import shlex
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from lab.control import Vnic
from lab.topology import METADATA_ADDRESS
from tests.lab.conftest import Asker, Lab, wait_until
from tests.lab.scene import Scene
from tests.lab.test_playbook import INVENTORY, VIPS
from tests.lab.test_pods import POD3, SUBNET, attach, configured

pytestmark = pytest.mark.long

# The VIP of POD 1, the interface that it is on, and the POD's client.
VIP, INTERFACE, CLIENT = "10.0.0.4", "ens5", "10.0.0.10"
MONITOR_SECONDS = 5
# Until a monitor has put back what is missing.
MENDED_MS = 6_000

# There is no udev in a node, and the lab configures its interfaces: after this they are known as by udev, and bare.
LINKS = """\
mkdir -p /run/udev/data
for link in /sys/class/net/*; do
  echo I:1 >/run/udev/data/n$(cat $link/ifindex)
done
for name; do
  ip address flush dev $name
  ip link set dev $name down
done
"""
LINKS_UNIT = """\
[Unit]
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target

[Service]
Type=oneshot
ExecStart=/bin/sh /usr/local/sbin/lab-links ens3 ens5 ens6

[Install]
WantedBy=sysinit.target
"""


def address(vnic: Vnic) -> str:
    return f"{vnic.address}/{ipaddress.ip_network(vnic.subnet).prefixlen}"


def keyfiles(gateway: str, *vnics: Vnic) -> dict[str, str]:
    """For NetworkManager: what is to be in which file."""
    files = {}
    for vnic in vnics:
        name = vnic.interface
        files[f"/etc/NetworkManager/system-connections/{name}.nmconnection"] = (
            f"[connection]\nid={name}\ntype=ethernet\ninterface-name={name}\n[ipv6]\nmethod=ignore\n"
            f"[ipv4]\nmethod=manual\naddress1={address(vnic)}"
            + (f",{gateway}\ndns={METADATA_ADDRESS}\n" if vnic is vnics[0] else "\n")
        )
    return files


def netplan(gateway: str, primary: Vnic, *others: Vnic) -> dict[str, str]:
    """For netplan, which has the primary interface, and for systemd-networkd, which has the others besides."""
    link = {"addresses": [address(primary)], "routes": [{"to": "default", "via": gateway}]}
    plan = {"network": {"version": 2, "ethernets": {primary.interface: link}}}
    files = {"/etc/netplan/50-cloud-init.yaml": json.dumps(plan)}
    for vnic in others:
        name = vnic.interface
        files[f"/etc/systemd/network/20-{name}.network"] = f"[Match]\nName={name}\n[Network]\nAddress={address(vnic)}\n"
    return files


def stanzas(gateway: str, *vnics: Vnic) -> dict[str, str]:
    """For ifupdown."""
    files = {}
    for vnic in vnics:
        name = vnic.interface
        files[f"/etc/network/interfaces.d/{name}"] = (
            f"auto {name}\niface {name} inet static\n  address {address(vnic)}\n"
            + (f"  gateway {gateway}\n" if vnic is vnics[0] else "")
        )
    return files


class Manager(NamedTuple):
    """A package, its service, the mode of its files, and what is in them.

    configures, leaves: commands that succeed if it has configured an interface, and if it leaves it to others.
    """

    package: str
    service: str
    mode: str
    files: Callable[..., dict[str, str]]
    configures: str
    leaves: str


MANAGERS = {
    "vr1": Manager(
        "network-manager", "NetworkManager", "0600", keyfiles,
        configures="nmcli -g GENERAL.STATE device show {} | grep -x '100 (connected)'",
        leaves="nmcli -g GENERAL.STATE device show {} | grep -x '10 (unmanaged)'",
    ),
    "vr2": Manager(
        "netplan.io", "systemd-networkd", "0644", netplan,
        configures="networkctl --no-legend list {} | grep ' configured$'",
        leaves="networkctl --no-legend list {} | grep ' unmanaged$'",
    ),
    "vr3": Manager(
        "ifupdown", "networking", "0644", stanzas, configures="ifquery --state {}", leaves="! ifquery --state {}"
    ),
}  # fmt: skip


def hand_over(lab: Lab, node: str) -> None:
    """Have a network manager configure a node's interfaces, from a boot on."""
    manager = MANAGERS[node]
    apt = "DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends"
    lab.sh(node, f"apt-get update && {apt} {manager.package}")
    vnics = lab.control.status().node(node).vnics
    gateway = str(ipaddress.ip_network(vnics[0].subnet)[1])
    files = {
        "/usr/local/sbin/lab-links": LINKS,
        "/etc/systemd/system/lab-links.service": LINKS_UNIT,
        **manager.files(gateway, *vnics),
    }
    for path, text in files.items():
        lab.sh(node, f"printf %s {shlex.quote(text)} >{path} && chmod {manager.mode} {path}")
    lab.sh(node, f"systemctl enable lab-links {manager.service}")
    reboot(lab, node)


def reboot(lab: Lab, node: str) -> None:
    """Boot a node, and wait until its network manager has configured its interfaces."""
    lab.control.nemesis("stop", node)
    lab.control.nemesis("start", node)
    look = " && ".join(MANAGERS[node].configures.format(name) for name in ("ens3", "ens5", "ens6"))
    wait_until(f"the interfaces of {node}", lambda: "all" in lab.sh(node, f"{look} && echo all", check=False), 60)


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Lab:
    """The cluster of inventory/lab with a POD, on nodes of which each has a network manager."""
    lab.up("vrouters")
    lab.reset()
    for node in MANAGERS:
        hand_over(lab, node)
    attach(lab)
    for node in MANAGERS:
        lab.sh(node, "sh /usr/local/sbin/lab-links")
    wanted = json.dumps({"cloudvip_vips": [*VIPS, POD3]})
    lab.converge(INVENTORY, "-e", wanted)
    again = lab.converge(INVENTORY, "-e", wanted)
    assert set(again.changed.values()) == {0}, again.output
    return lab


@pytest.fixture
def scene(cluster: Lab) -> Iterator[Scene]:
    with Scene(cluster) as scene:
        yield scene


def hold(scene: Scene, node: str) -> None:
    """Have the group on a node."""
    old = scene.holder
    if old != node:
        scene.move(node)
        scene.wait_for_takeover(old)
        scene.settle()
        scene.well()
    assert scene.holder == node


def wait_for_monitor(scene: Scene, node: str) -> None:
    """Wait until a monitor has been: nobody mends what is taken off now, or sees that a link is down, for a while."""
    scene.sh(node, f"ip address delete {VIP}/32 dev {INTERFACE}")
    wait_until("a monitor", lambda: VIP in scene.configured(node), 2 * MONITOR_SECONDS)


@pytest.mark.parametrize(
    ("node", "command", "most_ms"),
    [
        ("vr1", "nmcli general reload", 0),
        ("vr1", "nmcli connection reload", 0),
        ("vr1", "systemctl restart NetworkManager", 0),
        # What the connection does not list comes off, and so the VIP.
        ("vr1", f"nmcli device reapply {INTERFACE}", MENDED_MS),
        ("vr1", f"nmcli connection up {INTERFACE}", MENDED_MS),
        ("vr2", "systemctl restart systemd-networkd", 0),
        ("vr2", "networkctl reload", 0),
        # The interface's own address comes off and on again, the VIP stays. netplan writes its file anew whenever
        # systemd is reloaded, and systemd-networkd takes that for a change.
        ("vr2", "systemctl daemon-reload && networkctl reload", 1_000),
        ("vr2", f"networkctl reconfigure {INTERFACE}", 1_000),
        ("vr2", "netplan apply", 1_000),
    ],
)
def test_a_manager_that_begins_anew_moves_nothing_and_does_not_touch_the_pod(
    scene: Scene, node: str, command: str, most_ms: int
) -> None:
    hold(scene, node)
    wait_for_monitor(scene, node)
    scene.since = time.monotonic_ns()
    scene.sh(node, command)
    scene.stays(MONITOR_SECONDS + 1)
    scene.well()
    assert scene.moves() == []
    names = {ip.address: ip.display_name or ip.address for ip in scene.control.status().floating}
    outages = scene.outages(scene.since)
    assert outages.pop(names[POD3["address"]]) == 0
    assert max(outages.values()) <= most_ms, outages


def test_ifupdown_takes_the_links_down_and_the_vips_are_back_soon(scene: Scene) -> None:
    """A monitor that meets a link without a carrier has the group started anew, here or on another node."""
    hold(scene, "vr3")
    wait_for_monitor(scene, "vr3")
    scene.since = time.monotonic_ns()
    scene.sh("vr3", "systemctl restart networking")
    # A monitor comes in this time, and may have more to mend.
    time.sleep(MONITOR_SECONDS + 1)
    scene.well()
    assert max(scene.outages(scene.since).values()) <= MENDED_MS


@pytest.mark.parametrize("node", MANAGERS)
def test_a_node_that_boots_has_all_that_it_needs_to_take_over(scene: Scene, pod1: Asker, node: str) -> None:
    if scene.holder == node:
        hold(scene, scene.others[0])
    reboot(scene.lab, node)
    wait_until(f"cloudvip interfaces on {node}", lambda: configured(scene.lab, node), 60)
    scene.well()
    hold(scene, node)
    # The client is a neighbour of the node's on another interface than the one that it asks.
    assert pod1.ask(POD3["address"]) == node
    (asked,) = (v.interface for v in scene.control.status().node(node).vnics if v.subnet == SUBNET)
    scene.sh(node, MANAGERS[node].leaves.format(asked))
    (way,) = json.loads(scene.sh(node, f"ip -json route get {CLIENT} from {POD3['address']}"))
    assert way["dev"] == asked

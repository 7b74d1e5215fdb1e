# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VCN does and a bridge does not. Each of these would fail on a plain bridge."""

from __future__ import annotations

import functools
import socket
import threading
from collections.abc import Iterator

import oci
import pytest

from lab import paths
from lab.fabric import ns
from tests.lab.conftest import Asker, Lab, wait_until

VIP = "10.0.0.4"
pytestmark = pytest.mark.usefixtures("bare")


def vnic(lab: Lab, node: str) -> str:
    """The VNIC of a node in POD 1."""
    return next(v.vnic_id for v in lab.control.status().node(node).vnics if v.interface == "ens5")


@pytest.fixture
def network(lab: Lab) -> oci.core.VirtualNetworkClient:
    return lab.network()


@pytest.fixture
def vip(lab: Lab, network: oci.core.VirtualNetworkClient) -> Iterator[str]:
    """The OCID of a reserved address on vr1, configured on every node as if each believed to be the holder."""
    details = oci.core.models.CreatePrivateIpDetails(vnic_id=vnic(lab, "vr1"), ip_address=VIP, lifetime="RESERVED")
    created = network.create_private_ip(details).data
    for node in ("vr1", "vr2", "vr3"):
        lab.sh(node, f"ip address add {VIP}/32 dev ens5")
    yield created.id
    for node in ("vr1", "vr2", "vr3"):
        lab.sh(node, f"ip address del {VIP}/32 dev ens5")
    network.delete_private_ip(created.id)


def move(network: oci.core.VirtualNetworkClient, private_ip: str, vnic_id: str) -> None:
    network.update_private_ip(private_ip, oci.core.models.UpdatePrivateIpDetails(vnic_id=vnic_id))


def test_an_address_that_no_api_call_assigned_is_unreachable(lab: Lab, pod1: Asker) -> None:
    lab.sh("vr1", "ip address add 10.0.0.9/32 dev ens5")
    try:
        assert pod1.ask("10.0.0.5") == "vr1"
        assert pod1.ask("10.0.0.9") is None
    finally:
        lab.sh("vr1", "ip address del 10.0.0.9/32 dev ens5")


def test_the_api_alone_decides_who_gets_the_packets(
    lab: Lab, pod1: Asker, network: oci.core.VirtualNetworkClient, vip: str
) -> None:
    assert pod1.ask(VIP) == "vr1"
    move(network, vip, vnic(lab, "vr2"))
    assert pod1.ask(VIP) == "vr2"


@pytest.mark.usefixtures("vip")
def test_gratuitous_arp_moves_nothing(lab: Lab, pod1: Asker) -> None:
    assert pod1.ask(VIP) == "vr1"
    # An ARP announcement and an unsolicited reply for the VIP, by hand: no tool for it is in a cloud's image.
    lab.sh(
        "vr2",
        f"""python3 -c '
import socket
mac = bytes.fromhex(open("/sys/class/net/ens5/address").read().strip().replace(":", ""))
vip = socket.inet_aton("{VIP}")
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("ens5", 0))
for op in (1, 2):
    arp = bytes.fromhex("0001080006040000")[:7] + bytes([op]) + mac + vip + (bytes(6) if op == 1 else mac) + vip
    for _ in range(5):
        s.send(b"\\xff" * 6 + mac + b"\\x08\\x06" + arp)
'""",
    )
    assert [pod1.ask(VIP) for _ in range(5)] == ["vr1"] * 5


def test_a_foreign_source_is_dropped_unless_the_vnic_may_forward(
    lab: Lab, network: oci.core.VirtualNetworkClient
) -> None:
    receiver = ns.socket_in(paths.client_netns("pod1-client"), socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("0.0.0.0", 9999))
    receiver.settimeout(0.5)
    send = 'import socket; s=socket.socket(2,2); s.bind(("{0}",0)); s.sendto(b"{1}",("10.0.0.10",9999))'

    def spoof(word: str, source: str) -> bytes | None:
        lab.sh("vr1", f"python3 -c '{send.format(source, word)}'")
        try:
            return receiver.recv(100)
        except TimeoutError:
            return None

    lab.sh("vr1", "ip address add 192.0.2.7/32 dev ens5")
    update = oci.core.models.UpdateVnicDetails
    try:
        assert spoof("own", "10.0.0.5") == b"own"
        assert spoof("foreign", "192.0.2.7") is None
        network.update_vnic(vnic(lab, "vr1"), update(skip_source_dest_check=True))
        assert spoof("allowed", "192.0.2.7") == b"allowed"
    finally:
        network.update_vnic(vnic(lab, "vr1"), update(skip_source_dest_check=False))
        lab.sh("vr1", "ip address del 192.0.2.7/32 dev ens5")
        receiver.close()


def test_a_moved_address_is_delivered_to_the_new_vnic_at_once_and_never_to_both(
    lab: Lab, network: oci.core.VirtualNetworkClient, vip: str
) -> None:
    client = ns.socket_in(paths.client_netns("pod1-client"), socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(0.2)
    answers: dict[int, list[str]] = {}
    sent: list[int] = []
    done = threading.Event()

    def receive() -> None:
        while not done.is_set():
            try:
                number, host = client.recv(100).decode().split()
            except TimeoutError:
                continue
            answers.setdefault(int(number), []).append(host)

    receiver = threading.Thread(target=receive)
    receiver.start()
    number = 0
    after_move: list[tuple[int, str]] = []
    for target in ["vr2", "vr3", "vr1"] * 4:
        mover = threading.Thread(target=move, args=(network, vip, vnic(lab, target)))
        mover.start()
        while mover.is_alive():
            number += 1
            sent.append(number)
            client.sendto(str(number).encode(), (VIP, 7))
            mover.join(0.001)
        number += 1
        sent.append(number)
        client.sendto(str(number).encode(), (VIP, 7))
        after_move.append((number, target))
        wait_until("an answer to the first packet after the move", functools.partial(answers.get, number), 2)
    done.set()
    receiver.join()
    client.close()
    assert all(answers[n] == [target] for n, target in after_move)
    assert [n for n, hosts in answers.items() if len(hosts) > 1] == []
    # What the old holder was just answering is dropped: the source of its answer is no longer its own.
    assert len(sent) - len(answers) <= len(after_move)


def test_a_private_ip_that_a_rule_points_at_carries_client_to_client_traffic(
    lab: Lab, network: oci.core.VirtualNetworkClient, pod1: Asker
) -> None:
    """Routed through the holder of both PODs' addresses, by the OCID: a holder that does not forward stops it."""
    lab.reset()  # the rules of a fresh cloud are not bound to an object yet
    status = lab.control.status()
    nodes = {n.name: {v.interface: v.vnic_id for v in n.vnics} for n in status.nodes}
    details = oci.core.models.CreatePrivateIpDetails
    made = []
    lab.sh("vr3", "sysctl -w net.ipv4.ip_forward=1")
    try:
        for interface, address in (("ens5", VIP), ("ens6", "10.0.0.36")):
            network.update_vnic(nodes["vr3"][interface], oci.core.models.UpdateVnicDetails(skip_source_dest_check=True))
            made.append(network.create_private_ip(details(vnic_id=nodes["vr3"][interface], ip_address=address)).data.id)
        assert pod1.ask("10.0.0.42") == "pod2-client"
        lab.sh("vr3", "sysctl -w net.ipv4.ip_forward=0")
        assert pod1.ask("10.0.0.42") is None
    finally:
        for private_ip in made:
            network.delete_private_ip(private_ip)

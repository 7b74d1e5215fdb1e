# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with rules like those of cloud images, in namespaces of its own, and those who send it packets."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from lab.fabric import ns

ROOT = Path(__file__).parents[4]
MODULE = "ansible_collections.cloudvip.ha.plugins.modules.packet_filter"
NODE, PEER, STRANGER, FAR, FORBIDDEN = "node", "peer", "stranger", "far", "forbidden"
ADDRESSES = {
    NODE: ("192.0.2.11", "2001:db8:0:1::11"),
    PEER: ("192.0.2.12", "2001:db8:0:1::12"),
    STRANGER: ("192.0.2.99", "2001:db8:0:1::99"),
    FAR: ("198.51.100.2", "2001:db8:0:2::2"),
    # Beside the former, but the node's own rules let nobody through to it.
    FORBIDDEN: ("198.51.100.66", ""),
}
PEERS = [*ADDRESSES[PEER], "192.0.2.13"]
COROSYNC = {"protocol": "udp", "ports": "5405-5412"}
VRRP = {"protocol": "vrrp"}
# What a sender tries: of UDP its ports, else protocols by their number.
PORTS, PROTOCOLS = (5404, 5405, 5412, 5413), (112, 253)
ALL = {"udp 5405", "udp 5412", "protocol 112"}
# For the first second of a link the kernel waits whether somebody else has an IPv6 address, unless it is added with
# nodad, and finds no neighbours by IPv6, unless it knows them.
MAC = "02:00:00:00:00:0"
ISCSI, HTTP, SSH = ("169.254.0.2", 3260), 8080, 22
NOBODY = 65534

# As the images for OCI have it; what has a bearing here.
RULES_V4 = """# CLOUD_IMG: This file was created/modified by the Cloud Image build process
# iptables configuration for Oracle Cloud Infrastructure

*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [463:49013]
:InstanceServices - [0:0]
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p udp --sport 123 -j ACCEPT
-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
-A FORWARD -d 198.51.100.66/32 -j DROP
-A FORWARD -j REJECT --reject-with icmp-host-prohibited
-A OUTPUT -d 169.254.0.0/16 -j InstanceServices
-A InstanceServices -d 169.254.0.2/32 -p tcp -m owner --uid-owner 0 -m tcp --dport 3260 -m comment --comment "See the \
Oracle-Provided Images section" -j ACCEPT
-A InstanceServices -d 169.254.0.0/16 -p tcp -m tcp -j REJECT --reject-with tcp-reset
COMMIT
"""
RULES_V6 = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p ipv6-icmp -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""
NFTABLES = """#!/usr/sbin/nft -f

flush ruleset

include "/etc/nftables.d/*.nft"

table inet filter {
\tchain input {
\t\ttype filter hook input priority filter; policy drop;
\t\tct state established,related accept
\t\tmeta l4proto { icmp, ipv6-icmp } accept
\t\ttcp dport 22 accept
\t}
\tchain forward {
\t\ttype filter hook forward priority filter; policy drop;
\t\tip daddr 198.51.100.66 drop
\t}
}
"""
# A second one, in a file of its own, that refuses by a rule and not by its policy.
NFTABLES_MORE = """table ip extra {
\tchain guard {
\t\ttype filter hook input priority 10; policy accept;
\t\tct state established,related accept
\t\ttcp dport 22 accept
\t\tjump refuse
\t}
\tchain refuse {
\t\tcounter reject with icmp type host-prohibited
\t}
\tchain through {
\t\ttype filter hook forward priority 10; policy accept;
\t\tgoto refuse
\t}
}
"""
UNITS = {
    "iptables": ("netfilter-persistent.service", ""),
    "nftables": (
        "nftables.service",
        "{ path=/usr/sbin/nft ; argv[]=/usr/sbin/nft -f /etc/nftables.conf ; ignore_errors=no ; pid=0 }",
    ),
    "firewalld": ("firewalld.service", ""),
}
# Services as they would be there. Each time it is asked which engines run, and firewalld, the answer is the next two
# lines of a file, and what firewalld is.
SYSTEMCTL = """#!/bin/sh
cd {root}
case "$1" in
  show) cat units ;;
  is-active)
    head -n 2 engines; sed -i 1,2d engines
    grep -A 1 firewalld units | grep -q =active && echo active || echo inactive
    exit 3 ;;
  *) exit 1 ;;
esac
"""
_numbers = count()


class Host:
    """The node: its rules, and whose packets it gets."""

    def __init__(self, root: Path, provider: str, program: str = "nft") -> None:
        """Make its directory; `make` makes the rest.

        :param provider: by what its rules are loaded, or none
        :param program: of iptables the one that it is, nft or legacy
        """
        self.root = root
        self.provider = provider
        self.etc = root / "etc"
        self._bin = root / "bin"
        self.name = f"cvfw-{os.getpid()}-{next(_numbers)}"
        self._sockets: dict[tuple[int, str], socket.socket] = {}
        self._hidden: list[str] = []
        self._files(program)

    def _files(self, program: str) -> None:
        for directory in (self._bin, self.etc / "iptables", self.etc / "nftables.d", self.etc / "firewalld/policies"):
            directory.mkdir(parents=True)
        for name in ("alternatives", "group", "ld.so.cache", "nsswitch.conf", "passwd", "protocols"):
            source = Path("/etc", name)
            if source.is_dir():
                shutil.copytree(source, self.etc / name, symlinks=True)
            elif source.exists():
                shutil.copy(source, self.etc / name)
        unit, start = UNITS.get(self.provider, ("", ""))
        states = [f"Id={unit}\nActiveState=active\nUnitFileState=enabled\nExecStart={start}\n"] if unit else []
        (self.root / "units").write_text("\n".join([*states, "Id=other.service\nActiveState=inactive\n"]))
        self.program("systemctl", SYSTEMCTL.format(root=self.root))
        for command in ("iptables", "ip6tables"):
            for part in ("", "-save", "-restore"):
                (self._bin / (command + part)).symlink_to(f"/usr/sbin/xtables-{program}-multi")
        if self.provider == "iptables":
            (self.etc / "iptables/rules.v4").write_text(RULES_V4)
            (self.etc / "iptables/rules.v4").chmod(0o640)
            (self.etc / "iptables/rules.v6").write_text(RULES_V6)
        if self.provider == "nftables":
            # Without a newline at its end, which nft does not mind.
            (self.etc / "nftables.conf").write_text(NFTABLES.rstrip())
            (self.etc / "nftables.d/more.nft").write_text(NFTABLES_MORE)

    def program(self, name: str, text: str) -> None:
        """Put a program before those of the machine."""
        (self._bin / name).write_text(text)
        (self._bin / name).chmod(0o755)

    @contextmanager
    def make(self) -> Iterator[Host]:
        """Have the namespaces while the block runs, with the rules loaded."""
        with ExitStack() as stack:
            for part in (NODE, "near", FAR):
                stack.callback(ns.delete, f"{self.name}-{part}")
                ns.create(f"{self.name}-{part}")
            self._links()
            for key, (kind, protocol, port) in self._listened().items():
                stack.enter_context(self._listen(key, kind, protocol, port))
            stack.enter_context(self._serve(NODE, SSH))
            stack.enter_context(self._serve(FAR, HTTP))
            stack.enter_context(self._serve(FAR, ISCSI[1]))
            self.boot()
            yield self

    def _links(self) -> None:
        node, near, far = (f"{self.name}-{part}" for part in (NODE, "near", FAR))
        steps = {
            node: [
                f"link add near address {MAC}1 type veth peer name node address {MAC}2 netns {near}",
                f"link add far address {MAC}3 type veth peer name node address {MAC}4 netns {far}",
                "addr add 192.0.2.11/24 dev near",
                "addr add 2001:db8:0:1::11/64 dev near nodad",
                *(f"addr add {address} dev far" for address in ("198.51.100.1/24", "169.254.0.1/24")),
                "addr add 2001:db8:0:2::1/64 dev far nodad",
                *(f"link set {link} up" for link in ("near", "far")),
                *(f"neigh add {ADDRESSES[who][1]} lladdr {MAC}2 dev near" for who in (PEER, STRANGER)),
                f"neigh add {ADDRESSES[FAR][1]} lladdr {MAC}4 dev far",
            ],
            near: [
                *(f"addr add {ADDRESSES[who][0]}/24 dev node" for who in (PEER, STRANGER)),
                *(f"addr add {ADDRESSES[who][1]}/64 dev node nodad" for who in (PEER, STRANGER)),
                "link set node up",
                f"neigh add 2001:db8:0:1::11 lladdr {MAC}1 dev node",
                "route add default via 192.0.2.11",
                "route add default via 2001:db8:0:1::11",
            ],
            far: [
                *(f"addr add {a}/24 dev node" for a in ("198.51.100.2", "198.51.100.66", "169.254.0.2")),
                "addr add 2001:db8:0:2::2/64 dev node nodad",
                "link set node up",
                f"neigh add 2001:db8:0:2::1 lladdr {MAC}3 dev node",
                "route add default via 198.51.100.1",
                "route add default via 2001:db8:0:2::1",
            ],
        }
        for name, lines in steps.items():
            subprocess.run(["ip", "-n", name, "-batch", "-"], input="\n".join(lines), text=True, check=True)
        with ns.enter(node):
            for file in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                Path("/proc/sys/net", file).write_text("1")

    @staticmethod
    def _listened() -> dict[tuple[int, str], tuple[int, int, int]]:
        return {
            (version, name): value
            for version in (4, 6)
            for name, value in (
                *((f"udp {port}", (socket.SOCK_DGRAM, 0, port)) for port in PORTS),
                *((f"protocol {number}", (socket.SOCK_RAW, number, 0)) for number in PROTOCOLS),
            )
        }

    def _listen(self, key: tuple[int, str], kind: int, protocol: int, port: int) -> socket.socket:
        found = ns.socket_in(f"{self.name}-{NODE}", _family(key[0]), kind, protocol)
        found.bind((ADDRESSES[NODE][key[0] == 6], port))
        found.setblocking(False)
        self._sockets[key] = found
        return found

    @contextmanager
    def _serve(self, where: str, port: int) -> Iterator[None]:
        with ns.enter(f"{self.name}-{where}"):
            server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
        with server:
            yield

    def unit(self, name: str, state: str) -> None:
        """Have a service in a state."""
        text = re.sub(rf"(Id={name}\nActiveState=).*", rf"\1{state}", (self.root / "units").read_text())
        new = "" if f"Id={name}\n" in text else f"\nId={name}\nActiveState={state}\n"
        (self.root / "units").write_text(text + new)

    def hide(self, *programs: str) -> None:
        """Be without programs of the machine."""
        self._hidden += programs

    def run(self, *argv: str, stdin: str = "", check: bool = True) -> str:
        """What a program says on the node, with the node's /etc."""
        # Nobody may execute a device.
        mounts = [(self.etc, "/etc"), *(("/dev/null", os.path.realpath(program)) for program in self._hidden)]
        mount = " && ".join(f"mount --bind {source} {target}" for source, target in mounts)
        done = subprocess.run(
            [
                *("nsenter", f"--net=/run/netns/{self.name}-{NODE}"),
                *("unshare", "--mount", "--propagation", "private"),
                *("sh", "-c", f'{mount} && exec "$@"', "sh", *argv),
            ],
            env={**os.environ, "PATH": f"{self._bin}:/usr/sbin:/usr/bin:/sbin:/bin"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=ROOT / "collections",
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def boot(self) -> None:
        """Load the rules as the services do at boot."""
        if self.provider == "iptables":
            self.run("iptables-restore", "/etc/iptables/rules.v4")
            self.run("ip6tables-restore", "/etc/iptables/rules.v6")
        if self.provider == "nftables":
            self.run("nft", "-f", "/etc/nftables.conf")

    def rules(self) -> str:
        """All rules, without their counters."""
        if self.provider == "nftables":
            return stable(self.run("nft", "list", "ruleset"))
        return stable(self.run("iptables-save") + self.run("ip6tables-save"))

    def files(self) -> dict[str, bytes]:
        """Every file below /etc that rules are loaded from."""
        names = ("iptables", "nftables.conf", "nftables.d", "cloudvip", "firewalld")
        found = (path for name in names for path in (self.etc / name, *(self.etc / name).rglob("*")))
        return {str(path.relative_to(self.etc)): path.read_bytes() for path in found if path.is_file()}

    def filter(self, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """What the module answers: with no options, to be let in are the peers to all that engines need."""
        wanted = {"peers": PEERS, "services": [COROSYNC, VRRP], "forward": True, **options}
        arguments = {"ANSIBLE_MODULE_ARGS": {**wanted, "_ansible_check_mode": check}}
        said = self.run(sys.executable, "-W", "ignore", "-m", MODULE, stdin=json.dumps(arguments), check=False)
        answer: dict[str, Any] = json.loads(said)
        return answer

    def play(
        self, *plays: str, engines: str = "", check: bool = False, good: bool = True, **variables: Any
    ) -> tuple[list[int], str]:
        """Play task files of the role; how much each play has changed, and what was printed.

        :param plays: the names of task files, with a space between those of one play
        :param good: whether all is to go well
        :param engines: which run each time that is asked; none if it is asked more often
        """
        answers = [*engines.split(), *["inactive"] * 8]
        (self.root / "engines").write_text("".join(f"{answer}\n" for answer in answers))
        addresses = dict(zip((NODE, "v4", "v6"), (ADDRESSES[NODE][0], *ADDRESSES[PEER]), strict=True))
        model = {"engine": "pacemaker", "router": True, "nodes": list(addresses), "addresses": addresses}
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        variables = {"cloudvip_model": {**model, **variables.pop("model", {})}, **here, **variables}
        play = {"hosts": "all", "gather_facts": False, "vars": variables}
        tasks = [
            [{"include_role": {"name": "cloudvip.ha.firewall", "tasks_from": entry}} for entry in names.split()]
            for names in plays
        ]
        (self.root / "play.yml").write_text(json.dumps([{**play, "tasks": entries} for entries in tasks]))
        printed = self.run(
            *("env", f"ANSIBLE_CONFIG={ROOT / 'ansible.cfg'}", "ANSIBLE_NOCOLOR=1", f"HOME={self.root}"),
            *(str(Path(sys.executable).with_name("ansible-playbook")), str(self.root / "play.yml"), "-i", f"{NODE},"),
            *(("--check", "--diff") if check else ()),
            check=good,
        )
        assert good == ("failed=0" in printed), printed
        return [text.count("\nchanged:") for text in printed.split("PLAY [all]")[1:]], printed

    def send(self, who: str, what: str, version: int, text: str) -> None:
        """Send one packet to the node."""
        kind, protocol, port = self._listened()[version, what]
        with ns.socket_in(f"{self.name}-near", _family(version), kind, protocol) as sender:
            sender.bind((ADDRESSES[who][version == 6], 0))
            sender.sendto(text.encode(), (ADDRESSES[NODE][version == 6], port))

    def received(self) -> Iterator[tuple[int, str, str]]:
        """What has arrived: the version of IP, what it was sent to, and its text."""
        for (version, what), receiver in self._sockets.items():
            while True:
                try:
                    data = receiver.recv(2048)
                except BlockingIOError:
                    break
                header = 20 if version == 4 and what.startswith("protocol") else 0
                yield version, what, data[header:].decode()

    def heard(self) -> dict[str, set[str]]:
        """What the peer and the stranger get through to, the same by IPv4 and IPv6. SSH they must get through to."""
        for version, what in self._sockets:
            for who in (STRANGER, PEER):
                self.send(who, what, version, who)
        for version in (4, 6):
            for who in (STRANGER, PEER):
                # By the time the answer is here, all that was sent before has arrived.
                assert self.connects(who, NODE, SSH, version)
        arrived = list(self.received())
        found = {version: {(who, what) for v, what, who in arrived if v == version} for version in (4, 6)}
        assert found[4] == found[6]
        return {name: {what for who, what in found[4] if who == name} for name in (PEER, STRANGER)}

    def connects(self, who: str, where: str, port: int, version: int) -> bool:
        """Whether there is a TCP connection."""
        with ns.socket_in(f"{self.name}-near", _family(version), socket.SOCK_STREAM) as client:
            client.bind((ADDRESSES[who][version == 6], 0))
            return _connects(client, (ADDRESSES[where][version == 6], port))

    def forwards(self) -> set[int]:
        """By which versions of IP the node forwards what comes from a stranger."""
        return {version for version in (4, 6) if self.connects(STRANGER, FAR, HTTP, version)}

    def reaches_its_volumes(self, user: int) -> bool:
        """Whether a user of the node gets through to where the cloud has its volumes."""
        with socket_of(user, f"{self.name}-{NODE}") as client:
            return _connects(client, ISCSI)


def stable(listed: str) -> str:
    """What programs say of rules, without times and counters."""
    return re.sub(r"^#.*\n|\[\d+:\d+]|packets \d+ bytes \d+", "", listed, flags=re.MULTILINE)


def _family(version: int) -> int:
    return socket.AF_INET6 if version == 6 else socket.AF_INET


def socket_of(user: int, netns: str | Path) -> socket.socket:
    """A socket for TCP that belongs to `netns`, and to a user as a firewall sees it: by who has opened it."""
    with ns.enter(netns):
        os.seteuid(user)
        try:
            return socket.socket()
        finally:
            os.seteuid(0)


def _connects(client: socket.socket, address: tuple[str, int]) -> bool:
    client.settimeout(0.5)
    try:
        client.connect(address)
    except OSError:
        return False
    return True

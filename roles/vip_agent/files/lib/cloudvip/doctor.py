# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a takeover would work, and what to do if not: everything that one needs, tried without moving anything."""

import enum
import ipaddress
import json
import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from cloudvip import checks
from cloudvip.clock import Deadline
from cloudvip.config import Config, ConfigError
from cloudvip.errors import CloudError, ErrorKind
from cloudvip.interfaces import Interfaces, differences
from cloudvip.lookup import REFRESH_SECONDS, Api, Holder, path_of, refresh_token, within
from cloudvip.metadata import Metadata
from cloudvip.model import Truth, Vip
from cloudvip.mover import Mover
from cloudvip.netdev import Interface, NetdevError, find
from cloudvip.status import duration
from cloudvip.transport import Response

# Limits, in seconds: for all that one look asks the API, and for the metadata service.
_SECONDS = 20.0
_METADATA_SECONDS = 10.0
# Between two looks.
_PAUSE = 3.0
_IPV4 = "/proc/sys/net/ipv4/"
_PLAYBOOK = "run the playbook again"
_MOVE = ("VNIC_ASSIGN", "VNIC_UNASSIGN")
# By Oracle's policy reference for the core services. UpdateIpv6 needs those of _MOVE only for a move.
_NEEDED: Dict[str, Tuple[str, ...]] = {
    "ListPrivateIps": ("PRIVATE_IP_READ",),
    "GetPrivateIp": ("PRIVATE_IP_READ",),
    "UpdatePrivateIp": ("PRIVATE_IP_UPDATE", *_MOVE),
    "ListIpv6s": ("IPV6_READ", "SUBNET_READ"),
    "GetIpv6": ("IPV6_READ",),
    "UpdateIpv6": ("IPV6_UPDATE", *_MOVE),
    "GetVnic": ("VNIC_READ",),
}
_REFUSED = (
    "a policy has to say the next line. A new policy or dynamic group takes up to some minutes to work, a changed "
    "matching rule up to an hour. Is this instance in the group, and the compartment that of the VIPs and VNICs?\n"
)


class Level(enum.Enum):
    """FAILURE: a takeover, or the forwarding after it, would not work. WARNING: it would, but something is odd."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Finding(NamedTuple):
    """One thing that doctor looked at.

    remedy: what to do about it; empty if all is well. temporary: it may go away by itself. operation: the call that
    was refused. permissions: at least one of these it lacks.
    """

    level: Level
    subject: str
    text: str
    remedy: str = ""
    temporary: bool = False
    operation: str = ""
    permissions: Tuple[str, ...] = ()


def doctor(mover: Mover, wait: float = 0.0) -> List[Finding]:
    """All findings, in the order in which a person would look.

    wait: for how many seconds to look again while there are failures that may go away by themselves, and no other ones.
    What is returned is the last look that was not cut short.
    """
    deadline = Deadline(mover.clock, wait or math.inf)
    began = mover.clock.monotonic()
    findings = _look(mover, deadline)
    while wait and _may_become_well(findings):
        took = mover.clock.monotonic() - began
        if deadline.remaining() < _PAUSE + max(_PAUSE, took):
            break
        mover.clock.sleep(_PAUSE)
        began = mover.clock.monotonic()
        latest = _look(mover, deadline)
        # One that was cut short says less than the one before it.
        if deadline.remaining() > 0:
            findings = latest
    return findings


def _may_become_well(findings: List[Finding]) -> bool:
    failures = [finding for finding in findings if finding.level is Level.FAILURE]
    return bool(failures) and all(finding.temporary for finding in failures)


def _look(mover: Mover, deadline: Deadline) -> List[Finding]:
    try:
        config = mover.config()
    except ConfigError as error:
        return [Finding(Level.FAILURE, "configuration", str(error), _PLAYBOOK)]
    return _Examination(mover, config, deadline).findings


def statement(permissions: Sequence[str], compartment_id: str = "") -> str:
    """The policy statement that allows it, with placeholders for what this node does not know."""
    # A tenancy's root compartment has the tenancy's OCID, and the policy language another word for it.
    root = compartment_id.startswith("ocid1.tenancy.")
    scope = "tenancy" if root else f"compartment id {compartment_id or '<compartment>'}"
    return f"allow dynamic-group <group> to {{{', '.join(permissions)}}} in {scope}"


def _answer(
    api: Api, operation: str, method: str, target: str, body: Any = None, if_match: str = ""
) -> Union[Response, CloudError]:
    try:
        return api.call(operation, method, target, body, if_match)
    except CloudError as error:
        return error


def _sysctl(name: str) -> str:
    try:
        with open(_IPV4 + name, encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


class _Examination:
    def __init__(self, mover: Mover, config: Config, deadline: Deadline) -> None:
        self.findings: List[Finding] = []
        self._deadline = deadline
        self._mover = mover
        self._config = config
        self._vips = [vip for group in config.groups.values() for vip in group.vips]
        # One VIP for each VNIC, and one for each kind of object in each subnet, stand for the others there.
        self._vnics: Dict[str, Vip] = {}
        self._places: Dict[Tuple[bool, str], Vip] = {}
        for vip in self._vips:
            self._vnics.setdefault(vip.vnic_id, vip)
            self._places.setdefault((vip.ipv6, vip.subnet_id), vip)
        groups, vips = len(config.groups), len(self._vips)
        self._ok("configuration", f"{groups} group{'s' * (groups != 1)}, {vips} VIP{'s' * (vips != 1)}")
        vnics = self._metadata(config)
        interfaces = self._interfaces(vnics)
        self._configured(config)
        self._checks()
        if self._token(config):
            api = Api(mover, config.oci, self._at_most(_SECONDS))
            held = api.holders(self._vips)
            for vip in self._places.values():
                self._permissions(api, vip, held[vip.address])
            self._clock(api)
            self._forwarding(api)
        else:
            unasked = Holder(Truth.UNKNOWN, None, "without a token the cloud cannot be asked")
            held = {vip.address: unasked for vip in self._vips}
        self._holders(config, held)
        self._stale(config, interfaces, vnics)

    def _at_most(self, seconds: float) -> float:
        return max(0.0, min(seconds, self._deadline.remaining()))

    def _ok(self, subject: str, text: str) -> None:
        self.findings.append(Finding(Level.OK, subject, text))

    def _warn(self, subject: str, text: str, remedy: str) -> None:
        self.findings.append(Finding(Level.WARNING, subject, text, remedy))

    def _fail(self, subject: str, text: str, remedy: str, temporary: bool = False) -> None:
        self.findings.append(Finding(Level.FAILURE, subject, text, remedy, temporary))

    def _refused(self, operation: str, text: str, lacking: Sequence[str] = (), compartment_id: str = "") -> None:
        """lacking: at least one of these, if that is known to be only a part of what the operation needs."""
        needed = _NEEDED[operation]
        permissions = tuple(lacking) or needed
        text += f"; it needs {', '.join(needed)}"
        if permissions != needed:
            text += f", of which it lacks {' or '.join(permissions)}"
        remedy = _REFUSED + statement(needed, compartment_id)
        self.findings.append(Finding(Level.FAILURE, operation, text, remedy, True, operation, permissions))

    def _unreachable(self, operation: str, text: str, temporary: bool = True) -> None:
        self._fail(operation, text, f"does {self._config.oci.endpoint} answer this node at all?", temporary)

    def _failed(
        self, operation: str, address: str, error: CloudError, lacking: Sequence[str] = (), compartment_id: str = ""
    ) -> None:
        if error.kind is ErrorKind.PERMISSION:
            self._refused(operation, f"{address}: {error}", lacking, compartment_id)
        else:
            self._unreachable(operation, f"{address}: {error}", error.kind is not ErrorKind.FATAL)

    def _metadata(self, config: Config) -> Optional[Dict[str, Any]]:
        """This node's VNICs by their OCID, as the metadata service knows them; None if it cannot be asked."""
        url, subject = config.oci.metadata_url, "metadata service"
        try:
            service = Metadata(url)
            limit = self._at_most(_METADATA_SECONDS)
            instance, listed = within(limit, lambda: (service.get("instance/id"), service.get("vnics/")))
            vnics = {vnic["vnicId"]: vnic for vnic in json.loads(listed)}
        except (CloudError, KeyError, TypeError, ValueError) as error:
            remedy = f"as root, curl -H 'Authorization: Bearer Oracle' {url}/instance/id has to print this instance's"
            remedy += " OCID: look at the route and the firewall, not at proxies"
            self._fail(subject, str(error), remedy, temporary=True)
            return None
        if instance != config.oci.instance_id:
            text = f"this is instance {instance}, the configuration is that of {config.oci.instance_id}"
            self._fail(subject, text, _PLAYBOOK)
        else:
            self._ok(subject, "answers for this instance")
        return vnics

    def _interfaces(self, vnics: Optional[Dict[str, Any]]) -> List[Interface]:
        try:
            interfaces = self._mover.netdev.read()
        except NetdevError as error:
            self._fail("interfaces", str(error), "install iproute2")
            return []
        for vip in self._vnics.values():
            before = len(self.findings)
            interface = find(interfaces, vip)
            name = interface.name if interface else vip.interface
            if vnics is not None:
                self._vnic(name, vip, vnics.get(vip.vnic_id))
            if interface is None:
                self._fail(name, f"no interface has the MAC address {vip.mac}", f"attach the VNIC, or {_PLAYBOOK}")
                continue
            if not interface.carrier:
                self._fail(name, "no carrier", f"ip link set {name} up; look at the VNIC's attachment")
            if name != vip.interface:
                self._warn(name, f"was called {vip.interface} when it was configured", _PLAYBOOK)
            # The kernel takes the higher one.
            if max(_sysctl(f"conf/{scope}/rp_filter") for scope in ("all", name)) == "1":
                text = "strict reverse-path check: what arrives here and is answered through another is dropped"
                key = f"net.ipv4.conf.{name.replace('.', '/')}.rp_filter"
                self._warn(name, text, f"sysctl -w {key}=2, and the same in /etc/sysctl.d")
            if len(self.findings) == before:
                self._ok(name, f"has {vip.mac}, a carrier and no strict reverse-path check")
        return interfaces

    def _configured(self, config: Config) -> None:
        """Whether the interfaces that this node configures have their address, table and rules."""
        if not config.interfaces:
            return
        subject = "own interfaces"
        try:
            wrong = differences(config.interfaces, Interfaces(self._mover.clock).read())
        except NetdevError as error:
            wrong = [str(error)]
        for text in wrong:
            self._fail(subject, text, "cloudvip interfaces apply")
        if not wrong:
            tables = ", ".join(str(interface.table) for interface in config.interfaces)
            self._ok(subject, f"have their addresses, rules and tables ({tables})")

    def _checks(self) -> None:
        try:
            configured = checks.load(self._mover.checks_file)
        except ConfigError as error:
            self._fail("health checks", str(error), _PLAYBOOK)
            return
        reasons = checks.failing(configured, self._at_most(_SECONDS))
        for name, reason in reasons.items():
            # No failure: a takeover would work as soon as what it is for does, and that may come after the playbook.
            remedy = f"cloudvip check {name}; until it passes, this node holds no group"
            self._warn(f"check {name}", reason, remedy)
        if configured and not reasons:
            self._ok("health checks", "all pass")

    def _vnic(self, name: str, vip: Vip, vnic: Optional[Dict[str, Any]]) -> None:
        """Whether a VNIC is this instance's, with the MAC address and the subnet that its VIPs need."""
        if vnic is None:
            self._fail(name, f"{vip.vnic_id} is not a VNIC of this instance", f"attach it, or {_PLAYBOOK}")
            return
        mac = str(vnic.get("macAddr", "")).lower()
        if mac != vip.mac:
            self._fail(name, f"{vip.vnic_id} has the MAC address {mac}, in the configuration {vip.mac}", _PLAYBOOK)
        for ours in self._vips:
            cidr = vnic.get("ipv6SubnetCidrBlock" if ours.ipv6 else "subnetCidrBlock")
            if ours.vnic_id != vip.vnic_id or not cidr:
                continue
            if ipaddress.ip_address(ours.address) not in ipaddress.ip_network(cidr):
                text = f"{ours.address} is not in the VNIC's subnet {cidr}, so the API will not move it here"
                self._fail(name, text, "correct the VIP's address or interface in the inventory")

    def _token(self, config: Config) -> bool:
        """Whether there is one to sign with."""
        # A token that was issued before the instance was in its dynamic group is refused for as long as it lives.
        problem, temporary = "", False
        try:
            refresh_token(self._mover, config.oci, self._vips, self._at_most(REFRESH_SECONDS))
        except CloudError as error:
            problem, temporary = str(error), error.kind is not ErrorKind.FATAL
        credential = Api(self._mover, config.oci, 0).session.cached()
        left = credential.expires - self._mover.clock.now() if credential else 0.0
        if not problem:
            self._ok("token", f"renewed, {duration(left)} left")
            return True
        remedy = "is the federation endpoint reachable, the clock right, the metadata service in order?"
        state = f"the present one has {duration(left)} left" if left > 0 else "and there is none that lives"
        self._fail("token", f"cannot be renewed, {state}: {problem}", remedy, temporary)
        return left > 0

    def _permissions(self, api: Api, vip: Vip, holder: Holder) -> None:
        """Try every operation of a takeover on one VIP, the writes in such a way that they change nothing."""
        kind, address, target = "Ipv6" if vip.ipv6 else "PrivateIp", vip.address, path_of(vip.ipv6)
        listing, reading, writing = f"List{kind}s", "Get" + kind, "Update" + kind
        if holder.truth is Truth.UNKNOWN and not holder.refused:
            self._unreachable(listing, f"subnet of {address}: {holder.detail}")
            return
        target += "/" + vip.private_ip_id
        read = _answer(api, reading, "GET", target)
        if holder.refused:
            known = () if isinstance(read, CloudError) else _NEEDED[reading]
            lacking = [permission for permission in _NEEDED[listing] if permission not in known]
            self._refused(listing, f"subnet of {address}: {holder.detail}", lacking)
        else:
            self._ok(listing, f"allowed in the subnet of {address}")
        if isinstance(read, CloudError):
            if holder.detail and not holder.refused:
                self._fail(reading, f"{address}: {read}", _PLAYBOOK)
            else:
                self._failed(reading, address, read)
            return
        try:
            found = read.json()
            # Where the service reserves no private IPs, they have no lifetime.
            harmless = "lifetime" if "lifetime" in found else "displayName"
            vnic_id, as_it_is = found["vnicId"], {harmless: found[harmless]}
            compartment_id = str(found["compartmentId"])
        except (CloudError, KeyError, TypeError):
            self._unreachable(reading, f"{address}: the answer is not a private IP")
            return
        self._ok(reading, f"allowed for {address}")
        # It names the VNIC that has the VIP already, and if another node takes the VIP over at this very moment, the
        # etag is no longer the object's and the request is refused.
        etag = read.headers.get("etag") or "none"
        write = _answer(api, writing, "PUT", target, {"vnicId": vnic_id} if vnic_id else as_it_is, etag)
        if not isinstance(write, CloudError) or write.kind is ErrorKind.CONFLICT:
            untried = f"; {' and '.join(_MOVE)} can only be tried while a VNIC has it" * (vip.ipv6 and not vnic_id)
            self._ok(writing, f"allowed for {address} (it was left where it is{untried})")
            return
        part: Tuple[str, ...] = ()
        if vip.ipv6 and write.kind is ErrorKind.PERMISSION:
            alone = _answer(api, writing, "PUT", target, as_it_is, etag) if vnic_id else write
            if not isinstance(alone, CloudError):
                part = _MOVE
            elif alone.kind is ErrorKind.PERMISSION:
                part = ("IPV6_UPDATE",)
        self._failed(writing, address, write, part, compartment_id)

    def _clock(self, api: Api) -> None:
        if not api.skew:
            self._ok("clock", "within a minute of the API's")
            return
        side = "behind" if api.skew > 0 else "ahead of"
        text = f"{duration(abs(api.skew))} {side} the API's; signatures are corrected for it"
        self._warn("clock", text, "synchronise it: chronyc tracking, timedatectl")

    def _forwarding(self, api: Api) -> None:
        if _sysctl("ip_forward") != "1":
            return
        for vnic_id, vip in self._vnics.items():
            subject = f"source/destination check of {vip.interface}"
            try:
                checked = not api.call("GetVnic", "GET", "vnics/" + vnic_id).json()["skipSourceDestCheck"]
            except (CloudError, KeyError, TypeError) as error:
                if isinstance(error, CloudError) and error.kind is ErrorKind.PERMISSION:
                    self._refused("GetVnic", f"{subject}: {error}")
                else:
                    self._warn(subject, f"cannot be read: {error}", "look at the VNIC in the console")
                continue
            if checked:
                text = "is on, so the cloud drops what this node forwards"
                self._warn(subject, text, f"set skipSourceDestCheck of {vnic_id}, as the playbook does for routers")
            else:
                self._ok(subject, "is off, this node may forward")

    def _holders(self, config: Config, held: Dict[str, Holder]) -> None:
        for name, group in config.groups.items():
            claim = self._mover.state.claim(name)
            claimed = {vip.address for vip in claim.vips} if claim and claim.complete else set()
            for vip in group.vips:
                holder, subject = held[vip.address], "holder of " + vip.address
                mine = vip.address in claimed
                if holder.truth is Truth.UNKNOWN:
                    text = f"cannot be read, so any other node or instance may have it: {holder.detail}"
                    self._warn(subject, text, "see the findings above")
                elif holder.detail:
                    self._fail(subject, holder.detail, _PLAYBOOK)
                elif mine is (holder.truth is Truth.HERE):
                    here = "this node" if mine else holder.vnic_id or "no VNIC"
                    self._ok(subject, here)
                elif mine:
                    text = f"{holder.vnic_id or 'no VNIC'}, although this node has claimed it"
                    self._warn(subject, text, f"cloudvip audit {name}; what does the cluster say?")
                else:
                    text = "this node, which has not claimed it and does not serve it"
                    self._warn(subject, text, f"what does the cluster say? by hand: cloudvip claim {name}")

    def _stale(self, config: Config, interfaces: List[Interface], vnics: Optional[Dict[str, Any]]) -> None:
        names = sorted({*config.groups, *self._mover.state.claimed_groups()})
        claims = [claim for claim in map(self._mover.state.claim, names) if claim]
        for claim in claims:
            if claim.group not in config.groups:
                text = "is claimed by this node, but no longer configured"
                self._warn("group " + claim.group, text, f"{_PLAYBOOK}; by hand: cloudvip release {claim.group}")
        covered = {vip.address for claim in claims for vip in claim.vips}
        configured = {vip.address: name for name, group in config.groups.items() for vip in group.vips}
        primary = {str(vnic.get("privateIp")) for vnic in (vnics or {}).values()}
        ours = {interface.name for interface in interfaces if any(find([interface], v) for v in self._vnics.values())}
        found = False
        for interface in interfaces:
            for address, prefixes in interface.addresses.items():
                # The mover puts every address on as a /32, and nothing else on these interfaces does.
                foreign = 32 in prefixes and interface.name in ours and address not in primary
                if address not in covered and (address in configured or foreign):
                    group = configured.get(address)
                    remedy = f"cloudvip release {group}" if group else f"ip address delete {address}/{prefixes[0]} dev "
                    text = f"is on {interface.name}, but no claim of this node covers it"
                    self._warn("stale " + address, text, remedy if group else remedy + interface.name)
                    found = True
        if interfaces and not found:
            self._ok("addresses", "none on the interfaces that is not claimed")

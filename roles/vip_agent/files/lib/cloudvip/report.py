# SPDX-License-Identifier: GPL-3.0-or-later
"""What people and the playbook ask: status and doctor. Looks, changes nothing."""

import contextlib
import enum
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from cloudvip.clock import Deadline
from cloudvip.cloud import Location
from cloudvip.config import Config, ConfigError
from cloudvip.errors import CloudError, ErrorKind
from cloudvip.model import Claim, Group, Link, Truth, Vip
from cloudvip.mover import Mover, sightings
from cloudvip.netdev import Interface, NetdevError, find
from cloudvip.oci import Oci, PrivateIp

_STATUS_SECONDS = 20.0


class Level(enum.Enum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Finding(NamedTuple):
    """One thing that doctor looked at. remedy: what to do about it; empty if all is well."""

    level: Level
    subject: str
    text: str
    remedy: str = ""


def status(mover: Mover) -> Dict[str, Any]:
    """Everything that is known about this node's groups, as JSON-ready data. Raises ConfigError, NetdevError."""
    config = mover.config()
    interfaces = mover.netdev.read()
    deadline = Deadline(mover.clock, _STATUS_SECONDS)
    client = Oci(config.oci, mover.state, mover.clock)
    credential = client.session.cached()
    left = None if credential is None else round(credential.expires - mover.clock.now())
    groups = {
        name: _group_status(group, mover.state.claim(name), interfaces, client, deadline)
        for name, group in sorted(config.groups.items())
    }
    return {"instance_id": config.oci.instance_id, "token_seconds_left": left, "groups": groups}


def _group_status(
    group: Group, claim: Optional[Claim], interfaces: List[Interface], client: Oci, deadline: Deadline
) -> Dict[str, Any]:
    seen = sightings(group, claim, interfaces)
    located = client.locate([s.vip for s in seen], deadline)
    return {
        "claimed": claim is not None and claim.complete,
        "revision": group.revision,
        "claimed_revision": claim.revision if claim and claim.complete else None,
        "vips": [
            {
                "name": s.vip.name,
                "address": s.vip.address,
                "interface": s.vip.interface,
                "wanted": s.wanted,
                "claimed": s.claimed,
                "claimed_at": claim.since.get(s.vip.address) if claim else None,
                "pending": claim.pending.get(s.vip.address) if claim else None,
                "local": s.local.value,
                "link": s.link.value,
                **_cloud_status(s.vip, located[s.vip.address], client, deadline),
            }
            for s in seen
        ],
    }


def _cloud_status(vip: Vip, location: Location, client: Oci, deadline: Deadline) -> Dict[str, Any]:
    truth, detail, owner = location.truth, location.detail, None
    if truth is Truth.HERE:
        owner = vip.vnic_id
    if truth is Truth.ELSEWHERE:
        try:
            owner = client.owner(vip, deadline)
        except CloudError as error:
            detail = str(error)
    return {"cloud": truth.value, "cloud_vnic_id": owner, "detail": detail}


def table(data: Dict[str, Any]) -> str:
    """status() for people."""
    heads = ("GROUP", "VIP", "ADDRESS", "INTERFACE", "CLAIMED", "CLOUD", "LOCAL", "LINK", "NOTE")
    rows = [heads]
    for name, group in data["groups"].items():
        for vip in group["vips"]:
            note = vip["pending"] or vip["detail"] or ("" if vip["wanted"] else "no longer configured")
            claimed = "yes" if vip["claimed"] else "no"
            shown = (vip["name"], vip["address"], vip["interface"], claimed, vip["cloud"], vip["local"], vip["link"])
            rows.append((name, *shown, note))
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    left = data["token_seconds_left"]
    lines.append("token: {}".format("none" if left is None else f"{left} s left"))
    return "\n".join(lines)


def doctor(mover: Mover) -> List[Finding]:
    """Look at everything that a takeover will need, from the configuration to the permission to read each object."""
    try:
        config = mover.config()
    except ConfigError as error:
        return [Finding(Level.FAILURE, "configuration", str(error), "run the playbook again")]
    findings = [Finding(Level.OK, "configuration", f"{len(config.groups)} groups")]
    vips = [vip for group in config.groups.values() for vip in group.vips]
    findings += _interface_findings(mover, vips)
    return findings + _cloud_findings(mover, config, vips)


def _interface_findings(mover: Mover, vips: List[Vip]) -> List[Finding]:
    try:
        interfaces = mover.netdev.read()
    except NetdevError as error:
        return [Finding(Level.FAILURE, "interfaces", str(error), "install iproute2")]
    findings = []
    for mac, name in sorted({(vip.mac, vip.interface) for vip in vips}):
        interface = find(interfaces, next(vip for vip in vips if vip.mac == mac))
        if interface is None:
            remedy = "attach the VNIC, or run the playbook again if the node was rebuilt"
            findings.append(Finding(Level.FAILURE, name, f"{Link.MISSING.value} has the MAC {mac}", remedy))
        elif not interface.carrier:
            findings.append(Finding(Level.FAILURE, interface.name, Link.NO_CARRIER.value, "ip link set up, VNIC state"))
        elif interface.name != name:
            text = f"was called {name} when it was configured"
            findings.append(Finding(Level.WARNING, interface.name, text, "run the playbook again"))
        else:
            findings.append(Finding(Level.OK, name, f"carrier, MAC {mac}"))
    return findings


def _cloud_findings(mover: Mover, config: Config, vips: List[Vip]) -> List[Finding]:
    deadline = Deadline(mover.clock, _STATUS_SECONDS)
    client = Oci(config.oci, mover.state, mover.clock)
    try:
        credential = client.session.credential()
    except CloudError as error:
        remedy = "metadata service reachable by the primary VNIC? federation endpoint reachable? clock right?"
        return [Finding(Level.FAILURE, "token", str(error), remedy)]
    findings = [Finding(Level.OK, "token", f"{credential.expires - mover.clock.now():.0f} s left")]
    reads = [_read(client, vip, deadline) for vip in vips]
    if any(problem and problem.kind is ErrorKind.PERMISSION for _, problem in reads):
        # A token keeps the dynamic groups that the node was in when it was issued: a refusal counts with a new one.
        with contextlib.suppress(CloudError):
            client.session.replace(credential)
            reads = [_read(client, vip, deadline) for vip in vips]
    for vip, (found, problem) in zip(vips, reads):
        subject = "read " + vip.address
        if found is None:
            findings.append(Finding(Level.FAILURE, subject, str(problem), "check the policy and the dynamic group"))
        elif found.address != vip.address:
            text = f"{vip.private_ip_id} is the object of {found.address}"
            findings.append(Finding(Level.FAILURE, subject, text, "run the playbook again"))
        else:
            findings.append(Finding(Level.OK, subject, "allowed"))
    for address, location in client.locate(vips, deadline).items():
        if location.truth is Truth.UNKNOWN:
            findings.append(Finding(Level.FAILURE, "list " + address, location.detail, "check the policy"))
    return findings


def _read(client: Oci, vip: Vip, deadline: Deadline) -> Tuple[Optional[PrivateIp], Optional[CloudError]]:
    try:
        return client.private_ip(vip.private_ip_id, deadline), None
    except CloudError as error:
        return None, error

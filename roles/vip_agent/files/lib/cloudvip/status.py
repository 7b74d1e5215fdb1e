# SPDX-License-Identifier: GPL-3.0-or-later
"""What people and the playbook ask most: where every VIP is. Looks, changes nothing."""

from typing import Any, Dict, List, Optional, Tuple

from cloudvip import checks
from cloudvip.lookup import Api, Holder
from cloudvip.model import Claim, Group, Link, Sighting, Truth
from cloudvip.mover import Mover, sightings
from cloudvip.netdev import NetdevError

# How long the cloud may take to answer before its part of the picture is "unknown".
_SECONDS = 5.0


def status(mover: Mover) -> Dict[str, Any]:
    """Everything that is known about this node's groups, as JSON-ready data. Raises ConfigError."""
    config = mover.config()
    problem = ""
    try:
        interfaces = mover.netdev.read()
    except NetdevError as error:
        interfaces, problem = None, str(error)
    api = Api(mover, config.oci, _SECONDS)
    names = sorted({*config.groups, *mover.state.claimed_groups()})
    claims = {name: mover.state.claim(name) for name in names}
    seen = {name: sightings(config.groups.get(name), claims[name], interfaces) for name in names}
    held = api.holders([s.vip for group in seen.values() for s in group])
    credential = api.session.cached()
    now = mover.clock.now()
    return {
        "instance_id": config.oci.instance_id,
        "token_age_seconds": None if credential is None else round(now - credential.issued),
        "token_seconds_left": None if credential is None else round(credential.expires - now),
        "clock_skew_seconds": round(api.skew),
        "failing_checks": checks.failing(checks.load(mover.checks_file)),
        "interfaces_problem": problem,
        "groups": {
            name: {
                **_group(config.groups.get(name), claims[name]),
                "audit": _audit(mover, name, now),
                "vips": [_vip(s, claims[name], held[s.vip.address], now) for s in group],
            }
            for name, group in seen.items()
        },
    }


def _group(group: Optional[Group], claim: Optional[Claim]) -> Dict[str, Any]:
    held = claim is not None and claim.complete
    return {
        "claimed": held,
        "revision": group.revision if group else None,
        "claimed_revision": claim.revision if claim and held else None,
    }


def _audit(mover: Mover, name: str, now: float) -> Optional[Dict[str, Any]]:
    """What the last audit said, None if there was none since the group was claimed."""
    found = mover.state.read("audit-" + name)
    if not found or not isinstance(found.get("at"), (int, float)):
        return None
    return {"age_seconds": round(now - found["at"]), "problem": str(found.get("problem", ""))}


def _vip(seen: Sighting, claim: Optional[Claim], holder: Holder, now: float) -> Dict[str, Any]:
    vip = seen.vip
    since = claim.since.get(vip.address) if claim else None
    return {
        "name": vip.name,
        "address": vip.address,
        "interface": vip.interface,
        "wanted": seen.wanted,
        "claimed": seen.claimed,
        "claimed_at": since,
        "claimed_seconds_ago": None if since is None else round(now - since),
        "pending": claim.pending.get(vip.address) if claim else None,
        "local": seen.local.value,
        "link": seen.link.value,
        "cloud": holder.truth.value,
        "cloud_vnic_id": holder.vnic_id,
        "detail": holder.detail,
    }


def verdict(group: Dict[str, Any]) -> Tuple[List[str], List[str]]:
    """What does not agree with this node's claim in one group of status(), and what is unknown."""
    wrong, unknown = [], []
    for vip in group["vips"]:
        address, interface = vip["address"], vip["interface"]
        if vip["local"] == Truth.UNKNOWN.value:
            unknown.append(f"{address}: the interfaces cannot be read")
        elif vip["claimed"] and vip["local"] == Truth.ELSEWHERE.value:
            wrong.append(f"{address} is claimed, but not on {interface}")
        elif not vip["claimed"] and vip["local"] == Truth.HERE.value:
            wrong.append(f"{address} is on {interface}, but not claimed")
        if vip["claimed"] and vip["link"] == Link.NO_CARRIER.value:
            wrong.append(f"{address} is claimed, but {interface} has no carrier")
        if vip["cloud"] == Truth.UNKNOWN.value:
            unknown.append(f"{address}: {vip['detail']}")
        elif vip["claimed"] and vip["cloud"] == Truth.ELSEWHERE.value:
            wrong.append(f"{address} is claimed, but {_note(vip)}")
        elif not vip["claimed"] and vip["cloud"] == Truth.HERE.value:
            wrong.append(f"{address} is delivered here by the cloud, but not claimed")
        if vip["pending"]:
            wrong.append(f"{address} is pending: {vip['pending']}")
    return wrong, unknown


def duration(seconds: float) -> str:
    """A length of time in the one unit that a person would use."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _note(vip: Dict[str, Any]) -> str:
    if vip["pending"]:
        return str(vip["pending"])
    if vip["detail"] and vip["cloud"] != Truth.UNKNOWN.value:
        return str(vip["detail"])
    if vip["cloud"] == Truth.ELSEWHERE.value:
        return f"held by {vip['cloud_vnic_id']}" if vip["cloud_vnic_id"] else "held by nobody"
    return "" if vip["wanted"] else "no longer configured"


def table(data: Dict[str, Any]) -> str:
    """status() for people."""
    rows = [("GROUP", "VIP", "ADDRESS", "INTERFACE", "WANTED", "CLAIMED", "CLOUD", "LOCAL", "LINK", "NOTE")]
    lines: List[str] = []
    for name, group in data["groups"].items():
        for vip in group["vips"]:
            age = vip["claimed_seconds_ago"]
            claimed = "no" if not vip["claimed"] else "yes" if age is None else f"{duration(age)} ago"
            wanted = "yes" if vip["wanted"] else "no"
            known = (vip["name"], vip["address"], vip["interface"], wanted, claimed)
            rows.append((name, *known, vip["cloud"], vip["local"], vip["link"], _note(vip)))
            unknown = f"cloud: unknown: {vip['detail']}"
            if vip["cloud"] == Truth.UNKNOWN.value and unknown not in lines:
                lines.append(unknown)
    if data["interfaces_problem"]:
        lines.append(f"interfaces: unknown: {data['interfaces_problem']}")
    for name, group in data["groups"].items():
        audit = group["audit"]
        if audit:
            age, problem = duration(audit["age_seconds"]), audit["problem"] or "all as it should be"
            lines.append(f"audit of {name}: {age} ago: {problem}")
        elif group["claimed"]:
            lines.append(f"audit of {name}: none since it was claimed")
    lines += [f"check {name} fails: {reason}" for name, reason in data["failing_checks"].items()]
    age, left = data["token_age_seconds"], data["token_seconds_left"]
    lines.append("token: none" if left is None else f"token: {duration(age)} old, {duration(left)} left")
    skew = data["clock_skew_seconds"]
    if skew:
        side = "behind" if skew > 0 else "ahead of"
        lines.append(f"clock: {duration(abs(skew))} {side} the cloud's, which is corrected for; is time synchronised?")
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    cells = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join(cells + lines)

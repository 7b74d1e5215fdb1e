# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `cloudvip`, for people, the playbook and the timer."""

import argparse
import contextlib
import json
import math
import os
import re
from typing import TYPE_CHECKING, Callable, Sequence, TextIO

from cloudvip import VERSION
from cloudvip.config import CHECKS_FILE, ConfigError, is_group_name
from cloudvip.errors import CloudError
from cloudvip.model import Outcome

# keepalived starts `cloudvip check` for each check every few seconds, and the mover with all that belongs to it takes
# longer to load than all the rest. So each of the other commands imports for itself what it needs.
if TYPE_CHECKING:
    from cloudvip.mover import Mover, Result

_CLAIM_SECONDS = 60.0
_ADOPT_SECONDS = 20.0
# For an interface to appear, at boot.
_INTERFACES_SECONDS = 30.0

_EXIT = """exit status:
  0  all is well, or done
  1  it is not, or it failed; the reason is printed
  2  wrong usage
  3  audit: the cloud could not be asked, so nothing is known to be wrong

The cluster decides where a group is. `claim` and `release` are for a node whose cluster does not, or does not run.
"""
_MANAGED = """cloudvip: the cluster manages group {0} as resource {1} and does not learn of this.
  {2}
  To move the group for good: crm_resource --move --resource {1} --node NODE (--clear undoes the constraint).
"""
_ELECTED = """cloudvip: keepalived decides where group {0} is, and the master takes it back within half a minute.
  To move the group: systemctl restart keepalived, on the master. A node that is not has to release what it has claimed.
"""
_AFTER_CLAIM = (
    "Unless it runs here already, the node where it runs lets go at its next audit, and the cluster starts it on a "
    "node of its choice."
)
_AFTER_RELEASE = "If it runs here, the next monitor finds it gone, and the cluster starts it on a node of its choice."
_PLAYBOOK = "cloudvip: the playbook writes the configuration; run it\n"


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of seconds")
    return seconds


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    text = "Virtual IP addresses of this node."
    parser = argparse.ArgumentParser(prog="cloudvip", description=text, epilog=_EXIT, formatter_class=raw)
    parser.add_argument("--version", action="version", version="cloudvip " + VERSION)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, text in (
        ("status", "what is configured, claimed, on the interfaces and in the cloud"),
        ("doctor", "whether a takeover would work, and what to do if not; renews the token, moves nothing"),
    ):
        command = commands.add_parser(name, help=text, description=text, epilog=_EXIT, formatter_class=raw)
        command.add_argument("--json", action="store_true", help="print JSON")
        if name == "doctor":
            text = "look again for that long while something fails that may go away by itself, such as a new policy"
            command.add_argument("--wait", type=_seconds, default=0.0, metavar="SECONDS", help=text)
    for name, text in (
        ("audit", "whether the interfaces and the cloud agree with what this node has claimed; repairs nothing"),
        ("claim", "move a group here"),
        ("release", "take a group's addresses off this node's interfaces; never touches the cloud"),
    ):
        command = commands.add_parser(name, help=text, description=text, epilog=_EXIT, formatter_class=raw)
        command.add_argument("group", metavar="GROUP", nargs="?" if name == "audit" else None)
    text = "whether the health checks pass on this node; needs no root"
    command = commands.add_parser("check", help=text, description=text, epilog=_EXIT, formatter_class=raw)
    command.add_argument("name", metavar="NAME", nargs="?")
    text = "pass if there is no such check: whoever asks may not know yet that it was taken away"
    command.add_argument("--optional", action="store_true", help=text)
    text = "claim every group that this node serves already without a claim; moves nothing"
    commands.add_parser("adopt", help=text, description=text, epilog=_EXIT, formatter_class=raw)
    text = "the interfaces of VNICs that this node configures: whether they are as they should be"
    command = commands.add_parser("interfaces", help=text, description=text, epilog=_EXIT, formatter_class=raw)
    text = "make them so; touches only what differs, and no VIP"
    command.add_argument("action", metavar="apply", nargs="?", choices=("apply",), help=text)
    text = "take up a changed configuration of what this node holds"
    command = commands.add_parser("apply", help=text, description=text, epilog=_EXIT, formatter_class=raw)
    command.add_argument("group", metavar="GROUP", nargs="?")
    text = "keep each group where keepalived says; a service does this"
    commands.add_parser("vrrp", help=text, description=text, formatter_class=raw)
    text = "hold what is held for so long although keepalived ends: another engine takes it over"
    command = commands.add_parser("handover", help=text, description=text, epilog=_EXIT, formatter_class=raw)
    command.add_argument("seconds", type=_seconds, metavar="SECONDS")
    token = commands.add_parser("token", help="the token that a takeover signs with").add_subparsers(
        dest="token_command", metavar="COMMAND"
    )
    refresh = token.add_parser("refresh", help="get a new token and keep it if it works")
    refresh.add_argument("--due", action="store_true", help="only if half of the present one's life is over")
    token.add_parser("show", help="how long the token lives; never the token itself")
    return parser


def _mover() -> "Mover":
    from cloudvip.mover import Mover

    return Mover()


def main(argv: Sequence[str], output: TextIO, errors: TextIO, make_mover: "Callable[[], Mover]" = _mover) -> int:
    """Run one command and return the exit status, see --help."""
    parser = _parser()
    options = parser.parse_args(list(argv[1:]))
    if options.command is None or (options.command == "token" and options.token_command is None):
        parser.print_usage(errors)
        return 2
    if options.command == "check":
        return _check(options, output, errors)
    if os.geteuid() != 0:
        errors.write("cloudvip: this needs root\n")
        return 1
    from cloudvip.netdev import NetdevError
    from cloudvip.status import status, table

    mover = make_mover()
    try:
        if options.command == "token":
            return _token(mover, options, output)
        if options.command == "doctor":
            return _doctor(mover, options, output)
        if options.command == "adopt":
            adopted = [name for name in mover.config().groups if mover.adopt(name, _ADOPT_SECONDS)]
            output.write("".join(f"{name}: adopted\n" for name in adopted))
            return 0
        if options.command == "interfaces":
            return _interfaces(mover, options, output)
        if options.command == "apply":
            return _apply(mover, options, output, errors)
        if options.command == "vrrp":
            from cloudvip.vrrp import Consumer

            Consumer(mover).run()
        if options.command == "handover":
            from cloudvip.vrrp import handover

            handover(mover, options.seconds)
            return 0
        if options.command == "audit":
            return _audit(mover, options, output)
        if options.command == "status":
            data = status(mover)
            output.write((json.dumps(data, indent=2) if options.json else table(data)) + "\n")
            return 0
        # What was claimed can be released without a configuration, but a mistyped name must not look like a success.
        if not is_group_name(options.group) or not mover.state.claim(options.group):
            mover.config().group(options.group)
        if options.command == "claim":
            _warn(options.group, _AFTER_CLAIM, errors)
            return _finish(mover.claim(options.group, _CLAIM_SECONDS), errors)
        _warn(options.group, _AFTER_RELEASE, errors)
        return _finish(mover.release(options.group), errors)
    except ConfigError as error:
        errors.write(f"cloudvip: {error}\n{_PLAYBOOK}")
        return 1
    except (CloudError, NetdevError, OSError) as error:
        errors.write(f"cloudvip: {error}\n")
        return 1


def _check(options: argparse.Namespace, output: TextIO, errors: TextIO) -> int:
    from cloudvip.checks import failing, load

    name = options.name
    try:
        checks = {check.name: check for check in load(CHECKS_FILE)}
    except ConfigError as error:
        errors.write(f"cloudvip: {error}\n{_PLAYBOOK}")
        return 1
    if name and name not in checks:
        if options.optional:
            return 0
        expected = ", ".join(checks) or "none is configured"
        errors.write(f"cloudvip: check {name!r} is not configured on this node; expected one of: {expected}\n")
        return 2
    reasons = failing([checks[name]] if name else checks.values())
    output.write("".join(f"{check}: {reason}\n" for check, reason in reasons.items()))
    return 1 if reasons else 0


def _warn(group: str, consequence: str, errors: TextIO) -> None:
    """Say what follows if the cluster manages the group. A node without Pacemaker, or with it down, has no such."""
    from cloudvip import process

    having = f"instance_attributes/nvpair[@name='group' and @value='{group}']"
    query = ["cibadmin", "--query", "--xpath", f"//primitive[@provider='cloudvip' and {having}]"]
    try:
        found = re.search(rb"<primitive\b[^>]*\sid=\"([^\"]+)\"", process.run(query, timeout=5.0))
    except process.ProcessError:
        found = None
    if found:
        errors.write(_MANAGED.format(group, found.group(1).decode("utf-8", "replace"), consequence))
        return
    with contextlib.suppress(process.ProcessError):
        process.run(["systemctl", "is-active", "--quiet", "cloudvip-vrrp.service"], timeout=5.0)
        errors.write(_ELECTED.format(group))


def _finish(result: "Result", errors: TextIO) -> int:
    if result.outcome is Outcome.SUCCESS:
        return 0
    errors.write(f"cloudvip: {result.reason}\n")
    return 1


def _apply(mover: "Mover", options: argparse.Namespace, output: TextIO, errors: TextIO) -> int:
    config = mover.config()
    if options.group:
        config.group(options.group)
    codes = [0]
    for name in [options.group] if options.group else sorted(config.groups):
        claim = mover.state.claim(name)
        if claim and claim.complete and (claim.pending or claim.revision != config.groups[name].revision):
            codes.append(_finish(mover.apply(name, _CLAIM_SECONDS), errors))
            output.write(f"{name}: taken up\n")
    return max(codes)


def _audit(mover: "Mover", options: argparse.Namespace, output: TextIO) -> int:
    if options.group:
        mover.config().group(options.group)
    from cloudvip.status import status, verdict

    groups = status(mover)["groups"]
    codes = set()
    for name in [options.group] if options.group else groups:
        wrong, unknown = verdict(groups[name])
        codes.add(1 if wrong else 3 if unknown else 0)
        held = "held by this node" if groups[name]["claimed"] else "not held by this node"
        lines = wrong + [f"unknown: {text}" for text in unknown] or [f"as it should be, {held}"]
        output.write("".join(f"{name}: {line}\n" for line in lines))
    # What is known to be wrong weighs more than what is not known.
    return 1 if 1 in codes else max(codes, default=0)


def _doctor(mover: "Mover", options: argparse.Namespace, output: TextIO) -> int:
    from cloudvip.doctor import Level, doctor

    findings = doctor(mover, options.wait)
    if options.json:
        output.write(json.dumps([dict(f._asdict(), level=f.level.value) for f in findings], indent=2) + "\n")
    else:
        for finding in findings:
            output.write(f"{finding.level.value:8}{finding.subject}: {finding.text}\n")
            if finding.remedy:
                remedy = finding.remedy.replace("\n", f"\n{'':11}")
                output.write(f"{'':8}-> {remedy}\n")
    return 1 if any(finding.level is Level.FAILURE for finding in findings) else 0


def _interfaces(mover: "Mover", options: argparse.Namespace, output: TextIO) -> int:
    from cloudvip.interfaces import Interfaces, differences

    desired = mover.config().interfaces
    interfaces = Interfaces(mover.clock)
    if options.action == "apply":
        output.write("".join(f"ip {line}\n" for line in interfaces.apply(desired, _INTERFACES_SECONDS)))
        return 0
    current = interfaces.read()
    for interface in desired:
        link = current.link(interface.mac)
        name, vips = link.name if link else interface.mac, ", ".join(interface.vips)
        output.write(f"{name}: {interface.address}/{interface.prefix}, table {interface.table}, VIPs {vips}\n")
    wrong = differences(desired, current)
    output.write("".join(f"{text}\n" for text in wrong))
    return 1 if wrong else 0


def _token(mover: "Mover", options: argparse.Namespace, output: TextIO) -> int:
    from cloudvip.lookup import Api, refresh_token
    from cloudvip.status import duration

    config = mover.config()
    session = Api(mover, config.oci, 0.0).session
    if options.token_command == "refresh":
        if options.due and not session.due():
            return 0
        refresh_token(mover, config.oci, [vip for group in config.groups.values() for vip in group.vips])
        mover.log.info("token: refreshed")
    credential = session.cached()
    if credential is None:
        output.write("no token\n")
        return 1
    now = mover.clock.now()
    output.write(f"{duration(now - credential.issued)} old, {duration(credential.expires - now)} left\n")
    return 0 if credential.expires > now else 1

# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `cloudvip`, for people, the playbook and the timer."""

import argparse
import json
import os
from typing import Callable, Sequence, TextIO

from cloudvip import VERSION
from cloudvip.clock import Deadline
from cloudvip.config import ConfigError
from cloudvip.errors import CloudError
from cloudvip.model import Outcome
from cloudvip.mover import Mover, Result
from cloudvip.netdev import NetdevError
from cloudvip.oci import Oci
from cloudvip.report import Level, doctor, status, table

_CLAIM_SECONDS = 60.0
_REFRESH_SECONDS = 20.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cloudvip", description="Virtual IP addresses of this node.", add_help=True)
    parser.add_argument("--version", action="version", version="cloudvip " + VERSION)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, text in (
        ("status", "what is configured, claimed, on the interfaces and in the cloud"),
        ("audit", "the same, and exit with 1 if they disagree"),
        ("doctor", "whether a takeover would work, and what to do if not"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--json", action="store_true", help="print JSON")
    for name, text in (
        ("claim", "move a group here; a cluster that manages the group will put it back where it wants it"),
        ("release", "take a group's addresses off this node's interfaces; never touches the cloud"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("group", metavar="GROUP")
    token = commands.add_parser("token", help="the token that a takeover signs with").add_subparsers(
        dest="token_command", metavar="COMMAND"
    )
    refresh = token.add_parser("refresh", help="get a new token and keep it if it works")
    refresh.add_argument("--due", action="store_true", help="only if half of the present one's life is over")
    token.add_parser("show", help="how long the token lives; never the token itself")
    return parser


def main(argv: Sequence[str], output: TextIO, errors: TextIO, make_mover: Callable[[], Mover] = Mover) -> int:
    """Run one command and return the exit status: 0 all is well, 1 it is not, 2 wrong usage."""
    parser = _parser()
    options = parser.parse_args(list(argv[1:]))
    if options.command is None or (options.command == "token" and options.token_command is None):
        parser.print_usage(errors)
        return 2
    if os.geteuid() != 0:
        errors.write("cloudvip: this needs root\n")
        return 1
    mover = make_mover()
    try:
        if options.command == "token":
            return _token(mover, options, output)
        if options.command == "doctor":
            return _doctor(mover, options, output)
        if options.command in ("status", "audit"):
            return _status(mover, options, output)
        if options.command == "claim":
            return _finish(mover.claim(options.group, _CLAIM_SECONDS), errors)
        return _finish(mover.release(options.group), errors)
    except (ConfigError, CloudError, NetdevError) as error:
        errors.write(f"cloudvip: {error}\n")
        return 1


def _finish(result: Result, errors: TextIO) -> int:
    if result.outcome is Outcome.SUCCESS:
        return 0
    errors.write(f"cloudvip: {result.reason}\n")
    return 1


def _status(mover: Mover, options: argparse.Namespace, output: TextIO) -> int:
    data = status(mover)
    output.write((json.dumps(data, indent=2) if options.json else table(data)) + "\n")
    if options.command == "status":
        return 0
    agree = all(
        vip["cloud"] == vip["local"] == ("here" if vip["claimed"] else "elsewhere") and not vip["pending"]
        for group in data["groups"].values()
        for vip in group["vips"]
    )
    return 0 if agree else 1


def _doctor(mover: Mover, options: argparse.Namespace, output: TextIO) -> int:
    findings = doctor(mover)
    if options.json:
        output.write(json.dumps([dict(f._asdict(), level=f.level.value) for f in findings], indent=2) + "\n")
    else:
        for finding in findings:
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            output.write(f"{finding.level.value:8}{finding.subject}: {finding.text}{remedy}\n")
    return 1 if any(finding.level is Level.FAILURE for finding in findings) else 0


def _token(mover: Mover, options: argparse.Namespace, output: TextIO) -> int:
    config = mover.config()
    client = Oci(config.oci, mover.state, mover.clock)
    if options.token_command == "refresh":
        if options.due and not client.session.due():
            return 0
        vnic_ids = [vip.vnic_id for group in config.groups.values() for vip in group.vips]
        deadline = Deadline(mover.clock, _REFRESH_SECONDS)
        client.session.refresh(lambda fresh: not vnic_ids or client.accepts(fresh, vnic_ids[0], deadline))
        client.remember_address()
        mover.log.info("token: refreshed")
    credential = client.session.cached()
    if credential is None:
        output.write("no token\n")
        return 1
    now = mover.clock.now()
    output.write(f"age {now - credential.issued:.0f} s, {credential.expires - now:.0f} s left\n")
    return 0

# SPDX-License-Identifier: GPL-3.0-or-later
"""The OCF resource agent ocf:cloudvip:vips. The only place where results become OCF return codes."""

import os
from typing import Callable, Dict, Iterable, Mapping, Sequence, TextIO

from cloudvip import VERSION, process
from cloudvip.config import ConfigError, is_group_name
from cloudvip.model import Operation, Outcome
from cloudvip.mover import Mover, Result
from cloudvip.state import FAILURES, State

OCF_SUCCESS = 0
OCF_ERR_GENERIC = 1
OCF_ERR_ARGS = 2
OCF_ERR_UNIMPLEMENTED = 3
OCF_NOT_RUNNING = 7

_CODES = {
    Outcome.SUCCESS: OCF_SUCCESS,
    Outcome.NOT_RUNNING: OCF_NOT_RUNNING,
    # Never ERR_CONFIGURED or ERR_INSTALLED: those block the resource until a person cleans up, and everything that can
    # be wrong here can also become right by itself.
    Outcome.FAILED: OCF_ERR_GENERIC,
}

# Seconds that are left for cleaning up and reporting when the work has taken all the time there is.
_MARGIN = 4.0

# The DTD that ocf-tester holds against it is older than OCF 1.1, which the internal subset makes up for.
METADATA = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd" [
  <!ATTLIST parameter unique-group CDATA #IMPLIED reloadable (0|1) #IMPLIED>
  <!ATTLIST action name CDATA #REQUIRED>
]>
<resource-agent name="vips" version="{version}">
  <version>1.1</version>
  <longdesc lang="en">
Serves one group of virtual IP addresses on a cloud instance. A start has the cloud deliver every address of the group
to this node and puts the addresses on its interfaces; a stop takes them off the interfaces and never touches the cloud.
The addresses are listed in /etc/cloudvip/config.json.
  </longdesc>
  <shortdesc lang="en">Moves a group of virtual IP addresses in a cloud</shortdesc>
  <parameters>
    <parameter name="group" unique="1" unique-group="group" required="1">
      <longdesc lang="en">The name of the group in /etc/cloudvip/config.json.</longdesc>
      <shortdesc lang="en">VIP group</shortdesc>
      <content type="string"/>
    </parameter>
    <parameter name="revision" unique="0" required="0" reloadable="1">
      <longdesc lang="en">
A fingerprint of the group's addresses. Changing it has the holder take up an added or removed address by a reload.
      </longdesc>
      <shortdesc lang="en">Fingerprint of the group's addresses</shortdesc>
      <content type="string" default=""/>
    </parameter>
  </parameters>
  <actions>
    <action name="start" timeout="60s"/>
    <action name="stop" timeout="20s"/>
    <action name="monitor" timeout="20s" interval="5s" depth="0"/>
    <action name="monitor" timeout="30s" interval="60s" depth="10"/>
    <action name="reload" timeout="60s"/>
    <action name="reload-agent" timeout="60s"/>
    <action name="validate-all" timeout="20s"/>
    <action name="meta-data" timeout="5s"/>
  </actions>
</resource-agent>
"""


def main(
    argv: Sequence[str],
    environment: Mapping[str, str],
    output: TextIO,
    errors: TextIO,
    make_mover: Callable[[], Mover] = Mover,
) -> int:
    """Run one action and return its OCF code.

    argv: the program's name and the action. environment: OCF_RESKEY_group, OCF_RESKEY_CRM_meta_timeout (milliseconds)
    and OCF_CHECK_LEVEL. errors: where a reason for a failure goes in the form that the cluster shows to people.
    """
    action = argv[1] if len(argv) == 2 else ""
    if action == "meta-data":
        output.write(METADATA.format(version=VERSION))
        return OCF_SUCCESS
    handlers: Dict[str, Callable[[Mover, str, Mapping[str, str]], Result]] = {
        "start": _start,
        "stop": lambda mover, group, _: mover.release(group),
        "monitor": _monitor,
        "reload": lambda mover, group, env: mover.apply(group, _seconds(env, 60)),
        "reload-agent": lambda mover, group, env: mover.apply(group, _seconds(env, 60)),
        "validate-all": _validate,
    }
    if action not in handlers:
        _explain(errors, "unknown action {!r}; expected one of: {}, meta-data".format(action, ", ".join(handlers)))
        return OCF_ERR_UNIMPLEMENTED
    group = environment.get("OCF_RESKEY_group", "")
    if not is_group_name(group):
        _explain(errors, f"parameter group: {group!r}: expected the name of a VIP group")
        return OCF_ERR_ARGS
    result = handlers[action](make_mover(), group, environment)
    if result.outcome is not Outcome.SUCCESS and result.reason:
        _explain(errors, result.reason)
    return _CODES[result.outcome]


def _start(mover: Mover, group: str, environment: Mapping[str, str]) -> Result:
    seconds = _seconds(environment, 60)
    if os.path.exists(mover.checks_file):
        # Imported here, as in _watch(): a node without checks is not to wait for it.
        from cloudvip.checks import failing, load

        began = mover.clock.monotonic()
        try:
            problem = _words(failing(load(mover.checks_file), seconds / 2))
        except ConfigError as error:
            problem = str(error)
        if problem:
            # Nothing has been touched: the cluster tries the next node at once.
            mover.log.decision(Operation.CLAIM.value, group, Outcome.FAILED.name.lower(), problem=problem)
            return Result(Outcome.FAILED, problem)
        seconds -= mover.clock.monotonic() - began
    return mover.claim(group, seconds, _split)


def _monitor(mover: Mover, group: str, environment: Mapping[str, str]) -> Result:
    # A probe, or a person: only those that the cluster repeats may act on what they see.
    recurring = environment.get("OCF_RESKEY_CRM_meta_interval", "0") not in ("", "0")
    if environment.get("OCF_CHECK_LEVEL", "0") not in ("", "0"):
        return mover.audit(group, _seconds(environment, 30), recurring, _split)
    result = mover.monitor(group, recurring)
    if recurring and result.outcome is Outcome.SUCCESS and os.path.exists(mover.checks_file):
        return _watch(mover, group, _seconds(environment, 20))
    return result


def _watch(mover: Mover, group: str, seconds: float) -> Result:
    """Run the checks of a node that serves the group, to see whether one has failed too often in a row."""
    from cloudvip.checks import failing, load

    try:
        checks = load(mover.checks_file)
        reasons = failing(checks, seconds)
        counts = _count(mover.state, group, reasons)
    except (ConfigError, OSError) as error:
        # What is not known to be wrong moves nothing.
        mover.log.warning(f"monitor {group}: the checks are not known to pass: {error}")
        return Result(Outcome.SUCCESS)
    fallen = any(counts.get(check.name, 0) >= check.fall for check in checks)
    outcome = Outcome.FAILED if fallen else Outcome.SUCCESS
    problem = _words({f"{name}, failure {counts[name]} in a row": reason for name, reason in reasons.items()})
    if problem:
        mover.log.decision(Operation.MONITOR.value, group, outcome.name.lower(), problem=problem)
    return Result(outcome, problem)


def _count(state: State, group: str, names: Iterable[str]) -> Dict[str, int]:
    """How often in a row each of these checks has failed by now. All others have passed. Raises OSError."""
    before = state.read(FAILURES + group) or {}
    counts = {name: before.get(name, 0) + 1 for name in names}
    if counts:
        state.write(FAILURES + group, counts)
    elif before:
        state.remove(FAILURES + group)
    return counts


def _words(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"check {name}: {reason}" for name, reason in reasons.items())


def _split() -> str:
    """The nodes of the cluster that this one cannot see. Empty as well if the cluster's manager does not answer."""
    try:
        nodes = process.run(["crm_node", "--list"], timeout=5.0).decode("utf-8", "replace")
    except process.ProcessError:
        return ""
    # A node a line: its number, its name and `member` or `lost`.
    words = [line.split() for line in nodes.splitlines()]
    return ", ".join(sorted(w[1] for w in words if len(w) == 3 and w[2] != "member"))


def _validate(mover: Mover, group: str, environment: Mapping[str, str]) -> Result:
    del environment
    try:
        mover.config().group(group)
    except ConfigError as error:
        return Result(Outcome.FAILED, str(error))
    return Result(Outcome.SUCCESS)


def _seconds(environment: Mapping[str, str], default: float) -> float:
    """How long an action may work: what the cluster allows, less what reporting the result takes."""
    try:
        allowed = float(environment["OCF_RESKEY_CRM_meta_timeout"]) / 1000
    except (KeyError, ValueError):
        allowed = default
    return max(allowed - _MARGIN, allowed / 2)


def _explain(errors: TextIO, reason: str) -> None:
    # The cluster takes the one line with this prefix as the reason that it shows in its status.
    errors.write("ocf-exit-reason:{}\n".format(reason.replace("\n", " ")))

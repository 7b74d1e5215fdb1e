# SPDX-License-Identifier: GPL-3.0-or-later
"""The OCF resource agent ocf:cloudvip:vips. The only place where results become OCF return codes."""

from typing import Callable, Dict, Mapping, Sequence, TextIO

from cloudvip import VERSION, process
from cloudvip.config import ConfigError, is_group_name
from cloudvip.model import Outcome
from cloudvip.mover import Mover, Result

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
        "start": lambda mover, group, env: mover.claim(group, _seconds(env, 60), _split),
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


def _monitor(mover: Mover, group: str, environment: Mapping[str, str]) -> Result:
    # A probe, or a person: only those that the cluster repeats may act on what they see.
    recurring = environment.get("OCF_RESKEY_CRM_meta_interval", "0") not in ("", "0")
    if environment.get("OCF_CHECK_LEVEL", "0") in ("", "0"):
        return mover.monitor(group, recurring)
    return mover.audit(group, _seconds(environment, 30), recurring, _split)


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

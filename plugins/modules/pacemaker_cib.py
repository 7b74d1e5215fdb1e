#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module pacemaker_cib; see DOCUMENTATION."""

DOCUMENTATION = r"""
module: pacemaker_cib
short_description: Bring a Pacemaker cluster's configuration to a wanted state in one transaction
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Fetches the cluster's configuration (CIB), works out the wanted one, has it checked, and applies the difference
    as one patch. The cluster sees all changes at once, or none.
  - Touches only what the options name. When nothing differs, nothing is written.
  - Runs on one node of the cluster, as root.
  - Afterwards waits until the cluster has done what the change asks for, and fails when a resource is not as it should
    be.
  - Fails when the check finds errors that the configuration has not had before. Warnings that are new are passed on.
  - Warns of a cluster in maintenance mode and of O(resources) that are unmanaged.
requirements:
  - "Pacemaker's command-line tools: C(cibadmin), C(crm_verify), C(crm_diff), C(crm_mon), C(crm_resource) and
    C(crm_attribute)"
attributes:
  check_mode:
    description:
      - Predicts the change without writing or waiting.
      - Where the tools are missing or the cluster does not run, the configuration counts as empty.
    support: full
  diff_mode:
    description: Shows the named parts of the configuration before and after, as text.
    support: full
options:
  properties:
    description: Cluster properties to set, by name. Others stay.
    type: dict
    default: {}
  resource_defaults:
    description: Defaults of resources' meta attributes to set, by name. Others stay.
    type: dict
    default: {}
  resources:
    description: Primitive resources.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: Id of the resource.
        type: str
        required: true
      state:
        description: Whether the resource exists. V(absent) removes the constraints that name it, too.
        type: str
        choices: [present, absent]
        default: present
      agent:
        description: The resource agent, as C(class:provider:type). Required with O(resources[].state=present).
        type: str
      params:
        description: All parameters of the resource.
        type: dict
        default: {}
      meta:
        description: Meta attributes to set. Others stay, since that is where decisions of operators are kept.
        type: dict
        default: {}
      operations:
        description: All operations of the resource.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name of the operation.
            type: str
            required: true
          interval:
            description: Time between two runs.
            type: str
            default: 0s
          attributes:
            description: Attributes of the operation, such as C(timeout).
            type: dict
            default: {}
          params:
            description: What the agent is given when it runs this operation, such as C(OCF_CHECK_LEVEL).
            type: dict
            default: {}
  locations:
    description: Preferences of resources for nodes.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: Id of the constraint.
        type: str
        required: true
      state:
        description: Whether the constraint exists.
        type: str
        choices: [present, absent]
        default: present
      resource:
        description: Id of the resource. Required with O(locations[].state=present).
        type: str
      node:
        description: Name of the node. Required with O(locations[].state=present).
        type: str
      score:
        description: Strength of the preference. Required with O(locations[].state=present).
        type: str
  purge_agent:
    description:
      - An agent that nothing but O(resources) is to use, as C(class:provider:type). Every other resource that has it is
        removed, along with the constraints that name it.
      - A resource that comes in the same transaction does not wait for a removed one to stop.
    type: str
  nodes:
    description: Nodes that must be online in the cluster before anything is written.
    type: list
    elements: str
    default: []
  end_maintenance:
    description:
      - Whether O(nodes) that are in maintenance until their Pacemaker ends (the node attribute C(maintenance) with the
        lifetime C(reboot)) are taken out of it before the change. What is set for good stays.
    type: bool
    default: false
  wait_timeout:
    description:
      - Longest time to wait for the cluster to be ready, in seconds, and again for it to settle after the change.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Push the VIP group
  cloudvip.ha.pacemaker_cib:
    properties:
      stonith-enabled: false
    resources:
      - id: cloudvip-main
        agent: ocf:cloudvip:vips
        params: {group: main, revision: 0f3c2a9b71de}
        meta: {migration-threshold: 1}
        operations:
          - {name: monitor, interval: 5s, attributes: {timeout: 20s}}
    purge_agent: ocf:cloudvip:vips
    nodes: [vr1, vr2, vr3]
  run_once: true
"""

RETURN = r"""
patch:
  description: The difference that was sent to the cluster, as XML.
  returned: when changed, except in check mode
  type: str
"""

import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _cib

TOOLS = ("cibadmin", "crm_verify", "crm_diff", "crm_mon", "crm_resource", "crm_attribute")
PAUSE = 0.5
# What crm_verify ends with when it has something to say of a configuration.
INVALID = 78

ARGUMENTS: Dict[str, Any] = {
    "properties": {"type": "dict", "default": {}},
    "resource_defaults": {"type": "dict", "default": {}},
    "resources": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "agent": {"type": "str"},
            "params": {"type": "dict", "default": {}},
            "meta": {"type": "dict", "default": {}},
            "operations": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "interval": {"type": "str", "default": "0s"},
                    "attributes": {"type": "dict", "default": {}},
                    "params": {"type": "dict", "default": {}},
                },
            },
        },
        "required_if": [("state", "present", ["agent"])],
    },
    "locations": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "resource": {"type": "str"},
            "node": {"type": "str"},
            "score": {"type": "str"},
        },
        "required_if": [("state", "present", ["resource", "node", "score"])],
    },
    "purge_agent": {"type": "str"},
    "nodes": {"type": "list", "elements": "str", "default": []},
    "end_maintenance": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 120},
}


class Cluster:
    """The running cluster, by way of its command-line tools."""

    def __init__(self, module: AnsibleModule) -> None:
        """Find the tools."""
        self._module = module
        self._paths = {tool: module.get_bin_path(tool) for tool in TOOLS}

    @property
    def missing(self) -> List[str]:
        """The tools that are not installed."""
        return [tool for tool, path in self._paths.items() if path is None]

    def run(
        self, tool: str, *args: str, data: Optional[str] = None, good: Tuple[int, ...] = (0,)
    ) -> Tuple[int, str, str]:
        """Run a tool and return its exit status, its output, and what it says besides.

        :raises CibError: when the exit status is none of ``good``
        """
        rc, out, err = self._module.run_command(
            [self._paths[tool], *args], data=data, environ_update={"LC_ALL": "C"}, handle_exceptions=False
        )
        if rc not in good:
            raise _cib.CibError(f"{tool} {args[0].partition('=')[0]} failed with status {rc}: {(err or out).strip()}")
        return rc, out, err

    def configuration(self) -> str:
        """Return the configuration as the cluster has it now."""
        return self.run("cibadmin", "--query")[1]

    def status(self) -> str:
        """Return the cluster's status as XML."""
        return self.run("crm_mon", "--one-shot", "--output-as=xml")[1]

    def verify(self, before: str, after: str) -> List[str]:
        """Have the cluster's own checker read a configuration; return what it warns of that it did not warn of before.

        It fails for any warning, and for what an operator has made: that would keep every later change off. So a line
        counts only if it does not say the same of the configuration in ``before``, and only if it may be an error. Not
        every release says so of each line, but every one says in the last line whether there are none but warnings.

        :raises CibError: when there are errors that were not there before
        """
        rc, said = self._check(after)
        if rc == 0:
            return []
        known = self._check(before)[1]
        new = [line for line in said if line not in known]
        harmless = "warnings" in said[-1].lower() if said else False
        if not harmless and any("warning:" not in line for line in new):
            raise _cib.CibError(f"crm_verify --xml-file failed with status {rc}: {'; '.join(new)}")
        return new

    def _check(self, path: str) -> Tuple[int, List[str]]:
        rc, _, said = self.run("crm_verify", f"--xml-file={path}", "--verbose", good=(0, INVALID))
        return rc, [line.strip() for line in said.splitlines() if line.strip()]

    def difference(self, before: str, after: str) -> str:
        """Return the patch between the configurations in two files, empty when they are the same."""
        # Without versions: the status section counts them up all the time, and a patch for an older count is refused.
        _, patch, _ = self.run("crm_diff", f"--original={before}", f"--new={after}", "--no-version", good=(0, 1))
        return patch.strip()

    def patch(self, patch: str) -> None:
        """Apply a patch."""
        self.run("cibadmin", "--patch", "--xml-pipe", data=patch)

    def end_maintenance(self, node: str) -> None:
        """Have the cluster look after what runs on a node again."""
        self.run("crm_attribute", f"--node={node}", "--name=maintenance", "--lifetime=reboot", "--delete")

    def settle(self, timeout: int) -> None:
        """Wait until the cluster has nothing left to do."""
        self.run("crm_resource", "--wait", f"--timeout={timeout}s")


def wait_until_good(read: Callable[[], str], check: Callable[[str], List[str]], timeout: float) -> str:
    """Read again and again until a check finds no problem in it; return what was read last.

    :raises CibError: with what the last check found, when the time is up
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            text = read()
            problems = check(text)
        except _cib.CibError as error:
            problems = [str(error)]
        if not problems:
            return text
        if time.monotonic() >= deadline:
            raise _cib.CibError(f"after {timeout:g} s: " + "; ".join(problems))
        time.sleep(PAUSE)


def write(module: AnsibleModule, name: str, text: str) -> str:
    """Write a file that only root may read, and that goes away with the module."""
    path = f"{module.tmpdir}/{name}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def run(module: AnsibleModule, cluster: Cluster) -> Dict[str, Any]:
    """Plan, compare, and unless in check mode apply; return the module's result."""
    params = module.params
    request = _cib.Request.from_params(params)
    if not module.check_mode:
        wait_until_good(
            cluster.status, lambda status: _cib.membership_problems(status, params["nodes"]), params["wait_timeout"]
        )
    text = current_text(module, cluster)
    before = _cib.parse(text or _cib.EMPTY)
    after = _cib.apply(before, request)
    changed = _cib.serialise(before) != _cib.serialise(after)
    resting = _cib.in_maintenance(before, params["nodes"]) if params["end_maintenance"] else []
    shown = "".join(f"node {node} maintenance=true\n" for node in resting)
    result: Dict[str, Any] = {
        "changed": changed or bool(resting),
        "diff": {"before": shown + _cib.describe(before, request), "after": _cib.describe(after, request)},
    }
    if resting and not module.check_mode:
        for node in resting:
            cluster.end_maintenance(node)
        wait_until_good(cluster.configuration, lambda text: still_resting(text, resting), params["wait_timeout"])
    if changed and text:
        old, new = write(module, "old.xml", text), write(module, "new.xml", _cib.serialise(after))
        warnings = cluster.verify(old, new)
        if warnings:
            module.warn(f"crm_verify: {'; '.join(warnings)}")
        if not module.check_mode:
            result["patch"] = cluster.difference(old, new)
            cluster.patch(result["patch"])
            cluster.settle(params["wait_timeout"])
            kept = _cib.parse(cluster.configuration())
            if _cib.serialise(_cib.apply(kept, request)) != _cib.serialise(kept):
                raise _cib.CibError("the cluster took the patch, but its configuration is not the wanted one")
    if not module.check_mode:
        status = wait_until_good(
            cluster.status, lambda status: _cib.resource_problems(status, request), params["wait_timeout"]
        )
        for warning in _cib.unwatched(status, request):
            module.warn(warning)
    return result


def still_resting(configuration: str, nodes: List[str]) -> List[str]:
    """Say which nodes are still in maintenance."""
    found = _cib.in_maintenance(_cib.parse(configuration), nodes)
    return [f"node '{node}' is still in maintenance" for node in found]


def current_text(module: AnsibleModule, cluster: Cluster) -> Optional[str]:
    """Return the cluster's configuration; None in check mode where no cluster runs yet."""
    if not module.check_mode:
        return cluster.configuration()
    if cluster.missing:
        return None
    try:
        return cluster.configuration()
    except _cib.CibError as error:
        module.warn(f"no cluster runs here, its configuration counts as empty: {error}")
        return None


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    cluster = Cluster(module)
    try:
        if cluster.missing and not module.check_mode:
            raise _cib.CibError(f"not installed: {', '.join(cluster.missing)} (package pacemaker-cli-utils)")
        result = run(module, cluster)
    except _cib.CibError as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()

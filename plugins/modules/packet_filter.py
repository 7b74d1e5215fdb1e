#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module packet_filter; see DOCUMENTATION."""

DOCUMENTATION = r"""
module: packet_filter
short_description: Let peers in through iptables or nftables
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Puts rules for a cluster's peers between those that a node has, now and for its next boot. All other rules stay as
    they are, and where they are. Ours are known by their comment, C(cloudvip).
  - Each change of the rules that are loaded takes effect at once and as a whole.
  - With iptables they stand in C(INPUT) above the first rule that refuses anything, and in C(FORWARD) above the first
    one that refuses everything. C(/etc/iptables/rules.v4) and the like are edited in the same way. The table C(filter)
    alone is read and written, and of a version of IP only if it has such a file.
  - With nftables they stand in every chain that filters input, or what is forwarded, in a table that the configuration
    of C(nftables.service) names. One line at its end includes C(/etc/cloudvip/firewall.nft).
extends_documentation_fragment: cloudvip.ha.attributes
options:
  provider:
    description:
      - By what the node's rules are loaded. V(auto) finds out by the services.
      - C(firewalld.service) that is active has rules of its own, and the module changes nothing. Else V(iptables) it is
        if C(netfilter-persistent.service), C(iptables.service) or C(ip6tables.service) is active and its rules are in
        C(/etc/iptables) or C(/etc/sysconfig), or V(nftables) if C(nftables.service) is enabled. If nothing of that is
        true, the module changes nothing.
      - Without effect with O(state=absent).
    type: str
    choices: [auto, iptables, nftables]
    default: auto
  peers:
    description: The addresses that are let in, IPv4 and IPv6.
    type: list
    elements: str
    default: []
  services:
    description: What they are let in to.
    type: list
    elements: dict
    default: []
    suboptions:
      protocol:
        description: The protocol.
        type: str
        choices: [tcp, udp, vrrp]
        required: true
      ports:
        description:
          - A port, or a range such as V(5405-5412).
          - Required with O(services[].protocol=tcp) and O(services[].protocol=udp).
        type: str
  forward:
    description: Whether everything is forwarded, whoever it is from.
    type: bool
    default: false
  state:
    description:
      - V(absent) removes what the module has added, and nothing else.
      - It looks at the rules that are loaded, at every file named above that exists, and at nftables' configuration,
        whatever is active now.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Let the other node in
  cloudvip.ha.packet_filter:
    peers: [192.0.2.12]
    services:
      - {protocol: udp, ports: 5405-5412}
      - {protocol: vrrp}
  register: filter

- name: Remove the rules again
  cloudvip.ha.packet_filter:
    state: absent
"""

RETURN = r"""
provider:
  description: By what the node's rules are loaded, V(iptables), V(nftables), V(firewalld) or V(none).
  returned: success
  type: str
  sample: iptables
"""

import glob
import json
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Iterable, List, NoReturn, Optional, Set, Tuple

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _packet_filter as rules

PROGRAMS = {4: "iptables", 6: "ip6tables"}


class Node:
    """What would change on this node, and how."""

    def __init__(self, module: AnsibleModule) -> None:
        """Begin with no change."""
        self.diff: List[Dict[str, str]] = []
        self._module = module
        self._steps: List[Callable[[], object]] = []

    def has(self, program: str) -> bool:
        """Whether a program is installed."""
        return self._module.get_bin_path(program) is not None

    def run(self, program: str, *arguments: str, stdin: Optional[str] = None) -> str:
        """What a program says; one that fails ends the module."""
        path = self._module.get_bin_path(program, required=True)
        environment = {"LC_ALL": "C"}
        code, output, errors = self._module.run_command([path, *arguments], data=stdin, environ_update=environment)
        if code:
            self.fail(f"{' '.join((program, *arguments))}: {(errors or output).strip()}")
        return str(output)

    def fail(self, message: str) -> NoReturn:
        """End the module."""
        self._module.fail_json(msg=message)
        raise AssertionError

    def change(self, difference: Dict[str, str], *steps: Callable[[], object]) -> None:
        """Have a change made by these steps."""
        self.diff.append(difference)
        self._steps += steps

    def replace(self, path: Path, before: str, after: str, *tests: Callable[[], object]) -> None:
        """Have a file written if it is to differ, after these tests; one without text is removed."""
        if before != after:
            names = {"before_header": str(path), "after_header": str(path)}
            step = partial(self._write, path, after) if after else path.unlink
            self.change({**names, "before": before, "after": after}, *tests, step)

    def apply(self) -> None:
        """Make all changes. Raises OSError."""
        for step in self._steps:
            step()

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        target = Path(os.path.realpath(path))
        handle, temporary = tempfile.mkstemp(dir=str(target.parent))
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
        self._module.atomic_move(temporary, str(target))


def read(path: Path) -> str:
    """The text of a file, byte by byte; nothing of one that is not there. Raises OSError."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def plan_iptables(node: Node, files: Iterable[Tuple[int, str]], wanted: rules.Wanted) -> None:
    """Plan the changes of the rules that are loaded, and of the files that they are loaded from."""
    paths: Dict[int, List[Path]] = {}
    for version, name in files:
        paths.setdefault(version, []).append(Path(name))
    for version in paths:
        program, ours = PROGRAMS[version], rules.iptables_rules(wanted, version)
        # Its files may outlive it.
        installed = node.has(f"{program}-save")
        loaded = node.run(f"{program}-save", "-t", "filter") if installed else ""
        now = rules.edit_iptables(loaded, ours)
        if now.commands:
            names = {"before_header": f"{program}-save", "after_header": f"{program}-save"}
            lines = "".join(f"{line}\n" for line in ("*filter", *now.commands, "COMMIT"))
            step = partial(node.run, f"{program}-restore", "--wait", "--noflush", stdin=lines)
            node.change({**names, "before": loaded, "after": now.text}, step)
        for path in paths[version]:
            saved = read(path)
            boot = rules.edit_iptables(saved, ours).text
            test = partial(node.run, f"{program}-restore", "--wait", "--test", stdin=boot)
            node.replace(path, saved, boot, *([test] if installed else []))


def plan_nftables(node: Node, configuration: Path, wanted: rules.Wanted) -> None:
    """Plan the changes of the rules that are loaded, of the file that loads them, and of the one that includes it."""
    tables: Set[Tuple[str, str]] = set()
    texts: Dict[Path, str] = {}
    files = [configuration]
    while files:
        path = files.pop()
        if path not in texts:
            texts[path] = read(path)
            tables |= rules.tables(texts[path])
            patterns = [os.path.join("/etc", pattern) for pattern in rules.included(texts[path])]
            files += [Path(name) for pattern in patterns for name in glob.glob(pattern)]
    ruleset = json.loads(node.run("nft", "--json", "list", "ruleset"))["nftables"] if node.has("nft") else []
    plan = rules.plan_nftables(ruleset, tables, wanted)
    if plan.commands:
        node.change({"prepared": plan.commands}, partial(node.run, "nft", "--file", "-", stdin=plan.commands))
    ours, text = Path(rules.INCLUDE), texts[configuration]
    node.replace(ours, read(ours), plan.boot)
    node.replace(configuration, text, rules.edit_configuration(text, bool(plan.boot)))


def plan(node: Node, provider: str, wanted: Optional[rules.Wanted]) -> str:
    """Plan all changes, and return by what the node's rules are loaded. Raises OSError.

    :param wanted: None removes everything
    """
    show = ("show", "--property=Id,ActiveState,UnitFileState,ExecStart")
    units = rules.units(node.run("systemctl", *show, rules.FIREWALLD, *rules.SAVED, rules.NFTABLES))
    files = [(version, name) for version, name in rules.saved(units) if os.path.exists(name)]
    if wanted is None:
        # What filters now need not be what ours were put into.
        every = [file for saved in rules.SAVED.values() for file in saved.items() if os.path.exists(file[1])]
        plan_iptables(node, every, rules.Wanted())
        plan_nftables(node, Path(rules.configuration(units) or rules.CONFIGURATION), rules.Wanted())
        return rules.detect(units, files)
    if provider == "auto":
        provider = rules.detect(units, files)
    if provider == "iptables":
        if not files:
            names = ", ".join(name for saved in rules.SAVED.values() for name in saved.values())
            node.fail(f"provider iptables: expected a service that has loaded one of the files {names}")
        plan_iptables(node, files, wanted)
    if provider == "nftables":
        configuration = rules.configuration(units)
        if configuration is None or not rules.active(units, rules.NFTABLES):
            node.fail(f"provider nftables: expected {rules.NFTABLES} to have loaded its rules, but it is not active")
        plan_nftables(node, Path(configuration), wanted)
    return provider


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "provider": {"type": "str", "choices": ["auto", "iptables", "nftables"], "default": "auto"},
            "peers": {"type": "list", "elements": "str", "default": []},
            "services": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "protocol": {"type": "str", "choices": ["tcp", "udp", "vrrp"], "required": True},
                    "ports": {"type": "str"},
                },
                "required_if": [("protocol", "tcp", ["ports"]), ("protocol", "udp", ["ports"])],
            },
            "forward": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    node, wanted = Node(module), None
    if module.params["state"] == "present":
        services = [rules.Service(**service) for service in module.params["services"]]
        wanted = rules.Wanted(module.params["peers"], services, module.params["forward"])
    try:
        provider = plan(node, module.params["provider"], wanted)
        if not module.check_mode:
            node.apply()
    except OSError as error:
        node.fail(f"{error.filename}: {error.strerror}")
    except ValueError as error:
        node.fail(str(error))
    module.exit_json(changed=bool(node.diff), provider=provider, diff=node.diff)


if __name__ == "__main__":
    main()

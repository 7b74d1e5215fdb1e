# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes on which the tasks of a role can be played: directories of this machine, with stand-ins for what they run."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from tests.unit.interpreter import ROOT
from tests.unit.playing import play

PROGRAMS = ("systemctl", "cloudvip", "ip", "keepalived", "crm_attribute", "crm_mon", "corosync-cfgtool")
# Each says what it was called with, and plays its part in a cluster whose state is files below the node's directory.
# keepalived becomes master of all that it is configured for, but not before a second look.
PROGRAM = """#!{python} -IS
import os, pathlib, re, sys
root, node, me, args = pathlib.Path({root!r}), os.environ["NODE"], pathlib.Path(sys.argv[0]).name, sys.argv[1:]
home = root / node
conf = home / "etc/keepalived/keepalived.conf"
instances = re.findall(r"vrrp_instance (\\S+)", conf.read_text()) if conf.exists() else []

def say(*words):
    with (root / "calls").open("a") as calls:
        print(node, me, *words, file=calls)

if me == "systemctl":
    units = [arg.strip("'") for arg in args[1:] if not arg.startswith("-")]
    for unit in units:
        running, enabled = home / "running" / unit, home / "enabled" / unit
        if args[0] == "show":
            print("ActiveState=" + ("active" if running.exists() else "inactive"))
            print("UnitFileState=" + ("enabled" if enabled.exists() else "disabled"))
            print("LoadState=loaded")
        elif args[0] == "is-active":
            sys.exit(0 if running.exists() else 3)
        elif args[0] == "is-enabled":
            sys.exit(0 if enabled.exists() else 1)
        else:
            say(args[0], unit, *(instances if "keepalived" in unit and args[0] in ("start", "reload") else ()))
            file = enabled if args[0] in ("enable", "disable") else running
            file.touch() if args[0] in ("enable", "start", "reload") else file.unlink(missing_ok=True)
elif me == "ip":
    up = (home / "running/keepalived.service").exists()
    looked = home / "looked"
    markers = re.findall(r"192\\.0\\.2\\.\\d+/32", conf.read_text()) if up and looked.exists() else []
    looked.touch()
    say(*markers)
    print("lo UNKNOWN 127.0.0.1/8", *markers, "::1/128")
elif me == "cloudvip" and args[0] == "status":
    print((home / "status").read_text())
elif me == "keepalived":
    file = args[1].partition("=")[2]
    sys.exit(0 if args[0] == "--config-test" and "vrrp_instance" in pathlib.Path(file).read_text() else 5)
elif me == "crm_mon":
    for name in sorted(path.name for path in root.iterdir() if (path / "running/pacemaker.service").exists()):
        done = str((root / name / "maintenance").exists()).lower()
        print(f'<node name="{{name}}" id="1" online="true" standby="false" maintenance="{{done}}" pending="false"/>')
else:
    say(*args)
    if me == "crm_attribute":
        (home / "maintenance").touch()
"""


class Nodes:
    """The nodes of a cluster, below a directory."""

    def __init__(self, root: Path, names: tuple[str, ...]) -> None:
        """Make them, with nothing installed."""
        self.root = root
        self.names = names
        for name in names:
            for part in ("etc/keepalived", "running", "enabled"):
                (root / name / part).mkdir(parents=True)
        (root / "bin").mkdir()
        for program in PROGRAMS:
            path = root / "bin" / program
            path.write_text(PROGRAM.format(python=sys.executable, root=str(root)))
            path.chmod(0o755)

    def run(self, *units: str) -> None:
        """Have these units run on all nodes, and enabled."""
        for name in self.names:
            for unit in units:
                for state in ("running", "enabled"):
                    (self.root / name / state / unit).touch()

    def calls(self) -> list[str]:
        """What was called since the last time, in this order."""
        path = self.root / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return lines

    def play(self, role: str, *entries: str, **variables: Any) -> tuple[bool, int, str]:
        """Play task files of a role on all nodes; whether it was well, what changed, and what was printed."""
        copy = self.root / "roles" / role
        for file in sorted((ROOT / "roles" / role).rglob("*.yml")):
            target = copy / file.relative_to(ROOT / "roles" / role)
            target.parent.mkdir(parents=True, exist_ok=True)
            # Files have the owner that plays it; nothing outside of the directory is read or written.
            text = re.sub(r"^ +(owner|group): root\n", "", file.read_text(), flags=re.MULTILINE)
            text = re.sub(r"/usr/s?bin/(?=cloudvip|keepalived)", f"{self.root}/bin/", text)
            text = re.sub(r"(?<=, )(/var/lib/[^]]+)(?=])", r'"\1"', text)
            # Nor is anything waited for.
            text = re.sub(r"^( +delay:) .+", r"\1 0", text, flags=re.MULTILINE)
            target.write_text(
                re.sub(r"(?<![\w/])/(?=(etc|var/lib)/)", f"{self.root}/{{{{ inventory_hostname }}}}/", text)
            )
        if not (copy / "templates").exists():
            (copy / "templates").symlink_to(ROOT / "templates" / role)
        tasks = [{"include_role": {"name": str(copy), "tasks_from": entry}} for entry in entries]
        environment = {"NODE": "{{ inventory_hostname }}", "PATH": f"{self.root}/bin:{os.environ['PATH']}"}
        all_nodes = {"hosts": "all", "gather_facts": False, "any_errors_fatal": True}
        playbook = [{**all_nodes, "environment": environment, "tasks": tasks}]
        played = play(self.root, playbook, f"{','.join(self.names)},", "--connection=local", **variables)
        return played.good, played.changes, played.output

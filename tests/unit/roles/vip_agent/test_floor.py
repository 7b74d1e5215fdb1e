# SPDX-License-Identifier: GPL-3.0-or-later
"""What the code on the nodes may use: the standard library, as Python 3.6 has it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[4] / "roles" / "vip_agent" / "files" / "lib" / "cloudvip"


def test_python_3_6_is_enough() -> None:
    vermin = Path(sys.executable).with_name("vermin")

    result = subprocess.run(
        [vermin, "-t=3.6-", "--violations", "--eval-annotations", str(PACKAGE)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 0, result.stdout


def test_nothing_but_the_standard_library_is_imported() -> None:
    files = list(PACKAGE.glob("*.py"))
    imported = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])

    assert len(files) > 10
    assert imported - sys.stdlib_module_names == {"cloudvip"}


_MONITOR_AND_RELEASE = """
import sys
sys.path.insert(0, sys.argv[1])
import cloudvip.ocf
from cloudvip.mover import Mover, Outcome
from cloudvip.state import State
mover = Mover(sys.argv[2] + "/none", State(sys.argv[2]))
assert mover.monitor("main", True).outcome is Outcome.NOT_RUNNING
assert mover.release("main").outcome is Outcome.SUCCESS
print(*{"ssl", "http", "argparse", "email", "urllib", "random", "socket"} & set(sys.modules))
"""


def test_monitor_and_release_load_nothing_of_the_network(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-IS", "-c", _MONITOR_AND_RELEASE, str(PACKAGE.parent), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (result.stdout, result.stderr) == ("\n", "")

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the code on the nodes may use: the standard library, as Python 3.6 has it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

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


_RECURRING_MONITOR = """
import io, sys
sys.path.insert(0, sys.argv[1])
from cloudvip.mover import Mover
from cloudvip.ocf import main
from cloudvip.state import State
environment = {"OCF_RESKEY_group": "main", "OCF_RESKEY_CRM_meta_interval": "5000"}
make_mover = lambda: Mover(sys.argv[2] + "/none", State(sys.argv[2]), checks_file=sys.argv[2] + "/none")
assert main(["vips", "monitor"], environment, io.StringIO(), io.StringIO(), make_mover) == 7
print(*{"cloudvip.checks"} & set(sys.modules))
"""

_CHECK = """
import io, sys
sys.path.insert(0, sys.argv[1])
from cloudvip import cli
cli.CHECKS_FILE = sys.argv[2] + "/none"
assert cli.main(["cloudvip", "check"], io.StringIO(), io.StringIO()) == 0
ours = {"", ".checks", ".cli", ".clock", ".config", ".errors", ".model"}
loaded = {m for m in sys.modules if m.split(".")[0] == "cloudvip"} - {"cloudvip" + name for name in ours}
print(*loaded | {"ssl", "http", "email", "urllib", "random", "socket", "subprocess", "ipaddress"} & set(sys.modules))
"""


@pytest.mark.parametrize("program", [_MONITOR_AND_RELEASE, _RECURRING_MONITOR, _CHECK])
def test_what_runs_every_few_seconds_loads_nothing_that_it_does_not_need(tmp_path: Path, program: str) -> None:
    result = subprocess.run(
        [sys.executable, "-IS", "-c", program, str(PACKAGE.parent), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (result.stdout, result.stderr) == ("\n", "")

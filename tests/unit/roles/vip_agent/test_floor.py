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


def test_release_and_monitor_load_neither_tls_nor_http() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import cloudvip.ocf; "
        "sys.exit(repr({'ssl', 'http', 'argparse', 'email'} & set(sys.modules)) if 'ssl' in sys.modules else 0)"
    )

    subprocess.run([sys.executable, "-IS", "-c", script, str(PACKAGE.parent)], timeout=60, check=True)

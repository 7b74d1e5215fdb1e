# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch the wheels that the role oci_cli pins, for the Python, the processor and the C library of a node."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator

from packaging.markers import Marker

from tools.oci_cli_wheels import WHEELS, environment


def pins(requirements: str, python: str, machine: str) -> Iterator[str]:
    """The lines for such a node, without their markers, which pip takes to be about the Python that runs it."""
    for line in requirements.replace("\\\n", "").splitlines():
        found = re.fullmatch(r"(\S+==\S+)(?: ; (.+?))?((?: +--hash=\S+)+)", line)
        if found and (found[2] is None or Marker(found[2]).evaluate(environment(python, machine))):
            yield found[1] + found[3]


def platforms(machine: str, libc: str) -> list[str]:
    """The wheels' platforms that a node with this release of glibc takes."""
    minor = int(libc.removeprefix("2."))
    return [*(f"manylinux_2_{n}_{machine}" for n in range(minor, 4, -1)), f"manylinux2014_{machine}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for argument in ("directory", "python", "machine", "libc"):
        parser.add_argument(argument)
    options = parser.parse_args()
    wanted = pins(WHEELS.read_text(encoding="utf-8"), options.python, options.machine)
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:",
         f"--python-version={options.python}", f"--dest={options.directory}", "--requirement=/dev/stdin",
         *(f"--platform={platform}" for platform in platforms(options.machine, options.libc))],
        input="\n".join(wanted), text=True, check=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()

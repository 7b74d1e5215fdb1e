# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a Python program on a node and lists every file that it takes from the system: modules, libraries, programs.

Its source is the argument of `python3 -c`: standard library only.
"""

import json
import os
import runpy
import shutil
import sys
from typing import Any


def main(entry: str, output: str) -> int:
    programs: set[str] = {sys.executable}

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("subprocess.Popen", "os.posix_spawn", "os.exec"):
            programs.add(os.fsdecode(arguments[0]))

    sys.addaudithook(hook)
    # A program that ends with os._exit would take the listing with it.
    vars(os)["_exit"] = sys.exit
    status = 0
    try:
        runpy.run_path(entry, run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    modules = {str(m.__file__) for m in list(sys.modules.values()) if getattr(m, "__file__", None)}
    with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
        libraries = {line.split()[-1] for line in maps if line.split()[-1].startswith("/")}
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    found = {shutil.which(p, path=path) or p for p in programs}
    with open(output, "w", encoding="utf-8") as stream:
        json.dump(sorted({os.path.realpath(f) for f in modules | libraries | found}), stream)
    return status


if __name__ == "__main__":
    # As the program itself ends: a thread of it may still be at work, and an orderly end now and then aborts then.
    leave = os._exit
    target, sys.argv = sys.argv[1], sys.argv[2:]
    leave(main(sys.argv[0], target))

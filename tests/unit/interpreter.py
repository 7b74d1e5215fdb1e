# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python interpreter for ansible-playbook and its modules that has imported already what they import.

Starting Python and importing takes a module many times as long as its work, and a play has dozens of modules. Here one
process has imported everything and forks for each: the program that is run in place of Python only asks it to.
"""

from __future__ import annotations

import ast
import atexit
import gc
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

ROOT = Path(__file__).parents[2]
# The settings are the repository's, whatever the machine's are; but ansible-core before 2.19 folds the lines of YAML.
# With pipelining, modules come on the standard input.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "OCI_", "PIP_"))},
    "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_PIPELINING": "1",
}
IMPORTED = (
    "ansible.cli.playbook",
    "oci.core.compute_client",
    "oci.core.virtual_network_client",
    "oci.identity.identity_client",
)
PROGRAM = """#!{python} -IS
import os, socket, sys

if len(sys.argv) > 1:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
umask = os.umask(0)
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({address!r})
    request = repr((os.getcwd(), dict(os.environ), umask))
    socket.send_fds(server, [request.encode()], [0, 1, 2])
    sys.exit(server.recv(1)[0])
"""


@cache
def interpreter() -> Path:
    """The program, for as long as this process is there. It runs what comes on its standard input."""
    lasting = ExitStack()
    atexit.register(lasting.close)
    # Not the directory of a test: the path of a socket must be short.
    directory = Path(lasting.enter_context(TemporaryDirectory()))
    program, address = directory / "python", str(directory / "socket")
    program.write_text(PROGRAM.format(python=sys.executable, address=address))
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        number = listener.fileno()
        server = subprocess.Popen(
            [sys.executable, __file__, str(number)],
            env={**ENVIRONMENT, "ANSIBLE_HOME": str(directory)},
            stdin=subprocess.PIPE,
            pass_fds=[number],
        )
    lasting.enter_context(server)
    return program


def serve(listener: socket.socket) -> None:
    """Fork for each who asks, until the standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.freeze()
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        client, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            request, descriptors, _, _ = socket.recv_fds(client, 2**20, 3)
            adopt(request, descriptors)
            run(client)
        client.close()


def adopt(request: bytes, descriptors: list[int]) -> None:
    """Become what the program would be."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    directory, environment, umask = ast.literal_eval(request.decode())
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    os.umask(umask)


def run(client: socket.socket) -> NoReturn:
    """Run what stands on the standard input, and tell the program its exit status."""
    code = 1

    def end() -> None:
        sys.stdout.flush()
        client.send(bytes([code]))
        # The interpreter's own end would visit every object, and so copy the memory of the server.
        os._exit(0)

    # Comes after whatever is registered from here on.
    atexit.register(end)
    try:
        exec(compile(sys.stdin.read(), "<stdin>", "exec"), {"__name__": "__main__"})
        code = 0
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    except Exception:
        traceback.print_exc()
    sys.exit()


if __name__ == "__main__":
    for module in IMPORTED:
        importlib.import_module(module)
    serve(socket.socket(fileno=int(sys.argv.pop())))

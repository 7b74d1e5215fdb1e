# SPDX-License-Identifier: GPL-3.0-or-later
"""A UDP echo server that says who it is: the answer is the payload, a blank and the host's name.

It runs as it stands on every node (standard library only, Python 3.6) and as a thread of the lab's daemon for every
client. It listens on all addresses, so that it serves an address that arrives later; the answer leaves from the address
that was asked, which a plain socket leaves to the kernel's choice and a VIP is not what the kernel would choose.
"""

import argparse
import contextlib
import select
import socket
import struct
import threading

PORT = 7
# The socket module names it only from Python 3.14 on.
_IP_PKTINFO = 8
# struct in_pktinfo: interface index, the local address, the packet's destination address.
_PKTINFO = struct.Struct("=I4s4s")
_MAX_PAYLOAD = 2048
_POLL_SECONDS = 0.5


def bind(sock: socket.socket, address: str = "0.0.0.0", port: int = PORT) -> socket.socket:
    """Make a UDP socket ready for `serve` and return it. Raises OSError when the address or port is taken."""
    sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    sock.bind((address, port))
    return sock


def serve(sock: socket.socket, name: str, stop: "threading.Event | None" = None) -> None:
    """Answer as `name` until `stop` is set (looked at twice a second), or for ever."""
    suffix = b" " + name.encode()
    while stop is None or not stop.is_set():
        readable, _, _ = select.select([sock], [], [], _POLL_SECONDS)
        if readable:
            _answer(sock, suffix)


def _answer(sock: socket.socket, suffix: bytes) -> None:
    payload, ancillary, _, peer = sock.recvmsg(_MAX_PAYLOAD, socket.CMSG_SPACE(_PKTINFO.size))
    source = [
        (level, kind, _PKTINFO.pack(0, _PKTINFO.unpack(data)[2], bytes(4)))
        for level, kind, data in ancillary
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO)
    ]
    # The address may leave the host between question and answer, and a full queue or a firewall may refuse: to the one
    # who asks all of these are a lost packet, and to the server no reason to end.
    with contextlib.suppress(OSError):
        sock.sendmsg([payload, suffix], source, 0, peer)


def main() -> None:
    parser = argparse.ArgumentParser(description="UDP echo server that appends its host's name to the answer")
    parser.add_argument("--port", type=int, default=PORT)
    options = parser.parse_args()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        serve(bind(sock, port=options.port), socket.gethostname())


if __name__ == "__main__":
    main()

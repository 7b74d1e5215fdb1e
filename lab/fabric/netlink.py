# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said to the kernel without pyroute2: nexthop objects and routes that refer to one, which it cannot make, and
the links' carriers, which are to be heard of without a thread.

Message and attribute numbers are those of linux/nexthop.h and linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from ipaddress import IPv4Address, IPv4Network

RTM_NEWROUTE, RTM_DELROUTE = 24, 25
RTM_NEWNEXTHOP, RTM_DELNEXTHOP = 104, 105
NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_CREATE = 0x1, 0x4, 0x100, 0x400
NHA_ID, NHA_OIF, NHA_GATEWAY = 1, 5, 6
RTA_DST, RTA_OIF, RTA_TABLE, RTA_NH_ID = 1, 4, 15, 30
RTN_UNICAST, RTN_BLACKHOLE = 1, 6
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RTPROT_STATIC = 4
RTNH_F_ONLINK = 4
NLMSG_ERROR = 2
RTM_NEWLINK = 16
RTMGRP_LINK = 1
IFF_LOWER_UP = 0x10000


def _attribute(kind: int, payload: bytes) -> bytes:
    padding = -len(payload) % 4
    return struct.pack("=HH", len(payload) + 4, kind) + payload + b"\0" * padding


def _u32(value: int) -> bytes:
    return struct.pack("=I", value)


class RouteSocket:
    """A route netlink socket of the namespace in which it was opened."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def _request(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        header = struct.pack("=IHHII", len(body) + 16, kind, flags | NLM_F_REQUEST | NLM_F_ACK, self._sequence, 0)
        self._socket.send(header + body)
        answer = self._socket.recv(65536)
        _, answer_kind, _, sequence, _ = struct.unpack_from("=IHHII", answer)
        if answer_kind != NLMSG_ERROR or sequence != self._sequence:
            raise OSError(errno.EPROTO, f"netlink: unexpected answer {answer_kind} to message {kind}")
        (code,) = struct.unpack_from("=i", answer, 16)
        if code:
            raise OSError(-code, os.strerror(-code))

    def set_nexthop(self, number: int, gateway: IPv4Address, index: int) -> None:
        """Create or atomically replace a nexthop object. Raises OSError (ENODEV, ENETDOWN for a link that is gone)."""
        self._request(
            RTM_NEWNEXTHOP,
            NLM_F_CREATE | NLM_F_REPLACE,
            struct.pack("=BBBBI", socket.AF_INET, RT_SCOPE_UNIVERSE, RTPROT_STATIC, 0, RTNH_F_ONLINK)
            + _attribute(NHA_ID, _u32(number))
            + _attribute(NHA_OIF, _u32(index))
            + _attribute(NHA_GATEWAY, gateway.packed),
        )

    def del_nexthop(self, number: int) -> None:
        """Delete a nexthop object and with it every route that uses it. One that is gone already is fine."""
        self._ignoring_absent(
            RTM_DELNEXTHOP,
            struct.pack("=BBBBI", socket.AF_UNSPEC, 0, 0, 0, 0) + _attribute(NHA_ID, _u32(number)),
        )

    def set_route(
        self, table: int, destination: IPv4Network, *, nexthop: int | None = None, index: int | None = None
    ) -> None:
        """Create or replace a route to a nexthop object, to a link, or (neither) into a black hole. Raises OSError."""
        kind = RTN_BLACKHOLE if nexthop is None and index is None else RTN_UNICAST
        scope = RT_SCOPE_LINK if index is not None else RT_SCOPE_UNIVERSE
        body = self._route(table, destination, kind, scope)
        if nexthop is not None:
            body += _attribute(RTA_NH_ID, _u32(nexthop))
        if index is not None:
            body += _attribute(RTA_OIF, _u32(index))
        self._request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body)

    def del_route(self, table: int, destination: IPv4Network) -> None:
        """Delete a route; one that is gone already is fine."""
        self._ignoring_absent(RTM_DELROUTE, self._route(table, destination, 0, 255))

    def _ignoring_absent(self, kind: int, body: bytes) -> None:
        try:
            self._request(kind, 0, body)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESRCH):
                raise

    @staticmethod
    def _route(table: int, destination: IPv4Network, kind: int, scope: int) -> bytes:
        header = struct.pack(
            "=BBBBBBBBI", socket.AF_INET, destination.prefixlen, 0, 0, 0, RTPROT_STATIC if kind else 0, scope, kind, 0
        )
        return header + _attribute(RTA_DST, destination.network_address.packed) + _attribute(RTA_TABLE, _u32(table))

    def close(self) -> None:
        self._socket.close()


def carriers(messages: bytes) -> dict[int, bool]:
    """What a datagram about links says: by interface index, whether the link has a carrier."""
    found: dict[int, bool] = {}
    while messages:
        length, kind = struct.unpack_from("=IH", messages)
        if kind == RTM_NEWLINK:
            _, _, index, flags = struct.unpack_from("=BxHiI", messages, 16)
            found[index] = bool(flags & IFF_LOWER_UP)
        messages = messages[length + -length % 4 :]
    return found


class LinkWatch:
    """A socket that hears of the links of the namespace in which it was opened."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setblocking(False)
        self._socket.bind((0, RTMGRP_LINK))

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> dict[int, bool]:
        """The news of one datagram; see `carriers`. Raises OSError (ENOBUFS) when news was lost."""
        return carriers(self._socket.recv(65536))

    def close(self) -> None:
        self._socket.close()

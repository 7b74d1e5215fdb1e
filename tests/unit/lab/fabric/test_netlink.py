# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct

from lab.fabric.netlink import IFF_LOWER_UP, RTM_NEWLINK, carriers


def message(kind: int, index: int, flags: int, attributes: bytes = b"") -> bytes:
    body = struct.pack("=BxHiII", 0, 1, index, flags, 0) + attributes
    length = 16 + len(body)
    return struct.pack("=IHHII", length, kind, 0, 0, 0) + body + b"\0" * (-length % 4)


def test_a_datagram_says_of_each_link_whether_it_has_a_carrier() -> None:
    datagram = message(RTM_NEWLINK, 4, 0x1 | IFF_LOWER_UP, b"abc") + message(RTM_NEWLINK, 7, 0x1)
    assert carriers(datagram) == {4: True, 7: False}


def test_of_two_messages_about_a_link_the_later_one_counts() -> None:
    assert carriers(message(RTM_NEWLINK, 4, IFF_LOWER_UP) + message(RTM_NEWLINK, 4, 0)) == {4: False}


def test_other_messages_are_passed_over() -> None:
    assert carriers(message(RTM_NEWLINK + 1, 4, IFF_LOWER_UP)) == {}

# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that dies takes its links with it at a moment of the kernel's own choosing."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from pyroute2 import NetlinkError

from lab.fabric import kernel
from lab.fabric.plan import Desired
from lab.fabric.view import View


class Vanishing:
    """An IPRoute whose link is there when looked up and gone when used."""

    def __init__(self, code: int) -> None:
        self.code = code

    def link_lookup(self, **_: Any) -> tuple[int]:
        return (7,)

    def link(self, *_: Any, **__: Any) -> None:
        raise NetlinkError(self.code)


class Fabric(kernel.Fabric):
    """A fabric without a namespace, whose kernel is `ip`."""

    def __init__(self, ip: Any) -> None:
        self._ip = ip
        self._view = View((), (), (), ())
        self._current = Desired()
        self._up = {"cv-vr1-0": 7}
        self._ids = {}

    def unplug_link(self) -> dict[str, int]:
        """Returns the links that are up afterwards."""
        self._unplug("cv-vr1-0")
        return self._up

    def link_is_up(self) -> bool:
        return self._is_up("cv-vr1-0")


def test_a_link_that_goes_while_it_is_unplugged_is_unplugged() -> None:
    assert Fabric(Vanishing(errno.ENODEV)).unplug_link() == {}


def test_a_link_that_goes_while_it_is_looked_at_is_down() -> None:
    assert not Fabric(Vanishing(errno.ENODEV)).link_is_up()


def test_what_else_the_kernel_refuses_is_not_swallowed() -> None:
    with pytest.raises(NetlinkError):
        Fabric(Vanishing(errno.EPERM)).unplug_link()

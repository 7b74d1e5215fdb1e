# SPDX-License-Identifier: GPL-3.0-or-later
"""What the mover asks of a cloud, whichever it is."""

import abc
from typing import Callable, Dict, NamedTuple, Optional, Sequence

from cloudvip.clock import Deadline
from cloudvip.errors import CloudError
from cloudvip.model import Truth, Vip


class Assigned(NamedTuple):
    """How the move of one VIP ended.

    seconds: how long it took. error: None if the cloud delivers it here now. note: what a person should know although
    it worked; empty if there is nothing.
    """

    vip: Vip
    seconds: float
    attempts: int
    request_id: str
    error: Optional[CloudError]
    note: str = ""


class Location(NamedTuple):
    """Where the cloud delivers a VIP. detail: why that is unknown."""

    truth: Truth
    detail: str


class Cloud(abc.ABC):
    """A client. Its methods may be called from several threads."""

    @abc.abstractmethod
    def assign(
        self, vips: Sequence[Vip], deadline: Deadline, done: Callable[[Assigned], None], may_send: Callable[[], str]
    ) -> None:
        """Have the cloud deliver every VIP to this node, retrying what can be retried.

        may_send: asked right before each request goes out; an answer is the reason why it must not, and the end.
        done: called with each VIP's result as it comes, from any thread; every VIP has had its result when this
        returns, which is at the deadline at the latest.
        """

    @abc.abstractmethod
    def locate(self, vips: Sequence[Vip], deadline: Deadline) -> Dict[str, Location]:
        """Where the cloud delivers each VIP, by address. A cloud that does not answer makes it UNKNOWN."""

# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime state under /run/cloudvip: small JSON files, root only, each replaced in one step."""

import fcntl
import json
import os
import threading
from typing import Any, Dict, List, Optional

from cloudvip.model import Claim, Vip

RUN_DIRECTORY = "/run/cloudvip"
# The file of a group that says how often in a row each check has failed.
FAILURES = "checks-"


class BusyError(Exception):
    """Another process on this node is changing the group."""


class Lock:
    """Held, as a context, by whoever changes a group. A release does not wait for it: it leaves a mark in it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def released(self) -> str:
        """That the group was released since, in words; empty if it was not."""
        marked = os.fstat(self._descriptor).st_size != self._size
        return "the group was released meanwhile" if marked else ""


class State:
    """The files of one runtime directory."""

    def __init__(self, directory: str = RUN_DIRECTORY) -> None:
        self._directory = directory

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name + ".json")

    def read(self, name: str) -> Optional[Dict[str, Any]]:
        """The content of a file; None if there is none, or none that can be read as what write() left."""
        try:
            with open(self._path(name), encoding="ascii") as stream:
                data = json.load(stream)
        except (OSError, ValueError):
            return None
        return data if isinstance(data, dict) else None

    def write(self, name: str, data: Any) -> None:
        """Replace a file. A reader sees the old content or the new, never a part. Raises OSError."""
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        # More than one process, and thread, may write the same file: each has its own temporary one.
        temporary = f"{self._path(name)}.{os.getpid()}.{threading.get_ident()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                json.dump(data, stream)
            os.replace(temporary, self._path(name))
        except OSError:
            os.unlink(temporary)
            raise

    def remove(self, name: str) -> None:
        """Remove a file if it is there. Raises OSError."""
        try:
            os.unlink(self._path(name))
        except FileNotFoundError:
            return

    def lock(self, group: str) -> Lock:
        """The group's lock, which also ends with the process. Raises BusyError while another one has it, or OSError."""
        descriptor = self._open_lock(group)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise BusyError(f"another cloudvip process is at work on group {group} on this node") from None
        return Lock(descriptor)

    def mark_released(self, group: str) -> None:
        """Let whoever has the group's lock know that it was released. Raises OSError."""
        # The mark is one byte more: atomic, ordered, and there for whoever compares the size.
        descriptor = self._open_lock(group)
        try:
            os.write(descriptor, b".")
        finally:
            os.close(descriptor)

    def _open_lock(self, group: str) -> int:
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        path = os.path.join(self._directory, "lock-" + group)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)

    def has_claim(self, group: str) -> bool:
        """Whether anything was claimed and not released, be it readable or not."""
        return os.path.lexists(self._path("claimed-" + group))

    def claimed_groups(self) -> List[str]:
        """The groups of which anything was claimed and not released, whatever the configuration says."""
        try:
            names = os.listdir(self._directory)
        except OSError:
            return []
        prefix, suffix = "claimed-", ".json"
        return sorted(n[len(prefix) : -len(suffix)] for n in names if n.startswith(prefix) and n.endswith(suffix))

    def claim(self, group: str) -> Optional[Claim]:
        """What this node has claimed of a group; None if nothing, or if what is written cannot be understood."""
        data = self.read("claimed-" + group)
        if data is None:
            return None
        try:
            return Claim(
                group,
                str(data["revision"]),
                bool(data["complete"]),
                tuple(Vip(**vip) for vip in data["vips"]),
                {str(address): str(reason) for address, reason in data["pending"].items()},
                {str(address): float(at) for address, at in data["since"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def write_claim(self, claim: Claim) -> None:
        """Remember a claim. Raises OSError."""
        self.write(
            "claimed-" + claim.group,
            {
                "revision": claim.revision,
                "complete": claim.complete,
                "vips": [vip._asdict() for vip in claim.vips],
                "pending": claim.pending,
                "since": claim.since,
            },
        )

    def remove_claim(self, group: str) -> None:
        """Forget a claim, what the last audit saw of it and which checks have failed since. Raises OSError."""
        self.remove("claimed-" + group)
        self.remove("audit-" + group)
        self.remove(FAILURES + group)

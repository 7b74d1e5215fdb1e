# SPDX-License-Identifier: GPL-3.0-or-later
"""libnftables in-process: a change costs a fraction of a millisecond, a child process several."""

from __future__ import annotations

import ctypes
import ctypes.util


class NftError(RuntimeError):
    """nftables refused a command; nothing of it was applied."""


class Nft:
    """A libnftables context of the network namespace in which it was made."""

    def __init__(self) -> None:
        library = ctypes.CDLL("libnftables.so.1")
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        library.nft_ctx_buffer_error.argtypes = [ctypes.c_void_p]
        library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        library.nft_ctx_get_error_buffer.argtypes = [ctypes.c_void_p]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._library = library
        self._context = library.nft_ctx_new(0)
        library.nft_ctx_buffer_error(self._context)

    def run(self, commands: str) -> None:
        """Run nft commands as one transaction. Raises NftError."""
        if self._library.nft_run_cmd_from_buffer(self._context, commands.encode()) != 0:
            message = self._library.nft_ctx_get_error_buffer(self._context)
            raise NftError(message.decode(errors="replace") if message else commands)

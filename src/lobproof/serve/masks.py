"""Frames that a client has not masked: refused, as RFC 6455 (5.1) asks; aiohttp takes them."""

from __future__ import annotations

import asyncio

_MASK_BYTES = 4
_RESERVED = 0x70
_WIDE = {126: 2, 127: 8}
"""Length that a head names → bytes in which the length stands behind it."""


class MaskedOnly(asyncio.Protocol):
    """Hands a client's bytes on, frame by frame; one without a mask ends the connection.

    It is handed on with its reserved bits set, for which aiohttp ends the connection with 1002.
    Nothing behind it is handed on.

    Parameters
    ----------
    inner
        What takes the bytes of the connection. The next byte is the first of a frame.
    """

    def __init__(self, inner: asyncio.Protocol) -> None:
        self._inner = inner
        self._head = b""
        self._left = 0
        """Bytes of the present frame that are still to come."""
        self._refused = False

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._refused:
            return
        data = self._head + data
        at = min(self._left, len(data))
        self._left -= at
        while len(data) - at >= 2:
            first, size = data[at], data[at + 1] & 0x7F
            if not data[at + 1] & 0x80:
                self._refused = True
                self._inner.data_received(data[:at] + bytes((first | _RESERVED, size)))
                return
            begin = at + 2 + _WIDE.get(size, 0)
            if len(data) < begin:
                break
            if size in _WIDE:
                size = int.from_bytes(data[at + 2 : begin], "big")
            end = begin + _MASK_BYTES + size
            at = min(end, len(data))
            self._left = end - at
        self._head = data[at:]
        self._inner.data_received(data[:at])

    def eof_received(self) -> bool | None:
        """The client sends no more."""
        return self._inner.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._inner.connection_lost(error)

    def pause_writing(self) -> None:
        """Too much waits to be sent."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """There is room again."""
        self._inner.resume_writing()

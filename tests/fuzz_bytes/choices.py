"""Choices made from bytes, so that mutated bytes are other choices."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Reads choices off the front of ``data``; behind its end each is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer at the end."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data))

    def below(self, bound: int) -> int:
        """0 … ``bound - 1``."""
        return int.from_bytes(self.take(1 if bound <= 256 else 4), "little") % bound

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]

    def integer(self) -> int:
        """Any int64."""
        return int.from_bytes(self.take(8), "little", signed=True)

    def number(self) -> float:
        """Any float64."""
        return float(struct.unpack("<d", self.take(8).ljust(8, b"\0"))[0])

"""``Digest``: a hash of bytes that come piece by piece, if wanted in a thread of its own."""

from __future__ import annotations

import threading
from queue import Queue
from typing import Protocol

_BLOCK = 1 << 20
_AHEAD = 4
"""Blocks that may wait; whoever brings more waits too, so that memory stays bounded."""


class Hash(Protocol):
    """What ``hashlib`` makes."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far."""


class Digest:
    """Feeds ``hashed``, piece by piece, in order. Ends by :meth:`hexdigest` or :meth:`close`.

    ``aside`` hashes in a thread, while more bytes come in: faster where a core is free for it,
    slower where none is.
    """

    def __init__(self, hashed: Hash, *, aside: bool) -> None:
        self._hashed = hashed
        self._aside = aside
        self._pieces: list[bytes] = []
        self._size = 0
        self._queue: Queue[list[bytes] | None] = Queue(_AHEAD)
        self._thread: threading.Thread | None = None

    def add(self, piece: bytes) -> None:
        """Take in a piece; aside it is hashed with those after it, a block at a time."""
        if not self._aside:
            self._hashed.update(piece)
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= _BLOCK:
            self._hand_over()

    def hexdigest(self) -> str:
        """The hash of everything that was added."""
        self.close()
        for piece in self._pieces:
            self._hashed.update(piece)
        self._pieces = []
        return self._hashed.hexdigest()

    def close(self) -> None:
        """End the thread; what is still waiting in it is hashed first."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _hand_over(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lobproof-digest", daemon=True)
            self._thread.start()
        self._queue.put(self._pieces)
        self._pieces, self._size = [], 0

    def _run(self) -> None:
        while (pieces := self._queue.get()) is not None:
            for piece in pieces:
                self._hashed.update(piece)

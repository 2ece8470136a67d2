"""``Truth``: the book as it was after each published message, for tests and checks."""

from __future__ import annotations

import numpy as np

from lobproof.schema import LEVELS, Int64
from lobproof.sources.simulator.feed import FeedBatch, FullBook


class Truth:
    """Collects a feed's ``truths`` and ``books``; the feed must be configured with ``tops``."""

    def __init__(self) -> None:
        self._ids: list[Int64] = []
        self._levels: list[Int64] = []
        self.books: list[FullBook] = []
        """Whole books, as often as ``FeedConfig.full_every`` asked for."""

    def add(self, batch: FeedBatch) -> None:
        """Take what the batch holds."""
        self._ids.append(batch.messages[:, 2].copy())
        self._levels.append(batch.truths.copy())
        self.books += batch.books

    @property
    def last_ids(self) -> Int64:
        """Final update id of every message, rising."""
        return np.concatenate([np.zeros(0, np.int64), *self._ids])

    @property
    def levels(self) -> Int64:
        """(messages, 80): bid price and size of level 0 … 19, then ask; 0, 0 in an empty slot."""
        return np.concatenate([np.zeros((0, 4 * LEVELS), np.int64), *self._levels])

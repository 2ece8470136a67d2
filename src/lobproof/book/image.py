"""``BookImage``: a whole book and what is trusted of it, as it is saved, stored, carried over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from lobproof.book.kernels import Book, apply_rows, dump_side, ensure_far_capacity, side_count
from lobproof.book.layout_kernels import new_book
from lobproof.book.trust_kernels import DEFINITE, UNKNOWN, set_range
from lobproof.schema import Int64
from lobproof.schema.plain import ASK, BID
from lobproof.schema.records import Record


@dataclass(frozen=True, slots=True)
class BookImage:
    """A whole book, best level first, counts on the grid.

    ``sequence``: id of the last depth message, -1 before the first. Of each side: ``trust``
    (``UNTRUSTED``, ``RANGE`` or ``EVERYTHING``) and ``trusted_to``, the far end of a range, else 0;
    ``stale``, 1 where beyond that range may lie levels from before a loss, which prove nothing;
    ``listed`` and ``listed_to``, of a snapshot whose id lies inside the next depth message, until
    that one comes, what it lists. ``awaits``, 1: that message may undo the snapshot, and what the
    book was before it is not here: only replays go on from this.
    """

    sequence: int
    bid_prices: Int64
    bid_sizes: Int64
    ask_prices: Int64
    ask_sizes: Int64
    bid_trust: int
    bid_trusted_to: int
    ask_trust: int
    ask_trusted_to: int
    bid_stale: int = 0
    ask_stale: int = 0
    bid_listed: int = 0
    bid_listed_to: int = 0
    ask_listed: int = 0
    ask_listed_to: int = 0
    awaits: int = 0

    @classmethod
    def of(cls, book: Book, trust: Record, sequence: int) -> BookImage:
        """The book as it stands."""
        bids, asks = trust.sides
        known = (bids.kind, bids.to, asks.kind, asks.to, bids.stale, asks.stale)
        listed = (bids.listed, bids.listed_to, asks.listed, asks.listed_to)
        numbers = [int(each) for each in (*known, *listed, trust.waits != DEFINITE)]
        return cls(int(sequence), *side_levels(book, BID), *side_levels(book, ASK), *numbers)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> BookImage:
        """The image that :meth:`to_arrays` wrote down."""
        sequence, *numbers = arrays["numbers"].tolist()
        bids, bid_sizes, asks, ask_sizes = (np.asarray(arrays[name], np.int64) for name in _LEVELS)
        return cls(sequence, bids, bid_sizes, asks, ask_sizes, *numbers)

    def to_arrays(self) -> dict[str, Int64]:
        """Levels, and all else as ``numbers``: 16 bytes a level."""
        return {name: getattr(self, name) for name in _LEVELS} | {
            "numbers": np.array([getattr(self, name) for name in _NUMBERS], np.int64)
        }

    def book(self, tick: int, window_ticks: int) -> Book:
        """A book of these levels; see :func:`new_book` for the arguments."""
        book = new_book(window_ticks, tick)
        for side, prices, sizes in (
            (BID, self.bid_prices, self.bid_sizes),
            (ASK, self.ask_prices, self.ask_sizes),
        ):
            book = ensure_far_capacity(book, len(prices))
            best = np.empty((4, len(prices)), np.int64)
            # copies: columns that cannot be written to are another type to numba
            rows = np.full(len(prices), side, np.int8), prices.copy(), sizes.copy()
            apply_rows(book, *rows, *best)
        return book

    def trusted(self, trust: Record) -> None:
        """Write what is trusted into the record that goes with the book."""
        set_range(trust, BID, self.bid_trust, self.bid_trusted_to)
        set_range(trust, ASK, self.ask_trust, self.ask_trusted_to)
        bids, asks = trust.sides
        bids.stale, asks.stale = self.bid_stale, self.ask_stale
        bids.listed, bids.listed_to = self.bid_listed, self.bid_listed_to
        asks.listed, asks.listed_to = self.ask_listed, self.ask_listed_to
        trust.waits = UNKNOWN if self.awaits else DEFINITE

    def equals(self, other: BookImage) -> bool:
        """Whether all of it is the same."""
        return all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in (*_NUMBERS, *_LEVELS)
        )


_LEVELS = ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes")
_NUMBERS = tuple(field.name for field in fields(BookImage) if field.name not in _LEVELS)


def side_levels(book: Book, side: int) -> tuple[Int64, Int64]:
    """Prices and sizes of all levels of a side, best first."""
    prices = np.empty(side_count(book, int(side)), np.int64)
    sizes = np.empty_like(prices)
    dump_side(book, int(side), prices, sizes)
    return prices, sizes

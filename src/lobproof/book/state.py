"""``OrderBook``: the kernels' book for Python, with checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from lobproof.book import kernels, trust_kernels
from lobproof.book.event_kernels import apply_stored, new_rebuild
from lobproof.book.image import BookImage, side_levels
from lobproof.book.layout_kernels import MAX_PRICE, TICK, TICKS, Book, new_book
from lobproof.errors import GridError, InputError
from lobproof.instruments import Instrument
from lobproof.schema import EVERYTHING, RANGE, EventBatch, Int8, Int64
from lobproof.schema.plain import ASK, BID
from lobproof.schema.records import Record, Records

WINDOW_TICKS = 1 << 18
"""Length of a side's dense window: 4 MiB for both sides, of which a book touches a small part."""


class Touches(NamedTuple):
    """Best bid and ask after each row of a batch; zeros where a side was empty."""

    bid: Int64
    bid_size: Int64
    ask: Int64
    ask_size: Int64


def _applied(book: Book, side: Int8, price: Int64, size: Int64) -> tuple[Book, Touches]:
    """Apply rows that were checked."""
    book = kernels.ensure_far_capacity(book, len(side))
    touches = Touches(*(np.empty(len(side), np.int64) for _ in Touches._fields))
    kernels.apply_rows(book, side, price, size, *touches)
    return book, touches


def book_of(image: BookImage, tick: int, window_ticks: int) -> tuple[Book, Records]:
    """The book of an image, and what :func:`apply_events` keeps beside it."""
    rebuilds = new_rebuild()
    image.trusted(rebuilds[0].trust)
    rebuilds[0].sequence = image.sequence
    return image.book(tick, window_ticks), rebuilds


def apply_events(book: Book, rebuilds: Records, events: EventBatch, start: int, stop: int) -> Book:
    """The book behind stored events, whole messages; it may have moved to more memory."""
    room = stop - start + int(rebuilds[0].trust.undo.logged)
    book = kernels.ensure_far_capacity(book, room)
    apply_stored(book, rebuilds, events.rows, start, stop)
    return book


class OrderBook:
    """A full-depth book of one instrument. Prices and sizes are counts on its decimal grid.

    - A level is a price and an absolute size; size 0 removes it, and removing what is not there is
      normal (a busy venue names levels that no snapshot showed).
    - Nothing keeps the two sides apart: a crossed book is a fact to report, not to repair.
    - *Trust* is a range of prices per side. ``UNTRUSTED``: levels may be missing or stale anywhere.
      ``RANGE``: complete from the touch to a price, that price included. ``EVERYTHING``: complete.
    - A snapshot of a side replaces the range from the touch to its worst price and leaves what
      lies beyond; one that lists the side whole (``complete``) replaces all of it. It widens the
      range to what it lists and never narrows it. A snapshot with CLEAR is :meth:`clear` before.
    - ``clear`` removes every level and all trust; a gap removes the trust and keeps the levels.

    Parameters
    ----------
    tick
        The instrument, or its tick in counts: it sets where levels are fast, not where they may
        be.
    window_ticks
        Length of the dense window of each side, a power of two.
    """

    def __init__(self, tick: Instrument | int = 1, *, window_ticks: int = WINDOW_TICKS) -> None:
        counts = tick if isinstance(tick, int) else tick.tick
        self._book = new_book(window_ticks, counts)
        self._rebuilds = new_rebuild()

    @classmethod
    def of(cls, image: BookImage, tick: int = 1, *, window_ticks: int = WINDOW_TICKS) -> Self:
        """The book of an image, and what is trusted of it."""
        book = cls(tick, window_ticks=64)
        book._book, book._rebuilds = book_of(image, tick, window_ticks)
        return book

    def __repr__(self) -> str:
        """A side a line: the touch, how many levels there are, and how far they are trusted."""
        return "\n".join(
            ["OrderBook, in counts on the grid", *map(self._told, ("bids", "asks"), (BID, ASK))]
        )

    def _repr_html_(self) -> str:
        """What ``repr`` says."""
        return f"<p>{repr(self).replace(chr(10), '<br>')}</p>"

    def _told(self, name: str, side: int) -> str:
        (price, size), (kind, to) = self._best(side), self.trust(side)
        touch = f"{price} x {size}" if self.count(side) else "empty"
        trust = {RANGE: f"trusted to {to}", EVERYTHING: "trusted to the last"}
        told = "none trusted, it is crossed" if self.crossed else trust.get(kind, "none trusted")
        return f"  {name}: {touch}; {self.count(side):,} levels, {told}"

    @property
    def sequence(self) -> int:
        """Update id of the last depth message that `apply_events` applied; -1 before the first."""
        return int(self._rebuilds[0].sequence)

    def apply_events(self, events: EventBatch, start: int = 0, stop: int | None = None) -> None:
        """Apply stored events, whole messages in rows ``start:stop``, as the replay knew them.

        Snapshots replace what they list, marks of a loss take trust away, trades leave the book
        alone. `Store.replay` gives such events, on one grid; they must follow those that the book
        was made of.
        """
        stop = len(events) if stop is None else stop
        self._book = apply_events(self._book, self._rebuilds, events, start, stop)

    def apply(self, side: int, price: int, size: int) -> int:
        """Set a level's size, 0 removes it; returns the size that it had."""
        _check(np.array([side]), np.array([price]), np.array([size]))
        self._book = kernels.ensure_far_capacity(self._book, 1)
        return int(kernels.apply_level(self._book, int(side), price, size))

    def apply_batch(self, side: ArrayLike, price: ArrayLike, size: ArrayLike) -> Touches:
        """Apply rows; returns the best bid and ask after each.

        Raises
        ------
        InputError, GridError
            A side, price or size that cannot be; the row is named and none was applied.
        """
        sides, prices, sizes = np.asarray(side), np.asarray(price), np.asarray(size)
        _check(sides, prices, sizes)
        self._book, touches = _applied(
            self._book,
            np.ascontiguousarray(sides, np.int8),
            np.ascontiguousarray(prices, np.int64),
            np.ascontiguousarray(sizes, np.int64),
        )
        return touches

    def snapshot(self, side: int, levels: Iterable[tuple[int, int]], *, complete: bool) -> None:
        """Apply a snapshot of one side, in any order; without levels it says nothing."""
        listed = np.array(list(levels), np.int64).reshape(-1, 2)
        if len(listed) == 0:
            return
        prices = listed[:, 0]
        sides = np.full(len(prices), side, np.int8)
        _check(sides, prices, listed[:, 1])
        worst = int(prices.min() if side == BID else prices.max())
        beyond = 1 if side == BID else MAX_PRICE
        self.clear_range(side, beyond if complete else worst)
        self.apply_batch(sides, prices, listed[:, 1])
        self.extend_trust(side, worst, complete)

    def clear(self) -> None:
        """Remove every level and all trust."""
        trust_kernels.clear(self._book, self._trust)

    def clear_range(self, side: int, worst_price: int) -> None:
        """Remove the levels from the touch to ``worst_price`` inclusive."""
        kernels.clear_side_range(self._book, int(side), worst_price)

    def columns(self, side: int) -> tuple[Int64, Int64]:
        """Prices and sizes of all levels, best first, as arrays."""
        return side_levels(self._book, int(side))

    def levels(self, side: int) -> list[tuple[int, int]]:
        """All levels, best first."""
        prices, sizes = self.columns(side)
        return list(zip(prices.tolist(), sizes.tolist(), strict=True))

    def bids(self, n: int = 20) -> list[tuple[int, int]]:
        """The best ``n`` bids."""
        return self._top(BID, n)

    def asks(self, n: int = 20) -> list[tuple[int, int]]:
        """The best ``n`` asks."""
        return self._top(ASK, n)

    @property
    def best_bid(self) -> tuple[int, int]:
        """Price and size, zeros where there is none."""
        return self._best(BID)

    @property
    def best_ask(self) -> tuple[int, int]:
        """Price and size, zeros where there is none."""
        return self._best(ASK)

    @property
    def crossed(self) -> bool:
        """Whether both sides have levels and the best bid is at or above the best ask."""
        return bool(kernels.crossed(self._book))

    def count(self, side: int) -> int:
        """Levels of the side."""
        return int(kernels.side_count(self._book, int(side)))

    def size_at(self, side: int, price: int) -> int:
        """Size of the level, 0 where there is none."""
        return int(kernels.level_size(self._book, int(side), price))

    def trust(self, side: int) -> tuple[int, int]:
        """Kind of trust, and the far end of the range (0 unless ``RANGE``)."""
        kind, to = trust_kernels.known_behind(self._trust, int(side))
        return int(kind), int(to)

    def set_trust(self, side: int, kind: int, price: int = 0) -> None:
        """Set the kind of trust, and the far end of a range."""
        trust_kernels.set_range(self._trust, int(side), kind, price)

    def extend_trust(self, side: int, price: int, complete: bool) -> None:
        """Note that a snapshot listed the side from the touch to ``price``, or all of it."""
        trust_kernels.extend(self._trust, int(side), price, complete)

    def trusted_slots(self, side: int, n: int = 20) -> int:
        """How many of the leading ``n`` slots are known right; none while the book is crossed."""
        return self.ladder(side, np.empty(n, np.int64), np.empty(n, np.int64))

    def ladder(self, side: int, prices: Int64, sizes: Int64) -> int:
        """`top`; returns how many of the leading slots are known right, none while crossed."""
        count = self.top(side, prices, sizes)
        if self.crossed:
            return 0
        kind, to = self.trust(side)
        return int(trust_kernels.slots_within(int(side), kind, to, prices, count, len(prices)))

    def top(self, side: int, prices: Int64, sizes: Int64) -> int:
        """Write the best levels of the side into columns, best first, and zeros after the last.

        As many as the columns are long; they may be strided views. Returns how many there were.
        """
        return int(kernels.top(self._book, int(side), len(prices), prices, sizes))

    def save(self) -> dict[str, Int64]:
        """Levels and trust as arrays, 16 bytes a level; :meth:`load` makes an equal book."""
        about = np.array([self._book[TICK], self._book[TICKS]], np.int64)
        image = BookImage.of(self._book, self._trust, self.sequence)
        return {**image.to_arrays(), "about": about}

    @classmethod
    def load(cls, saved: Mapping[str, Int64]) -> Self:
        """A book equal to the one that was saved."""
        tick, window_ticks = saved["about"].tolist()
        return cls.of(BookImage.from_arrays(saved), tick, window_ticks=window_ticks)

    @property
    def _trust(self) -> Record:
        trust: Record = self._rebuilds[0].trust
        return trust

    def _best(self, side: int) -> tuple[int, int]:
        return int(kernels.best_price(self._book, int(side))), int(
            kernels.best_size(self._book, int(side))
        )

    def _top(self, side: int, n: int) -> list[tuple[int, int]]:
        rows = np.empty((n, 2), np.int64)
        count = self.top(side, rows[:, 0], rows[:, 1])
        return [(price, size) for price, size in rows[:count].tolist()]


def _check(side: Int8, price: Int64, size: Int64) -> None:
    """Refuse what the kernels do not look at."""
    wrong = np.flatnonzero((side != BID) & (side != ASK))
    if len(wrong):
        raise InputError(
            f"row {wrong[0]}: side {side[wrong[0]]} is neither bid nor ask",
            hint="a level of the book has side 1 (bid) or 2 (ask); trades do not belong here",
        )
    wrong = np.flatnonzero((price < 1) | (price > MAX_PRICE) | (size < 0))
    if len(wrong):
        raise GridError(
            f"row {wrong[0]}: no book holds a size of {size[wrong[0]]} at {price[wrong[0]]}",
            hint="prices are counts above 0 and below 2**62, sizes 0 or more; decode the row anew",
        )

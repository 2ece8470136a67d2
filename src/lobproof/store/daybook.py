"""``DayBook``: the book of a stored day, moved from instant to instant."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lobproof.book import OrderBook
from lobproof.errors import StoreError
from lobproof.schema import (
    PENDING_MESSAGES,
    PENDING_NS,
    EventBatch,
    Finding,
    Flag,
    Int8,
    Int64,
    Kind,
    Side,
    speaks_of_the_feed,
)
from lobproof.store.bookview import BookView, SideLevels, Trust
from lobproof.store.catalog import SealedDay
from lobproof.store.columns import Grid
from lobproof.store.keyframe import Keyframe
from lobproof.store.playback import events_from, reading, whole_messages
from lobproof.timespan import show_ns

_WINDOW_TICKS = 1 << 16
_RECENT = 1 << 12
"""Events before an instant in which trades are looked for that no depth message shows yet."""


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One message of a stored day: rows ``start:stop`` of ``batch``, counts on one grid.

    Equal to itself alone.
    """

    event_id: int  # of its last row
    batch: EventBatch
    start: int
    stop: int

    @property
    def rows(self) -> EventBatch:
        """Its rows, as views."""
        return self.batch.slice(self.start, self.stop)

    @property
    def kind(self) -> Kind:
        """Of its first row: TRADE, DELTA, SNAPSHOT, CLEAR (a snapshot follows) or MARK."""
        return Kind(self.batch.kind[self.start])

    @property
    def flags(self) -> Flag:
        """Of its first row, ``LAST`` apart."""
        return Flag(int(self.batch.flags[self.start])) & ~Flag.LAST

    @property
    def ts_order(self) -> int:
        """Nanoseconds."""
        return int(self.batch.ts_order[self.start])

    @property
    def ts_event(self) -> int:
        """The exchange's time in nanoseconds; 0 is missing."""
        return int(self.batch.ts_event[self.start])

    @property
    def ts_recv(self) -> int:
        """The recorder's time in nanoseconds; 0 is missing."""
        return int(self.batch.ts_recv[self.start])

    @property
    def sequence(self) -> int:
        """Update id of a book message, id of a trade."""
        return int(self.batch.sequence[self.start])

    def __repr__(self) -> str:
        """What it is, when, and how many rows it has."""
        rows = self.stop - self.start
        many = f"{rows:,} rows" if rows > 1 else "1 row"
        return f"{self.kind.name} at {show_ns(self.ts_order)}, event {self.event_id:,}, {many}"


class Doubts:
    """Closed intervals of a day's event ids whose touch is in doubt, and why.

    ``rows``: ``first_event_id, last_event_id, code, detail``.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        self._rows = rows
        self._first = rows["first_event_id"].to_numpy()
        self._last = rows["last_event_id"].to_numpy()

    @property
    def intervals(self) -> list[tuple[int, int]]:
        """First and last event id of each, both inside."""
        return self._rows.select("first_event_id", "last_event_id").rows()

    def at(self, event_id: int) -> str:
        """The doubts that an event lies in, in words; empty with none."""
        inside = (self._first <= event_id) & (self._last >= event_id)
        if not inside.any():
            return ""
        found = self._rows.filter(inside).select("code", "detail").unique(maintain_order=True)
        return "; ".join(f"{Finding(code).name}: {detail}" for code, detail in found.iter_rows())


class DayBook:
    """The book of a day at one instant after the other.

    Forward it applies what happened between, or sets out from a later keyframe where that spares
    reading a row group; back it sets out from the keyframe before.

    Parameters
    ----------
    day
        The day.
    grid
        On which prices and sizes count: the day's own, or a finer one.
    paths
        Its files of ``events``.
    frames
        Its rows of ``keyframes``: raw, prices and sizes as counts on ``grid``.
    doubts
        When its touch is in doubt.
    """

    def __init__(
        self,
        day: SealedDay,
        grid: Grid,
        paths: Sequence[Path],
        frames: pl.LazyFrame,
        doubts: Doubts,
    ) -> None:
        self.day, self.grid = day, grid
        self._paths, self._frames, self._doubts = paths, frames, doubts
        finer = 10 ** (grid.price - day.grid.price)
        self._tick = math.gcd(*(rule.tick for rule in day.instrument.rules)) * finer
        # one that awaits the judgement on a snapshot does not tell all
        tells = (pl.col("awaits") == 0) | (pl.col("event_id") < 0)
        with reading(f"keyframes of {day.partition}"):
            known = frames.filter(tells).select("event_id", "ts_order").unique().collect()
        known = known.sort("event_id")
        self._ids, self._times = known["event_id"].to_numpy(), known["ts_order"].to_numpy()
        self.book = OrderBook(self._tick, window_ticks=_WINDOW_TICKS)
        self._groups: Iterator[tuple[int, EventBatch]] | None = None
        # rows that are loaded, the id of the first one, and how many of them are applied
        self._first, self._rows, self._done = 0, EventBatch.empty(), 0
        self._ts_order, self._sequence = 0, -1  # behind the rows loaded before

    def move(self, moment: int) -> None:
        """Make the book what it is after the last event with ``ts_order <= moment``.

        Raises
        ------
        StoreError
            If no keyframe is before that, or a file cannot be read.
        """
        at = self._keyframe(moment)
        behind = self._first + len(self._rows)
        if self._groups is None or moment < self.ts_order or self._ids[at] >= behind:
            self._begin(at)
        while self._load():
            stop = int(np.searchsorted(self._rows.ts_order, moment, "right"))
            if stop > self._done:
                self._apply(stop)
            if stop < len(self._rows):
                break

    def messages(self, end: int | None) -> Iterator[Message]:
        """Each message with ``ts_order < end`` that comes next, once the book has taken it in."""
        while self._load():
            rows = self._rows
            ends = np.flatnonzero(rows.flags[self._done :] & Flag.LAST) + self._done + 1
            if not len(ends) or ends[-1] < len(rows):
                ends = np.append(ends, len(rows))
            if end is not None:
                ends = ends[: np.searchsorted(rows.ts_order[ends - 1], end)]
            for stop in ends.tolist():
                start = self._done
                self._apply(stop)
                yield Message(self.event_id, rows, start, stop)
            if self._done < len(rows):
                return

    def view(self, moment: int, unheard: str, *, pending: bool) -> BookView:
        """The book as it stands.

        Parameters
        ----------
        moment
            The instant that it is asked for, ns: no earlier than the last event.
        unheard
            Why nothing vouches for it any more; empty where something does.
        pending
            Take off what trades consumed that no depth message shows yet.
        """
        levels = {side: self.book.columns(side) for side in (Side.BID, Side.ASK)}
        if pending:
            side, price, volume = pending_trades(self._recent())
            for s in levels:
                levels[s] = _take_off(*levels[s], price[side == s], volume[side == s])
        trust = {side: self.book.trust(side) for side in levels}
        bids, asks = (SideLevels(s, *levels[s], Trust(trust[s][0]), trust[s][1]) for s in levels)
        reason = self.doubt(unheard)
        return BookView(
            exchange=self.day.partition.exchange,
            symbol=self.day.partition.symbol,
            provenance=self.day.provenance,
            dt=self.day.partition.dt,
            time_ns=moment,
            ts_order=self.ts_order,
            event_id=self.event_id,
            sequence=self.sequence,
            grid=self.grid,
            bid_levels=bids,
            ask_levels=asks,
            crossed=self.book.crossed,
            doubtful=bool(reason),
            reason=reason,
            pending=pending,
        )

    def doubt(self, unheard: str) -> str:
        """Why the touch is in doubt, in words; empty where it is not."""
        return "; ".join(text for text in (self._doubts.at(self.event_id), unheard) if text)

    @property
    def event_id(self) -> int:
        """Of the last event; that of the keyframe before the first."""
        return self._first + self._done - 1

    @property
    def ts_order(self) -> int:
        """Of the last event."""
        return int(self._rows.ts_order[self._done - 1]) if self._done else self._ts_order

    @property
    def sequence(self) -> int:
        """Update id of the last depth message or snapshot; -1 before the first."""
        stop, width = self._done, 64
        while stop:
            start = max(stop - width, 0)
            ours = np.flatnonzero(_of_book(self._rows.slice(start, stop)))
            if len(ours):
                return int(self._rows.sequence[start + ours[-1]])
            stop, width = start, width * 8
        return self._sequence

    def _keyframe(self, moment: int) -> int:
        """Which keyframe is the last one at or before a time, or else opens the day."""
        at = int(np.searchsorted(self._times, moment, "right")) - 1
        if at >= 0:
            return at
        if len(self._ids) and self._ids[0] < 0:
            return 0
        raise StoreError(
            f"{self.day.partition} has no keyframe before {show_ns(moment)}.",
            hint="Reconstruct that day again.",
        )

    def _begin(self, at: int) -> None:
        """Set out from a keyframe."""
        event_id = int(self._ids[at])
        with reading(f"keyframes of {self.day.partition}"):
            rows = self._frames.filter(pl.col("event_id") == event_id).collect()
        frame = Keyframe.of(rows)
        self.book = OrderBook.of(frame.book, self._tick, window_ticks=_WINDOW_TICKS)
        self._ts_order, self._sequence = frame.ts_order, frame.book.sequence
        self._first, self._rows, self._done = event_id + 1, EventBatch.empty(), 0
        self._groups = whole_messages(events_from(self._paths, self.grid, event_id + 1))

    def _load(self) -> bool:
        """Whether there are rows that are not applied yet; reads on where it must."""
        if self._done < len(self._rows):
            return True
        group = None if self._groups is None else next(self._groups, None)
        if group is None:
            return False
        self._ts_order, self._sequence = self.ts_order, self.sequence
        self._first, self._rows = group
        self._done = 0
        return True

    def _apply(self, stop: int) -> None:
        """Apply the rows that are loaded, up to ``stop``."""
        self.book.apply_events(self._rows, self._done, stop)
        self._done = stop

    def _recent(self) -> EventBatch:
        """Events up to the last, back to where a trade may pend, or a CLEAR."""
        rows = self._rows.slice(max(self._done - _RECENT, 0), self._done)
        if _pends_from(rows) > 0 or (rows.kind == Kind.CLEAR).any():
            return rows
        return _before(self._paths, self.grid, self.event_id)


def pending_trades(rows: EventBatch) -> tuple[Int8, Int64, Int64]:
    """Volume that trades took from each level and no depth message shows yet.

    A trade stays pending until a depth message names its level on the maker's side, over
    ``PENDING_MESSAGES`` messages and ``PENDING_NS`` at most: in bursts the book lags its trades.

    Parameters
    ----------
    rows
        The events before the instant, back to where a trade may pend at least, or to a CLEAR.

    Returns
    -------
    tuple
        Side of the book, price and volume of each level, in counts.
    """
    clears = np.flatnonzero(rows.kind == Kind.CLEAR)
    floor = max([_pends_from(rows), *(clears[-1:] + 1).tolist()])
    rows = rows.slice(floor, len(rows))
    depth = _depth(rows)
    maker = np.where(rows.side == Side.BUY, np.int8(Side.ASK), np.int8(Side.BID))
    keys = 2 * rows.price + (np.where(depth, rows.side, maker) - 1)
    # a trade pends if no row behind it names its level: the last of each level's rows tells
    levels, where = np.unique(keys, return_inverse=True)
    named = np.full(len(levels), -1)
    named[where[depth]] = np.flatnonzero(depth)
    pends = np.flatnonzero((rows.kind == Kind.TRADE) & (named[where] < np.arange(len(rows))))
    volume = np.zeros(len(levels), np.int64)
    np.add.at(volume, where[pends], rows.size[pends])
    taken = np.unique(where[pends])
    return (levels[taken] % 2 + 1).astype(np.int8), levels[taken] // 2, volume[taken]


def _of_book(rows: EventBatch) -> NDArray[np.bool_]:
    """Rows of depth messages, empty ones included, and of snapshots."""
    levels = (rows.kind == Kind.DELTA) | (rows.kind == Kind.SNAPSHOT)
    empty = (rows.kind == Kind.MARK) & ~speaks_of_the_feed(rows.flags, rows.prev_sequence)
    both: NDArray[np.bool_] = levels | empty
    return both


def _depth(rows: EventBatch) -> NDArray[np.bool_]:
    """Rows of depth messages, empty ones included."""
    depth: NDArray[np.bool_] = _of_book(rows) & (rows.kind != Kind.SNAPSHOT)
    return depth


def _pends_from(rows: EventBatch) -> int:
    """The first row from which on a trade may pend; 0 where that may lie before them."""
    ends = np.flatnonzero(_depth(rows) & ((rows.flags & Flag.LAST) != 0))
    if len(ends) < PENDING_MESSAGES:
        return 0
    old = np.searchsorted(rows.ts_order, rows.ts_order[ends[-1]] - PENDING_NS, side="right")
    return int(min(ends[-PENDING_MESSAGES] + 1, old))


def _before(paths: Sequence[Path], grid: Grid, event_id: int) -> EventBatch:
    """Events up to ``event_id``, back to where a trade may pend, or a CLEAR."""
    stop, width = event_id + 1, 4096
    while True:
        start = max(stop - width, 0)
        parts = [rows for _, rows in events_from(paths, grid, start, stop_id=stop)]
        rows = EventBatch.concat(parts) if parts else EventBatch.empty()
        if start == 0 or _pends_from(rows) > 0 or (rows.kind == Kind.CLEAR).any():
            return rows
        width *= 8


def _take_off(prices: Int64, sizes: Int64, taken: Int64, volume: Int64) -> tuple[Int64, Int64]:
    """Levels less what trades took (prices ascending); a level that they emptied is gone."""
    if not len(taken):
        return prices, sizes
    at = np.minimum(np.searchsorted(taken, prices), len(taken) - 1)
    left = sizes - np.where(taken[at] == prices, volume[at], 0)
    return prices[left > 0], left[left > 0]

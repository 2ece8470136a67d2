"""``Store.book_at``: the book at an instant, from the keyframe before it and the events since."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from lobproof.book import side_levels
from lobproof.book.kernels import Book, crossed, ensure_far_capacity
from lobproof.book.trust_kernels import known_behind
from lobproof.fixedpoint import count_to_text, to_decimal128
from lobproof.schema import (
    EVERYTHING,
    PENDING_MESSAGES,
    PENDING_NS,
    RANGE,
    UNTRUSTED,
    EventBatch,
    Finding,
    Flag,
    Int8,
    Int64,
    Kind,
    Side,
    speaks_of_the_feed,
)
from lobproof.schema.provenance import made_of
from lobproof.schema.records import Records
from lobproof.store.catalog import SealedDay
from lobproof.store.keyframe import Keyframe
from lobproof.store.playback import events_from, whole_messages
from lobproof.store.rebuild_kernels import apply_events, new_rebuild
from lobproof.store.timespan import show_ns

_WINDOW_TICKS = 1 << 16


@dataclass(frozen=True, slots=True, repr=False)
class BookView:
    """The book after the last event at or before a time.

    ``bids`` and ``asks`` hold all levels, best first: ``price`` and ``size`` as exact
    ``Decimal(38, 18)``, and ``trusted``: whether the level is known to be right – its side is
    complete from the touch to there, the book is not crossed, no finding of ``quality`` puts the
    touch in doubt, and the book is still heard of (else ``doubtful``, for a ``reason``). A side's
    ``trust`` is UNTRUSTED, RANGE or EVERYTHING; ``trusted_to`` is the far end of a RANGE.
    """

    exchange: str
    symbol: str
    provenance: str
    dt: str
    ts_order: int  # of the last event, ns
    event_id: int  # of the last event
    sequence: int  # update id of the last book message
    bids: pl.DataFrame
    asks: pl.DataFrame
    bid_trust: int
    bid_trusted_to: Decimal | None
    ask_trust: int
    ask_trusted_to: Decimal | None
    crossed: bool
    doubtful: bool
    reason: str  # why it is doubtful: findings, or how long nothing has been heard; else empty
    pending: bool  # whether trades that no depth message shows yet are taken off

    @property
    def best_bid(self) -> Decimal | None:
        """Best bid price, None for an empty side."""
        return _first(self.bids)

    @property
    def best_ask(self) -> Decimal | None:
        """Best ask price, None for an empty side."""
        return _first(self.asks)

    def __repr__(self) -> str:
        """What it is of, the touch, how far it can be trusted, and why no further."""
        bids, asks = (self.bid_trust, self.bid_trusted_to), (self.ask_trust, self.ask_trusted_to)
        if self.crossed or self.doubtful:
            bids = asks = (UNTRUSTED, None)
        lines = [
            f"Book of {self.exchange} {self.symbol} ({made_of(self.provenance)}) "
            f"at {show_ns(self.ts_order)}, event {self.event_id:,}",
            f"bids: {_touch(self.bids)}; {self.bids.height:,} levels, {_trusted(*bids)}",
            f"asks: {_touch(self.asks)}; {self.asks.height:,} levels, {_trusted(*asks)}",
        ]
        if self.crossed:
            lines.append("crossed")
        if self.doubtful:
            lines.append(f"in doubt: {self.reason}")
        if self.pending:
            lines.append("less the trades that no depth message shows yet")
        return "\n".join(lines)


def _touch(levels: pl.DataFrame) -> str:
    if not levels.height:
        return "empty"
    # as stored they have eighteen decimals
    price, size = (f"{levels[name][0]:f}".rstrip("0").rstrip(".") for name in ("price", "size"))
    return f"{price} x {size}"


def _trusted(kind: int, end: Decimal | None) -> str:
    if end is not None:
        return f"trusted to {end:f}"
    return "trusted to the last" if kind == EVERYTHING else "none trusted"


def _first(levels: pl.DataFrame) -> Decimal | None:
    return levels["price"][0] if levels.height else None


def view_book(
    day: SealedDay,
    paths: Sequence[Path],
    frame: Keyframe,
    time: int,
    doubts: pl.DataFrame,
    unheard: str,
    *,
    pending: bool,
) -> BookView:
    """The book of a day at ``time``.

    Parameters
    ----------
    day, paths
        The day and its files of ``events``.
    frame
        A keyframe of the day at or before ``time``, on the day's grid.
    time
        Nanoseconds; the day must hold an event at or before it.
    doubts
        ``first_event_id, last_event_id, code, detail``: closed intervals whose touch is in doubt.
    unheard
        Why nothing vouches for the book at that time any more; empty where something does.
    pending
        Take off what trades consumed that no depth message shows yet.
    """
    tick = math.gcd(*(rule.tick for rule in day.instrument.rules))
    book, rebuilds = book_of(frame, tick)
    event_id, ts_order, sequence = frame.event_id, frame.ts_order, frame.book.sequence
    since = events_from(paths, day.grid, frame.event_id + 1, time)
    for start, rows in whole_messages(since):
        book = apply_rows(book, rebuilds, rows)
        event_id, ts_order = start + len(rows) - 1, int(rows.ts_order[-1])
        ours = np.flatnonzero(_of_book(rows))
        sequence = int(rows.sequence[ours[-1]]) if len(ours) else sequence
    levels = {side: side_levels(book, int(side)) for side in (Side.BID, Side.ASK)}
    if pending:
        side, price, volume = pending_trades(_before(paths, day, event_id))
        for s in levels:
            levels[s] = _take_off(*levels[s], price[side == s], volume[side == s])
    reason = "; ".join(text for text in (doubts_at(doubts, event_id), unheard) if text)
    usable = not reason and not crossed(book)
    (bid_kind, bid_end), (ask_kind, ask_end) = (
        known_behind(rebuilds[0].trust, int(side)) for side in levels
    )
    return BookView(
        exchange=day.partition.exchange,
        symbol=day.partition.symbol,
        provenance=day.provenance,
        dt=day.partition.dt,
        ts_order=ts_order,
        event_id=event_id,
        sequence=sequence,
        bids=_frame(day, Side.BID, *levels[Side.BID], bid_kind if usable else UNTRUSTED, bid_end),
        asks=_frame(day, Side.ASK, *levels[Side.ASK], ask_kind if usable else UNTRUSTED, ask_end),
        bid_trust=int(bid_kind),
        bid_trusted_to=_far_end(day, bid_kind, bid_end),
        ask_trust=int(ask_kind),
        ask_trusted_to=_far_end(day, ask_kind, ask_end),
        crossed=bool(crossed(book)),
        doubtful=bool(reason),
        reason=reason,
        pending=pending,
    )


def doubts_at(doubts: pl.DataFrame, event_id: int) -> str:
    """The doubts that an event lies in, in words; empty with none."""
    found = doubts.filter(
        (pl.col("first_event_id") <= event_id) & (pl.col("last_event_id") >= event_id)
    )
    rows = found.select("code", "detail").unique(maintain_order=True).iter_rows()
    return "; ".join(f"{Finding(code).name}: {detail}" for code, detail in rows)


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


def _before(paths: Sequence[Path], day: SealedDay, event_id: int) -> EventBatch:
    """Events up to ``event_id``, back to where a trade may pend, or a CLEAR."""
    stop, width = event_id + 1, 4096
    while True:
        start = max(stop - width, 0)
        parts = [rows for _, rows in events_from(paths, day.grid, start, stop_id=stop)]
        rows = EventBatch.concat(parts) if parts else EventBatch.empty()
        if start == 0 or _pends_from(rows) > 0 or (rows.kind == Kind.CLEAR).any():
            return rows
        width *= 8


def book_of(frame: Keyframe, tick: int) -> tuple[Book, Records]:
    """A keyframe's book, and what `apply_events` keeps beside it."""
    rebuilds = new_rebuild()
    frame.book.trusted(rebuilds[0].trust)
    rebuilds[0].sequence = frame.book.sequence
    return frame.book.book(tick, _WINDOW_TICKS), rebuilds


def apply_rows(book: Book, rebuilds: Records, rows: EventBatch) -> Book:
    """The book behind these events, whole messages; it may have moved to more memory."""
    rebuild = rebuilds[0]
    book = ensure_far_capacity(book, len(rows) + int(rebuild.trust.undo.logged))
    apply_events(book, rebuild, rows.rows, 0, len(rows))
    return book


def _take_off(prices: Int64, sizes: Int64, taken: Int64, volume: Int64) -> tuple[Int64, Int64]:
    """Levels less what trades took (prices ascending); a level that they emptied is gone."""
    if not len(taken):
        return prices, sizes
    at = np.minimum(np.searchsorted(taken, prices), len(taken) - 1)
    left = sizes - np.where(taken[at] == prices, volume[at], 0)
    return prices[left > 0], left[left > 0]


def _frame(
    day: SealedDay, side: Side, prices: Int64, sizes: Int64, kind: int, end: int
) -> pl.DataFrame:
    sign = 2 * int(side) - 3
    trusted = np.full(len(prices), kind == EVERYTHING)
    if kind == RANGE:
        trusted = sign * prices <= sign * end
    table = pa.table(
        {
            "price": to_decimal128(prices, day.grid.price),
            "size": to_decimal128(sizes, day.grid.size),
            "trusted": trusted,
        }
    )
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _far_end(day: SealedDay, kind: int, end: int) -> Decimal | None:
    return Decimal(count_to_text(int(end), day.grid.price)) if kind == RANGE else None

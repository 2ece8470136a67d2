"""Messages of a feed by hand and at random, and the kernels' replay of them in batches."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from lobproof.book import BookImage
from lobproof.instruments import Instrument, Rule
from lobproof.replay import (
    BookAudit,
    Merge,
    Replayer,
    Segment,
    StreamClock,
    TradeAudit,
    quality_rows,
    stamped,
)
from lobproof.replay import replayer as replayer_module
from lobproof.replay.state_kernels import FINDING_ROW
from lobproof.schema import EventBatch, Finding, Flag, Kind, Side, StateBatch
from lobproof.schema.records import Records, joined_rows, records
from lobproof.schema.tables import MINUTES
from support.stream_reference import Message, Row, to_batch

MS = 10**6
MINUTE = 60 * 10**9
START = 1_723_100_400 * 10**9
"""2024-08-08T07:00 UTC."""
OFFSET = 5 * MS
BID, ASK = int(Side.BID), int(Side.ASK)
LAST = int(Flag.LAST)

Level = tuple[int, int]
Change = tuple[int, int, int]
"""Side, price, size."""


def make_instrument(*rules: Rule) -> Instrument:
    return Instrument("BINANCE", "BTC-USDT", "BTCUSDT", 2, 5, rules or (Rule(0, 1, 1),))


def depth(
    seq: int, prev: int, changes: Iterable[Change] = (), *, at: int = 0, recv: int | None = None
) -> Message:
    """A depth message ``at`` ns after the start; received on time unless said."""
    time = START + at
    base = (0, time, time + OFFSET if recv is None else recv, seq, prev)
    rows = [Row(*base, int(Kind.DELTA), *change) for change in changes] or [Row(*base)]
    rows[-1].flags |= LAST
    return rows


def snapshot(
    seq: int, bids: Iterable[Level], asks: Iterable[Level], *, at: int = 0, whole: bool = False
) -> Message:
    """A snapshot; ``whole`` marks its sides as complete."""
    flags = int(Flag.COMPLETE) if whole else 0
    base = (0, 0, START + at + OFFSET, seq, seq, int(Kind.SNAPSHOT))
    rows = [
        Row(*base, side, price, size, flags)
        for side, levels in ((BID, bids), (ASK, asks))
        for price, size in levels
    ]
    rows[-1].flags |= LAST
    return rows


def trade(
    number: int, taker: int, price: int, size: int = 1, *, at: int = 0, prev: int | None = None
) -> Message:
    time = START + at
    before = number - 1 if prev is None else prev
    kind = int(Kind.TRADE)
    return [Row(0, time, time + OFFSET, number, before, kind, taker, price, size, LAST)]


def mark(flags: Flag, *, at: int = 0, seq: int = -1) -> Message:
    """A mark of the source, such as an unreadable line."""
    return [Row(0, 0, START + at + OFFSET, seq, seq, flags=int(flags) | LAST)]


def book_of(depth_levels: int = 5, size: int = 10) -> tuple[list[Level], list[Level]]:
    """Bids from 1000 down and asks from 1001 up."""
    bids = [(1000 - i, size) for i in range(depth_levels)]
    return bids, [(1001 + i, size) for i in range(depth_levels)]


# the replay in batches -------------------------------------------------------------------------


@dataclass
class Replayed:
    """What the kernels made of a feed."""

    events: EventBatch
    states: StateBatch
    found: Records
    minutes: dict[str, NDArray[np.generic]]
    levels: BookImage
    coverage: dict[str, Any]

    def findings(self) -> list[tuple[str, int, int, int]]:
        """Name, first and last event and count of each finding, by first event."""
        rows = quality_rows(self.found)
        names = [Finding(int(str(code))).name for code in rows["code"]]
        columns = ("first_event_id", "last_event_id", "count")
        first, last, count = ([int(str(n)) for n in rows[name]] for name in columns)
        return list(zip(names, first, last, count, strict=True))

    def flags(self) -> list[Flag]:
        return [Flag(flag) for flag in self.events.flags.tolist()]

    def trusted(self) -> list[tuple[int, int]]:
        columns = (self.states.bid_trusted.tolist(), self.states.ask_trusted.tolist())
        return list(zip(*columns, strict=True))


def findings_of(rows: Sequence[Sequence[int]]) -> Records:
    """Findings of their numbers, in the order of the record's fields."""
    return records(FINDING_ROW, np.array(rows, np.int64))


def batches(messages: Sequence[Message], cuts: Iterable[int] = ()) -> Iterator[EventBatch]:
    """The messages in batches that end at ``cuts`` (message numbers)."""
    edges = sorted({0, len(messages), *(cut for cut in cuts if 0 < cut < len(messages))})
    for start, stop in pairwise(edges):
        yield to_batch(messages[start:stop])


def ordered(
    book: Sequence[Message],
    trades: Sequence[Message] = (),
    *,
    book_cuts: Iterable[int] = (),
    trade_cuts: Iterable[int] = (),
) -> list[EventBatch]:
    """The feed judged and in order, in the batches that come of it."""
    book_audit, trade_audit = BookAudit(), TradeAudit()
    left = (Segment.of(book_audit.process(batch)) for batch in batches(book, book_cuts))
    right = (Segment.of(trade_audit.process(batch)) for batch in batches(trades, trade_cuts))
    merged = Merge(stamped(left, StreamClock(OFFSET)), stamped(right, StreamClock(OFFSET)))
    return [segment.events for segment in merged]


def replay(
    book: Sequence[Message],
    trades: Sequence[Message] = (),
    *,
    instrument: Instrument | None = None,
    state_every: int = 0,
    book_cuts: Iterable[int] = (),
    trade_cuts: Iterable[int] = (),
) -> Replayed:
    """Audit, order and replay a feed that lies within one day."""
    with patch.object(replayer_module, "WINDOW_TICKS", 1 << 9):  # plain Python walks all of it
        replayer = Replayer(instrument or make_instrument(), state_every=state_every)
    parts = ordered(book, trades, book_cuts=book_cuts, trade_cuts=trade_cuts)
    replayer.begin_day(int(parts[0].ts_order[0]))
    outputs, count = [], 0
    for part in parts:
        outputs.append(replayer.process(part, count))
        count += len(part)
    outputs.append(replayer.end_day(count - 1, int(parts[-1].ts_order[-1])))
    found = joined_rows([output.findings for output in outputs])
    return Replayed(
        EventBatch.concat(parts),
        StateBatch.concat([output.states for output in outputs]),
        found,
        {
            name: np.concatenate([output.minutes[name] for output in outputs])
            for name in MINUTES.schema.names
        },
        replayer.levels(),
        replayer.coverage(found),
    )


def same(got: Replayed, other: Replayed) -> None:
    """Assert that two replays gave the same."""
    for name in (f.name for f in fields(EventBatch)):
        assert np.array_equal(getattr(got.events, name), getattr(other.events, name)), name
    for name in (f.name for f in fields(StateBatch)):
        assert np.array_equal(getattr(got.states, name), getattr(other.states, name)), name
    assert sorted(got.found.tolist()) == sorted(other.found.tolist())
    for name, column in got.minutes.items():
        np.testing.assert_array_equal(column, other.minutes[name])
    assert got.coverage == other.coverage


# random feeds ------------------------------------------------------------------------------------


@dataclass
class RandomFeed:
    """A small market whose feed loses, repeats, delays and garbles messages now and then."""

    rng: random.Random
    chained: bool = True
    book: list[Message] = field(default_factory=list)
    trades: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.truth: dict[int, dict[int, int]] = {BID: {}, ASK: {}}
        self.time = self.seq = 0
        self.trade_id = 50
        self.seq = 100

    def run(self, steps: int) -> RandomFeed:
        for _ in range(steps):
            action = self.rng.choice("dddddddtttsnexlomr")
            getattr(self, f"_{action}")()
            self.time += self.rng.choice([0, 0, 1, 100, 100, 7_000, 40_000]) * MS
        return self

    def _changes(self) -> list[Change]:
        changes = []
        for side in (BID, ASK):
            for _ in range(self.rng.randrange(3)):
                offset = self.rng.choice([0, 0, 1, 1, 2, 3, 4, 6, 9, -2])
                price = 1000 - offset if side == BID else 1001 + offset
                changes.append((side, price, self.rng.choice([0, 0, 1, 2, 3, 4])))
        return changes

    def _next(self) -> Message:
        """The market's next depth message."""
        prev, self.seq = self.seq, self.seq + self.rng.randrange(1, 6)
        changes = self._changes()
        for side, price, size in changes:
            self.truth[side].pop(price, None)
            if size:
                self.truth[side][price] = size
        message = depth(self.seq, prev if self.chained else -1, changes, at=self.time)
        event, recv = message[0].ts_event, message[0].ts_recv
        if self.rng.random() < 0.05:
            event = self.rng.choice([0, -1, START + 10**15, 5])
            recv = self.rng.choice([0, recv, recv, START + 10**15])
        for row in message:
            row.ts_event, row.ts_recv = event, recv
        return message

    def _d(self) -> None:
        self.book.append(self._next())

    def _e(self) -> None:
        """An empty depth message, overlapping the one before now and then."""
        prev, self.seq = self.seq, self.seq + 3
        back = self.rng.choice([0, 0, 2]) if self.chained else prev + 1
        self.book.append(depth(self.seq, prev - back, at=self.time))

    def _x(self) -> None:
        """A loss, maybe bridged by a snapshot."""
        if self.rng.random() < 0.3:
            self._next()
            if self.rng.random() < 0.5:
                self._s()

    def _l(self) -> None:
        """A message again or late; or one that overlaps."""
        known = [m for m in self.book[-4:] if m[0].kind == Kind.DELTA]
        if known and self.rng.random() < 0.5:
            again = self.rng.choice(known)
            self.book.append([Row(*_values(row)) for row in again])
        elif self.chained:
            message = self._next()
            for row in message:
                row.prev_sequence -= 2
            self.book.append(message)

    def _r(self) -> None:
        """The venue's ids begin anew, or a message's last id is absurd."""
        if self.rng.random() < 0.2:
            self.seq = 50 if self.rng.random() < 0.5 else self.seq + 10**9

    def _s(self) -> None:
        """A snapshot of the truth, garbled now and then; ``_n`` puts it inside a message."""
        self._list(self.seq + self.rng.choice([0, 0, 0, -3]))

    def _n(self) -> None:
        self._list(self.seq + 1)
        if self.rng.random() < 0.3:
            self._list(self.seq + 1)
        self.book.append(self._next())

    def _list(self, seq: int) -> None:
        limit = self.rng.choice([1, 2, 3, 20])
        bids = sorted(self.truth[BID].items(), reverse=True)
        asks = sorted((p, s) for p, s in self.truth[ASK].items() if not bids or p > bids[0][0])
        bids, asks = bids[:limit], asks[:limit]
        garbled = self.rng.randrange(8)
        if garbled == 0 and bids:
            bids[-1] = (bids[-1][0], bids[-1][1] + self.rng.choice([1, -bids[-1][1]]))
        if garbled == 1 and asks:
            asks = asks[::-1]
        if garbled == 2 and asks:
            asks[-1] = (asks[-1][0] + 1, 2)
        if bids or asks:
            self.book.append(snapshot(seq, bids, asks, at=self.time, whole=limit == 20))
        else:
            self.book.append([Row(0, 0, START + self.time, seq, seq, flags=LAST)])

    def _o(self) -> None:
        if self.rng.random() < 0.3:
            self.book.append(mark(self.rng.choice([Flag.INVALID, Flag.RECONNECT]), at=self.time))
        elif self.rng.random() < 0.2:
            self.trades.append(mark(Flag.INVALID | Flag.TRADES, at=self.time))

    def _m(self) -> None:
        """Trade ids with holes, repeats and late ones."""
        jump = self.rng.choice([0, -1, -2, 2, 3])
        self._trade(self.trade_id + jump)

    def _t(self) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            self._trade(self.trade_id + 1)

    def _trade(self, number: int) -> None:
        taker = self.rng.choice([BID, ASK])
        price = 1001 if taker == BID else 1000
        price += self.rng.choice([0, 0, 1, -1])
        size = self.rng.choice([1, 2, 5])
        self.trade_id = max(self.trade_id, number)
        self.trades.append(trade(number, taker, price, size, at=self.time))


def _values(row: Row) -> list[int]:
    return [getattr(row, name) for name in Row.__slots__]


__all__ = [
    "ASK",
    "BID",
    "LAST",
    "MINUTE",
    "MS",
    "OFFSET",
    "START",
    "RandomFeed",
    "Replayed",
    "batches",
    "book_of",
    "depth",
    "make_instrument",
    "mark",
    "ordered",
    "replay",
    "same",
    "snapshot",
    "trade",
]

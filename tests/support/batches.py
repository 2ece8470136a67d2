"""Small synthetic symbol-days: events, states and keyframes of a book kept in plain dicts."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from lobproof.book import BookImage
from lobproof.instruments import Instrument, Rule
from lobproof.schema import (
    EVERYTHING,
    LEVELS,
    EventBatch,
    Finding,
    Flag,
    Kind,
    Order,
    Severity,
    Side,
    StateBatch,
)
from lobproof.schema.tables import MINUTES, PART_ROWS, QUALITY
from lobproof.store import DayContent, DayWriter, Keyframe, commit_day, symbol_lock
from plain.messages import Event, level, listed, message_of, to_batch

DAY_NS = 86_400 * 10**9
START_NS = 1_723_075_200 * 10**9
"""2024-08-08T00:00 UTC."""
DT = "2024-08-08"

Book = dict[int, dict[int, int]]


def make_instrument(
    symbol: str = "BTC-USDT",
    exchange: str = "BINANCE",
    price_exponent: int = 2,
    size_exponent: int = 8,
) -> Instrument:
    """An instrument with a tick of one count and a lot of 1000."""
    return Instrument(
        exchange,
        symbol,
        symbol.replace("-", ""),
        price_exponent,
        size_exponent,
        (Rule(0, 1, 1000),),
    )


@dataclass
class Day:
    """A synthetic symbol-day and the truth about it."""

    instrument: Instrument
    dt: str
    events: EventBatch
    states: StateBatch
    frames: list[Keyframe]
    quality: dict[str, list[object]]
    minutes: dict[str, list[object]]
    books: dict[int, Book] = field(default_factory=dict)  # after each message, by its last event

    def split(self, rng: random.Random) -> Iterator[tuple[EventBatch, StateBatch]]:
        """The day in random batches of whole messages."""
        ends = (np.flatnonzero(self.events.flags & Flag.LAST) + 1).tolist()
        start = 0
        while start < len(self.events):
            left = [end for end in ends if end > start]
            stop = left[min(rng.choice([0, 1, 3, 10, 50, 10_000]), len(left) - 1)]
            ids = self.states.event_id
            low, high = np.searchsorted(ids, [start, stop])
            yield self.events.slice(start, stop), self.states.slice(int(low), int(high))
            start = stop


def _rows(book: Book, side: int) -> list[tuple[int, int]]:
    return sorted(book[side].items(), reverse=side == Side.BID)


def _frame(book: Book, event_id: int, ts: int, sequence: int, empty: bool) -> Keyframe:
    bids, asks = (
        np.array(_rows(book, side), np.int64).reshape(-1, 2) for side in (Side.BID, Side.ASK)
    )
    trust = 0 if empty else EVERYTHING
    image = BookImage(
        sequence,
        bids[:, 0].copy(),
        bids[:, 1].copy(),
        asks[:, 0].copy(),
        asks[:, 1].copy(),
        trust,
        0,
        trust,
        0,
    )
    return Keyframe(event_id, ts, image)


def make_day(
    seed: int = 1,
    messages: int = 300,
    *,
    instrument: Instrument | None = None,
    dt: str = DT,
    start_ns: int = START_NS,
    frame_every: int = 40,
    tie_every: int = 5,
) -> Day:
    """A random day: an anchor snapshot, then depth messages, trades, marks.

    Every ``tie_every``-th message shares the time of the one before it.
    """
    rng = random.Random(seed)
    book: Book = {Side.BID: {}, Side.ASK: {}}
    events: list[Event] = []
    states: list[tuple[tuple[int, ...], list[int]]] = []
    frames = [_frame(book, -1, start_ns, 0, empty=True)]
    books = {}
    mid, ts, sequence, trade_id = 1_000_000, start_ns + 1000, 5000, 70

    def message(rows: Sequence[Event], seq: int, prev: int, flags: int = 0) -> None:
        times = {"ts_order": ts, "ts_event": ts - 3, "ts_recv": ts + 5000}
        ids = {"sequence": seq, "prev_sequence": prev}
        events.extend(message_of(rows, **times, **ids, flags=int(flags)))
        for row in rows:
            if row.kind in (Kind.DELTA, Kind.SNAPSHOT):
                if row.size:
                    book[row.side][row.price] = row.size
                else:
                    book[row.side].pop(row.price, None)
        event_id = len(events) - 1
        books[event_id] = {s: dict(levels) for s, levels in book.items()}
        if rows[0].kind != Kind.TRADE:
            levels = []
            for side in (Side.BID, Side.ASK):
                top = _rows(book, side)[:LEVELS]
                levels += [n for row in top for n in row] + [0] * (2 * (LEVELS - len(top)))
            states.append(((event_id, ts, ts - 3, seq, LEVELS, LEVELS, flags), levels))

    def size() -> int:
        return rng.randrange(1, 10**6) * 1000

    sides = [[(mid + sign * (i + 1), size()) for i in range(30)] for sign in (-1, 1)]
    anchor = [Event(kind=int(Kind.CLEAR)), *listed(*sides)]
    message(anchor, sequence, sequence, Flag.RESYNC | Flag.COMPLETE)
    for number in range(messages):
        if number % tie_every:
            ts += rng.randrange(1, 10**9)
        kind = rng.random()
        if kind < 0.3:
            side = rng.choice([Side.BUY, Side.SELL])
            touch = _rows(book, Side.ASK if side == Side.BUY else Side.BID)[0]
            trade_id += 1
            taken = max(touch[1] // 2, 1)
            message([level(Kind.TRADE, side, touch[0], taken)], trade_id, trade_id - 1)
        elif kind < 0.35:
            sequence += 1
            message([Event()], sequence, sequence - 1)
        else:
            rows = []
            for side, sign in ((Side.BID, -1), (Side.ASK, 1)):
                for offset in rng.sample(range(60), rng.randrange(0, 4)):
                    gone = rng.random() < 0.4 and len(book[side]) > 5 and offset > 0
                    price = mid + sign * (offset + 1)
                    rows.append(level(Kind.DELTA, side, price, 0 if gone else size()))
            if not rows:
                rows = [Event()]
            first = sequence + 1
            sequence += rng.randrange(1, 9)
            message(rows, sequence, first - 1)
        if number % frame_every == frame_every - 1:
            frames.append(_frame(book, len(events) - 1, ts, sequence, empty=False))
    if frames[-1].event_id != len(events) - 1:
        frames.append(_frame(book, len(events) - 1, ts, sequence, empty=False))

    batch = to_batch([events])
    heads = np.array([head for head, _ in states], np.int64).T
    state_batch = StateBatch(
        heads[0].copy(),
        heads[1].copy(),
        heads[2].copy(),
        heads[3].copy(),
        np.array([levels for _, levels in states], np.int64),
        heads[4].astype(np.int8),
        heads[5].astype(np.int8),
        heads[6].astype(np.int32),
    )
    quality: dict[str, list[object]] = {name: [] for name in QUALITY.schema.names}
    findings = [
        (0, 0, start_ns, start_ns, Finding.BAD_TS, Severity.INFO, 1, "the snapshot: no time"),
        (100, 120, ts, ts, Finding.GAP, Severity.DOUBT, 1, "ids 1 … 2, „missing“"),
        (110, 130, ts, ts, Finding.DRIFT, Severity.DOUBT, 2, ""),
        (200, 205, ts, ts, Finding.OFF_LOT, Severity.INFO, 3, "lot"),
    ]
    for row in findings:
        for name, value in zip(quality, row, strict=True):
            quality[name].append(int(value) if isinstance(value, int) else value)
    minutes: dict[str, list[object]] = {
        name: [float("nan") if str(kind) == "double" else 7 + i for i in range(3)]
        for name, kind in zip(MINUTES.schema.names, MINUTES.schema.types, strict=True)
    }
    minutes["minute"] = [start_ns + i * 60 * 10**9 for i in range(3)]
    minutes["spread_ticks_mean"] = [1.5, 2.25, float("nan")]
    return Day(
        instrument or make_instrument(), dt, batch, state_batch, frames, quality, minutes, books
    )


CONFIG = {"states": "all", "order": asdict(Order())}


def make_seal(**changes: object) -> dict[str, object]:
    """What a caller says of a day."""
    return {
        "provenance": "synthetic",
        "certified": False,
        "strategy": "full",
        "trades": 1,
        "book_messages": 2,
        "gaps": 0,
        "doubtful_ns": 0,
        "warm_up_ns": 0,
        "coverage": {"limit_ns": 5 * 10**9, "life_ts": 0, "outages": [], "streams": {}},
        "inputs": [{"name": "made-up", "bytes": 1, "sha256": "00"}],
        "config": CONFIG,
        "carried_from": "",
        "task_id": "t",
        "task_part": 0,
        "task_last": True,
        "verdicts": {},
        **changes,
    }


def fill(writer: DayWriter, day: Day, rng: random.Random | None = None) -> None:
    """Append a whole day, in one batch or in random ones, keyframes as early as allowed."""
    batches = day.split(rng) if rng else iter([(day.events, day.states)])
    frames = list(day.frames)
    for events, states in batches:
        writer.append(events, states)
        while frames and frames[0].event_id < writer.rows:
            writer.keyframe(frames.pop(0))
    writer.quality(day.quality)
    writer.minutes(day.minutes)


def store_day(
    root: Path,
    day: Day,
    rng: random.Random | None = None,
    *,
    part_rows: int = PART_ROWS,
    **seal: object,
) -> tuple[DayContent, bool]:
    """Write and commit a day; also says whether anything was committed."""
    with (
        symbol_lock(root, day.instrument.exchange, day.instrument.symbol),
        DayWriter(root, day.instrument, day.dt, part_rows=part_rows) as writer,
    ):
        fill(writer, day, rng)
        content = writer.close()
        return content, commit_day(root, content, make_seal(**seal))


__all__ = ["Book", "Day", "fill", "make_day", "make_instrument", "make_seal", "store_day"]

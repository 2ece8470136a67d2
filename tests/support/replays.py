"""lobproof's replay of messages by hand, in any batches, and what it is held against.

``replay`` and ``run_lake`` give what the kernels make of a feed. ``agree`` holds that against the
plain replay, ``same`` against another replay, ``same_at_every_state`` against the stored events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import pairwise
from operator import le
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from lobproof.book import BookImage, book_of
from lobproof.book.event_kernels import apply_events
from lobproof.book.kernels import Book, crossed, ensure_far_capacity, top
from lobproof.book.trust_kernels import known_behind, slots_within
from lobproof.instruments import Instrument, Rule
from lobproof.pipeline.feed import Feed, Open, Streams, apart
from lobproof.replay import (
    BookAudit,
    Merge,
    Policy,
    Replayer,
    ReplayOutput,
    Segment,
    StreamClock,
    TradeAudit,
    quality_rows,
    stamped,
)
from lobproof.replay import replayer as replayer_module
from lobproof.replay.merge import Array, arrays_of, segment_of
from lobproof.replay.output import Chunk, joined
from lobproof.replay.replayer import MOST_PARTS
from lobproof.replay.state_kernels import FINDING_ROW
from lobproof.schema import (
    LEVELS,
    UNTRUSTED,
    EventBatch,
    Finding,
    Flag,
    Side,
    StateBatch,
    VendorBatch,
)
from lobproof.schema.records import Record, Records, joined_rows, records
from lobproof.schema.tables import MINUTES
from lobproof.sources.cryptolake.decode import as_snapshots
from lobproof.store.keyframe import Keyframe
from plain.lake_replay import LakeStreams
from plain.messages import (
    ASK,
    BID,
    OFFSET,
    Event,
    Message,
    VendorRow,
    to_batch,
    to_rows,
    to_vendor_batch,
)
from plain.replay import Found, PlainReplay, State
from support.lake_files import write

LAKE = Policy(chainless=True)
B = TypeVar("B", EventBatch, VendorBatch)


def make_instrument(*rules: Rule) -> Instrument:
    return Instrument("BINANCE", "BTC-USDT", "BTCUSDT", 2, 5, rules or (Rule(0, 1, 1),))


# a feed with a chain ----------------------------------------------------------------------------


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


def agree(got: Replayed, messages: Sequence[Message], plain: PlainReplay) -> None:
    """Assert that lobproof gave what the plain replay gave."""
    assert to_rows(got.events) == [row for message in messages for row in message]
    states = zip(
        got.states.event_id.tolist(),
        got.states.ts_order.tolist(),
        got.states.ts_event.tolist(),
        got.states.sequence.tolist(),
        [tuple(levels) for levels in got.states.levels.tolist()],
        got.states.bid_trusted.tolist(),
        got.states.ask_trusted.tolist(),
        got.states.flags.tolist(),
        strict=True,
    )
    assert list(map(State._make, states)) == plain.states
    assert sorted(Found(*row) for row in got.found.tolist()) == sorted(plain.findings)
    rows = [plain.minute_row(minute) for minute in plain.minutes]
    for name in MINUTES.schema.names:
        wanted = [row.get(name, 0) for row in rows]
        np.testing.assert_allclose(got.minutes[name].astype(float), wanted, err_msg=name)
    for side, prices, sizes, trust, end in (
        (Side.BID, got.levels.bid_prices, got.levels.bid_sizes, got.levels.bid_trust,
         got.levels.bid_trusted_to),
        (Side.ASK, got.levels.ask_prices, got.levels.ask_sizes, got.levels.ask_trust,
         got.levels.ask_trusted_to),
    ):  # fmt: skip
        assert list(zip(prices.tolist(), sizes.tolist(), strict=True)) == plain.book.levels(side)
        assert (trust, end) == plain.book.trust(side)
    assert got.levels.sequence == plain.sequence
    assert got.coverage == plain.coverage()


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


# a Crypto Lake day ------------------------------------------------------------------------------


def anchored_streams(day: LakeStreams, cuts: Sequence[Sequence[int]] = ((), ())) -> Streams:
    """The day's rows of `book` as its messages, with the trades."""
    book, trades = (
        list(_cut(stream, where))
        for stream, where in zip((day.vendor_rows, day.trades), cuts, strict=True)
    )
    return Streams(
        apart(
            _opened([as_snapshots(to_vendor_batch(part), clear=True) for part in book]),
            _opened([to_batch(part) for part in trades]),
        ),
        None,
        (OFFSET, OFFSET, None),
    )


def _cut(messages: Sequence[Message], cuts: Sequence[int]) -> Iterator[Sequence[Message]]:
    edges = sorted({0, len(messages), *(cut for cut in cuts if 0 < cut < len(messages))})
    return (messages[start:stop] for start, stop in pairwise(edges))


def _opened(batches: Sequence[B]) -> Open[B]:
    def opened(start: int) -> Iterator[B]:
        left = start
        for batch in batches:
            if left >= len(batch) > 0:
                left -= len(batch)
            else:
                yield batch

    return opened


def streams(day: LakeStreams, cuts: Sequence[Sequence[int]] = ((), (), ())) -> Streams:
    """The day as a source; ``cuts``: where batches of book, vendor_rows and trades end."""
    book, vendor_rows, trades = (
        list(_cut(stream, where))
        for stream, where in zip((day.book, day.vendor_rows, day.trades), cuts, strict=True)
    )
    return Streams(
        apart(
            _opened([to_batch(part) for part in book]),
            _opened([to_batch(part) for part in trades]),
        ),
        _opened([to_vendor_batch(part) for part in vendor_rows]),
        (OFFSET, OFFSET, OFFSET),
    )


def run_lake(
    day: LakeStreams,
    policy: Policy = LAKE,
    *,
    instrument: Instrument | None = None,
    state_every: int = 0,
    cuts: Sequence[Sequence[int]] = ((), (), ()),
    room: Callable[[], int] = lambda: 1 << 16,
    most_parts: int = MOST_PARTS,
    save_after: Sequence[int] = (),
    replayer: Replayer | None = None,
    source: Streams | None = None,
    look: Callable[[Replayer, int], None] = lambda replayer, rows: None,
) -> Replayed:
    """Replay a day; behind the chunks of ``save_after`` everything is saved and loaded anew.

    ``replayer``: one that has begun, instead of a new one; ``source``: other streams of the day.
    ``look`` is called behind each chunk, with the events so far.
    """

    def begun() -> Replayer:
        with patch.object(replayer_module, "WINDOW_TICKS", 1 << 9):
            return Replayer(instrument or make_instrument(), state_every=state_every, policy=policy)

    source = source or streams(day, cuts)
    replayer, feed = replayer or begun(), Feed(source)
    events: list[EventBatch] = []
    outputs: list[ReplayOutput] = []
    rows = chunks = last = 0
    segments = iter(feed)
    segment = next(segments, None)
    while segment is not None:
        last = segment.last_ts if len(segment) else last
        if not outputs:
            replayer.begin_day(_first_ts(segment))
        for chunk in _chunks(replayer, segment, rows, room, most_parts):
            events.append(chunk.events)
            outputs.append(chunk.output)
            rows += len(chunk.events)
            look(replayer, rows)
            chunks += 1
            if chunks in save_after:
                saved, read = _through(replayer.save()), _through(feed.save())
                segment = segment_of(_through(arrays_of(chunk.rest)))
                replayer, feed = begun(), Feed(source, read)
                replayer.load(saved)
                segments = iter(feed)
                break
        else:
            segment = next(segments, None)
    outputs.append(replayer.end_day(rows - 1, last))
    output = joined(outputs)
    batch = EventBatch.concat(events)
    coverage = replayer.coverage(output.findings)
    return Replayed(
        batch, output.states, output.findings, output.minutes, replayer.levels(), coverage
    )


def _chunks(
    replayer: Replayer, segment: Segment, rows: int, room: Callable[[], int], most_parts: int
) -> Iterator[Chunk]:
    with patch.object(replayer_module, "MOST_PARTS", most_parts):
        yield from replayer.chunks(segment, rows, room)


def _through(arrays: dict[str, Array]) -> dict[str, Array]:
    """As if written and read again."""
    return {name: np.array(array) for name, array in arrays.items()}


def _first_ts(segment: Segment) -> int:
    return min(int(part.ts_order[0]) for part in (segment.events, segment.vendor_rows) if len(part))


def write_lake(root: Path, day: LakeStreams, *, symbol: str = "BTC-USDT", digits: int = 2) -> Path:
    """The day as a folder in Crypto Lake's layout; prices have so many decimals, sizes five."""
    deltas = [row for message in day.book for row in message]
    rows = [row for message in day.vendor_rows for row in message if isinstance(row, VendorRow)]
    trades = [row for message in day.trades for row in message]
    slots = np.array([row.slots for row in rows], np.float64).reshape(-1, 2, LEVELS, 2)
    tables = {
        "book_delta_v2": {
            **_stamps(deltas),
            "sequence_number": [row.sequence for row in deltas],
            "side_is_bid": [row.side == BID for row in deltas],
            "price": [row.price / 10**digits for row in deltas],
            "size": [row.size / 10**5 for row in deltas],
        },
        "book": {**_stamps(rows), "sequence_number": [row.sequence for row in rows]}
        | {
            f"{name}_{level}_{what}": slots[:, side, level, number]
            / 10 ** (5 if number else digits)
            for side, name in enumerate(("bid", "ask"))
            for level in range(LEVELS)
            for number, what in enumerate(("price", "size"))
        },
        "trades": {
            **_stamps(trades),
            "side": ["buy" if row.side == BID else "sell" for row in trades],
            "amount": [row.size / 10**5 for row in trades],
            "price": [row.price / 10**digits for row in trades],
            "id": [row.sequence for row in trades],
        },
    }
    dt = datetime.fromtimestamp(deltas[0].ts_event // 10**9, UTC).date().isoformat()
    for table, columns in tables.items():
        path = root / table / "exchange=BINANCE" / f"symbol={symbol}" / f"dt={dt}"
        path.mkdir(parents=True)
        write(path / "1.snappy.parquet", table, columns)
    return root


def _stamps(rows: Sequence[Event]) -> dict[str, Any]:
    return {
        "timestamp": [row.ts_event for row in rows],
        "receipt_timestamp": [row.ts_recv for row in rows],
    }


# stored events ----------------------------------------------------------------------------------


def nothing() -> Keyframe:
    """The opening keyframe of a day without one before."""
    none = np.zeros(0, np.int64)
    return Keyframe(-1, 0, BookImage(-1, none, none, none, none, UNTRUSTED, 0, UNTRUSTED, 0))


def same_at_every_state(
    events: EventBatch, states: StateBatch, frames: Sequence[Keyframe], tick: int = 1
) -> None:
    """Hold the states behind each keyframe against the stored events applied to it.

    One that awaits the judgement on a snapshot may lead to less trust, not to other levels.
    """
    ends = np.flatnonzero(events.flags & Flag.LAST) + 1
    for frame in frames:
        book, rebuilds = book_of(frame.book, tick, 1 << 16)
        rebuild = rebuilds[0]
        start = frame.event_id + 1
        rows = iter(np.flatnonzero(states.event_id >= start).tolist())
        row = next(rows, None)
        for stop in ends[ends > start].tolist():
            part = events.slice(start, stop)
            book = ensure_far_capacity(book, len(part))
            apply_events(book, rebuild, part.rows, 0, len(part))
            start = stop
            if row is not None and states.event_id[row] == stop - 1:
                found = [claim(book, rebuild.trust, side) for side in (BID, ASK)]
                levels = states.levels[row].reshape(2, LEVELS, 2).tolist()
                slots = [int(states.bid_trusted[row]), int(states.ask_trusted[row])]
                if frame.book.awaits:
                    fewer = [claimed for _, claimed in found]
                    assert all(map(le, fewer, slots)), (frame.event_id, stop - 1)
                    found = [(told[:n], n) for told, n in found]
                    levels = [told[:n] for told, n in zip(levels, fewer, strict=True)]
                    slots = fewer
                assert found == list(zip(levels, slots, strict=True)), (frame.event_id, stop - 1)
                row = next(rows, None)
        assert row is None


def claim(book: Book, trust: Record, side: int) -> tuple[list[list[int]], int]:
    """The twenty best levels of a side, and how many of them are trusted."""
    prices, sizes = np.zeros((2, LEVELS), np.int64)
    count = top(book, side, LEVELS, prices, sizes)
    slots = slots_within(side, *known_behind(trust, side), prices, count, LEVELS)
    levels = np.stack([prices, sizes], axis=1)
    levels[count:] = 0
    return levels.tolist(), 0 if crossed(book) else int(slots)

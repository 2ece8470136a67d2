"""A Crypto Lake day by hand and at random: deltas without a chain, rows of `book`, trades.

``run_lake`` replays one through ``Feed`` and ``Replayer``, in any batches and chunks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np

from lobproof.instruments import Instrument
from lobproof.pipeline.feed import Feed, Open, Streams
from lobproof.replay import Policy, Replayer, ReplayOutput, Segment
from lobproof.replay import replayer as replayer_module
from lobproof.replay.merge import Array, arrays_of, segment_of
from lobproof.replay.output import Chunk, joined
from lobproof.replay.replayer import MOST_PARTS
from lobproof.schema import LEVELS, EventBatch, VendorBatch
from lobproof.sources.cryptolake.source import as_snapshots
from support.feeds import (
    ASK,
    BID,
    MS,
    OFFSET,
    START,
    Level,
    Replayed,
    depth,
    make_instrument,
    trade,
)
from support.lake_tables import write
from support.reference_judge import Listing, ReferenceJudge, placer, to_vendor_rows
from support.stream_reference import (
    Message,
    Row,
    audit_book,
    audit_trades,
    merge_messages,
    stamp,
    to_batch,
)

LAKE = Policy(chainless=True)
B = TypeVar("B", EventBatch, VendorBatch)


def delta(seq: int, changes: Sequence[tuple[int, int, int]], *, at: int = 0) -> Message:
    """A message of ``book_delta_v2``: it does not say what went before."""
    return depth(seq, -1, changes, at=at)


def listing(seq: int, bids: Sequence[Level], asks: Sequence[Level], *, at: int = 0) -> Message:
    """A row of `book`."""
    time = START + at
    return [Listing(0, time, time + OFFSET, seq, -1, bids=tuple(bids), asks=tuple(asks))]


@dataclass
class LakeDay:
    """Three streams, each in its source's order."""

    book: list[Message] = field(default_factory=list)
    listings: list[Message] = field(default_factory=list)
    trades: list[Message] = field(default_factory=list)

    def items(self) -> list[Message]:
        """All of it judged and in order, the plain way."""
        woven = placer(audit_book(self.book), self.listings)
        return merge_messages(stamp(woven, OFFSET), stamp(audit_trades(self.trades), OFFSET))

    def judged(
        self, policy: Policy = LAKE, instrument: Instrument | None = None, state_every: int = 0
    ) -> tuple[list[Message], ReferenceJudge]:
        """Its events, and the twin that replayed them."""
        twin = ReferenceJudge(instrument or make_instrument(), policy, state_every)
        items = self.items()
        twin.begin_day(items[0][0].ts_order)
        events = [message for item in items for message in twin.feed(item)]
        twin.end_day(items[-1][0].ts_order)
        return events, twin


def anchored_streams(day: LakeDay, cuts: Sequence[Sequence[int]] = ((), ())) -> Streams:
    """The day's rows of `book` as its messages, with the trades."""
    book, trades = (
        list(_cut(stream, where))
        for stream, where in zip((day.listings, day.trades), cuts, strict=True)
    )
    return Streams(
        _opened([as_snapshots(to_vendor_rows(part), clear=True) for part in book]),
        _opened([to_batch(part) for part in trades]),
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


def streams(day: LakeDay, cuts: Sequence[Sequence[int]] = ((), (), ())) -> Streams:
    """The day as a source; ``cuts``: where batches of book, listings and trades end."""
    book, listings, trades = (
        list(_cut(stream, where))
        for stream, where in zip((day.book, day.listings, day.trades), cuts, strict=True)
    )
    return Streams(
        _opened([to_batch(part) for part in book]),
        _opened([to_batch(part) for part in trades]),
        _opened([to_vendor_rows(part) for part in listings]),
        (OFFSET, OFFSET, OFFSET),
    )


def run_lake(
    day: LakeDay,
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
    stretches = iter(feed)
    segment = next(stretches, None)
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
                stretches = iter(feed)
                break
        else:
            segment = next(stretches, None)
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


def write_lake(root: Path, day: LakeDay, *, symbol: str = "BTC-USDT", digits: int = 2) -> Path:
    """The day as a folder in Crypto Lake's layout; prices have so many decimals, sizes five."""
    deltas = [row for message in day.book for row in message]
    rows = [row for message in day.listings for row in message if isinstance(row, Listing)]
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


def _stamps(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "timestamp": [row.ts_event for row in rows],
        "receipt_timestamp": [row.ts_recv for row in rows],
    }


# random days -------------------------------------------------------------------------------------


@dataclass
class RandomLake(LakeDay):
    """A market whose deltas get lost, doubled and late, and whose rows of `book` are doubtful."""

    rng: random.Random = field(default_factory=random.Random)
    truth: dict[int, dict[int, int]] = field(default_factory=dict)
    time: int = 0
    seq: int = 100
    number: int = 0

    def run(self, steps: int) -> RandomLake:
        room = self.rng.choice([3, 8, 26])
        self.truth = {
            BID: {1000 - i: 10 + i for i in range(room)},
            ASK: {1001 + i: 10 + i for i in range(room)},
        }
        for _ in range(steps):
            action = self.rng.choices("dlstxqrob", [12, 10, 5, 3, 1, 1, 1, 2, 1])[0]
            getattr(self, f"_{action}")()
            self.time += self.rng.choice([0, 1, 50, 100, 100, 400]) * MS
        return self

    def _move(self) -> Message:
        """The market's next message."""
        before = {side: dict(levels) for side, levels in self.truth.items()}
        mid = max(before[BID], default=1000) + self.rng.choice([0, 0, 0, 1, -1])
        for _ in range(self.rng.randrange(1, 5)):
            side, other = self.rng.choice([(BID, ASK), (ASK, BID)])
            away = self.rng.choice([0, 0, 1, 1, 2, 3, 5, 9, 19, 24])
            price = mid - away if side == BID else mid + 1 + away
            self.truth[side].pop(price, None)
            size = self.rng.choice([0, 0, 1, 2, 500, 501])
            if size:
                self.truth[side][price] = size
                sign = 1 if side == BID else -1
                kept = {p: s for p, s in self.truth[other].items() if sign * (p - price) > 0}
                self.truth[other] = kept
        self.seq += self.rng.randrange(1, 4)
        changes = [
            (side, price, self.truth[side].get(price, 0))
            for side in (BID, ASK)
            for price in sorted(before[side].keys() | self.truth[side].keys())
            if before[side].get(price, 0) != self.truth[side].get(price, 0)
        ]
        message = delta(self.seq, changes, at=self.time)
        if self.rng.random() < 0.04:
            for row in self.rng.sample(message, self.rng.randrange(1, len(message) + 1)):
                row.ts_event = self.rng.choice([0, -1, START + 10**15, row.ts_event + 3 * MS])
        return message

    def _shown(self) -> tuple[list[Level], list[Level]]:
        bids = sorted(self.truth[BID].items(), reverse=True)[:LEVELS]
        return bids, sorted(self.truth[ASK].items())[:LEVELS]

    def _d(self) -> None:
        self.book.append(self._move())

    def _x(self) -> None:
        """A loss."""
        self._move()

    def _q(self) -> None:
        """A silence, of one side of the source or of all."""
        for _ in range(self.rng.randrange(1, 5)):
            self.time += self.rng.choice([3_000, 4_900, 6_000, 40_000]) * MS
            if self.rng.random() < 0.5:
                self._l()
            if self.rng.random() < 0.3:
                self._t()
            if self.rng.random() < 0.3:
                self._move()

    def _r(self) -> None:
        """Something twice, or late."""
        if not self.book:
            return
        again = [replace(row) for row in self.rng.choice(self.book[-3:])]
        if self.rng.random() < 0.5:
            self.book.append(again)
        else:
            held = self._move()
            self.book += [self._move(), held]

    def _l(self) -> None:
        """A row that shows the book as it is."""
        self.listings.append(listing(self.seq, *self._shown(), at=self.time))

    def _s(self) -> None:
        """A row from inside the next message, or before it."""
        shown, seq = self._shown(), self.seq
        message = self._move()
        if self.rng.random() < 0.5:
            bids, asks = dict(shown[0]), dict(shown[1])
            for row in message[: self.rng.randrange(len(message) + 1)]:
                levels = bids if row.side == BID else asks
                levels.pop(row.price, None)
                levels.update({row.price: row.size} if row.size else {})
            shown = sorted(bids.items(), reverse=True)[:LEVELS], sorted(asks.items())[:LEVELS]
        self.listings.append(listing(max(seq, self.seq - 1), *shown, at=self.time))
        if self.rng.random() < 0.9:
            self.book.append(message)

    def _b(self) -> None:
        """The ids begin anew, or jump."""
        if self.rng.random() < 0.3:
            self.seq = self.rng.choice([5, self.seq + 10**6])

    def _o(self) -> None:
        """A row that is wrong in some way."""
        bids, asks = self._shown()
        seq, at, rng = self.seq, self.time, self.rng
        side = rng.choice([bids, asks])
        number = rng.randrange(len(side)) if side else 0
        what = rng.choice(["size", "much", "price", "fewer", "cross", "hole", "other", "late"])
        if what in ("size", "much") and side:
            side[number] = (side[number][0], side[number][1] + (1 if what == "size" else 700))
        elif what == "price" and side:
            del side[number]
        elif what == "fewer":
            del side[number + 1 :]
        elif what == "cross" and bids and asks:
            asks[0] = (bids[0][0] - rng.randrange(2), 4)
        elif what == "hole" and side:
            side[number] = rng.choice([(0, 0), (0, 5), (7, 0)])
        elif what == "other":
            bids, asks = ([(p + 300, s + 7) for p, s in levels] for levels in (bids, asks))
        elif what == "late":
            seq = rng.choice([seq - 2, 0, -1, 10**12, 3])
        (row,) = message = listing(seq, bids, asks, at=at)
        if rng.random() < 0.2:
            row.ts_event = rng.choice([0, START + 10**15, row.ts_event + 20_000 * MS])
        if rng.random() < 0.1:
            row.ts_recv = rng.choice([0, START + 10**15])
        self.listings.append(message)

    def _t(self) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            self.number += 1
            taker = self.rng.choice([BID, ASK])
            price = (1001 if taker == BID else 1000) + self.rng.choice([0, 0, 1, -1, 60])
            self.trades.append(
                trade(self.number, taker, price, self.rng.choice([1, 500]), at=self.time)
            )

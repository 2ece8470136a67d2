"""``Stream``: what a venue said of a simulated market; `measured` replays and observes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.metrics.blocks import Blocks, Scale
from lobproof.fidelity.metrics.observer import Observer
from lobproof.instruments import Instrument
from lobproof.replay import Replayer
from lobproof.schema import EventBatch, Flag, Int64, Kind
from lobproof.sources.simulator import Feed, FeedConfig, FullBook, Market, MarketConfig

TIME, FIRST, LAST, PREVIOUS = range(4)
"""Columns of `Stream.messages`."""
TAKEN_AT, TAKER, TRADE_PRICE, TRADED, TRADE_ID = range(5)
"""Columns of `Stream.trades`."""
SIDE, PRICE, SIZE = range(3)
"""Columns of `Stream.depth`."""
SECOND = 1_000_000_000
_STEP = 60 * SECOND
_BATCH_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Stream:
    """A market's feed, simulated.

    ``book``: the snapshot at its begin; ``messages`` (n, 4): time, first, last and previous id;
    ``depth`` (rows, 3), each with its message in ``of``; ``trades`` (m, 5). Times in ns.
    """

    instrument: Instrument
    book: FullBook
    messages: Int64
    of: Int64
    depth: Int64
    trades: Int64


def simulated(config: MarketConfig, seed: int, seconds: int) -> Stream:
    """The feed of a market's first ``seconds``."""
    market = Market(config, seed)
    feed = Feed(market, FeedConfig(tickers=False, first_snapshot_s=None), seed)
    bids, bid_sizes, asks, ask_sizes = market.book()
    book = FullBook(
        market.now,
        market.update_id,
        np.stack([bids, bid_sizes], axis=1),
        np.stack([asks, ask_sizes], axis=1),
    )
    end = market.now + seconds * SECOND
    messages, of, depth, trades = [], [], [], []
    many = 0
    while market.now < end:
        events = market.step(min(market.now + _STEP, end))
        batch = feed.publish(events, final=market.now == end)
        rows = np.diff(batch.messages[:, 4], prepend=0)
        messages.append(batch.messages[:, :4].copy())
        of.append(np.repeat(many + np.arange(len(rows)), rows))
        many += len(rows)
        depth.append(batch.depth.copy())
        trades.append(batch.trades[:, [0, 2, 3, 4, 5]].copy())
    all_messages, all_trades = np.concatenate(messages), np.concatenate(trades)
    all_messages[:, TIME] *= 1_000_000
    all_trades[:, TAKEN_AT] -= all_trades[:, TAKEN_AT] % 1000  # venues tell microseconds at best
    return Stream(
        config.instrument, book, all_messages, np.concatenate(of), np.concatenate(depth), all_trades
    )


def events_of(stream: Stream) -> EventBatch:
    """The feed as ordered events: a snapshot, then messages and trades by time."""
    depth, messages, trades = stream.depth, stream.messages, stream.trades
    said = np.bincount(stream.of, minlength=len(messages))
    empty = np.flatnonzero(said == 0)
    of = np.concatenate([stream.of, empty])
    place = np.argsort(of, kind="stable")
    of = of[place]
    blank = np.zeros((len(empty), 3), np.int64)
    rows = np.concatenate([depth, blank])[place]
    kind = np.repeat([int(Kind.DELTA), int(Kind.MARK)], [len(depth), len(empty)])[place]
    deltas = {
        "ts_order": messages[of, TIME],
        "sequence": messages[of, LAST],
        "prev_sequence": messages[of, PREVIOUS],
        "kind": kind,
        "side": rows[:, SIDE],
        "price": rows[:, PRICE],
        "size": rows[:, SIZE],
        "flags": np.where(np.diff(of, append=-1) != 0, int(Flag.LAST), 0),
    }
    takes = {
        "ts_order": trades[:, TAKEN_AT],
        "sequence": trades[:, TRADE_ID],
        "prev_sequence": trades[:, TRADE_ID] - 1,
        "kind": np.full(len(trades), int(Kind.TRADE)),
        "side": trades[:, TAKER],
        "price": trades[:, TRADE_PRICE],
        "size": trades[:, TRADED],
        "flags": np.full(len(trades), int(Flag.LAST)),
    }
    book = _snapshot(stream.book)
    # a trade before the message of the same time
    order = np.argsort(np.concatenate([takes["ts_order"], deltas["ts_order"]]), kind="stable")
    head = len(book["kind"])
    batch = EventBatch.empty(head + len(order))
    for name, first in book.items():
        column = getattr(batch, name)
        column[:head] = first
        column[head:] = np.concatenate([takes[name], deltas[name]])[order]
    batch.ts_event[:] = batch.ts_order
    batch.ts_recv[:] = batch.ts_order
    return batch


def measured(stream: Stream, block_ns: int, batch_rows: int = _BATCH_ROWS) -> Blocks:
    """Blocks of the feed, replayed in batches and observed as a reconstruction is."""
    events = events_of(stream)
    replayer = Replayer(stream.instrument)
    observer = Observer(stream.instrument, Scale.of(stream.instrument, block_ns))
    replayer.begin_day(int(events.ts_order[0]))
    ends = np.flatnonzero(events.flags & int(Flag.LAST)) + 1
    start = 0
    while start < len(events):
        stop = int(ends[min(int(np.searchsorted(ends, start + batch_rows)), len(ends) - 1)])
        part = events.slice(start, stop)
        output = replayer.process(part, start)
        observer.add([part], output.states, start)
        start = stop
    return observer.finish()


def _snapshot(book: FullBook) -> dict[str, NDArray[np.int64]]:
    levels = np.concatenate([np.zeros((1, 2), np.int64), book.bids, book.asks])
    many = len(levels)
    flags = np.full(many, int(Flag.COMPLETE | Flag.RESYNC))
    flags[-1] |= int(Flag.LAST)
    return {
        "ts_order": np.full(many, book.ts),
        "sequence": np.full(many, book.last_id),
        "prev_sequence": np.full(many, book.last_id),
        "kind": np.repeat([int(Kind.CLEAR), int(Kind.SNAPSHOT)], [1, many - 1]),
        "side": np.repeat([0, 1, 2], [1, len(book.bids), len(book.asks)]),
        "price": levels[:, 0],
        "size": levels[:, 1],
        "flags": flags,
    }

"""``Feed``: what a venue publishes about a market, as arrays; files and servers consume these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lobproof.errors import UsageError
from lobproof.options import check_number
from lobproof.schema import LEVELS, Int64
from lobproof.schema.records import Record, numbers, records, zeroed
from lobproof.sources.simulator import feed_kernels as at
from lobproof.sources.simulator import layout_kernels as shared
from lobproof.sources.simulator.market import Market, MarketEvents
from lobproof.sources.simulator.random_kernels import below, seed_random

NEVER = 1 << 62


def check_snapshot_every(seconds: object) -> None:
    """Refuse what is no time between two snapshots."""
    check_number(
        "snapshot_every",
        seconds,
        "time between snapshots",
        least=0.001,
        most=1e9,
        hint="give seconds, 0.001 or more; leave it out for no other snapshot than the first",
    )


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """What is published, and how imperfectly.

    A snapshot lists ``snapshot_limit`` levels a side, ``first_snapshot_s`` after the start and
    then every ``snapshot_every_s``; None: never (again). In a burst, with ``burst_lag_share``
    odds, a message stops up to ``burst_lag_ms`` before it is published, so that it lags its
    trades. A share ``late_sample_share`` of messages is sampled a moment after its last update
    id: levels about to vanish are gone already.
    """

    tickers: bool = True
    tops: bool = False
    snapshot_limit: int = 5000
    first_snapshot_s: float | None = 0.5
    snapshot_every_s: float | None = None
    full_every: int = 0
    burst_lag_ms: int = 0
    burst_lag_share: float = 0.0
    late_sample_share: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a lag that could outlast the next message, and snapshots without end."""
        if self.snapshot_every_s is not None:
            check_snapshot_every(self.snapshot_every_s)
        if not 0 <= self.burst_lag_ms <= at.LONGEST_LAG_MS:
            raise UsageError(
                f"a lag of {self.burst_lag_ms} ms: messages come every {at.INTERVAL_MS} ms",
                hint=f"give 0 to {at.LONGEST_LAG_MS} ms",
            )


@dataclass(slots=True)
class FullBook:
    """Levels of both sides, (n, 2) prices and sizes, best first, as of update ``last_id``."""

    ts: int
    last_id: int
    bids: Int64
    asks: Int64


@dataclass(slots=True)
class FeedBatch:
    """What was published. Prices and sizes in counts.

    ``messages`` (n, 5): publishing time in ms, first id, last id, last id of the message before,
    end of its rows in ``depth``; ``depth`` (rows, 3): side, price, absolute size, bids then asks,
    best first; ``trades`` (n, 6): event rows (ts ns, kind, taker's side, price, size, id);
    ``tickers`` (n, 6): ts ns, update id, bid, size, ask, size. ``tops`` and ``truths``
    (n, 80), when asked for, hold the twenty best levels a side after each message, as a client
    knows them and as they were: bid price, size, …, then asks. ``books`` are the whole books
    of ``full_every``. Nothing published later has a time before ``watermark`` (ns).
    """

    messages: Int64
    depth: Int64
    trades: Int64
    tickers: Int64
    tops: Int64
    truths: Int64
    snapshots: list[FullBook]
    books: list[FullBook]
    watermark: int


class Feed:
    """A pure consumer of one market's events, from the moment at which it is made."""

    def __init__(self, market: Market, config: FeedConfig, seed: int = 0) -> None:
        """Take the market's present book as the state before the first event."""
        self.config = config
        width = 1 << market.config.window_bits
        self._states = zeroed(at.FEED)
        state = self._states[0]
        state.marks_at = width
        state.ring.mask, state.ring.bits_at = width - 1, 3 * width
        state.touched_at = 3 * width + width // 32
        m = self._m = np.zeros(state.touched_at, np.int64)
        seed_random(state.random, market.seed + seed, 1)
        bids, bid_sizes, asks, ask_sizes = market.book()
        state.ring.floor = bids[-1] if len(bids) else market.config.price - width // 2
        for side, prices, sizes in ((1, bids, bid_sizes), (2, asks, ask_sizes)):
            for price, size in zip(prices.tolist(), sizes.tolist(), strict=True):
                at.apply_level(state, m, side, price, size)
        state.last_id = state.sent_id = market.update_id
        state.number = 1
        state.typical = round(256 * market.config.rate / 10)
        now_ms = market.now // 1_000_000
        state.publish_ms = now_ms + 1 + below(state.random, at.INTERVAL_MS)
        state.cut_ms = state.publish_ms
        state.lag_ms = config.burst_lag_ms
        state.lag_share = round(config.burst_lag_share * 1e6)
        state.late_share = round(config.late_sample_share * 1e6)
        state.want_tickers, state.want_tops = config.tickers, config.tops
        state.full_every = config.full_every
        first = config.first_snapshot_s
        state.snapshot_due = NEVER if first is None else market.now + round(first * 1e9)
        self._orders = market.config.near_orders + market.config.deep_orders
        self._tail: Int64 = np.zeros((0, shared.ROW_SLOTS), np.int64)
        self._watermark = market.now

    def publish(self, events: MarketEvents, *, final: bool = False) -> FeedBatch:
        """Take the next events; the last few stay inside until more come or ``final`` is said.

        ``final`` publishes the open message too.
        """
        rows = np.concatenate([self._tail, events.rows])
        stop = len(rows) if final else max(len(rows) - at.LOOK_AHEAD, 0)
        if final:  # an event of nothing, beyond every message, closes the last one
            end = np.zeros((1, shared.ROW_SLOTS), np.int64)
            end[0, shared.ROW_TS] = (int(self._state.publish_ms) + 1) * 1_000_000
            if len(rows):
                end[0, shared.ROW_TS] = max(end[0, 0], rows[-1, 0] + 300_000_000)
            rows = np.concatenate([rows, end])
            stop += 1
        batch = self._run(rows, stop)
        self._tail = rows[stop:].copy()
        return batch

    def _run(self, rows: Int64, stop: int) -> FeedBatch:
        self._reserve(stop)
        state, m = self._state, self._m
        span_ms = (int(rows[stop - 1, 0]) - self._watermark) // 1_000_000 if stop else 0
        room = min(stop, span_ms // at.INTERVAL_MS + 4)
        wide = 4 * at.DEPTH_LEVELS
        messages = np.empty((room, at.MESSAGE_SLOTS), np.int64)
        depth = np.empty((int(state.bids + state.asks) + stop, 3), np.int64)
        tickers = np.empty((stop if self.config.tickers else 0, 6), np.int64)
        truths = np.empty(room * wide if self.config.tops else 0, np.int64)
        tops = np.empty_like(truths)
        state.messages = state.depth_rows = state.tickers = 0
        snapshots: list[FullBook] = []
        books: list[FullBook] = []
        row, why = 0, at.AT_FULL
        while why != at.DONE:
            row, why = at.publish(state, m, rows, row, stop, messages, depth, tickers, truths, tops)
            if why == at.AT_SNAPSHOT:
                due = int(state.snapshot_due)
                snapshots.append(self._book(due, self.config.snapshot_limit))
                every = self.config.snapshot_every_s
                state.snapshot_due = NEVER if every is None else due + round(every * 1e9)
            elif why == at.AT_FULL:
                books.append(self._book(int(messages[state.messages - 1, 0]) * 1_000_000))
        if stop:
            self._watermark = int(rows[stop - 1, 0])
        n = int(state.messages)
        taken = rows[:stop]
        return FeedBatch(
            messages[:n],
            depth[: int(state.depth_rows)],
            taken[taken[:, shared.ROW_KIND] == shared.TRADE],
            tickers[: int(state.tickers)],
            tops.reshape(-1, wide)[:n] if self.config.tops else tops.reshape(0, wide),
            truths.reshape(-1, wide)[:n] if self.config.tops else truths.reshape(0, wide),
            snapshots,
            books,
            self._watermark // 1_000_000 * 1_000_000,
        )

    def save(self) -> dict[str, Any]:
        """The whole state as arrays."""
        state, m = self._state, self._m
        ladder = m[: state.marks_at]
        alive = np.flatnonzero(ladder)
        touched, room = m[state.touched_at :], int(state.room)
        return {
            "state": numbers(self._states),
            "slots": alive,
            "sizes": ladder[alive],
            "bids": touched[: int(state.bids)].copy(),
            "asks": touched[room : room + int(state.asks)].copy(),
            "tail": self._tail.copy(),
            "watermark": np.array([self._watermark]),
        }

    @classmethod
    def load(cls, market: Market, config: FeedConfig, state: Mapping[str, Any]) -> Feed:
        """The feed that :meth:`save` described, of the same market with the same configuration."""
        feed = cls(market, config)
        feed._states = records(at.FEED, state["state"])
        own = feed._state
        slots, bids, asks = state["slots"], state["bids"], state["asks"]
        own.bids = own.asks = own.room = 0
        feed._m[:] = 0
        feed._reserve(max(len(bids), len(asks)))
        m = feed._m
        m[slots] = state["sizes"]
        np.bitwise_or.at(m, own.ring.bits_at + (slots >> 5), np.int64(1) << (slots & 31))
        own.bids, own.asks = len(bids), len(asks)
        m[own.touched_at : own.touched_at + len(bids)] = bids
        start = own.touched_at + own.room
        m[start : start + len(asks)] = asks
        mask, marks = own.ring.mask, own.marks_at
        m[marks + 2 * (-bids & mask)] = own.number
        m[marks + 2 * (asks & mask) + 1] = own.number
        feed._tail = state["tail"].copy()
        feed._watermark = int(state["watermark"][0])
        return feed

    @property
    def _state(self) -> Record:
        state: Record = self._states[0]
        return state

    def _reserve(self, events: int) -> None:
        """Room for the levels that this many more events can touch."""
        state, m = self._state, self._m
        bids, asks, room = int(state.bids), int(state.asks), int(state.room)
        need = max(bids, asks) + events
        if need <= room:
            return
        grown = max(2 * need, 1 << 12)
        start = int(state.touched_at)
        new = np.zeros(start + 2 * grown + 3 * at.LOOK_AHEAD, np.int64)
        new[:start] = m[:start]
        new[start : start + bids] = m[start : start + bids]
        new[start + grown : start + grown + asks] = m[start + room : start + room + asks]
        state.room = grown
        self._m = new

    def _book(self, ts: int, limit: int | None = None) -> FullBook:
        state, m = self._state, self._m
        room = limit or len(np.flatnonzero(m[: state.marks_at]))
        sides = []
        for side in (1, 2):
            levels = np.zeros(2 * room, np.int64)
            found = at.ladder_side(state, m, side, levels, 0, 2 * room)
            sides.append(levels[: 2 * found].reshape(-1, 2))
        return FullBook(ts, int(state.last_id), sides[0], sides[1])


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

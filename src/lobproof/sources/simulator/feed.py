"""``Feed``: what a venue publishes about a market, as arrays; files and servers consume these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lobproof.errors import UsageError
from lobproof.schema import Int64
from lobproof.sources.simulator import feed_kernels as at
from lobproof.sources.simulator import layout_kernels as shared
from lobproof.sources.simulator.market import Market, MarketEvents
from lobproof.sources.simulator.random_kernels import below, seeded

NEVER = 1 << 62


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
        """Refuse a lag that could outlast the next message."""
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
        ladder = at.FEED_AT
        marks = ladder + width
        bits = marks + 2 * width
        touched = bits + width // 32
        m = np.zeros(touched, np.int64)
        m[:4] = seeded(market.seed + seed, 1)
        m[shared.MASK], m[shared.BITS_AT] = width - 1, bits
        m[at.LADDER_AT], m[at.MARKS_AT], m[at.TOUCHED_AT] = ladder, marks, touched
        self._m = m
        bids, bid_sizes, asks, ask_sizes = market.book()
        m[shared.FLOOR] = bids[-1] if len(bids) else market.config.price - width // 2
        for side, prices, sizes in ((1, bids, bid_sizes), (2, asks, ask_sizes)):
            for price, size in zip(prices.tolist(), sizes.tolist(), strict=True):
                at.apply_level(m, side, price, size)
        m[at.LAST_ID] = m[at.SENT_ID] = market.update_id
        m[at.NUMBER] = 1
        m[at.TYPICAL] = round(256 * market.config.rate / 10)
        now_ms = market.now // 1_000_000
        m[at.PUBLISH_MS] = m[at.CUT_MS] = now_ms + 1 + below(m, at.INTERVAL_MS)
        m[at.LAG_MS] = config.burst_lag_ms
        m[at.LAG_SHARE] = round(config.burst_lag_share * 1e6)
        m[at.LATE_SHARE] = round(config.late_sample_share * 1e6)
        m[at.WANT_TICKERS], m[at.WANT_TOPS] = config.tickers, config.tops
        m[at.FULL_EVERY] = config.full_every
        first = config.first_snapshot_s
        m[at.SNAPSHOT_DUE] = NEVER if first is None else market.now + round(first * 1e9)
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
            end[0, shared.ROW_TS] = (int(self._m[at.PUBLISH_MS]) + 1) * 1_000_000
            if len(rows):
                end[0, shared.ROW_TS] = max(end[0, 0], rows[-1, 0] + 300_000_000)
            rows = np.concatenate([rows, end])
            stop += 1
        batch = self._run(rows, stop)
        self._tail = rows[stop:].copy()
        return batch

    def _run(self, rows: Int64, stop: int) -> FeedBatch:
        self._reserve(stop)
        m = self._m
        span_ms = (int(rows[stop - 1, 0]) - self._watermark) // 1_000_000 if stop else 0
        room = min(stop, span_ms // at.INTERVAL_MS + 4)
        wide = 4 * at.DEPTH_LEVELS
        messages = np.empty((room, at.MESSAGE_SLOTS), np.int64)
        depth = np.empty((int(m[at.BIDS] + m[at.ASKS]) + stop, 3), np.int64)
        tickers = np.empty((stop if self.config.tickers else 0, 6), np.int64)
        truths = np.empty(room * wide if self.config.tops else 0, np.int64)
        tops = np.empty_like(truths)
        m[at.MESSAGES] = m[at.DEPTH_ROWS] = m[at.TICKERS] = 0
        snapshots: list[FullBook] = []
        books: list[FullBook] = []
        row, why = 0, at.AT_FULL
        while why != at.DONE:
            row, why = at.publish(m, rows, row, stop, messages, depth, tickers, truths, tops)
            if why == at.AT_SNAPSHOT:
                due = int(m[at.SNAPSHOT_DUE])
                snapshots.append(self._book(due, self.config.snapshot_limit))
                every = self.config.snapshot_every_s
                m[at.SNAPSHOT_DUE] = NEVER if every is None else due + round(every * 1e9)
            elif why == at.AT_FULL:
                books.append(self._book(int(messages[m[at.MESSAGES] - 1, 0]) * 1_000_000))
        if stop:
            self._watermark = int(rows[stop - 1, 0])
        n = int(m[at.MESSAGES])
        taken = rows[:stop]
        return FeedBatch(
            messages[:n],
            depth[: int(m[at.DEPTH_ROWS])],
            taken[taken[:, shared.ROW_KIND] == shared.TRADE],
            tickers[: int(m[at.TICKERS])],
            tops.reshape(-1, wide)[:n] if self.config.tops else tops.reshape(0, wide),
            truths.reshape(-1, wide)[:n] if self.config.tops else truths.reshape(0, wide),
            snapshots,
            books,
            self._watermark // 1_000_000 * 1_000_000,
        )

    def save(self) -> dict[str, Any]:
        """The whole state as arrays."""
        m = self._m
        ladder = m[m[at.LADDER_AT] : m[at.MARKS_AT]]
        alive = np.flatnonzero(ladder)
        touched = m[m[at.TOUCHED_AT] :]
        room = int(m[at.ROOM])
        return {
            "fixed": m[: at.FEED_AT].copy(),
            "slots": alive,
            "sizes": ladder[alive],
            "bids": touched[: int(m[at.BIDS])].copy(),
            "asks": touched[room : room + int(m[at.ASKS])].copy(),
            "tail": self._tail.copy(),
            "watermark": np.array([self._watermark]),
        }

    @classmethod
    def load(cls, market: Market, config: FeedConfig, state: Mapping[str, Any]) -> Feed:
        """The feed that :meth:`save` described, of the same market with the same configuration."""
        feed = cls(market, config)
        m = feed._m
        m[at.FEED_AT :] = 0
        keep = m[at.LADDER_AT : at.ROOM + 1].copy()
        m[: at.FEED_AT] = state["fixed"]
        m[at.LADDER_AT : at.ROOM + 1] = keep
        slots = state["slots"]
        m[m[at.LADDER_AT] + slots] = state["sizes"]
        np.bitwise_or.at(m, m[shared.BITS_AT] + (slots >> 5), np.int64(1) << (slots & 31))
        bids, asks = state["bids"], state["asks"]
        m[at.BIDS] = m[at.ASKS] = 0
        feed._reserve(max(len(bids), len(asks)))
        m = feed._m
        m[at.BIDS], m[at.ASKS] = len(bids), len(asks)
        m[m[at.TOUCHED_AT] : m[at.TOUCHED_AT] + len(bids)] = bids
        start = m[at.TOUCHED_AT] + m[at.ROOM]
        m[start : start + len(asks)] = asks
        mask, marks = m[shared.MASK], m[at.MARKS_AT]
        m[marks + 2 * (-bids & mask)] = m[at.NUMBER]
        m[marks + 2 * (asks & mask) + 1] = m[at.NUMBER]
        feed._tail = state["tail"].copy()
        feed._watermark = int(state["watermark"][0])
        return feed

    def _reserve(self, events: int) -> None:
        """Room for the levels that this many more events can touch."""
        m = self._m
        bids, asks, room = int(m[at.BIDS]), int(m[at.ASKS]), int(m[at.ROOM])
        need = max(bids, asks) + events
        if need <= room:
            return
        grown = max(2 * need, 1 << 12)
        start = int(m[at.TOUCHED_AT])
        new = np.zeros(start + 2 * grown + 3 * at.LOOK_AHEAD, np.int64)
        new[:start] = m[:start]
        new[start : start + bids] = m[start : start + bids]
        new[start + grown : start + grown + asks] = m[start + room : start + room + asks]
        new[at.ROOM] = grown
        self._m = new

    def _book(self, ts: int, limit: int | None = None) -> FullBook:
        m = self._m
        room = limit or len(np.flatnonzero(m[m[at.LADDER_AT] : m[at.MARKS_AT]]))
        sides = []
        for side in (1, 2):
            levels = np.zeros(2 * room, np.int64)
            found = at.ladder_side(m, side, levels, 0, 2 * room)
            sides.append(levels[: 2 * found].reshape(-1, 2))
        return FullBook(ts, int(m[at.LAST_ID]), sides[0], sides[1])

"""The metrics of a day in plain Python, value by value: what the blocks must add up to."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from lobproof.schema import Flag, Kind, speaks_of_the_feed
from plain.messages import Event, Level

GRID = 100_000_000
LAGS = (0, 1, 2, 5, 10, 20, 50, 100, 300)
MOST_RETURN = 2**20


@dataclass(frozen=True)
class PlainState:
    """The book after an event: slots of a side, how many are trusted."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    bid_trusted: int
    ask_trusted: int


@dataclass(frozen=True)
class Side:
    """What is known of a side: its levels, best first, and whether these are all."""

    levels: list[Level]
    is_whole: bool

    @classmethod
    def of(cls, levels: Sequence[Level], trusted: int) -> Side:
        return cls(list(levels[:trusted]), len(levels) < trusted)

    def size_at(self, price: int) -> int:
        return dict(self.levels).get(price, 0)

    def place(self, price: int) -> int:
        return [one for one, _ in self.levels].index(price)


Book = tuple[Side, Side]


@dataclass
class PlainBlock:
    """A block: every value of each metric, in any order; tallies; samples of the grid."""

    values: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    tallies: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    series: dict[int, list[int]] = field(default_factory=dict)


def mid2(book: Book) -> int:
    """Twice the mid."""
    return book[0].levels[0][0] + book[1].levels[0][0]


def parts(value: int, whole: int) -> int:
    """In units of 1e-8."""
    return math.floor(float(value) / float(whole) * 1e8 + 0.5)


def sample_behind(ts: int) -> int:
    """The first sample at or after a time."""
    return -(-ts // GRID) * GRID


def range_of(level: int) -> int:
    """Touch, to level 5, to level 10, beyond."""
    return sum(level >= bound for bound in (1, 5, 10))


class PlainMetrics:
    """Blocks of a day by their start, from all of its events and the states behind some."""

    def __init__(
        self,
        events: Sequence[Event],
        states: Mapping[int, PlainState],
        *,
        tick: int,
        lot: int,
        block_ns: int,
    ) -> None:
        self.tick, self.lot, self.block_ns = tick, lot, block_ns
        self.blocks: dict[int, PlainBlock] = {}
        self.books: list[tuple[int, Book | None]] = []
        self.flows: list[tuple[int, str, int]] = []
        self.events: list[tuple[int, str, int, int]] = []
        seen = [i for i, event in enumerate(events) if i in states or self._counts(event)]
        if not seen:
            return
        begin, end = events[seen[0]].ts_order, events[-1].ts_order
        for start in range(begin // block_ns, end // block_ns + 1):
            self.blocks[start * block_ns] = PlainBlock()
        self.grid = range(sample_behind(begin), end + 1, GRID)
        self._walk(events, states, seen[0])
        self.cells: dict[tuple[int, str], int] = defaultdict(int)
        for when, name, n in self.flows:
            self.cells[max(sample_behind(when), self.grid.start), name] += n
        self.due: dict[int, list[tuple[int, Event, Book | None]]] = defaultdict(list)
        for event, book in self.waiting:
            for seconds in (1, 5, 30):
                met = sample_behind(event.ts_order + seconds * 10**9)
                self.due[met].append((seconds, event, book))
        self.echoes: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
        for when, kind, sign, before in self.events:
            for lag in LAGS:
                met = sample_behind(when) + lag * GRID
                self.echoes[met].append((f"{kind}_{lag / 10:g}s", sign, before))
        for ts in self.grid:
            self._sample(ts)

    @staticmethod
    def is_hole(event: Event) -> bool:
        both = Flag.TRADES | Flag.GAP
        return event.kind == Kind.MARK and event.flags & both == both

    @staticmethod
    def is_doubt(event: Event) -> bool:
        told = speaks_of_the_feed(event.flags, event.prev_sequence)
        return bool(event.kind == Kind.MARK and told and event.flags & Flag.DOUBTFUL)

    @staticmethod
    def is_correction(event: Event) -> bool:
        listed = event.kind in (Kind.SNAPSHOT, Kind.CLEAR) or bool(event.flags & Flag.REFUTED)
        return listed and bool(event.flags & Flag.LAST)

    def _counts(self, event: Event) -> bool:
        return (
            event.kind == Kind.TRADE
            or self.is_hole(event)
            or self.is_doubt(event)
            or self.is_correction(event)
        )

    def _block(self, ts: int) -> PlainBlock:
        return self.blocks[ts - ts % self.block_ns]

    def _walk(self, events: Sequence[Event], states: Mapping[int, PlainState], first: int) -> None:
        book: Book | None = None
        message = 0
        trades: list[Event] = []
        since: list[Event] | None = []
        self.waiting: list[tuple[Event, Book | None]] = []
        for number, event in enumerate(events[first:], first):
            ts = event.ts_order
            block = self._block(ts)
            if event.kind == Kind.TRADE:
                self._trade(block, event, trades, book)
                trades.append(event)
                since = None if since is None else [*since, event]
            elif self.is_hole(event):
                trades, since = [], None
            elif self.is_doubt(event):
                book, message = None, 0
                self.books.append((ts, None))
            if number in states:
                now, corrects = self._seen(states[number]), self.is_correction(event)
                block.tallies["states"] += 1
                if not corrects:
                    self.flows.append((ts, "messages", 1))
                if now is None:
                    message = 0
                else:
                    block.tallies["trusted_states"] += 1
                    if not corrects:
                        if message:
                            block.values["message_interval"].append((ts - message) // 1000)
                        message = ts
                        if book is not None:
                            self._changes(block, book, now)
                            self._flow(ts, book, now)
                            if since is not None:
                                self._touch(ts, book, now, since)
                book, since = now, []
                self.books.append((ts, book))

    @staticmethod
    def _seen(state: PlainState) -> Book | None:
        bids = Side.of(state.bids, state.bid_trusted)
        asks = Side.of(state.asks, state.ask_trusted)
        return (bids, asks) if bids.levels and asks.levels else None

    def _trade(
        self, block: PlainBlock, event: Event, before: Sequence[Event], book: Book | None
    ) -> None:
        buys = event.side == 1
        block.values["buy_size" if buys else "sell_size"].append(event.size // self.lot)
        block.values["event_mix"].append(16 if buys else 17)
        self.flows += [
            (event.ts_order, "trades", 1),
            (event.ts_order, "bought" if buys else "sold", event.size),
        ]
        if before:
            gap = event.ts_order - before[-1].ts_order
            block.values["trade_interval"].append(gap // 1000)
        if len(before) > 1:
            last, change = (
                max(min((b.price - a.price) // self.tick, MOST_RETURN), -MOST_RETURN)
                for a, b in pairwise([*before[-2:], event])
            )
            block.tallies["return_products"] += last * change
            block.tallies["return_pairs"] += 1
        if book is None:
            block.tallies["unknown_mid"] += 1
        else:
            sign = 1 if buys else -1
            paid = 2 * sign * (2 * event.price - mid2(book))
            block.values["effective_spread"].append(parts(paid, mid2(book)))
        self.waiting.append((event, book))

    def _changes(self, block: PlainBlock, was: Book, now: Book) -> None:
        for side, (before, after) in enumerate(zip(was, now, strict=True)):
            sign = -1 if side == 0 else 1
            ends = [sign * one.levels[-1][0] for one in (before, after) if not one.is_whole]
            prices = {price for one in (before, after) for price, _ in one.levels}
            for price in prices:
                change = after.size_at(price) - before.size_at(price)
                if not change or any(sign * price > end for end in ends):
                    continue
                what = "added" if change > 0 else "removed"
                place = (after if change > 0 else before).place(price)
                category = (side * 2 + (change < 0)) * 4 + range_of(place)
                block.values["event_mix"].append(category)
                block.values[f"{what}_size"].append(abs(change) // self.lot)
                distance = abs(2 * price - mid2(was)) // self.tick
                block.values[f"{what}_distance"].append(distance)

    def _flow(self, ts: int, was: Book, now: Book) -> None:
        known = min(len(side.levels) for side in (*was, *now))
        for level in range(min(known, 5)):
            (p0, q0), (p1, q1) = was[0].levels[level], now[0].levels[level]
            (a0, s0), (a1, s1) = was[1].levels[level], now[1].levels[level]
            flow = (p1 >= p0) * q1 - (p1 <= p0) * q0 - (a1 <= a0) * s1 + (a1 >= a0) * s0
            self.flows.append((ts, "ofi_5", flow))
            if level == 0:
                self.flows.append((ts, "ofi_1", flow))

    def _touch(self, ts: int, was: Book, now: Book, trades: Sequence[Event]) -> None:
        """Market orders, limit orders and cancellations at the touch, each with its sign."""
        suffix = "_moved" if mid2(now) != mid2(was) else ""
        for side, sign in ((0, 1), (1, -1)):
            taken = sum(trade.size for trade in trades if (trade.side == 1) == (side == 1))
            (price0, size0), (price1, size1) = was[side].levels[0], now[side].levels[0]
            found = [("market", -sign)] * (taken > 0)
            if sign * price1 > sign * price0:
                found.append(("limit", sign))
            elif price1 == price0:
                added = size1 - size0 + taken
                found += [("limit", sign)] * (added > 0) + [("cancel", -sign)] * (added < 0)
            else:
                found += [("cancel", -sign)] * (size0 > taken)
            self.events += [(ts, kind + suffix, e, mid2(was)) for kind, e in found]

    def _at(self, ts: int) -> Book | None:
        at = bisect_right(self.books, ts, key=lambda found: found[0])
        return self.books[at - 1][1] if at else None

    def _sample(self, ts: int) -> None:
        block, book = self._block(ts), self._at(ts)
        block.tallies["samples"] += 1
        row = [0] * 4
        if book is not None:
            block.tallies["trusted_samples"] += 1
            (bid, bid_size), (ask, ask_size) = book[0].levels[0], book[1].levels[0]
            row = [bid + ask, ask - bid, bid_size, ask_size]
            self._state(block, book)
        for name in ("ofi_1", "ofi_5", "bought", "sold", "trades", "messages"):
            row.append(self.cells[ts, name])
        block.series[ts % self.block_ns // GRID] = row
        if book is not None:
            for name, sign, before in self.echoes[ts]:
                block.tallies[f"{name}_responses"] += 1
                block.tallies[f"{name}_moves"] += sign * (mid2(book) - before)
        for seconds, event, then in self.due[ts]:
            if book is None or then is None:
                block.tallies["unknown_mid"] += 1
                continue
            sign = 1 if event.side == 1 else -1
            realised = 2 * sign * (2 * event.price - mid2(book))
            moved = 2 * sign * (mid2(book) - mid2(then))
            whole = mid2(then)
            block.values[f"realised_spread_{seconds}s"].append(parts(realised, whole))
            block.values[f"impact_{seconds}s"].append(parts(moved, whole))

    def _state(self, block: PlainBlock, book: Book) -> None:
        bids, asks = book
        for level in (1, 5, 10, 15, 20):
            if min(len(bids.levels), len(asks.levels)) >= level:
                spread = asks.levels[level - 1][0] - bids.levels[level - 1][0]
                block.values[f"spread_{level}"].append(spread // self.tick)
                block.values[f"spread_{level}_bps"].append(parts(2 * spread, mid2(book)))
        depths = {}
        for name, side in (("bid", bids), ("ask", asks)):
            for level in (1, 5, 10, 20):
                if side.is_whole or len(side.levels) >= level:
                    lots = sum(size for _, size in side.levels[:level]) // self.lot
                    depths[name, level] = lots
                    block.values[f"{name}_depth_{level}"].append(lots)
            for band in (1, 5, 10):
                far = band * 1e-4 * float(mid2(book))
                within = [abs(2 * price - mid2(book)) <= far for price, _ in side.levels]
                if side.is_whole or not all(within):
                    sizes = (q for (_, q), near in zip(side.levels, within, strict=True) if near)
                    block.values[f"{name}_depth_{band}bps"].append(sum(sizes) // self.lot)
        for level in (1, 5):
            bid, ask = depths.get(("bid", level)), depths.get(("ask", level))
            if bid is not None and ask is not None and bid + ask > 0:
                share = float(bid - ask) / float(bid + ask)
                block.values[f"imbalance_{level}"].append(math.floor(share * 250 + 0.5))

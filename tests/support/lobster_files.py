"""LOBSTER files of the simulator's market: a message for each thing that happened at a level."""

from __future__ import annotations

import bisect
import copy
import dataclasses
import gzip
import zipfile
from functools import cache
from pathlib import Path

import numpy as np

from lobproof.sources import simulator
from lobproof.sources.lobster.files import Pair, Sequence
from lobproof.sources.simulator import PRESETS, MarketConfig
from lobproof.sources.simulator.layout_kernels import BID, FLOW, TRADE
from lobproof.sources.simulator.random_kernels import seed_random
from plain.lob_bench import NO_PRICE, SECOND, Book, Row

BUSY = dataclasses.replace(
    PRESETS["btc"], near_orders=60, deep_orders=200, warmup_s=0.5, rate=60.0, window_bits=14
)


@cache
def _changes(old: MarketConfig, law: MarketConfig) -> tuple[tuple[str, float], ...]:
    """What differs of two laws, as the kernels have it."""
    before, after = (simulator.Market(one, 0, warm=False)._flow for one in (old, law))
    return tuple(
        (name, float(getattr(after, name)))
        for name in FLOW.names or ()
        if np.ndim(getattr(after, name)) == 0 and getattr(before, name) != getattr(after, name)
    )


class Market:
    """A small simulated market as LOBSTER has it; each level is one order, so that ids come back.

    A level that grows is a new order, one that shrinks without a trade a cancellation.
    """

    def __init__(self, seed: int, config: MarketConfig = BUSY, levels: int = 10) -> None:
        self.levels = levels
        self._market = simulator.Market(config, seed)
        self.now = 34_200 * SECOND
        self._ids: dict[tuple[int, int], int] = {}
        self._next_id = 1
        bids, bid_sizes, asks, ask_sizes = self._market.book()
        self._low = int(bids[0]) - 1_000_000
        self._sizes: dict[int, dict[int, int]] = {
            1: dict(zip(bids.tolist(), bid_sizes.tolist(), strict=True)),
            2: dict(zip(asks.tolist(), ask_sizes.tolist(), strict=True)),
        }
        self._prices = {side: sorted(sizes) for side, sizes in self._sizes.items()}

    def branch(self, seed: int, law: MarketConfig | None = None) -> Market:
        """Another that goes on from here by chance of its own, and by another law if given."""
        found = copy.copy(self)
        found._ids = dict(self._ids)
        found._sizes = {side: dict(sizes) for side, sizes in self._sizes.items()}
        found._prices = {side: list(prices) for side, prices in self._prices.items()}
        found._market = copy.deepcopy(self._market)
        seed_random(found._market._state.random, seed, 0)
        if law is not None:
            for name, value in _changes(self._market.config, law):
                setattr(found._market._flow, name, value)
        return found

    def run(self, seconds: float) -> tuple[list[Row], list[Book]]:
        """Messages of some time, and the book after each."""
        shift, traded = self.now - self._market.now, 0
        self.now += int(seconds * SECOND)
        rows: list[Row] = []
        books: list[Book] = []
        for ts, kind, side, price, size, _ in self._market.step(self.now - shift).rows.tolist():
            if kind == TRADE:
                traded += size
                continue
            change = size - self._set(side, price, size)
            if not change:
                continue
            if change > 0:
                self._ids[side, price] = self._next_id
                self._next_id += 1
            order = self._ids.get((side, price), 0) or 10_000_000 + abs(price)
            what = 1 if change > 0 else 4 if traded else 2 if size else 3
            traded = 0
            at = 100 * (price - self._low)
            rows.append((ts + shift, what, order, abs(change), at, 1 if side == BID else -1))
            books.append(self._book())
        return rows, books

    def skip(self, seconds: float) -> None:
        """Let some time go by unseen."""
        shift = self.now - self._market.now
        self.now += int(seconds * SECOND)
        for _, kind, side, price, size, _ in self._market.step(self.now - shift).rows.tolist():
            if kind != TRADE:
                self._set(side, price, size)

    def _set(self, side: int, price: int, size: int) -> int:
        """Give a level its size; what it had."""
        sizes, prices = self._sizes[side], self._prices[side]
        had = sizes.pop(price, 0)
        if size:
            sizes[price] = size
        if size and not had:
            bisect.insort(prices, price)
        elif had and not size:
            del prices[bisect.bisect_left(prices, price)]
        return had

    def _book(self) -> Book:
        asks, bids = self._prices[2][: self.levels], self._prices[1][: -self.levels - 1 : -1]
        book: Book = []
        for level in range(self.levels):
            for which, prices in ((2, asks), (1, bids)):
                if level < len(prices):
                    price = prices[level]
                    book += [100 * (price - self._low), self._sizes[which][price]]
                else:
                    book += [NO_PRICE[which], 0]
        return book


def simulated(seed: int, seconds: float, levels: int = 10) -> tuple[list[Row], list[Book]]:
    """Messages and books of a small market from its beginning on."""
    return Market(seed, levels=levels).run(seconds)


def sequence_of(
    rows: list[Row], books: list[Book], *, name: str = "0_1_message_10", date: str = "2012-06-21"
) -> Sequence:
    """What reading a pair with these rows gives, without the files."""
    columns = [np.array(column, np.int64) for column in zip(*rows, strict=True)]
    path = Path(f"AAPL_{date}_{name}.csv")
    time, kind, order_id, size, price, direction = columns
    book = np.array(books, np.int64)
    narrow = kind.astype(np.int8), direction.astype(np.int8)
    pair = Pair("AAPL", date, path, path, 0)
    return Sequence(pair, time, narrow[0], order_id, size, price, narrow[1], book)


def time_text(ns: int) -> str:
    """Seconds with nine decimals."""
    return f"{ns // SECOND}.{ns % SECOND:09d}"


def message_text(rows: list[Row], more: str = "") -> str:
    """The lines of a message file."""
    return "".join(f"{time_text(row[0])},{','.join(map(str, row[1:]))}{more}\n" for row in rows)


def book_text(books: list[Book]) -> str:
    """The lines of an order book file."""
    return "".join(f"{','.join(map(str, book))}\n" for book in books)


def write_pair(
    folder: Path,
    rows: list[Row],
    books: list[Book],
    *,
    date: str = "2012-06-21",
    name: str = "34200000_57600000_{}_10",
    packed: str = "",
    more: str = "",
) -> Path:
    """A pair of files in a folder, which is made; the path of the messages."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"message": message_text(rows, more), "orderbook": book_text(books)}
    for what, text in texts.items():
        path = folder / f"AAPL_{date}_{name.format(what)}.csv{packed}"
        if packed == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("rows.csv", text)
        else:
            data = text.encode()
            path.write_bytes(gzip.compress(data) if packed == ".gz" else data)
    return folder / f"AAPL_{date}_{name.format('message')}.csv{packed}"

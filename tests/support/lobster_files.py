"""LOBSTER files of the simulator's market: a message for each thing that happened at a level."""

from __future__ import annotations

import dataclasses
import gzip
import zipfile
from pathlib import Path

from lobproof.sources.simulator import PRESETS, Market
from lobproof.sources.simulator.layout_kernels import BID, TRADE
from plain.lob_bench import NO_PRICE, SECOND, Book, Row


def simulated(seed: int, seconds: float, levels: int = 10) -> tuple[list[Row], list[Book]]:
    """Messages and books of a small market; each level is one order, so that ids come back.

    A level that grows is a new order, one that shrinks without a trade a cancellation.
    """
    config = dataclasses.replace(
        PRESETS["btc"], near_orders=60, deep_orders=200, warmup_s=0.5, rate=60.0, window_bits=14
    )
    market = Market(config, seed)
    bids, bid_sizes, asks, ask_sizes = market.book()
    sides = {
        1: dict(zip(bids.tolist(), bid_sizes.tolist(), strict=True)),
        2: dict(zip(asks.tolist(), ask_sizes.tolist(), strict=True)),
    }
    begun = market.now
    low = int(bids[0]) - 1_000_000
    events = market.step(begun + int(seconds * SECOND))
    rows: list[Row] = []
    books: list[Book] = []
    ids: dict[tuple[int, int], int] = {}
    next_id = 1
    traded = 0
    for ts, kind, side, price, size, _ in events.rows.tolist():
        if kind == TRADE:
            traded += size
            continue
        change = size - sides[side].get(price, 0)
        if size:
            sides[side][price] = size
        else:
            sides[side].pop(price, None)
        if not change:
            continue
        time = 34_200 * SECOND + ts - begun
        if change > 0:
            ids[side, price] = next_id
            next_id += 1
        order = ids.get((side, price), 0) or 10_000_000 + abs(price)
        what = 1 if change > 0 else 4 if traded else 2 if size else 3
        traded = 0
        rows.append((time, what, order, abs(change), 100 * (price - low), 1 if side == BID else -1))
        book: Book = []
        best = (sorted(sides[2]), sorted(sides[1], reverse=True))
        for level in range(levels):
            for which, prices in ((2, best[0]), (1, best[1])):
                known = level < len(prices)
                book += (
                    [100 * (prices[level] - low), sides[which][prices[level]]]
                    if known
                    else [NO_PRICE[which], 0]
                )
        books.append(book)
    return rows, books


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

"""Speed of the book's kernels on one core: level changes with best bid and ask, and the top 20.

Run: ``PYTHONPATH=tests python benchmarks/bench_book.py [--rows N] [--windows]``. The stream is that
of the recorded BTCUSDT depth messages (``LOBPROOF_REAL_DATA``, by default ``../shared/data`` beside
the checkout), each repetition from an empty book and its snapshot on; without the recordings it is
a random walk, and the output says so. Each figure is the best of several runs over all rows after
compilation.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

from lobproof.book import WINDOW_TICKS, OrderBook
from lobproof.book.kernels import (
    Book,
    apply_level,
    apply_rows,
    clear_book,
    ensure_far_capacity,
    new_book,
    top,
)
from lobproof.schema import LEVELS, Int8, Int64
from plain.book import PlainBook

BATCH_ROWS = 65536
CHECKED_ROWS = 20_000


class Stream(NamedTuple):
    """Level changes on the grid; ``last`` marks ends of messages. It opens with a snapshot."""

    side: Int8
    price: Int64
    size: Int64
    last: Int8

    def batches(self) -> Iterator[Stream]:
        for start in range(0, len(self.side), BATCH_ROWS):
            yield Stream(*(column[start : start + BATCH_ROWS] for column in self))


def recorded(symbol: str) -> Stream | None:
    """A symbol's recorded snapshot and the depth messages after it, None without recordings."""
    checkout = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("LOBPROOF_REAL_DATA", checkout.parent / "shared" / "data"))
    messages = []
    for path in sorted((folder / "binance-spot").glob(f"{symbol}_*.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                document = json.loads(line.split(" ", 1)[1])
                if "lastUpdateId" in document:
                    id_, bids, asks = (document[key] for key in ("lastUpdateId", "bids", "asks"))
                    messages.append((id_, False, bids, asks))
                elif "@depth" in document["stream"]:
                    messages.append((*(document["data"][key] for key in ("u", "e", "b", "a")),))
    if not messages:
        return None
    anchor = next(id_ for id_, kind, *_ in messages if not kind)
    rows: list[tuple[int, int, int, int]] = []
    for id_, kind, *levels in sorted(messages, key=lambda message: (message[0], bool(message[1]))):
        if id_ < anchor or (id_ == anchor and kind):
            continue
        for side, listed in enumerate(levels, start=1):
            # the recordings write every number with eight digits after the point
            rows += [(side, int(p.replace(".", "")), int(q.replace(".", "")), 0) for p, q in listed]
        rows[-1] = (*rows[-1][:3], 1)
    side, price, size, last = np.array(rows, np.int64).T.copy()
    return Stream(side.astype(np.int8), price // np.gcd.reduce(price), size, last.astype(np.int8))


def walked(rows: int = 300_000) -> Stream:
    """A random walk of the touch with changes around it, as many bids as asks, 46 a message."""
    rng = np.random.default_rng(1)
    message = np.arange(rows) // 46
    middle = 6_000_000 + np.cumsum(rng.integers(-60, 61, message[-1] + 1))[message]
    side = (np.arange(rows) % 46 // 23 + 1).astype(np.int8)
    away = np.minimum((rng.pareto(0.7, rows) * 100).astype(np.int64), 4_000_000)
    price = np.where(side == 1, middle - away, middle + away + 1)
    size = np.where(rng.random(rows) < 0.4, 0, rng.integers(1, 10**9, rows))
    last = (np.arange(rows) % 46 == 45).astype(np.int8)
    return Stream(side, price, size, last)


def check(stream: Stream) -> None:
    """Hold the touches of the first rows and the whole book at the end against the plain book."""
    book, plain = OrderBook(), PlainBook()
    touches = book.apply_batch(stream.side, stream.price, stream.size)
    head = [column[:CHECKED_ROWS].tolist() for column in stream[:3]]
    expected = plain.apply_batch(*head)
    assert np.array_equal(np.column_stack(touches)[:CHECKED_ROWS], np.array(expected))
    for row in zip(*(column[CHECKED_ROWS:].tolist() for column in stream[:3]), strict=True):
        plain.apply(*row)
    for side in (1, 2):
        assert book.levels(side) == plain.levels(side)


@njit(nogil=True)
def replay(book: Book, stream: Stream, row: Int64, tops: bool) -> int:
    """Apply the rows; at message ends write the top 20 of both sides where asked."""
    messages = 0
    for k in range(len(stream.side)):
        apply_level(book, stream.side[k], stream.price[k], stream.size[k])
        if stream.last[k]:
            messages += 1
            if tops:
                top(book, 1, LEVELS, row[0 : 2 * LEVELS : 2], row[1 : 2 * LEVELS : 2])
                top(book, 2, LEVELS, row[2 * LEVELS :: 2], row[2 * LEVELS + 1 :: 2])
    return messages


def best_of(runs: int, run: Callable[[], object]) -> float:
    """Seconds of the fastest run; one before it compiles and warms up."""
    run()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure(stream: Stream, window_ticks: int, rows: int) -> tuple[float, float, float]:
    """M rows/s with best bid and ask after each, M rows/s without, ns of the top 20 of both."""
    book = ensure_far_capacity(new_book(window_ticks, 1), 2 * BATCH_ROWS)
    touches = [np.empty(BATCH_ROWS, np.int64) for _ in range(4)]
    row = np.empty(4 * LEVELS, np.int64)
    batches = list(stream.batches())
    repeats = -(-rows // len(stream.side))
    messages = repeats * int(np.count_nonzero(stream.last))

    def run_rows() -> None:
        for _ in range(repeats):
            clear_book(book)
            for batch in batches:
                out = (column[: len(batch.side)] for column in touches)
                apply_rows(book, batch.side, batch.price, batch.size, *out)

    def run_messages(tops: bool) -> None:
        for _ in range(repeats):
            clear_book(book)
            for batch in batches:
                replay(book, batch, row, tops)

    with_best = best_of(5, run_rows)
    plain = best_of(5, lambda: run_messages(False))
    with_tops = best_of(5, lambda: run_messages(True))
    total = repeats * len(stream.side)
    return total / with_best / 1e6, total / plain / 1e6, (with_tops - plain) / messages * 1e9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--windows", action="store_true", help="compare lengths of the window")
    arguments = parser.parse_args()

    streams = {symbol: recorded(symbol) for symbol in ("btcusdt", "ethusdt", "nexousdt")}
    print("stream     window  M rows/s, best each row  M rows/s, no read  top 20 of both sides, ns")
    for name, stream in [*streams.items(), ("random walk", walked())]:
        if stream is None:
            print(f"{name}: no recordings (LOBPROOF_REAL_DATA), see the random walk")
            continue
        check(stream)
        sizes = [2**k for k in range(14, 21)] if arguments.windows else [WINDOW_TICKS]
        for window in sizes:
            best, plain, tops = measure(stream, window, arguments.rows)
            bits = window.bit_length() - 1
            print(f"{name:12s} 2^{bits}  {best:22.1f} {plain:18.1f} {tops:25.0f}", flush=True)


if __name__ == "__main__":
    main()

"""Facts about rows of ``book`` by themselves, and about trades beside the touch that they show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lobproof.acquire.facts.count_kernels import (
    BOOKS,
    NEAR_BPS,
    PRINTS,
    Float64,
    count_books,
    count_prints,
)
from lobproof.acquire.facts.fact import SLACK, Fact, share, verdict
from lobproof.acquire.rows import LEVELS_NAME, Columns, read_columns
from lobproof.schema import Int64
from lobproof.schema.records import Record, zeroed

_MOST_CROSSED = 0.01
_NEAR = 0.95
_AGREE = 0.7
_BOOK = ("timestamp", "bid_0_price", "ask_0_price")
_TRADES = ("timestamp", "price", "side")


class BookSurvey:
    """Rows of ``book``: sorted, whole, uncrossed."""

    def __init__(self) -> None:
        self._counts = zeroed(BOOKS)[0]

    def feed(self, rows: Columns) -> None:
        """Look at the next rows."""
        count_books(self._counts, rows[LEVELS_NAME], rows["sequence_number"])

    def facts(self) -> list[Fact]:
        """What the rows say."""
        counts = self._counts
        rows, crossed, backward = map(int, (counts.rows, counts.crossed, counts.backward))
        wrong = int(counts.unsorted + counts.empty)
        return [
            Fact(
                "book-levels",
                "A row of book lists up to twenty levels a side, best first.",
                verdict(share(wrong, rows) <= SLACK, rows=rows),
                {
                    "rows with levels out of order": int(counts.unsorted),
                    "rows with an empty side": int(counts.empty),
                    "rows with fewer than twenty levels": int(counts.short),
                },
                rows,
            ),
            Fact(
                "book-crossed",
                "Hardly any row of book is crossed on a good day (a third on one bad day).",
                verdict(share(crossed, rows) <= _MOST_CROSSED, rows=rows),
                {"rows crossed": crossed},
                rows,
            ),
            Fact(
                "book-sequence-order",
                "The sequence number of book never goes backwards.",
                verdict(backward == 0, rows=rows),
                {"steps back": backward},
                rows,
            ),
        ]


def touch_facts(trades: Sequence[Path], book: Sequence[Path]) -> list[Fact]:
    """Hold each trade against the touch of the last row of ``book`` at or before its time."""
    counts = zeroed(PRINTS)[0]
    if trades and book:
        _walk(counts, trades, book)
    seen, sided = int(counts.seen), int(counts.sided)
    agree = share(int(counts.agree), sided)
    return [
        Fact(
            "trades-near-touch",
            f"A trade prints at the touch of the last row of book or near it (95 % within "
            f"{NEAR_BPS:.0f} basis points).",
            verdict(share(int(counts.near), seen) >= _NEAR, rows=seen),
            {
                "at the touch": share(int(counts.at_touch), seen),
                "through it": share(int(counts.through), seen),
                "inside the spread": share(int(counts.inside), seen),
                f"within {NEAR_BPS:.0f} basis points": share(int(counts.near), seen),
            },
            seen,
        ),
        Fact(
            "side-is-taker",
            "The side of a trade is the taker's: buys print above the middle of the book.",
            verdict(agree >= _AGREE, rows=sided),
            {"trades on the taker's half": agree},
            sided,
        ),
    ]


def _walk(counts: Record, trades: Sequence[Path], book: Sequence[Path]) -> None:
    touch = np.zeros(2, np.float64)
    source = _touches(book)
    times, touches, last = next(source)
    row = 0
    for rows in read_columns("trades", trades, _TRADES):
        trade = 0
        while trade < len(rows["timestamp"]):
            trade, row = count_prints(
                counts,
                touch,
                rows["timestamp"],
                rows["price"],
                rows["side"],
                trade,
                times,
                touches,
                row,
                last,
            )
            if row == len(times) and not last:
                times, touches, last = next(source)
                row = 0


def _touches(book: Sequence[Path]) -> Iterator[tuple[Int64, Float64, bool]]:
    """Times and best prices of rows of ``book``; the last are no rows."""
    for rows in read_columns("book", book, _BOOK):
        yield rows["timestamp"], np.column_stack([rows["bid_0_price"], rows["ask_0_price"]]), False
    yield np.empty(0, np.int64), np.empty((0, 2), np.float64), True

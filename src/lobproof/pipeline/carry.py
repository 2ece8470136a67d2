"""``closing_book``: the book that the day before closed with, to begin a day with."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from lobproof.errors import UsageError
from lobproof.instruments import Instrument
from lobproof.replay import BookLevels
from lobproof.schema import Int64, Side
from lobproof.store import open_store, sealed


def closing_book(
    out: Path, exchange: str, symbol: str, dt: str, instrument: Instrument
) -> tuple[tuple[BookLevels, str, int], Instrument]:
    """Closing keyframe of the day before ``dt``, hash of that day's keyframes, its time; a grid.

    The grid is that of ``instrument``, made finer where the carried book needs it.

    Raises
    ------
    UsageError
        When that day is not sealed in the store ``out``.
    """
    before = (date.fromisoformat(dt) - timedelta(days=1)).isoformat()
    seals = sealed(out, exchange, symbol).filter(pl.col("dt") == before)
    if seals.is_empty():
        raise UsageError(
            f"{exchange} {symbol} {before} is not sealed in {out}: nothing to carry over to {dt}",
            hint="reconstruct the days in order, or leave --carry out",
        )
    seal = seals.row(0, named=True)
    finer = instrument.with_exponents(
        max(instrument.price_exponent, int(seal["price_exponent"])),
        max(instrument.size_exponent, int(seal["size_exponent"])),
    )
    frames = (
        open_store(out)
        .keyframes(symbol, exchange=exchange, raw=True)
        .filter(pl.col("dt") == before)
        .collect()
    )
    last = frames.filter(pl.col("event_id") == frames["event_id"].max())
    sides = [last.filter(pl.col("side") == int(side)) for side in (Side.BID, Side.ASK)]

    def counts(values: pl.Series, exponent: int) -> Int64:
        return np.array([int(value.scaleb(exponent)) for value in values], np.int64)

    def levels(side: pl.DataFrame) -> tuple[Int64, Int64]:
        rows = side.filter(pl.col("price") != 0)
        return counts(rows["price"], finer.price_exponent), counts(
            rows["size"], finer.size_exponent
        )

    (bids, bid_sizes), (asks, ask_sizes) = levels(sides[0]), levels(sides[1])
    trust = [
        (int(side["trust"][0]), int(counts(side["trusted_to"][:1], finer.price_exponent)[0]))
        for side in sides
    ]
    book = BookLevels(
        int(last["sequence"][0]), bids, bid_sizes, asks, ask_sizes, *trust[0], *trust[1]
    )
    return (book, str(seal["keyframes_hash"]), int(last["ts_order"][0])), finer

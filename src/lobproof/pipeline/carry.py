"""Books that a run begins with: ``stored_book``, and ``closing_book`` of the day before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from lobproof.book import BookImage
from lobproof.errors import StoreError, UsageError
from lobproof.instruments import Instrument
from lobproof.schema import EVERYTHING, UNTRUSTED
from lobproof.store import Keyframe, Store, open_store, sealed


def closing_book(
    out: Path, exchange: str, symbol: str, dt: str, instrument: Instrument
) -> tuple[tuple[BookImage, str, int], Instrument]:
    """Closing keyframe of the day before ``dt``, hash of that day's keyframes, its time; a grid.

    The grid is that of ``instrument``, made finer where the carried book needs it. What lies
    beyond a trusted range is stale: nothing proves that the files of two days join without a loss.

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
    finer = finer_grid(instrument, seal)
    store = open_store(out)
    event_id, ts = keyframe_places(store, exchange, symbol, before).row(-1)[:2]
    book = stored_book(store, exchange, symbol, before, event_id, finer)
    book = replace(
        book,
        bid_stale=int(book.bid_trust != EVERYTHING),
        ask_stale=int(book.ask_trust != EVERYTHING),
    )
    return (book, str(seal["keyframes_hash"]), int(ts)), finer


def finer_grid(instrument: Instrument, seal: Mapping[str, Any]) -> Instrument:
    """The instrument on the coarsest grid that holds its own numbers and those of a sealed day."""
    return instrument.with_exponents(
        max(instrument.price_exponent, int(seal["price_exponent"])),
        max(instrument.size_exponent, int(seal["size_exponent"])),
    )


def keyframe_places(store: Store, exchange: str, symbol: str, dt: str) -> pl.DataFrame:
    """The keyframes of a day, in order: ``event_id``, ``ts_order``, ``trusted`` (both sides)."""
    return _collected(
        _keyframes(store, exchange, symbol, dt)
        .filter(pl.col("price") == 0)
        .group_by("event_id")
        .agg(pl.col("ts_order").first(), (pl.col("trust") != UNTRUSTED).all().alias("trusted"))
        .sort("event_id"),
        f"{exchange} {symbol} {dt}",
    )


def stored_book(
    store: Store, exchange: str, symbol: str, dt: str, event_id: int, instrument: Instrument
) -> BookImage:
    """The book of the keyframe behind an event, counted on a grid that holds it."""
    grid = store.instrument(symbol, exchange=exchange)
    rows = _collected(
        _keyframes(store, exchange, symbol, dt).filter(pl.col("event_id") == event_id),
        f"{exchange} {symbol} {dt}",
    )

    def counts(name: str, stored: int, wanted: int) -> pl.Expr:
        up, down = (int(10 ** max(by, 0)) for by in (wanted - stored, stored - wanted))
        return pl.col(name) * up // down

    prices = (grid.price_exponent, instrument.price_exponent)
    counted = [counts(name, *prices) for name in ("price", "trusted_to", "listed_to")]
    sizes = counts("size", grid.size_exponent, instrument.size_exponent)
    return Keyframe.of(rows.with_columns(*counted, sizes)).book


def _keyframes(store: Store, exchange: str, symbol: str, dt: str) -> pl.LazyFrame:
    frames = store.keyframes(symbol, exchange=exchange, numbers="grid", raw=True)
    return frames.filter(pl.col("dt") == dt)


def _collected(frame: pl.LazyFrame, where: str) -> pl.DataFrame:
    try:
        return frame.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StoreError(
            f"{where}: its keyframes cannot be read: {' '.join(str(error).split())}",
            hint="reconstruct that day there anew, with --overwrite",
        ) from error

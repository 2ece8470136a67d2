"""Uses of the public API as a type checker sees them: mypy reads this in `make lint`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import assert_type

import numpy as np
import polars as pl

import lobproof
from lobproof import BookView, GoldenSample, Lake, Message, Numbers, Time, UsageError, VerifyReport
from lobproof.progress import Progress


def told(what: str, done: int, total: int) -> None:
    """A progress."""
    print(what, done, total)


def chain(folder: Path) -> None:
    """From a recording to a page."""
    progress: Progress = told
    made = lobproof.simulate(folder / "sim", minutes=1.0, progress=progress)
    golden = lobproof.import_recordings(made.recordings, str(folder / "golden"), progress=progress)
    assert_type(golden, GoldenSample)
    result = lobproof.reconstruct(folder / "golden", "store", states="100ms", progress=progress)
    assert_type(result, lobproof.Reconstruction)
    lobproof.reconstruct("lake", "store", symbols=["BTC-USDT"], strategy="anchored", workers=2)
    report = lobproof.verify(result.store, "golden", progress=progress)
    assert_type(report, VerifyReport)
    assert_type(lobproof.report(result.store, "page.html", verification=report), Path)
    lobproof.verify("store", "golden", start=date(2026, 1, 5), end=np.datetime64("2026-01-06"))
    lobproof.report(folder / "store", "page.html", verification=report.to_dict())


def history() -> None:
    """Crypto Lake's days."""
    got = lobproof.acquire.download("lake", sample=True, symbols=["BTC-USDT"], progress=told)
    assert_type(got.complete, bool)
    lobproof.acquire.validate(Path("lake"), symbols="BTC-USDT", tables=["trades"], again=True)
    assert_type(lobproof.acquire.certify("lake", start="2022-10-01").verdict, str)
    lobproof.acquire.certify("lake", start=date(2022, 10, 1), end=date(2022, 10, 2))
    assert_type(lobproof.lake("lake"), Lake)
    assert_type([month.count("raw") for month in lobproof.acquire.status("lake")], list[int])


def reads(store: lobproof.Store) -> None:
    """What a store gives."""
    assert_type(store.trades(["BTC-USDT", "ETH-USDT"], side="BUY"), pl.LazyFrame)
    assert_type(store.trades_with_touch(numbers="float"), pl.LazyFrame)
    assert_type(store.bars(timedelta(seconds=1), start=datetime(2026, 1, 5)), pl.LazyFrame)
    assert_type(store.sample("1s", depth=5, numbers="grid"), pl.DataFrame)
    assert_type(store.book_at(1_767_571_200_000_000_000), BookView)
    assert_type(store.book_at("2026-01-05").best_bid, Decimal | None)
    assert_type(store.books_at(["2026-01-05", 5]), Iterator[BookView])
    assert_type(store.play(), Iterator[tuple[Message, lobproof.OrderBook]])
    for message, book in store.play("BTC-USDT", start="2026-01-05"):
        assert_type(message.rows, lobproof.EventBatch)
        assert_type(book.best_bid, tuple[int, int])


def mids(store: lobproof.Store, time: Time, numbers: Numbers = "float") -> pl.LazyFrame | None:
    """A function of a user's, with our names in its types."""
    try:
        return store.states(start=time, end=date(2026, 1, 6), numbers=numbers)
    except UsageError:
        return None

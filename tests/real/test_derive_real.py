"""Derived Crypto Lake tables of the recordings, against an independent reader and plain book."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

import lobproof
from lobproof.acquire.checks.scan import scan
from lobproof.pipeline import derive_lake
from lobproof.schema import EventBatch, Kind
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.cryptolake.layout import COLUMNS
from lobproof.sources.recordings import import_recordings
from plain.decoder import read_plain
from plain.recording import lake_truth, same_rows

pytestmark = pytest.mark.real

ROWS = {
    "BTCUSDT": {
        "trades": {"2024-08-08": 9738, "2024-08-09": 10166},
        "book": {"2024-08-08": 3431, "2024-08-09": 2914},
        "book_delta_v2": {"2024-08-08": 123840, "2024-08-09": 174271},
    },
    "ETHUSDT": {
        "trades": {"2024-08-08": 6098, "2024-08-09": 8417},
        "book": {"2024-08-08": 3419, "2024-08-09": 3048},
        "book_delta_v2": {"2024-08-08": 106476, "2024-08-09": 166288},
    },
    "NEXOUSDT": {
        "trades": {"2024-07-23": 4681, "2024-07-24": 7777},
        "book": {"2024-07-23": 24674, "2024-07-24": 43507},
        "book_delta_v2": {"2024-07-23": 49983, "2024-07-24": 86332},
    },
}
LEFT_OUT = {"BTCUSDT": 150, "ETHUSDT": 2, "NEXOUSDT": 0}
USUAL = {"float-seconds", "silence", "over-midnight", "off-lot"}
"""What validation may find: the stamps; a recording is no whole day; a recorder's clock more than a
second slow, just behind midnight; and the few orders finer than the lot."""


@pytest.mark.parametrize(
    "symbol",
    [
        pytest.param("BTCUSDT", marks=pytest.mark.slow),
        "ETHUSDT",
        pytest.param("NEXOUSDT", marks=pytest.mark.slow),
    ],
)
def test_the_tables_are_the_recording(real_data: Path, tmp_path: Path, symbol: str) -> None:
    files = sorted((real_data / "binance-spot").glob(f"{symbol.lower()}_*.gz"))
    golden = import_recordings(files, tmp_path / "golden", snapshot_limit=1000)
    result = derive_lake(golden.path, tmp_path / "lake")
    assert result.rows == ROWS[symbol]
    assert (result.gaps, result.trade_gaps, result.unreadable) == (0, 0, 0)
    assert result.book_left_out == LEFT_OUT[symbol]
    document = json.loads((result.out / "derived.json").read_text())
    assert [entry["sha256"] for entry in document["source"]["inputs"]] == [
        entry["sha256"] for entry in golden.inputs
    ]

    truth = lake_truth(message for file in files for message in read_plain(file, symbol))
    lake = lobproof.lake(result.out)
    deltas = lake.table("book_delta_v2", times="int").collect()
    same_rows(deltas, COLUMNS["book_delta_v2"], truth.deltas)
    same_rows(lake.table("trades", times="int").collect(), COLUMNS["trades"], truth.trades)
    assert result.depth_messages == truth.messages

    book = lake.table("book", times="int").collect()
    kept = set(book["sequence_number"].to_list())
    same_rows(book, COLUMNS["book"], [row for row in truth.book if row[2] in kept])
    # only what the book cannot know is left out
    assert len(truth.book) == book.height + result.book_left_out
    unseeded = {row[2] for row, seeded in zip(truth.book, truth.seeded, strict=True) if not seeded}
    assert not kept & unseeded

    # through the grid, floats give the decoded counts back
    source = GoldenSource(golden)
    rows = EventBatch.concat(list(source.book()))
    rows = rows.take(np.flatnonzero(rows.kind == int(Kind.DELTA)))
    decoded = EventBatch.concat(list(source.trades()))
    trades = lake.table("trades").collect()
    for column, exponent, counts in (
        (deltas["price"], source.instrument.price_exponent, rows.price),
        (deltas["size"], source.instrument.size_exponent, rows.size),
        (trades["price"], source.instrument.price_exponent, decoded.price),
        (trades["amount"], source.instrument.size_exponent, decoded.size),
    ):
        assert np.array_equal(np.rint(column.to_numpy() * 10.0**exponent), counts)

    dates = pl.from_epoch("timestamp", "ns").dt.round("1us").dt.date()
    assert deltas.select((dates == pl.col("dt")).all()).item()
    for file in lake.files():
        assert pq.read_schema(file.path).metadata[b"provenance"] == b"derived"
        found = scan(file.path, file.key, instrument=source.instrument)
        assert set(found.findings.counts) <= USUAL, file.key
        assert {"float-seconds", "silence"} <= set(found.findings.counts)
        assert found.findings.counts["silence"] == 1  # before the recording, or behind it
        assert found.facts["stamps"]["timestamp"]["float_seconds"] > found.rows / 2


def test_the_same_bytes_whatever_the_batches(real_data: Path, tmp_path: Path) -> None:
    files = sorted((real_data / "binance-spot").glob("ethusdt_*.gz"))
    golden = import_recordings(files, tmp_path / "golden", snapshot_limit=1000).path
    one = derive_lake(golden, tmp_path / "one")
    other = derive_lake(golden, tmp_path / "other", batch_rows=997)
    assert one.files == other.files
    for name in (*one.files, "derived.json"):
        assert (one.out / name).read_bytes() == (other.out / name).read_bytes(), name

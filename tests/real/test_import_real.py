"""Import and source on the recordings, against an independent reader."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lobproof.schema import EventBatch, Flag, Kind, Side
from lobproof.sources.batches import TickerBatch
from lobproof.sources.binance.decode import decode_recording
from lobproof.sources.binance.journal import read_frames
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.sources.recordings.reader import RecordingFile
from plain.decoder import Plain, read_plain
from support.wire import decoded_values, row_values, scanned

pytestmark = pytest.mark.real

EXPECTED: dict[str, dict[str, Any]] = {
    "BTCUSDT": {
        "files": [(41249, 3451, 9757, 28040, 1), (58325, 3044, 10147, 45134, 0)],
        "unit": "ns",
        "clock_ms": (-1275, -1270),
        "snapshot": (50093239218, 1000, 1000),
        "exponents": (2, 6),
        "rule": ("0.01", "0.00001"),
    },
    "ETHUSDT": {
        "files": [(33618, 3434, 6106, 24077, 1), (46126, 3036, 8409, 34681, 0)],
        "unit": "ns",
        "clock_ms": (-1275, -1270),
        "snapshot": (35346513512, 1000, 1000),
        "exponents": (2, 5),
        "rule": ("0.01", "0.0001"),
    },
    "NEXOUSDT": {
        "files": [(1804, 1188, 178, 437, 1), (112274, 66994, 12280, 33000, 0)],
        "unit": "µs",
        "clock_ms": (-68, -28),
        "snapshot": (134180599, 305, 818),
        "exponents": (3, 2),
        "rule": ("0.001", "0.01"),
    },
}
SYMBOLS = list(EXPECTED)


def _files(real_data: Path, symbol: str) -> list[Path]:
    return sorted((real_data / "binance-spot").glob(f"{symbol.lower()}_*.gz"))


@pytest.fixture(scope="session")
def samples(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, GoldenSample]:
    folder = tmp_path_factory.mktemp("golden")
    return {
        symbol: import_recordings(
            _files(real_data, symbol)[::-1], folder / symbol, snapshot_limit=1000
        )
        for symbol in SYMBOLS
    }


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_document(samples: dict[str, GoldenSample], symbol: str) -> None:
    sample, expected = samples[symbol], EXPECTED[symbol]
    document = sample.document
    columns = np.array(expected["files"])
    assert [given["lines"] for given in sample.inputs] == columns[:, 0].tolist()
    assert [given["kept"] for given in sample.inputs] == columns[:, 0].tolist()
    assert {given["stamp_unit"] for given in sample.inputs} == {expected["unit"]}
    kinds = ("depth", "trade", "bookTicker", "snapshot")
    assert [document["counts"][kind] for kind in kinds] == columns[:, 1:].sum(axis=0).tolist()
    low = symbol.lower()
    assert document["streams"][f"{low}@depth@100ms"] == columns[:, 1].sum()
    for audit, messages in (("chain", columns[:, 1].sum()), ("trade_ids", columns[:, 2].sum())):
        assert document[audit]["messages"] == messages
        for fault in ("gaps", "duplicates", "late", "overlaps", "resets"):
            assert document[audit][fault] == 0
    (listed,) = document["snapshots"]
    seen = (listed["last_update_id"], listed["bids"], listed["asks"])
    assert seen == expected["snapshot"]
    instrument = sample.instrument
    assert (instrument.price_exponent, instrument.size_exponent) == expected["exponents"]
    rule = instrument.price_text(instrument.tick), instrument.size_text(instrument.lot)
    assert rule == expected["rule"]
    least, most = expected["clock_ms"]
    assert least * 10**6 <= sample.clock_offset_ns <= most * 10**6
    assert sample.findings() == []
    assert document["notes"] == []
    sample.hashed()


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_original_lines_come_back(
    samples: dict[str, GoldenSample], real_data: Path, symbol: str
) -> None:
    digits = {"ns": 19, "µs": 16}[EXPECTED[symbol]["unit"]]
    originals = _original_lines(_files(real_data, symbol))
    count = 0
    for line in _journal_lines(samples[symbol]):
        head, _, rest = line.removeprefix(b'{"capture_ns":').partition(b',"stream":"')
        stream, _, rest = rest.partition(b'","conn":0,')
        if stream == b"control":
            continue
        data = rest.removeprefix(b'"data":')[:-1]
        body = data
        if not stream.endswith(b"@snapshot"):
            body = b'{"stream":"' + stream + b'","data":' + data + b"}"
        assert next(originals) == head[:digits] + b" " + body
        assert head[digits:] == b"0" * (19 - digits)
        count += 1
    assert next(originals, None) is None
    assert count == sum(lines for lines, *_ in EXPECTED[symbol]["files"])


def _original_lines(files: list[Path]) -> Iterator[bytes]:
    for file in files:
        with gzip.open(file, "rb") as lines:
            for line in lines:
                yield line.rstrip(b"\n")


def _journal_lines(sample: GoldenSample) -> Iterator[bytes]:
    for path in sample.journals:
        for frame in read_frames(path):
            assert isinstance(frame, bytes)
            yield from frame.splitlines()


@pytest.mark.parametrize(
    "symbol",
    [
        pytest.param("BTCUSDT", marks=pytest.mark.slow),
        pytest.param("ETHUSDT", marks=pytest.mark.slow),
        "NEXOUSDT",
    ],
)
def test_every_line_decoded_by_both_is_equal(real_data: Path, symbol: str) -> None:
    compared = 0
    for file in _files(real_data, symbol):
        for data in RecordingFile(file):
            block = scanned(data, symbol=symbol)
            for row in range(len(block.messages)):
                slow = decode_recording(block.line(row), symbol)
                assert row_values(block, row) == decoded_values(slow)
                compared += 1
    assert compared == sum(lines for lines, *_ in EXPECTED[symbol]["files"])


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_level_trade_and_ticker_is_exact(
    samples: dict[str, GoldenSample], real_data: Path, symbol: str
) -> None:
    source = GoldenSource(samples[symbol])
    plain = [message for file in _files(real_data, symbol) for message in read_plain(file, symbol)]
    seen: dict[str, Iterator[tuple[Any, ...]]] = {
        "depth": _messages(source, EventBatch.concat(list(source.book(5000)))),
        "trade": _messages(source, EventBatch.concat(list(source.trades()))),
        "bookTicker": _tickers(source, TickerBatch.concat(list(source.tickers()))),
    }
    snapshots = [message for message in plain if message.kind == "snapshot"]
    compared: Counter[str] = Counter()
    for message in plain:
        if message.kind == "snapshot":
            continue
        if message.kind == "depth" and snapshots and message.ids[1] > snapshots[0].ids[0]:
            assert next(seen["depth"]) == _expected(snapshots.pop(0))
        assert next(seen[message.kind]) == _expected(message)
        compared[message.kind] += 1
    assert not snapshots
    assert all(next(rest, None) is None for rest in seen.values())
    columns = np.array(EXPECTED[symbol]["files"]).sum(axis=0)
    assert [compared[kind] for kind in ("depth", "trade", "bookTicker")] == columns[1:4].tolist()


def _expected(message: Plain) -> tuple[Any, ...]:
    if message.kind == "bookTicker":
        return (message.ids[0], 0, message.recv_ns, message.levels)
    if message.kind == "trade":
        side = "buy" if message.buyer_is_taker else "sell"
        levels = [(side, price, size) for _, price, size in message.levels]
        ids = message.ids[0], message.ids[0] - 1
        return ("TRADE", message.trade_ns, message.recv_ns, *ids, levels)
    if message.kind == "snapshot":
        ids = message.ids[0], message.ids[0]
        return ("SNAPSHOT", 0, message.recv_ns, *ids, message.levels)
    kind = "DELTA" if message.levels else "MARK"
    return (kind, message.event_ns, message.recv_ns, *message.ids[1:], message.levels)


def _messages(source: GoldenSource, batch: EventBatch) -> Iterator[tuple[Any, ...]]:
    instrument = source.instrument
    columns = [
        getattr(batch, name).tolist()
        for name in ("kind", "ts_event", "ts_recv", "sequence", "prev_sequence", "side", "price")
    ]
    levels: list[tuple[str, Decimal, Decimal]] = []
    ids: tuple[Any, ...] | None = None
    for *row, size, flags in zip(*columns, batch.size.tolist(), batch.flags.tolist(), strict=True):
        kind, event, recv, sequence, previous, side, price = row
        assert ids in (None, (kind, event, recv, sequence, previous))
        ids = kind, event, recv, sequence, previous
        if kind != Kind.MARK:
            names = ("", "buy", "sell") if kind == Kind.TRADE else ("", "bid", "ask")
            levels.append(
                (
                    names[side],
                    Decimal(instrument.price_text(price)),
                    Decimal(instrument.size_text(size)),
                )
            )
        else:
            assert (side, price, size) == (Side.NONE, 0, 0)
        if flags & Flag.LAST:
            yield (Kind(kind).name, *ids[1:], levels)
            levels, ids = [], None


def _tickers(source: GoldenSource, batch: TickerBatch) -> Iterator[tuple[Any, ...]]:
    instrument = source.instrument
    names = ("sequence", "ts_event", "ts_recv", "bid", "bid_size", "ask", "ask_size")
    for row in zip(*(getattr(batch, name).tolist() for name in names), strict=True):
        sides = [
            (side, Decimal(instrument.price_text(price)), Decimal(instrument.size_text(size)))
            for side, price, size in (("bid", *row[3:5]), ("ask", *row[5:7]))
        ]
        yield (*row[:3], sides)


def test_two_imports_are_the_same_bytes(
    samples: dict[str, GoldenSample], real_data: Path, tmp_path: Path
) -> None:
    again = import_recordings(
        _files(real_data, "NEXOUSDT"), tmp_path / "again", snapshot_limit=1000
    )
    sample = samples["NEXOUSDT"]
    assert again.document == sample.document
    assert (again.path / "golden.json").read_bytes() == (sample.path / "golden.json").read_bytes()
    for one, other in zip(sample.journals, again.journals, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert len(sample.journals) == 25
    json.loads((again.path / "golden.json").read_bytes())

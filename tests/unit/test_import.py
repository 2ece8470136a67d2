"""Recordings to golden samples, and golden samples to batches."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import json
import lzma
import random
import re
import sys
from collections.abc import Callable
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest

from lobproof.errors import GridError, InputError, StrictError, UsageError
from lobproof.schema import EventBatch, Finding, Flag, Kind, Side
from lobproof.schema.batch import column_names
from lobproof.sources.batches import TickerBatch
from lobproof.sources.binance import journal as journal_module
from lobproof.sources.binance.journal import HOUR_NS, Loss, read_frames
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import audit as audit_module
from lobproof.sources.recordings import import_recordings, reader
from lobproof.sources.recordings.audit import ClockAudit, IdAudit
from lobproof.sources.simulator import simulate
from support.wire import (
    NS,
    T0,
    aggregate,
    depth,
    futures_ticker,
    futures_trade,
    recording,
    snapshot,
    stamped,
    ticker,
    tight,
    trade,
    wrapped,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

START = T0 * NS
SECOND = 10**9

MESSAGES: list[dict[str, Any]] = [
    depth(1, 3, [("10.10", "1")], [("10.30", "2.5")], time=T0),
    ticker(3, ("10.10", "1"), ("10.30", "2.5")),
    snapshot(5, [("10.10", "1"), ("10.00", "7")], [("10.30", "2.5")]),
    depth(4, 6, [("10.20", "3.25")], [], time=T0 + 100),
    trade(100, "10.20", "0.25", time=T0 + 120, sold=True),
    trade(101, "10.20", "1", time=T0 + 121),
    depth(7, 7, [], [], time=T0 + 200),
    depth(8, 9, [("10.20", "0")], [("10.25", "0.5")], time=T0 + 300),
]


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _journal(sample: GoldenSample) -> list[dict[str, Any]]:
    lines: list[bytes] = []
    for path in sample.journals:
        for part in read_frames(path):
            assert isinstance(part, bytes)
            lines += part.splitlines()
    return [json.loads(line) for line in lines]


def _book(sample: GoldenSample, rows: int = 65536) -> EventBatch:
    return EventBatch.concat([EventBatch.empty(), *GoldenSource(sample).book(rows)])


def _same(one: EventBatch | TickerBatch, other: EventBatch | TickerBatch) -> bool:
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))


def _take(folder: Path, lines: bytes, **options: Any) -> GoldenSample:
    """Import a recording of these lines; the folder may hold one from before."""
    file = folder / "lines.txt"
    file.write_bytes(lines)
    return import_recordings([file], folder / "golden", overwrite=True, **options)


@pytest.mark.kernels
def test_a_small_recording(tmp_path: Path) -> None:
    file = recording(tmp_path / "a.gz", MESSAGES)
    told: list[tuple[str, int, int]] = []
    sample = import_recordings(
        [file], tmp_path / "golden", progress=lambda *progress: told.append(progress)
    )
    document = sample.document
    assert told[-1] == ("a.gz", file.stat().st_size, file.stat().st_size)
    assert document["exchange"] == "BINANCE"
    assert (document["symbol"], document["venue_symbol"]) == ("BTC-USDT", "BTCUSDT")
    assert (sample.market, sample.provenance, document["rules_from"]) == (
        "spot",
        "real",
        "inferred",
    )
    assert (sample.instrument.price_exponent, sample.instrument.size_exponent) == (2, 2)
    assert (sample.instrument.tick, sample.instrument.lot) == (5, 25)
    counts = document["counts"]
    assert {name: counts[name] for name in ("depth", "trade", "bookTicker", "snapshot")} == {
        "depth": 4,
        "trade": 2,
        "bookTicker": 1,
        "snapshot": 1,
    }
    assert counts["level_changes"] == 5
    assert document["streams"] == {
        "btcusdt@depth@100ms": 4,
        "btcusdt@bookTicker": 1,
        "btcusdt@snapshot": 1,
        "btcusdt@trade": 2,
    }
    chain = document["chain"]
    assert (chain["messages"], chain["first_id"], chain["last_id"], chain["gaps"]) == (4, 1, 9, 0)
    trades = document["trade_ids"]
    assert (trades["messages"], trades["first_id"], trades["last_id"]) == (2, 100, 101)
    assert trades["gaps"] == trades["duplicates"] == trades["late"] == trades["overlaps"] == 0
    (listed,) = document["snapshots"]
    assert (listed["last_update_id"], listed["bids"], listed["asks"]) == (5, 2, 1)
    assert (listed["ours"], listed["named"], listed["line"]) == (True, False, 3)
    assert document["snapshot_limit"] is sample.snapshot_limit is None
    (given,) = sample.inputs
    assert (given["name"], given["lines"], given["kept"], given["stamp_unit"]) == (
        "a.gz",
        8,
        8,
        "ns",
    )
    assert document["span"]["first_recv_ns"] == START
    assert document["notes"] == []
    assert sample.findings() == []
    sample.hashed()
    assert not list(tmp_path.glob(".*"))
    lines = _journal(sample)
    assert [line.get("event") for line in (lines[0], lines[-1])] == ["file_start", "file_end"]
    assert [line["data"] for line in lines[1:-1]] == MESSAGES


def test_the_book_has_its_snapshot_in_place(tmp_path: Path) -> None:
    file = recording(tmp_path / "a.txt", MESSAGES)
    sample = import_recordings([file], tmp_path / "golden", snapshot_limit=100)
    book = _book(sample)
    assert book.kind.tolist() == [
        *[Kind.DELTA] * 2,
        *[Kind.SNAPSHOT] * 3,
        Kind.DELTA,
        Kind.MARK,
        *[Kind.DELTA] * 2,
    ]
    assert book.sequence.tolist() == [3, 3, 5, 5, 5, 6, 7, 9, 9]
    assert book.prev_sequence.tolist() == [0, 0, 5, 5, 5, 3, 6, 7, 7]
    complete, last = int(Flag.COMPLETE), int(Flag.LAST)
    assert book.flags.tolist() == [
        *(0, last, complete, complete, complete | last),
        *(last, last, 0, last),
    ]
    assert book.ts_event[2:5].tolist() == [0, 0, 0]
    assert book.ts_recv[2] == START + 20 * NS
    assert book.side[2:5].tolist() == [Side.BID, Side.BID, Side.ASK]
    for rows in (1, 2, 3, 5):
        batches = list(GoldenSource(sample).book(rows))
        assert _same(EventBatch.concat(batches), book)
        assert all(batch.flags[-1] & last for batch in batches)
    trades = list(GoldenSource(sample).trades(1))
    assert [batch.side.tolist() for batch in trades] == [[Side.SELL], [Side.BUY]]
    (tickers,) = GoldenSource(sample).tickers()
    assert (tickers.bid[0], tickers.ask_size[0]) == (1010, 250)
    with pytest.raises(UsageError):
        GoldenSource(sample).book(0)


@pytest.mark.parametrize(
    ("final", "before"),
    [(0, 0), (3, 2), (4, 2), (6, 3), (9, 6), (50, 6)],
)
def test_where_a_snapshot_goes(tmp_path: Path, final: int, before: int) -> None:
    one = [depth(1, 3, [("1", "1"), ("2", "1")]), depth(4, 6, [("1", "2")]), depth(7, 7)]
    late = [depth(4, 6, [("1", "2")]), depth(8, 9, [("3", "1")])]
    messages = [*one, *late, snapshot(final, [], [("9", "1")])]
    sample = import_recordings([recording(tmp_path / "a.txt", messages)], tmp_path / "golden")
    book = _book(sample)
    assert np.flatnonzero(book.kind == Kind.SNAPSHOT).tolist() == [before]
    chain = sample.document["chain"]
    assert (chain["late"], chain["gaps"], chain["first_irregular"]) == (1, 0, 6)


def test_several_snapshots_and_empty_ones(tmp_path: Path) -> None:
    five = [(str(price), "1") for price in (5, 4, 3, 2, 1)]
    messages = [
        depth(1, 3, [("1", "1")]),
        snapshot(9, five, [("9", "1")]),
        depth(4, 6, [("1", "2")]),
        snapshot(4, [], []),
        snapshot(4, [("2", "1")], []),
    ]
    sample = import_recordings([recording(tmp_path / "a.txt", messages)], tmp_path / "golden")
    book = _book(sample)
    assert book.sequence.tolist() == [3, 4, 4, 6, *[9] * 6]
    # one that lists nothing is a row without a level: no message to apply, and nothing to trust
    assert (book.kind[1], book.price[1], book.size[1]) == (Kind.SNAPSHOT, 0, 0)
    assert book.flags[1] == int(Flag.LAST)


@pytest.mark.parametrize(
    ("limit", "bids", "asks", "complete"),
    [
        (None, 1, 15, (False, False)),  # a count proves nothing
        (None, 305, 818, (False, False)),
        (1000, 305, 818, (True, True)),
        (818, 305, 818, (True, False)),
        (25, 25, 25, (False, False)),
        (100, 3, 3, (True, True)),
        (1000, 20, 13, (False, True)),  # spot's partial depth without its stream's name
    ],
)
def test_only_a_known_limit_shows_that_a_side_was_listed_whole(
    tmp_path: Path, limit: int | None, bids: int, asks: int, complete: tuple[bool, bool]
) -> None:
    listed = (
        [(f"{5000 - n}", "1") for n in range(bids)],
        [(f"{6000 + n}", "1") for n in range(asks)],
    )
    messages = [depth(1, 3, [("1", "1")]), snapshot(3, *listed)]
    file = recording(tmp_path / "a.txt", messages)
    sample = import_recordings([file], tmp_path / "golden", snapshot_limit=limit)
    assert sample.snapshot_limit == limit
    flags = _book(sample).flags[1:] & int(Flag.COMPLETE)
    assert [set(part.tolist()) for part in (flags[:bids], flags[bids:])] == [
        {int(Flag.COMPLETE) if whole else 0} for whole in complete
    ]
    with pytest.raises(UsageError, match="of other inputs or options"):
        import_recordings([file], tmp_path / "golden", snapshot_limit=5000)


def test_a_limit_that_a_snapshot_exceeds_or_that_is_none(tmp_path: Path) -> None:
    file = recording(tmp_path / "a.txt", MESSAGES)
    with pytest.raises(
        InputError, match=r"a\.txt, line 3: a snapshot of 2 bids and 1 asks, where 1"
    ):
        import_recordings([file], tmp_path / "golden", snapshot_limit=1)
    with pytest.raises(UsageError, match="snapshot_limit=0 is no whole"):
        import_recordings([file], tmp_path / "golden", snapshot_limit=0)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"symbol": ""}, "symbol=''"),
        ({"symbol": 5}, "symbol=5"),
        ({"snapshot_limit": "5"}, "snapshot_limit='5'"),
        ({"files": None}, "None is no path"),
        ({"files": [None]}, "None is no path"),
    ],
)
def test_options_that_are_none(tmp_path: Path, options: dict[str, Any], named: str) -> None:
    file = recording(tmp_path / "a.txt", MESSAGES)
    with pytest.raises(UsageError, match=named):
        import_recordings(**{"files": [file], "out": tmp_path / "golden", **options})
    assert not (tmp_path / "golden").exists()


def test_files_in_any_order_are_one_recording(tmp_path: Path) -> None:
    one = recording(tmp_path / "b.gz", MESSAGES[:4])
    two = recording(tmp_path / "a.gz", MESSAGES[4:], START + SECOND)
    first = import_recordings([one, two], tmp_path / "first")
    second = import_recordings([two, one], tmp_path / "second")
    assert _files(first.path) == _files(second.path)
    assert [given["name"] for given in first.inputs] == ["b.gz", "a.gz"]
    assert first.document["chain"]["gaps"] == 0
    whole = import_recordings([recording(tmp_path / "c.txt", MESSAGES)], tmp_path / "third")
    assert np.array_equal(_book(first).price, _book(whole).price)


def test_overlapping_files_are_refused(tmp_path: Path) -> None:
    one = recording(tmp_path / "a.gz", MESSAGES)
    two = recording(tmp_path / "b.gz", MESSAGES, START + 30 * NS)
    with pytest.raises(InputError, match=r"b\.gz begins before .*a\.gz ends"):
        import_recordings([one, two], tmp_path / "golden")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gz", "b.gz"]


@pytest.mark.parametrize(("digits", "unit"), [(10, "s"), (13, "ms"), (16, "µs"), (19, "ns")])
def test_stamp_units(tmp_path: Path, digits: int, unit: str) -> None:
    lines = b"".join(
        str(START + i * SECOND)[:digits].encode() + f" {wrapped(message)}\n".encode()
        for i, message in enumerate(MESSAGES)
    )
    sample = _take(tmp_path, lines)
    assert sample.inputs[0]["stamp_unit"] == unit
    assert _book(sample).ts_recv[0] == START
    assert sample.document["span"]["last_recv_ns"] == START + 7 * SECOND


def test_futures(tmp_path: Path) -> None:
    messages = [
        depth(10, 15, [("1.5", "2")], [], pu=8),
        {**snapshot(15, [("1.5", "2")], []), "E": T0, "T": T0},
        depth(18, 20, [("1.5", "3")], [], pu=15, time=T0 + 100),
        futures_trade(7, "1.5", "1"),
        futures_ticker(20, ("1.5", "3"), ("1.6", "1")),
        depth(25, 26, [("1.5", "4")], [], pu=22, time=T0 + 200),
    ]
    sample = import_recordings([recording(tmp_path / "a.txt", messages)], tmp_path / "golden")
    assert (sample.market, sample.document["exchange"]) == ("futures", "BINANCE_FUTURES")
    assert sample.instrument.symbol == "BTC-USDT-PERP"
    assert sample.document["chain"]["gaps_listed"] == [{"after": 20, "next": 25}]
    book = _book(sample)
    assert (book.ts_event // NS).tolist() == [T0 - 2, 0, T0 + 98, T0 + 198], "T, and not E"
    sent = EventBatch.concat(list(GoldenSource(sample, book_clock="E").book()))
    assert (sent.ts_event // NS).tolist() == [T0, 0, T0 + 100, T0 + 200]
    assert book.sequence.tolist() == [15, 15, 20, 26]
    assert book.prev_sequence.tolist() == [8, 15, 15, 22]
    with pytest.raises(InputError, match="with pu are not of BINANCE"):
        import_recordings([tmp_path / "a.txt"], tmp_path / "spot", exchange="BINANCE")
    coin = import_recordings([tmp_path / "a.txt"], tmp_path / "coin", exchange="BINANCE_DELIVERY")
    assert (coin.document["exchange"], coin.market) == ("BINANCE_DELIVERY", "futures")


def test_a_depth_message_of_the_other_market_is_invalid(tmp_path: Path) -> None:
    messages = [depth(1, 2, [("1", "1")]), depth(3, 4, pu=2), depth(3, 4)]
    sample = import_recordings([recording(tmp_path / "a.txt", messages)], tmp_path / "golden")
    assert sample.document["findings"]["invalid"]["by_reason"] == {"market": 1}
    assert [finding.line for finding in sample.findings()] == [2]
    book = _book(sample)
    assert book.sequence.tolist() == [2, -1, 4]
    assert book.flags[1] == int(Flag.INVALID | Flag.LAST)


def test_gaps_duplicates_and_late_messages_are_listed(tmp_path: Path) -> None:
    messages = [
        depth(1, 3, [("1", "1")]),
        depth(6, 8),
        depth(6, 8),
        depth(4, 5),
        depth(7, 10),
        trade(1, "1", "1"),
        trade(4, "1", "1"),
        trade(4, "1", "1"),
        trade(2, "1", "1"),
    ]
    sample = import_recordings([recording(tmp_path / "a.txt", messages)], tmp_path / "golden")
    chain, trades = sample.document["chain"], sample.document["trade_ids"]
    assert chain["gaps_listed"] == [{"after": 3, "next": 6}]
    assert (chain["gaps"], chain["duplicates"], chain["late"], chain["overlaps"]) == (1, 1, 1, 1)
    assert chain["first_irregular"] == 8
    assert trades["gaps_listed"] == [{"after": 1, "next": 4}]
    assert (trades["gaps"], trades["duplicates"], trades["late"], trades["overlaps"]) == (
        1,
        1,
        1,
        0,
    )


def test_one_receive_time_in_the_future_does_not_make_files_overlap(tmp_path: Path) -> None:
    texts = [wrapped(depth(n, n, [("1", "1")])) for n in range(1, 7)]
    first = stamped(texts[:1]) + stamped(texts[1:2], start_ns=T0 * NS + 10**15)
    (tmp_path / "a.txt").write_bytes(first + stamped(texts[2:3], start_ns=T0 * NS + SECOND))
    (tmp_path / "b.txt").write_bytes(stamped(texts[3:], start_ns=T0 * NS + 2 * SECOND))
    files = [tmp_path / "b.txt", tmp_path / "a.txt"]
    sample = import_recordings(files, tmp_path / "golden")
    assert (sample.document["chain"]["messages"], sample.document["chain"]["gaps"]) == (6, 0)


@pytest.mark.parametrize("may_reset", [False, True])
def test_the_audit_does_not_depend_on_blocks(
    monkeypatch: pytest.MonkeyPatch, may_reset: bool
) -> None:
    choose = random.Random(5)
    final = np.cumsum([choose.choice([1, 2, 3, 9]) for _ in range(400)])
    first = np.concatenate([[1], final[:-1] + 1])
    order = np.sort(np.array([choose.randrange(400) for _ in range(380)]))
    for _ in range(20):
        at = choose.randrange(379)
        order[[at, at + 1]] = order[[at + 1, at]]
    first, final = first[order], final[order]
    monkeypatch.setattr(audit_module, "MAX_LISTED", 5)
    whole = IdAudit(may_reset=may_reset)
    event = np.arange(1, len(final) + 1)
    whole.add(first, final, first - 1, event)
    for size in (1, 3, 50):
        parts = IdAudit(may_reset=may_reset)
        for start in range(0, len(final), size):
            stop = start + size
            piece = slice(start, stop)
            parts.add(first[piece], final[piece], first[piece] - 1, event[piece])
        assert parts.to_dict() == whole.to_dict()
    counts = whole.to_dict()
    assert counts["gaps"] > 5
    assert len(whole.listed) == 5
    assert counts["duplicates"] > 0
    assert (counts["late"] > 0) is not may_reset
    assert (counts["resets"] > 0) is may_reset


def test_the_clock_is_the_median() -> None:
    audit = ClockAudit()
    assert audit.to_dict()["offset_ns"] == 0
    event = np.arange(1, 1002, dtype=np.int64) * SECOND
    spread = (np.arange(1001) - 500) * 1_000_000
    audit.add("depth", event[:500] - 70_000_000 + spread[:500], event[:500])
    audit.add("depth", event[500:] - 70_000_000 + spread[500:], event[500:])
    audit.add("trades", np.array([5]), np.array([0]))
    audit.add("depth", np.array([10**18]), np.array([1]))
    result = audit.to_dict()
    assert abs(result["offset_ns"] + 70_000_000) <= 1_000_000
    assert result["messages"] == 1002
    assert result["apart_s"] == {}


@pytest.mark.parametrize("first", ["depth", "trades"])
@pytest.mark.parametrize("off", ["depth", "trades"])
def test_no_stream_s_clock_is_believed_for_being_first(first: str, off: str) -> None:
    """One whose times are hours from the recorder's is the one that is off."""
    recv = np.arange(1, 101, dtype=np.int64) * SECOND + 10**18
    audit = ClockAudit()
    for name in sorted(("depth", "trades"), key=lambda name: name != first):
        audit.add(name, recv, recv - 5 * 10**6 + (8 * 3600 * SECOND if name == off else 0))
    result = audit.to_dict()
    assert abs(result["offset_ns"] - 5 * 10**6) <= 10**6
    assert result["apart_s"] == {off: 8 * 3600}


@pytest.mark.kernels
def test_what_cannot_be_read_is_kept_and_counted(tmp_path: Path) -> None:
    cut = wrapped(MESSAGES[3])[:60]
    texts = [
        wrapped(MESSAGES[0]),
        cut,
        '{"result":null,"id":1}',
        '{"stream":"btcusdt@trade","data":{"e":"trade"}}',
        wrapped(depth(4, 6, [("1", "1")])).replace('"s":"BTCUSDT"', '"s":"ETHUSDT"'),
    ]
    lines = stamped(texts) + b"no stamp at all\n\n" + stamped([wrapped(MESSAGES[3])])
    sample = _take(tmp_path, lines)
    document = sample.document
    assert document["findings"]["invalid"]["by_reason"] == {
        "json": 1,
        "shape": 1,
        "stamp": 1,
        "symbol": 1,
    }
    (given,) = sample.inputs
    assert (given["lines"], given["kept"], given["invalid"], given["blank"]) == (8, 3, 4, 1)
    assert document["counts"]["other"] == 1
    assert document["streams"]["other"] == 1
    assert [(finding.line, finding.code) for finding in sample.findings()] == [
        (line, Finding.INVALID_INPUT) for line in (2, 4, 5, 6)
    ]
    invalid = [line for line in _journal(sample) if line["stream"] == "invalid"]
    assert [base64.b64decode(line["data_b64"]) for line in invalid] == [
        lines.splitlines()[row] for row in (1, 3, 4, 5)
    ]
    assert [line["line"] for line in invalid] == [2, 4, 5, 6]
    assert [line["capture_ns"] - START for line in invalid] == [
        value * NS for value in (10, 30, 40, 40)
    ]
    book = _book(sample)
    mark = int(Flag.INVALID | Flag.LAST)
    marks = book.flags[book.kind == Kind.MARK]
    assert marks.tolist() == [mark, mark | int(Flag.TRADES), mark, mark]
    assert book.sequence[book.kind == Kind.DELTA].tolist() == [3, 3, 6]
    source = GoldenSource(sample)
    list(source.book())
    with pytest.raises(StrictError, match=r"lines\.txt, line 2: json"):
        _take(tmp_path, lines, strict=True)


def test_only_the_first_bad_lines_are_listed(tmp_path: Path) -> None:
    lines = stamped([wrapped(MESSAGES[0]), *["bad"] * 130, *['{"stream":1}'] * 5])
    sample = _take(tmp_path, lines)
    found = sample.findings()
    assert len(found) == 102
    assert [(finding.count, finding.detail) for finding in found[100:]] == [
        (30, "json: more such lines"),
        (5, "shape: more such lines"),
    ]
    assert sum(finding.count for finding in found) == 135


def test_a_truncated_gzip_is_kept_as_far_as_it_goes(tmp_path: Path) -> None:
    choose = random.Random(3)
    messages = [
        depth(i, i, [(f"10.{choose.randrange(100):02}", f"{choose.randrange(10**6)}")])
        for i in range(1, 3000)
    ]
    whole = recording(tmp_path / "whole.gz", messages)
    data = whole.read_bytes()
    cut = tmp_path / "cut.gz"
    cut.write_bytes(data[: len(data) // 2])
    sample = import_recordings([cut], tmp_path / "golden")
    (given,) = sample.inputs
    assert given["truncated"]
    assert 1000 < given["kept"] < 2000
    codes = [finding.code for finding in sample.findings()]
    assert codes[-1] == Finding.TRUNCATED_INPUT
    assert f"byte {len(data) // 2}" in sample.findings()[-1].detail
    assert codes[:-1] == [Finding.INVALID_INPUT] * given["invalid"]
    book = _book(sample)
    assert book.flags[-1] == int(Flag.RECONNECT | Flag.LAST)
    assert book.ts_recv[-1] >= sample.document["span"]["last_recv_ns"]
    full = _book(import_recordings([whole], tmp_path / "full"))
    kept = given["kept"]
    assert _same(book.slice(0, kept), full.slice(0, kept))
    with pytest.raises(StrictError):
        import_recordings([cut], tmp_path / "strict", strict=True)
    with pytest.raises(StrictError):
        import_recordings([cut], tmp_path / "golden", strict=True)
    assert not (tmp_path / "strict").exists()
    cut.write_bytes(data[:-4])
    nearly = import_recordings([cut], tmp_path / "nearly")
    assert (nearly.inputs[0]["kept"], nearly.inputs[0]["invalid"]) == (2999, 0)
    assert [finding.code for finding in nearly.findings()] == [Finding.TRUNCATED_INPUT]
    with pytest.raises(StrictError, match="breaks off at byte"):
        import_recordings([cut], tmp_path / "strict", strict=True)


def test_damaged_gzip_data_is_refused(tmp_path: Path) -> None:
    file = recording(tmp_path / "a.gz", MESSAGES * 50)
    data = bytearray(file.read_bytes())
    data[-6] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        import_recordings([file], tmp_path / "golden")
    assert not (tmp_path / "golden").exists()


def test_gzip_members_and_padding_are_one_file(tmp_path: Path) -> None:
    lines = stamped([wrapped(message) for message in MESSAGES])
    parts = [lines[:100], lines[100:500], lines[500:]]
    file = tmp_path / "a.gz"
    file.write_bytes(b"".join(gzip.compress(part) for part in parts) + b"\0" * 700_000)
    size = file.stat().st_size
    sample = import_recordings([file], tmp_path / "golden")
    assert sample.document["counts"]["depth"] == 4
    assert not sample.findings()
    assert sample.inputs[0]["bytes"] == size


def test_the_journal_does_not_depend_on_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "FRAME_BYTES", 700)
    choose = random.Random(8)
    texts = []
    for i in range(1, 200):
        texts.append(wrapped(depth(i, i, [(f"1.{choose.randrange(100):02}", "1")])))
        if i % 17 == 0:
            texts.append("damaged")
        if i % 40 == 0:
            texts.append(wrapped(snapshot(i, [("1", "1")], [])))
    lines = stamped(texts, step_ns=HOUR_NS // 50)
    whole = _take(tmp_path, lines)
    expected = _files(whole.path)
    rows = _book(whole)
    assert len(whole.journals) == 5
    for size in (50, 333, 5000):
        monkeypatch.setattr(reader, "BLOCK_BYTES", size)
        monkeypatch.setattr(reader, "_CHUNK", size)
        again = _take(tmp_path, lines)
        assert _files(again.path) == expected
        assert _same(_book(again, 7), rows)


def test_hours_never_go_back(tmp_path: Path) -> None:
    stamps = [0, HOUR_NS, HOUR_NS // 2, HOUR_NS + 1]
    lines = b"".join(
        f"{START + stamp} {wrapped(depth(i, i, [('1', '1')]))}\n".encode()
        for i, stamp in enumerate(stamps, 1)
    )
    sample = _take(tmp_path, lines)
    assert [entry["lines"] for entry in sample.document["journals"]] == [2, 4]
    assert _book(sample).sequence.tolist() == [1, 2, 3, 4]


@pytest.mark.kernels
def test_bare_payloads_get_their_usual_streams(tmp_path: Path) -> None:
    texts = [tight(message) for message in MESSAGES]
    sample = _take(tmp_path, stamped([*texts, '{"id":5}']))
    assert sample.document["streams"] == {
        "btcusdt@depth": 4,
        "btcusdt@bookTicker": 1,
        "btcusdt@snapshot": 1,
        "btcusdt@trade": 2,
        "other": 1,
    }
    wrapped_sample = import_recordings(
        [recording(tmp_path / "w.txt", MESSAGES)], tmp_path / "wrapped"
    )
    assert _same(_book(sample), _book(wrapped_sample))


@pytest.mark.kernels
def test_many_streams_are_counted(tmp_path: Path) -> None:
    texts = [wrapped(MESSAGES[0])]
    texts += [f'{{"stream":"btcusdt@kline_{i}","data":{{}}}}' for i in range(80)]
    texts.append(f'{{"stream":"btcusdt@{"x" * 100}","data":{{}}}}')
    streams = _take(tmp_path, stamped(texts)).document["streams"]
    assert len(streams) == 65
    assert sum(streams.values()) == 82
    assert streams["(more streams)"] == 18


def test_trades_of_both_kinds(tmp_path: Path) -> None:
    first = wrapped(MESSAGES[0])
    texts = [first, wrapped(aggregate(1, 2, "1", "2")), wrapped(trade(1, "1", "1"))]
    both = _take(tmp_path, stamped(texts))
    assert both.document["trade_stream"] == "trade"
    assert "trade is used" in both.document["notes"][1]
    assert [len(batch) for batch in GoldenSource(both).trades()] == [1]
    lines = stamped([first, texts[1], wrapped(aggregate(3, 3, "1", "2"))])
    joined = _take(tmp_path, lines)
    assert joined.document["trade_stream"] == "aggTrade"
    (batch,) = GoldenSource(joined).trades()
    assert batch.sequence.tolist() == [2, 3]
    assert joined.document["trade_ids"]["gaps"] == 0
    assert list(GoldenSource(joined).tickers()) == []


def test_two_depth_streams_are_refused(tmp_path: Path) -> None:
    texts = [wrapped(MESSAGES[0]), wrapped(MESSAGES[3]).replace("depth@100ms", "depth")]
    with pytest.raises(InputError, match=r"line 2: a message of btcusdt@depth, .*@100ms"):
        _take(tmp_path, stamped(texts))


def test_a_mix_of_symbols(tmp_path: Path) -> None:
    other = [
        wrapped(trade(5, "3", "1", symbol="ETHUSDT")),
        tight(trade(6, "3", "1", symbol="ETHUSDT")),
        wrapped(depth(900, 905, symbol="ETHUSDT")),
        wrapped(snapshot(904, [("3", "1")], [])),
    ]
    texts = [wrapped(message) for message in MESSAGES]
    for order in ([*texts, *other], [other[0], *texts, *other[1:]]):
        with pytest.raises(InputError) as caught:
            _take(tmp_path, stamped(order))
        assert {word for word in ("BTCUSDT", "ETHUSDT", "lines.txt, line") if word in str(caught)}
        assert "--symbol" in caught.value.hint
    sample = _take(tmp_path, stamped([*other, *texts]), symbol="btcusdt")
    assert sample.document["counts"]["other_symbol"] == 3
    assert sample.inputs[0]["other_symbol"] == 3
    assert [entry["ours"] for entry in sample.document["snapshots"]] == [False, False]
    assert any("other symbols" in note for note in sample.document["notes"])
    assert not any(_book(sample).kind == Kind.SNAPSHOT)
    found = [finding for finding in sample.findings() if "names no symbol" in finding.detail]
    assert [(finding.code, finding.line) for finding in found] == [
        (Finding.INVALID_INPUT, line) for line in (4, 7)
    ]
    assert "no snapshot" in sample.document["notes"][0]
    ours = _take(tmp_path, stamped([*other, *texts]), symbol="btcusdt", snapshots_are_ours=True)
    book = _book(ours)
    assert set(book.sequence[book.kind == Kind.SNAPSHOT].tolist()) == {5, 904}
    assert ours.findings() == []


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        ({"symbol": "BTCUSDT"}, {5}),
        ({"symbol": "ETHUSDT"}, set()),
    ],
)
def test_a_snapshot_that_names_its_symbol(
    tmp_path: Path, named: dict[str, str], kind: set[int]
) -> None:
    foreign = wrapped(trade(5, "3", "1", symbol="ETHUSDT"))
    for place in (named | MESSAGES[2], MESSAGES[2] | named):
        texts = [wrapped(MESSAGES[0]), tight(place), foreign, wrapped(MESSAGES[3])]
        sample = _take(tmp_path, stamped(texts), symbol="BTCUSDT")
        book = _book(sample)
        assert set(book.sequence[book.kind == Kind.SNAPSHOT].tolist()) == kind
        assert sample.findings() == []
    if not kind:
        with pytest.raises(InputError, match="a message of ETHUSDT in a recording of BTCUSDT"):
            _take(tmp_path, stamped(texts[:2]))


STAMPS = [
    ("1700000000.{f:03} ", "s"),
    ("1700000000.{f:03}000: ", "s"),
    ("1700000000{f:03},", "ms"),
    ("1700000000{f:03}000\t", "µs"),
    ("2023-11-14T22:13:20.{f:03}Z ", "ISO"),
    ("2023-11-14 22:13:20.{f:03}0000, ", "ISO"),
]


@pytest.mark.parametrize(("stamp", "unit"), STAMPS)
def test_receive_times_that_recorders_write(tmp_path: Path, stamp: str, unit: str) -> None:
    texts = [wrapped(message) for message in MESSAGES]
    spelled = "".join(stamp.format(f=10 * i) + f"{t}\n" for i, t in enumerate(texts))
    sample = _take(tmp_path, spelled.encode(), strict=True)
    assert sample.inputs[0]["stamp_unit"] == unit
    (tmp_path / "plain").mkdir()
    plain = _take(tmp_path / "plain", stamped(texts))
    assert _same(_book(sample), _book(plain))
    assert sample.document["span"] == plain.document["span"]


def test_a_receive_time_that_changes_its_unit(tmp_path: Path) -> None:
    texts = [wrapped(message) for message in MESSAGES]
    lines = stamped(texts).splitlines(keepends=True)
    changed = [line if i % 2 else line[:13] + line[19:] for i, line in enumerate(lines)]
    sample = _take(tmp_path, b"".join(changed), strict=True)
    (tmp_path / "plain").mkdir()
    assert _same(_book(sample), _book(_take(tmp_path / "plain", b"".join(lines))))


def _zstd(data: bytes) -> bytes:
    """As ``zstd`` does it; without a checksum a frame can't tell that it is damaged."""
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


@pytest.mark.parametrize("pack", [gzip.compress, _zstd, lzma.compress, bz2.compress])
def test_compressed_recordings(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    choose = random.Random(3)
    messages = [
        depth(i, i, [(f"10.{choose.randrange(100):02}", f"{choose.randrange(1, 10**9)}")])
        for i in range(1, 20_000)
    ]
    lines = stamped([wrapped(message) for message in messages])
    # in two streams, under a name that says nothing
    whole = b"".join(pack(part) for part in (lines[:999], lines[999:]))
    file = tmp_path / "recording"
    file.write_bytes(whole)
    sample = import_recordings([file], tmp_path / "golden", strict=True)
    assert sample.document["counts"]["depth"] == len(messages)
    file.write_bytes(whole[: len(whole) * 9 // 10])
    cut = import_recordings([file], tmp_path / "cut")
    kept = cut.document["counts"]["depth"]
    assert 1 <= kept < len(messages)
    assert cut.inputs[0]["truncated"]
    assert cut.findings()[-1].code == Finding.TRUNCATED_INPUT
    assert "data breaks off at byte" in cut.findings()[-1].detail
    assert _same(_book(cut).slice(0, kept), _book(sample).slice(0, kept))
    with pytest.raises(StrictError, match=r"data breaks off at byte|line [0-9]+: "):
        import_recordings([file], tmp_path / "strict", strict=True)
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0x55
    file.write_bytes(damaged)
    with pytest.raises(InputError, match="data is damaged"):
        import_recordings([file], tmp_path / "damaged")


def test_a_recording_in_a_zip_archive(tmp_path: Path) -> None:
    lines = stamped([wrapped(message) for message in MESSAGES])
    plain = _take(tmp_path, lines)
    file = tmp_path / "recording.zip"

    def archive(names: list[str]) -> bytes:
        with ZipFile(file, "w", ZIP_DEFLATED) as packed:
            packed.writestr("folder/", b"")
            for name in names:
                packed.writestr(name, lines)
        return file.read_bytes()

    whole = archive(["folder/lines.txt"])
    sample = import_recordings([file], tmp_path / "zipped", strict=True)
    assert _same(_book(sample), _book(plain))
    assert sample.inputs[0]["bytes"] == len(whole)
    for damaged in (whole[:-5], whole[:200] + b"xxxx" + whole[204:]):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match="zip archive is damaged") as told:
            import_recordings([file], tmp_path / "damaged")
        assert told.value.hint
    archive(["a.txt", "b.txt"])
    with pytest.raises(InputError, match="a zip archive of 2 files"):
        import_recordings([file], tmp_path / "two")


@pytest.mark.parametrize(
    ("nothing", "why"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "it has nothing but blank lines"),
        (gzip.compress(b"", mtime=0), "the file is empty"),
        (
            gzip.compress(b"17" * 99, mtime=0)[:20],
            "the gzip data breaks off at byte 20, in line 1",
        ),
    ],
    ids=["no byte", "no line", "empty gzip", "gzip cut off"],
)
def test_an_empty_file_beside_others_is_a_finding(tmp_path: Path, nothing: bytes, why: str) -> None:
    good = recording(tmp_path / "a.gz", MESSAGES)
    empty = tmp_path / "b.gz"
    empty.write_bytes(nothing)
    sample = import_recordings([good, empty], tmp_path / "golden")
    (found,) = sample.findings()
    assert (found.code, found.file, found.detail) == (
        Finding.TRUNCATED_INPUT,
        "b.gz",
        why,
    )
    assert import_recordings([empty, good], tmp_path / "golden").reused
    alone = import_recordings([good], tmp_path / "alone")
    assert _same(_book(sample), _book(alone))
    with pytest.raises(StrictError, match=rf"b\.gz: {why}"):
        import_recordings([good, empty], tmp_path / "strict", strict=True)
    with pytest.raises(InputError, match=rf"no line in .*b\.gz: {why}"):
        import_recordings([empty], tmp_path / "nothing")


def test_shapes_of_a_snapshot_and_of_levels(tmp_path: Path) -> None:
    plain = _take(tmp_path, stamped([wrapped(message) for message in MESSAGES]))
    listed = MESSAGES[2]
    named = {"stream": "btcusdt@depthSnapshot", "generated": True, "data": listed}
    reply = {"id": "5a", "status": 200, "result": listed, "rateLimits": []}
    for number, shape in enumerate((named, reply)):
        folder = tmp_path / str(number)
        folder.mkdir()
        texts = [tight(shape) if m is listed else wrapped(m) for m in MESSAGES]
        sample = _take(folder, stamped(texts), strict=True)
        assert _same(_book(sample), _book(plain))
        assert sample.document["counts"] == plain.document["counts"]
    (tmp_path / "three").mkdir()
    text = "\n".join(wrapped(message) for message in MESSAGES)
    text = re.sub(r'(\["[0-9.]+","[0-9.]+")\]', r"\1,[]]", text)
    assert text.count("[]]") > 5
    sample = _take(tmp_path / "three", stamped(text.splitlines()), strict=True)
    assert _same(_book(sample), _book(plain))
    other = stamped([text.splitlines()[0].replace("[]]", "7]"), *text.splitlines()[1:]])
    sample = _take(tmp_path / "three", other)
    assert sample.document["findings"]["invalid"]["by_reason"] == {"shape": 1}


def test_trades_without_execution_continue_the_ids(tmp_path: Path) -> None:
    none = {"p": "0", "q": "0.000", "X": "NA"}
    messages = [
        depth(10, 15, [("1.5", "2")], pu=8),
        *(futures_trade(n, "1.5", "1") | (none if n in (2, 4, 5, 9) else {}) for n in range(1, 10)),
        futures_trade(12, "1.5", "1"),
    ]
    sample = import_recordings([recording(tmp_path / "a.txt", messages)], tmp_path / "golden")
    document = sample.document
    assert (document["counts"]["trade"], document["counts"]["without_execution"]) == (10, 4)
    assert [gap["after"] for gap in document["trade_ids"]["gaps_listed"]] == [9]
    for rows in (1, 100):
        trades = EventBatch.concat(list(GoldenSource(sample).trades(rows)))
        assert trades.sequence.tolist() == [1, 3, 6, 7, 8, 12]
        assert trades.prev_sequence.tolist() == [0, 1, 3, 6, 7, 11]
        assert trades.size.min() > 0
    for wrong in ({"p": "0"}, {"q": "0"}, {**none, "p": "1"}, {**none, "X": "MARKET"}):
        odd = _take(tmp_path, stamped([wrapped(messages[0]), wrapped(messages[1] | wrong)]))
        assert sum(odd.document["findings"]["invalid"]["by_reason"].values()) == 1


@pytest.mark.parametrize(
    ("symbol", "exchange", "name"),
    [
        ("BTCUSD_PERP", "BINANCE_DELIVERY", "BTC-USD-PERP"),
        ("ETHUSD_240927", "BINANCE_DELIVERY", "ETH-USD-240927"),
        ("BTCUSDT_240927", "BINANCE_FUTURES", "BTC-USDT-240927"),
        ("BTCUSDT", "BINANCE_FUTURES", "BTC-USDT-PERP"),
    ],
)
def test_which_futures_exchange(tmp_path: Path, symbol: str, exchange: str, name: str) -> None:
    texts = [
        tight({**depth(n, n, [("1.5", "2")], pu=n - 1, symbol=symbol), "ps": "X", "st": 1})
        for n in (1, 2)
    ]
    sample = _take(tmp_path, stamped(texts), strict=True)
    assert (sample.document["exchange"], sample.instrument.symbol) == (exchange, name)


def _partial(number: int, levels: int) -> dict[str, Any]:
    sides = [(f"{n}.5", "1") for n in range(1, levels + 1)], [(f"{n}.5", "1") for n in range(9, 99)]
    return depth(number, number, sides[0], sides[1][:levels], pu=number - 1)


def _diff(number: int) -> dict[str, Any]:
    return depth(number, number, [("1.5", "0")], [("9.5", "3")], pu=number - 1)


@pytest.mark.parametrize("levels", [5, 10, 20])
@pytest.mark.parametrize("every", [1, 2, 50])
def test_partial_depth_without_its_streams_name_is_refused(
    tmp_path: Path, levels: int, every: int
) -> None:
    bodies = [_diff(n) if n % every else _partial(n, levels) for n in range(1, 201)]
    with pytest.raises(InputError, match=f"{200 // every} of 200 depth .* partial depth") as told:
        _take(tmp_path, stamped([tight(body) for body in bodies]))
    assert told.value.hint
    # a stream's name says what it is
    named = _take(tmp_path, stamped([wrapped(body) for body in bodies]))
    assert named.document["counts"]["depth"] == 200


def test_a_few_changes_of_that_shape_are_changes(tmp_path: Path) -> None:
    bodies = [_partial(n, 5) if n in (7, 200) else _diff(n) for n in range(1, 301)]
    assert _take(tmp_path, stamped([tight(body) for body in bodies])).document["counts"]["depth"]
    spot = [depth(n, n, *([("1", "1")] * 5, [("2", "1")] * 5)) for n in range(1, 9)]
    assert _take(tmp_path, stamped([tight(body) for body in spot])).document["counts"]["depth"]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    none = _take(tmp_path, stamped([wrapped(MESSAGES[0]), wrapped(MESSAGES[3])]))
    assert "the book will be untrusted" in none.document["notes"][0]
    trades = _take(tmp_path, stamped([wrapped(MESSAGES[4]), wrapped(MESSAGES[5])]))
    assert "no depth message" in trades.document["notes"][0]


def test_a_damaged_name_is_no_other_symbol(tmp_path: Path) -> None:
    text = wrapped(MESSAGES[0])
    broken = text.replace("btcusdt@", "btXusdt@")[:-3] + '"}'
    sample = _take(tmp_path, stamped([text, broken]))
    assert sample.document["findings"]["invalid"]["by_reason"] == {"json": 1}


def test_what_is_no_recording(tmp_path: Path) -> None:
    out = tmp_path / "golden"
    empty = tmp_path / "empty.gz"
    empty.write_bytes(b"")
    hollow = tmp_path / "hollow.gz"
    hollow.write_bytes(gzip.compress(b""))
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)
    table = tmp_path / "table.csv"
    table.write_bytes(b"price,size\n1,2\n")
    replies = tmp_path / "replies.txt"
    replies.write_bytes(stamped(['{"result":null,"id":1}', '{"id":2}']))
    lone = tmp_path / "lone.txt"
    lone.write_bytes(stamped([wrapped(snapshot(4, [], []))]))
    unstamped = tmp_path / "unstamped.txt"
    unstamped.write_text(wrapped(snapshot(4, [], [])))
    hollow_zip = tmp_path / "hollow.zip"
    with ZipFile(hollow_zip, "w"):
        pass
    cut = tmp_path / "cut.txt"
    cut.write_bytes(b"\n\n" + stamped([wrapped(message)[:-9] for message in MESSAGES]))
    deep = tmp_path / "deep.txt"
    deep.write_bytes(stamped(["[" * 5000 + "]" * 5000, "[" * 50 + "]" * 50]))
    for path, words in [
        (tmp_path / "none.gz", "none.gz does not exist"),
        (tmp_path, "is a folder"),
        (empty, "no line in .*/empty.gz: the file is empty"),
        (hollow, "no line in .*/hollow.gz: the file is empty"),
        (picture, r"picture.png, line 1: not a recording's; it begins with '\\x89PNG"),
        (table, "table.csv, line 1: not a recording's; it begins with 'price,size'"),
        (unstamped, "JSON lines without a time; their fields are lastUpdateId, bids, asks"),
        (hollow_zip, "a zip archive of 0 files"),
        (cut, "no market-data line in .*/cut.txt: line 3 cannot be read: json: Input data was tr"),
        (deep, "deep.txt: line 1 cannot be read: json: it is more than 32 levels deep"),
        (replies, r"/replies.txt: line 1 names no symbol: it begins with '\{\"result"),
        (lone, "no market-data line in .*/lone.txt: line 1 names no symbol"),
    ]:
        with pytest.raises(InputError, match=words) as caught:
            import_recordings([path], out)
        assert caught.value.hint
    with pytest.raises(InputError, match=r"line of ETHUSDT in .*/a\.txt: it is of BTCUSDT"):
        import_recordings([recording(tmp_path / "a.txt", MESSAGES)], out, symbol="ETHUSDT")
    with pytest.raises(InputError, match=r"of BTCUSDT in .*/replies\.txt: line 1 names no symbol"):
        import_recordings([replies], out, symbol="BTCUSDT")
    cut.write_bytes(stamped([wrapped(message)[:-9] for message in MESSAGES[4:6]]))
    with pytest.raises(InputError, match=r"not one of 2 lines .* cut.txt, line 1: json: "):
        import_recordings([cut], out, symbol="BTCUSDT")
    several = [recording(tmp_path / f"{n}.txt", [MESSAGES[2]], T0 * NS + n) for n in range(6)]
    with pytest.raises(InputError, match=r"0\.txt: .*; .*3\.txt: .*; and 2 more files"):
        import_recordings(several, out)
    with pytest.raises(UsageError, match="no files"):
        import_recordings([], out)
    with pytest.raises(UsageError, match="no exchange 'NYSE'"):
        import_recordings([lone], out, exchange="NYSE")
    with pytest.raises(UsageError, match="no provenance 'rumour'"):
        import_recordings([lone], out, provenance="rumour")
    assert not out.exists()


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_that_is_too_long_is_unreadable_and_the_rest_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    """A depth message of 3 MiB, where 2 are the limit: amid the file, and as its last line."""
    monkeypatch.setattr(reader, "MAX_LINE_BYTES", 2 << 20)
    lines = stamped([wrapped(MESSAGES[0])] * 30).splitlines()
    long = lines[10].replace(b'"e"', b'"x":"' + b"1" * (3 << 20) + b'","e"')
    behind = lines[11:] if end else []
    file = tmp_path / "long.txt"
    file.write_bytes(b"\n".join([*lines[:10], long, *behind]) + end)
    sample = import_recordings([file], tmp_path / "golden")
    (told,) = sample.document["findings"]["invalid"]["listed"]
    assert told["line"] == 11
    assert told["reason"] == "length"
    assert told["detail"].endswith("bytes, of which 65,536 are kept")
    assert f"{len(long) + len(end):,} bytes" in told["detail"]
    assert sample.document["inputs"][0]["lines"] == 11 + len(behind)
    assert sample.document["inputs"][0]["kept"] == 10 + len(behind)


def test_a_file_without_lines_or_market_data_at_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MAX_LINE_BYTES", 1 << 20)
    file = tmp_path / "endless.txt"
    file.write_bytes(b"1" * (3 << 20))
    with pytest.raises(InputError, match="not a recording"):
        import_recordings([file], tmp_path / "golden")
    quiet = stamped(['{"id":1}'] * 40, step_ns=1)
    monkeypatch.setattr("lobproof.sources.recordings.reader._LOOK_BYTES", 10)
    with pytest.raises(InputError, match="no market-data line"):
        _take(tmp_path, quiet)
    sample = _take(tmp_path, quiet + stamped([wrapped(MESSAGES[0])]), symbol="BTCUSDT")
    assert sample.document["counts"]["other"] == 40


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = recording(tmp_path / "a.txt", MESSAGES)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        import_recordings([file], tmp_path / "golden")


def test_an_import_again(tmp_path: Path) -> None:
    file, out = recording(tmp_path / "a.gz", MESSAGES), tmp_path / "golden"
    first = import_recordings([file], out, strict=True)
    before = _files(out)
    modified = [path.stat().st_mtime_ns for path in sorted(out.rglob("*"))]
    again = import_recordings([file], out, exchange="BINANCE", symbol="BTCUSDT")
    assert (first.reused, again.reused) == (False, True)
    assert [path.stat().st_mtime_ns for path in sorted(out.rglob("*"))] == modified
    other = recording(tmp_path / "b.gz", MESSAGES[:5])
    with pytest.raises(UsageError, match="of other inputs or options") as caught:
        import_recordings([other], out)
    assert "--overwrite" in caught.value.hint
    with pytest.raises(UsageError, match="of other inputs or options"):
        import_recordings([file], out, provenance="derived")
    assert _files(out) == before
    replaced = import_recordings([other], out, overwrite=True)
    assert (replaced.reused, replaced.document["counts"]["depth"]) == (False, 2)
    assert import_recordings([file], out, overwrite=True).document == first.document
    assert _files(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gz", "b.gz", "golden"]


def test_other_things_are_never_overwritten(tmp_path: Path) -> None:
    file, out = recording(tmp_path / "a.gz", MESSAGES), tmp_path / "things"
    out.mkdir()
    import_recordings([file], out)  # an empty folder is free
    (out / "golden.json").write_text("{}")
    with pytest.raises(UsageError, match="is no whole golden sample"):
        import_recordings([file], out)
    assert import_recordings([file], out, overwrite=True).document["counts"]["depth"] == 4
    (out / "golden.json").unlink()
    with pytest.raises(UsageError, match="is no whole golden sample"):
        import_recordings([file], out, overwrite=True)
    plain = tmp_path / "file"
    plain.write_text("precious")
    with pytest.raises(UsageError, match="is no whole golden sample"):
        import_recordings([file], plain, overwrite=True)
    assert plain.read_text() == "precious"


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([depth(1, 2), depth(5, 6), trade(1, "1", "1")], r"depth: 1 gap\(s\).* id 2 and id 5"),
        ([depth(1, 2, [("1", "1")]), trade(1, "1", "1"), trade(3, "1", "1")], "trades: 1 gap"),
        ([depth(1, 2, [("1", "1")]), depth(1, 2)], "1 repeated .* id is 2"),
        ([depth(1, 2, [("1", "1")]), depth(3, 4), depth(1, 2)], "1 late .* id is 2"),
        (
            [depth(1, 2, [("1", "1")]), depth(3, 900), depth(5, 6, time=T0 + 9)],
            "1 time.s. .* id is 6",
        ),
        ([depth(1, 2, [("1", "1")]), depth(2, 4)], "1 message.s. that overlap .* id is 4"),
    ],
)
def test_strict_mode(tmp_path: Path, messages: list[dict[str, Any]], words: str) -> None:
    file = recording(tmp_path / "a.txt", messages)
    with pytest.raises(StrictError, match=words):
        import_recordings([file], tmp_path / "golden", strict=True)
    assert not (tmp_path / "golden").exists()
    import_recordings([file], tmp_path / "golden")
    with pytest.raises(StrictError, match=words):
        import_recordings([file], tmp_path / "golden", strict=True)


def test_rules_from_the_exchanges_document(tmp_path: Path) -> None:
    info = {
        "symbols": [
            {
                "symbol": "BTCUSDT",
                "baseAsset": "BTC",
                "quoteAsset": "USDT",
                "filters": [
                    {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
                    {"filterType": "LOT_SIZE", "stepSize": "0.00001000"},
                ],
            }
        ]
    }
    file = recording(tmp_path / "a.txt", MESSAGES)
    sample = import_recordings([file], tmp_path / "golden", exchange_info=info)
    assert (sample.instrument.size_exponent, sample.instrument.lot) == (5, 1)
    assert sample.document["rules_from"] == "exchangeInfo"
    assert import_recordings([file], tmp_path / "golden", exchange_info=info).reused
    with pytest.raises(UsageError):
        import_recordings([file], tmp_path / "golden")


@pytest.mark.kernels
def test_large_and_fine_numbers(tmp_path: Path) -> None:
    shib = [depth(1, 2, [("0.00000012", "1000000000000.00000000")], [("0.00001240", "5000.0")])]
    sample = import_recordings([recording(tmp_path / "a.txt", shib)], tmp_path / "golden")
    assert (sample.instrument.price_exponent, sample.instrument.size_exponent) == (8, 0)
    assert _book(sample).size.tolist() == [10**12, 5000]
    assert sample.instrument.lot == 5000
    for pair in (("0.0000000000000000001", "1"), ("1", "1" + "0" * 18), ("1.5", "9" * 40)):
        bad = [shib[0], depth(3, 4, [pair])]
        with pytest.raises(GridError, match=r"no grid holds every .*\.txt, line 2"):
            _take(tmp_path, stamped([wrapped(message) for message in bad]))
    two = [depth(1, 2, [("1", "0.0000000001")]), depth(3, 4, [("1", "1000000000")])]
    with pytest.raises(GridError, match=r"10 digits .* line 1, 10 before it at lines.txt, line 2"):
        _take(tmp_path, stamped([wrapped(message) for message in two]))


def test_a_sample_of_a_million_numbers_keeps_the_shares() -> None:
    audit = audit_module.NumberAudit()
    audit._places[0, 18 + 2, 0] = 5_000_000  # hundredths
    audit._places[0, 18 + 1, 2] = 4_994_000  # halves
    audit._places[0, 18 + 6, 1] = 500
    assert audit.step(0, 6) == 10**4
    audit._places[0, 18 + 6, 1] = 50_000
    assert audit.step(0, 6) == 2
    assert audit.step(1, 6) == 1


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    import_recordings([recording(tmp_path / "a.txt", MESSAGES)], tmp_path / "golden")
    return tmp_path / "golden"


def _edit(golden: Path, **changes: Any) -> None:
    file = golden / "golden.json"
    document = json.loads(file.read_bytes())
    file.write_text(json.dumps({**document, **changes}))


def test_a_damaged_sample_is_told(golden: Path, tmp_path: Path) -> None:
    sample = GoldenSample.load(golden)
    whole = (golden / "golden.json").read_bytes()
    with pytest.raises(InputError, match="is no golden sample"):
        GoldenSample.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is no golden sample"):
        GoldenSample.load(golden / "golden.json")
    (journal,) = sample.journals
    data = journal.read_bytes()
    for damage, words in (
        ({"format": "other"}, "does not describe"),
        ({"format_version": 99}, "format version 99"),
        ({"clock": {}}, "missing required field `offset_ns`"),
        ({"inputs": 5}, r"Expected `array`, got `int` - at `\$.inputs`"),
        ({"journals": [{"name": "/etc/passwd", "bytes": 5}]}, "matching regex"),
        ({"snapshots": []}, "it lists 0 snapshots of 1"),
    ):
        _edit(golden, **damage)
        with pytest.raises(InputError, match=words):
            GoldenSample.load(golden)
        (golden / "golden.json").write_bytes(whole)
    (golden / "golden.json").write_bytes(whole[:-20])
    with pytest.raises(InputError, match="is damaged"):
        GoldenSample.load(golden)
    (golden / "golden.json").write_bytes(whole)
    journal.write_bytes(data[:-1])
    with pytest.raises(InputError, match=f"has {len(data) - 1} bytes"):
        GoldenSample.load(golden)
    changed = bytearray(data)
    changed[-1] ^= 1
    journal.write_bytes(changed)
    with pytest.raises(InputError, match=f"{journal} is damaged or was changed: its SHA-256 is"):
        GoldenSample.load(golden).hashed()
    journal.unlink()
    with pytest.raises(InputError, match="is missing"):
        GoldenSample.load(golden)
    with pytest.raises(InputError, match="is missing"):
        list(GoldenSource(sample).book())


def _rewritten(golden: Path, journal: bytes, lines: int | None = None) -> GoldenSample:
    """The sample with another journal, which its document lists as if it were its own."""
    document = json.loads((golden / "golden.json").read_bytes())
    (entry,) = document["journals"]
    (golden / "journal" / entry["name"]).write_bytes(journal)
    entry["sha256"], entry["bytes"] = hashlib.sha256(journal).hexdigest(), len(journal)
    entry["lines"] = entry["lines"] if lines is None else lines
    (golden / "golden.json").write_text(json.dumps(document))
    sample = GoldenSample.load(golden)
    sample.hashed()
    return sample


def test_a_journal_that_cannot_be_read_whole_is_an_error(golden: Path) -> None:
    """Its hash is the one listed: whoever wrote the document wrote it for a damaged journal."""
    (journal,) = GoldenSample.load(golden).journals
    whole = journal.read_bytes()
    lines = zstd.decompress(whole).splitlines(keepends=True)
    unreadable = lines[1].replace(b'"U":1', b'"U":"1"')
    unchecked = zstd.compress(b"".join(lines))
    for data, words in (
        (unchecked, rf"{len(unchecked):,} bytes from byte 0 on, behind line 0, .* checksum"),
        (whole + b"\0", rf"{journal}: 1 bytes from byte {len(whole):,} on, behind line "),
        (_zstd(lines[0] + unreadable + b"".join(lines[2:])), rf"{journal}, line 2 cannot be read"),
        (_zstd(b"".join(lines[:-1])), rf"{journal} has {len(lines) - 1} lines, .* {len(lines)}"),
    ):
        source = GoldenSource(_rewritten(golden, data))
        for batches in (source.book, source.trades):
            if "line 2" in words and batches == source.trades:
                continue  # which reads no depth message
            with pytest.raises(InputError, match=words):
                list(batches())


def test_a_pass_is_held_against_the_counts_of_the_document(golden: Path) -> None:
    sample = GoldenSample.load(golden)
    (journal,) = sample.journals
    lines = zstd.decompress(journal.read_bytes()).splitlines(keepends=True)
    counts = sample.document["counts"]
    assert min(counts[what] for what in ("depth", "trade", "bookTicker", "snapshot")) > 0
    for mark, words in (
        (b"@depth", f"depth {counts['depth'] - 1}, golden.json lists {counts['depth']}"),
        (b"@trade", f"trade {counts['trade'] - 1}, golden.json lists {counts['trade']}"),
        (b"@bookTicker", f"bookTicker {counts['bookTicker'] - 1}, golden.json lists"),
        (b"lastUpdateId", "snapshot 0, golden.json lists 1"),
    ):
        at = next(number for number, line in enumerate(lines) if mark in line)
        data = _zstd(b"".join([*lines[:at], *lines[at + 1 :]]))
        source = GoldenSource(_rewritten(golden, data, len(lines) - 1))
        passes = chain(*(iter(one()) for one in (source.trades, source.tickers, source.book)))
        with pytest.raises(InputError, match=f"its journals hold {words}"):
            list(passes)
    _edit(golden, counts={**counts, "level_changes": 10**6})
    with pytest.raises(InputError, match=r"level_changes .* lists 1,000,000"):
        list(GoldenSource(_rewritten(golden, _zstd(b"".join(lines)), len(lines))).book())


@pytest.mark.parametrize("rows", [1, 7, 1 << 16])
def test_both_streams_out_of_one_pass_are_those_of_two(golden: Path, rows: int) -> None:
    source = GoldenSource(GoldenSample.load(golden))
    apart = [EventBatch.concat([*one]) for one in (source.book(), source.trades())]
    assert all(map(len, apart))
    for skipped in ((0, 0), (3, 1), (len(apart[0]), 0)):
        for one, whole, left_out in zip(source.both(skipped, rows), apart, skipped, strict=True):
            batches = list(one)
            assert all(batch.flags[-1] & Flag.LAST for batch in batches)
            given = EventBatch.concat([EventBatch.empty(), *batches])
            rest = whole.slice(left_out, len(whole))
            for name in column_names(EventBatch):
                assert (getattr(given, name) == getattr(rest, name)).all()


def test_a_number_that_the_grid_cannot_hold_names_its_line(golden: Path) -> None:
    sample = GoldenSample.load(golden)
    _edit(golden, instrument={**sample.instrument.to_dict(), "size_exponent": 1})
    with pytest.raises(GridError, match=rf"{sample.journals[0].name}, line"):
        list(GoldenSource(GoldenSample.load(golden)).book())


@pytest.fixture
def mixed(tmp_path: Path) -> GoldenSample:
    """A derived sample of two hours: unreadable lines, snapshots of nobody, a file cut off."""
    foreign = wrapped({**depth(1, 1, [("1", "1")]), "s": "ETHUSDT"}).replace("btcusdt@", "ethusdt@")
    lines = [wrapped(message) for message in MESSAGES]
    lines[2] = tight(MESSAGES[2])  # which names no symbol
    texts = [*lines[:3], foreign, '{"cut', lines[3], tight(MESSAGES[4]), *lines[5:]] * 40
    hour = T0 * NS // HOUR_NS * HOUR_NS
    whole = stamped(texts, start_ns=hour + HOUR_NS - 2 * 10**9)
    (tmp_path / "a.gz").write_bytes(gzip.compress(whole)[:-20])
    return import_recordings(
        tmp_path / "a.gz",
        tmp_path / "golden",
        symbol="BTCUSDT",
        provenance="derived",
        snapshot_limit=5000,
    )


def _passes(sample: GoldenSample) -> list[Any]:
    source = GoldenSource(sample)
    passes = source.book(), source.trades(), source.tickers()
    return [type(first).concat([first, *rest]) for first, *rest in map(list, passes)]


def test_a_samples_journals_can_be_imported_again(mixed: GoldenSample, tmp_path: Path) -> None:
    again = import_recordings(mixed.journals, tmp_path / "again")
    for ours, theirs in zip(_passes(again), _passes(mixed), strict=True):
        assert _same(ours, theirs)
    alike = ("exchange", "venue_symbol", "provenance", "instrument", "span", "chain", "trade_ids")
    for name in (*alike, "snapshot_limit", "trade_stream", "clock"):
        assert again.document[name] == mixed.document[name], name
    assert again.snapshots_of_nobody == mixed.snapshots_of_nobody != set()
    kept = [(s["last_update_id"], s["ours"]) for s in again.document["snapshots"]]
    assert kept == [(s["last_update_id"], s["ours"]) for s in mixed.document["snapshots"]]
    for count in ("depth", "trade", "bookTicker", "snapshot", "other", "invalid", "level_changes"):
        assert again.document["counts"][count] == mixed.document["counts"][count]
    (broke,) = [one for one in again.findings() if one.code == Finding.TRUNCATED_INPUT]
    assert broke.detail == "the recording broke off here when it was imported"
    assert "made of the journals of another golden sample" in again.document["notes"]
    assert import_recordings(mixed.journals, again.path).reused
    twice = import_recordings(again.journals, tmp_path / "twice")
    assert _same(_passes(twice)[0], _passes(mixed)[0])


def test_what_is_damaged_of_a_journal_is_left_out_and_told(
    mixed: GoldenSample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "FRAME_BYTES", 2000)
    small = import_recordings(mixed.journals, tmp_path / "small")
    journal = max(small.journals, key=lambda path: path.stat().st_size)
    data = bytearray(journal.read_bytes())
    data[len(data) // 2] ^= 0x55
    journal.write_bytes(data)
    (loss,) = [part for part in read_frames(journal) if isinstance(part, Loss)]
    with pytest.raises(InputError, match="its SHA-256 is") as told:
        small.hashed()
    assert f"lobproof import {small.path}/journal/* --out NEW" in told.value.hint
    saved = import_recordings(small.journals, tmp_path / "saved")
    found = next(one for one in saved.findings() if one.code == Finding.TRUNCATED_INPUT)
    assert found.file == journal.name
    assert f"{loss.bytes:,} bytes of the journal from byte {loss.offset:,} on" in found.detail
    book, whole = _passes(saved)[0], _passes(mixed)[0]
    assert 0 < len(book) < len(whole)
    assert set(book.sequence.tolist()) <= set(whole.sequence.tolist())
    assert int(Flag.RECONNECT | Flag.LAST) in book.flags.tolist()
    saved.hashed()
    with pytest.raises(StrictError, match=journal.name):
        import_recordings(small.journals, tmp_path / "strict", strict=True)
    with pytest.raises(UsageError, match="is derived: it cannot be imported as real"):
        import_recordings(small.journals, tmp_path / "real", provenance="real")
    with pytest.raises(InputError, match="not all journals of one sample"):
        import_recordings([*small.journals, *mixed.journals], tmp_path / "both")
    journal.write_bytes(b"nothing of it is left")
    with pytest.raises(InputError, match=r"21 bytes of the journal from byte 0 on cannot be read"):
        import_recordings([journal], tmp_path / "none")
    rest = import_recordings(small.journals, tmp_path / "rest")
    (other,) = [path for path in small.journals if path != journal]
    assert rest.document["counts"]["depth"] > 0
    alone = import_recordings([other], tmp_path / "alone")
    assert f"that one has more journals: {journal.name}" in alone.document["notes"]


def test_batches_of_tickers() -> None:
    one = TickerBatch.empty(2)
    assert len(TickerBatch.concat([one, one.slice(0, 1)])) == 3


def test_simulated_files_never_pass_for_real(tmp_path: Path) -> None:
    simulation = simulate(tmp_path / "sim", preset="nexo", minutes=0.05)
    sample = import_recordings(simulation.recordings, tmp_path / "golden")
    assert sample.provenance == "synthetic"
    with pytest.raises(UsageError, match="was simulated"):
        import_recordings(simulation.recordings, tmp_path / "other", provenance="real")


def test_a_simulated_recording_carries_its_mark(tmp_path: Path) -> None:
    """Copied away from its side-car, packed otherwise, one file of both days."""
    simulation = simulate(tmp_path / "sim", preset="nexo", minutes=0.05)
    whole = b"".join(gzip.decompress(path.read_bytes()) for path in simulation.recordings)
    copies = [tmp_path / path.name for path in simulation.recordings]
    for path, copied in zip(simulation.recordings, copies, strict=True):
        copied.write_bytes(path.read_bytes())
    plain, packed = tmp_path / "plain.txt", tmp_path / "packed.xz"
    plain.write_bytes(whole)
    packed.write_bytes(lzma.compress(whole))
    beside = import_recordings(simulation.recordings, tmp_path / "beside")
    for number, files in enumerate((copies, [plain], [packed])):
        sample = import_recordings(files, tmp_path / f"golden-{number}")
        assert sample.provenance == "synthetic"
        for name in ("counts", "streams", "span", "snapshot_limit"):
            assert sample.document[name] == beside.document[name], name
        with pytest.raises(UsageError, match="was simulated"):
            import_recordings(files, tmp_path / "other", provenance="real")
    unmarked = re.sub(rb'"lobproof":{[^}]*},', b"", whole)
    assert len(unmarked) < len(whole)
    plain.write_bytes(unmarked)
    assert import_recordings([plain], tmp_path / "unmarked").provenance == "real"

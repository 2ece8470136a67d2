"""Recordings made to cost: bombs, bad lines without end, numbers beyond any grid."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile

import numpy as np
import pytest

from lobproof.documents import value_of
from lobproof.errors import GridError, InputError, StrictError, UsageError, system_text
from lobproof.schema import EventBatch, Finding, Flag, Kind
from lobproof.sources.binance.decode import Problem, check_json
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.sources.recordings.reader import FREE_BYTES, MAX_RATIO, RecordingFile
from lobproof.sources.simulator.provenance import read_mark
from support.wire import depth, snapshot, stamped, trade, wrapped

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LINES = [
    wrapped(snapshot(10, [("1.00", "5")], [("1.01", "3")])),
    *(wrapped(depth(n, n, [("1.00", f"{n}.5")], [("1.02", "1")])) for n in range(11, 31)),
    *(wrapped(trade(n, "1.01", "0.25")) for n in range(1, 11)),
]
BOMB = stamped(LINES) + (b"x" * 5000 + b"\n") * (1 << 13)


def _zip(data: bytes, way: int = ZIP_DEFLATED, name: str = "lines.txt") -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w", way) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def _take(folder: Path, data: bytes, *, strict: bool = False) -> GoldenSample:
    file = folder / "lines.bin"
    file.write_bytes(data)
    return import_recordings([file], folder / "golden", overwrite=True, strict=strict)


def _book(sample: GoldenSample) -> EventBatch:
    return EventBatch.concat(list(GoldenSource(sample).book()))


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, lzma.compress, bz2.compress, _zip])
def test_what_unpacks_to_more_than_any_recording_is_refused(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(BOMB)
    assert FREE_BYTES + MAX_RATIO * len(packed) < len(BOMB)
    began = time.process_time()
    with pytest.raises(InputError, match=r"bytes unpack to more than [0-9,]+") as told:
        _take(tmp_path, packed)
    assert f"at most {MAX_RATIO} times its size" in told.value.hint
    assert time.process_time() - began < 30


@pytest.mark.parametrize("way", [ZIP_BZIP2, ZIP_LZMA])
def test_a_zip_of_a_way_of_packing_without_a_bound_is_refused(tmp_path: Path, way: int) -> None:
    whole = bytearray(_zip(b"\0" * (64 << 20), way))
    damaged = bytearray(_zip(BOMB, way))
    damaged[60:80] = b"x" * 20
    for data in (whole, damaged):
        tracemalloc.start()
        with pytest.raises(InputError, match=r"lines\.bin: .* neither stored nor deflated") as told:
            _take(tmp_path, bytes(data))
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
        tracemalloc.stop()
        assert told.value.hint == "unpack it by hand"


@pytest.mark.parametrize("way", [ZIP_STORED, ZIP_DEFLATED])
def test_a_damaged_zip_ends_in_lines_or_an_error_of_ours(tmp_path: Path, way: int) -> None:
    """Each byte by itself, and the archive cut off behind it."""
    whole = _zip(stamped(LINES[:2]), way, "ä")
    file = tmp_path / "lines.zip"
    refused = []
    for at, byte in enumerate(whole):
        odd = (whole[:at] + bytes([value]) + whole[at + 1 :] for value in (0, byte ^ 1, 0xFF))
        for damaged in (whole[:at], whole[:at] + b"\xff" * 4 + whole[at + 4 :], *odd):
            file.write_bytes(damaged)
            try:
                list(RecordingFile(file))
            except InputError as error:
                refused.append(error.message)
    assert len(refused) > 2 * len(whole)
    assert not [message for message in refused if "()" in message]


@pytest.mark.parametrize("count", [5_000, 70_000])
def test_a_zip_of_many_files_is_refused_before_they_are_listed(tmp_path: Path, count: int) -> None:
    """Of more than 65,535 the list is one of ZIP64."""
    whole = io.BytesIO()
    with ZipFile(whole, "w") as archive:
        for n in range(count):
            archive.writestr(f"{n}", b"")
    told = "a zip archive of 5000 files" if count == 5_000 else r"whose list of files has [0-9,]+"
    tracemalloc.start()
    with pytest.raises(InputError, match=rf"lines\.bin: .*{told}") as refused:
        _take(tmp_path, whole.getvalue())
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    assert "name the recordings one by one" in refused.value.hint


def test_an_error_of_the_system_without_words_has_some() -> None:
    assert system_text(OSError()) == "OSError"
    assert system_text(OSError("Invalid data stream")) == "Invalid data stream"
    assert system_text(FileNotFoundError(2, "odd")) == "No such file or directory"


def test_bad_lines_without_end_are_told_once(tmp_path: Path) -> None:
    bad = 20_000
    plain = stamped(LINES)
    sample = _take(tmp_path, gzip.compress(plain + b"bad\n" * bad))
    assert sample.document["findings"]["invalid"]["by_reason"] == {"stamp": bad}
    found = sample.findings()
    assert len(found) == 101
    assert (found[-1].count, found[-1].detail) == (bad - 100, "stamp: more such lines")
    assert sample.inputs[0]["kept"] == len(LINES)


def _seconds(read: Callable[[bytes], object], data: bytes) -> float:
    """Of the processor, for the quickest of three times."""
    took = []
    for _ in range(3):
        began = time.process_time()
        with suppress(ValueError, Problem):
            read(data)
        took.append(time.process_time() - began)
    return min(took)


def _many_keys(last: int) -> bytes:
    keys = ",".join(f'"{n}":0' for n in (*range(20_000), last))
    return f'{{"lobproof":{{"provenance":"synthetic",{keys}}}}}'.encode()


@pytest.mark.parametrize("read", [value_of, check_json, read_mark])
def test_a_key_twice_among_many_is_found_in_one_pass(read: Callable[[bytes], object]) -> None:
    twice, apart = _many_keys(19_999), _many_keys(20_000)
    with pytest.raises(ValueError, match="the key 19999 stands twice"):
        value_of(twice)
    assert read_mark(twice) == {}
    assert _seconds(read, twice) < 20 * _seconds(read, apart)


WIDE = [("0.0000000000000000000001", "1"), ("1", "1" + "0" * 20), ("1" + "0" * 40, "1")]


@pytest.mark.kernels
@pytest.mark.parametrize("pair", WIDE)
@pytest.mark.parametrize("at", [1, 5, 21])
def test_a_number_beyond_any_grid_costs_its_line_alone(
    tmp_path: Path, pair: tuple[str, str], at: int
) -> None:
    plain = _take(tmp_path, stamped(LINES))
    known = _book(plain)
    wide = [*LINES[:at], wrapped(depth(40, 40, [("1.00", "1"), pair])), *LINES[at:]]
    sample = _take(tmp_path, stamped(wide))
    assert sample.instrument == plain.instrument
    (found,) = sample.findings()
    assert (found.code, found.line) == (Finding.INVALID_INPUT, at + 1)
    assert found.detail.startswith(f"number: a level of {pair[0]} and {pair[1]}")
    book = _book(sample)
    marks = book.kind == Kind.MARK
    assert book.flags[marks].tolist() == [int(Flag.INVALID | Flag.LAST)]
    for name in ("sequence", "side", "price", "size", "kind"):
        assert np.array_equal(getattr(book, name)[~marks], getattr(known, name))
    with pytest.raises(StrictError, match=rf"line {at + 1}: number: a level of"):
        _take(tmp_path, stamped(wide), strict=True)


@pytest.mark.kernels
@pytest.mark.parametrize("kind", ["trade", "snapshot"])
def test_so_it_is_with_trades_and_snapshots(tmp_path: Path, kind: str) -> None:
    wide = trade(99, "1e30", "1") if kind == "trade" else snapshot(30, [("1e30", "1")], [])
    sample = _take(tmp_path, stamped([*LINES, wrapped(wide)]))
    assert sample.document["findings"]["invalid"]["by_reason"] == {"number": 1}
    flags = _book(sample).flags[-1]
    assert bool(flags & int(Flag.TRADES)) is (kind == "trade")


@pytest.mark.parametrize(
    "number", ["1" * 65, "1e999", "0." + "0" * 80 + "1", '"' + "9" * 10**6 + '"']
)
def test_a_number_is_at_most_as_long_as_one_can_be(tmp_path: Path, number: str) -> None:
    quoted = number if number.startswith('"') else f'"{number}"'
    line = wrapped(depth(31, 31, [("7", "1")])).replace('"7"', quoted)
    sample = _take(tmp_path, stamped([*LINES, line]))
    (found,) = sample.findings()
    assert found.detail.startswith("number: ")
    assert len(found.detail) < 120


def test_names_do_not_flood_an_error(tmp_path: Path) -> None:
    names = [f"{'Ä' * 250}{n}" for n in range(500)]
    lines = [json.dumps({"stream": f"{name}@trade", "data": {}}) for name in names]
    for texts in ([*lines, *LINES], [*LINES, *lines]):
        with pytest.raises(InputError, match="a message of") as told:
            _take(tmp_path, stamped(texts))
        assert len(told.value.message) < 2000
    with pytest.raises(UsageError, match="cannot name a symbol") as refused:
        import_recordings([tmp_path / "lines.bin"], tmp_path / "golden", symbol=names[0])
    assert len(str(refused.value)) < 300


def test_numbers_that_are_no_few_are_an_error(tmp_path: Path) -> None:
    wide = [wrapped(depth(n, n, [("1.00", "1" + "0" * 18)])) for n in range(40, 60)]
    with pytest.raises(GridError, match="no grid holds every size"):
        _take(tmp_path, stamped([*LINES, *wide]))

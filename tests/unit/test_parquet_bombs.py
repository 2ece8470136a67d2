"""Parquet files that are small and would take gigabytes: refused before they are read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lobproof
from fuzz.documents import Memory
from lobproof import parquet, parquet_pages
from lobproof.acquire.checks.scan import scan
from lobproof.acquire.rows import read_columns
from lobproof.errors import InputError
from lobproof.fidelity.exact.vendor import _SLOTS, vendor_rows
from lobproof.parquet import MAX_TEXT, open_parquet, read_footer, texts
from lobproof.parquet_kernels import new_stack, page_header
from lobproof.parquet_pages import pages
from lobproof.sources.cryptolake.chunks import chunks
from lobproof.sources.cryptolake.footer import read_footer as facts_of
from lobproof.store.seal import SealedFile
from support.acquired import key
from support.lake_files import MAKERS, arrow

ROWS = 10_000
MB = 1 << 20


def trades(rows: int, **columns: pa.Array) -> pa.Table:
    """A table of trades of the vendor's shape, with columns of one's own."""
    zeros = np.zeros(rows)
    ids = np.arange(rows)
    table = {
        "side": pa.array(["buy"] * rows),
        "amount": pa.array(zeros),
        "price": pa.array(zeros),
        "id": pa.array(ids),
        "timestamp": pa.array(ids),
        "receipt_timestamp": pa.array(ids),
    }
    return pa.table({**table, **columns})


def long_text(length: int, rows: int = ROWS) -> pa.Array:
    """The same text in all rows, stored once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), ["x" * length])


def put(folder: Path, table: pa.Table, **how: object) -> Path:
    path = folder / key("trades").path
    path.parent.mkdir(parents=True)
    pq.write_table(table, path, store_schema=False, **how)
    return path


def lying(path: Path, told: int) -> None:
    """Have the footer tell another size of the first column: the page's own header does not."""
    size = read_size(path)
    data = path.read_bytes()
    old, new = (_varint(number * 2) for number in (size, told))
    assert len(old) == len(new)
    at = data.rindex(old, 0, -8)
    path.write_bytes(data[:at] + new + data[at + len(old) :])
    assert read_size(path) == told


def read_size(path: Path) -> int:
    return int(pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def dictionary(folder: Path) -> Path:
    """A few kilobytes whose rows are 500 GB of text."""
    path = put(folder, trades(ROWS, side=long_text(50 * MB)), compression="zstd")
    assert path.stat().st_size < 300_000
    return path


def lie(folder: Path) -> Path:
    """The same, and the footer says that it is small."""
    path = dictionary(folder)
    lying(path, 2_000_000)
    return path


def one_text(folder: Path) -> Path:
    """A single text of 50 MB."""
    side = pa.array([*["buy"] * (ROWS - 1), "x" * (50 * MB)])
    return put(folder, trades(ROWS, side=side), compression="zstd", use_dictionary=False)


def long_sides(folder: Path) -> Path:
    """Texts that the sizes alone allow, and of which a batch would be gigabytes."""
    return put(folder, trades(ROWS, side=long_text(2 * MB)), compression="zstd")


def going_on(folder: Path, encoding: str = "DELTA_BYTE_ARRAY") -> Path:
    """Texts of 1.5 MB that each go on from the one before, by a page whose sizes are true."""
    side = pa.array(["x" * 1_500_000] * 300)
    return put(
        folder,
        trades(ROWS, side=pa.concat_arrays([side, pa.array(["buy"] * (ROWS - 300))])),
        compression="snappy",
        use_dictionary=False,
        column_encoding={"side": encoding},
    )


def group(folder: Path) -> Path:
    """A row group of twenty million rows that takes little on disk."""
    zeros = pa.array(np.zeros(20_000_000, np.int64))
    names = ("side", "amount", "price", "id", "timestamp", "receipt_timestamp")
    return put(folder, pa.table(dict.fromkeys(names, zeros)), row_group_size=1 << 30)


BOMBS = (dictionary, lie, one_text, long_sides, going_on, group)
Read = Callable[[Path], object]
READERS: dict[str, Read] = {
    "decoder": lambda p: [*chunks("trades", [p], ["side", "id"], 1 << 15)],
    "facts": lambda p: [*read_columns("trades", [p], ["side", "id"])],
    "vendor": lambda p: [*vendor_rows(p)],
    "lake": lambda p: lobproof.lake(p.parents[4]).table("trades"),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("reader", READERS)
def test_it_is_refused_before_it_is_read(
    tmp_path: Path, bomb: Callable[[Path], Path], reader: str
) -> None:
    path = bomb(tmp_path)
    if bomb is long_sides and reader in ("lake", "vendor"):
        read_footer(path)  # which share one text among their rows
        return
    memory = Memory()
    with pytest.raises(InputError) as caught:
        READERS[reader](path)
    assert memory.peak < 200 * MB
    assert path.name in caught.value.message
    assert bomb is long_sides or "row group 0" in caught.value.message
    assert len(caught.value.message) < 500
    assert caught.value.hint


@pytest.mark.parametrize("bomb", BOMBS)
def test_validation_says_so_and_goes_on(tmp_path: Path, bomb: Callable[[Path], Path]) -> None:
    path = bomb(tmp_path)
    memory = Memory()
    found = scan(path, key("trades"))
    assert found.findings.counts
    assert all(len(detail) < 500 for detail in found.findings.details.values())
    assert memory.peak < 200 * MB


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_an_encoding_of_texts_without_a_bound(tmp_path: Path, encoding: str, version: str) -> None:
    how = {"use_dictionary": False, "data_page_version": version}
    path = put(tmp_path, trades(ROWS), column_encoding={"side": encoding}, **how)
    told = (
        "1.snappy.parquet: row group 0 has texts in column 'side' in an encoding that has no bound"
    )
    with pytest.raises(InputError, match=told) as caught:
        read_footer(path)
    assert "its texts plain or in a dictionary" in caught.value.hint
    pq.write_table(trades(ROWS), path, store_schema=False, column_encoding={"side": "PLAIN"}, **how)
    assert read_footer(path).num_rows == ROWS


def test_a_page_that_tells_of_both_versions_is_what_its_type_says(tmp_path: Path) -> None:
    def data_page(kind: int, one: int, two: int) -> bytes:
        """A header with data pages of both versions and their encodings."""
        first = bytes([0x15, 14, 0x15, 2 * one, 0])
        second = bytes([0x15, 16, 0x35, 2 * two, 0])
        return bytes([0x15, 2 * kind, 0x15, 20, 0x15, 22, 0x2C, *first, 0x3C, *second, 0])

    for kind, expected in ((0, (10, 7, 6)), (3, (10, 8, 0)), (2, (10, 0, -1))):
        header = data_page(kind, 6, 0)
        found = page_header(np.frombuffer(header, np.uint8), new_stack())
        assert found == (len(header), 11, *expected)
        for cut in range(len(header)):
            assert page_header(np.frombuffer(header[:cut], np.uint8), new_stack())[0] == -1


class Chunk:
    """Where a column's pages are, as a footer would say."""

    has_dictionary_page = False
    dictionary_page_offset = None

    def __init__(self, offset: int, size: int) -> None:
        self.data_page_offset = offset
        self.total_compressed_size = size


def a_page(rng: np.random.Generator) -> tuple[bytes, tuple[int, int, int]]:
    """A page with a header as writers make them, and what is to be found of it."""
    kind, body = int(rng.choice([0, 2, 3])), rng.bytes(int(rng.integers(0, 300)))
    inflated, values = (int(number) for number in rng.integers(0, 1 << 31, 2))
    encoding = int(rng.choice([0, 2, 8]))
    head = bytearray([0x15, 2 * kind, 0x15, *_varint(2 * inflated), 0x15, *_varint(2 * len(body))])
    if rng.random() < 0.5:
        head += bytes([0x15, *_varint(int(rng.integers(0, 1 << 32)))])  # its checksum
        told = [0x1C, 0x2C, 0x3C, 0x4C]
    else:
        told = [0x2C, 0x3C, 0x4C, 0x5C]
    text = rng.bytes(int(rng.integers(0, 200)))  # a least value
    bounds = bytes([0x18, *_varint(len(text)), *text, 0])
    if kind == 0:
        plain = [0x15, *_varint(2 * values), 0x15, 2 * encoding, 0x15, 6, 0x15, 6, 0x1C, *bounds]
        head += bytes([told[0], *plain, 0])
    elif kind == 2:
        head += bytes([told[2], 0x15, *_varint(2 * values), 0x15, 4, 0x11, 0])
    else:
        plain = [0x15, *_varint(2 * values), 0x15, 0, 0x15, 8, 0x15, 2 * encoding, 0x15, 0, 0x15, 0]
        head += bytes([told[3], *plain, 0x11, 0x1C, *bounds, 0])
    found = (inflated, 0, -1) if kind == 2 else (inflated, values, encoding)
    return bytes([*head, 0]) + body, found


def one_by_one(data: bytes, start: int, stop: int) -> list[tuple[int, ...]]:
    """What `pages` is to find, a header at a time."""
    found = []
    while start < stop:
        at = np.frombuffer(data[start:stop], np.uint8)
        length, stored, *page = page_header(at, new_stack())
        if length < 0:
            break
        found.append(tuple(page))
        start += length + stored
    return found


@pytest.mark.kernels
@pytest.mark.parametrize("at_once", [1, 50, 1_000, 1 << 17])
def test_headers_are_found_however_they_lie_in_what_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(parquet_pages, "_AT_ONCE", at_once)
    monkeypatch.setattr(parquet_pages, "_LONGEST_HEADER", 1_000)
    monkeypatch.setattr(parquet_pages, "_PAGES", 7)
    rng = np.random.default_rng(at_once)
    damaged = 0
    for _ in range(60):
        made = [a_page(rng) for _ in range(int(rng.integers(0, 40)))]
        before = rng.bytes(int(rng.integers(0, 9)))
        data = before + b"".join(page for page, _ in made)
        chunk, behind = Chunk(len(before), len(data) - len(before)), rng.bytes(50)
        path = tmp_path / "chunk"
        path.write_bytes(data + behind)
        with path.open("rb") as file:
            assert pages(file, chunk).tolist() == [found for _, found in made]
        broken = bytearray(data)
        for at in rng.integers(0, max(len(data), 1), min(len(data), 3)):
            broken[at] = int(rng.integers(0, 256))
        path.write_bytes(bytes(broken) + behind)
        expected = one_by_one(bytes(broken), len(before), len(data))
        damaged += expected != [found for _, found in made]
        with path.open("rb") as file:
            assert pages(file, chunk).tolist() == expected
        path.write_bytes(data[: len(data) // 2])  # cut off
        with path.open("rb") as file:
            assert pages(file, chunk).tolist() == one_by_one(
                data[: len(data) // 2], len(before), len(data)
            )
    assert damaged > 10


@pytest.mark.kernels
def test_sizes_have_32_bits_as_for_arrow() -> None:
    """None that is larger leaves a sum: what Arrow would take it for counts."""
    for number in (5, 2**31 - 1, 2**31, 2**40 + 5, 2**61):
        head = bytes([0x15, 0, 0x15, *_varint(2 * number), 0x15, 0, 0])
        inflated = page_header(np.frombuffer(head, np.uint8), new_stack())[2]
        assert inflated == max(int(np.int64(number).astype(np.int32)), 0)


def test_a_page_whose_header_is_none_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    names = ["sequence_number", *_SLOTS]
    table = pa.table({name: np.arange(1.0, 1_001.0) for name in names})
    path = tmp_path / "1.snappy.parquet"
    for compression in ("snappy", "zstd"):
        pq.write_table(table, path, compression=compression)
        column = pq.read_metadata(path).row_group(0).column(3)
        data = bytearray(path.read_bytes())
        for offset in (column.data_page_offset, column.dictionary_page_offset):
            broken = data.copy()
            broken[offset : offset + 4] = b"\xff" * 4
            path.write_bytes(broken)
            with pytest.raises(InputError, match=rf"{path} cannot be read"):
                deque(vendor_rows(path), maxlen=0)


def test_a_footer_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, trades(ROWS))
    assert facts_of(path, "trades") is not None
    monkeypatch.setattr(parquet, "MAX_FOOTER", 100)
    with pytest.raises(InputError, match="a footer of"):
        read_footer(path)
    assert facts_of(path, "trades") is None


READ = """
import sys
from pathlib import Path
from fuzz.documents import Memory
from lobproof.parquet import read_footer
memory = Memory()
print(read_footer(Path(sys.argv[1])).num_row_groups, memory.peak)
"""


@pytest.mark.slow
def test_a_footer_that_lists_all_it_may_takes_little(tmp_path: Path) -> None:
    """Row groups of as many columns as there may be, all together too."""
    names = [f"column_{n}" for n in range(1_023)]
    path = tmp_path / "1.parquet"
    with pq.ParquetWriter(path, pa.schema([(name, pa.int64()) for name in names])) as writer:
        (rows,) = pa.table({name: [7] for name in names}).to_batches()
        for _ in range(256):
            writer.write_batch(rows)
    # in a process of its own: here memory that was freed would be taken again
    path_of_tests = os.pathsep.join(sys.path)
    said = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path_of_tests},
    ).stdout
    groups, peak = map(int, said.split())
    assert groups == 256
    assert peak < 500 * MB


def test_a_part_of_a_store_is_looked_at_too(tmp_path: Path) -> None:
    path = dictionary(tmp_path)
    sealed = SealedFile(path.name, ROWS, path.stat().st_size, "", "")
    assert "row group 0 has" in sealed.at_a_glance(path.parent, b"")


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_pages_are_as_large_as_their_headers_say(tmp_path: Path, codec: str, version: str) -> None:
    """The scan of headers finds every page, whoever wrote it."""
    rng = np.random.default_rng(1)
    table = pa.table(
        {
            "number": rng.random(60_000),
            "text": [f"text {n % 999}" for n in range(60_000)],
            "gaps": pa.array([None if n % 3 else n for n in range(60_000)]),
        }
    )
    path = tmp_path / "file.parquet"
    pq.write_table(
        table,
        path,
        compression=codec,
        data_page_version=version,
        row_group_size=25_000,
        data_page_size=50_000,
        write_page_checksum=version == "1.0",
    )
    footer = read_footer(path)
    with path.open("rb") as file:
        for number in range(footer.num_row_groups):
            for place in range(footer.num_columns):
                column = footer.row_group(number).column(place)
                found = pages(file, column)
                assert len(found) > 1
                told = column.total_uncompressed_size
                assert told - 200 * len(found) < found["inflated"].sum() < told
                assert found["values"].sum() == column.num_values


@pytest.mark.parametrize("table", MAKERS)
@pytest.mark.parametrize("codec", ["snappy", "zstd"])
def test_what_is_no_bomb_is_read_as_ever(tmp_path: Path, table: str, codec: str) -> None:
    path = tmp_path / "file.parquet"
    whole = arrow(table, MAKERS[table]())
    pq.write_table(whole, path, compression=codec, row_group_size=1 << 20)
    with open_parquet(path) as file:
        read = pa.Table.from_batches([texts(batch) for batch in file.iter_batches(7_001)])
    assert read.equals(whole.cast(read.schema))


def test_texts_up_to_the_limit(tmp_path: Path) -> None:
    for length in (MAX_TEXT, MAX_TEXT + 1):
        pq.write_table(pa.table({"side": ["x" * length, None, ""]}), tmp_path / "file.parquet")
        with open_parquet(tmp_path / "file.parquet") as file:
            (batch,) = file.iter_batches()
        if length > MAX_TEXT:
            with pytest.raises(pa.ArrowInvalid, match="a text of 257 bytes"):
                texts(batch)
        else:
            assert texts(batch)["side"].to_pylist() == ["x" * length, None, ""]

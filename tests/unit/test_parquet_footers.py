"""Footers that contradict themselves: Arrow would end the process when it is asked about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lobproof.errors import InputError
from lobproof.parquet import open_parquet, read_footer, texts
from lobproof.parquet_kernels import (
    BROKEN,
    CODEC,
    COLUMN_COUNT,
    ENCRYPTED,
    FINE,
    LEVELS,
    NO_METADATA,
    STATISTICS,
    TYPE,
    footer_problem,
)

pytestmark = pytest.mark.kernels

INT64 = [2, 8, 0, 1]
"""Physical type, width, and highest levels of a column that may be null."""
TEXT = [6, -1, 0, 1]
TYPED = b"\x15\x04"


def footer(metadata: bytes, *, chunk: bytes = b"", columns: int = 1) -> bytes:
    """A footer of a row group whose columns have this metadata."""
    one = b"\x3c" + metadata + b"\x00" + chunk + b"\x00"
    return b"\x49\x1c" + b"\x19" + bytes([columns << 4 | 12]) + one * columns + b"\x00\x00"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (footer(TYPED), FINE),
        (footer(TYPED + b"\x25\x02"), FINE),
        (footer(TYPED + b"\x35\x10"), CODEC),
        (footer(TYPED + b"\x35\x0e"), FINE),
        (footer(b"\x15\x02"), TYPE),
        (footer(b""), TYPE),
        (footer(TYPED, columns=2), COLUMN_COUNT),
        (b"\x49\x1c\x00\x00", COLUMN_COUNT),
        (b"\x49\x1c\x19\x1c\x26\x00\x00\x00\x00", NO_METADATA),
        (footer(TYPED, chunk=b"\x5c\x00"), ENCRYPTED),
        (footer(TYPED + b"\xbc\x18\x0812345678\x00"), FINE),
        (footer(TYPED + b"\xbc\x18\x071234567\x00"), STATISTICS),
        (footer(TYPED + b"\xbc\x58\x0912345678\x00\x00"), STATISTICS),
        (footer(TYPED + b"\xfc\x39\x26\x00\x02\x00"), FINE),
        (footer(TYPED + b"\xfc\x39\x06\x00"), FINE),
        (footer(TYPED + b"\xfc\x39\x16\x02\x00"), LEVELS),
        (footer(TYPED + b"\xfc\x29\x26\x02\x02\x00"), LEVELS),
        (footer(TYPED + b"\xfc\x16\x02\x00"), LEVELS),
        (footer(TYPED)[:-2], BROKEN),
        (footer(TYPED + b"\x98\xff\xff\xff\xff\x0f"), BROKEN),
        (footer(TYPED + b"\x99\xfc\xff\xff\xff\xff\x0f"), BROKEN),
        (footer(TYPED + b"\x9c" + b"\x1c" * 200), BROKEN),
        (b"", BROKEN),
    ],
)
def test_each_contradiction_is_told(data: bytes, expected: int) -> None:
    # field 15 of the metadata is unknown, and so 16 follows it by one
    data = data.replace(b"\xfc", b"\xe3\x00\x1c", 1) if b"\x99\xfc" not in data else data
    leaves = np.array([INT64], np.int64)
    assert footer_problem(np.frombuffer(data, np.uint8), leaves)[0] == expected


def test_texts_may_have_statistics_of_any_width() -> None:
    data = footer(b"\x15\x0c" + b"\xbc\x18\x031\x00\xff\x00" + b"\x00")
    assert footer_problem(np.frombuffer(data, np.uint8), np.array([TEXT], np.int64))[0] == FINE


def edited(path: Path, old: bytes, new: bytes) -> None:
    """Change the file's footer, and the length that is told of it."""
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    body, told = data[: -8 - length], data[-8 - length : -8]
    assert old in told
    told = told.replace(old, new)
    path.write_bytes(body + told + len(told).to_bytes(4, "little") + data[-4:])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"price\x15\x02", b"price\x15\x24", "a compression that nobody knows"),
        (b"\x15\x0a\x19", b"\x15\x04\x19", "another type than in the schema"),
        (b"\x18\x08" + np.float64(7.5).tobytes(), b"\x18\x0112", "statistics of another type"),
        (b"\x19\x26\x00\x06", b"\x19\x16\x06", "size statistics of another type"),
    ],
)
def test_a_file_with_such_a_footer_is_refused(
    tmp_path: Path, old: bytes, new: bytes, told: str
) -> None:
    path = tmp_path / "1.parquet"
    pq.write_table(pa.table({"price": [7.5, 7.5, 7.5]}), path)
    assert read_footer(path).num_rows == 3
    if told.startswith("statistics"):
        new = b"\x18\x07" + np.float64(7.5).tobytes()[:7]
    edited(path, old, new)
    with pytest.raises(InputError, match=f"row group 0: column 0: {told}"):
        read_footer(path)


def test_a_column_whose_name_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "1.parquet"
    pq.write_table(pa.table({"price": [7.5]}), path, store_schema=False)
    edited(path, b"price", b"pri\xffe")
    with pytest.raises(InputError, match="a column has a name that is no UTF-8"):
        read_footer(path)


def test_a_text_that_is_none_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "1.parquet"
    raw = pa.array([b"buy", b"\xff\xfe"])
    pq.write_table(pa.table({"side": pa.Array.from_buffers(pa.string(), 2, raw.buffers())}), path)
    with open_parquet(path) as file, pytest.raises(pa.ArrowInvalid, match="UTF8"):
        [texts(batch) for batch in file.iter_batches()]

"""Footers that contradict themselves: Arrow would end the process when it is asked about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fuzz.documents import Memory
from lobproof.errors import InputError
from lobproof.parquet import open_parquet, parse_footer, read_footer, texts
from lobproof.parquet_kernels import (
    BROKEN,
    CHUNKS,
    CODEC,
    COLUMN_COUNT,
    ENCRYPTED,
    EXCESS,
    FINE,
    GROUPS,
    LEAF,
    LEVELS,
    NO_METADATA,
    OTHERS,
    PAIRS,
    SCHEMA,
    STATISTICS,
    TYPE,
    footer_excess,
    footer_problem,
)
from lobproof.sources.cryptolake.footer import rows_of

pytestmark = pytest.mark.kernels

INT64 = (2, 8, 0, 1)
"""Physical type, width, and highest levels of a column that may be null."""
TEXT = (6, -1, 0, 1)
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
    leaves = np.array([INT64], LEAF)
    assert footer_problem(np.frombuffer(data, np.uint8), leaves)[0] == expected


def test_texts_may_have_statistics_of_any_width() -> None:
    data = footer(b"\x15\x0c" + b"\xbc\x18\x031\x00\xff\x00" + b"\x00")
    assert footer_problem(np.frombuffer(data, np.uint8), np.array([TEXT], LEAF))[0] == FINE


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


def test_rows_that_the_row_groups_do_not_have(tmp_path: Path) -> None:
    path = tmp_path / "1.parquet"
    pq.write_table(pa.table({"price": [7.5, 7.5, 7.5]}), path, store_schema=False)
    edited(path, b"\x16\x06\x19", b"\x16\x02\x19")
    with pytest.raises(InputError, match=r"1\.parquet: 1 rows, where its row groups have 3"):
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


STRUCT, TEXTS, NUMBERS = 12, 8, 5
"""Kinds of a list's elements."""


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def listed(count: int, element: bytes = b"\x00", kind: int = STRUCT) -> bytes:
    """A list of that many times the same element."""
    return bytes([0xF0 | kind]) + varint(count) + element * count


def field(number: int, value: bytes, kind: int = 9) -> bytes:
    """A field by its whole number, whatever comes before."""
    return bytes([kind]) + varint(2 * number) + value


def groups(number: int, columns: int) -> bytes:
    """A file's row groups, each of that many columns of which nothing is told."""
    one = field(1, listed(columns, b"\x26\x00\x00")) + b"\x26\x00\x16\x00\x00"
    return field(4, listed(number, one))


def of_a_column(told: bytes) -> bytes:
    """A file of one column, with this among its metadata."""
    chunk = field(3, told + b"\x00", STRUCT) + b"\x00"
    return field(4, listed(1, field(1, listed(1, chunk)) + b"\x00"))


MOST = np.array([50, 40, 60, 30, 20], np.int64)
LISTS: dict[str, tuple[int, int, Callable[[int], bytes]]] = {
    "schema": (SCHEMA, 50, lambda n: field(2, listed(n))),
    "row groups": (GROUPS, 40, lambda n: groups(n, 0)),
    "columns": (CHUNKS, 60, lambda n: groups(1, n)),
    "columns of groups": (CHUNKS, 60, lambda n: groups(2, 30) + groups(n - 60, 1) * (n > 60)),
    "keys": (PAIRS, 30, lambda n: field(5, listed(n))),
    "keys of a column": (PAIRS, 30, lambda n: of_a_column(field(8, listed(n)))),
    "orders": (OTHERS, 20, lambda n: field(7, listed(n))),
    "encodings": (OTHERS, 20, lambda n: of_a_column(field(2, listed(n, b"\x00", NUMBERS)))),
    "names": (OTHERS, 20, lambda n: of_a_column(field(3, listed(n, b"\x00", TEXTS)))),
    "pages": (OTHERS, 20, lambda n: of_a_column(field(13, listed(n)))),
    "levels": (
        OTHERS,
        20,
        lambda n: of_a_column(field(16, field(2, listed(n, b"\x00", 6)) + b"\x00", STRUCT)),
    ),
    "what nobody knows": (OTHERS, 20, lambda n: field(99, listed(n))),
    "lists in lists": (OTHERS, 20, lambda n: field(99, listed(2, listed(n // 2 - 1), 9))),
}


@pytest.mark.parametrize("name", LISTS)
def test_what_a_footer_lists_is_counted(name: str) -> None:
    what, most, made = LISTS[name]
    for over in (0, 2):
        body = np.frombuffer(made(most + over) + b"\x00", np.uint8)
        assert footer_excess(body, MOST) == (EXCESS + what if over else FINE)


@pytest.mark.parametrize(
    "body",
    [
        field(4, listed(3, b"\x00", 3)),  # structs to Arrow, whatever their kind
        field(5, listed(3, b"\x00", TEXTS)),
        of_a_column(field(3, listed(3, b"\x00", NUMBERS))),
        field(65536 + 4, listed(3)),  # field 4 to Arrow
        field(2, listed(3)[:-1]),
        field(99, listed(1, b"\x1c" * 200)),
        field(99, b"", 11),
    ],
)
def test_what_arrow_would_read_otherwise_is_no_footer(body: bytes) -> None:
    assert footer_excess(np.frombuffer(body + b"\x00", np.uint8), MOST) == BROKEN


def whole(*fields: bytes, schema: bytes) -> bytes:
    """A footer with the eight bytes behind it."""
    body = b"\x15\x02" + field(2, schema) + field(3, b"\x00", 6) + b"".join(fields) + b"\x00"
    return body + len(body).to_bytes(4, "little") + b"PAR1"


def columns(number: int) -> bytes:
    root = b"\x48\x01r\x15" + varint(2 * number) + b"\x00"
    one = listed(number, b"\x15\x04\x25\x00\x18\x01a\x00")
    return bytes([one[0]]) + varint(number + 1) + root + one[1 + len(varint(number)) :]


MANY = 999_999
BOMBS = {
    "columns in the schema": lambda: whole(groups(0, 0), schema=columns(MANY - 1)),
    "row groups": lambda: whole(groups(MANY, 0), schema=columns(1)),
    "columns in all row groups together": lambda: whole(groups(3, MANY), schema=columns(1)),
    "keys with values": lambda: whole(
        groups(0, 0), field(5, listed(MANY, b"\x18\x00\x00")), schema=columns(1)
    ),
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_footer_that_lists_too_much_is_refused_before_arrow_sees_it(
    tmp_path: Path, what: str
) -> None:
    data = BOMBS[what]()
    path = tmp_path / "1.parquet"
    path.write_bytes(b"PAR1" + data)
    parse_footer(whole(groups(0, 0), schema=columns(1)), "")  # what is compiled is not counted
    memory = Memory()
    with pytest.raises(InputError, match=f"1.parquet: a footer that lists more than .* {what}"):
        read_footer(path)
    assert rows_of(data) is None
    assert memory.peak < 100_000_000


@pytest.mark.parametrize("end", [b"", b"PAR", b"\x10\x00\x00\x00PAR1", b"x" * 100])
def test_what_is_no_parquet_is_arrow_s_error(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "1.parquet"
    path.write_bytes(end)
    with pytest.raises(pa.ArrowInvalid):
        read_footer(path)
    assert rows_of(end) is None

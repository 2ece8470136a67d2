"""Crypto Lake's tables in Parquet files of any make: the right rows, or an error of ours."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fuzz_bytes.choices import Choices
from fuzz_bytes.finding import found_unless
from fuzz_bytes.oracle import float_count
from lobproof.errors import LobproofError
from lobproof.instruments import Instrument
from lobproof.parquet import footer_size
from lobproof.schema import UNORDERED, EventBatch, Flag, Kind, VendorBatch
from lobproof.sources.cryptolake.chunks import LakeFile
from lobproof.sources.cryptolake.decode import books, deltas, trades
from lobproof.sources.cryptolake.footer import in_order, read_footer, rows_of
from lobproof.sources.cryptolake.layout import ALIASES, COLUMNS, LEVEL_COLUMNS, TABLES
from lobproof.sources.simulator import simulate

EXPONENTS = (2, 8)
_INSTRUMENT = Instrument.given("X", "X", "X", [(0, "0.01", "0.00000001")])
_MAX_ROWS = 64
_TOO_MANY = 100_000
"""Rows of a damaged file beyond which nothing is compared."""
_LAST = int(Flag.LAST)
_MARK = int(Flag.INVALID | Flag.GAP | Flag.LAST)
MAX_TEXT = 256
_TEXTS = (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()))
_INTEGERS = (pa.int64(), pa.int32(), pa.uint64(), pa.int8(), pa.uint32())
_TYPES: Mapping[str, tuple[pa.DataType, ...]] = {
    "timestamp": (pa.int64(), pa.timestamp("ns"), pa.timestamp("ns", "UTC")),
    "receipt_timestamp": (pa.int64(), pa.timestamp("ns"), pa.timestamp("ns", "UTC")),
    "sequence_number": _INTEGERS,
    "id": (*_INTEGERS, *_TEXTS),
    "side": _TEXTS,
    "side_is_bid": (pa.bool_(),),
}
_OTHERS = (
    pa.float64(),
    pa.float32(),
    pa.int64(),
    pa.bool_(),
    pa.string(),
    pa.binary(),
    pa.binary(8),
    pa.date32(),
    pa.timestamp("us"),
    pa.timestamp("ns"),
    pa.duration("ns"),
    pa.decimal128(20, 4),
    pa.list_(pa.float64()),
    pa.struct([("price", pa.float64())]),
    pa.dictionary(pa.int8(), pa.string()),
    pa.null(),
)
_NAMES = ("price.x", "timestamp", "origin_time", "", "a\x1b[2J", "element", "x" * 300)
_FLOATS = (0.01, 30000.1, 1e-8, 0.0, -0.0, -1.0, math.nan, math.inf, 0.005, 2.0**50, 1e300, 5e-324)
_IDS = (b"", b"7", b"123456789012345678", b"1234567890123456789", b"uuid-1", b"+5", b"5\n", b"\xff")
_SIDES = (b"buy", b"sell", b"buy", b"sell", b"BUY", b"", b"\xff\xfe", b"\x1b[2J", b"b" * 5000)
_DECODERS: Mapping[str, Callable[..., Any]] = {
    "trades": trades,
    "book": books,
    "book_delta_v2": deltas,
}


class Wrong(Exception):
    """No value can be right."""


def written(data: bytes) -> None:
    """A file as the choices make it: its rows by the rules, or an error where one breaks them."""
    choices = Choices(data)
    table, name = _table(choices)
    file = _file(choices, table)
    read = pq.ParquetFile(io.BytesIO(file))
    kinds = {field.name: _plain(field.type) for field in table.schema}
    if any(_plain(field.type) != kinds[field.name] for field in read.schema_arrow):
        try:
            table = read.read()  # a type that Parquet does not know has become another
        except pa.ArrowException:  # which cannot be read by Arrow either
            return _decoded(choices, name, file, ...)
    try:
        expected: Any = _expected(name, _rows(table, name))
    except Wrong:
        expected = None
    return _decoded(choices, name, file, expected)


def changed(data: bytes) -> None:
    """The same with bytes changed: what is decoded is what Arrow reads of that file."""
    choices = Choices(data)
    table, name = _table(choices)
    file = bytearray(_file(choices, table))
    for _ in range(1 + choices.below(4)):
        how, at = choices.below(4), choices.below(1 << 20)
        # the footer is small and tells most: half of the changes are there
        at = len(file) - 1 - at % min(len(file), 2048) if how & 1 else at % len(file)
        if how & 2:
            file[at] ^= 1 << choices.below(8)
        else:
            file[at] = choices.below(256)
    expected: Any = ...
    try:
        read = pq.ParquetFile(io.BytesIO(file), page_checksum_verification=True)
        if read.metadata.num_rows <= _TOO_MANY:
            rows = _rows(read.read(), name)
            expected = _expected(name, rows)
    except Wrong:
        expected = None
    except (OSError, ValueError, LobproofError, pa.ArrowException):
        pass
    _decoded(choices, name, bytes(file), expected, damaged=True)


def noise(data: bytes) -> None:
    """A file of any bytes, and any tail of an object."""
    size = footer_size(data)
    found_unless(size is None or size >= 8, f"a footer of {size} bytes")
    rows_of(data)
    for name in TABLES:
        _decoded(Choices(b""), name, data, ...)


def _decoded(
    choices: Choices, name: str, file: bytes, expected: Any, damaged: bool = False
) -> None:
    """Decode a file, and hold it against what is expected: ``None`` an error, ``...`` either.

    A damaged one may be an error in any case.
    """
    batch_rows, start = 1 + choices.below(40), 0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "1.parquet"
        path.write_bytes(file)
        footer = read_footer(path, name)
        in_order([path, path] if batch_rows % 4 == 0 else [path])
        try:
            lake = LakeFile(name, path)
            for raw in COLUMNS[name]:
                lake.maybe(raw, lambda least, _: least <= 0)
            lake.close()
            found_unless(footer is not None, "a file without a footer is opened")
            read = list(_DECODERS[name]([path], _INSTRUMENT, batch_rows))
            if read:
                start = read[choices.below(len(read))].next_row
            later = list(_DECODERS[name]([path], _INSTRUMENT, batch_rows, start_row=start))
        except LobproofError as error:
            found_unless(bool(error.hint), error.message)
            found_unless(len(error.message) < 1000, f"{len(error.message)} characters of error")
            found_unless(error.message.isprintable(), f"{error.message!r}")
            rightly = damaged or expected is None or expected is ...
            found_unless(rightly, f"{error.message}: {expected}")
            return
    found_unless(expected is not None, f"rows of {name} that no rule allows are read")
    rows = [row for one in read for row in _tuples(one.batch)]
    if expected is not ...:
        found_unless(rows == expected, f"{rows}, not {expected}")
    if read:
        rest = [row for one in later for row in _tuples(one.batch)]
        found_unless(rest == rows[start:], f"from row {start}: {rest}, not {rows[start:]}")
        found_unless(read[-1].next_row == len(rows), f"{read[-1].next_row} of {len(rows)}")


def _tuples(batch: EventBatch | VendorBatch) -> list[tuple[Any, ...]]:
    if isinstance(batch, VendorBatch):
        columns = [batch.ts_event, batch.ts_recv, batch.sequence]
        levels = [tuple(row) for row in batch.levels.tolist()]
        return list(zip(*(column.tolist() for column in columns), levels, strict=True))
    ids = (batch.ts_event, batch.ts_recv, batch.sequence, batch.prev_sequence, batch.kind)
    values = (batch.side, batch.price, batch.size, batch.flags)
    return list(zip(*(column.tolist() for column in (*ids, *values)), strict=True))


# what is expected --------------------------------------------------------------------------------


def _rows(table: pa.Table, name: str) -> list[dict[str, Any]]:
    """The rows by raw names; Wrong where the schema is not the table's."""
    if len(set(table.schema.names)) != len(table.schema.names):
        raise Wrong
    columns = {}
    for raw in COLUMNS[name]:
        both = {raw, ALIASES[name].get(raw, raw)} & set(table.schema.names)
        if len(both) != 1:
            raise Wrong
        column = table.column(both.pop())
        kind, plain = column.type, _plain(column.type)
        good = kind in _TYPES.get(raw, (pa.float64(),))
        good |= raw in ("id", "side") and plain in (pa.string(), pa.large_string())
        good |= raw in ("id", "sequence_number") and pa.types.is_integer(kind)
        if not good:
            raise Wrong
        if plain in (pa.string(), pa.large_string()):
            texts = [text for chunk in column.chunks for text in _bytes(chunk)]
            columns[raw] = texts
            continue
        if pa.types.is_timestamp(kind):
            column = column.cast(pa.int64())
        columns[raw] = column.to_pylist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _bytes(column: pa.Array) -> list[bytes | None]:
    """The texts of a column as bytes, whatever they are; Wrong for one that is no text."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary.take(column.indices)
    large = pa.types.is_large_string(column.type)
    texts: list[bytes | None] = column.view(pa.large_binary() if large else pa.binary()).to_pylist()
    for text in texts:
        try:
            (text or b"").decode("utf-8")
        except UnicodeDecodeError:
            raise Wrong from None
        if len(text or b"") > MAX_TEXT:
            raise Wrong
    return texts


def _expected(name: str, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    if name == "trades":
        return [_trade(row, number) for number, row in enumerate(rows)]
    if name == "book":
        return [_book(row) for row in rows]
    return _messages(rows)


def _messages(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Rows of one number are a message; one whose halves are the same is two."""
    told, last = [], -1
    for row in rows:
        last = last if row["sequence_number"] is None else _int64(row["sequence_number"])
        told.append((last, row))
    made = [_delta(row, sequence, number) for number, (sequence, row) in enumerate(told)]
    out: list[tuple[Any, ...]] = []
    for _, group in groupby(made, key=lambda one: one[2]):
        message = list(group)
        half, odd = divmod(len(message), 2)
        twice = not odd and [m[5:] for m in message[:half]] == [m[5:] for m in message[half:]]
        for part in (message[:half], message[half:]) if twice else (message,):
            levels = [one for one in part if one[4] == Kind.DELTA]
            out += [(*one, _MARK) for one in part if one[4] == Kind.MARK]
            out += [(*one, _LAST * (one is levels[-1])) for one in levels]
    return out


def _delta(row: dict[str, Any], sequence: int, number: int) -> tuple[Any, ...]:
    nothing = None in (row["sequence_number"], row["side_is_bid"])
    if nothing or _is_none(row["price"], above=0.0) or _is_none(row["size"]):
        return (*_times(row), sequence, number, int(Kind.MARK), 0, 0, 0)
    side = 1 if row["side_is_bid"] else 2
    level = side, _count(row["price"], 0), _count(row["size"], 1)
    return (*_times(row), sequence, -1, int(Kind.DELTA), *level)


def _trade(row: dict[str, Any], place: int) -> tuple[Any, ...]:
    number = row["id"]
    if number is None or number == b"":
        number = -1
    elif isinstance(number, bytes):
        number = int(number) if re.fullmatch(rb"[0-9]{1,18}", number) else _Text(number)
    else:
        number = _int64(number)
    sides = {b"buy": 1, b"sell": 2}
    nothing = row["side"] not in sides
    if nothing or any(_is_none(row[name], above=0.0) for name in ("price", "amount")):
        flags = int(Flag.INVALID | Flag.TRADES | Flag.LAST)
        return (*_times(row), -1, place, int(Kind.MARK), 0, 0, 0, flags)
    values = sides[row["side"]], _count(row["price"], 0), _count(row["amount"], 1)
    return (*_times(row), number, -1, int(Kind.TRADE), *values, _LAST)


def _is_none(value: float | None, above: float = -1.0) -> bool:
    """Whether a value is no price or size of a market: nothing below 0 is."""
    return value is None or not math.isfinite(value) or value < 0 or value <= above


class _Text:
    """Any number that stands for a text."""

    def __init__(self, text: bytes) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and other >= UNORDERED

    def __hash__(self) -> int:
        return 0


def _book(row: dict[str, Any]) -> tuple[Any, ...]:
    levels: list[int] = []
    for slot in range(0, len(LEVEL_COLUMNS), 2):
        price, size = (row[LEVEL_COLUMNS[slot + k]] for k in (0, 1))
        if any(value is None or value == 0 or math.isnan(value) for value in (price, size)):
            levels += [0, 0]
        elif _is_none(price) or _is_none(size):
            levels += [0, 1]  # half a level: no book
        else:
            levels += [_count(price, 0), _count(size, 1)]
    number = row["sequence_number"]
    return (*_times(row), -1 if number is None else _int64(number), tuple(levels))


def _times(row: dict[str, Any]) -> tuple[int, int]:
    sent, received = (row[name] or 0 for name in ("timestamp", "receipt_timestamp"))
    return _microsecond(sent), _microsecond(received)


def _microsecond(time: int) -> int:
    nearest = (time + 500) // 1000 * 1000
    return 0 if time <= 0 else nearest if nearest <= 2**63 - 1 else time // 1000 * 1000


def _int64(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise Wrong
    return value


def _count(value: float | None, which: int) -> int:
    count = None if value is None else float_count(value, EXPONENTS[which])
    if count is None:
        raise Wrong
    return count


# what is written ---------------------------------------------------------------------------------


def _table(choices: Choices) -> tuple[pa.Table, str]:
    """A table of any rows whose schema is mostly as it should be."""
    name = choices.pick(TABLES)
    size = choices.below(_MAX_ROWS)
    tame = choices.below(4) > 0  # else anything at all
    plain = choices.below(2) == 0
    fields, columns = [], []
    for raw in COLUMNS[name]:
        alias = ALIASES[name].get(raw, raw) if choices.below(8) == 1 else raw
        kind = _TYPES.get(raw, (pa.float64(),))[0]
        if not plain and raw not in LEVEL_COLUMNS:
            kind = choices.pick(_TYPES.get(raw, (pa.float64(),)))
            if not tame and choices.below(8) == 1:
                kind = choices.pick(_OTHERS)
        if not tame and choices.below(32) == 1:
            continue
        fields.append((alias, kind))
        columns.append(_column(choices, raw, kind, size, tame))
    for _ in range(0 if plain else choices.below(3)):
        kind = choices.pick(_OTHERS)
        fields.append((choices.pick(_NAMES), kind))
        columns.append(_column(choices, "", kind, size, tame))
    said = {b"provenance": choices.take(choices.below(6))} if not plain else {}
    schema = pa.schema(fields, metadata=said)
    return pa.Table.from_arrays(columns, schema=schema), name


def _column(choices: Choices, raw: str, kind: pa.DataType, size: int, tame: bool) -> pa.Array:
    seed = choices.below(1 << 32)
    rng = np.random.default_rng(seed)
    odd = 0.0 if tame and seed % 3 else 0.1
    nulls = rng.random(size) < (odd if seed % 5 else 0)
    values: list[Any]
    if pa.types.is_floating(kind):
        plain = np.round(rng.integers(1, 10**7, size) / 100, 2)
        drawn = rng.random(size) < odd
        values = [
            _FLOATS[int(rng.integers(len(_FLOATS)))] if strange else float(value)
            for value, strange in zip(plain, drawn, strict=True)
        ]
    elif pa.types.is_boolean(kind):
        values = (rng.random(size) < 0.5).tolist()
    elif pa.types.is_integer(kind):
        width = kind.bit_width - (not str(kind).startswith("u"))
        low, high = (0, 20) if seed % 7 else (0, min(2**width - 1, 2**64 - 1))
        values = [int(value) for value in rng.integers(low, high, size, np.uint64, endpoint=True)]
        values.sort()
    elif pa.types.is_timestamp(kind):
        values = rng.integers(-(10**6), 1 << 62, size).tolist()
    elif pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        options: tuple[bytes, ...] = _SIDES if raw == "side" else _IDS
        options = options if odd else options[:2]
        texts = [options[int(rng.integers(len(options)))] for _ in range(size)]
        return _text([None if null else t for t, null in zip(texts, nulls, strict=True)], kind)
    else:
        return pa.nulls(size, kind)
    filled = [None if null else value for value, null in zip(values, nulls, strict=True)]
    return pa.array(filled, kind)


def _text(texts: list[bytes | None], kind: pa.DataType) -> pa.Array:
    """Text that may be no UTF-8, as a file's may be."""
    plain = _plain(kind)
    large = pa.types.is_large_string(plain)
    raw = pa.array(texts, pa.large_binary() if large else pa.binary())
    array = pa.Array.from_buffers(plain, len(raw), raw.buffers())
    return array.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else array


def _file(choices: Choices, table: pa.Table) -> bytes:
    """The table as Parquet, written in one of many ways."""
    sink = io.BytesIO()
    if choices.below(2) == 0:
        pq.write_table(table, sink, compression="snappy", row_group_size=10)
        return sink.getvalue()
    pq.write_table(
        table,
        sink,
        row_group_size=1 + choices.below(70),
        compression=choices.pick(("snappy", "none", "zstd", "gzip", "lz4", "brotli")),
        use_dictionary=choices.below(2) == 1,
        write_statistics=choices.below(2) == 1,
        data_page_size=choices.pick((1 << 20, 64, 8)),
        data_page_version=choices.pick(("1.0", "2.0")),
        write_page_checksum=choices.below(2) == 1,
        store_schema=choices.below(2) == 0,
        use_deprecated_int96_timestamps=choices.below(8) == 1,
        write_page_index=choices.below(2) == 1,
    )
    return sink.getvalue()


def seeds() -> Iterator[bytes]:
    """Choices: each table plain, odd, and in each way of writing."""
    rng = np.random.default_rng(1)
    for table in range(len(TABLES)):
        for tame in (0, 1):
            for plain in (0, 1):
                head = bytes([table, 12, tame, plain])
                yield head
                for _ in range(3):
                    yield head + rng.bytes(500)


def noise_seeds() -> Iterator[bytes]:
    """Whole files: the simulator's, and their tails."""
    with TemporaryDirectory() as folder:
        simulate(Path(folder) / "sim", minutes=0.01, seed=3, recording=False, lake=True)
        for path in sorted(Path(folder).rglob("*.parquet")):
            data = path.read_bytes()
            yield data
            yield data[-1000:]
    yield b"PAR1" + bytes(4) + b"PAR1"

"""Crypto Lake's files to batches: rows, messages, times, faults, any cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.errors import GridError, InputError, UsageError
from lobproof.instruments import Instrument
from lobproof.replay.integrity_kernels import VERDICT, judge_book, message_ends, new_book_ids
from lobproof.replay.vendor_kernels import levels_listed
from lobproof.schema import LEVELS, UNORDERED, EventBatch, Flag, Kind, Side
from lobproof.sources.cryptolake import decode
from lobproof.sources.cryptolake.decode import Decoded, books, deltas, trades
from lobproof.sources.cryptolake.decode_kernels import to_microsecond
from lobproof.sources.cryptolake.layout import LEVEL_COLUMNS
from lobproof.sources.cryptolake.write import SCHEMAS
from lobproof.sources.simulator import Imperfections, LakeConfig, simulate
from support import lake_files

pytestmark = pytest.mark.kernels

GRID = Instrument.given("BINANCE", "SIM-USDT", "SIM-USDT", [(0, "0.01", "0.00001")])
NS = 1_767_571_200_033_000_000
Row = tuple[int, int, int, bool, float, float]
Decoder = Callable[..., Generator[Decoded[Any]]]


def delta(sequence: int, price: float = 60_000.0, size: float = 1.0, bid: bool = True) -> Row:
    return NS, NS + 4_000_000, sequence, bid, price, size


def write(path: Path, rows: list[Any], table: str = "book_delta_v2", group: int = 3) -> Path:
    schema = SCHEMAS[table]
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [[] for _ in schema]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, row_group_size=group)
    return path


def joined(decoded: Iterator[Decoded[Any]]) -> Any:
    return type(batches[0]).concat(batches) if (batches := [d.batch for d in decoded]) else None


def plain(rows: list[Row]) -> list[tuple[int, ...]]:
    """What deltas are to give, row by row in plain Python."""
    out: list[tuple[int, ...]] = []
    for sequence, group in groupby(rows, key=lambda row: row[2]):
        message = list(group)
        ends = {len(message) - 1}
        half, odd = divmod(len(message), 2)
        if not odd and [m[3:] for m in message[:half]] == [m[3:] for m in message[half:]]:
            ends.add(half - 1)
        for at, (event, recv, _, bid, price, size) in enumerate(message):
            times = [0 if t is None or t <= 0 else (t + 500) // 1000 * 1000 for t in (event, recv)]
            counts = round(price * 100), round(size * 100_000)
            side = Side.BID if bid else Side.ASK
            flags = Flag.LAST if at in ends else 0
            out.append((0, *times, sequence, -1, Kind.DELTA, side, *counts, flags))
    return out


def listed(batch: EventBatch | None) -> list[tuple[int, ...]]:
    if batch is None:
        return []
    columns = [getattr(batch, name) for name in EventBatch.__slots__]
    return list(zip(*(column.tolist() for column in columns), strict=True))


levels = st.tuples(
    st.sampled_from([NS, NS + 1_499, NS - 64, 0, -1, None]),
    st.sampled_from([NS + 4_000_000, None]),
    st.booleans(),
    st.integers(1, 9_999_999).map(lambda count: count / 100),
    st.integers(0, 9_999_999).map(lambda count: count / 100_000),
)
messages = st.lists(st.tuples(st.lists(levels, min_size=1, max_size=5), st.integers(0, 2)))


def rows_of(made: list[tuple[list[Any], int]]) -> list[Row]:
    """Messages with rising sequences; 1: there twice, 2: the sequence of the one before."""
    rows: list[Row] = []
    sequence = 7
    for message, kind in made:
        sequence += 0 if kind == 2 else 13
        for event, recv, *level in message * (2 if kind == 1 else 1):
            rows.append((event, recv, sequence, *level))
    return rows


@given(messages, st.integers(1, 9), st.integers(1, 9), st.integers(0, 40), st.data())
def test_rows_are_the_same_however_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[tuple[list[Any], int]],
    group: int,
    batch_rows: int,
    split: int,
    data: st.DataObject,
) -> None:
    rows = rows_of(made)
    folder = tmp_path_factory.mktemp("cut")
    paths = [
        write(folder / f"{name}.parquet", part, group=group)
        for name, part in enumerate((rows[:split], rows[split:]))
    ]
    found = list(deltas(paths, GRID, batch_rows))
    assert listed(joined(iter(found))) == plain(rows)
    assert [d.next_row for d in found] == np.cumsum([len(d.batch) for d in found]).tolist()
    for one in found[:-1]:
        assert len(one.batch) >= batch_rows
        assert one.batch.flags[-1] == Flag.LAST
    if found:
        start = data.draw(st.sampled_from(found)).next_row
        rest = deltas(paths, GRID, data.draw(st.integers(1, 9)), start_row=start)
        assert listed(joined(rest)) == plain(rows)[start:]


@given(st.integers(1, 4_102_444_800_000_000))
def test_float_seconds_give_the_microsecond_again(microseconds: int) -> None:
    assert to_microsecond(int(microseconds / 1e6 * 1e9)) == microseconds * 1000


@pytest.mark.parametrize("time", [0, -1, -1500, -(2**63)])
def test_what_is_no_time_is_missing(time: int) -> None:
    assert to_microsecond(time) == 0


def test_the_latest_time_stays_an_int64() -> None:
    assert to_microsecond(2**63 - 1) == (2**63 - 1) // 1000 * 1000


def test_a_message_longer_than_any_batch_stays_whole(tmp_path: Path) -> None:
    rows = [delta(5, (100 + row) / 100) for row in range(20_000)] + [delta(6)]
    path = write(tmp_path / "1.parquet", rows, group=700)
    found = list(deltas([path], GRID, 10))
    assert [len(one.batch) for one in found] == [20_000, 1]
    assert np.flatnonzero(found[0].batch.flags).tolist() == [19_999]


def test_a_message_that_does_not_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "MESSAGE_ROWS", 20)
    path = write(tmp_path / "1.parquet", [delta(5, 1.0 + row) for row in range(20)] + [delta(6)])
    assert [len(one.batch) for one in deltas([path], GRID, 3)] == [20, 1]
    path = write(tmp_path / "2.parquet", [delta(5, 1.0 + row) for row in range(21)])
    for batch_rows in (3, 100_000):
        with pytest.raises(InputError, match=r"2\.parquet, row 20: more than 20 rows of one"):
            list(deltas([path], GRID, batch_rows))


def test_the_audit_knows_a_message_that_is_there_twice(tmp_path: Path) -> None:
    once = [delta(5, 1.0), delta(5, 2.0, bid=False)]
    batch = joined(deltas([write(tmp_path / "1.parquet", [delta(4), *once, *once])], GRID))
    ends, verdicts = np.zeros(5, np.int64), np.zeros(5, VERDICT)
    count = message_ends(batch.flags, ends)
    judge_book(new_book_ids()[0], ends[:count], batch.rows, verdicts)
    assert verdicts["collapse"][:count].tolist() == [0, 0, Flag.DUPLICATE]


def test_a_message_that_is_there_twice_is_two(tmp_path: Path) -> None:
    once = [delta(5, 1.0), delta(5, 2.0, bid=False)]
    almost = [delta(6, 1.0), delta(6, 2.0), delta(6, 1.0), delta(6, 2.01)]
    path = write(tmp_path / "1.parquet", [*once, *once, *almost, delta(7), delta(7)])
    batch = joined(deltas([path], GRID))
    assert np.flatnonzero(batch.flags).tolist() == [1, 3, 7, 8, 9]


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("lakeapi", [False, True])
@pytest.mark.parametrize("decoder", [deltas, trades, books])
def test_every_name_and_type_gives_the_same(
    tmp_path: Path, decoder: Decoder, lakeapi: bool, typed: bool
) -> None:
    table = {deltas: "book_delta_v2", trades: "trades", books: "book"}[decoder]
    columns = lake_files.cut(lake_files.MAKERS[table](), 200, lake_files.ROWS)
    usual = lake_files.write(tmp_path / "usual.parquet", table, columns, group_rows=64)
    other = lake_files.write(
        tmp_path / "other.parquet", table, columns, lakeapi=lakeapi, typed=typed
    )
    assert_equal(joined(decoder([other], GRID)), joined(decoder([usual], GRID)))


def assert_equal(one: Any, other: Any) -> None:
    for name in type(one).__slots__:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


X, Y = 20328598967190697, 11823354180864760
"""What the texts "x" and "y" become, for ever: stores hold them."""
TRADES = [
    ("buy", 0.5, 60_000.01, 11, NS, NS + 1),
    ("sell", 1e-5, 60_000.0, 12, 0, NS),
    ("buy", 2.0, 60_000.02, 14, -1, NS),
]


@pytest.mark.parametrize(
    "side",
    [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())],
    ids=["text", "large", "dictionary"],
)
@pytest.mark.parametrize(
    ("ids", "sequences"),
    [
        (pa.array([11, 12, 14]), [11, 12, 14]),
        (pa.array([11, None, 14], pa.int32()), [11, -1, 14]),
        (pa.array(["11", "x", None]), [11, UNORDERED + X, -1]),
        (pa.array(["x", "12", "y"], pa.large_string()), [UNORDERED + X, 12, UNORDERED + Y]),
        (pa.array(["y", "12", "x"]).dictionary_encode(), [UNORDERED + Y, 12, UNORDERED + X]),
        (pa.array(["11", "", "14"]).dictionary_encode(), [11, -1, 14]),
    ],
    ids=["integers", "null", "text", "large text", "text again", "dictionary"],
)
def test_trades(tmp_path: Path, side: pa.DataType, ids: pa.Array, sequences: list[int]) -> None:
    table = pa.Table.from_pylist(
        [dict(zip(SCHEMAS["trades"].names, row, strict=True)) for row in TRADES]
    )
    table = table.set_column(0, "side", table.column("side").cast(side))
    path = tmp_path / "1.parquet"
    pq.write_table(table.set_column(3, "id", ids), path)
    batch = joined(trades([path], GRID, 2))
    assert batch.side.tolist() == [Side.BUY, Side.SELL, Side.BUY]
    assert batch.sequence.tolist() == sequences
    assert batch.price.tolist() == [6_000_001, 6_000_000, 6_000_002]
    assert batch.size.tolist() == [50_000, 1, 200_000]
    assert batch.ts_event.tolist() == [NS, 0, 0]
    assert batch.ts_recv.tolist() == [NS, NS, NS]
    assert set(batch.prev_sequence.tolist()) == {-1}
    assert set(batch.kind.tolist()) == {Kind.TRADE}
    assert set(batch.flags.tolist()) == {Flag.LAST}


def book_row(**slots: float | None) -> tuple[Any, ...]:
    values: list[float | None] = [1.0 + k for k in range(len(LEVEL_COLUMNS))]
    for name, value in slots.items():
        values[LEVEL_COLUMNS.index(name)] = value
    return NS, NS, 5, *values


def test_slots_without_price_or_size_are_empty(tmp_path: Path) -> None:
    row = book_row(bid_3_price=None, bid_4_size=math.nan, ask_0_size=0.0, ask_19_price=0.0)
    batch = joined(books([write(tmp_path / "1.parquet", [row], "book")], GRID))
    expected = [(k + 1) * (100_000 if k % 2 else 100) for k in range(len(LEVEL_COLUMNS))]
    for slot in (3, 4, 20, 39):
        expected[2 * slot] = expected[2 * slot + 1] = 0
    assert batch.levels.tolist() == [expected]
    assert (batch.ts_order[0], batch.flags[0], batch.sequence[0]) == (0, 0, 5)


@pytest.mark.parametrize("decoder", [trades, books])
@pytest.mark.parametrize("batch_rows", [1, 7, 64, 100, 5_000])
def test_single_rows_may_be_cut_anywhere(tmp_path: Path, decoder: Decoder, batch_rows: int) -> None:
    table = {trades: "trades", books: "book"}[decoder]
    columns = lake_files.cut(lake_files.MAKERS[table](), 200, lake_files.ROWS)
    path = lake_files.write(tmp_path / "1.parquet", table, columns, group_rows=30)
    found = list(decoder([path, path], GRID, batch_rows))
    assert [len(one.batch) for one in found[:-1]] == [batch_rows] * (len(found) - 1)
    whole = joined(decoder([path, path], GRID))
    assert len(whole) == 400
    assert_equal(joined(iter(found)), whole)
    for one in found[:: max(len(found) // 9, 1)]:
        rest = joined(decoder([path, path], GRID, start_row=one.next_row))
        if rest is None:
            assert one.next_row == 400
        else:
            assert_equal(rest, whole.slice(one.next_row, 400))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("price", 1.001, "price '1.001' is finer than the grid of 10^-2"),
        ("price", 1e18, "price '1e+18' is too large"),
        ("size", 1.000001, "size '1.000001' is finer than the grid of 10^-5"),
    ],
)
def test_deltas_off_the_grid_are_named(tmp_path: Path, column: str, value: Any, words: str) -> None:
    place = SCHEMAS["book_delta_v2"].names.index(column)
    good = [delta(row, 1 + row) for row in range(11)]
    bad = list(good[7])
    bad[place] = value
    paths = [
        write(tmp_path / "1.parquet", good),
        write(tmp_path / "2.parquet", [*good[:7], tuple(bad), *good[8:]]),
    ]
    with pytest.raises(GridError) as error:
        list(deltas(paths, GRID))
    assert f"2.parquet, row 7: {words}" in error.value.message
    with pytest.raises(GridError) as error:
        list(deltas(paths, GRID, 4, start_row=14))
    assert f"2.parquet, row 7: {words}" in error.value.message


NO_LEVELS: list[tuple[str, Any]] = [
    ("sequence_number", None),
    ("side_is_bid", None),
    ("price", None),
    ("size", None),
    ("price", math.nan),
    ("price", math.inf),
    ("price", 0.0),
    ("price", -1.0),
    ("size", math.nan),
    ("size", -math.inf),
    ("size", -1.0),
]


@given(
    rows=st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 5), st.sampled_from([None] * 9 + NO_LEVELS)),
        max_size=60,
    ),
    batch_rows=st.integers(1, 30),
    split=st.integers(0, 60),
    chunk_rows=st.integers(1, 30),
)
def test_rows_that_hold_no_level_are_marks_before_their_message(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, int, tuple[str, Any] | None]],
    batch_rows: int,
    split: int,
    chunk_rows: int,
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    names = SCHEMAS["book_delta_v2"].names
    stored: list[Any] = []
    messages: list[tuple[int, list[int], list[Row]]] = []  # id, unreadable rows, the others
    for number, (sequence, price, wrong) in enumerate(rows):
        row = delta(sequence, float(price), float(number + 1))
        told = None if wrong == ("sequence_number", None) else sequence
        if told is None:  # it goes with the row before it
            sequence = messages[-1][0] if messages else -1
        if not messages or messages[-1][0] != sequence:
            messages.append((sequence, [], []))
        if wrong is None:
            messages[-1][2].append(row)
            stored.append(row)
        else:
            messages[-1][1].append(number)
            stored.append(
                tuple(wrong[1] if n == wrong[0] else v for n, v in zip(names, row, strict=True))
            )
    expected = []
    for sequence, unreadable, levels in messages:
        marks = Flag.INVALID | Flag.GAP | Flag.LAST
        times = plain([delta(1)])[0][1:3]
        expected += [
            (0, *times, sequence, row, Kind.MARK, Side.NONE, 0, 0, marks) for row in unreadable
        ]
        expected += plain(levels)
    split = min(split, len(stored))
    paths = [
        write(folder / f"{part}.parquet", part_rows, group=7)
        for part, part_rows in enumerate((stored[:split], stored[split:]))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "CHUNK_ROWS", chunk_rows)
        found = list(deltas(paths, GRID, batch_rows))
        assert listed(joined(iter(found))) == expected
        for one in found:
            rest = listed(joined(deltas(paths, GRID, batch_rows, start_row=one.next_row)))
            assert rest == expected[one.next_row :]


@pytest.mark.parametrize("value", [1.001, 1e18])
def test_a_row_without_a_level_hides_no_value_off_the_grid(tmp_path: Path, value: float) -> None:
    rows = [delta(1), delta(2, -1.0), delta(2, value), delta(3, value, math.nan)]
    with pytest.raises(GridError, match=r"row 2: price"):
        list(deltas([write(tmp_path / "1.parquet", rows)], GRID))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, None),
        (0, "BUY"),
        (1, 0.0),
        (1, None),
        (1, -1.0),
        (2, -1.0),
        (2, math.nan),
        (2, math.inf),
        (2, None),
    ],
)
def test_rows_that_are_no_trade_are_marks(tmp_path: Path, place: int, value: Any) -> None:
    bad = list(TRADES[1])
    bad[place] = value
    rows = [*TRADES, tuple(bad), TRADES[0]]
    path = write(tmp_path / "1.parquet", rows, "trades")
    whole = joined(trades([path], GRID))
    good = joined(trades([write(tmp_path / "2.parquet", [*TRADES, *TRADES[:2]], "trades")], GRID))
    assert listed(whole.slice(0, 3)) == listed(good.slice(0, 3))
    assert listed(whole.slice(4, 5)) == listed(joined(iter(trades([path], GRID, start_row=4))))
    times = listed(good)[4][1:3]
    marks = Flag.INVALID | Flag.TRADES | Flag.LAST
    assert listed(whole)[3] == (0, *times, -1, 3, Kind.MARK, Side.NONE, 0, 0, marks)
    for start in (2, 3):
        rest = joined(trades([path], GRID, 1, start_row=start))
        assert listed(rest) == listed(whole)[start:]


def test_trades_off_the_grid_are_named(tmp_path: Path) -> None:
    bad = (*TRADES[1][:1], 1.000001, *TRADES[1][2:])
    path = write(tmp_path / "1.parquet", [*TRADES, bad], "trades")
    with pytest.raises(GridError, match=r"/1\.parquet, row 3: amount '1\.000001' is finer"):
        list(trades([path], GRID))


def test_books_off_the_grid_are_named(tmp_path: Path) -> None:
    rows = [book_row(), book_row(ask_1_price=1.001), book_row(bid_0_price=1.001)]
    with pytest.raises(GridError, match=r"/1\.parquet, row 1: ask_1_price '1\.001' is finer"):
        list(books([write(tmp_path / "1.parquet", rows, "book")], GRID))


@pytest.mark.parametrize(
    ("name", "value"),
    [("bid_2_price", -1.0), ("ask_19_size", -1.0), ("ask_19_size", math.inf)],
)
def test_a_row_of_book_with_a_bad_value_cannot_be_a_book(
    tmp_path: Path, name: str, value: float
) -> None:
    rows = [book_row(), book_row(**{name: value})]
    batch = joined(books([write(tmp_path / "1.parquet", rows, "book")], GRID))
    levels = batch.levels.reshape(2, 2, LEVELS, 2)
    half = np.argwhere((levels[..., 0] == 0) & (levels[..., 1] > 0))
    side, slot = int(name.startswith("ask")), int(name.split("_")[1])
    assert half.tolist() == [[1, side, slot]]
    assert levels_listed(levels[1], 1 + side) == -1


def test_a_row_of_book_without_a_sequence_has_the_id_of_none(tmp_path: Path) -> None:
    rows = [book_row(), (NS, NS, None, *book_row()[3:])]
    batch = joined(books([write(tmp_path / "1.parquet", rows, "book")], GRID))
    assert batch.sequence[1] == -1


def test_damaged_files_are_named(tmp_path: Path) -> None:
    whole = write(tmp_path / "1.parquet", [delta(row, 1 + row) for row in range(5_000)], group=500)
    data = whole.read_bytes()
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(data[:-100])
    with pytest.raises(
        InputError, match=r"/cut\.parquet cannot be read as a Parquet file: it does not end as one"
    ):
        list(deltas([cut], GRID))
    hole = tmp_path / "hole.parquet"
    start = pq.read_metadata(whole).row_group(6).column(4).data_page_offset
    hole.write_bytes(data[:start] + b"\xff" * 200 + data[start + 200 :])
    found = deltas([hole], GRID, 100)
    with pytest.raises(InputError, match=r"hole\.parquet cannot be read from row \d+ on"):
        list(found)
    with pytest.raises(InputError, match=r"gone\.parquet"):
        list(deltas([tmp_path / "gone.parquet"], GRID))


def test_other_tables_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "1.parquet", TRADES, "trades")
    with pytest.raises(InputError, match=r"1\.parquet: book_delta_v2 has no column"):
        list(deltas([path], GRID))
    table = pq.read_table(path)
    typed = table.set_column(2, "price", table.column("price").cast(pa.float32()))
    pq.write_table(typed, path)
    with pytest.raises(InputError, match=r"1\.parquet: price is float, and not float64"):
        list(trades([path], GRID))
    pq.write_table(table.rename_columns(["side", "amount", "price", "id", "id", "x"]), path)
    with pytest.raises(InputError, match=r"1\.parquet: trades has two columns with the name 'id'"):
        list(trades([path], GRID))
    ids = pa.array([1, 2, 2**63], pa.uint64())
    pq.write_table(table.set_column(3, "id", ids), path)
    with pytest.raises(InputError, match=r"1\.parquet, row 0 or a later one: .*not in range"):
        list(trades([path], GRID))


@pytest.mark.parametrize("decoder", [deltas, trades, books])
def test_an_empty_table_has_no_batches(tmp_path: Path, decoder: Decoder) -> None:
    table = {deltas: "book_delta_v2", trades: "trades", books: "book"}[decoder]
    path = write(tmp_path / "1.parquet", [], table)
    assert list(decoder([path], GRID)) == []
    assert list(decoder([], GRID)) == []
    with pytest.raises(InputError, match="has 0 rows, and not the 5"):
        list(decoder([path], GRID, start_row=5))


@pytest.mark.parametrize("decoder", [deltas, trades, books])
def test_what_cannot_be_asked_for(decoder: Decoder) -> None:
    with pytest.raises(UsageError, match="batches of 0 rows"):
        decoder([], GRID, 0)
    with pytest.raises(UsageError, match="a start at row -1"):
        decoder([], GRID, start_row=-1)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """A minute of a simulated market with missing stamps, by table."""
    wrong = Imperfections(lake=LakeConfig(missing_share=0.05))
    folder = tmp_path_factory.mktemp("simulated") / "day"
    made = simulate(
        folder, preset="btc", minutes=1.0, recording=False, lake=True, imperfections=wrong
    )
    assert made.lake is not None
    return {table: sorted((made.lake / table).rglob("*.parquet")) for table in SCHEMAS}


@pytest.mark.compiled
def test_a_simulated_day_is_what_its_tables_say(simulated: dict[str, list[Path]]) -> None:
    def times(name: str) -> pl.Expr:
        repaired = (pl.col(name) + 500) // 1000 * 1000
        return pl.when(pl.col(name) > 0).then(repaired).otherwise(0)

    def check(batch: Any, rows: pl.DataFrame, **columns: pl.Expr) -> None:
        assert len(batch) == len(rows) > 100
        shared = {"ts_event": times("timestamp"), "ts_recv": times("receipt_timestamp")}
        for name, column in (shared | columns).items():
            told = rows.select(column.cast(pl.Int64)).to_series()
            assert np.array_equal(getattr(batch, name), told.to_numpy()), name

    changed = pl.col("sequence_number") != pl.col("sequence_number").shift(-1)
    rows = pl.read_parquet(simulated["book_delta_v2"])
    check(
        joined(deltas(simulated["book_delta_v2"], GRID, 1_000)),
        rows,
        sequence=pl.col("sequence_number"),
        side=pl.when("side_is_bid").then(1).otherwise(2),
        price=(pl.col("price") * 100).round(),
        size=(pl.col("size") * 100_000).round(),
        flags=changed.fill_null(True),
    )
    assert (rows["timestamp"] <= 0).any()
    check(
        joined(trades(simulated["trades"], GRID, 1_000)),
        pl.read_parquet(simulated["trades"]),
        sequence=pl.col("id"),
        side=pl.when(pl.col("side") == "buy").then(1).otherwise(2),
        price=(pl.col("price") * 100).round(),
        size=(pl.col("amount") * 100_000).round(),
    )
    rows = pl.read_parquet(simulated["book"])
    batch = joined(books(simulated["book"], GRID))
    check(batch, rows, sequence=pl.col("sequence_number"))
    scales = np.tile([100, 100_000], len(LEVEL_COLUMNS) // 2)
    told = np.rint(rows.select(LEVEL_COLUMNS).to_numpy() * scales)
    assert np.array_equal(batch.levels, told.astype(np.int64))

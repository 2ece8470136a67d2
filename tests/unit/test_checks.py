"""What a single file is judged by: each kind of bad data comes back with its own reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lobproof
from lobproof.acquire import rows
from lobproof.acquire.audits import Audit
from lobproof.acquire.checks.coverage import Clock, from_runs, runs
from lobproof.acquire.checks.flag_kernels import BITS, ROW_REASONS
from lobproof.acquire.checks.message_kernels import LARGEST
from lobproof.acquire.checks.reasons import DOUBT, NOTE, POLICY, REFUSE
from lobproof.acquire.checks.scan import scan
from lobproof.fixedpoint import MALFORMED, OFF_GRID, OK, OVERFLOW
from lobproof.fixedpoint.float_kernels import (
    float_decimals,
    float_to_count,
    floats_exponent,
    floats_to_counts,
)
from lobproof.instruments import Instrument
from support import lake_files as tables
from support.acquired import key
from support.lake_files import ROWS, START, Columns, put

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
NOISE = float(np.nextafter(60_000.23, 1e9))
"""A price that went through arithmetic."""


def judged(
    tmp_path: Path,
    table: str,
    columns: Columns,
    instrument: Instrument | None = None,
    **options: Any,
) -> Audit:
    path = tables.write(tmp_path / "file.parquet", table, columns, **options)
    return Audit.of(key(table), scan(path, key(table), instrument=instrument))


def given(tick: str, lot: str, *later: tuple[int, str, str], exponents: int = 8) -> Instrument:
    return Instrument.given(
        "BINANCE",
        "SIM-USDT",
        "SIMUSDT",
        [(0, tick, lot), *later],
        price_exponent=exponents,
        size_exponent=exponents,
    )


# -- whole files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("table", tables.MAKERS)
@pytest.mark.parametrize("lakeapi", [False, True])
@pytest.mark.parametrize("typed", [False, True])
def test_a_good_day_has_no_reason_under_either_naming_and_time_type(
    tmp_path: Path, table: str, lakeapi: bool, typed: bool
) -> None:
    audit = judged(tmp_path, table, tables.MAKERS[table](), lakeapi=lakeapi, typed=typed)
    assert audit.reasons == {}
    assert audit.verdict == "good"
    assert audit.document["naming"] == ("lakeapi" if lakeapi else "raw")
    assert audit.document["types"]["timestamp"] == ("timestamp[ns]" if typed else "int64")
    assert audit.document["rows"] == ROWS
    assert audit.document["grid"]["price_exponent"] == 2
    assert audit.document["grid"]["size_exponent"] == 5
    assert audit.document["grid"]["ticks"] == ["0.01"]
    assert audit.document["grid"]["lots"] == ["0.00001"]
    coverage = audit.coverage
    assert coverage is not None
    assert coverage["minutes"] in ([[0, 1439]], [[m, m] for m in range(0, 1440, 4)]) or (
        table == "book_delta_v2" and coverage["minutes_present"] == 1080
    )
    assert coverage["first_ns"] == START


def test_an_audit_is_the_same_whatever_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = put(put(tables.deltas(), "price", 1_500, -1.0), "sequence_number", 2_000, 3)
    path = tables.write(tmp_path / "file.parquet", "book_delta_v2", columns)
    whole = Audit.of(key("book_delta_v2"), scan(path, key("book_delta_v2")))
    monkeypatch.setattr(rows, "BATCH_ROWS", 7)
    assert Audit.of(key("book_delta_v2"), scan(path, key("book_delta_v2"))).data == whole.data
    assert set(whole.reasons) >= {"bad-price", "sequence-backward"}


def _trade(name: str, row: int, value: Any) -> Callable[[], tuple[str, Columns]]:
    return lambda: ("trades", put(tables.trades(), name, row, value))


def _delta(name: str, row: int, value: Any) -> Callable[[], tuple[str, Columns]]:
    return lambda: ("book_delta_v2", put(tables.deltas(), name, row, value))


def _book(name: str, row: int, value: Any) -> Callable[[], tuple[str, Columns]]:
    return lambda: ("book", put(tables.book(), name, row, value))


def _delta_copies(source: int, row: int, *names: str) -> Callable[[], tuple[str, Columns]]:
    """The values of one delta in another row of its message."""

    def make() -> tuple[str, Columns]:
        columns = tables.deltas()
        for name in names:
            columns = put(columns, name, row, columns[name][source])
        return "book_delta_v2", columns

    return make


def _moved_message() -> tuple[str, Columns]:
    """Two rows of the message of rows 40 to 43 lie after the next message."""
    columns = tables.deltas()
    order = np.arange(ROWS)
    order[42:48] = [44, 45, 46, 47, 42, 43]
    return "book_delta_v2", {name: np.asarray(v)[order] for name, v in columns.items()}


def _one_side() -> tuple[str, Columns]:
    columns = tables.book()
    for level in range(20):
        for field in ("price", "size"):
            columns = put(columns, f"ask_{level}_{field}", 30, None)
    return "book", columns


BAD_ROWS: list[tuple[str, Callable[[], tuple[str, Columns]], list[int]]] = [
    ("null", _trade("price", 5, None), [5]),
    ("null", _trade("side", 5, None), [5]),
    ("null", _trade("id", 5, None), [5]),
    ("null", _delta("side_is_bid", 6, None), [6]),
    ("null", _delta("size", 6, None), [6]),
    ("not-finite", _trade("price", 7, float("nan")), [7]),
    ("not-finite", _trade("amount", 7, float("inf")), [7]),
    ("not-finite", _delta("price", 7, float("-inf")), [7]),
    ("not-finite", _book("bid_3_size", 7, float("nan")), [7]),
    ("bad-price", _trade("price", 8, 0.0), [8]),
    ("bad-price", _delta("price", 8, -60_000.0), [8]),
    ("bad-price", _book("ask_0_price", 8, -1.0), [8]),
    ("bad-size", _trade("amount", 9, 0.0), [9]),
    ("bad-size", _delta("size", 9, -0.5), [9]),
    ("bad-size", _book("bid_0_size", 9, 0.0), [9]),
    ("price-off-grid", _trade("price", 10, NOISE), [10]),
    ("price-off-grid", _delta("price", 10, 60_000.123456789), [10]),
    ("price-off-grid", _book("bid_0_price", 10, 60_000.123456789), [10]),
    ("size-off-grid", _delta("size", 11, 0.1 + 0.2), [11]),
    ("size-off-grid", _book("bid_0_size", 11, 0.1 + 0.2), [11]),
    ("off-tick", _delta("price", 12, 60_000.125), [12]),
    ("off-tick", _book("bid_19_price", 12, 59_000.125), [12]),
    ("off-lot", _trade("amount", 13, 0.000_015), [13]),
    ("off-lot", _book("ask_0_size", 13, 0.000_015), [13]),
    ("bad-side", _trade("side", 14, "BUY"), [14]),
    ("timestamp-missing", _trade("timestamp", 15, 0), [15]),
    ("timestamp-missing", _trade("timestamp", 15, -1), [15]),
    ("timestamp-missing", _book("timestamp", 15, None), [15]),
    ("receipt-missing", _trade("receipt_timestamp", 15, -1), [15]),
    ("timestamp-other-day", _trade("timestamp", 16, START - HOUR), [16]),
    ("timestamp-other-day", _trade("timestamp", 16, -5), [16]),
    ("receipt-other-day", _trade("receipt_timestamp", 16, START + DAY + HOUR), [16]),
    ("over-midnight", _trade("receipt_timestamp", ROWS - 1, START + DAY + 5), [ROWS - 1]),
    ("timestamp-backward", _trade("timestamp", 17, START + 5), [17]),
    ("receipt-backward", _book("receipt_timestamp", 17, START + 5), [17]),
    ("duplicate-id", _trade("id", 18, 5_000_000_017), [18]),
    ("duplicate-id", _trade("id", 3_000, 5_000_000_017), [3_000]),
    ("id-backward", _trade("id", 19, 4), [19]),
    ("duplicate-row", _delta_copies(40, 42, "price", "side_is_bid", "size"), [42]),
    ("level-twice", _delta_copies(40, 42, "price", "side_is_bid"), [42]),
    ("message-times", _delta("timestamp", 21, START + 401 * 10**9), [21]),
    ("message-times", _delta("receipt_timestamp", 21, START + 401 * 10**9), [21]),
    ("sequence-missing", _delta("sequence_number", 22, None), [22]),
    ("sequence-missing", _book("sequence_number", 22, 0), [22]),
    ("sequence-backward", _book("sequence_number", 23, 7), [23]),
    ("sequence-backward", _delta("sequence_number", 24, 7), [24]),
    ("message-apart", _moved_message, [46, 47]),
    ("message-apart", _book("sequence_number", 25, 1_000), [25]),
    ("duplicate-sequence", _book("sequence_number", 25, 1_000 + 24 * 17), [25]),
    ("crossed", _book("bid_0_price", 26, 60_100.0), [26]),
    ("crossed", _book("bid_0_price", 26, (6_000_001 + 26) / 1e2), [26]),
    ("unsorted", _book("bid_5_price", 27, 60_100.0), [27]),
    ("unsorted", _book("ask_5_price", 27, (6_000_001 + 27 + 4) / 1e2), [27]),
    ("level-hole", _book("ask_5_price", 28, None), [28]),
    (
        "level-hole",
        lambda: ("book", put(put(tables.book(), "bid_2_price", 28, 0.0), "bid_2_size", 28, 0.0)),
        [28],
    ),
    ("empty-side", _one_side, [30]),
]


@pytest.mark.parametrize(
    ("reason", "make", "rows"), BAD_ROWS, ids=[f"{i}-{r[0]}" for i, r in enumerate(BAD_ROWS)]
)
@pytest.mark.parametrize("lakeapi", [False, True])
def test_a_bad_row_comes_back_with_its_reason(
    tmp_path: Path,
    reason: str,
    make: Callable[[], tuple[str, Columns]],
    rows: list[int],
    lakeapi: bool,
) -> None:
    table, columns = make()
    audit = judged(tmp_path, table, columns, lakeapi=lakeapi, typed=lakeapi)
    found = audit.reasons
    assert found[reason]["count"] == len(rows)
    assert found[reason]["first_rows"] == rows
    assert found[reason]["severity"] == POLICY[reason].severity
    assert found[reason]["share"] == len(rows) / ROWS


def test_every_row_reason_but_the_rare_ones_is_made_above() -> None:
    # made in tests of their own, below
    elsewhere = {"overflow", "no-time", "message-size"}
    assert {reason for reason, _, _ in BAD_ROWS} | elsewhere == set(ROW_REASONS)
    assert set(ROW_REASONS) <= set(POLICY)


def test_no_time_at_all(tmp_path: Path) -> None:
    columns = put(put(tables.trades(), "timestamp", 9, 0), "receipt_timestamp", 9, None)
    audit = judged(tmp_path, "trades", columns)
    assert audit.reasons["no-time"]["first_rows"] == [9]
    stamps = audit.document["stamps"]
    assert (stamps["timestamp"]["zero"], stamps["receipt_timestamp"]["null"]) == (1, 1)


def test_a_row_without_exchange_time_counts_by_its_receipt(tmp_path: Path) -> None:
    columns = {**tables.trades(), "timestamp": np.zeros(ROWS, np.int64)}
    audit = judged(tmp_path, "trades", columns)
    assert audit.coverage is not None
    assert audit.coverage["first_ns"] == START + 4_000_000
    assert audit.coverage["minutes_present"] == 1440
    assert audit.reasons["timestamp-missing"]["severity"] == DOUBT


def test_a_message_without_end(tmp_path: Path) -> None:
    rows = LARGEST + 3
    columns = {
        "timestamp": np.full(rows, START),
        "receipt_timestamp": np.full(rows, START),
        "sequence_number": np.full(rows, 12),
        "side_is_bid": np.ones(rows, np.bool_),
        "price": (1 + np.arange(rows)) / 1e2,
        "size": np.ones(rows),
    }
    audit = judged(tmp_path, "book_delta_v2", columns)
    assert audit.reasons["message-size"]["first_rows"] == [LARGEST, LARGEST + 1, LARGEST + 2]
    assert audit.document["table"] == {"messages": 1, "longest_message": rows}


def test_too_large_for_the_grid_of_an_instrument(tmp_path: Path) -> None:
    columns = put(tables.trades(), "amount", 3, 5e12)
    audit = judged(tmp_path, "trades", columns, given("0.01", "0.00001"))
    assert audit.reasons["overflow"]["first_rows"] == [3]


def test_too_large_for_the_grid_of_the_day(tmp_path: Path) -> None:
    columns = put(put(tables.trades(), "amount", 3, 1e13), "amount", 350, 0.000_000_01)
    audit = judged(tmp_path, "trades", columns)
    assert audit.reasons["overflow"]["first_rows"] == [3]
    # row 350 lies in a row group that the grid is not inferred from
    audit = judged(tmp_path, "trades", columns, group_rows=100)
    assert audit.reasons["overflow"]["severity"] == DOUBT
    assert "8 decimals" in audit.reasons["overflow"]["detail"]
    assert audit.document["grid"]["size_exponent"] == 8


def test_text_ids_are_looked_for_twice_too(tmp_path: Path) -> None:
    columns = tables.trades()
    columns["id"] = [f"trade-{i}" for i in range(ROWS)]
    assert judged(tmp_path, "trades", columns).reasons == {}
    columns = put(put(columns, "id", 2_500, "trade-7"), "id", 3_500, "trade-7")
    assert judged(tmp_path, "trades", columns).reasons["duplicate-id"]["first_rows"] == [
        2_500,
        3_500,
    ]


def test_text_ids_that_are_null_are_not_the_same_id(tmp_path: Path) -> None:
    columns = tables.trades()
    columns["id"] = [f"trade-{i}" for i in range(ROWS)]
    audit = judged(tmp_path, "trades", put(put(columns, "id", 5, None), "id", 9, None))
    assert set(audit.reasons) == {"null"}
    assert audit.reasons["null"]["first_rows"] == [5, 9]


def test_sides_may_be_a_dictionary(tmp_path: Path) -> None:
    columns = tables.trades()
    columns["side"] = pa.array(columns["side"]).dictionary_encode()
    assert judged(tmp_path, "trades", columns).reasons == {}


def test_null_levels_at_the_end_are_a_thin_book(tmp_path: Path) -> None:
    columns = tables.book()
    for level in range(12, 20):
        for field in ("price", "size"):
            columns = put(columns, f"bid_{level}_{field}", 30, None)
    assert judged(tmp_path, "book", columns).reasons == {}


def test_float_seconds_are_recognised_and_counted(tmp_path: Path) -> None:
    columns = tables.trades()
    cut = ((columns["timestamp"] // 1_000_000 + 33) / 1e3 * 1e9).astype(np.int64)
    columns["timestamp"] = cut
    assert (cut % 1000 != 0).sum() > ROWS / 2
    audit = judged(tmp_path, "trades", columns)
    told = audit.document["stamps"]["timestamp"]
    assert (
        audit.reasons["float-seconds"]["count"] == told["float_seconds"] == (cut % 1000 != 0).sum()
    )
    assert audit.reasons["float-seconds"]["severity"] == NOTE
    assert told["finer"] == 0
    columns["timestamp"] = stamped = cut // 1000 * 1000 + 137
    told = judged(tmp_path, "trades", columns).document["stamps"]["timestamp"]
    assert told["finer"] == len(stamped)


def test_ticks_of_an_instrument_hold_from_their_date_on(tmp_path: Path) -> None:
    change = START + 12 * HOUR
    instrument = given("0.01", "0.00001", (change, "0.1", "0.00001"))
    columns = tables.trades()
    audit = judged(tmp_path, "trades", columns, instrument)
    cents = np.rint(np.asarray(columns["price"]) * 100).astype(np.int64)
    off = np.flatnonzero((columns["timestamp"] >= change) & (cents % 10 != 0))
    assert audit.reasons["off-tick"]["count"] == len(off)
    assert audit.reasons["off-tick"]["first_rows"] == off[:20].tolist()
    assert audit.document["grid"]["source"] == "given"


def test_values_finer_than_a_given_grid_are_off_it(tmp_path: Path) -> None:
    columns = put(tables.trades(), "price", 3, 60_000.125)
    audit = judged(tmp_path, "trades", columns, given("0.01", "0.00001", exponents=0))
    assert audit.reasons["price-off-grid"]["first_rows"] == [3]


def test_one_in_a_thousand_rows_beyond_every_grid_refuses(tmp_path: Path) -> None:
    columns = tables.deltas()
    few, many = columns, columns
    for row in range(4):
        few = put(few, "price", row * 8, NOISE)
    for row in range(5):
        many = put(many, "price", row * 8, NOISE)
    assert judged(tmp_path, "book_delta_v2", few).verdict == "doubtful"
    audit = judged(tmp_path, "book_delta_v2", many)
    assert audit.verdict == "refused"
    assert audit.reasons["price-off-grid"]["severity"] == REFUSE


def test_crossed_rows_are_normal_until_they_are_many(tmp_path: Path) -> None:
    columns = tables.book()
    bids = np.array(columns["bid_0_price"])
    bids[: ROWS // 200] += 5.0
    assert judged(tmp_path, "book", {**columns, "bid_0_price": bids}).verdict == "good"
    bids[: ROWS // 50] += 5.0
    assert judged(tmp_path, "book", {**columns, "bid_0_price": bids}).verdict == "doubtful"


# -- bytes and shape -----------------------------------------------------------------------------


def test_another_size_or_hash_than_was_fetched(tmp_path: Path) -> None:
    path = tables.write(tmp_path / "file.parquet", "trades", tables.trades())
    size = path.stat().st_size
    for told, reason in (({"size": size + 1}, "size-differs"), ({"sha256": "0"}, "hash-differs")):
        audit = Audit.of(key(), scan(path, key(), **told))
        assert set(audit.reasons) == {reason}
        assert audit.refused


def test_what_is_no_parquet(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    whole = tables.write(path, "trades", tables.trades()).read_bytes()
    for data in (b"", b"<Error/>", whole[:-100], whole[: len(whole) // 2]):
        path.write_bytes(data)
        audit = Audit.of(key(), scan(path, key()))
        assert set(audit.reasons) == {"unreadable"}
        assert audit.refused
        assert str(tmp_path) not in audit.reasons["unreadable"]["detail"]


@pytest.mark.parametrize("name", tables.trades())
def test_a_damaged_page_is_found_by_its_checksum(tmp_path: Path, name: str) -> None:
    path = tables.write(
        tmp_path / "file.parquet", "trades", tables.trades(), write_page_checksum=True
    )
    footer = pq.read_metadata(path)
    group = footer.row_group(2)
    column = group.column(list(tables.trades()).index(name))
    start = min(column.dictionary_page_offset or column.data_page_offset, column.data_page_offset)
    data = bytearray(path.read_bytes())
    data[start + column.total_compressed_size - 5] ^= 0xFF
    path.write_bytes(data)
    audit = Audit.of(key(), scan(path, key()))
    assert "row group 2" in audit.reasons["unreadable"]["detail"]
    assert audit.reasons["unreadable"]["count"] == 1_000
    assert audit.coverage is not None
    assert audit.coverage["minutes_present"] == 1440 - 333
    assert audit.refused


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(["price"]), "no column price"),
        (
            lambda t: t.rename_columns(
                ["side", "amount", "price", "quantity", *t.column_names[4:]]
            ),
            "more than one column amount",
        ),
        (lambda t: t.set_column(2, "price", t["price"].cast(pa.float32())), "price is float"),
        (
            lambda t: t.set_column(4, "timestamp", t["timestamp"].cast(pa.float64(), safe=False)),
            "timestamp is double",
        ),
        (lambda t: t.set_column(0, "side", pa.array([1] * len(t))), "side is int64"),
        (lambda t: t.append_column("price", t["amount"]), "two columns with the name 'price'"),
    ],
)
def test_columns_that_are_not_the_table_s(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table], said: str
) -> None:
    path = tmp_path / "file.parquet"
    pq.write_table(change(tables.arrow("trades", tables.trades())), path)
    audit = Audit.of(key(), scan(path, key()))
    assert set(audit.reasons) == {"schema"}
    assert said in audit.reasons["schema"]["detail"]
    assert audit.refused


def test_a_file_without_rows_is_no_empty_day(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    pq.write_table(tables.arrow("trades", tables.trades()).slice(0, 0), path)
    audit = Audit.of(key(), scan(path, key()))
    assert set(audit.reasons) == {"no-rows"}
    assert audit.refused


# -- completeness --------------------------------------------------------------------------------


def test_a_silence_is_measured_against_the_feeds_own_cadence(tmp_path: Path) -> None:
    whole = tables.trades()
    # the median gap is 20 s: up to 1000 s are no silence
    audit = judged(tmp_path, "trades", tables.cut(whole, 1_000, 1_045))
    assert "silence" not in audit.reasons
    audit = judged(tmp_path, "trades", tables.cut(whole, 1_000, 1_060))
    assert audit.reasons["silence"]["count"] == 1
    assert audit.coverage is not None
    assert audit.coverage["longest_silences"] == [
        {"start_ns": START + 999 * 20_000_000_000, "length_ns": 61 * 20_000_000_000}
    ]
    assert audit.verdict == "doubtful"


def test_a_day_that_begins_late_and_ends_early_is_silent_there(tmp_path: Path) -> None:
    whole = tables.trades()
    partial = tables.cut(tables.cut(whole, ROWS - 300, ROWS), 0, 400)
    audit = judged(tmp_path, "trades", partial)
    assert audit.coverage is not None
    assert audit.reasons["silence"]["count"] == 2
    assert [s["length_ns"] for s in audit.coverage["longest_silences"]] == [
        400 * 20_000_000_000,
        301 * 20_000_000_000,
    ]
    assert audit.coverage["minutes"] == [[133, 1339]]


def test_a_day_without_any_time_in_it_is_one_silence() -> None:
    clock = Clock("2026-01-05")
    times = np.array([START - 1, START + DAY], np.int64)
    clock.add(times, times, np.zeros(2, np.int64))
    assert [s.to_dict() for s in clock.silences()] == [{"start_ns": START, "length_ns": DAY}]
    assert clock.coverage()["minutes"] == []


def test_runs_of_minutes_there_and_back() -> None:
    present = np.zeros(1440, np.bool_)
    present[[0, 1, 2, 9, 1439]] = True
    assert runs(present) == [[0, 2], [9, 9], [1439, 1439]]
    assert (from_runs(runs(present)) == present).all()


# -- the float grid ------------------------------------------------------------------------------


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("value", "exponent", "expected"),
    [
        (60_000.23, 2, (6_000_023, OK)),
        (-0.5, 1, (-5, OK)),
        (0.0, 18, (0, OK)),
        (60_000.23, 1, (0, OFF_GRID)),
        (0.1 + 0.2, 15, (0, OFF_GRID)),
        (float("nan"), 8, (0, MALFORMED)),
        (float("inf"), 8, (0, MALFORMED)),
        (float("-inf"), 8, (0, MALFORMED)),
        (1e8, 8, (10**16, OK)),
        (92_233_720_368.0, 8, (9_223_372_036_800_000_000, OK)),
        (92_233_720_369.0, 8, (0, OVERFLOW)),
        (123_456_789.123_456_78, 8, (0, OVERFLOW)),
        (1e300, 0, (0, OVERFLOW)),
        (5e-324, 18, (0, OFF_GRID)),
    ],
)
def test_a_float_is_the_decimal_that_it_is_nearest_to(
    value: float, exponent: int, expected: tuple[int, int]
) -> None:
    assert float_to_count(value, exponent) == expected


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("value", "decimals"),
    [(0.0, 0), (5.0, 0), (0.25, 2), (1e-8, 8), (60_000.123, 3), (0.1 + 0.2, -1), (1e16, -1)],
)
def test_fewest_decimals_of_a_float(value: float, decimals: int) -> None:
    assert float_decimals(value) == decimals


@pytest.mark.kernels
def test_columns_of_floats_name_the_first_bad_row() -> None:
    out = np.zeros(4, np.int64)
    assert floats_to_counts(np.array([1.5, 2.25, 0.0, -3.0]), 2, out) == (-1, OK)
    assert out.tolist() == [150, 225, 0, -300]
    assert floats_to_counts(np.array([1.5, 2.255, np.nan, 1.0]), 2, out) == (1, OFF_GRID)
    assert floats_exponent(np.array([1.5, 2.255, 4.0]), 0) == (3, -1, 2)
    assert floats_exponent(np.array([1.5, 0.1 + 0.2, 2.255]), 0) == (1, 1, 0)
    assert floats_exponent(np.array([1.5]), 6) == (6, -1, 0)
    # what is not finite needs no grid
    odd = np.array([np.nan, -7.0, np.inf, 2.5, -np.inf])
    assert floats_exponent(odd, 0) == (1, -1, 3)


def test_every_bit_is_named_once() -> None:
    assert len(BITS) == len(ROW_REASONS) == len(set(ROW_REASONS)) < 62


def test_every_reason_is_documented() -> None:
    page = Path(lobproof.__file__).parents[2] / "docs" / "acquire.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in POLICY if f"| `{name}` |" not in text] == []
    assert [policy.meaning for policy in POLICY.values() if policy.meaning not in text] == []

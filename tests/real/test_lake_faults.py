"""Faults on derived Lake days of the recordings: each flagged, located, counted, and no further.

Each kind once, on a day of BTCUSDT; ``test_lake_faults_everywhere`` has all recordings.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from lobproof.errors import GridError, InputError
from lobproof.fidelity.exact import Verdict, verify
from lobproof.pipeline.job import Asked
from lobproof.schema import Finding, Flag, Kind
from support.lake_fault_checks import Rebuilt, Scene, check_case
from support.lake_faults import (
    BOOK,
    CASES,
    DELTAS,
    HOUR,
    TRADES,
    Case,
    Day,
    crossed,
    doubled,
    exchanged,
    foreign,
    foreign_row,
    frozen,
    halved,
    numbered,
    one_sided,
    shallow,
    shifted,
    shuffled,
    stale,
    thinned_trades,
    valued,
)

pytestmark = pytest.mark.real
DT = "2024-08-08"


@pytest.fixture(scope="module")
def scene(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    file = real_data / "binance-spot" / "btcusdt_20240808.gz"
    return Scene.make([file], tmp_path_factory.mktemp("btc"))


@pytest.fixture(scope="module")
def intact(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Rebuilt:
    return Rebuilt.of(Day.read(scene.lake, DT), tmp_path_factory.mktemp("intact"))


def test_an_intact_day_is_the_truth_at_every_row(intact: Rebuilt, scene: Scene) -> None:
    wrong, outside, whole = intact.wrong(scene.truth)
    assert wrong.is_empty()
    assert intact.misplaced() == []
    assert whole > 0.95 * outside
    assert intact.result.counts.gap_ratio == 0.0


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.urgent], ids=lambda case: case.name
)
def test_each_fault_is_told_where_it_is(
    case: Case, intact: Rebuilt, scene: Scene, tmp_path: Path
) -> None:
    check_case(case, 1700, intact, scene.truth, tmp_path)


def test_a_row_of_another_symbol(intact: Rebuilt, scene: Scene, tmp_path: Path) -> None:
    # a stand-in for another symbol: the same book at other prices
    day, book = intact.day, intact.day.tables[BOOK]
    prices = [name for name in book.columns if name.endswith("_price")]
    other = day.with_table(BOOK, book.with_columns((pl.col(prices) - 40_000.0).round(2)))
    check_case(foreign_row(other), 1700, intact, scene.truth, tmp_path / "middle")
    first = Rebuilt.of(foreign(day, 0, other), tmp_path / "first")
    assert first.wrong(scene.truth)[0].is_empty()


def test_a_crossed_first_row_seeds_nothing(intact: Rebuilt, scene: Scene, tmp_path: Path) -> None:
    rebuilt = Rebuilt.of(crossed(intact.day, 0), tmp_path)
    assert rebuilt.wrong(scene.truth)[0].is_empty()
    assert (rebuilt.quality["first_event_id"] >= 0).all()
    assert rebuilt.kinds()["VENDOR_ROW_UNUSED"] == 1


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        (DELTAS, "price", 60000.012345678912),
        (TRADES, "amount", 0.12345678901234567),
        (TRADES, "price", 1e300),
        (BOOK, "ask_7_size", 0.12345678901234567),
    ],
)
def test_a_value_that_no_grid_holds_is_an_error_at_its_row(
    intact: Rebuilt, tmp_path: Path, table: str, column: str, value: float
) -> None:
    spoilt = valued(intact.day, table, 1234, **{column: value})
    with pytest.raises(GridError, match=rf"{table}.*1\.snappy\.parquet.*row 1,?234") as caught:
        Rebuilt.of(spoilt, tmp_path)
    assert caught.value.hint
    assert not (tmp_path / "store" / "days").exists()


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        (DELTAS, "size", -1.0),
        (DELTAS, "price", float("nan")),
        (DELTAS, "side_is_bid", None),
        (DELTAS, "sequence_number", None),
        (TRADES, "price", float("inf")),
        (TRADES, "side", "SELL"),
        (BOOK, "bid_3_price", float("inf")),
        (BOOK, "sequence_number", None),
    ],
)
def test_a_row_that_says_nothing_is_a_finding_with_its_number(
    intact: Rebuilt, scene: Scene, tmp_path: Path, table: str, column: str, value: Any
) -> None:
    rebuilt = Rebuilt.of(valued(intact.day, table, 1234, **{column: value}), tmp_path)
    assert rebuilt.wrong(scene.truth)[0].is_empty()
    new = {code: n for code, n in rebuilt.kinds().items() if n != intact.kinds().get(code)}
    details = rebuilt.quality["detail"].to_list()
    report = verify(rebuilt.store, lake=tmp_path / "lake")
    assert report.check("vendor_trades").verdict is Verdict.EXACT
    assert report.check("vendor_book").verdict is Verdict.EXACT
    if table == BOOK:
        assert set(new) == {"VENDOR_ROW_UNUSED"}
        return
    named = f"1 row(s) that cannot be read, from row 1,234 of {table} on"
    assert details.count(named) == 1
    assert ("UNREADABLE" in new) == (table == DELTAS)
    assert new["INVALID_INPUT"] == 1


@pytest.mark.parametrize("table", [DELTAS, BOOK, TRADES])
def test_a_file_that_breaks_off_is_an_error_that_names_it(
    intact: Rebuilt, tmp_path: Path, table: str
) -> None:
    file = next(intact.day.write(tmp_path / "lake").glob(f"{table}/*/*/*/*.parquet"))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(InputError, match=rf"{table}.*1\.snappy\.parquet") as caught:
        Rebuilt.again(intact.day, tmp_path)
    assert caught.value.hint
    assert not (tmp_path / "store" / "days").exists()


# tables that contradict each other, or themselves ------------------------------------------------


class Spoilt(NamedTuple):
    """A fault of many rows, and codes of which one must be told; none: nothing is wrong."""

    name: str
    spoil: Callable[[Day], Day]
    must: tuple[Finding, ...] = ()
    trusts: bool = True
    """Whether anything of the day can still be trusted."""


def _ids(table: str, rows: tuple[int, int], change: pl.Expr) -> Callable[[Day], Day]:
    return lambda day: numbered(day, table, rows, change)


ID = pl.col("sequence_number")
BLAMED = (Finding.VENDOR_ROW_STALE, Finding.DRIFT)
RESET = (Finding.SEQUENCE_RESET,)
UNUSED = (Finding.VENDOR_ROW_UNUSED,)
STANDS = (Finding.VENDOR_ROW_UNUSED, Finding.DRIFT)
CLOCK = (Finding.CLOCK,)


def _one_row(day: Day) -> Day:
    return day.with_table(BOOK, day.tables[BOOK].slice(50, 1))


def _behind(table: str) -> Callable[[Day], Day]:
    return lambda day: shifted(day, table, -8 * HOUR, "timestamp")


KINDS = (
    Spoilt("book frozen", lambda d: frozen(d, 900, 200), BLAMED),
    Spoilt("book frozen for one row", lambda d: frozen(d, 900, 1), BLAMED),
    Spoilt("book a row stale", lambda d: stale(d, 900, 200), (Finding.DRIFT,)),
    Spoilt("touch doubled", lambda d: doubled(d, 900, 200), (Finding.DRIFT,)),
    Spoilt("ten levels, null", lambda d: shallow(d, 10, None)),
    Spoilt("ten levels, NaN", lambda d: shallow(d, 10, float("nan"))),
    Spoilt("one level, 0", lambda d: shallow(d, 1, 0.0)),
    Spoilt("one row of book", _one_row),
    Spoilt(
        "one row of ten levels",
        lambda d: shallow(d.with_table(BOOK, d.tables[BOOK].slice(50, 1)), 10, None),
    ),
    Spoilt("rows without asks", lambda d: one_sided(d, 900, 50), UNUSED),
    Spoilt("halves of a message apart", lambda d: halved(d, 1700), RESET),
    Spoilt("blocks exchanged", lambda d: exchanged(d, 1700, 20), RESET),
    Spoilt("negative ids of deltas", _ids(DELTAS, (5_000, 5_200), -ID), RESET),
    Spoilt("negative ids of book", _ids(BOOK, (900, 1_000), -ID), UNUSED),
    Spoilt("ids of deltas restart", _ids(DELTAS, (50_000, 10**9), ID - 10**10), RESET),
    Spoilt("ids of book ahead", _ids(BOOK, (0, 10**9), ID + 10**12), UNUSED, False),
    Spoilt(
        "ids of book stand still",
        _ids(BOOK, (900, 1_000), ID.gather(900)),
        STANDS,
    ),
    Spoilt("trades shuffled", lambda d: shuffled(d, 50, 1), (Finding.OUT_OF_ORDER,)),
    Spoilt("a third of the trades", lambda d: thinned_trades(d, 0.3, 1), (Finding.TRADES_ABSENT,)),
    Spoilt("no trades", lambda d: thinned_trades(d, 1.0, 1), (Finding.TRADES_ABSENT,)),
    Spoilt(
        "trades without ids",
        lambda d: d.with_table(TRADES, d.tables[TRADES].with_columns(id=pl.lit(None, pl.Int64))),
        (Finding.TRADES_ABSENT,),
    ),
    Spoilt("book 8 h behind", _behind(BOOK), CLOCK),
    Spoilt("deltas 8 h behind", _behind(DELTAS), CLOCK),
    Spoilt("trades 8 h behind", _behind(TRADES), CLOCK),
)


@pytest.mark.parametrize("strategy", ["full", "auto"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_is_outside_the_doubts_is_so(
    kind: Spoilt, strategy: Asked, intact: Rebuilt, scene: Scene, tmp_path: Path
) -> None:
    rebuilt = Rebuilt.of(kind.spoil(intact.day), tmp_path, strategy=strategy)
    wrong, _, _ = rebuilt.wrong(scene.truth)
    assert wrong.is_empty(), wrong.head(3)
    told = {Finding(code) for code in rebuilt.quality["code"]}
    assert not kind.must or told & set(kind.must), told
    trusted = rebuilt.store.trusted(raw=True).select(pl.len()).collect().item()
    assert (trusted > 0) == kind.trusts
    # the clock is that of the intact day, whatever a table says
    first, last = intact.events["ts_order"].to_numpy()[[0, -1]]
    assert rebuilt.events["ts_order"].is_between(first - 10**9, last + 10**9).all()
    if rebuilt.result.strategy != "full":
        assert rebuilt.result.reasons[0].startswith("NO-GO for full: ")
        assert rebuilt.doubts.height > 0
    every = rebuilt.day.tables[TRADES].height
    assert rebuilt.events.filter(pl.col("kind") == int(Kind.TRADE)).height == every
    if kind.name.endswith("8 h behind"):
        flagged = rebuilt.events["flags"].to_numpy() & int(Flag.BAD_TS) != 0
        of_trades = (rebuilt.events["kind"] == int(Kind.TRADE)).to_numpy()
        assert flagged[of_trades].all() == kind.name.startswith("trades")
        states = rebuilt.states["flags"].to_numpy() & int(Flag.BAD_TS) != 0
        assert states.mean() > 0.9 or not kind.name.startswith("deltas")


@pytest.mark.parametrize("empty", [None, float("nan"), 0.0])
def test_verify_takes_null_and_nan_and_0_for_one_thing(
    empty: float | None, intact: Rebuilt, tmp_path: Path
) -> None:
    rebuilt = Rebuilt.of(shallow(intact.day, 10, empty), tmp_path)
    report = verify(rebuilt.store, lake=tmp_path / "lake")
    assert report.check("vendor_book").verdict is Verdict.EXACT
    assert report.check("vendor_trades").verdict is Verdict.EXACT


def test_trades_by_text_ids_are_kept_and_compared(intact: Rebuilt, tmp_path: Path) -> None:
    trades = intact.day.tables[TRADES]
    text = [str(uuid.uuid5(uuid.NAMESPACE_URL, str(number))) for number in trades["id"]]
    path = next(intact.day.write(tmp_path / "lake").glob("trades/*/*/*/*.parquet"))
    trades.with_columns(id=pl.Series(text)).write_parquet(path)
    rebuilt = Rebuilt.again(intact.day, tmp_path)
    assert rebuilt.events.filter(pl.col("kind") == int(Kind.TRADE)).height == trades.height
    assert rebuilt.count(Finding.BAD_TS) == 0
    report = verify(rebuilt.store, lake=tmp_path / "lake")
    assert report.check("trade_ids").verdict is not Verdict.FAIL
    check = report.check("vendor_trades")
    assert (check.verdict, check.equal) == (Verdict.EXACT, trades.height)
    # a loss, and a trade that is not theirs
    trades.with_columns(id=pl.Series(text)).head(-1).write_parquet(path)
    assert verify(rebuilt.store, lake=tmp_path / "lake").check("vendor_trades").verdict == "fail"


@pytest.mark.parametrize("table", [DELTAS, BOOK, TRADES])
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (pl.col("timestamp") // 1_000, "timestamp is in µs"),
        (pl.col("timestamp") // 1_000_000, "timestamp is in ms"),
        (pl.col("timestamp") - 365 * 24 * HOUR, "times are not of 2024-08-08"),
        (pl.col("timestamp") + 8 * HOUR, "times are not of 2024-08-08"),
    ],
    ids=["µs", "ms", "a year", "8 h"],
)
def test_times_of_another_unit_or_day_are_refused_by_name(
    table: str, change: pl.Expr, match: str, intact: Rebuilt, tmp_path: Path
) -> None:
    spoilt = intact.day.with_table(table, intact.day.tables[table].with_columns(timestamp=change))
    with pytest.raises(InputError, match=f"{table}: .*{match}") as caught:
        Rebuilt.of(spoilt, tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize("strategy", ["anchored", "time-sorted"])
def test_a_book_that_stands_still_where_its_rows_are_the_book(
    strategy: Asked, intact: Rebuilt, scene: Scene, tmp_path: Path
) -> None:
    sound = Rebuilt.of(intact.day, tmp_path / "sound", strategy=strategy)
    assert sound.count(Finding.VENDOR_ROW_STALE) == 0
    rebuilt = Rebuilt.of(frozen(intact.day, 900, 200), tmp_path / "frozen", strategy=strategy)
    assert rebuilt.count(Finding.VENDOR_ROW_STALE) > 0
    assert rebuilt.wrong(scene.truth)[0].is_empty()


def test_files_are_read_by_their_numbers(intact: Rebuilt, scene: Scene, tmp_path: Path) -> None:
    """1, 2 … 11, and not 1, 10, 11, 2 …"""
    path = next(intact.day.write(tmp_path / "lake").glob(f"{DELTAS}/*/*/*/*.parquet"))
    rows = intact.day.tables[DELTAS]
    path.unlink()
    size = rows.height // 11 + 1
    for number in range(11):
        part = rows.slice(number * size, size)
        part.write_parquet(path.with_name(f"{number + 1}.snappy.parquet"))
    rebuilt = Rebuilt.again(intact.day, tmp_path)
    assert rebuilt.count(Finding.SEQUENCE_RESET) == 0
    assert rebuilt.result.content_hash == intact.result.content_hash
    assert rebuilt.wrong(scene.truth)[0].is_empty()

"""Faults on derived Lake days of the recordings: each flagged, located, counted, and no further.

Each kind once, on a day of BTCUSDT; ``tests/faults`` has all recordings and many places.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lobproof.errors import GridError, InputError
from support.lake_fault_cases import CASES, Case, check_case, foreign_row
from support.lake_faults import BOOK, DELTAS, TRADES, Day, crossed, foreign, valued
from support.lake_judged import Rebuilt, Scene

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
    assert rebuilt.kinds()["REFERENCE_UNUSED"] == 1


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        (DELTAS, "price", 60000.012345678912),
        (DELTAS, "size", -1.0),
        (DELTAS, "price", float("nan")),
        (TRADES, "amount", 0.12345678901234567),
        (TRADES, "price", 1e300),
        (BOOK, "bid_3_price", float("inf")),
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

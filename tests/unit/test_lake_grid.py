"""The grid, ticks and lots of a day; iterators that are read ahead."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lobproof.errors import GridError, InputError
from lobproof.instruments import Rule
from lobproof.schema import LEVELS, Int64
from lobproof.sources.cryptolake.decode import books, deltas, trades
from lobproof.sources.cryptolake.grid import ENOUGH, find_change, infer_grid, roundest
from lobproof.sources.cryptolake.layout import LEVEL_COLUMNS
from lobproof.sources.cryptolake.write import SCHEMAS
from lobproof.sources.simulator import Imperfections, simulate
from support.lake_files import HOUR, START, write_some

pytestmark = pytest.mark.kernels


def ticks(rows: int, step: int = 1, seed: int = 3) -> Int64:
    return np.random.default_rng(seed).integers(1_000, 9_000, rows) * step


def test_the_grid_holds_every_value_of_every_table(tmp_path: Path) -> None:
    rows = 3_000
    prices, sizes, amounts, slots = ticks(rows) / 1e2, ticks(rows) / 1e3, ticks(9) / 1e3, ticks(9)
    prices[2_999], sizes[17], amounts[8] = 60.1234, 0.0, 1.23456
    paths = {
        "book_delta_v2": [
            write_some(
                tmp_path / "1.parquet", "book_delta_v2", price=prices[:999], size=sizes[:999]
            ),
            write_some(
                tmp_path / "2.parquet", "book_delta_v2", price=prices[999:], size=sizes[999:]
            ),
        ],
        "trades": [write_some(tmp_path / "3.parquet", "trades", price=prices[:9], amount=amounts)],
        "book": [
            write_some(
                tmp_path / "4.parquet", "book", ask_19_size=[*slots[:7] / 1e6, math.nan, None]
            )
        ],
    }
    found = infer_grid(paths, "BINANCE", "SIM-USDT", venue_symbol="SIMUSDT")
    assert (found.exchange, found.symbol, found.venue_symbol) == ("BINANCE", "SIM-USDT", "SIMUSDT")
    assert (found.price_exponent, found.size_exponent) == (4, 6)
    assert found.rules == (Rule(0, 100, 1_000),)
    for decoder, table in ((deltas, "book_delta_v2"), (trades, "trades"), (books, "book")):
        assert list(decoder(paths[table], found))


@pytest.mark.parametrize("rest", [0.123456789, math.inf, 1e30, 1 / 3])
@pytest.mark.parametrize("hole", [0.0, math.nan, None])
@pytest.mark.parametrize("half", [0, 1])
def test_what_stands_in_an_empty_slot_is_no_value(
    tmp_path: Path, rest: float, hole: float | None, half: int
) -> None:
    """As in decoding: whether a sample has the row makes no difference."""
    names = LEVEL_COLUMNS[half], LEVEL_COLUMNS[1 - half]
    columns: dict[str, Any] = {names[0]: [1.25, rest, 2.5], names[1]: [1.5, hole, 1.0]}
    paths = {"book": [write_some(tmp_path / "1.parquet", "book", **columns)]}
    for whole in (False, True):
        found = infer_grid(paths, "X", "Y", whole=whole)
        assert sorted((found.price_exponent, found.size_exponent)) == [1, 2]
    assert list(books(paths["book"], found))


@pytest.mark.parametrize("table", ["trades", "book"])
def test_one_table_is_enough(tmp_path: Path, table: str) -> None:
    prices, sizes = ("price", "amount") if table == "trades" else LEVEL_COLUMNS[:2]
    columns: dict[str, Any] = {prices: ticks(500) / 1e2, sizes: ticks(500, 5) / 1e3}
    found = infer_grid({table: [write_some(tmp_path / "1.parquet", table, **columns)]}, "X", "Y-Z")
    assert (found.venue_symbol, found.price_exponent, found.size_exponent) == ("Y-Z", 2, 3)
    assert found.rules == (Rule(0, 1, 5),)


@pytest.mark.parametrize("paths", [{}, {"book": []}])
def test_a_day_without_files_has_the_coarsest_grid(paths: dict[str, list[Path]]) -> None:
    found = infer_grid(paths, "X", "Y-Z")
    assert (found.price_exponent, found.size_exponent, found.rules) == (0, 0, (Rule(0, 1, 1),))


def test_files_without_rows_have_the_coarsest_grid(tmp_path: Path) -> None:
    found = infer_grid(
        {"trades": [write_some(tmp_path / "1.parquet", "trades", price=[])]}, "X", "Y"
    )
    assert (found.price_exponent, found.size_exponent, found.rules) == (0, 0, (Rule(0, 1, 1),))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("whole", [True, False])
def test_a_value_that_is_not_finite_needs_no_grid(
    tmp_path: Path, value: float, whole: bool
) -> None:
    sizes = ticks(5_000) / 1e3
    good = write_some(tmp_path / "1.parquet", "book_delta_v2", size=np.delete(sizes, 4_321))
    sizes[4_321] = value
    bad = write_some(tmp_path / "2.parquet", "book_delta_v2", size=sizes)
    found = [infer_grid({"book_delta_v2": [path]}, "X", "Y", whole=whole) for path in (good, bad)]
    assert found[0] == found[1]


def test_a_value_that_no_grid_holds_is_named(tmp_path: Path) -> None:
    sizes = ticks(5_000) / 1e3
    sizes[4_321] = 1 / 3
    path = write_some(tmp_path / "1.parquet", "book_delta_v2", size=sizes)
    with pytest.raises(GridError, match=r"1\.parquet, row 4321: no decimal grid holds size"):
        infer_grid({"book_delta_v2": [path]}, "X", "Y")
    path = write_some(tmp_path / "2.parquet", "book", bid_0_size=[1.0, 1 / 3])
    with pytest.raises(GridError, match=r"2\.parquet, row 1: no decimal grid holds bid_0_size"):
        infer_grid({"book": [path]}, "X", "Y")


@pytest.mark.parametrize("nothing", [0.0, math.nan])
@pytest.mark.parametrize("value", [0.001, 1 / 3, math.inf])
def test_what_stands_in_an_empty_slot_of_books_needs_no_grid(
    tmp_path: Path, nothing: float, value: float
) -> None:
    """Decoding does not look at it either: the grid must not depend on who looked."""
    columns: dict[str, Any] = {
        "bid_1_price": [1.0, value],
        "bid_1_size": [1.0, nothing],
        "ask_1_price": [nothing, 1.0],
        "ask_1_size": [value, 1.0],
    }
    path = write_some(tmp_path / "1.parquet", "book", **columns)
    for whole in (False, True):
        found = infer_grid({"book": [path]}, "X", "Y", whole=whole)
        assert (found.price_exponent, found.size_exponent) == (0, 0)
        (decoded,) = books([path], found)
    empty = decoded.batch.levels.reshape(2, 2, LEVELS, 2)[:, :, 1]
    assert empty.tolist() == [[[1, 1], [0, 0]], [[0, 0], [1, 1]]]


def test_a_value_too_large_for_the_others_is_named(tmp_path: Path) -> None:
    sizes = np.ones(5_000)
    sizes[[12, 3_000]] = 1e-12, 1e8
    path = write_some(tmp_path / "1.parquet", "book_delta_v2", size=sizes)
    with pytest.raises(GridError, match=r"row 3000, size: 100000000\.0 is too large for .*10\^-12"):
        infer_grid({"book_delta_v2": [path]}, "X", "Y")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"1\.parquet cannot be read as a Parquet file"):
        infer_grid({"trades": [tmp_path / "1.parquet"]}, "X", "Y")


@pytest.mark.parametrize("hour", [6, 12, 21])
@pytest.mark.parametrize("finer", [False, True])
def test_a_tick_that_changes_is_dated(tmp_path: Path, hour: int, finer: bool) -> None:
    rows = 48_000
    at = rows * hour // 24
    first, second = ticks(at, 1 if not finer else 10), ticks(rows - at, 10 if not finer else 1)
    if not finer:
        second[::40] += 1  # orders from before
    removed = np.ones(rows)
    removed[1::3] = 0.0  # removals of old levels, with their old prices
    prices = np.where(removed == 0.0, 1_234_567, np.concatenate([first, second])) / 1e4
    path = write_some(tmp_path / "1.parquet", "book_delta_v2", price=prices, size=removed)
    found = infer_grid({"book_delta_v2": [path]}, "X", "Y")
    steps = (10, 1) if finer else (1, 10)
    assert [rule.tick for rule in found.rules] == list(steps)
    assert [rule.lot for rule in found.rules] == [1, 1]
    assert found.rules[0].since_ns == 0
    assert found.rules[1].since_ns == START + hour * HOUR


@pytest.mark.compiled
def test_a_simulated_change_of_the_tick_is_dated(tmp_path: Path) -> None:
    """Orders that are older than the change keep the finer tick for a while."""
    made = simulate(
        tmp_path / "day",
        preset="btc",
        minutes=2.0,
        recording=False,
        lake=True,
        imperfections=Imperfections(new_tick=10, new_tick_after_s=60.0),
    )
    assert made.lake is not None
    paths = {table: sorted((made.lake / table).rglob("*.parquet")) for table in SCHEMAS}
    found = infer_grid(paths, "BINANCE", "SIM-USDT")
    assert [(rule.since_ns, rule.tick) for rule in found.rules] == [
        (0, 1),
        (START + 60 * 10**9, 10),
    ]


def test_ticks_and_lots_may_change_at_different_times(tmp_path: Path) -> None:
    rows = 48_000
    prices = np.concatenate([ticks(12_000, 10), ticks(36_000, 1)]) / 1e3
    sizes = np.concatenate([ticks(36_000, 1), ticks(12_000, 100)]) / 1e5
    stamps = np.full(rows, -1)
    path = write_some(
        tmp_path / "1.parquet", "book_delta_v2", price=prices, size=sizes, timestamp=stamps
    )
    found = infer_grid({"book_delta_v2": [path]}, "X", "Y")
    assert [(rule.tick, rule.lot) for rule in found.rules] == [(10, 1), (1, 1), (1, 100)]
    assert [rule.since_ns for rule in found.rules] == [0, START + 6 * HOUR, START + 18 * HOUR]


def test_without_any_time_the_finer_step_holds_all_day(tmp_path: Path) -> None:
    prices = np.concatenate([ticks(9_000, 10), ticks(9_000, 1)]) / 1e3
    none = np.zeros(len(prices))
    path = write_some(
        tmp_path / "1.parquet",
        "book_delta_v2",
        price=prices,
        timestamp=none,
        receipt_timestamp=none,
    )
    assert infer_grid({"book_delta_v2": [path]}, "X", "Y").rules == (Rule(0, 1, 1),)


def test_what_is_no_clear_change() -> None:
    same = ticks(3 * ENOUGH)
    assert find_change(same[: 2 * ENOUGH - 1]) is None
    assert find_change(same) is None
    # for a while only
    assert find_change(np.concatenate([same, same * 10, same])) is None
    # too near to the end
    assert find_change(np.concatenate([same, same[: ENOUGH // 2] * 10])) is None
    # rarely off the coarser step before, never after
    rare = same * 10
    rare[:ENOUGH:20] += 1
    assert find_change(rare) is None
    # a burst of round prices at the start of many
    many = ticks(64_000)
    many[:3_000] *= 10
    assert find_change(many) is None
    # steps of which neither divides the other are told too
    change = find_change(np.concatenate([same * 2, same * 5]))
    assert change is not None
    assert change[:3] == (len(same), 2, 5)


def test_the_roundest_time_between() -> None:
    noon, second = START + 12 * HOUR, 10**9
    assert roundest(noon - 1, noon + 5, noon + 90 * second) == noon
    assert roundest(noon, noon + 5, noon + 90 * second) == noon + 60 * second
    assert roundest(noon, noon + 5, noon + 59 * second) == noon + 5
    # times out of order
    assert roundest(noon + 9, noon + 7, noon + 5) == noon + 7

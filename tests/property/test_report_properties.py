"""What days of a report add up to, against sums of plain dicts; the rows of its pictures."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lobproof.pages.axes import MAX_ROWS, PriceGrid, TimeGrid
from lobproof.pages.sums import ADDED, Counts, DaySums, Sweep, Totals
from lobproof.pages.sweep_kernels import COLUMN, LEVEL, SPREAD_BINS
from lobproof.schema import LEVELS

MINUTE = 60 * 10**9
TICK = 5
COUNTS = ("events", "messages", "trades", "outside")
COLUMN_FIELDS, LEVEL_FIELDS = COLUMN.names or (), LEVEL.names or ()
randoms = st.randoms(use_true_random=False)

Cell = tuple[int, int]


def some_grid(rng: random.Random) -> PriceGrid:
    step = TICK * rng.choice([1, 1, 2, 4])
    return PriceGrid(step * rng.randrange(0, 900 // step), step, rng.randrange(1, 12))


def some_day(rng: random.Random, time: TimeGrid, prices: PriceGrid) -> DaySums:
    """Whole numbers all over, so that sums of them are exact in whatever order."""
    rows, columns = prices.rows, time.columns
    image, trades = np.zeros((rows, columns)), np.zeros((2, rows, columns))
    cells = np.zeros(columns, COLUMN)
    for column in range(columns):
        for row in range(rows):
            image[row, column] = rng.choice([0, rng.randrange(1, 10**6)])
            trades[rng.randrange(2), row, column] = rng.choice([0, 0, rng.randrange(1, 10**6)])
        cell = cells[column]
        cell["covered"] = rng.choice([0, rng.randrange(1, 1000)])
        if cell["covered"]:
            cell["far"] = [rng.randrange(1, 1000), -rng.randrange(1, 3)]
            cell["best_time"] = [rng.randrange(1000), rng.randrange(1000)]
            cell["best_sum"] = [rng.randrange(10**6), rng.randrange(10**6)]
            cell["trusted"] = rng.choice([0, cell["covered"]])
        if cell["trusted"]:
            cell["spread_low"] = rng.randrange(1, 50)
            cell["spread_high"] = rng.randrange(50, 99)
            cell["spread"] = rng.randrange(10**6)
        cell["messages"], cell["trades"] = rng.randrange(99), rng.randrange(99)
        cell["volume"] = [rng.randrange(10**6), rng.randrange(10**6)]
    spreads, levels = np.zeros(SPREAD_BINS), np.zeros((2, LEVELS), LEVEL)
    for _ in range(5):
        spreads[rng.randrange(SPREAD_BINS)] += rng.randrange(1000)
        levels[rng.choice(LEVEL_FIELDS)][rng.randrange(2), rng.randrange(LEVELS)] += 7
    places = np.stack(np.nonzero(trades), axis=1)
    price = float(rng.randrange(1, 1000))
    return DaySums(
        time,
        prices,
        image,
        places,
        trades[tuple(places.T)],
        cells,
        spreads,
        levels,
        Counts(*(rng.randrange(1000) for _ in COUNTS)),
        rng.choice([None, (price, price + rng.randrange(9))]),
    )


def some_days(rng: random.Random) -> tuple[TimeGrid, list[DaySums]]:
    """Up to four days in a row, and columns as wide as theirs or wider over all of them."""
    width, at, times = MINUTE, MINUTE * rng.randrange(10**6), []
    for _ in range(rng.randrange(1, 5)):
        at += width * rng.choice([0, 0, 1, 5])
        times.append(TimeGrid(at, width, rng.randrange(1, 6)))
        at += width * times[-1].columns
    time = TimeGrid.of_width(times[0].origin, at - 1, width * rng.randrange(1, 8))
    return time, [some_day(rng, one, some_grid(rng)) for one in times]


@dataclass
class Plain:
    """The same sums, cell by cell."""

    time: TimeGrid
    prices: PriceGrid
    image: dict[Cell, float] = field(default_factory=lambda: defaultdict(float))
    trades: dict[tuple[int, int, int], float] = field(default_factory=lambda: defaultdict(float))
    columns: dict[int, dict[str, list[float]]] = field(default_factory=dict)

    def row(self, price: int) -> int:
        return (price - self.prices.low) // self.prices.step

    def add(self, day: DaySums) -> None:
        for column in range(day.time.columns):
            at = (day.time.origin + column * day.time.width - self.time.origin) // self.time.width
            for row in range(day.prices.rows):
                there = self.row(day.prices.low + row * day.prices.step)
                self.image[there, at] += float(day.image[row, column])
            self._add_column(at, {n: day.columns[column][n] for n in COLUMN_FIELDS})
        for (taker, row, column), volume in zip(
            day.cells.tolist(), day.volumes.tolist(), strict=True
        ):
            at = (day.time.origin + column * day.time.width - self.time.origin) // self.time.width
            self.trades[taker, self.row(day.prices.low + row * day.prices.step), at] += volume

    def _add_column(self, at: int, cell: dict[str, np.ndarray]) -> None:
        total = self.columns.setdefault(at, {name: [0.0, 0.0] for name in COLUMN_FIELDS})
        values = {name: np.atleast_1d(value).tolist() for name, value in cell.items()}
        if values["trusted"][0] > 0:
            low, high = values["spread_low"][0], values["spread_high"][0]
            before = total["trusted"][0] > 0
            total["spread_low"][0] = min(total["spread_low"][0], low) if before else low
            total["spread_high"][0] = max(total["spread_high"][0], high)
        if values["covered"][0] > 0:
            total["far"] = values["far"]
        for name in ADDED:
            for k, value in enumerate(values[name]):
                total[name][k] += value


def put_together(time: TimeGrid, days: Sequence[DaySums]) -> tuple[PriceGrid, Sweep]:
    totals = Totals(time)
    for day in days:
        totals.add(day)
    assert totals.prices is not None
    return totals.prices, totals.sweep()


@given(randoms)
def test_days_put_together_are_their_cells_added_one_by_one(rng: random.Random) -> None:
    time, days = some_days(rng)
    prices, got = put_together(time, days)
    plain = Plain(time, prices)
    for day in days:
        plain.add(day)
    covered = np.zeros(time.columns)
    for at, total in plain.columns.items():
        covered[at] = total["covered"][0]
        for name in COLUMN_FIELDS:
            assert np.atleast_1d(got.columns[at][name]).tolist() == (
                total[name] if COLUMN[name].shape else total[name][:1]
            ), name
    untouched = [at for at in range(time.columns) if at not in plain.columns]
    assert not any(got.columns[untouched][name].any() for name in COLUMN_FIELDS)
    image, trades = np.zeros((prices.rows, time.columns)), np.zeros((2, prices.rows, time.columns))
    for (row, at), value in plain.image.items():
        assert 0 <= row < prices.rows
        image[row, at] = value / (covered[at] or 1.0)
    for place, value in plain.trades.items():
        trades[place] = value
    assert np.array_equal(got.image, image)
    assert np.array_equal(got.trades, trades)


@given(randoms)
def test_what_is_not_by_column_is_added_and_the_extremes_kept(rng: random.Random) -> None:
    time, days = some_days(rng)
    _, got = put_together(time, days)
    assert got.spreads.tolist() == [
        sum(values) for values in zip(*(day.spreads.tolist() for day in days), strict=True)
    ]
    for name in LEVEL_FIELDS:
        for side in range(2):
            for place in range(LEVELS):
                cells = [float(day.levels[name][side, place]) for day in days]
                assert got.levels[name][side, place] == sum(cells)
    for name in COUNTS:
        assert getattr(got.counts, name) == sum(getattr(day.counts, name) for day in days)
    traded = [day.traded for day in days if day.traded is not None]
    lows, highs = [low for low, _ in traded], [high for _, high in traded]
    assert got.traded == ((min(lows), max(highs)) if traded else None)


@given(randoms)
def test_a_cell_is_drawn_where_a_day_holds_all_of_its_prices(rng: random.Random) -> None:
    """Or where days that share its column do, between them."""
    time, days = some_days(rng)
    prices, got = put_together(time, days)
    held: dict[int, list[set[int]]] = defaultdict(list)
    for day in days:
        ticks = set(range(day.prices.low, day.prices.end, TICK))
        for column in range(day.time.columns):
            at = (day.time.origin + column * day.time.width - time.origin) // time.width
            held[at].append(ticks)
    for at in range(time.columns):
        among = set().union(*held[at])
        for row in range(prices.rows):
            low = prices.low + row * prices.step
            wanted = set(range(low, low + prices.step, TICK))
            if any(wanted <= ticks for ticks in held[at]):
                assert got.drawn[row, at]
            if got.drawn[row, at]:
                assert wanted <= among


@given(randoms)
def test_more_days_make_rows_coarser_and_lose_nothing(rng: random.Random) -> None:
    """Also where a day's prices lie so far off that all rows of the others become one."""
    time, days = some_days(rng)
    far = PriceGrid.over(TICK * 10 ** rng.randrange(2, 7), TICK * 10 ** rng.randrange(7, 9), TICK)
    far_time = TimeGrid(days[-1].time.origin, MINUTE, 1)
    days.append(some_day(rng, far_time, far))
    rng.shuffle(days)
    totals, before = Totals(time), 0
    image = trades = 0.0
    for day in days:
        totals.add(day)
        got, prices = totals.sweep(), totals.prices
        assert prices is not None
        assert prices.step >= max(before, day.prices.step)
        assert prices.rows <= MAX_ROWS + 1
        before = prices.step
        image += float(day.image.sum())
        trades += float(day.volumes.sum())
        covered = got.columns["covered"]
        rested = got.image * np.where(covered > 0, covered, 1.0)
        assert rested.sum() == pytest.approx(image, rel=1e-12)
        assert got.trades.sum() == trades


prices = st.integers(0, 10**15)
ticks = st.sampled_from([1, 5, 10, 100])
powers = st.integers(0, 12)


def is_power_of_two(number: int) -> bool:
    return number.bit_count() == 1


@given(prices, st.integers(0, 10**13), ticks)
def test_rows_hold_both_ends_and_are_few(low: int, span: int, tick: int) -> None:
    grid = PriceGrid.over(low, low + span, tick)
    assert grid.low <= low
    assert low + span < grid.end == grid.low + grid.rows * grid.step
    assert grid.low % grid.step == 0
    assert grid.step % tick == 0
    assert is_power_of_two(grid.step // tick)
    assert 1 <= grid.rows <= MAX_ROWS + 1
    # no finer rows would do, and none is there in vain
    assert grid.step == tick or span >= grid.step // 2 * MAX_ROWS
    assert low < grid.low + grid.step
    assert grid.end - grid.step <= low + span


@st.composite
def grids(draw: st.DrawFn, tick: int) -> PriceGrid:
    low = draw(st.one_of(st.integers(0, 5000), prices))
    span = draw(st.one_of(st.integers(0, 300), st.integers(0, 10**12)))
    return PriceGrid.over(low, low + span, tick << draw(powers))


@given(ticks, st.data())
def test_a_grid_of_two_holds_the_rows_of_both(tick: int, data: st.DataObject) -> None:
    one, other = data.draw(grids(tick)), data.draw(grids(tick))
    both = one.with_prices_of(other)
    assert both == other.with_prices_of(one)
    assert both.low <= min(one.low, other.low)
    assert both.end >= max(one.end, other.end)
    assert both.low % both.step == 0
    assert both.rows <= MAX_ROWS + 1
    assert both.step >= max(one.step, other.step)
    assert is_power_of_two(both.step // tick)
    for part in (one, other):
        for row, coarse in enumerate(both.rows_of(part).tolist()):
            low = part.low + row * part.step
            assert 0 <= coarse < both.rows
            assert both.low + coarse * both.step <= low
            assert low + part.step <= both.low + (coarse + 1) * both.step
    assert both.with_prices_of(one) == both == both.with_prices_of(both)
    none = PriceGrid(0, tick, 0)
    assert one.with_prices_of(none) == one == none.with_prices_of(one)
    assert none.with_prices_of(none) == none


@given(
    st.integers(0, 10**18),
    st.integers(1, 10**15),
    st.sampled_from([MINUTE, 10**9]),
    st.integers(1, 50),
)
def test_each_column_lies_in_the_wider_one_that_is_named(
    first: int, span: int, width: int, times: int
) -> None:
    assume(span // width < 2000)
    narrow = TimeGrid.of_width(first, first + span, width)
    wide = TimeGrid.of_width(first, first + span, width * times)
    for column, at in enumerate(wide.columns_of(narrow).tolist()):
        start = narrow.origin + column * width
        assert wide.origin + at * wide.width <= start
        assert start + width <= wide.origin + (at + 1) * wide.width

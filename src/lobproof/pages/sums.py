"""What a day adds up to (`DaySums`), and what a picture does of several (`Totals`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lobproof.pages.axes import PriceGrid, TimeGrid
from lobproof.pages.sweep_kernels import COLUMN, LEVEL, SPREAD_BINS, Float64
from lobproof.schema import LEVELS, Int64
from lobproof.schema.records import Records

ADDED = ("covered", "trusted", "spread", "best_time", "best_sum", "messages", "trades", "volume")
"""Fields of ``COLUMN`` that add up over columns."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there were."""

    events: int = 0
    messages: int = 0  # of the book
    trades: int = 0
    outside: int = 0  # trades outside the prices of the image

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.events + other.events,
            self.messages + other.messages,
            self.trades + other.trades,
            self.outside + other.outside,
        )


@dataclass(frozen=True, slots=True)
class DaySums:
    """Sums over a day or a part of it. Prices and sizes are counts; arrays as of ``Canvas``."""

    time: TimeGrid
    prices: PriceGrid
    image: Float64  # (rows, columns): size × ns
    cells: Int64  # (n, 3): taker (0 buyer, 1 seller), row and column where there were trades
    volumes: Float64  # (n,) of them
    columns: Records  # (columns,): COLUMN
    spreads: Float64  # (SPREAD_BINS,): ns of trusted time by spread in ticks
    levels: Records  # (2 sides, LEVELS): LEVEL
    counts: Counts
    traded: tuple[float, float] | None  # lowest and highest price of a trade


@dataclass(frozen=True, slots=True)
class Sweep:
    """Sums over all that is shown. Prices and sizes are counts."""

    image: Float64  # (rows, columns): mean size that rested in the cell while there was data
    drawn: NDArray[np.bool_]  # (rows, columns): whether the cell lies within its day's prices
    trades: Float64  # (buy and sell, rows, columns): volume
    columns: Records  # (columns,): COLUMN
    spreads: Float64  # (SPREAD_BINS,): ns of trusted time by spread in ticks
    levels: Records  # (2 sides, LEVELS): LEVEL
    counts: Counts
    traded: tuple[float, float] | None  # lowest and highest price of a trade


class Totals:
    """Days put together, by date, on columns as wide as theirs or wider.

    The rows follow the days: they span the prices of all, and become coarser where these are too
    many. Rows are powers of two of ticks, so that what was added up stays exact.
    """

    def __init__(self, time: TimeGrid) -> None:
        self.time = time
        self.prices: PriceGrid | None = None
        self._image = np.zeros((0, time.columns))
        self._drawn = np.zeros((0, time.columns), np.bool_)
        self._trades = np.zeros((2, 0, time.columns))
        self._columns = np.zeros(time.columns, COLUMN)
        self._spreads = np.zeros(SPREAD_BINS)
        self._levels = np.zeros((2, LEVELS), LEVEL)
        self._counts = Counts()
        self._traded: tuple[float, float] | None = None

    def add(self, day: DaySums) -> None:
        """Take in the next day."""
        prices = self._make_room(day.prices)
        rows = prices.rows_of(day.prices)
        at = self.time.columns_of(day.time)
        np.add.at(self._image, (rows[:, None], at[None, :]), day.image)
        whole = slice(*prices.whole_rows_of(day.prices))
        self._drawn[whole, at] = True
        taker, row, column = day.cells.T
        np.add.at(self._trades, (taker, rows[row], at[column]), day.volumes)
        self._add_columns(day.columns, at)
        self._spreads += day.spreads
        for name in LEVEL.names or ():
            self._levels[name] += day.levels[name]
        self._counts += day.counts
        if day.traded is not None:
            low, high = self._traded or day.traded
            self._traded = min(low, day.traded[0]), max(high, day.traded[1])

    def _make_room(self, wanted: PriceGrid) -> PriceGrid:
        old = self.prices
        prices = self.prices = wanted if old is None else old.with_prices_of(wanted)
        if prices == old:
            return prices
        image, drawn, trades = self._image, self._drawn, self._trades
        shape = (prices.rows, self.time.columns)
        self._image, self._trades = np.zeros(shape), np.zeros((2, *shape))
        self._drawn = np.zeros(shape, np.bool_)
        if old is not None:
            rows = prices.rows_of(old)
            np.add.at(self._image, rows, image)
            finer = np.zeros(shape, np.int64)
            np.add.at(finer, rows, drawn)
            self._drawn = finer == prices.step // old.step
            for into, from_ in zip(self._trades, trades, strict=True):
                np.add.at(into, rows, from_)
        return prices

    def _add_columns(self, columns: Records, at: Int64) -> None:
        total = self._columns
        seen = columns["trusted"] > 0
        lowest = np.where(total["trusted"] > 0, total["spread_low"], np.inf)
        np.minimum.at(lowest, at[seen], columns["spread_low"][seen])
        total["spread_low"] = np.where(np.isinf(lowest), 0.0, lowest)
        np.maximum.at(total["spread_high"], at[seen], columns["spread_high"][seen])
        there = columns["covered"] > 0
        total["far"][at[there]] = columns["far"][there]  # as the last of them ends
        for name in ADDED:
            np.add.at(total[name], at, columns[name])

    def sweep(self) -> Sweep:
        """All of it."""
        covered = self._columns["covered"]
        mean: NDArray[np.float64] = self._image / np.where(covered > 0, covered, 1.0)
        return Sweep(
            mean,
            self._drawn,
            self._trades,
            self._columns,
            self._spreads,
            self._levels,
            self._counts,
            self._traded,
        )

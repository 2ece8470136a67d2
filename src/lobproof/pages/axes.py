"""The two axes of the pictures: columns of equal time, rows of equal price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lobproof.schema import Int64

MAX_COLUMNS = 1200
MAX_ROWS = 280

_MS, _S = 10**6, 10**9
_WIDTHS = (
    *(n * _MS for n in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(n * _S for n in (1, 2, 5, 10, 15, 30)),
    *(n * 60 * _S for n in (1, 2, 5, 10, 15, 30)),
    *(n * 3600 * _S for n in (1, 2, 3, 6, 12)),
)
_DAY = 86_400 * _S


def nice_width(span: int, parts: int, least: int = _WIDTHS[0]) -> int:
    """The shortest round length of time, ns, of which at most ``parts`` cover ``span``."""
    for width in _WIDTHS:
        if width >= least and span <= width * parts:
            return width
    return _DAY * max(1, -(-span // (_DAY * parts)))


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """``columns`` columns of ``width`` ns from ``origin`` (a multiple of ``width``) on."""

    origin: int
    width: int
    columns: int

    @classmethod
    def over(
        cls, first: int, last: int, columns: int = MAX_COLUMNS, least: int = _WIDTHS[0]
    ) -> TimeGrid:
        """At most ``columns`` columns that hold ``first`` and ``last``, both inclusive."""
        return cls.of_width(
            first, last, nice_width(max(last - first, 1), max(columns - 1, 1), least)
        )

    @classmethod
    def of_width(cls, first: int, last: int, width: int) -> TimeGrid:
        """Columns of that width that hold ``first`` and ``last``, both inclusive."""
        origin = first - first % width
        return cls(origin, width, (last - origin) // width + 1)

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges of the columns in seconds after ``origin``: one more than columns."""
        return np.arange(self.columns + 1, dtype=np.float64) * self.seconds

    def edges_from(self, origin: int) -> NDArray[np.float64]:
        """Edges of the columns in seconds after another origin."""
        return self.edges + (self.origin - origin) / _S

    @property
    def seconds(self) -> float:
        """Length of a column in seconds."""
        return self.width / _S

    def column(self, ts: Int64) -> Int64:
        """Column of each time, those outside in the first or last one."""
        where: Int64 = np.clip((ts - self.origin) // self.width, 0, self.columns - 1)
        return where

    def columns_of(self, other: TimeGrid) -> Int64:
        """The column that holds each column of a grid whose width divides this one's."""
        return self.column(other.origin + other.width * np.arange(other.columns))


@dataclass(frozen=True, slots=True)
class PriceGrid:
    """``rows`` rows of ``step`` counts from ``low`` (counts, a multiple of ``step``) upwards.

    A step is a power of two of ticks, so that the rows of one grid lie within those of a coarser
    one.
    """

    low: int
    step: int
    rows: int

    @classmethod
    def over(cls, low: int, high: int, tick: int) -> PriceGrid:
        """The finest rows, ``MAX_ROWS`` or one more, that hold ``low`` to ``high``, inclusive."""
        step = tick
        while high - low >= step * MAX_ROWS:
            step *= 2
        start = max(low - low % step, 0)
        return cls(start, step, (high - start) // step + 1)

    def with_prices_of(self, other: PriceGrid) -> PriceGrid:
        """A grid that holds the rows of both; one that has none takes no part."""
        if not (self.rows and other.rows):
            return self if self.rows else other
        low, high = min(self.low, other.low), max(self.end, other.end)
        return PriceGrid.over(low, high - 1, max(self.step, other.step))

    @property
    def end(self) -> int:
        """Behind the last row."""
        return self.low + self.rows * self.step

    def rows_of(self, other: PriceGrid) -> Int64:
        """The row that holds each row of a finer grid within this one."""
        rows: Int64 = (other.low - self.low + other.step * np.arange(other.rows)) // self.step
        return rows

    def whole_rows_of(self, other: PriceGrid) -> tuple[int, int]:
        """Rows that a finer grid holds all of: the first, and one behind the last."""
        first = -((self.low - other.low) // self.step)
        return first, max((other.end - self.low) // self.step, first)


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Stretches where ``mask`` holds: first index, one past the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]

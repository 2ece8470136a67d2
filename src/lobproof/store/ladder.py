"""``Ladder``: the best levels of a book at many instants, in columns."""

from __future__ import annotations

import numpy as np
import polars as pl

from lobproof.fixedpoint import to_decimal128
from lobproof.schema import Int64, Side
from lobproof.store.columns import Grid
from lobproof.store.daybook import DayBook
from lobproof.store.layout import Partition
from lobproof.store.views import Numbers

_SIDES = (("bid", Side.BID), ("ask", Side.ASK))


class Ladder:
    """Rows of `Store.sample`, one an instant, in counts on one grid.

    Parameters
    ----------
    instants
        Nanoseconds, (rows,).
    depth
        Levels a side.
    """

    def __init__(self, instants: Int64, depth: int) -> None:
        rows = len(instants)
        self._instants, self._depth = instants, depth
        self._levels = np.zeros((rows, 2, depth, 2), np.int64)
        self._last = np.zeros((rows, 3), np.int64)  # event_id, ts_order, sequence
        self._trusted = np.zeros((rows, 2), np.int64)
        self._known = np.zeros(rows, np.bool_)
        self._reasons = [""] * rows

    def add(self, row: int, book: DayBook, unheard: str) -> None:
        """The book as it stands; ``unheard``: why nothing vouches for it any more, else empty."""
        self._known[row] = True
        self._reasons[row] = book.doubt(unheard)
        self._last[row] = book.event_id, book.ts_order, book.sequence
        for k, (_, side) in enumerate(_SIDES):
            levels = self._levels[row, k]
            trusted = book.book.ladder(side, levels[:, 0], levels[:, 1])
            self._trusted[row, k] = 0 if self._reasons[row] else trusted

    def unknown(self, start: int, stop: int, reason: str) -> None:
        """No sealed day knows anything of those instants."""
        self._reasons[start:stop] = [reason] * (stop - start)

    def frame(self, where: Partition, grid: Grid, numbers: Numbers) -> pl.DataFrame:
        """The rows; see `Store.sample`."""
        columns = {"time": pl.Series(self._instants).cast(pl.Datetime("ns", "UTC"))}
        for k, name in enumerate(("event_id", "ts_order", "sequence")):
            columns[name] = pl.Series(self._last[:, k])
        columns["ts_order"] = columns["ts_order"].cast(pl.Datetime("ns", "UTC"))
        for k, (name, _) in enumerate(_SIDES):
            for level in range(self._depth):
                for field, what in enumerate(("price", "size")):
                    counts = np.ascontiguousarray(self._levels[:, k, level, field])
                    exponent = grid.exponent(what)
                    columns[f"{name}_{level}_{what}"] = _shown(counts, exponent, numbers)
        for k, (name, _) in enumerate(_SIDES):
            columns[f"{name}_trusted"] = pl.Series(self._trusted[:, k])
        known = pl.Series(self._known)
        frame = pl.DataFrame(columns).with_columns(
            pl.when(known).then(pl.col(name)).alias(name) for name in columns if name != "time"
        )
        return frame.select(
            pl.lit(where.exchange).alias("exchange"),
            pl.lit(where.symbol).alias("symbol"),
            pl.all(),
            pl.Series("doubtful", [bool(reason) for reason in self._reasons], pl.Boolean),
            pl.Series("reason", self._reasons, pl.String),
        )


def _shown(counts: Int64, exponent: int, numbers: Numbers) -> pl.Series:
    if numbers == "grid":
        return pl.Series(counts)
    if numbers == "float":
        return pl.Series(counts / float(10**exponent))
    return pl.Series(to_decimal128(counts, exponent))

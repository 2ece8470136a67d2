"""Recorded snapshots against a store that does not hold them: one from Crypto Lake tables.

Each is held against a plain book of the stored events at its id, within the range that both know.
Where that book is not trusted yet (a Lake day starts mid-stream), the snapshot is carried on by the
stored level changes, which ``level_changes`` holds against the recorded ones, up to the row of
`book` that the store was seeded from. Levels that the next depth message names are left out: a
snapshot may lie between two messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import polars as pl

from lobproof.fidelity.exact.lists import Comparison, far_ends, side_by_side
from lobproof.fidelity.exact.plainbook import BOOK, PlainBook
from lobproof.fidelity.exact.walk import Window, book_gaps, depth_rows, doubt_marks, last_rows
from lobproof.schema import Flag, Kind, Side

_COLUMNS = ("ts_order", "sequence", "prev_sequence", "kind", "side", "price", "size")
_CLEAR, _SNAPSHOT, _DELTA = int(Kind.CLEAR), int(Kind.SNAPSHOT), int(Kind.DELTA)
_LOSES = int(Flag.DRIFT | Flag.GHOST_LEVELS | Flag.CROSSED)
"""Rows of the book with one of these: what was known before them does not hold."""


@dataclass(slots=True)
class _Carried:
    """A snapshot and what has changed since."""

    sequence: int
    book: PlainBook
    ends: dict[Side, Decimal]


def compare_unstored(window: Window, recorded: pl.DataFrame) -> list[Comparison]:
    """Walk the events once; comparisons of the snapshots that meet a trusted range, by id.

    ``recorded`` is what the decoder gave: ``message, u, side, price, size``, best first.
    """
    lists = [
        (int(rows["u"][0]), rows.filter(pl.col("side") != 0).select(list(BOOK)))
        for _, rows in recorded.group_by("message", maintain_order=True)
    ]
    return _Walk(window, sorted(lists, key=lambda one: one[0])).run()


class _Walk:
    """One pass over the events."""

    def __init__(self, window: Window, lists: list[tuple[int, pl.DataFrame]]) -> None:
        self._window = window
        self._lists = lists
        self._ids = np.array([sequence for sequence, _ in lists], np.int64)
        self._met = 0
        self._book = PlainBook()
        self._carried: list[_Carried] = []
        self._open: list[tuple[Comparison, pl.DataFrame]] = []  # wait for the next depth message
        self._found: list[Comparison] = []

    def run(self) -> list[Comparison]:
        for rows in self._window.events(_COLUMNS):
            kept = rows.filter(
                ~pl.col("dt").is_in(self._window.known_at_snapshots)
                & (depth_rows() | book_gaps() | doubt_marks() | _listed())
            )
            for run in _runs(kept, self._ids):
                if self._book.enter(self._window, run["dt"][0]):
                    self._leave()
                if run["kind"][0] in (_CLEAR, _SNAPSHOT):
                    self._list(run)
                else:
                    self._changes(run)
            if self._met == len(self._lists) and not self._carried and not self._open:
                break
        self._leave()
        return self._found

    def _leave(self) -> None:
        """No depth message follows on what was met so far."""
        for comparison, joined in self._open:
            comparison.count(joined)
        self._open.clear()
        self._carried.clear()

    def _changes(self, run: pl.DataFrame) -> None:
        """Depth messages and marks, all of them behind the same snapshots."""
        depth = run.filter(depth_rows())
        if depth.height:
            first = depth.row(0, named=True)
            behind = int(np.searchsorted(self._ids, first["sequence"]))
            while self._met < behind:
                sequence, lists = self._lists[self._met]
                self._met += 1
                if len(self._book.trusted) == 2:
                    self._compare(sequence, lists, far_ends(lists), run)
                else:
                    book = PlainBook()
                    book.changes(lists)
                    self._carried.append(_Carried(sequence, book, far_ends(lists)))
            named = depth.filter(pl.col("sequence") == first["sequence"])
            for comparison, joined in self._open:
                comparison.count(joined, named.select("side", "price").unique())
            self._open.clear()
        lost = book_gaps() | doubt_marks() | ((pl.col("flags") & _LOSES) != 0)
        if run.filter(lost).height:
            self._book.gap()
            self._carried.clear()
        changed = depth.filter(pl.col("kind") == _DELTA)
        for book in (self._book, *(one.book for one in self._carried)):
            book.changes(changed)

    def _list(self, run: pl.DataFrame) -> None:
        """A stored snapshot: a row of `book`."""
        listed = run.filter(pl.col("kind") == _SNAPSHOT)
        if run["kind"][0] == _CLEAR:
            self._book.clear()
        elif run["flags"][0] & _LOSES:
            self._book.gap()
        self._book.snapshot(listed)
        for one in self._carried:
            self._compare(one.sequence, one.book.levels, one.ends, run)
        self._carried.clear()

    def _compare(
        self, sequence: int, lists: pl.DataFrame, ends: dict[Side, Decimal], run: pl.DataFrame
    ) -> None:
        instrument = self._window.instrument(run["dt"][0])
        tick = Decimal(instrument.tick).scaleb(-instrument.price_exponent)
        comparison = Comparison(sequence, run.row(0, named=True), tick)
        self._found.append(comparison)
        self._open.append((comparison, side_by_side(self._book, lists, ends)))


def _listed() -> pl.Expr:
    return pl.col("kind").is_in([_CLEAR, _SNAPSHOT])


def _runs(
    rows: pl.DataFrame, ids: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> list[pl.DataFrame]:
    """Rows cut at each snapshot, and where depth messages pass a recorded snapshot's id."""
    listed = _listed()
    of_depth = rows.select(pl.when(listed).then(-1).otherwise("sequence")).to_series().to_numpy()
    passed = np.maximum.accumulate(np.searchsorted(ids, of_depth))
    breaks = (
        (listed != listed.shift(1))
        | (listed & last_rows().shift(1))
        | (pl.struct("passed", "dt") != pl.struct("passed", "dt").shift(1))
    )
    return (
        rows.with_columns(pl.Series("passed", passed))
        .with_columns(breaks.fill_null(value=True).cum_sum().alias("run"))
        .partition_by("run", maintain_order=True, include_key=False)
    )

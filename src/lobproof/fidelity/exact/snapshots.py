"""Gate B, ``snapshots``: recorded REST snapshots against what is stored of them, and the book.

The book is a plain one, made here from the stored events *before* the snapshot's id, and compared
within the range that both know. Levels that the next depth message names are left out: a snapshot
may lie between two messages.

Where the feed's ids form a chain, the store holds the snapshots as rows. Each is held against the
recorded one; those later than the one that the book was seeded from are held against the book. One
that a gap follows can't be compared. One that denies what depth messages said since the anchor is
refuted, and counts only where another says the same.

A store from Crypto Lake tables holds none of them (`_UnstoredWalk`). Where its book is not
trusted yet (a Lake day starts mid-stream), the snapshot is carried on by the stored level changes,
which ``level_changes`` holds against the recorded ones, up to the row of `book` that the store was
seeded from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from lobproof.fidelity.exact.decoder import DECIMAL
from lobproof.fidelity.exact.report import (
    LISTED,
    Check,
    Class,
    Divergence,
    Verdict,
    block_rate,
    not_applicable,
)
from lobproof.fidelity.exact.window import (
    Window,
    book_gaps,
    depth_rows,
    doubt_marks,
    last_rows,
    snapshot_rows,
)
from lobproof.schema import EVERYTHING, UNTRUSTED, Flag, Kind, Side

NAME = "snapshots"
LIMIT = 0.001
RMSE_TICKS = 0.1
RMSE_LEVELS = 20
BOOK = pl.Schema({"side": pl.Int8(), "price": DECIMAL, "size": DECIMAL})

_COLUMNS = ("ts_order", "sequence", "prev_sequence", "kind", "side", "price", "size")
_CLEAR, _SNAPSHOT, _DELTA = int(Kind.CLEAR), int(Kind.SNAPSHOT), int(Kind.DELTA)
_SIDES = (Side.BID, Side.ASK)
_UNLIKE = ~pl.col("size").eq_missing(pl.col("size_book"))
"""Levels of `_side_by_side` that differ, or that only one of both has."""
_NO_LEVELS = pl.DataFrame(schema={"side": BOOK["side"], "price": BOOK["price"]})
_LOSES = int(Flag.DRIFT | Flag.GHOST_LEVELS | Flag.CROSSED)
"""Rows of the book with one of these: what was known before them does not hold."""


class SnapshotCheck:
    """Collects the snapshots of both sides; `result` compares."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._recorded: list[pl.DataFrame] = []
        self._stored: list[pl.DataFrame] = []
        self._refused: set[int] = set()

    def add_recorded(self, rows: pl.DataFrame) -> None:
        """Snapshots of a chunk of the golden sample."""
        if rows.height:
            self._recorded.append(rows)

    def add_stored(self, rows: pl.DataFrame) -> None:
        """A frame of events."""
        if not self._window.chained:
            return  # its snapshots are rows of `book`, never the recorded ones
        found = rows.filter(snapshot_rows())
        if found.height:
            self._stored.append(found)
        invalid = (pl.col("kind") == int(Kind.MARK)) & ((pl.col("flags") & int(Flag.INVALID)) != 0)
        self._refused.update(rows.filter(invalid)["sequence"].to_list())

    def result(self, depth: pl.DataFrame, before: int = -1) -> Check:
        """The check; ``depth`` are the last rows of the store's depth messages.

        ``before``: the id of the last recorded level change before all that are stored.
        """
        if not self._recorded:
            return not_applicable(NAME, "the golden sample has no snapshot")
        recorded = pl.concat(self._recorded)
        holes = _holes(self._window, depth)
        if self._window.chained:
            return self._of_stored(recorded, depth, holes)
        return self._of_unstored(recorded, [(-1, before), *holes])

    def _of_unstored(self, recorded: pl.DataFrame, holes: list[tuple[int, int]]) -> Check:
        about = {"recorded": recorded["message"].n_unique(), "stored": 0}
        for first, stop in holes:
            recorded = recorded.filter(~pl.col("u").is_between(first, stop, closed="left"))
        found = _UnstoredWalk(self._window, recorded).run()
        about["held"] = len(found)
        if not found:
            why = "no recorded snapshot meets a trusted range of the stored book"
            return not_applicable(NAME, why, listings=about)
        return _judge(found, {"listings": about})

    def _of_stored(
        self, recorded: pl.DataFrame, depth: pl.DataFrame, holes: list[tuple[int, int]]
    ) -> Check:
        """Every listing first; those later than a seed against the book too."""
        stored = pl.concat(self._stored) if self._stored else None
        seeds = 0
        listings = {"recorded": 0, "stored": 0, "equal": 0, "refused": 0, "outside": 0}
        later: dict[int, pl.DataFrame] = {}
        wrong: Divergence | None = None
        taken: set[int] = set()
        for (_,), lists in recorded.group_by("message", maintain_order=True):
            sequence = int(lists["u"][0])
            listings["recorded"] += 1
            mine = stored.filter(pl.col("sequence") == sequence) if stored is not None else None
            if mine is None or not mine.height or sequence in taken:
                time = _before(depth, sequence)
                if sequence in self._refused or sequence in taken:
                    listings["refused"] += 1
                elif time is None or any(first <= sequence < stop for first, stop in holes):
                    listings["outside"] += 1
                else:
                    what = f"the snapshot of id {sequence} is not stored"
                    wrong = wrong or Divergence(NAME, Class.MISSING, sequence, time, what)
                continue
            taken.add(sequence)
            listings["stored"] += 1
            # one id may have come twice; the first listing is compared
            mine = mine.head(int(mine.select(last_rows().arg_true()).to_series()[0]) + 1)
            anchor = mine["kind"][0] == _CLEAR
            rows = mine.filter(pl.col("kind") == _SNAPSHOT)
            if lists.select(list(BOOK)).equals(rows.select(list(BOOK))):
                listings["equal"] += 1
            else:
                wrong = wrong or _not_as_listed(rows, lists)
            if anchor:
                seeds += 1
            else:
                later[int(rows["sequence"][0])] = lists
        details: dict[str, Any] = {"listings": listings, "seeds": seeds}
        if wrong:
            return Check(
                NAME,
                Verdict.FAIL,
                listings["recorded"],
                listings["stored"],
                listings["equal"],
                reason=wrong.detail,
                details=details,
                first=wrong,
            )
        if not later:
            return not_applicable(NAME, "no snapshot later than the one that seeds", **details)
        found, skipped = _StoredWalk(self._window, later).run()
        details = {**details, **skipped}
        if not found:
            return not_applicable(NAME, "no later snapshot can be compared", **details)
        return _judge(found, details)


def _holes(window: Window, depth: pl.DataFrame) -> list[tuple[int, int]]:
    """Ids between days of which the later one does not go on where the other ends.

    The last id before, and the first one after.
    """
    ends = depth.group_by("dt", maintain_order=True).agg(
        pl.col("sequence").first().alias("first"), pl.col("sequence").last().alias("last")
    )
    days = list(ends.iter_rows(named=True))
    return [
        (one["last"], other["first"])
        for one, other in pairwise(days)
        if not window.joined(one["dt"], other["dt"])
    ]


def _before(depth: pl.DataFrame, sequence: int) -> int | None:
    """Time of the depth message before an update id, None unless one follows as well."""
    earlier = depth.filter(pl.col("sequence") <= sequence)
    if earlier.height in (0, depth.height):
        return None
    return int(earlier["ts_order"][-1])


def _not_as_listed(rows: pl.DataFrame, lists: pl.DataFrame) -> Divergence:
    joined = (
        lists.select(list(BOOK))
        .with_row_index("slot")
        .join(
            rows.select(*BOOK, "event_id", "dt", "ts_order").with_row_index("slot"),
            on="slot",
            how="full",
            coalesce=True,
            suffix="_stored",
        )
        .sort("slot")
    )
    alike = pl.all_horizontal(*(pl.col(name).eq_missing(pl.col(f"{name}_stored")) for name in BOOK))
    row = joined.filter(~alike).row(0, named=True)
    sequence = int(lists["u"][0])
    return Divergence(
        NAME,
        Class.SEED,
        sequence,
        int(row["ts_order"] or rows["ts_order"][0]),
        f"row {row['slot']} of the snapshot of id {sequence} is not stored as it was recorded",
        dt=row["dt"],
        event_id=row["event_id"],
        expected={name: row[name] for name in BOOK},
        found={name: row[f"{name}_stored"] for name in BOOK},
    )


def _judge(found: list[_Comparison], details: dict[str, Any]) -> Check:
    """The rate of levels that differ, over all snapshots that were held against the book."""
    compared = np.array([c.compared for c in found], np.int64)
    equal = np.array([c.equal for c in found], np.int64)
    in_flight = sum(c.in_flight for c in found)
    rate = block_rate(compared - equal, compared)
    price_rmse = _rms([e for c in found for e in c.price_errors])
    details = {
        **details,
        "later": len(found),
        "all_equal": sum(c.compared == c.equal for c in found),
        "touch_equal": sum(c.touch_equal for c in found),
        "ghosts": sum(c.ghosts for c in found),
        "missing": sum(c.missing for c in found),
        "in_flight": in_flight,
        "price_rmse_ticks": price_rmse,
        "size_rmse_rel": _rms([e for c in found for e in c.size_errors]),
        "snapshots": [c.to_dict() for c in found[:LISTED]],
    }
    if not rate.compared:
        return not_applicable(NAME, "no later snapshot meets a trusted range", **details)
    verdict = rate.verdict(LIMIT)
    if price_rmse > RMSE_TICKS:
        verdict = Verdict.FAIL
    first = next((_contradicted(c, *c.first) for c in found if c.first), None)
    return Check(
        NAME,
        verdict,
        rate.compared + in_flight,
        rate.compared,
        int(equal.sum()),
        bound=rate.upper,
        limit=LIMIT,
        reason=first.detail if first else "",
        details=details,
        first=first,
    )


def _contradicted(worst: _Comparison, kind: Class, row: dict[str, Any]) -> Divergence:
    return Divergence.at(
        NAME,
        kind,
        {**worst.row, "sequence": worst.sequence},
        f"the snapshot of id {worst.sequence} contradicts the book: {worst.ghosts} ghosts, "
        f"{worst.missing} missing, {worst.equal} of {worst.compared} levels equal",
        expected={"side": row["side"], "price": row["price"], "size": row["size"]},
        found={"side": row["side"], "price": row["price"], "size": row["size_book"]},
    )


# the plain book, and a list of levels beside it


class PlainBook:
    """A book as a frame of levels: the last size that was said of each price.

    ``trusted`` maps each side that is known to be complete to how far: a price, or None for all
    of it.
    """

    def __init__(self) -> None:
        self.levels = pl.DataFrame(schema=BOOK)
        self.trusted: dict[Side, Decimal | None] = {}
        self._dt = ""

    def enter(self, window: Window, dt: str) -> bool:
        """Go on into a day; where it does not join the last one, with the book that opens it.

        That is the one that the store keeps. Returns whether it was taken.
        """
        joined = self._dt != "" and window.joined(self._dt, dt)
        self._dt = dt
        if joined:
            return False
        self.clear()
        frame = (
            window.table("keyframes")
            .filter((pl.col("dt") == dt) & (pl.col("event_id") < 0))
            .collect()
        )
        self.changes(frame.filter(pl.col("price") > 0))
        for side in _SIDES:
            header = frame.filter((pl.col("side") == int(side)) & (pl.col("price") == 0))
            if header.height and header["trust"][0] != UNTRUSTED:
                complete = header["trust"][0] == EVERYTHING
                self.trusted[side] = None if complete else header["trusted_to"][0]
        return True

    def changes(self, rows: pl.DataFrame) -> None:
        """Level changes in order; 0 removes."""
        self.levels = (
            pl.concat([self.levels, rows.select(list(BOOK))])
            .unique(["side", "price"], keep="last", maintain_order=True)
            .filter(pl.col("size") > 0)
        )

    def clear(self) -> None:
        """Nothing is known from here."""
        self.levels = self.levels.clear()
        self.trusted = {}

    def gap(self) -> None:
        """Changes are missing: what is there may be right, but need not be."""
        self.trusted = {}

    def snapshot(self, rows: pl.DataFrame) -> None:
        """A snapshot's rows: each side from the touch to its worst price is as listed."""
        for side in _SIDES:
            listed = rows.filter(pl.col("side") == int(side))
            if not listed.height:
                continue
            worst = listed["price"][-1]
            complete = bool(listed["flags"][0] & int(Flag.COMPLETE))
            stale = (pl.col("side") == int(side)) & (
                pl.lit(value=True) if complete else ~beyond(side, worst)
            )
            self.levels = self.levels.filter(~stale)
            known = self.trusted.get(side, worst)
            wider = known is not None and (worst < known if side == Side.BID else worst > known)
            self.trusted[side] = None if complete else (worst if wider else known)
        self.changes(rows)

    def side(self, side: Side) -> pl.DataFrame:
        """Levels of one side, best first: ``price, size``."""
        rows = self.levels.filter(pl.col("side") == int(side)).select("price", "size")
        return rows.sort("price", descending=side == Side.BID)


def beyond(side: Side, price: Decimal) -> pl.Expr:
    """Whether ``price`` lies further from the touch than a price."""
    limit = pl.lit(price, DECIMAL)
    return pl.col("price") < limit if side == Side.BID else pl.col("price") > limit


@dataclass(slots=True)
class _Comparison:
    """A listed book beside the stored one at its id."""

    sequence: int
    row: dict[str, Any]  # the stored row where they were compared
    tick: Decimal
    joined: pl.DataFrame  # of `_side_by_side`
    compared: int = 0
    equal: int = 0
    ghosts: int = 0  # in the book, not in the list
    missing: int = 0  # in the list, not in the book
    in_flight: int = 0  # left out: the next depth message names them
    touch_equal: bool = True
    price_errors: list[float] = field(default_factory=list)
    size_errors: list[float] = field(default_factory=list)
    first: tuple[Class, dict[str, Any]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "sequence": self.sequence,
            "dt": self.row["dt"],
            "event_id": self.row["event_id"],
            "compared": self.compared,
            "equal": self.equal,
            "ghosts": self.ghosts,
            "missing": self.missing,
            "in_flight": self.in_flight,
            "touch_equal": self.touch_equal,
            "price_rmse_ticks": _rms(self.price_errors),
            "size_rmse_rel": _rms(self.size_errors),
        }

    def without(self, named: pl.DataFrame) -> pl.DataFrame:
        """The levels of both, but for those (side, price) that are in flight."""
        return self.joined.join(named, on=["side", "price"], how="anti", maintain_order="left")

    def count(self, named: pl.DataFrame) -> None:
        """Count the levels of both, but for those (side, price) that are in flight."""
        left = self.without(named)
        self.in_flight = self.joined.height - left.height
        self.compared = left.height
        wrong = left.filter(_UNLIKE)
        self.equal = left.height - wrong.height
        self.ghosts = wrong["size"].null_count()
        self.missing = wrong["size_book"].null_count()
        for side in _SIDES:
            here = left.filter(pl.col("side") == int(side))
            theirs, mine = here.drop_nulls("size"), here.drop_nulls("size_book")
            depth = min(theirs.height, mine.height, RMSE_LEVELS)
            errors = theirs["price"].head(depth) - mine["price"].head(depth)
            self.price_errors += [float(error / self.tick) for error in errors]
            self.touch_equal &= not here.head(1).filter(_UNLIKE).height
        both = left.drop_nulls()
        self.size_errors = (
            (both["size_book"] - both["size"]).cast(pl.Float64) / both["size"].cast(pl.Float64)
        ).to_list()
        if wrong.height:
            row = wrong.row(0, named=True)
            kind = Class.CHANGED
            if row["size"] is None:
                kind = Class.EXTRA
            elif row["size_book"] is None:
                kind = Class.MISSING
            self.first = (kind, row)


def _rms(errors: list[float]) -> float:
    """Root mean square; 0 of nothing."""
    return float(np.sqrt(np.mean(np.square(errors)))) if errors else 0.0


def _far_ends(lists: pl.DataFrame) -> dict[Side, Decimal | None]:
    """How far a list reaches on each side that it lists: its worst price."""
    return {
        side: rows["price"][-1]
        for side in _SIDES
        if (rows := lists.filter(pl.col("side") == int(side))).height
    }


def _side_by_side(
    book: PlainBook, lists: pl.DataFrame, ends: Mapping[Side, Decimal | None]
) -> pl.DataFrame:
    """Levels of a list and of the book within the range that both know, best first.

    Parameters
    ----------
    lists
        ``side, price, size``.
    ends
        How far the list reaches on each side: a price, or None for all of it.
    """
    frames = [pl.DataFrame(schema=pl.Schema({**BOOK, "size_book": BOOK["size"]}))]
    for side in _SIDES:
        if side not in book.trusted or side not in ends:
            continue
        theirs = lists.filter(pl.col("side") == int(side)).select("price", "size")
        mine = book.side(side)
        for end in (book.trusted[side], ends[side]):
            if end is not None:
                theirs, mine = theirs.filter(~beyond(side, end)), mine.filter(~beyond(side, end))
        frames.append(
            theirs.join(mine, on="price", how="full", coalesce=True, suffix="_book")
            .select(pl.lit(int(side), pl.Int8).alias("side"), "price", "size", "size_book")
            .sort("price", descending=side == Side.BID)
        )
    return pl.concat(frames)


# one pass over the events, which keeps the plain book and stops at snapshots


class _Walk(ABC):
    """What both ways have in common; ``ids`` are those of snapshots that are no rows of events."""

    kept = depth_rows() | book_gaps() | snapshot_rows()
    """Rows of events that matter."""

    def __init__(self, window: Window, ids: Sequence[int] = ()) -> None:
        self._window = window
        self._ids = np.array(ids, np.int64)
        self._book = PlainBook()
        self._found: list[_Comparison] = []

    def _pass(self) -> None:
        for rows in self._window.events(_COLUMNS):
            for run in self._runs(rows.filter(self.kept)):
                if self._book.enter(self._window, run["dt"][0]):
                    self._start_anew()
                if run["kind"][0] in (_CLEAR, _SNAPSHOT):
                    self._list(run)
                else:
                    self._change(run)
            if self._done():
                return

    def _runs(self, rows: pl.DataFrame) -> list[pl.DataFrame]:
        """Rows cut at each snapshot, and where depth messages pass one of ``ids``."""
        listed = snapshot_rows()
        ids = rows.select(pl.when(listed).then(-1).otherwise("sequence")).to_series().to_numpy()
        passed = np.maximum.accumulate(np.searchsorted(self._ids, ids))
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

    def _comparison(
        self,
        sequence: int,
        lists: pl.DataFrame,
        ends: Mapping[Side, Decimal | None],
        run: pl.DataFrame,
    ) -> _Comparison:
        """A list beside the book as it stands before a run of events."""
        instrument = self._window.instruments[run["dt"][0]]
        tick = Decimal(instrument.tick).scaleb(-instrument.price_exponent)
        joined = _side_by_side(self._book, lists, ends)
        return _Comparison(sequence, run.row(0, named=True), tick, joined)

    def _start_anew(self) -> None:
        """Forget what waits, where a day begins that does not join the one before."""
        return

    @abstractmethod
    def _list(self, run: pl.DataFrame) -> None:
        """Take a stored snapshot."""

    @abstractmethod
    def _change(self, run: pl.DataFrame) -> None:
        """Take depth messages and marks, all of them behind the same snapshots."""

    @abstractmethod
    def _done(self) -> bool:
        """Whether what follows makes no difference."""


class _StoredWalk(_Walk):
    """Compares snapshots that the store holds; ``later`` maps ids to what was recorded."""

    def __init__(self, window: Window, later: dict[int, pl.DataFrame]) -> None:
        super().__init__(window)
        self._later = later
        self._told = _NO_LEVELS  # levels that depth messages named since the anchor
        self._open: list[tuple[_Comparison, pl.DataFrame]] = []  # with the rows stored of it
        # of what denies the chain: in flight, and the levels denied
        self._refuted: list[tuple[_Comparison, pl.DataFrame, pl.DataFrame]] = []
        self._in_gap = 0

    def run(self) -> tuple[list[_Comparison], dict[str, int]]:
        """What was compared; how many were not: behind which a gap lies, and refuted ones."""
        self._pass()
        self._settle(_NO_LEVELS)
        believed = _say_the_same([denied for *_, denied in self._refuted])
        for at in believed:
            comparison, named, _ = self._refuted[at]
            comparison.count(named)
            self._found.append(comparison)
        self._found.sort(key=lambda comparison: comparison.sequence)
        skipped = {"in_gap": self._in_gap, "refuted": len(self._refuted) - len(believed)}
        return self._found, skipped

    def _done(self) -> bool:
        return not self._later and not self._open

    def _list(self, run: pl.DataFrame) -> None:
        rows = run.filter(pl.col("kind") == _SNAPSHOT)
        if run["kind"][0] == _CLEAR:
            self._book.clear()
            self._told = _NO_LEVELS
        elif (lists := self._later.pop(int(run["sequence"][0]), None)) is not None:
            ends = _far_ends(lists)
            for side in _SIDES:  # a side that is listed whole reaches everywhere
                mine = rows.filter(pl.col("side") == int(side))
                if not mine.height or mine["flags"][0] & int(Flag.COMPLETE):
                    ends[side] = None
            comparison = self._comparison(int(run["sequence"][0]), lists, ends, run)
            self._open.append((comparison, rows))
            return
        self._book.snapshot(rows)

    def _change(self, run: pl.DataFrame) -> None:
        if self._open and run.select(book_gaps()).to_series()[0]:
            self._in_gap += len(self._open)
            if run["flags"][0] & int(Flag.RESYNC):  # they bridge it
                for _, rows in self._open:
                    self._book.snapshot(rows)
            self._open.clear()
        depth = run.filter(depth_rows())
        if self._open and depth.height:
            first = pl.col("sequence") == depth["sequence"][0]
            self._settle(depth.filter(first).select("side", "price").unique())
        if run.filter(book_gaps() & ((pl.col("flags") & int(Flag.RESYNC)) == 0)).height:
            self._book.gap()
            self._told = _NO_LEVELS
        changed = depth.filter(pl.col("kind") == _DELTA)
        self._book.changes(changed)
        self._told = pl.concat([self._told, changed.select("side", "price")]).unique()

    def _settle(self, named: pl.DataFrame) -> None:
        """Judge what waits for the next depth message, which names these levels."""
        for comparison, rows in self._open:
            left = comparison.without(named)
            wrong = left.filter(_UNLIKE)
            denied = wrong.join(self._told, on=["side", "price"], how="semi")
            if denied.height:
                # another symbol's book says the same twice too, and shares hardly a level
                may_be = denied if left.height >= 2 * wrong.height else denied.clear()
                self._refuted.append((comparison, named, may_be))
                continue
            comparison.count(named)
            self._found.append(comparison)
            if wrong.height:  # one snapshot against another
                self._book.gap()
                self._told = _NO_LEVELS
            else:
                self._book.snapshot(rows)
        self._open.clear()


def _say_the_same(denials: list[pl.DataFrame]) -> set[int]:
    """Which of these snapshots say of a level, against the same book, what another says."""
    if len(denials) < 2:
        return set()
    said = pl.concat(
        denied.select("side", "price", "size", "size_book", pl.lit(at).alias("at"))
        for at, denied in enumerate(denials)
    )
    alike = said.group_by("side", "price", "size", "size_book").agg("at")
    return set(alike.filter(pl.col("at").list.len() > 1)["at"].explode().to_list())


@dataclass(slots=True)
class _Carried:
    """A snapshot and what has changed since."""

    sequence: int
    book: PlainBook
    ends: Mapping[Side, Decimal | None]


class _UnstoredWalk(_Walk):
    """Compares snapshots that the store does not hold: one from Crypto Lake tables.

    ``recorded`` is what the decoder gave: ``message, u, side, price, size``, best first.
    """

    def __init__(self, window: Window, recorded: pl.DataFrame) -> None:
        lists = [
            (int(rows["u"][0]), rows.filter(pl.col("side") != 0).select(list(BOOK)))
            for _, rows in recorded.group_by("message", maintain_order=True)
        ]
        self._lists = sorted(lists, key=lambda one: one[0])
        super().__init__(window, [sequence for sequence, _ in self._lists])
        in_full = ~pl.col("dt").is_in(window.known_at_snapshots)
        self.kept = in_full & (self.kept | doubt_marks())
        self._met = 0
        self._carried: list[_Carried] = []
        self._open: list[_Comparison] = []  # wait for the next depth message

    def run(self) -> list[_Comparison]:
        """Comparisons of the snapshots that meet a trusted range, by id."""
        self._pass()
        self._start_anew()
        return self._found

    def _done(self) -> bool:
        return self._met == len(self._lists) and not self._carried and not self._open

    def _start_anew(self) -> None:
        """No depth message follows on what was met so far."""
        self._settle(_NO_LEVELS)
        self._carried.clear()

    def _list(self, run: pl.DataFrame) -> None:
        """A row of `book`, which proves what was carried on to it."""
        if run["kind"][0] == _CLEAR:
            self._book.clear()
        elif run["flags"][0] & _LOSES:
            self._book.gap()
        self._book.snapshot(run.filter(pl.col("kind") == _SNAPSHOT))
        for one in self._carried:
            self._open.append(self._comparison(one.sequence, one.book.levels, one.ends, run))
        self._carried.clear()

    def _change(self, run: pl.DataFrame) -> None:
        depth = run.filter(depth_rows())
        if depth.height:
            first = int(depth["sequence"][0])
            behind = int(np.searchsorted(self._ids, first))
            for sequence, lists in self._lists[self._met : behind]:
                if len(self._book.trusted) == 2:
                    self._open.append(self._comparison(sequence, lists, _far_ends(lists), run))
                else:
                    book = PlainBook()
                    book.changes(lists)
                    self._carried.append(_Carried(sequence, book, _far_ends(lists)))
            self._met = max(self._met, behind)
            named = depth.filter(pl.col("sequence") == first)
            self._settle(named.select("side", "price").unique())
        lost = book_gaps() | doubt_marks() | ((pl.col("flags") & _LOSES) != 0)
        if run.filter(lost).height:
            self._book.gap()
            self._carried.clear()
        changed = depth.filter(pl.col("kind") == _DELTA)
        for book in (self._book, *(one.book for one in self._carried)):
            book.changes(changed)

    def _settle(self, named: pl.DataFrame) -> None:
        """Count what waits for the next depth message, which names these levels."""
        for comparison in self._open:
            comparison.count(named)
        self._found += self._open
        self._open.clear()

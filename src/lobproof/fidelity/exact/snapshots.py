"""``snapshots``: recorded REST snapshots against what is stored of them, and against the book.

A later snapshot (not the one that the book was seeded from) is compared with a plain book that is
made here from the stored events *before* it, within the range that the book is trusted in. Levels
that the next depth message names are left out: the snapshot may lie between two messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from lobproof.fidelity.exact.bounds import block_rate
from lobproof.fidelity.exact.plainbook import BOOK, PlainBook, beyond
from lobproof.fidelity.exact.report import (
    LISTED,
    Check,
    Class,
    Divergence,
    Verdict,
    not_applicable,
)
from lobproof.fidelity.exact.walk import Window, book_gaps, depth_rows, last_rows
from lobproof.schema import Flag, Kind, Side

NAME = "snapshots"
LIMIT = 0.001
RMSE_TICKS = 0.1
RMSE_LEVELS = 20
_COLUMNS = ("ts_order", "sequence", "kind", "side", "price", "size")
_CLEAR, _SNAPSHOT = int(Kind.CLEAR), int(Kind.SNAPSHOT)


@dataclass(slots=True)
class _Comparison:
    """A later snapshot beside the book before it."""

    sequence: int
    row: dict[str, Any]  # the stored snapshot's first row
    tick: Decimal
    compared: int = 0
    equal: int = 0
    ghosts: int = 0  # in the book, not in the snapshot
    missing: int = 0  # in the snapshot, not in the book
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


def _rms(errors: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(errors)))) if errors else 0.0


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
        found = rows.filter(pl.col("kind").is_in([_CLEAR, _SNAPSHOT]))
        if found.height:
            self._stored.append(found)
        invalid = (pl.col("kind") == int(Kind.MARK)) & ((pl.col("flags") & int(Flag.INVALID)) != 0)
        self._refused.update(rows.filter(invalid)["sequence"].to_list())

    def result(self, depth: pl.DataFrame) -> Check:
        """The check; ``depth`` are the last rows of the store's depth messages."""
        if not self._recorded:
            return not_applicable(NAME, "the golden sample has no snapshot")
        recorded = pl.concat(self._recorded)
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
                if sequence in self._refused or sequence in taken:
                    listings["refused"] += 1
                elif (before := _before(depth, sequence)) is not None:
                    wrong = wrong or _absent(sequence, before)
                else:
                    listings["outside"] += 1
                continue
            taken.add(sequence)
            listings["stored"] += 1
            # one id may have come twice; the first listing is compared
            ends = mine.select(((pl.col("flags") & int(Flag.LAST)) != 0).arg_true()).to_series()
            mine = mine.head(int(ends[0]) + 1)
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
        return self._judge(_compare_all(self._window, later), details)

    def _judge(self, found: list[_Comparison], details: dict[str, Any]) -> Check:
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


def _before(depth: pl.DataFrame, sequence: int) -> int | None:
    """Time of the depth message before an update id, None unless one follows as well."""
    earlier = depth.filter(pl.col("sequence") <= sequence)
    if earlier.height in (0, depth.height):
        return None
    return int(earlier["ts_order"][-1])


def _absent(sequence: int, time: int) -> Divergence:
    return Divergence(
        NAME, Class.MISSING, sequence, time, f"the snapshot of id {sequence} is not stored"
    )


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


def _contradicted(worst: _Comparison, kind: Class, row: dict[str, Any]) -> Divergence:
    return Divergence(
        NAME,
        kind,
        worst.sequence,
        int(worst.row["ts_order"]),
        f"the snapshot of id {worst.sequence} contradicts the book: {worst.ghosts} ghosts, "
        f"{worst.missing} missing, {worst.equal} of {worst.compared} levels equal",
        dt=worst.row["dt"],
        event_id=int(worst.row["event_id"]),
        expected={"side": row["side"], "price": row["price"], "size": row["size"]},
        found={"side": row["side"], "price": row["price"], "size": row["size_book"]},
    )


def _compare_all(window: Window, later: dict[int, pl.DataFrame]) -> list[_Comparison]:
    """Walk the book's events once and stop before each later snapshot."""
    book = PlainBook()
    book.open(window)
    found: list[_Comparison] = []
    open_: list[tuple[_Comparison, pl.DataFrame]] = []  # wait for the next depth message

    def settle(changes: pl.DataFrame) -> None:
        if not open_ or not changes.height:
            return
        named = changes.filter(pl.col("sequence") == changes["sequence"][0])
        for comparison, joined in open_:
            _count(comparison, joined, named.select("side", "price").unique())
        open_.clear()

    for rows in window.events(_COLUMNS):
        book_rows = rows.filter(
            depth_rows() | book_gaps() | pl.col("kind").is_in([_CLEAR, _SNAPSHOT])
        ).with_columns(pl.col("kind").is_in([_CLEAR, _SNAPSHOT]).alias("run"))
        # a snapshot is a run of its own; depth messages and marks between two share one
        breaks = ((pl.col("kind") == _SNAPSHOT) | (pl.col("kind") == _CLEAR)) & (
            last_rows().shift(1)
        ) | (pl.col("run") != pl.col("run").shift(1))
        runs = book_rows.with_columns(breaks.fill_null(value=True).cum_sum().alias("run"))
        for (_,), run in runs.group_by("run", maintain_order=True):
            kinds = set(run["kind"].unique())
            if not kinds & {_CLEAR, _SNAPSHOT}:
                settle(run.filter(depth_rows()))
                if run.filter(book_gaps() & ((pl.col("flags") & int(Flag.RESYNC)) == 0)).height:
                    book.gap()
                book.changes(run.filter(pl.col("kind") == int(Kind.DELTA)))
                continue
            listed = run.filter(pl.col("kind") == _SNAPSHOT)
            if _CLEAR in kinds:
                book.clear()
            elif (lists := later.pop(int(run["sequence"][0]), None)) is not None:
                instrument = window.instrument(run["dt"][0])
                tick = Decimal(instrument.tick).scaleb(-instrument.price_exponent)
                comparison = _Comparison(int(run["sequence"][0]), run.row(0, named=True), tick)
                found.append(comparison)
                open_.append((comparison, _join(book, listed, lists)))
            book.snapshot(listed)
    settle_empty = pl.DataFrame(schema={"side": pl.Int8(), "price": pl.Decimal(38, 18)})
    for comparison, joined in open_:
        _count(comparison, joined, settle_empty)
    return found


def _join(book: PlainBook, listed: pl.DataFrame, lists: pl.DataFrame) -> pl.DataFrame:
    """Levels of snapshot and book side by side within the range that both know, best first."""
    frames = []
    for side in (Side.BID, Side.ASK):
        if side not in book.trusted:
            continue
        theirs = lists.filter(pl.col("side") == int(side)).select("price", "size")
        mine = book.side(side)
        rows = listed.filter(pl.col("side") == int(side))
        complete = not rows.height or bool(rows["flags"][0] & int(Flag.COMPLETE))
        ends = [book.trusted[side], None if complete else theirs["price"][-1]]
        for end in ends:
            if end is not None:
                theirs, mine = theirs.filter(~beyond(side, end)), mine.filter(~beyond(side, end))
        frames.append(
            theirs.join(mine, on="price", how="full", coalesce=True, suffix="_book")
            .select(pl.lit(int(side), pl.Int8).alias("side"), "price", "size", "size_book")
            .sort("price", descending=side == Side.BID)
        )
    return (
        pl.concat(frames)
        if frames
        else pl.DataFrame(schema=pl.Schema({**BOOK, "size_book": pl.Decimal(38, 18)}))
    )


def _count(comparison: _Comparison, joined: pl.DataFrame, named: pl.DataFrame) -> None:
    left = joined.join(named, on=["side", "price"], how="anti", maintain_order="left")
    comparison.in_flight += joined.height - left.height
    comparison.compared += left.height
    wrong = left.filter(~pl.col("size").eq_missing(pl.col("size_book")))
    comparison.equal += left.height - wrong.height
    comparison.ghosts += wrong["size"].null_count()
    comparison.missing += wrong["size_book"].null_count()
    for side in (Side.BID, Side.ASK):
        here = left.filter(pl.col("side") == int(side))
        theirs, mine = here.drop_nulls("size"), here.drop_nulls("size_book")
        depth = min(theirs.height, mine.height, RMSE_LEVELS)
        errors = theirs["price"].head(depth) - mine["price"].head(depth)
        comparison.price_errors += [float(error / comparison.tick) for error in errors]
        touch = here.head(1).filter(~pl.col("size").eq_missing(pl.col("size_book")))
        comparison.touch_equal &= not touch.height
    both = left.drop_nulls()
    comparison.size_errors += (
        (both["size_book"] - both["size"]).cast(pl.Float64) / both["size"].cast(pl.Float64)
    ).to_list()
    if wrong.height:
        row = wrong.row(0, named=True)
        kind = Class.STALE
        if row["size"] is None:
            kind = Class.EXTRA
        elif row["size_book"] is None:
            kind = Class.MISSING
        comparison.first = (kind, row)

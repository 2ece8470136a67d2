"""``snapshots``: recorded REST snapshots against what is stored of them, and against the book.

A later snapshot (not the one that the book was seeded from) is compared with a plain book that is
made here from the stored events *before* it, within the range that the book is trusted in. Levels
that the next depth message names are left out: the snapshot may lie between two messages. One that
a gap follows can't be compared. One that denies what depth messages said since the anchor is
refuted, and counts only where another says the same.

A store from Crypto Lake has no such rows: see :mod:`lobproof.fidelity.exact.unstored`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from lobproof.fidelity.exact.bounds import block_rate
from lobproof.fidelity.exact.lists import Comparison, far_ends, rms, side_by_side
from lobproof.fidelity.exact.plainbook import BOOK, PlainBook
from lobproof.fidelity.exact.report import (
    LISTED,
    Check,
    Class,
    Divergence,
    Verdict,
    not_applicable,
)
from lobproof.fidelity.exact.unstored import compare_unstored
from lobproof.fidelity.exact.walk import Window, book_gaps, depth_rows, last_rows
from lobproof.schema import Flag, Kind, Side

NAME = "snapshots"
LIMIT = 0.001
RMSE_TICKS = 0.1
_COLUMNS = ("ts_order", "sequence", "prev_sequence", "kind", "side", "price", "size")
_CLEAR, _SNAPSHOT = int(Kind.CLEAR), int(Kind.SNAPSHOT)


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
        found = rows.filter(pl.col("kind").is_in([_CLEAR, _SNAPSHOT]))
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
        if not self._window.chained:
            about = {"recorded": recorded["message"].n_unique(), "stored": 0}
            for first, stop in ((-1, before), *holes):
                recorded = recorded.filter(~pl.col("u").is_between(first, stop, closed="left"))
            found = compare_unstored(self._window, recorded)
            about["held"] = len(found)
            if not found:
                why = "no recorded snapshot meets a trusted range of the stored book"
                return not_applicable(NAME, why, listings=about)
            return self._judge(found, {"listings": about})
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
                elif any(first <= sequence < stop for first, stop in holes):
                    listings["outside"] += 1
                elif (time := _before(depth, sequence)) is not None:
                    wrong = wrong or _absent(sequence, time)
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
        found, unlike = _compare_all(self._window, later)
        details = {**details, **unlike}
        if not found:
            return not_applicable(NAME, "no later snapshot can be compared", **details)
        return self._judge(found, details)

    def _judge(self, found: list[Comparison], details: dict[str, Any]) -> Check:
        compared = np.array([c.compared for c in found], np.int64)
        equal = np.array([c.equal for c in found], np.int64)
        in_flight = sum(c.in_flight for c in found)
        rate = block_rate(compared - equal, compared)
        price_rmse = rms([e for c in found for e in c.price_errors])
        details = {
            **details,
            "later": len(found),
            "all_equal": sum(c.compared == c.equal for c in found),
            "touch_equal": sum(c.touch_equal for c in found),
            "ghosts": sum(c.ghosts for c in found),
            "missing": sum(c.missing for c in found),
            "in_flight": in_flight,
            "price_rmse_ticks": price_rmse,
            "size_rmse_rel": rms([e for c in found for e in c.size_errors]),
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


def _contradicted(worst: Comparison, kind: Class, row: dict[str, Any]) -> Divergence:
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


@dataclass(slots=True)
class _Waiting:
    """A later snapshot until the next depth message, and beside the book: `side_by_side`."""

    comparison: Comparison
    joined: pl.DataFrame
    listed: pl.DataFrame


def _compare_all(
    window: Window, later: dict[int, pl.DataFrame]
) -> tuple[list[Comparison], dict[str, int]]:
    """Walk the book's events once and stop before each later snapshot.

    Returns what was compared, and how many were not: behind which a gap lies, and refuted ones.
    """
    book = PlainBook()
    nothing = book.levels.select("side", "price")
    told = nothing  # levels that depth messages named since the anchor
    found: list[Comparison] = []
    open_: list[_Waiting] = []
    refuted: list[tuple[_Waiting, pl.DataFrame, pl.DataFrame]] = []
    in_gap = 0

    def settle(named: pl.DataFrame) -> None:
        nonlocal told
        for one in open_:
            left = one.joined.join(named, on=["side", "price"], how="anti", maintain_order="left")
            wrong = left.filter(~pl.col("size").eq_missing(pl.col("size_book")))
            denied = wrong.join(told, on=["side", "price"], how="semi")
            if denied.height:
                # another symbol's book says the same twice too, and shares hardly a level
                may_be = denied if left.height >= 2 * wrong.height else denied.clear()
                refuted.append((one, named, may_be))
                continue
            one.comparison.count(one.joined, named)
            found.append(one.comparison)
            if wrong.height:  # one snapshot against another
                book.gap()
                told = nothing
            else:
                book.snapshot(one.listed)
        open_.clear()

    for rows in window.events(_COLUMNS):
        book_rows = rows.filter(
            depth_rows() | book_gaps() | pl.col("kind").is_in([_CLEAR, _SNAPSHOT])
        ).with_columns(pl.col("kind").is_in([_CLEAR, _SNAPSHOT]).alias("run"))
        # a snapshot is a run of its own; depth messages and marks between two share one
        breaks = ((pl.col("kind") == _SNAPSHOT) | (pl.col("kind") == _CLEAR)) & (
            last_rows().shift(1)
        ) | (pl.struct("run", "dt") != pl.struct("run", "dt").shift(1))
        runs = book_rows.with_columns(breaks.fill_null(value=True).cum_sum().alias("run"))
        for (_,), run in runs.group_by("run", maintain_order=True):
            book.enter(window, run["dt"][0])
            kinds = set(run["kind"].unique())
            if not kinds & {_CLEAR, _SNAPSHOT}:
                gaps = run.select(book_gaps()).to_series()
                if open_ and gaps[0]:
                    in_gap += len(open_)
                    if run["flags"][0] & int(Flag.RESYNC):  # they bridge it
                        for one in open_:
                            book.snapshot(one.listed)
                    open_.clear()
                changes = run.filter(depth_rows())
                if open_ and changes.height:
                    first = pl.col("sequence") == changes["sequence"][0]
                    settle(changes.filter(first).select("side", "price").unique())
                if run.filter(book_gaps() & ((pl.col("flags") & int(Flag.RESYNC)) == 0)).height:
                    book.gap()
                    told = nothing
                changes = run.filter(pl.col("kind") == int(Kind.DELTA))
                book.changes(changes)
                told = pl.concat([told, changes.select("side", "price")]).unique()
                continue
            listed = run.filter(pl.col("kind") == _SNAPSHOT)
            if _CLEAR in kinds:
                book.clear()
                told = nothing
            elif (lists := later.pop(int(run["sequence"][0]), None)) is not None:
                instrument = window.instrument(run["dt"][0])
                tick = Decimal(instrument.tick).scaleb(-instrument.price_exponent)
                comparison = Comparison(int(run["sequence"][0]), run.row(0, named=True), tick)
                joined = side_by_side(book, lists, _ends(listed, lists))
                open_.append(_Waiting(comparison, joined, listed))
                continue
            book.snapshot(listed)
    settle(nothing)
    believed = _say_the_same([denied for *_, denied in refuted])
    for at, (one, named, _) in enumerate(refuted):
        if at in believed:
            one.comparison.count(one.joined, named)
            found.append(one.comparison)
    found.sort(key=lambda comparison: comparison.sequence)
    return found, {"in_gap": in_gap, "refuted": len(refuted) - len(believed)}


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


def _ends(listed: pl.DataFrame, lists: pl.DataFrame) -> dict[Side, Decimal | None]:
    """How far a snapshot reaches, by the flags of its stored rows."""
    ends: dict[Side, Decimal | None] = dict(far_ends(lists))
    for side in (Side.BID, Side.ASK):
        rows = listed.filter(pl.col("side") == int(side))
        if not rows.height or rows["flags"][0] & int(Flag.COMPLETE):
            ends[side] = None
    return ends

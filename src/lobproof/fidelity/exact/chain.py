"""``chain``: every depth message follows on the one before, by the store's own ids."""

from __future__ import annotations

from typing import Any

import polars as pl

from lobproof.fidelity.exact.report import (
    LISTED,
    Check,
    Class,
    Divergence,
    Verdict,
    not_applicable,
)
from lobproof.fidelity.exact.walk import Window, book_gaps, depth_rows, last_rows
from lobproof.schema import Kind

MESSAGES = pl.Schema(
    {
        "dt": pl.String(),
        "event_id": pl.Int64(),
        "ts_order": pl.Int64(),
        "sequence": pl.Int64(),
        "prev_sequence": pl.Int64(),
    }
)


class ChainCheck:
    """Re-checks ``prev_sequence`` against the ``sequence`` before, and the GAP marks against that.

    A gap fails the check even where a snapshot bridges it: level changes are missing all the
    same. The first message after the first snapshot must span its id or follow on it.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._depth: list[pl.DataFrame] = []
        self._last: dict[str, Any] | None = None  # last depth message
        self._snapshot: int | None = None  # id of the last snapshot before any depth message
        self._links = 0
        self._linked = 0
        self._unchained = 0
        self._gaps: list[dict[str, Any]] = []
        self._breaks = 0
        self._marks: dict[tuple[str, int, int], int] = {}  # not yet met by a gap; time
        self._first: Divergence | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Check a frame of events, whole messages."""
        ends = rows.filter(
            last_rows() & (depth_rows() | book_gaps() | (pl.col("kind") == int(Kind.SNAPSHOT)))
        )
        depth = ends.filter(depth_rows()).select(*MESSAGES)
        self._depth.append(depth)
        marks = ends.filter(book_gaps())
        for mark in marks.iter_rows(named=True):
            key = (mark["dt"], mark["prev_sequence"], mark["sequence"])
            self._marks[key] = mark["ts_order"]
        if self._last is None:
            self._open(ends, depth)
        if not depth.height:
            return
        self._unchained += depth.filter(pl.col("prev_sequence") < 0).height
        before = pl.DataFrame([self._last] if self._last else [], schema=depth.schema)
        linked = (
            pl.concat([before, depth])
            .with_columns(
                pl.col("dt").shift(1).alias("dt_before"), pl.col("sequence").shift(1).alias("known")
            )
            .slice(1)
        )
        self._judge(linked.filter(pl.col("prev_sequence") >= 0))
        self._last = depth.row(-1, named=True)

    def _open(self, ends: pl.DataFrame, depth: pl.DataFrame) -> None:
        """The first depth message against the snapshot before it, if there is one."""
        first = int(depth["event_id"][0]) if depth.height else None
        snapshots = ends.filter(pl.col("kind") == int(Kind.SNAPSHOT))
        if first is not None:
            dt = depth["dt"][0]
            snapshots = snapshots.filter(
                (pl.col("dt") < dt) | ((pl.col("dt") == dt) & (pl.col("event_id") < first))
            )
        if snapshots.height:
            self._snapshot = int(snapshots["sequence"][-1])
        if first is None or self._snapshot is None or depth["prev_sequence"][0] < 0:
            return
        self._links += 1
        if depth["prev_sequence"][0] <= self._snapshot:
            self._linked += 1
        else:
            self._break({**depth.row(0, named=True), "known": self._snapshot})

    def _judge(self, links: pl.DataFrame) -> None:
        joined = links.filter(pl.col("prev_sequence") == pl.col("known")).height
        self._links += links.height
        self._linked += joined
        if joined < links.height:
            for row in links.filter(pl.col("prev_sequence") != pl.col("known")).iter_rows(
                named=True
            ):
                if self._window.joined(row["dt_before"], row["dt"]):
                    self._break(row)
                else:  # what lies between was not looked at
                    self._links -= 1

    def _break(self, row: dict[str, Any]) -> None:
        self._breaks += 1
        known, previous = int(row["known"]), int(row["prev_sequence"])
        gap = previous > known
        marked = self._marks.pop((row["dt"], known, previous), None) is not None
        found = {
            "first_missing": known + 1 if gap else None,
            "last_missing": previous if gap else None,
            "dt": row["dt"],
            "event_id": row["event_id"],
            "marked": marked,
        }
        if len(self._gaps) < LISTED:
            self._gaps.append(found)
        if self._first is None:
            what = (
                f"update ids {known + 1} to {previous} are missing"
                + ("" if marked else ", and no GAP mark says so")
                if gap
                else f"the message says that it follows on {previous}, after {known}"
            )
            self._first = Divergence(
                "chain",
                Class.MISSING if gap else Class.ORDER,
                known + 1 if gap else int(row["sequence"]),
                int(row["ts_order"]),
                what,
                dt=row["dt"],
                event_id=int(row["event_id"]),
                missing_ids=(known + 1, previous) if gap else None,
                expected={"prev_sequence": known},
                found={"prev_sequence": previous},
            )

    def depth_messages(self) -> pl.DataFrame:
        """Last rows of all depth messages: dt, event_id, ts_order, sequence, prev_sequence."""
        return pl.concat(self._depth) if self._depth else pl.DataFrame(schema=MESSAGES)

    def result(self) -> Check:
        """The check."""
        messages = sum(frame.height for frame in self._depth)
        if not messages:
            return not_applicable("chain", "the store has no depth messages")
        if self._unchained == messages:
            return not_applicable("chain", "the feed has no chain of ids", messages=messages)
        stray = sorted(self._marks)
        first = self._first
        if stray and first is None:
            dt, known, until = stray[0]
            first = Divergence(
                "chain",
                Class.ORDER,
                until,
                self._marks[stray[0]],
                f"a GAP mark says that ids {known + 1} to {until} are missing; the chain does not",
                dt=dt,
            )
        good = self._linked == self._links and not stray and not self._unchained
        return Check(
            "chain",
            Verdict.EXACT if good else Verdict.FAIL,
            self._links,
            self._links,
            self._linked,
            reason=first.detail if first else "",
            details={
                "messages": messages,
                "breaks": self._breaks,
                "gaps": self._gaps,
                "stray_marks": len(stray),
                "unchained": self._unchained,
            },
            first=first,
        )

"""Each fault of a Lake day, and what its store must say: the codes, the place, the count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lobproof.schema import Finding, Severity
from support.lake_faults import (
    BOOK,
    DELTAS,
    MINUTE,
    TRADES,
    Day,
    Stamp,
    crossed,
    duplicated,
    foreign,
    lost,
    reordered,
    resting,
    timed,
    truncated,
)
from support.lake_judged import Rebuilt, Truth

HOUR = 60 * MINUTE
LOSSES = frozenset(
    (Finding.DRIFT, Finding.CROSSED, Finding.SILENCE, Finding.GHOST_LEVELS, Finding.STALE_BOOK)
)
"""What can tell of lost messages. Levels that they left beyond the range may cross much later."""
NORMAL = frozenset((Finding.UNSEEDED, Finding.TOUCH_BEYOND_RANGE))
"""Doubts of an intact day too: before the first row, and beyond the twenty levels."""


@dataclass(frozen=True)
class Case:
    """A fault at a message, and what it must leave.

    ``must``: one of these codes is found at its place; ``counts``: how often further codes are,
    beyond those of the intact day; ``may``: doubts that may follow. None of them: no doubt.
    """

    name: str
    spoil: Callable[[Day, int], Day]
    must: frozenset[Finding] = frozenset()
    counts: tuple[tuple[Finding, int], ...] = ()
    may: frozenset[Finding] = frozenset()
    unseen: bool = False
    """It may touch only what nobody can see."""
    urgent: bool = True
    """In ``make test`` too."""


def _stamped(table: str, stamp: Stamp) -> Callable[[Day, int], Day]:
    def spoil(day: Day, at: int) -> Day:
        start = at * day.tables[table].height // day.messages if table != DELTAS else at
        return timed(day, table, range(start, start + 40, 7), stamp)

    return spoil


def _deep(day: Day, at: int) -> float:
    """A price far behind the best twenty, on the tick."""
    row = at * day.tables[BOOK].height // day.messages
    return round(float(day.tables[BOOK]["bid_19_price"][row]) * 0.9, 2)


RESET = frozenset((Finding.SEQUENCE_RESET,))
CASES: Sequence[Case] = (
    Case("one lost", lambda d, k: lost(d, k, k + 1), LOSSES, may=LOSSES, unseen=True),
    Case("fifty lost", lambda d, k: lost(d, k, k + 50), LOSSES, may=LOSSES),
    Case("fifty lost, book too", lambda d, k: lost(d, k, k + 50, book=True), LOSSES, may=LOSSES),
    Case(
        "five lost, book too",
        lambda d, k: lost(d, k, k + 5, book=True),
        LOSSES,
        may=LOSSES,
        unseen=True,
    ),
    Case("twice in a row", lambda d, k: duplicated(d, k, k + 5), counts=((Finding.DUPLICATE, 5),)),
    Case(
        "twice, later",
        lambda d, k: duplicated(d, k, k + 50, later=20),
        counts=((Finding.DUPLICATE, 50),),
    ),
    Case("swapped", lambda d, k: reordered(d, k, 1), RESET, may=RESET | LOSSES),
    Case("late", lambda d, k: reordered(d, k, 30), RESET, may=RESET | LOSSES),
    *(
        Case(
            f"{name} in {table}",
            _stamped(table, stamp),
            counts=((Finding.BAD_TS, 6),),
            urgent=name in ("time 0", "a day ahead"),
        )
        for table in (DELTAS, BOOK, TRADES)
        for name, stamp in (
            ("time 0", 0),
            ("time -1", -1),
            ("an hour ahead", lambda times: times + HOUR),
            ("a day ahead", lambda times: times + 24 * HOUR),
            ("an hour behind", lambda times: times - HOUR),
        )
    ),
    Case(
        "off the tick",
        lambda d, k: resting(d, k, k + 20, round(_deep(d, k) + 0.00005, 5), 1.0),
        counts=((Finding.OFF_TICK, 2),),
    ),
    Case(
        "off the lot",
        lambda d, k: resting(d, k, k + 20, _deep(d, k), 1.12345678),
        counts=((Finding.OFF_LOT, 1),),
    ),
    Case(
        "crossed row",
        lambda d, k: crossed(d, k * d.tables[BOOK].height // d.messages),
        counts=((Finding.VENDOR_ROW_UNUSED, 1),),
    ),
    Case(
        "deltas end",
        lambda d, k: truncated(d, DELTAS, d.bounds(k, k + 1)[0]),
        frozenset((Finding.SILENCE,)),
        may=LOSSES,
    ),
)
DRIFT = frozenset((Finding.DRIFT,))


def foreign_row(other: Day) -> Case:
    """A row of `book` of another symbol."""
    return Case(
        "another symbol's row",
        lambda d, k: foreign(d, k * d.tables[BOOK].height // d.messages, other),
        DRIFT,
        may=LOSSES,
    )


def check_case(case: Case, at: int, intact: Rebuilt, truth: Truth, folder: Path) -> Rebuilt:
    """Spoil the day at message ``at``, reconstruct it in full, and judge the store alone."""
    day = case.spoil(intact.day, at)
    rebuilt = Rebuilt.of(day, folder)
    done = day.done[-1]
    where = f"{case.name} at message {at} (ids {done.first}-{done.last})"
    counts = {code: rebuilt.count(code) - intact.count(code) for code, _ in case.counts}
    assert counts == dict(case.counts), where
    for code, _ in case.counts:
        check_place(rebuilt, intact, code, day, where)

    # nothing else is in doubt, and nothing before the fault
    fresh = rebuilt.doubts.filter(~pl.col("code").is_in([int(code) for code in NORMAL]))
    assert {Finding(code) for code in fresh["code"]} <= case.may, where
    before = rebuilt.met.filter(pl.col("agreed") & (pl.col("sequence") < done.first))
    last_agreed = int(before["event_id"].to_numpy()[-1]) if before.height else 0
    assert (fresh["first_event_id"] >= last_agreed).all(), where
    if case.must and not (case.unseen and fresh.is_empty()):
        told = fresh.filter(pl.col("code").is_in([int(code) for code in case.must]))
        assert told.height > 0, where
    assert rebuilt.misplaced() == [], where

    # what is outside the doubts is so
    wrong, _, whole = rebuilt.wrong(truth)
    assert wrong.is_empty(), (where, wrong.head(3))
    assert whole > 0, where
    return rebuilt


def check_place(rebuilt: Rebuilt, intact: Rebuilt, code: Finding, day: Day, where: str) -> None:
    """The rows of a finding that the intact day has not lie where the fault is, by the minute."""
    done = day.done[-1]
    names = ("first_ts", "last_ts", "count")
    known = set(intact.findings(code).select(names).iter_rows())
    new = [row for row in rebuilt.findings(code).select(names).iter_rows() if row not in known]
    assert new, where
    assert set(rebuilt.findings(code)["severity"]) <= {int(Severity.INFO), int(Severity.WARNING)}
    for first, last, _ in new:
        assert done.first_ts - MINUTE <= last, where
        assert first <= done.last_ts + MINUTE, where

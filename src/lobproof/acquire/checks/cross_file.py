"""What the files of a symbol-day say of each other: minutes missing, tables that lack some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.acquire.checks.coverage import from_runs, runs
from lobproof.acquire.checks.time_kernels import MINUTES
from lobproof.acquire.stamp_kernels import MINUTE_NS
from lobproof.sources.cryptolake.layout import TABLES, LakeKey

_SHOWN = 5
Reasons = dict[str, tuple[int, str]]
"""Reason → count and detail."""


def judge_cross_file(
    coverages: Mapping[LakeKey, Mapping[str, Any] | None],
) -> dict[LakeKey, Reasons]:
    """Reasons of each file of one symbol-day, from the coverage of all of them.

    Parameters
    ----------
    coverages
        ``coverage`` of each file's audit; None for one that is there and not judged yet. A table
        may have several files.

    Returns
    -------
    dict
        Reasons of those with a coverage. A minute that another table has counts against a table
        only where its own cadence does not explain a silence of that length.
    """
    tables: dict[str, list[Mapping[str, Any]]] = {}
    for key, coverage in coverages.items():
        if coverage is not None:
            tables.setdefault(key.table, []).append(coverage)
    minutes = {table: _minutes(held) for table, held in tables.items()}
    absent = sorted(set(TABLES) - {key.table for key in coverages})
    found: dict[LakeKey, Reasons] = {}
    for key, coverage in coverages.items():
        if coverage is None:
            continue
        mine = minutes[key.table]
        reasons: Reasons = {}
        lacking = ~mine
        if lacking.any():
            count = int(np.count_nonzero(lacking))
            reasons["missing-minutes"] = (count, _spans(lacking))
        hours = ~mine.reshape(24, -1).any(axis=1)
        if hours.any():
            named = ", ".join(f"{hour:02d}" for hour in np.flatnonzero(hours))
            reasons["missing-hours"] = (int(np.count_nonzero(hours)), f"hours {named} UTC")
        twins = [
            other.name
            for other, theirs in coverages.items()
            if other.table == key.table and other != key and _overlap(coverage, theirs)
        ]
        if twins:
            reasons["files-overlap"] = (len(twins), f"with {', '.join(sorted(twins))}")
        if absent:
            reasons["table-missing"] = (len(absent), f"no {', '.join(absent)} of that day")
        allowed = max(int(c["silence_above_ns"]) for c in tables[key.table])
        uncovered = np.zeros(MINUTES, np.bool_)
        by = []
        for table, others in sorted(minutes.items()):
            if table != key.table:
                longer = _longer_than(others & lacking, lacking, allowed)
                if longer.any():
                    by.append(f"{table} {int(np.count_nonzero(longer)):,}")
                uncovered |= longer
        if by:
            reasons["not-covered"] = (
                int(np.count_nonzero(uncovered)),
                f"{_spans(uncovered)}; minutes had by {', '.join(by)}",
            )
        found[key] = reasons
    return found


def _overlap(mine: Mapping[str, Any], theirs: Mapping[str, Any] | None) -> bool:
    """Whether two files of a table share a span of time."""
    if theirs is None or mine["first_ns"] is None or theirs["first_ns"] is None:
        return False
    begin = max(int(mine["first_ns"]), int(theirs["first_ns"]))
    return begin < min(int(mine["last_ns"]), int(theirs["last_ns"]))


def _minutes(coverages: list[Mapping[str, Any]]) -> NDArray[np.bool_]:
    present = np.zeros(MINUTES, np.bool_)
    for coverage in coverages:
        present |= from_runs(coverage["minutes"])
    return present


def _longer_than(
    uncovered: NDArray[np.bool_], lacking: NDArray[np.bool_], allowed_ns: int
) -> NDArray[np.bool_]:
    """Those minutes that lie in silences too long for the table's cadence.

    Before its first row and after its last the other table's minutes say how long it was silent
    while there was something to tell.
    """
    kept = np.zeros(MINUTES, np.bool_)
    for first, last in runs(lacking):
        minutes = last - first + 1
        if first == 0 or last == MINUTES - 1:
            there = np.flatnonzero(uncovered[first : last + 1])
            minutes = int(there[-1] - there[0]) if len(there) else 0
        if minutes * MINUTE_NS > allowed_ns:
            kept[first : last + 1] = uncovered[first : last + 1]
    return kept


def _spans(minutes: NDArray[np.bool_]) -> str:
    """Runs of minutes as people write them."""
    held = runs(minutes)
    shown = [f"{_clock(first)}-{_clock(last + 1)}" for first, last in held[:_SHOWN]]
    more = f" and {len(held) - _SHOWN} more" if len(held) > _SHOWN else ""
    return f"{', '.join(shown)}{more}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"

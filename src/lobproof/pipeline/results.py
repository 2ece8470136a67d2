"""What a task gives: results of days, and what it says on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from lobproof.errors import StoreError
from lobproof.pipeline.counts import DayCounts
from lobproof.store import partial_from
from lobproof.store.seal import verdicts_of


@dataclass(frozen=True, slots=True)
class DayResult:
    """One sealed day: its counts, its content hash, and whether this run committed it.

    ``from_ns``: where it begins, if it is a partial day.
    """

    dt: str
    counts: DayCounts
    content_hash: str
    committed: bool
    strategy: str = "full"
    reasons: tuple[str, ...] = ()
    from_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ReconstructResult:
    """What a task made. ``reused``: everything was there already and nothing was done."""

    exchange: str
    symbol: str
    provenance: str
    task_id: str
    days: tuple[DayResult, ...]
    reused: bool = False
    certified: bool = False
    resumed_at: int = 0
    """Events that a killed run had left."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a task is: events, ``ts_order``, rows of its input, of how many (0: not known)."""

    events: int
    ts_order: int
    rows: int
    of_rows: int


Progress = Callable[[Reached], None]
"""Called now and then."""
Note = Callable[[str], None]
"""Called with a sentence for the user: a lock that is waited for, a checkpoint that is no good."""


def sealed_days(seals: pl.DataFrame, task_id: str) -> tuple[DayResult, ...]:
    """The days of a task, when all of them are sealed; none otherwise."""
    ours = seals.filter(pl.col("task_id") == task_id).sort("task_part")
    # a seal that somebody deleted, as the audit advises for a damaged day, is to be made anew
    parts = ours["task_part"].to_list()
    if parts != list(range(len(parts))) or not ours["task_last"].any():
        return ()
    return tuple(sealed_day(row) for row in ours.iter_rows(named=True))


def sealed_day(row: dict[str, Any]) -> DayResult:
    """A day as its seal tells of it."""
    verdicts = verdicts_of(row)
    try:
        counts = DayCounts.of(verdicts.counts)
    except ValueError as error:
        raise StoreError(
            f"The seal of {row['exchange']} {row['symbol']} {row['dt']} is damaged: {error}",
            hint="Reconstruct that day again.",
        ) from error
    return DayResult(
        str(row["dt"]),
        counts,
        str(row["content_hash"]),
        committed=False,
        strategy=str(row["strategy"]),
        reasons=tuple(verdicts.reasons),
        from_ns=partial_from(row),
    )

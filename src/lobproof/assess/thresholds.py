"""``Thresholds``: what data and machine have to be like for a GO."""

from __future__ import annotations

from dataclasses import dataclass, fields

from lobproof.options import check_number
from lobproof.pipeline.counts import GAP_LIMIT, UNUSABLE_LIMIT

GB = 1e9


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What each criterion is held against; a figure has to be below it, but for the rate.

    Parameters
    ----------
    gap_ratio
        Of full reconstruction: messages lost ÷ messages.
    unusable_books
        Of the snapshot-anchored one: rows of `book` that are no book, or late ÷ rows.
    invalid_origin_time
        Rows whose exchange time is null, zero, negative or out of range ÷ rows.
    skew_p95_ms
        95th percentile of the distance between exchange time and receive time, ms.
    memory_gb
        Peak memory of a process, GB; also the hard limit that one is run under.
    events_per_second
        At least so many events a second, from files to a sealed day, in one process.
    input_gb_a_month
        Crypto Lake files of a month, GB.
    io_hours_a_month
        The disk reads these twice and writes what is made of them in less than so many hours.
    """

    gap_ratio: float = GAP_LIMIT
    unusable_books: float = UNUSABLE_LIMIT
    invalid_origin_time: float = 0.05
    skew_p95_ms: float = 100.0
    memory_gb: float = 24.0
    events_per_second: float = 100_000.0
    input_gb_a_month: float = 220.0
    io_hours_a_month: float = 24.0

    def __post_init__(self) -> None:
        """Refuse what is no threshold."""
        for one in fields(self):
            share = one.name in ("gap_ratio", "unusable_books", "invalid_origin_time")
            check_number(
                one.name,
                getattr(self, one.name),
                "share" if share else "threshold",
                least=1e-9,
                most=1.0 if share else 1e15,
                hint="give more than 0, and 1 at most" if share else "give more than 0",
            )

"""Kernels of a row's two times: missing, out of the day, backwards; what they cover of the day."""

from __future__ import annotations

from lobproof.acquire.checks.flag_kernels import NO_TIME, OVER_MIDNIGHT
from lobproof.acquire.stamp_kernels import (
    DAY_NS,
    MINUTE_NS,
    MISSING,
    NULL,
    is_missing,
    stamp_of,
)
from lobproof.jit import kernel
from lobproof.schema import Int64
from lobproof.schema.records import INT, Record, integers, record

MARGIN_NS = MINUTE_NS
"""How far beyond midnight a time is no wonder: a day is cut by the other of the two times."""
LONG_NS = 10_000_000_000
"""Gaps from here on are kept one by one; no day has room for more than ``MOST_LONG``."""
MOST_LONG = 8_641
GAP_BUCKETS = 64 * 8
MINUTES = 1440

COVERED = record(
    *integers("first", "last"),  # times, ns; -1 before the first row
    *integers("gaps", "out_of_order"),  # gaps between times, and times behind the last
    ("minutes", INT, (MINUTES,)),  # rows by minute of the day
    ("gaps_by_length", INT, (GAP_BUCKETS,)),  # by `gap_bucket`
    ("long", INT),  # how many of the next
    ("long_gaps", INT, (MOST_LONG, 2)),  # begin and length, ns
)


@kernel
def judge_times(
    times: Int64,
    start: int,
    before: int,
    missing: int,
    other_day: int,
    backward: int,
    flags: Int64,
    stamps: Int64,
) -> int:
    """Flag the times (ns) of one column; the last one that was there.

    Parameters
    ----------
    start
        The day's first nanosecond.
    before
        Last time of the rows before; ``MISSING`` at the start.
    missing, other_day, backward
        Bits to set.
    stamps
        int64 (7,): times by kind of stamp, added to.
    """
    known = MISSING
    stamp = NULL
    for row in range(len(times)):
        time = times[row]
        if time != known:  # rows of a message share its time
            known = time
            stamp = stamp_of(time)
        stamps[stamp] += 1
        if is_missing(time):
            flags[row] |= missing
            continue
        if time < start or time >= start + DAY_NS:
            near = start - MARGIN_NS <= time < start + DAY_NS + MARGIN_NS
            flags[row] |= OVER_MIDNIGHT if near else other_day
        if time < before:
            flags[row] |= backward
        before = time
    return before


@kernel
def gap_bucket(gap: int) -> int:
    """Bucket of a gap in ns: eight to a power of two."""
    top = 0
    rest = gap
    while rest >= 16:
        rest >>= 1
        top += 1
    return min(top * 8 + rest, GAP_BUCKETS - 1)


@kernel
def cover(times: Int64, receipts: Int64, start: int, covered: Record, flags: Int64) -> None:
    """Add rows to what is ``COVERED`` of the day; rows without any time are flagged ``NO_TIME``.

    A row's time is the exchange's, or that of receipt where there is none; times out of the day
    are left out.
    """
    minutes = covered.minutes
    for row in range(len(times)):
        time = times[row]
        if is_missing(time):
            time = receipts[row]
            if is_missing(time):
                flags[row] |= NO_TIME
                continue
        if time < start or time >= start + DAY_NS:
            continue
        minutes[(time - start) // MINUTE_NS] += 1
        last = covered.last
        if last < 0:
            covered.first = time
            covered.last = time
        elif time > last:
            gap = time - last
            covered.gaps_by_length[gap_bucket(gap)] += 1
            covered.gaps += 1
            if gap >= LONG_NS and covered.long < MOST_LONG:
                covered.long_gaps[covered.long, 0] = last
                covered.long_gaps[covered.long, 1] = gap
                covered.long += 1
            covered.last = time
        elif time < last:
            covered.out_of_order += 1
            covered.first = min(covered.first, time)

"""Kernels of a row's two times: missing, out of the day, backwards, float seconds; coverage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.acquire.checks.flag_kernels import NO_TIME, OVER_MIDNIGHT
from lobproof.acquire.columns import MISSING
from lobproof.jit import kernel

DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000
MARGIN_NS = MINUTE_NS
"""How far beyond midnight a time is no wonder: a day is cut by the other of the two times."""
LONG_NS = 10_000_000_000
"""Gaps from here on are kept one by one; no day has room for more than ``MOST_LONG``."""
MOST_LONG = 8_641
GAP_BUCKETS = 64 * 8

KINDS = 7
NULLS, ZEROS, MINUS_ONES, FLOAT_GRID, WHOLE_MS, WHOLE_US, FINER = range(KINDS)
"""Kinds of stamps, as :func:`judge_times` counts them."""

STATE = 5
FIRST, LAST, GAPS, LONG, OUT_OF_ORDER = range(STATE)
"""The state of :func:`cover`: first and last time, gaps, long gaps kept, times behind the last."""


@kernel
def is_missing(time: int) -> bool:
    """Whether a stamp is none: null, 0 or −1."""
    return time == MISSING or time == 0 or time == -1


@kernel
def on_float_grid(time: int) -> bool:
    """Whether a time is float seconds times 1e9, cut off, and no whole microsecond."""
    if time % 1000 == 0:
        return False
    micros = (time + 500) // 1000
    return int(micros / 1e6 * 1e9) == time


@kernel
def kind_of(time: int) -> int:
    """Which kind of stamp a time is that is not missing."""
    if time % 1_000_000 == 0:
        return WHOLE_MS
    if time % 1000 == 0:
        return WHOLE_US
    return FLOAT_GRID if on_float_grid(time) else FINER


@kernel
def judge_times(
    times: NDArray[np.int64],
    start: int,
    before: int,
    missing: int,
    other_day: int,
    backward: int,
    flags: NDArray[np.int64],
    kinds: NDArray[np.int64],
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
    kinds
        int64 (KINDS,): stamps by kind, added to.
    """
    known = MISSING
    kind = FINER
    for row in range(len(times)):
        time = times[row]
        if is_missing(time):
            flags[row] |= missing
            kinds[NULLS if time == MISSING else ZEROS if time == 0 else MINUS_ONES] += 1
            continue
        if time < start or time >= start + DAY_NS:
            near = start - MARGIN_NS <= time < start + DAY_NS + MARGIN_NS
            flags[row] |= OVER_MIDNIGHT if near else other_day
        if time < before:
            flags[row] |= backward
        if time != known:  # rows of a message share its time
            known = time
            kind = kind_of(time)
        kinds[kind] += 1
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
def cover(
    times: NDArray[np.int64],
    receipts: NDArray[np.int64],
    start: int,
    minutes: NDArray[np.int64],
    gaps: NDArray[np.int64],
    long_gaps: NDArray[np.int64],
    state: NDArray[np.int64],
    flags: NDArray[np.int64],
) -> None:
    """Add rows to the coverage of the day; rows without any time are flagged ``NO_TIME``.

    A row's time is the exchange's, or that of receipt where there is none; times out of the day
    are left out.

    Parameters
    ----------
    minutes
        int64 (1440,): rows by minute.
    gaps
        int64 (GAP_BUCKETS,): gaps between different times, by :func:`gap_bucket`.
    long_gaps
        int64 (MOST_LONG, 2): begin and length in ns of gaps of at least ``LONG_NS``.
    state
        int64 (STATE,); first and last are -1 before the first row.
    """
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
        last = state[LAST]
        if last < 0:
            state[FIRST] = time
            state[LAST] = time
        elif time > last:
            gap = time - last
            gaps[gap_bucket(gap)] += 1
            state[GAPS] += 1
            if gap >= LONG_NS and state[LONG] < MOST_LONG:
                long_gaps[state[LONG], 0] = last
                long_gaps[state[LONG], 1] = gap
                state[LONG] += 1
            state[LAST] = time
        elif time < last:
            state[OUT_OF_ORDER] += 1
            state[FIRST] = min(state[FIRST], time)

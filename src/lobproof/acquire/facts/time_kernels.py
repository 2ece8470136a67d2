"""Kernels over times: how they are stamped and ordered, and on which side of midnight they lie."""

from __future__ import annotations

import numpy as np

from lobproof.acquire.columns import MISSING
from lobproof.jit import kernel
from lobproof.schema import Int64

ZERO, MINUS_ONE, NULLS, STRANGE = 0, 1, 2, 3
MILLI, MICRO, FLOAT, OTHER = 4, 5, 6, 7
BACK = 8
LAST = 9
STAMP_SLOTS = 10
"""Counts of one column of times: missing in three ways, nowhere near the day; whole milliseconds,
whole microseconds, on the grid of float seconds, none of these; steps back; the latest time."""

BY_EXCHANGE, BY_RECEIPT, BY_NEITHER = 0, 1, 2
CUT_SLOTS = 3
"""Rows with one time within the day and the other one not, and with neither within."""

_DAY_NS = 86_400_000_000_000


@kernel
def count_stamps(counts: Int64, times: Int64, start: int) -> None:
    """Add a column of times (ns) of the day that begins at ``start`` to its counts."""
    last = counts[LAST]
    for k in range(len(times)):
        time = times[k]
        if time == MISSING:
            counts[NULLS] += 1
        elif time == 0:
            counts[ZERO] += 1
        elif time == -1:
            counts[MINUS_ONE] += 1
        elif time < start - _DAY_NS or time >= start + 2 * _DAY_NS:
            counts[STRANGE] += 1
        else:
            if time < last:
                counts[BACK] += 1
            else:
                last = time
            if time % 1_000_000 == 0:
                counts[MILLI] += 1
            elif time % 1000 == 0:
                counts[MICRO] += 1
            elif np.int64(float((time + 500) // 1000) / 1e6 * 1e9) == time:
                counts[FLOAT] += 1
            else:
                counts[OTHER] += 1
    counts[LAST] = last


@kernel
def count_cut(counts: Int64, exchange: Int64, receipt: Int64, start: int) -> None:
    """Add rows that tell by which time a day's file is cut; those without a time tell nothing."""
    stop = start + _DAY_NS
    for k in range(len(exchange)):
        if exchange[k] > 0 and receipt[k] > 0:
            sent = exchange[k] >= start and exchange[k] < stop
            received = receipt[k] >= start and receipt[k] < stop
            if sent and not received:
                counts[BY_EXCHANGE] += 1
            elif received and not sent:
                counts[BY_RECEIPT] += 1
            elif not sent:
                counts[BY_NEITHER] += 1

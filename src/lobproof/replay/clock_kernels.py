"""Kernel of the order's clock."""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import Flag, Int8, Int32, Int64, Kind

BAD_TS = int(Flag.BAD_TS)
STANDS_IN = int(Flag.INVALID | Flag.DUPLICATE | Flag.OUT_OF_ORDER)
SNAPSHOT = int(Kind.SNAPSHOT)
CLEAR = int(Kind.CLEAR)
MARK = int(Kind.MARK)

CLOCK = 0  # running maximum of the stream
CLOCK_STATE = 1
DAY_NS = 86_400_000_000_000


@kernel
def on_day(time: int, days: Int64) -> bool:
    """Whether a time in ns is on one of ``days``."""
    found = False
    for k in range(days.shape[0]):
        found |= time // DAY_NS == days[k]
    return found


@kernel
def order_times(
    state: Int64,
    kind: Int8,
    ts_event: Int64,
    ts_recv: Int64,
    sequence: Int64,
    flags: Int32,
    offset: int,
    tolerance: int,
    receive_days: Int64,
    ts_order: Int64,
) -> None:
    """Fill ``ts_order`` with the running maximum of the stream's time; flag substitutes.

    ``offset`` is the recorder's clock minus the exchange's, ns. An exchange time that is not
    positive, or further than ``tolerance`` from the corrected receive time, is replaced by that
    time and flagged ``BAD_TS``; unless it fits the clock and the receive time does not, for then
    the recorder's stamp is the wrong one. Rows that have no exchange time by nature (snapshots,
    marks that stand in for one, and marks with sequence -1) take the clock where they stand;
    before the first message they take its time, flagged. On ``receive_days`` (days since 1970 by
    the corrected receive time) that time orders what has one.
    """
    rows = ts_event.shape[0]
    clock = state[CLOCK]
    for i in range(rows):
        timeless = kind[i] == SNAPSHOT or kind[i] == CLEAR or sequence[i] < 0
        if kind[i] == MARK and flags[i] & STANDS_IN and ts_event[i] <= 0:
            timeless = True
        if timeless:
            if clock == 0:
                flags[i] |= BAD_TS
        else:
            time = ts_event[i]
            corrected = ts_recv[i] - offset if ts_recv[i] > 0 else 0
            bad = time <= 0
            if corrected > 0 and not bad:
                fits = clock > 0 and abs(time - clock) <= tolerance < abs(corrected - clock)
                bad = abs(time - corrected) > tolerance and not fits
            if bad:
                flags[i] |= BAD_TS
            if bad or (corrected > 0 and on_day(corrected, receive_days)):
                time = corrected
            clock = max(clock, time)
        ts_order[i] = clock
    # what stands before the first timed row takes that row's time
    if state[CLOCK] == 0 and clock > 0:
        i = 0
        while ts_order[i] == 0:
            i += 1
        first = ts_order[i]
        for j in range(i):
            ts_order[j] = first
    state[CLOCK] = clock

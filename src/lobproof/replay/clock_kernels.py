"""Kernel of the order's clock."""

from __future__ import annotations

from typing import NamedTuple

from lobproof.jit import kernel
from lobproof.schema import Int8, Int32, Int64
from lobproof.schema.plain import (
    CLEAR,
    DELTA,
    F_BAD_TS,
    F_DUPLICATE,
    F_INVALID,
    F_LAST,
    F_OUT_OF_ORDER,
    MARK,
    SNAPSHOT,
)

STANDS_IN = F_INVALID | F_DUPLICATE | F_OUT_OF_ORDER

CLOCK = 0  # running maximum of the stream
SUBSTITUTE = 1  # 1: a time that stands in for another set it
CLOCK_STATE = 2
NO_OFFSET = -(2**62)
"""Receive times cannot be used."""
DAY_NS = 86_400_000_000_000


@kernel
def on_day(time: int, days: Int64) -> bool:
    """Whether a time in ns is on one of ``days``."""
    found = False
    for k in range(days.shape[0]):
        found |= time // DAY_NS == days[k]
    return found


@kernel
def time_of(
    clock: int,
    ts_event: int,
    ts_recv: int,
    offset: int,
    tolerance: int,
    receive_days: Int64,
    lag: int,
) -> tuple[int, bool]:
    """The time that orders a message, and whether it stands in for an unusable exchange time."""
    time = ts_event
    corrected = ts_recv - offset if ts_recv > 0 and offset != NO_OFFSET else 0
    bad = time <= 0
    if corrected > 0 and not bad:
        fits = clock > 0 and abs(time - clock) <= tolerance < abs(corrected - clock)
        bad = abs(time - corrected) > tolerance and not fits
    if bad and clock > 0 and corrected - clock > DAY_NS:
        time = clock  # neither can be right: the clock stands until one is
    elif bad or (corrected > 0 and on_day(corrected, receive_days)):
        time = corrected
    # earlier by the lag, but on the same day
    return max(time - lag, time - time % DAY_NS), bad


class Timed(NamedTuple):
    """Columns of messages that get their ``ts_order``."""

    kind: Int8
    flags: Int32
    sequence: Int64
    ts_event: Int64
    ts_recv: Int64
    ts_order: Int64


class TimedVendorRows(NamedTuple):
    """Columns of vendor rows that get theirs; ``k`` stands before row ``place[k]``."""

    place: Int64
    flags: Int32
    ts_event: Int64
    ts_recv: Int64
    ts_behind: Int64
    ts_order: Int64


@kernel
def order_times(
    state: Int64,
    rows: Timed,
    vendor_rows: TimedVendorRows,
    offset: int,
    vendor_offset: int,
    tolerance: int,
    receive_days: Int64,
    lag: int,
) -> None:
    """Fill ``ts_order`` with the running maximum of the stream's time; flag substitutes.

    ``offset`` is the recorder's clock minus the exchange's, ns (``vendor_offset``: the same of
    vendor rows), ``NO_OFFSET`` where receive times cannot be used. ``lag`` makes each time earlier.
    An exchange time that is not positive, or further than ``tolerance`` from the corrected receive
    time, is replaced by that time and flagged ``BAD_TS``; unless it fits the clock and the receive
    time does not, for then the recorder's stamp is the wrong one. A receive time over a day ahead
    of the clock replaces nothing: the clock stands, flagged. Rows that have no exchange time by
    nature (snapshots without one, marks that stand in for one, and marks with sequence -1) take the
    clock where they stand; before the first message they take its time, flagged, and so is a
    snapshot where a substitute set the clock. On
    ``receive_days`` (days since 1970 by the corrected receive time) that time orders what has one.
    A message has one time, the latest of its rows'. A vendor row stands between
    messages and moves the clock as they do, but not beyond ``ts_behind``, the time of the message
    that comes next (0: there is none).
    """
    kind, flags, sequence = rows.kind, rows.flags, rows.sequence
    ts_event, ts_recv, ts_order = rows.ts_event, rows.ts_recv, rows.ts_order
    count = ts_event.shape[0]
    met = vendor_rows.place.shape[0]
    clock = state[CLOCK]
    substitute = state[SUBSTITUTE] != 0
    vendor_row = 0
    first = 0
    bad = False
    for i in range(count + 1):
        while vendor_row < met and vendor_rows.place[vendor_row] <= i:
            time, stands_in = time_of(
                clock,
                vendor_rows.ts_event[vendor_row],
                vendor_rows.ts_recv[vendor_row],
                vendor_offset,
                tolerance,
                receive_days,
                lag,
            )
            if stands_in:
                vendor_rows.flags[vendor_row] |= F_BAD_TS
            behind = vendor_rows.ts_behind[vendor_row]
            if behind > 0:
                time = min(time, max(behind - lag, behind - behind % DAY_NS))
            if time >= clock:
                substitute = stands_in
            clock = max(clock, time)
            vendor_rows.ts_order[vendor_row] = clock
            vendor_row += 1
        if i == count:
            break
        # rows of one message mostly have one time: the clock, and the verdict, are the same again.
        # Not where receive times move the clock: an exchange time that fitted it may not any more
        again = (
            receive_days.shape[0] == 0
            and i > first
            and kind[i] == DELTA
            and kind[i - 1] == DELTA
            and ts_event[i] == ts_event[i - 1]
            and ts_recv[i] == ts_recv[i - 1]
            and sequence[i] == sequence[i - 1]
        )
        if not again:
            bad = False
            listed = kind[i] == SNAPSHOT or kind[i] == CLEAR
            timeless = (listed and ts_event[i] <= 0) or (kind[i] == MARK and sequence[i] < 0)
            if kind[i] == MARK and flags[i] & STANDS_IN and ts_event[i] <= 0:
                timeless = True
            if timeless:
                # what a snapshot has of the time is then a substitute, too
                bad = clock == 0 or (listed and substitute)
            else:
                time, bad = time_of(
                    clock, ts_event[i], ts_recv[i], offset, tolerance, receive_days, lag
                )
                if time >= clock:
                    substitute = bad
                clock = max(clock, time)
        if bad:
            flags[i] |= F_BAD_TS
        if flags[i] & F_LAST:
            for k in range(first, i + 1):
                ts_order[k] = clock
            first = i + 1
    # what stands before the first timed message takes that message's time
    if state[CLOCK] == 0 and clock > 0:
        begun = clock
        for i in range(count):
            if ts_order[i] > 0:
                begun = min(begun, ts_order[i])
        for k in range(met):
            if vendor_rows.ts_order[k] > 0:
                begun = min(begun, vendor_rows.ts_order[k])
        for i in range(count):
            if ts_order[i] == 0:
                ts_order[i] = begun
        for k in range(met):
            if vendor_rows.ts_order[k] == 0:
                vendor_rows.ts_order[k] = begun
    state[CLOCK] = clock
    state[SUBSTITUTE] = int(substitute)

"""Kernels that lay streams side by side: vendor rows between messages, trades between both."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobproof.jit import kernel
from lobproof.schema import Int32, Int64
from lobproof.schema.plain import F_LAST, F_OUT_OF_ORDER

EVIDENCE_NS = 1_000_000_000
"""A vendor row whose time is further than this from where its id places it proves nothing."""
END_OF_TIME = (1 << 63) - 1


@kernel
def time_between(
    event: int, recv: int, other_event: int, other_recv: int, tolerance: int
) -> tuple[int, bool]:
    """The first's time minus the other's, and whether it is known.

    By the exchange's clock; by the recorder's where it has to stand in, or where the exchange's
    sets them further apart than ``tolerance`` and the recorder's nearer: a stamp is wrong then.
    """
    known = event > 0 and other_event > 0
    between = event - other_event if known else 0
    if recv > 0 and other_recv > 0 and (not known or abs(between) > tolerance):
        received = recv - other_recv
        if not known or abs(received) < abs(between):
            return received, True
    return between, known


@kernel
def stands_before(
    vendor_row: int, sequence: int, between: int, timed: bool, tolerance: int
) -> bool:
    """Whether a vendor row belongs before a message: by id; by time where the ids cannot be right.

    A vendor row of the message's own id shows the book after it. One of which neither id nor time
    is known belongs where it came.
    """
    if timed and abs(between) > tolerance:
        return between < 0
    if vendor_row <= 0 or sequence < 0:
        return between < 0 or not timed
    return vendor_row < sequence


class Unplaced(NamedTuple):
    """Columns of vendor rows that have no place yet: ``place``, ``behind``, ``outdated`` are set.

    ``recv``: receive times by the recorder's clock of the messages. ``place[k]``: the row before
    which vendor row ``k`` stands. ``behind[k]``: the time of the message behind it (0 without one),
    beyond which it moves no clock. ``outdated[k]``: its own time where that is later than its id's
    place by so much that the two do not belong together; else left as it is.
    """

    sequence: Int64
    event: Int64
    recv: Int64
    flags: Int32
    place: Int64
    behind: Int64
    outdated: Int64


@kernel
def place_vendor_rows(
    flags: Int32,
    sequence: Int64,
    ts_event: Int64,
    ts_recv: Int64,
    vendor_rows: Unplaced,
    more_rows: bool,
    more_vendor_rows: bool,
    tolerance: int,
) -> tuple[int, int]:
    """Place vendor rows between messages as far as is certain; rows and vendor rows used.

    A side that is used up ends the segment, unless no more of it comes. A vendor row is flagged
    ``OUT_OF_ORDER`` where its id and its time place it apart: the levels are not those of either
    place.
    """
    numbers, event, recv = vendor_rows.sequence, vendor_rows.event, vendor_rows.recv
    place, behind, outdated = vendor_rows.place, vendor_rows.behind, vendor_rows.outdated
    rows = flags.shape[0]
    count = numbers.shape[0]
    row = 0
    used = 0
    while row < rows or used < count:
        if row == rows and more_rows:
            break
        if used == count and more_vendor_rows:
            break
        before = row == rows
        if used < count:
            behind[used] = 0
        if not before and used < count:
            number = numbers[used]
            between, timed = time_between(
                event[used],
                recv[used],
                ts_event[row],
                ts_recv[row],
                tolerance,
            )
            before = stands_before(number, sequence[row], between, timed, tolerance)
            by_id = number < sequence[row]
            apart = between > EVIDENCE_NS if by_id else between < -EVIDENCE_NS
            if timed and number > 0 and sequence[row] >= 0 and apart:
                vendor_rows.flags[used] |= F_OUT_OF_ORDER
                if by_id:
                    outdated[used] = ts_event[row] + between
            if before:
                behind[used] = ts_event[row]
        if before:
            place[used] = row
            used += 1
        else:
            while not flags[row] & F_LAST:
                row += 1
            row += 1
    return row, used


@kernel
def first_after(times: Int64, begin: int, limit: int) -> int:
    """Index of the first of ascending ``times`` from ``begin`` on above ``limit``; at most all.

    Takes strides that double: it is mostly near.
    """
    count = times.shape[0]
    low, step = begin, 1
    while low + step <= count and times[low + step - 1] <= limit:
        low += step
        step *= 2
    high = min(low + step - 1, count)
    while low < high:
        middle = (low + high) // 2
        if times[middle] <= limit:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def plan_merge(
    left: Int64,
    places: Int64,
    vendor_rows: Int64,
    right: Int64,
    left_more: bool,
    right_more: bool,
    trade_first: bool,
    at: Int64,
    new_places: Int64,
) -> tuple[int, int, int]:
    """Merge book rows (times ``left``), vendor rows and trades (``right``): what goes where.

    ``at`` gets the place of each trade among all rows in their new order, ``new_places`` the new
    places of the vendor rows, whose times, with those of the rows that they stand between, ascend.
    Returns the rows, vendor rows and trades used: those whose place no later batch can change. On a
    tie the book goes first, or with ``trade_first`` the trade.
    """
    rows = left.shape[0]
    count = vendor_rows.shape[0]
    trades = right.shape[0]
    row = 0
    vendor_row = 0
    trade = 0
    while True:
        if trade == trades and right_more:
            # what stands up to the last trade is taken; before the rest another one may come
            return row, vendor_row, trade
        limit = right[trade] - int(trade_first) if trade < trades else END_OF_TIME
        row = first_after(left, row, limit)
        passed = first_after(vendor_rows, vendor_row, limit)
        for k in range(vendor_row, passed):
            new_places[k] = places[k] + trade
        vendor_row = passed
        if trade == trades or (left_more and row == rows and vendor_row == count):
            return row, vendor_row, trade
        at[trade] = row + trade
        trade += 1


@kernel
def interleave(
    at: Int64,
    left: NDArray[np.generic],
    right: NDArray[np.generic],
    out: NDArray[np.generic],
) -> None:
    """One column of the merged rows; ``at``: where the rows of ``right`` go, ascending."""
    start = 0
    for k in range(at.shape[0] + 1):
        stop = at[k] if k < at.shape[0] else out.shape[0]
        # views, so that the copy of a run needs no checks of its index
        source = left[start - k :]
        run = out[start:stop]
        for row in range(run.shape[0]):
            run[row] = source[row]
        if k < at.shape[0]:
            out[stop] = right[k]
        start = stop + 1

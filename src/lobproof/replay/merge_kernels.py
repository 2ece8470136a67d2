"""Kernels that lay streams side by side: references between messages, trades between both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.jit import kernel
from lobproof.schema import Flag, Int8, Int32, Int64

LAST = int(Flag.LAST)


@kernel
def stands_before(
    reference: int,
    reference_time: int,
    reference_receipt: int,
    sequence: int,
    time: int,
    receipt: int,
    tolerance: int,
) -> bool:
    """Whether a reference belongs before a message: by id; by time where the ids cannot be right.

    They cannot where the exchange's times are further apart than ``tolerance`` and the recorder's
    say so too: otherwise a stamp is wrong, and not an id. Of times that are missing (0) the other
    clock's stand in. A reference of the message's own id shows the book after it.
    """
    timed = reference_time > 0 and time > 0
    received = reference_receipt > 0 and receipt > 0
    later = reference_receipt - receipt
    ahead = reference_time - time if timed else later
    far = (timed or received) and abs(ahead) > tolerance
    denied = far and received and (later if ahead > 0 else -later) <= tolerance
    if reference <= 0 or sequence < 0:
        return (timed or received) and (later if denied else ahead) < 0
    if far and not denied:
        return ahead < 0
    return reference < sequence


@kernel
def place_references(
    flags: Int32,
    sequence: Int64,
    ts_event: Int64,
    ts_recv: Int64,
    reference: Int64,
    reference_event: Int64,
    reference_recv: Int64,
    more_rows: bool,
    more_references: bool,
    tolerance: int,
    places: Int64,
) -> tuple[int, int]:
    """Place references between messages as far as is certain; rows and references used.

    ``places[k]`` is the row before which reference ``k`` stands. A side that is used up ends the
    stretch, unless no more of it comes.
    """
    rows = flags.shape[0]
    count = reference.shape[0]
    row = 0
    used = 0
    while row < rows or used < count:
        if row == rows and more_rows:
            break
        if used == count and more_references:
            break
        if row == rows or (
            used < count
            and stands_before(
                reference[used],
                reference_event[used],
                reference_recv[used],
                sequence[row],
                ts_event[row],
                ts_recv[row],
                tolerance,
            )
        ):
            places[used] = row
            used += 1
        else:
            while not flags[row] & LAST:
                row += 1
            row += 1
    return row, used


@kernel
def plan_merge(
    left: Int64,
    places: Int64,
    references: Int64,
    right: Int64,
    left_more: bool,
    right_more: bool,
    from_right: Int8,
    new_places: Int64,
) -> tuple[int, int, int]:
    """Merge book rows (times ``left``), references and trades (``right``): what goes where.

    ``from_right`` gets a 1 for each trade and a 0 for each book row in their new order,
    ``new_places`` the new places of the references. Returns the rows, references and trades used:
    those whose place no later batch can change. The book goes first on a tie.
    """
    rows = left.shape[0]
    count = references.shape[0]
    trades = right.shape[0]
    row = 0
    reference = 0
    trade = 0
    while True:
        is_reference = reference < count and places[reference] <= row
        if not is_reference and row == rows:
            break
        time = references[reference] if is_reference else left[row]
        while trade < trades and right[trade] < time:
            from_right[row + trade] = 1
            trade += 1
        if trade == trades and right_more and (trades == 0 or time > right[trades - 1]):
            return row, reference, trade
        if is_reference:
            new_places[reference] = row + trade
            reference += 1
        else:
            from_right[row + trade] = 0
            row += 1
    if left_more:
        last = max(left[rows - 1] if rows else 0, references[count - 1] if count else 0)
        while trade < trades and right[trade] < last:
            from_right[row + trade] = 1
            trade += 1
    else:
        while trade < trades:
            from_right[row + trade] = 1
            trade += 1
    return row, reference, trade


@kernel
def interleave(
    from_right: Int8,
    left: NDArray[np.generic],
    right: NDArray[np.generic],
    out: NDArray[np.generic],
) -> None:
    """One column of the merged rows."""
    row = 0
    trade = 0
    for k in range(from_right.shape[0]):
        if from_right[k] == 1:
            out[k] = right[trade]
            trade += 1
        else:
            out[k] = left[row]
            row += 1

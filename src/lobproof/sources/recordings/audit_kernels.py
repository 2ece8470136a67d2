"""Kernel of the audit of ids."""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import Int64

LAST, LAST_EVENT, BEFORE_FINAL, BEFORE_PREVIOUS, GAPS, DUPLICATES, LATE, OVERLAPS, RESETS = range(9)
FIRST_IRREGULAR = 9
AUDIT_STATE = 10


@kernel
def audit_ids(
    state: Int64, first: Int64, final: Int64, previous: Int64, event: Int64, listed: Int64
) -> int:
    """Count what is irregular into ``state``; gaps go to ``listed`` (rows, 2) while it has room.

    ``event`` is the exchange's time where ids that go back while it goes on mean a new beginning,
    0 where they never do. A row of ``listed`` is the last id before a gap and the first behind.
    Returns the rows written.
    """
    written = 0
    for i in range(final.shape[0]):
        last = state[LAST]
        repeated = previous[i] == state[BEFORE_PREVIOUS] and final[i] == state[BEFORE_FINAL]
        state[BEFORE_PREVIOUS] = previous[i]
        state[BEFORE_FINAL] = final[i]
        irregular = True
        if final[i] < last and event[i] > state[LAST_EVENT] > 0:
            state[RESETS] += 1
        elif final[i] <= last:
            state[DUPLICATES if repeated else LATE] += 1
        elif previous[i] < last:
            state[OVERLAPS] += 1
        else:
            irregular = False
            if previous[i] > last:
                state[GAPS] += 1
                if written < listed.shape[0]:
                    listed[written, 0] = last
                    listed[written, 1] = first[i]
                    written += 1
        if irregular and state[FIRST_IRREGULAR] < 0:
            state[FIRST_IRREGULAR] = final[i]
        if final[i] > last or (final[i] < last and event[i] > state[LAST_EVENT] > 0):
            state[LAST] = final[i]
            state[LAST_EVENT] = event[i]
    return written

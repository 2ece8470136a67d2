"""Kernels of the audits of ids and of the shape of depth messages."""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import Int64
from lobproof.sources.binance.message_kernels import (
    ASKS,
    BIDS,
    DEPTH,
    DOT,
    FUTURES,
    KIND,
    LEVEL,
    SIZE,
    SIZE_STOP,
    STREAM_STOP,
    ZERO,
    Bytes,
)

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


@kernel
def count_partial(buf: Bytes, messages: Int64, levels: Int64) -> int:
    """Depth messages without a stream's name that look like partial depth of futures.

    Those are whole lists: 5, 10 or 20 levels on each side, and never a size of 0.
    """
    count = 0
    for i in range(messages.shape[0]):
        bids = messages[i, BIDS]
        if messages[i, KIND] != DEPTH or messages[i, FUTURES] == 0 or messages[i, STREAM_STOP] != 0:
            continue
        if bids != messages[i, ASKS] or (bids != 5 and bids != 10 and bids != 20):
            continue
        partial = True
        first = messages[i, LEVEL]
        for level in range(first, first + 2 * bids):
            zero = True
            for pos in range(levels[level, SIZE], levels[level, SIZE_STOP]):
                zero = zero and (buf[pos] == ZERO or buf[pos] == DOT)
            partial = partial and not zero
        count += int(partial)
    return count

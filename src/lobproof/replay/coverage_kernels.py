"""Kernels for when each stream was heard: its pace, its first and last message, its silences.

Each stream has a run of numbers of its own in the flat state of a replay, at an offset.
"""

from __future__ import annotations

from lobproof.jit import kernel
from lobproof.schema import Int64

LEAST_SILENCE_NS = 5_000_000_000
SILENT_CADENCES = 50
"""A stream is silent after so many times the mean spacing of its messages, and at least 5 s."""

DEPTH, SNAPSHOTS, TRADES, BOOK, ALL = range(5)
STREAMS = 5

H_COUNT, H_FIRST, H_LAST, H_CADENCE, H_SILENCES, H_SILENT, H_LISTED = range(7)
LISTED_SILENCES = 64
"""So many silences of a stream are listed, the longest; all are counted."""
HEARD = H_LISTED + 2 * LISTED_SILENCES  # numbers of one stream


@kernel
def limit_of(cadence: int) -> int:
    """The longest time without a message that the mean spacing ``cadence`` explains, ns."""
    return int(max(LEAST_SILENCE_NS, SILENT_CADENCES * cadence))


@kernel
def paced(cadence: int, since: int) -> int:
    """The mean spacing, 0 before there is one, after a message that came ``since`` ns later."""
    if since <= 0:
        return cadence
    # a silence is no cadence: it counts as the longest gap that is none
    usual = min(since, limit_of(cadence))
    return int(cadence + (usual - cadence) // 64 if cadence > 0 else usual)


@kernel
def hear(run: Int64, at: int, ts: int) -> None:
    """A message of the stream whose numbers begin at ``run[at]`` has come."""
    if run[at + H_COUNT] == 0:
        run[at + H_FIRST] = ts
        run[at + H_LAST] = ts
    else:
        since = ts - run[at + H_LAST]
        if since > limit_of(run[at + H_CADENCE]):
            list_silence(run, at, since)
        run[at + H_CADENCE] = paced(run[at + H_CADENCE], since)
        run[at + H_LAST] = max(run[at + H_LAST], ts)
    run[at + H_COUNT] += 1


@kernel
def list_silence(run: Int64, at: int, length: int) -> None:
    """Count a silence since the last message; list it in place of the shortest, if it is longer.

    Of several that are the shortest the last one goes.
    """
    count = run[at + H_SILENCES]
    run[at + H_SILENCES] += 1
    run[at + H_SILENT] += length
    slot = at + H_LISTED + 2 * min(count, LISTED_SILENCES)
    if count >= LISTED_SILENCES:
        slot = at + H_LISTED
        for k in range(1, LISTED_SILENCES):
            other = at + H_LISTED + 2 * k
            longer = run[other + 1] - run[other] - run[slot + 1] + run[slot]
            if longer < 0 or (longer == 0 and run[other] > run[slot]):
                slot = other
        if run[slot + 1] - run[slot] >= length:
            return
    run[slot] = run[at + H_LAST]
    run[slot + 1] = run[at + H_LAST] + length


@kernel
def hear_anew(run: Int64, at: int) -> None:
    """A day begins: nothing of the stream has been heard, at the pace that it had."""
    for k in range(HEARD):
        if k != H_CADENCE:
            run[at + k] = 0

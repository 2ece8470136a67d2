"""Ticks and lots from a sample of counts, and when they change."""

from __future__ import annotations

import numpy as np

from lobproof.instruments import infer_step
from lobproof.schema import Int64

ENOUGH = 2_000
"""Values on either side of a change of the rules: fewer may be round by chance."""
CLEARLY_OFF = 0.25
"""Least share of the values off the coarser step while the finer one is in force."""
_NEARLY = 0.95  # after a change to a coarser step, older orders keep the finer
_ROUND = (3_600 * 10**9, 60 * 10**9)


def find_change(counts: Int64) -> tuple[int, int, int] | None:
    """Where the step of values in time's order changes for good: index, step before, step after.

    A change is told only where it is clear: ``ENOUGH`` values on either side; nearly all values
    on the one side multiples of the coarser step, and of those on the other at least a share
    ``CLEARLY_OFF`` not. The place is :func:`place_of_change`.
    """
    if len(counts) < 2 * ENOUGH:
        return None
    head, tail = infer_step(counts[:ENOUGH], _NEARLY), infer_step(counts[-ENOUGH:], _NEARLY)
    if head == tail:
        return None
    at = place_of_change(counts, head, tail)
    if not ENOUGH <= at <= len(counts) - ENOUGH:
        return None
    finer, coarser = (counts[:at], counts[at:]) if head < tail else (counts[at:], counts[:at])
    fine, coarse = infer_step(finer), infer_step(coarser, _NEARLY)
    if fine >= coarse or np.count_nonzero(finer % coarse) < CLEARLY_OFF * len(finer):
        return None
    return (at, fine, coarse) if head < tail else (at, coarse, fine)


def place_of_change(counts: Int64, before: int, after: int) -> int:
    """First value of the new step: where values off the coarser one depart most from an even share.

    At least one value is needed.
    """
    off = counts % max(before, after) != 0
    lean = np.cumsum(off - off.mean())
    return int(np.argmax(lean) if before < after else np.argmin(lean)) + 1


def roundest(early: int, time: int, late: int) -> int:
    """The latest whole hour above ``early`` and up to ``late``, else minute, else ``time``.

    Venues change their rules at round times.
    """
    for unit in _ROUND:
        found = late // unit * unit
        if found > early:
            return found
    return time

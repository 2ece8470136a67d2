"""Ticks and lots from a sample of counts, and when they change."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lobproof.instruments import infer_step
from lobproof.schema import Int64

ENOUGH = 2_000
"""Values on either side of a change of the rules: fewer may be round by chance."""
CLEARLY_OFF = 0.25
"""Least share of the values off the coarser step while the finer one is in force."""
_NEARLY = 0.95  # after a change to a coarser step, older orders keep the finer
_END = 16  # of a day: an hour and a half
_ROUND = (3_600 * 10**9, 60 * 10**9)


class Change(NamedTuple):
    """Where the step of values in time's order changes for good: index, step before, step after.

    ``even`` lies half way between the shares of values off the coarser step on both sides.
    """

    at: int
    before: int
    after: int
    even: float

    def place(self, counts: Int64) -> int:
        """First of the new step among other values, on both sides of the same change."""
        return _turn(counts, self.before, self.after, self.even)


def find_change(counts: Int64) -> Change | None:
    """The change of step of values in time's order; None where none is clear.

    It is clear with ``ENOUGH`` values on either side; nearly all values on the one side multiples
    of the coarser step, and of those on the other at least a share ``CLEARLY_OFF`` not. It is put
    where the values off the coarser step depart most from an even share of them.
    """
    if len(counts) < 2 * ENOUGH:
        return None
    # of many values more at either end: a burst of round prices is no step
    end = max(ENOUGH, len(counts) // _END)
    ends = counts[:end], counts[-end:]
    head, tail = (infer_step(side, _NEARLY) for side in ends)
    if head == tail:
        return None
    even = float(np.mean([side % max(head, tail) != 0 for side in ends]))
    at = _turn(counts, head, tail, even)
    if not ENOUGH <= at <= len(counts) - ENOUGH:
        return None
    finer, coarser = (counts[:at], counts[at:]) if head < tail else (counts[at:], counts[:at])
    fine, coarse = infer_step(finer), infer_step(coarser, _NEARLY)
    if fine >= coarse or np.count_nonzero(finer % coarse) < CLEARLY_OFF * len(finer):
        return None
    return Change(at, *((fine, coarse) if head < tail else (coarse, fine)), even)


def _turn(counts: Int64, before: int, after: int, even: float) -> int:
    off = counts % max(before, after) != 0
    lean = np.cumsum(off - even)
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

"""Bits of a row's flags (named here because compiled kernels freeze them), and their count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.jit import kernel

ROW_REASONS = (
    *("null", "not-finite", "bad-price", "bad-size", "price-off-grid", "size-off-grid"),
    *("overflow", "off-tick", "off-lot", "bad-side", "timestamp-missing", "receipt-missing"),
    *("no-time", "timestamp-other-day", "receipt-other-day", "over-midnight"),
    *("timestamp-backward", "receipt-backward", "duplicate-id", "id-backward", "duplicate-row"),
    *("level-twice", "duplicate-sequence", "sequence-missing", "sequence-backward"),
    *("message-apart", "message-times", "message-size", "crossed", "unsorted", "empty-side"),
    "level-hole",
)
"""Reasons that a row can have; the position is the bit in its flags."""

BITS = {name: 1 << position for position, name in enumerate(ROW_REASONS)}

NULL = BITS["null"]
NOT_FINITE = BITS["not-finite"]
BAD_PRICE = BITS["bad-price"]
BAD_SIZE = BITS["bad-size"]
PRICE_OFF_GRID = BITS["price-off-grid"]
SIZE_OFF_GRID = BITS["size-off-grid"]
OVERFLOWS = BITS["overflow"]
OFF_TICK = BITS["off-tick"]
OFF_LOT = BITS["off-lot"]
NO_TIME = BITS["no-time"]
OVER_MIDNIGHT = BITS["over-midnight"]
ID_BACKWARD = BITS["id-backward"]
DUPLICATE_ROW = BITS["duplicate-row"]
LEVEL_TWICE = BITS["level-twice"]
DUPLICATE_SEQUENCE = BITS["duplicate-sequence"]
SEQUENCE_MISSING = BITS["sequence-missing"]
SEQUENCE_BACKWARD = BITS["sequence-backward"]
MESSAGE_APART = BITS["message-apart"]
MESSAGE_TIMES = BITS["message-times"]
MESSAGE_SIZE = BITS["message-size"]
CROSSED = BITS["crossed"]
UNSORTED = BITS["unsorted"]
EMPTY_SIDE = BITS["empty-side"]
LEVEL_HOLE = BITS["level-hole"]
CANDIDATE = 1 << 62
"""A trade id that is not above all before it: it may be there twice."""


@kernel
def count_flags(flags: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    """Add to ``counts[bit]`` the rows whose flags have the bit."""
    for row in range(len(flags)):
        rest = flags[row]
        if rest:
            for bit in range(len(counts)):
                if rest >> bit & 1:
                    counts[bit] += 1

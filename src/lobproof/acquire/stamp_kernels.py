"""How a time of the vendor's is stamped: missing, whole, or gone through float seconds."""

from __future__ import annotations

from lobproof.jit import kernel

MISSING = -(2**63)
"""Stands for null in int64 columns."""
DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000

STAMPS = ("null", "zero", "minus_one", "float_seconds", "whole_ms", "whole_us", "finer")
"""Kinds of stamps, by their codes."""
NULL, ZERO, MINUS_ONE, FLOAT_SECONDS, WHOLE_MS, WHOLE_US, FINER = range(len(STAMPS))


@kernel
def is_missing(time: int) -> bool:
    """Whether a stamp is none: null, 0 or −1."""
    return time == MISSING or time == 0 or time == -1


@kernel
def on_float_grid(time: int) -> bool:
    """Whether a time is float seconds times 1e9, cut off, and no whole microsecond."""
    if time % 1000 == 0:
        return False
    micros = (time + 500) // 1000
    return int(micros / 1e6 * 1e9) == time


@kernel
def stamp_of(time: int) -> int:
    """Which kind of stamp a time (ns) is."""
    if is_missing(time):
        return NULL if time == MISSING else ZERO if time == 0 else MINUS_ONE
    if time % 1_000_000 == 0:
        return WHOLE_MS
    if time % 1000 == 0:
        return WHOLE_US
    return FLOAT_SECONDS if on_float_grid(time) else FINER

"""Noise that is a function of an id: the same whatever the batches, with nothing to save."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobproof.schema import Int64


def uniform(ids: Int64, seed: int, stream: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each id, by splitmix64 of id, seed and stream."""
    key = (seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) & 0xFFFF_FFFF_FFFF_FFFF
    x = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def delay(ids: Int64, seed: int, stream: int, base_ns: int, jitter_ns: int, cap_ns: int) -> Int64:
    """A latency for each id: ``base_ns`` and a heavy-tailed part of median ``jitter_ns``."""
    u = uniform(ids, seed, stream)
    return base_ns + np.minimum(jitter_ns * (u / (1.0 - u)), float(cap_ns)).astype(np.int64)


def in_order(received: Int64, last: int) -> tuple[Int64, int]:
    """``received`` never decreasing and never before ``last``; and its last value."""
    ordered = np.maximum.accumulate(np.maximum(received, last))
    return ordered, int(ordered[-1]) if len(ordered) else last

"""When each stream of a day was heard, and when nothing was: lists of times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lobproof.schema import COVERED_STREAMS

LISTED = 64
"""So many of the longest silences are listed."""


@dataclass
class Heard:
    """Times of the messages of each stream of a day, as they came."""

    times: dict[str, list[int]] = field(
        default_factory=lambda: {name: [] for name in COVERED_STREAMS}
    )

    def hear(self, stream: str, ts: int) -> None:
        self.times[stream].append(ts)

    def coverage(
        self, limit_ns: int, life_ts: int, losses: Sequence[tuple[int, int]]
    ) -> dict[str, Any]:
        """The day's coverage; an outage is a silence of all within a loss, from a ts to a ts."""
        streams = {name: of_stream(times) for name, times in self.times.items()}
        return {
            "limit_ns": limit_ns,
            "life_ts": life_ts,
            "outages": [
                silence
                for silence in streams["all"]["listed"]
                if any(first <= silence[0] and silence[1] <= last for first, last in losses)
            ],
            "streams": streams,
        }


def of_stream(times: Sequence[int]) -> dict[str, Any]:
    """The coverage of one stream."""
    silences, cadence, last = [], 0, 0
    for number, ts in enumerate(times):
        since = ts - last if number else 0
        limit = max(5 * 10**9, 50 * cadence)
        if since > limit:
            silences.append([last, ts])
        if since > 0:
            cadence = (
                cadence + (min(since, limit) - cadence) // 64 if cadence else min(since, limit)
            )
        last = max(last, ts)
    lengths = sorted(silences, key=lambda silence: silence[0] - silence[1])  # stable: earlier first
    return {
        "messages": len(times),
        "first": times[0] if times else 0,
        "last": last,
        "silences": len(silences),
        "silent_ns": sum(until - since for since, until in silences),
        "listed": sorted(lengths[:LISTED]),
    }

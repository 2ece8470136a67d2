"""How fast a venue's time passes: as ours does, but for a local one that plays faster."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """Seconds of the venue: ``speed`` of them pass in one of ours."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._began_ns = time.time_ns()

    def time_ns(self) -> int:
        """The recorder's clock, ns since the epoch; as fast as the venue's from the beginning on.

        What is stamped by a clock that the venue's outruns could not be ordered by it.
        """
        now = time.time_ns()
        if self.speed == 1.0:
            return now
        return self._began_ns + round((now - self._began_ns) * self.speed)

    def now(self) -> float:
        """Seconds of the venue since some instant."""
        return time.monotonic() * self.speed

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds of the venue."""
        await asyncio.sleep(max(seconds, 0.0) / self.speed)

    def ours(self, seconds: float) -> float:
        """Seconds of ours that so many of the venue take."""
        return seconds / self.speed

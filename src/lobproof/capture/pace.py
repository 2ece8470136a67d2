"""How fast a venue's time passes: as ours does, but for a local one that plays faster."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """Seconds of the venue: ``speed`` of them pass in one of ours."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed

    def now(self) -> float:
        """Seconds of the venue since some instant."""
        return time.monotonic() * self.speed

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds of the venue."""
        await asyncio.sleep(max(seconds, 0.0) / self.speed)

    def ours(self, seconds: float) -> float:
        """Seconds of ours that so many of the venue take."""
        return seconds / self.speed

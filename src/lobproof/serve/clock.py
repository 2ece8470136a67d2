"""The venue's clock: its time is the start, and what has passed since, times a speed."""

from __future__ import annotations

import time
from collections.abc import Callable

from lobproof.errors import UsageError

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
NEVER = 1 << 62


class VenueClock:
    """Times of the venue in ns. It stands at its start until :meth:`begin`."""

    def __init__(
        self,
        start_ns: int,
        speed: float = 1.0,
        *,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Refuse a speed that goes nowhere."""
        if not 0 < speed <= 1e6:
            raise UsageError(
                f"a speed of {speed}: venue time cannot pass like that",
                hint="give more than 0 and at most 1,000,000; 1 is the pace of real time",
            )
        self.start_ns = start_ns
        self.speed = speed
        self._monotonic = monotonic
        self._begun = -1

    @property
    def begun(self) -> bool:
        """Whether time passes."""
        return self._begun >= 0

    def begin(self) -> None:
        """Let time pass from now on; said again, it changes nothing."""
        if self._begun < 0:
            self._begun = self._monotonic()

    def now(self) -> int:
        """The venue's time."""
        if self._begun < 0:
            return self.start_ns
        return self.start_ns + round((self._monotonic() - self._begun) * self.speed)

    def seconds_until(self, ts: int) -> float:
        """Seconds that really pass until the venue's ``ts``; below 0 once it is over."""
        return (ts - self.now()) / self.speed / SECOND

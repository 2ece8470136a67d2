"""Request weight, counted as the venue counts it."""

from __future__ import annotations

from lobproof.serve.clock import MINUTE, SECOND


class Weights:
    """Request weight, counted by the venue's minute, and what comes of using too much.

    Beyond the limit a request is told to wait (429); who goes on nevertheless is shut out (418).
    """

    PATIENCE = 10
    """Requests beyond the limit within a minute before a client is shut out."""
    BAN_NS = 2 * MINUTE

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._minute = -1
        self._beyond = 0
        self._banned_until = 0

    def take(self, cost: int, now: int) -> tuple[int, int]:
        """Take a request's weight: its status, 200 if it may be answered, and seconds to wait."""
        if now // MINUTE != self._minute:
            self._minute = now // MINUTE
            self.used = self._beyond = 0
        if now < self._banned_until:
            return 418, _seconds(self._banned_until - now)
        if self.used + cost <= self.limit:
            self.used += cost
            return 200, 0
        self._beyond += 1
        if self._beyond > self.PATIENCE:
            self._banned_until = now + self.BAN_NS
            return 418, _seconds(self.BAN_NS)
        return 429, _seconds(MINUTE - now % MINUTE)


def _seconds(ns: int) -> int:
    return -(-ns // SECOND)

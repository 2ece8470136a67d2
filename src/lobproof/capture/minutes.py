"""How a symbol's minutes differ: quiet, usual and busy ones, and those of a special event.

A minute is held against the session's own median, so that one rule suits every symbol. Whether a
session was busier than others, only their medians tell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median, pstdev
from typing import Any

LEAST_MINUTES = 10
"""Whole minutes below which nothing is said."""
BUSY, QUIET = 2.0, 0.5
"""A minute of so many times the median's messages is busy, or quiet."""
EVENT, EVENT_SPREAD = 4.0, 3.0
"""With so many times the messages and so many times the spread's deviation it is an event's."""
UNEVEN_SHARE = 0.25
_MINUTE_NS = 60_000_000_000
_LOOK_NS = 1_000_000_000
_LEAST_LOOKS = 10
_TOUCH = re.compile(rb'"b":"([0-9.]{1,40})","B":"[0-9.]{1,40}","a":"([0-9.]{1,40})"')


@dataclass(frozen=True, slots=True)
class Minute:
    """Messages of a minute, and the standard deviation of its spread, in bp of the price.

    The spread is looked at once a second; None where there were too few looks.
    """

    messages: int
    deviation: float | None


@dataclass(slots=True)
class Minutes:
    """A symbol's whole minutes, by our clock: the first, which has begun before, is left out."""

    whole: list[Minute] = field(default_factory=list)
    _minute: int = -1
    _first: bool = True
    _messages: int = 0
    _spreads: list[float] = field(default_factory=list)
    _due_ns: int = 0

    def take(self, kind: bytes, payload: bytes, capture_ns: int) -> None:
        """Take a message that came at a time."""
        minute = capture_ns // _MINUTE_NS
        if minute > self._minute:
            self._close(minute)
        self._messages += 1
        if kind == b"bookTicker" and capture_ns >= self._due_ns:
            found = _TOUCH.search(payload)
            bid, ask = (0.0, 0.0) if found is None else _prices(found)
            if 0 < bid <= ask:
                self._due_ns = capture_ns + _LOOK_NS
                self._spreads.append((ask - bid) / ask * 1e4)

    def _close(self, minute: int) -> None:
        if self._minute >= 0:
            enough = len(self._spreads) >= _LEAST_LOOKS
            if not self._first:
                deviation = pstdev(self._spreads) if enough else None
                self.whole.append(Minute(self._messages, deviation))
            self._first = False
            silent = min(minute - self._minute - 1, 24 * 60)  # a clock may have leapt
            self.whole += [Minute(0, None)] * silent
        self._minute, self._messages = minute, 0
        self._spreads.clear()

    def to_dict(self) -> dict[str, Any]:
        """What the session's document says of them: a word, and what it follows from.

        ``unknown`` of fewer than ten whole minutes; ``event`` where two neighbours are of one;
        ``uneven`` where a quarter is busy or quiet; else ``even``.
        """
        rate = median(one.messages for one in self.whole) if self.whole else 0.0
        told: dict[str, Any] = {"minutes": len(self.whole), "messages_a_minute": rate}
        if len(self.whole) < LEAST_MINUTES or not rate:
            return {"detected": "unknown", **told}
        deviations = [one.deviation for one in self.whole if one.deviation is not None]
        spread = median(deviations) if deviations else 0.0
        kinds = [_kind(one, rate, spread) for one in self.whole]
        counts = {kind: kinds.count(kind) for kind in ("quiet", "usual", "busy", "event")}
        uneven = counts["usual"] <= (1 - UNEVEN_SHARE) * len(kinds)
        word = "uneven" if uneven else "even"
        if any(a == b == "event" for a, b in pairwise(kinds)):
            word = "event"
        return {"detected": word, **told, "spread_deviation_bp": round(spread, 6), **counts}


def _kind(one: Minute, rate: float, spread: float) -> str:
    wide = one.deviation is not None and one.deviation > EVENT_SPREAD * spread
    if one.messages >= EVENT * rate and wide:
        return "event"
    if one.messages >= BUSY * rate:
        return "busy"
    return "quiet" if one.messages <= QUIET * rate else "usual"


def _prices(found: re.Match[bytes]) -> tuple[float, float]:
    try:
        return float(found[1]), float(found[2])
    except ValueError:  # dots alone
        return 0.0, 0.0

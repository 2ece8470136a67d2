"""What goes wrong at the venue, and when: ``KIND@WHEN[,key=value…]``, decided by a seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lobproof.errors import UsageError
from lobproof.serve.clock import NEVER, SECOND
from lobproof.timespan import duration_ns

_ANYWHERE = frozenset({"symbol", "stream", "conn"})
_TAKES: dict[str, frozenset[str]] = {
    "disconnect": frozenset({"conn"}),
    "shutdown": frozenset({"conn", "lead"}),
    "silent": _ANYWHERE | {"for"},
    "stall": frozenset({"conn", "for"}),
    "drop": _ANYWHERE | {"n", "share", "for"},
    "double": _ANYWHERE | {"n"},
    "reorder": _ANYWHERE | {"n"},
    "merge": _ANYWHERE | {"for"},
    "reset": frozenset({"symbol"}),
    "garbage": frozenset({"conn", "n"}),
    "stale": frozenset({"symbol", "n"}),
    "late": frozenset({"symbol", "by", "n"}),
    "rest": frozenset({"symbol", "status", "retry-after", "for"}),
}
"""Kind → the keys that it takes."""
GRAMMAR = (
    "write KIND@WHEN[,key=value...]: WHEN is a span since the start (90s, 10m, 1h) or "
    "every=10m±5m; KIND is one of "
    + ", ".join(_TAKES)
    + "; keys are symbol=, stream=, conn=, n=, for=, lead=, by=, share=, status=, retry-after="
)
ON_MESSAGES = frozenset({"silent", "drop", "double", "reorder", "merge"})
ON_DEPTH_ANSWERS = frozenset({"stale", "late"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it was written; times in ns since the start.

    ``at`` is when it happens; with ``jitter`` 0 or more it comes again and again, ``at`` apart and
    up to so much sooner or later. ``n`` 0: as long as ``span`` lasts.
    """

    text: str
    kind: str
    at: int
    jitter: int = -1
    symbol: str = ""
    stream: str = ""
    conn: int = 0
    n: int = 0
    span: int = 0
    lead: int = 10 * SECOND
    by: int = 5 * SECOND
    share: float = 0.0
    status: int = 503
    retry_after: int = 0

    def concerns(self, key: str) -> bool:
        """Whether it may befall the data of this key, ``btcusdt@depth``."""
        symbol, _, kind = key.partition("@")
        return (not self.symbol or self.symbol.lower() == symbol) and (
            not self.stream or self.stream == kind
        )

    def befalls(self, conn: int) -> bool:
        """Whether it may befall a connection."""
        return not self.conn or self.conn == conn


def parse_fault(text: str) -> Fault:
    """The fault that a text describes.

    Raises
    ------
    UsageError
        When the text is none; the hint shows the grammar.
    """
    head, *options = text.split(",")
    kind, at, when = head.partition("@")
    if kind not in _TAKES or not at:
        raise _wrong(text, f"it does not begin with a kind and {'@'!r}")
    given: dict[str, str] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if key not in _TAKES[kind] or not equals or not value or key in given:
            takes = ", ".join(sorted(_TAKES[kind]))
            raise _wrong(text, f"{option!r} is no option of {kind}, which takes each once: {takes}")
        given[key] = value
    try:
        values: dict[str, Any] = {key: _value(key, value) for key, value in given.items()}
        first, jitter = _when(when)
    except (ValueError, UsageError) as error:
        why = error.message if isinstance(error, UsageError) else str(error)
        raise _wrong(text, why) from error
    values = {{"for": "span", "retry-after": "retry_after"}.get(k, k): v for k, v in values.items()}
    if kind in ("silent", "stall", "rest"):
        values.setdefault("span", 30 * SECOND)
    elif kind == "drop" and ("share" in values or "span" in values):
        values.setdefault("share", 1.0)
        values.setdefault("span", 30 * SECOND)
        if "n" in values:
            raise _wrong(text, "either n messages are dropped, or a share for a while")
    elif kind == "merge":
        values.setdefault("span", NEVER)
    else:
        values.setdefault("n", 1)
    return Fault(text, kind, first, jitter, **values)


def _when(text: str) -> tuple[int, int]:
    if not text.startswith("every="):
        return duration_ns(text), -1
    period, _, jitter = text.removeprefix("every=").partition("±")
    every, around = duration_ns(period), duration_ns(jitter) if jitter else 0
    if not 0 <= around < every:
        raise ValueError(f"every={period} leaves no room for ±{jitter}")
    return every, around


def _value(key: str, value: str) -> int | float | str:
    if key in ("for", "lead", "by"):
        return duration_ns(value)
    if key == "symbol":
        return value.upper()
    if key == "stream":
        return value.partition("@")[0]
    if key == "share":
        share = float(value)
        if not 0 < share <= 1:
            raise ValueError(f"a share of {value} is not above 0 and at most 1")
        return share
    number = int(value)
    least, most = (400, 599) if key == "status" else (0 if key == "retry-after" else 1, 10**9)
    if not least <= number <= most:
        raise ValueError(f"{key}={value} is not {least} to {most}")
    return number


def _wrong(text: str, why: str) -> UsageError:
    return UsageError(f"{text!r} is no fault: {why}", hint=GRAMMAR)


@dataclass(slots=True)
class Active:
    """A fault that goes on: until when, or for how many messages or answers more."""

    fault: Fault
    until: int
    left: int
    chance: random.Random
    held: Any = None
    """What a fault keeps: the message that it sends late, the connections that it will cut."""

    def use(self) -> bool:
        """Count one message or answer; whether it is to be struck."""
        if self.fault.n:
            self.left -= 1
            return True
        return not self.fault.share or self.chance.random() < self.fault.share

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return bool(self.fault.n) and self.left <= 0 and self.held is None


class FaultPlan:
    """All faults in order of time; the same seed gives the same times and choices."""

    def __init__(self, faults: Iterable[Fault], seed: int, start_ns: int) -> None:
        self.faults = list(faults)
        self._coming = [
            (_times(fault, random.Random(f"{seed} {index} {fault.text}")), fault)
            for index, fault in enumerate(self.faults)
        ]
        self._start = start_ns
        self._next = [next(times, NEVER) for times, _ in self._coming]
        self._seed = seed
        self._fired = 0

    @property
    def due(self) -> int:
        """When the next one happens (venue time)."""
        soonest = min(self._next, default=NEVER)
        return NEVER if soonest >= NEVER else self._start + soonest

    def take(self) -> tuple[int, Active]:
        """The next one, and when it happens."""
        index = self._next.index(min(self._next))
        times, fault = self._coming[index]
        at = self._start + self._next[index]
        self._next[index] = next(times, NEVER)
        self._fired += 1
        chance = random.Random(f"{self._seed} {self._fired} {fault.text}")
        until = NEVER
        if fault.kind == "shutdown":
            until = at + fault.lead
        elif fault.span:
            until = min(at + fault.span, NEVER)
        return at, Active(fault, until, fault.n, chance)


def _times(fault: Fault, chance: random.Random) -> Iterator[int]:
    if fault.jitter < 0:
        yield fault.at
        return
    at = 0
    while True:
        at += fault.at + (chance.randint(-fault.jitter, fault.jitter) if fault.jitter else 0)
        yield at

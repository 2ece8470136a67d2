"""How much of its day is there, and which table lacks what the others have.

By minutes: those of silences that are longer than a stream's own pace explains are missing, also
before its first row and after its last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.acquire.checks.coverage import Clock, runs
from lobproof.acquire.stamp_kernels import MINUTE_NS
from lobproof.pages.text import moment
from lobproof.replay.silence_kernels import limit_of
from lobproof.schema import Int64
from lobproof.timespan import DAY_NS

Minutes = NDArray[np.bool_]
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Lack:
    """What a table lacks: its share of the time that the others have, and when that is."""

    share: float
    when: str


@dataclass(frozen=True, slots=True)
class Completeness:
    """``missing``: share of the day in which nothing was heard, None of what is no day.

    ``when``: what is there, and ``lacking`` what some tables lack.
    """

    missing: float | None = None
    when: str = ""
    hours: tuple[int, ...] = ()
    """Hours of the day of which nothing at all is there."""
    lacking: Mapping[str, Lack] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class DayCover:
    """Takes in the rows of a day's tables; by the rule for silences that `acquire validate` has."""

    def __init__(self, dt: str) -> None:
        self._dt = dt
        self._clocks: dict[str, Clock] = {}

    def add(self, table: str, sent: Int64, received: Int64) -> None:
        """The next rows' times of a table."""
        clock = self._clocks.setdefault(table, Clock(self._dt))
        clock.add(sent, received, np.zeros(len(sent), np.int64))

    def result(self) -> Completeness:
        """What was found."""
        if not self._clocks:
            return Completeness()
        start = next(iter(self._clocks.values())).start
        heard = {
            table: _heard(
                DAY_NS // MINUTE_NS,
                ((one.start_ns - start, one.length_ns) for one in clock.silences()),
            )
            for table, clock in self._clocks.items()
        }
        there = np.logical_or.reduce(list(heard.values()))
        hours = np.flatnonzero(~there.reshape(24, -1).any(axis=1))
        return Completeness(
            float(1 - there.mean()),
            _when(there, start),
            tuple(hours.tolist()),
            _lacking(heard, start),
        )


def of_streams(coverage: Mapping[str, Any], names: Mapping[str, str]) -> Completeness:
    """Of a recording: what a replay heard of its streams, by the rule for silences of a replay.

    Parameters
    ----------
    coverage
        As a seal has it.
    names
        Stream → its table's name; streams without a message lack all.
    """
    every = coverage["streams"]["all"]
    start, stop = int(every["first"]), int(every["last"])
    start -= start % MINUTE_NS
    minutes = (stop - start) // MINUTE_NS + 1
    heard = {}
    for stream, table in names.items():
        one = coverage["streams"][stream]
        first, last, messages = int(one["first"]), int(one["last"]), int(one["messages"])
        if not messages:
            heard[table] = np.zeros(minutes, np.bool_)
            continue
        limit = limit_of((last - first) // max(messages - 1, 1))
        quiet = [(first, last) for first, last in one["listed"]]
        quiet += [(start, first)] if first - start > limit else []
        quiet += [(last, stop + MINUTE_NS)] if stop - last > limit else []
        heard[table] = _heard(minutes, ((a - start, b - a) for a, b in quiet))
    return Completeness(lacking=_lacking(heard, start))


def _heard(minutes: int, silences: Iterable[tuple[int, int]]) -> Minutes:
    """Minutes that no silence (start, length) takes up from end to end."""
    heard = np.ones(minutes, np.bool_)
    for start, length in silences:
        first, last = -(-start // MINUTE_NS), (start + length) // MINUTE_NS
        heard[max(first, 0) : max(last, 0)] = False
    return heard


def _lacking(heard: Mapping[str, Minutes], start: int) -> dict[str, Lack]:
    found = {}
    for table, mine in heard.items():
        theirs = [other for name, other in heard.items() if name != table]
        if not theirs:
            continue
        others = np.logical_or.reduce(theirs)
        lacking = others & ~mine
        if lacking.any():
            found[table] = Lack(float(lacking.sum() / others.sum()), _when(lacking, start))
    return found


def _when(minutes: Minutes, start: int) -> str:
    """Stretches as people write them; with dates where there are several days."""
    held = runs(minutes)
    from_place = 0 if len(minutes) * MINUTE_NS > DAY_NS else 11

    def clock(minute: int) -> str:
        if minute * MINUTE_NS == DAY_NS and from_place:
            return "24:00"
        return moment(start + minute * MINUTE_NS)[from_place:16]

    shown = [f"{clock(first)}–{clock(last + 1)}" for first, last in held[:_SHOWN]]
    more = f" and {len(held) - _SHOWN} more" if len(held) > _SHOWN else ""
    return f"{', '.join(shown)}{more}"

"""When to capture: windows that come again, by the clock of a market's own place."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lobproof.errors import UsageError
from lobproof.timespan import to_ns

PRESETS = ("us-open", "weekend")
_DAILY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_DAY = timedelta(days=1)
_SATURDAY = 5


class Window(NamedTuple):
    """A span of time, ns since 1970, the end exclusive."""

    start_ns: int
    end_ns: int


class _Rule(NamedTuple):
    """Weekdays on which a window opens, when, for how long, and by whose clock."""

    days: frozenset[int]
    opens: time
    closes: time
    days_on: int
    zone: tzinfo

    def of(self, day: date) -> Window:
        start = datetime.combine(day, self.opens, self.zone)
        end = datetime.combine(day + self.days_on * _DAY, self.closes, self.zone)
        return Window(to_ns(start), to_ns(end))


def next_window(schedule: str, now_ns: int) -> Window:
    """The window of a schedule that is open, or else the one that opens next.

    ``us-open``: New York's 09:30 to 16:00, Monday to Friday, holidays too. ``weekend``: Saturday
    and Sunday, UTC. ``13:30-20:00``: every day, UTC; an end before the start is of the next day.

    Raises
    ------
    UsageError
        If there is no such schedule, or the machine does not know New York's clock.
    """
    rule = _rule(schedule)
    today = datetime.fromtimestamp(now_ns // 1_000_000_000, rule.zone).date()
    days = (today + k * _DAY for k in range(-3, 9))
    windows = (rule.of(day) for day in days if day.weekday() in rule.days)
    return next(window for window in windows if window.end_ns > now_ns)


def _rule(schedule: str) -> _Rule:
    if schedule == "us-open":
        return _Rule(frozenset(range(5)), time(9, 30), time(16), 0, _new_york())
    if schedule == "weekend":
        return _Rule(frozenset({_SATURDAY}), time(0), time(0), 2, UTC)
    found = _DAILY.fullmatch(schedule)
    if found is None or found[1] + found[2] == found[3] + found[4]:
        raise UsageError(
            f"{schedule!r} is no schedule",
            hint=f"give {', '.join(PRESETS)}, or the times of each day in UTC, as 13:30-20:00",
        )
    opens, closes = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    return _Rule(frozenset(range(7)), opens, closes, int(closes < opens), UTC)


def _new_york() -> ZoneInfo:
    try:
        return ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError as error:
        raise UsageError(
            "this machine does not know New York's time zone",
            hint="pip install tzdata, or give the times in UTC, as 13:30-20:00",
        ) from error

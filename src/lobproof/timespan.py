"""Times as users give them, and the days that a range touches."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np

from lobproof.errors import UsageError

Time = datetime | str | int
"""A time in UTC: a datetime (naive is UTC), ISO 8601 text, or nanoseconds since the epoch."""

DAY_NS = 86_400_000_000_000

Duration = timedelta | str | int
"""A length of time: a timedelta, text such as ``"1s"`` or ``"100ms"``, or nanoseconds."""

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": DAY_NS,
}
_DURATION = re.compile(rf"(\d{{1,18}}) ?({'|'.join(_UNITS)})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTION = re.compile(r"([.,])(\d{1,9})(?!\d)")


def to_ns(value: Time) -> int:
    """Nanoseconds since the epoch of a time in any of its forms, exact to the nanosecond.

    Raises
    ------
    UsageError
        If ``value`` is no time.
    """
    if isinstance(value, bool):
        raise _no_time(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    if not isinstance(value, str):
        raise _no_time(value)
    nanoseconds = 0
    text = value.strip()
    match = _FRACTION.search(text)
    if match:
        nanoseconds = int(match[2].ljust(9, "0"))
        text = text[: match.start()] + text[match.end() :]
    try:
        return to_ns(datetime.fromisoformat(text)) + nanoseconds
    except ValueError as error:
        raise _no_time(value) from error


def duration_ns(value: Duration) -> int:
    """Nanoseconds of a length of time, more than 0.

    Raises
    ------
    UsageError
        If ``value`` is none, or not longer than 0.
    """
    found = 0
    if isinstance(value, timedelta):
        found = value // timedelta(microseconds=1) * 1000
    elif isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        found = int(value)
    elif isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        found = int(match[1]) * _UNITS[match[2]] if match else 0
    if found <= 0:
        raise UsageError(
            f"{value!r} is no length of time.",
            hint="Give text such as '1s', '100ms', '5m', '1h', a timedelta, or int nanoseconds.",
        )
    return found


def bounds(start: Time | None, end: Time | None) -> tuple[int | None, int | None]:
    """Both ends of a range in nanoseconds; None is open."""
    return None if start is None else to_ns(start), None if end is None else to_ns(end)


def day_start(dt: str) -> int:
    """Nanoseconds since the epoch of the start of a UTC day."""
    return to_ns(dt)


def show_ns(ns: int) -> str:
    """A time as ISO 8601 text with as many digits as it needs."""
    seconds, fraction = divmod(ns, 10**9)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{text}{digits}Z"


def show_length(ns: int) -> str:
    """A span of time in its natural unit."""
    seconds = ns / 1e9
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def show_days(days: Iterable[str]) -> str:
    """Days in short: ``2024-08-01 … 2024-08-07, 2024-08-09``."""
    runs: list[list[str]] = []
    for day in sorted(set(days)):
        if runs and day_start(day) - day_start(runs[-1][-1]) == DAY_NS:
            runs[-1][1:] = [day]
        else:
            runs.append([day])
    return ", ".join(" … ".join(run) for run in runs)


def _no_time(value: object) -> UsageError:
    return UsageError(
        f"{value!r} is not a time.",
        hint="Give a datetime, ISO text such as '2024-08-08T12:30:00.250Z', or int nanoseconds.",
    )

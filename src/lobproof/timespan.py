"""Times as users give them, and the days that a range touches."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import numpy as np

from lobproof.errors import UsageError
from lobproof.schema.times import show_ns as show_ns

Time = datetime | date | np.datetime64 | str | int
"""A time in UTC: a datetime (naive is UTC), a date (its midnight), NumPy's datetime64 of any unit,
ISO 8601 text, or nanoseconds since the epoch."""

DAY_NS = 86_400_000_000_000
HOUR_NS = 3_600_000_000_000

Duration = timedelta | np.timedelta64 | str | int
"""A length of time: a timedelta, text such as ``"1s"`` or ``"100ms"``, or nanoseconds (an int, and
of a millisecond or more: who writes 1 means a second)."""

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
_STEPS = {
    "W": 7 * DAY_NS,
    "D": DAY_NS,
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "ns": 1,
}
_PARTS = {"ps": 10**3, "fs": 10**6, "as": 10**9}
"""NumPy's units: nanoseconds of each, and how many of it a nanosecond has."""
_OTHERS = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 10**3}
_LEAST_INT_NS = 10**6
_FRACTION = re.compile(r"([-\dW]+\D\d\d(:?)\d\d\2\d\d)[.,](\d{1,9})(Z|[-+].*)?", re.ASCII)
"""Date and time of day, the fraction of its second, and the zone."""
_MOST_NS = (1 << 63) - 1


def utc_day(ns: int) -> str:
    """The UTC day of a time, YYYY-MM-DD."""
    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%d}"


def covered_ns(spans: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """How long spans (start, end) last together: any of them, and more than one at once."""
    edges = sorted(edge for start, end in spans if start < end for edge in ((start, 1), (end, -1)))
    any_ns = several_ns = depth = before = 0
    for at, step in edges:
        any_ns += (at - before) * (depth > 0)
        several_ns += (at - before) * (depth > 1)
        depth, before = depth + step, at
    return any_ns, several_ns


def to_ns(value: Time) -> int:
    """Nanoseconds since the epoch of a time in any of its forms, exact to the nanosecond.

    Raises
    ------
    UsageError
        If ``value`` is no time, or one that 64 bits do not hold.
    """
    found = _ns_of(value)
    if not -_MOST_NS <= found <= _MOST_NS:
        raise UsageError(
            "A time lies beyond what 64 bits of nanoseconds hold.",
            hint=f"Give one from {show_ns(-_MOST_NS)} to {show_ns(_MOST_NS)}.",
        )
    return found


def _ns_of(value: Time) -> int:
    if isinstance(value, (bool, np.timedelta64)):
        raise _no_time(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, np.datetime64):
        return _numpy_ns(value)
    if isinstance(value, datetime):
        if value != value:  # pandas has a time that is none
            raise _no_time(value)
        exact = getattr(value, "value", None)  # nanoseconds of pandas
        if isinstance(exact, int):
            return exact
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    if isinstance(value, date):
        return (value - _EPOCH.date()).days * DAY_NS
    if not isinstance(value, str):
        raise _no_time(value)
    nanoseconds = 0
    text = value.strip()
    match = _FRACTION.fullmatch(text)
    if match:
        nanoseconds = int(match[3].ljust(9, "0"))
        text = match[1] + (match[4] or "")
    if "." in text or "," in text:
        raise _no_time(value)
    try:
        return _ns_of(datetime.fromisoformat(text)) + nanoseconds
    except ValueError as error:
        raise _no_time(value) from error


def _numpy_ns(value: np.datetime64) -> int:
    if np.isnat(value):
        raise _no_time(value)
    unit, count = np.datetime_data(value.dtype)
    ticks = int(value.astype(np.int64)) * count
    if unit in _STEPS:
        return ticks * _STEPS[unit]
    if unit in _PARTS:
        return ticks // _PARTS[unit]
    years, months = divmod(ticks * 12 if unit == "Y" else ticks, 12)
    try:
        return _ns_of(date(1970 + years, months + 1, 1))
    except (OverflowError, ValueError) as error:
        raise _no_time(value) from error


def other_unit(ns: int | None) -> str:
    """What to say of nanoseconds that look like a count of another unit; else empty.

    Such are soon after 1970, and in that unit from 2001 to 2099.
    """
    for name, factor in _OTHERS.items():
        if ns is not None and 978_307_200 <= ns * factor // 10**9 < 4_102_444_800:
            return f"An int is nanoseconds, and {ns} looks like {name}: {show_ns(ns * factor)}."
    return ""


def duration_ns(value: Duration) -> int:
    """Nanoseconds of a length of time, more than 0.

    Raises
    ------
    UsageError
        If ``value`` is none, not longer than 0, an int of less than a millisecond, or more than 64
        bits hold.
    """
    found = 0
    if isinstance(value, np.timedelta64):
        unit, count = np.datetime_data(value.dtype)
        if not np.isnat(value):
            found = int(value.astype(np.int64)) * count * _STEPS.get(unit, 0)
    elif isinstance(value, timedelta):
        exact = getattr(value, "value", None)  # nanoseconds of pandas
        whole = value // timedelta(microseconds=1) * 1000
        found = exact if isinstance(exact, int) else whole
    elif isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        found = int(value)
        if 0 < found < _LEAST_INT_NS:
            raise UsageError(
                f"{found} is {found} ns: an int is nanoseconds, and none below a millisecond.",
                hint=f"Give a unit: '{found}s', '{found}ms', '{found}ns'; or a timedelta.",
            )
    elif isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        found = int(match[1]) * _UNITS[match[2]] if match else 0
    if found <= 0:
        raise UsageError(
            f"{value!r} is no length of time.",
            hint="Give a number with its unit: '100ms', '1s', '5m', '1h', '90d' (in Python also a "
            "timedelta, or int nanoseconds).",
        )
    if found > _MOST_NS:
        raise UsageError(
            "A length of time is more than 64 bits of nanoseconds hold.",
            hint=f"Give at most {_MOST_NS // DAY_NS}d.",
        )
    return found


def bounds(start: Time | None, end: Time | None) -> tuple[int | None, int | None]:
    """Both ends of a range in nanoseconds; None is open."""
    return None if start is None else to_ns(start), None if end is None else to_ns(end)


def day_start(dt: str) -> int:
    """Nanoseconds since the epoch of the start of a UTC day."""
    return to_ns(dt)


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
        hint="Give a datetime or a date, ISO text such as '2024-08-08T12:30:00.250Z', or int "
        "nanoseconds.",
    )

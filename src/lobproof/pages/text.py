"""Numbers, times and durations as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

THIN = "\u202f"
"""Narrow no-break space: groups digits, and stands before a unit."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATIONS = (
    (86_400 * 10**9, "d"),
    (3_600 * 10**9, "h"),
    (60 * 10**9, "min"),
    (10**9, "s"),
)


def count(value: int | float) -> str:
    """A whole number in groups of three digits."""
    return f"{round(value):,}".replace(",", THIN)


def short(value: float, digits: int = 3) -> str:
    """A quantity to ``digits`` significant digits, without an exponent where one can be avoided."""
    if value == 0:
        return "0"
    if abs(value) >= 10**9 or abs(value) < 1e-9:
        return f"{value:.{digits}g}"
    decimals = max(0, digits - 1 - _magnitude(value))
    text = f"{value:,.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace(",", THIN)


def share(part: float, whole: float) -> str:
    """A part of a whole in per cent; something never reads as nothing, nor as everything."""
    if whole <= 0:
        return "–"
    rate = 100 * part / whole
    if 0 < rate < 0.01:
        return f"<{THIN}0.01{THIN}%"
    if 99.99 < rate < 100:
        return f">{THIN}99.99{THIN}%"
    return f"{rate:.2f}".rstrip("0").rstrip(".") + f"{THIN}%"


def moment(ns: int, *, digits: int = 3) -> str:
    """A UTC time to ``digits`` decimals of a second (cut, not rounded); a dash for none."""
    if ns == 0:
        return "–"
    seconds, fraction = divmod(ns, 10**9)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{fraction:09d}"[: len(text) + 1 + digits] if digits else text


def duration(ns: int) -> str:
    """A length of time in its two largest units; in hours up to two days."""
    if ns < 10**9:
        for unit, name in ((10**6, "ms"), (10**3, "µs")):
            if ns >= unit:
                return f"{short(ns / unit)}{THIN}{name}"
        return f"{ns}{THIN}ns" if ns else f"0{THIN}s"
    if ns < 60 * 10**9:
        return f"{short(ns / 10**9)}{THIN}s"
    (unit, name), (below, below_name) = next(
        (larger, smaller)
        for larger, smaller in pairwise(_DURATIONS)
        if ns >= (larger[0] if larger[1] != "d" else 2 * larger[0])
    )
    whole, rest = divmod(round(ns / below), unit // below)
    if rest == 0:
        return f"{whole}{THIN}{name}"
    return f"{whole}{THIN}{name} {rest}{THIN}{below_name}"


def size_of(number: int) -> str:
    """A number of bytes."""
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if number >= 1000**power:
            return f"{short(number / 1000**power)}{THIN}{unit}"
    return f"{number}{THIN}B"


def currencies(symbol: str) -> tuple[str, str]:
    """Names of what is traded and of what it is paid with; general words for an odd symbol."""
    parts = symbol.split("-")
    if len(parts) >= 2 and all(parts[:2]):
        return parts[0], parts[1]
    return "size units", "price units"


def _magnitude(value: float) -> int:
    return int(f"{abs(value):e}".partition("e")[2])

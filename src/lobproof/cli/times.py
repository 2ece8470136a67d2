"""Days and spans of time as options name them."""

from __future__ import annotations

from datetime import date as Date
from datetime import timedelta

from lobproof.errors import UsageError


def day_after(text: str) -> str:
    """The day behind the one that a text names."""
    try:
        day = Date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no day", hint="write it like 2022-10-01") from error
    return (day + timedelta(days=1)).isoformat()


def span(date: str | None, start: str | None, end: str | None) -> tuple[str | None, str | None]:
    """Start and end (exclusive) of what is to be looked at: one day, or as they are."""
    if date is None:
        return start, end
    if start is not None or end is not None:
        raise UsageError(
            "--date beside --start or --end", hint="--date is one day: leave the others out"
        )
    return date, day_after(date)

"""What callers give as options: numbers and names, refused where they are none."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lobproof.errors import UsageError, shown


def check_number(
    name: str, given: object, what: str, *, least: float, most: float, hint: str
) -> None:
    """Refuse what is no number from ``least`` to ``most``; ``what`` says what it should be."""
    if (
        isinstance(given, bool)
        or not isinstance(given, int | float | np.integer | np.floating)
        or not least <= given <= most  # which holds of no NaN
    ):
        raise UsageError(f"{name}={_shown(given)} is no {what}", hint=hint)


def check_whole(name: str, given: object, *, least: int, most: int, hint: str) -> None:
    """Refuse what is no whole number from ``least`` to ``most``; ``most`` is beyond all use."""
    if (
        isinstance(given, bool | np.timedelta64)  # which is an integer of NumPy's
        or not isinstance(given, int | np.integer)
        or not least <= given <= most
    ):
        raise UsageError(f"{name}={_shown(given)} is no whole number from {least} on", hint=hint)


def check_text(name: str, given: object, hint: str) -> None:
    """Refuse what is no text, or an empty one."""
    if not isinstance(given, str) or not given:
        raise UsageError(f"{name}={_shown(given)} names nothing", hint=hint)


def names_of(name: str, given: object, hint: str) -> tuple[str, ...]:
    """The names that are given: one alone is one, and not its letters."""
    if isinstance(given, str):
        check_text(name, given, hint)
        return (given,)
    if not isinstance(given, Iterable):
        raise UsageError(f"{name}={_shown(given)} is no name and no list of names", hint=hint)
    names = []
    for one in given:
        if not isinstance(one, str) or not one:
            raise UsageError(f"{name} has {_shown(one)}, which names nothing", hint=hint)
        names.append(one)
    return tuple(names)


def _shown(given: object) -> str:
    return shown(repr(given), 60)

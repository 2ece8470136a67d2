"""``Thresholds``: what data and machine have to be like for a GO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from lobproof.errors import UsageError, shown
from lobproof.options import check_number
from lobproof.pipeline.counts import GAP_LIMIT, UNUSABLE_LIMIT

GB = 1e9
_MACHINE = ("memory_gb", "events_per_second", "input_gb_a_month", "io_hours_a_month")
_SHARES = ("gap_ratio", "unusable_books", "invalid_origin_time", "missing_time")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What each criterion is held against; a figure has to be below it, but for the rate.

    Parameters
    ----------
    gap_ratio
        Of full reconstruction: messages lost ÷ messages.
    unusable_books
        Of the snapshot-anchored one: rows of `book` that are no book, or late ÷ rows.
    invalid_origin_time
        Rows whose exchange time is null, zero, negative or out of range ÷ rows.
    skew_p95_ms
        95th percentile of the distance between exchange time and receive time, ms; of a clock that
        is behind, once its median is taken off.
    missing_time
        Time in which nothing was heard ÷ the day, and time that a table lacks ÷ that of the others.
    memory_gb
        Peak memory of a process, GB; also the hard limit that one is run under.
    events_per_second
        At least so many events a second, from files to a sealed day, in one process.
    input_gb_a_month
        Crypto Lake files of a month, GB.
    io_hours_a_month
        The disk reads these twice and writes what is made of them in less than so many hours.
    """

    gap_ratio: float = GAP_LIMIT
    unusable_books: float = UNUSABLE_LIMIT
    invalid_origin_time: float = 0.05
    skew_p95_ms: float = 100.0
    missing_time: float = 0.05
    memory_gb: float = 24.0
    events_per_second: float = 100_000.0
    input_gb_a_month: float = 220.0
    io_hours_a_month: float = 24.0

    def __post_init__(self) -> None:
        """Refuse what is no threshold."""
        for one in fields(self):
            share = one.name in _SHARES
            check_number(
                one.name,
                getattr(self, one.name),
                "share" if share else "threshold",
                least=1e-9,
                most=1.0 if share else 1e15,
                hint="give more than 0, and 1 at most" if share else "give more than 0",
            )

    @classmethod
    def of(cls, given: Sequence[str], *, machine: bool) -> Thresholds:
        """The defaults but for those that are given as ``NAME=VALUE``.

        Parameters
        ----------
        machine
            Whether the machine is measured, too.

        Raises
        ------
        UsageError
            For a name that is none, or stands twice, a value that is no threshold, and a limit of
            the machine where that is not measured.
        """
        names, values = [one.name for one in fields(cls)], dict[str, float]()
        for text in given:
            name, _, value = text.partition("=")
            if name not in names or name in values:
                what = "is given twice" if name in values else "is no limit"
                raise UsageError(
                    f"{shown(repr(text), 60)} {what}",
                    hint=f"give NAME=VALUE, NAME being one of {', '.join(names)}",
                )
            if name in _MACHINE and not machine:
                raise UsageError(
                    f"{shown(repr(text), 60)} is a limit of the machine, which is not measured",
                    hint="it goes with `lobproof assess --feasibility STORE`",
                )
            try:
                values[name] = float(value)
            except ValueError as error:
                raise UsageError(
                    f"{shown(repr(text), 60)} has no number",
                    hint=f"such as {name}={getattr(cls(), name):g}",
                ) from error
        return cls(**values)

    def changed(self) -> dict[str, float]:
        """Those that are not the defaults."""
        usual = type(self)()
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in found.items() if value != getattr(usual, name)}

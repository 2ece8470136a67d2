"""``clock_of``: what the two times of all tables say of the recorder's clock, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lobproof.assess.times import Drift, TableTimes
from lobproof.pages.text import duration, short

WRONG_MS = -1.0
"""A median below this is no rounding: what is received was sent before."""
AHEAD_MS = 1_000.0
DRIFT_MS = 1.0


@dataclass(frozen=True, slots=True)
class Clock:
    """The recorder's clock beside the exchange's.

    ``wrong``: receive times that cannot be; ``offset_ms``: the median of receive time minus
    exchange time; ``drift``: of the same table; ``says``: one sentence; ``apart_ms``: median of the
    trades minus that of the book, how much later trades come; ``skew_p95_ms``: by table
    (`skew_p95`).
    """

    wrong: bool
    offset_ms: float | None
    drift: Drift | None
    skew_p95_ms: dict[str, float]
    apart_ms: float | None
    says: str


def skew_p95(times: TableTimes) -> float | None:
    """95th percentile of the distance between a table's two times, ms.

    Of a clock that is provably behind it is what is left once its median is taken off, which is how
    receive times are corrected where they stand in for exchange times. A clock ahead looks like a
    slow network, so that nothing is taken off.
    """
    skew = times.total.skew_ms
    if skew.p5 is None or skew.p95 is None or skew.p50 is None:
        return None
    wide = skew.p95 - skew.p50 if skew.p50 < WRONG_MS else max(abs(skew.p95), abs(skew.p5))
    return round(wide, 4)


def clock_of(times: Sequence[TableTimes]) -> Clock:
    """What the two times of all tables say of the clocks."""
    spread = {one.table: skew_p95(one) for one in times}
    known = [one for one in times if spread[one.table] is not None]
    book = next((one for one in known if one.table != "trades"), None)
    trades = next((one for one in known if one.table == "trades"), None)
    first = book or trades
    if first is None:
        return Clock(
            False, None, None, {}, None, "No row has both times: the clocks cannot be compared."
        )
    offset = first.total.skew_ms.p50
    assert offset is not None
    apart = None
    if book is not None and trades is not None:
        after, before = trades.total.skew_ms.p50, book.total.skew_ms.p50
        apart = None if after is None or before is None else round(after - before, 4)
    return Clock(
        offset < WRONG_MS,
        offset,
        first.drift,
        {table: value for table, value in spread.items() if value is not None},
        apart,
        _sentence(first, offset),
    )


def in_ms(value: float) -> str:
    """A length of time in milliseconds."""
    return f"{short(value, 3) if value < 1000 else format(round(value), ',')} ms"


def _sentence(first: TableTimes, offset: float) -> str:
    skew, size, drift = first.total.skew_ms, in_ms(abs(offset)), first.drift
    if offset < WRONG_MS:
        said = (
            f"The recorder's clock is {size} behind the exchange's: receive times are before "
            "exchange times"
        )
    elif offset > AHEAD_MS:
        said = (
            f"Receive times are {size} after exchange times: the recorder's clock is ahead of the "
            "exchange's, or messages were held up on their way"
        )
    elif skew.p5 is not None and skew.p5 < WRONG_MS:
        said = (
            f"The recorder's clock wanders: receive times are {size} after exchange times in the "
            f"median, and {in_ms(-skew.p5)} before them at the 5th percentile"
        )
    else:
        said = f"Receive times are {size} after exchange times (median): the clocks agree"
    end = ""
    if drift is not None and drift.seen and abs(drift.ms_per_hour) >= DRIFT_MS:
        how = ("falls behind", "shrinks") if drift.ms_per_hour < 0 else ("gains", "grows")
        clock = said.startswith("The recorder")
        low, high = sorted((abs(drift.low), abs(drift.high)))
        end = (
            f"; {'it' if clock else 'the distance'} {how[not clock]} by "
            f"{in_ms(abs(drift.ms_per_hour))} an hour (95% interval {short(low)} to {short(high)}, "
            f"by the medians of {drift.cells} stretches of {duration(first.cell_ns)})"
        )
    return f"{said}{end}."

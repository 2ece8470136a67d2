"""GO or NO-GO for each strategy: what was measured, held against thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lobproof.assess.feasibility import LARGE_HOUR, STRATEGIES, Feasibility, Run
from lobproof.assess.thresholds import GB, Thresholds
from lobproof.pipeline.job import Strategy

Verdict = Literal["GO", "NO-GO", "unknown"]
ENOUGH_EVENTS = 1_000_000
"""A run of fewer says little of throughput: each takes some tenths of a second besides."""


@dataclass(frozen=True, slots=True)
class ProfileFigures:
    """What the profile of the data found; None where it was not measured.

    Shares are 0 … 1, of the table that is worst; ``skew_p95_ms`` is of absolute values.
    """

    gap_ratio: float | None = None
    unusable_books: float | None = None
    invalid_origin_time: float | None = None
    skew_p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """One criterion of one strategy. ``measured``: None where it was not, or does not count."""

    strategy: Strategy
    criterion: str
    measured: float | None
    limit: float
    unit: str
    verdict: Verdict
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def judge(
    profile: ProfileFigures, feasibility: Feasibility | None, thresholds: Thresholds | None = None
) -> tuple[Judgement, ...]:
    """The criteria of each strategy, the strategies from the best to the last.

    What was not measured is ``unknown``, and so is what was measured on too little: never GO.
    """
    limits = thresholds or Thresholds()
    rows: list[Judgement] = []
    for strategy in STRATEGIES:
        rows += _of_data(strategy, profile, limits)
        rows += _of_machine(strategy, feasibility, limits)
    return tuple(rows)


def verdicts(rows: Sequence[Judgement]) -> Mapping[Strategy, Verdict]:
    """Of each strategy: NO-GO where one criterion is, else unknown where one is, else GO."""
    found: dict[Strategy, Verdict] = {}
    for strategy in STRATEGIES:
        told = {row.verdict for row in rows if row.strategy == strategy}
        order: tuple[Verdict, ...] = ("NO-GO", "unknown", "GO")
        found[strategy] = next((one for one in order if one in told), "unknown")
    return found


def _of_data(strategy: Strategy, profile: ProfileFigures, limits: Thresholds) -> list[Judgement]:
    rows = []
    if strategy == "full":
        rows.append(
            _below(strategy, "gap ratio", profile.gap_ratio, limits.gap_ratio, "share", "messages")
        )
    if strategy == "anchored":
        rows.append(
            _below(
                strategy,
                "unusable book rows",
                profile.unusable_books,
                limits.unusable_books,
                "share",
                "rows of `book`",
            )
        )
    rows.append(
        _below(
            strategy,
            "invalid origin_time",
            profile.invalid_origin_time,
            limits.invalid_origin_time,
            "share",
            "rows of the worst table",
        )
    )
    rows.append(
        _below(
            strategy,
            "95th percentile of skew",
            profile.skew_p95_ms,
            limits.skew_p95_ms,
            "ms",
            "receive time − exchange time, the worst table",
        )
    )
    return rows


def _below(
    strategy: Strategy,
    criterion: str,
    measured: float | None,
    limit: float,
    unit: str,
    of: str,
) -> Judgement:
    if measured is None:
        return Judgement(strategy, criterion, None, limit, unit, "unknown", "not measured")
    verdict: Verdict = "GO" if measured < limit else "NO-GO"  # which holds of no NaN
    return Judgement(strategy, criterion, measured, limit, unit, verdict, of)


def _of_machine(
    strategy: Strategy, found: Feasibility | None, limits: Thresholds
) -> list[Judgement]:
    runs = [] if found is None else [run for run in found.runs if run.strategy == strategy]
    return [
        _memory(strategy, found, runs, limits),
        _rate(strategy, found, runs, limits),
        _disk(strategy, found, runs, limits),
    ]


def _memory(
    strategy: Strategy, found: Feasibility | None, runs: Sequence[Run], limits: Thresholds
) -> Judgement:
    """The peak of all runs; full reconstruction has to end under the hard limit, too."""
    of = strategy, "peak memory"
    bound = limits.memory_gb
    failed = _failed(runs)
    peaks = [run.memory.peak_bytes / GB for run in runs if run.memory is not None]
    peak = max(peaks, default=None)
    if failed:
        return Judgement(*of, peak, bound, "GB", "unknown", failed)
    if found is None or peak is None:
        return Judgement(*of, None, bound, "GB", "unknown", "not measured")
    reserved = max(run.memory.address_bytes for run in runs if run.memory and not run.limit_bytes)
    for run in runs:
        limit = run.limit_bytes or 0
        # libraries reserve more than they use: a limit below that says nothing
        if limit >= max(bound * GB, reserved) and not run.finished:
            why = f"a run under a hard limit of {limit / GB:g} GB did not end: {run.problem}"
            return Judgement(*of, peak, bound, "GB", "NO-GO", why)
    if peak >= bound:
        return Judgement(*of, peak, bound, "GB", "NO-GO", "the most that a run held")
    most = max(run.hour_events for run in runs)
    if found.quick or most < LARGE_HOUR:
        why = f"an hour of {LARGE_HOUR / 1e6:g} M events was not run, only one of {most:,}"
        return Judgement(*of, peak, bound, "GB", "unknown", why)
    under = [run.limit_bytes / GB for run in runs if run.limit_bytes and run.finished]
    why = f"an hour of {most:,} events" + (
        f"; ended under a hard limit of {min(under):g} GB too" if under else ""
    )
    return Judgement(*of, peak, bound, "GB", "GO", why)


def _rate(
    strategy: Strategy, found: Feasibility | None, runs: Sequence[Run], limits: Thresholds
) -> Judgement:
    """The slowest run without a limit, of the user's data or simulated, and of enough events."""
    of = strategy, "throughput"
    least = limits.events_per_second
    failed = _failed(runs)
    free = [run for run in runs if run.finished and run.limit_bytes is None]
    if failed or found is None or not free:
        return Judgement(*of, None, least, "events/s", "unknown", failed or "not measured")
    # of a quiet hour the rate is that of opening and sealing a day
    rates = [run.events_per_second for run in free if run.events >= ENOUGH_EVENTS]
    if not rates:
        most = max(run.events for run in free)
        why = f"only {most:,} events: most of the time goes into opening and sealing a day"
        rate = min(run.events_per_second for run in free)
        return Judgement(*of, rate, least, "events/s", "unknown", why)
    rate = min(rates)
    verdict: Verdict = "GO" if rate >= least else "NO-GO"
    why = f"one process, {found.cores} cores, from files to a sealed day"
    return Judgement(*of, rate, least, "events/s", verdict, why)


def _disk(
    strategy: Strategy, found: Feasibility | None, runs: Sequence[Run], limits: Thresholds
) -> Judgement:
    """Hours in which the disk reads a month's input twice and writes what is made of it."""
    of = strategy, "disk time for a month"
    most = limits.io_hours_a_month
    failed = _failed(runs)
    whole = [run for run in runs if run.finished and run.input_bytes]
    if failed or found is None or found.disk is None or not whole:
        return Judgement(*of, None, most, "h", "unknown", failed or "not measured")
    disk, month = found.disk, limits.input_gb_a_month * GB
    made = max(run.output_bytes / run.input_bytes for run in whole) * month
    seconds = 2 * month / disk.read_bytes_per_second + made / disk.write_bytes_per_second
    why = (
        f"{month / GB:g} GB read twice at {disk.read_bytes_per_second / 1e6:,.0f} MB/s, "
        f"{made / GB:,.0f} GB written at {disk.write_bytes_per_second / 1e6:,.0f} MB/s"
    )
    if not disk.uncached:
        return Judgement(*of, seconds / 3600, most, "h", "unknown", f"reads came of a cache; {why}")
    if found.quick:
        return Judgement(*of, seconds / 3600, most, "h", "unknown", f"a short look; {why}")
    verdict: Verdict = "GO" if seconds / 3600 < most else "NO-GO"
    return Judgement(*of, seconds / 3600, most, "h", verdict, why)


def _failed(runs: Sequence[Run]) -> str:
    """Why a strategy could not be run at all; empty where it could."""
    return next((run.problem for run in runs if not run.finished and run.limit_bytes is None), "")

"""What data and machine are worth: criteria of each strategy, and the verdict on a day.

The one place that judges. Which strategy a feed bears is asked of `pipeline.counts`, by way of the
replay: the rule of `reconstruct`. Criteria are held against thresholds; what else bears on a day
(facts, time in doubt) is added to those of its strategy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isnan
from typing import Any, Literal

from lobproof.acquire.facts import Fact, Holds
from lobproof.assess.clock import Clock, in_ms
from lobproof.assess.completeness import Completeness
from lobproof.assess.feasibility import LARGE_HOUR, STRATEGIES, Feasibility, Run
from lobproof.assess.thresholds import GB, Thresholds
from lobproof.pages.text import short
from lobproof.pipeline.counts import DayCounts
from lobproof.pipeline.job import Strategy
from lobproof.replay import DOUBTFUL_CODES
from lobproof.schema import Finding
from lobproof.timespan import DAY_NS, show_length

Verdict = Literal["GO", "NO-GO", "undecided"]
ORDER: tuple[Verdict, ...] = ("NO-GO", "undecided", "GO")
"""The worst first."""
ENOUGH_EVENTS = 1_000_000
"""A run of fewer says little of throughput: each takes some tenths of a second besides."""
DOUBT_LIMIT, MOST_DOUBT = 0.05, 0.5
"""Shares of the time in doubt, warm-up left out: a look is needed; little is left to use."""
HANDLED = frozenset(
    {
        "row-groups",  # nothing depends on them
        "missing-times",  # a limit of its own
        "time-order",  # streams keep their source order
        "day-cut",  # rows of the neighbouring day stay in their file's
        "sequence-order",  # counted in the gap ratio
        "book-sequence-order",
        "book-state",  # contradictions are counted in the gap ratio
        "seeded-book",
        "book-sequence",  # a row is placed by id and time
        "book-levels",  # unusable rows are counted
        "book-crossed",
        "price-tick",  # flags
        "size-lot",
        "trade-ids",  # a finding
        "trades-not-aggregated",
        "trades-near-touch",  # minutes far from the touch are a finding
    }
)
"""Facts that a replay sees by itself where they fail: it counts or flags what they are about."""
_WORDS = {
    "GAP": "ids missing",
    "CROSSED": "crossed books",
    "DRIFT": "snapshots contradict it",
    "TOUCH_BEYOND_RANGE": "the touch beyond the levels listed",
    "SEQUENCE_RESET": "numbers go back",
    "SILENCE": "silences",
    "GHOST_LEVELS": "levels that should be gone",
    "STALE_BOOK": "minutes with trades far from the touch",
    "UNREADABLE": "lines that cannot be read",
    "VENDOR_ROW_STALE": "the vendor's `book` stands still",
    "TABLE_APART": "tables with other clocks",
    "ANCHOR_UNPROVEN": "snapshots that nothing follows",
}
"""What a finding that casts doubt says, in a few words."""
_ORDERS: Mapping[Strategy, tuple[str, ...]] = {
    "full": ("book_delta_v2", "trades", "depth"),
    "anchored": ("book", "trades"),
    "time-sorted": ("book", "trades"),
}
"""Tables whose times order a day."""
_NEEDS: Mapping[Strategy, tuple[str, ...]] = {**_ORDERS, "full": (*_ORDERS["full"], "book")}
"""Tables that have to be there all the time; of `full` also those that check it."""
GAP_RATIOS = {"ids": "missing ids ÷ ids spanned", "messages": "lost messages ÷ messages"}
"""What a gap ratio is of: a feed with a chain of ids, and one without."""


@dataclass(frozen=True, slots=True)
class ProfileFigures:
    """What the profile of the data found; None, or no table, where it was not measured.

    ``gap_of``: a name in `GAP_RATIOS`. ``invalid_origin_time`` (shares, 0 … 1) and ``skew_p95_ms``
    (`clock.skew_p95`) are by table. ``heard``: how complete a day and its tables are.
    """

    gap_ratio: float | None = None
    gap_of: str = "messages"
    unusable_books: float | None = None
    invalid_origin_time: Mapping[str, float] = field(default_factory=dict)
    skew_p95_ms: Mapping[str, float] = field(default_factory=dict)
    heard: Completeness = field(default_factory=Completeness)


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


@dataclass(frozen=True, slots=True)
class Judged:
    """What the data is worth: verdict, the strategy it bears, and why, the gravest first.

    ``strategy`` is None where nothing can be replayed; ``why`` has the reasons for the verdict,
    ``passed_over`` those against better strategies, ``notes`` what should be known beside.
    ``figures`` are what criteria are held against, ``criteria`` those of all strategies.
    """

    verdict: Verdict
    strategy: Strategy | None
    figures: ProfileFigures
    criteria: tuple[Judgement, ...]
    why: tuple[str, ...]
    passed_over: tuple[str, ...]
    notes: tuple[str, ...] = ()
    asked: bool = False
    """Whether a reconstruction has to be asked for the strategy: by itself it takes another."""

    @property
    def gap_ratio(self) -> float | None:
        """Of the feed; None where there is no depth message."""
        return self.figures.gap_ratio


def worst(told: Sequence[Verdict]) -> Verdict:
    """The first of NO-GO, undecided, GO that is there; undecided of none."""
    return next((one for one in ORDER if one in told), "undecided")


def judge(
    profile: ProfileFigures, feasibility: Feasibility | None, thresholds: Thresholds | None = None
) -> tuple[Judgement, ...]:
    """The criteria of each strategy, the strategies from the best to the last.

    What was not measured is undecided, and so is what was measured on too little: never GO.
    """
    limits = thresholds or Thresholds()
    rows: list[Judgement] = []
    for strategy in STRATEGIES:
        rows += of_data(strategy, profile, limits)
        rows += _of_machine(strategy, feasibility, limits)
    return tuple(rows)


def verdicts(rows: Sequence[Judgement]) -> Mapping[Strategy, Verdict]:
    """Of each strategy: NO-GO where one criterion is, else undecided where one is, else GO."""
    return {one: worst([row.verdict for row in rows if row.strategy == one]) for one in STRATEGIES}


def judged(
    *,
    strategy: Strategy | None,
    passed_over: Sequence[str],
    counts: DayCounts | None,
    figures: ProfileFigures,
    span_ns: int,
    clock: Clock,
    facts: Sequence[Fact],
    problems: Sequence[str],
    limits: Thresholds,
    asked: bool = False,
) -> Judged:
    """GO where the strategy is borne and nothing speaks against the data.

    Parameters
    ----------
    strategy
        What the replay came to; None where there was none.
    passed_over
        Why better strategies are none.
    counts
        Of that replay.
    figures
        Of the data.
    span_ns
        From the first to the last of what was heard.
    problems
        What kept the data from being read or replayed.
    asked
        Whether a reconstruction has to be asked for the strategy.
    """
    against, doubts, good = list(problems), list[str](), list[str]()
    criteria = [row for one in STRATEGIES for row in of_data(one, figures, limits)]
    if strategy is not None and counts is not None:
        ours = [row for row in criteria if row.strategy == strategy]
        against += [row.reason for row in ours if row.verdict == "NO-GO"]
        open_ = [row.reason for row in ours if row.verdict == "undecided"]
        (against if strategy == "full" and figures.gap_ratio is None else doubts).extend(open_)
        good += [row.reason for row in ours if row.verdict == "GO"]
        if counts.snapshots == 0 and counts.vendor_rows == 0:
            against.append("no snapshot seeds the book: nothing of it is known to be complete")
        doubts += _doubts(strategy, counts, facts)
        known_ns = span_ns - counts.warm_up_ns
        doubtful = (counts.doubtful_ns - counts.warm_up_ns) / known_ns if known_ns > 0 else 0.0
        unseeded = counts.warm_up_ns / span_ns if span_ns else 0.0
        if unseeded >= DOUBT_LIMIT:
            doubts.append(f"no snapshot seeds the book for the first {unseeded:.0%} of the time")
        if doubtful >= DOUBT_LIMIT:
            said = f"the book is in doubt {doubtful:.0%} of the time: {_doubting(counts)}"
            (against if doubtful >= MOST_DOUBT else doubts).append(said)
        good.append(_good(counts))
    verdict: Verdict = "NO-GO" if against or strategy is None else "GO"
    if verdict == "GO" and doubts:
        verdict = "undecided"
    return Judged(
        verdict,
        strategy,
        figures,
        tuple(criteria),
        (*against, *doubts) or ("; ".join(filter(None, good)),),
        tuple(passed_over),
        tuple(_notes(clock, strategy, figures, limits)),
        asked,
    )


def recommended(
    strategy: Strategy, figures: ProfileFigures, only_silent: bool, limits: Thresholds
) -> tuple[Strategy, str]:
    """The strategy to take in place of the one that a reconstruction came to, and why.

    The same, and no reason, where the criteria find nothing better. A reconstruction knows the
    default limits alone, and not what one table lacks of the others' time: snapshots of a whole day
    are worth more than deltas of two hours.

    Parameters
    ----------
    only_silent
        Whether nothing but silences is wrong with the deltas: then they can be left out, and the
        snapshots bear no doubt of theirs.
    """
    told = {
        one: [row for row in of_data(one, figures, limits) if row.criterion in _CHOOSING]
        for one in STRATEGIES
    }
    against = next((row for row in told["full"] if row.verdict != "GO"), None)
    if figures.gap_ratio is None or figures.unusable_books is None:
        return strategy, ""
    if against is None:
        if strategy == "full":
            return strategy, ""
        return "full", "the deltas are within the limits that were asked for"
    if against.criterion != _COMPLETE:
        bad = strategy == "full"
    else:  # of what no strategy has, none is better
        bad = only_silent and _lack("full", figures) > _lack("anchored", figures)
    if bad and all(row.verdict == "GO" for row in told["anchored"] if row.criterion != _COMPLETE):
        return "anchored", f"{against.verdict} for full: {against.reason}"
    return strategy, ""


_COMPLETE = "missing time"
_CHOOSING = ("gap ratio", "unusable book rows", _COMPLETE)


def of_data(
    strategy: Strategy, profile: ProfileFigures, limits: Thresholds
) -> tuple[Judgement, ...]:
    """The criteria of the data for a strategy."""
    rows = []
    if strategy == "full":
        rows.append(_gap_ratio(profile, limits))
    if strategy == "anchored":
        rows.append(
            _below(
                strategy,
                "unusable book rows",
                profile.unusable_books,
                limits.unusable_books,
                "share",
                "of the rows of `book` {} are no book, or late",
            )
        )
    table, share = _worst(strategy, profile.invalid_origin_time)
    rows.append(
        _below(
            strategy,
            "invalid origin_time",
            share,
            limits.invalid_origin_time,
            "share",
            f"{{}} of the rows of {table} have no valid exchange time",
        )
    )
    table, skew = _worst(strategy, profile.skew_p95_ms)
    rows.append(
        _below(
            strategy,
            "95th percentile of skew",
            skew,
            limits.skew_p95_ms,
            "ms",
            f"the 95th percentile of the skew of {table} is {{}}",
            ": receive times are no stand-in for exchange times where these are missing. Where all "
            "rows have one the order is right all the same; then `--limit skew_p95_ms=MS` takes "
            "the data as it is. A recorder does better with a clock set by NTP or PTP",
        )
    )
    rows.append(_complete(strategy, profile.heard, limits))
    return tuple(rows)


def _gap_ratio(profile: ProfileFigures, limits: Thresholds) -> Judgement:
    if profile.gap_ratio is None:
        why = "there is no depth message"
        return Judgement("full", "gap ratio", None, limits.gap_ratio, "share", "undecided", why)
    return _below(
        "full",
        "gap ratio",
        profile.gap_ratio,
        limits.gap_ratio,
        "share",
        f"the gap ratio ({GAP_RATIOS[profile.gap_of]}) is {{}}",
        ": too much of the book's messages is lost",
    )


def _worst(strategy: Strategy, by_table: Mapping[str, float]) -> tuple[str, float | None]:
    """The table that orders a day and is worst, and its figure."""
    ours = {table: value for table, value in by_table.items() if table in _ORDERS[strategy]}
    if not ours:
        return "", None
    table = max(ours, key=lambda one: (isnan(ours[one]), ours[one]))
    return table, ours[table]


def _lack(strategy: Strategy, profile: ProfileFigures) -> float:
    """The most that a table that a strategy needs lacks of the others' time."""
    found = (one.share for name, one in profile.heard.lacking.items() if name in _NEEDS[strategy])
    return max(found, default=0.0)


def _complete(strategy: Strategy, heard: Completeness, limits: Thresholds) -> Judgement:
    """What is missing of the day, and of its tables: nothing that is there is worse for it."""
    limit = limits.missing_time
    of = strategy, _COMPLETE
    said, most = [], heard.missing or 0.0
    if most >= limit:
        gone = f"; {len(heard.hours)} of its 24 hours are missing" if heard.hours else ""
        said.append(f"only {1 - most:.1%} of the day is there ({heard.when} UTC){gone}")
    for table, lack in heard.lacking.items():
        if table in _NEEDS[strategy]:
            most = max(most, lack.share)
            if lack.share >= limit:
                said.append(
                    f"{table} lacks {lack.share:.1%} of the time that the other tables have "
                    f"({lack.when} UTC)"
                )
    if said:
        return Judgement(*of, most, limit, "share", "undecided", "; ".join(said))
    why = "" if heard.missing is None else f"{1 - most:.1%} of the day is there"
    return Judgement(*of, most, limit, "share", "GO", why)


def figure(value: float, unit: str) -> str:
    """A measured figure, or a limit, with its unit."""
    if isnan(value):
        return "no number"
    if unit == "share":
        return f"{short(100 * value, 4)}%"
    if unit == "ms":
        return in_ms(value)
    return f"{value:,.4g} {unit}" if abs(value) < 1000 else f"{value:,.0f} {unit}"


def _below(
    strategy: Strategy,
    criterion: str,
    measured: float | None,
    limit: float,
    unit: str,
    said: str,
    otherwise: str = "",
) -> Judgement:
    """``said`` has a place for the figure; ``otherwise`` is what it means that it is too high."""
    of = strategy, criterion
    if measured is None:
        why = f"{criterion}: not measured"
        return Judgement(*of, None, limit, unit, "undecided", why)
    go = measured < limit  # which holds of no NaN
    why = f"{said.format(figure(measured, unit))} (limit {figure(limit, unit)})"
    if go:
        return Judgement(*of, measured, limit, unit, "GO", why)
    return Judgement(*of, measured, limit, unit, "NO-GO", f"{why}{otherwise}")


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
        return Judgement(*of, peak, bound, "GB", "undecided", failed)
    if found is None or peak is None:
        return Judgement(*of, None, bound, "GB", "undecided", "not measured")
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
        return Judgement(*of, peak, bound, "GB", "undecided", why)
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
        return Judgement(*of, None, least, "events/s", "undecided", failed or "not measured")
    # of a quiet hour the rate is that of opening and sealing a day
    rates = [run.events_per_second for run in free if run.events >= ENOUGH_EVENTS]
    if not rates:
        most = max(run.events for run in free)
        why = f"only {most:,} events: most of the time goes into opening and sealing a day"
        rate = min(run.events_per_second for run in free)
        return Judgement(*of, rate, least, "events/s", "undecided", why)
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
        return Judgement(*of, None, most, "h", "undecided", failed or "not measured")
    disk, month = found.disk, limits.input_gb_a_month * GB
    made = max(run.output_bytes / run.input_bytes for run in whole) * month
    seconds = 2 * month / disk.read_bytes_per_second + made / disk.write_bytes_per_second
    why = (
        f"{month / GB:g} GB read twice at {disk.read_bytes_per_second / 1e6:,.0f} MB/s, "
        f"{made / GB:,.0f} GB written at {disk.write_bytes_per_second / 1e6:,.0f} MB/s"
    )
    if not disk.uncached:
        return Judgement(
            *of, seconds / 3600, most, "h", "undecided", f"reads came of a cache; {why}"
        )
    if found.quick:
        return Judgement(*of, seconds / 3600, most, "h", "undecided", f"a short look; {why}")
    verdict: Verdict = "GO" if seconds / 3600 < most else "NO-GO"
    return Judgement(*of, seconds / 3600, most, "h", verdict, why)


def _failed(runs: Sequence[Run]) -> str:
    """Why a strategy could not be run at all; empty where it could."""
    return next((run.problem for run in runs if not run.finished and run.limit_bytes is None), "")


def _doubts(strategy: Strategy, counts: DayCounts, facts: Sequence[Fact]) -> list[str]:
    found = []
    if counts.trades == 0:
        found.append("there are no trades: nothing tells whether the book is the market's")
    found += [
        f"{fact.name} does not hold: {fact.claim} ({fact.measured})"
        for fact in facts
        if fact.holds is Holds.FAILS and fact.name not in HANDLED and _concerns(fact, strategy)
    ]
    return found


def _notes(
    clock: Clock, strategy: Strategy | None, figures: ProfileFigures, limits: Thresholds
) -> list[str]:
    found = []
    if clock.wrong:
        found.append(clock.says)
        found.append(
            "Nothing has to be done about that for this data: the order is by exchange times, and "
            "a receive time that stands in for a missing one is corrected by the median."
        )
    heard = figures.heard
    if heard.missing and heard.missing < limits.missing_time:
        found.append(
            f"{show_length(round(heard.missing * DAY_NS))} of the day are missing: there "
            f"is {heard.when} UTC."
        )
    for table, lack in heard.lacking.items():
        needed = strategy is not None and table in _NEEDS[strategy]
        if lack.share < limits.missing_time or not needed:
            found.append(
                f"{table} lacks {short(100 * lack.share)}% of the time that the other tables have "
                f"({lack.when} UTC)."
            )
    return found


def _doubting(counts: DayCounts) -> str:
    """What puts the book in doubt, in words, the most frequent first."""
    codes = DOUBTFUL_CODES - {Finding.UNSEEDED}
    found = [(-n, name) for name, n in counts.findings.items() if Finding[name] in codes]
    return ", ".join(f"{_WORDS.get(name, name)} ({-n:,})" for n, name in sorted(found))


def _concerns(fact: Fact, strategy: Strategy) -> bool:
    """Whether a strategy relies on what a fact is about."""
    of_deltas = fact.name.startswith(("sequence-", "message-", "no-snapshot"))
    return strategy == "full" or not of_deltas


def _good(counts: DayCounts) -> str:
    """What the replay found where nothing speaks against the data."""
    compared = counts.snapshots + counts.vendor_rows
    no = "none" if not counts.contradictions else f"{counts.contradictions:,}"
    doubtful_s = (counts.doubtful_ns - counts.warm_up_ns) / 1e9
    said = [
        f"of {compared:,} snapshots {no} contradicts the book" if compared else "",
        f"{doubtful_s:,.1f} s in doubt",
    ]
    return "; ".join(filter(None, said))

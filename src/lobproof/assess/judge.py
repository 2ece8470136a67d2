"""What data is worth: the clock's sentence, and GO, NO-GO or undecided with reasons.

Which strategy a feed bears is asked of `pipeline.counts`, by way of the replay: the rule of
`reconstruct`. What is added here are limits that bear on every strategy, and the facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lobproof.acquire.facts import Fact, Holds
from lobproof.assess.result import Clock, Judged, Verdict
from lobproof.assess.thresholds import Thresholds
from lobproof.assess.times import TableTimes
from lobproof.pages.text import short
from lobproof.pipeline.counts import DayCounts
from lobproof.pipeline.job import Strategy
from lobproof.replay import DOUBTFUL_CODES
from lobproof.schema import Finding

WRONG_MS = -1.0
"""A median below this is no rounding: what is received was sent before."""
AHEAD_MS = 1_000.0
DRIFT_MS = 1.0
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
_USED: Mapping[Strategy, tuple[str, ...]] = {
    "full": ("book_delta_v2", "trades", "depth"),
    "anchored": ("book", "trades"),
    "time-sorted": ("book", "trades"),
}
"""Tables whose exchange times order a day."""


def clock_of(times: Sequence[TableTimes]) -> Clock:
    """What the two times of all tables say of the clocks."""
    known = [one for one in times if one.total.skew_ms.p50 is not None]
    book = next((one for one in known if one.table != "trades"), None)
    trades = next((one for one in known if one.table == "trades"), None)
    first = book or trades
    if first is None:
        return Clock(
            False, None, None, None, None, "No row has both times: the clocks cannot be compared."
        )
    offset = first.total.skew_ms.p50
    assert offset is not None
    wrong = offset < WRONG_MS
    spread = []
    for one in known:
        skew = one.total.skew_ms
        low, high, middle = skew.p5, skew.p95, skew.p50
        if low is None or high is None or middle is None:
            continue
        spread.append(max(abs(high), abs(low)) if middle >= WRONG_MS else high - middle)
    apart = None
    if book is not None and trades is not None:
        after, before = trades.total.skew_ms.p50, book.total.skew_ms.p50
        apart = None if after is None or before is None else round(after - before, 4)
    drift = first.drift_ms_per_hour
    return Clock(
        wrong, offset, drift, max(spread, default=None), apart, _sentence(first, offset, drift)
    )


def _sentence(first: TableTimes, offset: float, drift: float | None) -> str:
    skew, size = first.total.skew_ms, _ms(abs(offset))
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
            f"median, and {_ms(-skew.p5)} before them at the 5th percentile"
        )
    else:
        said = f"Receive times are {size} after exchange times (median): the clocks agree"
    end = ""
    if drift is not None and abs(drift) >= DRIFT_MS and _moved(first):
        by = f"by {_ms(abs(drift))} an hour"
        how = ("falls behind", "shrinks") if drift < 0 else ("gains", "grows")
        of = "it" if said.startswith("The recorder") else "the distance"
        end = f"; {of} {how[of != 'it']} {by}"
    return f"{said}{end}."


def _moved(times: TableTimes) -> bool:
    """Whether the table lasts long enough for a drift: half an hour and more."""
    return times.cells[-1].start_ns - times.cells[0].start_ns >= 1_800 * 10**9


def _ms(value: float) -> str:
    return f"{short(value, 3) if value < 1000 else format(round(value), ',')} ms"


def judged(
    *,
    strategy: Strategy | None,
    passed_over: Sequence[str],
    counts: DayCounts | None,
    gap_ratio: float | None,
    span_ns: int,
    times: Sequence[TableTimes],
    clock: Clock,
    facts: Sequence[Fact],
    problems: Sequence[str],
    limits: Thresholds,
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
    gap_ratio
        Of the feed.
    span_ns
        From the first to the last of what was heard.
    problems
        What kept the data from being read or replayed.
    """
    against = list(problems)
    doubts: list[str] = []
    if strategy is not None and counts is not None:
        against += _against(strategy, counts, gap_ratio, times, limits)
        doubts += _doubts(strategy, counts, facts)
        known_ns = span_ns - counts.warm_up_ns
        doubtful = (counts.doubtful_ns - counts.warm_up_ns) / known_ns if known_ns > 0 else 0.0
        unseeded = counts.warm_up_ns / span_ns if span_ns else 0.0
        if unseeded >= DOUBT_LIMIT:
            doubts.append(f"no snapshot seeds the book for the first {unseeded:.0%} of the time")
        if doubtful >= DOUBT_LIMIT:
            said = f"the book is in doubt {doubtful:.0%} of the time: {_doubting(counts)}"
            (against if doubtful >= MOST_DOUBT else doubts).append(said)
    verdict: Verdict = "NO-GO" if against or strategy is None else "GO"
    if verdict == "GO" and doubts:
        verdict = "undecided"
    good = []
    if not against and not doubts and strategy is not None and counts is not None:
        good = [_good(strategy, counts, gap_ratio, times, limits)]
    return Judged(
        verdict,
        strategy,
        gap_ratio,
        (*against, *doubts, *good),
        tuple(passed_over),
        tuple(_notes(clock, limits)),
    )


def _against(
    strategy: Strategy,
    counts: DayCounts,
    gap_ratio: float | None,
    times: Sequence[TableTimes],
    limits: Thresholds,
) -> list[str]:
    found = []
    used = [one for one in times if one.table in _USED[strategy]]
    worst = max(used, key=lambda one: one.invalid_share, default=None)
    if worst is not None and worst.invalid_share >= limits.invalid_origin_time:
        found.append(
            f"{worst.invalid_share:.1%} of the rows of {worst.table} have no valid exchange time "
            f"(limit {limits.invalid_origin_time:.0%})"
        )
    if strategy == "full":
        if gap_ratio is None:
            found.append("there is no depth message")
        elif gap_ratio >= limits.gap_ratio:
            found.append(
                f"the gap ratio is {gap_ratio:.3%} (limit {limits.gap_ratio:.1%}): too much of the "
                "book's messages is lost"
            )
    if counts.snapshots == 0 and counts.vendor_rows == 0:
        found.append("no snapshot seeds the book: nothing of it is known to be complete")
    return found


def _doubts(strategy: Strategy, counts: DayCounts, facts: Sequence[Fact]) -> list[str]:
    found = []
    if counts.trades == 0:
        found.append("there are no trades: nothing tells whether the book is the market's")
    found += [
        f"{fact.name} does not hold: {fact.claim}"
        for fact in facts
        if fact.holds is Holds.FAILS and fact.name not in HANDLED and _concerns(fact, strategy)
    ]
    return found


def _notes(clock: Clock, limits: Thresholds) -> list[str]:
    """Skew bears on rows without an exchange time alone: all others are ordered by that."""
    found = [clock.says] if clock.wrong else []
    if clock.skew_p95_ms is not None and clock.skew_p95_ms >= limits.skew_p95_ms:
        of = "their median distance from" if clock.wrong else "their"
        found.append(
            f"5% of the receive times are more than {_ms(clock.skew_p95_ms)} off {of} exchange "
            f"times (limit {_ms(limits.skew_p95_ms)}). Rows are ordered by exchange time, so this "
            "matters only where that is missing."
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


def _good(
    strategy: Strategy,
    counts: DayCounts,
    gap_ratio: float | None,
    times: Sequence[TableTimes],
    limits: Thresholds,
) -> str:
    """What was measured where nothing speaks against the data."""
    said = []
    if strategy == "full" and gap_ratio is not None:
        said.append(f"the gap ratio is {gap_ratio:.4%} (limit {limits.gap_ratio:.1%})")
    used = [one.invalid_share for one in times if one.table in _USED[strategy]]
    if used:
        said.append(f"{max(used):.2%} of the rows have no valid exchange time")
    compared = counts.snapshots + counts.vendor_rows
    no = "none" if not counts.contradictions else f"{counts.contradictions:,}"
    said.append(f"of {compared:,} snapshots {no} contradicts the book" if compared else "")
    doubtful_s = (counts.doubtful_ns - counts.warm_up_ns) / 1e9
    said.append(f"{doubtful_s:,.1f} s in doubt")
    return "; ".join(filter(None, said))

"""What an assessment counts, held against plain references; what it says of clocks."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.acquire.facts import Fact, Holds
from lobproof.acquire.stamp_kernels import MISSING
from lobproof.assess.clock import clock_of
from lobproof.assess.completeness import Completeness, DayCover, of_streams
from lobproof.assess.histogram import CentredHistogram, Histogram, quantiles
from lobproof.assess.judge import ProfileFigures, judged
from lobproof.assess.thresholds import Thresholds
from lobproof.assess.times import TableTimes, TimeProfile
from lobproof.assess.watch import MOST_BEHIND, ReplayWatch
from lobproof.pages.axes import TimeGrid
from lobproof.pipeline.counts import DayCounts
from lobproof.replay import Chunk, ReplayOutput, Segment
from lobproof.schema import EventBatch, Flag, Int64, Kind, Side, StateBatch

DAY = 1_770_768_000_000_000_000
DAY_NS = 86_400_000_000_000
HOUR = 3_600_000_000_000
MS = 1_000_000


# histograms --------------------------------------------------------------------------------------


@given(st.lists(st.integers(-(10**15), 10**15), min_size=1, max_size=300), st.integers(1, 5))
def test_quantiles_are_near_those_of_all_values(values: list[int], parts: int) -> None:
    histogram = Histogram()
    for part in np.array_split(np.array(values, np.int64), parts):
        histogram.add(part)
    assert histogram.counts.sum() == len(values)
    for share in (0.05, 0.5, 0.95, 1.0):
        exact = np.quantile(values, share, method="inverted_cdf")
        found = histogram.quantile(share)
        assert found == pytest.approx(exact, rel=1 / 1000, abs=1)
    assert histogram.largest == max(max(values), 0)


@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=600),
    st.integers(1, 5),
    st.integers(-(10**14), 10**14),
)
def test_quantiles_around_a_middle_know_no_offset(
    values: list[int], parts: int, offset: int
) -> None:
    """The same, plus the constant, wherever the values lie and however they are cut."""
    shares = (0.05, 0.5, 0.95, 0.99)

    def of(shift: int, cuts: int) -> list[float | None]:
        histograms = [CentredHistogram(1000) for _ in range(2)]
        moved = np.array(values, np.int64) + shift
        for number, half in enumerate(np.array_split(moved, 2)):
            for part in np.array_split(half, cuts):
                histograms[number].add(part)
        return quantiles(histograms, shares)

    plain = of(0, 1)
    for share, found in zip(shares, plain, strict=True):
        exact = np.quantile(values, share, method="inverted_cdf")
        assert found == pytest.approx(exact, abs=2e6 + 2000), "a thousandth of the range"
    for found, here in zip(of(offset, parts), plain, strict=True):
        assert found is not None
        assert found - offset == pytest.approx(here, abs=1), "of ns"


def test_a_histogram_of_nothing_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram().coarse(2) == {}
    assert quantiles([CentredHistogram(1)], (0.5,)) == [None]


def test_coarse_bins_are_powers_of_the_root_of_two() -> None:
    histogram = Histogram()
    histogram.add(np.array([0, 1, 2, 2, 3, 4, 1000], np.int64))
    assert histogram.coarse(2) == {0: 1, 2: 2, 3: 1, 4: 1, 19: 1}


# times -------------------------------------------------------------------------------------------

STAMPS = st.one_of(
    st.sampled_from([MISSING, 0, -1, DAY - DAY_NS, DAY + 2 * DAY_NS, DAY - 30 * 10**9]),
    st.integers(DAY, DAY + 3 * HOUR - 1),
)
TIMES = st.lists(
    st.tuples(STAMPS, st.one_of(st.just(0), st.integers(DAY, DAY + 3 * HOUR - 1))), max_size=80
)


def profile(pairs: list[tuple[int, int]], parts: int) -> TableTimes:
    found = TimeProfile("trades", (DAY, DAY + DAY_NS), TimeGrid.over(DAY, DAY + 3 * HOUR - 1, 12))
    columns = np.array(pairs, np.int64).reshape(-1, 2)
    for part in np.array_split(columns, parts):
        found.add(part[:, 0].copy(), part[:, 1].copy())
    return found.result()


@given(TIMES, st.integers(1, 4))
def test_times_are_counted_like_row_by_row(pairs: list[tuple[int, int]], parts: int) -> None:
    found = profile(pairs, parts)
    counts: Counter[str] = Counter(rows=len(pairs))
    latest, skews = -1, []
    for sent, received in pairs:
        if sent == MISSING:
            counts["null"] += 1
        elif sent == 0:
            counts["zero"] += 1
        elif sent < 0:
            counts["negative"] += 1
        elif not DAY - 60 * 10**9 <= sent < DAY + DAY_NS + 60 * 10**9:
            counts["outside"] += 1
        else:
            counts["backward"] += sent < latest
            latest = max(latest, sent)
            if received > 0:
                skews.append((received - sent) / MS)
    for name in ("rows", "null", "zero", "negative", "outside", "backward"):
        assert getattr(found.total, name) == counts[name], name
        assert sum(getattr(hour, name) for hour in found.hours) == counts[name], name
        assert sum(getattr(cell, name) for cell in found.cells) == counts[name], name
    if skews:
        exact = float(np.quantile(skews, 0.5, method="inverted_cdf"))
        assert found.total.skew_ms.p50 == pytest.approx(exact, rel=1 / 900, abs=1e-3)
    else:
        assert found.total.skew_ms.p50 is None


def test_a_row_without_any_time_is_counted_beside_its_neighbour() -> None:
    pairs = [(DAY + 2 * HOUR, DAY + 2 * HOUR + MS), (0, 0), (MISSING, MISSING)]
    found = profile(pairs, 1)
    assert [(hour.start_ns, hour.rows, hour.null, hour.zero) for hour in found.hours] == [
        (DAY + 2 * HOUR, 3, 1, 1)
    ]


@pytest.mark.parametrize(
    ("unit", "floats", "said"),
    [
        (MS, False, "ms"),
        (1000, False, "µs"),
        (1, False, "ns"),
        (MS, True, "ms, through float seconds"),
        (1000, True, "µs, through float seconds"),
    ],
)
def test_resolution(unit: int, floats: bool, said: str) -> None:
    rng = np.random.default_rng(1)
    times = DAY + np.sort(rng.integers(1, HOUR // unit, 5_000)) * unit
    if floats:
        times = np.array([int(time / 1e9 * 1e9) for time in times.tolist()], np.int64)
        times = np.array([int(round(t / 1e9, 6) * 1e9) for t in times.tolist()], np.int64)
    found = profile(list(zip(times.tolist(), times.tolist(), strict=True)), 2)
    assert found.resolution == (said, said)


@pytest.mark.parametrize("offset_s", [-300, -1, 0, 7, 36_000])
def test_a_clock_that_is_off_changes_no_spread(offset_s: int) -> None:
    skew = np.random.default_rng(3).normal(5, 2, 20_000)
    here, moved = clocks(skew).total.skew_ms, clocks(skew + 1000 * offset_s).total.skew_ms
    for name in ("p5", "p50", "p95", "p99"):
        exact = float(np.quantile(skew, float(name[1:]) / 100))
        assert getattr(here, name) == pytest.approx(exact, abs=0.05)
        found = getattr(moved, name) - 1000 * offset_s
        assert found == pytest.approx(getattr(here, name), abs=0.002)


# clocks ------------------------------------------------------------------------------------------


def clocks(skew_ms: np.ndarray, hours: float = 2.0) -> TableTimes:
    sent = DAY + np.linspace(0, hours * HOUR, len(skew_ms)).astype(np.int64)
    received = sent + (skew_ms * MS).astype(np.int64)
    return profile(list(zip(sent.tolist(), received.tolist(), strict=True)), 3)


@pytest.mark.parametrize(
    ("low", "high", "said", "wrong"),
    [
        (
            -847,
            -845,
            r"The recorder's clock is 846 ms behind the exchange's: receive times are before "
            r"exchange times\.",
            True,
        ),
        (3, 5, r"Receive times are [34]\S* ms after .* \(median\): the clocks agree\.", False),
        (-400, 500, r"The recorder's clock wanders: .*, and \S+ ms before them .*", False),
        (
            8e4,
            9e4,
            r"Receive times are 8\d,\d+ ms after .* is ahead of the exchange's.*",
            False,
        ),
    ],
)
def test_the_clock_is_told_in_words(low: float, high: float, said: str, wrong: bool) -> None:
    skew = np.random.default_rng(2).uniform(low, high, 4_000)
    skew[::2] = low + high - skew[::2][::-1]
    clock = clock_of([clocks(skew, hours=0.4)])
    assert re.fullmatch(said, clock.says), clock.says
    assert clock.wrong is wrong


def test_a_clock_that_falls_behind() -> None:
    clock = clock_of([clocks(np.linspace(-100, -500, 4_000))])
    assert clock.drift is not None
    assert clock.drift.ms_per_hour == pytest.approx(-200, rel=0.01)
    assert re.search(
        r"; it falls behind by 200 ms an hour \(95% interval 200 to 200, by the medians of 4 "
        r"stretches of 30.min\)\.",
        clock.says,
    ), clock.says


def test_outliers_pull_no_drift() -> None:
    """A tenth of all rows held up by half a minute, more and more to the end."""
    rng = np.random.default_rng(4)
    skew = np.linspace(10, 30, 12_000) + rng.normal(0, 1, 12_000)
    late = rng.random(12_000) < np.linspace(0, 0.2, 12_000)
    found = clocks(skew + 30_000 * late).drift
    assert found is not None
    assert found.ms_per_hour == pytest.approx(10, rel=0.1)
    assert found.low <= found.ms_per_hour <= found.high
    assert found.seen
    assert found.cells == 4
    steady = clocks(rng.normal(5, 2, 12_000)).drift
    assert steady is not None
    assert not steady.seen
    assert clocks(np.full(10, 5.0), hours=0.1).drift is None


def test_of_a_wrong_clock_the_skew_is_from_its_median_on() -> None:
    steady, none = clock_of([clocks(np.full(500, -900.0))]), clock_of([])
    assert steady.skew_p95_ms == {"trades": pytest.approx(0, abs=1)}
    assert (none.offset_ms, none.skew_p95_ms) == (None, {})
    assert "cannot be compared" in none.says


# messages and trades -----------------------------------------------------------------------------

Row = tuple[Kind, int, int, int, int]
"""Kind, exchange time, receive time, id, id before."""


def chunk(rows: list[Row], states: list[tuple[int, int, int, int]], first: int) -> Chunk:
    """Messages of one row, and states: event id, best bid, best ask, trusted levels."""
    events = EventBatch.empty(len(rows))
    for at, (kind, sent, received, number, before) in enumerate(rows):
        events.kind[at], events.ts_event[at], events.ts_recv[at] = kind, sent, received
        events.sequence[at], events.prev_sequence[at] = number, before
        events.flags[at] = Flag.LAST
    events.ts_order[:] = np.maximum.accumulate(events.ts_event) if len(rows) else 0
    states_of = StateBatch.empty(len(states))
    for at, (event, bid, ask, trusted) in enumerate(states):
        states_of.event_id[at] = event
        states_of.levels[at, 0], states_of.levels[at, 40] = bid, ask
        states_of.bid_trusted[at] = states_of.ask_trusted[at] = trusted
    output = ReplayOutput(states_of, np.zeros(0), {})
    return Chunk([events], output, Segment.of(EventBatch.empty()))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 30)), max_size=60),
    st.integers(1, 4),
)
def test_trades_behind_messages_like_one_by_one(
    drawn: list[tuple[bool, int, int]], parts: int
) -> None:
    """However the rows are cut: messages received before a trade, of a later exchange time."""
    rows = sorted(
        (
            (
                Kind.TRADE if is_trade else Kind.DELTA,
                DAY + sent * MS,
                DAY + (sent + late) * MS,
                1,
                -1,
            )
            for is_trade, sent, late in drawn
        ),
        key=lambda row: (row[1], row[0] == Kind.TRADE),
    )
    watch = ReplayWatch()
    for part in np.array_split(np.arange(len(rows)), parts):
        watch(chunk([rows[at] for at in part], [], 0))
    found = watch.prints()
    heard = [row for row in rows if row[0] == Kind.DELTA]
    reached = np.maximum.accumulate([row[2] for row in heard]) if heard else np.empty(0, np.int64)
    behind = [
        sum(other[1] > row[1] and came < row[2] for other, came in zip(heard, reached, strict=True))
        for row in rows
        if row[0] == Kind.TRADE
    ]
    assert found.trades == len(behind)
    assert found.timed == (len(behind) if heard else 0)
    if heard:
        assert found.in_order == behind.count(0)
        assert found.late_most == max(behind, default=0) < MOST_BEHIND


def test_prints_beside_the_last_trusted_touch() -> None:
    def trade(number: int, price: int, side: Side) -> EventBatch:
        (events,) = chunk([(Kind.TRADE, DAY, DAY, number, number - 1)], [], 0).parts
        events.price[:], events.side[:] = price, side
        return events

    watch = ReplayWatch()
    watch(chunk([(Kind.DELTA, DAY, DAY, 5, -1)], [(0, 1000, 1010, 20)], 0))
    events = EventBatch.concat(
        [
            trade(1, 1010, Side.BUY),
            trade(2, 1000, Side.SELL),
            trade(3, 1012, Side.BUY),
            trade(4, 1005, Side.SELL),
            trade(5, 1005, Side.NONE),
        ]
    )
    empty = ReplayOutput(StateBatch.empty(0), np.zeros(0), {})
    watch(Chunk([events], empty, Segment.of(EventBatch.empty())))
    watch(chunk([(Kind.DELTA, DAY, DAY, 6, -1)], [(6, 1000, 1010, 0)], 0))
    watch(chunk([(Kind.TRADE, DAY, DAY, 6, 5)], [], 0))
    found = watch.prints()
    assert (found.trades, found.compared) == (6, 4), "not where the touch is in doubt"
    assert (found.at, found.through, found.inside) == (2, 1, 1)
    assert found.far_bps["p99"] == pytest.approx(5 / 1005 * 1e4, rel=0.01)


def test_ids_that_the_chain_misses() -> None:
    def ids(*pairs: tuple[int, int]) -> Int64:
        return np.array(pairs, np.int64)

    watch = ReplayWatch()
    for part in (ids((10, 4), (14, 10)), ids((30, 20), (31, 30), (29, 28), (33, 31))):
        watch(chunk([(Kind.DELTA, DAY, DAY, int(u), int(pu)) for u, pu in part], [], 0))
    found = watch.messages()
    assert (found.messages, found.missing_ids, found.spanned_ids) == (6, 6, 29)
    assert (found.steps, found.steps_of_one, found.backward) == (5, 1, 1)
    chainless = ReplayWatch()
    chainless(chunk([(Kind.DELTA, DAY, DAY, 10, -1)], [], 0))
    assert chainless.messages().missing_ids is None


# the verdict -------------------------------------------------------------------------------------

GOOD = DayCounts(events=100, trades=10, book_messages=90, snapshots=1, vendor_rows=10)


def verdict(
    counts: DayCounts = GOOD,
    *,
    strategy: str = "full",
    ratio: float | None = 0.0,
    facts: tuple[Fact, ...] = (),
    problems: tuple[str, ...] = (),
) -> tuple[str, str]:
    from typing import get_args

    from lobproof.pipeline.job import Strategy

    (chosen,) = [one for one in get_args(Strategy) if one == strategy]
    found = judged(
        strategy=None if problems else chosen,
        passed_over=(),
        counts=counts,
        figures=ProfileFigures(
            gap_ratio=ratio,
            unusable_books=0.0,
            invalid_origin_time={"trades": 0.0},
            skew_p95_ms={"trades": 1.0},
        ),
        span_ns=1000,
        clock=clock_of([]),
        facts=facts,
        problems=problems,
        limits=Thresholds(),
    )
    return found.verdict, found.why[0]


def failing(name: str) -> Fact:
    return Fact(name, "It is so.", Holds.FAILS, {}, 100)


def test_verdicts() -> None:
    assert verdict()[0] == "GO"
    assert verdict(ratio=0.00099)[0] == "GO"
    assert verdict(ratio=0.001) == (
        "NO-GO",
        "the gap ratio (lost messages ÷ messages) is 0.1% (limit 0.1%): too much of the book's "
        "messages is lost",
    )
    assert verdict(ratio=None) == ("NO-GO", "there is no depth message")
    assert verdict(problems=("cut off",)) == ("NO-GO", "cut off")
    unseeded = DayCounts(trades=10, book_messages=90)
    assert "no snapshot seeds the book" in verdict(unseeded, strategy="time-sorted")[1]
    few = DayCounts(book_messages=90, snapshots=1)
    assert verdict(few)[0] == "undecided"


@pytest.mark.parametrize(
    ("doubtful", "warm_up", "said"),
    [
        (49, 0, "GO"),
        (88, 49, "GO"),
        (100, 49, "undecided"),
        (50, 0, "undecided"),
        (499, 0, "undecided"),
        (500, 0, "NO-GO"),
    ],
)
def test_doubt_beyond_the_warm_up_counts(doubtful: int, warm_up: int, said: str) -> None:
    counts = DayCounts(
        trades=1,
        book_messages=9,
        snapshots=1,
        doubtful_ns=doubtful,
        warm_up_ns=warm_up,
        findings={"DRIFT": 3, "OFF_LOT": 9, "UNSEEDED": 1},
    )
    got, why = verdict(counts)
    assert got == said
    if said != "GO":
        assert why.endswith("of the time: snapshots contradict it (3)")


def test_a_long_time_without_a_book_is_told() -> None:
    counts = DayCounts(
        trades=1, book_messages=9, snapshots=1, doubtful_ns=60, warm_up_ns=60,
        findings={"UNSEEDED": 1},
    )  # fmt: skip
    assert verdict(counts) == (
        "undecided",
        "no snapshot seeds the book for the first 6% of the time",
    )


def test_facts_count_where_the_strategy_relies_on_them() -> None:
    assert verdict(facts=(failing("row-groups"), failing("price-tick")))[0] == "GO"
    of_deltas, of_all = (failing("sequence-per-message"),), (failing("side-is-taker"),)
    assert verdict(facts=of_deltas)[0] == "undecided"
    assert verdict(facts=of_deltas, strategy="anchored")[0] == "GO"
    assert verdict(facts=of_all, strategy="anchored") == (
        "undecided",
        "side-is-taker does not hold: It is so. (100 rows; )",
    )


# completeness ------------------------------------------------------------------------------------


def heard(spans: dict[str, list[tuple[float, float]]]) -> Completeness:
    """Of tables with a row each second in these hours."""
    cover = DayCover("2026-02-11")
    for table, hours in spans.items():
        for first, last in hours:
            times = np.arange(DAY + int(first * HOUR), DAY + int(last * HOUR), 10**9)
            cover.add(table, times, times)
    return cover.result()


def test_a_whole_day_lacks_nothing() -> None:
    found = heard({"book": [(0, 24)], "trades": [(0, 24)]})
    assert (found.missing, found.hours, found.lacking) == (0.0, (), {})
    assert found.when == "00:00–24:00"
    assert DayCover("2026-02-11").result() == Completeness()


def test_hours_that_are_missing_are_named() -> None:
    found = heard({"book": [(0, 2), (20, 21.5)], "trades": [(0, 2), (20, 21.5)]})
    assert found.missing == pytest.approx(20.5 / 24, abs=0.002)
    assert found.when == "00:00–02:00, 20:00–21:30"
    assert found.hours == (*range(2, 20), 22, 23)
    assert not found.lacking


def test_a_table_that_lacks_what_others_have() -> None:
    found = heard({"book_delta_v2": [(0, 6)], "book": [(0, 24)], "trades": [(0, 24)]})
    assert found.missing == 0
    assert found.lacking.keys() == {"book_delta_v2"}
    lack = found.lacking["book_delta_v2"]
    assert lack.share == pytest.approx(0.75, abs=0.002)
    assert lack.when == "06:00–24:00"


def test_a_stream_of_a_recording_that_ends_early() -> None:
    def stream(first: float, last: float) -> dict[str, object]:
        at = DAY + int(first * HOUR), DAY + int(last * HOUR)
        return {"messages": 3600, "first": at[0], "last": at[1], "listed": []}

    streams = {"all": stream(0, 30), "depth": stream(0, 30), "trades": stream(0, 15)}
    found = of_streams({"streams": streams}, {"depth": "depth", "trades": "trades"})
    assert found.missing is None
    assert found.lacking.keys() == {"trades"}
    assert found.lacking["trades"].share == pytest.approx(0.5, abs=0.01)
    assert found.lacking["trades"].when == "2026-02-11 15:00–2026-02-12 06:01"

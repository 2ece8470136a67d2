"""GO, NO-GO and undecided: each criterion at its limit, and nothing GO that was not measured."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from lobproof.assess.completeness import Completeness, Lack
from lobproof.assess.feasibility import LARGE_HOUR, STRATEGIES, Memory
from lobproof.assess.judge import (
    ENOUGH_EVENTS,
    Judgement,
    ProfileFigures,
    judge,
    recommended,
    verdicts,
)
from lobproof.assess.thresholds import Thresholds
from lobproof.errors import UsageError
from support.feasible import found, machine_run

GOOD = ProfileFigures(
    gap_ratio=0.0005,
    unusable_books=0.01,
    invalid_origin_time={"trades": 0.01},
    skew_p95_ms={"trades": 50.0},
)
BY_TABLE = ("invalid_origin_time", "skew_p95_ms")
MACHINE = ("peak memory", "throughput", "disk time for a month")


def with_figure(name: str, figure: Any) -> ProfileFigures:
    changes: dict[str, Any] = {name: figure}
    return dataclasses.replace(GOOD, **changes)


def _one(rows: tuple[Judgement, ...], criterion: str, strategy: str = "full") -> Judgement:
    (found,) = [row for row in rows if (row.criterion, row.strategy) == (criterion, strategy)]
    return found


def test_all_is_go_where_all_is_measured_and_good() -> None:
    rows = judge(GOOD, found())
    assert {row.verdict for row in rows} == {"GO"}
    assert verdicts(rows) == dict.fromkeys(STRATEGIES, "GO")
    asked = {one: {row.criterion for row in rows if row.strategy == one} for one in STRATEGIES}
    common = {"invalid origin_time", "95th percentile of skew", "missing time", *MACHINE}
    assert asked["full"] == {"gap ratio", *common}
    assert asked["anchored"] == {"unusable book rows", *common}
    assert asked["time-sorted"] == common


def test_nothing_that_was_not_measured_is_go() -> None:
    rows = judge(ProfileFigures(), None)
    rows = tuple(row for row in rows if row.criterion != "missing time")
    assert {row.verdict for row in rows} == {"undecided"}
    assert {row.measured for row in rows} == {None}
    assert set(verdicts(rows).values()) == {"undecided"}
    assert set(verdicts(()).values()) == {"undecided"}
    rows = judge(ProfileFigures(), found())
    assert set(verdicts(rows).values()) == {"undecided"}
    rows = judge(ProfileFigures(gap_ratio=0.5), None)
    assert verdicts(rows) == {"full": "NO-GO", "anchored": "undecided", "time-sorted": "undecided"}


@pytest.mark.parametrize(
    ("name", "criterion", "strategies"),
    [
        ("gap_ratio", "gap ratio", ("full",)),
        ("unusable_books", "unusable book rows", ("anchored",)),
        ("invalid_origin_time", "invalid origin_time", STRATEGIES),
        ("skew_p95_ms", "95th percentile of skew", STRATEGIES),
    ],
)
def test_a_figure_of_the_data_has_to_be_below_its_limit(
    name: str, criterion: str, strategies: tuple[str, ...]
) -> None:
    limit = getattr(Thresholds(), name)
    for value, verdict in (
        (0.0, "GO"),
        (math.nextafter(limit, 0), "GO"),
        (limit, "NO-GO"),
        (math.nan, "NO-GO"),
    ):
        figure: Any = {"trades": value} if name in BY_TABLE else value
        rows = judge(with_figure(name, figure), found())
        for strategy in STRATEGIES:
            wanted = verdict if strategy in strategies else "GO"
            assert verdicts(rows)[strategy] == wanted
        for named in strategies:
            assert _one(rows, criterion, named).verdict == verdict
    looser = Thresholds(**{name: limit * 2})
    figure = {"trades": limit} if name in BY_TABLE else limit
    rows = judge(with_figure(name, figure), found(), looser)
    assert set(verdicts(rows).values()) == {"GO"}


def test_memory_is_the_most_of_all_runs_and_of_a_large_hour() -> None:
    small = machine_run("full", hour_events=LARGE_HOUR - 1)
    row = _one(judge(GOOD, found(small)), "peak memory")
    assert row.verdict == "undecided"
    assert "7,999,999" in row.reason
    greedy = machine_run("full", memory=Memory(1, 24_000_000_000, 30_000_000_000, 1))
    row = _one(judge(GOOD, found(machine_run("full"), greedy)), "peak memory")
    assert (row.verdict, row.measured) == ("NO-GO", 24.0)
    untold = machine_run("full", memory=None)
    assert _one(judge(GOOD, found(untold)), "peak memory").verdict == "undecided"
    # a strategy that was not run at all
    assert (
        _one(judge(GOOD, found(machine_run("full"))), "peak memory", "anchored").verdict
        == "undecided"
    )


def test_a_run_that_dies_under_the_hard_limit_is_no_go() -> None:
    died = machine_run("full", limit_bytes=24_000_000_000, finished=False, problem="out of memory")
    row = _one(judge(GOOD, found(machine_run("full"), died)), "peak memory")
    assert row.verdict == "NO-GO"
    assert "out of memory" in row.reason
    ended = machine_run("full", limit_bytes=4_000_000_000)
    row = _one(judge(GOOD, found(machine_run("full"), ended)), "peak memory")
    assert row.verdict == "GO"
    assert "4 GB" in row.reason
    # below the address space that libraries reserve, a limit says nothing of what is used
    died = machine_run("full", limit_bytes=2_000_000_000, finished=False, problem="out of memory")
    rows = judge(GOOD, found(machine_run("full"), died), Thresholds(memory_gb=2.0))
    assert _one(rows, "peak memory").verdict == "GO"


def test_the_slowest_run_counts_and_one_under_a_limit_does_not() -> None:
    slow = machine_run("full", data="a day", seconds=80.1)
    row = _one(judge(GOOD, found(machine_run("full"), slow)), "throughput")
    assert row.verdict == "NO-GO"
    just = machine_run("full", data="a day", seconds=80.0)
    limited = machine_run("full", seconds=800.0, limit_bytes=4_000_000_000)
    row = _one(judge(GOOD, found(machine_run("full"), just, limited)), "throughput")
    assert (row.verdict, row.measured) == ("GO", 100_000.0)


def test_a_quiet_hour_says_nothing_of_throughput() -> None:
    quiet = machine_run("full", data="a day", events=ENOUGH_EVENTS - 1, seconds=1000.0)
    row = _one(judge(GOOD, found(machine_run("full"), quiet)), "throughput")
    assert (row.verdict, row.measured) == ("GO", 2_000_000)
    row = _one(judge(GOOD, found(quiet)), "throughput")
    assert row.verdict == "undecided"
    assert "999,999" in row.reason


def test_the_disk_reads_twice_and_writes_what_is_made() -> None:
    row = _one(judge(GOOD, found()), "disk time for a month")
    assert row.measured == pytest.approx((2 * 220e9 / 8e8 + 0.8 * 220e9 / 5e8) / 3600)
    slow = dataclasses.replace(found().disk, read_bytes_per_second=1e6)
    assert _one(judge(GOOD, found(disk=slow)), "disk time for a month").verdict == "NO-GO"
    cached = dataclasses.replace(found().disk, uncached=False)
    assert _one(judge(GOOD, found(disk=cached)), "disk time for a month").verdict == "undecided"


def test_a_quick_look_is_no_proof() -> None:
    few = [machine_run(one, events=250_000, hour_events=0) for one in STRATEGIES]
    rows = judge(GOOD, found(*few, quick=True))
    assert {row.verdict for row in rows if row.criterion in MACHINE} == {"undecided"}
    assert set(verdicts(rows).values()) == {"undecided"}


def test_a_strategy_that_cannot_be_run_says_why() -> None:
    failed = machine_run("full", finished=False, problem="there is no book", memory=None, events=0)
    rows = judge(GOOD, found(failed))
    for criterion in MACHINE:
        row = _one(rows, criterion)
        assert (row.verdict, row.reason) == ("undecided", "there is no book")


@pytest.mark.parametrize(
    ("name", "value"),
    [("gap_ratio", 0), ("gap_ratio", 1.5), ("memory_gb", -1), ("skew_p95_ms", math.nan)],
)
def test_a_threshold_that_means_nothing_is_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name}=.*\nHint: "):
        Thresholds(**{name: value})


def test_what_is_missing_of_a_day_leaves_it_undecided() -> None:
    part = Completeness(0.75, "00:00–06:00", tuple(range(6, 24)))
    rows = judge(dataclasses.replace(GOOD, heard=part), found())
    assert verdicts(rows) == dict.fromkeys(STRATEGIES, "undecided")
    why = _one(rows, "missing time").reason
    assert why == (
        "only 25.0% of the day is there (00:00–06:00 UTC); 18 of its 24 hours are missing"
    )
    taken = judge(dataclasses.replace(GOOD, heard=part), found(), Thresholds(missing_time=1.0))
    assert verdicts(taken) == dict.fromkeys(STRATEGIES, "GO")


def test_the_strategy_follows_what_the_tables_have() -> None:
    """Snapshots of the whole day are worth more than deltas of two hours."""
    few = Completeness(0.0, "00:00–24:00", (), {"book_delta_v2": Lack(0.9, "02:00–24:00")})
    figures = dataclasses.replace(GOOD, heard=few)
    limits = Thresholds()
    strategy, why = recommended("full", figures, True, limits)
    assert strategy == "anchored"
    assert why == (
        "undecided for full: book_delta_v2 lacks 90.0% of the time that the other tables have "
        "(02:00–24:00 UTC)"
    )
    assert recommended("full", figures, False, limits) == ("full", ""), "the doubt stays"
    assert recommended("full", GOOD, True, limits) == ("full", "")
    whole = Completeness(0.9, "00:00–02:00")
    assert recommended("full", dataclasses.replace(GOOD, heard=whole), True, limits)[0] == "full"
    no_book = dataclasses.replace(figures, unusable_books=None)
    assert recommended("full", no_book, True, limits)[0] == "full"


def test_limits_that_are_asked_for_choose_the_strategy() -> None:
    lossy = dataclasses.replace(GOOD, gap_ratio=0.005)
    assert recommended("anchored", lossy, False, Thresholds()) == ("anchored", "")
    assert recommended("anchored", lossy, False, Thresholds(gap_ratio=0.01))[0] == "full"
    assert recommended("full", GOOD, False, Thresholds(gap_ratio=0.0001))[0] == "anchored"


def test_limits_as_text() -> None:
    limits = Thresholds.of(["gap_ratio=0.01", "skew_p95_ms=250"], machine=False)
    assert limits.changed() == {"gap_ratio": 0.01, "skew_p95_ms": 250.0}
    assert Thresholds.of([], machine=False) == Thresholds()


@pytest.mark.parametrize(
    "text", ["gap=1", "gap_ratio", "gap_ratio=few", "gap_ratio=0", "gap_ratio=nan", "=1"]
)
def test_text_that_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="Hint: "):
        Thresholds.of([text], machine=True)
    with pytest.raises(UsageError, match="given twice"):
        Thresholds.of(["memory_gb=1", "memory_gb=2"], machine=True)
    with pytest.raises(UsageError, match="of the machine, which is not measured"):
        Thresholds.of(["memory_gb=1"], machine=False)

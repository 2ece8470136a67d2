"""``reconstruct``: a golden sample into sealed days, whole or not at all."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lobproof.errors import InputError, StoreError, StrictError, UsageError
from lobproof.fidelity.exact import Verdict, verify
from lobproof.fidelity.exact.window import Window
from lobproof.pipeline import Reached, ReconstructOptions, ReconstructResult, reconstruct_sample
from lobproof.pipeline.day import TOLERATED
from lobproof.pipeline.job import States
from lobproof.schema import Finding, Kind
from lobproof.schema.tables import TABLES
from lobproof.sources.golden import GoldenSample
from lobproof.store import Scope, open_store, sealed
from lobproof.timespan import to_ns
from support.hourly_recording import (
    HOUR,
    MIDNIGHT,
    Line,
    golden_sample,
    hourly_lines,
    is_depth,
    is_snapshot,
    is_trade,
    without,
)
from support.kills import let_go, start, wait_for
from support.wire import depth, futures_trade, snapshot, ticker, trade

DAYS = ["2024-08-08", "2024-08-09", "2024-08-10"]
SMALL = ReconstructOptions(part_rows=7, keyframe_seconds=7200)


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days: two hours, a whole one, four hours."""
    return golden_sample(tmp_path_factory.mktemp("golden"), hourly_lines())


@pytest.fixture(scope="module")
def hashes(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Content hashes of an undisturbed run."""
    return told(reconstruct_sample(golden, tmp_path_factory.mktemp("plain") / "store", SMALL))


def told(result: ReconstructResult) -> list[str]:
    return [day.content_hash for day in result.days]


def versions(store: Path) -> dict[str, int]:
    """Commits of each table."""
    return {t.name: len(list((store / t.name / "_delta_log").glob("*.json"))) for t in TABLES}


def seals(store: Path) -> pl.DataFrame:
    return sealed(store, Scope("BINANCE", "BTC-USDT"))


# content -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [-13, 30])
def test_a_run_goes_on_whatever_days_the_recorder_names(tmp_path: Path, off: int) -> None:
    """Its clock is hours off: the days of the receive times are not those of the events."""
    golden = golden_sample(
        tmp_path / "in", [(time + off * HOUR, line) for time, line in hourly_lines()]
    )
    whole = reconstruct_sample(golden, tmp_path / "whole", SMALL)
    parts = seals(tmp_path / "whole").select("dt", "task_part", "content_hash").sort("dt")
    for events in (40, 90):

        def stop(reached: Reached, events: int = events) -> None:
            if reached.events >= events:
                raise KeyboardInterrupt

        store = tmp_path / str(events)
        with pytest.raises(KeyboardInterrupt):
            reconstruct_sample(golden, store, SMALL, batch_rows=1, progress=stop)
        resumed = reconstruct_sample(golden, store, SMALL)
        assert told(resumed) == told(whole)
        assert resumed.resumed_at > 0
        assert seals(store).select("dt", "task_part", "content_hash").sort("dt").equals(parts)


@pytest.mark.parametrize("batch_rows", [1, 2, 5, 64])
def test_batches_leave_no_trace(
    golden: Path, hashes: list[str], tmp_path: Path, batch_rows: int
) -> None:
    result = reconstruct_sample(golden, tmp_path / "store", SMALL, batch_rows=batch_rows)
    assert told(result) == hashes
    assert open_store(tmp_path / "store").audit().clean


def test_days_are_split_at_midnight_and_go_on(golden: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    result = reconstruct_sample(golden, store, SMALL)
    assert [day.dt for day in result.days] == DAYS
    assert all(day.committed for day in result.days)
    assert (result.symbol, result.provenance, result.reused) == ("BTC-USDT", "synthetic", False)
    rows = seals(store)
    assert rows["task_part"].to_list() == [0, 1, 2]
    assert rows["task_last"].to_list() == [False, False, True]
    assert rows["carried_from"].to_list() == ["", *rows["keyframes_hash"].to_list()[:2]]
    assert rows["task_id"].unique().to_list() == [result.task_id]
    assert not rows["certified"].any()
    opened = open_store(store)
    closing = pl.DataFrame()
    for dt, after in zip(DAYS, [*DAYS[1:], ""], strict=True):
        events = opened.events(start=dt, end=after or None).sort("event_id").collect()
        assert events["event_id"].to_list() == list(range(len(events)))
        assert events["dt"].unique().to_list() == [dt]
        frames = opened.keyframes(start=dt, end=after or None, raw=True).collect()
        frames = frames.filter(pl.col("dt") == dt).sort("event_id", maintain_order=True)
        levels = ["side", "price", "size", "trust", "trusted_to", "sequence"]
        opening = frames.filter(pl.col("event_id") == -1).select(levels)
        if dt != DAYS[0]:
            assert opening.equals(closing)
        closing = frames.filter(pl.col("event_id") == len(events) - 1).select(levels)
        assert len(opening) >= 2
        assert len(closing) >= 2
    assert frames["event_id"].n_unique() > 2, "keyframes at intervals"


def test_the_seal_counts_what_the_tables_hold(golden: Path, tmp_path: Path) -> None:
    """A GAP mark and one of the trade stream are no messages of the book."""
    lines = without(hourly_lines(), lambda m: m.get("u") == 1050 or m.get("t") in (705, 706))
    lines.insert(40, lines[39])  # something twice
    sample = golden_sample(tmp_path, lines)
    reconstruct_sample(sample, tmp_path / "store", SMALL)
    store = open_store(tmp_path / "store")
    minutes = store.minutes().collect().group_by("dt").agg(pl.col("book_messages", "trades").sum())
    for row in seals(tmp_path / "store").iter_rows(named=True):
        counted = minutes.filter(pl.col("dt") == row["dt"])
        assert row["book_messages"] == counted["book_messages"][0] == row["states"]
        assert row["trades"] == counted["trades"][0]
        findings = store.quality(raw=True).filter(pl.col("dt") == row["dt"]).collect()
        by_name = json.loads(row["verdicts"])["findings"]
        assert sum(by_name.values()) == findings["count"].sum()
    assert seals(tmp_path / "store")["gaps"].to_list() == [0, 1, 0]


@pytest.mark.parametrize(("states", "kept"), [("all", 32), ("100ms", 30), ("1s", 30), ("none", 0)])
def test_states_are_thinned(golden: Path, tmp_path: Path, states: States, kept: int) -> None:
    """The two snapshots come at the time of a message each: only ``all`` keeps both states."""
    reconstruct_sample(golden, tmp_path / "store", ReconstructOptions(states=states))
    rows = seals(tmp_path / "store")
    assert rows["states"].sum() == kept
    assert rows["events_hash"].n_unique() == 3


def test_a_store_tells_when_the_book_was_not_known(golden: Path, tmp_path: Path) -> None:
    result = reconstruct_sample(golden, tmp_path / "store", SMALL)
    assert [day.counts.doubtful_ns for day in result.days] == [0, 0, 0]
    late = golden_sample(tmp_path, hourly_lines(seeds=(3, 15)))
    result = reconstruct_sample(late, tmp_path / "late", SMALL)
    assert [day.counts.findings.get("UNSEEDED") for day in result.days] == [1, 1, None]
    assert [day.counts.doubtful_ns // 10**6 for day in result.days] == [HOUR + 5, HOUR, 0]
    with pytest.raises(StrictError, match="2024-08-08: UNSEEDED at event 0"):
        reconstruct_sample(late, tmp_path / "strict", SMALL, strict=True)


# again -------------------------------------------------------------------------------------------


def test_a_second_run_does_and_commits_nothing(
    golden: Path, hashes: list[str], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    first = reconstruct_sample(golden, store, SMALL)
    before, files = versions(store), sorted(store.rglob("*"))
    again = reconstruct_sample(golden, store, SMALL, batch_rows=3)
    assert again.reused
    assert told(again) == told(first) == hashes
    assert [day.counts for day in again.days] == [day.counts for day in first.days]
    assert not any(day.committed for day in again.days)
    assert (versions(store), sorted(store.rglob("*"))) == (before, files)
    whole = reconstruct_sample(golden, store, SMALL, overwrite=True)
    assert not whole.reused
    assert not any(day.committed for day in whole.days)
    assert (told(whole), versions(store)) == (hashes, before)


@pytest.mark.parametrize("lost", range(3))
def test_a_day_that_was_unsealed_is_made_again(
    golden: Path, hashes: list[str], tmp_path: Path, lost: int
) -> None:
    """Deleting a seal is how a damaged day is given up (the audit's own advice)."""
    store = tmp_path / "store"
    reconstruct_sample(golden, store, SMALL)
    (seal,) = (store / "days").rglob(f"dt={DAYS[lost]}/*.parquet")
    seal.unlink()
    again = reconstruct_sample(golden, store, SMALL)
    assert [day.committed for day in again.days] == [number == lost for number in range(3)]
    assert told(again) == hashes
    assert seals(store)["content_hash"].to_list() == hashes
    assert reconstruct_sample(golden, store, SMALL).reused


def test_a_day_sealed_from_something_else_is_refused(golden: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = reconstruct_sample(golden, store, SMALL)
    other = ReconstructOptions(states="1s", part_rows=7, keyframe_seconds=7200)
    before = versions(store)
    with pytest.raises(UsageError, match="2024-08-08 of BTC-USDT is sealed in"):
        reconstruct_sample(golden, store, other)
    shorter = golden_sample(tmp_path, hourly_lines(20))
    with pytest.raises(UsageError, match="from other inputs or with other options"):
        reconstruct_sample(shorter, store, SMALL)
    assert (versions(store), told(reconstruct_sample(golden, store, SMALL))) == (
        before,
        told(first),
    )
    replaced = reconstruct_sample(golden, store, other, overwrite=True)
    assert [day.committed for day in replaced.days] == [True] * 3
    assert seals(store)["task_id"].unique().to_list() == [replaced.task_id]
    assert seals(store)["events_hash"].n_unique() == 3
    assert open_store(store).audit().clean


def test_a_day_beside_those_of_another_task(tmp_path: Path) -> None:
    """Two recordings of different days fill one store."""
    store = tmp_path / "store"
    early = golden_sample(tmp_path, hourly_lines(20, start=2), "early")
    late = golden_sample(tmp_path, hourly_lines(20, start=26), "late")
    assert len(reconstruct_sample(early, store, SMALL).days) == 1
    assert len(reconstruct_sample(late, store, SMALL).days) == 1
    assert reconstruct_sample(early, store, SMALL).reused
    assert seals(store)["task_id"].n_unique() == 2


def crossing(time: int) -> Line:
    """A bid above the asks, in the chain's next message."""
    return time, depth(1146, 1150, [("103.00", "1.0")], time=time)


# strict ------------------------------------------------------------------------------------------


def test_strict_passes_what_is_whole(golden: Path, hashes: list[str], tmp_path: Path) -> None:
    assert told(reconstruct_sample(golden, tmp_path / "store", SMALL, strict=True)) == hashes


def test_strict_names_the_message_and_keeps_the_days_before(tmp_path: Path) -> None:
    sample = golden_sample(tmp_path, without(hourly_lines(), lambda m: m.get("u") == 1050))
    with pytest.raises(StrictError, match=r"2024-08-09: GAP at event \d+: .* 1046-1050 are"):
        reconstruct_sample(sample, tmp_path / "store", SMALL, strict=True)
    assert seals(tmp_path / "store")["dt"].to_list() == DAYS[:1]
    days = open_store(tmp_path / "store").events().select("dt").unique().collect()
    assert days["dt"].to_list() == DAYS[:1]
    assert len(reconstruct_sample(sample, tmp_path / "store", SMALL).days) == 3


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        (lambda lines: without(lines, lambda m: m.get("t") == 710), "TRADE_GAP .* 710-710"),
        (lambda lines: [*lines[:20], lines[18], *lines[20:]], "ids .* came again"),
        (
            lambda lines: [*lines, crossing(lines[-1][0] + 9)],
            "CROSSED at event",
        ),
        (lambda lines: without(lines, is_snapshot), "UNSEEDED at event 0: no snapshot yet"),
    ],
)  # fmt: skip
def test_strict_refuses(tmp_path: Path, changed: object, match: str) -> None:
    assert callable(changed)
    sample = golden_sample(tmp_path, changed(hourly_lines()))
    with pytest.raises(StrictError, match=match):
        reconstruct_sample(sample, tmp_path / "store", SMALL, strict=True)
    assert reconstruct_sample(sample, tmp_path / "store", SMALL).days


def test_strict_refuses_what_is_sealed_already(tmp_path: Path) -> None:
    lines = without(hourly_lines(), lambda m: m.get("u") == 1050)
    sample, store = golden_sample(tmp_path, lines), tmp_path / "store"
    reconstruct_sample(sample, store, SMALL)
    with pytest.raises(StrictError) as there:
        reconstruct_sample(sample, store, SMALL, strict=True)
    with pytest.raises(StrictError) as anew:
        reconstruct_sample(sample, tmp_path / "new", SMALL, strict=True)
    assert str(there.value) == str(anew.value)
    assert "2024-08-09: GAP at event" in there.value.message
    assert reconstruct_sample(sample, store, SMALL).reused


@pytest.mark.parametrize("reached", ["2024-08-09T12", "2024-08-10"])
def test_strict_refuses_what_another_run_has_left(tmp_path: Path, reached: str) -> None:
    sample = golden_sample(tmp_path, without(hourly_lines(), lambda m: m.get("u") == 1050))
    until = to_ns(reached)

    def stop(at: Reached) -> None:
        if at.ts_order >= until:
            raise KeyboardInterrupt

    store = tmp_path / "store"
    with pytest.raises(KeyboardInterrupt):
        reconstruct_sample(sample, store, SMALL, batch_rows=7, progress=stop)
    with pytest.raises(StrictError, match=r"2024-08-09: GAP at event \d+: .* 1046-1050 are"):
        reconstruct_sample(sample, store, SMALL, strict=True)
    assert len(reconstruct_sample(sample, store, SMALL).days) == 3


def test_a_book_that_nothing_seeded_is_refused_when_it_is_sealed(tmp_path: Path) -> None:
    sample = golden_sample(tmp_path, without(hourly_lines(), is_snapshot))
    reconstruct_sample(sample, tmp_path / "store", SMALL)
    with pytest.raises(StrictError, match="UNSEEDED at event 0: no snapshot yet"):
        reconstruct_sample(sample, tmp_path / "store", SMALL, strict=True)


# the order of the venue ---------------------------------------------------------------------------


def market_of(pu: bool) -> list[Line]:
    """Two trades at one level: of the first a depth message of its own T tells, 40 ms later by E.

    Of the second tells the next but one.
    """
    told = [("10.00", "5"), ("10.00", "3"), ("9.99", "1"), ("10.00", "2")]
    times = [0, 42, 44, 142]
    lines: list[Line] = [(MIDNIGHT, snapshot(9, [("10.00", "5"), ("9.99", "2")], [("10.01", "9")]))]
    for n, (level, at) in enumerate(zip(told, times, strict=True)):
        before = 9 + n if pu else None
        message = depth(10 + n, 10 + n, [level], [], time=MIDNIGHT + at, pu=before)
        if pu:
            message["T"] = MIDNIGHT + (at - 40 if at else 0)
        lines.append((MIDNIGHT + at, message))
    for number, size, at in ((1, "2", 2), (2, "1", 43)):
        made_of = futures_trade if pu else partial(trade, sold=True)
        lines.append((MIDNIGHT + at, made_of(number, "10.00", size, time=MIDNIGHT + at)))
    return sorted(lines, key=lambda line: line[0])


@pytest.mark.parametrize("pu", [False, True], ids=["spot", "futures"])
def test_the_order_is_that_of_the_venue(tmp_path: Path, pu: bool) -> None:
    sample = golden_sample(tmp_path, market_of(pu))
    reconstruct_sample(sample, tmp_path / "store", SMALL)
    store = open_store(tmp_path / "store")
    events = store.events(raw=True).filter(pl.col("kind").is_in([1, 2])).collect()
    told = [(row["kind"], row["sequence"]) for row in events.iter_rows(named=True)]
    depths = {n: (int(Kind.DELTA), n) for n in range(10, 14)}
    trades = [(int(Kind.TRADE), 1), (int(Kind.TRADE), 2)]
    if pu:  # by T: the trade at 2 ms before the message of 2 ms
        assert told == [depths[10], trades[0], depths[11], depths[12], trades[1], depths[13]]
    else:  # by E: it waits for the message of 42 ms
        assert told == [depths[10], trades[0], depths[11], trades[1], depths[12], depths[13]]
    config = json.loads(store.days()["config"][0])
    assert config["order"] == (
        {"book_clock": "T", "first_on_tie": "trade", "lag_ns": 0}
        if pu
        else {"book_clock": "E", "first_on_tie": "book", "lag_ns": 0}
    )
    minutes = store.minutes(raw=True).collect()
    assert minutes["explained_volume"].sum() == 3
    report = verify(store, sample)
    assert report.verdict is Verdict.PASS, [check.reason for check in report.checks]


# odd samples -------------------------------------------------------------------------------------


def test_without_a_snapshot_nothing_is_trusted(tmp_path: Path) -> None:
    sample = golden_sample(tmp_path, without(hourly_lines(), is_snapshot))
    result = reconstruct_sample(sample, tmp_path / "store", SMALL)
    assert [day.counts.findings["UNSEEDED"] for day in result.days] == [1, 1, 1]
    store = open_store(tmp_path / "store")
    states = store.states().collect()
    assert states["bid_trusted"].max() == 0
    assert store.trusted().collect().is_empty()
    assert result.days[1].counts.doubtful_ns == 23 * HOUR * 10**6 + 5 * 10**6


def test_a_day_with_many_missing_times_is_ordered_by_receive_time(tmp_path: Path) -> None:
    lost = {1020, 1025, 1030}  # of 48 messages of the second day
    lines = [(time, {**m, "E": 0} if m.get("u") in lost else m) for time, m in hourly_lines()]
    sample = GoldenSample.load(golden_sample(tmp_path, lines))
    assert sample.receive_days == (DAYS[1],)
    reconstruct_sample(sample.path, tmp_path / "store", SMALL)
    configs = [json.loads(text)["ordered_by"] for text in seals(tmp_path / "store")["config"]]
    assert configs == ["event", "receive", "event"]
    events = open_store(tmp_path / "store").events(raw=True).collect()
    exact = pl.col("ts_order") - (pl.col("ts_recv") - sample.clock_offset_ns)
    by_day = events.filter(kind=int(Kind.DELTA)).group_by("dt", maintain_order=True)
    assert by_day.agg((exact == 0).all())["ts_order"].to_list() == [False, True, False]
    report = verify(tmp_path / "store", sample.path, start=f"{DAYS[2]}T00:00:00Z")
    assert report.check("order").verdict is Verdict.EXACT
    named = sample.instrument.exchange, sample.instrument.symbol
    last = Window(open_store(tmp_path / "store"), *named, (DAYS[2],))
    assert set(DAYS) <= last.by_receipt, "a day beside it, whichever are looked at"
    fewer = [
        (time, {**m, "E": 0} if m.get("u") in (1020, 1025) else m) for time, m in hourly_lines()
    ]
    assert not GoldenSample.load(golden_sample(tmp_path, fewer, "fewer")).receive_days


def test_only_trades(tmp_path: Path) -> None:
    sample = golden_sample(tmp_path, [line for line in hourly_lines() if is_trade(line[1])])
    result = reconstruct_sample(sample, tmp_path / "store", SMALL)
    assert [(day.counts.events, day.counts.book_messages) for day in result.days] == [
        (2, 0),
        (24, 0),
        (4, 0),
    ]
    assert open_store(tmp_path / "store").states().collect().is_empty()


def test_only_depth_messages(tmp_path: Path) -> None:
    sample = golden_sample(tmp_path, [line for line in hourly_lines() if is_depth(line[1])])
    result = reconstruct_sample(sample, tmp_path / "store", SMALL)
    assert [(day.counts.trades, day.counts.book_messages) for day in result.days] == [
        (0, 2),
        (0, 24),
        (0, 4),
    ]


def test_neither(tmp_path: Path) -> None:
    line = (MIDNIGHT, ticker(5, ("100.00", "1.0"), ("100.50", "1.0")))
    sample = golden_sample(tmp_path, [line])
    with pytest.raises(InputError, match="holds neither depth messages nor trades"):
        reconstruct_sample(sample, tmp_path / "store")
    assert seals(tmp_path / "store").is_empty()


def test_a_snapshot_and_trades_share_the_day(tmp_path: Path) -> None:
    """Where no message gives the book a time, the recorder's clock does."""
    lines = [line for line in hourly_lines(3, seeds=(0,)) if not is_depth(line[1])]
    result = reconstruct_sample(golden_sample(tmp_path, lines), tmp_path / "store", SMALL)
    assert [day.dt for day in result.days] == DAYS[:2]
    events = open_store(tmp_path / "store").events(raw=True).sort("ts_order").collect()
    assert events["ts_order"][0] > MIDNIGHT * 10**6


@pytest.mark.parametrize(
    "options",
    [
        {"states": "often"},
        {"keyframe_seconds": 0},
        {"part_rows": 0},
        *({"size_limit": value} for value in ("a", None, 1, -0.1, float("nan"), True)),
    ],
)
def test_options_that_mean_nothing(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ReconstructOptions(**options)


def test_progress(golden: Path, tmp_path: Path) -> None:
    seen: list[Reached] = []
    reconstruct_sample(golden, tmp_path / "store", SMALL, batch_rows=4, progress=seen.append)
    for name in ("events", "ts_order", "rows"):
        column = [getattr(one, name) for one in seen]
        assert column == sorted(column)
    assert seen[-1].events == seals(tmp_path / "store")["events"].sum()


# several processes -------------------------------------------------------------------------------

WORKER = """
import sys, time
from pathlib import Path
from lobproof.pipeline import ReconstructOptions, reconstruct_sample

options = ReconstructOptions(part_rows=7, keyframe_seconds=7200)
print("ready", flush=True)
sys.stdin.readline()
result = reconstruct_sample(
    Path(sys.argv[1]), Path(sys.argv[2]), options, batch_rows=3,
    progress=lambda *at: time.sleep(float(sys.argv[3])),
    waiting=lambda text: print("waiting", flush=True),
)
print(*[day.content_hash for day in result.days], flush=True)
"""


def test_two_processes_at_once(golden: Path, hashes: list[str], tmp_path: Path) -> None:
    store = tmp_path / "store"
    pair = [start(WORKER, golden, store, 0.005) for _ in range(2)]
    for process in pair:
        wait_for("ready", process)
    for process in pair:
        let_go(process)
    lines = [process.communicate(timeout=120)[0].split("\n") for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert all(said[-2].split() == hashes for said in lines)
    assert sum("waiting" in said for said in lines) <= 1
    assert max(versions(store).values()) == 4, "one creates the table and commits three days"
    assert open_store(store).audit().clean


def test_each_finding_is_decided_for_strict_mode() -> None:
    """A new one is refused unless somebody says that sound input has it, too."""
    refused = {
        *(Finding.GAP, Finding.TRADE_GAP, Finding.CROSSED, Finding.DRIFT, Finding.DUPLICATE),
        *(Finding.OUT_OF_ORDER, Finding.BAD_TS, Finding.INVALID_INPUT, Finding.TRUNCATED_INPUT),
        *(Finding.SEQUENCE_RESET, Finding.SILENCE, Finding.GHOST_LEVELS, Finding.STALE_BOOK),
        *(Finding.VENDOR_ROW_UNUSED, Finding.UNREADABLE, Finding.REFUTED, Finding.TRADES_ABSENT),
        *(Finding.VENDOR_ROW_STALE, Finding.CLOCK, Finding.TABLE_APART),
        Finding.ANCHOR_UNPROVEN,
    }
    assert refused.isdisjoint(TOLERATED)
    assert refused.union(TOLERATED) == set(Finding)


@pytest.mark.parametrize("harm", ["gone", "cut"])
def test_what_is_sealed_already_is_held_against_its_seal(
    golden: Path, tmp_path: Path, harm: str
) -> None:
    """Who runs the command again to repair a store must not be told that all is done."""
    store = tmp_path / "store"
    reconstruct_sample(golden, store, SMALL)
    (path, *_) = sorted((store / "states").rglob("*.parquet"))
    whole = path.read_bytes()
    path.unlink()
    if harm == "cut":
        path.write_bytes(whole[:-9])
    with pytest.raises(StoreError, match=path.name) as refused:
        reconstruct_sample(golden, store, SMALL)
    assert "--overwrite" in refused.value.hint
    reconstruct_sample(golden, store, SMALL, overwrite=True)
    assert reconstruct_sample(golden, store, SMALL).reused

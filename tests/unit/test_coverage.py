"""When the streams of a store were heard, and what is said of times in which nothing was."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lobproof
from lobproof.cli.inspect import covered_text, heard_text, store_summary
from lobproof.errors import UsageError
from lobproof.fidelity.exact.report import Verdict
from lobproof.pipeline import ReconstructOptions, reconstruct_sample
from lobproof.sources.recordings import import_recordings
from lobproof.store import Store, open_store
from support.hourly_recording import ASKS, BIDS, MIDNIGHT, Line, golden_sample
from support.wire import depth, snapshot, trade

MS = 10**6
HOUR = 3_600_000
NOON = MIDNIGHT + 12 * HOUR
SMALL = ReconstructOptions(keyframe_seconds=60)


def feed(
    start: int,
    seconds: Sequence[float],
    *,
    lost: Sequence[float] = (),
    seeds: Sequence[float] = (0,),
    trades: Sequence[float] = (),
) -> list[Line]:
    """A depth message at each time, in s after ``start`` (ms); the ids of those ``lost`` miss."""
    lines: list[Line] = []
    for number, at in enumerate(sorted({*seconds, *lost})):
        time = start + round(1000 * at)
        if at not in lost:
            size = f"{1 + number % 5}.0"
            lines.append((time, depth(1001 + number, 1001 + number, [("99.50", size)], time=time)))
        if at in seeds:
            size = f"{1 + number % 5}.0"
            lines.append((time, snapshot(1001 + number, [BIDS[0], ("99.50", size)], ASKS)))
    for number, at in enumerate(trades):
        time = start + round(1000 * at)
        lines.append((time, trade(500 + number, "100.50", "0.1", time=time)))
    return sorted(lines, key=lambda line: line[0])


def every(start: float, stop: float, step: float = 0.1) -> list[float]:
    return [round(start + k * step, 3) for k in range(round((stop - start) / step))]


def rebuilt(folder: Path, lines: Sequence[Line], name: str = "one") -> tuple[Store, Path]:
    golden = golden_sample(folder, lines, name)
    reconstruct_sample(golden, folder / "store", SMALL)
    return open_store(folder / "store"), golden


def at(seconds: float, start: int = NOON) -> int:
    return (start + round(1000 * seconds)) * MS


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """A minute, then nothing for an hour, in which messages are lost, then a minute more."""
    seconds = [*every(0, 60), *every(3660, 3720)]
    lines = feed(NOON, seconds, lost=[1000.0], seeds=[0, 3661.0], trades=[1, 30, 59.95, 3661])
    return rebuilt(tmp_path_factory.mktemp("outage"), lines)


def test_an_outage_is_in_doubt_since_the_message_before_it(outage: tuple[Store, Path]) -> None:
    store, _ = outage
    assert not store.book_at(at(59.89)).doubtful
    for moment in (59.9, 59.95, 60, 1800, 3659, 3660, 3660.9):
        view = store.book_at(at(moment))
        assert view.doubtful, moment
        assert view.reason == "GAP: update ids 1601-1601 are missing"
        assert not view.bids["trusted"].any()
    view = store.book_at(at(3661))
    assert (view.doubtful, view.reason) == (False, "")
    trusted = store.trusted(raw=True).collect()["ts_order"]
    assert not trusted.is_between(at(59.9), at(3660.9)).any()
    (seal,) = store.days().iter_rows(named=True)
    assert seal["doubtful_ns"] == at(3661) - at(59.9)
    assert json.loads(seal["coverage"])["outages"] == [[at(59.95), at(3660)]]


def test_verify_counts_an_outage(outage: tuple[Store, Path]) -> None:
    store, golden = outage
    share = lobproof.verify(store, golden).check("untrusted_share")
    assert share.verdict is Verdict.FAIL
    assert share.details["untrusted_ns"] == at(3661) - at(59.9)
    assert share.details["span_ns"] == at(3719.9) - at(0)


def test_a_range_within_an_outage_is_refused(outage: tuple[Store, Path]) -> None:
    store, _ = outage
    for low, high in ((at(60), at(3659)), (at(59.95) + 1, at(3660))):
        with pytest.raises(UsageError, match="heard nothing in the range") as caught:
            store.states(start=low, end=high)
        assert "nothing was heard from 2024-08-08T12:00:59.95Z to" in caught.value.hint
    assert store.events(start=at(59.95), end=at(3660)).collect().height == 1
    assert store.events(start=at(1000), end=at(3660) + 1).collect().height > 0


def test_coverage_is_a_frame(outage: tuple[Store, Path]) -> None:
    store, _ = outage
    frame = store.coverage()
    assert frame["stream"].to_list() == ["depth", "snapshots", "trades", "book", "all"]
    assert frame["messages"].to_list() == [1200, 2, 4, 0, store_messages(store)]
    depth_row = frame.row(0, named=True)
    assert (depth_row["silences"], depth_row["longest_silence"].total_seconds()) == (1, 3600.1)
    assert depth_row["listed"][0]["first"].isoformat() == "2024-08-08T12:00:59.900000+00:00"
    assert frame.row(3, named=True)["first"] is None
    assert store.coverage(start=at(1000), end=at(1001)).height == 5  # of what was heard around
    for start, end in ((None, "2024-08-08"), ("2031-01-01", "2032-01-01")):
        with pytest.raises(UsageError, match="heard nothing in the range"):
            store.coverage(start=start, end=end)
    with pytest.raises(UsageError, match="is empty"):
        store.coverage(start="2024-08-09", end="2024-08-08")
    (day,) = store_summary(store)["days"]
    assert covered_text(day) == "12:00:00–13:01:59, 119.8 s of the day"
    first, silent = heard_text(day)
    assert "nothing was heard from 2024-08-08 12:00:59.950 to 2024-08-08 13:01:00.000" in first
    assert "depth silent 1 x, 60.0 min in all; trades silent 2 x" in silent


def store_messages(store: Store) -> int:
    """All messages of the store, marks among them."""
    return store.events(raw=True).filter(pl.col("flags") & 1 != 0).collect().height


def test_a_silence_in_a_whole_chain_is_no_doubt(tmp_path: Path) -> None:
    store, golden = rebuilt(tmp_path, feed(NOON, [*every(0, 60), *every(660, 720)]))
    for moment in (60, 300, 659):
        assert not store.book_at(at(moment)).doubtful
    assert store.events(start=at(100), end=at(200)).collect().is_empty()
    assert store.coverage()["silences"].to_list() == [1, 0, 0, 0, 1]
    share = lobproof.verify(store, golden).check("untrusted_share")
    assert (share.verdict, share.details["untrusted_ns"]) == (Verdict.PASS, 0)
    assert store.days()["doubtful_ns"].item() == 0


@pytest.mark.parametrize(("left", "doubted"), [(5.0, False), (5.1, True), (3600, True)])
def test_a_book_that_is_silent_to_the_end(tmp_path: Path, left: float, doubted: bool) -> None:
    """Its last message is at 59.9 s; the trades go on."""
    lines = feed(NOON, every(0, 60), trades=[1, 30, 59.9 + left])
    store, golden = rebuilt(tmp_path, lines)
    silences = store.quality(raw=True).collect().filter(pl.col("code") == 16)
    assert silences.select("first_ts", "last_ts").rows() == (
        [(at(59.9), at(59.9 + left))] if doubted else []
    )
    view = store.book_at(at(59.9 + left))
    assert view.doubtful == doubted
    assert view.reason.startswith("SILENCE: no book message" if doubted else "")
    assert not store.book_at(at(59.89)).doubtful
    share = lobproof.verify(store, golden).check("untrusted_share")
    assert share.details["untrusted_ns"] == (round(left * 1000) * MS if doubted else 0)


def test_behind_the_last_event_nothing_vouches_for_the_book(tmp_path: Path) -> None:
    store, _ = rebuilt(tmp_path, feed(MIDNIGHT, every(0, 60), trades=[1, 61]))
    assert not store.book_at(at(61, MIDNIGHT)).doubtful
    view = store.book_at(at(61, MIDNIGHT) + 1)
    assert (view.event_id, view.doubtful) == (store.days()["events"].item() - 1, True)
    late = store.book_at(at(22 * 3600, MIDNIGHT))
    assert late.reason == "no book message since 2024-08-08T00:00:59.9Z, 22.0 h before"
    assert not late.bids["trusted"].any()
    assert late.best_bid is not None


def over_midnight(folder: Path, lost: Sequence[float] = ()) -> Store:
    """Twenty seconds on either side of midnight; the last message before it is at -0.7 s."""
    seconds = [*every(-20, -0.6), *every(1.5, 20)]
    lines = feed(MIDNIGHT, seconds, lost=lost, seeds=[-20.0], trades=[-19, 1, 19])
    return rebuilt(folder, lines)[0]


def test_the_next_day_vouches_for_the_book_at_midnight(tmp_path: Path) -> None:
    store = over_midnight(tmp_path)
    assert store.days().height == 2
    for moment in (-0.7, -0.65, -0.1, 0, 0.99, 1.2, 1.5):
        assert not store.book_at(at(moment, MIDNIGHT)).doubtful, moment


def test_the_next_day_shows_a_loss_at_midnight(tmp_path: Path) -> None:
    store = over_midnight(tmp_path, lost=[0.0])
    for moment in (-0.65, -0.1, 0, 0.99, 1.2, 1.5):
        view = store.book_at(at(moment, MIDNIGHT))
        assert "update ids 1195-1195 are missing" in view.reason, moment


def test_days_of_two_recordings_do_not_vouch_for_each_other(tmp_path: Path) -> None:
    rebuilt(tmp_path, feed(MIDNIGHT, every(-20, -0.5), seeds=[-20.0]), "one")
    store, _ = rebuilt(tmp_path, feed(MIDNIGHT, every(0.5, 20), seeds=[0.5]), "two")
    for moment in (-0.4, 0, 0.4):
        assert store.book_at(at(moment, MIDNIGHT)).reason.startswith("no book message since")
    assert not store.book_at(at(0.5, MIDNIGHT)).doubtful


@pytest.mark.parametrize(
    ("seed", "length", "verdict"),
    [
        (0.5, 340, Verdict.EXACT),  # 0.149 % of it would fail, if it counted
        (50, 90, Verdict.INCONCLUSIVE),  # hardly anything else
        (61, 340, Verdict.INCONCLUSIVE),
        (60, 340, Verdict.EXACT),
        (400, 340, Verdict.INCONCLUSIVE),  # no snapshot at all
    ],
)
def test_warm_up_is_no_doubt(tmp_path: Path, seed: float, length: int, verdict: Verdict) -> None:
    store, golden = rebuilt(tmp_path, feed(NOON, every(0, length, 0.5), seeds=[seed]))
    warm_up = round(1000 * min(seed, length - 0.5)) * MS
    (seal,) = store.days().iter_rows(named=True)
    assert (seal["warm_up_ns"], seal["doubtful_ns"]) == (warm_up, warm_up)
    share = lobproof.verify(store, golden).check("untrusted_share")
    assert (share.verdict, share.details["warm_up_ns"]) == (verdict, warm_up)
    assert share.details["untrusted_ns"] == 0
    assert share.compared == share.equal < share.comparable
    assert "of warm-up" in share.reason
    (day,) = store_summary(store)["days"]
    assert any("warm-up" in line for line in heard_text(day))


def test_a_loss_after_the_first_anchor_is_no_warm_up(tmp_path: Path) -> None:
    lines = feed(NOON, every(0, 120), lost=[60.0], seeds=[0.5, 61.0])
    store, golden = rebuilt(tmp_path, lines)
    (seal,) = store.days().iter_rows(named=True)
    assert seal["warm_up_ns"] == 500 * MS
    assert seal["doubtful_ns"] == (500 + 1100) * MS
    share = lobproof.verify(store, golden).check("untrusted_share")
    assert (share.verdict, share.details["untrusted_ns"]) == (Verdict.FAIL, 1100 * MS)


def test_batches_and_parts_leave_no_trace_in_the_seal(tmp_path: Path) -> None:
    seconds = [*every(0, 20), *every(100, 120), *every(3660, 3670)]
    lines = feed(NOON, seconds, lost=[1000.0], trades=[1, 2, 110, 3665])
    golden = golden_sample(tmp_path, lines)
    seals = []
    for name, parts, rows in (("a", 1 << 22, 1 << 16), ("b", 40, 7)):
        reconstruct_sample(
            golden, tmp_path / name, replace(SMALL, part_rows=parts), batch_rows=rows
        )
        seals.append(open_store(tmp_path / name).days().row(0, named=True))
    for column in ("coverage", "warm_up_ns", "doubtful_ns"):
        assert seals[0][column] == seals[1][column]


def test_the_recorder_was_down_for_an_hour(real_data: Path, tmp_path: Path) -> None:
    file = real_data.parent / "cases" / "outage-of-an-hour.txt.gz"
    if not file.is_file():
        pytest.skip(f"there is no {file.name} beside the recordings")
    golden = import_recordings([file], tmp_path / "golden")
    reconstruct_sample(golden.path, tmp_path / "store")
    store = open_store(tmp_path / "store")
    start = 1_700_000_000 * 10**9
    assert not store.book_at(start + 59 * 10**9).doubtful
    assert store.book_at(start + 1800 * 10**9).reason.startswith("GAP: update ids 2756-3335")
    assert store.days()["doubtful_ns"].item() > 3600 * 10**9
    share = lobproof.verify(store, golden.path).check("untrusted_share")
    assert share.verdict is Verdict.FAIL
    readers: list[Callable[..., Any]] = [store.events, store.trusted]
    for read in readers:
        with pytest.raises(UsageError, match="heard nothing"):
            read(start=start + 1800 * 10**9, end=start + 1860 * 10**9)

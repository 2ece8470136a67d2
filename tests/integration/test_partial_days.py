"""Partial days: all of them is that of the whole day, from the boundary on."""

from __future__ import annotations

import gzip
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lobproof.errors import InputError, StoreError, UsageError
from lobproof.pipeline import (
    LakeDay,
    PartialDay,
    Reached,
    ReconstructOptions,
    ReconstructResult,
    derive_lake,
    lake_days,
    reconstruct_day,
    reconstruct_sample,
    start,
)
from lobproof.schema import Finding
from lobproof.sources.recordings.importer import import_recordings
from lobproof.sources.simulator import simulate
from lobproof.store import Partition, Scope, open_store, sealed
from lobproof.timespan import to_ns
from plain.lake_replay import LakeStreams
from plain.messages import ASK, MS, START, bid, book_of, delta, trade, vendor_row
from support.commands import command, refused
from support.partial_days import begins, hold_against_whole
from support.reconstructions import assert_tidy, seals, simulated, thinned, without
from support.replays import write_lake

DT = "2026-01-05"
SECOND = 1000 * MS
DAYS = ["2026-01-04", DT]
OPTIONS = ReconstructOptions(part_rows=20_000, keyframe_seconds=20)


def at(clock: str, base: Path | None = None) -> PartialDay:
    """That time of the day."""
    return PartialDay(to_ns(f"{DT}T{clock}"), base)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four minutes of a busy market: some level changes lost, and two silences."""
    folder = tmp_path_factory.mktemp("lake")
    made = simulate(
        folder / "sim", lake=True, recording=False, minutes=4.0, start=f"{DT}T00:00:00Z", seed=3
    )
    assert made.lake is not None

    def keep(table: str, dt: str, rows: pl.DataFrame) -> pl.Series:
        since = (rows["timestamp"] - rows["timestamp"].min()) / 1e9
        alone = since.is_between(70, 76) & pl.Series([table == "book_delta_v2"] * rows.height)
        return ~alone & ~since.is_between(118, 125)

    return without(thinned(made.lake, folder / "lossy", 0.0004), folder / "lake", keep)


@pytest.fixture(scope="module")
def day(lake: Path) -> LakeDay:
    (day,) = lake_days(lake)
    return day


@pytest.fixture(scope="module")
def wholes(day: LakeDay, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The whole day by each strategy."""
    folder = tmp_path_factory.mktemp("wholes")
    for strategy in ("full", "anchored", "time-sorted"):
        options = replace(OPTIONS, strategy=strategy)
        assert len(reconstruct_day(day, folder / strategy, options).days) == 1
    findings = open_store(folder / "full").quality(raw=True).collect()["code"].to_list()
    assert {Finding.DRIFT, Finding.SILENCE, Finding.CROSSED} <= {Finding(n) for n in findings}
    return {path.name: path for path in folder.iterdir()}


def content_hash(store: Path, dt: str, symbol: str = "SIM-USDT") -> str:
    """Of a sealed day."""
    day = Scope.of(Partition("BINANCE", symbol, dt))
    return str(sealed(store, day)["content_hash"].item())


# from a keyframe on ------------------------------------------------------------------------------


TIMES = {
    "00:00:25": "00:00:20",
    "00:01:13": "00:01:00",
    "00:01:20": "00:01:20",
    "00:02:03": "00:02:00",
    "00:03:59.999": "00:03:40",
}
"""Time, and the boundary before it: at minutes, within one, in and behind a silence."""


@pytest.mark.parametrize("strategy", ["full", "anchored", "time-sorted"])
@pytest.mark.parametrize("clock", TIMES)
def test_all_is_that_of_the_whole_day(
    day: LakeDay, wholes: dict[str, Path], tmp_path: Path, strategy: str, clock: str
) -> None:
    base, out = wholes[strategy], tmp_path / "store"
    notes: list[str] = []
    result = reconstruct_day(day, out, OPTIONS, since=at(clock, base), note=notes.append)
    assert notes == []
    assert begins(open_store(out), DT) == to_ns(f"{DT}T{TIMES[clock]}")
    rows = hold_against_whole(base, out, DT)
    (made,) = result.days
    assert (made.from_ns, made.strategy) == (begins(open_store(out), DT), strategy)
    assert made.counts.events == rows["events"] > 5000
    assert rows["states"] > 100
    assert rows["minutes"] >= (clock < "00:03")
    if strategy == "full" and clock < "00:02":
        assert rows["quality"] > 5
    (seal,) = sealed(out).to_dicts()
    assert seal["carried_from"] == sealed(base)["keyframes_hash"][0]
    assert_tidy(out)
    again = reconstruct_day(day, out, OPTIONS, since=at(clock, base))
    assert (again.reused, again.days[0].from_ns) == (True, made.from_ns)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param((71, 74, 121, 127, 133), id="some"),
        pytest.param(
            (*range(69, 78), *range(116, 128), *range(130, 140)), marks=pytest.mark.slow, id="all"
        ),
    ],
)
def test_every_boundary_of_a_minute_of_trouble(
    day: LakeDay, tmp_path: Path, seconds: Sequence[int]
) -> None:
    """Keyframes of every second: amid losses, silences, rows of `book` that wait for a message."""
    options = replace(OPTIONS, strategy="full", keyframe_seconds=1)
    reconstruct_day(day, tmp_path / "whole", options)
    notes: list[str] = []
    for second in seconds:
        out = tmp_path / "store"
        clock = f"00:{second // 60:02}:{second % 60:02}"
        since = at(clock, tmp_path / "whole")
        reconstruct_day(day, out, options, since=since, note=notes.append)
        hold_against_whole(tmp_path / "whole", out, DT)
        shutil.rmtree(out)
    assert notes == [], "where the book is not trusted, the way from the day's start is the first"


def test_a_feed_of_a_message_in_fifty_seconds(tmp_path: Path) -> None:
    """From a minute before, one message tells too little: the replay comes from the day's start."""
    bids, asks = book_of(20)
    book = [delta(101 + n, [bid(990, 1 + n)], at=50 * n * SECOND) for n in range(12)]
    rows, trades = [vendor_row(100, bids, asks)], []
    for n in range(56):
        bids[10] = (990, 1 + n // 5)
        rows.append(vendor_row(101 + n // 5, bids, asks, at=10 * n * SECOND + MS))
        trades.append(trade(n + 1, ASK, 1000, at=10 * n * SECOND + 2 * MS))
    made = write_lake(tmp_path / "lake", LakeStreams(book, rows, trades))
    (day,) = lake_days(made)
    options = replace(OPTIONS, strategy="full", keyframe_seconds=10)
    reconstruct_day(day, tmp_path / "whole", options)
    notes: list[str] = []
    for seconds, count in ((241, 1), (301, 2), (261, 2), (541, 3)):
        out = tmp_path / str(seconds)
        since = PartialDay(START + seconds * SECOND, tmp_path / "whole")
        reconstruct_day(day, out, options, since=since, note=notes.append)
        rows_of = hold_against_whole(tmp_path / "whole", out, day.dt)
        assert rows_of["events"] > 0
        assert len(notes) == count, (seconds, notes)
    assert all("no keyframe near is sure enough" in note for note in notes)


def test_verified_against_the_files(
    lake: Path, day: LakeDay, wholes: dict[str, Path], tmp_path: Path
) -> None:
    """What fails of the part fails of the whole, and what was not compared is said."""
    base, out = wholes["full"], tmp_path / "store"
    reconstruct_day(day, out, OPTIONS, since=at("00:02:30", base))
    whole, part = (
        command("verify", store, "--lake", lake, "--json").document for store in (base, out)
    )
    failed = [
        {name for name, verdict in judged(document).items() if verdict == "fail"}
        for document in (whole, part)
    ]
    assert failed[1] <= failed[0] <= {"untrusted_share", "vendor_book"}
    assert "partial_days" not in whole["coverage"]
    assert part["coverage"]["partial_days"] == {DT: f"{DT}T00:02:20.000000000Z"}
    compared = [
        check["compared"]
        for document in (whole, part)
        for check in document["checks"]
        if check["name"] == "vendor_book"
    ]
    assert 0 < compared[1] < compared[0]


def test_from_the_start_of_the_day_nothing_is_left_out(
    day: LakeDay, wholes: dict[str, Path], tmp_path: Path
) -> None:
    """It is a partial day all the same: what it was asked for as."""
    base = wholes["full"]
    made = reconstruct_day(day, tmp_path / "store", OPTIONS, since=at("00:00:00", base))
    assert hold_against_whole(base, tmp_path / "store", DT)["events"] == made.days[0].counts.events
    assert sealed(tmp_path / "store")["content_hash"][0] == sealed(base)["content_hash"][0]


def test_batches_and_other_times_before_the_next_keyframe_leave_no_trace(
    day: LakeDay, wholes: dict[str, Path], tmp_path: Path
) -> None:
    made = []
    for clock, batch_rows in (("00:01:20", 1 << 16), ("00:01:25", 97), ("00:01:39.9", 2000)):
        out = tmp_path / clock
        since = at(clock, wholes["full"])
        reconstruct_day(day, out, OPTIONS, since=since, batch_rows=batch_rows)
        made.append(seals(out))
    assert made[0] == made[1] == made[2]


class Stop(Exception):
    pass


def test_goes_on_from_its_own_checkpoint(
    day: LakeDay, wholes: dict[str, Path], tmp_path: Path
) -> None:
    options, since = replace(OPTIONS, part_rows=2000), at("00:01:15", wholes["full"])
    reconstruct_day(day, tmp_path / "undisturbed", options, since=since)
    out = tmp_path / "store"

    def stop(reached: Reached) -> None:
        """Once a checkpoint is there: a thread writes it, soon after the end of its part."""
        if reached.events > 10_000:
            while not list(out.glob(".checkpoints/*.ckpt")):
                time.sleep(0.01)
            raise Stop

    with pytest.raises(Stop):
        reconstruct_day(day, out, options, since=since, batch_rows=100, progress=stop)
    result = reconstruct_day(day, out, options, since=since)
    assert 0 < result.resumed_at < result.days[0].counts.events
    assert result.days[0].from_ns == begins(open_store(out), DT)
    assert seals(out) == seals(tmp_path / "undisturbed")
    assert_tidy(out)


def test_from_a_partial_day_and_with_other_options(
    day: LakeDay, wholes: dict[str, Path], tmp_path: Path
) -> None:
    """A day of states a second, from a store that was itself begun at a keyframe."""
    options = replace(OPTIONS, states="1s", keyframe_seconds=15)
    reconstruct_day(day, tmp_path / "whole", replace(options, strategy="full"))
    first, second = tmp_path / "first", tmp_path / "second"
    reconstruct_day(day, first, OPTIONS, since=at("00:00:50", wholes["full"]))
    reconstruct_day(day, second, options, since=at("00:01:01", first))
    assert begins(open_store(second), DT) == to_ns(f"{DT}T00:01:00")
    hold_against_whole(tmp_path / "whole", second, DT)
    # the base begins at a boundary, and not with its first event
    assert begins(open_store(first), DT) == to_ns(f"{DT}T00:00:40")
    third = tmp_path / "third"
    reconstruct_day(day, third, OPTIONS, since=at("00:00:41", first))
    assert begins(open_store(third), DT) == to_ns(f"{DT}T00:00:40")
    with pytest.raises(UsageError, match=r"begins at 2026-01-05T00:00:40Z in .* before that"):
        reconstruct_day(day, tmp_path / "fourth", OPTIONS, since=at("00:00:39", first))
    for path in first.glob("keyframes/exchange=*/**/*.parquet"):
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(StoreError, match=f"BINANCE SIM-USDT {DT} is not as it was sealed"):
        reconstruct_day(day, tmp_path / "fourth", OPTIONS, since=at("00:00:41", first))


def test_a_carried_day(tmp_path: Path) -> None:
    """Its first keyframe is the book of the day before."""
    one, two = lake_days(simulated(tmp_path / "sim"))
    options = replace(OPTIONS, keyframe_seconds=5)
    whole = tmp_path / "whole"
    reconstruct_day(one, whole, options)
    reconstruct_day(two, whole, options, carry=True)
    for clock in ("00:00:01", "00:00:07"):
        out = tmp_path / clock
        reconstruct_day(two, out, options, since=at(clock, whole))
        hold_against_whole(whole, out, DT)


# golden samples ----------------------------------------------------------------------------------


def recorded(folder: Path, *, lost: range = range(0)) -> Path:
    """A golden sample over midnight, without the depth messages of these numbers."""
    made = simulated(folder / "sim", recording=True, minutes=1.5)
    files = []
    for path in sorted(made.glob("*.gz")):
        number, kept = 0, []
        with gzip.open(path, "rt") as file:
            for line in file:
                depth = "depthUpdate" in line
                if not (depth and number in lost):
                    kept.append(line)
                number += depth
        files.append(folder / path.name)
        with gzip.open(files[-1], "wt") as file:
            file.writelines(kept)
    return import_recordings(files, folder / "golden").path


def judged(document: dict[str, Any]) -> dict[str, str]:
    """Verdict of each check."""
    return {check["name"]: check["verdict"] for check in document["checks"]}


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param(range(0), marks=pytest.mark.slow, id="whole"),
        pytest.param(range(310, 318), id="with a gap"),
    ],
)
def test_a_golden_sample(tmp_path: Path, lost: range) -> None:
    """From its first day on, from midnight, and from within the second day."""
    sample, whole = recorded(tmp_path, lost=lost), tmp_path / "whole"
    options = replace(OPTIONS, keyframe_seconds=5)
    made = reconstruct_sample(sample, whole, options)
    assert [day.dt for day in made.days] == DAYS
    assert sum(day.counts.gaps for day in made.days) == bool(lost)
    verdicts = judged(command("verify", whole, "--against", sample, "--json").document)
    for clock, days in {
        "2026-01-04T23:59:46": DAYS,
        "2026-01-05T00:00": [DT],
        "2026-01-05T00:00:02": [DT],
        "2026-01-05T00:00:17": [DT],
    }.items():
        out = tmp_path / clock
        result = reconstruct_sample(sample, out, options, since=PartialDay(to_ns(clock), whole))
        assert [day.dt for day in result.days] == days
        assert [day.from_ns is None for day in result.days] == [False, True][: len(days)]
        hold_against_whole(whole, out, days[0])
        for dt in days[1:]:
            assert content_hash(out, dt) == content_hash(whole, dt)
        said = command("verify", out, "--against", sample, "--json")
        failed = {name for name, verdict in judged(said.document).items() if verdict == "fail"}
        assert failed <= {name for name, verdict in verdicts.items() if verdict == "fail"}
        assert list(said.document["coverage"]["partial_days"]) == days[:1]
        (levels,) = (c for c in said.document["checks"] if c["name"] == "level_changes")
        assert levels["verdict"] == "exact"
        assert levels["details"]["recorded_outside_the_store"] > 0


def test_a_golden_sample_and_the_lake_derived_from_it_are_no_base_of_each_other(
    tmp_path: Path,
) -> None:
    """What is trusted differs."""
    sample, base = recorded(tmp_path), tmp_path / "base"
    options = replace(OPTIONS, keyframe_seconds=5)
    derive_lake(sample, tmp_path / "lake")
    two = lake_days(tmp_path / "lake")[1]
    reconstruct_day(two, base, options)
    with pytest.raises(UsageError, match="was made from other files"):
        reconstruct_sample(sample, tmp_path / "store", options, since=at("00:00:17", base))


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(False, marks=pytest.mark.slow, id="alone"),
        pytest.param(True, id="behind a whole day"),
    ],
)
def test_lake_days_against_the_sample_they_were_derived_from(tmp_path: Path, before: bool) -> None:
    """Snapshots of what the store leaves out are no ground truth for what it holds."""
    sample = recorded(tmp_path)
    derive_lake(sample, tmp_path / "lake")
    one, two = lake_days(tmp_path / "lake")
    options = replace(OPTIONS, keyframe_seconds=5)
    whole = tmp_path / "whole"
    for day in (one, two):
        reconstruct_day(day, whole, options)
    for since in (at("00:00:17", whole), None):
        out = tmp_path / str(since is None)
        if before:
            reconstruct_day(one, out, options)
        reconstruct_day(two, out, options, since=since)
        said = command("verify", out, "--against", sample, "--json")
        failed = {name for name, verdict in judged(said.document).items() if verdict == "fail"}
        assert failed <= {"untrusted_share"}  # days of some seconds
        checks = {check["name"]: check for check in said.document["checks"]}
        if since is not None:
            assert checks["snapshots"]["verdict"] == "exact"
            assert checks["snapshots"]["compared"] > 100


# what is refused ---------------------------------------------------------------------------------


def test_refusals(lake: Path, day: LakeDay, wholes: dict[str, Path], tmp_path: Path) -> None:
    base = wholes["full"]

    def run(out: Path, since: PartialDay, *, overwrite: bool = False) -> ReconstructResult:
        return reconstruct_day(day, out, OPTIONS, since=since, overwrite=overwrite)

    with pytest.raises(UsageError, match=r"no keyframe to start at.*has no whole") as error:
        run(tmp_path / "store", at("00:01"))
    assert "base= (--base) names a store" in error.value.hint
    with pytest.raises(StoreError, match=r"There is no store at .*nothing"):
        run(tmp_path / "store", at("00:01", tmp_path / "nothing"))
    before = sealed(base).to_dicts()
    for overwrite in (False, True):
        for named in (None, base):
            with pytest.raises(UsageError, match=r"sealed as a whole day in .* must not") as error:
                run(base, at("00:01", named), overwrite=overwrite)
            assert "name another store, with base= (--base)" in error.value.hint
    assert sealed(base).to_dicts() == before
    with pytest.raises(UsageError, match="carry with a partial day"):
        reconstruct_day(day, tmp_path / "s", OPTIONS, carry=True, since=at("00:01", base))
    options = replace(OPTIONS, strategy="full")
    with pytest.raises(UsageError, match=r"replayed as anchored in .* not as full"):
        reconstruct_day(day, tmp_path / "s", options, since=at("00:01", wholes["anchored"]))
    assert sealed(tmp_path / "store").is_empty()


def test_a_partial_day_replaces_a_partial_one_and_gives_way_to_a_whole(
    day: LakeDay, wholes: dict[str, Path], tmp_path: Path
) -> None:
    out, base = tmp_path / "store", wholes["full"]
    reconstruct_day(day, out, OPTIONS, since=at("00:01", base))
    with pytest.raises(UsageError, match=r"sealed in .* already"):
        reconstruct_day(day, out, OPTIONS, since=at("00:02", base))
    reconstruct_day(day, out, OPTIONS, since=at("00:02", base), overwrite=True)
    hold_against_whole(base, out, DT)
    options = replace(OPTIONS, strategy="full")
    with pytest.raises(UsageError, match=r"sealed in .* already"):
        reconstruct_day(day, out, options)
    reconstruct_day(day, out, options, overwrite=True)
    assert sealed(out).drop("sealed_at").equals(sealed(base).drop("sealed_at"))
    assert open_store(out).audit().clean


def test_a_base_from_other_files(
    lake: Path, day: LakeDay, wholes: dict[str, Path], tmp_path: Path
) -> None:
    """One that lacks a single row far from the touch has books that look right."""

    def keep(table: str, dt: str, rows: pl.DataFrame) -> pl.Series:
        far = pl.Series([table == "book_delta_v2"] * rows.height)
        far &= pl.int_range(rows.height, eager=True) == 500
        return ~far

    (other,) = lake_days(without(lake, tmp_path / "lake", keep))
    reconstruct_day(other, tmp_path / "base", OPTIONS)
    for made, base in ((day, tmp_path / "base"), (other, wholes["full"])):
        with pytest.raises(UsageError, match=f"{DT} was made from other files in") as error:
            reconstruct_day(made, tmp_path / "store", OPTIONS, since=at("00:01", base))
        assert "base (--base) that was made from these files" in error.value.hint
    assert sealed(tmp_path / "store").is_empty()


def test_a_keyframe_that_the_files_do_not_come_to(
    lake: Path, wholes: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replay has to come to the book of the keyframe that it begins at."""
    monkeypatch.setattr(start, "check_files", lambda *_: None)

    def keep(table: str, dt: str, rows: pl.DataFrame) -> pl.Series:
        rng = np.random.default_rng(1)
        return pl.Series(rng.random(rows.height) > 0.3 * (table == "book_delta_v2"))

    (other,) = lake_days(without(lake, tmp_path / "lake", keep))
    with pytest.raises(InputError, match="does not come to the book of the keyframe") as error:
        reconstruct_day(other, tmp_path / "store", OPTIONS, since=at("00:01", wholes["full"]))
    assert "base (--base) that was made from these files" in error.value.hint
    (short,) = lake_days(
        without(lake, tmp_path / "short", lambda _, __, rows: rows["timestamp"].rank() < 900)
    )
    with pytest.raises(InputError, match="ends before the keyframe to start at"):
        reconstruct_day(short, tmp_path / "store", OPTIONS, since=at("00:03", wholes["full"]))
    assert sealed(tmp_path / "store").is_empty()
    assert not list(tmp_path.glob("store/.checkpoints/*"))


# the command -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two symbols of two days, and a store of them all."""
    folder = tmp_path_factory.mktemp("pair")
    lake = simulated(folder / "sim")
    for one in sorted(lake.glob("*/*/symbol=SIM-USDT")):
        shutil.copytree(one, one.with_name("symbol=TWO-USDT"))
    said = command("reconstruct", lake, "--out", folder / "whole")
    assert said.code == 0, said.err
    return lake, folder / "whole"


def test_the_command(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Two symbols at once; every command that shows the day says that it is a partial one."""
    lake, whole = pair
    out = tmp_path / "store"
    begin = ("--from", f"{DT}T00:00:15", "--base", whole)
    said = command("reconstruct", lake, "--out", out, *begin)
    assert said.code == 0, said.err
    # keyframes of ten minutes: the nearest is the first
    assert said.out.count(f"{DT} is a partial day, from {DT} 00:00:00.009 UTC on") == 2
    assert sealed(out)["symbol"].to_list() == ["SIM-USDT", "TWO-USDT"]
    for row in sealed(out).iter_rows(named=True):
        assert row["content_hash"] == content_hash(whole, row["dt"], row["symbol"])
    one = ("--symbols", "SIM-USDT")
    said = command("reconstruct", lake, "--out", out, *begin, *one)
    assert f"Next: lobproof verify {out} --lake {lake} --symbol SIM-USDT" in said.err
    said = command("reconstruct", lake, "--out", tmp_path / "a store", *begin, *one)
    assert f"Next: lobproof verify '{tmp_path / 'a store'}' --lake {lake}\n" in said.err
    said = command("reconstruct", lake, "--out", out, *begin, "--json")
    assert [day["reused"] for day in said.document["days"]] == [True, True]
    assert {day["from_ns"] for day in said.document["days"]} == {begins(open_store(out), DT)}
    assert command("inspect", out).out.count(f"{DT} is a partial day, from") == 2
    said = command("verify", out, "--lake", lake, "--symbol", "SIM-USDT")
    assert f"{DT} is a partial day: nothing before {DT}T00:00:00" in said.out
    page = tmp_path / "page.html"
    assert command("report", out, "--out", page).code == 0
    assert f"{DT} is a partial day, from 00:00:00.009" in page.read_text()
    assert f"{DT} (partial)" in page.read_text()


def test_options_that_do_not_fit(pair: tuple[Path, Path], tmp_path: Path) -> None:
    lake, whole = pair
    to, base = ("--out", tmp_path / "store"), ("--base", whole)
    begin = ("--from", f"{DT}T12:00")
    refused("carry with a partial day", "reconstruct", lake, *to, *base, *begin, "--carry")
    refused("--base without --from", "reconstruct", lake, *to, *base)
    for text in ("12:00", "1767571200000000000"):
        said = refused(
            f"--from {text}: '{text}' is not a time",
            *("reconstruct", lake, *to, *base, "--from", text),
        )
        assert "a date and a time in UTC, such as 2026-03-01T12:00" in said
    said = refused(
        "2026-01-07, the day to start in, is not among the days that were chosen",
        *("reconstruct", lake, *to, *base, "--from", "2026-01-07T12:00"),
    )
    assert "those are 2026-01-04, 2026-01-05" in said
    refused(f"{DT}, the day", "reconstruct", lake, *to, *base, *begin, "--end", DT)
    shutil.copytree(lake, tmp_path / "lake")
    for folder in tmp_path.glob(f"lake/*/*/symbol=TWO-USDT/dt={DT}"):
        shutil.rmtree(folder)
    named = ("--symbols", "SIM-USDT,TWO-USDT")
    refused(
        "not among the days of TWO-USDT that",
        *("reconstruct", tmp_path / "lake", *to, *base, *begin, *named),
    )
    failed = command("reconstruct", lake, *to, *begin)
    assert failed.code == 3
    assert failed.err.count("there is no keyframe to start at") == 2
    assert "2 days failed, and none was sealed. The same command tries those again." in failed.err
    failed = command("reconstruct", lake, "--out", whole, *begin, "--symbols", "SIM-USDT")
    assert f"failed: BINANCE SIM-USDT {DT}: is sealed as a whole day in" in failed.err
    assert "1 day failed, and none was sealed" in failed.err
    assert not (tmp_path / "store" / "events").exists()


# readers -----------------------------------------------------------------------------------------


def test_readers_show_nothing_before_a_partial_day_begins(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """Above all not the closing book of the day before."""
    lake, _ = pair
    options = replace(OPTIONS, keyframe_seconds=5)
    whole, out = tmp_path / "whole", tmp_path / "store"
    one, two = lake_days(lake, symbols=["SIM-USDT"])
    reconstruct_day(one, whole, options)
    reconstruct_day(one, out, options)
    reconstruct_day(two, whole, options)
    reconstruct_day(two, out, options, since=at("00:00:06", whole))
    assert begins(open_store(out), DT) == to_ns(f"{DT}T00:00:05")
    store, all_ = open_store(out), open_store(whole)
    early, late = f"{DT}T00:00:04", f"{DT}T00:00:07"
    assert store.book_at(late).bids.equals(all_.book_at(late).bids)
    assert all_.book_at(early).bids.height
    with pytest.raises(UsageError, match="no sealed day of") as error:
        store.book_at(early)
    assert f"; {DT} is a partial day, from {DT}T00:00:05Z on." in error.value.hint
    with pytest.raises(UsageError, match="heard nothing in the range"):
        store.events(start=f"{DT}T00:00:01", end=early)
    first = store.days()["first_ts"][-1]
    assert first > to_ns(f"{DT}T00:00:05")
    with pytest.raises(UsageError, match="before the first event"):
        store.book_at(first - 1)

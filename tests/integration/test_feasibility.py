"""``feasibility``: real processes over real files, their limits, and what is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lobproof.assess import feasibility_disk
from lobproof.assess.feasibility import (
    LARGE_HOUR,
    STAGES,
    STRATEGIES,
    Feasibility,
    feasibility,
)
from lobproof.assess.feasibility_decimals import measure_decimals
from lobproof.assess.feasibility_disk import measure_disk
from lobproof.assess.feasibility_hour import busiest_hour, events_in, simulated_lake
from lobproof.assess.feasibility_probe import Task
from lobproof.assess.feasibility_run import run
from lobproof.assess.judge import ProfileFigures, judge, verdicts
from lobproof.assess.thresholds import Thresholds
from lobproof.errors import InputError, PlaceError
from lobproof.pipeline.lake import LakeDay, lake_days
from lobproof.timespan import HOUR_NS

TABLES = ("book_delta_v2", "book", "trades")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of Crypto Lake files."""
    return simulated_lake(tmp_path_factory.mktemp("made") / "lake", 1.0)


@pytest.fixture(scope="module")
def day(lake: Path) -> LakeDay:
    return lake_days(lake)[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def found(day: LakeDay, place: Path, told: list[tuple[str, int, int]]) -> Feasibility:
    """All of it, once, over a day of the user's."""
    return feasibility(
        place / "new" / "store", day, quick=True, progress=lambda *one: told.append(one)
    )


def test_each_strategy_runs_and_one_under_a_hard_limit(found: Feasibility, day: LakeDay) -> None:
    free = [one for one in found.runs if one.limit_bytes is None]
    assert [(one.data, one.strategy) for one in free] == [(str(day), s) for s in STRATEGIES]
    (limited,) = [one for one in found.runs if one.limit_bytes is not None]
    assert (limited.strategy, limited.data) == ("full", "simulated")
    assert all(one.finished and not one.problem for one in found.runs), found.runs
    assert all(one.input_bytes and one.output_bytes and one.seconds for one in found.runs)
    full = free[0]
    assert full.gap_ratio == 0
    assert full.events >= full.hour_events == events_in_day(day)
    assert free[1].events < full.events


def events_in_day(day: LakeDay) -> int:
    paths = [*day.files["book_delta_v2"], *day.files["trades"]]
    return sum(int(pq.read_metadata(path).num_rows) for path in paths)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_memory_is_that_of_the_process_alone(found: Feasibility) -> None:
    for one in found.runs:
        assert one.memory is not None
        # an interpreter with its libraries takes more than the first, and this one is larger
        assert 100 << 20 < one.memory.p95_bytes <= one.memory.peak_bytes < 2 << 30
        assert one.memory.peak_bytes < one.memory.address_bytes
        assert one.memory.samples > 0


def test_every_stage_tells_of_all_rows(found: Feasibility) -> None:
    for one in found.runs:
        deltas = one.strategy == "full"
        assert set(one.stages) == set(STAGES) - (set() if deltas else {"decode book_delta_v2"})
        assert one.stages["replay"].rows == one.events
        assert one.stages["append"].rows == one.events
        assert one.stages["write events"].rows == one.events
        assert one.stages["write states"].rows == one.states
        if deltas:
            decoded = sum(one.stages[f"decode {table}"].rows for table in TABLES)
            assert one.stages["order"].rows == decoded
        for stage in one.stages.values():
            assert 0 <= stage.p50_s <= stage.p95_s <= stage.p99_s
            assert stage.batches >= 1
            assert stage.processor_seconds >= 0
        # what the main thread does lies one behind the other
        main = ("wait", "order", "replay", "append")
        assert sum(one.stages[name].seconds for name in main) <= one.seconds


def test_projections_are_of_the_measured_day(found: Feasibility, day: LakeDay) -> None:
    assert len(found.projections) == 6
    full = found.runs[0]
    month, year = found.projections[:2]
    assert (month.period, year.period, month.strategy) == ("month", "year", "full")
    assert month.input_bytes == 30 * day.bytes
    times = month.input_bytes / full.input_bytes
    assert month.hours == pytest.approx(times * full.seconds / 3600)
    assert month.output_bytes == pytest.approx(times * full.output_bytes)
    assert year.hours == pytest.approx(12 * month.hours)


def test_a_quick_look_decides_nothing_and_is_json(found: Feasibility) -> None:
    rows = judge(
        ProfileFigures(
            gap_ratio=0.0,
            unusable_books=0.0,
            invalid_origin_time={"trades": 0.0},
            skew_p95_ms={"trades": 1.0},
        ),
        found,
        Thresholds(),
    )
    assert set(verdicts(rows).values()) == {"undecided"}
    document = json.loads(json.dumps(found.to_dict()))
    assert document["quick"] is True
    assert document["runs"][0]["events_per_second"] > 0
    assert document["runs"][0]["stages"]["replay"]["rows_per_second"] > 0


def test_nothing_is_left_and_progress_goes_up_to_the_end(
    found: Feasibility, place: Path, told: list[tuple[str, int, int]]
) -> None:
    assert found.disk.bytes > 0
    assert list(place.iterdir()) == []
    steps = [done for _, done, _ in told]
    assert steps == list(range(len(told)))
    assert {total for _, _, total in told} == {told[-1][1]}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is unknown elsewhere")
def test_an_hour_of_eight_million_events_is_borne_within_bounds(tmp_path: Path) -> None:
    found = feasibility(tmp_path / "store")
    assert len(found.runs) == len(STRATEGIES) + 2
    assert all(one.finished and one.hour_events >= LARGE_HOUR for one in found.runs), found.runs
    assert {one.limit_bytes for one in found.runs[-2:]} >= {24 * 10**9}
    for row in judge(ProfileFigures(), found):
        if row.criterion == "peak memory":
            assert row.verdict == "GO"
            assert row.measured is not None
            assert row.measured < 1.1
    assert not list(tmp_path.iterdir())


def _task(lake: Path, out: Path, limit: int | None) -> Task:
    return Task(str(lake), str(lake), str(out), "full", limit)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold to the limit")
def test_a_run_that_its_limit_starves_says_so(lake: Path, tmp_path: Path) -> None:
    one = run("simulated", _task(lake, tmp_path / "store", 400 << 20), 0)
    assert not one.finished
    assert one.problem
    assert one.events == 0


def test_a_run_over_what_cannot_be_read_says_so(lake: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(lake, bad)
    path = next(bad.glob("book_delta_v2/*/*/*/*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])
    one = run("bad", Task(str(lake), str(bad), str(tmp_path / "store"), "full", None), 0)
    assert not one.finished
    assert path.name in one.problem


# --- an hour of a day --------------------------------------------------------------------------


def _stretched(lake: Path, out: Path, names: dict[str, str]) -> LakeDay:
    """The same rows over three hours: a half of them in the second one; some without a time."""
    for path in lake.rglob("*.parquet"):
        table = pq.read_table(path)
        rows = len(table)
        start = int(table["receipt_timestamp"][0].as_py()) // HOUR_NS * HOUR_NS
        offsets = np.linspace(0, 4, rows, endpoint=False)
        hours = np.array([0, 1, 1, 2])[offsets.astype(int)]
        times = start + hours * HOUR_NS + np.arange(rows) * 1000
        times[::100] = 0
        index = table.schema.get_field_index("receipt_timestamp")
        table = table.set_column(index, "receipt_timestamp", pa.array(times))
        table = table.rename_columns([names.get(name, name) for name in table.column_names])
        target = out / path.relative_to(lake)
        target.parent.mkdir(parents=True)
        table = table.replace_schema_metadata({"provenance": "synthetic"})
        pq.write_table(table, target, row_group_size=5000)
    return lake_days(out)[0]


ALIASES = {"timestamp": "origin_time", "receipt_timestamp": "received_time"}


@pytest.mark.parametrize("names", [{}, ALIASES])
def test_the_busiest_hour_is_cut_out_of_all_tables(
    lake: Path, tmp_path: Path, names: dict[str, str]
) -> None:
    long = _stretched(lake, tmp_path / "long", names)
    cut = busiest_hour(long, tmp_path / "hour")
    for table in TABLES:
        whole = pq.read_table(long.files[table][0])
        column = names.get("receipt_timestamp", "receipt_timestamp")
        times = whole[column].to_numpy()
        second = times[times > 0].min() // HOUR_NS + 1
        kept = whole.filter(pa.array(times // HOUR_NS == second))
        (path,) = cut.glob(f"{table}/*/*/*/*.parquet")
        found = pq.read_table(path)
        assert 0 < len(found) == len(kept)
        for raw in found.column_names:
            assert found[raw].equals(kept[names.get(raw, raw)])
        assert pq.read_metadata(path).metadata[b"provenance"] == b"synthetic"
    assert events_in(cut) > 0
    assert lake_days(cut)[0].key == long.key


def test_a_day_without_a_receive_time_has_no_hour(lake: Path, tmp_path: Path) -> None:
    for path in lake.rglob("*.parquet"):
        table = pq.read_table(path)
        index = table.schema.get_field_index("receipt_timestamp")
        nothing = pa.array(np.zeros(len(table), np.int64))
        target = tmp_path / "lake" / path.relative_to(lake)
        target.parent.mkdir(parents=True)
        pq.write_table(table.set_column(index, "receipt_timestamp", nothing), target)
    with pytest.raises(InputError, match="receive time"):
        busiest_hour(lake_days(tmp_path / "lake")[0], tmp_path / "hour")


# --- decimals and disk -------------------------------------------------------------------------


def test_decimals_are_exact_and_products_are_never_wrong(tmp_path: Path) -> None:
    found = measure_decimals(tmp_path, 5000)
    assert found.values == 10_000
    assert found.exact
    assert found.sum_exact
    assert found.overflow_refused
    assert found.product_arrow in ("exact", "refused")
    assert found.product_polars in ("exact", "refused")
    assert found.decimal128.bytes_per_value > 0
    assert found.int64.values_read_per_second > 0
    assert not list(tmp_path.iterdir())


def test_the_disk_is_measured_and_the_file_is_gone(tmp_path: Path) -> None:
    found = measure_disk(tmp_path, 9 << 20)
    assert found.bytes == 12 << 20  # whole blocks
    assert found.write_bytes_per_second > 0
    assert found.read_bytes_per_second > 0
    assert 0 < found.free_bytes <= found.total_bytes
    assert not list(tmp_path.iterdir())


def test_a_read_out_of_the_cache_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feasibility_disk, "_DIRECT", 0)
    monkeypatch.setattr(feasibility_disk, "_uncached", lambda _: False)
    found = measure_disk(tmp_path, 4 << 20)
    assert not found.uncached
    assert "cache" in found.method


def test_a_full_disk_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", lambda *_: 1024)
    with pytest.raises(OSError, match="No space"):
        measure_disk(tmp_path, 4 << 20)
    assert not list(tmp_path.iterdir())


def test_too_little_room_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(PlaceError, match=r"GB are free.*\nHint: "):
        feasibility(tmp_path / "store")
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(PlaceError, match="file"):
        feasibility(tmp_path / "file" / "store")


# --- killed ------------------------------------------------------------------------------------

SCRIPT = """
import sys
from lobproof.assess.feasibility import feasibility
feasibility(sys.argv[1], quick=True, progress=lambda *one: print(*one, flush=True))
"""


def _children(pid: int) -> set[int]:
    return {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def _until(condition: Any, what: str) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, set[int]]]:
    """A process in the midst of its first reconstruction, and the processes that it started."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "store")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("full"):
                break
        _until(lambda: len(_children(process.pid)) == 2, "a shell and a reconstruction")
        yield process, tmp_path, _children(process.pid)
    finally:
        process.kill()
        process.communicate()


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_killed_it_leaves_no_process_and_no_file(
    running: tuple[subprocess.Popen[str], Path, set[int]], number: signal.Signals
) -> None:
    process, folder, children = running
    assert [one for one in (folder / "store").iterdir() if one.name.endswith(".feasibility")]
    process.send_signal(number)
    code = process.wait(30)
    assert code != 0
    _until(lambda: all(map(_gone, children)), "processes are left")
    _until(lambda: not [*folder.rglob(".*feasibility*")], f"files are left: {[*folder.rglob('*')]}")
    if number != signal.SIGKILL:
        assert not list(folder.iterdir())

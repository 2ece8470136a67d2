"""A look at a day by a sample: what is read, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.errors import GridError
from lobproof.instruments import Instrument
from lobproof.pipeline import ReconstructOptions
from lobproof.pipeline.job import Asked
from lobproof.pipeline.lake import lake_days, reconstruct_day
from lobproof.pipeline.results import Reached
from lobproof.pipeline.survey import Survey
from lobproof.replay.merge_kernels import first_after
from lobproof.sources.cryptolake import grid
from lobproof.sources.cryptolake.chunks import (
    LakeFile,
    Span,
    closed_files,
    floats,
    read_spans,
    spread,
)
from lobproof.sources.cryptolake.grid import infer_grid
from lobproof.sources.cryptolake.times import survey_times
from lobproof.sources.simulator import simulate
from lobproof.store import Partition, list_checkpoints
from support.lake_files import HOUR, START, write_some

ROWS = 48_000


def few(rows: int, spans: int) -> list[Span]:
    """Instead of the spans of a large day: short ones of a small day."""
    return spread(rows, spans, 200)


@pytest.fixture
def sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "spread", few)


@given(st.integers(0, 10_000), st.integers(1, 64), st.integers(1, 100))
def test_spans_lie_evenly(rows: int, spans: int, length: int) -> None:
    found = spread(rows, spans, length)
    covered = [row for first, stop in found for row in range(first, stop)]
    assert covered == sorted(set(covered))
    assert len(covered) == min(rows, spans * length)
    if covered:
        assert 0 <= covered[0] <= covered[-1] < rows
        assert max(np.diff(covered), default=0) <= -(-rows // spans) + 1


@pytest.mark.parametrize("group", [7, 100, 10_000])
def test_spans_of_several_files(tmp_path: Path, group: int) -> None:
    sizes = [1_000, 1, 0, 500]
    values = np.arange(sum(sizes)) + 1.0
    paths, ahead = [], 0
    for number, rows in enumerate(sizes):
        prices = values[ahead : ahead + rows]
        paths.append(
            write_some(tmp_path / f"{number}.parquet", "trades", group=group, price=prices)
        )
        ahead += rows
    files = closed_files("trades", paths)
    spans = [(0, 3), (90, 110), (990, 1_010), (1_400, 1_501)]
    got: list[float] = []
    for row, chunk in read_spans(files, spans, ["price"], 33):
        assert floats(chunk, "price")[0] == row + 1
        assert chunk.where(0).endswith(f"row {chunk.first_row}")
        got += floats(chunk, "price").tolist()
    assert got == [row + 1.0 for first, stop in spans for row in range(first, stop)]


def test_a_row_group_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_some(tmp_path / "1.parquet", "trades", group=1_000, price=np.ones(5_000))
    read: list[Span] = []
    plain = LakeFile.chunks

    def noted(self: LakeFile, columns: Sequence[str], rows: int, first: int, stop: int) -> object:
        read.append((first, stop))
        return plain(self, columns, rows, first, stop)

    monkeypatch.setattr(LakeFile, "chunks", noted)
    spans = [(10, 20), (500, 510), (998, 1_003), (1_900, 1_901), (4_999, 5_000)]
    list(read_spans(closed_files("trades", [path]), spans, ["price"]))
    # 1,000 to 1,999 are of one group, which the third span ends in and the fourth lies in
    assert read == [(10, 1_901), (4_999, 5_000)]


def prices(change: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A tick of 0.001 up to a row, and of 0.01 from there on."""
    counts = np.random.default_rng(5).integers(1_000, 9_000, ROWS)
    counts[change:] = counts[change:] // 10 * 10
    return counts / 1e3


@pytest.mark.usefixtures("sparse")
@pytest.mark.parametrize("change", [ROWS // 2, 11_111, 12_345, 37_000])
def test_a_change_between_the_spans_is_dated(tmp_path: Path, change: int) -> None:
    """A row every 1.8 s: the spans lie 22 minutes apart, and the change is found to the row."""
    stamps = START + 24 * HOUR // ROWS * np.arange(ROWS)
    path = write_some(
        tmp_path / "1.parquet", "book_delta_v2", price=prices(change), timestamp=stamps
    )
    found = infer_grid({"book_delta_v2": [path]}, "X", "Y")
    assert [rule.tick for rule in found.rules] == [1, 10]
    since = found.rules[1].since_ns
    minute = 60 * 10**9
    assert since == stamps[change] or (since % minute == 0 and 0 <= stamps[change] - since < minute)


@pytest.mark.usefixtures("sparse")
def test_the_sample_gives_what_all_values_give(tmp_path: Path) -> None:
    made = simulate(tmp_path / "day", preset="btc", minutes=2.0, recording=False, lake=True)
    assert made.lake is not None
    day = lake_days(made.lake)[0]
    sampled = infer_grid(day.files, "X", "Y", whole=False)
    assert sampled == infer_grid(day.files, "X", "Y")


def test_times_by_statistics_or_without(tmp_path: Path) -> None:
    stamps = START + np.arange(5_000)
    stamps[[1, 2, 1_500, 4_999]] = 0, -1, 0, -5
    path = write_some(tmp_path / "1.parquet", "trades", group=1_000, timestamp=stamps)

    def doubtful(file: Path) -> list[Span]:
        (closed,) = closed_files("trades", [file])
        return closed.maybe("timestamp", lambda least, _: least <= 0)

    assert doubtful(path) == [(0, 2_000), (4_000, 5_000)]
    plain = tmp_path / "2.parquet"
    pq.write_table(pq.read_table(path), plain, row_group_size=1_000, write_statistics=False)
    assert doubtful(plain) == [(0, 5_000)]
    for one in (path, plain):
        assert survey_times({"trades": [one]}).missing == {"trades": 4 / 5_000}


@pytest.mark.usefixtures("sparse")
@pytest.mark.parametrize("off", [-300, -20, 20, 300])
def test_a_value_about_a_change_that_the_sample_has_not_got(tmp_path: Path, off: int) -> None:
    """Where a base, or the day before, has the finer grid, decoding would not tell of it."""
    values = prices(37_000)
    values[37_000 + off] = 5.12345
    paths = {"book_delta_v2": [write_some(tmp_path / "1.parquet", "book_delta_v2", price=values)]}
    found, whole = Survey.made(paths, "X", "Y").instrument, infer_grid(paths, "X", "Y")
    assert found.with_exponents(whole.price_exponent, whole.size_exponent) == whole


# a value that the sample has not got --------------------------------------------------------------


@pytest.fixture(scope="module")
def rare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day with one size of a digit more than all others, in the deltas."""
    root = tmp_path_factory.mktemp("rare")
    made = simulate(root / "made", preset="btc", minutes=2.0, recording=False, lake=True)
    assert made.lake is not None
    path = max((made.lake / "book_delta_v2").rglob("*.parquet"), key=lambda one: one.stat().st_size)
    table = pq.read_table(path)
    sizes = table["size"].to_numpy().copy()
    exponent = lake_grid(made.lake).size_exponent
    at = len(sizes) * 4 // 5 + 3
    while sizes[at] == 0:
        at += 1
    sizes[at] = round(sizes[at] + 3 * 10.0 ** -(exponent + 1), exponent + 1)
    place = table.schema.get_field_index("size")
    pq.write_table(table.set_column(place, "size", [sizes]), path, row_group_size=1_000)
    return made.lake


def lake_grid(lake: Path, *, whole: bool = True) -> Instrument:
    day = lake_days(lake)[0]
    return infer_grid(day.files, day.exchange, day.symbol, whole=whole)


@pytest.mark.parametrize("strategy", ["auto", "anchored"])
@pytest.mark.usefixtures("sparse")
def test_a_value_beyond_the_grid_of_the_sample(
    rare: Path, tmp_path: Path, strategy: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    finer, coarse = lake_grid(rare), lake_grid(rare, whole=False)
    assert finer.size_exponent == coarse.size_exponent + 1
    day = lake_days(rare)[0]
    options = ReconstructOptions(strategy=strategy, part_rows=2_000)
    told: list[str] = []
    content = []
    for batch_rows in (500, 1 << 16):
        out = tmp_path / str(batch_rows)
        made = reconstruct_day(day, out, options, batch_rows=batch_rows, note=told.append)
        content.append(made.days[0].content_hash)
        again = reconstruct_day(day, out, options, batch_rows=batch_rows)
        assert again.reused
    monkeypatch.undo()
    whole = reconstruct_day(day, tmp_path / "whole", options)
    assert content == [whole.days[0].content_hash] * 2
    began_anew = [text for text in told if "the day starts anew" in text]
    assert len(began_anew) == (2 if strategy == "auto" else 0)
    assert all("size" in text and "row" in text for text in began_anew)


class Stop(Exception):
    """Stands for a kill."""


@pytest.mark.usefixtures("sparse")
@pytest.mark.parametrize("found", [False, True])
@pytest.mark.parametrize("events", [pytest.param(3_000, marks=pytest.mark.slow), 9_000])
def test_killed_before_and_after_the_grid_was_found(
    rare: Path, tmp_path: Path, found: bool, events: int
) -> None:
    """Whatever the grid of the checkpoint that a kill has left, the day comes out the same."""
    day = lake_days(rare)[0]
    options = ReconstructOptions(part_rows=2_000)
    whole = reconstruct_day(day, tmp_path / "whole", options)
    out = tmp_path / "killed"
    told: list[str] = []

    def stop(reached: Reached) -> None:
        if bool(told) == found and reached.events > events:
            raise Stop

    with pytest.raises(Stop):
        reconstruct_day(day, out, options, batch_rows=500, progress=stop, note=told.append)
    assert list_checkpoints(out, Partition(day.exchange, day.symbol, day.dt))
    resumed = reconstruct_day(day, out, options, batch_rows=500)
    # what a kill on the way to that value has left is of no use
    assert (resumed.resumed_at > 0) == found
    assert resumed.days[0].content_hash == whole.days[0].content_hash


def test_a_value_that_no_grid_holds_is_named_however_it_is_found(
    rare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = lake_days(rare)[0]
    path = max(day.files["book_delta_v2"], key=lambda one: one.stat().st_size)
    kept = path.read_bytes()
    table = pq.read_table(path)
    sizes = table["size"].to_numpy().copy()
    sizes[777] = 1 / 3
    place = table.schema.get_field_index("size")
    try:
        pq.write_table(table.set_column(place, "size", [sizes]), path, row_group_size=1_000)
        for spans in (few, lambda rows, spans: [(0, rows)]):
            monkeypatch.setattr(grid, "spread", spans)
            with pytest.raises(GridError, match=r"row 777: no decimal grid holds size 0\.33"):
                reconstruct_day(lake_days(rare)[0], tmp_path / "out", ReconstructOptions())
    finally:
        path.write_bytes(kept)


def test_a_survey_says_whether_it_is_of_all_values(rare: Path) -> None:
    day = lake_days(rare)[0]
    found = Survey.made(day.files, day.exchange, day.symbol)
    assert not found.whole
    assert found.of_all_values(day.files).whole
    assert found.of_all_values(day.files).of_all_values({}).whole


@pytest.mark.kernels
@given(st.lists(st.integers(0, 50)), st.integers(-1, 51), st.data())
def test_first_after(times: list[int], limit: int, data: st.DataObject) -> None:
    ascending = np.sort(np.array(times, np.int64))
    below = int(np.searchsorted(ascending, limit, side="right"))
    begin = data.draw(st.integers(0, below))
    assert first_after(ascending, begin, limit) == below

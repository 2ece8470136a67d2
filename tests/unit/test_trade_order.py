"""Trades that a source has in any order: by their time, flagged, none lost."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from lobproof.pipeline import Reached, ReconstructOptions, lake_days, reconstruct_day
from lobproof.pipeline.job import Strategy
from lobproof.pipeline.lake import LakeDay
from lobproof.pipeline.survey import Survey
from lobproof.replay import TradePlaces, in_time, trade_order
from lobproof.schema import UNORDERED, EventBatch, Finding, Flag, Kind
from lobproof.store import open_store
from plain.messages import BID, DAY_NS, MS, OFFSET, START, Event, Message, to_batch, to_rows, trade
from support.commands import command
from support.reconstructions import simulated

LATE = int(Flag.OUT_OF_ORDER)
SECOND = 1000 * MS
Order = Callable[[list[int]], list[int]]


# the order of rows -------------------------------------------------------------------------------


class Source:
    """Trades in batches of a few, from any row on; what was taken of it, and whether it ended."""

    def __init__(self, messages: list[Message], batch: int = 3) -> None:
        self.rows = to_batch(messages)
        self.batch = batch
        self.opened = self.closed = 0

    def __call__(self, start: int) -> Generator[EventBatch]:
        self.opened += 1
        try:
            for at in range(start, len(self.rows), self.batch):
                yield self.rows.slice(at, min(at + self.batch, len(self.rows)))
        finally:
            self.closed += 1


def sorted_rows(
    messages: list[Message], batch_rows: int = 4, start: int = 0, days: tuple[int, ...] = ()
) -> list[Event]:
    source = Source(messages)
    batches = list(in_time(source, TradePlaces(OFFSET, days), batch_rows, start))
    assert source.opened == source.closed
    assert all(len(batch) <= batch_rows for batch in batches)
    return [row for batch in batches for row in to_rows(batch)]


def judged(messages: list[Message]) -> tuple[bool, list[int]]:
    """Whether they are shuffled, and the places of those that came late."""
    places = TradePlaces(OFFSET, ())
    rows = to_batch(messages)
    _, late = places.add(rows.ts_event, rows.ts_recv, rows.sequence)
    return places.shuffled, np.flatnonzero(late).tolist()


def some(ids: list[int], times: list[int]) -> list[Message]:
    return [trade(n, BID, 1000 + n % 7, prev=-1, at=t) for n, t in zip(ids, times, strict=True)]


@pytest.mark.kernels
@pytest.mark.parametrize("block", [1, 5, 64])
def test_any_order_becomes_that_of_time(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(trade_order, "BLOCK_ROWS", block)
    rng = random.Random(1)
    for _ in range(20):
        count = rng.randrange(1, 40)
        times = sorted(rng.randrange(30) * MS for _ in range(count))
        places = rng.sample(range(count), count)
        given = some([100 + k for k in places], [times[k] for k in places])
        highest, late = 0, set()
        for (row,) in given:
            late |= {row.sequence} if row.sequence < highest else set()
            highest = max(highest, row.sequence)
        for batch_rows, start in ((4, 0), (1, count // 2), (100, count)):
            got = sorted_rows(given, batch_rows, start)
            assert [(r.sequence, r.ts_event) for r in got] == [
                (row.sequence, row.ts_event)
                for (row,) in sorted(given, key=lambda m: m[0].ts_event)[start:]
            ]
            assert {r.sequence for r in got if r.flags & LATE} == {
                number for number in late if number in {r.sequence for r in got}
            }
            assert all(r.kind == Kind.TRADE and r.flags & Flag.LAST for r in got)


@pytest.mark.kernels
def test_what_is_out_of_order() -> None:
    """Ids tell, where there are any; then times. One alone that goes back moves nothing."""
    ahead, back, ties = [0, 10, 20], [0, 20, 10], [0, 10, 10]
    assert judged(some([1, 2, 3], ahead)) == (False, [])
    assert judged(some([1, 2, 3], back)) == (False, []), "the venue numbered them so"
    assert judged(some([1, 3, 2], ahead)) == (False, [2])
    assert judged(some([1, 3, 2], ties)) == (False, [2])
    assert judged(some([1, 3, 3], back)) == (False, []), "one that came twice"
    assert judged(some([1, 3, 2], back)) == (True, [2])
    none = [-1, -1, -1]
    for ids in (
        none,
        *([UNORDERED + n for n in some_text] for some_text in ((9, 5, 7), (5, 7, 9))),
    ):
        assert judged(some(ids, ahead)) == (False, [])
        assert judged(some(ids, ties)) == (False, [])
        assert judged(some(ids, back)) == (True, [2])
    # the highest id, and the latest time, of all before
    assert judged(some([1, 9, 8, 2], [0, 90, 91, 20])) == (True, [2, 3])
    assert judged(some([1, 5, 6, 4], [0, 90, 20, 30])) == (True, [3])


@pytest.mark.kernels
def test_the_time_that_orders_a_trade() -> None:
    """The receive time where there is no other; without any it stays behind the one before."""
    messages = some([1, 2, 3, 4, 5, 6], [0, 50 * SECOND, 10 * SECOND, 20 * SECOND, 0, 0])
    messages[3][0].ts_event = 0  # 4: received at 20 s
    messages[4][0].ts_event = START + DAY_NS  # 5: a stamp of tomorrow, received at 0 s
    messages[5][0].ts_event = messages[5][0].ts_recv = 0
    assert [row.sequence for row in sorted_rows(messages)] == [1, 5, 6, 3, 4, 2]
    # a receive time that is off where the exchange's fits the trade before
    messages = some([1, 2, 3], [50 * SECOND, 51 * SECOND, 10 * SECOND])
    messages[1][0].ts_recv += DAY_NS
    assert [row.sequence for row in sorted_rows(messages)] == [3, 1, 2]
    # on days that receive times order
    messages = some([1, 2, 3], [0, 20, 10])
    messages[1][0].ts_recv -= 15
    today = START // DAY_NS
    assert [row.sequence for row in sorted_rows(messages, days=(today,))] == [1, 2, 3]
    assert [row.sequence for row in sorted_rows(messages)] == [1, 3, 2]


# files -------------------------------------------------------------------------------------------

OPTIONS = ReconstructOptions(strategy="full", part_rows=700, keyframe_seconds=5)
KEY = ("sequence", "ts_event", "ts_recv", "ts_order", "side", "price", "size")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("simulated"), minutes=1.0)


@pytest.fixture(scope="module")
def whole(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The stored trades of the files as they are."""
    out = tmp_path_factory.mktemp("whole") / "store"
    reconstruct_day(lake_days(lake)[0], out, OPTIONS)
    return stored(out)


def stored(out: Path) -> pl.DataFrame:
    events = open_store(out).events(raw=True).filter(pl.col("kind") == int(Kind.TRADE))
    return events.sort("event_id").select(*KEY, "flags").collect()


def reordered(lake: Path, to: Path, order: Order, files: int = 1, text: bool = False) -> LakeDay:
    """The first day, its trades in another order and so many files."""
    day = lake_days(lake)[0]
    for table, paths in day.files.items():
        for path in paths:
            place = to / path.relative_to(lake)
            place.parent.mkdir(parents=True)
            rows = pq.read_table(path, partitioning=None)
            if table != "trades":
                pq.write_table(rows, place)
                continue
            rows = rows.take(order(list(range(len(rows)))))
            if text:
                names = [f"{number:x}-a" for number in rows["id"].to_pylist()]
                at = rows.schema.get_field_index("id")
                rows = rows.set_column(at, "id", [names])
            size = -(-len(rows) // files)
            for number in range(files):
                part = rows.slice(number * size, size)
                pq.write_table(part, place.with_name(f"{number + 1}.snappy.parquet"))
    return lake_days(to)[0]


def mixed(rows: list[int]) -> list[int]:
    return random.Random(2).sample(rows, len(rows))


def swapped(rows: list[int]) -> list[int]:
    third = len(rows) // 3
    return rows[third : 2 * third] + rows[:third] + rows[2 * third :]


def one_late(rows: list[int]) -> list[int]:
    return [rows[k] for k in (*range(5), *range(6, 60), 5, *range(60, len(rows)))]


def back(rows: list[int]) -> list[int]:
    return rows[::-1]


@pytest.mark.parametrize(
    ("order", "files", "strategy"),
    [
        (mixed, 1, "full"),
        pytest.param(mixed, 12, "full", marks=pytest.mark.slow),
        pytest.param(mixed, 1, "anchored", marks=pytest.mark.slow),
        pytest.param(swapped, 1, "full", marks=pytest.mark.slow),
        (swapped, 4, "full"),  # files of whole blocks are put in order as files
        pytest.param(back, 2, "full", marks=pytest.mark.slow),
        (one_late, 1, "full"),
    ],
)
def test_files_in_any_order_give_the_same_trades(
    lake: Path,
    whole: pl.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    order: Order,
    files: int,
    strategy: Strategy,
) -> None:
    options = ReconstructOptions(strategy=strategy, part_rows=700, keyframe_seconds=5)
    day = reordered(lake, tmp_path / "lake", order, files)
    notes: list[str] = []
    made = reconstruct_day(day, tmp_path / "store", options, note=notes.append)
    assert any("trades are out of order: sorted by time" in note for note in notes)
    got = stored(tmp_path / "store")
    assert got.height == whole.height > 300
    assert got["ts_event"].is_sorted()
    assert got["ts_order"].to_list() == got["ts_event"].to_list()
    assert got.select(KEY).sort(KEY).equals(whole.select(KEY).sort(KEY))
    given = pl.concat([pl.read_parquet(path) for path in day.files["trades"]])
    ids = given["id"].to_numpy()
    # by time, then file
    assert got["sequence"].to_list() == given.sort("timestamp", maintain_order=True)["id"].to_list()
    late = set(ids[ids < np.maximum.accumulate(ids)].tolist())
    flagged = got.filter(pl.col("flags") & LATE != 0)["sequence"].to_list()
    assert late <= set(flagged)
    ties = got.group_by("ts_event").agg("sequence").filter(pl.col("sequence").list.len() > 1)
    assert set(flagged) - late <= set(ties["sequence"].explode().to_list())
    quality = open_store(tmp_path / "store").quality(raw=True).collect()
    told = quality.filter(pl.col("code") == int(Finding.OUT_OF_ORDER))
    assert told["count"].sum() == len(flagged) > 0
    said = command("verify", tmp_path / "store", "--lake", tmp_path / "lake")
    assert said.code == 0, said.out + said.err
    # batches and blocks leave no trace
    monkeypatch.setattr(trade_order, "BLOCK_ROWS", 50)
    again = reconstruct_day(day, tmp_path / "again", options, batch_rows=33)
    assert again.days[0].content_hash == made.days[0].content_hash


def test_ids_that_are_text_leave_times_to_tell(
    lake: Path, whole: pl.DataFrame, tmp_path: Path
) -> None:
    day = reordered(lake, tmp_path / "lake", mixed, 2, text=True)
    reconstruct_day(day, tmp_path / "store", OPTIONS)
    got = stored(tmp_path / "store")
    names = [name for name in KEY if name != "sequence"]
    assert got.select(names).sort(names).equals(whole.select(names).sort(names))
    assert got["ts_event"].is_sorted()
    given = pl.concat([pl.read_parquet(path) for path in day.files["trades"]])
    late = np.count_nonzero(given["timestamp"] < given["timestamp"].cum_max())
    assert got.filter(pl.col("flags") & LATE != 0).height == late
    assert command("verify", tmp_path / "store", "--lake", tmp_path / "lake").code == 0


def test_trades_that_come_again_far_behind_are_known(
    lake: Path, whole: pl.DataFrame, tmp_path: Path
) -> None:
    """A block that was downloaded twice: next to each other by time, however far apart in files."""
    day = reordered(lake, tmp_path / "lake", lambda rows: rows + rows[:100])
    reconstruct_day(day, tmp_path / "store", OPTIONS)
    got = stored(tmp_path / "store")
    assert got.select(KEY).equals(whole.select(KEY))
    events = open_store(tmp_path / "store").events(raw=True).collect()
    again = int(Flag.DUPLICATE | Flag.TRADES)
    assert events.filter(pl.col("flags") & again == again).height == 100
    assert command("verify", tmp_path / "store", "--lake", tmp_path / "lake").code == 0


class Stop(Exception):
    """Stands for a kill."""


def test_a_run_that_was_stopped_goes_on(lake: Path, tmp_path: Path) -> None:
    day = reordered(lake, tmp_path / "lake", mixed, 2)
    made = reconstruct_day(day, tmp_path / "undisturbed", OPTIONS)

    def stop(reached: Reached) -> None:
        if reached.events > 8 * OPTIONS.part_rows:
            raise Stop

    with pytest.raises(Stop):
        reconstruct_day(day, tmp_path / "store", OPTIONS, batch_rows=100, progress=stop)
    again = reconstruct_day(day, tmp_path / "store", OPTIONS, batch_rows=70)
    assert again.resumed_at > 0
    assert again.days[0].content_hash == made.days[0].content_hash


def test_days_in_order_are_left_alone(lake: Path) -> None:
    day = lake_days(lake)[0]
    assert not Survey.made(day.files, day.exchange, day.symbol, day.dt).shuffled

"""Which of a table's two clocks is believed, and in which order its files are taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lobproof.pipeline.job import Strategy
from lobproof.pipeline.survey import Survey
from lobproof.schema import Finding, Int64
from lobproof.sources.cryptolake.footer import in_order
from lobproof.sources.cryptolake.layout import TABLES
from lobproof.sources.cryptolake.times import APART_NS, Times, survey_times
from lobproof.sources.cryptolake.write import SCHEMAS
from support.batches import make_instrument

DAY = 1_723_161_600 * 10**9
SECOND = 10**9
HOUR = 3_600 * SECOND
DELAY = {"book_delta_v2": 20_000_000, "book": 40_000_000, "trades": 5_000_000}
Clock = Callable[[Int64], Int64]


def _same(times: Int64) -> Int64:
    return times


def ahead(by: int) -> Clock:
    """A clock that is ahead."""
    return lambda times: times + by


def _stopped(times: Int64) -> Int64:
    return np.full_like(times, times[0])


def _none(times: Int64) -> Int64:
    return np.zeros_like(times)


def write(folder: Path, table: str, sent: Int64, received: Int64, name: str = "1") -> Path:
    """A file of a table with these times; its other columns are empty."""
    schema = SCHEMAS[table]
    columns = {
        field.name: pa.array(np.zeros(len(sent)), pa.float64()).cast(field.type)
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
        else pa.nulls(len(sent), field.type)
        for field in schema
    }
    columns |= {"timestamp": pa.array(sent), "receipt_timestamp": pa.array(received)}
    path = folder / table / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).cast(schema), path)
    return path


def day(
    folder: Path,
    *,
    tables: Sequence[str] = TABLES,
    sent: dict[str, Clock] | None = None,
    received: dict[str, Clock] | None = None,
    minutes: int = 10,
    rows: int = 600,
) -> Times:
    """What is told of a day of so many minutes about noon whose tables have these clocks."""
    files = {}
    for table in tables:
        start = DAY + 12 * HOUR - minutes * 30 * SECOND
        at = start + minutes * 60 * SECOND * np.arange(rows, dtype=np.int64) // rows
        one = (sent or {}).get(table, _same)(at)
        other = (received or {}).get(table, _same)(at + DELAY[table])
        files[table] = [write(folder, table, one, other)]
    return survey_times(files, "2024-08-09")


@pytest.mark.parametrize("tables", [TABLES, ("book", "trades"), ("book_delta_v2", "book")])
def test_sound_tables_share_the_delay_that_most_have(tmp_path: Path, tables: Sequence[str]) -> None:
    times = day(tmp_path, tables=tables)
    assert (times.off, times.apart) == ({}, [])
    (offset,) = set(times.offsets.values())
    assert offset is not None
    assert min(DELAY.values()) <= offset <= max(DELAY.values())


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("tables", [TABLES, ("book", "trades"), ("book_delta_v2", "book")])
@pytest.mark.parametrize("by", [8 * HOUR, -8 * HOUR, 3 * HOUR + 1])
def test_receive_times_that_are_hours_off_move_no_row(
    tmp_path: Path, table: str, tables: Sequence[str], by: int
) -> None:
    if table in tables:
        times = day(tmp_path, tables=tables, received={table: ahead(by)})
        assert (times.off, times.apart) == ({}, [])
        assert times.offsets[table] == by + DELAY[table]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("clock", [_stopped, _none])
def test_receive_times_that_tell_nothing_are_not_used(
    tmp_path: Path, table: str, clock: Clock
) -> None:
    times = day(tmp_path, received={table: clock})
    assert (times.off, times.apart, times.offsets[table]) == ({}, [], None)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("by", [8 * HOUR, -8 * HOUR, 2 * 60 * SECOND])
@pytest.mark.parametrize("minutes", [10, 600])
def test_exchange_times_that_alone_disagree_are_corrected(
    tmp_path: Path, table: str, by: int, minutes: int
) -> None:
    times = day(tmp_path, sent={table: ahead(by)}, minutes=minutes)
    assert (dict(times.off), times.apart) == ({table: round(by / 1e9)}, [])
    offset = times.offsets[table]
    assert offset is not None
    assert abs(offset) < SECOND


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("by", [8 * HOUR, -8 * HOUR, 2 * 60 * SECOND])
@pytest.mark.parametrize("minutes", [10, 600])
def test_a_table_that_both_clocks_put_elsewhere(
    tmp_path: Path, table: str, by: int, minutes: int
) -> None:
    moved = {table: ahead(by)}
    times = day(tmp_path, sent=moved, received=moved, minutes=minutes)
    assert list(times.apart) == [table]
    assert abs(times.off[table] - by / 1e9) <= 1


def stepped(by: int, share: float = 0.5) -> Clock:
    """A clock that is set by so much in the midst of the day, as at the end of summer time."""
    return lambda times: times + by * (np.arange(len(times)) >= share * len(times))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("tables", [TABLES, ("book", "trades"), ("book_delta_v2", "book")])
@pytest.mark.parametrize("by", [HOUR, -HOUR, 2 * 60 * SECOND])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_clock_that_is_set_in_the_midst_of_the_day(
    tmp_path: Path, table: str, tables: Sequence[str], by: int, share: float
) -> None:
    """Wrong exchange times are corrected and told; wrong receive times move nothing."""
    if table not in tables:
        return
    sent = {table: stepped(by, share)}
    times = day(tmp_path / "sent", tables=tables, sent=sent, minutes=600)
    assert (dict(times.off), times.apart) == ({table: round(by / 1e9)}, [])
    offset = times.offsets[table]
    assert offset is not None
    assert abs(offset) < SECOND
    times = day(tmp_path / "got", tables=tables, received=sent, minutes=600)
    assert (dict(times.off), times.apart, times.offsets[table]) == ({}, [], None)


def test_a_recorder_whose_clock_is_set_moves_no_table(tmp_path: Path) -> None:
    clocks = dict.fromkeys(TABLES, stepped(HOUR))
    times = day(tmp_path, received=clocks, minutes=600)
    assert (times.off, times.apart, set(times.offsets.values())) == ({}, [], {None})


@pytest.mark.parametrize("clock", [ahead(HOUR), ahead(-HOUR), stepped(HOUR)])
def test_clocks_that_differ_where_both_lie_within_the_day_are_told(
    tmp_path: Path, clock: Clock
) -> None:
    """Nothing says which is wrong: exchange times hold, but not without a word."""
    times = {}
    for name, first, stop in (("book_delta_v2", 0, 600), ("book", 0, 600), ("trades", 250, 350)):
        at = DAY + HOUR + 120 * SECOND * np.arange(first, stop, dtype=np.int64)
        times[name] = at, at + DELAY[name]
    sent, received = times["trades"]
    for k, trades in enumerate(((clock(sent), received), (sent, clock(received)))):
        files = {
            name: [write(tmp_path / str(k), name, *clocks)]
            for name, clocks in (times | {"trades": trades}).items()
        }
        told = survey_times(files, "2024-08-09")
        assert list(told.off) == ["trades"]
        assert abs(abs(told.off["trades"]) - 3600) <= 1
        assert told.apart == []


@pytest.mark.parametrize("tables", [TABLES, ("book", "trades")])
def test_rows_in_any_order_are_of_the_same_clock(tmp_path: Path, tables: Sequence[str]) -> None:
    def turned(times: Int64) -> Int64:
        return times[::-1]

    clocks: dict[str, Clock] = {"trades": turned}
    times = day(tmp_path, tables=tables, sent=clocks, received=clocks, minutes=600)
    assert (times.off, times.apart) == ({}, [])
    assert None not in times.offsets.values()


def test_of_two_tables_none_is_believed_for_being_first(tmp_path: Path) -> None:
    for k, table in enumerate(("book", "trades")):
        moved = {table: ahead(8 * HOUR)}
        times = day(tmp_path / str(k), tables=("book", "trades"), sent=moved, received=moved)
        assert sorted(times.apart) == ["book", "trades"]


def test_a_table_alone_has_nothing_to_disagree_with(tmp_path: Path) -> None:
    times = day(tmp_path, tables=("book",), received={"book": ahead(8 * HOUR)})
    assert (times.off, times.apart) == ({}, [])
    assert times.offsets == {"book": 8 * HOUR + DELAY["book"]}


@pytest.mark.parametrize("by", [APART_NS - SECOND, APART_NS + SECOND])
def test_a_minute_is_where_clocks_are_not_the_same(tmp_path: Path, by: int) -> None:
    times = day(tmp_path, sent={"book": ahead(-by)}, received={"book": ahead(-by)})
    assert list(times.apart) == (["book"] if by > APART_NS else [])


def test_tables_of_parts_of_the_day_are_of_one_clock(tmp_path: Path) -> None:
    parts = {"book_delta_v2": (0, 600), "book": (100, 500), "trades": (350, 420)}
    files = {}
    for table, (first, stop) in parts.items():
        at = DAY + 12 * HOUR + SECOND * np.arange(first, stop, dtype=np.int64)
        files[table] = [write(tmp_path, table, at, at + DELAY[table])]
    times = survey_times(files, "2024-08-09")
    assert (times.off, times.apart) == ({}, [])


@pytest.mark.parametrize("rows", [(24, 5, 1), (20, 19, 2), (3, 7, 40)])
def test_tables_of_few_rows_are_of_one_clock(tmp_path: Path, rows: tuple[int, int, int]) -> None:
    """A quiet market: rows are hours apart, and a table begins and ends when it has one."""
    files = {}
    for table, count in zip(TABLES, rows, strict=True):
        at = DAY + HOUR + 22 * HOUR * np.arange(1, count + 1, dtype=np.int64) // (count + 1)
        files[table] = [write(tmp_path, table, at, at + DELAY[table])]
    times = survey_times(files, "2024-08-09")
    assert (times.off, times.apart) == ({}, [])


@pytest.mark.parametrize(
    ("strategy", "apart", "code"),
    [
        ("full", "book", Finding.TABLE_APART),
        ("full", "book_delta_v2", Finding.TABLE_APART),
        ("full", "trades", Finding.CLOCK),
        ("anchored", "book", Finding.TABLE_APART),
        ("anchored", "book_delta_v2", Finding.CLOCK),
        ("time-sorted", "book", Finding.TABLE_APART),
        ("time-sorted", "trades", Finding.CLOCK),
    ],
)
def test_a_day_is_in_doubt_where_its_book_is_made_of_such_a_table(
    tmp_path: Path, strategy: Strategy, apart: str, code: Finding
) -> None:
    moved = {apart: ahead(8 * HOUR)}
    times = day(tmp_path, sent=moved, received=moved)
    survey = Survey(make_instrument(), times, whole=True)
    (row,) = survey.told(1, strategy)
    assert row[0] == code


# the order of files ------------------------------------------------------------------------------


def _files(folder: Path, names: Sequence[str], sent: Clock, received: Clock) -> list[Path]:
    paths = []
    for k, name in enumerate(names):
        at = DAY + 12 * HOUR + SECOND * np.arange(100 * k, 100 * k + 100, dtype=np.int64)
        paths.append(write(folder, "trades", sent(at), received(at + 5), name))
    return paths


@pytest.mark.parametrize("clocks", [(_same, _same), (_none, _same), (_same, _stopped)])
def test_files_are_taken_in_the_order_of_their_times(
    tmp_path: Path, clocks: tuple[Clock, Clock]
) -> None:
    for n, names in enumerate(permutations(("1", "2", "10"))):
        paths = _files(tmp_path / str(n), names, *clocks)
        assert in_order(sorted(paths)) == paths


def test_files_whose_times_overlap_or_tell_nothing_go_by_their_numbers(tmp_path: Path) -> None:
    for n, clock in enumerate((_none, lambda times: times % (50 * SECOND) + DAY)):
        paths = _files(tmp_path / str(n), ("10", "2", "1"), clock, _none)
        assert in_order(paths) == paths[::-1]
    broken = tmp_path / "3.parquet"
    broken.write_bytes(b"PAR1")
    assert in_order([broken, *paths]) == [paths[2], paths[1], broken, paths[0]]


def test_a_file_without_rows_hides_no_order(tmp_path: Path) -> None:
    paths = _files(tmp_path, ("3", "1"), _same, _same)
    empty = write(tmp_path, "trades", np.empty(0, np.int64), np.empty(0, np.int64), "2")
    assert [path for path in in_order([paths[1], empty, paths[0]]) if path != empty] == paths

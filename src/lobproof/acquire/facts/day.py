"""``check_day``: every fact that the three tables of one symbol-day can decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from lobproof.acquire.facts.books import BookSurvey, touch_facts
from lobproof.acquire.facts.grid import GridSurvey
from lobproof.acquire.facts.messages import MessageSurvey
from lobproof.acquire.facts.model import Fact, Figure, Holds, verdict
from lobproof.acquire.facts.relation import relation_facts
from lobproof.acquire.facts.rows import LEVELS_NAME, Rows, read_rows, row_groups
from lobproof.acquire.facts.times import TimesSurvey, day_start
from lobproof.acquire.facts.trades import TradeSurvey
from lobproof.acquire.lake import file_schema
from lobproof.errors import InputError
from lobproof.sources.cryptolake.layout import COLUMNS, TABLES

_GROUP_ROWS = (5_000, 20_000)

Progress = Callable[[str], None]
"""Called with what is being looked at."""


def check_day(
    files: Mapping[str, Sequence[Path]], dt: str, *, progress: Progress | None = None
) -> list[Fact]:
    """Check every fact on the files of one symbol-day, row by row in bounded memory.

    A table that is missing, or that cannot be read as what it should be, leaves the facts that
    need it undecided; the first fact says so.

    Parameters
    ----------
    files
        Table → its files of the day, in order.
    dt
        The day, ``YYYY-MM-DD``.
    progress
        Called as the work goes on.
    """
    columns, readable = _columns(files)
    tell = progress if progress is not None else _silent
    times, grid = TimesSurvey(day_start(dt)), GridSurvey()
    messages, trades, books = MessageSurvey(), TradeSurvey(), BookSurvey()

    def on_deltas(rows: Rows) -> None:
        times.feed("book_delta_v2", rows)
        grid.feed("book_delta_v2", rows)
        messages.feed(rows)

    def on_trades(rows: Rows) -> None:
        times.feed("trades", rows)
        grid.feed("trades", rows)
        trades.feed(rows)

    def on_book(rows: Rows) -> None:
        times.feed("book", rows)
        books.feed(rows)

    narrow = (*COLUMNS["book"][:3], LEVELS_NAME)
    _pass(readable, "book_delta_v2", COLUMNS["book_delta_v2"], on_deltas, tell)
    _pass(readable, "trades", COLUMNS["trades"], on_trades, tell)
    _pass(readable, "book", narrow, on_book, tell)
    tell("replaying book_delta_v2 beside book")
    relation = relation_facts(readable["book_delta_v2"], readable["book"], grid.grid())
    tell("holding trades against book")
    touch = touch_facts(readable["trades"], readable["book"])
    return [
        columns,
        _row_groups(readable["book_delta_v2"]),
        *times.facts(),
        *messages.facts(),
        *grid.facts(),
        *books.facts(),
        *relation,
        *trades.facts(),
        *touch,
    ]


def _silent(_: str) -> None:
    return


def _pass(
    files: Mapping[str, Sequence[Path]],
    table: str,
    columns: Sequence[str],
    feed: Callable[[Rows], None],
    tell: Progress,
) -> None:
    tell(f"reading {table}")
    for rows in read_rows(table, files[table], columns):
        feed(rows)


def _columns(files: Mapping[str, Sequence[Path]]) -> tuple[Fact, dict[str, Sequence[Path]]]:
    """Whether the files have the columns and types they should, and those of which they do."""
    readable: dict[str, Sequence[Path]] = dict.fromkeys(TABLES, ())
    figures: dict[str, Figure] = {}
    wrong = count = 0
    for table in TABLES:
        paths = files.get(table, ())
        count += len(paths)
        try:
            schemas = [file_schema(path, table) for path in paths]
        except InputError as error:
            figures[table] = error.message
            wrong += 1
            continue
        readable[table] = paths
        raw = all(set(COLUMNS[table]) <= set(schema.names) for schema in schemas)
        kinds = {str(schema.field(k).type) for schema in schemas for k in _times(schema.names)}
        naming = "raw" if raw else "lakeapi"
        figures[table] = f"{naming} names, times {', '.join(sorted(kinds))}" if paths else "missing"
    there = Holds.HOLDS if all(readable.values()) else Holds.UNDECIDED
    claim = (
        "The three tables have the vendor's columns, under its raw names or lakeapi's, with "
        "times as int64 or timestamp[ns]."
    )
    return Fact("columns", claim, Holds.FAILS if wrong else there, figures, count), readable


def _times(names: Sequence[str]) -> list[str]:
    known = ("timestamp", "receipt_timestamp", "origin_time", "received_time")
    return [name for name in names if name in known]


def _row_groups(paths: Sequence[Path]) -> Fact:
    """The last group of a file is a remainder, and says nothing."""
    whole = [rows for path in paths for rows in row_groups([path])[:-1]]
    middle = median(whole) if whole else 0
    return Fact(
        "row-groups",
        "Row groups of book_delta_v2 hold about 10,000 rows.",
        verdict(_GROUP_ROWS[0] <= middle <= _GROUP_ROWS[1], rows=len(whole), enough=1),
        {"row groups": sum(len(row_groups([path])) for path in paths), "rows, median": middle},
        sum(sum(row_groups([path])) for path in paths),
    )

"""``check_day``: every fact that the three tables of one symbol-day can decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from lobproof.acquire.checks.coverage import day_start
from lobproof.acquire.facts.books import BookSurvey, touch_facts
from lobproof.acquire.facts.fact import Fact, Figure, Holds, verdict
from lobproof.acquire.facts.grid import GridSurvey
from lobproof.acquire.facts.relation import relation_facts
from lobproof.acquire.facts.sequences import MessageSurvey, TradeSurvey
from lobproof.acquire.facts.times import TimesSurvey
from lobproof.acquire.rows import LEVELS_NAME, Columns, Shape, read_columns, read_shape
from lobproof.errors import InputError
from lobproof.sources.cryptolake.layout import COLUMNS, TABLES

_GROUP_ROWS = (5_000, 20_000)

Progress = Callable[[str], None]
"""Called with what is being looked at."""
Also = Callable[[str, Columns], None]
"""Called with the name of a table, and its next rows."""


def check_day(
    files: Mapping[str, Sequence[Path]],
    dt: str,
    *,
    progress: Progress | None = None,
    also: Also | None = None,
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
    also
        Called with the rows of each table, in order, as they are read.
    """
    columns, shapes = _columns(files)
    paths = {table: files[table] if shapes[table] else () for table in TABLES}
    tell = progress if progress is not None else _silent
    times, grid = TimesSurvey(day_start(dt)), GridSurvey()
    messages, trades, books = MessageSurvey(), TradeSurvey(), BookSurvey()
    book_columns = (*COLUMNS["book"][:3], LEVELS_NAME)
    passes: tuple[tuple[str, Sequence[str], Callable[[Columns], None]], ...] = (
        ("book_delta_v2", COLUMNS["book_delta_v2"], messages.feed),
        ("trades", COLUMNS["trades"], trades.feed),
        ("book", book_columns, books.feed),
    )
    for table, wanted, feed in passes:
        tell(f"reading {table}")
        for rows in read_columns(table, paths[table], wanted):
            times.feed(table, rows)
            grid.feed(table, rows)
            feed(rows)
            if also is not None:
                also(table, rows)
    tell("replaying book_delta_v2 beside book")
    relation = relation_facts(paths["book_delta_v2"], paths["book"], grid.grid())
    tell("holding trades against book")
    touch = touch_facts(paths["trades"], paths["book"])
    return [
        columns,
        _row_groups(shapes["book_delta_v2"]),
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


def _columns(files: Mapping[str, Sequence[Path]]) -> tuple[Fact, dict[str, list[Shape]]]:
    """Whether the files have the columns and types they should, and the footers of those that do.

    A table of which one file does not has none.
    """
    shapes: dict[str, list[Shape]] = {}
    figures: dict[str, Figure] = {}
    wrong = count = 0
    for table in TABLES:
        paths = files.get(table, ())
        count += len(paths)
        shapes[table] = []
        try:
            shapes[table] = read = [read_shape(path, table) for path in paths]
        except InputError as error:
            figures[table] = error.message
            wrong += 1
            continue
        naming = "raw" if all(shape.naming == "raw" for shape in read) else "lakeapi"
        times = {str(s.types[raw]) for s in read for raw in ("timestamp", "receipt_timestamp")}
        figures[table] = f"{naming} names, times {', '.join(sorted(times))}" if paths else "missing"
    there = Holds.HOLDS if all(shapes.values()) else Holds.UNDECIDED
    claim = (
        "The three tables have the vendor's columns, under its raw names or lakeapi's, with "
        "times as int64 or timestamp[ns]."
    )
    return Fact("columns", claim, Holds.FAILS if wrong else there, figures, count), shapes


def _row_groups(shapes: Sequence[Shape]) -> Fact:
    """The last group of a file is a remainder, and says nothing."""
    whole = [rows for shape in shapes for rows in shape.groups[:-1]]
    middle = median(whole) if whole else 0
    return Fact(
        "row-groups",
        "Row groups of book_delta_v2 hold about 10,000 rows.",
        verdict(_GROUP_ROWS[0] <= middle <= _GROUP_ROWS[1], rows=len(whole), enough=1),
        {"row groups": sum(len(shape.groups) for shape in shapes), "rows, median": middle},
        sum(shape.rows for shape in shapes),
    )

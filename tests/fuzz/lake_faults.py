"""What can be wrong with a day of Crypto Lake's tables, at random places and of random sizes.

The day is derived from an extract; each mutation spoils a `Lake` in place and says what it did.
What single faults do is in ``support.lake_faults``; what is here chooses places and sizes, and
keeps account of the truth.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import lobproof
from fuzz.judge import Wrong
from fuzz.oracle import DIGITS, LEVELS, Extract, Int64, extract
from fuzz.tape import SECOND, Known, Tape, UnfitError
from lobproof.pipeline import ReconstructOptions, derive_lake
from lobproof.pipeline.lake import lake_days, reconstruct_day
from lobproof.sources.cryptolake.layout import LEVEL_COLUMNS, LakeKey
from lobproof.sources.cryptolake.write import SCHEMAS
from support.lake_faults import (
    BOOK,
    DELTAS,
    TRADES,
    Day,
    crossed,
    duplicated,
    foreign,
    lost,
    reordered,
    rows_lost,
    thinned,
    timed,
    valued,
)

Mutation = Callable[["Lake"], str]
MUTATIONS: dict[str, Mutation] = {}
TABLES = (DELTAS, BOOK, TRADES)
HOUR = 3600 * SECOND
YEAR = 365 * 24 * HOUR


def mutation(function: Mutation) -> Mutation:
    """Take up a mutation under its name."""
    MUTATIONS[function.__name__.replace("_", " ")] = function
    return function


@dataclass
class Lake:
    """A derived day that is spoilt step by step."""

    extract: Extract
    rng: Random
    day: Day
    known: Known
    files: dict[str, int] = field(default_factory=dict)
    """Table → number of files; one if not named."""
    odd_names: bool = False
    """The files' names are in another order than their times."""
    typed: tuple[str, ...] = ()
    """Tables whose times are timestamps."""
    uuids: bool = False
    """Trade ids are UUIDs."""
    cut_file: str = ""
    """Table whose file breaks off."""

    def rows(self, table: str, least: int = 30) -> int:
        """Rows of a table, which must be enough to do something with."""
        height = self.day.tables[table].height if table in self.day.tables else 0
        if height < least:
            raise UnfitError
        return height

    def message(self, room: int = 1) -> int:
        """A random message of the deltas with so many behind it."""
        self.rows(DELTAS)
        if self.day.messages < room + 20:
            raise UnfitError
        number = self.rng.randrange(5, self.day.messages - room)
        self.spot(number, number + room)
        return number

    def spot(self, *messages: int) -> None:
        """Times of messages are worth looking at."""
        ids = self.day.tables[DELTAS]["sequence_number"]
        for message in messages:
            number = int(ids[int(self.day.starts[min(message, self.day.messages - 1)])])
            for version in self.known.ids.get(number, ()):
                self.known.spots.append(self.known.time(version))

    def part(self, table: str, share: float = 1.0) -> tuple[int, int]:
        """A random run of a table's rows: up to a share of them."""
        height = self.rows(table)
        size = max(int(height * self.rng.uniform(0, share)), 1)
        start = self.rng.randrange(height - size + 1)
        return start, start + size

    def put(self, table: str, rows: pl.DataFrame) -> None:
        """Other rows in a table."""
        self.day = self.day.with_table(table, rows)

    def lose(self, before: pl.DataFrame) -> None:
        """Take note of what the deltas had before, and have no more."""
        names = ("sequence_number", "side_is_bid", "price")
        gone = before.join(self.day.tables[DELTAS], on=names, how="anti")
        for number, bid, price in gone.select(names).iter_rows():
            for version in self.known.ids.get(number, ()):
                key = 0 if bid else 1, round(price * 10**DIGITS)
                self.known.lost.setdefault(key, []).append(version)

    def write(self, folder: Path) -> None:
        """The tables as files."""
        for table, rows in self.day.tables.items():
            arrow = rows.to_arrow().cast(SCHEMAS[table])
            if table in self.typed:
                for name in ("timestamp", "receipt_timestamp"):
                    at = arrow.column_names.index(name)
                    arrow = arrow.set_column(at, name, arrow[name].cast(pa.timestamp("ns")))
            if table == TRADES and self.uuids:
                ids = [f"{number:032x}" for number in rows["id"].fill_null(0).to_list()]
                texts = [f"{x[:8]}-{x[8:12]}-{x[12:16]}-{x[16:20]}-{x[20:]}" for x in ids]
                arrow = arrow.set_column(arrow.column_names.index("id"), "id", pa.array(texts))
            count = self.files.get(table, 1)
            size = rows.height // count + 1
            names = [f"{k + 1}.snappy.parquet" for k in range(count)]
            if self.odd_names:
                names.reverse()
            for k, name in enumerate(names):
                key = LakeKey(table, self.day.exchange, self.day.symbol, self.day.dt, name)
                path = folder / key.path
                path.parent.mkdir(parents=True, exist_ok=True)
                piece = arrow.slice(k * size, size) if count > 1 else arrow
                piece = piece.replace_schema_metadata({"provenance": "derived"})
                pq.write_table(piece, path, compression="snappy", row_group_size=10_000)
                if table == self.cut_file and k == 0:
                    data = path.read_bytes()
                    path.write_bytes(data[: len(data) * 2 // 3])

    def reconstruct(self, folder: Path, options: ReconstructOptions) -> None:
        """The public path over the files, and what the rows of `book` are worth as evidence."""
        self.write(folder / "lake")
        self.known.believed = options.strategy in ("anchored", "time-sorted")
        if BOOK in self.day.tables:
            self._weigh(self.day.tables[BOOK])
        for day in lake_days(folder / "lake"):
            reconstruct_day(day, folder / "store", options)

    def _weigh(self, book: pl.DataFrame) -> None:
        """Which rows of `book` are so, and which lie."""
        truth = self.known.levels
        listed = book.select(LEVEL_COLUMNS).fill_null(0.0).fill_nan(0.0).to_numpy()
        counts = np.rint(np.clip(np.nan_to_num(listed), -1e9, 1e9) * 10.0**DIGITS).astype(np.int64)
        times = book["timestamp"].to_list()
        highest = 0
        for row, number in enumerate(book["sequence_number"].to_list()):
            versions = self.known.ids.get(number, set())
            right = [v for v in versions if np.array_equal(truth[v], counts[row])]
            late = [v for v in versions if times[row] - self.known.time(v) > self.known.slack]
            if not right or len(late) == len(versions):
                self.known.lies.add(number)
            elif number >= highest:  # the row of another id, or one that comes late, tells nothing
                self.known.evidence += sorted(versions)
                own = [int(self.extract.ids[v]) for v in versions if v < self.extract.versions]
                self.known.ahead |= versions if number > max(own, default=number) else set()
            highest = max(highest, number)
            for version in () if right else versions:
                self._note_lie(version, counts[row], truth[version])
        self.known.evidence.sort()

    def _note_lie(self, version: int, told: Int64, true: Int64) -> None:
        """Levels that a row of `book` lists with another size."""
        for side in (0, 1):
            here = slice(2 * LEVELS * side, 2 * LEVELS * (side + 1))
            sizes = dict(zip(true[here][0::2].tolist(), true[here][1::2].tolist(), strict=True))
            for price, size in zip(told[here][0::2], told[here][1::2], strict=True):
                if price and sizes.get(int(price)) != size:
                    listed = self.known.listed.setdefault((side, int(price)), [])
                    listed.append((version, int(size)))


@lru_cache(64)
def _derived(data: Path, name: str, start: int, messages: int) -> Day:
    """The derived tables of an extract, on the day on which most of it lies."""
    whole = extract(data, name, start, messages)
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        tape = Tape.of(whole, Random(0))
        files = tape.write(Path(folder) / "in")
        golden = lobproof.import_recordings(files, Path(folder) / "golden")
        made = derive_lake(golden.path, Path(folder) / "lake")
        days = max(made.rows["book"].items(), key=lambda item: item[1])
        return Day.read(Path(folder) / "lake", days[0])


def spoilt(
    whole: Extract, seed: int, chain: Sequence[tuple[int, str]], data: Path, start: int
) -> tuple[Lake, list[str]]:
    """The extract's tables, spoilt by these mutations one after the other; what each did."""
    day = _derived(data, whole.name, start, len(whole.messages))
    # `done` and rows that are reused stay as they are: tables are replaced, never changed
    lake = Lake(whole, Random(seed), replace(day, done=()), Known.of(whole))
    told = []
    for place, name in chain:
        lake.rng = Random(f"{seed} {place} {name}")
        try:
            told.append(f"{name}: {MUTATIONS[name](lake)}")
        except UnfitError:
            told.append(f"{name}: does not fit")
    return lake, told


# --- deltas -----------------------------------------------------------------------------------


@mutation
def deltas_lost(lake: Lake) -> str:
    before = lake.day.tables[DELTAS]
    runs = lake.rng.choice((1, 1, 2, 5))
    size = lake.rng.choice((1, 1, 5, 50, 200))
    with_book = lake.rng.random() < 0.4 and BOOK in lake.day.tables
    for _ in range(runs):
        first = lake.message(size)
        lake.day = lost(lake.day, first, first + size, book=with_book)
    lake.lose(before)
    return f"{runs} runs of {size}{', book too' if with_book else ''}"


@mutation
def deltas_lost_at_random(lake: Lake) -> str:
    lake.message()
    before = lake.day.tables[DELTAS]
    share = lake.rng.choice((0.002, 0.01, 0.1))
    ids = before["sequence_number"].unique(maintain_order=True).to_list()
    gone = [number for number in ids if lake.rng.random() < share]
    lake.put(DELTAS, before.filter(~pl.col("sequence_number").is_in(gone)))
    lake.lose(before)
    return f"{len(gone)} messages"


@mutation
def delta_rows_lost(lake: Lake) -> str:
    lake.message()
    before = lake.day.tables[DELTAS]
    share = lake.rng.choice((0.0005, 0.01, 0.1))
    lake.day = rows_lost(lake.day, share, lake.rng.randrange(1 << 30))
    lake.lose(before)
    return f"{share:.2%} of the rows"


@mutation
def deltas_doubled(lake: Lake) -> str:
    size, later = lake.rng.choice((1, 5, 50)), lake.rng.choice((0, 0, 1, 20))
    first = lake.message(size + later)
    lake.day = duplicated(lake.day, first, first + size, later=later)
    return f"{size} messages, {later} later"


@mutation
def deltas_late(lake: Lake) -> str:
    later = lake.rng.choice((1, 1, 5, 40))
    for _ in range(lake.rng.choice((1, 3))):
        first = lake.message(later + 1)
        lake.day = reordered(lake.day, first, later)
    _note_moved(lake)
    return f"{later} messages later"


@mutation
def delta_blocks_swapped(lake: Lake) -> str:
    size = lake.rng.choice((2, 20, 100))
    first = lake.message(2 * size)
    before = lake.day.tables[DELTAS]
    one, two = lake.day.rows(first, first + size), lake.day.rows(first + size, first + 2 * size)
    low, _ = lake.day.bounds(first, first + 1)
    _, high = lake.day.bounds(first, first + 2 * size)
    lake.put(DELTAS, pl.concat([before.head(low), two, one, before.slice(high)]))
    _note_moved(lake)
    return f"{size} messages"


@mutation
def deltas_in_two_parts(lake: Lake) -> str:
    """Half of a message's rows come behind the next message."""
    count = lake.rng.choice((1, 5, 30))
    later = lake.rng.choice((0, 1, 3))
    for _ in range(count):
        first = lake.message(later + 1)
        rows = lake.day.tables[DELTAS]
        low, high = lake.day.bounds(first, first + 1)
        if high - low < 2:
            continue
        half = lake.rng.randrange(low + 1, high)
        _, stop = lake.day.bounds(first, first + 1 + later)
        parts = [rows.head(half), rows.slice(high, stop - high), rows.slice(half, high - half)]
        lake.put(DELTAS, pl.concat([*parts, rows.slice(stop)]))
    _note_moved(lake)
    return f"{count} messages, {later} later"


def _note_moved(lake: Lake) -> None:
    """What came late is not in the book: as good as lost."""
    names = ("sequence_number", "side_is_bid", "price")
    highest = -1
    for number, bid, price in lake.day.tables[DELTAS].select(names).iter_rows():
        if number < highest:
            for version in lake.known.ids.get(number, ()):
                key = 0 if bid else 1, round(price * 10**DIGITS)
                lake.known.lost.setdefault(key, []).append(version)
        highest = max(highest, number)


@mutation
def ids_far_off(lake: Lake) -> str:
    tables = lake.rng.choice(((DELTAS,), (BOOK,), (DELTAS, BOOK)))
    by = lake.rng.choice((10**12, -(10**9), 1, -1, 3))
    part = lake.rng.random() < 0.5
    for table in tables:
        start, stop = lake.part(table, 0.3) if part else (0, lake.rows(table))
        _renumber(lake, table, start, stop, by)
    return f"{' and '.join(tables)} by {by}{', a part' if part else ''}"


def _renumber(lake: Lake, table: str, start: int, stop: int, by: int) -> None:
    rows = lake.day.tables[table]
    ids = rows["sequence_number"].to_numpy().copy()
    for number in set(ids[start:stop].tolist()):
        for version in list(lake.known.ids.get(number, ())):
            lake.known.also(number + by, version)
    if table == DELTAS:
        _note_split(lake, start)
        _note_split(lake, stop)
    ids[start:stop] += by
    lake.put(table, rows.with_columns(sequence_number=pl.Series(ids)))
    _note_moved(lake)


def _note_split(lake: Lake, row: int) -> None:
    """Rows of a message from here on become one of their own."""
    rows = lake.day.tables[DELTAS]
    ids = rows["sequence_number"]
    if not 0 < row < rows.height or ids[row - 1] != ids[row]:
        return
    rest = rows.slice(row).filter(pl.col("sequence_number") == ids[row])
    for bid, price in rest.select("side_is_bid", "price").iter_rows():
        for version in lake.known.ids.get(ids[row], ()):
            side, at = 0 if bid else 1, round(price * 10**DIGITS)
            lake.known.lost.setdefault((side, at), []).append(version)
            lake.known.split.add((version, side, at))


@mutation
def ids_negative(lake: Lake) -> str:
    table = lake.rng.choice((DELTAS, BOOK))
    start, stop = lake.part(table, lake.rng.choice((0.05, 1.0)))
    rows = lake.day.tables[table]
    ids = rows["sequence_number"].to_numpy().copy()
    for number in set(ids[start:stop].tolist()):
        for version in list(lake.known.ids.get(number, ())):
            lake.known.also(-number, version)
    if table == DELTAS:
        _note_split(lake, start)
        _note_split(lake, stop)
    ids[start:stop] *= -1
    lake.put(table, rows.with_columns(sequence_number=pl.Series(ids)))
    _note_moved(lake)
    return f"{stop - start} rows of {table}"


@mutation
def lake_ids_restart(lake: Lake) -> str:
    tables = lake.rng.choice(((DELTAS,), (DELTAS, BOOK)))
    first = lake.message()
    low, _ = lake.day.bounds(first, first + 1)
    rows = lake.day.tables[DELTAS]
    by = 1000 - int(rows["sequence_number"][low])
    time = int(rows["timestamp"][low])
    for table in tables:
        lake.rows(table, 1)
        start = int((lake.day.tables[table]["timestamp"] < time).sum())
        _renumber(lake, table, start, lake.rows(table, 0), by)
    return f"in {' and '.join(tables)}"


@mutation
def ids_repeated(lake: Lake) -> str:
    """Rows of `book`, or messages, that carry the id of the one before."""
    table = lake.rng.choice((BOOK, BOOK, DELTAS))
    start, stop = lake.part(table, lake.rng.choice((0.02, 0.3)))
    rows = lake.day.tables[table]
    ids = rows["sequence_number"].to_numpy().copy()
    for number in set(ids[start:stop].tolist()):
        for version in list(lake.known.ids.get(number, ())):
            lake.known.also(int(ids[start]), version)
    ids[start:stop] = ids[start]
    lake.put(table, rows.with_columns(sequence_number=pl.Series(ids)))
    _note_moved(lake)
    return f"{stop - start} rows of {table}"


@mutation
def table_ends_early(lake: Lake) -> str:
    table = lake.rng.choice(TABLES)
    height = lake.rows(table)
    share = lake.rng.uniform(0.2, 0.99)
    before = lake.day.tables[DELTAS]
    lake.put(table, lake.day.tables[table].head(int(share * height)))
    if table == DELTAS:
        lake.lose(before)
    return f"{table} at {share:.0%}"


@mutation
def table_begins_late(lake: Lake) -> str:
    table = lake.rng.choice(TABLES)
    height = lake.rows(table)
    share = lake.rng.uniform(0.05, 0.7)
    before = lake.day.tables[DELTAS]
    lake.put(table, lake.day.tables[table].slice(int(share * height)))
    if table == DELTAS:
        lake.lose(before)
    return f"{table} at {share:.0%}"


@mutation
def hole_in_all_tables(lake: Lake) -> str:
    size = lake.rng.choice((5, 100, 300))
    first = lake.message(size)
    low, high = lake.day.time_of(first), lake.day.time_of(first + size)
    before = lake.day.tables[DELTAS]
    chosen = lake.rng.choice((TABLES, TABLES, (DELTAS, BOOK)))
    for table in [one for one in chosen if one in lake.day.tables]:
        inside = (pl.col("timestamp") >= low) & (pl.col("timestamp") < high)
        lake.put(table, lake.day.tables[table].filter(~inside))
    lake.lose(before)
    lake.known.spots += [low + (high - low) * k // 8 for k in range(9)]
    return f"{(high - low) / SECOND:.1f} s of {', '.join(chosen)}"


@mutation
def table_empty(lake: Lake) -> str:
    table = lake.rng.choice(TABLES)
    if table not in lake.day.tables:
        raise UnfitError
    before = lake.day.tables[DELTAS]
    if lake.rng.random() < 0.5:
        lake.put(table, lake.day.tables[table].head(0))
        return f"{table} has no row"
    if table == DELTAS:
        lake.put(table, before.head(0))
    else:
        lake.day = replace(
            lake.day, tables={name: rows for name, rows in lake.day.tables.items() if name != table}
        )
    return f"{table} is not there"


# --- rows of `book` ---------------------------------------------------------------------------


def _levels_of(lake: Lake, start: int, stop: int, source: Int64) -> None:
    """The rows ``start:stop`` of `book` list what the rows ``source`` do."""
    rows = lake.day.tables[BOOK]
    order = np.arange(rows.height)
    order[start:stop] = np.clip(source, 0, rows.height - 1)
    taken = rows.select(LEVEL_COLUMNS)[order.tolist()]
    lake.put(BOOK, rows.with_columns(taken[name] for name in LEVEL_COLUMNS))


@mutation
def book_frozen(lake: Lake) -> str:
    """It repeats itself for a while; the ids go on, or do not."""
    height = lake.rows(BOOK)
    times = lake.day.tables[BOOK]["timestamp"].to_numpy()
    start = lake.rng.randrange(height - 10)
    seconds = lake.rng.choice((10, 20, 40, 300))
    stop = int(np.searchsorted(times, times[start] + seconds * SECOND))
    _levels_of(lake, start, stop, np.full(stop - start, start))
    how = lake.rng.choice(("levels", "levels", "ids too"))
    if how == "ids too":
        rows = lake.day.tables[BOOK]
        ids = rows["sequence_number"].to_numpy().copy()
        ids[start:stop] = ids[start]
        lake.put(BOOK, rows.with_columns(sequence_number=pl.Series(ids)))
    lake.known.spots += [int(times[k]) for k in range(start, stop, max((stop - start) // 6, 1))]
    return f"{stop - start} rows, {seconds} s, {how}"


@mutation
def book_rows_stale(lake: Lake) -> str:
    start, stop = lake.part(BOOK, lake.rng.choice((0.01, 0.3, 1.0)))
    by = lake.rng.choice((1, 1, 10))
    _levels_of(lake, start, stop, np.arange(start, stop) - by)
    return f"{stop - start} rows by {by}"


@mutation
def book_sizes_doubled(lake: Lake) -> str:
    start, stop = lake.part(BOOK, lake.rng.choice((0.01, 0.3, 1.0)))
    if lake.rng.random() < 0.3:
        start, stop = 0, lake.rows(BOOK)
    names = [name for name in LEVEL_COLUMNS if name.endswith("_size")]
    if lake.rng.random() < 0.6:
        names = ["bid_0_size", "ask_0_size"]
    here = pl.int_range(pl.len()).is_between(start, stop - 1)
    lake.put(
        BOOK,
        lake.day.tables[BOOK].with_columns(
            pl.when(here).then(2 * pl.col(name)).otherwise(pl.col(name)).alias(name)
            for name in names
        ),
    )
    return f"{len(names)} sizes of {stop - start} rows"


@mutation
def book_rows_short(lake: Lake) -> str:
    """Fewer levels than twenty, the rest null, NaN or 0."""
    start, stop = lake.part(BOOK, 1.0)
    if lake.rng.random() < 0.6:
        start, stop = 0, lake.rows(BOOK)
    kept = lake.rng.choice((1, 5, 10, 10, 19))
    sides = lake.rng.choice((("bid", "ask"), ("bid",), ("ask",)))
    value = lake.rng.choice((None, float("nan"), 0.0))
    here = pl.int_range(pl.len()).is_between(start, stop - 1)
    names = [
        f"{side}_{level}_{what}"
        for side in sides
        for level in range(kept, LEVELS)
        for what in ("price", "size")
    ]
    gone = pl.lit(value, pl.Float64)
    lake.put(
        BOOK,
        lake.day.tables[BOOK].with_columns(
            pl.when(here).then(gone).otherwise(pl.col(name)).alias(name) for name in names
        ),
    )
    return f"{kept} levels of {', '.join(sides)} in {stop - start} rows, then {value}"


@mutation
def book_side_empty(lake: Lake) -> str:
    start, stop = lake.part(BOOK, lake.rng.choice((0.01, 1.0)))
    side = lake.rng.choice(("bid", "ask"))
    value = lake.rng.choice((None, float("nan"), 0.0))
    here = pl.int_range(pl.len()).is_between(start, stop - 1)
    gone = pl.lit(value, pl.Float64)
    lake.put(
        BOOK,
        lake.day.tables[BOOK].with_columns(
            pl.when(here).then(gone).otherwise(pl.col(name)).alias(name)
            for name in LEVEL_COLUMNS
            if name.startswith(side)
        ),
    )
    return f"{side} of {stop - start} rows: {value}"


@mutation
def book_rows_few(lake: Lake) -> str:
    rows = lake.day.tables.get(BOOK)
    if rows is None or not rows.height:
        raise UnfitError
    how = lake.rng.choice(("first", "last", "every 7th", "every 100th"))
    if how == "first":
        lake.put(BOOK, rows.head(1))
    elif how == "last":
        lake.put(BOOK, rows.tail(1))
    else:
        lake.day = thinned(lake.day, 7 if how == "every 7th" else 100)
    return how


@mutation
def book_rows_crossed(lake: Lake) -> str:
    count = lake.rng.choice((1, 5))
    for _ in range(count):
        lake.day = crossed(lake.day, lake.rng.randrange(lake.rows(BOOK)))
    return f"{count} rows"


@mutation
def book_rows_foreign(lake: Lake) -> str:
    """A row of another symbol's book: the same at other prices."""
    height = lake.rows(BOOK)
    prices = [name for name in LEVEL_COLUMNS if name.endswith("_price")]
    book = lake.day.tables[BOOK]
    step = 10.0 ** -min(lake.extract.digits[0], 2)
    share = lake.rng.choice((0.5, 0.9))
    by = float(round(book["bid_0_price"].drop_nulls().drop_nans()[0] * share / step) * step)
    other = lake.day.with_table(BOOK, book.with_columns((pl.col(prices) - by).round(4)))
    for _ in range(lake.rng.choice((1, 3))):
        lake.day = foreign(lake.day, lake.rng.randrange(height - 2), other)
    return f"at prices lower by {by:g}"


@mutation
def book_rows_shuffled(lake: Lake) -> str:
    start, stop = lake.part(BOOK, lake.rng.choice((0.01, 0.3)))
    order = list(range(lake.rows(BOOK)))
    part = order[start:stop]
    lake.rng.shuffle(part)
    order[start:stop] = part
    lake.put(BOOK, lake.day.tables[BOOK][order])
    return f"{stop - start} rows"


# --- times ------------------------------------------------------------------------------------


@mutation
def stamps_wrong(lake: Lake) -> str:
    table = lake.rng.choice(TABLES)
    height = lake.rows(table)
    places = range(height) if table != DELTAS else range(lake.day.messages)
    chosen = sorted(lake.rng.sample(places, min(lake.rng.choice((1, 5, 40)), len(places))))
    value = lake.rng.choice((0, -1, HOUR, -HOUR, 24 * HOUR, 8 * HOUR, 10 * SECOND, -10 * SECOND))
    stamp = value if value in (0, -1) else lambda times: times + value
    lake.day = timed(lake.day, table, chosen, stamp)
    # a stamp less than a minute off is believed, and the clock does not run back
    lake.known.slack = max(lake.known.slack, 62 * SECOND)
    return f"{len(chosen)} of {table}: {value / SECOND:g} s"


@mutation
def clock_of_a_table(lake: Lake) -> str:
    """One table alone tells other times."""
    table = lake.rng.choice(TABLES)
    how = lake.rng.choice(("8 h ahead", "8 h behind", "ms", "us", "seconds", "a year", "3 s"))
    names = ["timestamp"] if lake.rng.random() < 0.5 else ["timestamp", "receipt_timestamp"]
    _move(lake, (table,), how, names)
    return f"{table}: {how} ({len(names)} columns)"


@mutation
def clock_of_all(lake: Lake) -> str:
    how = lake.rng.choice(("ms", "us", "a year", "a day"))
    _move(lake, TABLES, how, ["timestamp", "receipt_timestamp"])
    return how


def _move(lake: Lake, tables: Sequence[str], how: str, names: Sequence[str]) -> None:
    change: dict[str, Callable[[pl.Expr], pl.Expr]] = {
        "8 h ahead": lambda times: times + 8 * HOUR,
        "8 h behind": lambda times: times - 8 * HOUR,
        "ms": lambda times: times // 1_000_000,
        "us": lambda times: times // 1_000,
        "seconds": lambda times: times // SECOND,
        "a year": lambda times: times - YEAR,
        "a day": lambda times: times + 24 * HOUR,
        "3 s": lambda times: times + 3 * SECOND,
    }
    for table in tables:
        if table in lake.day.tables:
            rows = lake.day.tables[table]
            lake.put(table, rows.with_columns(change[how](pl.col(name)) for name in names))
    if how == "3 s":
        lake.known.slack = max(lake.known.slack, 7 * SECOND)
    if how in ("seconds",):
        lake.known.slack = max(lake.known.slack, 5 * SECOND)


@mutation
def receipt_times_wrong(lake: Lake) -> str:
    table = lake.rng.choice(TABLES)
    lake.rows(table)
    how = lake.rng.choice(("0", "8 h", "constant"))
    column = {
        "0": pl.lit(0, pl.Int64),
        "8 h": pl.col("receipt_timestamp") + 8 * HOUR,
        "constant": pl.col("receipt_timestamp").first(),
    }[how]
    lake.put(table, lake.day.tables[table].with_columns(receipt_timestamp=column))
    return f"{table}: {how}"


@mutation
def times_typed(lake: Lake) -> str:
    lake.typed = lake.rng.choice((TABLES, (BOOK,), (DELTAS,)))
    return ", ".join(lake.typed)


# --- trades -----------------------------------------------------------------------------------


@mutation
def trade_rows_shuffled(lake: Lake) -> str:
    height = lake.rows(TRADES)
    reach = lake.rng.choice((3, 20))
    order = sorted(range(height), key=lambda k: k + lake.rng.uniform(0, reach))
    lake.put(TRADES, lake.day.tables[TRADES][order])
    return f"within {reach} places"


@mutation
def trade_ids_are_uuids(lake: Lake) -> str:
    lake.rows(TRADES)
    lake.uuids = True
    return "all"


@mutation
def trade_rows_missing(lake: Lake) -> str:
    height = lake.rows(TRADES)
    share = lake.rng.choice((0.01, 0.3, 0.9))
    kept = [k for k in range(height) if lake.rng.random() >= share]
    lake.put(TRADES, lake.day.tables[TRADES][kept])
    return f"{share:.0%}"


@mutation
def trade_ids_null(lake: Lake) -> str:
    lake.rows(TRADES)
    share = lake.rng.choice((0.01, 1.0))
    flips = pl.Series([lake.rng.random() < share for _ in range(lake.rows(TRADES))])
    lake.put(
        TRADES,
        lake.day.tables[TRADES].with_columns(
            id=pl.when(flips).then(pl.lit(None, pl.Int64)).otherwise(pl.col("id"))
        ),
    )
    return f"{share:.0%}"


@mutation
def trade_rows_doubled(lake: Lake) -> str:
    start, stop = lake.part(TRADES, 0.1)
    rows = lake.day.tables[TRADES]
    lake.put(
        TRADES, pl.concat([rows.head(stop), rows.slice(start, stop - start), rows.slice(stop)])
    )
    return f"{stop - start} rows"


# --- files ------------------------------------------------------------------------------------


@mutation
def files_many(lake: Lake) -> str:
    for table in TABLES:
        if table in lake.day.tables and lake.day.tables[table].height > 30:
            lake.files[table] = lake.rng.choice((1, 2, 11))
    lake.odd_names = lake.rng.random() < 0.5
    return json.dumps(lake.files) + (", names swapped" if lake.odd_names else "")


@mutation
def file_cut(lake: Lake) -> str:
    lake.cut_file = lake.rng.choice(TABLES)
    return lake.cut_file


@mutation
def day_is_partial(lake: Lake) -> str:
    """All tables lack a part of the day, at an end of it."""
    lake.rows(DELTAS)
    before = lake.day.tables[DELTAS]
    times = before["timestamp"].to_numpy()
    cut = int(times[lake.rng.randrange(len(times))])
    head = lake.rng.random() < 0.5
    for table, rows in list(lake.day.tables.items()):
        kept = pl.col("timestamp") < cut if head else pl.col("timestamp") >= cut
        lake.put(table, rows.filter(kept))
    lake.lose(before)
    return "ends early" if head else "begins late"


@mutation
def value_that_is_none(lake: Lake) -> str:
    """A price or size that no grid holds."""
    table, column = lake.rng.choice(
        (
            *((DELTAS, "price"), (DELTAS, "size"), (TRADES, "price"), (TRADES, "amount")),
            *((BOOK, "bid_3_price"), (BOOK, "ask_0_size")),
        )
    )
    row = lake.rng.randrange(lake.rows(table))
    value = lake.rng.choice((-1.0, float("nan"), float("inf"), 1e300, 0.12345678901234567))
    lake.day = valued(lake.day, table, row, **{column: value})
    return f"{table} {column} in row {row}: {value}"


# --- limits -----------------------------------------------------------------------------------


def explain(store: Path, known: Known, wrong: Sequence[Wrong]) -> list[str]:
    """Which documented limit explains each wrong claim: "" none does.

    A loss is one of the limits' only where the evidence was not there: no true row of `book`
    between the loss and the claim lists the level's place, and the next one behind does not either,
    or the level was set right before it.
    """
    return [_reason(known, one) for one in wrong]


def _reason(known: Known, one: Wrong) -> str:
    if known.believed and one.what.startswith("another time"):
        return "a strategy that believes `book`, between two of its rows"
    if one.version < 0:
        return ""
    if known.believed and (one.sequence in known.lies if one.slot < 0 else known.lies):
        return "a strategy that believes `book`, which lies"
    if one.slot < 0:
        return ""
    if known.lies and not known.evidence:
        return "a lie that nothing contradicts"
    if _undisturbed(known, one):
        return "a lie of `book` at a level that nothing changes for 10 s"
    gone = [v for v in known.lost.get((one.side, one.price), ()) if v <= one.version]
    if not gone:
        return ""
    last = max(gone)
    evidence = known.evidence
    if not evidence or evidence[-1] < last:
        return "a loss behind the last row of `book`"
    first = bisect_left(evidence, last)
    # the row of `book` of a message in two parts stands behind the second, a claim between them
    between = last == one.version and (last, one.side, one.price) in known.split
    stop = bisect_left(evidence, one.version + (not between))
    told = [version for version in evidence[first:stop] if _lists(known, version, one)]
    # the next message may explain a row that waits for it
    if any(version not in known.ahead or not _named(known, version, one) for version in told):
        return ""
    if stop < len(evidence) and _lists(known, evidence[stop], one):
        named = any(_named(known, v, one) for v in range(one.version, evidence[stop]))
        named |= (last, one.side, one.price) in known.split
        return "set right before the next row of `book`" if named else ""
    return "a loss beyond the twenty"


def _named(known: Known, version: int, one: Wrong) -> bool:
    """Whether the message behind a version names the level."""
    following = known.extract.messages[version : version + 1]
    return any(
        one.price == price for message in following for price, _ in message.changes[one.side]
    )


def _undisturbed(known: Known, one: Wrong) -> bool:
    """Whether the claim is what a row of `book` lists, and no message names the level for long."""
    messages, versions = known.extract.messages, known.extract.versions
    naming = [
        version
        for version in range(1, versions)
        if one.price in [price for price, _ in messages[version - 1].changes[one.side]]
    ]
    at = bisect_left(naming, one.version + 1)
    since = naming[at - 1] if at else 0
    until = naming[at] if at < len(naming) else versions
    told = [
        version
        for version, size in known.listed.get((one.side, one.price), ())
        if since <= version < until and (one.price, size) == one.said
    ]
    ends = known.time(min(until, versions - 1))
    return bool(told) and ends - known.time(since) > 10 * SECOND


def _lists(known: Known, version: int, one: Wrong) -> bool:
    """Whether a true row of `book` of this version says something of the level's place."""
    row = known.extract.levels[version, 2 * LEVELS * one.side : 2 * LEVELS * (one.side + 1)]
    worst = int(row[2 * LEVELS - 2])
    if not worst:
        return True
    return one.price >= worst if one.side == 0 else one.price <= worst

"""Derived days of Crypto Lake's tables, what can be wrong with one, and what that must leave.

A fault takes whole tables and gives new ones, with what was done and where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from lobproof.schema import LEVELS, Finding, Int64
from lobproof.sources.cryptolake.layout import LEVEL_COLUMNS, LakeKey
from lobproof.sources.cryptolake.write import GROUP_ROWS, SCHEMAS
from plain.book import PlainSide

Tables = dict[str, pl.DataFrame]
Stamp = int | Callable[[Int64], Int64]
"""A time, or what makes it of the former ones."""
DELTAS, BOOK, TRADES = "book_delta_v2", "book", "trades"
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: messages or rows spoilt, and where, as update ids and exchange times.

    From ``first`` on the day is not what it was; ``last`` is the last id that was touched.
    """

    what: str
    count: int
    first: int
    last: int
    first_ts: int
    last_ts: int


@dataclass(frozen=True)
class Day:
    """Tables of one symbol-day, as in its files, and what was done to them."""

    exchange: str
    symbol: str
    dt: str
    tables: Tables
    done: tuple[Done, ...] = field(default=())

    @classmethod
    def read(cls, folder: Path, dt: str) -> Day:
        """A day of a derived folder, files in order."""
        tables: dict[str, list[pl.DataFrame]] = {}
        key = None
        for path in sorted(folder.glob(f"*/*/*/dt={dt}/*.parquet")):
            key = LakeKey.parse(str(path.relative_to(folder)))
            assert key is not None
            tables.setdefault(key.table, []).append(pl.read_parquet(path, hive_partitioning=False))
        assert key is not None, f"no {dt} in {folder}"
        whole = {table: pl.concat(parts) for table, parts in tables.items()}
        return cls(key.exchange, key.symbol, dt, whole)

    def write(self, folder: Path) -> Path:
        """Write the tables as a folder of their own."""
        for table, rows in self.tables.items():
            key = LakeKey(table, self.exchange, self.symbol, self.dt, "1.snappy.parquet")
            path = folder / key.path
            path.parent.mkdir(parents=True, exist_ok=True)
            arrow = rows.to_arrow().cast(SCHEMAS[table])
            pq.write_table(
                arrow.replace_schema_metadata({"provenance": "derived"}),
                path,
                compression="snappy",
                row_group_size=GROUP_ROWS,
            )
        return folder

    @cached_property
    def starts(self) -> Int64:
        """First row of each message of the deltas."""
        ids = self.tables[DELTAS]["sequence_number"].to_numpy()
        return np.flatnonzero(np.diff(ids, prepend=ids[0] - 1))

    @property
    def messages(self) -> int:
        return len(self.starts)

    def bounds(self, first: int, stop: int) -> tuple[int, int]:
        """Rows of the messages ``first:stop``."""
        ends = [*self.starts.tolist(), self.tables[DELTAS].height]
        return ends[first], ends[stop]

    def rows(self, first: int, stop: int) -> pl.DataFrame:
        """Rows of the deltas of these messages."""
        low, high = self.bounds(first, stop)
        return self.tables[DELTAS].slice(low, high - low)

    def message_at(self, ts: int) -> int:
        """The first message at or after an exchange time."""
        times = self.tables[DELTAS]["timestamp"].to_numpy()[self.starts]
        return int(np.searchsorted(times, ts))

    def time_of(self, message: int) -> int:
        """Exchange time of a message."""
        return int(self.tables[DELTAS]["timestamp"][int(self.starts[message])])

    def with_table(self, table: str, rows: pl.DataFrame, *done: Done) -> Day:
        """The day with other rows in a table."""
        return replace(self, tables={**self.tables, table: rows}, done=(*self.done, *done))

    def about(self, what: str, count: int, rows: pl.DataFrame) -> Done:
        """Where ``rows`` of a table are; ids that are all missing are -1."""
        ids = rows["sequence_number" if "sequence_number" in rows.columns else "id"].cast(pl.Int64)
        times = rows["timestamp"]
        known = (-1, -1) if ids.null_count() == len(ids) else (_int(ids.min()), _int(ids.max()))
        return Done(what, count, *known, _int(times[0]), _int(times[-1]))


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


# --- messages ---------------------------------------------------------------------------------


def lost(day: Day, first: int, stop: int, *, book: bool = False) -> Day:
    """Without the messages ``first:stop``; ``book``: without the rows of `book` in between too."""
    low, high = day.bounds(first, stop)
    rows = day.tables[DELTAS]
    gone = rows.slice(low, high - low)
    done = day.about("lost", stop - first, gone)
    kept = pl.concat([rows.head(low), rows.slice(high)])
    spoilt = day.with_table(DELTAS, kept, done)
    if not book:
        return spoilt
    inside = pl.col("sequence_number").is_between(done.first, done.last)
    return spoilt.with_table(BOOK, day.tables[BOOK].filter(~inside))


def duplicated(day: Day, first: int, stop: int, *, later: int = 0) -> Day:
    """The messages ``first:stop`` come again behind the message ``later`` after them."""
    low, high = day.bounds(first, stop)
    _, place = day.bounds(first, stop + later)
    rows = day.tables[DELTAS]
    again = rows.slice(low, high - low)
    done = day.about("duplicated", stop - first, again)
    if later == 0:  # each right behind itself
        parts = [day.rows(k, k + 1) for k in range(first, stop) for _ in range(2)]
        return day.with_table(DELTAS, pl.concat([rows.head(low), *parts, rows.slice(high)]), done)
    return day.with_table(DELTAS, pl.concat([rows.head(place), again, rows.slice(place)]), done)


def reordered(day: Day, first: int, later: int) -> Day:
    """The message ``first`` comes behind the next ``later`` ones."""
    low, high = day.bounds(first, first + 1)
    _, place = day.bounds(first, first + 1 + later)
    rows = day.tables[DELTAS]
    parts = [
        rows.head(low),
        rows.slice(high, place - high),
        rows.slice(low, high - low),
        rows.slice(place),
    ]
    done = day.about("reordered", 1, rows.slice(low, place - low))
    return day.with_table(DELTAS, pl.concat(parts), done)


def rows_lost(day: Day, share: float, seed: int) -> Day:
    """Without a share of the rows of the deltas, at random."""
    rows = day.tables[DELTAS]
    gone = np.random.default_rng(seed).random(rows.height) < share
    done = day.about("rows lost", int(gone.sum()), rows)
    return day.with_table(DELTAS, rows.filter(~pl.Series(gone)), done)


# --- times ------------------------------------------------------------------------------------


def timed(day: Day, table: str, places: Sequence[int], stamp: Stamp) -> Day:
    """Messages of the deltas, or rows of another table, with another exchange time."""
    rows = day.tables[table]
    chosen = np.zeros(rows.height, np.bool_)
    for place in places:
        low, high = day.bounds(place, place + 1) if table == DELTAS else (place, place + 1)
        chosen[low:high] = True
    times = rows["timestamp"].to_numpy().copy()
    times[chosen] = stamp(times[chosen]) if callable(stamp) else stamp
    spoilt = rows.with_columns(timestamp=pl.Series(times))
    touched = rows.filter(pl.Series(chosen))
    return day.with_table(table, spoilt, day.about("timed", len(places), touched))


# --- values -----------------------------------------------------------------------------------


def resting(day: Day, first: int, stop: int, price: float, size: float) -> Day:
    """A bid of this price and size comes with the message ``first`` and goes with ``stop``."""
    rows = day.tables[DELTAS]
    parts = []
    at = 0
    for message, held in ((first, size), (stop, 0.0)):
        low, high = day.bounds(message, message + 1)
        order = rows.slice(low, 1).with_columns(
            side_is_bid=pl.lit(True), price=pl.lit(price), size=pl.lit(held)
        )
        parts += [rows.slice(at, high - at), order]
        at = high
    touched = day.rows(first, stop + 1)
    done = day.about("resting", 2, touched)
    return day.with_table(DELTAS, pl.concat([*parts, rows.slice(at)]), done)


def valued(day: Day, table: str, row: int, **values: float) -> Day:
    """A row of a table with other values."""
    rows = day.tables[table]
    here = pl.int_range(pl.len()) == row
    changed = rows.with_columns(
        pl.when(here).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )
    return day.with_table(table, changed)


# --- rows of `book` ---------------------------------------------------------------------------


def crossed(day: Day, row: int) -> Day:
    """A row of `book` with its sides exchanged: the best bid above the best ask."""
    names = {name: name.replace("bid", "ask") for name in LEVEL_COLUMNS if "bid" in name}
    both = {**names, **{ask: bid for bid, ask in names.items()}}
    rows = day.tables[BOOK]
    one = rows.slice(row, 1)
    swapped = one.with_columns(one[both[name]].alias(name) for name in LEVEL_COLUMNS)
    return _rows_of_book(day, row, swapped, "crossed")


def foreign(day: Day, row: int, other: Day, count: int = 1) -> Day:
    """Rows of `book` with the levels of another symbol."""
    rows = day.tables[BOOK].slice(row, count)
    theirs = other.tables[BOOK].slice(row % (other.tables[BOOK].height - count), count)
    levels = rows.with_columns(theirs[name].alias(name) for name in LEVEL_COLUMNS)
    return _rows_of_book(day, row, levels, "foreign")


def _rows_of_book(day: Day, row: int, instead: pl.DataFrame, what: str) -> Day:
    rows = day.tables[BOOK]
    done = day.about(what, instead.height, instead)
    parts = [rows.head(row), instead, rows.slice(row + instead.height)]
    return day.with_table(BOOK, pl.concat(parts), done)


def thinned(day: Day, every: int) -> Day:
    """One of so many rows of `book`: no fault, but more room for one to stay unseen."""
    return day.with_table(BOOK, day.tables[BOOK].gather_every(every))


def truncated(day: Day, table: str, rows: int) -> Day:
    """A table that ends early, in a file that is whole."""
    kept, gone = day.tables[table].head(rows), day.tables[table].slice(rows)
    return day.with_table(table, kept, day.about("truncated", gone.height, gone))


def frozen(day: Day, row: int, count: int) -> Day:
    """Behind a row of `book` so many list its levels again; their ids and times go on."""
    rows = day.tables[BOOK]
    still = rows.slice(row + 1, count).with_columns(
        pl.lit(rows[name][row], pl.Float64).alias(name) for name in LEVEL_COLUMNS
    )
    return _rows_of_book(day, row + 1, still, "frozen")


def doubled(day: Day, row: int, count: int) -> Day:
    """Rows of `book` with twice the sizes at the touch."""
    names = ("bid_0_size", "ask_0_size")
    rows = day.tables[BOOK].slice(row, count).with_columns(pl.col(name) * 2 for name in names)
    return _rows_of_book(day, row, rows, "doubled")


def stale(day: Day, row: int, count: int) -> Day:
    """Rows of `book` with the levels of the row before them."""
    before = day.tables[BOOK].slice(row - 1, count)
    rows = day.tables[BOOK].slice(row, count).with_columns(before[n] for n in LEVEL_COLUMNS)
    return _rows_of_book(day, row, rows, "stale")


def shallow(day: Day, levels: int, empty: float | None) -> Day:
    """Rows of `book` with so many levels a side, the other slots null, NaN or 0."""
    names = [name for name in LEVEL_COLUMNS if int(name.split("_")[1]) >= levels]
    return day.with_table(
        BOOK,
        day.tables[BOOK].with_columns(pl.lit(empty, pl.Float64).alias(name) for name in names),
    )


def one_sided(day: Day, row: int, count: int) -> Day:
    """Rows of `book` without their asks."""
    names = [name for name in LEVEL_COLUMNS if name.startswith("ask")]
    rows = day.tables[BOOK].slice(row, count)
    none = rows.with_columns(pl.lit(None, pl.Float64).alias(name) for name in names)
    return _rows_of_book(day, row, none, "one side")


def numbered(day: Day, table: str, rows: tuple[int, int], change: pl.Expr) -> Day:
    """Rows of a table with other sequence numbers."""
    here = pl.int_range(pl.len()).is_between(*rows, closed="left")
    spoilt = day.tables[table].with_columns(
        pl.when(here).then(change).otherwise(pl.col("sequence_number")).alias("sequence_number")
    )
    touched = day.tables[table].slice(rows[0], rows[1] - rows[0])
    return day.with_table(table, spoilt, day.about("numbered", touched.height, touched))


def halved(day: Day, first: int) -> Day:
    """The first message from ``first`` on of two rows or more: half of it comes behind the next."""
    while np.subtract(*day.bounds(first, first + 1)[::-1]) < 2:
        first += 1
    low, high = day.bounds(first, first + 1)
    _, place = day.bounds(first, first + 2)
    half = (low + high) // 2
    rows = day.tables[DELTAS]
    parts = [rows.head(half), rows.slice(high, place - high), rows.slice(half, high - half)]
    done = day.about("halved", 1, rows.slice(low, place - low))
    return day.with_table(DELTAS, pl.concat([*parts, rows.slice(place)]), done)


def exchanged(day: Day, first: int, length: int) -> Day:
    """Two blocks of so many messages, one behind the other, change places."""
    low, middle = day.bounds(first, first + length)
    _, high = day.bounds(first, first + 2 * length)
    rows = day.tables[DELTAS]
    parts = [
        rows.head(low),
        rows.slice(middle, high - middle),
        rows.slice(low, middle - low),
        rows.slice(high),
    ]
    done = day.about("exchanged", length, rows.slice(low, high - low))
    return day.with_table(DELTAS, pl.concat(parts), done)


# --- trades -----------------------------------------------------------------------------------


def shuffled(day: Day, within: int, seed: int) -> Day:
    """Trades out of order, by so many places at most; their ids are unique."""
    rows = day.tables[TRADES]
    places = np.arange(rows.height) + np.random.default_rng(seed).uniform(0, within, rows.height)
    return day.with_table(TRADES, rows[np.argsort(places, kind="stable").tolist()])


def thinned_trades(day: Day, share: float, seed: int) -> Day:
    """Without a share of the trades, at random."""
    rows = day.tables[TRADES]
    kept = np.random.default_rng(seed).random(rows.height) >= share
    return day.with_table(TRADES, rows.filter(pl.Series(kept)))


def shifted(day: Day, table: str, by: int, *columns: str) -> Day:
    """A table whose times are off by so many ns."""
    spoilt = day.tables[table].with_columns(pl.col(name) + by for name in columns)
    return day.with_table(table, spoilt)


# --- a change of the tick ---------------------------------------------------------------------


class Opening(NamedTuple):
    """The whole book with which a day opens, and its update id."""

    sequence: int
    bids: PlainSide[float]
    asks: PlainSide[float]


def tick_changed(
    day: Day, since: int, tick: float, digits: int, seed: Opening
) -> tuple[Day, Mapping[int, list[float]]]:
    """From ``since`` on new orders rest on a coarser tick; also the twenty levels by update id.

    What changes of a level goes to the next coarser price away from the touch; what rests
    untouched stays where it is. `book` is made anew from a plain book, ``seed`` at first.
    """
    rows = day.tables[DELTAS]
    sides = [PlainSide(sign, dict(side.best())) for sign, side in ((-1, seed.bids), (1, seed.asks))]
    old = [dict(side.best()) for side in sides]
    buckets: list[dict[float, dict[float, float]]] = [{}, {}]
    made: dict[tuple[int, int, float], tuple[int, float]] = {}  # row it is made from, size
    truth: dict[int, list[float]] = {}
    names = ("sequence_number", "timestamp", "side_is_bid", "price", "size")
    for at, (number, time, is_bid, price, size) in enumerate(rows.select(names).iter_rows()):
        side = 0 if is_bid else 1
        changes = [(price, size)]
        if time < since:
            old[side][price] = size
        else:
            steps = price / tick
            whole = round(steps) if abs(steps - round(steps)) < 1e-6 else int(steps) + side
            bucket = round(whole * tick, digits)
            orders = buckets[side].setdefault(bucket, {})
            orders[bucket] = orders.get(bucket, 0.0) + old[side].pop(bucket, 0.0)
            changes = [(price, 0.0)] if old[side].pop(price, 0.0) else []
            orders[price] = size
            changes.append((bucket, round(sum(orders.values()), 6)))
        for level, held in changes:
            if number > seed.sequence:
                sides[side].apply(level, held)
            made[number, side, level] = at, held
        truth[number] = [value for side in sides for value in _slots(side)]
    deltas = rows[[at for at, _ in made.values()]].with_columns(
        price=pl.Series([price for _, _, price in made]),
        size=pl.Series([size for _, size in made.values()]),
    )
    book = day.tables[BOOK]
    levels = [truth[number] for number in book["sequence_number"].to_list()]
    book = book.with_columns(
        pl.Series(name, [one[k] or None for one in levels], dtype=pl.Float64)
        for k, name in enumerate(LEVEL_COLUMNS)
    )
    steps = pl.col("price") / tick
    outward = (
        pl.when(pl.col("side") == "buy")
        .then((steps - 1e-6).ceil())
        .otherwise((steps + 1e-6).floor())
    )
    trades = day.tables[TRADES].with_columns(
        price=pl.when(pl.col("timestamp") < since)
        .then(pl.col("price"))
        .otherwise((outward * tick).round(digits))
    )
    done = day.about("tick", 1, rows.filter(pl.col("timestamp") >= since))
    spoilt = day.with_table(DELTAS, deltas, done).with_table(BOOK, book)
    return spoilt.with_table(TRADES, trades), truth


def _slots(side: PlainSide[float]) -> list[float]:
    """Twenty levels as `states` has them, 0 where there is none."""
    values = [value for level in side.best(LEVELS) for value in level]
    return values + [0.0] * (2 * LEVELS - len(values))


# --- the catalogue ----------------------------------------------------------------------------


LOSSES = frozenset(
    (Finding.DRIFT, Finding.CROSSED, Finding.SILENCE, Finding.GHOST_LEVELS, Finding.STALE_BOOK)
)
"""What can tell of lost messages. Levels that they left beyond the range may cross much later."""
NORMAL = frozenset((Finding.UNSEEDED, Finding.TOUCH_BEYOND_RANGE))
"""Doubts of an intact day too: before the first row, and beyond the twenty levels."""


@dataclass(frozen=True)
class Case:
    """A fault at a message, and what it must leave.

    ``must``: one of these codes is found at its place; ``counts``: how often further codes are,
    beyond those of the intact day; ``may``: doubts that may follow. None of them: no doubt.
    """

    name: str
    spoil: Callable[[Day, int], Day]
    must: frozenset[Finding] = frozenset()
    counts: tuple[tuple[Finding, int], ...] = ()
    may: frozenset[Finding] = frozenset()
    unseen: bool = False
    """It may touch only what nobody can see."""
    urgent: bool = True
    """In ``make test`` too."""


def _stamped(table: str, stamp: Stamp) -> Callable[[Day, int], Day]:
    def spoil(day: Day, at: int) -> Day:
        start = at * day.tables[table].height // day.messages if table != DELTAS else at
        return timed(day, table, range(start, start + 40, 7), stamp)

    return spoil


def _deep(day: Day, at: int) -> float:
    """A price far behind the best twenty, on the tick."""
    row = at * day.tables[BOOK].height // day.messages
    return round(float(day.tables[BOOK]["bid_19_price"][row]) * 0.9, 2)


RESET = frozenset((Finding.SEQUENCE_RESET,))
CASES: Sequence[Case] = (
    Case("one lost", lambda d, k: lost(d, k, k + 1), LOSSES, may=LOSSES, unseen=True),
    Case("fifty lost", lambda d, k: lost(d, k, k + 50), LOSSES, may=LOSSES),
    Case("fifty lost, book too", lambda d, k: lost(d, k, k + 50, book=True), LOSSES, may=LOSSES),
    Case(
        "five lost, book too",
        lambda d, k: lost(d, k, k + 5, book=True),
        LOSSES,
        may=LOSSES,
        unseen=True,
    ),
    Case("twice in a row", lambda d, k: duplicated(d, k, k + 5), counts=((Finding.DUPLICATE, 5),)),
    Case(
        "twice, later",
        lambda d, k: duplicated(d, k, k + 50, later=20),
        counts=((Finding.DUPLICATE, 50),),
    ),
    Case("swapped", lambda d, k: reordered(d, k, 1), RESET, may=RESET | LOSSES),
    Case("late", lambda d, k: reordered(d, k, 30), RESET, may=RESET | LOSSES),
    *(
        Case(
            f"{name} in {table}",
            _stamped(table, stamp),
            counts=((Finding.BAD_TS, 6),),
            urgent=name in ("time 0", "a day ahead"),
        )
        for table in (DELTAS, BOOK, TRADES)
        for name, stamp in (
            ("time 0", 0),
            ("time -1", -1),
            ("an hour ahead", lambda times: times + HOUR),
            ("a day ahead", lambda times: times + 24 * HOUR),
            ("an hour behind", lambda times: times - HOUR),
        )
    ),
    Case(
        "off the tick",
        lambda d, k: resting(d, k, k + 20, round(_deep(d, k) + 0.00005, 5), 1.0),
        counts=((Finding.OFF_TICK, 2),),
    ),
    Case(
        "off the lot",
        lambda d, k: resting(d, k, k + 20, _deep(d, k), 1.12345678),
        counts=((Finding.OFF_LOT, 1),),
    ),
    Case(
        "crossed row",
        lambda d, k: crossed(d, k * d.tables[BOOK].height // d.messages),
        counts=((Finding.VENDOR_ROW_UNUSED, 1),),
    ),
    Case(
        "deltas end",
        lambda d, k: truncated(d, DELTAS, d.bounds(k, k + 1)[0]),
        frozenset((Finding.SILENCE,)),
        may=LOSSES,
    ),
)
DRIFT = frozenset((Finding.DRIFT,))


def foreign_row(other: Day) -> Case:
    """A row of `book` of another symbol."""
    return Case(
        "another symbol's row",
        lambda d, k: foreign(d, k * d.tables[BOOK].height // d.messages, other),
        DRIFT,
        may=LOSSES,
    )

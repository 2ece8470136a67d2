"""Polars expressions that turn stored integers and decimals into what people read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from functools import partial
from typing import Literal, NamedTuple, cast, get_args

import numpy as np
import polars as pl

from lobproof.errors import UsageError
from lobproof.schema import (
    EVERYTHING,
    RANGE,
    UNORDERED,
    UNTRUSTED,
    Finding,
    Flag,
    Kind,
    Severity,
    Side,
)
from lobproof.schema.codes import PRICE_SCALE
from lobproof.schema.tables import EVENTS, KEYFRAMES, MINUTES, QUALITY, STATES, Table
from lobproof.store.columns import Grid, decimal_columns

Numbers = Literal["decimal", "grid", "float"]

TIMES = {
    EVENTS.name: ("ts_order", "ts_event", "ts_recv"),
    STATES.name: ("ts_order", "ts_event"),
    KEYFRAMES.name: ("ts_order",),
    QUALITY.name: ("first_ts", "last_ts"),
    MINUTES.name: ("minute",),
}

KINDS = pl.Enum([kind.name for kind in Kind])
SIDES = pl.Enum(["NONE", "BID", "ASK", "BUY", "SELL"])
TRUST = pl.Enum(["UNTRUSTED", "RANGE", "EVERYTHING"])
CODES = pl.Enum([code.name for code in Finding])
SEVERITIES = pl.Enum([severity.name for severity in Severity])

_ALWAYS = ("ts_order", "minute")
"""Times that are never missing."""
_MINUTE_NS = 60_000_000_000
_TRUST_CODES = {"UNTRUSTED": UNTRUSTED, "RANGE": RANGE, "EVERYTHING": EVERYTHING}


class View(NamedTuple):
    """Which rows of a table are shown, and how: see `Store.events`."""

    start: int | None = None
    end: int | None = None
    numbers: Numbers = "decimal"
    raw: bool = False
    chosen: Sequence[pl.Expr] = ()


def shown(stored: pl.LazyFrame, table: Table, grid: Grid, view: View) -> pl.LazyFrame:
    """The rows and columns of a stored table that a view asks for, numbers on ``grid``."""
    rows = stored.filter(*in_range(table, view.start, view.end), *view.chosen)
    rows = rows.with_columns(*numeric(table, grid, view.numbers))
    return rows if view.raw else rows.with_columns(*readable(table))


def moment(column: str) -> pl.Expr:
    """Nanoseconds as ``Datetime("ns", "UTC")``; 0, which means missing, as null."""
    value = pl.col(column)
    if column not in _ALWAYS:
        value = pl.when(value != 0).then(value)
    # a cast alone lets Polars hold a filter of this column against the row groups' statistics
    return value.cast(pl.Datetime("ns", "UTC")).alias(column)


def named(column: str, codes: type[IntEnum], names: pl.Enum) -> pl.Expr:
    """Codes by their names."""
    return _replace(pl.col(column), {code.name: int(code) for code in codes}, names)


def sides(trades: pl.Expr) -> pl.Expr:
    """Side by name: BID and ASK of the book, BUY and SELL of a trade's taker."""
    value = pl.col("side")
    shift = pl.when(trades & (value > 0)).then(2).otherwise(0)
    codes = {"NONE": 0, "BID": Side.BID, "ASK": Side.ASK, "BUY": 3, "SELL": 4}
    return _replace((value + shift).alias("side"), codes, SIDES)


def _replace(value: pl.Expr, codes: dict[str, int], names: pl.Enum) -> pl.Expr:
    return value.replace_strict(list(codes.values()), list(codes), return_dtype=names)


def readable(table: Table) -> list[pl.Expr]:
    """Expressions that replace a table's stored integers by times and names."""
    expressions = [moment(column) for column in TIMES[table.name]]
    if table is EVENTS:
        expressions += [named("kind", Kind, KINDS), sides(pl.col("kind") == Kind.TRADE)]
    elif table is KEYFRAMES:
        expressions += [sides(pl.lit(False)), _replace(pl.col("trust"), _TRUST_CODES, TRUST)]
    elif table is QUALITY:
        expressions += [named("code", Finding, CODES), named("severity", Severity, SEVERITIES)]
    return expressions


_TRADE = pl.col("kind") == Kind.TRADE
Name = str | Kind | Finding | Severity
"""A code by its name, or the code itself: ``"GAP"`` or ``Finding.GAP``.

Of a side the name alone: ``Side.BID`` and ``Side.BUY`` are one number.
"""
Names = Name | Iterable[Name]
Symbols = str | Iterable[str]
"""One symbol, or several: the canonical names, or the venue's."""

_WORDS: Mapping[str, Mapping[str, pl.Expr]] = {
    "kind": {kind.name: pl.col("kind") == kind for kind in Kind},
    "side": {
        "NONE": pl.col("side") == Side.NONE,
        "BID": ~_TRADE & (pl.col("side") == Side.BID),
        "ASK": ~_TRADE & (pl.col("side") == Side.ASK),
        "BUY": _TRADE & (pl.col("side") == Side.BUY),
        "SELL": _TRADE & (pl.col("side") == Side.SELL),
    },
    "code": {code.name: pl.col("code") == code for code in Finding},
    "severity": {severity.name: pl.col("severity") == severity for severity in Severity},
}
"""Column of names → each name's rows, by the stored integers."""


_SIDES_OF: Mapping[str, tuple[str, ...]] = {
    "TRADE": ("BUY", "SELL"),
    "DELTA": ("BID", "ASK"),
    "SNAPSHOT": ("BID", "ASK"),
    "CLEAR": ("NONE",),
    "MARK": ("NONE",),
}
"""Kind → the sides that its rows have."""


def check_sides(kind: Names | None, side: Names | None) -> None:
    """See that each side that is asked for is one of a kind that is asked for.

    Raises
    ------
    UsageError
        With the sides that those kinds have; and for names as `among`.
    """
    if kind is None or side is None:
        return
    kinds, sides = _chosen("kind", kind), _chosen("side", side)
    have = list(dict.fromkeys(one for name in kinds for one in _SIDES_OF[name]))
    odd = [name for name in sides if name not in have]
    if odd:
        raise UsageError(
            f"No {' or '.join(kinds)} has the side {odd[0]!r}.",
            hint=f"Choose among {', '.join(have)}.",
        )


def _chosen(column: str, names: Names) -> list[str]:
    """The names of a column that were given, as text; `UsageError` where one cannot occur."""
    known = _WORDS[column]
    many = isinstance(names, Iterable) and not isinstance(names, str)
    several: Iterable[object] = cast("Iterable[object]", names) if many else [names]
    chosen = [
        one.name if isinstance(one, Kind | Finding | Severity) else str(one) for one in several
    ]
    odd = [name for name in chosen if name not in known]
    if odd or not chosen:
        raise UsageError(
            f"There is no {column} {odd[0]!r}." if odd else f"{column} names nothing.",
            hint=f"Choose among {', '.join(known)}.",
        )
    return chosen


def among(**wanted: Names | None) -> list[pl.Expr]:
    """Predicates on the stored integers: rows whose column has one of the names; None: any.

    Raises
    ------
    UsageError
        For a name that cannot occur, and where none is given: Polars would show no row, as if
        there was none.
    """
    predicates = []
    for column, names in wanted.items():
        if names is None:
            continue
        known = _WORDS[column]
        predicates.append(pl.any_horizontal(known[name] for name in _chosen(column, names)))
    return predicates


def check_numbers(numbers: Numbers) -> Numbers:
    """The way to show numbers that was asked for; `UsageError` if there is none such."""
    if numbers not in get_args(Numbers):
        raise UsageError(
            f"numbers={numbers!r} is not a way to show numbers.",
            hint="Use 'decimal' (exact), 'grid' (int64 counts) or 'float'.",
        )
    return numbers


def numeric(table: Table, grid: Grid, numbers: Numbers) -> list[pl.Expr]:
    """Expressions that turn a table's decimals into counts on ``grid`` or floats.

    Both are exact for what is on the grid: a float is the nearest to the decimal as long as the
    count has no more than 53 bits. Counts beyond int64 are an error of Polars.

    Raises
    ------
    UsageError
        If ``numbers`` is not one of the three ways.
    """
    if check_numbers(numbers) == "decimal":
        return []
    expressions = []
    for column in decimal_columns(table):
        exponent = grid.exponent(column)
        step = pl.lit(10 ** (PRICE_SCALE - exponent), pl.Int128)
        count = (pl.col(column).to_physical() // step).cast(pl.Int64)
        if numbers == "float":
            count = count.map_batches(
                partial(_nearest, 10**exponent), pl.Float64, is_elementwise=True
            )
        expressions.append(count.alias(column))
    return expressions


def _nearest(divisor: int, counts: pl.Series) -> pl.Series:
    # Polars divides by a constant as it multiplies by its inverse: one unit off in the last place
    return pl.Series(counts.name, counts.to_numpy() / float(divisor))


def in_range(table: Table, start: int | None, end: int | None) -> list[pl.Expr]:
    """Predicates on the stored integers: rows at, or intervals that touch, ``[start, end)``."""
    first, last = pl.col(TIMES[table.name][0]), pl.col(TIMES[table.name][0])
    if table is QUALITY:
        last = pl.col("last_ts")
    elif table is MINUTES:
        last = last + (_MINUTE_NS - 1)
    predicates = [] if start is None else [last >= start]
    return predicates if end is None else [*predicates, first < end]


def empty_frame(table: Table) -> pl.LazyFrame:
    """No rows of a table."""
    frame = pl.from_arrow(table.schema.empty_table())
    assert isinstance(frame, pl.DataFrame)
    return frame.lazy()


_EVENT_ID = pl.col("event_id")


def outside(intervals: Sequence[tuple[int, int]], event_id: pl.Expr = _EVENT_ID) -> pl.Expr:
    """Whether ``event_id`` lies in none of the closed intervals, which may overlap."""
    ordered = sorted(intervals)
    starts = np.array([first for first, _ in ordered], np.int64)
    ends = np.maximum.accumulate(np.array([last for _, last in ordered], np.int64))

    def uncovered(ids: pl.Series) -> pl.Series:
        before = np.searchsorted(starts, ids.to_numpy(), "right") - 1
        return pl.Series(ids.name, (before < 0) | (ends[before] < ids.to_numpy()))

    return event_id.map_batches(uncovered, pl.Boolean, is_elementwise=True)


def trades_of(events: pl.LazyFrame) -> pl.LazyFrame:
    """Rows of trades, without what only the book has."""
    return events.select(
        "exchange",
        "symbol",
        "dt",
        "event_id",
        "ts_order",
        "ts_event",
        "ts_recv",
        pl.col("sequence").alias("trade_id"),
        "side",
        "price",
        "size",
        "flags",
    )


def with_touch(
    trades: pl.LazyFrame, states: pl.LazyFrame, doubts: Sequence[tuple[int, int]], *, raw: bool
) -> pl.LazyFrame:
    """A day's trades with the touch before each; ``doubts``: intervals of event ids."""
    known = (pl.col("bid_trusted") > 0) & (pl.col("ask_trusted") > 0)
    touches = states.select(
        pl.col("event_id").alias("book_event_id"),
        (pl.col("ts_order") if raw else moment("ts_order")).alias("book_ts"),
        pl.col("bid_0_price").alias("bid_price"),
        pl.col("bid_0_size").alias("bid_size"),
        pl.col("ask_0_price").alias("ask_price"),
        pl.col("ask_0_size").alias("ask_size"),
        known.alias("trusted"),
    )
    joined = trades.join_asof(
        touches.set_sorted("book_event_id"), left_on="event_id", right_on="book_event_id"
    )
    # a doubt that arose behind the last state covers the event right before the trade
    sure = outside(doubts, pl.col("event_id") - 1) if doubts else pl.lit(True)
    return joined.with_columns(pl.col("trusted").fill_null(value=False) & sure)


def bars_of(events: pl.LazyFrame, every: int) -> pl.LazyFrame:
    """Bars of one symbol's raw events, ``every`` nanoseconds: see `Store.bars`.

    ``chained``, a column beside those of events: whether marks say which trades are missing, as of
    a golden sample. Else the ids do, where most of a day's follow one another.
    """
    trade = pl.col("kind") == Kind.TRADE
    lost = int(Flag.GAP | Flag.TRADES)
    marked = (pl.col("kind") == Kind.MARK) & ((pl.col("flags") & lost) == lost)
    ids = pl.when(trade & pl.col("sequence").is_between(0, UNORDERED, closed="left")).then(
        "sequence"
    )
    dense = ids.max() - ids.min() < 2 * ids.count()
    skipped = dense.over("dt") & (ids > ids.cum_max().forward_fill().shift(1).over("dt") + 1)
    # trades may be missing from the last one before the hole to the first one behind it
    since = pl.when(trade).then("ts_order").forward_fill().shift(1).over("dt")
    rows = events.filter(trade | marked).with_columns(
        pl.when("chained").then(marked).otherwise(skipped).fill_null(value=False).alias("hole"),
        since.fill_null(pl.col("ts_order")).alias("since"),
    )
    interval = pl.col("ts_order") // every
    keys = ("exchange", "symbol", "time")
    gaps = (
        rows.filter("hole")
        .select(*keys[:2], pl.int_ranges(pl.col("since") // every, interval + 1).alias("time"))
        .explode("time")
        .group_by(keys)
        .agg(pl.len().cast(pl.Int64).alias("gaps"))
    )
    price, size = pl.col("price"), pl.col("size")
    weights = size.cast(pl.Float64)
    return (
        rows.filter(trade)
        .group_by(*keys[:2], interval.alias("time"))
        .agg(
            price.first().alias("open"),
            price.max().alias("high"),
            price.min().alias("low"),
            price.last().alias("close"),
            size.sum().alias("volume"),
            size.filter(pl.col("side") == Side.BUY).sum().alias("buy_volume"),
            ((price.cast(pl.Float64) * weights).sum() / weights.sum()).alias("vwap"),
            pl.len().cast(pl.Int64).alias("trades"),
        )
        .join(gaps, on=keys, how="full", coalesce=True)
        .sort("time")
        .with_columns(
            pl.col("volume", "buy_volume", "trades", "gaps").fill_null(0),
            (pl.col("time") * every).cast(pl.Datetime("ns", "UTC")),
        )
    )


def messages(events: pl.LazyFrame) -> pl.LazyFrame:
    """The five-field view of one day's raw events: one row a message."""
    ends = (pl.col("flags") & int(Flag.LAST)) != 0
    trade = pl.col("kind") == Kind.TRADE
    of_trades = trade | ((pl.col("flags") & int(Flag.TRADES)) != 0)
    fields = ("kind", "side", "price", "size", "flags")
    return (
        events.with_columns(
            pl.when(ends).then(pl.col("event_id")).backward_fill().alias("sequence"),
            pl.when(of_trades)
            .then(pl.lit("trade"))
            .otherwise(pl.lit("book_update"))
            .cast(pl.Enum(["trade", "book_update"]))
            .alias("event_type"),
            moment("ts_order").alias("timestamp"),
            named("kind", Kind, KINDS),
            sides(trade),
        )
        .group_by("sequence", maintain_order=True)
        .agg(
            pl.col("timestamp", "event_type", "symbol").first(),
            pl.struct(fields).alias("data"),
        )
        .select("timestamp", "event_type", "symbol", "data", "sequence")
    )

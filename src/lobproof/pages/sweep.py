"""``sweep``: the events of a store, replayed once, summed up for the pictures in bounded memory.

Day by day, several side by side. What a day adds up to is kept (see `kept`): a page over a year
reads again what is there, and replays what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lobproof.book import apply_events, book_of
from lobproof.book.kernels import Book, ensure_far_capacity
from lobproof.errors import StoreError
from lobproof.fixedpoint import MAX_COUNT
from lobproof.pages.axes import PriceGrid, TimeGrid
from lobproof.pages.kept import KeptSums
from lobproof.pages.sums import Counts, DaySums, Sweep, Totals
from lobproof.pages.sweep_kernels import (
    AXES,
    COLUMN,
    HOLDS,
    LEVEL,
    SPREAD_BINS,
    Canvas,
    begin,
    end,
    sweep_rows,
)
from lobproof.progress import Progress
from lobproof.readahead import in_order, read_ahead
from lobproof.schema import LEVELS, Int64, Kind
from lobproof.schema.records import Records, zeroed
from lobproof.schema.tables import EVENTS, KEYFRAMES, Table
from lobproof.store import Store
from lobproof.store.columns import Grid
from lobproof.store.keyframe import Keyframe
from lobproof.store.views import numeric

_WINDOW_TICKS = 1 << 16
_BATCH_ROWS = 1 << 16
_SIDE_BY_SIDE = 4
"""At most so many days at once: each holds a row group and its sums, some 50 MB."""
_FINEST = 60 * 10**9
"""Width, ns, of the columns of a day's sums where those of the picture are minutes or more."""
_LONGEST = 3_000 * _FINEST
"""A day that holds for longer, because the next one was carried from it, has the picture's own."""
_MARGIN = 0.3
"""Room above and below the traded prices, as a part of their range."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is shown of a store: a symbol, from ``first`` to ``last``, both inclusive, ns."""

    store: Store
    exchange: str
    symbol: str
    first: int
    last: int

    def stored(self, table: Table, dt: str) -> pl.LazyFrame:
        """All rows of one of the store's tables of one day."""
        return self.store.stored(table.name, dt, self.symbol, exchange=self.exchange)

    def __str__(self) -> str:
        return f"{self.exchange} {self.symbol}"


@dataclass(frozen=True, slots=True)
class DayPart:
    """What is summed up of a day: rows from ``first`` to ``last``, and what holds ``until``."""

    day: Mapping[str, Any]  # its seal
    first: int
    last: int
    until: int  # as last; later where the next day goes on from there
    width: int  # of the columns
    tick: int
    grid: Grid
    doubts: Int64  # (rows, 2) disjoint times whose touch is in doubt, rising; the end is exclusive

    @property
    def own_grid(self) -> Grid:
        """What the day's own prices and sizes count on; ``grid`` is as fine or finer."""
        return Grid(self.day["price_exponent"], self.day["size_exponent"])

    @property
    def whole(self) -> bool:
        """Whether these are all of the day's rows."""
        return bool(self.first <= self.day["first_ts"] and self.day["last_ts"] <= self.last)


def sweep(
    part: Part,
    days: Sequence[Mapping[str, Any]],
    doubts: Int64,
    time: TimeGrid,
    tick: int,
    progress: Progress | None = None,
    *,
    fresh: bool = False,
) -> tuple[PriceGrid, Sweep]:
    """The prices to show, and the sums of ``days`` (seals that hold events in the part, by date).

    ``doubts`` are disjoint intervals (rows, 2) of time, rising, whose touch is not trusted.
    ``fresh``: nothing that is kept is used.
    """
    kept = KeptSums()
    total = sum(int(day["events"]) for day in days)
    done = 0

    def work(one: DayPart) -> Callable[[Callable[[int], None]], DaySums]:
        return lambda tell: _of_day(part, one, kept, fresh, tell)

    def told(rows: int) -> None:
        nonlocal done
        done += rows
        if progress is not None:
            progress(str(part), min(done, total), total)

    totals = Totals(time)
    parts = _day_parts(part, days, doubts, time, tick)
    for sums in in_order(map(work, parts), _SIDE_BY_SIDE, told):
        totals.add(sums)
    kept.prune()
    return totals.prices or PriceGrid(0, tick, 0), totals.sweep()


def _day_parts(
    part: Part,
    days: Sequence[Mapping[str, Any]],
    doubts: Int64,
    time: TimeGrid,
    tick: int,
) -> list[DayPart]:
    grid = Grid(*(max(day[f"{name}_exponent"] for day in days) for name in ("price", "size")))
    found = []
    for day, behind in zip(days, [*days[1:], None], strict=True):
        first, last = max(int(day["first_ts"]), part.first), min(int(day["last_ts"]), part.last)
        until = last
        if behind is not None and behind["carried_from"] == day["keyframes_hash"]:
            until = max(min(int(behind["first_ts"]), part.last), last)
        here = doubts[(doubts[:, 1] > first) & (doubts[:, 0] < until)]
        fine = time.width % _FINEST == 0 and until - first <= _LONGEST
        width = _FINEST if fine else time.width
        found.append(DayPart(day, first, last, until, width, tick, grid, here.clip(first, until)))
    return found


def _of_day(
    part: Part, one: DayPart, kept: KeptSums, fresh: bool, tell: Callable[[int], None]
) -> DaySums:
    """The sums of a day: what is kept, else what its events add up to."""
    key = kept.key(
        one.day["content_hash"],
        one.day["keyframes_hash"],
        *(one.first, one.last, one.until, one.width, one.tick),
        *(one.grid.price, one.grid.size),
        *one.doubts.ravel().tolist(),
    )
    part.stored(EVENTS, one.day["dt"])  # its files are as long as they were, kept sums or not
    sums = None if fresh else kept.load(key)
    if sums is None:
        sums = _replayed(part, one, tell)
        kept.save(key, sums)
    else:
        tell(sums.counts.events)
    return sums


def _replayed(part: Part, one: DayPart, tell: Callable[[int], None]) -> DaySums:
    traded = _traded(part, one)
    time = TimeGrid.of_width(one.first, one.until, one.width)
    prices = _window(part, one, traded)
    canvas = _canvas(time, prices, one)
    book, rebuilds = _book_before(part, one)
    begin(canvas, book, rebuilds[0], one.first)
    rows = 0
    batches = part.store.replay(
        part.symbol,
        exchange=part.exchange,
        start=part.first,
        end=part.last + 1,
        date=one.day["dt"],
        batch_rows=_BATCH_ROWS,
    )
    for batch in read_ahead(batches):
        rebuild = rebuilds[0]
        book = ensure_far_capacity(book, len(batch) + int(rebuild.trust.undo.logged))
        sweep_rows(canvas, book, rebuild, batch.rows)
        rows += len(batch)
        tell(len(batch))
    if one.whole and rows != one.day["events"]:
        raise StoreError(
            f"{part} {one.day['dt']} in {part.store.path} has {rows:,} events, and its seal says "
            f"{one.day['events']:,}.",
            hint="`lobproof verify` names what differs; reconstruct that day again.",
        )
    end(canvas, one.until)
    cells = np.stack(np.nonzero(canvas.trades), axis=1)
    holds = canvas.holds
    return DaySums(
        time,
        prices,
        canvas.image,
        cells,
        canvas.trades[tuple(cells.T)],
        canvas.columns,
        canvas.spreads,
        canvas.levels,
        Counts(int(holds.events), int(holds.messages), int(holds.trades), int(holds.outside)),
        None if traded is None else (traded[0], traded[3]),
    )


def _canvas(time: TimeGrid, prices: PriceGrid, one: DayPart) -> Canvas:
    shape = (prices.rows, time.columns)
    axes = np.array(
        [(time.origin, time.width, time.columns, prices.low, prices.step, prices.rows, one.tick)],
        AXES,
    )
    return Canvas(
        axes[0],
        zeroed(HOLDS)[0],
        one.doubts,
        np.zeros((2, 2, LEVELS), np.int64),
        np.zeros(prices.rows),
        np.zeros(prices.rows, np.int64),
        np.zeros(shape),
        np.zeros(time.columns, COLUMN),
        np.zeros(SPREAD_BINS),
        np.zeros((2, LEVELS), LEVEL),
        np.zeros((2, *shape)),
    )


def _book_before(part: Part, one: DayPart) -> tuple[Book, Records]:
    """The book as the day opens or as it stands before the part, and what goes with it."""
    dt = one.day["dt"]
    frames = part.stored(KEYFRAMES, dt).with_columns(*numeric(KEYFRAMES, one.grid, "grid"))
    frame = Keyframe.before(frames, part.first - 1, f"{part} {dt}")
    book, rebuilds = book_of(frame.book, one.tick, _WINDOW_TICKS)
    if part.first <= one.day["first_ts"]:
        return book, rebuilds
    # levels are absolute: events of the keyframe's own instant may come twice
    for batch in part.store.replay(
        part.symbol, exchange=part.exchange, start=frame.ts_order, end=part.first, date=dt
    ):
        book = apply_events(book, rebuilds, batch, 0, len(batch))
    return book, rebuilds


def _traded(part: Part, one: DayPart) -> tuple[float, float, float, float] | None:
    """Lowest, 0.1 %, 99.9 % and highest price of a trade; None without trades."""
    price = pl.col("price")
    found = (
        part.stored(EVENTS, one.day["dt"])
        .filter(
            (pl.col("kind") == int(Kind.TRADE))
            & pl.col("ts_order").is_between(part.first, part.last)
        )
        .with_columns(*numeric(EVENTS, one.own_grid, "float"))
        .select(
            price.min().alias("low"),
            price.quantile(0.001, "lower").alias("lower"),
            price.quantile(0.999, "higher").alias("higher"),
            price.max().alias("high"),
        )
        .collect(engine="streaming")
        .row(0)
    )
    return None if found[0] is None else (found[0], found[1], found[2], found[3])


def _window(
    part: Part, one: DayPart, traded: tuple[float, float, float, float] | None
) -> PriceGrid:
    """The prices to show: where the market traded and stood, with room on either side.

    No rows where no price is known.
    """
    frames = (
        part.stored(KEYFRAMES, one.day["dt"])
        .with_columns(*numeric(KEYFRAMES, one.own_grid, "float"))
        .filter((pl.col("ts_order") <= part.last) & (pl.col("price") > 0))
        .group_by("event_id", "side")
        .agg(
            pl.col("price").sort(descending=True).head(LEVELS).alias("high"),
            pl.col("price").sort().head(LEVELS).alias("low"),
        )
        .select(
            pl.when(pl.col("side") == 1)
            .then(pl.col("high").list.first())
            .otherwise(pl.col("low").list.first())
            .alias("best"),
            pl.when(pl.col("side") == 1)
            .then(pl.col("high").list.last())
            .otherwise(pl.col("low").list.last())
            .alias("far"),
        )
        .collect(engine="streaming")
    )
    scale = 10.0**one.grid.price
    known = [] if traded is None else [traded[1], traded[2]]
    reach = 0.0
    if len(frames):
        best, far = frames["best"].to_numpy(), frames["far"].to_numpy()
        known += [
            float(np.quantile(best, q)) for q in ((0.0, 1.0) if traded is None else (0.02, 0.98))
        ]
        reach = float(np.median(np.abs(far - best)))
    if not known:
        return PriceGrid(0, one.tick, 0)
    low, high = min(known) * scale, max(known) * scale
    room = max(_MARGIN * (high - low), reach * scale, 8.0 * one.tick)
    # a grid may end right behind the prices, and a seal that lies tells of one that they exceed
    lowest, highest = (min(max(round(n), 0), MAX_COUNT) for n in (low - room, high + room))
    return PriceGrid.over(lowest, highest, one.tick)

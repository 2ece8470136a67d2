"""``survey``: everything that the page says about one symbol, gathered from the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lobproof.errors import UsageError
from lobproof.instruments import Instrument
from lobproof.pages.axes import PriceGrid, TimeGrid
from lobproof.pages.sums import Sweep
from lobproof.pages.sweep import Part, sweep
from lobproof.pages.sweep_kernels import Float64
from lobproof.pages.text import THIN
from lobproof.progress import Progress
from lobproof.schema import Finding, Int64, Severity
from lobproof.schema.provenance import least_real
from lobproof.store import Store
from lobproof.store.catalog import no_day, one_name
from lobproof.store.seal import config_of
from lobproof.timespan import Time, to_ns

LISTED = 25
"""So many findings are listed one by one; all are counted."""

_DOUBT = int(Severity.DOUBT)


@dataclass(frozen=True, slots=True)
class Quality:
    """Findings: by code, the gravest ones, and where they lie."""

    codes: pl.DataFrame  # code, severity, findings, count, time (ns), first_ts; gravest first
    listed: pl.DataFrame  # rows of `quality`, raw; gravest first
    total: int
    doubts: Int64  # (rows, 2) disjoint times of doubt, rising; the end is exclusive
    lanes: dict[int, NDArray[np.bool_]]  # code → columns of time that hold such a finding

    @property
    def doubtful(self) -> int:
        """Time of doubt, ns."""
        return int((self.doubts[:, 1] - self.doubts[:, 0]).sum())

    def findings(self, code: Finding) -> int:
        """Number of findings of a code."""
        found = self.codes.filter(pl.col("code") == int(code))["findings"]
        return int(found.sum())


@dataclass(frozen=True, slots=True)
class Survey:
    """One symbol of one exchange over a span of time (both ends inclusive, ns)."""

    exchange: str
    symbol: str
    days: list[dict[str, Any]]  # seals, by date
    instrument: Instrument
    span: tuple[int, int]
    whole: bool  # whether the span leaves nothing of the days out
    time: TimeGrid
    prices: PriceGrid
    sums: Sweep
    quality: Quality
    minutes: pl.DataFrame  # raw times, numbers as float64

    @property
    def provenance(self) -> str:
        """``real``, ``unknown``, ``derived``, ``synthetic``: the least real of the days."""
        return least_real(*(day["provenance"] for day in self.days))

    @property
    def chained(self) -> bool:
        """Whether ids of the feed show a loss, on all days."""
        return all(config_of(day).chained for day in self.days)

    @property
    def price_unit(self) -> float:
        """Price of one count."""
        return float(10.0**-self.instrument.price_exponent)

    def price(self, value: float) -> str:
        """A price with no more digits than the instrument has."""
        text = f"{value:,.{self.instrument.price_exponent}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return text.replace(",", THIN)

    @property
    def parts(self) -> TimeGrid:
        """At most 360 parts of whole minutes, for the columns of ``minutes``."""
        return TimeGrid.over(*self.span, columns=360, least=60 * 10**9)

    def by_part(self, column: str, how: Literal["min", "max", "sum"]) -> Float64:
        """A column of ``minutes`` over ``parts``; NaN where there is no minute."""
        parts, value = self.parts, pl.col(column)
        found = (
            self.minutes.group_by(
                ((pl.col("minute") - parts.origin) // parts.width)
                .clip(0, parts.columns - 1)
                .alias("at")
            )
            .agg({"min": value.min(), "max": value.max(), "sum": value.sum()}[how])
            .sort("at")
        )
        values = np.full(parts.columns, np.nan)
        values[found["at"].to_numpy()] = found[column].to_numpy()
        return values

    @property
    def size_unit(self) -> float:
        """Size of one count."""
        return float(10.0**-self.instrument.size_exponent)


def survey(
    store: Store,
    exchange: str,
    symbol: str,
    start: Time | None = None,
    end: Time | None = None,
    progress: Progress | None = None,
    *,
    fresh: bool = False,
) -> Survey | None:
    """What there is of a symbol from ``start`` (inclusive) to ``end`` (exclusive).

    None where the days that the span touches hold no event. ``fresh``: every event is replayed,
    whatever is kept of earlier pages.

    Raises
    ------
    UsageError
        If the store heard nothing of the symbol in the span.
    """
    low = None if start is None else to_ns(start)
    high = None if end is None else to_ns(end)
    minutes = store.minutes(
        symbol, exchange=exchange, start=low, end=high, numbers="float", raw=True
    ).collect(engine="streaming")
    days = [
        day
        for day in store.days().iter_rows(named=True)
        if (day["exchange"], day["symbol"]) == (exchange, symbol)
        and day["events"] > 0
        and (high is None or day["first_ts"] < high)
        and (low is None or day["last_ts"] >= low)
    ]
    if not days:
        return None
    edges = min(day["first_ts"] for day in days), max(day["last_ts"] for day in days)
    first = edges[0] if low is None else max(edges[0], low)
    last = edges[1] if high is None else min(edges[1], high - 1)
    exponents = [max(day[f"{name}_exponent"] for day in days) for name in ("price", "size")]
    latest = store.instrument(symbol, days[-1]["dt"], exchange=exchange)
    instrument = latest.with_exponents(*exponents)
    time = TimeGrid.over(first, last)
    part = Part(store, exchange, symbol, first, last)
    quality = _quality(part, time)
    prices, sums = sweep(part, days, quality.doubts, time, instrument.tick, progress, fresh=fresh)
    return Survey(
        exchange,
        symbol,
        days,
        instrument,
        (first, last),
        (first, last) == edges,
        time,
        prices,
        sums,
        quality,
        minutes,
    )


def _quality(part: Part, time: TimeGrid) -> Quality:
    rows = part.store.quality(
        part.symbol, exchange=part.exchange, start=part.first, end=part.last + 1, raw=True
    )
    length = pl.min_horizontal("last_ts", pl.lit(part.last)) - pl.max_horizontal(
        "first_ts", pl.lit(part.first)
    )
    codes = (
        rows.group_by("code", "severity")
        .agg(
            pl.len().alias("findings"),
            pl.col("count").sum(),
            length.sum().alias("time"),
            pl.col("first_ts").min(),
        )
        .sort(["severity", "code"], descending=[True, False])
        .collect(engine="streaming")
    )
    order = ["severity", "dt", "first_event_id", "code", "last_event_id"]
    listed = rows.sort(order, descending=[True, *[False] * 4]).head(LISTED).collect()
    doubts = rows.filter(pl.col("severity") >= _DOUBT).select("first_ts", "last_ts").collect()
    places = (
        rows.select(
            "code",
            *(
                ((pl.col(name) - time.origin) // time.width).clip(0, time.columns - 1).alias(name)
                for name in ("first_ts", "last_ts")
            ),
        )
        .unique()
        .sort("code", "first_ts", "last_ts")
        .collect(engine="streaming")
    )
    lanes: dict[int, NDArray[np.bool_]] = {}
    for (code,), found in places.group_by("code", maintain_order=True):
        steps = np.zeros(time.columns + 1, np.int64)
        np.add.at(steps, found["first_ts"].to_numpy(), 1)
        np.add.at(steps, found["last_ts"].to_numpy() + 1, -1)
        lanes[int(str(code))] = np.cumsum(steps[:-1]) > 0
    covered = _union(doubts.to_numpy(), part.first, part.last)
    return Quality(codes, listed, int(codes["findings"].sum()), covered, lanes)


def _union(intervals: Int64, first: int, last: int) -> Int64:
    """Disjoint intervals, rising, of the times from first to last that ``intervals`` cover."""
    clipped = np.clip(intervals.reshape(-1, 2), first, last)
    clipped = clipped[clipped[:, 1] > clipped[:, 0]]
    ordered = clipped[np.lexsort((clipped[:, 1], clipped[:, 0]))]
    if not len(ordered):
        return np.zeros((0, 2), np.int64)
    reach = np.maximum.accumulate(ordered[:, 1])
    opens = np.concatenate([[True], ordered[1:, 0] > reach[:-1]])
    closes = np.concatenate([opens[1:], [True]])
    return np.stack([ordered[opens, 0], reach[closes]], axis=1)


def sections(store: Store, symbol: str | None, exchange: str | None) -> list[tuple[str, str]]:
    """Exchange and symbol of each section of the page: the one asked for, or all there are."""
    one_name(symbol, exchange)
    found = [
        (str(row["exchange"]), str(row["symbol"]))
        for row in store.symbols().iter_rows(named=True)
        if symbol in (None, row["symbol"], row["venue_symbol"])
        and exchange in (None, row["exchange"])
    ]
    if not found:
        there = ", ".join(f"{row[0]} {row[1]}" for row in store.symbols().iter_rows())
        if not there:
            raise no_day(store.path, store.unsealed())
        wanted = " ".join(name for name in (exchange, symbol) if name)
        raise UsageError(
            f"The store {store.path} has no sealed day of {wanted}.", hint=f"It holds {there}."
        )
    return found

"""Recorded rows against stored ones, one by one, as both stream by: level changes and trades.

A full outer join on ids: what is equal, missing, extra, different, and the first of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import polars as pl

from lobproof.fidelity.exact.decoder import ROWS
from lobproof.fidelity.exact.report import (
    Check,
    Class,
    Divergence,
    Episode,
    Verdict,
    not_applicable,
)
from lobproof.fidelity.exact.window import Window

LATE_IDS = 1_000_000
"""A trade that is still alone so many ids later is missing or extra."""

_CLASSES = (Class.MISSING, Class.EXTRA, Class.CHANGED, Class.ROUNDING, Class.ORDER)
_VALUES = ("prev", "ts", "recv", "side", "price", "size")
STORED = pl.Schema(
    {name: kind for name, kind in ROWS.items() if name != "clock"}
    | {"event_id": pl.Int64(), "dt": pl.String()}
)


def day_of(clock: str) -> pl.Expr:
    """The UTC day of a column of times, ns."""
    return pl.from_epoch(pl.col(clock), "ns").dt.strftime("%Y-%m-%d")


@dataclass(slots=True)
class Waiting:
    """Rows of one side that wait for the other, and the ids that it has passed."""

    rows: pl.DataFrame
    low: int = -1
    high: int = -1

    def add(self, rows: pl.DataFrame) -> None:
        """Append rows."""
        if not rows.height:
            return
        ids = rows["id"].to_numpy()
        self.low = int(ids.min()) if self.low < 0 else min(self.low, int(ids.min()))
        self.high = max(self.high, int(ids.max()))
        self.rows = pl.concat([self.rows, rows])

    def take(self, upto: int) -> pl.DataFrame:
        """Remove and return the rows with ids up to ``upto``."""
        done = (self.rows["id"] <= upto).fill_null(value=False)
        taken = self.rows.filter(done)
        self.rows = self.rows.filter(~done)
        return taken


@dataclass(slots=True)
class _Episodes:
    """Runs of consecutive differing messages: how many, and the one of the lowest id in full."""

    count: int = 0
    _end: int | None = None  # where the current run ends
    _current: list[Any] = field(default_factory=list)  # first id, last id, messages, rows, Δsize
    _first: list[Any] = field(default_factory=list)

    def add(self, messages: pl.DataFrame) -> None:
        """Differing messages in order: ``start``, ``stop``, ``id``, ``rows``, ``difference``."""
        for start, stop, key, rows, difference in messages.select(
            "start", "stop", "id", "rows", "difference"
        ).iter_rows():
            if start != self._end:
                self.count += 1
                self._current = [key, key, 0, 0, Decimal(0)]
                if not self._first or key < self._first[0]:
                    self._first = self._current
            self._end = stop
            run = self._current
            run[1:] = [key, run[2] + 1, run[3] + rows, max(run[4], difference)]

    def first(self) -> Episode | None:
        """The first run."""
        return Episode(*self._first) if self._first else None


class Pairing:
    """Recorded rows against stored ones: counts of a full outer join, and the first difference."""

    def __init__(self, name: str, window: Window) -> None:
        self.name = name
        self.recorded = Waiting(pl.DataFrame(schema=ROWS))
        self.stored = Waiting(pl.DataFrame(schema=STORED))
        self.unrecorded = 0  # stored rows outside the recording
        self.outside = 0  # recorded on days that the store does not hold, or before a partial one
        self._window = window
        exponents = [one.size_exponent for one in window.instruments.values()]
        self._step = Decimal(1).scaleb(-max(exponents))
        self._equal = 0
        self._counts = dict.fromkeys(_CLASSES, 0)
        self._messages = 0
        self._differing = 0
        self._episodes = _Episodes()
        self._first: dict[str, Any] | None = None

    def _count(self, joined: pl.DataFrame, messages: int) -> None:
        """Count rows of a join on both sides' keys, in order, of a run of so many messages.

        Columns: ``id``, ``start`` and ``stop`` of its message (a message that starts where
        another stops is next to it), ``clock``, ``recorded``, ``stored``, ``moved`` (booleans), of
        both sides ``prev, ts, recv, side, price, size`` (the stored ones with the suffix
        ``_stored``),
        and ``event_id``, ``dt``.
        """
        both = pl.col("recorded") & pl.col("stored")
        difference = (
            pl.when(both)
            .then((pl.col("size") - pl.col("size_stored")).abs())
            .otherwise(pl.coalesce("size", "size_stored"))
        )
        same_price = pl.col("price").eq_missing(pl.col("price_stored"))
        small = pl.col("difference") <= self._step
        kind = (
            pl.when(~pl.col("stored"))
            .then(pl.lit(Class.MISSING.value))
            .when(~pl.col("recorded"))
            .then(pl.lit(Class.EXTRA.value))
            .when((pl.col("difference") != 0) & small & same_price)
            .then(pl.lit(Class.ROUNDING.value))
            .when(
                (pl.col("difference") != 0)
                | ~same_price
                | (pl.col("side") != pl.col("side_stored"))
            )
            .then(pl.lit(Class.CHANGED.value))
            .when(
                pl.col("moved")
                | (pl.col("prev") != pl.col("prev_stored"))
                | (pl.col("ts") != pl.col("ts_stored"))
                | (pl.col("recv") != pl.col("recv_stored"))
            )
            .then(pl.lit(Class.ORDER.value))
            .otherwise(pl.lit(""))
        )
        frame = joined.with_columns(difference.alias("difference")).with_columns(
            kind.alias("class"), day_of("clock").alias("day")
        )
        held = pl.col("day").is_in(list(self._window.days))
        for dt, start in self._window.begins.items():
            # where the book's clock lags, its ``ts_order`` is earlier
            lag = 0 if self.name == "trades" else self._window.orders[dt].lag_ns
            held &= (pl.col("day") != dt) | (pl.col("clock") >= start + lag)
        absent = (pl.col("class") == Class.MISSING.value) & ~held
        self.outside += frame.filter(absent).height
        frame = frame.filter(~absent)
        for name, rows in frame.group_by("class").len().iter_rows():
            if name:
                self._counts[Class(name)] += rows
            else:
                self._equal += rows
        bad = frame.filter(pl.col("class") != "")
        self._messages += messages
        if not bad.height:
            return
        first = bad.row(0, named=True)
        if self._first is None or first["clock"] < self._first["clock"]:
            self._first = first
        differing = bad.group_by("id", maintain_order=True).agg(
            pl.col("start", "stop").first(), pl.len().alias("rows"), pl.col("difference").max()
        )
        self._differing += differing.height
        self._episodes.add(differing)

    def check(self, reason: str, **details: Any) -> Check:
        """The verdict, with zero tolerance; ``reason`` is for where there is nothing to compare."""
        missing, extra = self._counts[Class.MISSING], self._counts[Class.EXTRA]
        different = sum(self._counts.values()) - missing - extra
        compared = self._equal + different
        comparable = compared + missing
        if not comparable and not extra:
            return not_applicable(self.name, reason, **details)
        good = self._equal == comparable and not extra
        first = self._divergence()
        return Check(
            self.name,
            Verdict.EXACT if good else Verdict.FAIL,
            comparable,
            compared,
            self._equal,
            bound=min(3.0 / comparable, 1.0) if good else None,
            reason=first.detail if first else "",
            details={
                "missing": missing,
                "extra": extra,
                "different": different,
                "classes": {kind.value: count for kind, count in self._counts.items() if count},
                "messages": self._messages,
                "differing_messages": self._differing,
                "episodes": self._episodes.count,
                "recorded_outside_the_store": self.outside,
                **details,
            },
            first=first,
        )

    def _divergence(self) -> Divergence | None:
        row = self._first
        if row is None:
            return None
        names = ("side", "price", "size", "prev", "ts", "recv")
        recorded = {name: row[name] for name in names} if row["recorded"] else None
        stored = {name: row[f"{name}_stored"] for name in names} if row["stored"] else None
        kind = Class(row["class"])
        what = {
            Class.MISSING: "was recorded and is not stored",
            Class.EXTRA: "is stored and was not recorded",
            Class.CHANGED: "is stored with another value",
            Class.ROUNDING: "is stored a step of the grid off",
            Class.ORDER: "is stored at another place, or under another id or time",
        }[kind]
        noun = "a trade" if self.name == "trades" else "a level change of message"
        return Divergence(
            self.name,
            kind,
            int(row["id"]),
            int(row["ts"] or row["ts_stored"] or row["clock"]),
            f"{noun} {row['id']} {what}",
            dt=row["dt"],
            event_id=row["event_id"],
            expected=recorded,
            found=stored,
            episode=self._episodes.first(),
        )


class LevelPairing(Pairing):
    """Depth messages of both sides, compared as soon as both have passed an update id."""

    before = -1  # last recorded id before the first stored one

    def add_stored(self, rows: pl.DataFrame) -> None:
        """Take the next stored rows, whole messages."""
        self.stored.add(rows)
        self._advance(min(self.recorded.high, self.stored.high))

    def add_recorded(self, rows: pl.DataFrame) -> None:
        """Take the next recorded rows, whole messages."""
        self.recorded.add(rows)
        early = rows["id"].filter(rows["id"] < self.stored.low).max()
        self.before = max(self.before, -1 if early is None else int(str(early)))
        self._advance(min(self.recorded.high, self.stored.high))

    def finish(self) -> None:
        """No more rows: what is left alone is missing, or lies outside what was recorded."""
        self._advance(max(self.recorded.high, self.stored.high))

    def _advance(self, upto: int) -> None:
        recorded, stored = self.recorded.take(upto), self.stored.take(upto)
        within = stored["id"].is_between(self.recorded.low, self.recorded.high)
        self.unrecorded += stored.height - int(within.sum())
        stored = stored.filter(within)
        if recorded.drop("clock").equals(stored.drop("event_id", "dt")):
            self._equal += recorded.height
            self._messages += int(recorded["id"].n_unique())
        else:
            self._compare(recorded, stored)

    def _compare(self, recorded: pl.DataFrame, stored: pl.DataFrame) -> None:
        place = pl.int_range(pl.len()).over("id").alias("place")
        left = recorded.with_columns(place, pl.lit(value=True).alias("recorded"))
        right = stored.with_columns(place, pl.lit(value=True).alias("stored"))
        by_place = left.join(right, on=["id", "place"], how="full", coalesce=True, suffix="_stored")
        alike = pl.all_horizontal(
            *(pl.col(name).eq_missing(pl.col(f"{name}_stored")) for name in _VALUES)
        )
        run = by_place.group_by("id").agg(alike.all().alias("alike")).sort("id")
        start = pl.int_range(pl.len(), dtype=pl.Int64) + self._messages
        run = run.with_columns(start.alias("start"), (start + 1).alias("stop"))
        bad = run.filter(~pl.col("alike")).drop("alike")
        self._equal += recorded.join(bad, on="id", how="anti").height
        # within a message that differs, rows are paired by what they name
        keys = ["id", "side", "price", "which"]
        which = pl.int_range(pl.len()).over(keys[:3]).alias("which")
        left, right = (
            side.join(bad, on="id", how="semi", maintain_order="left").with_columns(which)
            for side in (left, right)
        )
        both = pl.col("recorded") & pl.col("stored")
        rank = pl.col("place", "place_stored").rank("ordinal")
        joined = (
            left.join(right, on=keys, how="full", coalesce=True, suffix="_stored")
            .with_columns(pl.col("recorded", "stored").fill_null(value=False))
            .join(bad, on="id")
            .with_columns(rank.over("id", both).name.suffix("_rank"))
            .sort("id", "place", "place_stored", nulls_last=True)
            .with_columns(
                (both & (pl.col("place_rank") != pl.col("place_stored_rank"))).alias("moved"),
                pl.col("side").alias("side_stored"),
                pl.col("price").alias("price_stored"),
                pl.coalesce("clock", "ts_stored").alias("clock"),
            )
        )
        self._count(joined, run.height)


class TradePairing(Pairing):
    """Trades of both sides, paired by id; what is alone waits, for ids may come late."""

    def add_stored(self, rows: pl.DataFrame) -> None:
        """Take the next stored trades."""
        self.stored.add(rows)
        self._pair_early()

    def add_recorded(self, rows: pl.DataFrame) -> None:
        """Take the next recorded trades."""
        self.recorded.add(rows)
        self._pair_early()

    def finish(self) -> None:
        """No more rows."""
        self._pair(max(self.recorded.high, self.stored.high))

    def _pair_early(self) -> None:
        if self.recorded.rows.height and self.stored.rows.height:
            self._pair(min(self.recorded.high, self.stored.high) - LATE_IDS)

    def _pair(self, alone_upto: int) -> None:
        which = pl.int_range(pl.len()).over("id").alias("which")
        left = self.recorded.rows.with_columns(which, pl.lit(value=True).alias("recorded"))
        right = self.stored.rows.with_columns(which, pl.lit(value=True).alias("stored"))
        joined = left.join(
            right, on=["id", "which"], how="full", coalesce=True, suffix="_stored"
        ).with_columns(pl.col("recorded", "stored").fill_null(value=False))
        settled = (pl.col("recorded") & pl.col("stored")) | (pl.col("id") <= alone_upto)
        outside = ~pl.col("recorded") & ~pl.col("id").is_between(
            self.recorded.low, self.recorded.high
        )
        done = joined.filter(settled)
        self.unrecorded += done.filter(outside).height
        done = done.filter(~outside).sort("id", "which")
        before = pl.coalesce("prev", "prev_stored")
        self._count(
            done.with_columns(
                pl.when(before >= 0).then(before).otherwise(pl.col("id") - 1).alias("start"),
                pl.col("id").alias("stop"),
                pl.lit(value=False).alias("moved"),
                pl.coalesce("clock", "ts_stored").alias("clock"),
            ),
            done.height,
        )
        waiting = joined.filter(~settled)
        self.recorded.rows = waiting.filter("recorded").select(list(ROWS))
        self.stored.rows = waiting.filter("stored").select(
            pl.col(f"{name}_stored").alias(name) if name in _VALUES else name for name in STORED
        )

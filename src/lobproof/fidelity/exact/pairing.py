"""``level_changes`` and ``trades``: recorded against stored, one by one, as both stream by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import polars as pl

from lobproof.fidelity.exact.decoder import LEVELS, TRADES
from lobproof.fidelity.exact.report import Check, Class, Divergence, Episode, Verdict
from lobproof.fidelity.exact.walk import Window, depth_rows
from lobproof.schema import Kind

LATE_IDS = 1_000_000
"""A trade that is still alone so many ids later is missing or extra."""

_CLASSES = (Class.MISSING, Class.EXTRA, Class.STALE, Class.ROUNDING, Class.ORDER)
_FOUND = pl.Schema({"event_id": pl.Int64(), "dt": pl.String()})
_STORED_LEVELS = pl.Schema(
    {**{name: kind for name, kind in LEVELS.items() if name != "clock"}, **_FOUND}
)
_STORED_TRADES = pl.Schema(
    {**{name: kind for name, kind in TRADES.items() if name != "clock"}, **_FOUND}
)


def stored_levels(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of depth messages out of a frame of events, in the decoder's columns."""
    return _renamed(rows.filter(depth_rows()), {"u": "sequence"})


def stored_trades(rows: pl.DataFrame) -> pl.DataFrame:
    """Trades out of a frame of events, in the decoder's columns."""
    return _renamed(rows.filter(pl.col("kind") == int(Kind.TRADE)), {"id": "sequence"})


def without_chain(rows: pl.DataFrame, left_out: Sequence[str] = ()) -> pl.DataFrame:
    """Recorded rows as a feed has them whose ids form no chain: no id before, no empty message.

    Rows of the days ``left_out`` go too.
    """
    kept = (pl.col("side") != 0) & ~_day("clock").is_in(list(left_out))
    return rows.filter(kept).with_columns(pl.lit(-1, pl.Int64).alias("prev"))


def _day(clock: str) -> pl.Expr:
    return pl.from_epoch(pl.col(clock), "ns").dt.strftime("%Y-%m-%d")


def _renamed(rows: pl.DataFrame, key: dict[str, str]) -> pl.DataFrame:
    return rows.select(
        *(pl.col(source).alias(name) for name, source in key.items()),
        pl.col("prev_sequence").alias("prev"),
        pl.col("ts_event").alias("ts"),
        "side",
        "price",
        "size",
        *_FOUND,
    )


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


class Outcome:
    """Counts of a full outer join, row by row, and the first difference."""

    def __init__(self, name: str, window: Window, step: Decimal) -> None:
        self.name = name
        self._window = window
        self._step = step
        self.equal = 0
        self.counts = dict.fromkeys(_CLASSES, 0)
        self.outside = 0  # recorded on days that the store does not hold, or before a partial one
        self.messages = 0
        self.differing = 0
        self._episodes = _Episodes()
        self._first: dict[str, Any] | None = None

    def add_equal(self, rows: int, messages: int) -> None:
        """Rows that agree in everything, of so many messages."""
        self.equal += rows
        self.messages += messages

    def add_joined(self, joined: pl.DataFrame, messages: int) -> None:
        """Rows of a join on both sides' keys, in order, out of a run of so many messages.

        Columns: ``id``, ``start`` and ``stop`` of its message (a message that starts where
        another stops is next to it), ``clock``, ``recorded``, ``stored``, ``moved`` (booleans), of
        both sides ``prev, ts, side, price, size`` (the stored ones with the suffix ``_stored``),
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
            .then(pl.lit(Class.STALE.value))
            .when(
                pl.col("moved")
                | (pl.col("prev") != pl.col("prev_stored"))
                | (pl.col("ts") != pl.col("ts_stored"))
            )
            .then(pl.lit(Class.ORDER.value))
            .otherwise(pl.lit(""))
        )
        frame = joined.with_columns(difference.alias("difference")).with_columns(
            kind.alias("class"), _day("clock").alias("day")
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
                self.counts[Class(name)] += rows
            else:
                self.equal += rows
        bad = frame.filter(pl.col("class") != "")
        self.messages += messages
        if not bad.height:
            return
        first = bad.row(0, named=True)
        if self._first is None or first["clock"] < self._first["clock"]:
            self._first = first
        differing = bad.group_by("id", maintain_order=True).agg(
            pl.col("start", "stop").first(), pl.len().alias("rows"), pl.col("difference").max()
        )
        self.differing += differing.height
        self._episodes.add(differing)

    def check(self, reason: str, **details: Any) -> Check:
        """The verdict, with zero tolerance."""
        missing, extra = self.counts[Class.MISSING], self.counts[Class.EXTRA]
        different = sum(self.counts.values()) - missing - extra
        compared = self.equal + different
        comparable = compared + missing
        if not comparable and not extra:
            return Check(self.name, Verdict.NOT_APPLICABLE, reason=reason, details=details)
        good = self.equal == comparable and not extra
        first = self._divergence()
        return Check(
            self.name,
            Verdict.EXACT if good else Verdict.FAIL,
            comparable,
            compared,
            self.equal,
            bound=min(3.0 / comparable, 1.0) if good else None,
            reason=first.detail if first else "",
            details={
                "missing": missing,
                "extra": extra,
                "different": different,
                "classes": {kind.value: count for kind, count in self.counts.items() if count},
                "messages": self.messages,
                "differing_messages": self.differing,
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
        names = ("side", "price", "size", "prev", "ts")
        recorded = {name: row[name] for name in names} if row["recorded"] else None
        stored = {name: row[f"{name}_stored"] for name in names} if row["stored"] else None
        kind = Class(row["class"])
        what = {
            Class.MISSING: "was recorded and is not stored",
            Class.EXTRA: "is stored and was not recorded",
            Class.STALE: "is stored with another value",
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


@dataclass(slots=True)
class _Pending:
    """Rows of one side that wait for the other, and the ids that it has passed."""

    key: str
    rows: pl.DataFrame
    low: int = -1
    high: int = -1

    def add(self, rows: pl.DataFrame | None) -> None:
        """Append rows."""
        if rows is None or not rows.height:
            return
        ids = rows[self.key].to_numpy()
        self.low = int(ids.min()) if self.low < 0 else min(self.low, int(ids.min()))
        self.high = max(self.high, int(ids.max()))
        self.rows = pl.concat([self.rows, rows])

    def take(self, upto: int) -> pl.DataFrame:
        """Remove and return the rows with ids up to ``upto``."""
        done = (self.rows[self.key] <= upto).fill_null(value=False)
        taken = self.rows.filter(done)
        self.rows = self.rows.filter(~done)
        return taken


class LevelPairing:
    """Depth messages of both sides, compared as soon as both have passed an update id."""

    def __init__(self, window: Window, step: Decimal) -> None:
        self.outcome = Outcome("level_changes", window, step)
        self.recorded = _Pending("u", pl.DataFrame(schema=LEVELS))
        self.stored = _Pending("u", pl.DataFrame(schema=_STORED_LEVELS))
        self.unrecorded = 0  # stored rows outside the recording
        self.before = -1  # last recorded id before the first stored one

    def add(self, recorded: pl.DataFrame | None = None, stored: pl.DataFrame | None = None) -> None:
        """Take the next rows of one side, whole messages."""
        self.recorded.add(recorded)
        self.stored.add(stored)
        if recorded is not None:
            early = recorded["u"].filter(recorded["u"] < self.stored.low).max()
            self.before = max(self.before, -1 if early is None else int(str(early)))
        self._advance(min(self.recorded.high, self.stored.high))

    def finish(self) -> None:
        """No more rows: what is left alone is missing, or lies outside what was recorded."""
        self._advance(max(self.recorded.high, self.stored.high))

    def _advance(self, upto: int) -> None:
        recorded, stored = self.recorded.take(upto), self.stored.take(upto)
        within = stored["u"].is_between(self.recorded.low, self.recorded.high)
        self.unrecorded += stored.height - int(within.sum())
        stored = stored.filter(within)
        if recorded.drop("clock").equals(stored.drop(*_FOUND)):
            self.outcome.add_equal(recorded.height, int(recorded["u"].n_unique()))
        else:
            self._compare(recorded, stored)

    def _compare(self, recorded: pl.DataFrame, stored: pl.DataFrame) -> None:
        place = pl.int_range(pl.len()).over("u").alias("place")
        names = [name for name in _STORED_LEVELS if name not in ("u", *_FOUND)]
        left = recorded.with_columns(place, pl.lit(value=True).alias("recorded"))
        right = stored.with_columns(place, pl.lit(value=True).alias("stored"))
        by_place = left.join(right, on=["u", "place"], how="full", coalesce=True, suffix="_stored")
        alike = pl.all_horizontal(
            *(pl.col(name).eq_missing(pl.col(f"{name}_stored")) for name in names)
        )
        run = by_place.group_by("u").agg(alike.all().alias("alike")).sort("u")
        start = pl.int_range(pl.len(), dtype=pl.Int64) + self.outcome.messages
        run = run.with_columns(start.alias("start"), (start + 1).alias("stop"))
        bad = run.filter(~pl.col("alike")).drop("alike")
        self.outcome.add_equal(recorded.join(bad, on="u", how="anti").height, 0)
        # within a message that differs, rows are paired by what they name
        keys = ["u", "side", "price", "which"]
        which = pl.int_range(pl.len()).over(keys[:3]).alias("which")
        left, right = (
            side.join(bad, on="u", how="semi", maintain_order="left").with_columns(which)
            for side in (left, right)
        )
        both = pl.col("recorded") & pl.col("stored")
        joined = (
            left.join(right, on=keys, how="full", coalesce=True, suffix="_stored")
            .with_columns(pl.col("recorded", "stored").fill_null(value=False))
            .join(bad, on="u")
            .with_columns(
                pl.col("place", "place_stored").rank("ordinal").over("u", both).name.suffix("_rank")
            )
            .sort("u", "place", "place_stored", nulls_last=True)
            .with_columns(
                pl.col("u").alias("id"),
                (both & (pl.col("place_rank") != pl.col("place_stored_rank"))).alias("moved"),
                pl.col("side").alias("side_stored"),
                pl.col("price").alias("price_stored"),
                pl.coalesce("clock", "ts_stored").alias("clock"),
            )
        )
        self.outcome.add_joined(joined, run.height)


class TradePairing:
    """Trades of both sides, paired by id; what is alone waits, for ids may come late."""

    def __init__(self, window: Window, step: Decimal) -> None:
        self.outcome = Outcome("trades", window, step)
        self.recorded = _Pending("id", pl.DataFrame(schema=TRADES))
        self.stored = _Pending("id", pl.DataFrame(schema=_STORED_TRADES))
        self.unrecorded = 0  # stored trades outside the recording

    def add(self, recorded: pl.DataFrame | None = None, stored: pl.DataFrame | None = None) -> None:
        """Take the next rows of one side."""
        self.recorded.add(recorded)
        self.stored.add(stored)
        if self.recorded.rows.height and self.stored.rows.height:
            self._pair(min(self.recorded.high, self.stored.high) - LATE_IDS)

    def finish(self) -> None:
        """No more rows."""
        self._pair(max(self.recorded.high, self.stored.high))

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
        self.outcome.add_joined(
            done.with_columns(
                pl.when(before >= 0).then(before).otherwise(pl.col("id") - 1).alias("start"),
                pl.col("id").alias("stop"),
                pl.lit(value=False).alias("moved"),
                pl.coalesce("clock", "ts_stored").alias("clock"),
            ),
            done.height,
        )
        waiting = joined.filter(~settled)
        self.recorded.rows = waiting.filter("recorded").select(list(TRADES))
        self.stored.rows = waiting.filter("stored").select(
            *(
                name if name in ("id", *_FOUND) else pl.col(f"{name}_stored").alias(name)
                for name in _STORED_TRADES
            )
        )

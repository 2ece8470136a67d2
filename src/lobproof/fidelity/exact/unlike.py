"""Recorded rows against stored ones where the two feeds cut the same market into other messages.

Raw trades and those aggregated by taker order have the same totals by time, price and side; depth
messages of other speeds leave the same sizes behind them wherever both end at one update id.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from lobproof.fidelity.exact.decoder import DECIMAL
from lobproof.fidelity.exact.pairing import LevelPairing, Pairing
from lobproof.fidelity.exact.report import Check, Verdict
from lobproof.fidelity.exact.window import Window
from lobproof.schema import Int64

_LATE_NS = 60_000_000_000
"""A total is settled when both sides are so far beyond its time: trades may come late."""
_HELD_ROWS = 1 << 18
_TAIL_NS = 2_000_000_000
"""What was recorded so long after the last stored message is missing; before, a slower feed may
not have told it yet."""
_WAITING_ROWS = 1 << 22
"""Rows that wait for an id at which both sides end; beyond they are not compared."""
_UNSETTLED_LIMIT = 0.001
"""Share of levels that one side alone names beyond which equality of the others decides nothing."""
_KEYS = ("ts", "side", "price")
_NOT_COMPARED = [
    pl.lit(-1, pl.Int64).alias(f"{name}{side}")
    for name in ("prev", "recv")
    for side in ("", "_stored")
]
"""Columns that feeds of two kinds have no equal of."""
_LEVEL = ("side", "price")
_SIZES = pl.Schema({"side": pl.Int8(), "price": DECIMAL, "size": DECIMAL, "size_stored": DECIMAL})
"""The last size of each level that either side has named; null where one has not."""


@dataclass(slots=True)
class _Totals:
    """Totals of one side that are not settled yet, and the times that it spans."""

    frame: pl.DataFrame | None = None
    low: int = 0
    high: int = 0
    rows: int = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Take the next trades."""
        if not rows.height:
            return
        times = rows["ts"].to_numpy()
        self.low = min(self.low or int(times.min()), int(times.min()))
        self.high = max(self.high, int(times.max()))
        self.rows += rows.height
        others = [name for name in rows.columns if name not in (*_KEYS, "size")]
        self.frame = (
            pl.concat([rows] if self.frame is None else [self.frame, rows])
            .group_by(_KEYS, maintain_order=True)
            .agg(pl.col("size").sum().cast(DECIMAL), pl.col(others).last())
            .select(rows.columns)
        )

    def take(self, upto: int) -> pl.DataFrame | None:
        """Remove and return the totals up to a time."""
        if self.frame is None:
            return None
        taken = self.frame.filter(pl.col("ts") <= upto)
        self.frame = self.frame.filter(pl.col("ts") > upto)
        return taken


class TradeTotals(Pairing):
    """Totals of trades by time, price and the taker's side, which no aggregation changes.

    The first and the last time of either side are left out: an aggregate may reach beyond them.
    """

    def __init__(self, name: str, window: Window) -> None:
        super().__init__(name, window)
        self._totals = _Totals(), _Totals()
        self._at_ends = 0

    def add_stored(self, rows: pl.DataFrame) -> None:
        """Take the next stored trades."""
        self._totals[1].add(rows)
        self._settle_early()

    def add_recorded(self, rows: pl.DataFrame) -> None:
        """Take the next recorded trades."""
        self._totals[0].add(rows)
        self._settle_early()

    def finish(self) -> None:
        """No more rows."""
        self._settle(max(side.high for side in self._totals))

    def check(self, reason: str, **details: Any) -> Check:
        """The verdict, with zero tolerance, on totals instead of rows."""
        return super().check(
            reason,
            compared_by="totals by time, price and side",
            recorded_trades=self._totals[0].rows,
            stored_trades=self._totals[1].rows,
            totals_at_the_ends=self._at_ends,
            **details,
        )

    def _settle_early(self) -> None:
        frames = [side.frame for side in self._totals]
        if all(frame is not None and frame.height > _HELD_ROWS for frame in frames):
            self._settle(min(side.high for side in self._totals) - _LATE_NS)

    def _settle(self, upto: int) -> None:
        recorded, stored = (side.take(upto) for side in self._totals)
        if recorded is None:
            self.unrecorded += 0 if stored is None else stored.height
            return
        if stored is None:
            stored = self.stored.rows  # none
        golden = self._totals[0]
        beyond = (pl.col("ts") < golden.low) | (pl.col("ts") > golden.high)
        self.unrecorded += stored.filter(beyond).height
        joined = (
            recorded.with_columns(pl.lit(value=True).alias("recorded"))
            .join(
                stored.filter(~beyond).with_columns(pl.lit(value=True).alias("stored")),
                on=_KEYS,
                how="full",
                coalesce=True,
                suffix="_stored",
            )
            .with_columns(pl.col("recorded", "stored").fill_null(value=False))
        )
        ends = {end for side in self._totals for end in (side.low, side.high)}
        compared = joined.filter(~pl.col("ts").is_in(sorted(ends))).sort(*_KEYS)
        self._at_ends += joined.height - compared.height
        start = pl.int_range(pl.len(), dtype=pl.Int64) + self._messages
        self._count(
            compared.with_columns(
                pl.coalesce("id", "id_stored"),
                pl.coalesce("clock", "ts").alias("clock"),
                start.alias("start"),
                (start + 1).alias("stop"),
                pl.lit(value=False).alias("moved"),
                *_NOT_COMPARED,
                *(pl.col(name).alias(f"{name}_stored") for name in _KEYS),
            ),
            compared.height,
        )


class LevelsAtCommonIds(LevelPairing):
    """The sizes that depth messages of two speeds leave, wherever both end at one update id.

    A level is compared at the first such id after either side names it, by the last size that each
    has named. One that a side has never named is not settled: a slower feed is silent of a level
    that has gone back to what it was.
    """

    def __init__(self, name: str, window: Window) -> None:
        super().__init__(name, window)
        self._known = pl.DataFrame(schema=_SIZES)
        self._unsettled = self._uncompared = 0
        self._last_stored = 0

    def add_stored(self, rows: pl.DataFrame) -> None:
        """Take the next stored rows, whole messages."""
        if rows.height:
            self._last_stored = max(self._last_stored, int(rows["ts"].to_numpy().max()))
        super().add_stored(rows)

    def finish(self) -> None:
        """No more rows: behind the last common id a slower feed has not told all yet."""
        self._advance(max(self.recorded.high, self.stored.high))
        self.unrecorded += self.stored.rows.height
        late = self.recorded.rows.filter(pl.col("ts") > self._last_stored + _TAIL_NS)
        self.outside += self.recorded.rows.height - late.height
        if late.height:
            self._compare(late, self.stored.rows.clear())

    def check(self, reason: str, **details: Any) -> Check:
        """The verdict, with zero tolerance, on levels at common ids instead of rows."""
        found = super().check(
            reason,
            compared_by="sizes where both end at one update id",
            common_ids=self._messages,
            unsettled=self._unsettled,
            rows_without_common_id=self._uncompared,
            **details,
        )
        why = ""
        if not self._messages:
            why = "no depth message of one side ends at an update id of the other"
        elif self._uncompared:
            why = f"{self._uncompared:,} rows lie where no id is common to both"
        elif self._unsettled > _UNSETTLED_LIMIT * max(found.comparable, 1):
            why = f"one side alone names {self._unsettled:,} levels"
        if not why or found.verdict is Verdict.FAIL:
            return found
        remedy = "a golden sample of the same speed would tell"
        return replace(found, verdict=Verdict.INCONCLUSIVE, bound=None, reason=f"{why}: {remedy}")

    def _advance(self, upto: int) -> None:
        ids = [side.rows["id"].to_numpy() for side in (self.recorded, self.stored)]
        common = np.intersect1d(ids[0], ids[1])
        common = common[common <= upto]
        waiting = self.recorded.rows.height + self.stored.rows.height
        if not len(common) and waiting > _WAITING_ROWS:
            self._uncompared += waiting
            self._known = self._known.clear()
            for side in (self.recorded, self.stored):
                side.rows = side.rows.clear()
        if not len(common):
            return
        recorded, stored = (side.take(int(common[-1])) for side in (self.recorded, self.stored))
        before = stored["id"] < self.recorded.low
        self.unrecorded += int(before.sum())
        self._fold(recorded, stored, common)

    def _fold(self, recorded: pl.DataFrame, stored: pl.DataFrame, common: Int64) -> None:
        """Compare the levels that are named up to each of the common ids."""
        left, right = (_last_sizes(rows, common) for rows in (recorded, stored))
        named = left.join(right, on=["at", *_LEVEL], how="full", coalesce=True, suffix="_stored")
        rows = (
            pl.concat(
                [self._known.with_columns(pl.lit(-1, pl.Int64).alias("at")), named],
                how="diagonal",
            )
            .sort("at", *_LEVEL)
            .with_columns(pl.col("size", "size_stored").forward_fill().over(_LEVEL))
        )
        self._known = rows.group_by(_LEVEL).last().select(list(_SIZES))
        rows = rows.filter(pl.col("at") >= 0)
        settled = rows.drop_nulls(["size", "size_stored"])
        self._unsettled += rows.height - settled.height
        number = pl.Series("id", common)
        order = pl.DataFrame({"at": number, "start": np.arange(len(common)) + self._messages})
        self._count(
            settled.join(order, on="at", maintain_order="left").with_columns(
                pl.col("at").alias("id"),
                (pl.col("start") + 1).alias("stop"),
                pl.coalesce("clock", "ts_stored").alias("clock"),
                pl.coalesce("ts", "ts_stored").alias("ts"),
                pl.coalesce("ts", "ts_stored").alias("ts_stored"),
                pl.lit(value=True).alias("recorded"),
                pl.lit(value=True).alias("stored"),
                pl.lit(value=False).alias("moved"),
                *_NOT_COMPARED,
                pl.col("side").alias("side_stored"),
                pl.col("price").alias("price_stored"),
            ),
            len(common),
        )


def _last_sizes(rows: pl.DataFrame, common: Int64) -> pl.DataFrame:
    """The last size of each level up to each of the common ids, under ``at``."""
    place = np.searchsorted(common, rows["id"].to_numpy())
    others = [name for name in rows.columns if name in ("size", "ts", "clock", "event_id", "dt")]
    return (
        rows.with_columns(pl.Series("at", common[place]))
        .filter(pl.col("side") != 0)
        .group_by("at", *_LEVEL, maintain_order=True)
        .agg(pl.col(others).last())
    )

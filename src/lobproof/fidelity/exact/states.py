"""Gate A on states: the book uncrossed, and the share of time in which the touch is in doubt."""

from __future__ import annotations

import numpy as np
import polars as pl

from lobproof.fidelity.exact.integrity import GridCheck, Tally
from lobproof.fidelity.exact.report import Check, Class, Divergence, Verdict
from lobproof.fidelity.exact.schema import SchemaCheck
from lobproof.fidelity.exact.walk import Window, inside
from lobproof.schema import LEVELS, Finding, Flag

TOUCH = ("bid_0_price", "bid_0_size", "ask_0_price", "ask_0_size")
_KEPT = ("dt", "event_id", "ts_order", "sequence", *TOUCH, "bid_trusted", "ask_trusted", "flags")
BEYOND_LIMIT = 0.01
"""Largest share of time in which the touch of a Crypto Lake day is beyond the levels listed."""
LEVEL_COLUMNS = {
    side: (
        [f"{side}_{level}_price" for level in range(LEVELS)],
        [f"{side}_{level}_size" for level in range(LEVELS)],
    )
    for side in ("bid", "ask")
}


class StateChecks:
    """One pass over the states.

    ``touch`` afterwards holds a row a state: where it is, the touch, how many levels are trusted,
    the flags; ``doubtful``: flagged so, or inside a finding of ``quality`` that says so; and
    ``beyond``: in doubt for nothing but that the touch left the range that snapshots cover.
    """

    def __init__(self, window: Window, grid: GridCheck, schema: SchemaCheck) -> None:
        self._window = window
        self._doubts = window.doubts()
        self._crossed = Tally("uncrossed")
        self._crossed_in_doubt = 0
        kept: list[pl.DataFrame] = []
        for states in window.states():
            schema.count("states", states)
            grid.add_states(states, LEVEL_COLUMNS)
            touch = states.select(_KEPT)
            doubtful = (touch["flags"].to_numpy() & int(Flag.DOUBTFUL)) != 0
            doubtful |= inside(touch, self._doubts)
            left_range = self._doubts["code"] == int(Finding.TOUCH_BEYOND_RANGE)
            beyond = inside(touch, self._doubts.filter(left_range))
            beyond &= ~inside(touch, self._doubts.filter(~left_range))
            touch = touch.with_columns(pl.Series("doubtful", doubtful), pl.Series("beyond", beyond))
            self._cross(touch)
            kept.append(touch)
        self.touch = pl.concat(kept) if kept else _no_touch(window)

    def _cross(self, touch: pl.DataFrame) -> None:
        crossed = (
            (pl.col("bid_0_price") >= pl.col("ask_0_price"))
            & (pl.col("bid_0_price") > 0)
            & (pl.col("ask_0_price") > 0)
        )
        said = (pl.col("flags") & int(Flag.CROSSED)) != 0
        judged = touch.select(
            ((crossed & ~pl.col("doubtful")) | (crossed != said)).alias("wrong"),
            (crossed & pl.col("doubtful")).alias("in_doubt"),
        )
        self._crossed_in_doubt += int(judged["in_doubt"].sum())
        self._crossed.add(
            touch,
            judged["wrong"],
            lambda row: (
                f"best bid {row['bid_0_price']}, best ask {row['ask_0_price']}: crossed "
                "on trusted rows, or not what the CROSSED flag says"
            ),
            Class.EXTRA,
        )

    def uncrossed(self) -> Check:
        """The check ``uncrossed``: no trusted state is crossed, and CROSSED is said of the rest."""
        return self._crossed.check("states", crossed_in_doubt=self._crossed_in_doubt)

    def untrusted_share(self, limit: float) -> Check:
        """The check ``untrusted_share``: weighted by time, over the span of the states.

        Rows of Crypto Lake's `book` list twenty levels, which the touch leaves now and then until
        the next one: there ``limit`` is for every other doubt, and ``BEYOND_LIMIT`` for this one.
        """
        touch = self.touch
        if not touch.height:
            return self._sealed_share(limit)
        times = touch["ts_order"].to_numpy()
        lasts = np.diff(times, append=times[-1:])
        days = touch["dt"]
        for end in np.flatnonzero((days != days.shift(-1)).fill_null(value=False)).tolist():
            if not self._window.joined(days[end], days[end + 1]):
                lasts[end] = 0
        doubtful, beyond = (touch[name].to_numpy() for name in ("doubtful", "beyond"))
        span, doubt = int(lasts.sum()), int(lasts[doubtful].sum())
        left_range = int(lasts[beyond].sum())
        trusted = int(np.count_nonzero(~doubtful))
        share = doubt / span if span else float(trusted == 0)
        verdict = Verdict.PASS
        if self._window.chained:
            if share > limit:
                verdict = Verdict.FAIL
        elif doubt - left_range > limit * span or left_range > BEYOND_LIMIT * span or not trusted:
            verdict = Verdict.FAIL
        if trusted == touch.height:
            verdict = Verdict.EXACT
        first = None
        reason = self._share_text(doubt, left_range, span)
        if verdict is Verdict.FAIL:
            row = touch.row(int(np.argmax(doubtful)), named=True)
            first = Divergence(
                "untrusted_share",
                Class.MISSING,
                int(row["sequence"]),
                int(row["ts_order"]),
                f"the first state in doubt; {reason}",
                dt=row["dt"],
                event_id=int(row["event_id"]),
            )
        return Check(
            "untrusted_share",
            verdict,
            touch.height,
            touch.height,
            trusted,
            limit=limit,
            reason=reason,
            first=first,
            details={
                "share": share,
                "untrusted_ns": doubt,
                "beyond_range_ns": left_range,
                "span_ns": span,
            },
        )

    def _sealed_share(self, limit: float) -> Check:
        """The check, as far as seals tell: where no states are stored."""
        seals = self._window.seals()
        span = int((seals["last_ts"] - seals["first_ts"]).sum())
        doubt = int(seals["doubtful_ns"].sum())
        share = doubt / span if span else 0.0
        return Check(
            "untrusted_share",
            Verdict.FAIL if share > limit else Verdict.PASS,
            limit=limit,
            reason=f"{share:.3%} of the time the touch is in doubt, by the seals: no states are "
            "stored",
            details={"share": share, "untrusted_ns": doubt, "span_ns": span},
        )

    def _share_text(self, doubt: int, left_range: int, span: int) -> str:
        text = f"{doubt / span if span else 0.0:.3%} of the time the touch is in doubt"
        if self._window.chained or not left_range:
            return text
        return (
            f"{text}, {left_range / span:.3%} because it left the levels that `book` lists "
            f"(limit {BEYOND_LIMIT:.0%})"
        )


def _no_touch(window: Window) -> pl.DataFrame:
    """No rows, with the columns."""
    no = pl.lit(value=False)
    return window.table("states").select(*_KEPT, doubtful=no, beyond=no).head(0).collect()

"""Gate A on states: the book uncrossed, and the share of time in which the touch is in doubt."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lobproof.fidelity.exact.integrity import GridCheck, Tally
from lobproof.fidelity.exact.report import Check, Class, Divergence, Verdict, plain
from lobproof.fidelity.exact.schema import SchemaCheck
from lobproof.fidelity.exact.walk import Window, inside
from lobproof.schema import LEVELS, Finding, Flag, Int64
from lobproof.store.timespan import show_length

TOUCH = ("bid_0_price", "bid_0_size", "ask_0_price", "ask_0_size")
_KEPT = ("dt", "event_id", "ts_order", "sequence", *TOUCH, "bid_trusted", "ask_trusted", "flags")
WARM_UP_LIMIT_NS = 60_000_000_000
"""Longest time before the first anchor, over all days, that leaves a verdict to be had."""
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
    the flags; ``doubtful``: flagged so, or inside a finding of ``quality`` that says so;
    ``beyond``: in doubt for nothing but that the touch left the range that snapshots cover; and
    ``warm_up``: for nothing but that no anchor had come yet.
    """

    def __init__(self, window: Window, grid: GridCheck, schema: SchemaCheck) -> None:
        self._window = window
        self._doubts = window.doubts()
        warmed = window.seals().filter(pl.col("warm_up_ns") > 0)["dt"].implode()

        def warming(touch: pl.DataFrame) -> pl.Series:
            return touch["dt"].is_in(warmed)

        self._crossed = Tally("uncrossed")
        self._crossed_in_doubt = 0
        kept: list[pl.DataFrame] = []
        for states in window.states():
            schema.count("states", states)
            grid.add_states(states, LEVEL_COLUMNS)
            touch = states.select(_KEPT)
            doubtful = (touch["flags"].to_numpy() & int(Flag.DOUBTFUL)) != 0
            doubtful |= inside(touch, self._doubts)
            touch = touch.with_columns(
                pl.Series("doubtful", doubtful),
                pl.Series("beyond", self._only(touch, Finding.TOUCH_BEYOND_RANGE)),
                pl.Series("warm_up", self._only(touch, Finding.UNSEEDED)) & warming(touch),
            )
            self._cross(touch)
            kept.append(touch)
        self.touch = pl.concat(kept) if kept else _no_touch(window)

    def _only(self, touch: pl.DataFrame, code: Finding) -> NDArray[np.bool_]:
        """Whether each state is in doubt for one kind of finding, and no other."""
        ours = self._doubts["code"] == int(code)
        found = inside(touch, self._doubts.filter(ours))
        return found & ~inside(touch, self._doubts.filter(~ours))

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
                f"best bid {plain(row['bid_0_price'])}, best ask {plain(row['ask_0_price'])}: "
                "crossed on trusted rows, or not what the CROSSED flag says"
            ),
            Class.EXTRA,
        )

    def uncrossed(self) -> Check:
        """The check ``uncrossed``: no trusted state is crossed, and CROSSED is said of the rest."""
        return self._crossed.check("states", crossed_in_doubt=self._crossed_in_doubt)

    def untrusted_share(self, limit: float) -> Check:
        """The check ``untrusted_share``: weighted by time, up to the last event of each day.

        What lies before the first anchor is warm-up: no part of the share, and with more than
        ``WARM_UP_LIMIT_NS`` of it, or more than is trusted, there is no verdict. Rows of
        Crypto Lake's `book` list twenty levels, which the touch leaves now and then until the next
        one: there ``limit`` is for every other doubt, and ``BEYOND_LIMIT`` for this one. Compared
        are the states behind the warm-up, equal those of them that are trusted.
        """
        touch, seals = self.touch, self._window.seals()
        warm_up = int(seals["warm_up_ns"].sum())
        if not touch.height:
            return self._sealed_share(limit, warm_up)
        lasts = self._lasts(dict(seals.select("dt", "last_ts").iter_rows()))
        doubtful, beyond, warm = (
            touch[name].to_numpy() for name in ("doubtful", "beyond", "warm_up")
        )
        lasts[warm] = 0
        lost = doubtful & ~warm
        span, doubt = int(lasts.sum()), int(lasts[lost].sum())
        left_range = int(lasts[beyond].sum())
        trusted = int(np.count_nonzero(~doubtful))
        # behind the warm-up no time passes: that is too little to judge by, and no loss
        share = doubt / span if span else float(lost.any() and not warm_up)
        if self._window.chained:
            failed = share > limit
        else:
            failed = doubt - left_range > limit * span or left_range > BEYOND_LIMIT * span
            failed |= bool(lost.any()) and not trusted
        first = None
        reason = self._share_text(doubt, left_range, span, warm_up)
        if failed:
            row = touch.row(int(np.argmax(lost)), named=True)
            first = Divergence(
                "untrusted_share",
                Class.MISSING,
                int(row["sequence"]),
                int(row["ts_order"]),
                f"the first state in doubt; {reason}",
                dt=row["dt"],
                event_id=int(row["event_id"]),
            )
        verdict = _verdict(failed, warm_up, span - doubt, exact=not lost.any())
        return Check(
            "untrusted_share",
            verdict,
            touch.height,
            touch.height - int(np.count_nonzero(warm)),
            trusted,
            limit=limit,
            reason=reason,
            first=first,
            details={
                "share": share,
                "untrusted_ns": doubt,
                "beyond_range_ns": left_range,
                "span_ns": span,
                "warm_up_ns": warm_up,
            },
        )

    def _lasts(self, ends: Mapping[str, int]) -> Int64:
        """How long each state stood, ns: to the next one, or to the last event of the days."""
        times, days = self.touch["ts_order"].to_numpy(), self.touch["dt"]
        lasts = np.diff(times, append=times[-1:])
        for row in np.flatnonzero((days != days.shift(-1)).fill_null(value=True)).tolist():
            if row + 1 == len(days) or not self._window.joined(days[row], days[row + 1]):
                lasts[row] = max(ends[days[row]] - times[row], 0)
        return lasts

    def _sealed_share(self, limit: float, warm_up: int) -> Check:
        """The check, as far as seals tell: where no states are stored."""
        seals = self._window.seals()
        span = int((seals["last_ts"] - seals["first_ts"]).sum()) - warm_up
        doubt = int(seals["doubtful_ns"].sum()) - warm_up
        share = doubt / span if span else 0.0
        verdict = _verdict(share > limit, warm_up, span - doubt, exact=False)
        return Check(
            "untrusted_share",
            verdict,
            limit=limit,
            reason=f"{self._share_text(doubt, 0, span, warm_up)}, by the seals: no states are "
            "stored",
            details={
                "share": share,
                "untrusted_ns": doubt,
                "span_ns": span,
                "warm_up_ns": warm_up,
            },
        )

    def _share_text(self, doubt: int, left_range: int, span: int, warm_up: int) -> str:
        text = f"{doubt / span if span else 0.0:.3%} of the time the touch is in doubt"
        if not self._window.chained and left_range:
            text += (
                f", {left_range / span:.3%} because it left the levels that `book` lists "
                f"(limit {BEYOND_LIMIT:.0%})"
            )
        if not warm_up:
            return text
        text += f"; before it {show_length(warm_up)} of warm-up, until the first anchor"
        few = warm_up > min(WARM_UP_LIMIT_NS, span - doubt)
        return f"{text}: too much, or too little else, to judge by" if few else text


def _verdict(failed: bool, warm_up: int, trusted_ns: int, *, exact: bool) -> Verdict:
    """Of the share of doubt: a loss fails it, and hardly anything but warm-up leaves it open."""
    if failed:
        return Verdict.FAIL
    if warm_up > min(WARM_UP_LIMIT_NS, trusted_ns):
        return Verdict.INCONCLUSIVE
    return Verdict.EXACT if exact else Verdict.PASS


def _no_touch(window: Window) -> pl.DataFrame:
    """No rows, with the columns."""
    no = pl.lit(value=False)
    flags = {"doubtful": no, "beyond": no, "warm_up": no}
    return window.table("states").select(*_KEPT, **flags).head(0).collect()

"""Gate B against a golden sample: what was recorded and what is stored, as both stream by.

``level_changes`` and ``trades`` are compared here, one by one, joined on ids; the venue's own tops
of the book in :mod:`~.tops`, snapshots in :mod:`~.snapshots`. What was recorded comes from the
plain decoder, and nothing of what made the store is used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from lobproof.fidelity.exact.decoder import Chunk, PlainDecoder, Tally
from lobproof.fidelity.exact.kinds import Kinds
from lobproof.fidelity.exact.pairing import LevelPairing, TradePairing, day_of
from lobproof.fidelity.exact.report import Check, Verdict, not_applicable, unreadable
from lobproof.fidelity.exact.snapshots import SnapshotCheck
from lobproof.fidelity.exact.tops import PartialCheck, TickerTape, judge_touch
from lobproof.fidelity.exact.unlike import LevelsAtCommonIds, TradeTotals
from lobproof.fidelity.exact.window import Window, depth_rows
from lobproof.schema import Kind

UNREADABLE_LIMIT = 0.001
"""Share of the sample's lines beyond which equality with the rest decides nothing."""
_TRADES = pl.col("kind") == int(Kind.TRADE)
_UNRECEIVED = pl.lit(0, pl.Int64).alias("recv")


class GoldenComparison:
    """Gate B, but for the vendor's files.

    Parameters
    ----------
    decoder
        Of the golden sample.
    touch
        Of all days, as `Integrity.touch` gives it.
    kinds
        Of both sides. Messages of one kind are paired by id; where nobody said so, trades are
        held against each other by their totals too, and levels at ids that both have.
    """

    def __init__(
        self, window: Window, decoder: PlainDecoder, touch: pl.DataFrame, kinds: Kinds
    ) -> None:
        self._window = window
        self._decoder = decoder
        self._kinds = kinds
        self._levels: list[LevelPairing] = []
        if kinds.same_speed is not False:
            self._levels.append(LevelPairing("level_changes", window))
        if kinds.same_speed is not True:
            self._levels.append(LevelsAtCommonIds("level_changes", window))
        self._trades: list[TradePairing | TradeTotals] = []
        if kinds.same_trades is not False:
            self._trades.append(TradePairing("trades", window))
        if kinds.same_trades is not True:
            self._trades.append(TradeTotals("trades", window))
        self._tape = TickerTape(touch.filter(pl.col("trusted") | pl.col("beyond")))
        self._snapshots, self._partial = SnapshotCheck(window), PartialCheck(window)

    def run(self, stored: Iterator[pl.DataFrame]) -> None:
        """Take the store's events, frames of whole messages, and the whole sample."""
        recorded = self._decoder.chunks()
        rows: pl.DataFrame | None = next(stored, None)
        chunk: Chunk | None = next(recorded, None)
        while rows is not None or chunk is not None:
            # whichever side is behind goes on, so that little of the other waits
            behind = self._levels[0].stored.high <= self._levels[0].recorded.high
            if rows is not None and (chunk is None or behind):
                self._snapshots.add_stored(rows)
                levels = self._stored(rows.filter(depth_rows()))
                for by_level in self._levels:
                    by_level.add_stored(levels)
                trades = self._stored(rows.filter(_TRADES))
                for pairing in self._trades:
                    pairing.add_stored(trades)
                rows = next(stored, None)
            elif chunk is not None:
                self._take(chunk)
                chunk = next(recorded, None)
        for both in (*self._levels, *self._trades):
            both.finish()

    def _take(self, chunk: Chunk) -> None:
        levels, trades = chunk.levels, chunk.trades
        if not self._window.chained:
            levels = _without_chain(levels, self._window.known_at_snapshots)
            trades = _without_chain(trades)
        for by_level in self._levels:
            by_level.add_recorded(levels)
        for pairing in self._trades:
            pairing.add_recorded(trades)
        self._tape.add(chunk.tickers)
        self._partial.add(chunk.partials)
        self._snapshots.add_recorded(chunk.snapshots)

    def _stored(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Stored rows in the decoder's columns."""
        return rows.select(
            pl.col("sequence").alias("id"),
            pl.col("prev_sequence").alias("prev"),
            pl.col("ts_event").alias("ts"),
            pl.col("ts_recv").alias("recv") if self._window.chained else _UNRECEIVED,
            "side",
            "price",
            "size",
            "event_id",
            "dt",
        )

    def checks(self, depth: pl.DataFrame) -> list[Check]:
        """The checks; ``depth`` are the last rows of the store's depth messages."""
        tally = self._decoder.tally
        without = self._window.known_at_snapshots
        if len(without) == len(self._window.days):
            levels = not_applicable(
                "level_changes", "the store has none: its book is known at snapshots alone"
            )
        else:
            found = [
                one.check(
                    "the golden sample has no depth messages of these days",
                    repeated=tally.repeated,
                    resets=tally.resets,
                    **({"days_without_level_changes": list(without)} if without else {}),
                )
                for one in self._levels
            ]
            levels = _of_kinds(found, self._kinds.same_speed, self._kinds.speeds)
        none = "the golden sample has no trades of these days"
        found = [one.check(none, repeated=tally.repeated_trades) for one in self._trades]
        trades = _of_kinds(found, self._kinds.same_trades, self._kinds.trades)
        return [
            _as_far_as_readable(levels, tally),
            _as_far_as_readable(trades, tally),
            *judge_touch(self._window, self._tape, depth, self._levels[0].recorded.high),
            self._snapshots.result(depth, self._levels[0].before),
            self._partial.result(depth),
        ]

    def coverage(self) -> dict[str, Any]:
        """What the sample held."""
        tally = self._decoder.tally
        return {
            "lines": tally.lines,
            "depth_messages": tally.depth,
            "empty_depth_messages": tally.empty,
            "repeated_depth_messages": tally.repeated,
            "id_resets": tally.resets,
            "repeated_trades": tally.repeated_trades,
            "unreadable": tally.unreadable,
            "first_unreadable": tally.first_unreadable,
            "level_changes_outside_the_store": self._levels[0].outside,
            "trades_outside_the_store": self._trades[0].outside,
        }

    def outside(self) -> dict[str, int]:
        """What of the store lies outside the sample."""
        return {
            "level_changes_outside_the_golden_sample": self._levels[0].unrecorded,
            "trades_outside_the_golden_sample": self._trades[0].unrecorded,
        }


def _without_chain(rows: pl.DataFrame, left_out: Collection[str] = ()) -> pl.DataFrame:
    """Recorded rows as a feed has them whose ids form no chain: no id before, no empty message.

    Another one received them. Rows of the days ``left_out`` go too.
    """
    kept = (pl.col("side") != 0) & ~day_of("clock").is_in(list(left_out))
    return rows.filter(kept).with_columns(pl.lit(-1, pl.Int64).alias("prev"), _UNRECEIVED)


def _of_kinds(found: Sequence[Check], same: bool | None, kinds: str) -> Check:
    """What counts of the checks by rows, if there is one, and by what they amount to.

    Rows that are all equal are of one kind, and what they amount to has to be equal whatever they
    are. ``same``: whether they are of one kind; None where nobody said.
    """
    rows, amounts = found[0], found[-1]
    if same is not None:
        return rows if same else _told(rows, kinds)
    if rows.verdict is not Verdict.FAIL:
        return rows
    if amounts.verdict is Verdict.FAIL:
        return _told(min(found, key=_wrong), kinds)
    return replace(
        rows,
        verdict=Verdict.INCONCLUSIVE,
        reason=f"not equal one by one, and equal by {amounts.details['compared_by']}: {kinds}; "
        "a sample and a store whose streams are named would tell",
    )


def _wrong(check: Check) -> float:
    """Share of what is not equal, of a check of rows or of totals."""
    extra = int(check.details.get("extra", 0))
    return (check.comparable - check.equal + extra) / max(check.comparable + extra, 1)


def _told(check: Check, kinds: str) -> Check:
    """With what was compared with what, where something is not equal."""
    return replace(check, reason=f"{check.reason} ({kinds})") if check.reason else check


def _as_far_as_readable(check: Check, tally: Tally) -> Check:
    """What is equal proves little where much of the sample could not be read."""
    if check.verdict is not Verdict.EXACT or tally.unreadable <= UNREADABLE_LIMIT * tally.lines:
        return check
    return replace(
        check,
        verdict=Verdict.INCONCLUSIVE,
        reason=unreadable(tally.unreadable, tally.lines, tally.first_unreadable),
    )

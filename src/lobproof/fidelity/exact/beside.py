"""The store's events beside a golden sample, as both stream by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import polars as pl

from lobproof.fidelity.exact.decoder import Chunk, PlainDecoder, Tally
from lobproof.fidelity.exact.pairing import (
    LevelPairing,
    TradePairing,
    stored_levels,
    stored_trades,
    without_chain,
)
from lobproof.fidelity.exact.partial import PartialCheck
from lobproof.fidelity.exact.report import Check, Verdict, not_applicable
from lobproof.fidelity.exact.snapshots import SnapshotCheck
from lobproof.fidelity.exact.tickers import TickerTape, judge_touch
from lobproof.fidelity.exact.walk import Window
from lobproof.sources.golden import GoldenSample

UNREADABLE_LIMIT = 0.001
"""Share of the sample's lines beyond which equality with the rest decides nothing."""


class BesideSample:
    """Gate B, but for the vendor's `book`.

    Parameters
    ----------
    touch
        ``StateChecks.touch`` with ``trusted``.
    """

    def __init__(self, window: Window, sample: GoldenSample, touch: pl.DataFrame) -> None:
        self._window = window
        exponents = [window.instrument(dt).size_exponent for dt in window.days]
        step = Decimal(1).scaleb(-max(exponents))
        self._tape = TickerTape(touch.filter(pl.col("trusted") | pl.col("beyond")))
        self._levels = LevelPairing(window, step)
        self._trades = TradePairing(window, step)
        self._snapshots, self._partial = SnapshotCheck(window), PartialCheck(window)
        self._decoder = PlainDecoder(
            sample.journals,
            sample.instrument.venue_symbol,
            str(sample.document["trade_stream"]),
            window.orders[window.days[0]].book_clock,
            sample.snapshots_of_nobody,
        )

    def run(self, stored: Iterator[pl.DataFrame]) -> None:
        """Take the store's events, frames of whole messages, and the whole sample."""
        recorded = self._decoder.chunks()
        rows: pl.DataFrame | None = next(stored, None)
        chunk: Chunk | None = next(recorded, None)
        while rows is not None or chunk is not None:
            # whichever side is behind goes on, so that little of the other waits
            behind = self._levels.stored.high <= self._levels.recorded.high
            if rows is not None and (chunk is None or behind):
                self._snapshots.add_stored(rows)
                self._levels.add(stored=stored_levels(rows))
                self._trades.add(stored=stored_trades(rows))
                rows = next(stored, None)
            elif chunk is not None:
                self._take(chunk)
                chunk = next(recorded, None)
        self._levels.finish()
        self._trades.finish()

    def _take(self, chunk: Chunk) -> None:
        levels, trades = chunk.levels, chunk.trades
        if not self._window.chained:
            levels = without_chain(levels, self._window.known_at_snapshots)
            trades = without_chain(trades)
        self._levels.add(recorded=levels)
        self._trades.add(recorded=trades)
        self._tape.add(chunk.tickers)
        self._partial.add(chunk.partials)
        self._snapshots.add_recorded(chunk.snapshots)

    def checks(self, depth: pl.DataFrame) -> list[Check]:
        """The checks; ``depth`` are the last rows of the store's depth messages."""
        tally = self._decoder.tally
        without = self._window.known_at_snapshots
        if len(without) == len(self._window.days):
            levels = not_applicable(
                "level_changes", "the store has none: its book is known at snapshots alone"
            )
        else:
            levels = self._levels.outcome.check(
                "the golden sample has no depth messages of these days",
                repeated=tally.repeated,
                resets=tally.resets,
                **({"days_without_level_changes": list(without)} if without else {}),
            )
        trades = self._trades.outcome.check(
            "the golden sample has no trades of these days", repeated=tally.repeated_trades
        )
        return [
            _as_far_as_readable(levels, tally),
            _as_far_as_readable(trades, tally),
            *judge_touch(self._window, self._tape, depth, self._levels.recorded.high),
            self._snapshots.result(depth, self._levels.before),
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
            "level_changes_outside_the_store": self._levels.outcome.outside,
            "trades_outside_the_store": self._trades.outcome.outside,
        }

    def outside(self) -> dict[str, int]:
        """What of the store lies outside the sample."""
        return {
            "level_changes_outside_the_golden_sample": self._levels.unrecorded,
            "trades_outside_the_golden_sample": self._trades.unrecorded,
        }


def _as_far_as_readable(check: Check, tally: Tally) -> Check:
    """What is equal proves little where much of the sample could not be read."""
    if check.verdict is not Verdict.EXACT or tally.unreadable <= UNREADABLE_LIMIT * tally.lines:
        return check
    return replace(
        check,
        verdict=Verdict.INCONCLUSIVE,
        reason=f"{tally.unreadable:,} of the sample's {tally.lines:,} lines cannot be read, the "
        f"first is {tally.first_unreadable}",
    )

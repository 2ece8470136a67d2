"""``Keyframe``: a whole book at one event, as ``keyframes`` stores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lobproof.errors import StoreError
from lobproof.schema import Int64, Side
from lobproof.store.timespan import show_ns


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A full book after an event.

    ``event_id`` −1 is the book that opens a partition. Levels are on the grid, best first, of
    equal length a side. Trust is ``UNTRUSTED``, ``RANGE`` or ``EVERYTHING``; ``trusted_to`` is the
    far end of the range, 0 unless ``RANGE``. ``bid_stale``, ``ask_stale``: 1 where the side
    may hold, beyond that range, levels from before a loss: those prove nothing. ``bid_listed``,
    ``ask_listed``: of a snapshot whose id lies inside the next depth message, until that one comes,
    what it lists, with the far end of a range like ``trusted_to``. ``awaits``, 1: that message may
    undo the snapshot, and what the book was before it is not here: only replays go on from this.
    """

    event_id: int
    ts_order: int
    sequence: int
    bid_prices: Int64
    bid_sizes: Int64
    ask_prices: Int64
    ask_sizes: Int64
    bid_trust: int
    bid_trusted_to: int
    ask_trust: int
    ask_trusted_to: int
    bid_stale: int = 0
    ask_stale: int = 0
    bid_listed: int = 0
    bid_listed_to: int = 0
    ask_listed: int = 0
    ask_listed_to: int = 0
    awaits: int = 0

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Keyframe:
        """The keyframe of its stored rows, prices and sizes as grid counts."""
        bids, asks = (rows.filter(pl.col("side") == int(side)) for side in (Side.BID, Side.ASK))
        levels = [
            side.filter(pl.col("price") != 0)[name].to_numpy()
            for side in (bids, asks)
            for name in ("price", "size")
        ]
        known = (("trust", "trusted_to"), ("stale",), ("listed", "listed_to"))
        values: list[Any] = [rows[name][0] for name in ("event_id", "ts_order", "sequence")]
        values += levels
        values += [side[name][0] for names in known for side in (bids, asks) for name in names]
        values.append(rows["awaits"][0])
        return cls(*values)

    @classmethod
    def before(cls, frames: pl.LazyFrame, time: int, day: str) -> Keyframe:
        """The last one at or before a time that awaits nothing, or that which opens the day.

        Parameters
        ----------
        frames
            Rows of the table, of one day, as they are stored but prices and sizes as counts.
        day
            Names it in the error.

        Raises
        ------
        StoreError
            If there is none.
        """
        tells_all = (pl.col("ts_order") <= time) & (pl.col("awaits") == 0)
        known = frames.filter(tells_all | (pl.col("event_id") < 0))
        rows = known.filter(pl.col("event_id") == pl.col("event_id").max()).collect()
        if rows.is_empty():
            raise StoreError(
                f"{day} has no keyframe before {show_ns(time)}.",
                hint="Reconstruct that day again.",
            )
        return cls.of(rows)

    def columns(self) -> list[NDArray[np.generic]]:
        """The rows of ``keyframes``: per side a header row with price and size 0, then levels."""
        zero = np.zeros(1, np.int64)
        bids, asks = len(self.bid_prices) + 1, len(self.ask_prices) + 1
        rows = bids + asks

        def sides(bid: int, ask: int, kind: type[np.generic]) -> NDArray[np.generic]:
            return np.repeat(np.array([bid, ask], kind), [bids, asks])

        return [
            np.full(rows, self.event_id, np.int64),
            np.full(rows, self.ts_order, np.int64),
            np.full(rows, self.sequence, np.int64),
            sides(Side.BID, Side.ASK, np.int8),
            np.concatenate([zero, self.bid_prices, zero, self.ask_prices]),
            np.concatenate([zero, self.bid_sizes, zero, self.ask_sizes]),
            sides(self.bid_trust, self.ask_trust, np.int8),
            sides(self.bid_trusted_to, self.ask_trusted_to, np.int64),
            sides(self.bid_stale, self.ask_stale, np.int8),
            sides(self.bid_listed, self.ask_listed, np.int8),
            sides(self.bid_listed_to, self.ask_listed_to, np.int64),
            np.full(rows, self.awaits, np.int8),
        ]

    def copy(self) -> Keyframe:
        """A keyframe whose levels are its own."""
        return replace(
            self,
            bid_prices=self.bid_prices.copy(),
            bid_sizes=self.bid_sizes.copy(),
            ask_prices=self.ask_prices.copy(),
            ask_sizes=self.ask_sizes.copy(),
        )


HEAD = 16
"""Numbers of a keyframe beside its levels."""


def pack(frames: Sequence[Keyframe]) -> dict[str, Int64]:
    """Keyframes as three arrays: a row of numbers each, and 16 bytes a level."""
    heads = [
        [
            frame.event_id,
            frame.ts_order,
            frame.sequence,
            frame.bid_trust,
            frame.bid_trusted_to,
            frame.ask_trust,
            frame.ask_trusted_to,
            frame.bid_stale,
            frame.ask_stale,
            frame.bid_listed,
            frame.bid_listed_to,
            frame.ask_listed,
            frame.ask_listed_to,
            frame.awaits,
            len(frame.bid_prices),
            len(frame.ask_prices),
        ]
        for frame in frames
    ]
    none = np.zeros(0, np.int64)
    prices = [side for frame in frames for side in (frame.bid_prices, frame.ask_prices)]
    sizes = [side for frame in frames for side in (frame.bid_sizes, frame.ask_sizes)]
    return {
        "heads": np.array(heads, np.int64).reshape(-1, HEAD),
        "prices": np.concatenate([none, *prices]),
        "sizes": np.concatenate([none, *sizes]),
    }


def unpack(arrays: Mapping[str, NDArray[np.generic]]) -> list[Keyframe]:
    """The keyframes that `pack` packed."""
    prices = np.asarray(arrays["prices"], np.int64)
    sizes = np.asarray(arrays["sizes"], np.int64)
    frames, at = [], 0
    for event_id, ts, sequence, *known, bids, asks in arrays["heads"].tolist():
        bid, ask = slice(at, at + bids), slice(at + bids, at + bids + asks)
        levels = prices[bid], sizes[bid], prices[ask], sizes[ask]
        frames.append(Keyframe(event_id, ts, sequence, *levels, *known))
        at += bids + asks
    return frames

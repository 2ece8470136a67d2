"""``Keyframe``: a whole book at one event, as ``keyframes`` stores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lobproof.book import BookImage
from lobproof.errors import StoreError
from lobproof.schema import Int64, Side
from lobproof.timespan import show_ns


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A full book after an event; ``event_id`` −1 is the book that opens a partition."""

    event_id: int
    ts_order: int
    book: BookImage

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Keyframe:
        """The keyframe of its stored rows, prices and sizes as grid counts."""
        bids, asks = (rows.filter(pl.col("side") == int(side)) for side in (Side.BID, Side.ASK))
        bid, bid_size, ask, ask_size = (
            side.filter(pl.col("price") != 0)[name].to_numpy()
            for side in (bids, asks)
            for name in ("price", "size")
        )
        known = (("trust", "trusted_to"), ("stale",), ("listed", "listed_to"))
        numbers = [int(side[name][0]) for names in known for side in (bids, asks) for name in names]
        numbers.append(int(rows["awaits"][0]))
        image = BookImage(int(rows["sequence"][0]), bid, bid_size, ask, ask_size, *numbers)
        return cls(int(rows["event_id"][0]), int(rows["ts_order"][0]), image)

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
        book, zero = self.book, np.zeros(1, np.int64)
        bids, asks = len(book.bid_prices) + 1, len(book.ask_prices) + 1
        rows = bids + asks

        def sides(bid: int, ask: int, kind: type[np.generic]) -> NDArray[np.generic]:
            return np.repeat(np.array([bid, ask], kind), [bids, asks])

        return [
            np.full(rows, self.event_id, np.int64),
            np.full(rows, self.ts_order, np.int64),
            np.full(rows, book.sequence, np.int64),
            sides(Side.BID, Side.ASK, np.int8),
            np.concatenate([zero, book.bid_prices, zero, book.ask_prices]),
            np.concatenate([zero, book.bid_sizes, zero, book.ask_sizes]),
            sides(book.bid_trust, book.ask_trust, np.int8),
            sides(book.bid_trusted_to, book.ask_trusted_to, np.int64),
            sides(book.bid_stale, book.ask_stale, np.int8),
            sides(book.bid_listed, book.ask_listed, np.int8),
            sides(book.bid_listed_to, book.ask_listed_to, np.int64),
            np.full(rows, book.awaits, np.int8),
        ]


def pack(frames: Sequence[Keyframe]) -> dict[str, Int64]:
    """Keyframes as arrays by name; :func:`unpack` makes them again."""
    packed = {"places": np.array([(one.event_id, one.ts_order) for one in frames], np.int64)}
    for number, frame in enumerate(frames):
        packed |= {f"{number}/{name}": array for name, array in frame.book.to_arrays().items()}
    return packed


def unpack(arrays: Mapping[str, NDArray[np.generic]]) -> list[Keyframe]:
    """The keyframes that `pack` packed."""
    frames = []
    for number, (event_id, ts) in enumerate(arrays["places"].reshape(-1, 2).tolist()):
        prefix = f"{number}/"
        image = {
            name.removeprefix(prefix): array
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
        frames.append(Keyframe(event_id, ts, BookImage.from_arrays(image)))
    return frames

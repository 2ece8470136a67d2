"""A listed book beside the stored one, level by level, within the range that both know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from lobproof.fidelity.exact.plainbook import BOOK, PlainBook, beyond
from lobproof.fidelity.exact.report import Class
from lobproof.schema import Side

RMSE_LEVELS = 20
_SIDES = (Side.BID, Side.ASK)


@dataclass(slots=True)
class Comparison:
    """A listed book beside the stored one at its id."""

    sequence: int
    row: dict[str, Any]  # the stored row where they were compared
    tick: Decimal
    compared: int = 0
    equal: int = 0
    ghosts: int = 0  # in the book, not in the list
    missing: int = 0  # in the list, not in the book
    in_flight: int = 0  # left out: the next depth message names them
    touch_equal: bool = True
    price_errors: list[float] = field(default_factory=list)
    size_errors: list[float] = field(default_factory=list)
    first: tuple[Class, dict[str, Any]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "sequence": self.sequence,
            "dt": self.row["dt"],
            "event_id": self.row["event_id"],
            "compared": self.compared,
            "equal": self.equal,
            "ghosts": self.ghosts,
            "missing": self.missing,
            "in_flight": self.in_flight,
            "touch_equal": self.touch_equal,
            "price_rmse_ticks": rms(self.price_errors),
            "size_rmse_rel": rms(self.size_errors),
        }

    def count(self, joined: pl.DataFrame, named: pl.DataFrame | None = None) -> None:
        """Count what `side_by_side` gave, without the levels (side, price) of ``named``."""
        left = joined
        if named is not None:
            left = joined.join(named, on=["side", "price"], how="anti", maintain_order="left")
        self.in_flight += joined.height - left.height
        self.compared += left.height
        wrong = left.filter(~pl.col("size").eq_missing(pl.col("size_book")))
        self.equal += left.height - wrong.height
        self.ghosts += wrong["size"].null_count()
        self.missing += wrong["size_book"].null_count()
        for side in _SIDES:
            here = left.filter(pl.col("side") == int(side))
            theirs, mine = here.drop_nulls("size"), here.drop_nulls("size_book")
            depth = min(theirs.height, mine.height, RMSE_LEVELS)
            errors = theirs["price"].head(depth) - mine["price"].head(depth)
            self.price_errors += [float(error / self.tick) for error in errors]
            touch = here.head(1).filter(~pl.col("size").eq_missing(pl.col("size_book")))
            self.touch_equal &= not touch.height
        both = left.drop_nulls()
        self.size_errors += (
            (both["size_book"] - both["size"]).cast(pl.Float64) / both["size"].cast(pl.Float64)
        ).to_list()
        if wrong.height:
            row = wrong.row(0, named=True)
            kind = Class.STALE
            if row["size"] is None:
                kind = Class.EXTRA
            elif row["size_book"] is None:
                kind = Class.MISSING
            self.first = (kind, row)


def rms(errors: list[float]) -> float:
    """Root mean square; 0 of nothing."""
    return float(np.sqrt(np.mean(np.square(errors)))) if errors else 0.0


def far_ends(lists: pl.DataFrame) -> dict[Side, Decimal]:
    """How far a list reaches on each side that it lists: its worst price."""
    return {
        side: rows["price"][-1]
        for side in _SIDES
        if (rows := lists.filter(pl.col("side") == int(side))).height
    }


def side_by_side(
    book: PlainBook, lists: pl.DataFrame, ends: Mapping[Side, Decimal | None]
) -> pl.DataFrame:
    """Levels of a list and of the book within the range that both know, best first.

    Parameters
    ----------
    lists
        ``side, price, size``.
    ends
        How far the list reaches on each side: a price, or None for all of it.
    """
    frames = []
    for side in _SIDES:
        if side not in book.trusted or side not in ends:
            continue
        theirs = lists.filter(pl.col("side") == int(side)).select("price", "size")
        mine = book.side(side)
        for end in (book.trusted[side], ends[side]):
            if end is not None:
                theirs, mine = theirs.filter(~beyond(side, end)), mine.filter(~beyond(side, end))
        frames.append(
            theirs.join(mine, on="price", how="full", coalesce=True, suffix="_book")
            .select(pl.lit(int(side), pl.Int8).alias("side"), "price", "size", "size_book")
            .sort("price", descending=side == Side.BID)
        )
    return (
        pl.concat(frames)
        if frames
        else pl.DataFrame(schema=pl.Schema({**BOOK, "size_book": pl.Decimal(38, 18)}))
    )

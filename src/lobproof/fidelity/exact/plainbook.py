"""A book in plain frames: slow, short, and made of nothing that made the store."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from lobproof.fidelity.exact.walk import Window
from lobproof.schema import EVERYTHING, UNTRUSTED, Flag, Side

BOOK = pl.Schema({"side": pl.Int8(), "price": pl.Decimal(38, 18), "size": pl.Decimal(38, 18)})


class PlainBook:
    """A book as a frame of levels: the last size that was said of each price.

    ``trusted`` maps each side that is known to be complete to how far: a price, or None for all
    of it.
    """

    def __init__(self) -> None:
        self.levels = pl.DataFrame(schema=BOOK)
        self.trusted: dict[Side, Decimal | None] = {}
        self._dt = ""

    def enter(self, window: Window, dt: str) -> bool:
        """Go on into a day; where it does not join the last one, with the book that opens it.

        That is the one that the store keeps. Returns whether it was taken.
        """
        joined = self._dt != "" and window.joined(self._dt, dt)
        self._dt = dt
        if joined:
            return False
        self.clear()
        frame = (
            window.table("keyframes")
            .filter((pl.col("dt") == dt) & (pl.col("event_id") < 0))
            .collect()
        )
        self.changes(frame.filter(pl.col("price") > 0))
        for side in (Side.BID, Side.ASK):
            header = frame.filter((pl.col("side") == int(side)) & (pl.col("price") == 0))
            if header.height and header["trust"][0] != UNTRUSTED:
                complete = header["trust"][0] == EVERYTHING
                self.trusted[side] = None if complete else header["trusted_to"][0]
        return True

    def changes(self, rows: pl.DataFrame) -> None:
        """Level changes in order; 0 removes."""
        self.levels = (
            pl.concat([self.levels, rows.select(list(BOOK))])
            .unique(["side", "price"], keep="last", maintain_order=True)
            .filter(pl.col("size") > 0)
        )

    def clear(self) -> None:
        """Nothing is known from here."""
        self.levels = self.levels.clear()
        self.trusted = {}

    def gap(self) -> None:
        """Changes are missing: what is there may be right, but need not be."""
        self.trusted = {}

    def snapshot(self, rows: pl.DataFrame) -> None:
        """A snapshot's rows: each side from the touch to its worst price is as listed."""
        for side in (Side.BID, Side.ASK):
            listed = rows.filter(pl.col("side") == int(side))
            if not listed.height:
                continue
            worst = listed["price"][-1]
            complete = bool(listed["flags"][0] & int(Flag.COMPLETE))
            stale = (pl.col("side") == int(side)) & (
                pl.lit(value=True) if complete else ~beyond(side, worst)
            )
            self.levels = self.levels.filter(~stale)
            known = self.trusted.get(side, worst)
            wider = known is not None and (worst < known if side == Side.BID else worst > known)
            self.trusted[side] = None if complete else (worst if wider else known)
        self.changes(rows)

    def side(self, side: Side) -> pl.DataFrame:
        """Levels of one side, best first: ``price, size``."""
        rows = self.levels.filter(pl.col("side") == int(side)).select("price", "size")
        return rows.sort("price", descending=side == Side.BID)


def beyond(side: Side, price: Decimal) -> pl.Expr:
    """Whether ``price`` lies further from the touch than a price."""
    limit = pl.lit(price, pl.Decimal(38, 18))
    return pl.col("price") < limit if side == Side.BID else pl.col("price") > limit

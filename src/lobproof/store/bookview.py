"""``BookView``: a stored book at an instant, as `Store.book_at` gives it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from functools import cached_property
from html import escape

import numpy as np
import polars as pl
import pyarrow as pa

from lobproof.fixedpoint import count_to_text, to_decimal128
from lobproof.schema import EVERYTHING, RANGE, UNTRUSTED, Int64, Side
from lobproof.schema.provenance import made_of
from lobproof.store.columns import Grid
from lobproof.timespan import show_ns

_SHOWN = 10
"""Levels a side of the ladder that a notebook shows."""


class Trust(IntEnum):
    """What is known of a side: nothing, a range from the touch on, or everything."""

    UNTRUSTED = UNTRUSTED
    RANGE = RANGE
    EVERYTHING = EVERYTHING


@dataclass(frozen=True, slots=True, eq=False)
class SideLevels:
    """One side: all its levels, best first, in counts, and what is trusted of them.

    ``trust`` is UNTRUSTED, RANGE or EVERYTHING; ``end`` the price at the far end of a RANGE.
    """

    side: Side
    prices: Int64
    sizes: Int64
    trust: Trust
    end: int

    def frame(self, grid: Grid, *, usable: bool) -> pl.DataFrame:
        """``price``, ``size`` and ``trusted``; nothing is trusted of a book that is not usable."""
        trusted = np.full(len(self.prices), usable and self.trust == EVERYTHING)
        if usable and self.trust == RANGE:
            sign = 2 * int(self.side) - 3
            trusted = sign * self.prices <= sign * self.end
        table = pa.table(
            {
                "price": to_decimal128(self.prices, grid.price),
                "size": to_decimal128(self.sizes, grid.size),
                "trusted": trusted,
            }
        )
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        return frame

    def far_end(self, grid: Grid) -> Decimal | None:
        """The price at the end of a RANGE, else None."""
        if self.trust != RANGE:
            return None
        return Decimal(count_to_text(int(self.end), grid.price))


@dataclass(frozen=True, repr=False, eq=False)
class BookView:
    """The book after the last event at or before a time.

    ``bids`` and ``asks`` hold all levels, best first: ``price`` and ``size`` as exact
    ``Decimal(38, 18)``, and ``trusted``: whether the level is known to be right – its side is
    complete from the touch to there, the book is not crossed, no finding of ``quality`` puts the
    touch in doubt, and the book is still heard of (else ``doubtful``, for a ``reason``). A side's
    ``trust`` is UNTRUSTED, RANGE or EVERYTHING; ``trusted_to`` is the far end of a RANGE.

    A view is equal to itself alone; ``one.bids.equals(other.bids)`` compares what two hold.
    """

    exchange: str
    symbol: str
    provenance: str
    dt: str
    time_ns: int  # the instant that was asked for
    ts_order: int  # of the last event, ns
    event_id: int  # of the last event
    sequence: int  # update id of the last book message
    grid: Grid
    bid_levels: SideLevels
    ask_levels: SideLevels
    crossed: bool
    doubtful: bool
    reason: str  # why it is doubtful: findings, or how long nothing has been heard; else empty
    pending: bool  # whether trades that no depth message shows yet are taken off

    @property
    def usable(self) -> bool:
        """Whether anything of it can be trusted: it is neither in doubt nor crossed."""
        return not self.doubtful and not self.crossed

    @cached_property
    def bids(self) -> pl.DataFrame:
        """All bids, best first: ``price``, ``size``, ``trusted``."""
        return self.bid_levels.frame(self.grid, usable=self.usable)

    @cached_property
    def asks(self) -> pl.DataFrame:
        """All asks, best first: ``price``, ``size``, ``trusted``."""
        return self.ask_levels.frame(self.grid, usable=self.usable)

    @property
    def bid_trust(self) -> Trust:
        """UNTRUSTED, RANGE or EVERYTHING."""
        return self.bid_levels.trust

    @property
    def ask_trust(self) -> Trust:
        """UNTRUSTED, RANGE or EVERYTHING."""
        return self.ask_levels.trust

    @property
    def bid_trusted_to(self) -> Decimal | None:
        """The far end of a RANGE, else None."""
        return self.bid_levels.far_end(self.grid)

    @property
    def ask_trusted_to(self) -> Decimal | None:
        """The far end of a RANGE, else None."""
        return self.ask_levels.far_end(self.grid)

    @property
    def best_bid(self) -> Decimal | None:
        """Best bid price, None for an empty side."""
        return self._best(self.bid_levels)

    @property
    def best_ask(self) -> Decimal | None:
        """Best ask price, None for an empty side."""
        return self._best(self.ask_levels)

    def __repr__(self) -> str:
        """What it is of, the touch, how far it can be trusted, and why no further."""
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        """What ``repr`` says, over the best levels of both sides."""
        head = "<br>".join(escape(line) for line in self._lines())
        bids, asks = (side.head(_SHOWN).rows() for side in (self.bids, self.asks))
        rows = []
        for k in range(max(len(bids), len(asks))):
            bid = _cells(bids, k)
            ask = _cells(asks, k)
            rows.append("".join(f"<td>{text}</td>" for text in (bid[1], bid[0], ask[0], ask[1])))
        names = "".join(f"<th>{name}</th>" for name in ("bid size", "bid", "ask", "ask size"))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<p>{head}</p><table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"

    def _lines(self) -> list[str]:
        lines = [
            f"Book of {self.exchange} {self.symbol} ({made_of(self.provenance)}) "
            f"at {show_ns(self.time_ns)}",
            f"last event: {self.event_id:,} at {show_ns(self.ts_order)}",
            f"bids: {self._told(self.bid_levels)}",
            f"asks: {self._told(self.ask_levels)}",
        ]
        if self.crossed:
            lines.append("crossed")
        if self.doubtful:
            lines.append(f"in doubt: {self.reason}")
        if self.pending:
            lines.append("less the trades that no depth message shows yet")
        return lines

    def _told(self, side: SideLevels) -> str:
        if not len(side.prices):
            touch = "empty"
        else:
            price = count_to_text(int(side.prices[0]), self.grid.price)
            touch = f"{price} x {count_to_text(int(side.sizes[0]), self.grid.size)}"
        return f"{touch}; {len(side.prices):,} levels, {self._trusted(side)}"

    def _trusted(self, side: SideLevels) -> str:
        if not self.usable or side.trust == UNTRUSTED:
            return "none trusted"
        end = side.far_end(self.grid)
        return "trusted to the last" if end is None else f"trusted to {end:f}"

    def _best(self, side: SideLevels) -> Decimal | None:
        if not len(side.prices):
            return None
        return Decimal(count_to_text(int(side.prices[0]), self.grid.price))


def _cells(rows: list[tuple[Decimal, Decimal, bool]], k: int) -> tuple[str, str]:
    """Price and size of a level as text; what is not trusted is grey."""
    if k >= len(rows):
        return "", ""
    price, size, trusted = rows[k]
    # as stored they have eighteen decimals
    shown = [f"{number:f}".rstrip("0").rstrip(".") for number in (price, size)]
    if not trusted:
        shown = [f'<span style="opacity:.5">{text}</span>' for text in shown]
    return shown[0], shown[1]

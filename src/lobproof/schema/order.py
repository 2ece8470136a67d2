"""``Order``: how the two streams of a venue become one. It belongs to the source; seals keep it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Clock = Literal["E", "T"]
"""Which of the exchange's times of a depth message counts: when it was sent, or matched."""


@dataclass(frozen=True, slots=True)
class Order:
    """Book and trades in one order.

    Attributes
    ----------
    book_clock
        The time of a depth message that is its ``ts_event``.
    first_on_tie
        Which stream goes first where both have one ``ts_order``.
    lag_ns
        How far that clock lags behind the trades': ``ts_order`` of the book is earlier by it.
    """

    book_clock: Clock = "E"
    first_on_tie: Literal["book", "trade"] = "book"
    lag_ns: int = 0

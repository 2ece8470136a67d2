"""``Declared``: what a feed's streams are, as their names say. It belongs to the source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Declared:
    """What was declared of a feed; nothing of it is read off the data.

    Attributes
    ----------
    trades
        ``trade``: one for each maker's order; ``aggTrade``: those of a taker's order at one price
        together. Empty where nobody said.
    depth_ms
        Time between two depth messages while the book changes; None where nobody said.
    """

    trades: Literal["", "trade", "aggTrade"] = ""
    depth_ms: int | None = None

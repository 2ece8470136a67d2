"""``Kinds``: whether a store and a golden sample hold the same kinds of messages.

What trades and depth messages are is known from what was declared: the names of the sample's
streams, and what a seal keeps of those of its input. It is never read off the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from lobproof.fidelity.exact.window import Window
from lobproof.schema.declared import Declared
from lobproof.sources.golden import GoldenSample

_NOBODY = "nobody declared what they are"
_TRADES = {"": _NOBODY, "trade": "raw", "aggTrade": "aggregated by taker order"}


@dataclass(frozen=True, slots=True)
class Kinds:
    """What was declared of a store's days and of a golden sample."""

    ours: Declared
    golden: Declared

    @classmethod
    def of(cls, window: Window, sample: GoldenSample) -> Self:
        """Those of the days of a store that are looked at; of days that differ nothing is known."""
        return cls(window.declared, sample.declared)

    @property
    def same_trades(self) -> bool | None:
        """Whether the trades are of one kind; None where nobody said."""
        kinds = {self.ours.trades, self.golden.trades}
        return None if "" in kinds else len(kinds) == 1

    @property
    def same_speed(self) -> bool | None:
        """Whether the depth messages are of one speed; None where nobody said."""
        speeds = {self.ours.depth_ms, self.golden.depth_ms}
        return None if None in speeds else len(speeds) == 1

    @property
    def trades(self) -> str:
        """Of what kinds the trades are, in words."""
        ours, golden = (_TRADES[one.trades] for one in (self.ours, self.golden))
        return f"trades: ours {ours}, the sample's {golden}"

    @property
    def speeds(self) -> str:
        """Of what speeds the depth messages are, in words."""
        ours, golden = (
            _NOBODY if one.depth_ms is None else f"every {one.depth_ms} ms"
            for one in (self.ours, self.golden)
        )
        return f"depth messages: ours {ours}, the sample's {golden}"

"""``Policy``: how a feed is judged beside its ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lobproof.replay.state_kernels import (
    RESYNC_ALWAYS,
    RESYNC_NEVER,
    RESYNC_ON_DRIFT,
    WAIT_FOR_DELTAS,
    WAIT_FOR_NOTHING,
    WAIT_FOR_SNAPSHOTS,
)
from lobproof.schema.records import Record

_WAIT_FOR = {
    "deltas": WAIT_FOR_DELTAS,
    "snapshots": WAIT_FOR_SNAPSHOTS,
    "nothing": WAIT_FOR_NOTHING,
}
_RESYNC = {"never": RESYNC_NEVER, "drift": RESYNC_ON_DRIFT, "always": RESYNC_ALWAYS}


@dataclass(frozen=True, slots=True)
class Policy:
    """How a feed is judged beside its ids; the defaults are for one whose ids form a chain.

    ``chainless``: its ids show no loss (Crypto Lake), silence does. ``correct``: whether a
    vendor row that contradicts corrects the book (``drift``), any does (``always``), or one that
    contradicts only takes trust away (``never``). ``size_limit``: root
    mean square of relative size errors up to which one that differs in sizes alone corrects
    nothing. ``trades_wait_for``: what confirms that the book has lost what a trade took.
    """

    chainless: bool = False
    correct: Literal["drift", "always", "never"] = "drift"
    size_limit: float = 0.001
    trades_wait_for: Literal["deltas", "snapshots", "nothing"] = "deltas"

    def set_on(self, state: Record) -> None:
        """Write it into the state of a replay."""
        state.chainless = int(self.chainless)
        state.resync = _RESYNC[self.correct]
        state.trades_wait_for = _WAIT_FOR[self.trades_wait_for]

"""What a stretch of the replay gives: states, findings, minutes, and the book as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lobproof.book.kernels import Book, dump_side, side_count, trust, trusted_to
from lobproof.instruments import Instrument
from lobproof.replay import ledger_kernels as ledger
from lobproof.replay.ledger_kernels import (
    M_ASK_REACH,
    M_BID_REACH,
    M_MINUTE,
    M_RANKS,
    M_SIZES,
    M_SPREAD_COUNT,
    M_SPREAD_MAX,
    M_SPREAD_SUM,
    M_TRUSTED_MIN,
    NO_REACH,
    PRICE_SQUARES,
    SEQUENCE,
    SIZE_SQUARES,
    SNAPSHOT_TRUST,
    STALE,
    WAITING,
    WHOLE_SIDE,
)
from lobproof.replay.merge import Stretch
from lobproof.replay.settle_kernels import (
    S_ASK_TRUSTED,
    S_BID_TRUSTED,
    S_FLAGS,
    S_ID,
    S_LEVELS,
    S_SEQUENCE,
    S_TS,
    S_TS_EVENT,
)
from lobproof.schema import EventBatch, Int64, Side, StateBatch
from lobproof.schema.tables import MINUTES

_COUNTED = {
    "minute": ledger.M_MINUTE,
    "first_event_id": ledger.M_FIRST,
    "last_event_id": ledger.M_LAST,
    "book_messages": ledger.M_BOOK_MESSAGES,
    "delta_rows": ledger.M_DELTA_ROWS,
    "snapshots": ledger.M_SNAPSHOTS,
    "gaps": ledger.M_GAPS,
    "crossed_messages": ledger.M_CROSSED,
    "doubtful_messages": ledger.M_DOUBTFUL,
    "longest_silence": ledger.M_SILENCE,
    "trades": ledger.M_TRADES,
    "buy_volume": ledger.M_BUY_VOLUME,
    "sell_volume": ledger.M_SELL_VOLUME,
    "explained_volume": ledger.M_EXPLAINED,
    "refilled_volume": ledger.M_REFILLED,
    "transient_volume": ledger.M_TRANSIENT,
    "grown_volume": ledger.M_GROWN,
    "unnamed_volume": ledger.M_UNNAMED_VOLUME,
    "unnamed_trades": ledger.M_UNNAMED_TRADES,
    "prints": ledger.M_PRINTS,
    "far_prints": ledger.M_FAR_PRINTS,
    "references": ledger.M_REFERENCES,
    "contradictions": ledger.M_CONTRADICTIONS,
    "drift_compared": ledger.M_DRIFT_COMPARED,
    "drift_equal": ledger.M_DRIFT_EQUAL,
    "drift_ghosts": ledger.M_DRIFT_GHOSTS,
    "drift_missing": ledger.M_DRIFT_MISSING,
}
"""Where the kernels count the columns of `minutes` that are plain counts."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a stretch of events gave: states, findings as episodes, closed minutes."""

    states: StateBatch
    episodes: Int64
    minutes: dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Piece:
    """Events of a day, inserted ones among them, what they gave, and what is left to replay."""

    parts: Sequence[EventBatch]
    step: Step
    rest: Stretch

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def events(self) -> EventBatch:
        """All parts as one batch, copied where they are more than one."""
        return EventBatch.concat(self.parts)


@dataclass(frozen=True, slots=True)
class BookLevels:
    """The whole book, best first, counts on the grid, with the trusted range of each side.

    ``stale``: beyond that range may lie levels from before a loss. ``listed``: what a snapshot
    lists whose id lies inside the next depth message, until that one comes, as trust and far end.
    ``awaits``: that message may undo the snapshot; what was before it is not here.
    """

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


def levels_of(book: Book, run: Int64) -> BookLevels:
    """The whole book as it stands in a run."""
    sides = []
    for side in (int(Side.BID), int(Side.ASK)):
        count = side_count(book, side)
        prices, sizes = np.empty(count, np.int64), np.empty(count, np.int64)
        dump_side(book, side, prices, sizes)
        sides.append((prices, sizes, int(trust(book, side)), int(trusted_to(book, side))))
    (bids, bid_sizes, bid_trust, bid_to), (asks, ask_sizes, ask_trust, ask_to) = sides
    listed = range(SNAPSHOT_TRUST, SNAPSHOT_TRUST + 4)
    known = (SEQUENCE, STALE, STALE + 1, *listed, WAITING)
    sequence, *others = run[list(known)].tolist()
    return BookLevels(
        sequence, bids, bid_sizes, asks, ask_sizes, bid_trust, bid_to, ask_trust, ask_to, *others
    )


def states_of(rows: Int64) -> StateBatch:
    """Rows of states as the kernel writes them, as a batch; levels are a view."""
    return StateBatch(
        rows[:, S_ID].copy(),
        rows[:, S_TS].copy(),
        rows[:, S_TS_EVENT].copy(),
        rows[:, S_SEQUENCE].copy(),
        rows[:, S_LEVELS:],
        rows[:, S_BID_TRUSTED].astype(np.int8),
        rows[:, S_ASK_TRUSTED].astype(np.int8),
        rows[:, S_FLAGS].astype(np.int32),
    )


def minute_columns(
    counts: Int64, squares: NDArray[np.float64], instrument: Instrument
) -> dict[str, NDArray[np.generic]]:
    """Closed minutes as columns of ``minutes``, volumes as grid counts."""
    tick = np.array([instrument.rule_at(ts).tick for ts in counts[:, M_MINUTE].tolist()], np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_spread = counts[:, M_SPREAD_SUM] / counts[:, M_SPREAD_COUNT] / tick
        price_rmse = np.sqrt(squares[:, PRICE_SQUARES] / counts[:, M_RANKS])
        size_rmse = np.sqrt(squares[:, SIZE_SQUARES] / counts[:, M_SIZES])
    columns: dict[str, NDArray[np.generic]] = {
        **{name: counts[:, at].copy() for name, at in _COUNTED.items()},
        "spread_ticks_mean": mean_spread,
        "spread_ticks_max": counts[:, M_SPREAD_MAX] // tick,
        "trusted_levels_min": np.maximum(counts[:, M_TRUSTED_MIN], 0),
        "bid_trusted_ticks": _reach(counts[:, M_BID_REACH], tick),
        "ask_trusted_ticks": _reach(counts[:, M_ASK_REACH], tick),
        "price_rmse_ticks": price_rmse,
        "size_rmse_rel": size_rmse,
    }
    if columns.keys() != set(MINUTES.schema.names):
        raise ValueError(f"no such minutes: {sorted(columns.keys() ^ set(MINUTES.schema.names))}")
    return {name: columns[name] for name in MINUTES.schema.names}


def _reach(counts: Int64, tick: Int64) -> NDArray[np.float64]:
    """How far a side is trusted, in ticks: NaN not at all, infinite to its end."""
    ticks = np.where(counts == WHOLE_SIDE, np.inf, counts / tick)
    return np.where(counts == NO_REACH, np.nan, ticks)


def joined(steps: Sequence[Step]) -> Step:
    """Steps one after the other as one."""
    if len(steps) == 1:
        return steps[0]
    return Step(
        StateBatch.concat([step.states for step in steps]),
        np.concatenate([step.episodes for step in steps]),
        {
            name: np.concatenate([step.minutes[name] for step in steps])
            for name in MINUTES.schema.names
        },
    )

"""``ReplayWatch``: what a replay shows of messages and trades, as it goes by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.assess.histogram import Histogram
from lobproof.assess.times import TimeProfile
from lobproof.fidelity.exact.ids import SeenIds
from lobproof.replay import Chunk
from lobproof.schema import LEVELS, EventBatch, Flag, Int64, Kind, Side
from lobproof.schema.codes import speaks_of_the_feed

MOST_BEHIND = 4_000
"""A trade that comes behind more depth messages than this is counted as so many."""
_AT_A_TIME = 1 << 15
_BPS_UNITS = 10_000
"""Distances are counted in 1/10,000 of a basis point."""


@dataclass(frozen=True, slots=True)
class Messages:
    """Depth messages by their ids, sizes and times.

    ``steps_of_one``: of the ``steps`` from one message's id to the next; ``missing_ids``: ids that
    the chain names and no message has, of the ``spanned_ids``, both None where the feed has no
    chain. ``rows`` and ``spacing_ms`` are quantiles: p50, p95, p99 and the largest.
    """

    messages: int
    empty: int
    steps: int
    steps_of_one: int
    backward: int
    missing_ids: int | None
    spanned_ids: int | None
    rows: Mapping[str, float | None]
    spacing_ms: Mapping[str, float | None]
    sizes: Mapping[int, int]
    """Messages by floor(2 log2(rows))."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Prints:
    """Trades beside the trusted touch before them, and behind depth messages.

    ``far_bps``: quantiles of their distance from the touch; ``behind``: trades by how many depth
    messages of a later exchange time had been received before them; ``late_p99``: its quantile.
    """

    trades: int
    compared: int
    at: int
    through: int
    inside: int
    far_bps: Mapping[str, float | None]
    distances: Mapping[int, int]
    """Trades away from the touch by floor(2 log2(distance)), in 1/10,000 of a basis point."""
    timed: int
    in_order: int
    late_p50: int
    late_p99: int
    late_most: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class ReplayWatch:
    """Called with each chunk of one replay.

    Parameters
    ----------
    depth, trades
        Take in the times of depth messages and of trades, where the source has no other pass.
    """

    def __init__(self, depth: TimeProfile | None = None, trades: TimeProfile | None = None) -> None:
        self._profiles = depth, trades
        self._rows, self._spacing = Histogram(), Histogram()
        self._counts = dict.fromkeys(("messages", "empty", "steps", "ones", "backward"), 0)
        self._last_id = self._first_id = -1
        self._highest = self._chain_from = -1
        self._ids = SeenIds()
        self._last_ts = 0
        self._event = 0
        self._touch = np.zeros((1, 3), np.int64)
        self._prints = dict.fromkeys(("trades", "compared", "at", "through", "inside"), 0)
        self._far, self._off = Histogram(), Histogram()
        self._behind = np.zeros(MOST_BEHIND + 1, np.int64)
        self._heard: list[tuple[Int64, Int64]] = []
        self._waiting: list[tuple[Int64, Int64]] = []
        self._kept = 0

    def __call__(self, chunk: Chunk) -> None:
        """Take in the next chunk."""
        if not len(chunk):
            return
        events = chunk.events
        self._add_messages(events)
        self._add_trades(events, chunk)
        self._event += len(events)
        if self._kept >= _AT_A_TIME:
            self._compare_arrivals(last=False)

    def messages(self) -> Messages:
        """What was seen of depth messages."""
        chained = self._chain_from >= 0
        return Messages(
            self._counts["messages"],
            self._counts["empty"],
            self._counts["steps"],
            self._counts["ones"],
            self._counts["backward"],
            self._ids.missing if chained else None,
            self._highest - self._chain_from if chained else None,
            _quantiles(self._rows, 1, 0),
            _quantiles(self._spacing, 1e6, 1),
            self._rows.coarse(2),
        )

    def prints(self) -> Prints:
        """What was seen of trades; there are no more."""
        self._compare_arrivals(last=True)
        passed = np.cumsum(self._behind)
        timed = int(passed[-1])

        def late(share: float) -> int:
            return int(np.searchsorted(passed, share * timed)) if timed else 0

        return Prints(
            **self._prints,
            far_bps={
                f"p{round(share * 100)}": None if one is None else round(one / _BPS_UNITS, 4)
                for share in (0.5, 0.95, 0.99)
                for one in (self._far.quantile(share),)
            },
            distances=self._off.coarse(2),
            timed=timed,
            in_order=int(self._behind[0]),
            late_p50=late(0.5),
            late_p99=late(0.99),
            late_most=late(1.0),
        )

    def _add_messages(self, events: EventBatch) -> None:
        """Messages of the chain: deltas, and empty ones."""
        ends = np.flatnonzero(events.flags & Flag.LAST)
        sizes = np.diff(ends, prepend=-1)
        kinds, previous = events.kind[ends], events.prev_sequence[ends]
        deltas = kinds == Kind.DELTA
        empty = (kinds == Kind.MARK) & ~speaks_of_the_feed(events.flags[ends], previous)
        empty &= events.sequence[ends] > 0
        ours = deltas | empty
        if not ours.any():
            return
        rows = ends[ours]
        ids, previous = events.sequence[rows], previous[ours]
        self._counts["messages"] += len(rows)
        self._counts["empty"] += int(empty.sum())
        self._rows.add(sizes[deltas])
        steps = np.diff(ids, prepend=ids[0] if self._last_id < 0 else self._last_id)
        steps = steps[1:] if self._last_id < 0 else steps
        self._counts["steps"] += len(steps)
        self._counts["ones"] += int((steps == 1).sum())
        self._counts["backward"] += int((steps < 0).sum())
        self._last_id = int(ids[-1])
        if (previous >= 0).all():
            self._add_chain(ids, previous)
        sent = events.ts_event[rows]
        known = sent[sent > 0]
        if len(known):
            times = known if self._last_ts == 0 else np.concatenate([[self._last_ts], known])
            self._spacing.add(np.maximum(np.diff(times), 0))
            self._last_ts = int(known[-1])
        received = events.ts_recv[rows]
        if self._profiles[0] is not None:
            self._profiles[0].add(sent, received)
        both = (sent > 0) & (received > 0)
        self._heard.append((sent[both], received[both]))
        self._kept += int(both.sum())

    def _add_chain(self, ids: Int64, previous: Int64) -> None:
        if self._chain_from < 0:
            self._chain_from = int(previous[0])
        self._ids.add(previous + 1, ids)
        self._highest = max(self._highest, int(ids.max()))

    def _add_trades(self, events: EventBatch, chunk: Chunk) -> None:
        states = chunk.output.states
        touch = np.column_stack(
            [
                states.levels[:, 0],
                states.levels[:, 2 * LEVELS],
                (states.bid_trusted > 0) & (states.ask_trusted > 0),
            ]
        ).astype(np.int64)
        touch = np.concatenate([self._touch, touch])
        self._touch = touch[-1:]
        rows = np.flatnonzero(events.kind == Kind.TRADE)
        if not len(rows):
            return
        sent, received = events.ts_event[rows], events.ts_recv[rows]
        if self._profiles[1] is not None:
            self._profiles[1].add(sent, received)
        self._waiting.append((sent, received))
        self._prints["trades"] += len(rows)
        before = touch[np.searchsorted(states.event_id, rows + self._event)]
        bid, ask, trusted = before.T
        side, price = events.side[rows], events.price[rows]
        good = (trusted > 0) & (bid > 0) & (ask > bid) & (side != Side.NONE)
        far = np.where(side == Side.BUY, price - ask, bid - price)[good]
        self._prints["compared"] += len(far)
        self._prints["at"] += int((far == 0).sum())
        self._prints["through"] += int((far > 0).sum())
        self._prints["inside"] += int((far < 0).sum())
        middle = (bid[good] + ask[good]) / 2
        distance = np.abs(np.rint(far / middle * 1e4 * _BPS_UNITS)).astype(np.int64)
        self._far.add(distance)
        self._off.add(distance[distance > 0])

    def _compare_arrivals(self, *, last: bool) -> None:
        """Of trades that enough depth messages follow: behind how many of them they came."""
        if not self._heard or not self._waiting:
            self._heard = self._heard if not last else []
            return
        sent, received = (np.concatenate(column) for column in zip(*self._heard, strict=True))
        order, arrived = np.maximum.accumulate(sent), np.maximum.accumulate(received)
        traded, came = (np.concatenate(column) for column in zip(*self._waiting, strict=True))
        usable = (traded > 0) & (came > 0)
        limit = order[-MOST_BEHIND // 2] if len(order) > MOST_BEHIND and not last else None
        ready: NDArray[np.bool_] = (
            np.full(len(traded), last) if limit is None else np.asarray(traded <= limit)
        )
        ours = ready & usable
        behind = np.searchsorted(arrived, came[ours]) - np.searchsorted(
            order, traded[ours], side="right"
        )
        self._behind += np.bincount(np.clip(behind, 0, MOST_BEHIND), minlength=MOST_BEHIND + 1)
        self._waiting = [(traded[~ready], came[~ready])]
        self._heard = [(sent[-MOST_BEHIND:], received[-MOST_BEHIND:])]
        self._kept = 0


def _quantiles(histogram: Histogram, unit: float, digits: int) -> dict[str, float | None]:
    found = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    values = {name: histogram.quantile(share) for name, share in found.items()}
    return {
        name: None if one is None else round(one / unit, digits)
        for name, one in {**values, "most": histogram.largest}.items()
    }

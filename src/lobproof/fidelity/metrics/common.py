"""``Common``: the form that two feeds of one market share, and an observer of that alone.

Raw trades and those aggregated by taker order are the same once neighbours of one time, price and
side are put together; books of depth messages of two speeds are where both have one update id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.metrics.blocks import Blocks, Scale
from lobproof.fidelity.metrics.observer import Observer
from lobproof.instruments import Instrument
from lobproof.schema import EventBatch, Int64, Kind, StateBatch


@dataclass(frozen=True, slots=True, eq=False)
class Common:
    """What is measured of a feed where another one cuts the market into other messages.

    ``trades``: neighbours of one time, price and taker's side are put together. ``ids``: the update
    ids, rising, at which the book is looked at; None: at all of them.
    """

    trades: bool = False
    ids: Int64 | None = None

    def __bool__(self) -> bool:
        """Whether anything is left of what a feed has of its own."""
        return self.trades or self.ids is not None


AS_THEY_ARE = Common()
TOGETHER = Common(trades=True)


def begins(
    times: Int64, prices: NDArray[np.generic], sides: NDArray[np.generic]
) -> NDArray[np.bool_]:
    """Whether each trade, in order, has another time, price or side than the one before."""
    anew = np.ones(len(times), np.bool_)
    anew[1:] = False
    for column in (times, prices, sides):
        anew[1:] |= column[1:] != column[:-1]
    return anew


def observer_of(
    instrument: Instrument, scale: Scale, start: int = 0, common: Common = AS_THEY_ARE
) -> Observer:
    """An observer of a feed as it is, or of what it has in common with another."""
    return (
        _CommonObserver(instrument, scale, start, common)
        if common
        else Observer(instrument, scale, start)
    )


class _CommonObserver(Observer):
    """Holds back what is of the last time, of which more may come."""

    def __init__(self, instrument: Instrument, scale: Scale, start: int, common: Common) -> None:
        super().__init__(instrument, scale, start)
        self._common = common
        self._ids: Int64 = np.zeros(0, np.int64)
        self._events, self._books = EventBatch.empty(), StateBatch.empty()

    def add(self, parts: Sequence[EventBatch], states: StateBatch, first_id: int) -> None:
        """Go on with whole messages, and a state for each depth message among them."""
        events = EventBatch.concat([EventBatch.empty(), *parts])
        self.add_some(first_id + np.arange(len(events)), events, states)

    def add_some(self, ids: Int64, events: EventBatch, states: StateBatch) -> None:
        """The same where some events were left out: ``ids`` are those of the others."""
        ids = np.concatenate([self._ids, ids])
        events = EventBatch.concat([self._events, events])
        books = StateBatch.concat([self._books, states])
        last = max([int(one.ts_order[-1]) for one in (events, books) if len(one)], default=0)
        met, seen = (int(np.searchsorted(one.ts_order, last)) for one in (events, books))
        self._give(ids[:met], events.slice(0, met), books.slice(0, seen))
        self._ids, self._events = ids[met:], events.slice(met, len(events))
        self._books = books.slice(seen, len(books))

    def finish(self, last_ts: int = 0, stop: int = 0) -> Blocks:
        """The blocks; the grid ends with the last event, or as an `Observer`'s does."""
        held = [int(one.ts_order[-1]) for one in (self._events, self._books) if len(one)]
        self._give(self._ids, self._events, self._books)
        return super().finish(max([last_ts, *held]), stop)

    def _give(self, ids: Int64, events: EventBatch, books: StateBatch) -> None:
        """Have what is in common observed, of times that are whole."""
        if self._common.ids is not None and len(books):
            books = books.take(np.flatnonzero(_among(books.sequence, self._common.ids)))
        if self._common.trades and len(events):
            ids, events = _put_together(ids, events)
        super().add_some(ids, events, books)


def _among(values: Int64, rising: Int64) -> NDArray[np.bool_]:
    """Whether each value is one of those that rise."""
    place = np.searchsorted(rising, values)
    found = np.zeros(len(values), np.bool_)
    inside = place < len(rising)
    found[inside] = rising[place[inside]] == values[inside]
    return found


def _put_together(ids: Int64, events: EventBatch) -> tuple[Int64, EventBatch]:
    """Neighbouring trades of one time, price and side as one, in the first one's place."""
    rows = np.flatnonzero(events.kind == int(Kind.TRADE))
    if not len(rows):
        return ids, events
    anew = begins(events.ts_order[rows], events.price[rows], events.side[rows])
    sizes = np.add.reduceat(events.size[rows], np.flatnonzero(anew))
    kept = np.ones(len(events), np.bool_)
    kept[rows[~anew]] = False
    events = events.copy()
    events.size[rows[anew]] = sizes
    at = np.flatnonzero(kept)
    return ids[at], events.take(at)

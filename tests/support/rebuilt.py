"""States held against the stored events applied to a keyframe, as `book_at` does."""

from __future__ import annotations

from collections.abc import Sequence
from operator import le

import numpy as np

from lobproof.book import BookImage
from lobproof.book.kernels import Book, crossed, ensure_far_capacity, top
from lobproof.book.trust_kernels import known_behind, slots_within
from lobproof.schema import LEVELS, UNTRUSTED, EventBatch, Flag, StateBatch
from lobproof.schema.records import Record
from lobproof.store.bookview import book_of
from lobproof.store.keyframe import Keyframe
from lobproof.store.rebuild_kernels import apply_events
from support.feeds import ASK, BID


def nothing() -> Keyframe:
    """The opening keyframe of a day without one before."""
    none = np.zeros(0, np.int64)
    return Keyframe(-1, 0, BookImage(-1, none, none, none, none, UNTRUSTED, 0, UNTRUSTED, 0))


def same_at_every_state(
    events: EventBatch, states: StateBatch, frames: Sequence[Keyframe], tick: int = 1
) -> None:
    """Hold the states behind each keyframe against the stored events applied to it.

    One that awaits the judgement on a snapshot may lead to less trust, not to other levels.
    """
    ends = np.flatnonzero(events.flags & Flag.LAST) + 1
    for frame in frames:
        book, rebuilds = book_of(frame, tick)
        rebuild = rebuilds[0]
        start = frame.event_id + 1
        rows = iter(np.flatnonzero(states.event_id >= start).tolist())
        row = next(rows, None)
        for stop in ends[ends > start].tolist():
            part = events.slice(start, stop)
            book = ensure_far_capacity(book, len(part))
            apply_events(book, rebuild, part.rows, 0, len(part))
            start = stop
            if row is not None and states.event_id[row] == stop - 1:
                found = [claim(book, rebuild.trust, side) for side in (BID, ASK)]
                levels = states.levels[row].reshape(2, LEVELS, 2).tolist()
                slots = [int(states.bid_trusted[row]), int(states.ask_trusted[row])]
                if frame.book.awaits:
                    fewer = [claimed for _, claimed in found]
                    assert all(map(le, fewer, slots)), (frame.event_id, stop - 1)
                    found = [(told[:n], n) for told, n in found]
                    levels = [told[:n] for told, n in zip(levels, fewer, strict=True)]
                    slots = fewer
                assert found == list(zip(levels, slots, strict=True)), (frame.event_id, stop - 1)
                row = next(rows, None)
        assert row is None


def claim(book: Book, trust: Record, side: int) -> tuple[list[list[int]], int]:
    """The twenty best levels of a side, and how many of them are trusted."""
    prices, sizes = np.zeros((2, LEVELS), np.int64)
    count = top(book, side, LEVELS, prices, sizes)
    slots = slots_within(side, *known_behind(trust, side), prices, count, LEVELS)
    levels = np.stack([prices, sizes], axis=1)
    levels[count:] = 0
    return levels.tolist(), 0 if crossed(book) else int(slots)

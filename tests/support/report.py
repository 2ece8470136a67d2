"""Small stores for the report page: messages by hand, replayed and sealed as a task would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from lobproof.instruments import Instrument
from lobproof.pipeline.day import DayTask
from lobproof.replay import Replayer, Segment
from lobproof.schema import EventBatch, Flag, Kind, Side
from lobproof.store import DayWriter, commit_day, symbol_lock
from support.batches import DT, START_NS, make_day, make_instrument, make_seal

SECOND = 10**9
MINUTE = 60 * SECOND

Row = tuple[int, int, int, int]
"""Kind, side, price and size in counts."""
Message = tuple[int, int, int, Sequence[Row], int]
"""Seconds after the day's start, sequence, previous sequence, rows, flags."""


def anchor(
    at: int, sequence: int, bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]]
) -> Message:
    """A snapshot of the whole book."""
    rows: list[Row] = [(Kind.CLEAR, Side.NONE, 0, 0)]
    rows += [(Kind.SNAPSHOT, Side.BID, price, size) for price, size in bids]
    rows += [(Kind.SNAPSHOT, Side.ASK, price, size) for price, size in asks]
    return at, sequence, sequence, rows, int(Flag.RESYNC | Flag.COMPLETE)


def depth(at: int, sequence: int, *levels: tuple[int, int, int]) -> Message:
    """A depth message of levels (side, price, size)."""
    return at, sequence, sequence - 1, [(Kind.DELTA, *level) for level in levels], 0


def mark(at: int, sequence: int, flags: int = 0, before: int | None = None) -> Message:
    """A row without a level."""
    previous = sequence - 1 if before is None else before
    return at, sequence, previous, [(Kind.MARK, Side.NONE, 0, 0)], flags


def trade(at: int, number: int, taker: int, price: int, size: int) -> Message:
    """One trade."""
    return at, number, number - 1, [(Kind.TRADE, taker, price, size)], 0


def batch_of(messages: Sequence[Message], start_ns: int = START_NS) -> EventBatch:
    """Messages as rows of events."""
    rows = [
        (
            start_ns + at * SECOND,
            start_ns + at * SECOND,
            start_ns + at * SECOND + 5000,
            sequence,
            previous,
            *row,
            flags | (int(Flag.LAST) if number == len(levels) - 1 else 0),
        )
        for at, sequence, previous, levels, flags in messages
        for number, row in enumerate(levels)
    ]
    columns = np.array(rows, np.int64).T
    batch = EventBatch.empty(len(rows))
    for field, column in zip(fields(EventBatch), columns, strict=True):
        getattr(batch, field.name)[:] = column
    return batch


def random_events(seed: int = 1, messages: int = 400) -> EventBatch:
    """The events of a random day with an anchor, depth messages, trades and marks."""
    events = make_day(seed, messages).events
    events.flags &= int(Flag.LAST | Flag.RESYNC | Flag.COMPLETE)
    return events


def build_store(
    root: Path,
    events: EventBatch,
    *,
    instrument: Instrument | None = None,
    dt: str = DT,
    states: bool = True,
    **seal: object,
) -> str:
    """Replay and seal a day; returns the hash of its keyframes."""
    instrument = instrument or make_instrument()
    with (
        symbol_lock(root, instrument.exchange, instrument.symbol),
        DayWriter(root, instrument, dt, states=states) as writer,
    ):
        replayer = Replayer(instrument, state_every=0 if states else -1)
        task = DayTask(dt, replayer, writer, keyframe_ns=30 * SECOND, strict=False)
        task.append(Segment.of(events))
        content, counts = task.finish(), task.counts
        assert content is not None
        known: dict[str, object] = {
            "trades": counts.trades,
            "book_messages": counts.book_messages,
            "gaps": counts.gaps,
            "doubtful_ns": counts.doubtful_ns,
            "warm_up_ns": counts.warm_up_ns,
            "coverage": task.coverage,
        }
        commit_day(root, content, make_seal(**{**known, **seal}))
    return content.hashes["keyframes"]

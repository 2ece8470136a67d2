"""Events, messages of them, and vendor rows; messages by hand; to and from lobproof's columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from typing import NamedTuple

import numpy as np

from lobproof.schema import LEVELS, EventBatch, Flag, Kind, Side, VendorBatch

MS = 10**6
MINUTE = 60 * 10**9
DAY_NS = 86_400 * 10**9
START = 1_723_100_400 * 10**9
"""2024-08-08T07:00 UTC: the time 0 of messages by hand."""
OFFSET = 5 * MS
"""How late a message by hand is received, unless said."""
BID, ASK = int(Side.BID), int(Side.ASK)
LAST = int(Flag.LAST)

Level = tuple[int, int]
"""A price and the size that rests there, in counts."""


class Change(NamedTuple):
    """A level's new size; 0 removes it."""

    side: int
    price: int
    size: int


@dataclass(slots=True)
class Event:
    """A row of ``events``; the fields are those of ``EventBatch``."""

    ts_order: int = 0
    ts_event: int = 0
    ts_recv: int = 0
    sequence: int = 0
    prev_sequence: int = 0
    kind: int = Kind.MARK
    side: int = Side.NONE
    price: int = 0
    size: int = 0
    flags: int = 0


@dataclass(slots=True)
class VendorRow(Event):
    """A row of Crypto Lake's `book`: an event of no kind, so that clock and merge take it as it is.

    Twenty slots a side; one that is not used is 0, 0.
    """

    kind: int = 0
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()
    ts_behind: int = 0

    @property
    def slots(self) -> list[int]:
        """All 80 numbers, as in a ``VendorBatch``."""
        sides = [[*side, *[(0, 0)] * (LEVELS - len(side))] for side in (self.bids, self.asks)]
        return [number for side in sides for level in side for number in level]


Message = list[Event]
"""The events that belong together; the last one has the flag LAST. Or one vendor row."""


def message_of(events: Iterable[Event], **head: int) -> Message:
    """Events with the ``head``'s fields as one message."""
    message = [replace(event, **head) for event in events]
    message[-1].flags |= LAST
    return message


# messages by hand --------------------------------------------------------------------------------


def level(kind: int, side: int, price: int, size: int) -> Event:
    """An event of a level, or of a trade."""
    return Event(kind=int(kind), side=int(side), price=price, size=size)


def bid(price: int, size: int) -> Change:
    """A bid's new size."""
    return Change(BID, price, size)


def ask(price: int, size: int) -> Change:
    """An ask's new size."""
    return Change(ASK, price, size)


def depth(
    seq: int,
    prev: int,
    changes: Iterable[Change] = (),
    *,
    at: int = 0,
    recv: int | None = None,
) -> Message:
    """A depth message ``at`` ns after the start; received on time unless said."""
    time = START + at
    rows = [level(Kind.DELTA, *change) for change in changes]
    received = time + OFFSET if recv is None else recv
    return message_of(
        rows or [Event()], ts_event=time, ts_recv=received, sequence=seq, prev_sequence=prev
    )


def delta(seq: int, changes: Sequence[Change], *, at: int = 0) -> Message:
    """A message of Crypto Lake's ``book_delta_v2``: it does not say what went before."""
    return depth(seq, -1, changes, at=at)


def snapshot(
    seq: int,
    bids: Iterable[Level],
    asks: Iterable[Level],
    *,
    at: int = 0,
    whole: bool = False,
) -> Message:
    """A snapshot; ``whole`` marks its sides as complete."""
    received = START + at + OFFSET
    flags = int(Flag.COMPLETE) if whole else 0
    return message_of(
        listed(bids, asks), ts_recv=received, sequence=seq, prev_sequence=seq, flags=flags
    )


def listed(bids: Iterable[Level], asks: Iterable[Level]) -> list[Event]:
    """A snapshot's events: bids, then asks."""
    return [
        level(Kind.SNAPSHOT, side, price, size)
        for side, levels in ((BID, bids), (ASK, asks))
        for price, size in levels
    ]


def trade(
    number: int, taker: int, price: int, size: int = 1, *, at: int = 0, prev: int | None = None
) -> Message:
    """A trade; ``taker`` is the taker's side."""
    time = START + at
    before = number - 1 if prev is None else prev
    kind = int(Kind.TRADE)
    return [Event(0, time, time + OFFSET, number, before, kind, taker, price, size, LAST)]


def mark(flags: Flag, *, at: int = 0, seq: int = -1) -> Message:
    """A mark of the source, such as an unreadable line."""
    return [Event(0, 0, START + at + OFFSET, seq, seq, flags=int(flags) | LAST)]


def unreadable(row: int, *, at: int = 0, seq: int = -1) -> Message:
    """A row of a table that holds no level of the message ``seq``, or, without it, no trade."""
    flags = Flag.INVALID | (Flag.TRADES if seq < 0 else Flag.GAP) | LAST
    return [Event(0, START + at, START + at + OFFSET, seq, row, flags=int(flags))]


def vendor_row(seq: int, bids: Sequence[Level], asks: Sequence[Level], *, at: int = 0) -> Message:
    """A row of Crypto Lake's `book`."""
    time = START + at
    return [VendorRow(0, time, time + OFFSET, seq, -1, bids=tuple(bids), asks=tuple(asks))]


def book_of(levels: int = 5, size: int = 10) -> tuple[list[Level], list[Level]]:
    """Bids from 1000 down and asks from 1001 up."""
    bids = [(1000 - i, size) for i in range(levels)]
    return bids, [(1001 + i, size) for i in range(levels)]


# to and from columns -----------------------------------------------------------------------------


def to_batch(messages: Iterable[Message]) -> EventBatch:
    """The messages' events as columns."""
    rows = [row for message in messages for row in message]
    batch = EventBatch.empty(len(rows))
    for column in fields(EventBatch):
        getattr(batch, column.name)[:] = [getattr(row, column.name) for row in rows]
    return batch


def to_rows(batch: EventBatch) -> list[Event]:
    """The events of a batch."""
    columns = [getattr(batch, column.name).tolist() for column in fields(EventBatch)]
    return [Event(*values) for values in zip(*columns, strict=True)]


def messages_of(batch: EventBatch) -> list[Message]:
    """The events of a batch, message by message."""
    rows = to_rows(batch)
    if not rows:
        return []
    starts = np.cumsum([0, *(bool(row.flags & Flag.LAST) for row in rows[:-1])]).tolist()
    pairs = groupby(zip(starts, rows, strict=True), key=lambda pair: pair[0])
    return [[row for _, row in group] for _, group in pairs]


def to_vendor_batch(messages: Sequence[Message]) -> VendorBatch:
    """The vendor rows as columns."""
    rows = [row for (row,) in messages if isinstance(row, VendorRow)]
    batch = VendorBatch.empty(len(rows))
    for name in ("ts_order", "ts_event", "ts_recv", "sequence", "flags", "ts_behind"):
        getattr(batch, name)[:] = [getattr(row, name) for row in rows]
    batch.levels[:] = np.array([row.slots for row in rows], np.int64).reshape(-1, 4 * LEVELS)
    return batch

"""Small stores for the report page: messages by hand, replayed and sealed as a task would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lobproof.instruments import Instrument
from lobproof.pipeline.day import DayTask
from lobproof.replay import Replayer, Segment
from lobproof.schema import EventBatch, Flag, Kind
from lobproof.store import DayWriter, commit_day, symbol_lock
from plain.messages import Change, Event, Level, Message, level, listed, message_of
from support.batches import DT, START_NS, make_day, make_instrument, make_seal

SECOND = 10**9
MINUTE = 60 * SECOND


def anchor(at: int, sequence: int, bids: Sequence[Level], asks: Sequence[Level]) -> Message:
    """A snapshot of the whole book, ``at`` seconds after the day's start, as are all of these."""
    rows = [Event(kind=int(Kind.CLEAR)), *listed(bids, asks)]
    return _message(at, sequence, sequence, rows, int(Flag.RESYNC | Flag.COMPLETE))


def depth(at: int, sequence: int, *changes: Change) -> Message:
    """A depth message."""
    rows = [level(Kind.DELTA, *change) for change in changes]
    return _message(at, sequence, sequence - 1, rows)


def mark(at: int, sequence: int, flags: int = 0, before: int | None = None) -> Message:
    """An event without a level."""
    previous = sequence - 1 if before is None else before
    return _message(at, sequence, previous, [Event()], flags)


def trade(at: int, number: int, taker: int, price: int, size: int) -> Message:
    """One trade."""
    return _message(at, number, number - 1, [level(Kind.TRADE, taker, price, size)])


def _message(
    at: int, sequence: int, previous: int, rows: Sequence[Event], flags: int = 0
) -> Message:
    time = START_NS + at * SECOND
    return message_of(
        rows,
        ts_order=time,
        ts_event=time,
        ts_recv=time + 5000,
        sequence=sequence,
        prev_sequence=previous,
        flags=flags,
    )


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

"""What lies in an outage is always in doubt; what was heard of a stream is what plain lists say."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.replay import QUALITY_SEVERITY
from lobproof.replay.silence_kernels import LISTED_SILENCES, STREAM, hear, hear_anew
from lobproof.schema import EventBatch, Flag, Kind, Severity
from lobproof.schema.codes import SPEAKS_OF_THE_FEED
from lobproof.schema.records import zeroed
from plain.coverage import of_stream
from plain.markets import RandomFeed
from support.replays import Replayed, replay

pytestmark = pytest.mark.kernels

DOUBTS = [int(code) for code, how in QUALITY_SEVERITY.items() if how == Severity.DOUBT]


def outages(events: EventBatch) -> list[tuple[int, int]]:
    """First and last event of what a broken chain leaves unknown, by ids alone.

    From the last depth message before the loss, or the snapshot that anchored, to the event before
    the next anchor; where a snapshot after that message reaches over the loss, to the event before
    the message that shows it.
    """
    found: list[tuple[int, int]] = []
    last, sequence, snapshot, lost = 0, -1, -1, False
    start = 0
    for end in (np.flatnonzero(events.flags & Flag.LAST) + 1).tolist():
        kind, flags = int(events.kind[start]), int(events.flags[start])
        ids = int(events.sequence[start]), int(events.prev_sequence[start])
        if kind == Kind.CLEAR:
            if lost:
                found[-1] = (found[-1][0], start - 1)
            last, snapshot, lost = end - 1, ids[0], False
        elif kind == Kind.SNAPSHOT:
            snapshot = ids[0]
        elif kind == Kind.DELTA or (kind == Kind.MARK and not flags & SPEAKS_OF_THE_FEED):
            known = sequence if sequence >= 0 else snapshot
            if 0 <= known < ids[1]:
                found.append((last, start - 1))
                lost = lost or snapshot < ids[1]
            last, sequence, snapshot = end - 1, ids[0], -1
        elif kind == Kind.MARK and flags & Flag.OUT_OF_ORDER and not flags & Flag.GAP:
            sequence = max(sequence, ids[0])  # an empty message that overlaps what was applied
        start = end
    if lost:
        found[-1] = (found[-1][0], len(events) - 1)
    return found


def in_doubt(got: Replayed, event_id: int, ts: int) -> bool:
    """Whether a finding puts an event, and a time, in doubt."""
    rows = got.found[np.isin(got.found["code"], DOUBTS)]
    by_id = (rows["first_event_id"] <= event_id) & (rows["last_event_id"] >= event_id)
    by_time = (rows["first_ts"] <= ts) & (rows["last_ts"] >= ts)
    return bool(by_id.any() and by_time.any())


@given(st.integers(0, 2**32))
def test_from_the_last_good_message_to_the_anchor_all_is_in_doubt(seed: int) -> None:
    """Every event, state and instant: what stood before the loss stood through it."""
    rng = random.Random(seed)
    feed = RandomFeed(rng).run(rng.choice([20, 60]))
    if not feed.book:
        return
    got = replay(feed.book, feed.trades)
    times = got.events.ts_order
    for first, last in outages(got.events):
        for event_id in range(first, last + 1):
            assert in_doubt(got, event_id, int(times[event_id]))
        low, high = int(times[first]), int(times[last])
        for ts in (low + k * (high - low) // 6 for k in range(7)):
            event_id = int(np.searchsorted(times, ts, "right")) - 1
            assert in_doubt(got, min(event_id, last), ts)


def test_the_oracle_finds_outages() -> None:
    found = [outages(replay(f.book, f.trades).events) for f in map(feed_of, range(12)) if f.book]
    assert sum(map(len, found)) > 10


def feed_of(seed: int) -> RandomFeed:
    return RandomFeed(random.Random(seed)).run(60)


@given(st.integers(0, 2**32), st.integers(1, 3 * LISTED_SILENCES))
def test_of_many_silences_the_longest_are_listed(seed: int, silences: int) -> None:
    rng = random.Random(seed)
    times = [10**18]
    for _ in range(silences):
        times += [times[-1] + k * 10**6 for k in range(1, 40)]
        times.append(times[-1] + rng.choice([3, 6, 7, 7, 60, 3_600]) * 10**9)
        times.append(times[-1] - rng.choice([0, 10**9]))  # two streams together may step back
    stream = zeroed(STREAM)[0]
    hear_anew(stream)
    for ts in times:
        hear(stream, ts)
    plain = of_stream(times)
    assert (stream.messages, stream.first, stream.last) == (
        plain["messages"],
        plain["first"],
        plain["last"],
    )
    assert (stream.silences, stream.silent_ns) == (plain["silences"], plain["silent_ns"])
    listed = stream.listed[: min(int(stream.silences), LISTED_SILENCES)]
    assert sorted(listed.tolist()) == plain["listed"]

"""Messages that are passed by: the feed's pace is what their replay would have made of it."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from lobproof.pipeline.feed import Feed, Streams
from lobproof.replay import Policy, Replayer
from lobproof.replay.integrity import message_bounds
from lobproof.replay.state_kernels import REPLAY_STATE
from lobproof.schema import EventBatch, Flag, Kind
from lobproof.schema.records import records
from plain.lake_replay import LakeStreams
from plain.messages import ASK, MS, bid, book_of, delta, trade, vendor_row
from support.replays import LAKE, anchored_streams, make_instrument, run_lake, streams

SECOND = 1000 * MS


def day(seed: int) -> LakeStreams:
    """Messages at an uneven pace, some of them empty, one late; rows of `book`; trades between."""
    rng = random.Random(seed)
    bids, asks = book_of(20)
    book, rows, trades, at = [], [vendor_row(100, bids, asks)], [], 0
    for n in range(60):
        at += rng.choice([1, 90, 100, 110, 900, 7000]) * MS
        late = 50 if n == 30 else 0
        changes = [] if rng.random() < 0.2 else [bid(990 - rng.randrange(3), rng.randrange(9))]
        book.append(delta(101 + n - late, changes, at=at))
        rows.append(vendor_row(101 + n, bids, asks, at=at + MS))
        trades.append(trade(n + 1, ASK, 1000, at=at + rng.randrange(50) * MS))
    return LakeStreams(book, rows, trades)


@pytest.mark.kernels
@pytest.mark.parametrize("policy", [LAKE, Policy(), replace(LAKE, trades_wait_for="snapshots")])
def test_the_pace_is_that_of_a_replay(policy: Policy) -> None:
    for seed in range(3):
        whole = day(seed)
        source: Streams = streams(whole)
        if policy.trades_wait_for == "snapshots":
            source = anchored_streams(whole)
        replayed, passed = (Replayer(make_instrument(), policy=policy) for _ in range(2))
        run_lake(whole, replayer=replayed, source=source)
        for segment in Feed(source):
            ends = [0, *message_bounds(segment.events).tolist()]
            for start, stop in pairwise([*ends[::7], ends[-1]]):
                passed.pass_by(segment.events.slice(start, stop))
        saved = (replayer.save()["state"] for replayer in (replayed, passed))
        one, other = (records(REPLAY_STATE, state)[0] for state in saved)
        assert (one.cadence, one.book_ts) == (other.cadence, other.book_ts)
        assert other.cadence > 0
        assert other.book_ts > 0
        assert other.minute.longest_silence == 0


@pytest.mark.kernels
def test_a_mark_that_speaks_of_the_feed_is_no_message() -> None:
    batch = EventBatch.empty(3)
    batch.ts_order[:] = [SECOND, 3 * SECOND, 10 * SECOND]
    batch.kind[:] = [Kind.DELTA, Kind.MARK, Kind.DELTA]
    batch.flags[:] = [Flag.LAST, Flag.LAST | Flag.RECONNECT, Flag.LAST]
    cadences = []
    for rows in ([0, 1, 2], [0, 2]):
        replayer = Replayer(make_instrument(), policy=Policy())
        replayer.pass_by(batch.take(np.array(rows)))
        cadences.append(records(REPLAY_STATE, replayer.save()["state"])[0].cadence)
    assert cadences == [5 * SECOND] * 2

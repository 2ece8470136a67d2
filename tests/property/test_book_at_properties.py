"""Trust as `book_at` makes it of stored events and trust as `states` holds it are one thing."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lobproof.instruments import Rule
from lobproof.pipeline.day import DayTask
from lobproof.pipeline.feed import Feed
from lobproof.replay import Policy, Replayer, Segment
from lobproof.replay import replayer as replayer_module
from lobproof.schema import LEVELS, EventBatch, StateBatch
from lobproof.sources.cryptolake.decode import as_snapshots
from lobproof.store import DayWriter, commit_day, open_store, symbol_lock
from lobproof.store.keyframe import Keyframe
from lobproof.timespan import DAY_NS
from plain.lake_replay import LakeStreams
from plain.markets import HiddenMarket, RandomFeed, RandomLake
from plain.messages import START, messages_of, to_vendor_batch
from support.batches import make_seal
from support.market import day_of
from support.replays import (
    anchored_streams,
    make_instrument,
    ordered,
    run_lake,
    same_at_every_state,
    streams,
)

INSTRUMENT = make_instrument(Rule(0, 1, 1))
NIGHT = START - START % DAY_NS + DAY_NS - 40 * 10**9 - START
"""Forty seconds before midnight, from `START` on."""

seeds = st.integers(0, 2**32)
policies = st.builds(
    Policy,
    chainless=st.just(True),
    correct=st.sampled_from(["drift", "always", "never"]),
    size_limit=st.sampled_from([0.0, 0.001, 0.037]),
)


@dataclass
class Kept:
    """Books of a replay as keyframes, at the ends of its chunks."""

    frames: list[Keyframe] = field(default_factory=list)

    def look(self, replayer: Replayer, rows: int) -> None:
        self.frames.append(Keyframe(rows - 1, 0, replayer.levels()))


def chosen(kept: Kept, rng: random.Random) -> list[Keyframe]:
    """The opening keyframe, some behind a snapshot that the next depth message judges, others."""
    later = kept.frames[1:]
    ahead = [frame for frame in later if frame.book.bid_listed or frame.book.ask_listed]
    others = [frame for frame in later if not (frame.book.bid_listed or frame.book.ask_listed)]
    picked = [rng.sample(group, min(3, len(group))) for group in (ahead, others)]
    return [*kept.frames[:1], *picked[0], *picked[1]]


def recorded(seed: int) -> tuple[list[EventBatch], random.Random]:
    """A feed with a chain in small batches: of a market that is known, or garbled throughout."""
    rng = random.Random(seed)
    if rng.random() < 0.5:
        market = HiddenMarket(rng)
        market.time = NIGHT + 37 * 10**9
        market.run(60)
        book, trades = market.messages, []
    else:
        feed = RandomFeed(rng, chained=rng.random() < 0.9)
        feed.time = NIGHT
        feed.run(rng.choice([10, 40, 80]))
        book, trades = feed.book, feed.trades
    cuts = range(len(book) + 1)
    return (ordered(book, trades, book_cuts=cuts) if book or trades else []), rng


@pytest.mark.kernels
@given(seeds, st.booleans())
def test_a_feed_with_a_chain(seed: int, carried: bool) -> None:
    """Also of a book that is carried into another replay in the middle."""
    parts, rng = recorded(seed)
    if not parts:
        return
    kept, states, rows = Kept(), [], 0
    with patch.object(replayer_module, "WINDOW_TICKS", 1 << 9):
        replayer, other = Replayer(INSTRUMENT), Replayer(INSTRUMENT)
    kept.look(replayer, 0)
    turn = rng.randrange(len(parts)) if carried else -1
    replayer.begin_day(int(parts[0].ts_order[0]))
    for number, part in enumerate(parts):
        if number == turn:
            other.carry(replayer.levels(), int(part.ts_order[0]))
            other.begin_day(int(part.ts_order[0]))
            replayer = other
            kept.look(replayer, rows)
        states.append(replayer.process(part, rows).states)
        rows += len(part)
        kept.look(replayer, rows)
    # what a replay that set out anew does not know of, it tells from there on
    first = kept.frames[turn + 1 :] if carried else kept.frames
    after = StateBatch.concat(states)
    if carried:
        since = np.flatnonzero(after.event_id > first[0].event_id)
        after = after.slice(int(since[0]), len(after)) if len(since) else StateBatch.empty()
    same_at_every_state(EventBatch.concat(parts), after, chosen(Kept(first), rng))


@pytest.mark.kernels
@given(seeds, policies)
def test_a_feed_with_vendor_rows(seed: int, policy: Policy) -> None:
    rng = random.Random(seed)
    day = RandomLake(rng=rng).run(rng.choice([5, 20, 60]))
    if not day.ordered():
        return
    kept = Kept()
    kept.look(Replayer(INSTRUMENT), 0)
    got = run_lake(day, policy, instrument=INSTRUMENT, room=lambda: 7, look=kept.look)
    same_at_every_state(got.events, got.states, chosen(kept, rng))


@pytest.mark.kernels
@given(seeds)
def test_snapshots_alone(seed: int) -> None:
    rng = random.Random(seed)
    day = RandomLake(rng=rng).run(rng.choice([5, 20, 60]))
    book = messages_of(as_snapshots(to_vendor_batch(day.vendor_rows), clear=True))
    if not LakeStreams(book, [], day.trades).ordered():
        return
    kept = Kept()
    kept.look(Replayer(INSTRUMENT), 0)
    policy = Policy(chainless=True, trades_wait_for="snapshots")
    source = anchored_streams(day)
    got = run_lake(day, policy, instrument=INSTRUMENT, source=source, look=kept.look)
    same_at_every_state(got.events, got.states, chosen(kept, rng))


# through a store ---------------------------------------------------------------------------------


def store_feed(root: Path, segments: Sequence[Segment], policy: Policy, keyframe_ns: int) -> None:
    """Replay a feed and store it, day by day, as a task does."""
    exchange, symbol = INSTRUMENT.exchange, INSTRUMENT.symbol
    replayer = Replayer(INSTRUMENT, policy=policy)
    midnight = START - START % DAY_NS + DAY_NS
    whole = Segment.concat(segments)
    row, vendor_row = (
        int(np.searchsorted(part.ts_order, midnight)) for part in (whole.events, whole.vendor_rows)
    )
    with symbol_lock(root, exchange, symbol):
        for part in (whole.slice(0, 0, row, vendor_row), whole.after(row, vendor_row)):
            if not len(part):
                continue
            times = [p.ts_order[0] for p in (part.events, part.vendor_rows) if len(p)]
            dt = day_of(int(min(times)))
            with DayWriter(root, INSTRUMENT, dt) as writer:
                task = DayTask(dt, replayer, writer, keyframe_ns=keyframe_ns, strict=False)
                task.append(part)
                content = task.finish()
                assert content is not None
                commit_day(root, content, make_seal())


def same_in_the_store(root: Path) -> None:
    """Every state that is the last row of its instant, and whether `trusted` gives it."""
    store = open_store(root)
    states = store.states(raw=True).collect()
    trusted = set(store.trusted(raw=True).select("dt", "event_id").collect().rows())
    last = store.events(raw=True).group_by("dt", "ts_order").agg(pl.col("event_id").max()).collect()
    ends = {(dt, ts): event_id for dt, ts, event_id in last.rows()}
    for row in states.iter_rows(named=True):
        dt, event_id = row["dt"], row["event_id"]
        if ends[dt, row["ts_order"]] != event_id:
            continue
        view = store.book_at(row["ts_order"])
        assert (view.dt, view.event_id) == (dt, event_id)
        assert view.doubtful == ((dt, event_id) not in trusted), (dt, event_id)
        for name, levels in (("bid", view.bids), ("ask", view.asks)):
            head = levels.head(LEVELS)
            shown = [(row[f"{name}_{i}_price"], row[f"{name}_{i}_size"]) for i in range(LEVELS)]
            assert head.select("price", "size").rows() == [level for level in shown if level[0]]
            slots = 0 if view.doubtful or view.crossed else row[f"{name}_trusted"]
            assert head["trusted"].to_list() == [at < slots for at in range(head.height)]


@settings(max_examples=12)
@given(seeds, st.sampled_from([1, 15, 600]))
def test_a_stored_recording_over_midnight(seed: int, seconds: int) -> None:
    parts, _ = recorded(seed)
    if not parts:
        return
    with tempfile.TemporaryDirectory() as folder:
        segments = [Segment.of(part) for part in parts]
        store_feed(Path(folder), segments, Policy(), seconds * 10**9)
        same_in_the_store(Path(folder))


@settings(max_examples=12)
@given(seeds, policies, st.sampled_from([1, 15, 600]))
def test_a_stored_feed_with_vendor_rows(seed: int, policy: Policy, seconds: int) -> None:
    rng = random.Random(seed)
    day = RandomLake(rng=rng, time=NIGHT + 35 * 10**9).run(rng.choice([20, 60]))
    if not day.ordered():
        return
    with tempfile.TemporaryDirectory() as folder:
        store_feed(Path(folder), list(Feed(streams(day))), policy, seconds * 10**9)
        same_in_the_store(Path(folder))

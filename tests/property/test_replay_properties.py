"""The whole replay against the plain one: events, flags, states, findings, minutes, book, coverage.

And that batches, chunks and breaks leave no trace in any of it.
"""

from __future__ import annotations

import random
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.instruments import Rule
from lobproof.replay import Policy
from lobproof.sources.cryptolake.decode import as_snapshots
from plain.lake_replay import LakeStreams
from plain.markets import RandomFeed, RandomLake
from plain.messages import MINUTE, START, messages_of, to_vendor_batch
from plain.replay import replay_plainly
from support.replays import agree, anchored_streams, make_instrument, replay, run_lake, same

pytestmark = pytest.mark.kernels

Waits = Literal["snapshots", "nothing"]
SPACINGS = (0, -1, 100 * 10**6, 10**9)
seeds = st.integers(0, 2**32)


# a feed with a chain -----------------------------------------------------------------------------

RULES = (Rule(0, 1, 1), Rule(START + MINUTE // 2, 2, 3), Rule(START + 3 * MINUTE, 1, 2))
INSTRUMENT = make_instrument(*RULES)


@given(seeds, st.booleans(), st.sampled_from(SPACINGS))
def test_messages(seed: int, chained: bool, state_every: int) -> None:
    rng = random.Random(seed)
    feed = RandomFeed(rng, chained).run(rng.choice([5, 20, 60]))
    if not feed.book and not feed.trades:
        return
    got = replay(feed.book, feed.trades, instrument=INSTRUMENT, state_every=state_every)
    agree(got, *replay_plainly(feed.book, feed.trades, INSTRUMENT, state_every))


@given(seeds, st.lists(st.integers(1, 80)), st.lists(st.integers(1, 80)))
def test_batches_of_messages(seed: int, book_cuts: list[int], trade_cuts: list[int]) -> None:
    feed = RandomFeed(random.Random(seed)).run(35)
    whole = replay(feed.book, feed.trades, instrument=INSTRUMENT)
    for cuts in ((book_cuts, trade_cuts), (range(len(feed.book)), range(len(feed.trades)))):
        cut = replay(
            feed.book,
            feed.trades,
            instrument=INSTRUMENT,
            book_cuts=cuts[0],
            trade_cuts=cuts[1],
        )
        same(cut, whole)


# a Crypto Lake day -------------------------------------------------------------------------------

LAKE_RULES = (Rule(0, 1, 1), Rule(START + 4 * 10**9, 2, 3), Rule(START + 30 * 10**9, 1, 2))
LAKE_INSTRUMENT = make_instrument(*LAKE_RULES)

policies = st.builds(
    Policy,
    chainless=st.just(True),
    correct=st.sampled_from(["drift", "always", "never"]),
    size_limit=st.sampled_from([0.0, 0.001, 0.037]),
    trades_wait_for=st.sampled_from(["deltas", "nothing"]),
)
places = st.lists(st.integers(1, 60), max_size=6)


def random_day(seed: int) -> RandomLake:
    rng = random.Random(seed)
    return RandomLake(rng=rng).run(rng.choice([5, 20, 60]))


@given(seeds, policies, st.sampled_from([0, -1, 10**9]))
def test_messages_and_vendor_rows(seed: int, policy: Policy, state_every: int) -> None:
    day = random_day(seed)
    if not day.ordered():
        return
    got = run_lake(day, policy, instrument=LAKE_INSTRUMENT, state_every=state_every)
    agree(got, *day.replayed(LAKE_INSTRUMENT, policy, state_every))


@given(seeds, st.sampled_from(["snapshots", "nothing"]), places, places)
def test_vendor_rows_as_messages(seed: int, waits: Waits, cuts: list[int], more: list[int]) -> None:
    """The strategies that know the book only at snapshots."""
    day = random_day(seed)
    book = messages_of(as_snapshots(to_vendor_batch(day.vendor_rows), clear=True))
    shown = LakeStreams(book, [], day.trades)
    if not shown.ordered():
        return
    policy = Policy(chainless=True, trades_wait_for=waits)
    source = anchored_streams(day, (cuts, more))
    got = run_lake(day, policy, instrument=LAKE_INSTRUMENT, source=source)
    agree(got, *shown.replayed(LAKE_INSTRUMENT, policy))


@given(seeds, policies, st.tuples(places, places, places), st.lists(st.integers(1, 40), max_size=4))
def test_batches_chunks_and_breaks(
    seed: int, policy: Policy, where: tuple[list[int], ...], breaks: list[int]
) -> None:
    day = random_day(seed)
    if not day.ordered():
        return
    whole = run_lake(day, policy, instrument=LAKE_INSTRUMENT)
    rng = random.Random(seed)
    cut = run_lake(
        day,
        policy,
        instrument=LAKE_INSTRUMENT,
        cuts=where,
        room=lambda: rng.choice([1, 2, 7, 50]),
        most_parts=rng.choice([1, 2, 3, 64]),
        save_after=breaks,
    )
    same(cut, whole)

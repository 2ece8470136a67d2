"""Vendor rows and what follows from them, against the plain twin; any batches, chunks, breaks."""

from __future__ import annotations

import random
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.instruments import Rule
from lobproof.replay import Policy
from lobproof.schema.tables import MINUTES
from lobproof.sources.cryptolake.source import as_snapshots
from support.feeds import START, Replayed, make_instrument, same
from support.lake_feed import LakeDay, RandomLake, anchored_streams, run_lake
from support.reference_judge import ReferenceJudge, to_vendor_rows
from support.stream_reference import Message, messages_of, to_rows

Waits = Literal["snapshots", "nothing"]

pytestmark = pytest.mark.kernels

RULES = (Rule(0, 1, 1), Rule(START + 4 * 10**9, 2, 3), Rule(START + 30 * 10**9, 1, 2))
INSTRUMENT = make_instrument(*RULES)

seeds = st.integers(0, 2**32)
policies = st.builds(
    Policy,
    chainless=st.just(True),
    correct=st.sampled_from(["drift", "always", "never"]),
    size_limit=st.sampled_from([0.0, 0.001, 0.037]),
    trades_wait_for=st.sampled_from(["deltas", "nothing"]),
)
places = st.lists(st.integers(1, 60), max_size=6)
cuts = st.tuples(places, places, places)


def random_day(seed: int) -> RandomLake:
    rng = random.Random(seed)
    return RandomLake(rng=rng).run(rng.choice([5, 20, 60]))


def agree(got: Replayed, messages: list[Message], twin: ReferenceJudge) -> None:
    """Assert that the kernels gave what the twin gave."""
    assert to_rows(got.events) == [row for message in messages for row in message]
    states = zip(
        got.states.event_id.tolist(),
        got.states.ts_order.tolist(),
        got.states.ts_event.tolist(),
        got.states.sequence.tolist(),
        [tuple(levels) for levels in got.states.levels.tolist()],
        got.states.bid_trusted.tolist(),
        got.states.ask_trusted.tolist(),
        got.states.flags.tolist(),
        strict=True,
    )
    assert list(states) == twin.states
    assert sorted(map(tuple, got.found.tolist())) == sorted(twin.episodes)
    rows = [twin.minute_row(minute) for minute in twin.minutes]
    for name in MINUTES.schema.names:
        wanted = [row.get(name, 0) for row in rows]
        np.testing.assert_allclose(got.minutes[name].astype(float), wanted, err_msg=name)
    assert got.coverage == twin.coverage()


@given(seeds, policies, st.sampled_from([0, -1, 10**9]))
def test_the_kernels_give_what_the_plain_judge_gives(
    seed: int, policy: Policy, state_every: int
) -> None:
    day = random_day(seed)
    if not day.items():
        return
    messages, twin = day.judged(policy, INSTRUMENT, state_every)
    got = run_lake(day, policy, instrument=INSTRUMENT, state_every=state_every)
    agree(got, messages, twin)


@given(seeds, st.sampled_from(["snapshots", "nothing"]), places, places)
def test_rows_of_book_as_messages(
    seed: int, waits: Waits, cuts: list[int], more: list[int]
) -> None:
    """The strategies that know the book only at snapshots."""
    day = random_day(seed)
    book = messages_of(as_snapshots(to_vendor_rows(day.listings), clear=True))
    shown = LakeDay(book, [], day.trades)
    if not shown.items():
        return
    policy = Policy(chainless=True, trades_wait_for=waits)
    messages, twin = shown.judged(policy, INSTRUMENT)
    source = anchored_streams(day, (cuts, more))
    agree(run_lake(day, policy, instrument=INSTRUMENT, source=source), messages, twin)


@given(seeds, policies, cuts, st.lists(st.integers(1, 40), max_size=4))
def test_batches_pieces_and_breaks_leave_no_trace(
    seed: int, policy: Policy, where: tuple[list[int], ...], breaks: list[int]
) -> None:
    day = random_day(seed)
    if not day.items():
        return
    whole = run_lake(day, policy, instrument=INSTRUMENT)
    rng = random.Random(seed)
    cut = run_lake(
        day,
        policy,
        instrument=INSTRUMENT,
        cuts=where,
        room=lambda: rng.choice([1, 2, 7, 50]),
        most_parts=rng.choice([1, 2, 3, 64]),
        save_after=breaks,
    )
    same(cut, whole)

"""The whole replay against its plain twin: rows, flags, states, findings, minutes; any batches."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.instruments import Rule
from lobproof.schema import Side
from lobproof.schema.tables import MINUTES
from support.feeds import MINUTE, OFFSET, START, RandomFeed, make_instrument, replay, same
from support.replay_reference import ReferenceReplay
from support.stream_reference import (
    Message,
    audit_book,
    audit_trades,
    merge_messages,
    stamp,
    to_rows,
)

pytestmark = pytest.mark.kernels

RULES = (Rule(0, 1, 1), Rule(START + MINUTE // 2, 2, 3), Rule(START + 3 * MINUTE, 1, 2))
INSTRUMENT = make_instrument(*RULES)
SPACINGS = (0, -1, 100 * 10**6, 10**9)


def reference(
    book: list[Message], trades: list[Message], state_every: int
) -> tuple[list[Message], ReferenceReplay]:
    messages = merge_messages(stamp(audit_book(book), OFFSET), stamp(audit_trades(trades), OFFSET))
    twin = ReferenceReplay(INSTRUMENT, state_every)
    twin.begin_day(messages[0][0].ts_order)
    for message in messages:
        twin.process(message)
    twin.end_day(messages[-1][0].ts_order)
    return messages, twin


@given(st.integers(0, 2**32), st.booleans(), st.sampled_from(SPACINGS))
def test_the_kernels_give_what_the_plain_replay_gives(
    seed: int, chained: bool, state_every: int
) -> None:
    rng = random.Random(seed)
    feed = RandomFeed(rng, chained).run(rng.choice([5, 20, 60]))
    if not feed.book and not feed.trades:
        return
    got = replay(feed.book, feed.trades, instrument=INSTRUMENT, state_every=state_every)
    messages, twin = reference(feed.book, feed.trades, state_every)

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
    for side, prices, sizes, trust, end in (
        (Side.BID, got.levels.bid_prices, got.levels.bid_sizes, got.levels.bid_trust,
         got.levels.bid_trusted_to),
        (Side.ASK, got.levels.ask_prices, got.levels.ask_sizes, got.levels.ask_trust,
         got.levels.ask_trusted_to),
    ):  # fmt: skip
        assert list(zip(prices.tolist(), sizes.tolist(), strict=True)) == twin.book.levels(side)
        assert (trust, end) == twin.book.trust(side)
    assert got.levels.sequence == twin.sequence
    assert got.coverage == twin.coverage()


@given(st.integers(0, 2**32), st.lists(st.integers(1, 80)), st.lists(st.integers(1, 80)))
def test_batches_leave_no_trace(seed: int, book_cuts: list[int], trade_cuts: list[int]) -> None:
    feed = RandomFeed(random.Random(seed)).run(35)
    whole = replay(feed.book, feed.trades, instrument=INSTRUMENT)
    cut = replay(
        feed.book,
        feed.trades,
        instrument=INSTRUMENT,
        book_cuts=book_cuts,
        trade_cuts=trade_cuts,
    )
    same(cut, whole)
    single = replay(
        feed.book,
        feed.trades,
        instrument=INSTRUMENT,
        book_cuts=range(len(feed.book)),
        trade_cuts=range(len(feed.trades)),
    )
    same(single, whole)

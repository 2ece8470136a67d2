"""What the replay claims to know of a book, against a hidden true book much deeper than shown."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.instruments import Rule
from lobproof.schema import Finding
from support.feeds import MS, depth, make_instrument, replay, snapshot
from support.hidden_market import HiddenMarket

pytestmark = pytest.mark.kernels


@given(st.integers(0, 2**32), st.sampled_from([1, 1, 5]), st.sampled_from([0, -2, 3]))
def test_no_level_that_is_trusted_differs_from_the_truth(seed: int, step: int, drift: int) -> None:
    market = HiddenMarket(random.Random(seed), step, drift).run(40)
    got = replay(market.messages, instrument=make_instrument(Rule(0, step, 1)))
    states = got.states
    for row, sequence in enumerate(states.sequence.tolist()):
        levels = states.levels[row].reshape(2, 20, 2).tolist()
        claims = (int(states.bid_trusted[row]), int(states.ask_trusted[row]))
        for side, true, claimed in zip(levels, market.truth[sequence], claims, strict=True):
            padded = [list(level) for level in true] + [[0, 0]] * 20
            assert side[:claimed] == padded[:claimed], (row, sequence, claimed)
    codes = set(got.episodes[:, 0].tolist())
    allowed = {Finding.UNSEEDED, Finding.TOUCH_BEYOND_RANGE, Finding.OFF_TICK}
    if Finding.GAP in codes:  # what a lost message leaves behind may cross the market later
        allowed |= {Finding.GAP, Finding.CROSSED}
    assert codes <= allowed


def test_growth_is_worth_having() -> None:
    """Without a loss, a range of five levels follows the market far beyond where it was given."""
    market = HiddenMarket(random.Random(3), drift=-2)
    bids, asks = market.truth[market.update]
    market.messages.append(snapshot(market.update, bids[:5], asks[:5]))
    for _ in range(200):
        before = market.update
        changes = market.move()
        market.time += 100 * MS
        market.messages.append(depth(market.update, before, changes, at=market.time))
    got = replay(market.messages)
    assert market.mid < bids[-1][0], "the market left even the true book of the start"
    trusted = got.trusted()[100:]
    assert sum(min(pair) > 0 for pair in trusted) > len(trusted) // 2

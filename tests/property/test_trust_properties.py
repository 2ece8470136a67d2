"""What the replay claims to know of a book, against a hidden true book much deeper than shown."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.instruments import Rule
from lobproof.replay import QUALITY_SEVERITY
from lobproof.schema import Finding, Flag, Kind, Severity
from plain.markets import HiddenMarket
from plain.messages import MS, depth, snapshot
from support.replays import Replayed, make_instrument, replay

pytestmark = pytest.mark.kernels


def wrong(got: Replayed, market: HiddenMarket, rows: Sequence[int]) -> list[tuple[int, int]]:
    """Those of ``rows`` of the states that claim a slot which is not the market's, with its id."""
    states, found = got.states, []
    for row in rows:
        sequence = int(states.sequence[row])
        levels = states.levels[row].reshape(2, 20, 2).tolist()
        claims = (int(states.bid_trusted[row]), int(states.ask_trusted[row]))
        for side, true, claimed in zip(levels, market.truth[sequence], claims, strict=True):
            padded = [list(level) for level in true] + [[0, 0]] * 20
            if side[:claimed] != padded[:claimed]:
                found.append((row, sequence))
    return found


@given(st.integers(0, 2**32), st.sampled_from([1, 1, 5]), st.sampled_from([0, -2, 3]))
def test_no_level_that_is_trusted_differs_from_the_truth(seed: int, step: int, drift: int) -> None:
    market = HiddenMarket(random.Random(seed), step, drift).run(40)
    got = replay(market.messages, instrument=make_instrument(Rule(0, step, 1)))
    assert not wrong(got, market, range(len(got.states)))
    codes = set(got.found["code"].tolist())
    allowed = {Finding.UNSEEDED, Finding.TOUCH_BEYOND_RANGE, Finding.OFF_TICK}
    if Finding.GAP in codes:  # what a lost message leaves behind may cross the market later
        allowed |= {Finding.GAP, Finding.CROSSED}
    if Finding.REFUTED in codes:  # only where the message is lost that would judge the last one
        assert got.events.flags[-1] & Flag.AWAITS
        allowed |= {Finding.REFUTED}
    if Finding.ANCHOR_UNPROVEN in codes:  # behind a loss a snapshot is all that there is
        book = got.events.kind[got.events.kind != int(Kind.TRADE)]
        assert book[-1] == int(Kind.SNAPSHOT)
        allowed |= {Finding.ANCHOR_UNPROVEN}
    assert codes <= allowed


@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 1, 5]),
    st.sampled_from([0, -2, 3]),
    st.integers(1, 39),
)
def test_a_snapshot_that_lies_is_told_or_changes_nothing(
    seed: int, step: int, drift: int, lie: int
) -> None:
    """The chain is whole: every trusted state outside the findings is the market's."""
    market = HiddenMarket(random.Random(seed), step, drift, losses=0, lie=lie).run(40)
    got = replay(market.messages, instrument=make_instrument(Rule(0, step, 1)))
    doubts = [
        (first, last)
        for code, first, last, *_ in got.found.tolist()
        if QUALITY_SEVERITY[Finding(code)] == Severity.DOUBT
    ]
    ends = {message[0].sequence for message in market.messages if message[0].kind != Kind.SNAPSHOT}
    rows = [
        row
        for row, event in enumerate(got.states.event_id.tolist())
        if not got.states.flags[row] & Flag.DOUBTFUL
        and not any(first <= event <= last for first, last in doubts)
        # inside a message only the snapshot itself says what the book is
        and int(got.states.sequence[row]) in ends
    ]
    assert not wrong(got, market, rows)


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

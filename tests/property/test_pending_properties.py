"""Pending trades against a plain list: what is named, what expires, and the range of prices."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.replay.state_kernels import new_state
from lobproof.replay.trade_kernels import (
    add_trade,
    age,
    forget,
    new_pending,
    reserve,
    take_named,
)
from plain.messages import ASK, BID, MS
from plain.replay import Waiting

pytestmark = pytest.mark.kernels


@given(st.integers(0, 2**32))
def test_the_range_never_hides_what_is_pending(seed: int) -> None:
    """Also where the table grows, when trades expire, and behind a checkpoint."""
    rng = random.Random(seed)
    prices = [rng.randrange(1, 10 ** rng.choice([2, 6, 15])) for _ in range(rng.choice([3, 40]))]
    pending, states = new_pending(4), new_state()
    state = states[0]
    waiting: list[Waiting] = []
    ts, pace = 10**18, rng.choice([1, 10, 100, 1000]) * MS
    for _ in range(60):
        ts += rng.choice([0, 1, pace, 200 * MS - 1])
        step = rng.randrange(8)
        if step < 3:
            many = rng.choice([1, 2, 20])
            pending = reserve(pending, state, many)
            for _ in range(many):
                side, price, size = rng.choice([BID, ASK]), rng.choice(prices), rng.randrange(1, 9)
                add_trade(pending, state, side, price, size, ts)
                waiting.append(Waiting((side, price), size, ts))
        elif step == 3:
            age(pending, state, ts)
            for one in waiting:
                one.messages += 1
            gone = [one for one in waiting if one.messages >= 2 and ts - one.ts >= 200 * MS]
            waiting = [one for one in waiting if one not in gone]
            assert state.pending.expired_volume == sum(one.size for one in gone)
            assert state.pending.expired_trades == len(gone)
            assert state.pending.levels == len({one.level for one in waiting})
        elif step == 4 and rng.random() < 0.3:
            forget(pending, state)
            waiting = []
        elif step == 5:
            pending, states = pending.copy(), states.copy()
            state = states[0]
        else:
            level = rng.choice([BID, ASK]), rng.choice(prices)
            volume = sum(one.size for one in waiting if one.level == level)
            waiting = [one for one in waiting if one.level != level]
            within = state.pending.low <= level[1] <= state.pending.high
            assert volume == (take_named(pending, *level) if within else 0)

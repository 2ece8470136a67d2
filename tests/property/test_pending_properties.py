"""Pending trades against two dictionaries: what is named, what expires, and the range of prices."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.replay.ledger_kernels import (
    EXPIRED_TRADES,
    EXPIRED_VOLUME,
    PENDING_HIGH,
    PENDING_LOW,
    new_run,
)
from lobproof.replay.pending_kernels import (
    add_trade,
    age,
    forget,
    new_pending,
    reserve,
    take_named,
)
from support.feeds import ASK, BID

pytestmark = pytest.mark.kernels

Volumes = dict[tuple[int, int], list[int]]
"""By side and price, a volume for each trade."""


def total(volumes: Volumes) -> int:
    return sum(map(sum, volumes.values()))


@given(st.integers(0, 2**32))
def test_the_range_never_hides_what_is_pending(seed: int) -> None:
    """Also where the table grows, when trades expire, and behind a checkpoint."""
    rng = random.Random(seed)
    prices = [rng.randrange(1, 10 ** rng.choice([2, 6, 15])) for _ in range(rng.choice([3, 40]))]
    pending, run = new_pending(4), new_run()
    fresh: Volumes = {}
    aged: Volumes = {}
    for _ in range(60):
        step = rng.randrange(8)
        if step < 3:
            many = rng.choice([1, 2, 20])
            pending = reserve(pending, run, many)
            for _ in range(many):
                side, price, size = rng.choice([BID, ASK]), rng.choice(prices), rng.randrange(1, 9)
                add_trade(pending, run, side, price, size)
                fresh.setdefault((side, price), []).append(size)
        elif step == 3:
            age(pending, run)
            assert run[EXPIRED_VOLUME] == total(aged)
            assert run[EXPIRED_TRADES] == sum(map(len, aged.values()))
            fresh, aged = {}, fresh
        elif step == 4 and rng.random() < 0.3:
            forget(pending, run)
            fresh, aged = {}, {}
        elif step == 5:
            pending, run = pending.copy(), run.copy()
        else:
            level = rng.choice([BID, ASK]), rng.choice(prices)
            volume = sum(fresh.pop(level, [])) + sum(aged.pop(level, []))
            within = run[PENDING_LOW] <= level[1] <= run[PENDING_HIGH]
            assert volume == (take_named(pending, *level) if within else 0)

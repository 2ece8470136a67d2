"""The matching engine against a plain one, over random orders; numbers; noise."""

from __future__ import annotations

import dataclasses
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.sources.simulator import PRESETS, Market
from lobproof.sources.simulator import layout_kernels as at
from lobproof.sources.simulator.collectors import delay, in_order, uniform
from lobproof.sources.simulator.layout_kernels import ASK, BID, BUY, LEVEL, SELL, TRADE
from lobproof.sources.simulator.market_kernels import cancel, next_best, place, take

CONFIG = dataclasses.replace(
    PRESETS["btc"], price=1000, window_bits=10, near_orders=10, deep_orders=10
)
"""Prices 488 … 1511 fit the ring."""

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["limit", "limit", "limit", "take", "cancel"]),
        st.sampled_from([BID, ASK]),
        st.integers(490, 1510) | st.integers(995, 1005),
        st.integers(1, 50),
    ),
    max_size=80,
)


class PlainBook:
    """Lists of orders, sorted when asked."""

    def __init__(self) -> None:
        self.orders: list[list[int]] = []  # number, side, price, size, in order of arrival
        self.seen: list[tuple[int, int, int, int]] = []  # kind, side, price, size

    def queue(self, side: int) -> list[list[int]]:
        sign = -1 if side == BID else 1
        return sorted((o for o in self.orders if o[1] == side), key=lambda o: sign * o[2])

    def total(self, side: int, price: int) -> int:
        return sum(o[3] for o in self.orders if o[1] == side and o[2] == price)

    def best(self, side: int) -> int:
        queue = self.queue(side)
        return queue[0][2] if queue else 0

    def place(self, number: int, side: int, price: int, size: int) -> None:
        self.orders.append([number, side, price, size])
        self.seen.append((LEVEL, side, price, self.total(side, price)))

    def cancel(self, k: int) -> int:
        number, side, price, _ = self.orders.pop(k)
        self.seen.append((LEVEL, side, price, self.total(side, price)))
        return number

    def take(self, taker: int, size: int, limit: int) -> int:
        maker = ASK if taker == BUY else BID
        left = size
        while left and self.queue(maker):
            order = self.queue(maker)[0]
            if (order[2] > limit) if taker == BUY else (order[2] < limit):
                break
            filled = min(left, order[3])
            order[3] -= filled
            left -= filled
            self.seen.append((TRADE, taker, order[2], filled))
            if not order[3]:
                self.orders.remove(order)
            self.seen.append((LEVEL, maker, order[2], self.total(maker, order[2])))
        return size - left


@pytest.mark.kernels
@given(ACTIONS)
def test_the_engine_matches_as_a_plain_one(
    actions: list[tuple[str, int, int, int]],
) -> None:
    market = Market(CONFIG, 1, warm=False)
    state, m = market._state, market._m
    plain = PlainBook()
    for what, side, price, size in actions:
        if what == "limit":
            other = plain.best(ASK if side == BID else BID)
            if other and (price >= other if side == BID else price <= other):
                continue
            number = place(state, m, 1, side, price, size, side - 1)
            plain.place(number, side, price, size)
        elif what == "take":
            taker = BUY if side == ASK else SELL
            assert take(state, m, 1, taker, size, price, 999) == plain.take(taker, size, price)
        elif plain.orders:
            cancel(state, m, 1, plain.cancel(size % len(plain.orders)))
        assert state.ring.best_bid == plain.best(BID)
        assert state.ring.best_ask == plain.best(ASK)
    rows = market._rows[: int(state.rows)].tolist()
    assert [(kind, side, price, size) for _, kind, side, price, size, _ in rows] == plain.seen
    bids, bid_sizes, asks, ask_sizes = market.book()
    for side, prices, sizes in ((BID, bids, bid_sizes), (ASK, asks, ask_sizes)):
        expected = sorted({o[2] for o in plain.orders if o[1] == side}, reverse=side == BID)
        assert prices.tolist() == expected
        assert sizes.tolist() == [plain.total(side, price) for price in expected]
    loaded = Market.load(CONFIG, market.save())
    assert all(np.array_equal(a, b) for a, b in zip(market.book(), loaded.book(), strict=True))


@pytest.mark.kernels
@given(st.sets(st.integers(488, 1511), max_size=30), st.integers(488, 1511))
def test_the_next_price_is_found_over_any_gap(prices: set[int], start: int) -> None:
    market = Market(CONFIG, 1, warm=False)
    for price in prices:
        place(market._state, market._m, 1, BID, price, 1, at.DEEP_BID)
    below = max((p for p in prices if p <= start), default=0)
    above = min((p for p in prices if p >= start), default=0)
    assert next_best(market._state.ring, market._m, BID, start) == below
    assert next_best(market._state.ring, market._m, ASK, start) == above


@given(st.lists(st.integers(0, 2**62), max_size=50), st.integers(0, 2**40), st.integers(0, 50))
def test_noise_is_a_function_of_the_id(ids: list[int], seed: int, stream: int) -> None:
    whole = uniform(np.array(ids, np.int64), seed, stream)
    parts = [uniform(np.array([x], np.int64), seed, stream)[0] for x in ids]
    assert whole.tolist() == parts
    assert ((whole >= 0) & (whole < 1)).all()
    late = delay(np.array(ids, np.int64), seed, stream, 100, 1000, 50_000)
    assert ((late >= 100) & (late <= 50_100)).all()
    ordered, last = in_order(late, 300)
    assert ordered.tolist() == list(accumulate([300, *late.tolist()], max))[1:]
    assert last == max([300, *late.tolist()])

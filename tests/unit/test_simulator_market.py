"""The matching engine and the flow: priority, conservation, determinism, saved states."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from lobproof.errors import InputError, UsageError
from lobproof.schema.records import Record, zeroed
from lobproof.sources.simulator import PRESETS, Excitation, Market, MarketConfig
from lobproof.sources.simulator import layout_kernels as at
from lobproof.sources.simulator.layout_kernels import ASK, BID, BUY, LEVEL, RANDOM, SELL, TRADE
from lobproof.sources.simulator.market_kernels import cancel, order_at, place, take
from lobproof.sources.simulator.random_kernels import (
    bits32,
    exp_minus,
    exponential,
    normal,
    seed_random,
    uniform,
)

pytestmark = pytest.mark.kernels

SMALL = dataclasses.replace(
    PRESETS["btc"], near_orders=60, deep_orders=200, warmup_s=0.5, rate=300.0, window_bits=14
)
"""Small enough for plain Python."""
SECOND = 1_000_000_000


def empty(config: MarketConfig = SMALL) -> Market:
    return Market(config, 1, warm=False)


def rows_of(market: Market) -> list[tuple[int, ...]]:
    rows = market._rows[: int(market._state.rows)]
    return [tuple(row) for row in rows.tolist()]


def check_conservation(market: Market) -> None:
    """The levels are the sums of their queues, lists and queues hold the same orders, no cross."""
    state, m = market._state, market._m
    totals: dict[int, int] = defaultdict(int)
    live = 0
    for listed in range(4):
        start = int(state.lists_at + listed * state.capacity)
        members = m[start : start + int(state.live[listed])].tolist()
        live += len(members)
        for slot, order in enumerate(members):
            where = order_at(order)
            assert m[where + at.PLACE] == slot
            assert m[where + at.LIST] == listed
            assert m[where + at.SIZE] > 0
            totals[int(m[where + at.PRICE])] += int(m[where + at.SIZE])
    bids, bid_sizes, asks, ask_sizes = market.book()
    seen = dict(zip(bids.tolist(), bid_sizes.tolist(), strict=True))
    seen |= dict(zip(asks.tolist(), ask_sizes.tolist(), strict=True))
    assert seen == dict(totals)
    assert (np.diff(bids) < 0).all()
    assert (np.diff(asks) > 0).all()
    assert bids[0] < asks[0]
    queued = 0
    for price in seen:
        level = int(state.levels_at + at.LEVEL_SLOTS * (price & state.ring.mask))
        order, before = int(m[level + at.HEAD]), 0
        while order:
            assert m[order_at(order) + at.PREV] == before
            before, order = order, int(m[order_at(order) + at.NEXT])
            queued += 1
        assert m[level + at.TAIL] == before
    assert queued == live == market.orders


def test_price_then_time_decides_who_trades() -> None:
    market = empty()
    state, m = market._state, market._m
    place(state, m, 1, ASK, 6_000_002, 50, at.NEAR_ASK)
    first = place(state, m, 2, ASK, 6_000_001, 30, at.NEAR_ASK)
    second = place(state, m, 3, ASK, 6_000_001, 20, at.DEEP_ASK)
    place(state, m, 4, BID, 6_000_000, 10, at.NEAR_BID)
    state.rows = 0
    assert (
        take(state, m, 5, BUY, 65, 6_000_001, 99) == 50
    )  # the limit stops it before the third order
    assert rows_of(market) == [
        (5, TRADE, BUY, 6_000_001, 30, SMALL.first_trade_id + 1),
        (5, LEVEL, ASK, 6_000_001, 20, SMALL.first_update_id + 5),
        (5, TRADE, BUY, 6_000_001, 20, SMALL.first_trade_id + 2),
        (5, LEVEL, ASK, 6_000_001, 0, SMALL.first_update_id + 6),
    ]
    assert (first, second) == (2, 3)
    bids, _, asks, ask_sizes = market.book()
    assert bids.tolist() == [6_000_000]
    assert (asks.tolist(), ask_sizes.tolist()) == ([6_000_002], [50])
    check_conservation(market)


def test_a_partly_filled_order_keeps_its_place() -> None:
    market = empty()
    state, m = market._state, market._m
    place(state, m, 1, BID, 6_000_000, 30, at.NEAR_BID)
    place(state, m, 2, BID, 6_000_000, 40, at.NEAR_BID)
    state.rows = 0
    assert take(state, m, 3, SELL, 10, 6_000_000, 99) == 10
    assert take(state, m, 4, SELL, 25, 6_000_000, 99) == 25
    trades = [row[4] for row in rows_of(market) if row[1] == TRADE]
    assert trades == [10, 20, 5]
    assert take(state, m, 5, SELL, 100, 1, 0) == 0
    assert take(state, m, 5, SELL, 100, 1, 99) == 35
    assert [len(side) for side in market.book()] == [0, 0, 0, 0]
    assert take(state, m, 6, SELL, 5, 1, 99) == 0


def test_a_cancelled_order_leaves_the_middle_of_its_queue() -> None:
    market = empty()
    state, m = market._state, market._m
    orders = [place(state, m, k, ASK, 6_000_005, 10 + k, at.DEEP_ASK) for k in range(3)]
    place(state, m, 3, BID, 5_999_000, 1, at.NEAR_BID)
    cancel(state, m, 4, orders[1])
    check_conservation(market)
    state.rows = 0
    take(state, m, 5, BUY, 100, 7_000_000, 99)
    assert [row[4] for row in rows_of(market) if row[1] == TRADE] == [10, 12]
    assert place(state, m, 6, ASK, 6_000_009, 1, at.NEAR_ASK) in orders  # slots are used again


def test_no_order_is_placed_when_the_memory_is_full() -> None:
    market = empty()
    market._state.capacity = 3
    sizes = [
        place(market._state, market._m, 1, BID, 5_999_990 + k, 5, at.NEAR_BID) for k in range(3)
    ]
    assert sizes == [1, 2, 0]
    assert market.book()[0].tolist() == [5_999_991, 5_999_990]


def test_the_book_is_the_orders_and_never_crossed() -> None:
    market = Market(SMALL, 3)
    previous = market.book(1)
    best = {BID: int(previous[0][0]), ASK: int(previous[2][0])}
    known: dict[tuple[int, int], int] = {}
    for side, prices, sizes in zip(
        (BID, ASK), market.book()[::2], market.book()[1::2], strict=True
    ):
        known |= {(side, int(p)): int(q) for p, q in zip(prices, sizes, strict=True)}
    events = market.step(market.now + 2 * SECOND)
    assert len(events) > 200
    assert (np.diff(events.ts) >= 0).all()
    updates, trades = events.id[events.kind == LEVEL], events.id[events.kind == TRADE]
    assert updates.tolist() == list(range(updates[0], updates[0] + len(updates)))
    assert trades.tolist() == list(range(trades[0], trades[0] + len(trades)))
    taken = 0
    for ts, kind, side, price, size, _ in events.rows.tolist():
        assert ts > SMALL.start_ns
        if kind == TRADE:
            taken = size
            maker = ASK if side == BUY else BID
            assert price == best[maker]  # only the best price trades
            continue
        before = known.get((side, price), 0)
        if taken:
            assert before - size == taken  # the row after a trade takes just that from its level
            taken = 0
        known[side, price] = size
        if not size:
            del known[side, price]
        best[BID] = max(p for s, p in known if s == BID)
        best[ASK] = min(p for s, p in known if s == ASK)
        assert best[BID] < best[ASK]
    book = market.book()
    assert {p for s, p in known if s == BID} == set(book[0].tolist())
    assert {p for s, p in known if s == ASK} == set(book[2].tolist())
    check_conservation(market)


@pytest.mark.parametrize("preset", ["btc", "nexo"])
def test_the_same_seed_is_the_same_market_however_it_is_stepped(preset: str) -> None:
    config = dataclasses.replace(
        PRESETS[preset], near_orders=60, deep_orders=200, warmup_s=1.0, window_bits=14
    )
    span = 2 * SECOND if preset == "btc" else 200 * SECOND
    one, other = Market(config, 11), Market(config, 11)
    whole = one.step(config.start_ns + span).rows
    cuts = np.sort(np.random.default_rng(0).integers(0, span, 20))
    parts = [other.step(config.start_ns + int(cut)).rows for cut in [*cuts, cuts[-1], span]]
    assert np.array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(Market(config, 12).step(config.start_ns + span).rows, whole)


def test_a_loaded_market_goes_on_as_the_saved_one() -> None:
    market = Market(SMALL, 5)
    market.step(market.now + SECOND // 2)
    state = market.save()
    expected = market.step(market.now + SECOND).rows
    again = Market.load(SMALL, state)
    assert np.array_equal(again.step(again.now + SECOND).rows, expected)
    for one, other in zip(market.book(), again.book(), strict=True):
        assert np.array_equal(one, other)
    with pytest.raises(InputError, match="another market"):
        Market.load(dataclasses.replace(SMALL, deep_orders=300), state)


def test_full_event_rows_are_emptied_and_the_market_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = Market(SMALL, 5).step(SMALL.start_ns + 3 * SECOND).rows
    monkeypatch.setattr("lobproof.sources.simulator.market.STEP_ROWS", at.RESERVE + 50)
    rows = Market(SMALL, 5).step(SMALL.start_ns + 3 * SECOND).rows
    assert np.array_equal(rows, expected)


def test_a_market_does_not_run_backwards() -> None:
    market = Market(SMALL, 5)
    market.step(market.now + 5)
    with pytest.raises(UsageError, match="cannot step"):
        market.step(market.now - 1)


def test_the_ring_follows_a_running_price_and_drops_what_it_leaves() -> None:
    config = dataclasses.replace(
        SMALL, window_bits=12, volatility=1e-5, jump_size=1e-9, take_share=0.2
    )
    market = Market(config, 2)
    floor = int(market._state.ring.floor)
    for _ in range(20):
        market._flow.value += 150.0
        market.step(market.now + SECOND // 8)
        check_conservation(market)
        lowest = int(market._state.ring.floor)
        bids, _, asks, _ = market.book()
        assert lowest <= bids[-1]
        assert asks[-1] < lowest + 4096
    assert int(market._state.ring.floor) > floor


def test_a_new_tick_holds_for_new_orders_only() -> None:
    config = dataclasses.replace(
        SMALL, tick=1, new_tick=10, new_tick_after_s=0.5, near_orders=30, deep_orders=60
    )
    market = Market(config, 4)
    before = market.step(config.start_ns + SECOND // 2)
    assert (before.price % 10).any()
    market.step(config.start_ns + SECOND // 2 + SECOND // 50)
    old = set(np.concatenate(market.book()[::2]).tolist())
    after = market.step(market.now + SECOND)
    odd = [p for p in after.price[after.price % 10 != 0].tolist() if p not in old]
    assert not odd
    assert config.instrument.rule_at(config.start_ns).tick == 1
    assert config.instrument.rule_at(config.new_tick_at_ns).tick == 10


def test_legacy_orders_rest_off_the_tick_and_odd_sizes_off_the_lot() -> None:
    config = dataclasses.replace(
        SMALL, tick=10, price=60_000_000, window_bits=17, legacy_orders=20, off_lot_share=0.3
    )
    bids, bid_sizes, asks, ask_sizes = Market(config, 4).book()
    assert (np.concatenate([bids, asks]) % 10 != 0).sum() > 5
    assert (np.concatenate([bid_sizes, ask_sizes]) % config.lot != 0).any()
    plain = Market(dataclasses.replace(config, legacy_orders=0, off_lot_share=0.0), 4).book()
    assert not (np.concatenate(plain[::2]) % 10).any()
    assert not (np.concatenate(plain[1::2]) % config.lot).any()


def test_every_size_is_on_the_lot_unless_asked_otherwise() -> None:
    config = dataclasses.replace(SMALL, jumps_per_second=20.0, take_share=0.2)
    events = Market(config, 4).step(config.start_ns + 3 * SECOND)
    assert (events.kind == TRADE).sum() > 100
    assert not (events.size % config.lot).any()
    assert not (events.price % config.tick).any()


def test_futures_ids_jump() -> None:
    config = dataclasses.replace(SMALL, market="futures", id_step=12)
    market = Market(config, 4)
    events = market.step(market.now + SECOND)
    steps = np.diff(events.id[events.kind == LEVEL])
    assert steps.min() >= 1
    assert 8 < steps.mean() < 16
    assert config.symbol == "SIM-USDT-PERP"
    assert config.exchange == "BINANCE_FUTURES"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"excitation": Excitation(0.5, 0.1, 0.4, 1.0, 0.2, 10.0)}, "explode"),
        ({"window_bits": 30}, "window_bits"),
        ({"price": 10}, "64 ticks"),
        ({"tick": 4, "new_tick": 6}, "multiple"),
        ({"legacy_orders": 5}, "finer than the tick"),
        ({"window_bits": 12, "tick": 10}, "1024 ticks"),
        ({"rate": 0.0}, "rate"),
    ],
)
def test_impossible_markets_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        dataclasses.replace(SMALL, **changes)


def test_random_numbers_are_those_of_the_reference() -> None:
    words = [1, 2, 3, 4]
    random = zeroed(RANDOM)[0]
    random.a, random.b, random.c, random.d = words
    beginning = random.copy()

    def rotated(x: int, k: int) -> int:
        return ((x << k) | (x >> (32 - k))) & 0xFFFFFFFF

    for _ in range(200):  # xoshiro128++ as its authors wrote it
        expected = (rotated((words[0] + words[3]) & 0xFFFFFFFF, 7) + words[0]) & 0xFFFFFFFF
        t = (words[1] << 9) & 0xFFFFFFFF
        words[2] ^= words[0]
        words[3] ^= words[1]
        words[1] ^= words[2]
        words[0] ^= words[3]
        words[2] ^= t
        words[3] = rotated(words[3], 11)
        assert bits32(random) == expected
    assert bits32(beginning) == 641  # (5 << 7) + 1


def seeded(seed: int, stream: int) -> Record:
    random: Record = zeroed(RANDOM)[0]
    seed_random(random, seed, stream)
    return random


def test_variates_have_their_moments() -> None:
    random = seeded(9, 3)
    n = 4000
    for function, mean, deviation in (
        (uniform, 0.5, 12**-0.5),
        (exponential, 1.0, 1.0),
        (normal, 0.0, 1.0),
    ):
        values = np.array([function(random) for _ in range(n)])
        assert abs(values.mean() - mean) < 5 * deviation / n**0.5
        assert abs(values.std() / deviation - 1) < 0.1
    for x in (0.0, 1e-6, 0.5, 3.0, 20.0):
        assert exp_minus(x) == pytest.approx(np.exp(-x), rel=2e-6)
    assert exp_minus(50.0) == 0
    assert seeded(1, 0) != seeded(1, 1)

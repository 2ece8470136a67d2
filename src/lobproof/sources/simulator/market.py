"""``Market``: a seeded continuous double auction whose true book is known at every instant."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Self

import numpy as np

from lobproof.errors import InputError, UsageError
from lobproof.schema import Int64
from lobproof.schema.records import Record, Records, numbers, records, zeroed
from lobproof.sources.simulator import layout_kernels as at
from lobproof.sources.simulator.config import Distances, MarketConfig, Sizes
from lobproof.sources.simulator.flow_kernels import quantity, rest, run
from lobproof.sources.simulator.market_kernels import list_side, place
from lobproof.sources.simulator.random_kernels import below, seed_random

STEP_ROWS = 1 << 16
"""Event rows that the kernel fills before Python takes them away."""
_NEVER = 1 << 62


@dataclass(slots=True)
class MarketEvents:
    """What happened, in order: a row per trade and per change of a level, the trade first.

    ``rows`` is (n, 6) int64 with the columns below. ``kind`` is LEVEL (1) or TRADE (2). A LEVEL
    row has the book side (1 bid, 2 ask), the level's new absolute quantity in ``size`` and its
    update id in ``id``; a TRADE row the taker's side (1 buy, 2 sell), the maker level's price,
    the quantity and the trade id. Times in ns.
    """

    rows: Int64

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ts(self) -> Int64:
        """Time of each event, ns."""
        return self.rows[:, at.ROW_TS]

    @property
    def kind(self) -> Int64:
        """LEVEL or TRADE."""
        return self.rows[:, at.ROW_KIND]

    @property
    def side(self) -> Int64:
        """The book's side, or the taker's."""
        return self.rows[:, at.ROW_SIDE]

    @property
    def price(self) -> Int64:
        """Price of the level, in counts."""
        return self.rows[:, at.ROW_PRICE]

    @property
    def size(self) -> Int64:
        """The level's new quantity, or the traded one, in counts."""
        return self.rows[:, at.ROW_SIZE]

    @property
    def id(self) -> Int64:
        """Update id, or trade id."""
        return self.rows[:, at.ROW_ID]


class Market:
    """A market that runs from ``config.start_ns`` on, after a warm-up that nobody sees.

    The same configuration and seed give the same events, however ``step`` is called.
    """

    def __init__(self, config: MarketConfig, seed: int, *, warm: bool = True) -> None:
        """Build the opening book and let it settle; ``warm=False`` leaves the book empty."""
        self.config = config
        self.seed = seed
        self._states, self._m = _begin(config, seed)
        self._flows = _flows(config)
        if warm:
            self._open()

    @property
    def now(self) -> int:
        """Time up to which the market has run, ns."""
        return int(self._state.now)

    @property
    def update_id(self) -> int:
        """Id of the last level change."""
        return int(self._state.update_id)

    @property
    def trade_id(self) -> int:
        """Id of the last trade."""
        return int(self._state.trade_id)

    @property
    def orders(self) -> int:
        """How many orders rest in the book."""
        return int(self._state.live.sum())

    def step(self, until_ns: int) -> MarketEvents:
        """Everything that happens after :attr:`now` and up to ``until_ns`` (inclusive).

        Raises
        ------
        UsageError
            When ``until_ns`` lies in the past.
        """
        if until_ns < self.now:
            raise UsageError(
                f"the market has run to {self.now}, it cannot step to {until_ns}",
                hint="markets run forward; load a saved state to go back",
            )
        parts: list[Int64] = []
        done = False
        while not done:
            done = self._run(until_ns)
            parts.append(self._rows[: int(self._state.rows)].copy())
        return MarketEvents(parts[0] if len(parts) == 1 else np.concatenate(parts))

    def book(self, limit: int | None = None) -> tuple[Int64, Int64, Int64, Int64]:
        """The true book now: bid prices and sizes, ask prices and sizes, best first."""
        room = min(limit or self.orders, self.orders)
        result: list[Int64] = []
        for side in (at.BID, at.ASK):
            levels = np.zeros((room, 2), np.int64)
            found = levels[: list_side(self._state, self._m, side, levels)]
            result += [found[:, 0].copy(), found[:, 1].copy()]
        return result[0], result[1], result[2], result[3]

    def save(self) -> dict[str, Any]:
        """The whole state as arrays; what :meth:`load` makes of it goes on identically."""
        m, state = self._m, self._state
        orders_end = at.ORDERS_AT + at.ORDER_SLOTS * int(state.used)
        occupied = np.flatnonzero(self._levels[:, at.HEAD])
        return {
            "seed": np.array([self.seed]),
            "state": numbers(self._states),
            "flow": numbers(self._flows),
            "tables": m[: at.ORDERS_AT].copy(),
            "orders": m[at.ORDERS_AT : orders_end].copy(),
            "lists": m[state.lists_at : state.levels_at].copy(),
            "level_slots": occupied,
            "levels": self._levels[occupied],
        }

    @classmethod
    def load(cls, config: MarketConfig, state: Mapping[str, Any]) -> Self:
        """The market that :meth:`save` described.

        Raises
        ------
        InputError
            When the state is not one of a market with this configuration.
        """
        market = cls(config, int(state["seed"][0]), warm=False)
        m = market._m
        saved = records(at.MARKET, state["state"])
        if _shape(saved[0]) != _shape(market._state):
            raise InputError(
                "the saved state belongs to another market",
                hint="load it with the configuration that it was saved with",
            )
        market._states = saved
        market._flows = records(at.FLOW, state["flow"])
        m[: at.ORDERS_AT] = state["tables"]
        m[at.ORDERS_AT : at.ORDERS_AT + len(state["orders"])] = state["orders"]
        m[saved[0].lists_at : saved[0].levels_at] = state["lists"]
        slots = state["level_slots"]
        market._levels[slots] = state["levels"]
        words = m[saved[0].ring.bits_at : saved[0].rows_at]
        np.bitwise_or.at(words, slots >> 5, np.int64(1) << (slots & 31))
        return market

    @property
    def _state(self) -> Record:
        state: Record = self._states[0]
        return state

    @property
    def _flow(self) -> Record:
        flow: Record = self._flows[0]
        return flow

    @property
    def _levels(self) -> Int64:
        state = self._state
        return self._m[state.levels_at : state.ring.bits_at].reshape(-1, at.LEVEL_SLOTS)

    @property
    def _rows(self) -> Int64:
        return self._m[self._state.rows_at :].reshape(-1, at.ROW_SLOTS)

    def _run(self, until_ns: int) -> bool:
        self._state.rows = 0
        return run(self._state, self._m, self._flow, until_ns)

    def _open(self) -> None:
        """Fill the book about the first price, then run the warm-up and forget its events."""
        config, state, m, flow = self.config, self._state, self._m, self._flow
        begin = config.start_ns - round(config.warmup_s * 1e9)
        for k in range(config.near_orders + config.deep_orders):
            state.rows = 0
            rest(state, m, flow, begin, at.BID + k % 2, int(k >= config.near_orders))
        for k in range(config.legacy_orders):
            state.rows = 0
            side = at.BID + k % 2
            price = int(state.ring.best_bid if side == at.BID else state.ring.best_ask)
            away = (1 + below(state.random, 200)) * config.tick
            away += 1 + below(state.random, config.tick - 1)
            price += -away if side == at.BID else away
            size = quantity(state, m, flow, at.DEEP_SIZE)
            place(state, m, begin, side, price, size, at.DEEP_BID + k % 2)
        state.now = state.last_order = state.next_clock = begin
        state.next_order = _NEVER
        while not self._run(config.start_ns):
            continue
        state.update_id, state.trade_id = config.first_update_id, config.first_trade_id


def _shape(state: Record) -> tuple[int, ...]:
    """What no run changes of a market's memory."""
    ring = state.ring
    places = (state.lists_at, state.levels_at, state.rows_at, ring.bits_at)
    return (int(ring.mask), int(state.capacity), *map(int, places))


def _begin(config: MarketConfig, seed: int) -> tuple[Records, Int64]:
    """State and memory of an empty market."""
    width = 1 << config.window_bits
    capacity = 4096 + 2 * (config.near_orders + config.deep_orders) + config.legacy_orders
    states = zeroed(at.MARKET)
    state = states[0]
    state.lists_at = at.ORDERS_AT + at.ORDER_SLOTS * capacity
    state.levels_at = state.lists_at + 4 * capacity
    state.ring.bits_at = state.levels_at + at.LEVEL_SLOTS * width
    state.rows_at = state.ring.bits_at + width // 32
    seed_random(state.random, seed, 0)
    state.ring.floor, state.ring.mask = config.price - width // 2, width - 1
    state.used, state.capacity = 1, capacity
    state.tick, state.lot = config.tick, config.lot
    state.id_step = config.id_step
    state.update_id, state.trade_id = config.first_update_id, config.first_trade_id
    state.regime, state.sign = 1, at.BUY
    state.new_tick = config.new_tick
    state.tick_change_at = config.new_tick_at_ns if config.new_tick else _NEVER
    state.beat_ns = round(config.beat_s * 1e9)
    state.rows_limit = STEP_ROWS
    m = np.zeros(state.rows_at + at.ROW_SLOTS * STEP_ROWS, np.int64)
    tables = [
        _quantiles(lambda u: _distance(config.near, u)),
        _quantiles(lambda u: _distance(config.deep, u)),
        _quantiles(lambda u: _size(config.near_sizes, u)),
        _quantiles(lambda u: _size(config.deep_sizes, u)),
        _quantiles(lambda u: _size(config.take_sizes, u)),
        _quantiles(lambda u: min(1e3 * (1 - u) ** (-1 / config.jump_tail), 8e3)),
    ]
    m[: at.ORDERS_AT] = [value for table in tables for value in table]
    return states, m


def _flows(config: MarketConfig) -> Records:
    """The configuration as the kernels use it."""
    flows = zeroed(at.FLOW)
    p = flows[0]
    beat = config.beat_s
    e = config.excitation
    # a taker excites take_weight times as much as others; weights average to 1
    other = (1 - config.take_share * config.take_weight) / (1 - config.take_share)
    p.take_weight, p.rest_weight = config.take_weight, max(other, 0.05)
    seconds = np.array(config.regime_seconds)
    mean_activity = float(np.dot(seconds, config.regime_activity) / seconds.sum())
    begotten = 1 / (1 - e.branching)  # arrivals that one from outside brings in the end
    p.rate = config.rate * (1 - config.burst_share) / begotten / mean_activity
    # a Pareto variate of exponent a >= 1 has the mean a / (a - 1)
    jump_mean = config.jump_tail / (config.jump_tail - 1)
    per_jump = config.rate * config.burst_share / config.jumps_per_second / jump_mean
    p.burst = per_jump / begotten / e.mid_seconds
    p.jump = config.jump_size
    p.excite_fast = e.fast_share / e.fast_seconds
    p.excite_mid = e.mid_share / e.mid_seconds
    p.excite_slow = e.slow_share / e.slow_seconds
    p.decay_mid = math.exp(-beat / e.mid_seconds)
    p.decay_slow = math.exp(-beat / e.slow_seconds)
    p.fast_seconds = e.fast_seconds
    p.rate_limit = 60 * config.rate + 1000
    adds = (1 - config.take_share) / 2
    p.near_add, p.deep_add = adds * config.near_share, adds * (1 - config.near_share)
    p.take_share = config.take_share
    p.near_target, p.deep_target = config.near_orders, config.deep_orders
    p.slack = config.slack * config.price
    p.pull, p.impact = config.pull, config.impact
    p.close_share = config.close_share
    p.stale_weight, p.sweep = config.stale_weight, config.sweep
    p.impact_size = 10 * config.take_sizes.median * config.lot
    p.sigma = config.volatility
    revert = beat / config.log_volatility_seconds
    p.log_revert = revert
    p.log_noise = config.log_volatility * np.sqrt(2 * revert)
    p.jump_chance = config.jumps_per_second * beat
    p.beat_root = np.sqrt(beat)
    p.round_share, p.nice_price_share = config.round_share, config.nice_price_share
    p.off_lot_share = config.off_lot_share
    p.sign_keep, p.walk_share = config.sign_keep, config.walk_share
    for k in range(3):
        p.regime_activity[k] = config.regime_activity[k]
        p.regime_volatility[k] = config.regime_volatility[k]
        p.regime_leave[k] = beat / config.regime_seconds[k]
    p.value = config.price
    # rounded, so that a last digit decides nothing
    values = flows.view(np.float64)
    values[:] = [float(f"{x:.9g}") for x in values]
    return flows


def _quantiles(inverse: Callable[[float], float]) -> list[int]:
    """A quantile function in whole numbers: at multiples of 1 / cells, then in the last cell."""
    n = at.TABLE_CELLS
    whole = [min(max(k / n, 0.5 / n), 1 - 0.5 / n**2) for k in range(n + 1)]
    last = [1 - 1 / n + min(k / n, 1 - 0.5 / n) / n for k in range(n + 1)]
    return [round(inverse(u)) for u in whole + last]


def _distance(spec: Distances, u: float) -> float:
    if u <= spec.at_touch:
        return 0.0
    beyond = (u - spec.at_touch) / (1 - spec.at_touch)
    odds: float = (1 - beyond) ** (-1 / spec.tail) - 1
    away: float = spec.scale * odds ** (1 / spec.hump)
    return min(away, float(spec.cap))


def _size(spec: Sizes, u: float) -> float:
    top = NormalDist().inv_cdf(min(u, 1 - spec.tail_share))
    size = spec.median * math.exp(spec.sigma * top)
    if u > 1 - spec.tail_share:
        rare: float = ((1 - u) / spec.tail_share) ** (-1 / spec.tail)
        size *= rare
    return min(max(size, float(spec.least)), float(spec.cap))

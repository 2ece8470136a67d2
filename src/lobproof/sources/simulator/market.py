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
from lobproof.sources.simulator import layout_kernels as at
from lobproof.sources.simulator.config import Distances, MarketConfig, Sizes
from lobproof.sources.simulator.flow_kernels import quantity, rest, run
from lobproof.sources.simulator.layout_kernels import Float64
from lobproof.sources.simulator.market_kernels import list_side, place
from lobproof.sources.simulator.random_kernels import below, seeded

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
        self._m = _memory(config, seed)
        self._f = _parameters(config)
        if warm:
            self._open()

    @property
    def now(self) -> int:
        """Time up to which the market has run, ns."""
        return int(self._m[at.NOW])

    @property
    def update_id(self) -> int:
        """Id of the last level change."""
        return int(self._m[at.UPDATE_ID])

    @property
    def trade_id(self) -> int:
        """Id of the last trade."""
        return int(self._m[at.TRADE_ID])

    @property
    def orders(self) -> int:
        """How many orders rest in the book."""
        return int(self._m[at.LIVE : at.LIVE + 4].sum())

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
            parts.append(self._rows[: int(self._m[at.ROWS])].copy())
        return MarketEvents(parts[0] if len(parts) == 1 else np.concatenate(parts))

    def book(self, limit: int | None = None) -> tuple[Int64, Int64, Int64, Int64]:
        """The true book now: bid prices and sizes, ask prices and sizes, best first."""
        room = min(limit or self.orders, self.orders)
        result: list[Int64] = []
        for side in (at.BID, at.ASK):
            levels = np.zeros((room, 2), np.int64)
            found = levels[: list_side(self._m, side, levels)]
            result += [found[:, 0].copy(), found[:, 1].copy()]
        return result[0], result[1], result[2], result[3]

    def save(self) -> dict[str, Any]:
        """The whole state as arrays; what :meth:`load` makes of it goes on identically."""
        m = self._m
        orders_end = at.ORDERS_AT + at.ORDER_SLOTS * int(m[at.USED])
        occupied = np.flatnonzero(self._levels[:, at.HEAD])
        return {
            "seed": np.array([self.seed]),
            "fixed": m[: at.TABLES_AT].copy(),
            "orders": m[at.ORDERS_AT : orders_end].copy(),
            "lists": m[m[at.LISTS_AT] : m[at.LEVELS_AT]].copy(),
            "level_slots": occupied,
            "levels": self._levels[occupied],
            "floats": self._f.copy(),
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
        shape = slice(at.STATE_SLOTS, at.ROWS)
        if not np.array_equal(m[shape], state["fixed"][shape]):
            raise InputError(
                "the saved state belongs to another market",
                hint="load it with the configuration that it was saved with",
            )
        m[: at.TABLES_AT] = state["fixed"]
        m[at.ORDERS_AT : at.ORDERS_AT + len(state["orders"])] = state["orders"]
        m[m[at.LISTS_AT] : m[at.LEVELS_AT]] = state["lists"]
        slots = state["level_slots"]
        market._levels[slots] = state["levels"]
        words = m[m[at.BITS_AT] : m[at.ROWS_AT]]
        np.bitwise_or.at(words, slots >> 5, np.int64(1) << (slots & 31))
        market._f[:] = state["floats"]
        return market

    @property
    def _levels(self) -> Int64:
        m = self._m
        return m[m[at.LEVELS_AT] : m[at.BITS_AT]].reshape(-1, at.LEVEL_SLOTS)

    @property
    def _rows(self) -> Int64:
        return self._m[self._m[at.ROWS_AT] :].reshape(-1, at.ROW_SLOTS)

    def _run(self, until_ns: int) -> bool:
        self._m[at.ROWS] = 0
        return run(self._m, self._f, until_ns)

    def _open(self) -> None:
        """Fill the book about the first price, then run the warm-up and forget its events."""
        config, m, f = self.config, self._m, self._f
        begin = config.start_ns - round(config.warmup_s * 1e9)
        for k in range(config.near_orders + config.deep_orders):
            m[at.ROWS] = 0
            rest(m, f, begin, at.BID + k % 2, int(k >= config.near_orders))
        for k in range(config.legacy_orders):
            m[at.ROWS] = 0
            side = at.BID + k % 2
            price = int(m[at.BEST_BID if side == at.BID else at.BEST_ASK])
            away = (1 + below(m, 200)) * config.tick + 1 + below(m, config.tick - 1)
            price += -away if side == at.BID else away
            size = quantity(m, f, at.DEEP_SIZE)
            place(m, begin, side, price, size, at.DEEP_BID + k % 2)
        m[at.NOW] = m[at.LAST_ORDER] = m[at.NEXT_CLOCK] = begin
        m[at.NEXT_ORDER] = _NEVER
        while not self._run(config.start_ns):
            continue
        m[at.UPDATE_ID], m[at.TRADE_ID] = config.first_update_id, config.first_trade_id


def _memory(config: MarketConfig, seed: int) -> Int64:
    width = 1 << config.window_bits
    capacity = 4096 + 2 * (config.near_orders + config.deep_orders) + config.legacy_orders
    lists = at.ORDERS_AT + at.ORDER_SLOTS * capacity
    levels = lists + 4 * capacity
    bits = levels + at.LEVEL_SLOTS * width
    rows = bits + width // 32
    m = np.zeros(rows + at.ROW_SLOTS * STEP_ROWS, np.int64)
    m[:4] = seeded(seed, 0)
    m[at.FLOOR] = config.price - width // 2
    m[at.USED] = 1
    m[at.TICK], m[at.LOT] = config.tick, config.lot
    m[at.ID_STEP] = config.id_step
    m[at.UPDATE_ID], m[at.TRADE_ID] = config.first_update_id, config.first_trade_id
    m[at.REGIME], m[at.SIGN] = 1, at.BUY
    m[at.NEW_TICK] = config.new_tick
    m[at.TICK_CHANGE_AT] = config.new_tick_at_ns if config.new_tick else _NEVER
    m[at.BEAT_NS] = round(config.beat_s * 1e9)
    m[at.MASK], m[at.CAPACITY] = width - 1, capacity
    m[at.LISTS_AT], m[at.LEVELS_AT], m[at.BITS_AT], m[at.ROWS_AT] = lists, levels, bits, rows
    m[at.ROWS_LIMIT] = STEP_ROWS
    tables = [
        _quantiles(lambda u: _distance(config.near, u)),
        _quantiles(lambda u: _distance(config.deep, u)),
        _quantiles(lambda u: _size(config.near_sizes, u)),
        _quantiles(lambda u: _size(config.deep_sizes, u)),
        _quantiles(lambda u: _size(config.take_sizes, u)),
        _quantiles(lambda u: min(1e3 * (1 - u) ** (-1 / config.jump_tail), 8e3)),
    ]
    m[at.TABLES_AT : at.ORDERS_AT] = [value for table in tables for value in table]
    return m


def _parameters(config: MarketConfig) -> Float64:
    """The configuration as the kernels use it; rounded, so that a last digit decides nothing."""
    p = np.zeros(at.FLOAT_SLOTS)
    beat = config.beat_s
    e = config.excitation
    # a taker excites take_weight times as much as others; weights average to 1
    other = (1 - config.take_share * config.take_weight) / (1 - config.take_share)
    p[at.TAKE_WEIGHT], p[at.REST_WEIGHT] = config.take_weight, max(other, 0.05)
    seconds = np.array(config.regime_seconds)
    mean_activity = float(np.dot(seconds, config.regime_activity) / seconds.sum())
    begotten = 1 / (1 - e.branching)  # arrivals that one from outside brings in the end
    p[at.RATE] = config.rate * (1 - config.burst_share) / begotten / mean_activity
    # a Pareto variate of exponent a >= 1 has the mean a / (a - 1)
    jump_mean = config.jump_tail / (config.jump_tail - 1)
    per_jump = config.rate * config.burst_share / config.jumps_per_second / jump_mean
    p[at.BURST] = per_jump / begotten / e.mid_seconds
    p[at.JUMP] = config.jump_size
    p[at.EXCITE_FAST] = e.fast_share / e.fast_seconds
    p[at.EXCITE_MID] = e.mid_share / e.mid_seconds
    p[at.EXCITE_SLOW] = e.slow_share / e.slow_seconds
    p[at.DECAY_MID] = math.exp(-beat / e.mid_seconds)
    p[at.DECAY_SLOW] = math.exp(-beat / e.slow_seconds)
    p[at.FAST_SECONDS] = e.fast_seconds
    p[at.RATE_LIMIT] = 60 * config.rate + 1000
    adds = (1 - config.take_share) / 2
    p[at.NEAR_ADD], p[at.DEEP_ADD] = adds * config.near_share, adds * (1 - config.near_share)
    p[at.TAKE] = config.take_share
    p[at.NEAR_TARGET], p[at.DEEP_TARGET] = config.near_orders, config.deep_orders
    p[at.SLACK] = config.slack * config.price
    p[at.PULL], p[at.IMPACT] = config.pull, config.impact
    p[at.CLOSE_SHARE] = config.close_share
    p[at.STALE_WEIGHT], p[at.SWEEP] = config.stale_weight, config.sweep
    p[at.IMPACT_SIZE] = 10 * config.take_sizes.median * config.lot
    p[at.SIGMA] = config.volatility
    revert = beat / config.log_volatility_seconds
    p[at.LOG_REVERT] = revert
    p[at.LOG_NOISE] = config.log_volatility * np.sqrt(2 * revert)
    p[at.JUMP_CHANCE] = config.jumps_per_second * beat
    p[at.BEAT_ROOT] = np.sqrt(beat)
    p[at.ROUND_SHARE], p[at.NICE_PRICE_SHARE] = config.round_share, config.nice_price_share
    p[at.OFF_LOT_SHARE] = config.off_lot_share
    p[at.SIGN_KEEP], p[at.WALK_SHARE] = config.sign_keep, config.walk_share
    for k in range(3):
        p[at.REGIME_ACTIVITY + k] = config.regime_activity[k]
        p[at.REGIME_VOLATILITY + k] = config.regime_volatility[k]
        p[at.REGIME_LEAVE + k] = beat / config.regime_seconds[k]
    p[at.VALUE] = config.price
    return np.array([float(f"{x:.9g}") for x in p])


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

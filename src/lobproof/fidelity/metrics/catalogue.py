"""The catalogue: what each metric of the blocks is, in words, and how it is compared."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.metrics.bin_kernels import (
    BINS,
    SIGNED_EXACT,
    SIGNED_SIDE,
    STEPS,
    UNSIGNED_BINS,
    UNSIGNED_EXACT,
)
from lobproof.fidelity.metrics.metric_kernels import (
    ADDED_DISTANCE,
    ADDED_SIZE,
    DEPTH,
    DEPTH_BPS,
    DEPTH_LEVELS,
    DEPTHS,
    EFFECTIVE_SPREAD,
    EVENT_MIX,
    HORIZONS_NS,
    IMBALANCE,
    IMBALANCE_STEPS,
    MESSAGE_INTERVAL,
    PART,
    PRICE_IMPACT,
    REALISED_SPREAD,
    REMOVED_DISTANCE,
    REMOVED_SIZE,
    SPREAD,
    SPREAD_BPS,
    SPREAD_LEVELS,
    TRADE_INTERVAL,
    TRADE_SIZE,
)

Float64 = NDArray[np.float64]


class Family(StrEnum):
    """What a metric speaks of."""

    FLOW = "order flow"
    STATE = "market state"
    RETURNS = "returns"


class Of(StrEnum):
    """What has one value of a metric."""

    TRADE = "trade"
    MESSAGE = "depth message"
    CHANGE = "change of a level"
    SAMPLE = "sample of the grid"


class Kind(StrEnum):
    """How a metric is compared beside its distribution."""

    RATIO = "ratio"  # positive: mean, spread and quantiles as ratios
    LATTICE = "lattice"  # few values: probability mass, mean as a ratio
    SIGNED = "signed"  # around 0: mean and spread in units of the spread
    CATEGORY = "category"  # no numbers at all: probability mass


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the blocks.

    ``scale``: what a whole number of the bins is, in ``unit``.
    """

    number: int
    name: str
    title: str
    family: Family
    of: Of
    kind: Kind
    unit: str
    scale: float
    formula: str
    signed: bool = False

    @property
    def bins(self) -> int:
        """How many bins its histogram has."""
        return BINS if self.signed else UNSIGNED_BINS

    def edges(self) -> tuple[Float64, Float64]:
        """Smallest and largest whole number of each bin, as floats; infinite beyond the last."""
        if not self.signed:
            low, high = _magnitudes(UNSIGNED_EXACT, UNSIGNED_BINS - 1)
            return np.append(-np.inf, low), np.append(-1.0, high)
        low, high = _magnitudes(SIGNED_EXACT, SIGNED_SIDE + 1)
        return np.append(-high[:0:-1], low), np.append(-low[:0:-1], high)


def _magnitudes(exact: int, count: int) -> tuple[Float64, Float64]:
    """Smallest and largest whole number of the bins of magnitudes."""
    steps = np.arange(count - 1 - (1 << exact))
    starts = np.ldexp(1.0 + steps % STEPS / STEPS, exact + steps // STEPS)
    low = np.concatenate([np.arange(1 << exact, dtype=np.float64), starts])
    last = np.ldexp(1.0, exact + len(steps) // STEPS)
    low = np.append(low, last)
    return low, np.append(low[1:] - 1.0, np.inf)


def _catalogue() -> tuple[Metric, ...]:
    bps = 1e4 / PART
    found = []
    for k, level in enumerate(SPREAD_LEVELS):
        formula = f"a_{level} - b_{level}"
        found += [
            Metric(
                SPREAD + k,
                f"spread_{level}",
                f"Spread at level {level}",
                Family.STATE,
                Of.SAMPLE,
                Kind.LATTICE,
                "ticks",
                1.0,
                formula,
            ),
            Metric(
                SPREAD_BPS + k,
                f"spread_{level}_bps",
                f"Spread at level {level}, relative to the mid",
                Family.STATE,
                Of.SAMPLE,
                Kind.LATTICE,
                "bps",
                bps,
                f"({formula}) / mid",
            ),
        ]
    for s, side in enumerate(("bid", "ask")):
        first = DEPTH + s * DEPTHS
        for k, level in enumerate(DEPTH_LEVELS):
            to = "level 1" if level == 1 else f"levels 1 to {level}"
            found.append(
                Metric(
                    first + k,
                    f"{side}_depth_{level}",
                    f"Size at {to} of the {side}s",
                    Family.STATE,
                    Of.SAMPLE,
                    Kind.RATIO,
                    "lots",
                    1.0,
                    f"sum of q_l, l <= {level}",
                )
            )
        for k, band in enumerate(DEPTH_BPS):
            found.append(
                Metric(
                    first + len(DEPTH_LEVELS) + k,
                    f"{side}_depth_{band}bps",
                    f"Size of the {side}s within {band} bps of the mid",
                    Family.STATE,
                    Of.SAMPLE,
                    Kind.RATIO,
                    "lots",
                    1.0,
                    f"sum of q_l where |p_l - mid| <= {band} bps; known where a level beyond shows",
                )
            )
    for k, level in enumerate((1, 5)):
        to = "level 1" if level == 1 else "levels 1 to 5"
        found.append(
            Metric(
                IMBALANCE + k,
                f"imbalance_{level}",
                f"Imbalance of {to}",
                Family.STATE,
                Of.SAMPLE,
                Kind.SIGNED,
                "",
                1.0 / IMBALANCE_STEPS,
                "(Q_bid - Q_ask) / (Q_bid + Q_ask)",
                signed=True,
            )
        )
    for k, taker in enumerate(("buy", "sell")):
        found.append(
            Metric(
                TRADE_SIZE + k,
                f"{taker}_size",
                f"Size of a trade whose taker {taker}s",
                Family.FLOW,
                Of.TRADE,
                Kind.RATIO,
                "lots",
                1.0,
                "q",
            )
        )
    found.append(
        Metric(
            TRADE_INTERVAL,
            "trade_interval",
            "Time between trades",
            Family.FLOW,
            Of.TRADE,
            Kind.RATIO,
            "µs",
            1.0,
            "t_k - t_(k-1)",
        )
    )
    found.append(
        Metric(
            EFFECTIVE_SPREAD,
            "effective_spread",
            "Effective spread",
            Family.FLOW,
            Of.TRADE,
            Kind.SIGNED,
            "bps",
            bps,
            "2 e (p - m) / m",
            signed=True,
        )
    )
    for k, horizon in enumerate(HORIZONS_NS):
        seconds = horizon // 1_000_000_000
        found += [
            Metric(
                REALISED_SPREAD + k,
                f"realised_spread_{seconds}s",
                f"Realised spread after {seconds} s",
                Family.FLOW,
                Of.TRADE,
                Kind.SIGNED,
                "bps",
                bps,
                f"2 e (p - m(t + {seconds} s)) / m",
                signed=True,
            ),
            Metric(
                PRICE_IMPACT + k,
                f"impact_{seconds}s",
                f"Price impact after {seconds} s",
                Family.FLOW,
                Of.TRADE,
                Kind.SIGNED,
                "bps",
                bps,
                f"2 e (m(t + {seconds} s) - m) / m",
                signed=True,
            ),
        ]
    found.append(
        Metric(
            MESSAGE_INTERVAL,
            "message_interval",
            "Time between depth messages",
            Family.FLOW,
            Of.MESSAGE,
            Kind.RATIO,
            "µs",
            1.0,
            "t_k - t_(k-1), the book trusted at both",
        )
    )
    for size, distance, what in (
        (ADDED_SIZE, ADDED_DISTANCE, "added"),
        (REMOVED_SIZE, REMOVED_DISTANCE, "removed"),
    ):
        to = "to" if what == "added" else "from"
        found += [
            Metric(
                size,
                f"{what}_size",
                f"Size {what} {to} a level by a message",
                Family.FLOW,
                Of.CHANGE,
                Kind.RATIO,
                "lots",
                1.0,
                "|q - q'| of a price that both books show",
            ),
            Metric(
                distance,
                f"{what}_distance",
                f"Distance from the mid of what is {what}",
                Family.FLOW,
                Of.CHANGE,
                Kind.LATTICE,
                "half ticks",
                1.0,
                "|2 p - b - a| / tick, the mid before the message",
            ),
        ]
    found.append(
        Metric(
            EVENT_MIX,
            "event_mix",
            "Mix of events: added, removed, traded; by side and level",
            Family.FLOW,
            Of.CHANGE,
            Kind.CATEGORY,
            "",
            1.0,
            "share of each category",
        )
    )
    return tuple(sorted(found, key=lambda one: one.number))


CATALOGUE = _catalogue()
"""All metrics of the blocks, by number."""
BY_NAME = {one.name: one for one in CATALOGUE}

"""What the mutation suite runs on and what is expected of it, fixed before any of it was run.

Before this was fixed, eight markets with other seeds (900001 to 900008) were looked at: how long
they remember, how many values they have, what a comparison costs, and whether gate C passes
identical ones. Mutations had been run with the seeds 890000, 890001 and 700001, for what they cost
and whether they change what they are to change; no verdict on one had been looked at. Neither a
seed nor a threshold may change on account of what is found: a line that is not reached is reported
as it is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lobproof.fidelity.gates.settings import Level
from lobproof.sources.simulator import PRESETS, Distances, Excitation, Sizes
from mutation import mutations
from mutation.mutations import Mutation
from mutation.streams import SECOND

_SIZES = Sizes(300.0, 0.8, 8, 4.0, 0.001, 100_000)
MARKET = dataclasses.replace(
    PRESETS["btc"],
    price=1_000_000,
    tick=10,
    window_bits=16,
    rate=300.0,
    excitation=Excitation(0.3, 0.01, 0.1, 0.05, 0.05, 0.3),
    take_share=0.15,
    near_share=0.5,
    near_orders=20,
    deep_orders=80,
    near=Distances(0.25, 40.0, 1.2, 300),
    deep=Distances(0.0, 40.0, 2.0, 200, 1.5),
    near_sizes=_SIZES,
    deep_sizes=_SIZES,
    take_sizes=_SIZES,
    volatility=1e-8,
    log_volatility=0.0,
    log_volatility_seconds=1.0,
    slack=1e-5,
    impact=0.0,
    jumps_per_second=1.0,
    jump_size=1e-9,
    burst_share=0.0,
    sign_keep=0.5,
    regime_activity=(1.0, 1.0, 1.0),
    regime_volatility=(1.0, 1.0, 1.0),
    regime_seconds=(1e9, 1e9, 1e9),
    warmup_s=30.0,
)
"""A market with a short memory: few orders, renewed within a second, round a value that stays.

All that makes memory long is off: regimes, volatility that clusters, a price that wanders. So the
longest memory of a metric is some 2 s, and an hour is 70 blocks and more of 20 times as much.
"""
OTHER_MARKET = dataclasses.replace(MARKET, near_sizes=dataclasses.replace(_SIZES, median=315.0))
"""Differs in one parameter: orders near the touch are 5 % larger."""

SECONDS = 3600
BLOCK_NS = 10 * SECOND
SEEDS = tuple(range(1, 201))
GOLDEN, SECOND_WINDOW, OTHER_WINDOW = 10_000, 20_000, 30_000
"""Added to a seed: the golden market's, that of an independent window, of the other market."""
LEVEL = Level.LIGHT
"""The metrics of the blocks. What level `standard` adds needs what this market is without: models
of volatility that clusters end at their bounds, and returns of 60 s need 13 hours."""

DETECTION = 0.95
ACCEPTANCE = 0.99
POWER = 0.95
ALPHA = 0.05
"""Least detection where gate C sees a mutation, least acceptance of identical streams, least power
of gate D against the other market, its rate of false alarms."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What gate C is to say of a mutation.

    ``seen``: whether its verdict is to be FAIL; INCONCLUSIVE is no detection. ``why``: by which
    figures, or what hides it.
    """

    seen: bool
    why: str


EXPECTED: dict[str, Expected] = {
    "identity": Expected(False, "nothing differs"),
    "scale_up": Expected(True, "means of sizes and depths are off by twice the margin"),
    "scale_down": Expected(True, "means of sizes and depths are off by twice the margin"),
    "wider": Expected(True, "the standard deviation of traded sizes is off by twice the margin"),
    "contamination": Expected(True, "mean and standard deviation of sizes"),
    "tail_clip": Expected(True, "the standard deviation of traded sizes"),
    "frozen_book": Expected(
        False, "states are those of up to a second before, marginals are nearly the same"
    ),
    "random_loss": Expected(True, "the numbers of trades; marginals are the same"),
    "contiguous_loss": Expected(
        False, "the numbers of trades, but it lies in one or two blocks: the error is as large"
    ),
    "duplicates": Expected(True, "the numbers of trades"),
    "side_flips": Expected(True, "1 % of the effective spreads change their sign"),
    "tick_offset": Expected(True, "levels that nobody removes: spreads, distances, depths"),
    "rounded_times": Expected(True, "intervals between trades, many of which are below 1 ms"),
    "swapped": Expected(False, "the same values in another order"),
}
"""By reasoning, from the definitions in `mutations` and the figures of gate C."""

MUTATIONS: dict[str, Mutation] = {name: getattr(mutations, name) for name in EXPECTED}


def declared() -> str:
    """SHA-256, in hexadecimal, of all of the above and of the source of the mutations."""
    fixed = {
        "markets": [MARKET.to_dict(), OTHER_MARKET.to_dict()],
        "window": [SECONDS, BLOCK_NS],
        "seeds": [SEEDS, GOLDEN, SECOND_WINDOW, OTHER_WINDOW],
        "level": LEVEL.value,
        "targets": [DETECTION, ACCEPTANCE, POWER, ALPHA],
        "expected": {name: asdict(one) for name, one in EXPECTED.items()},
        "mutations": Path(mutations.__file__).read_text(),
    }
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


DECLARED = "05b299860608b44e76adf0091b18184bafde71cfad58ad95fd19498b3e39e883"
"""What `declared` gave when it was fixed."""

"""Order flow beside the mid: impact, Roll's measure, counts, signs; sums by block."""

from __future__ import annotations

import numpy as np

from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.grid import Grid, Steps
from lobproof.fidelity.metrics.metric_kernels import (
    BOUGHT,
    OFI_1,
    OFI_5,
    RETURN_PAIRS,
    RETURN_PRODUCTS,
    SOLD,
)
from lobproof.fidelity.metrics.pairs import pair_sums
from lobproof.schema import Int64

FLOW_S = (0.1, 1.0, 10.0)
"""Order flow is added up over each of these."""
FLOW_COLUMNS = {1: OFI_1, 5: OFI_5}
"""Order flow imbalance by the number of levels."""


def flow_impact(grid: Grid, steps: Steps, levels: int) -> Float64:
    """Pairs (x, y) of order flow imbalance, lots, and change of the mid, ticks (blocks, 6).

    Their `pairs.slope` is beta and their `pairs.r_squared` the fit of Cont, Kukanov and Stoikov
    (2014): ``dM = alpha + beta OFI + e``, over the same step. Five levels: Xu, Gould and Howison
    (2019), added up.
    """
    return pair_sums(steps, grid.flow(steps, FLOW_COLUMNS[levels]) / grid.lot, grid.changes(steps))


def signed_volume(grid: Grid, steps: Steps) -> Float64:
    """What buyers took less what sellers did, over each step, lots."""
    return (grid.flow(steps, BOUGHT) - grid.flow(steps, SOLD)) / grid.lot


def kyle(grid: Grid, steps: Steps) -> Float64:
    """Pairs of signed volume, lots, and change of the mid, ticks (blocks, 6).

    Their `pairs.slope` is Kyle's lambda (Kyle 1985), ticks for each lot.
    """
    return pair_sums(steps, signed_volume(grid, steps), grid.changes(steps))


def volume_volatility(grid: Grid, steps: Steps) -> Float64:
    """Pairs of volume, lots, and size of the return (blocks, 6), for `pairs.correlation`."""
    return pair_sums(steps, grid.flow(steps, BOUGHT, SOLD) / grid.lot, np.abs(grid.returns(steps)))


def sign_of_flow(grid: Grid, steps: Steps) -> Int64:
    """1 where buyers took more over a step, -1 where sellers did, else 0."""
    signs: Int64 = np.sign(grid.flow(steps, BOUGHT) - grid.flow(steps, SOLD))
    return signs


def trade_imbalance(grid: Grid, steps: Steps) -> Float64:
    """``(bought - sold) / (bought + sold)`` over each step; 0 where nothing traded."""
    bought, sold = grid.flow(steps, BOUGHT), grid.flow(steps, SOLD)
    shares: Float64 = (bought - sold) / np.maximum(bought + sold, 1)
    return shares


def order_flow(grid: Grid, steps: Steps) -> Float64:
    """Order flow imbalance of level 1 over each step, lots."""
    return grid.flow(steps, OFI_1) / grid.lot


def roll(tallies: Float64 | Int64) -> Float64:
    """Roll's measure of the effective spread, ticks, of tallies (..., 7).

    Roll (1984): ``2 sqrt(-c)``, c the mean product of successive changes of the price of trades.
    Its mean change is taken for 0. NaN where c is above 0, or no pair is known: the model does not
    hold then, and 0 would say that there is no spread.
    """
    products, pairs = (
        np.asarray(tallies[..., column], np.float64) for column in (RETURN_PRODUCTS, RETURN_PAIRS)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = products / pairs
        return np.where(mean <= 0, 2 * np.sqrt(np.maximum(-mean, 0.0)), np.nan)


def fano(sums: Float64) -> Float64:
    """Fano factor of counts: variance over mean, of `returns.power_sums` (..., 5).

    1 of a Poisson process, more where events come together. NaN where none came.
    """
    n, first, second = (sums[..., k] for k in range(3))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = first / n
        return np.where(mean > 0, (second / n - mean * mean) / mean, np.nan)

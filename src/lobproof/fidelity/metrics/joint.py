"""The joint state of a market: spread, imbalance, depth and order flow at one time."""

from __future__ import annotations

import numpy as np

from lobproof.fidelity.inference.energy import Energy, energy_distance
from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.flow import order_flow
from lobproof.fidelity.metrics.grid import Grid
from lobproof.fidelity.metrics.metric_kernels import ASK_SIZE, BID_SIZE

JOINT_S = 10.0
"""Seconds between states, and over which flow is added up."""
MOST = 2_000
"""More states of a side are thinned to so many, evenly."""
COLUMNS = ("spread", "imbalance", "log_depth", "order_flow")


def joint_states(grid: Grid) -> Float64:
    """States every `JOINT_S` (n, 4): `COLUMNS`, in ticks, from -1 to 1, log of lots, and lots.

    Of the touch; where the mid is known at each sample since the state before.
    """
    steps = grid.steps(JOINT_S)
    rows = steps.row[steps.known]
    bid, ask = (grid.column(column)[rows] / grid.lot for column in (BID_SIZE, ASK_SIZE))
    columns = (
        grid.spread()[rows],
        (bid - ask) / (bid + ask),
        np.log(bid + ask),
        order_flow(grid, steps)[steps.known],
    )
    return np.stack(columns, axis=-1).astype(np.float64)


def joint_energy(ours: Grid, golden: Grid) -> Energy:
    """Energy distance of joint states, each column in standard deviations of the golden ones.

    What does not vary there stays as it is. Of more than `MOST` states evenly spaced ones are
    taken. NaN where a grid has no state. It has no threshold: states of one market in two windows
    differ by more than independent ones would.
    """
    r, g = joint_states(ours), joint_states(golden)
    if len(g):
        spread = g.std(axis=0)
        unit = np.where(spread > 0.0, spread, 1.0)
        r, g = r / unit, g / unit
    return energy_distance(_thinned(r), _thinned(g))


def _thinned(points: Float64) -> Float64:
    if len(points) <= MOST:
        return points
    return points[np.linspace(0, len(points) - 1, MOST).astype(np.int64)]

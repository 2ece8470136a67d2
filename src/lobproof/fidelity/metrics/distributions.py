"""Distributions of what follows from the grid: as histograms on the frozen bins, by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.metrics.blocks import Float64
from lobproof.fidelity.metrics.catalogue import Family, Kind, Metric, Of
from lobproof.fidelity.metrics.flow import FLOW_COLUMNS, FLOW_S
from lobproof.fidelity.metrics.grid import Grid, Steps
from lobproof.fidelity.metrics.metric_kernels import MESSAGES, METRICS, PART, TRADES
from lobproof.fidelity.metrics.returns import HORIZONS_S, histogram, power_sums
from lobproof.schema import Int64

COUNTS_S = (1.0, 10.0)
"""Trades and messages are counted over each of these."""
Made = Callable[[Grid, Steps], Int64]


@dataclass(frozen=True, slots=True)
class Distribution:
    """A metric with one value for each step of the grid.

    ``metric``: its number goes on from those of `catalogue.CATALOGUE`, its bins are the same.
    """

    metric: Metric
    seconds: float
    made: Made

    def counts(self, grid: Grid) -> NDArray[np.int32]:
        """Its histogram in each block (blocks, bins)."""
        steps = grid.steps(self.seconds)
        return histogram(steps, self.made(grid, steps), signed=self.metric.signed)

    def moments(self, grid: Grid) -> Float64:
        """Number of values, and sums of their first four powers, in each block (blocks, 5)."""
        steps = grid.steps(self.seconds)
        return power_sums(steps, self.made(grid, steps))


def _distributions() -> Iterator[Distribution]:
    number = METRICS
    for made, seconds, metric in (*_returns(), *_flows(), *_counts()):
        yield Distribution(metric(number), seconds, made)
        number += 1


Numbered = Callable[[int], Metric]


def _returns() -> Iterator[tuple[Made, float, Numbered]]:
    for seconds in HORIZONS_S:
        yield (
            Grid.returns,
            seconds,
            partial(
                Metric,
                name=f"return_{seconds:g}s",
                title=f"Return of the mid over {seconds:g} s",
                family=Family.RETURNS,
                of=Of.SAMPLE,
                kind=Kind.SIGNED,
                unit="bps",
                scale=1e4 / PART,
                formula=f"log(m_t / m_(t - {seconds:g} s))",
                signed=True,
            ),
        )


def _flows() -> Iterator[tuple[Made, float, Numbered]]:
    for levels, column in FLOW_COLUMNS.items():
        of = "level 1" if levels == 1 else f"levels 1 to {levels}"
        for seconds in FLOW_S:
            yield (
                partial(_lots, column),
                seconds,
                partial(
                    Metric,
                    name=f"ofi_{levels}_{seconds:g}s",
                    title=f"Order flow imbalance of {of} over {seconds:g} s",
                    family=Family.FLOW,
                    of=Of.SAMPLE,
                    kind=Kind.SIGNED,
                    unit="lots",
                    scale=1.0,
                    formula=f"sum of e_n, l <= {levels}",
                    signed=True,
                ),
            )


def _counts() -> Iterator[tuple[Made, float, Numbered]]:
    for name, column in (("trades", TRADES), ("messages", MESSAGES)):
        what = "Trades" if column == TRADES else "Depth messages"
        for seconds in COUNTS_S:
            yield (
                partial(_sums, column),
                seconds,
                partial(
                    Metric,
                    name=f"{name}_{seconds:g}s",
                    title=f"{what} in {seconds:g} s",
                    family=Family.FLOW,
                    of=Of.SAMPLE,
                    kind=Kind.LATTICE,
                    unit="",
                    scale=1.0,
                    formula="count",
                ),
            )


def _sums(column: int, grid: Grid, steps: Steps) -> Int64:
    return grid.flow(steps, column)


def _lots(column: int, grid: Grid, steps: Steps) -> Int64:
    return grid.flow(steps, column) // grid.lot


DISTRIBUTIONS = tuple(_distributions())
"""All of them."""

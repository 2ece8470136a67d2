"""Energy distance against its definition over all pairs; joint states of simulated markets."""

from __future__ import annotations

import math
import statistics
from itertools import product

import numpy as np
import pytest

from lobproof.errors import UsageError
from lobproof.fidelity.inference.energy import energy_distance
from lobproof.fidelity.metrics.grid import Grid
from lobproof.fidelity.metrics.joint import COLUMNS, MOST, joint_energy, joint_states
from lobproof.fidelity.metrics.metric_kernels import ASK_SIZE, BID_SIZE, MID2, SERIES, SPREAD_COUNTS
from plain import series as plain
from support.simulated_blocks import blocks_of, samples_of, simulated_blocks


def mean_distance(a: list[list[float]], b: list[list[float]]) -> float:
    return math.fsum(math.dist(x, y) for x, y in product(a, b)) / (len(a) * len(b))


@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (7, 300, 4), (300, 5, 2)])
def test_it_is_the_mean_over_all_pairs(n: int, m: int, d: int) -> None:
    rng = np.random.default_rng(n)
    r, g = rng.normal(0, 1, (n, d)).round(1), rng.normal(0.3, 2, (m, d)).round(1)
    x, y = r.tolist(), g.tolist()
    between = 2 * mean_distance(x, y)
    expected = between - mean_distance(x, x) - mean_distance(y, y)
    found = energy_distance(r, g)
    assert found.distance == pytest.approx(expected, rel=1e-9)
    assert found.coefficient == pytest.approx(expected / between, rel=1e-9)
    assert (found.n_r, found.n_g) == (n, m)
    assert energy_distance(r, r).distance == pytest.approx(0, abs=1e-12)


def test_of_one_dimension_it_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats", reason="the other one is scipy's")
    rng = np.random.default_rng(4)
    r, g = rng.exponential(1, 200), rng.normal(1, 1, 150)
    theirs = stats.energy_distance(r, g) ** 2
    assert energy_distance(r[:, None], g[:, None]).distance == pytest.approx(theirs, rel=1e-9)


def test_it_sees_what_marginals_hide() -> None:
    rng = np.random.default_rng(5)
    r = rng.normal(0, 1, (800, 2))
    g = np.stack([r[:, 0], r[:, 0]], axis=-1)  # the same marginals, bound to each other
    other = rng.normal(0, 1, (800, 2))
    assert energy_distance(r, g).coefficient > 5 * energy_distance(r, other).coefficient


def test_what_has_no_distance() -> None:
    points = np.zeros((3, 2))
    assert math.isnan(energy_distance(points, points[:0]).distance)
    assert energy_distance(points, points).coefficient == 0.0
    with pytest.raises(UsageError, match="no distance"):
        energy_distance(points, np.zeros((3, 1)))
    with pytest.raises(UsageError, match="not finite"):
        energy_distance(points, np.full((1, 2), np.nan))


@pytest.mark.compiled
def test_joint_states() -> None:
    blocks, _ = simulated_blocks(300)
    samples, (tick, lot) = samples_of(blocks), blocks.scale.counts(blocks.instrument)
    expected = []
    for end in plain.ends(samples, 100):
        _, spread, bid, ask, *_ = samples[end]
        flow = plain.flow(samples, end, 100, plain.OFI_1) / lot
        expected.append(
            [spread // tick, (bid - ask) / (bid + ask), math.log((bid + ask) / lot), flow]
        )
    found = joint_states(Grid(blocks))
    assert len(found) > 20
    assert found.shape[1] == len(COLUMNS)
    assert found.tolist() == [pytest.approx(row, rel=1e-12) for row in expected]
    assert joint_energy(Grid(blocks), Grid(blocks)).distance == pytest.approx(0, abs=1e-12)
    other, _ = simulated_blocks(300, seed=4)
    units = [statistics.pstdev(column) for column in zip(*expected, strict=True)]
    r, g = (
        [[value / unit for value, unit in zip(row, units, strict=True)] for row in rows]
        for rows in (joint_states(Grid(other)).tolist(), expected)
    )
    apart = 2 * mean_distance(r, g) - mean_distance(r, r) - mean_distance(g, g)
    assert joint_energy(Grid(other), Grid(blocks)).distance == pytest.approx(apart, rel=1e-9)


def test_many_states_are_thinned_and_none_is_told() -> None:
    blocks, _ = simulated_blocks(60)
    starts = [int(blocks.start[0]) + k * blocks.scale.block_ns for k in range(MOST + 50)]
    cells = np.zeros((len(starts), blocks.series.shape[1], SERIES), np.int64)
    cells[..., MID2], cells[..., SPREAD_COUNTS] = 2_000_000, 2
    cells[..., BID_SIZE] = cells[..., ASK_SIZE] = 1_000
    still = Grid(blocks_of(starts, cells, blocks.scale, blocks.instrument))
    found = joint_energy(still, Grid(blocks))
    assert found.n_r == MOST
    assert found.coefficient > 0
    cells[..., MID2] = 0
    unknown = Grid(blocks_of(starts[:5], cells[:5], blocks.scale, blocks.instrument))
    assert math.isnan(joint_energy(Grid(blocks), unknown).distance)

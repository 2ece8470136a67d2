"""Blocks of metrics held against each other."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.metrics.blocks import Blocks
from lobproof.fidelity.metrics.catalogue import BY_NAME, CATALOGUE, Metric
from lobproof.fidelity.metrics.metric_kernels import LIMB, TALLY_NAMES
from plain.metrics import PlainMetrics

Edges = NDArray[np.float64]


def same(one: Blocks, other: Blocks) -> None:
    """Equal to the last number."""
    assert (one.instrument, one.scale) == (other.instrument, other.scale)
    for name in ("start", "sums", "tallies", "series"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    for field in fields(one.bins):
        left, right = getattr(one.bins, field.name), getattr(other.bins, field.name)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right, field.name)


@cache
def edges_of(metric: Metric) -> tuple[Edges, Edges]:
    return metric.edges()


def bin_of(metric: Metric, value: int) -> int:
    """The only bin whose edges hold a value."""
    low, high = edges_of(metric)
    (found,) = np.flatnonzero((low <= value) & (value <= high))
    return int(found)


def as_plain(found: Blocks, plain: PlainMetrics) -> None:
    """Each block is the plain one of its time, to the last number."""
    blocks = [plain.blocks[start] for start in found.start.tolist()]
    cells = found.series.shape[1]
    for at, block in enumerate(blocks):
        assert found.tallies[at].tolist() == [block.tallies[name] for name in TALLY_NAMES]
        wanted = [block.series.get(cell, [0] * 10) for cell in range(cells)]
        assert found.series[at].tolist() == wanted
        assert set(block.values) <= set(BY_NAME)
    for metric in CATALOGUE:
        counts = found.counts(metric.number)
        for at, block in enumerate(blocks):
            values = block.values[metric.name]
            bins: Counter[int] = Counter()
            for value, many in Counter(values).items():
                bins[bin_of(metric, value)] += many
            there = np.flatnonzero(counts[at]).tolist()
            assert {number: int(counts[at, number]) for number in there} == bins, metric.name
            capped = [max(min(value, 2**40), -(2**40)) for value in values]
            many, total, high, low = found.sums[at, metric.number].tolist()
            assert (many, total) == (len(values), sum(capped)), metric.name
            assert (high << LIMB) + low == sum(value * value for value in capped), metric.name
            assert 0 <= low < 1 << LIMB

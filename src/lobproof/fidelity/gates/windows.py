"""Which blocks two sets have in common, and how long blocks must be for a metric."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lobproof.errors import UsageError
from lobproof.fidelity.metrics.blocks import Blocks
from lobproof.fidelity.metrics.metric_kernels import GRID_NS, SAMPLES
from lobproof.schema import Int64

Float64 = NDArray[np.float64]
_CHANCE = 2.33
"""A standard normal number is larger in 1 of 100 cases."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Blocks of the same times of two sets, both whole.

    ``ours``, ``golden``: rows of each set (blocks,). ``partial``: common blocks left out because
    a set has only a part of their samples; ``alone``: blocks that only one of the sets has.
    """

    ours: NDArray[np.intp]
    golden: NDArray[np.intp]
    start: Int64
    partial: int
    alone: tuple[int, int]

    def __len__(self) -> int:
        return len(self.start)


def paired(ours: Blocks, golden: Blocks) -> Paired:
    """The common blocks that both sets sampled from end to end.

    Raises
    ------
    UsageError
        If the two are of different scales.
    """
    check_scale(ours, golden)
    start, at, beside = np.intersect1d(ours.start, golden.start, return_indices=True)
    samples = ours.series.shape[1]
    whole = (ours.tallies[at, SAMPLES] == samples) & (golden.tallies[beside, SAMPLES] == samples)
    return Paired(
        at[whole],
        beside[whole],
        start[whole],
        int((~whole).sum()),
        (len(ours) - len(start), len(golden) - len(start)),
    )


def check_scale(ours: Blocks, golden: Blocks) -> None:
    """Raise `UsageError` unless two sets are of one scale."""
    if ours.scale != golden.scale:
        raise UsageError(
            f"Blocks at {ours.scale} cannot be held against blocks at {golden.scale}.",
            hint="measure both with one scale",
        )


def whole(blocks: Blocks) -> NDArray[np.intp]:
    """Rows of the blocks that were sampled from end to end."""
    return np.flatnonzero(blocks.tallies[:, SAMPLES] == blocks.scale.block_ns // GRID_NS)


def beside(ours: Blocks, golden: Blocks, *, is_paired: bool) -> tuple[Blocks, Blocks]:
    """Whole blocks of two sets: those of the same times, or all that each has."""
    if not is_paired:
        return ours.taken(whole(ours)), golden.taken(whole(golden))
    window = paired(ours, golden)
    return ours.taken(window.ours), golden.taken(window.golden)


def dependence(counts: Int64, block_ns: int) -> float:
    """How far a metric depends on its past, ns, from its histograms in consecutive blocks.

    For an indicator 1{x in A} with mean p, the time is ``span * V / (N^2 p (1 - p))``, where ``V``
    is the long-run variance of its sum: that of the blocks' sums and of the covariances between
    blocks, summed while they are positive and falling (Geyer 1992). For blocks that are long it is
    ``tau`` times the time between two values, with ``tau = 1 + 2 * sum of rho_k``. The largest over
    1{x <= median} and 1{|x - mean| > sd} is returned; bins stand for their values. Zero where all
    values share a bin.

    Parameters
    ----------
    counts
        (blocks, bins), of the golden sample alone.
    block_ns
        Length of a block.
    """
    return max((_inflated(counts, inside, block_ns) for inside in _indicators(counts)), default=0.0)


def follows(counts: Int64) -> bool:
    """Whether what is in a block shows in the next: a correlation that chance has in 1 of 100.

    ``dependence`` weighs a slow and weak memory little beside a fast one, though in long blocks the
    fast one averages out and the slow one is what remains.

    Parameters
    ----------
    counts
        (blocks, bins), in the order of their time.
    """
    for inside in _indicators(counts):
        centred = _centred(counts, inside)
        all_of_it = float(centred @ centred)
        next_to = float(centred[1:] @ centred[:-1])
        if all_of_it > 0.0 and next_to / all_of_it * len(counts) ** 0.5 > _CHANCE:
            return True
    return False


def _indicators(counts: Int64) -> Iterator[NDArray[np.bool_]]:
    """Bins at or below the median, and those more than a deviation from the mean."""
    total = counts.sum(axis=0)
    n = int(total.sum())
    if n == 0:
        return
    passed = np.cumsum(total)
    place = np.arange(counts.shape[1], dtype=np.float64)
    mean = float(total @ place) / n
    spread = float(np.sqrt(total @ (place - mean) ** 2 / n))
    yield place <= int(np.searchsorted(passed, n / 2))
    yield np.abs(place - mean) > spread


def _centred(counts: Int64, inside: NDArray[np.bool_]) -> Float64:
    """How many values of each block are inside, less what their share lets expect."""
    hits = counts[:, inside].sum(axis=1).astype(np.float64)
    values = counts.sum(axis=1).astype(np.float64)
    return np.asarray(hits - values * (hits.sum() / values.sum()))


def _inflated(counts: Int64, inside: NDArray[np.bool_], block_ns: int) -> float:
    n = float(counts.sum())
    share = float(counts[:, inside].sum()) / n
    if share in (0.0, 1.0):
        return 0.0
    centred = _centred(counts, inside)
    blocks = len(centred)
    size = 1 << (2 * blocks - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    lagged = np.fft.irfft(spectrum * np.conj(spectrum), size)[:blocks]
    variance, least = -float(lagged[0]), np.inf
    for lag in range(0, blocks - 1, 2):
        pair = min(float(lagged[lag] + lagged[lag + 1]), least)
        if pair <= 0.0:
            break
        variance, least = variance + 2.0 * pair, pair
    variance = max(variance, float(lagged[0])) if variance > 0 else float(lagged[0])
    return variance / (n * share * (1.0 - share)) * blocks * block_ns / n

"""Gate C: two sets of blocks of the same time, metric by metric.

Each metric has blocks as long as its own memory asks for, by the golden sample alone. Of every
metric its distribution is compared, how many values there are, and what its kind allows beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.gates.settings import STANDARD, Settings
from lobproof.fidelity.gates.windows import Paired, dependence, paired
from lobproof.fidelity.inference.dependence import MIN_BLOCKS, block_rule
from lobproof.fidelity.inference.equivalence import (
    Equivalence,
    jackknife_equivalence,
    ks_equivalence,
    overall,
    total_variation,
)
from lobproof.fidelity.inference.functionals import (
    PROBABILITIES,
    Array,
    log_count,
    log_mean,
    log_quantiles,
    log_sd,
)
from lobproof.fidelity.inference.plain import PlainKs, ks_of_counts
from lobproof.fidelity.inference.signflip import Drift, sign_flip
from lobproof.fidelity.metrics.blocks import Blocks
from lobproof.fidelity.metrics.catalogue import CATALOGUE, Kind, Metric, Of
from lobproof.fidelity.metrics.metric_kernels import GRID_NS, MIX_TRADES
from lobproof.schema import Int64

_MIX = 1 + np.array([(side * 2 + removed) * 4 for side in (0, 1) for removed in (0, 1)])


@dataclass(frozen=True, slots=True)
class Compared:
    """A metric of two sets of blocks.

    ``block_ns``: length of a block here, ``tau_ns``: of the metric's memory; NaN where unknown.
    ``reason``: why the verdict is no pass or fail.
    """

    metric: Metric
    verdict: Verdict
    reason: str
    n_ours: int
    n_golden: int
    blocks: int
    block_ns: int
    tau_ns: float
    plain: PlainKs | None
    figures: tuple[Equivalence, ...]

    @property
    def worst(self) -> Equivalence | None:
        """The figure that decides: what fails first, else what is nearest to its margin."""
        if not self.figures:
            return None
        rank = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1}
        known = [one for one in self.figures if not math.isnan(one.upper)] or list(self.figures)
        return min(known, key=lambda one: (rank.get(one.verdict, 2), -one.upper / one.margin))

    @property
    def needed_ns(self) -> float:
        """How much time it would take to have enough blocks; 0 where there are enough."""
        if not self.figures or self.blocks >= MIN_BLOCKS:
            return 0.0
        return MIN_BLOCKS * self.block_ns

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "metric": self.metric.name,
            "family": self.metric.family.value,
            "unit": self.metric.unit,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "n_ours": self.n_ours,
            "n_golden": self.n_golden,
            "blocks": self.blocks,
            "block_s": self.block_ns / 1e9,
            "tau_s": _number(self.tau_ns / 1e9),
            "needed_s": self.needed_ns / 1e9,
            "ks": None
            if self.plain is None
            else {**asdict(self.plain), "ks_pass": self.plain.ks_pass},
            "figures": [
                {key: _number(value) for key, value in asdict(one).items()} for one in self.figures
            ],
        }


@dataclass(frozen=True, slots=True)
class SameWindow:
    """Gate C: all metrics, and whether the two drift apart."""

    compared: tuple[Compared, ...]
    drift: Drift | None
    settings: Settings
    window: Paired

    @property
    def verdict(self) -> Verdict:
        """Pass if every metric passes."""
        return overall(one.verdict for one in self.compared)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "verdict": self.verdict.value,
            "settings": {**asdict(self.settings), "hash": self.settings.hash},
            "blocks": len(self.window),
            "blocks_left_out": {"partial": self.window.partial, "alone": list(self.window.alone)},
            "drift": None
            if self.drift is None
            else {**asdict(self.drift), "flagged": self.drift.flagged},
            "metrics": [one.to_dict() for one in self.compared],
        }


def compare(ours: Blocks, golden: Blocks, settings: Settings = STANDARD) -> SameWindow:
    """Hold blocks against those of a golden sample of the same time.

    Raises
    ------
    UsageError
        If the two are of different scales.
    """
    window = paired(ours, golden)
    compared = tuple(_metric(metric, ours, golden, window, settings) for metric in CATALOGUE)
    return SameWindow(compared, _drift(compared, ours, golden, window, settings), settings, window)


def _metric(
    metric: Metric, ours: Blocks, golden: Blocks, window: Paired, settings: Settings
) -> Compared:
    counts = [
        blocks.counts(metric.number)[rows, : metric.bins]
        for blocks, rows in ((ours, window.ours), (golden, window.golden))
    ]
    n_ours, n_golden = (int(table.sum()) for table in counts)

    def decided(verdict: Verdict, reason: str) -> Compared:
        return Compared(metric, verdict, reason, n_ours, n_golden, 0, 0, math.nan, None, ())

    if not len(window):
        seconds = golden.scale.block_ns // 1_000_000_000
        why = f"no whole block of {seconds} s is common to both"
        return decided(Verdict.INCONCLUSIVE, why)
    if not n_golden and not n_ours:
        return decided(Verdict.NOT_APPLICABLE, "neither side has a value")
    if not n_golden or not n_ours:
        side = "the golden sample" if n_ours else "what is judged"
        return decided(Verdict.FAIL, f"{side} has no value")
    samples = len(window) * golden.scale.block_ns // GRID_NS
    if metric.of is Of.SAMPLE and max(n_golden, n_ours) < settings.least_known * samples:
        share = n_golden / samples
        return decided(Verdict.NOT_APPLICABLE, f"known in {share:.1%} of the golden samples only")
    plain = ks_of_counts(counts[0].sum(axis=0), counts[1].sum(axis=0))
    if np.count_nonzero(counts[0].sum(axis=0) + counts[1].sum(axis=0)) == 1:
        return decided(Verdict.NOT_APPLICABLE, "one and the same value throughout, on both sides")
    block_ns = golden.scale.block_ns
    tau = dependence(counts[1], block_ns)
    spacing = len(window) * block_ns / n_golden
    rule = block_rule(tau / spacing, spacing, len(window) * block_ns)
    times = max(1, math.ceil(rule.length / block_ns))
    groups = groups_of(window.start, block_ns, times)
    many = int(groups.max(initial=-1)) + 1
    doubt = rule.doubt(times * block_ns, many)
    if doubt:  # in seconds, and with what would be needed
        doubt = _needed(rule.length, many)
    tables = [grouped(table, groups, many) for table in counts]
    sums = [
        grouped(np.stack(blocks.moments(metric.number), axis=1)[rows], groups, many)
        for blocks, rows in ((ours, window.ours), (golden, window.golden))
    ]
    figures = tuple(_figures(metric, tables, sums, settings, doubt))
    verdict = overall(one.verdict for one in figures)
    reason = next((one.doubt for one in figures if one.doubt), "")
    if verdict is Verdict.INCONCLUSIVE and not reason:
        reason = "the intervals reach beyond the margin"
    return Compared(
        metric,
        verdict,
        reason if verdict is Verdict.INCONCLUSIVE else "",
        n_ours,
        n_golden,
        many,
        times * block_ns,
        tau,
        plain,
        figures,
    )


def _figures(
    metric: Metric,
    tables: list[Int64],
    sums: list[NDArray[np.float64]],
    settings: Settings,
    doubt: str,
) -> Iterator[Equivalence]:
    """Everything that is compared of a metric."""
    margin = settings.margin
    if metric.kind is Kind.CATEGORY:
        r, g = (_mixed(table) for table in tables)
        yield total_variation(r, g, name="mix", margin=margin, doubt=doubt)
    else:
        yield ks_equivalence(tables[0], tables[1], name="distribution", margin=margin, doubt=doubt)

    def jackknifed(functional: Any, *names: str, of: list[Any] = sums) -> list[Equivalence]:
        return jackknife_equivalence(
            of[0], of[1], functional, names=names, margin=margin, doubt=doubt
        )

    if metric.of is not Of.SAMPLE:
        yield from jackknifed(log_count, "count")
    if metric.kind in (Kind.RATIO, Kind.LATTICE):
        yield from jackknifed(log_mean(), "mean")
    if metric.kind is Kind.SIGNED:
        yield from jackknifed(_standardised_mean, "mean")
    if metric.kind in (Kind.RATIO, Kind.SIGNED):
        yield from jackknifed(log_sd, "sd")
    if metric.kind is Kind.RATIO:
        low, _ = metric.edges()
        levels = _quantile_levels(tables[1], low, settings.least_quantile)
        if levels:
            edges = np.append(low - 0.5, np.inf)
            names = [f"quantile {level:.0%}" for level in levels]
            yield from jackknifed(log_quantiles(edges, levels), *names, of=tables)


def _quantile_levels(golden: Int64, low: NDArray[np.float64], least: int) -> list[float]:
    """Which quantiles of the golden sample lie high enough, and within the bins."""
    below = np.cumsum(golden.sum(axis=0))
    at = [int(np.searchsorted(below, level * below[-1])) for level in PROBABILITIES]
    return [
        level
        for level, place in zip(PROBABILITIES, at, strict=True)
        if low[place] >= least and place < len(low) - 1
    ]


def _standardised_mean(sums: Array) -> Array:
    """Mean in units of the standard deviation; columns: n, sum, sum of squares."""
    mean, square = (sums[:, k : k + 1] / sums[:, :1] for k in (1, 2))
    return np.asarray(mean / np.sqrt(square - mean**2))


def _mixed(table: Int64) -> Int64:
    """The event mix with three ranges of levels instead of four: categories are to be few."""
    columns = [
        column
        for first in _MIX.tolist()
        for column in (
            table[:, first],
            table[:, first + 1],
            table[:, first + 2] + table[:, first + 3],
        )
    ]
    trades = 1 + MIX_TRADES
    return np.stack([*columns, table[:, trades], table[:, trades + 1]], axis=1)


def groups_of(start: Int64, block_ns: int, times: int) -> Int64:
    """The longer block of each block, from 0 on; -1 where it is not whole."""
    if not len(start):
        return np.zeros(0, np.int64)
    number = (start - start[0]) // (block_ns * times)
    _, place, count = np.unique(number, return_inverse=True, return_counts=True)
    whole = count == times
    renumbered = np.where(whole, np.cumsum(whole) - 1, -1)
    return np.asarray(renumbered[place], np.int64)


def grouped(values: NDArray[Any], groups: Int64, many: int) -> NDArray[Any]:
    """Rows added up by group; those of none are left out."""
    total = np.zeros((many, values.shape[1]), values.dtype)
    inside = groups >= 0
    np.add.at(total, groups[inside], values[inside])
    return total


def _needed(length_ns: float, blocks: int) -> str:
    if math.isnan(length_ns):
        return "the golden sample's values never change: how long they remember is unknown"
    return (
        f"{blocks} blocks of {length_ns / 1e9:,.0f} s, {MIN_BLOCKS} are needed: "
        f"{MIN_BLOCKS * length_ns / 3.6e12:,.1f} h of data"
    )


def _drift(
    compared: tuple[Compared, ...],
    ours: Blocks,
    golden: Blocks,
    window: Paired,
    settings: Settings,
) -> Drift | None:
    """Whether the two drift apart: all metrics on the longest of their blocks."""
    judged = [one for one in compared if one.figures]
    if not judged:
        return None
    block_ns = golden.scale.block_ns
    times = max(one.block_ns for one in judged) // block_ns
    groups = groups_of(window.start, block_ns, times)
    many = int(groups.max(initial=-1)) + 1
    if many < 2:
        return None
    pairs = []
    for one in judged:
        tables = (
            blocks.counts(one.metric.number)[rows, : one.metric.bins]
            for blocks, rows in ((ours, window.ours), (golden, window.golden))
        )
        r, g = (grouped(table, groups, many) for table in tables)
        used = r.sum(axis=0) + g.sum(axis=0) > 0
        pairs.append((r[:, used], g[:, used]))
    return sign_flip(pairs, flips=settings.flips, seed=settings.seed)


def _number(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value

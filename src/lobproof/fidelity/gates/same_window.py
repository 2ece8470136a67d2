"""Gate C: two sets of blocks of the same time, metric by metric.

Each metric has blocks as long as its own memory asks for, by the golden sample alone. Of every
metric its distribution is compared, how many values there are, and what its kind allows beside it;
then what follows from the series: autocorrelations, slopes, volatility, tails, models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobproof.errors import UsageError
from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.gates.compared import Compared, why_open
from lobproof.fidelity.gates.series import compare_hawkes, compare_series
from lobproof.fidelity.gates.settings import STANDARD, Level, Settings
from lobproof.fidelity.gates.sides import Grouping, Sides, Values, grouped, groups_of
from lobproof.fidelity.gates.windows import Paired
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
from lobproof.fidelity.inference.plain import ks_of_counts
from lobproof.fidelity.inference.signflip import Drift, sign_flip
from lobproof.fidelity.metrics.blocks import Blocks
from lobproof.fidelity.metrics.catalogue import CATALOGUE, Kind, Metric, Of
from lobproof.fidelity.metrics.metric_kernels import MIX_TRADES
from lobproof.schema import Int64

_MIX = 1 + np.array([(side * 2 + removed) * 4 for side in (0, 1) for removed in (0, 1)])


@dataclass(frozen=True, slots=True)
class SameWindow:
    """Gate C: all metrics and statistics, and whether the two drift apart."""

    compared: tuple[Compared, ...]
    drift: Drift | None
    settings: Settings
    level: Level
    window: Paired

    @property
    def verdict(self) -> Verdict:
        """Pass if every metric passes."""
        return overall(one.verdict for one in self.compared)

    @property
    def blocks_left_out(self) -> str:
        """How many blocks were not compared, in words; empty if none was left out."""
        window = self.window
        if not window.partial + sum(window.alone):
            return ""
        return (
            f"Left out: {window.partial} that one side has in part, {window.alone[0]} that only "
            f"ours has, {window.alone[1]} that only the golden sample has."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "verdict": self.verdict.value,
            "level": self.level.value,
            "settings": {**asdict(self.settings), "hash": self.settings.hash},
            "blocks": len(self.window),
            "blocks_left_out": {"partial": self.window.partial, "alone": list(self.window.alone)},
            "drift": None
            if self.drift is None
            else {**asdict(self.drift), "flagged": self.drift.flagged},
            "metrics": [one.to_dict() for one in self.compared],
        }


def compare(
    ours: Blocks,
    golden: Blocks,
    settings: Settings = STANDARD,
    *,
    level: Level = Level.STANDARD,
    trade_times: tuple[Int64, Int64] | None = None,
    left_out: Mapping[str, str] | None = None,
    doubt: str = "",
) -> SameWindow:
    """Hold blocks against those of a golden sample of the same time.

    Parameters
    ----------
    settings
        What it is judged by.
    level
        How much is compared: see `Level`.
    trade_times
        Of all trades, ours and the golden sample's, ns in order: for the level ``full``.
    left_out
        Names of metrics that do not compare, and why; what follows from them neither.
    doubt
        Why nothing that is compared says anything.

    Raises
    ------
    UsageError
        If the two are of different scales, or the level is ``full`` without times.
    """
    if level is Level.FULL and trade_times is None:
        raise UsageError(
            "the level full needs the times of all trades",
            hint="give trade_times, or the level standard",
        )
    sides = Sides(ours, golden)
    if doubt or not len(sides.window):
        seconds = golden.scale.block_ns // 1_000_000_000
        why = doubt or f"no whole block of {seconds} s is common to both"
        none = tuple(_nothing(metric, Verdict.INCONCLUSIVE, why) for metric in CATALOGUE)
        return SameWindow(none, None, settings, level, sides.window)
    left_out = left_out or {}
    compared = [
        _nothing(one.metric, Verdict.NOT_APPLICABLE, left_out[one.metric.name], *one.n)
        if one.metric.name in left_out
        else _metric(one, sides, settings)
        for one in sides.values(level)
    ]
    drift = None
    if level is not Level.LIGHT:
        drift = _drift(compared, sides, settings, level)
        compared += compare_series(sides, settings, left_out)
    if level is Level.FULL and trade_times is not None:
        compared.append(compare_hawkes(trade_times, sides, settings))
    return SameWindow(tuple(compared), drift, settings, level, sides.window)


def _nothing(
    metric: Metric, verdict: Verdict, reason: str, n_ours: int = 0, n_golden: int = 0
) -> Compared:
    return Compared(metric, verdict, reason, n_ours, n_golden, 0, 0, math.nan, None, ())


def _metric(values: Values, sides: Sides, settings: Settings) -> Compared:
    metric, counts = values.metric, values.counts
    group = sides.grouping(values)
    n_ours, n_golden = group.n
    both = counts[0].sum(axis=0) + counts[1].sum(axis=0)
    undecided = _undecided(values, sides, settings)
    if undecided is not None:
        return _nothing(metric, *undecided, n_ours, n_golden)
    if np.count_nonzero(both) == 1:
        why = "one and the same value throughout, on both sides"
        return _nothing(metric, Verdict.NOT_APPLICABLE, why, n_ours, n_golden)
    figures = tuple(_figures(values, group, settings))
    verdict = overall(one.verdict for one in figures)
    return Compared(
        metric,
        verdict,
        why_open(verdict, figures),
        n_ours,
        n_golden,
        group.blocks,
        group.block_ns,
        group.tau_ns,
        ks_of_counts(counts[0].sum(axis=0), counts[1].sum(axis=0)),
        figures,
    )


def _undecided(values: Values, sides: Sides, settings: Settings) -> tuple[Verdict, str] | None:
    """The verdict on a metric of which one side, or both, have too few values to compare."""
    n_ours, n_golden = values.n
    if not n_golden and not n_ours:
        return Verdict.NOT_APPLICABLE, "neither side has a value"
    if not n_golden or not n_ours:
        side = "the golden sample" if n_ours else "what is judged"
        return Verdict.FAIL, f"{side} has no value"
    if values.step_ns:
        steps = sides.span_ns // values.step_ns
        if max(n_golden, n_ours) < settings.least_known * steps:
            share = n_golden / steps
            return Verdict.NOT_APPLICABLE, f"known in {share:.1%} of the golden samples only"
    return None


def _figures(values: Values, group: Grouping, settings: Settings) -> Iterator[Equivalence]:
    """Everything that is compared of a metric."""
    metric, margin, doubt = values.metric, settings.margin, group.doubt
    tables = [group.of(table) for table in values.counts]
    sums = [group.of(table) for table in values.sums]
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


def _drift(
    compared: Sequence[Compared], sides: Sides, settings: Settings, level: Level
) -> Drift | None:
    """Whether the two drift apart: all metrics on the longest of their blocks."""
    judged = {one.metric.name for one in compared if one.figures}
    if not judged:
        return None
    times = max(one.block_ns for one in compared) // sides.block_ns
    groups = groups_of(sides.window.start, sides.block_ns, times)
    many = int(groups.max(initial=-1)) + 1
    if many < 2:
        return None
    pairs = []
    for one in sides.values(level):
        if one.metric.name in judged:
            r, g = (grouped(table, groups, many) for table in one.counts)
            used = r.sum(axis=0) + g.sum(axis=0) > 0
            pairs.append((r[:, used], g[:, used]))
    return sign_flip(pairs, flips=settings.flips, seed=settings.seed)

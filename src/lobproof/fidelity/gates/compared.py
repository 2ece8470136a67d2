"""``Compared``: what gate C says of one metric or statistic."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.inference.dependence import MIN_BLOCKS
from lobproof.fidelity.inference.equivalence import Equivalence
from lobproof.fidelity.inference.plain import PlainKs
from lobproof.fidelity.metrics.catalogue import Family, Metric
from lobproof.fidelity.metrics.series import Additive


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic that needs all values at once, in words."""

    name: str
    title: str
    family: Family
    unit: str
    formula: str


Named = Metric | Additive | Estimate


@dataclass(frozen=True, slots=True)
class Compared:
    """A metric of two sets of blocks, or a statistic of their series.

    ``n_ours``, ``n_golden``: values; of a statistic, those of the metric that it is made of.
    ``block_ns``: length of a block here, ``tau_ns``: of the metric's memory; NaN where unknown.
    ``reason``: why the verdict is no pass or fail. ``plain``: K-S as if values were independent;
    None of a statistic, which has no distribution.
    """

    metric: Named
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
        if self.verdict is not Verdict.INCONCLUSIVE or self.blocks >= MIN_BLOCKS:
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
            "tau_s": number(self.tau_ns / 1e9),
            "needed_s": self.needed_ns / 1e9,
            "ks": None
            if self.plain is None
            else {**asdict(self.plain), "ks_pass": self.plain.ks_pass},
            "figures": [
                {key: number(value) for key, value in asdict(one).items()} for one in self.figures
            ],
        }


def why_open(verdict: Verdict, figures: Iterable[Equivalence]) -> str:
    """Why a verdict is inconclusive; empty if it is not."""
    if verdict is not Verdict.INCONCLUSIVE:
        return ""
    return next(
        (one.doubt for one in figures if one.doubt), "the intervals reach beyond the margin"
    )


def number(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""Gate D: two sets of blocks of different times of one day and regime, all metrics together.

Blocks change places between the two, so the test holds whatever their dependence. It can say that
two markets differ; that they are alike within 1 % it cannot: no test of different times can.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.gates.settings import STANDARD, Settings
from lobproof.fidelity.gates.sides import grouped, groups_of
from lobproof.fidelity.gates.windows import check_scale, dependence, whole
from lobproof.fidelity.inference.dependence import MIN_BLOCKS, block_rule
from lobproof.fidelity.inference.permutation import Permutation, block_permutation
from lobproof.fidelity.inference.signflip import ALPHA
from lobproof.fidelity.metrics.blocks import Blocks
from lobproof.fidelity.metrics.catalogue import CATALOGUE, Metric
from lobproof.schema import Int64


@dataclass(frozen=True, slots=True)
class OtherWindow:
    """Gate D: the metrics compared, those with too few blocks, and the permutation of blocks."""

    metrics: tuple[Metric, ...]
    left_out: tuple[Metric, ...]
    result: Permutation | None
    blocks: tuple[int, int]
    block_ns: int
    settings: Settings
    reason: str

    @property
    def verdict(self) -> Verdict:
        """Fail where the two differ; a pass says that no difference was found, not that none is."""
        if self.result is None or self.reason:
            return Verdict.INCONCLUSIVE
        return Verdict.FAIL if self.result.p_max <= ALPHA else Verdict.PASS

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "verdict": self.verdict.value,
            "reason": self.reason,
            "blocks": list(self.blocks),
            "block_s": self.block_ns / 1e9,
            "settings": {**asdict(self.settings), "hash": self.settings.hash},
            "metrics": [one.name for one in self.metrics],
            "left_out": [one.name for one in self.left_out],
            "permutation": self.result and asdict(self.result),
        }


def compare_windows(ours: Blocks, golden: Blocks, settings: Settings = STANDARD) -> OtherWindow:
    """Hold blocks against those of another time.

    Blocks are as long as the longest memory asks for among the metrics of which the golden sample
    has enough blocks; the others are left out, and named. What is judged has no part in that.

    Raises
    ------
    UsageError
        If the two are of different scales.
    """
    check_scale(ours, golden)
    block_ns = golden.scale.block_ns
    rows = [whole(blocks) for blocks in (ours, golden)]
    tables: list[tuple[Metric, list[Int64]]] = []
    left_out: list[Metric] = []
    times, span = 1, len(rows[1]) * block_ns
    for metric in CATALOGUE:
        counts = [
            blocks.counts(metric.number)[at, : metric.bins]
            for blocks, at in zip((ours, golden), rows, strict=True)
        ]
        if not all(table.any() for table in counts):
            continue
        used = counts[0].sum(axis=0) + counts[1].sum(axis=0) > 0
        spacing = span / int(counts[1].sum())
        rule = block_rule(dependence(counts[1], block_ns) / spacing, spacing, span)
        if used.sum() == 1 or not rule.attainable:
            left_out.append(metric)
            continue
        tables.append((metric, [table[:, used] for table in counts]))
        times = max(times, math.ceil(rule.length / block_ns))
    grouping = [
        groups_of(blocks.start[at], block_ns, times)
        for blocks, at in zip((ours, golden), rows, strict=True)
    ]
    many = tuple(int(groups.max(initial=-1)) + 1 for groups in grouping)
    reason = ""
    if not tables:
        reason = f"no metric has {MIN_BLOCKS} blocks of 20 times its memory in the golden sample"
    elif min(many) < 2:
        reason = f"blocks of {times * block_ns / 1e9:,.0f} s: {many[0]} and {many[1]} of them"
    result = None
    if not reason:
        pairs = [
            [
                grouped(table, groups, count)
                for table, groups, count in zip(both, grouping, many, strict=True)
            ]
            for _, both in tables
        ]
        result = block_permutation(
            [pair[0] for pair in pairs],
            [pair[1] for pair in pairs],
            permutations=settings.permutations,
            seed=settings.seed,
        )
        reason = result.doubt
    return OtherWindow(
        tuple(metric for metric, _ in tables),
        tuple(left_out),
        result,
        (many[0], many[1]),
        times * block_ns,
        settings,
        reason,
    )
